#ifndef BARID_BASE_CLOCK_H_
#define BARID_BASE_CLOCK_H_

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace barid {

// Where time comes from. Passed in, never asked of the machine directly, so that tests move it. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall-clock time. May step, in both directions.
  virtual absl::Time Now() = 0;

  // Time since some fixed moment of this boot, counting suspension; never backwards.
  virtual absl::Duration SinceBoot() = 0;
};

// The machine's clocks. Lives for the whole process.
Clock* RealClock();

// As people are shown it, and logs have it: 2027-01-15T08:00:00.000Z (RFC 3339, UTC).
std::string TimeText(absl::Time time);

}  // namespace barid

#endif  // BARID_BASE_CLOCK_H_
