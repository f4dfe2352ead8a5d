#include "broker/state.h"

#include <utility>
#include <vector>

#include "tests/broker/state_fixture.h"

namespace barid::broker {

// Found by GoogleTest in failure messages and by ElementsAre.
static bool operator==(const Outcome::Delivered& a, const Outcome::Delivered& b) {
  return a.offset == b.offset && a.attempt == b.attempt;
}
static void PrintTo(const Outcome::Delivered& d, std::ostream* out) { *out << d.offset << " attempt " << d.attempt; }

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using enum absl::StatusCode;

Outcome::Delivered First(QueueOffset offset) { return {offset, 1}; }

// --- The log itself ---

TEST_F(StateTest, AnEpochStartOnlyMovesTheLog) {
  const uint64_t before = state_->hash();
  EXPECT_THAT(Apply(log::EpochStart()).status, HasCode(kOk));
  EXPECT_EQ(state_->applied_index(), 1u);
  EXPECT_EQ(state_->hash(), before);
}

TEST_F(StateTest, ARecordWithoutACommandIsDamage) {
  EXPECT_THAT(TryApply(Command()).status(), HasCode(kDataLoss));
  EXPECT_EQ(state_->applied_index(), 0u);
}

using StateDeathTest = StateTest;

TEST_F(StateDeathTest, RecordsAreAppliedWithoutGaps) {
  RecordInfo record;
  record.index = 2;
  EXPECT_DEATH(state_->Apply(record, log::EpochStart()).IgnoreError(), "");
}

TEST_F(StateDeathTest, TimeNeverGoesBack) {
  Configure();
  now_us_ -= 1;
  EXPECT_DEATH(TryApply(log::EpochStart()).IgnoreError(), "");
}

// --- ConfigureQueue ---

TEST_F(StateTest, AQueueIsMadeOnce) {
  EXPECT_THAT(Configure().status, HasCode(kOk));
  EXPECT_EQ(queue().end, 0);
  EXPECT_THAT(Configure().status, HasCode(kAlreadyExists));
}

TEST_F(StateTest, AnEmptyQueueGoesAtOnceWhenDeleted) {
  Configure();
  EXPECT_THAT(Delete().status, HasCode(kOk));
  EXPECT_EQ(state_->FindQueue(kQueue), nullptr);
  EXPECT_THAT(Delete().status, HasCode(kNotFound));
  EXPECT_EQ(state_->hash(), 0u);
}

TEST_F(StateTest, ADeletedQueueLosesItsCursorsAndKeepsItsEntriesUntilTheyExpire) {
  Configure();
  Send({1, 2});
  Subscribe();
  Deliver(0, 1);
  EXPECT_THAT(Delete().status, HasCode(kOk));
  EXPECT_EQ(state_->FindCursor({kGroup, kQueue}), nullptr);
  EXPECT_THAT(state_->deadlines(), IsEmpty());
  EXPECT_EQ(queue().end, 2);
  EXPECT_THAT(Delete().status, HasCode(kNotFound));
  Expire(2);
  EXPECT_EQ(state_->FindQueue(kQueue), nullptr);
  EXPECT_EQ(state_->hash(), 0u);
}

TEST_F(StateTest, DeletingAQueueLeavesOtherQueuesAlone) {
  Configure();
  Configure(kOtherQueue);
  Subscribe();
  Subscribe(0, kGroup, kOtherQueue);
  Delete();
  EXPECT_NE(state_->FindQueue(kOtherQueue), nullptr);
  EXPECT_NE(state_->FindCursor({kGroup, kOtherQueue}), nullptr);
}

TEST_F(StateTest, ADeletedQueueTakesNothing) {
  Configure();
  Send({1});
  Delete();
  EXPECT_THAT(Send({1}).status, HasCode(kNotFound));
  EXPECT_THAT(Subscribe().status, HasCode(kNotFound));
  EXPECT_THAT(Deliver(0, 1).status, HasCode(kNotFound));
  EXPECT_EQ(queue().end, 1);
}

TEST_F(StateTest, AQueueThatIsMadeAgainStartsEmpty) {
  Configure();
  Send({1, 2});
  Delete();
  Expire(2);
  Configure();
  EXPECT_EQ(Send({5}).first_offset, 0);
  EXPECT_EQ(queue().bytes, 5);
  EXPECT_EQ(Entry(0).bytes, 5u);
}

TEST_F(StateTest, ADeletedQueueStaysUntilItsTimersAreCancelled) {
  Configure();
  Schedule({now_us_ + kSecond});
  const log::TimerRef timer = LastTimer(now_us_ + kSecond);
  Delete();
  EXPECT_EQ(queue().delayed, 1);
  EXPECT_THAT(Schedule({now_us_ + kSecond}).status, HasCode(kNotFound));
  EXPECT_THAT(Cancel({timer}).live, ElementsAre(true));
  EXPECT_EQ(state_->FindQueue(kQueue), nullptr);
  EXPECT_EQ(state_->hash(), 0u);
}

TEST_F(StateTest, ATimerThatFiresIntoADeletedQueueExpiresThere) {
  Configure();
  Schedule({now_us_ + kSecond});
  const log::TimerRef timer = LastTimer(now_us_ + kSecond);
  Delete();
  now_us_ += kSecond;
  EXPECT_THAT(Fire({timer}).live, ElementsAre(true));
  EXPECT_NE(state_->FindQueue(kQueue), nullptr);
  Expire(1);
  EXPECT_EQ(state_->FindQueue(kQueue), nullptr);
}

TEST_F(StateTest, AQueueThatHadExpiredBeforeItWasDeletedLeavesNoBlockBehind) {
  Configure();
  Send({1, 2});
  Expire(2);
  WriteCheckpoint();
  Delete();
  WriteCheckpoint();
  EXPECT_THAT(store_->Get(StoreKey(BlockOf(kQueue, 0))).status(), HasCode(kNotFound));
}

// --- Scheduled messages ---

TEST_F(StateTest, AScheduledMessageEntersItsQueueWhenItsTimerFires) {
  Configure();
  Subscribe();
  Send({10});
  const int64_t due = now_us_ + 5 * kSecond;
  EXPECT_THAT(Schedule({due}).entered, ElementsAre(std::nullopt));
  const log::TimerRef timer = LastTimer(due);
  const uint64_t position = state_->applied().position;
  EXPECT_EQ(queue().end, 1);
  EXPECT_EQ(queue().delayed, 1);
  Send({20});
  now_us_ = due + 1;
  const Outcome fired = Fire({timer});
  EXPECT_THAT(fired.live, ElementsAre(true));
  EXPECT_THAT(fired.queues, ElementsAre(kQueue));
  EXPECT_EQ(queue().end, 3);
  EXPECT_EQ(queue().delayed, 0);
  const IndexEntry entry = Entry(2);
  EXPECT_EQ(entry.index, timer.log_index()) << "it points at the record that has the body";
  EXPECT_EQ(entry.position, position);
  EXPECT_EQ(entry.offset, 16u);
  EXPECT_EQ(entry.bytes, 50u);
  EXPECT_EQ(entry.tag_hash, 7u);
  EXPECT_EQ(entry.time_us, due + 1) << "retention counts from here";
}

TEST_F(StateTest, WhatIsDueAlreadyEntersAtOnce) {
  Configure();
  const int64_t later = now_us_ + 1;
  EXPECT_THAT(Schedule({later, now_us_, 0, later}).entered, ElementsAre(std::nullopt, 0, 1, std::nullopt));
  EXPECT_EQ(Entry(0).offset, 16u + 50);
  EXPECT_EQ(Entry(1).offset, 16u + 100);
  const log::TimerRef last = LastTimer(later, 3);
  now_us_ = later;
  EXPECT_THAT(Fire({last}).live, ElementsAre(true));
  EXPECT_EQ(Entry(2).offset, 16u + 150);
}

TEST_F(StateTest, ATimerNeverFiresEarly) {
  Configure();
  Schedule({now_us_ + 1});
  const log::TimerRef timer = LastTimer(now_us_ + 1);
  EXPECT_THAT(Fire({timer}).live, ElementsAre(false));
  EXPECT_EQ(queue().delayed, 1);
  now_us_ += 1;
  EXPECT_THAT(Fire({timer}).live, ElementsAre(true));
}

TEST_F(StateTest, ATimerFiresOnce) {
  Configure();
  Schedule({now_us_ + 1});
  const log::TimerRef timer = LastTimer(now_us_ + 1);
  now_us_ += 1;
  EXPECT_THAT(Fire({timer, timer}).live, ElementsAre(true, false));
  EXPECT_THAT(Fire({timer}).live, ElementsAre(false));
  EXPECT_EQ(queue().end, 1);
}

TEST_F(StateTest, AMessageIsRecalledOrDeliveredAndNeverBoth) {
  Configure();
  Schedule({now_us_ + 1, now_us_ + 1});
  const log::TimerRef recalled = LastTimer(now_us_ + 1, 0);
  const log::TimerRef delivered = LastTimer(now_us_ + 1, 1);
  now_us_ += 1;
  EXPECT_THAT(Cancel({recalled}).live, ElementsAre(true));
  EXPECT_THAT(Fire({recalled, delivered}).live, ElementsAre(false, true));
  EXPECT_THAT(Cancel({recalled, delivered}).live, ElementsAre(false, false));
  EXPECT_EQ(queue().end, 1);
}

TEST_F(StateTest, ATimerKeepsTheLogThatHasItsMessage) {
  Configure();
  Schedule({now_us_ + kSecond});
  const log::TimerRef timer = LastTimer(now_us_ + kSecond);
  FillLogTo(3 * 4096);
  EXPECT_EQ(state_->trim_point().log_start, 1u);
  now_us_ += kSecond;
  Fire({timer});
  EXPECT_EQ(state_->trim_point().log_start, 1u) << "now its entry does";
  Expire(1);
  EXPECT_EQ(state_->trim_point().log_start, 3u * 4096);
}

TEST_F(StateTest, ARecalledMessageLetsTheLogGo) {
  Configure();
  Schedule({now_us_ + kSecond});
  const log::TimerRef timer = LastTimer(now_us_ + kSecond);
  FillLogTo(3 * 4096);
  Cancel({timer});
  EXPECT_EQ(state_->trim_point().log_start, 3u * 4096);
}

TEST_F(StateTest, AScheduleForAnUnknownQueueIsRefused) {
  EXPECT_THAT(Schedule({now_us_ + 1}).status, HasCode(kNotFound));
  EXPECT_THAT(Fire({LastTimer(now_us_ + 1)}).live, ElementsAre(false));
  EXPECT_EQ(state_->hash(), 0u);
}

TEST_F(StateTest, FarTimersFireAndAreRecalledAfterARestart) {
  Configure();
  std::vector<log::TimerRef> timers;
  for (int i = 1; i <= 4; ++i) {
    Schedule({now_us_ + i});
    timers.push_back(LastTimer(now_us_ + i));
  }
  const uint64_t hash = state_->hash();
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->timers().resident(), 0u);
  EXPECT_EQ(state_->hash(), hash);
  EXPECT_EQ(queue().delayed, 4);
  now_us_ += 10;
  EXPECT_THAT(Cancel({timers[3]}).live, ElementsAre(true));
  EXPECT_THAT(Fire({timers[0], timers[3], timers[2]}).live, ElementsAre(true, false, true));
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(queue().delayed, 1);
  EXPECT_THAT(Fire(timers).live, ElementsAre(false, true, false, false));
}

// --- Append ---

TEST_F(StateTest, AppendedMessagesGetTheNextOffsets) {
  Configure();
  EXPECT_EQ(Send({10}).first_offset, 0);
  const Outcome outcome = Send({20, 30});
  EXPECT_EQ(outcome.queue, kQueue);
  EXPECT_EQ(outcome.first_offset, 1);
  EXPECT_EQ(queue().end, 3);
  EXPECT_EQ(queue().bytes, 60);
}

TEST_F(StateTest, EntriesPointIntoTheirRecord) {
  Configure();
  now_us_ += 5;
  Send({10, 20, 30});
  const IndexEntry entry = Entry(2);
  EXPECT_EQ(entry.index, 2u);
  EXPECT_EQ(entry.position, 64u);
  EXPECT_EQ(entry.offset, 16u + 10 + 20);
  EXPECT_EQ(entry.bytes, 30u);
  EXPECT_EQ(entry.tag_hash, 300u);
  EXPECT_EQ(entry.time_us, now_us_);
}

TEST_F(StateTest, AnAppendToAnUnknownQueueIsRefused) {
  EXPECT_THAT(Send({1}).status, HasCode(kNotFound));
  EXPECT_EQ(state_->FindQueue(kQueue), nullptr);
}

// --- OpenCursor ---

TEST_F(StateTest, AGroupStartsWhereItSays) {
  Configure();
  SendMany(5);
  EXPECT_THAT(Subscribe(3).status, HasCode(kOk));
  EXPECT_EQ(cursor().next, 3);
  EXPECT_EQ(cursor().floor(), 3);
}

TEST_F(StateTest, AStartOutsideOfTheQueueIsTheNearestInside) {
  Configure();
  SendMany(5);
  Expire(2);
  Subscribe(0, kGroup);
  Subscribe(99, kOtherGroup);
  EXPECT_EQ(cursor(kGroup).next, 2);
  EXPECT_EQ(cursor(kOtherGroup).next, 5);
}

TEST_F(StateTest, ACursorIsOpenedOnce) {
  Configure();
  SendMany(5);
  Subscribe(3);
  EXPECT_THAT(Subscribe(0).status, HasCode(kAlreadyExists));
  EXPECT_EQ(cursor().next, 3);
}

TEST_F(StateTest, ACursorNeedsAQueue) { EXPECT_THAT(Subscribe().status, HasCode(kNotFound)); }

// --- Deliver and Skip ---

class DeliveryTest : public StateTest {
 protected:
  DeliveryTest() {
    Configure();
    SendMany(6);
    Subscribe();
  }
};

TEST_F(DeliveryTest, DeliveredMessagesAreInFlight) {
  EXPECT_THAT(Deliver(0, 2).delivered, ElementsAre(First(0), First(1)));
  EXPECT_EQ(cursor().next, 2);
  EXPECT_EQ(cursor().floor(), 0);
  EXPECT_EQ(delivery(1).nonce, state_->applied_index());
  EXPECT_EQ(delivery(1).attempts, 1);
  EXPECT_EQ(delivery(1).attempt_id_hash, 99u);
  EXPECT_EQ(*delivery(1).client, "ann");
  EXPECT_FALSE(delivery(1).visible);
  EXPECT_THAT(state_->deadlines(), ElementsAre(State::Deadline{now_us_ + 30 * kSecond, {kGroup, kQueue}, 0},
                                               State::Deadline{now_us_ + 30 * kSecond, {kGroup, kQueue}, 1}));
}

TEST_F(DeliveryTest, WhatADeliverPassesOverIsSettled) {
  EXPECT_THAT(Deliver(0, 4, /*without=*/{0, 2}).delivered, ElementsAre(First(1), First(3)));
  EXPECT_EQ(cursor().floor(), 1);
  EXPECT_THAT(InFlightOffsets(), ElementsAre(1, 3));
}

TEST_F(DeliveryTest, ADeliverFromAnotherPositionIsRefused) {
  Deliver(0, 2);
  EXPECT_THAT(Deliver(0, 3).status, HasCode(kAborted));
  EXPECT_THAT(Deliver(3, 4).status, HasCode(kAborted));
  EXPECT_THAT(Deliver(2, 7).status, HasCode(kAborted)) << "behind the end";
  EXPECT_THAT(Deliver(2, 2).status, HasCode(kAborted)) << "nothing";
  EXPECT_EQ(cursor().next, 2);
}

TEST_F(DeliveryTest, ADeliverThatExpiryOvertookDeliversTheRest) {
  Expire(2);
  EXPECT_THAT(Deliver(0, 4).delivered, ElementsAre(First(2), First(3)));
  EXPECT_EQ(cursor().next, 4);
}

TEST_F(DeliveryTest, ADeliverThatExpiredWhollyIsRefused) {
  Expire(4);
  EXPECT_THAT(Deliver(0, 4).status, HasCode(kAborted));
  EXPECT_EQ(cursor().next, 4);
}

TEST_F(DeliveryTest, ADeliverNeedsACursor) {
  Close();
  EXPECT_THAT(Deliver(0, 1).status, HasCode(kNotFound));
}

TEST_F(DeliveryTest, OffsetsOutsideOfTheRunAreNotDelivered) {
  log::Deliver command = DeliverTo("ann");
  command.set_from(0);
  command.set_to(2);
  command.add_first_offsets(1);
  command.add_first_offsets(2);
  EXPECT_THAT(Apply(command).delivered, ElementsAre(First(1)));
}

TEST_F(DeliveryTest, RedeliveryCountsTheAttemptAndRenewsTheReceipt) {
  Deliver(0, 1);
  const log::DeliveryRef old = Receipt(0);
  ShowAt(old, now_us_);
  EXPECT_THAT(DeliverAgain({0}, "bob").delivered, ElementsAre(Outcome::Delivered{0, 2}));
  EXPECT_EQ(*delivery(0).client, "bob");
  EXPECT_THAT(cursor().again, IsEmpty());
  EXPECT_THAT(Ack(old).live, ElementsAre(false));
  EXPECT_THAT(Ack(Receipt(0)).live, ElementsAre(true));
}

TEST_F(DeliveryTest, WhatIsInvisibleIsNotDeliveredAgain) {
  Deliver(0, 2);
  ShowAt(Receipt(1), now_us_);
  EXPECT_THAT(DeliverAgain({0, 1}).delivered, ElementsAre(Outcome::Delivered{1, 2}));
  EXPECT_THAT(DeliverAgain({0, 1, 5}).status, HasCode(kAborted));
}

TEST_F(DeliveryTest, ASettledMessageIsNotDeliveredAgain) {
  Deliver(0, 1);
  Ack(Receipt(0));
  EXPECT_THAT(DeliverAgain({0}).status, HasCode(kAborted));
  EXPECT_THAT(InFlightOffsets(), IsEmpty());
}

TEST_F(DeliveryTest, ADeliverThatFiltersEverythingStillMovesThePosition) {
  EXPECT_THAT(Deliver(0, 2, /*without=*/{0, 1}).delivered, IsEmpty());
  EXPECT_EQ(cursor().floor(), 2);
}

TEST_F(DeliveryTest, ASkipSettlesWhatItPasses) {
  EXPECT_THAT(Skip(0, 3).status, HasCode(kOk));
  EXPECT_EQ(cursor().floor(), 3);
}

TEST_F(DeliveryTest, ASkipFromElsewhereIsRefused) {
  Skip(0, 1);
  EXPECT_THAT(Skip(0, 2).status, HasCode(kAborted));
  EXPECT_THAT(Skip(1, 0).status, HasCode(kAborted)) << "backwards";
  EXPECT_THAT(Skip(1, 7).status, HasCode(kAborted)) << "behind the end";
  EXPECT_THAT(Skip(0, 1, kOtherGroup).status, HasCode(kNotFound));
  EXPECT_EQ(cursor().next, 1);
}

// --- Settle ---

TEST_F(DeliveryTest, AnAckSettlesOneMessage) {
  Deliver(0, 3);
  EXPECT_THAT(Ack(Receipt(1)).live, ElementsAre(true));
  EXPECT_THAT(InFlightOffsets(), ElementsAre(0, 2));
  EXPECT_EQ(cursor().floor(), 0);
  Ack(Receipt(0));
  EXPECT_EQ(cursor().floor(), 2);
  EXPECT_THAT(state_->deadlines(), SizeIs(1));
}

TEST_F(DeliveryTest, AnAckCountsOnce) {
  Deliver(0, 1);
  const log::DeliveryRef receipt = Receipt(0);
  Ack(receipt);
  EXPECT_THAT(Ack(receipt).live, ElementsAre(false));
}

TEST_F(DeliveryTest, ALateAckBeforeRedeliveryCounts) {
  Deliver(0, 1);
  now_us_ += 31 * kSecond;
  Lapse(Receipt(0));
  EXPECT_THAT(Ack(Receipt(0)).live, ElementsAre(true));
  EXPECT_THAT(InFlightOffsets(), IsEmpty());
  EXPECT_THAT(cursor().again, IsEmpty());
}

TEST_F(DeliveryTest, AReceiptOfNothingIsStale) {
  Deliver(0, 1);
  log::DeliveryRef wrong_nonce = Receipt(0);
  wrong_nonce.set_nonce(wrong_nonce.nonce() - 1);
  EXPECT_THAT(Ack(wrong_nonce).live, ElementsAre(false));
  EXPECT_THAT(Ack(Receipt(4)).live, ElementsAre(false));
  EXPECT_THAT(Ack(Receipt(0, kOtherGroup)).live, ElementsAre(false));
  EXPECT_THAT(InFlightOffsets(), ElementsAre(0));
}

TEST_F(DeliveryTest, AReturnedMessageIsInvisibleUntilItsTime) {
  Deliver(0, 1);
  ShowAt(Receipt(0), now_us_ + 5 * kSecond);
  EXPECT_FALSE(delivery(0).visible);
  EXPECT_THAT(state_->deadlines(), ElementsAre(State::Deadline{now_us_ + 5 * kSecond, {kGroup, kQueue}, 0}));
  EXPECT_EQ(delivery(0).attempts, 1);
}

TEST_F(DeliveryTest, AMessageReturnedForNowIsVisibleAtOnce) {
  Deliver(0, 1);
  ShowAt(Receipt(0), now_us_);
  EXPECT_TRUE(delivery(0).visible);
  EXPECT_THAT(cursor().again, ElementsAre(0));
  EXPECT_THAT(state_->deadlines(), IsEmpty());
}

TEST_F(DeliveryTest, AVisibleMessageMayBeHiddenByItsLastReceipt) {
  Deliver(0, 1);
  ShowAt(Receipt(0), now_us_);
  EXPECT_THAT(ShowAt(Receipt(0), now_us_ + kSecond).live, ElementsAre(true));
  EXPECT_THAT(cursor().again, IsEmpty());
}

TEST_F(DeliveryTest, AnUndeliveredMessageIsVisibleAndItsAttemptDoesNotCount) {
  Deliver(0, 1);
  const log::DeliveryRef receipt = Receipt(0);
  Undelivered(receipt);
  EXPECT_EQ(delivery(0).attempts, 0);
  EXPECT_THAT(cursor().again, ElementsAre(0));
  EXPECT_THAT(Ack(receipt).live, ElementsAre(false)) << "nobody has that receipt";
  EXPECT_THAT(DeliverAgain({0}).delivered, ElementsAre(First(0)));
}

TEST_F(DeliveryTest, EntriesOfOneSettleStandAlone) {
  Deliver(0, 2);
  log::Settle command;
  *command.add_entries()->mutable_delivery() = Receipt(0);
  *command.add_entries()->mutable_delivery() = Receipt(5);
  *command.add_entries()->mutable_delivery() = Receipt(0);
  *command.add_entries()->mutable_delivery() = Receipt(1);
  EXPECT_THAT(Apply(command).live, ElementsAre(true, false, false, true));
  EXPECT_THAT(InFlightOffsets(), IsEmpty());
}

// --- Hold, MakeVisible, ClientGone ---

class HoldTest : public DeliveryTest {
 protected:
  HoldTest() { auto_renew_ = true; }
};

TEST_F(HoldTest, AHeldDeliveryLastsUntilItsCap) {
  Deliver(0, 1);
  EXPECT_THAT(Hold(Receipt(0), now_us_ + 3600 * kSecond).live, ElementsAre(true));
  EXPECT_TRUE(delivery(0).held);
  EXPECT_EQ(state_->holders().at("ann"), 1);
  now_us_ += 31 * kSecond;
  EXPECT_THAT(Lapse(Receipt(0)).live, ElementsAre(false));
  now_us_ += 3600 * kSecond;
  EXPECT_THAT(Lapse(Receipt(0)).live, ElementsAre(true));
  EXPECT_THAT(cursor().again, ElementsAre(0));
  EXPECT_THAT(state_->holders(), IsEmpty());
}

TEST_F(HoldTest, AHoldKeepsTheReceipt) {
  Deliver(0, 1);
  const log::DeliveryRef receipt = Receipt(0);
  Hold(receipt, now_us_ + 3600 * kSecond);
  EXPECT_THAT(Ack(receipt).live, ElementsAre(true));
  EXPECT_THAT(state_->holders(), IsEmpty());
}

TEST_F(HoldTest, OnlyLiveInvisibleAutoRenewedDeliveriesAreHeldAndOnlyOnce) {
  Deliver(0, 2);
  Hold(Receipt(0), now_us_ + 3600 * kSecond);
  EXPECT_THAT(Hold(Receipt(0), now_us_ + 7200 * kSecond).live, ElementsAre(false)) << "held already";
  ShowAt(Receipt(1), now_us_);
  EXPECT_THAT(Hold(Receipt(1), now_us_ + 3600 * kSecond).live, ElementsAre(false)) << "visible";
  EXPECT_THAT(Hold(Receipt(4), now_us_ + 3600 * kSecond).live, ElementsAre(false)) << "not in flight";
  auto_renew_ = false;
  Deliver(2, 3);
  EXPECT_THAT(Hold(Receipt(2), now_us_ + 3600 * kSecond).live, ElementsAre(false)) << "not to be renewed";
}

TEST_F(HoldTest, AReturnedMessageIsNotHeld) {
  Deliver(0, 1);
  ShowAt(Receipt(0), now_us_ + 40 * kSecond);
  EXPECT_THAT(Hold(Receipt(0), now_us_ + 3600 * kSecond).live, ElementsAre(false));
  EXPECT_EQ(delivery(0).invisible_until, now_us_ + 40 * kSecond);
}

TEST_F(HoldTest, SettlingEndsAHold) {
  Deliver(0, 2);
  Hold(Receipt(0), now_us_ + 3600 * kSecond);
  Hold(Receipt(1), now_us_ + 3600 * kSecond);
  EXPECT_EQ(state_->holders().at("ann"), 2);
  ShowAt(Receipt(0), now_us_ + kSecond);
  EXPECT_EQ(state_->holders().at("ann"), 1);
  Undelivered(Receipt(1));
  EXPECT_THAT(state_->holders(), IsEmpty());
}

TEST_F(DeliveryTest, ALapsedDeliveryIsVisibleAndItsAttemptCounts) {
  Deliver(0, 1);
  EXPECT_THAT(Lapse(Receipt(0)).live, ElementsAre(false)) << "not yet";
  now_us_ += 30 * kSecond;
  EXPECT_THAT(Lapse(Receipt(0)).live, ElementsAre(true));
  EXPECT_THAT(Lapse(Receipt(0)).live, ElementsAre(false)) << "visible already";
  EXPECT_THAT(DeliverAgain({0}).delivered, ElementsAre(Outcome::Delivered{0, 2}));
}

TEST_F(DeliveryTest, ALapseDoesNotApplyToADeadlineThatWasMoved) {
  Deliver(0, 1);
  now_us_ += 29 * kSecond;
  ShowAt(Receipt(0), now_us_ + 10 * kSecond);
  now_us_ += 2 * kSecond;
  EXPECT_THAT(Lapse(Receipt(0)).live, ElementsAre(false));
  EXPECT_FALSE(delivery(0).visible);
}

TEST_F(DeliveryTest, ALapseOfASettledDeliveryIsDropped) {
  Deliver(0, 1);
  const log::DeliveryRef receipt = Receipt(0);
  Ack(receipt);
  now_us_ += 31 * kSecond;
  EXPECT_THAT(Lapse(receipt).live, ElementsAre(false));
}

TEST_F(HoldTest, WhatADeadClientHoldsGetsADeadline) {
  Deliver(0, 2);
  Hold(Receipt(0), now_us_ + 3600 * kSecond);
  EXPECT_THAT(Gone("ann", now_us_ + 40 * kSecond).status, HasCode(kOk));
  EXPECT_EQ(delivery(0).invisible_until, now_us_ + 40 * kSecond);
  EXPECT_EQ(delivery(1).invisible_until, now_us_ + 30 * kSecond) << "was not held";
  EXPECT_THAT(state_->holders(), IsEmpty());
  EXPECT_THAT(Gone("ann", now_us_).status, HasCode(kNotFound));
}

TEST_F(HoldTest, ADeadClientDoesNotProlongAnything) {
  Deliver(0, 1);
  Hold(Receipt(0), now_us_ + 10 * kSecond);
  Gone("ann", now_us_ + 30 * kSecond);
  EXPECT_EQ(delivery(0).invisible_until, now_us_ + 10 * kSecond);
}

TEST_F(HoldTest, OneClientsDeathIsNotAnothers) {
  Deliver(0, 1);
  Hold(Receipt(0), now_us_ + 3600 * kSecond);
  EXPECT_THAT(Gone("bob", now_us_).status, HasCode(kNotFound));
  EXPECT_TRUE(delivery(0).held);
}

// --- Move ---

TEST_F(DeliveryTest, ADeadLetterLeavesTheGroupAndEntersItsOwnQueue) {
  Deliver(0, 2);
  now_us_ += kSecond;
  const Outcome outcome = Move(Receipt(1));
  EXPECT_THAT(outcome.status, HasCode(kOk));
  EXPECT_EQ(outcome.queue, kDeadLetters);
  EXPECT_EQ(outcome.first_offset, 0);
  EXPECT_THAT(InFlightOffsets(), ElementsAre(0));
  EXPECT_EQ(queue(kDeadLetters).end, 1);
  EXPECT_EQ(queue(kDeadLetters).bytes, 1);
}

TEST_F(DeliveryTest, ADeadLetterPointsToTheBodyAndKnowsItsOrigin) {
  Deliver(0, 2);
  now_us_ += kSecond;
  Move(Receipt(1));
  const IndexEntry entry = Entry(0, kDeadLetters);
  EXPECT_EQ(entry.index, Entry(1).index);
  EXPECT_EQ(entry.offset, Entry(1).offset);
  EXPECT_EQ(entry.time_us, now_us_);
  const Provenance origin = state_->index().Load(BlockOf(kDeadLetters, 0)).value()->provenance.at(0);
  EXPECT_EQ(origin.topic, "orders");
  EXPECT_EQ(origin.message_id, "id-1");
  EXPECT_EQ(origin.reason, "poison");
  EXPECT_EQ(origin.attempts, 2);
}

TEST_F(DeliveryTest, AMoveHappensOnce) {
  Deliver(0, 1);
  const log::DeliveryRef receipt = Receipt(0);
  Move(receipt);
  EXPECT_THAT(Move(receipt).status, HasCode(kAborted));
  EXPECT_EQ(queue(kDeadLetters).end, 1);
}

TEST_F(DeliveryTest, ADeadLetterIsNotMovedAgain) {
  Deliver(0, 1);
  Move(Receipt(0));
  Subscribe(0, kOtherGroup, kDeadLetters);
  log::Deliver command = DeliverTo("ann");
  command.set_group_id(kOtherGroup.value());
  SetKey(command.mutable_queue(), kDeadLetters);
  command.set_to(1);
  command.add_first_offsets(0);
  Apply(command);
  EXPECT_THAT(Move(Receipt(0, kOtherGroup, kDeadLetters)).status, HasCode(kFailedPrecondition));
  EXPECT_TRUE(cursor(kOtherGroup, kDeadLetters).in_flight.contains(0));
}

TEST_F(DeliveryTest, ADeadLetterOutlivesItsOrigin) {
  Deliver(0, 1);
  Move(Receipt(0));
  Expire(6);
  FillLogTo(2 * 4096);
  EXPECT_THAT(Trim(4096).status, HasCode(kFailedPrecondition)) << "the dead letter's body is there";
  Expire(1, kDeadLetters);
  EXPECT_THAT(Trim(4096).status, HasCode(kOk));
}

// --- Redrive ---

TEST_F(DeliveryTest, ADeadLetterGoesBackAndIsDeliveredAsNew) {
  Deliver(0, 2);
  Move(Receipt(1));
  const IndexEntry before = Entry(0, kDeadLetters);
  now_us_ += kSecond;
  const Outcome outcome = Redrive({0});
  EXPECT_THAT(outcome.live, ElementsAre(true));
  EXPECT_THAT(outcome.queues, ElementsAre(kQueue));
  const QueueOffset offset = queue().end - 1;
  EXPECT_EQ(Entry(offset).index, before.index);
  EXPECT_EQ(Entry(offset).offset, before.offset);
  EXPECT_EQ(Entry(offset).time_us, now_us_);
  // Nothing is left of it there.
  EXPECT_EQ(queue(kDeadLetters).first, queue(kDeadLetters).end);
  EXPECT_EQ(queue(kDeadLetters).bytes, 0);
  Deliver(2, offset + 1);
  EXPECT_EQ(delivery(offset).attempts, 1);
}

TEST_F(DeliveryTest, ADeadLetterGoesBackOnce) {
  Deliver(0, 3);
  Move(Receipt(0));
  Move(Receipt(1));
  const QueueOffset end = queue().end;
  EXPECT_THAT(Redrive({1, 1, 7}).live, ElementsAre(true, false, false));
  EXPECT_EQ(queue().end, end + 1);
  EXPECT_EQ(queue(kDeadLetters).first, 0) << "another one stands before it";
  EXPECT_EQ(queue(kDeadLetters).bytes, 1);
  EXPECT_THAT(Redrive({1}).live, ElementsAre(false));
  EXPECT_THAT(Redrive({0}).live, ElementsAre(true));
  EXPECT_EQ(queue(kDeadLetters).first, 2);
  EXPECT_EQ(queue().end, end + 2);
}

TEST_F(DeliveryTest, ADeadLetterStaysIfItsTopicTakesNothing) {
  Deliver(0, 1);
  Move(Receipt(0));
  EXPECT_THAT(Redrive({0}, {TopicId(99), 0}).live, ElementsAre(false));
  EXPECT_THAT(Redrive({0}, kDeadLetters).live, ElementsAre(false));
  Delete();
  EXPECT_THAT(Redrive({0}).live, ElementsAre(false));
  EXPECT_EQ(queue(kDeadLetters).bytes, 1);
}

TEST_F(DeliveryTest, WhoReadsDeadLettersPassesOverWhatWentBack) {
  Deliver(0, 3);
  for (const QueueOffset offset : {0, 1, 2}) Move(Receipt(offset));
  Subscribe(0, kOtherGroup, kDeadLetters);
  const auto deliver = [&](QueueOffset from, QueueOffset to) {
    log::Deliver command = DeliverTo("ann");
    command.set_group_id(kOtherGroup.value());
    SetKey(command.mutable_queue(), kDeadLetters);
    command.set_from(from);
    command.set_to(to);
    for (QueueOffset offset = from; offset < to; ++offset) command.add_first_offsets(offset);
    return Apply(command);
  };
  deliver(0, 2);
  // One that is in flight, and one that is about to be.
  const log::DeliveryRef receipt = Receipt(1, kOtherGroup, kDeadLetters);
  Redrive({1, 2});
  EXPECT_FALSE(cursor(kOtherGroup, kDeadLetters).in_flight.contains(1));
  EXPECT_THAT(deliver(2, 3).status, HasCode(kAborted));
  EXPECT_THAT(Settle(receipt, log::Settle::Entry::ACK).live, ElementsAre(false));
  EXPECT_EQ(cursor(kOtherGroup, kDeadLetters).next, 3);
  EXPECT_TRUE(cursor(kOtherGroup, kDeadLetters).in_flight.contains(0));
}

// --- Expire ---

TEST_F(DeliveryTest, ExpiryDropsEntriesDeliveriesAndPositionsBelow) {
  Deliver(0, 3);
  Subscribe(0, kOtherGroup);
  EXPECT_THAT(Expire(2).status, HasCode(kOk));
  EXPECT_EQ(queue().first, 2);
  EXPECT_EQ(queue().bytes, 4);
  EXPECT_THAT(InFlightOffsets(), ElementsAre(2));
  EXPECT_EQ(cursor(kOtherGroup).next, 2);
  EXPECT_THAT(Ack(Receipt(0)).live, ElementsAre(false));
}

TEST_F(DeliveryTest, ExpiryGoesForwardOnlyAndNotBehindTheEnd) {
  Expire(2);
  EXPECT_THAT(Expire(2).status, HasCode(kAborted));
  EXPECT_THAT(Expire(99).status, HasCode(kOk));
  EXPECT_EQ(queue().first, 6);
  EXPECT_THAT(Expire(99).status, HasCode(kAborted));
  EXPECT_THAT(Expire(1, kOtherQueue).status, HasCode(kNotFound));
}

TEST_F(DeliveryTest, ExpiryLeavesOtherQueuesAlone) {
  Configure(kOtherQueue);
  SendMany(2, kOtherQueue);
  Subscribe(0, kGroup, kOtherQueue);
  Expire(2);
  EXPECT_EQ(cursor(kGroup, kOtherQueue).next, 0);
  EXPECT_EQ(queue(kOtherQueue).first, 0);
}

TEST_F(StateTest, ExpiryDropsWholeBlocksOfTheIndex) {
  Configure();
  SendMany(2 * kBlockEntries + 10);
  WriteCheckpoint();
  Expire(kBlockEntries + 1);
  WriteCheckpoint();
  EXPECT_THAT(store_->Get(StoreKey({kQueue, 0})).status(), HasCode(kNotFound));
  EXPECT_THAT(store_->Get(StoreKey({kQueue, 1})).status(), HasCode(kOk));
  EXPECT_EQ(Entry(kBlockEntries + 1).index, 2u);
}

// --- Trim ---

TEST_F(StateTest, TheLogIsTrimmedUpToTheLowestLiveEntry) {
  Configure();
  FillLogTo(4096);
  Send({1});
  FillLogTo(3 * 4096);
  EXPECT_EQ(state_->trim_point().log_start, 4096u);
  EXPECT_EQ(state_->trim_point().position, 4095u * 64);
  EXPECT_THAT(Trim(4097).status, HasCode(kFailedPrecondition));
  EXPECT_THAT(Trim(4096).status, HasCode(kOk));
  EXPECT_EQ(state_->log_start(), 4096u);
  EXPECT_THAT(Trim(4096).status, HasCode(kAborted));
  EXPECT_THAT(Trim(1).status, HasCode(kAborted));
}

TEST_F(StateTest, AnEmptyShardMayBeTrimmedUpToItsLastRange) {
  EXPECT_EQ(state_->trim_point().log_start, 0u) << "nothing was written";
  FillLogTo(3 * 4096 + 5);
  EXPECT_EQ(state_->trim_point().log_start, 3u * 4096);
}

TEST_F(StateTest, ExpiryMovesTheTrimPoint) {
  Configure();
  Send({1, 1});
  FillLogTo(4096);
  Send({1});
  FillLogTo(2 * 4096);
  Expire(1);
  EXPECT_EQ(state_->trim_point().log_start, 1u) << "one of two is still needed";
  Expire(2);
  EXPECT_EQ(state_->trim_point().log_start, 4096u);
}

// --- StateHash ---

TEST_F(StateTest, AHashOfTheRememberedIndexIsCompared) {
  Configure();
  FillLogTo(4096);
  log::StateHash command;
  command.set_log_index(4096);
  command.set_hash(state_->hash());
  Send({1});
  EXPECT_THAT(Apply(command).status, HasCode(kOk));
  command.set_hash(command.hash() + 1);
  EXPECT_THAT(TryApply(command).status(), HasCode(kDataLoss));
}

TEST_F(StateTest, AHashOfAnotherIndexIsRefused) {
  FillLogTo(4100);
  log::StateHash command;
  command.set_log_index(4100);
  command.set_hash(1234);
  EXPECT_THAT(Apply(command).status, HasCode(kAborted));
}

// --- CloseGroup ---

TEST_F(DeliveryTest, AClosedGroupLosesAllItsCursors) {
  Configure(kOtherQueue);
  Subscribe(0, kGroup, kOtherQueue);
  Subscribe(0, kOtherGroup);
  Deliver(0, 2);
  EXPECT_THAT(Close().status, HasCode(kOk));
  EXPECT_EQ(state_->FindCursor({kGroup, kQueue}), nullptr);
  EXPECT_EQ(state_->FindCursor({kGroup, kOtherQueue}), nullptr);
  EXPECT_NE(state_->FindCursor({kOtherGroup, kQueue}), nullptr);
  EXPECT_THAT(state_->deadlines(), IsEmpty());
  EXPECT_THAT(Close().status, HasCode(kNotFound));
}

TEST_F(DeliveryTest, AGroupThatComesBackKnowsNothing) {
  Deliver(0, 2);
  Close();
  Subscribe();
  EXPECT_EQ(cursor().next, 0);
  EXPECT_THAT(InFlightOffsets(), IsEmpty());
}

// --- CloseSubscription ---

TEST_F(DeliveryTest, AnUnsubscribedGroupLosesItsCursorsInThatTopicOnly) {
  const QueueKey second{kQueue.topic, kQueue.queue + 1};
  const QueueKey elsewhere{TopicId(kQueue.topic.value() + 1), 0};
  for (const QueueKey& key : {second, elsewhere}) {
    Configure(key);
    Subscribe(0, kGroup, key);
  }
  Subscribe(0, kOtherGroup);
  Deliver(0, 2);
  EXPECT_THAT(Unsubscribe(kGroup, kQueue.topic).status, HasCode(kOk));
  EXPECT_EQ(state_->FindCursor({kGroup, kQueue}), nullptr);
  EXPECT_EQ(state_->FindCursor({kGroup, second}), nullptr);
  EXPECT_NE(state_->FindCursor({kGroup, elsewhere}), nullptr);
  EXPECT_NE(state_->FindCursor({kOtherGroup, kQueue}), nullptr);
  EXPECT_THAT(state_->deadlines(), IsEmpty());
  EXPECT_THAT(Unsubscribe(kGroup, kQueue.topic).status, HasCode(kNotFound));
}

// --- The hash ---

TEST_F(StateTest, WhatComesAndGoesLeavesNoTraceInTheHash) {
  Configure();
  Send({1, 2, 3});
  const uint64_t before = state_->hash();
  Subscribe();
  Deliver(0, 2);
  Ack(Receipt(0));
  Close();
  EXPECT_EQ(state_->hash(), before);
}

TEST_F(DeliveryTest, TheHashSeesEveryChange) {
  absl::btree_set<uint64_t> seen = {state_->hash()};
  const auto is_new = [&] { return seen.insert(state_->hash()).second; };
  auto_renew_ = true;
  Deliver(0, 3);
  EXPECT_TRUE(is_new()) << "delivered";
  Hold(Receipt(0), now_us_ + 3600 * kSecond);
  EXPECT_TRUE(is_new()) << "held";
  Gone("ann", now_us_ + 5 * kSecond);
  EXPECT_TRUE(is_new()) << "given a deadline";
  now_us_ += 5 * kSecond;
  Lapse(Receipt(0));
  EXPECT_TRUE(is_new()) << "lapsed";
  DeliverAgain({0});
  EXPECT_TRUE(is_new()) << "delivered again";
  Move(Receipt(0));
  EXPECT_TRUE(is_new()) << "moved";
  Skip(3, 4);
  EXPECT_TRUE(is_new()) << "skipped";
  Expire(1);
  EXPECT_TRUE(is_new()) << "expired";
}

}  // namespace
}  // namespace barid::broker
