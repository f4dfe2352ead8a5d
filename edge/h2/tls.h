#ifndef BARID_EDGE_H2_TLS_H_
#define BARID_EDGE_H2_TLS_H_

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"

namespace barid::edge::h2 {

// Files in PEM. Without a certificate the port speaks cleartext only.
struct TlsFiles {
  std::string certificate_chain = {};
  std::string private_key = {};
  // Clients that show a certificate must have it from one of these authorities.
  std::string client_authorities = {};
  bool requires_client_certificate = false;
};

// The keys of a port, read again when their files change. TLS 1.2 and later, ALPN h2, session tickets, no
// renegotiation. Any thread.
class TlsKeys {
 public:
  // kInvalidArgument: a file cannot be read, or key and certificate do not belong together.
  static absl::StatusOr<std::shared_ptr<TlsKeys>> Load(const TlsFiles& files);

  // For a new connection.
  std::shared_ptr<SSL_CTX> context() const {
    MutexLock lock(&mu_);
    return context_;
  }

  // Takes changed files. An error keeps what there was, and is logged once per change. Whether there were other keys.
  bool ReloadIfChanged();

 private:
  explicit TlsKeys(TlsFiles files) : files_(std::move(files)) {}

  // Of all the files: their times and sizes.
  std::string Stamp() const;

  const TlsFiles files_;
  mutable Mutex mu_;
  std::shared_ptr<SSL_CTX> context_ ABSL_GUARDED_BY(mu_);
  std::string stamp_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_TLS_H_
