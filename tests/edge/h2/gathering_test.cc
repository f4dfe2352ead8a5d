#include "edge/h2/gathering.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace barid::edge::h2 {
namespace {

constexpr absl::Duration kTime = absl::Microseconds(100);

// Plays a loop and its clients: time passes as the test says.
class GatheringTest : public testing::Test {
 protected:
  struct Client {
    int calls = 1;           // That come together if nobody waits,
    int gathered_calls = 1;  // and if the loop gathers.
    absl::Duration sleep;    // Of the loop, until it calls again.
  };
  // How many of `count` wake-ups were gathered.
  int Serve(const Client& client, int count) {
    int gathered = 0;
    for (int i = 0; i < count; ++i) {
      now_ += absl::Microseconds(20) + client.sleep;
      const int calls = gathers_ ? client.gathered_calls : client.calls;
      gathers_ = gathering_->Begin({now_, client.sleep, calls, /*by_others=*/false});
      if (!gathers_) continue;
      now_ += gathering_->time();
      ++gathered;
    }
    return gathered;
  }
  // A client that writes call by call, and has more of them open than are gathered.
  const Client many_ = {.calls = 1, .gathered_calls = 5, .sleep = absl::Microseconds(5)};

  std::optional<Gathering> gathering_{kTime};
  absl::Duration now_ = absl::Hours(1);
  bool gathers_ = false;
};

TEST_F(GatheringTest, AQuietLoopNeverDoes) {
  EXPECT_EQ(Serve({.sleep = absl::Microseconds(200)}, 10'000), 0);
  EXPECT_FALSE(gathering_->is_busy());
}

TEST_F(GatheringTest, ItDoesWhileThereIsMoreThanItGathers) {
  Serve(many_, 2'000);
  EXPECT_GT(Serve(many_, 100), 90);
  EXPECT_TRUE(gathering_->is_busy());
}

// Who has gathered all that was open tries less and less, but does: the clients may be others by then.
TEST_F(GatheringTest, ItDoesNotWhereClientsWaitForTheirAnswers) {
  const Client eight = {.calls = 1, .gathered_calls = 8, .sleep = absl::Microseconds(25)};
  Serve(eight, 5'000);
  const int tries = Serve(eight, 50'000);
  EXPECT_GE(tries, 50);
  EXPECT_LE(tries, 500);
  Serve(many_, 5'000);
  EXPECT_GT(Serve(many_, 100), 90);
}

TEST_F(GatheringTest, HowLongTheyTakeDoesNotDependOnTheTime) {
  gathering_.emplace(absl::Milliseconds(1));
  const Client eight = {.calls = 1, .gathered_calls = 8, .sleep = absl::Microseconds(60)};
  Serve(eight, 5'000);
  EXPECT_LE(Serve(eight, 50'000), 500);
}

// A client that writes all of its calls at once, and is quick to call again.
TEST_F(GatheringTest, ItDoesNotWhereThatBringsNothing) {
  const Client quick = {.calls = 6, .gathered_calls = 6, .sleep = absl::Microseconds(10)};
  Serve(quick, 5'000);
  EXPECT_LE(Serve(quick, 50'000), 500);
}

TEST_F(GatheringTest, ItNoticesThatItBringsNothingAnyMore) {
  Serve(many_, 2'000);
  const Client quick = {.calls = 6, .gathered_calls = 6, .sleep = absl::Microseconds(10)};
  Serve(quick, 5'000);
  EXPECT_LE(Serve(quick, 50'000), 500);
}

TEST_F(GatheringTest, WhatOtherThreadsWakeItForDoesNotWait) {
  Serve(many_, 2'000);
  for (int i = 0; i < 100; ++i) {
    now_ += absl::Microseconds(25);
    EXPECT_FALSE(gathering_->Begin({now_, absl::Microseconds(5), 1, /*by_others=*/true}));
  }
}

TEST_F(GatheringTest, AWakeUpBehindAFullOneDoesNotWait) {
  Serve(many_, 2'000);
  EXPECT_EQ(Serve({.calls = 64, .gathered_calls = 64, .sleep = absl::Microseconds(1)}, 100), 0);
}

TEST_F(GatheringTest, TheFirstCallAfterALoadDoesNotWait) {
  Serve(many_, 2'000);
  EXPECT_EQ(Serve({.sleep = absl::Seconds(1)}, 1), 0);
}

TEST_F(GatheringTest, ATimeOfZeroIsNever) {
  gathering_.emplace(absl::ZeroDuration());
  EXPECT_EQ(Serve(many_, 10'000), 0);
}

TEST_F(GatheringTest, AClockThatStandsStillIsNoLoad) {
  for (int i = 0; i < 1'000; ++i) EXPECT_FALSE(gathering_->Begin({now_, absl::ZeroDuration(), 4, false}));
  EXPECT_FALSE(gathering_->is_busy());
}

}  // namespace
}  // namespace barid::edge::h2
