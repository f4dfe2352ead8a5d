#ifndef BARID_PROXY_SIGNATURE_H_
#define BARID_PROXY_SIGNATURE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/crypto.h"
#include "base/metadata.h"

// Handles that clients keep for us are signed with a key of the cluster, so that any proxy knows its own and refuses
// others'. All kinds share the keys; the first byte of what is signed tells the kinds apart.
namespace barid::proxy {

inline constexpr size_t kSignatureBytes = 18;  // Of an HMAC-SHA-256.

inline std::string Sign(const SigningKey& key, absl::string_view plain) {
  std::string signature = HmacSha256(key.secret, plain);
  signature.resize(kSignatureBytes);
  return signature;
}

// nullptr if it is unknown here or no longer valid.
inline const SigningKey* FindKey(const std::vector<SigningKey>& keys, uint32_t id) {
  for (const SigningKey& key : keys) {
    if (key.id == id) return &key;
  }
  return nullptr;
}

// The newest key, by id; nullptr without keys.
inline const SigningKey* NewestKey(const std::vector<SigningKey>& keys) {
  const SigningKey* newest = nullptr;
  for (const SigningKey& key : keys) {
    if (newest == nullptr || key.id > newest->id) newest = &key;
  }
  return newest;
}

}  // namespace barid::proxy

#endif  // BARID_PROXY_SIGNATURE_H_
