#ifndef BARID_TESTS_EDGE_H2_CERTIFICATES_H_
#define BARID_TESTS_EDGE_H2_CERTIFICATES_H_

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "edge/h2/tls.h"

namespace barid::edge::h2 {

// A key, and a certificate for `name` that it signed itself.
class Certificate {
 public:
  explicit Certificate(const std::string& name);

  // For the server: the files NAME.crt and NAME.key in `dir`.
  TlsFiles WriteTo(const std::string& dir, const std::string& file_name) const;

  X509* x509() const { return certificate_.get(); }
  EVP_PKEY* key() const { return key_.get(); }

 private:
  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<X509> certificate_;
};

// A directory of the test's own, gone with it.
class TestDir {
 public:
  TestDir();
  ~TestDir();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_EDGE_H2_CERTIFICATES_H_
