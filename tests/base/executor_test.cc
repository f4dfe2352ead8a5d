#include "base/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace barid {
namespace {

using testing::ElementsAre;

// One thread says that something has come, another waits for it.
class Event {
 public:
  void Notify() {
    MutexLock lock(&mu_);
    has_come_ = true;
    changed_.SignalAll();
  }
  void Wait() {
    MutexLock lock(&mu_);
    while (!has_come_) changed_.Wait(&mu_);
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool has_come_ ABSL_GUARDED_BY(mu_) = false;
};

// Counts its own life's end.
class Tracker {
 public:
  explicit Tracker(std::atomic<int>* destroyed) : destroyed_(destroyed) {}
  Tracker(Tracker&& other) : destroyed_(std::exchange(other.destroyed_, nullptr)) {}
  ~Tracker() {
    if (destroyed_ != nullptr) ++*destroyed_;
  }

 private:
  std::atomic<int>* destroyed_;
};

TEST(ExecutorTest, DestructionDropsWaitingTasksAfterTheRunningOne) {
  std::atomic<int> destroyed{0};
  std::atomic<bool> first_done{false};
  std::atomic<bool> second_ran{false};
  Event started, finish;
  auto executor = NewThreadExecutor("drop");
  executor->Post([&] {
    started.Notify();
    finish.Wait();
    first_done = true;
  });
  executor->Post([&, tracker = Tracker(&destroyed)] { second_ran = true; });
  executor->PostAfter(absl::Hours(1), [&, tracker = Tracker(&destroyed)] { second_ran = true; });
  started.Wait();
  std::thread destroyer([&] { executor.reset(); });
  finish.Notify();
  destroyer.join();
  EXPECT_TRUE(first_done);
  // The second may have got its turn before the destruction began.
  EXPECT_EQ(destroyed, 2);
}

TEST(ExecutorTest, TasksPostedByDroppedTasksAreDroppedToo) {
  auto executor = NewThreadExecutor("drop");
  std::shared_ptr<void> last_words(nullptr, [raw = executor.get()](void*) { raw->Post([] { FAIL(); }); });
  executor->PostAfter(absl::Hours(1), [last_words = std::move(last_words)] {});
  executor.reset();
}

TEST(ExecutorTest, RunsTasksInOrder) {
  auto executor = NewThreadExecutor("order");
  std::vector<int> ran;
  for (int i = 0; i < 100; ++i) executor->Post([&ran, i] { ran.push_back(i); });
  RunAndWait(executor.get(), [] {});
  ASSERT_EQ(ran.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[i], i);
}

TEST(ExecutorTest, LosesNothingThatManyThreadsPost) {
  auto executor = NewThreadExecutor("many");
  int ran = 0;  // Touched by tasks only.
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 5000; ++j) executor->Post([&ran] { ++ran; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  RunAndWait(executor.get(), [] {});
  EXPECT_EQ(ran, 20000);
}

TEST(ExecutorTest, IsCurrentOnlyInsideItsTasks) {
  auto a = NewThreadExecutor("a");
  auto b = NewThreadExecutor("b");
  bool in_a = false;
  bool in_b = true;
  RunAndWait(a.get(), [&] {
    in_a = a->IsCurrent();
    in_b = b->IsCurrent();
  });
  EXPECT_TRUE(in_a);
  EXPECT_FALSE(in_b);
  EXPECT_FALSE(a->IsCurrent());
}

TEST(ExecutorTest, DelayedTasksRunInTheOrderOfTheirTimes) {
  auto executor = NewThreadExecutor("timers");
  std::vector<int> ran;
  Event done;
  RunAndWait(executor.get(), [&] {
    executor->PostAfter(absl::Milliseconds(20), [&] {
      ran.push_back(3);
      done.Notify();
    });
    executor->PostAfter(absl::Milliseconds(1), [&] { ran.push_back(1); });
    executor->PostAfter(absl::Milliseconds(10), [&] { ran.push_back(2); });
    executor->Post([&] { ran.push_back(0); });
  });
  done.Wait();
  RunAndWait(executor.get(), [] {});
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 3));
}

TEST(ExecutorTest, AnEarlierTimerWakesTheSleeper) {
  auto executor = NewThreadExecutor("timers");
  Event done;
  executor->PostAfter(absl::Hours(1), [] {});
  RunAndWait(executor.get(), [] {});
  executor->PostAfter(absl::Milliseconds(1), [&] { done.Notify(); });
  done.Wait();
}

TEST(ExecutorTest, TheThreadHasTheName) {
  auto executor = NewThreadExecutor("a-name-much-too-long");
  char name[16] = "";
  RunAndWait(executor.get(), [&] { pthread_getname_np(pthread_self(), name, sizeof(name)); });
  EXPECT_STREQ(name, "a-name-much-too");
}

TEST(ExecutorTest, OnlyBackgroundThreadsYield) {
  int nice[2] = {-1, -1};
  const ThreadPriority priorities[2] = {ThreadPriority::kNormal, ThreadPriority::kBackground};
  for (int i = 0; i < 2; ++i) {
    auto executor = NewThreadExecutor("priority", priorities[i]);
    RunAndWait(executor.get(), [&] { nice[i] = getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())); });
  }
  EXPECT_EQ(nice[0], getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())));
  EXPECT_EQ(nice[1], std::min(nice[0] + 10, 19));
}

}  // namespace
}  // namespace barid
