#include "base/simulated/executor.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "base/log.h"

namespace barid {

absl::Time SimulatedClock::Now() {
  MutexLock lock(&mu_);
  return wall_;
}

absl::Duration SimulatedClock::SinceBoot() {
  MutexLock lock(&mu_);
  return since_boot_;
}

void SimulatedClock::Advance(absl::Duration duration) {
  CHECK_GE(duration, absl::ZeroDuration());
  MutexLock lock(&mu_);
  wall_ += duration;
  since_boot_ += duration;
}

void SimulatedClock::StepWallClock(absl::Duration step) {
  MutexLock lock(&mu_);
  wall_ += step;
}

// The tasks of one executor.
struct SimulatedWorld::Queue {
  bool is_stopped = false;
  std::deque<Executor::Task> ready;
  // By due time, then in the order of posting.
  std::map<std::pair<absl::Duration, uint64_t>, Executor::Task> delayed;
};

struct SimulatedWorld::Shared {
  Mutex mu;
  std::vector<std::shared_ptr<Queue>> queues ABSL_GUARDED_BY(mu);  // In the order of making, so that seeds repeat.
  uint64_t next_sequence ABSL_GUARDED_BY(mu) = 0;
};

namespace {
// The queue whose task this thread runs.
thread_local const void* current_queue = nullptr;
}  // namespace

class SimulatedWorld::SimulatedExecutor : public Executor {
 public:
  SimulatedExecutor(std::shared_ptr<Shared> shared, SimulatedClock* clock)
      : shared_(std::move(shared)), clock_(clock), queue_(std::make_shared<Queue>()) {
    MutexLock lock(&shared_->mu);
    shared_->queues.push_back(queue_);
  }

  ~SimulatedExecutor() override {
    {
      MutexLock lock(&shared_->mu);
      auto& queues = shared_->queues;
      queues.erase(std::find(queues.begin(), queues.end(), queue_));
    }
    Drop(/*stop=*/true);
  }

  void Post(Task task) override {
    MutexLock lock(&shared_->mu);
    if (!queue_->is_stopped) queue_->ready.push_back(std::move(task));
  }

  void PostAfter(absl::Duration delay, Task task) override {
    const absl::Duration due = clock_->SinceBoot() + std::max(delay, absl::ZeroDuration());
    MutexLock lock(&shared_->mu);
    if (!queue_->is_stopped) queue_->delayed.emplace(std::make_pair(due, shared_->next_sequence++), std::move(task));
  }

  bool IsCurrent() const override { return current_queue == queue_.get(); }

  // Destroying a task may post others to anyone, so the lock is not held meanwhile.
  void Drop(bool stop) {
    std::deque<Task> ready;
    std::map<std::pair<absl::Duration, uint64_t>, Task> delayed;
    MutexLock lock(&shared_->mu);
    queue_->is_stopped = queue_->is_stopped || stop;
    queue_->ready.swap(ready);
    queue_->delayed.swap(delayed);
  }

 private:
  const std::shared_ptr<Shared> shared_;
  SimulatedClock* const clock_;
  const std::shared_ptr<Queue> queue_;
};

SimulatedWorld::SimulatedWorld(uint64_t seed) : random_(seed), shared_(std::make_shared<Shared>()) {}

SimulatedWorld::~SimulatedWorld() {
  MutexLock lock(&shared_->mu);
  CHECK(shared_->queues.empty()) << "executors outlive their world";
}

std::unique_ptr<Executor> SimulatedWorld::NewExecutor(absl::string_view name) {
  return std::make_unique<SimulatedExecutor>(shared_, &clock_);
}

absl::Duration SimulatedWorld::ReleaseDue() {
  const absl::Duration now = clock_.SinceBoot();
  absl::Duration next = absl::InfiniteDuration();
  MutexLock lock(&shared_->mu);
  for (const std::shared_ptr<Queue>& queue : shared_->queues) {
    auto& delayed = queue->delayed;
    while (!delayed.empty() && delayed.begin()->first.first <= now) {
      queue->ready.push_back(std::move(delayed.begin()->second));
      delayed.erase(delayed.begin());
    }
    if (!delayed.empty()) next = std::min(next, delayed.begin()->first.first);
  }
  return next;
}

bool SimulatedWorld::RunOne() {
  ReleaseDue();
  std::shared_ptr<Queue> queue;
  Executor::Task task;
  {
    MutexLock lock(&shared_->mu);
    std::vector<std::shared_ptr<Queue>> runnable;
    for (const std::shared_ptr<Queue>& candidate : shared_->queues) {
      if (!candidate->ready.empty()) runnable.push_back(candidate);
    }
    if (runnable.empty()) return false;
    queue = runnable[random_.Below(runnable.size())];
    task = std::move(queue->ready.front());
    queue->ready.pop_front();
  }
  const void* outer = std::exchange(current_queue, queue.get());
  CHECK(outer == nullptr) << "a task runs the world that runs it";
  ++tasks_run_;
  task();
  task = nullptr;  // What it held goes while its executor is still current.
  current_queue = outer;
  return true;
}

void SimulatedWorld::RunUntilIdle() {
  while (RunOne()) {
  }
}

void SimulatedWorld::RunFor(absl::Duration duration) {
  const absl::Duration end = clock_.SinceBoot() + duration;
  RunUntil([] { return false; }, duration);
  if (const absl::Duration now = clock_.SinceBoot(); now < end) clock_.Advance(end - now);
}

bool SimulatedWorld::RunUntil(absl::FunctionRef<bool()> condition, absl::Duration limit) {
  const absl::Duration end = clock_.SinceBoot() + limit;
  while (!condition()) {
    if (RunOne()) continue;
    const absl::Duration next = ReleaseDue();
    if (next > end || next == absl::InfiniteDuration()) return false;
    clock_.Advance(next - clock_.SinceBoot());
  }
  return true;
}

void SimulatedWorld::RunOn(Executor* executor, Executor::Task task) {
  bool has_run = false;
  executor->Post([&has_run, task = std::move(task)]() mutable {
    task();
    has_run = true;
  });
  while (!has_run) CHECK(RunOne()) << "the executor was stopped";
}

void SimulatedWorld::DropTasks(Executor* executor) { static_cast<SimulatedExecutor*>(executor)->Drop(/*stop=*/false); }

void SimulatedWorld::Stop(Executor* executor) { static_cast<SimulatedExecutor*>(executor)->Drop(/*stop=*/true); }

}  // namespace barid
