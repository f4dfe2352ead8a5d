#ifndef BARID_BASE_CRYPTO_H_
#define BARID_BASE_CRYPTO_H_

#include <string>

#include "absl/strings/string_view.h"

namespace barid {

// The SHA-1 of `bytes` as 40 upper-case hex digits: the body digest that every official client verifies.
std::string Sha1Hex(absl::string_view bytes);

// HMAC-SHA-256 (RFC 2104, FIPS 180-4), 32 bytes.
std::string HmacSha256(absl::string_view key, absl::string_view bytes);

// Compares in time that depends on the lengths only.
bool ConstantTimeEquals(absl::string_view a, absl::string_view b);

}  // namespace barid

#endif  // BARID_BASE_CRYPTO_H_
