#ifndef BARID_EDGE_H2_ACCEPTOR_H_
#define BARID_EDGE_H2_ACCEPTOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "edge/h2/arrival.h"
#include "edge/h2/loop.h"
#include "edge/h2/port.h"
#include "edge/h2/server_connection.h"

namespace barid::edge::h2 {

// Sockets that listen on one address. Whoever has them closes them.
struct Listening {
  std::vector<int> sockets;
  std::string address;    // As it was given, with the port that was taken if it was 0.
  std::string unix_path;  // Of a Unix socket, to be removed by whoever stops listening; else empty.
};

// Listens on "host:port", "[v6]:port" or "unix:/path" with `sockets` of them, among which the kernel shares out the
// connections; with one on a Unix socket. kInvalidArgument if the address is none, kUnavailable if it is taken, also by
// another process that would share it.
absl::StatusOr<Listening> ListenOn(const std::string& address, size_t sockets);

// One port on one loop: its listening socket, what that accepts within the port's limits, and the clock for its
// connections.
class Acceptor final : public Watched, public Alarm {
 public:
  // Takes `fd`, which listens. `on_empty` is called on the loop's thread, once, when nothing is left after Drain.
  Acceptor(std::shared_ptr<Loop> loop, std::shared_ptr<Port> port, int fd, std::function<void()> on_empty);
  // After End.
  ~Acceptor();

  // The rest on the loop's thread.

  void Start();
  // Stops listening, and tells all connections to go.
  void Drain();
  // Closes what is left. Nothing of it is on the loop any more.
  void End();

  void OnReady(uint32_t events) override;
  void OnAlarm() override;

 private:
  void Listen();
  void Stop();
  // Waits for the PROXY header first, if the port has them.
  void Accept(int fd, std::string peer, std::string address);
  // Makes a connection of `fd`, which is counted. `address` is the peer's without port.
  void Admit(int fd, std::string peer, std::string address);
  // Those that began to arrive before `time` never will.
  void GiveUpArrivals(absl::Duration time, absl::string_view why);
  // A copy: they go while one looks at them.
  std::vector<std::shared_ptr<ServerConnection>> Connections() const;

  const std::shared_ptr<LoopPort> home_ = std::make_shared<LoopPort>();
  absl::flat_hash_map<Arrival*, std::shared_ptr<Arrival>> arrivals_;
  std::function<void()> on_empty_;
  int fd_;
  bool is_paused_ = false;
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_ACCEPTOR_H_
