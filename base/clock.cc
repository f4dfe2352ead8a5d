#include "base/clock.h"

#include <time.h>

namespace barid {
namespace {

class MachineClock : public Clock {
 public:
  absl::Time Now() override {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return absl::TimeFromTimespec(now);
  }
  absl::Duration SinceBoot() override {
    timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return absl::DurationFromTimespec(now);
  }
};

}  // namespace

Clock* RealClock() {
  static MachineClock* const clock = new MachineClock;
  return clock;
}

std::string TimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone()); }

}  // namespace barid
