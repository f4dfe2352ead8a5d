#ifndef BARID_BASE_AWAITED_H_
#define BARID_BASE_AWAITED_H_

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace barid {

// A value that one thread sets, once, and another waits for, once. Where the waiter may give up before the other comes,
// both share it; else it may stand on the waiter's stack. Never wait on an executor for something that needs it to run.
template <typename T>
class Awaited {
 public:
  // The first value counts; what comes later is dropped.
  void Set(T value) {
    MutexLock lock(&mu_);
    if (!value_) value_.emplace(std::move(value));
    // Under the lock: the waiter may destroy this as soon as it has the lock and sees the value.
    set_.SignalAll();
  }

  T Wait() {
    MutexLock lock(&mu_);
    while (!value_) set_.Wait(&mu_);
    return *std::move(value_);
  }

  // Nothing if no value came within `patience` of real time.
  std::optional<T> WaitFor(absl::Duration patience) {
    const absl::Duration give_up = RealClock()->SinceBoot() + patience;
    MutexLock lock(&mu_);
    while (!value_) {
      const absl::Duration left = give_up - RealClock()->SinceBoot();
      if (left <= absl::ZeroDuration()) return std::nullopt;
      // At most an hour, for the sake of times that the condition variable cannot add.
      set_.WaitFor(&mu_, std::min(left, absl::Hours(1)));
    }
    return std::move(value_);
  }

 private:
  Mutex mu_;
  CondVar set_;
  std::optional<T> value_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid

#endif  // BARID_BASE_AWAITED_H_
