#include "broker/timer_table.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Presence = TimerTable::Presence;

constexpr QueueKey kQueue{TopicId(7), 1};

// A timer is told by its due time alone.
TimerKey Key(int64_t due) { return {due, static_cast<LogIndex>(1000 + due), 3}; }
Timer TimerOf(int64_t due) {
  Timer timer;
  timer.queue = kQueue;
  timer.position = static_cast<uint64_t>(due) * 100;
  timer.offset = 16;
  timer.bytes = static_cast<uint32_t>(due) + 5;
  timer.tag_hash = 0xfedcba98;
  return timer;
}

class TimerTableTest : public ::testing::Test {
 protected:
  TimerTableTest() { Restart(); }

  void Restart(size_t max_near = 2) { table_ = std::make_unique<TimerTable>(store_.get(), max_near); }
  void Add(const std::vector<int64_t>& dues) {
    for (const int64_t due : dues) table_->Add(Key(due), TimerOf(due));
  }
  bool Take(int64_t due) {
    const auto timer = table_->Take(Key(due));
    EXPECT_TRUE(timer.ok()) << timer.status();
    const bool is_there = timer.ok() && timer->has_value();
    EXPECT_TRUE(!is_there || **timer == TimerOf(due));
    return is_there;
  }
  TimerTable::Changes BeginCheckpoint() {
    const TimerTable::Changes changes = table_->TakeChanges();
    std::vector<storage::KeyValueStore::Operation> operations;
    TimerTable::AppendOperations(changes, &operations);
    EXPECT_TRUE(store_->Write(std::move(operations)).ok());
    return changes;
  }
  void Checkpoint() { table_->Written(BeginCheckpoint(), /*durable=*/true); }
  TimerTable::Reading Read(size_t limit = 2) const {
    const auto reading = TimerTable::ReadFrom(*store_, table_->horizon(), limit);
    EXPECT_TRUE(reading.ok()) << reading.status();
    return *reading;
  }
  void BringInNear() {
    while (table_->WantsNear()) ASSERT_TRUE(table_->InstallNear(table_->generation(), Read(table_->max_near())));
  }
  std::vector<int64_t> Due(int64_t now) const {
    std::vector<int64_t> dues;
    table_->VisitDue(now, [&](const TimerKey& key) {
      dues.push_back(key.deliver_at_us);
      return true;
    });
    return dues;
  }
  std::vector<int64_t> All() const {
    std::vector<int64_t> dues;
    EXPECT_TRUE(table_
                    ->VisitAll([&](const TimerKey& key, const Timer& timer) {
                      EXPECT_EQ(timer, TimerOf(key.deliver_at_us));
                      dues.push_back(key.deliver_at_us);
                    })
                    .ok());
    std::sort(dues.begin(), dues.end());
    return dues;
  }
  size_t Stored() const {
    size_t stored = 0;
    EXPECT_TRUE(store_
                    ->Scan("t", "u",
                           [&](absl::string_view, absl::string_view) {
                             ++stored;
                             return true;
                           })
                    .ok());
    return stored;
  }

  std::unique_ptr<storage::KeyValueStore> store_ = storage::NewMemoryStore();
  std::unique_ptr<TimerTable> table_;
};

TEST_F(TimerTableTest, ATimerIsTakenOnce) {
  Add({10, 20});
  EXPECT_EQ(table_->Find(Key(10)), Presence::kHere);
  EXPECT_TRUE(Take(10));
  EXPECT_FALSE(Take(10));
  EXPECT_THAT(All(), ElementsAre(20));
}

TEST_F(TimerTableTest, NothingIsDueBeforeTheStoreWasAsked) {
  Add({10});
  Checkpoint();
  Restart();
  EXPECT_THAT(Due(100), IsEmpty());
  EXPECT_EQ(table_->Find(Key(10)), Presence::kUnknown);
  BringInNear();
  EXPECT_THAT(Due(100), ElementsAre(10));
}

TEST_F(TimerTableTest, TimersAreDueInTheOrderOfTheirTimes) {
  BringInNear();
  Add({30, 10, 20, 40});
  EXPECT_THAT(Due(9), IsEmpty());
  EXPECT_THAT(Due(30), ElementsAre(10, 20, 30));
}

TEST_F(TimerTableTest, MemoryIsBoundedByTheNearOnesAndWhatNoCheckpointHas) {
  BringInNear();
  for (int64_t due = 0; due < 1000; ++due) Add({due});
  EXPECT_EQ(table_->resident(), 1000u);
  Checkpoint();
  EXPECT_EQ(table_->resident(), 2u);
  EXPECT_THAT(Due(10'000), ElementsAre(0, 1));
  EXPECT_THAT(All(), SizeIs(1000));
  Add({2000});
  EXPECT_EQ(table_->resident(), 3u);
}

TEST_F(TimerTableTest, FarOnesComeInBeforeTheNearOnesAreUsedUp) {
  Add({10, 20, 30, 40, 50});
  Checkpoint();
  Restart();
  std::vector<int64_t> fired;
  for (int64_t now = 0; now <= 60; now += 5) {
    BringInNear();
    EXPECT_LE(table_->resident(), 4u);
    for (const int64_t due : Due(now)) {
      EXPECT_TRUE(Take(due));
      fired.push_back(due);
    }
  }
  EXPECT_THAT(fired, ElementsAre(10, 20, 30, 40, 50));
  EXPECT_EQ(Stored(), 5u);
  Checkpoint();
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(TimerTableTest, AFarTimerIsTakenOutOfTheStore) {
  Add({10, 20, 30});
  Checkpoint();
  Restart();
  EXPECT_TRUE(Take(30));
  EXPECT_FALSE(Take(30));
  EXPECT_EQ(table_->Find(Key(30)), Presence::kGone);
  EXPECT_THAT(All(), ElementsAre(10, 20));
  Checkpoint();
  EXPECT_EQ(Stored(), 2u);
  Restart();
  EXPECT_FALSE(Take(30));
}

TEST_F(TimerTableTest, WhatComesAndGoesBetweenCheckpointsIsNeverWritten) {
  Add({10});
  EXPECT_TRUE(Take(10));
  const TimerTable::Changes changes = table_->TakeChanges();
  EXPECT_THAT(changes.added, IsEmpty());
  EXPECT_THAT(changes.removed, IsEmpty());
}

TEST_F(TimerTableTest, WhatGoesWhileItIsWrittenIsDeletedByTheNextCheckpoint) {
  Add({10});
  const TimerTable::Changes first = BeginCheckpoint();
  EXPECT_TRUE(Take(10));
  table_->Written(first, true);
  EXPECT_EQ(Stored(), 1u);
  EXPECT_THAT(All(), IsEmpty());
  EXPECT_FALSE(Take(10));
  Checkpoint();
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(TimerTableTest, ACheckpointThatFailedIsWrittenAgain) {
  Add({10, 20});
  Checkpoint();
  Add({30});
  EXPECT_TRUE(Take(10));
  const TimerTable::Changes failed = table_->TakeChanges();
  table_->Written(failed, /*durable=*/false);
  EXPECT_FALSE(Take(10));
  Checkpoint();
  Restart();
  EXPECT_THAT(All(), ElementsAre(20, 30));
}

TEST_F(TimerTableTest, AReadingOfAnEarlierGenerationIsRefused) {
  Add({10, 20, 30});
  Checkpoint();
  Restart();
  const uint64_t generation = table_->generation();
  const TimerTable::Reading old = Read(/*limit=*/3);
  EXPECT_TRUE(Take(20));
  Add({25});
  Checkpoint();  // Deletes 20, evicts 25: the reading has the one and lacks the other.
  EXPECT_FALSE(table_->InstallNear(generation, old));
  EXPECT_FALSE(table_->Install(generation, old.timers));
  BringInNear();
  EXPECT_THAT(Due(100), ElementsAre(10, 25));
}

TEST_F(TimerTableTest, AReadingDoesNotBringBackWhatWentMeanwhile) {
  Add({10, 20});
  Checkpoint();
  Restart();
  const TimerTable::Reading reading = Read();
  EXPECT_TRUE(Take(10));
  EXPECT_TRUE(table_->InstallNear(table_->generation(), reading));
  EXPECT_THAT(Due(100), ElementsAre(20));
  // Nor while the deletion is on its way to the store.
  Restart();
  EXPECT_TRUE(Take(20));
  const TimerTable::Changes changes = table_->TakeChanges();
  EXPECT_TRUE(table_->InstallNear(table_->generation(), Read()));
  EXPECT_THAT(Due(100), ElementsAre(10));
}

TEST_F(TimerTableTest, AFarTimerThatWasInstalledLeavesWithTheNextCheckpoint) {
  Add({10, 20, 30, 40});
  Checkpoint();
  Restart();
  BringInNear();
  EXPECT_EQ(table_->resident(), 2u);
  EXPECT_TRUE(table_->Install(table_->generation(), {{Key(40), TimerOf(40)}}));
  EXPECT_EQ(table_->Find(Key(40)), Presence::kHere);
  Checkpoint();
  EXPECT_EQ(table_->Find(Key(40)), Presence::kUnknown);
}

TEST_F(TimerTableTest, WithoutAStoreEverythingStays) {
  TimerTable table(nullptr, 1);
  for (int64_t due = 0; due < 10; ++due) table.Add(Key(due), TimerOf(due));
  table.Written(table.TakeChanges(), true);
  EXPECT_EQ(table.resident(), 10u);
  EXPECT_FALSE(table.WantsNear());
  EXPECT_EQ(table.Find(Key(99)), Presence::kGone);
}

TEST_F(TimerTableTest, DamageInTheStoreIsDataLoss) {
  Add({10});
  Checkpoint();
  std::string key;
  std::string value;
  ASSERT_TRUE(store_
                  ->Scan("t", "u",
                         [&](absl::string_view k, absl::string_view v) {
                           key = std::string(k);
                           value = std::string(v);
                           return false;
                         })
                  .ok());
  for (size_t byte = 0; byte < value.size(); ++byte) {
    std::string damaged = value;
    damaged[byte] = static_cast<char>(damaged[byte] ^ 4);
    ASSERT_TRUE(store_->Write({{key, damaged}}).ok());
    EXPECT_TRUE(absl::IsDataLoss(TimerTable::ReadFrom(*store_, TimerKey(), 9).status())) << byte;
    EXPECT_TRUE(absl::IsDataLoss(TimerTable::ReadOne(*store_, Key(10)).status())) << byte;
  }
  // Nor is it taken for another.
  key.back() = 4;
  ASSERT_TRUE(store_->Write({{key, value}}).ok());
  TimerKey other = Key(10);
  other.entry = 4;
  EXPECT_TRUE(absl::IsDataLoss(TimerTable::ReadOne(*store_, other).status()));
}

}  // namespace
}  // namespace barid::broker
