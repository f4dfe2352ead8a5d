#ifndef BARID_EDGE_H2_GATHERING_H_
#define BARID_EDGE_H2_GATHERING_H_

#include <cstdint>

#include "absl/time/time.h"

namespace barid::edge::h2 {

// Decides when a loop gathers: waits a moment for more calls before it handles those that are there.
//
// Clients write call by call, and each costs the loop a wake, a read and a write, and what it hands on a wake of
// another thread. Gathered calls share them. It pays while calls come fast, and while clients have more of them open
// than are gathered: who waits for each of his answers would only wait longer. That cannot be known, so it is tried,
// and goes on as long as it brings clearly more calls than a wake-up has without, and the loop hardly sleeps after it.
// (Network cards moderate their interrupts for the same reason.)
//
// Belongs to its loop; reads no clock.
class Gathering {
 public:
  // `time`: how long a loop gathers; zero: it never does.
  explicit Gathering(absl::Duration time) : time_(time) {}

  struct WakeUp {
    absl::Duration now;      // On any clock.
    absl::Duration slept;    // Before it.
    int calls = 0;           // That began in the one before.
    bool by_others = false;  // Another thread woke the loop, or nothing but time.
  };
  // Whether to gather before this wake-up is handled. Called for each.
  bool Begin(const WakeUp& wake_up);

  absl::Duration time() const { return time_; }
  // But for gathering the loop has slept little of late: what it does for others may come a little later.
  bool is_busy() const { return is_busy_; }

 private:
  // Looks now and then at how much there is to do.
  void Look(const WakeUp& wake_up);
  // What the calls of the last wake-up and the sleep after it say of gathering.
  void Learn(const WakeUp& wake_up);

  const absl::Duration time_;

  // Since it looked last, and what it saw then.
  absl::Duration since_ = absl::InfiniteDuration();  // Never.
  absl::Duration slept_;
  int64_t calls_ = 0;
  bool is_busy_ = false;
  bool is_loaded_ = false;  // Enough calls come to gather some.

  enum class Kind { kPlain, kGathered, kByOthers };
  Kind last_ = Kind::kByOthers;
  double plain_calls_ = 0;  // Of a wake-up, without gathering.
  bool is_gathering_ = false;
  int since_try_ = 0;    // Wake-ups.
  int since_plain_ = 0;  // Gathered ones.
  int tries_apart_ = 1;
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_GATHERING_H_
