#include "broker/live_ranges.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "broker/sealed_entry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/key_value_store.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

constexpr uint64_t kSegment = 16'000;  // A sixteenth is 1,000.

class LiveRangesTest : public ::testing::Test {
 protected:
  // The log goes on with records of so many bytes.
  void Write(uint64_t records, uint64_t bytes, LiveRanges* ranges) {
    for (uint64_t i = 0; i < records; ++i) {
      ranges->Extend(++index_, end_, position_);
      position_ = end_;
      end_ += bytes;
    }
  }
  void Write(uint64_t records, uint64_t bytes) { Write(records, bytes, &ranges_); }
  static std::vector<LogIndex> FirstOf(const LiveRanges& ranges) {
    std::vector<LogIndex> firsts;
    for (const LiveRange& range : ranges.all()) firsts.push_back(range.first);
    return firsts;
  }
  std::vector<int64_t> Pointers() const {
    std::vector<int64_t> pointers;
    for (const LiveRange& range : ranges_.all()) pointers.push_back(range.pointers);
    return pointers;
  }
  void WriteCheckpoint() {
    std::vector<storage::KeyValueStore::Operation> operations;
    ranges_.AppendChanges(&operations);
    ASSERT_TRUE(store_->Write(std::move(operations)).ok());
  }
  // What an older version wrote: ranges of 4,096 records.
  void WriteOld(uint64_t range, int64_t pointers, uint64_t position) {
    std::string key = "r";
    PutOrdered64(&key, range);
    std::string value;
    PutFixed(&value, pointers);
    PutFixed(&value, position);
    PutFixed(&value, int64_t{7});
    ASSERT_TRUE(store_->Write({Sealed(std::move(key), std::move(value))}).ok());
  }

  LogIndex index_ = 0;
  uint64_t position_ = 0;
  uint64_t end_ = 0;
  LiveRanges ranges_{kSegment};
  const std::unique_ptr<storage::KeyValueStore> store_ = storage::NewMemoryStore();
};

TEST_F(LiveRangesTest, ARangeEndsAfterSoManyRecords) {
  LiveRanges ranges(uint64_t{1} << 40);
  Write(10'000, 64, &ranges);
  EXPECT_THAT(FirstOf(ranges), ElementsAre(1, 4096, 8192));
  EXPECT_EQ(ranges.all()[1].position, 4095u * 64);
}

TEST_F(LiveRangesTest, ARangeEndsAfterASixteenthOfASegment) {
  Write(6, 400);
  //                                      0, 400, 800 | 1200, 1600 | 2000
  EXPECT_THAT(FirstOf(ranges_), ElementsAre(1, 4, 6));
  Write(2, 2500);  // Begins at 2400; the next at 4900.
  EXPECT_THAT(FirstOf(ranges_), ElementsAre(1, 4, 6, 8));
  end_ = kSegment;  // The segment's rest stays empty.
  Write(1, 100);
  EXPECT_THAT(FirstOf(ranges_), ElementsAre(1, 4, 6, 8, 9));
  EXPECT_EQ(ranges_.all().back().position, kSegment);
}

TEST_F(LiveRangesTest, WhatPointsIsCountedWhereItsRecordIs) {
  Write(10, 500);  // Ranges begin at 1, 3, 5, 7 and 9.
  for (LogIndex index = 1; index <= 10; ++index) ranges_.Add(index, 1, static_cast<uint32_t>(index));
  EXPECT_THAT(Pointers(), ElementsAre(2, 2, 2, 2, 2));
  ranges_.Add(4, -1, 4);
  ranges_.Move(3, 10, 3);
  EXPECT_THAT(Pointers(), ElementsAre(2, 0, 2, 2, 3));
  EXPECT_EQ(ranges_.all()[1].bytes, 0);
  EXPECT_EQ(ranges_.all()[4].bytes, 9 + 10 + 3);
  ranges_.DropBelow(4);
  EXPECT_EQ(FirstOf(ranges_).front(), 3u);
  ranges_.DropBelow(5);
  EXPECT_EQ(FirstOf(ranges_).front(), 5u);
  EXPECT_EQ(ranges_.PlaceOf(4), ranges_.all().size());
  ranges_.DropBelow(11);
  EXPECT_THAT(FirstOf(ranges_), ElementsAre(9)) << "it is not over yet";
}

TEST_F(LiveRangesTest, ACheckpointHasWhatChanged) {
  Write(6, 500);
  ranges_.Add(3, 1, 10);
  WriteCheckpoint();
  ranges_.Add(3, -1, 10);
  ranges_.Add(4, 1, 20);
  ranges_.DropBelow(3);
  WriteCheckpoint();
  LiveRanges loaded(kSegment);
  ASSERT_TRUE(loaded.Load(*store_).ok());
  EXPECT_THAT(FirstOf(loaded), ElementsAre(3, 5));
  EXPECT_EQ(loaded.all()[0].pointers, 1);
  EXPECT_EQ(loaded.all()[0].bytes, 20);
  EXPECT_EQ(loaded.all()[0].position, 1000u);
  std::vector<storage::KeyValueStore::Operation> operations;
  loaded.AppendChanges(&operations);
  EXPECT_THAT(operations, IsEmpty());
}

// A leader that goes on from an old checkpoint names the beginnings of its ranges in its Trims, and whoever replays its
// log from an earlier one has to know them.
TEST_F(LiveRangesTest, OldRangesArePartOfWhatAReplayGives) {
  Write(6010, 30);
  WriteOld(0, 3, 0);
  WriteOld(1, 0, 4095 * 30);
  LiveRanges old(kSegment);
  ASSERT_TRUE(old.Load(*store_).ok());
  EXPECT_THAT(FirstOf(old), ElementsAre(1, 4096));
  for (int i = 0; i < 3000; ++i) {
    old.Extend(index_ + 1, end_, position_);
    Write(1, 30);
  }
  EXPECT_EQ(old.PlaceOf(6034), 1u);
  EXPECT_EQ(old.PlaceOf(6035), 2u);
  EXPECT_THAT(FirstOf(ranges_), IsSupersetOf(FirstOf(old)));
}

TEST_F(LiveRangesTest, WhatDoesNotParseIsDamage) {
  WriteOld(0, 3, 0);
  Write(1, 100);
  WriteCheckpoint();  // Twice the first range.
  LiveRanges loaded(kSegment);
  EXPECT_EQ(loaded.Load(*store_).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace barid::broker
