#ifndef BARID_BASE_EXECUTOR_H_
#define BARID_BASE_EXECUTOR_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace barid {

// Runs tasks one at a time, in the order of posting. What is touched only by tasks of one executor needs no lock.
//
// A task runs exactly once, or, when the executor is destroyed first, is destroyed without running.
class Executor {
 public:
  using Task = absl::AnyInvocable<void()>;

  virtual ~Executor() = default;

  // Any thread. A sleeping executor is woken once however many tasks arrive before it runs; from a WakeScope
  // (base/wakes.h) at the end of it, or when enough tasks are there.
  virtual void Post(Task task) = 0;

  // Runs `task` once `delay` has passed. Any thread.
  virtual void PostAfter(absl::Duration delay, Task task) = 0;

  // True inside a task of this executor.
  virtual bool IsCurrent() const = 0;
};

enum class ThreadPriority {
  kNormal,
  // For work that nobody waits for: a busy machine leaves such a thread about a tenth of what others get.
  kBackground,
};

// An executor with a thread of its own. Destruction waits for the running task, then drops the others.
std::unique_ptr<Executor> NewThreadExecutor(absl::string_view thread_name,
                                            ThreadPriority priority = ThreadPriority::kNormal);

// Posts `task` to `executor` and waits until it has run. Never from a task of the same executor.
void RunAndWait(Executor* executor, Executor::Task task);

}  // namespace barid

#endif  // BARID_BASE_EXECUTOR_H_
