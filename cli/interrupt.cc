#include "cli/interrupt.h"

#include <pthread.h>
#include <time.h>

#include <utility>

namespace barid::cli {

OnInterrupt::OnInterrupt() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
}

OnInterrupt::~OnInterrupt() {
  done_ = true;
  if (thread_.joinable()) thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void OnInterrupt::Do(std::function<void()> act) {
  thread_ = std::thread([this, act = std::move(act)] {
    const timespec step = {0, 100'000'000};
    while (!done_) {
      if (sigtimedwait(&signals_, nullptr, &step) > 0) act();
    }
  });
}

}  // namespace barid::cli
