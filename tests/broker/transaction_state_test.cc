#include "tests/broker/state_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kLater = 2000 * kSecond;

class TransactionStateTest : public StateTest {
 protected:
  TransactionStateTest() { Configure(); }

  const absl::btree_map<TransactionKey, OpenTransaction>& open() const { return state_->transactions().open(); }
  const OpenTransaction& Open(const TransactionKey& key) const { return open().at(key); }
};

TEST_F(TransactionStateTest, APreparedMessageIsInNoQueue) {
  const Outcome outcome = Prepare({kLater, kLater + 1});
  EXPECT_EQ(outcome.status, absl::OkStatus());
  EXPECT_EQ(outcome.queue, kQueue);
  EXPECT_EQ(queue().end, 0);
  EXPECT_EQ(queue().bytes, 0);
  ASSERT_THAT(open(), SizeIs(2));
  EXPECT_EQ(Open(LastTransaction(1)).offset, Open(LastTransaction(0)).offset + 50);
  EXPECT_EQ(Open(LastTransaction(1)).check_at_us, kLater + 1);
}

TEST_F(TransactionStateTest, RefusesToPrepareForAQueueThatIsNotHere) {
  EXPECT_THAT(Prepare({kLater}, kOtherQueue).status, HasCode(absl::StatusCode::kNotFound));
  EXPECT_THAT(open(), IsEmpty());
}

TEST_F(TransactionStateTest, ACommittedMessageEntersItsQueueAndPointsToItsPrepare) {
  Prepare({kLater, kLater});
  const TransactionKey second = LastTransaction(1);
  const uint64_t position = Open(second).position;
  Send({10});
  now_us_ += 9 * kSecond;
  const Outcome outcome = Commit(second);
  ASSERT_THAT(outcome.ended, SizeIs(1));
  EXPECT_TRUE(outcome.ended[0].now);
  EXPECT_THAT(outcome.queues, ElementsAre(kQueue));
  EXPECT_EQ(queue().end, 2);
  const IndexEntry entry = Entry(1);
  EXPECT_EQ(entry.index, second.index);
  EXPECT_EQ(entry.position, position);
  EXPECT_EQ(entry.offset, 16u + 50);
  EXPECT_EQ(entry.bytes, 50u);
  EXPECT_EQ(entry.tag_hash, 7u);
  EXPECT_EQ(entry.time_us, now_us_) << "retention counts from the commit";
  EXPECT_THAT(open(), SizeIs(1));
}

TEST_F(TransactionStateTest, ARolledBackMessageEntersNothing) {
  Prepare({kLater});
  const Outcome outcome = RollBack(LastTransaction());
  EXPECT_TRUE(outcome.ended[0].now);
  EXPECT_THAT(outcome.queues, IsEmpty());
  EXPECT_EQ(queue().end, 0);
  EXPECT_THAT(open(), IsEmpty());
}

TEST_F(TransactionStateTest, ADiscardedMessageGoesWhereAnOperatorCanLook) {
  Prepare({kLater});
  const TransactionKey key = LastTransaction();
  Check(key, 0, kLater);
  Check(key, 1, kLater);
  const Outcome outcome = Discard(key);
  EXPECT_THAT(outcome.queues, ElementsAre(kDiscarded));
  EXPECT_EQ(queue().end, 0);
  EXPECT_EQ(queue(kDiscarded).end, 1);
  EXPECT_EQ(Entry(0, kDiscarded).index, key.index);
  const IndexBlock& block = *state_->index().Load(BlockOf(kDiscarded, 0)).value();
  ASSERT_TRUE(block.provenance.contains(0));
  EXPECT_EQ(block.provenance.at(0).reason, "no decision");
  EXPECT_EQ(block.provenance.at(0).topic, "orders");
  EXPECT_EQ(block.provenance.at(0).message_id, "id-1");
  EXPECT_EQ(block.provenance.at(0).attempts, 2);
}

TEST_F(TransactionStateTest, TheFirstEndDecidesAndIsRemembered) {
  Prepare({kLater, kLater, kLater});
  const TransactionKey committed = LastTransaction(0);
  const TransactionKey rolled_back = LastTransaction(1);
  const TransactionKey discarded = LastTransaction(2);
  Commit(committed);
  RollBack(rolled_back);
  Discard(discarded);
  for (const auto& [key, resolution] :
       {std::pair(committed, Resolution::kCommitted), std::pair(rolled_back, Resolution::kRolledBack),
        std::pair(discarded, Resolution::kDiscarded)}) {
    for (const Outcome& outcome : {Commit(key), RollBack(key)}) {
      EXPECT_FALSE(outcome.ended[0].now);
      EXPECT_EQ(outcome.ended[0].before, resolution);
      EXPECT_THAT(outcome.queues, IsEmpty());
    }
  }
  EXPECT_EQ(queue().end, 1);
}

TEST_F(TransactionStateTest, OnlyTheNewestEndsAreRemembered) {
  remembered_ = 2;
  Prepare({kLater, kLater, kLater});
  const LogIndex prepare = state_->applied_index();
  for (uint32_t entry = 0; entry < 3; ++entry) Commit({prepare, entry});
  EXPECT_EQ(Commit({prepare, 0}).ended[0].before, std::nullopt);
  EXPECT_EQ(Commit({prepare, 1}).ended[0].before, Resolution::kCommitted);
  EXPECT_EQ(Commit({prepare, 2}).ended[0].before, Resolution::kCommitted);
  EXPECT_EQ(queue().end, 3);
}

TEST_F(TransactionStateTest, SomeOfARecordEndAndOthersHaveEnded) {
  Prepare({kLater, kLater});
  const TransactionKey first = LastTransaction(0);
  const TransactionKey second = LastTransaction(1);
  Commit(first);
  const Outcome outcome = End({first, second, second, {999, 0}}, log::EndTransaction::Entry::COMMIT);
  ASSERT_THAT(outcome.ended, SizeIs(4));
  EXPECT_TRUE(outcome.ended[0].before);
  EXPECT_TRUE(outcome.ended[1].now);
  EXPECT_TRUE(outcome.ended[2].before);
  EXPECT_TRUE(!outcome.ended[3].now && !outcome.ended[3].before);
  EXPECT_EQ(queue().end, 2);
}

TEST_F(TransactionStateTest, AnEndOfAKindThatIsNotKnownIsDamage) {
  Prepare({kLater});
  log::EndTransaction command;
  command.add_entries()->mutable_transaction()->set_log_index(LastTransaction().index);
  EXPECT_THAT(TryApply(command).status(), HasCode(absl::StatusCode::kDataLoss));
}

TEST_F(TransactionStateTest, ACheckCountsAndPutsOffTheNextOnce) {
  Prepare({kLater});
  const TransactionKey key = LastTransaction();
  EXPECT_THAT(Check(key, 0, kLater + 5).live, ElementsAre(true));
  EXPECT_EQ(Open(key).checks, 1u);
  EXPECT_EQ(Open(key).check_at_us, kLater + 5);
  EXPECT_THAT(Check(key, 0, kLater + 9).live, ElementsAre(false)) << "it was asked about since";
  EXPECT_EQ(Open(key).check_at_us, kLater + 5);
  EXPECT_THAT(state_->transactions().due(), ElementsAre(std::pair(kLater + 5, key)));
  Commit(key);
  EXPECT_THAT(Check(key, 1, kLater).live, ElementsAre(false));
  EXPECT_THAT(state_->transactions().due(), IsEmpty());
}

TEST_F(TransactionStateTest, ADeletedQueueDropsItsTransactions) {
  Configure(kOtherQueue);
  Prepare({kLater});
  const TransactionKey dropped = LastTransaction();
  Prepare({kLater}, kOtherQueue);
  const TransactionKey other = LastTransaction();
  Delete();
  EXPECT_EQ(state_->FindQueue(kQueue), nullptr) << "nothing is left of it";
  const Outcome outcome = Commit(dropped);
  EXPECT_FALSE(outcome.ended[0].now);
  EXPECT_FALSE(outcome.ended[0].before);
  EXPECT_THAT(open(), SizeIs(1));
  EXPECT_TRUE(Commit(other).ended[0].now);
}

TEST_F(TransactionStateTest, AnOpenTransactionKeepsItsLog) {
  FillLogTo(4100);
  Prepare({kLater});
  const TransactionKey key = LastTransaction();
  FillLogTo(9000);
  EXPECT_THAT(Trim(8192).status, HasCode(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Trim(4096).status, absl::OkStatus());
  RollBack(key);
  EXPECT_EQ(Trim(8192).status, absl::OkStatus());
}

TEST_F(TransactionStateTest, ACommittedMessageKeepsTheLogOfItsPrepare) {
  FillLogTo(4100);
  Prepare({kLater});
  const TransactionKey key = LastTransaction();
  FillLogTo(9000);
  Commit(key);
  EXPECT_THAT(Trim(8192).status, HasCode(absl::StatusCode::kFailedPrecondition));
  Expire(1);
  EXPECT_EQ(Trim(8192).status, absl::OkStatus());
}

TEST_F(TransactionStateTest, SurvivesACheckpoint) {
  Prepare({kLater, kLater, kLater, kLater});
  const LogIndex prepare = state_->applied_index();
  Check({prepare, 0}, 0, kLater + 7);
  Commit({prepare, 1});
  WriteCheckpoint();
  RollBack({prepare, 2});
  Prepare({kLater});
  const TransactionKey late = LastTransaction();
  Discard(late);
  WriteCheckpoint();
  const auto before = open();
  const uint64_t hash = state_->hash();
  ASSERT_EQ(Reload(), absl::OkStatus());
  EXPECT_EQ(state_->hash(), hash);
  EXPECT_EQ(state_->RecomputeHash().value(), hash);
  EXPECT_EQ(open(), before);
  EXPECT_EQ(Open({prepare, 0}).checks, 1u);
  EXPECT_EQ(Commit({prepare, 1}).ended[0].before, Resolution::kCommitted);
  EXPECT_EQ(Commit({prepare, 2}).ended[0].before, Resolution::kRolledBack);
  EXPECT_EQ(Commit(late).ended[0].before, Resolution::kDiscarded);
  EXPECT_TRUE(Commit({prepare, 3}).ended[0].now);
}

TEST_F(TransactionStateTest, WhatIsForgottenLeavesTheStore) {
  remembered_ = 1;
  Prepare({kLater, kLater});
  const LogIndex prepare = state_->applied_index();
  Commit({prepare, 0});
  WriteCheckpoint();
  FillLogTo(600);
  Commit({prepare, 1});
  WriteCheckpoint();
  ASSERT_EQ(Reload(), absl::OkStatus());
  EXPECT_EQ(state_->transactions().ended(), 1u);
  EXPECT_EQ(state_->RecomputeHash().value(), state_->hash());
  int entries = 0;
  ASSERT_EQ(store_->Scan("x", "z", [&](absl::string_view, absl::string_view) { return ++entries > 0; }),
            absl::OkStatus());
  EXPECT_EQ(entries, 1);
}

TEST_F(TransactionStateTest, AShortTransactionCostsTheStoreNothing) {
  Prepare({kLater});
  RollBack(LastTransaction());
  const State::Checkpoint checkpoint = state_->TakeCheckpoint();
  for (const auto& operation : checkpoint.operations) EXPECT_NE(operation.key[0], 'x');
}

TEST_F(TransactionStateTest, ACheckpointEntryOfATransactionIsVerified) {
  Prepare({kLater});
  WriteCheckpoint();
  std::string name;
  std::string value;
  ASSERT_EQ(store_->Scan("x", "y",
                         [&](absl::string_view key, absl::string_view bytes) {
                           name = std::string(key);
                           value = std::string(bytes);
                           return true;
                         }),
            absl::OkStatus());
  value[0] ^= 1;
  ASSERT_EQ(store_->Write({{name, value}}), absl::OkStatus());
  EXPECT_THAT(Reload(), HasCode(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace barid::broker
