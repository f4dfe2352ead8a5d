#include "cli/dialer.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/status.h"
#include "cli/failure.h"

namespace barid::cli {
namespace {

// Of a flag's file; nothing if there is none. grpc-core takes what is no PEM for a server that does not answer.
absl::StatusOr<std::string> ReadPem(absl::string_view flag, const std::string& path) {
  if (path.empty()) return "";
  absl::StatusOr<std::string> text = ReadFile(RealEnv(), path);
  if (!text.ok()) return UsageError(absl::StrCat("--", flag, ": ", text.status().message()));
  if (!absl::StrContains(*text, "-----BEGIN ")) {
    return UsageError(absl::StrCat("--", flag, ": ", path, " has no \"-----BEGIN \", expected PEM"));
  }
  return text;
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(std::string authorities, std::string key,
                                                      std::string certificate) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = std::move(authorities);
  options.pem_private_key = std::move(key);
  options.pem_cert_chain = std::move(certificate);
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<Dialer> Dialer::Make(const TlsOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return UsageError("--tls-certificate and --tls-key belong together, one of them is missing");
  }
  ASSIGN_OR_RETURN(std::string authorities, ReadPem("tls-authorities", options.authorities));
  ASSIGN_OR_RETURN(std::string certificate, ReadPem("tls-certificate", options.certificate));
  ASSIGN_OR_RETURN(std::string key, ReadPem("tls-key", options.key));
  if (!options.enabled && authorities.empty() && certificate.empty() && options.server_name.empty()) return Dialer();
  return Dialer(Credentials(std::move(authorities), std::move(key), std::move(certificate)), options.server_name);
}

Dialer::Dialer(const std::string& authorities, std::string server_name)
    : Dialer(Credentials(authorities, "", ""), std::move(server_name)) {}

std::shared_ptr<grpc::Channel> Dialer::Dial(const std::string& endpoint, grpc::ChannelArguments arguments) const {
  if (!server_name_.empty()) arguments.SetString(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, server_name_);
  return grpc::CreateCustomChannel(endpoint, credentials_, arguments);
}

}  // namespace barid::cli
