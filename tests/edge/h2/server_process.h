#ifndef BARID_TESTS_EDGE_H2_SERVER_PROCESS_H_
#define BARID_TESTS_EDGE_H2_SERVER_PROCESS_H_

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace barid::edge::h2 {

// A server in a process of its own, so that its memory is nobody else's.
class ServerProcess {
 public:
  // In the child: writes the server's address to `tell`, and serves until reading from `stop` finds its end.
  using Serve = std::function<void(int tell, int stop)>;

  // The caller's process has no other thread.
  explicit ServerProcess(const Serve& serve);
  ~ServerProcess() { End(); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  // In bytes, by the name that it has in /proc: "VmRSS:" now, "VmHWM:" at the most.
  size_t Memory(absl::string_view name) const;
  // Waits for it. Whether it ended as it should; the first call counts.
  bool End();

 private:
  pid_t child_ = 0;
  int stop_ = -1;
  std::string address_;
};

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_EDGE_H2_SERVER_PROCESS_H_
