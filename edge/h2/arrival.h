#ifndef BARID_EDGE_H2_ARRIVAL_H_
#define BARID_EDGE_H2_ARRIVAL_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "edge/h2/loop.h"
#include "edge/h2/port.h"

namespace barid::edge::h2 {

// An accepted socket whose PROXY header has not come yet. It is nobody's connection until then. The loop's thread only.
class Arrival final : public Watched {
 public:
  // Once: the header is read and all behind it left in the socket, which the callee takes; `peer` and `address` are
  // empty if the header names nobody. Or, with `fd` -1, it is over: the socket is closed.
  using OnArrived = std::function<void(Arrival* arrival, int fd, std::string peer, std::string address)>;

  // Takes `fd`. `peer` is the socket's, for the log.
  Arrival(std::shared_ptr<LoopPort> home, int fd, std::string peer, OnArrived on_arrived);
  ~Arrival();
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

  void OnReady(uint32_t events) override;
  // Closes the socket; on_arrived is told.
  void GiveUp(absl::string_view why);

  absl::Duration since() const { return since_; }

 private:
  const std::shared_ptr<LoopPort> home_;
  const std::string peer_;
  const OnArrived on_arrived_;
  const absl::Duration since_;
  int fd_;
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_ARRIVAL_H_
