#include "edge/h2/tls.h"

#include <openssl/err.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace barid::edge::h2 {
namespace {

absl::Status OpenSslError(absl::string_view what) {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  char text[256] = "unknown reason";
  if (error != 0) ERR_error_string_n(error, text, sizeof(text));
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", text));
}

int SelectH2(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
             unsigned int in_size, void* unused) {
  for (unsigned int i = 0; i < in_size; i += 1 + in[i]) {
    if (in[i] != 2 || i + 2 >= in_size || memcmp(in + i + 1, "h2", 2) != 0) continue;
    *out = in + i + 1;
    *out_size = 2;
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

absl::StatusOr<std::shared_ptr<SSL_CTX>> MakeContext(const TlsFiles& files) {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (context == nullptr) return OpenSslError("cannot make a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Partial writes come from a queue that moves; buffers of idle connections are given back.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context.get(), SelectH2, nullptr);
  // HTTP/2 forbids the old ciphers with TLS 1.2 (RFC 9113, appendix A).
  if (SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) return OpenSslError("no ciphers");
  static constexpr unsigned char kSessions[] = "barid";
  SSL_CTX_set_session_id_context(context.get(), kSessions, sizeof(kSessions) - 1);
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate_chain.c_str()) != 1) {
    return OpenSslError(absl::StrCat("cannot use the certificate chain ", files.certificate_chain));
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.private_key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return OpenSslError(absl::StrCat("cannot use the private key ", files.private_key));
  }
  if (SSL_CTX_check_private_key(context.get()) != 1) {
    return OpenSslError(
        absl::StrCat("the key ", files.private_key, " is not that of the certificate ", files.certificate_chain));
  }
  if (!files.client_authorities.empty()) {
    if (SSL_CTX_load_verify_locations(context.get(), files.client_authorities.c_str(), nullptr) != 1) {
      return OpenSslError(absl::StrCat("cannot use the authorities of clients ", files.client_authorities));
    }
    SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(files.client_authorities.c_str()));
    const int require = files.requires_client_certificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | require, nullptr);
  }
  return context;
}

}  // namespace

absl::StatusOr<std::shared_ptr<TlsKeys>> TlsKeys::Load(const TlsFiles& files) {
  std::shared_ptr<TlsKeys> keys(new TlsKeys(files));
  const std::string stamp = keys->Stamp();
  ASSIGN_OR_RETURN(std::shared_ptr<SSL_CTX> context, MakeContext(files));
  MutexLock lock(&keys->mu_);
  keys->context_ = std::move(context);
  keys->stamp_ = stamp;
  return keys;
}

std::string TlsKeys::Stamp() const {
  std::string stamp;
  for (const std::string* name : {&files_.certificate_chain, &files_.private_key, &files_.client_authorities}) {
    struct stat info = {};
    if (name->empty() || ::stat(name->c_str(), &info) != 0) continue;
    absl::StrAppend(&stamp, info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, ":", info.st_size, ":", info.st_ino, " ");
  }
  return stamp;
}

bool TlsKeys::ReloadIfChanged() {
  const std::string stamp = Stamp();
  {
    MutexLock lock(&mu_);
    if (stamp == stamp_) return false;
    stamp_ = stamp;
  }
  absl::StatusOr<std::shared_ptr<SSL_CTX>> context = MakeContext(files_);
  if (!context.ok()) {
    LOG(ERROR) << "the changed TLS files cannot be used; the old ones stay in use" << KV("error", context.status());
    return false;
  }
  LOG(INFO) << "TLS certificate read again" << KV("file", files_.certificate_chain);
  MutexLock lock(&mu_);
  context_ = *std::move(context);
  return true;
}

}  // namespace barid::edge::h2
