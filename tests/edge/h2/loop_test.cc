#include "edge/h2/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {
namespace {

using testing::ElementsAre;

// Runs a function when it is told to, as whatever it is told.
class Step final : public Posted, public Flushed, public Alarm, public Watched {
 public:
  explicit Step(std::function<void()> run) : run_(std::move(run)) {}
  void RunPosted() override { run_(); }
  void Flush() override { run_(); }
  void OnAlarm() override { run_(); }
  void OnReady(uint32_t events) override { run_(); }

 private:
  const std::function<void()> run_;
};

// The loop runs on this thread until a step closes it.
class LoopTest : public testing::Test {
 protected:
  std::function<void()> Note(const std::string& what) {
    return [this, what] { story_.push_back(what); };
  }

  Loop loop_;
  std::vector<std::string> story_;
};

TEST_F(LoopTest, RunsPostsInOrderAndEndsWhenItIsClosed) {
  Step a(Note("a")), b(Note("b")), c(Note("c"));
  EXPECT_TRUE(loop_.Post(&a));
  EXPECT_TRUE(loop_.Post(&b));
  EXPECT_TRUE(loop_.Post(&c));
  loop_.Close();
  loop_.Run();
  EXPECT_THAT(story_, ElementsAre("a", "b", "c"));
  EXPECT_FALSE(loop_.Post(&a));
  EXPECT_EQ(story_.size(), 3);
}

TEST_F(LoopTest, RunsWhatItsPostsPostBeforeItEnds) {
  Step second(Note("second"));
  Step first([&] {
    story_.push_back("first");
    EXPECT_TRUE(loop_.Post(&second));
    loop_.Close();
  });
  loop_.Post(&first);
  loop_.Run();
  EXPECT_THAT(story_, ElementsAre("first", "second"));
}

TEST_F(LoopTest, APostMayBePostedAgainFromItself) {
  int runs = 0;
  Step* self = nullptr;
  Step again([&] {
    if (++runs < 5) {
      loop_.Post(self);
    } else {
      loop_.Close();
    }
  });
  self = &again;
  loop_.Post(&again);
  loop_.Run();
  EXPECT_EQ(runs, 5);
}

TEST_F(LoopTest, KnowsItsThread) {
  EXPECT_FALSE(loop_.IsCurrent());
  Step look([&] {
    EXPECT_TRUE(loop_.IsCurrent());
    std::thread([&] { EXPECT_FALSE(loop_.IsCurrent()); }).join();
    loop_.Close();
  });
  loop_.Post(&look);
  loop_.Run();
  EXPECT_FALSE(loop_.IsCurrent());
}

TEST_F(LoopTest, AlarmsRingInTheOrderOfTheirTimesAndNotEarly) {
  const absl::Duration begin = loop_.now();
  Step third([&] {
    story_.push_back("third");
    EXPECT_GE(loop_.now(), begin + absl::Milliseconds(30));
    loop_.Close();
  });
  Step second(Note("second")), first(Note("first")), never(Note("never"));
  loop_.Set(&third, begin + absl::Milliseconds(30));
  loop_.Set(&never, begin + absl::Milliseconds(5));
  loop_.Set(&second, begin + absl::Milliseconds(20));
  loop_.Set(&first, begin - absl::Seconds(1));
  EXPECT_TRUE(never.is_set());
  loop_.Unset(&never);
  loop_.Unset(&never);
  EXPECT_FALSE(never.is_set());
  loop_.Run();
  EXPECT_THAT(story_, ElementsAre("first", "second", "third"));
  EXPECT_FALSE(first.is_set());
}

TEST_F(LoopTest, AnAlarmThatIsMovedRingsOnce) {
  Step moved(Note("moved"));
  Step end([&] { loop_.Close(); });
  loop_.Set(&moved, loop_.now() + absl::Hours(1));
  loop_.Set(&moved, loop_.now() + absl::Milliseconds(1));
  loop_.Set(&end, loop_.now() + absl::Milliseconds(20));
  loop_.Run();
  EXPECT_THAT(story_, ElementsAre("moved"));
}

TEST_F(LoopTest, AlarmsOfTheSameTimeAllRing) {
  const absl::Duration at = loop_.now() + absl::Milliseconds(1);
  Step a(Note("x")), b(Note("x"));
  Step end([&] { loop_.Close(); });
  loop_.Set(&a, at);
  loop_.Set(&b, at);
  loop_.Set(&end, at + absl::Milliseconds(5));
  loop_.Run();
  EXPECT_THAT(story_, ElementsAre("x", "x"));
}

TEST_F(LoopTest, FlushesOnceAtTheEndOfAWakeUpThenFreesWhatIsRetired) {
  Step flush(Note("flush"));
  struct Part {
    ~Part() { story->push_back("freed"); }
    std::vector<std::string>* story;
  };
  Step a([&] {
    loop_.FlushLater(&flush);
    loop_.FlushLater(&flush);
    loop_.Retire(std::make_shared<Part>(Part{&story_}));
    story_.clear();  // Of the temporary.
    story_.push_back("a");
  });
  Step b([&] {
    story_.push_back("b");
    loop_.Close();
  });
  loop_.Post(&a);
  loop_.Post(&b);
  loop_.Run();
  EXPECT_THAT(story_, ElementsAre("a", "b", "flush", "freed"));
}

TEST_F(LoopTest, AFlushMayAskForItself) {
  int runs = 0;
  Step* self = nullptr;
  Step flush([&] {
    if (++runs < 3) loop_.FlushLater(self);
  });
  self = &flush;
  Step a([&] {
    loop_.FlushLater(&flush);
    loop_.Close();
  });
  loop_.Post(&a);
  loop_.Run();
  EXPECT_EQ(runs, 3);
}

TEST_F(LoopTest, TellsWhenADescriptorIsReady) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  Step ready([&] {
    char byte = 0;
    ASSERT_EQ(read(ends[0], &byte, 1), 1);
    story_.push_back(std::string(1, byte));
    if (byte == 'b') {
      loop_.Forget(ends[0]);
      loop_.Close();
    }
  });
  loop_.Watch(ends[0], EPOLLIN, &ready);
  std::thread writer([&] {
    EXPECT_EQ(write(ends[1], "a", 1), 1);
    EXPECT_EQ(write(ends[1], "b", 1), 1);
  });
  loop_.Run();
  writer.join();
  EXPECT_THAT(story_, ElementsAre("a", "b"));
  close(ends[0]);
  close(ends[1]);
}

// A loop that calls come to so fast that it gathers when its socket is ready next.
class GatheringLoopTest : public testing::Test {
 protected:
  GatheringLoopTest() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_), 0); }
  ~GatheringLoopTest() override {
    for (const int end : ends_) close(end);
  }

  // Runs it until it is closed. Once it is loaded it calls `when_loaded`, and gathers with the next socket that is
  // ready.
  static void RunLoaded(Loop* loop, std::function<void()> when_loaded) {
    const auto count_calls = [loop] {
      for (int i = 0; i < 10; ++i) loop->CountCall();
    };
    Step then([&] {
      count_calls();
      when_loaded();
    });
    Step load([&] {
      count_calls();
      loop->Set(&then, loop->now() + absl::Milliseconds(5));
    });
    loop->Set(&load, loop->now());
    loop->Run();
  }

  // How long a socket that is ready waits. What `when_ready` starts is over when the loop ends.
  absl::Duration Run(absl::Duration gather, std::function<std::thread(Loop*)> when_ready = nullptr) {
    Loop loop(RealClock(), gather);
    absl::Duration waited, ready_at;
    std::thread other;
    Step ready([&] {
      waited = RealClock()->SinceBoot() - ready_at;
      loop.Forget(ends_[0]);
      loop.Close();
    });
    // Told once: it must not be lost while the loop gathers.
    loop.Watch(ends_[0], EPOLLIN | EPOLLET, &ready);
    RunLoaded(&loop, [&] {
      EXPECT_EQ(write(ends_[1], "x", 1), 1);
      ready_at = RealClock()->SinceBoot();
      if (when_ready) other = when_ready(&loop);
    });
    if (other.joinable()) other.join();
    return waited;
  }

  int ends_[2];
};

TEST_F(GatheringLoopTest, WhatIsReadyWaitsForMore) { EXPECT_GE(Run(absl::Milliseconds(500)), absl::Milliseconds(500)); }

TEST_F(GatheringLoopTest, UntilSomethingIsPosted) {
  Step nothing([] {});
  const auto post = [&](Loop* loop) { return std::thread([&nothing, loop] { loop->Post(&nothing); }); };
  EXPECT_LT(Run(absl::Minutes(1), post), absl::Seconds(50));
}

TEST_F(GatheringLoopTest, UntilItIsClosed) {
  EXPECT_LT(Run(absl::Minutes(1), [](Loop* loop) { return std::thread([loop] { loop->Close(); }); }),
            absl::Seconds(50));
}

TEST_F(GatheringLoopTest, WhatBecomesReadyMeanwhileIsHandledWithIt) {
  Loop loop(RealClock(), absl::Minutes(1));
  int pairs[3][2];
  std::vector<std::string> story;
  std::vector<std::unique_ptr<Step>> ready;
  Step flush([&] { story.push_back("flush"); }), nothing([] {});
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i]), 0);
    ready.push_back(std::make_unique<Step>([&, i] {
      char bytes[8];
      story.push_back(absl::StrCat(i, " has ", read(pairs[i][0], bytes, sizeof(bytes))));
      loop.FlushLater(&flush);
      loop.Close();
    }));
    loop.Watch(pairs[i][0], EPOLLIN, ready.back().get());
  }
  std::thread other;
  RunLoaded(&loop, [&] {
    EXPECT_EQ(write(pairs[0][1], "x", 1), 1);
    // While the loop gathers; or before, and then they are ready with the first.
    other = std::thread([&] {
      for (int i = 2; i >= 0; --i) EXPECT_EQ(write(pairs[i][1], "x", 1), 1);
      loop.Post(&nothing);
    });
  });
  other.join();
  // One wake-up, each socket once.
  EXPECT_THAT(story, testing::UnorderedElementsAre("0 has 2", "1 has 1", "2 has 1", "flush"));
  EXPECT_EQ(story.back(), "flush");
  for (const auto& pair : pairs) {
    for (const int end : pair) close(end);
  }
}

TEST(LoopThreadsTest, NoPostOfManyThreadsIsLostWhileItFallsAsleep) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 5000;
  std::atomic<int> run{0};
  {
    LoopThreads threads(2);
    std::vector<std::thread> posters;
    for (int i = 0; i < kThreads; ++i) {
      posters.emplace_back([&, i] {
        Loop* const loop = threads.loops()[i % 2].get();
        for (int j = 0; j < kPosts; ++j) {
          // One at a time, so that the loop falls asleep again and again.
          Promise<bool> done;
          Step step([&] {
            ++run;
            done.Set(true);
          });
          ASSERT_TRUE(loop->Post(&step));
          if (!done.Wait()) FAIL() << "a post was lost";
        }
      });
    }
    for (std::thread& poster : posters) poster.join();
  }
  EXPECT_EQ(run, kThreads * kPosts);
}

TEST(LoopThreadsTest, APostRunsOrIsRefusedWhenTheLoopEnds) {
  for (int round = 0; round < 40; ++round) {
    std::atomic<int> run{0};
    int taken = 0;
    std::vector<std::unique_ptr<Step>> steps;
    auto threads = std::make_unique<LoopThreads>(1);
    const std::shared_ptr<Loop> loop = threads->loops()[0];
    std::thread poster([&] {
      do {
        steps.push_back(std::make_unique<Step>([&] { ++run; }));
      } while (loop->Post(steps.back().get()) && ++taken > 0);
    });
    while (run == 0) std::this_thread::yield();
    threads.reset();
    poster.join();
    EXPECT_EQ(run, taken);
  }
}

}  // namespace
}  // namespace barid::edge::h2
