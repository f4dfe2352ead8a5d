#include "base/simulated/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace barid {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// What three executors with five tasks each ran, in order.
std::vector<int> RunAll(uint64_t seed) {
  std::vector<int> ran;
  SimulatedWorld world(seed);
  std::vector<std::unique_ptr<Executor>> executors;
  for (int i = 0; i < 3; ++i) executors.push_back(world.NewExecutor("x"));
  for (int task = 0; task < 5; ++task) {
    for (int i = 0; i < 3; ++i) executors[i]->Post([&ran, i, task] { ran.push_back(10 * i + task); });
  }
  world.RunUntilIdle();
  return ran;
}

class SimulatedWorldTest : public testing::Test {
 protected:
  Executor::Task Note(int number) {
    return [this, number] { ran_.push_back(number); };
  }

  std::vector<int> ran_;
  SimulatedWorld world_{1};
  std::unique_ptr<Executor> a_ = world_.NewExecutor("a");
  std::unique_ptr<Executor> b_ = world_.NewExecutor("b");
};

TEST_F(SimulatedWorldTest, DroppedTasksNeverRun) {
  a_->Post(Note(1));
  a_->PostAfter(absl::Seconds(1), Note(2));
  b_->Post(Note(3));
  world_.DropTasks(a_.get());
  a_->Post(Note(4));
  world_.RunFor(absl::Seconds(5));
  EXPECT_THAT(ran_, testing::UnorderedElementsAre(3, 4));
}

TEST_F(SimulatedWorldTest, AStoppedExecutorTakesNothingMore) {
  a_->Post(Note(1));
  world_.Stop(a_.get());
  a_->Post(Note(2));
  a_->PostAfter(absl::Seconds(1), Note(3));
  world_.RunFor(absl::Seconds(5));
  EXPECT_THAT(ran_, IsEmpty());
}

TEST_F(SimulatedWorldTest, ATaskMayDestroyAnotherExecutorOrItsOwn) {
  b_->Post(Note(1));
  a_->Post([this] {
    b_.reset();
    a_.reset();
  });
  while (a_ != nullptr) ASSERT_TRUE(world_.RunOne());
  EXPECT_FALSE(world_.RunOne());
}

TEST_F(SimulatedWorldTest, DestroyedTasksMayPost) {
  std::shared_ptr<void> words(nullptr, [this](void*) { b_->Post(Note(1)); });
  a_->Post([words = std::move(words)] {});
  a_.reset();
  world_.RunUntilIdle();
  EXPECT_THAT(ran_, ElementsAre(1));
}

TEST_F(SimulatedWorldTest, RunUntilGivesUpAtTheLimit) {
  const absl::Duration start = world_.clock()->SinceBoot();
  a_->PostAfter(absl::Seconds(10), Note(1));
  EXPECT_FALSE(world_.RunUntil([this] { return !ran_.empty(); }, absl::Seconds(9)));
  EXPECT_EQ(world_.clock()->SinceBoot(), start);
  EXPECT_TRUE(world_.RunUntil([this] { return !ran_.empty(); }, absl::Seconds(10)));
  EXPECT_EQ(world_.clock()->SinceBoot(), start + absl::Seconds(10));
}

TEST_F(SimulatedWorldTest, RunUntilGivesUpWhenNothingIsLeft) {
  a_->Post(Note(1));
  EXPECT_FALSE(world_.RunUntil([] { return false; }));
  EXPECT_THAT(ran_, ElementsAre(1));
}

TEST_F(SimulatedWorldTest, TimeStandsWhileTasksRun) {
  const absl::Time start = world_.clock()->Now();
  a_->PostAfter(absl::Seconds(1), Note(2));
  a_->Post(Note(1));
  world_.RunUntilIdle();
  EXPECT_THAT(ran_, ElementsAre(1));
  EXPECT_EQ(world_.clock()->Now(), start);
}

TEST_F(SimulatedWorldTest, RunForMovesTheClockToEachDelayedTask) {
  const absl::Time start = world_.clock()->Now();
  std::vector<absl::Duration> times;
  const auto note_time = [&] { times.push_back(world_.clock()->Now() - start); };
  a_->PostAfter(absl::Seconds(3), note_time);
  b_->PostAfter(absl::Seconds(1), [&] {
    note_time();
    b_->PostAfter(absl::Seconds(1), note_time);
  });
  b_->PostAfter(absl::Seconds(30), note_time);
  world_.RunFor(absl::Seconds(10));
  EXPECT_THAT(times, ElementsAre(absl::Seconds(1), absl::Seconds(2), absl::Seconds(3)));
  EXPECT_EQ(world_.clock()->Now() - start, absl::Seconds(10));
}

TEST_F(SimulatedWorldTest, DelayedTasksOfOneTimeKeepTheirOrder) {
  for (int i = 0; i < 5; ++i) a_->PostAfter(absl::Seconds(1), Note(i));
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(ran_, ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(SimulatedWorldTest, IsCurrentOnlyInsideItsTasks) {
  bool in_a = false;
  bool in_b = true;
  world_.RunOn(a_.get(), [&] {
    in_a = a_->IsCurrent();
    in_b = b_->IsCurrent();
  });
  EXPECT_TRUE(in_a);
  EXPECT_FALSE(in_b);
  EXPECT_FALSE(a_->IsCurrent());
}

TEST(SimulatedWorldSeedTest, TheSameSeedGivesTheSameOrder) {
  EXPECT_EQ(RunAll(5), RunAll(5));
  EXPECT_NE(RunAll(5), RunAll(6));
}

TEST(SimulatedWorldSeedTest, EachExecutorKeepsItsOrder) {
  int last[3] = {-1, -1, -1};
  for (const int ran : RunAll(9)) {
    EXPECT_EQ(ran % 10, last[ran / 10] + 1);
    last[ran / 10] = ran % 10;
  }
}

TEST(SimulatedClockTest, StepsOfTheWallClockLeaveTheBootClockAlone) {
  SimulatedClock clock;
  const absl::Time wall = clock.Now();
  const absl::Duration boot = clock.SinceBoot();
  clock.StepWallClock(-absl::Hours(2));
  clock.Advance(absl::Hours(1));
  EXPECT_EQ(clock.Now(), wall - absl::Hours(1));
  EXPECT_EQ(clock.SinceBoot(), boot + absl::Hours(1));
}

}  // namespace
}  // namespace barid
