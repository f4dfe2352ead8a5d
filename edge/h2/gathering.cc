#include "edge/h2/gathering.h"

#include <algorithm>

namespace barid::edge::h2 {
namespace {

// So often it looks at how much there is to do.
constexpr absl::Duration kLook = absl::Milliseconds(2);
// A loop that sleeps less than this part of the time is busy.
constexpr double kIdle = 0.4;
// So many calls must be expected to be gathered,
constexpr double kWorthIt = 2;
// and a loop whose last wake-up had so many has them without.
constexpr int kEnough = 16;
// It goes on if it brings so many times the calls of a wake-up without,
constexpr double kClearlyMore = 1.5;
// and the loop sleeps no longer after it. A client that waits for the answers takes longer to call again.
constexpr absl::Duration kHardly = absl::Microseconds(20);
// Of so many gathered wake-ups one is not, to see what they would bring without: clients may be others by now.
constexpr int kPlainEvery = 32;
// So many wake-ups are between two tries, each time twice as many.
constexpr int kTriesApart = 8;
constexpr int kMostTriesApart = 512;
// How much one wake-up weighs in what is usual.
constexpr double kWeight = 1.0 / 16;

}  // namespace

void Gathering::Look(const WakeUp& wake_up) {
  if (since_ == absl::InfiniteDuration()) since_ = wake_up.now;
  slept_ += wake_up.slept;
  calls_ += wake_up.calls;
  const absl::Duration looked = wake_up.now - since_;
  if (looked < kLook) return;
  is_busy_ = slept_ < looked * kIdle;
  is_loaded_ = absl::FDivDuration(time_, looked) * static_cast<double>(calls_) >= kWorthIt;
  since_ = wake_up.now;
  slept_ = absl::ZeroDuration();
  calls_ = 0;
}

void Gathering::Learn(const WakeUp& wake_up) {
  if (last_ == Kind::kPlain) plain_calls_ += (wake_up.calls - plain_calls_) * kWeight;
  if (!is_loaded_ || wake_up.slept >= kHardly) is_gathering_ = false;
  if (last_ == Kind::kGathered && wake_up.calls < plain_calls_ * kClearlyMore) is_gathering_ = false;
}

bool Gathering::Begin(const WakeUp& wake_up) {
  Look(wake_up);
  Learn(wake_up);
  last_ = wake_up.by_others ? Kind::kByOthers : Kind::kPlain;
  if (!is_loaded_ || wake_up.by_others || wake_up.calls >= kEnough) return false;
  if (is_gathering_) {
    tries_apart_ = kTriesApart;
    if (++since_plain_ >= kPlainEvery) {
      since_plain_ = 0;
      return false;
    }
  } else {
    if (++since_try_ < tries_apart_) return false;
    since_try_ = 0;
    tries_apart_ = std::clamp(2 * tries_apart_, kTriesApart, kMostTriesApart);
    is_gathering_ = true;
  }
  last_ = Kind::kGathered;
  return true;
}

}  // namespace barid::edge::h2
