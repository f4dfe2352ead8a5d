#include "cli/bench/pacer.h"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace barid::cli {

Pacer::Pacer(double per_second, std::function<void(absl::Duration)> turn)
    : interval_(absl::Seconds(1) / per_second), turn_(std::move(turn)), thread_([this] { Run(); }) {}

Pacer::~Pacer() {
  done_ = true;
  thread_.join();
}

void Pacer::Run() {
  prctl(PR_SET_TIMERSLACK, 1UL);  // Or every sleep would be up to 50 us longer.
  absl::Duration due = RealClock()->SinceBoot();
  while (!done_) {
    const absl::Duration now = RealClock()->SinceBoot();
    if (now < due) {
      const timespec wait = absl::ToTimespec(std::min(due - now, absl::Milliseconds(100)));
      nanosleep(&wait, nullptr);
      continue;
    }
    turn_(due);
    due += interval_;
  }
}

}  // namespace barid::cli
