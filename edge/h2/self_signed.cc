#include "edge/h2/self_signed.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace barid::edge::h2 {
namespace {

constexpr long kValidSeconds = 10L * 365 * 24 * 3600;

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

bool Fill(X509* certificate, EVP_PKEY* key) {
  uint64_t serial = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) != 1) return false;
  X509_NAME* const name = X509_get_subject_name(certificate);
  static constexpr unsigned char kName[] = "localhost";
  X509_EXTENSION* const names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
  if (names == nullptr) return false;
  const bool filled = X509_set_version(certificate, 2) == 1 &&
                      ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1 &&
                      X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != nullptr &&
                      X509_gmtime_adj(X509_getm_notAfter(certificate), kValidSeconds) != nullptr &&
                      X509_set_pubkey(certificate, key) == 1 &&
                      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, kName, -1, -1, 0) == 1 &&
                      X509_set_issuer_name(certificate, name) == 1 && X509_add_ext(certificate, names, -1) == 1 &&
                      X509_sign(certificate, key, EVP_sha256()) > 0;
  X509_EXTENSION_free(names);
  return filled;
}

// Writes a new file by `write` and renames it into place.
template <typename Write>
absl::Status WriteFile(const std::string& path, mode_t mode, Write write) {
  const std::string temporary = path + ".new";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  FILE* const file = fd < 0 ? nullptr : fdopen(fd, "w");
  if (file == nullptr) return absl::UnavailableError(absl::StrCat("cannot write ", temporary, ": ", strerror(errno)));
  const bool written = write(file) == 1 && fflush(file) == 0 && fsync(fd) == 0;
  if (fclose(file) != 0 || !written || rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path, ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsFiles> SelfSignedIn(const std::string& directory) {
  TlsFiles files;
  files.certificate_chain = absl::StrCat(directory, "/certificate.pem");
  files.private_key = absl::StrCat(directory, "/key.pem");
  // The certificate is written last.
  if (access(files.certificate_chain.c_str(), F_OK) == 0) return files;
  ERR_clear_error();
  const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const Certificate certificate(X509_new(), X509_free);
  if (key == nullptr || certificate == nullptr || !Fill(certificate.get(), key.get())) {
    return absl::InternalError("OpenSSL cannot make a certificate");
  }
  RETURN_IF_ERROR(WriteFile(files.private_key, 0600, [&](FILE* file) {
    return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  }));
  RETURN_IF_ERROR(
      WriteFile(files.certificate_chain, 0644, [&](FILE* file) { return PEM_write_X509(file, certificate.get()); }));
  return files;
}

}  // namespace barid::edge::h2
