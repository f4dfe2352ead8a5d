#include "tests/edge/h2/certificates.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid::edge::h2 {

Certificate::Certificate(const std::string& name)
    : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), certificate_(X509_new(), X509_free) {
  X509* const made = certificate_.get();
  X509_set_version(made, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
  X509_gmtime_adj(X509_getm_notBefore(made), -3600);
  X509_gmtime_adj(X509_getm_notAfter(made), 3600);
  X509_set_pubkey(made, key_.get());
  X509_NAME* const subject = X509_get_subject_name(made);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(made, subject);
  CHECK(X509_sign(made, key_.get(), EVP_sha256()) > 0);
}

TlsFiles Certificate::WriteTo(const std::string& dir, const std::string& file_name) const {
  const TlsFiles files = {.certificate_chain = absl::StrCat(dir, "/", file_name, ".crt"),
                          .private_key = absl::StrCat(dir, "/", file_name, ".key")};
  FILE* file = fopen(files.certificate_chain.c_str(), "w");
  CHECK(file != nullptr && PEM_write_X509(file, certificate_.get()) == 1);
  fclose(file);
  file = fopen(files.private_key.c_str(), "w");
  CHECK(file != nullptr && PEM_write_PrivateKey(file, key_.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  fclose(file);
  return files;
}

TestDir::TestDir() {
  std::string name = testing::TempDir() + "barid-XXXXXX";
  CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TestDir::~TestDir() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

}  // namespace barid::edge::h2
