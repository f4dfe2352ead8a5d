#ifndef BARID_PROXY_FINGERPRINT_H_
#define BARID_PROXY_FINGERPRINT_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "base/stored_message.h"

namespace barid::proxy {

// What tells a message that is sent again from another one (docs/delivery.md). Neither is ever 0.
struct Fingerprint {
  uint64_t id = 0;       // Of topic and message id.
  uint64_t content = 0;  // Of that, and of all that has to be equal.

  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

// Who sends.
struct Producer {
  absl::string_view client_id;
  absl::string_view born_host;  // As the client says it; an address that we see may change on its way.
};

// Equal are: client id, born host, type, delivery time, priority, lite topic, body, tag, keys, message group and user
// properties, in any order. Not born time, trace context and encoding. Together 128 bits: fit against chance, not
// against somebody who looks for two messages of their own that are taken for one.
Fingerprint FingerprintOf(const MessageDraft& draft, TopicId topic, const Producer& producer);

}  // namespace barid::proxy

#endif  // BARID_PROXY_FINGERPRINT_H_
