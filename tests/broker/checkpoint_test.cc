// What a checkpoint writes, a new process reads.
#include <string>
#include <utility>
#include <vector>

#include "broker/sealed_entry.h"
#include "tests/broker/state_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using enum absl::StatusCode;

class CheckpointTest : public StateTest {
 protected:
  // A state with an entry of every kind.
  void Live() {
    auto_renew_ = true;
    Configure();
    Configure(kOtherQueue);
    Send({10, 20, 30});
    SendMany(2 * kBlockEntries);
    Subscribe();
    Subscribe(2, kOtherGroup);
    Deliver(0, kBlockEntries + 4);
    Hold(Receipt(0), now_us_ + 3600 * kSecond);
    ShowAt(Receipt(1), now_us_);
    Undelivered(Receipt(2));
    Move(Receipt(3));
    SendMany(2, kOtherQueue);
    Delete(kOtherQueue);
    Expire(1);
    FillLogTo(4097);
  }
  // And a group that parks.
  void LiveInOrder() {
    Live();
    const GroupId ordered(5);
    SubscribeOrdered(1, ordered);
    log::Skip skip;
    skip.set_group_id(ordered.value());
    SetKey(skip.mutable_queue(), kQueue);
    skip.set_from(1);
    skip.set_to(10);
    for (QueueOffset offset = 3; offset < 9; ++offset) skip.add_parked_offsets(offset);
    EXPECT_TRUE(Apply(skip).status.ok());
    log::CommitOffset stored;
    stored.set_group_id(6);
    SetKey(stored.mutable_queue(), kQueue);
    stored.set_offset(7);
    EXPECT_TRUE(Apply(stored).status.ok());
    log::ConfigureQueue lite;
    lite.mutable_queue()->set_topic_id(9);
    lite.set_lite_topic("session-1");
    EXPECT_TRUE(Apply(lite).status.ok());
  }
  std::vector<std::string> Keys(const std::string& kind) {
    std::vector<std::string> keys;
    EXPECT_TRUE(store_
                    ->Scan(kind, std::string(1, static_cast<char>(kind[0] + 1)),
                           [&](absl::string_view key, absl::string_view) {
                             keys.emplace_back(key);
                             return true;
                           })
                    .ok());
    return keys;
  }
  void Overwrite(const std::string& key, std::string value) {
    ASSERT_TRUE(store_->Write({{key, std::move(value)}}).ok());
  }
};

TEST_F(CheckpointTest, AnEmptyStoreIsAnEmptyState) {
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->applied_index(), 0u);
  EXPECT_EQ(state_->log_start(), 1u);
  EXPECT_THAT(ReadCheckpointMeta(*store_).status(), HasCode(kNotFound));
}

TEST_F(CheckpointTest, LoadsWhatWasWritten) {
  Live();
  const uint64_t hash = state_->hash();
  const RecordInfo applied = state_->applied();
  const State::TrimPoint trim_point = state_->trim_point();
  const auto deadlines = state_->deadlines();
  const auto holders = state_->holders();
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->hash(), hash);
  EXPECT_EQ(state_->RecomputeHash().value(), hash);
  EXPECT_EQ(state_->VerifyCounts(), absl::OkStatus());
  EXPECT_EQ(state_->applied_index(), applied.index);
  EXPECT_EQ(state_->applied().epoch, applied.epoch);
  EXPECT_EQ(state_->applied().time_us, applied.time_us);
  EXPECT_EQ(state_->applied().position, applied.position);
  EXPECT_EQ(state_->applied().end_position, applied.end_position);
  EXPECT_EQ(state_->trim_point().log_start, trim_point.log_start);
  EXPECT_EQ(state_->trim_point().position, trim_point.position);
  EXPECT_EQ(state_->deadlines(), deadlines);
  EXPECT_EQ(state_->holders(), holders);
  EXPECT_THAT(cursor().again, ElementsAre(1, 2));
  EXPECT_EQ(delivery(1).nonce, Receipt(1).nonce());
  EXPECT_EQ(*delivery(1).client, "ann");
  EXPECT_EQ(delivery(2).attempts, 0);
  EXPECT_TRUE(queue(kOtherQueue).deleted);
}

TEST_F(CheckpointTest, AQueueThatWasWrittenBeforeThereWereTimersHasNone) {
  Configure();
  Send({1});
  WriteCheckpoint();
  const std::string key = Keys("q").front();
  std::string value = store_->Get(key).value();
  value.resize(value.size() - sizeof(uint32_t) - sizeof(int64_t));
  storage::KeyValueStore::Operation old = Sealed(key, value);
  Overwrite(key, *old.value);
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(queue().end, 1);
  EXPECT_EQ(queue().delayed, 0);
  EXPECT_EQ(state_->RecomputeHash().value(), state_->hash());
}

TEST_F(CheckpointTest, ItsMetaSaysWhichLogItCovers) {
  Live();
  WriteCheckpoint();
  const absl::StatusOr<CheckpointMeta> meta = ReadCheckpointMeta(*store_);
  ASSERT_TRUE(meta.ok());
  EXPECT_EQ(meta->applied.index, state_->applied_index());
  EXPECT_EQ(meta->applied.end_position, state_->applied().end_position);
  EXPECT_EQ(meta->log_start, state_->log_start());
  EXPECT_EQ(meta->hash, state_->hash());
}

TEST_F(CheckpointTest, HasOnlyWhatChanged) {
  Live();
  WriteCheckpoint();
  EXPECT_FALSE(state_->dirty());
  Ack(Receipt(1));
  EXPECT_TRUE(state_->dirty());
  const State::Checkpoint checkpoint = state_->TakeCheckpoint();
  EXPECT_THAT(checkpoint.operations, SizeIs(4))
      << "its meta, what the counts are of, one chunk of deliveries, and the group's counts";
  EXPECT_THAT(checkpoint.blocks, IsEmpty());
}

TEST_F(CheckpointTest, ManySmallOnesLoadAsOneLargeWould) {
  Configure();
  Subscribe();
  for (int i = 0; i < 20; ++i) {
    SendMany(40);
    WriteCheckpoint();
    Deliver(i * 40, i * 40 + 30);
    WriteCheckpoint();
    Skip(i * 40 + 30, i * 40 + 40);
    Ack(Receipt(i * 40 + 5));
    WriteCheckpoint();
  }
  Expire(500);
  WriteCheckpoint();
  const uint64_t hash = state_->hash();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->RecomputeHash().value(), hash);
}

TEST_F(CheckpointTest, WhatIsGoneIsDeleted) {
  Live();
  WriteCheckpoint();
  EXPECT_THAT(Keys("c"), SizeIs(2));
  EXPECT_THAT(Keys("d"), SizeIs(2));
  Close(kGroup);
  Close(kOtherGroup);
  Expire(2, kOtherQueue);
  WriteCheckpoint();
  EXPECT_THAT(Keys("c"), IsEmpty());
  EXPECT_THAT(Keys("d"), IsEmpty());
  EXPECT_THAT(Keys("q"), SizeIs(2)) << "kQueue and the dead letters";
}

TEST_F(CheckpointTest, TrimmedRangesAreDeleted) {
  Live();
  WriteCheckpoint();
  EXPECT_THAT(Keys("k"), SizeIs(2));
  Expire(9999);
  Expire(1, kDeadLetters);
  Expire(9999, kOtherQueue);
  EXPECT_TRUE(Trim(4096).status.ok());
  WriteCheckpoint();
  EXPECT_THAT(Keys("k"), SizeIs(1));
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->log_start(), 4096u);
}

TEST_F(CheckpointTest, ALoadedStateGoesOnWithTheNextRecord) {
  Live();
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(Send({1}).first_offset, 2 * kBlockEntries + 3);
  EXPECT_THAT(Ack(Receipt(0)).live, ElementsAre(false)) << "expired";
  EXPECT_THAT(Ack(Receipt(1)).live, ElementsAre(true));
}

TEST_F(CheckpointTest, TheRememberedHashSurvives) {
  Live();
  log::StateHash command;
  command.set_log_index(4096);
  command.set_hash(state_->hash());
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_TRUE(Apply(command).status.ok());
  command.set_hash(command.hash() + 1);
  EXPECT_THAT(TryApply(command).status(), HasCode(kDataLoss));
}

TEST_F(CheckpointTest, LoadingChangesNothing) {
  Live();
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_FALSE(state_->dirty());
  EXPECT_THAT(state_->TakeCheckpoint().operations, SizeIs(2)) << "only its meta, and what the counts are of";
}

// --- Damage ---

class DamagedCheckpointTest : public CheckpointTest, public ::testing::WithParamInterface<const char*> {
 protected:
  // Of lite topics a lite topic's, and not the one that has the last id.
  std::string AnyKey() {
    const std::vector<std::string> keys = Keys(GetParam());
    return GetParam() == std::string("l") ? keys.back() : keys.front();
  }
};

TEST_P(DamagedCheckpointTest, EveryFlippedBitIsDataLoss) {
  LiveInOrder();
  WriteCheckpoint();
  const std::string key = AnyKey();
  const std::string value = store_->Get(key).value();
  for (size_t byte = 0; byte < std::min<size_t>(value.size(), 100); ++byte) {
    std::string damaged = value;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << (byte % 8)));
    Overwrite(key, damaged);
    EXPECT_THAT(Reload(), HasCode(kDataLoss)) << byte;
  }
}

TEST_P(DamagedCheckpointTest, AShortEntryIsDataLoss) {
  LiveInOrder();
  WriteCheckpoint();
  const std::string key = AnyKey();
  const std::string value = store_->Get(key).value();
  for (size_t size = 0; size < std::min<size_t>(value.size(), 100); ++size) {
    Overwrite(key, value.substr(0, size));
    EXPECT_THAT(Reload(), HasCode(kDataLoss)) << size;
  }
}

TEST_P(DamagedCheckpointTest, AnEntryUnderAnotherKeyIsDataLoss) {
  LiveInOrder();
  WriteCheckpoint();
  const std::string key = AnyKey();
  const std::string value = store_->Get(key).value();
  std::string other = key;
  other.back() = static_cast<char>(other.back() + 64);
  if (key != "m") {
    Overwrite(other, value);
    EXPECT_THAT(Reload(), HasCode(kDataLoss));
  }
}

INSTANTIATE_TEST_SUITE_P(EveryKind, DamagedCheckpointTest, ::testing::Values("m", "q", "c", "d", "k", "w", "o", "l"));

TEST_F(CheckpointTest, DeliveriesWithoutTheirCursorAreDataLoss) {
  Live();
  WriteCheckpoint();
  ASSERT_TRUE(store_->Write({{Keys("c").front(), std::nullopt}}).ok());
  EXPECT_THAT(Reload(), HasCode(kDataLoss));
}

TEST_F(CheckpointTest, ADamagedIndexBlockIsDataLossWhenItIsRead) {
  Live();
  WriteCheckpoint();
  for (const std::string& key : Keys("i")) Overwrite(key, "damaged");
  ASSERT_TRUE(Reload().ok());
  log::Append append;
  SetKey(append.mutable_queue(), kQueue);
  append.add_entries()->set_bytes(1);
  EXPECT_THAT(TryApply(append).status(), HasCode(kDataLoss));
}

}  // namespace
}  // namespace barid::broker
