#include "tests/edge/h2/tls_client.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include "absl/time/time.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {

SSL* NewTlsClient(const ClientTls& wanted) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(context, 0);  // Else OpenSSL itself refuses what the server is to refuse.
  SSL_CTX_set_min_proto_version(context, wanted.min_version);
  SSL_CTX_set_max_proto_version(context, wanted.max_version);
  SSL* const ssl = SSL_new(context);
  SSL_CTX_free(context);
  if (!wanted.alpn.empty()) {
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(wanted.alpn.data()),
                        static_cast<unsigned>(wanted.alpn.size()));
  }
  if (wanted.certificate != nullptr) {
    SSL_use_certificate(ssl, wanted.certificate->x509());
    SSL_use_PrivateKey(ssl, wanted.certificate->key());
  }
  if (wanted.session != nullptr) SSL_set_session(ssl, wanted.session);
  return ssl;
}

SSL* Handshake(int fd, const ClientTls& wanted) {
  const timeval patience = absl::ToTimeval(kPatience);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  SSL* const ssl = NewTlsClient(wanted);
  SSL_set_fd(ssl, fd);
  ERR_clear_error();
  if (SSL_connect(ssl) == 1) return ssl;
  SSL_free(ssl);
  return nullptr;
}

}  // namespace barid::edge::h2
