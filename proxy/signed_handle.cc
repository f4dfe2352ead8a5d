#include "proxy/signed_handle.h"

#include "absl/strings/escaping.h"
#include "base/coding.h"
#include "proxy/signature.h"

namespace barid::proxy {
namespace {

constexpr size_t kHeadBytes = 1 + 4;

}  // namespace

std::string SealHandle(uint8_t kind, const SigningKey& key, absl::string_view body) {
  std::string bytes;
  bytes.reserve(kHeadBytes + body.size() + kSignatureBytes);
  PutFixed<uint8_t>(&bytes, kind);
  PutFixed<uint32_t>(&bytes, key.id);
  bytes.append(body.data(), body.size());
  bytes += Sign(key, bytes);
  return absl::WebSafeBase64Escape(bytes);
}

absl::StatusOr<std::string> OpenHandle(uint8_t kind, absl::string_view handle, const std::vector<SigningKey>& keys,
                                       size_t max_chars, size_t min_body_bytes) {
  std::string bytes;
  // Base64 may have spare bits and padding; only the form that we make counts.
  if (handle.size() > max_chars || !absl::WebSafeBase64Unescape(handle, &bytes) ||
      bytes.size() < kHeadBytes + min_body_bytes + kSignatureBytes || absl::WebSafeBase64Escape(bytes) != handle) {
    return absl::InvalidArgumentError(
        "is not one that this server makes, expected the one that came with the send's answer");
  }
  const char* const p = bytes.data();
  if (static_cast<uint8_t>(p[0]) != kind) {
    return absl::InvalidArgumentError("is of another kind, expected the one that came with the send's answer");
  }
  const SigningKey* const key = FindKey(keys, LoadFixed<uint32_t>(p + 1));
  if (key == nullptr) return absl::InvalidArgumentError("is signed with a key that is unknown here or no longer valid");
  const absl::string_view plain(p, bytes.size() - kSignatureBytes);
  if (!ConstantTimeEquals(Sign(*key, plain), absl::string_view(p + plain.size(), kSignatureBytes))) {
    return absl::InvalidArgumentError("is not one that this cluster signed");
  }
  return std::string(plain.substr(kHeadBytes));
}

}  // namespace barid::proxy
