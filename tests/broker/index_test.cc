#include "broker/index.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/key_value_store.h"

namespace barid::broker {

static bool operator==(const IndexEntry& a, const IndexEntry& b) {
  return a.index == b.index && a.position == b.position && a.offset == b.offset && a.bytes == b.bytes &&
         a.tag_hash == b.tag_hash && a.time_us == b.time_us && a.message_group == b.message_group;
}

namespace {

using ::testing::HasSubstr;

constexpr QueueKey kQueue{TopicId(7), 2};

IndexEntry EntryOf(uint64_t number) {
  IndexEntry entry;
  entry.index = number + 1;
  entry.position = number * 100;
  entry.offset = 16;
  entry.bytes = static_cast<uint32_t>(number);
  entry.tag_hash = 42;
  entry.time_us = static_cast<int64_t>(1000 + number);
  return entry;
}

IndexBlock RandomBlock(Random* random) {
  IndexBlock block;
  const uint64_t count = random->Below(kBlockEntries + 1);
  const bool grouped = random->OneIn(2);
  for (uint64_t i = 0; i < count; ++i) {
    IndexEntry entry;
    entry.index = random->Next() >> random->Below(64);
    entry.position = random->Next() >> random->Below(64);
    entry.offset = static_cast<uint32_t>(random->Next());
    entry.bytes = static_cast<uint32_t>(random->Next());
    entry.tag_hash = static_cast<uint32_t>(random->Next());
    entry.time_us = static_cast<int64_t>(random->Next() >> (1 + random->Below(63)));
    if (grouped && !random->OneIn(4)) entry.message_group = random->Next();
    block.entries.push_back(entry);
    if (random->OneIn(10)) {
      block.provenance[static_cast<QueueOffset>(1000 + i)] = {random->Bytes(random->Below(20)),
                                                              random->Bytes(random->Below(40)), "reason",
                                                              static_cast<int32_t>(random->Below(100))};
    }
  }
  return block;
}

// --- The block's bytes ---

TEST(IndexBlockTest, IsReadAsItWasWritten) {
  SeededRandom random(1);
  for (int i = 0; i < 200; ++i) {
    const IndexBlock block = RandomBlock(&random);
    const absl::StatusOr<IndexBlock> read = DecodeIndexBlock(EncodeIndexBlock(block));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->entries, block.entries);
    ASSERT_EQ(read->provenance.size(), block.provenance.size());
    for (const auto& [offset, origin] : block.provenance) {
      EXPECT_EQ(read->provenance.at(offset).topic, origin.topic);
      EXPECT_EQ(read->provenance.at(offset).message_id, origin.message_id);
      EXPECT_EQ(read->provenance.at(offset).reason, origin.reason);
      EXPECT_EQ(read->provenance.at(offset).attempts, origin.attempts);
    }
  }
}

TEST(IndexBlockTest, ABlockWithoutMessageGroupsHasNoBytesForThem) {
  IndexBlock block;
  for (uint64_t i = 0; i < 10; ++i) block.entries.push_back(EntryOf(i));
  const size_t without = EncodeIndexBlock(block).size();
  block.entries[3].message_group = 7;
  EXPECT_EQ(EncodeIndexBlock(block).size(), without + 10 * sizeof(uint64_t));
}

TEST(IndexBlockTest, NeighboursTakeFewBytes) {
  IndexBlock block;
  for (uint64_t i = 0; i < kBlockEntries; ++i) block.entries.push_back(EntryOf(i));
  EXPECT_LT(EncodeIndexBlock(block).size(), 14u * kBlockEntries);
}

TEST(IndexBlockTest, EveryFlippedBitIsDamage) {
  SeededRandom random(2);
  IndexBlock block;
  for (uint64_t i = 0; i < 3; ++i) block.entries.push_back(EntryOf(i));
  block.provenance[1] = {"t", "id", "r", 3};
  const std::string bytes = EncodeIndexBlock(block);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(DecodeIndexBlock(damaged).status().code(), absl::StatusCode::kDataLoss) << bit;
  }
}

TEST(IndexBlockTest, EveryCutIsDamage) {
  IndexBlock block;
  block.entries.push_back(EntryOf(1));
  const std::string bytes = EncodeIndexBlock(block);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeIndexBlock(bytes.substr(0, size)).status().code(), absl::StatusCode::kDataLoss) << size;
  }
}

// Bytes with a checksum that fits: what a wrong writer would leave.
absl::Status DecodeSealed(std::string body) {
  PutFixed<uint32_t>(&body, Crc32c(body));
  return DecodeIndexBlock(body).status();
}

TEST(IndexBlockTest, WhatDoesNotFollowTheFormatIsDamageEvenWithAGoodChecksum) {
  std::string many("\x01", 1);
  PutVarint(&many, kBlockEntries + 1);
  std::string fewer_than_said("\x01\x02", 2);
  std::string tail(EncodeIndexBlock({}));
  tail.resize(tail.size() - sizeof(uint32_t));
  tail += "x";
  EXPECT_THAT(std::string(DecodeSealed("\x02").message()), HasSubstr("version"));
  EXPECT_THAT(std::string(DecodeSealed(std::string("\x01", 1)).message()), HasSubstr("number of entries"));
  EXPECT_THAT(std::string(DecodeSealed(many).message()), HasSubstr("number of entries"));
  EXPECT_THAT(std::string(DecodeSealed(fewer_than_said).message()), HasSubstr("cut short"));
  EXPECT_THAT(std::string(DecodeSealed(std::string("\x01\x00", 2)).message()), HasSubstr("number of dead letters"));
  EXPECT_THAT(std::string(DecodeSealed(std::string("\x01\x00\x01", 3)).message()), HasSubstr("number of dead letters"));
  EXPECT_THAT(std::string(DecodeSealed(tail).message()), HasSubstr("behind its end"));
}

// --- The index ---

class IndexTest : public ::testing::Test {
 protected:
  // Entries up to this offset, behind those that are there.
  void FillTo(QueueOffset end) {
    for (; end_ < end; ++end_) {
      ASSERT_TRUE(index_.Append(kQueue, end_, EntryOf(static_cast<uint64_t>(end_)), std::nullopt).ok());
    }
  }
  Index::Changes Checkpoint(bool durable = true) {
    Index::Changes changes = index_.TakeChanges();
    if (durable) Write(changes);
    index_.Written(changes, durable);
    return changes;
  }
  void Write(const Index::Changes& changes) {
    std::vector<storage::KeyValueStore::Operation> batch;
    for (const auto& [key, block] : changes) {
      batch.push_back({StoreKey(key), std::nullopt});
      if (block != nullptr) batch.back().value = EncodeIndexBlock(*block);
    }
    ASSERT_TRUE(store_->Write(std::move(batch)).ok());
  }
  IndexEntry Entry(QueueOffset offset) {
    const absl::StatusOr<const IndexBlock*> block = index_.Load(BlockOf(kQueue, offset));
    EXPECT_TRUE(block.ok()) << block.status();
    return block.ok() ? (*block)->entries.at(static_cast<size_t>(offset % kBlockEntries)) : IndexEntry();
  }
  bool IsResident(int64_t block) { return index_.Resident({kQueue, block}) != nullptr; }

  std::unique_ptr<storage::KeyValueStore> store_ = storage::NewMemoryStore();
  Index index_{store_.get(), /*max_clean_blocks=*/1};
  QueueOffset end_ = 0;
};

TEST_F(IndexTest, EntriesAreFoundByOffset) {
  FillTo(600);
  EXPECT_EQ(Entry(0), EntryOf(0));
  EXPECT_EQ(Entry(255), EntryOf(255));
  EXPECT_EQ(Entry(256), EntryOf(256));
  EXPECT_EQ(Entry(599), EntryOf(599));
}

TEST_F(IndexTest, DirtyBlocksStayInMemory) {
  FillTo(10 * kBlockEntries);
  for (int64_t block = 0; block < 10; ++block) EXPECT_TRUE(IsResident(block));
}

TEST_F(IndexTest, CleanBlocksLeaveAndAreReadAgain) {
  FillTo(10 * kBlockEntries);
  Checkpoint();
  EXPECT_EQ(index_.resident_blocks(), 1u);
  EXPECT_FALSE(IsResident(3));
  EXPECT_EQ(Entry(3 * kBlockEntries), EntryOf(3 * kBlockEntries));
  EXPECT_TRUE(IsResident(3));
}

TEST_F(IndexTest, TheBlockUsedLongestAgoLeavesFirst) {
  FillTo(3 * kBlockEntries);
  Entry(0);
  Checkpoint();
  EXPECT_TRUE(IsResident(0));
  EXPECT_FALSE(IsResident(2));
}

TEST_F(IndexTest, ReadingEverythingDoesNotKeepEverything) {
  FillTo(20 * kBlockEntries);
  Checkpoint();
  for (QueueOffset offset = 0; offset < end_; ++offset)
    EXPECT_EQ(Entry(offset), EntryOf(static_cast<uint64_t>(offset)));
  EXPECT_LE(index_.resident_blocks(), 3u);
}

TEST_F(IndexTest, AnEvictedTailIsReadBeforeItGrows) {
  FillTo(kBlockEntries + 5);
  Entry(0);
  Checkpoint();
  ASSERT_FALSE(IsResident(1));
  FillTo(kBlockEntries + 6);
  EXPECT_EQ(Entry(kBlockEntries + 4), EntryOf(kBlockEntries + 4));
  EXPECT_EQ(Entry(kBlockEntries + 5), EntryOf(kBlockEntries + 5));
}

TEST_F(IndexTest, ACheckpointHasOnlyWhatChanged) {
  FillTo(2 * kBlockEntries);
  EXPECT_EQ(Checkpoint().size(), 2u);
  EXPECT_TRUE(Checkpoint().empty());
  FillTo(2 * kBlockEntries + 1);
  EXPECT_EQ(Checkpoint().size(), 1u);
}

TEST_F(IndexTest, ABlockHandedToACheckpointDoesNotChangeUnderIt) {
  FillTo(5);
  const Index::Changes changes = index_.TakeChanges();
  FillTo(7);
  EXPECT_EQ(changes[0].second->entries.size(), 5u);
  EXPECT_EQ(Entry(6), EntryOf(6));
  Write(changes);
  index_.Written(changes, /*durable=*/true);
  EXPECT_EQ(Checkpoint().at(0).second->entries.size(), 7u) << "what came meanwhile is due in the next";
}

TEST_F(IndexTest, ABlockBeingWrittenIsNotEvicted) {
  FillTo(5 * kBlockEntries);
  const Index::Changes changes = index_.TakeChanges();
  index_.Written({}, /*durable=*/true);
  EXPECT_EQ(index_.resident_blocks(), 5u);
  Write(changes);
  index_.Written(changes, /*durable=*/true);
  EXPECT_EQ(index_.resident_blocks(), 1u);
}

TEST_F(IndexTest, AFailedCheckpointIsDueAgain) {
  FillTo(5);
  Checkpoint(/*durable=*/false);
  EXPECT_EQ(Checkpoint().size(), 1u);
  FillTo(2 * kBlockEntries);
  Checkpoint();
  index_.DropBelow(kQueue, 0, kBlockEntries);
  Checkpoint(/*durable=*/false);
  const Index::Changes again = Checkpoint();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].second, nullptr);
}

TEST_F(IndexTest, DroppedBlocksAreDeletedByTheNextCheckpoint) {
  FillTo(3 * kBlockEntries);
  Checkpoint();
  index_.DropBelow(kQueue, 0, 2 * kBlockEntries + 10);
  EXPECT_FALSE(IsResident(0));
  EXPECT_TRUE(store_->Get(StoreKey({kQueue, 0})).ok());
  Checkpoint();
  EXPECT_FALSE(store_->Get(StoreKey({kQueue, 0})).ok());
  EXPECT_FALSE(store_->Get(StoreKey({kQueue, 1})).ok());
  EXPECT_TRUE(store_->Get(StoreKey({kQueue, 2})).ok());
}

TEST_F(IndexTest, ABlockDroppedWhileItIsWrittenIsDeletedAfterwards) {
  FillTo(kBlockEntries);
  const Index::Changes changes = index_.TakeChanges();
  index_.DropBelow(kQueue, 0, kBlockEntries);
  Write(changes);
  index_.Written(changes, /*durable=*/true);
  EXPECT_TRUE(store_->Get(StoreKey({kQueue, 0})).ok());
  Checkpoint();
  EXPECT_FALSE(store_->Get(StoreKey({kQueue, 0})).ok());
}

TEST_F(IndexTest, AQueueMadeAgainStartsANewBlock) {
  FillTo(5);
  Checkpoint();
  index_.DropBelow(kQueue, 0, kBlockEntries);
  end_ = 0;
  FillTo(2);
  const Index::Changes changes = Checkpoint();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].second->entries.size(), 2u);
  EXPECT_EQ(DecodeIndexBlock(store_->Get(StoreKey({kQueue, 0})).value())->entries.size(), 2u);
}

TEST_F(IndexTest, AnInstalledBlockDoesNotReplaceANewerOne) {
  FillTo(3);
  index_.Install({kQueue, 0}, IndexBlock());
  EXPECT_EQ(Entry(2), EntryOf(2));
}

TEST_F(IndexTest, DeadLettersKeepTheirOriginThroughTheStore) {
  ASSERT_TRUE(index_.Append(kQueue, 0, EntryOf(0), Provenance{"t", "id", "why", 3}).ok());
  end_ = 1;
  FillTo(3 * kBlockEntries);
  Checkpoint();
  ASSERT_FALSE(IsResident(0));
  const absl::StatusOr<const IndexBlock*> block = index_.Load({kQueue, 0});
  ASSERT_TRUE(block.ok());
  EXPECT_EQ((*block)->provenance.at(0).reason, "why");
}

TEST_F(IndexTest, ADamagedOrMissingBlockIsDataLoss) {
  FillTo(3 * kBlockEntries);
  Checkpoint();
  ASSERT_TRUE(store_->Write({{StoreKey({kQueue, 0}), "damaged"}, {StoreKey({kQueue, 1}), std::nullopt}}).ok());
  EXPECT_EQ(index_.Load({kQueue, 0}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(index_.Load({kQueue, 1}).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(IndexTest, BlocksOfQueuesAndNumbersSortInTheStore) {
  EXPECT_LT(StoreKey({kQueue, 1}), StoreKey({kQueue, 256}));
  EXPECT_LT(StoreKey({kQueue, 1 << 20}), StoreKey({{TopicId(7), 3}, 0}));
  EXPECT_LT(StoreKey({{TopicId(7), 3}, 0}), StoreKey({{TopicId(8), 0}, 0}));
}

}  // namespace
}  // namespace barid::broker
