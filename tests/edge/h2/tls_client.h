#ifndef BARID_TESTS_EDGE_H2_TLS_CLIENT_H_
#define BARID_TESTS_EDGE_H2_TLS_CLIENT_H_

#include <openssl/ssl.h>

#include "absl/strings/string_view.h"
#include "tests/edge/h2/certificates.h"

namespace barid::edge::h2 {

// What a client asks for in its handshake. It takes any certificate.
struct ClientTls {
  int min_version = TLS1_2_VERSION;
  int max_version = TLS1_3_VERSION;
  absl::string_view alpn = absl::string_view("\x02h2", 3);
  const Certificate* certificate = nullptr;
  SSL_SESSION* session = nullptr;
};

// Without a socket yet.
SSL* NewTlsClient(const ClientTls& wanted = {});

// A handshake on a socket that blocks, as far as the client sees it: null if the server does not want it, or says
// nothing for kPatience. `fd` stays the caller's.
SSL* Handshake(int fd, const ClientTls& wanted = {});

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_EDGE_H2_TLS_CLIENT_H_
