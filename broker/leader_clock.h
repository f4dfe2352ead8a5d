#ifndef BARID_BROKER_LEADER_CLOCK_H_
#define BARID_BROKER_LEADER_CLOCK_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"
#include "base/clock.h"

namespace barid::broker {

// The time that a leader stamps on records: the time since boot, steered to the wall clock by at most 1 %, and never
// backwards. A wall clock that jumps does not make messages due early or late by the jump.
class LeaderClock {
 public:
  explicit LeaderClock(Clock* clock) : clock_(clock) {}

  // A term begins: time goes on from the later of the log's last record and the wall clock.
  void Start(int64_t last_record_us) {
    now_ = std::max(absl::FromUnixMicros(last_record_us), clock_->Now());
    boot_ = clock_->SinceBoot();
  }

  int64_t NowMicros() {
    const absl::Duration boot = clock_->SinceBoot();
    const absl::Duration passed = std::max(boot - boot_, absl::ZeroDuration());
    boot_ = boot;
    const absl::Duration most = passed / 100;
    const absl::Duration error = clock_->Now() - (now_ + passed);
    now_ += passed + std::clamp(error, -most, most);
    return absl::ToUnixMicros(now_);
  }

 private:
  Clock* const clock_;
  absl::Time now_ = absl::UnixEpoch();
  absl::Duration boot_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_LEADER_CLOCK_H_
