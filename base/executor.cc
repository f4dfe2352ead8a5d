#include "base/executor.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/awaited.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/wakes.h"

namespace barid {
namespace {

constexpr int kBackgroundNice = 10;  // More than the process has.
constexpr int kMaxNice = 19;
// So many tasks are enough to wake for, also in a WakeScope: who brings more and who runs them work side by side then.
constexpr size_t kMostPutOff = 16;

class ThreadExecutor;
thread_local const ThreadExecutor* current_executor = nullptr;

class ThreadExecutor : public Executor {
 public:
  ThreadExecutor(std::string name, ThreadPriority priority)
      : name_(std::move(name)), priority_(priority), thread_([this] { Run(); }) {}

  ~ThreadExecutor() override {
    {
      MutexLock lock(&mu_);
      is_stopping_ = true;
    }
    woken_->Wake();
    thread_.join();
  }

  void Post(Task task) override {
    bool must_wake = false, may_wait = false;
    {
      MutexLock lock(&mu_);
      posted_.push_back(std::move(task));
      must_wake = is_sleeping_;
      may_wait = must_wake && WakeScope::IsOpen() && posted_.size() < kMostPutOff;
      // Until it is really woken, so that whoever else posts meanwhile waits for his own scope at most.
      is_sleeping_ = may_wait;
    }
    if (may_wait) return WakeScope::Wake(woken_);
    if (must_wake) woken_->Wake();
  }

  void PostAfter(absl::Duration delay, Task task) override {
    const absl::Duration due = RealClock()->SinceBoot() + delay;
    bool must_wake = false;
    {
      MutexLock lock(&mu_);
      const bool is_first = timers_.empty() || due < timers_.front().due;
      timers_.push_back({due, next_timer_++, std::move(task)});
      std::push_heap(timers_.begin(), timers_.end(), Later);
      must_wake = is_first && std::exchange(is_sleeping_, false);
    }
    if (must_wake) woken_->Wake();
  }

  bool IsCurrent() const override { return current_executor == this; }

 private:
  struct Timer {
    absl::Duration due;  // On RealClock()->SinceBoot().
    uint64_t number;     // Of two with one due time, the earlier posted goes first.
    Task task;
  };
  static bool Later(const Timer& a, const Timer& b) { return std::tie(a.due, a.number) > std::tie(b.due, b.number); }

  void Run() {
    // Linux takes 15 characters.
    pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
    TakePriority();
    current_executor = this;
    std::vector<Task> batch;
    while (WaitForBatch(&batch)) {
      for (Task& task : batch) {
        if (is_stopping_) break;
        // What a task holds goes before the next one runs.
        Task running = std::move(task);
        running();
      }
      batch.clear();
    }
    DropTasks();
    current_executor = nullptr;
  }

  // What the system refuses stays as it is: it is about speed only.
  void TakePriority() {
    if (priority_ == ThreadPriority::kBackground) {
      // Linux takes a thread's id for a process here.
      const auto id = static_cast<id_t>(gettid());
      setpriority(PRIO_PROCESS, id, std::min(getpriority(PRIO_PROCESS, id) + kBackgroundNice, kMaxNice));
    }
  }

  // Takes everything posted and due into `batch`, which is empty. False when it is time to stop.
  bool WaitForBatch(std::vector<Task>* batch) {
    MutexLock lock(&mu_);
    while (true) {
      if (is_stopping_) return false;
      TakeDueTimers();
      if (!posted_.empty()) break;
      is_sleeping_ = true;
      if (timers_.empty()) {
        woken_->condition.Wait(&mu_);
      } else {
        // At most an hour, for the sake of times that the condition variable cannot add.
        woken_->condition.WaitFor(&mu_, std::min(timers_.front().due - RealClock()->SinceBoot(), absl::Hours(1)));
      }
      is_sleeping_ = false;
    }
    batch->swap(posted_);
    return true;
  }

  void TakeDueTimers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (timers_.empty()) return;
    const absl::Duration now = RealClock()->SinceBoot();
    while (!timers_.empty() && timers_.front().due <= now) {
      std::pop_heap(timers_.begin(), timers_.end(), Later);
      posted_.push_back(std::move(timers_.back().task));
      timers_.pop_back();
    }
  }

  // Destroying a task may post others, which are dropped in turn; so the lock is not held meanwhile.
  void DropTasks() {
    while (true) {
      std::vector<Task> posted;
      std::vector<Timer> timers;
      {
        MutexLock lock(&mu_);
        posted.swap(posted_);
        timers.swap(timers_);
      }
      if (posted.empty() && timers.empty()) return;
    }
  }

  const std::string name_;
  const ThreadPriority priority_;
  // Written under mu_; read without it between two tasks of a batch.
  std::atomic<bool> is_stopping_{false};

  struct Condition final : Waker {
    CondVar condition;
    void Wake() override { condition.Signal(); }
  };

  Mutex mu_;
  const std::shared_ptr<Condition> woken_ = std::make_shared<Condition>();
  std::vector<Task> posted_ ABSL_GUARDED_BY(mu_);
  std::vector<Timer> timers_ ABSL_GUARDED_BY(mu_);  // A heap, the earliest in front.
  uint64_t next_timer_ ABSL_GUARDED_BY(mu_) = 0;
  // Nobody has woken the thread since it went to sleep: who posts does.
  bool is_sleeping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace

std::unique_ptr<Executor> NewThreadExecutor(absl::string_view thread_name, ThreadPriority priority) {
  return std::make_unique<ThreadExecutor>(std::string(thread_name), priority);
}

void RunAndWait(Executor* executor, Executor::Task task) {
  Awaited<bool> done;
  executor->Post([&done, &task] {
    task();
    done.Set(true);
  });
  done.Wait();
}

}  // namespace barid
