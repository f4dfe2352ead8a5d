#ifndef BARID_BASE_SIMULATED_EXECUTOR_H_
#define BARID_BASE_SIMULATED_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/random.h"

namespace barid {

// A clock that stands still until it is moved. Starts at 2030-01-01 UTC, one hour after boot. Any thread.
class SimulatedClock : public Clock {
 public:
  absl::Time Now() override;
  absl::Duration SinceBoot() override;

  // Time passes, on both clocks. `duration` is not negative.
  void Advance(absl::Duration duration);
  // Somebody sets the wall clock, forwards or (negative) backwards.
  void StepWallClock(absl::Duration step);

 private:
  Mutex mu_;
  absl::Time wall_ ABSL_GUARDED_BY(mu_) = absl::FromUnixSeconds(1'893'456'000);
  absl::Duration since_boot_ ABSL_GUARDED_BY(mu_) = absl::Hours(1);
};

// Executors without threads: all tasks run in the caller of the Run functions, one at a time, and a seed chooses which
// executor runs next. The same seed and the same tasks give the same order. Tasks of one executor keep theirs.
//
// The clock moves only where a function says so. Posting is allowed from any thread, but a simulation that is to repeat
// uses one. Outlives its executors.
class SimulatedWorld {
 public:
  explicit SimulatedWorld(uint64_t seed);
  ~SimulatedWorld();

  SimulatedClock* clock() { return &clock_; }
  // Also what the scheduling is drawn from.
  Random* random() { return &random_; }

  // RunAndWait (base/executor.h) does not work on these: it would wait for ever. Use RunOn.
  std::unique_ptr<Executor> NewExecutor(absl::string_view name);

  // Runs one task that may run now; false if there is none.
  bool RunOne();
  // Runs tasks until none may run now. The clock stands.
  void RunUntilIdle();
  // Lets `duration` pass: the clock moves to each delayed task in turn while nothing else may run, and at last to the
  // end.
  void RunFor(absl::Duration duration);
  // Runs tasks, moving the clock as RunFor does, until `condition` holds (asked before the first and after each task).
  // False if `limit` has passed, or nothing is left that could run, and it does not hold.
  bool RunUntil(absl::FunctionRef<bool()> condition, absl::Duration limit = absl::Hours(1));
  // Posts `task` and runs the world (the clock stands) until it has run.
  void RunOn(Executor* executor, Executor::Task task);

  // How many tasks have run.
  int64_t tasks_run() const { return tasks_run_; }

  // A crash: destroys all tasks of this executor that wait, delayed ones too, without running them.
  void DropTasks(Executor* executor);
  // DropTasks, and the same for everything posted from now on.
  void Stop(Executor* executor);

 private:
  class SimulatedExecutor;
  struct Queue;
  struct Shared;

  // Makes delayed tasks runnable whose time has come; returns when the next one's comes (infinite: none).
  absl::Duration ReleaseDue();

  SimulatedClock clock_;
  SeededRandom random_;
  int64_t tasks_run_ = 0;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace barid

#endif  // BARID_BASE_SIMULATED_EXECUTOR_H_
