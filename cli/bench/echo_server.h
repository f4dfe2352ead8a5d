#ifndef BARID_CLI_BENCH_ECHO_SERVER_H_
#define BARID_CLI_BENCH_ECHO_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/dialer.h"
#include "edge/call.h"

// The yardstick: a server that does nothing, over the same transport as the product. It parses a SendMessageRequest on
// an arena and answers at once with a prepared response; it streams prepared messages to every receive, and
// acknowledges.
namespace barid::cli {

struct EchoOptions {
  int port = 0;
  int body_bytes = 1024;  // Of the messages that are streamed.
  int batch = 32;         // How many of them.
  int threads = 1;
  bool tls = false;                   // Of an EchoProcess.
  std::string certificate_directory;  // Of RunEchoServer; empty: cleartext.
};

edge::MethodTable EchoMethods(const EchoOptions& options);

// Serves until the parent process is gone. Writes the port to standard output, in a line of its own.
absl::Status RunEchoServer(const EchoOptions& options);

// The same in a child process, so that its CPU can be told from the client's.
class EchoProcess {
 public:
  // `executable` is baridctl, started with the hidden command echo-server.
  static absl::StatusOr<std::unique_ptr<EchoProcess>> Start(const std::string& executable, const EchoOptions& options);
  ~EchoProcess();

  pid_t pid() const { return pid_; }
  const std::string& endpoint() const { return endpoint_; }
  const Dialer& dialer() const { return dialer_; }

 private:
  EchoProcess(pid_t pid, std::string endpoint) : pid_(pid), endpoint_(std::move(endpoint)) {}

  const pid_t pid_;
  const std::string endpoint_;
  Dialer dialer_;
};

// The path of the program that runs.
std::string OwnExecutable();

}  // namespace barid::cli

#endif  // BARID_CLI_BENCH_ECHO_SERVER_H_
