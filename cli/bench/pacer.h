#ifndef BARID_CLI_BENCH_PACER_H_
#define BARID_CLI_BENCH_PACER_H_

#include <atomic>
#include <functional>
#include <thread>

#include "absl/time/time.h"

namespace barid::cli {

// Calls a function at a steady rate, on a thread of its own, until it is destroyed. What is late is made up for at
// once, and the function is told when its turn was due: measured from there, a server that stalls is not flattered.
class Pacer {
 public:
  Pacer(double per_second, std::function<void(absl::Duration due_since_boot)> turn);
  ~Pacer();

 private:
  void Run();

  const absl::Duration interval_;
  const std::function<void(absl::Duration)> turn_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace barid::cli

#endif  // BARID_CLI_BENCH_PACER_H_
