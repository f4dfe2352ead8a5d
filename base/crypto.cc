#include "base/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <memory>

#include "base/log.h"

// OpenSSL looks an algorithm up by name at every one-shot call, which costs as much as hashing a kilobyte. So each is
// looked up once per process, and each thread keeps its context.
namespace barid {
namespace {

template <auto free>
struct FreeBy {
  template <typename T>
  void operator()(T* object) const {
    free(object);
  }
};

using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeBy<EVP_MD_CTX_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, FreeBy<EVP_MAC_CTX_free>>;

// A thread's HMAC, with the key that it was used with last: a cluster has one or two.
struct Hmac {
  MacContext context;
  std::string key;
  bool has_key = false;
};

MacContext NewHmacSha256() {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  CHECK(mac != nullptr);
  MacContext context(EVP_MAC_CTX_new(mac));
  CHECK(context != nullptr);
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
  CHECK_EQ(EVP_MAC_CTX_set_params(context.get(), params), 1);
  return context;
}

}  // namespace

std::string Sha1Hex(absl::string_view bytes) {
  static EVP_MD* const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr);
  CHECK(sha1 != nullptr);
  thread_local const DigestContext context(EVP_MD_CTX_new());
  unsigned char digest[20];
  unsigned int size = 0;
  CHECK_EQ(EVP_DigestInit_ex2(context.get(), sha1, nullptr), 1);
  CHECK_EQ(EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()), 1);
  CHECK_EQ(EVP_DigestFinal_ex(context.get(), digest, &size), 1);
  CHECK_EQ(size, sizeof(digest));
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out(2 * sizeof(digest), '\0');
  for (size_t i = 0; i < sizeof(digest); ++i) {
    out[2 * i] = kHex[digest[i] >> 4];
    out[2 * i + 1] = kHex[digest[i] & 15];
  }
  return out;
}

std::string HmacSha256(absl::string_view key, absl::string_view bytes) {
  thread_local Hmac hmac = {NewHmacSha256(), {}, false};
  // Without a key it begins anew with the one it has.
  const bool is_new = !hmac.has_key || hmac.key != key;
  const auto* const key_bytes =
      is_new ? reinterpret_cast<const unsigned char*>(key.empty() ? "" : key.data()) : nullptr;
  CHECK_EQ(EVP_MAC_init(hmac.context.get(), key_bytes, is_new ? key.size() : 0, nullptr), 1);
  if (is_new) {
    hmac.key = std::string(key);
    hmac.has_key = true;
  }
  CHECK_EQ(EVP_MAC_update(hmac.context.get(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()), 1);
  std::string out(32, '\0');
  size_t size = 0;
  CHECK_EQ(EVP_MAC_final(hmac.context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, out.size()), 1);
  CHECK_EQ(size, out.size());
  return out;
}

bool ConstantTimeEquals(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace barid
