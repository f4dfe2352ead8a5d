// Message groups in ordered cursors: runs, locks, parked messages, attempt ids.
#include <utility>
#include <vector>

#include "tests/broker/state_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using enum absl::StatusCode;

constexpr uint64_t kA = 11;  // Message groups.
constexpr uint64_t kB = 12;

class OrderedCursorTest : public StateTest {
 protected:
  void Begin(const std::vector<uint64_t>& message_groups) {
    Configure();
    SendGrouped(message_groups);
    SubscribeOrdered();
  }
  static std::vector<QueueOffset> Kept(const Outcome& outcome) {
    std::vector<QueueOffset> offsets;
    for (const Outcome::Delivered& d : outcome.delivered) offsets.push_back(d.offset);
    return offsets;
  }
};

// --- Runs ---

TEST_F(OrderedCursorTest, OneRecordMayCarryARunOfAMessageGroup) {
  Begin({kA, kA, kB, kA});
  EXPECT_THAT(Kept(DeliverOrdered(4, {0, 1, 2, 3}, {})), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(cursor().LocksOf(kA), 3);
  EXPECT_TRUE(cursor().IsLocked(kB));
}

TEST_F(OrderedCursorTest, WhatFollowsALockedMessageIsParkedAndNotDelivered) {
  Begin({kA, kA, kB});
  DeliverOrdered(1, {0}, {});
  EXPECT_THAT(Kept(DeliverOrdered(3, {1, 2}, {})), ElementsAre(2));
  EXPECT_THAT(Parked(), ElementsAre(1));
  EXPECT_THAT(Offered(), IsEmpty());
  EXPECT_EQ(cursor().floor(), 0);
}

TEST_F(OrderedCursorTest, SettlingUnlocksAndOffersWhatWasParked) {
  Begin({kA, kA, kA});
  DeliverOrdered(3, {0}, {1, 2});
  Ack(Receipt(0));
  EXPECT_FALSE(cursor().IsLocked(kA));
  EXPECT_THAT(Offered(), ElementsAre(1));
  EXPECT_EQ(cursor().floor(), 1);
  EXPECT_THAT(Kept(DeliverOrdered(3, {}, {}, {1, 2})), ElementsAre(1, 2));
  EXPECT_THAT(Parked(), IsEmpty());
  EXPECT_EQ(delivery(2).attempts, 1);
}

TEST_F(OrderedCursorTest, WhatIsParkedAfterTheLockIsGoneIsOfferedAtOnce) {
  Begin({kA, kA});
  DeliverOrdered(1, {0}, {});
  Ack(Receipt(0));
  EXPECT_THAT(DeliverOrdered(2, {}, {1}).status, HasCode(kAborted));  // Nothing was delivered, but it is parked.
  EXPECT_THAT(Offered(), ElementsAre(1));
}

TEST_F(OrderedCursorTest, AMessageGroupIsLockedUntilEachOfItsRunIsSettledOrVisible) {
  Begin({kA, kA, kA});
  DeliverOrdered(3, {0, 1}, {2});
  Ack(Receipt(0));
  EXPECT_TRUE(cursor().IsLocked(kA));
  EXPECT_THAT(Offered(), IsEmpty());
  Ack(Receipt(1));
  EXPECT_THAT(Offered(), ElementsAre(2));
}

TEST_F(OrderedCursorTest, RedeliveryStartsAtTheFirstUnsettledMessage) {
  Begin({kA, kA, kA});
  DeliverOrdered(3, {0, 1, 2}, {});
  Ack(Receipt(0));
  now_us_ += 31 * kSecond;
  Lapse(Receipt(2));
  EXPECT_THAT(Offered(), IsEmpty());  // 1 is still held.
  Lapse(Receipt(1));
  EXPECT_THAT(Offered(), ElementsAre(1));
  EXPECT_THAT(Kept(DeliverOrdered(3, {}, {}, {}, {2})), IsEmpty());
  EXPECT_THAT(Kept(DeliverOrdered(3, {}, {}, {}, {1, 2})), ElementsAre(1, 2));
  EXPECT_EQ(delivery(2).attempts, 2);
}

TEST_F(OrderedCursorTest, ARunMayGoOnFromWhatCameBackToWhatWasParkedAndWhatIsNew) {
  Begin({kA, kA, kA, kA});
  DeliverOrdered(3, {0}, {1, 2});
  ShowAt(Receipt(0), now_us_);
  EXPECT_THAT(Kept(DeliverOrdered(4, {3}, {}, {1, 2}, {0})), ElementsAre(0, 1, 2, 3));
}

TEST_F(OrderedCursorTest, ARunHasNoHoles) {
  Begin({kA, kA, kA, kA});
  DeliverOrdered(3, {0}, {1, 2});
  Undelivered(Receipt(0));
  EXPECT_THAT(Kept(DeliverOrdered(4, {3}, {}, {2}, {0})), ElementsAre(0));
  EXPECT_THAT(Parked(), ElementsAre(1, 2, 3));
}

TEST_F(OrderedCursorTest, AParkedMessageStopsWhatIsNewInTheSameRecord) {
  Begin({kA, kB, kA});
  EXPECT_THAT(Kept(DeliverOrdered(3, {1, 2}, {0})), ElementsAre(1));
  EXPECT_THAT(Parked(), ElementsAre(0, 2));
  EXPECT_THAT(Offered(), ElementsAre(0));
}

TEST_F(OrderedCursorTest, AReturnedMessageKeepsItsGroupLockedUntilItsTime) {
  Begin({kA, kA, kB});
  DeliverOrdered(2, {0}, {1});
  ShowAt(Receipt(0), now_us_ + 5 * kSecond);
  EXPECT_TRUE(cursor().IsLocked(kA));
  EXPECT_THAT(Kept(DeliverOrdered(3, {2}, {}, {1})), ElementsAre(2));
  now_us_ += 6 * kSecond;
  Lapse(Receipt(0));
  EXPECT_THAT(Offered(), ElementsAre(0));
}

TEST_F(OrderedCursorTest, MessagesWithoutAMessageGroupLockNothing) {
  Begin({0, 0, 0});
  EXPECT_THAT(Kept(DeliverOrdered(1, {0}, {})), ElementsAre(0));
  EXPECT_THAT(Kept(DeliverOrdered(3, {1, 2}, {})), ElementsAre(1, 2));
  ShowAt(Receipt(2), now_us_);
  ShowAt(Receipt(1), now_us_);
  EXPECT_THAT(Offered(), ElementsAre(1, 2));
  EXPECT_THAT(Kept(DeliverOrdered(3, {}, {}, {}, {2})), ElementsAre(2));
}

TEST_F(OrderedCursorTest, AnUnorderedCursorKnowsNoMessageGroups) {
  Configure();
  SendGrouped({kA, kA});
  Subscribe();
  Deliver(0, 1);
  EXPECT_THAT(Kept(Deliver(1, 2)), ElementsAre(1));
  EXPECT_EQ(delivery(0).message_group, 0u);
  EXPECT_TRUE(cursor().locks.empty());
}

// --- What else takes messages away ---

TEST_F(OrderedCursorTest, ADeadLetterUnlocksItsMessageGroup) {
  Begin({kA, kA});
  DeliverOrdered(2, {0}, {1});
  Move(Receipt(0));
  EXPECT_THAT(Offered(), ElementsAre(1));
  EXPECT_EQ(Entry(0, kDeadLetters).message_group, kA);
}

TEST_F(OrderedCursorTest, ExpiryDropsWhatIsParkedAndUnlocks) {
  Begin({kA, kA, kA, kB, kB});
  DeliverOrdered(5, {0, 3}, {1, 2, 4});
  Expire(2);
  EXPECT_THAT(Parked(), ElementsAre(2, 4));
  EXPECT_THAT(Offered(), ElementsAre(2));
}

TEST_F(OrderedCursorTest, ASkipParksAndSettlesWhatIsUnwanted) {
  Begin({kA, kA, kB, kA});
  DeliverOrdered(1, {0}, {});
  log::Skip skip;
  skip.set_group_id(kGroup.value());
  SetKey(skip.mutable_queue(), kQueue);
  skip.set_from(1);
  skip.set_to(4);
  skip.add_parked_offsets(1);
  skip.add_parked_offsets(3);
  EXPECT_THAT(Apply(skip).status, HasCode(kOk));
  EXPECT_THAT(Parked(), ElementsAre(1, 3));  // 2 is settled.
  skip.clear_parked_offsets();
  skip.add_unwanted_offsets(1);
  skip.add_unwanted_offsets(2);
  EXPECT_THAT(Apply(skip).status, HasCode(kOk));
  EXPECT_THAT(Parked(), ElementsAre(3));
  EXPECT_THAT(Apply(skip).status, HasCode(kAborted));
}

TEST_F(OrderedCursorTest, ClosingTheGroupDropsEverything) {
  Begin({kA, kA, kB});
  const uint64_t before = state_->hash();
  DeliverOrdered(3, {0}, {1, 2});
  Close();
  EXPECT_EQ(state_->FindCursor({kGroup, kQueue}), nullptr);
  SubscribeOrdered();
  EXPECT_EQ(state_->hash(), before);
}

TEST_F(OrderedCursorTest, AHeldMessageLocksUntilItsClientIsGone) {
  auto_renew_ = true;
  Begin({kA, kA});
  DeliverOrdered(2, {0}, {1});
  Hold(Receipt(0), now_us_ + 10'000 * kSecond);
  Gone("ann", now_us_ + 5 * kSecond);
  EXPECT_THAT(Offered(), IsEmpty());
  now_us_ += 6 * kSecond;
  Lapse(Receipt(0));
  EXPECT_THAT(Offered(), ElementsAre(0));
}

// --- Attempt ids ---

TEST_F(OrderedCursorTest, ARepeatedAttemptRenewsTheTimeAndKeepsAttemptAndNonce) {
  Begin({kA, kA, kB});
  DeliverOrdered(3, {0, 1, 2}, {});
  const LogIndex nonce = delivery(0).nonce;
  Ack(Receipt(0));
  EXPECT_THAT(cursor().by_attempt, ElementsAre(Pair(99, 1), Pair(99, 2)));
  now_us_ += 20 * kSecond;
  const Outcome outcome = Redeliver({1, 2});
  EXPECT_THAT(Kept(outcome), ElementsAre(1, 2));
  EXPECT_EQ(outcome.delivered[0].nonce, nonce);
  EXPECT_EQ(outcome.delivered[0].attempt, 1);
  EXPECT_EQ(delivery(1).invisible_until, now_us_ + 30 * kSecond);
  Ack(Receipt(1));
  EXPECT_THAT(Kept(Redeliver({1, 2})), ElementsAre(2));
}

TEST_F(OrderedCursorTest, AnAttemptIdOpensOnlyItsOwnBatch) {
  Begin({kA, kB});
  DeliverOrdered(2, {0, 1}, {});
  EXPECT_THAT(Redeliver({0, 1}, 98).status, HasCode(kAborted));
  EXPECT_THAT(Redeliver({0, 1}, 99, "bob").status, HasCode(kAborted));
  ShowAt(Receipt(0), now_us_ + kSecond);  // So its answer was seen.
  EXPECT_THAT(Kept(Redeliver({0, 1})), ElementsAre(1));
  now_us_ += 31 * kSecond;
  Lapse(Receipt(1));
  EXPECT_THAT(Redeliver({1}).status, HasCode(kAborted));
  Close();
  EXPECT_THAT(Redeliver({1}).status, HasCode(kNotFound));
}

// --- Checkpoints ---

TEST_F(OrderedCursorTest, ACheckpointKeepsOrderParkedMessagesAndLocks) {
  Begin(std::vector<uint64_t>(600, kA));
  std::vector<QueueOffset> parked;
  for (QueueOffset offset = 1; offset < 600; ++offset) parked.push_back(offset);
  DeliverOrdered(600, {0}, parked);
  WriteCheckpoint();
  const uint64_t hash = state_->hash();
  ASSERT_EQ(Reload(), absl::OkStatus());
  EXPECT_EQ(state_->hash(), hash);
  EXPECT_EQ(state_->RecomputeHash().value(), hash);
  EXPECT_TRUE(cursor().ordered);
  EXPECT_EQ(Parked().size(), 599u);
  EXPECT_TRUE(cursor().IsLocked(kA));
  Ack(Receipt(0));
  EXPECT_THAT(Offered(), ElementsAre(1));
  DeliverOrdered(600, {}, {}, parked);
  WriteCheckpoint();
  ASSERT_EQ(Reload(), absl::OkStatus());
  EXPECT_THAT(Parked(), IsEmpty());
  EXPECT_EQ(cursor().LocksOf(kA), 599);
}

}  // namespace
}  // namespace barid::broker
