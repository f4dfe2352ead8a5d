#ifndef BARID_CLI_DIALER_H_
#define BARID_CLI_DIALER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace barid::cli {

// How to speak TLS with a server. Any of the others without `enabled` means that, too.
struct TlsOptions {
  bool enabled = false;
  // Files (PEM).
  std::string authorities;  // Whose certificates are trusted; empty: the system's.
  std::string certificate;  // What the client shows when it is asked, and the key to it.
  std::string key;
  std::string server_name;  // Whom the server's certificate is to name; empty: the host that is dialed.
};

// Makes connections to servers, in cleartext or over TLS. Any thread.
class Dialer {
 public:
  // A usage error if a file cannot be read, or a certificate is without a key.
  static absl::StatusOr<Dialer> Make(const TlsOptions& options);

  // Trusts the servers whose certificate is from one of `authorities` (PEM) and names `server_name`.
  Dialer(const std::string& authorities, std::string server_name);
  // Cleartext.
  Dialer() : credentials_(grpc::InsecureChannelCredentials()) {}

  // `endpoint` is HOST:PORT. Connects when it is used.
  std::shared_ptr<grpc::Channel> Dial(const std::string& endpoint, grpc::ChannelArguments arguments) const;

  bool is_tls() const { return is_tls_; }

 private:
  Dialer(std::shared_ptr<grpc::ChannelCredentials> credentials, std::string server_name)
      : credentials_(std::move(credentials)), server_name_(std::move(server_name)), is_tls_(true) {}

  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::string server_name_;
  bool is_tls_ = false;
};

}  // namespace barid::cli

#endif  // BARID_CLI_DIALER_H_
