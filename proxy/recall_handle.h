#ifndef BARID_PROXY_RECALL_HANDLE_H_
#define BARID_PROXY_RECALL_HANDLE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "base/metadata.h"

namespace barid::proxy {

// Names one scheduled message. It says all that is needed to recall it, so any proxy can.
struct RecallHandle {
  ShardId shard;
  TopicId topic;
  TimerKey timer;
  std::string message_id;

  friend bool operator==(const RecallHandle&, const RecallHandle&) = default;
};

// What the producer keeps: the above and a signature (proxy/signature.h) in URL-safe base64.
//
//   kind 1 | key id 4 | shard 8 | topic 8 | due 8 | record 8 | entry 4 | message id | signature 18
std::string EncodeRecallHandle(const RecallHandle& handle, const SigningKey& key);

// BAD_REQUEST (proxy/refusal.h) unless it is exactly what EncodeRecallHandle made with one of the keys.
absl::StatusOr<RecallHandle> DecodeRecallHandle(absl::string_view handle, const std::vector<SigningKey>& keys);

}  // namespace barid::proxy

#endif  // BARID_PROXY_RECALL_HANDLE_H_
