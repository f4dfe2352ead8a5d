#include "base/wakes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "base/awaited.h"
#include "base/executor.h"

namespace barid {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

struct Bell final : Waker {
  void Wake() override { ++rings; }
  int rings = 0;
};

TEST(WakeScopeTest, WakesAtOnceWithoutOne) {
  const auto bell = std::make_shared<Bell>();
  EXPECT_FALSE(WakeScope::IsOpen());
  WakeScope::Wake(bell);
  EXPECT_EQ(bell->rings, 1);
}

TEST(WakeScopeTest, WakesAtTheEndOfTheOutermost) {
  const auto bell = std::make_shared<Bell>();
  {
    WakeScope outer;
    {
      WakeScope inner;
      EXPECT_TRUE(WakeScope::IsOpen());
      WakeScope::Wake(bell);
    }
    EXPECT_EQ(bell->rings, 0);
  }
  EXPECT_EQ(bell->rings, 1);
  EXPECT_FALSE(WakeScope::IsOpen());
}

TEST(WakeScopeTest, WakesOnceWhoIsAskedForInARow) {
  const auto one = std::make_shared<Bell>(), other = std::make_shared<Bell>();
  {
    WakeScope scope;
    for (int i = 0; i < 10; ++i) WakeScope::Wake(one);
    WakeScope::Wake(other);
  }
  EXPECT_EQ(one->rings, 1);
  EXPECT_EQ(other->rings, 1);
}

TEST(WakeScopeTest, IsOfOneThread) {
  const auto bell = std::make_shared<Bell>();
  WakeScope scope;
  std::thread([&bell] { WakeScope::Wake(bell); }).join();
  EXPECT_EQ(bell->rings, 1);
}

TEST(WakeScopeTest, KeepsWhatItWakes) {
  auto bell = std::make_shared<Bell>();
  const std::weak_ptr<Bell> watched = bell;
  {
    WakeScope scope;
    WakeScope::Wake(bell);
    bell = nullptr;
    EXPECT_FALSE(watched.expired());
  }
  EXPECT_TRUE(watched.expired());
}

// An executor whose thread has run something, and sleeps or soon does.
class WakesOfExecutorTest : public testing::Test {
 protected:
  WakesOfExecutorTest() {
    RunAndWait(executor_.get(), [] {});
  }
  const std::unique_ptr<Executor> executor_ = NewThreadExecutor("wakes");
};

TEST_F(WakesOfExecutorTest, WhatIsPostedInAScopeRunsWhenItEnds) {
  for (int i = 0; i < 1'000; ++i) {
    Awaited<bool> ran;
    {
      WakeScope scope;
      executor_->Post([&ran] { ran.Set(true); });
    }
    ASSERT_TRUE(ran.WaitFor(kPatience)) << i;
  }
}

TEST_F(WakesOfExecutorTest, ManyTasksDoNotWaitForTheScope) {
  for (int i = 0; i < 100; ++i) {
    Awaited<bool> ran;
    WakeScope scope;
    executor_->Post([&ran] { ran.Set(true); });
    for (int others = 1; others < 16; ++others) executor_->Post([] {});
    ASSERT_TRUE(ran.WaitFor(kPatience)) << i;
  }
}

TEST_F(WakesOfExecutorTest, WhoPostsWithoutAScopeWakesForAll) {
  for (int i = 0; i < 100; ++i) {
    Awaited<bool> ran;
    WakeScope scope;
    executor_->Post([] {});
    std::thread([&] { executor_->Post([&ran] { ran.Set(true); }); }).join();
    ASSERT_TRUE(ran.WaitFor(kPatience)) << i;
  }
}

TEST_F(WakesOfExecutorTest, EachScopeWakesForItself) {
  for (int i = 0; i < 100; ++i) {
    Awaited<bool> ran;
    WakeScope scope;
    executor_->Post([] {});
    std::thread([&] {
      WakeScope shorter;
      executor_->Post([&ran] { ran.Set(true); });
    }).join();
    ASSERT_TRUE(ran.WaitFor(kPatience)) << i;
  }
}

TEST_F(WakesOfExecutorTest, AnExecutorMayEndBeforeTheScope) {
  for (int i = 0; i < 100; ++i) {
    auto executor = NewThreadExecutor("ends");
    RunAndWait(executor.get(), [] {});
    RunAndWait(executor_.get(), [] {});  // Time for the other one to fall asleep.
    WakeScope scope;
    executor->Post([] {});
    executor = nullptr;
  }
}

}  // namespace
}  // namespace barid
