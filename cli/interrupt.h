#ifndef BARID_CLI_INTERRUPT_H_
#define BARID_CLI_INTERRUPT_H_

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

namespace barid::cli {

// While it lives, an interrupt (SIGINT, SIGTERM) calls a function in place of ending the process, so that a command can
// take away what it has made.
class OnInterrupt {
 public:
  // Before any other thread is made, so that none of them takes the signal.
  OnInterrupt();
  ~OnInterrupt();

  // `act` is called on a thread of its own, at every interrupt. At most once.
  void Do(std::function<void()> act);

 private:
  sigset_t signals_;
  sigset_t before_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace barid::cli

#endif  // BARID_CLI_INTERRUPT_H_
