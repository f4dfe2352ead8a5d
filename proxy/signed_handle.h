#ifndef BARID_PROXY_SIGNED_HANDLE_H_
#define BARID_PROXY_SIGNED_HANDLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/metadata.h"

// What recall handles and transaction ids have in common: URL-safe base64 of
//
//   | kind u8 | key id u32 | body | signature (proxy/signature.h) |
namespace barid::proxy {

std::string SealHandle(uint8_t kind, const SigningKey& key, absl::string_view body);

// The body. kInvalidArgument says what the handle is, as the end of a sentence: not in this form or longer than
// `max_chars`, with a body of less than `min_body_bytes`, of another kind, or signed by nobody that is known here.
absl::StatusOr<std::string> OpenHandle(uint8_t kind, absl::string_view handle, const std::vector<SigningKey>& keys,
                                       size_t max_chars, size_t min_body_bytes);

}  // namespace barid::proxy

#endif  // BARID_PROXY_SIGNED_HANDLE_H_
