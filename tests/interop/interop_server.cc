// Serves the interop service on a free port, cleartext and TLS, until stdin closes.
//
//   interop_server DIRECTORY     where its certificate is made; prints "ADDRESS CERTIFICATE"
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "absl/status/statusor.h"
#include "base/log.h"
#include "edge/h2/h2_server.h"
#include "edge/h2/self_signed.h"
#include "tests/interop/interop_service.h"

int main(int argc, char** argv) {
  using namespace barid::edge;
  if (argc != 2) {
    fprintf(stderr, "usage: interop_server DIRECTORY\n");
    return 2;
  }
  const absl::StatusOr<h2::TlsFiles> tls = h2::SelfSignedIn(argv[1]);
  CHECK_OK(tls.status());
  const absl::StatusOr<std::unique_ptr<Server>> server =
      h2::ServeH2({.address = "127.0.0.1:0", .threads = 2, .tls = *tls}, InteropService());
  CHECK_OK(server.status());
  printf("%s %s\n", (*server)->address().c_str(), tls->certificate_chain.c_str());
  fflush(stdout);
  char ignored = 0;
  while (read(STDIN_FILENO, &ignored, 1) > 0) {
  }
  return 0;
}
