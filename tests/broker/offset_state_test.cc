#include "base/status.h"
#include "tests/broker/state_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OffsetStateTest : public StateTest {
 protected:
  OffsetStateTest() { Configure(); }

  Outcome Store(QueueOffset offset, GroupId group = kGroup, QueueKey queue = kQueue) {
    log::CommitOffset command;
    command.set_group_id(group.value());
    SetKey(command.mutable_queue(), queue);
    command.set_offset(offset);
    return Apply(command);
  }
  std::optional<QueueOffset> Stored(GroupId group = kGroup, QueueKey queue = kQueue) const {
    return state_->offsets().Find({group, queue});
  }
  Outcome Seek(QueueOffset to, bool ordered = false, QueueKey queue = kQueue) {
    log::SeekCursor command;
    command.set_group_id(kGroup.value());
    SetKey(command.mutable_queue(), queue);
    command.set_to(to);
    command.set_ordered(ordered);
    return Apply(command);
  }
};

TEST_F(OffsetStateTest, TheLastOneCounts) {
  SendMany(5);
  EXPECT_EQ(Stored(), std::nullopt);
  EXPECT_TRUE(Store(3).status.ok());
  EXPECT_TRUE(Store(1).status.ok());
  EXPECT_EQ(Stored(), 1);
  EXPECT_EQ(Stored(kOtherGroup), std::nullopt);
}

TEST_F(OffsetStateTest, RefusesWhatTheQueueDoesNotHave) {
  SendMany(5);
  EXPECT_TRUE(Store(5).status.ok());
  const Outcome beyond = Store(6);
  EXPECT_THAT(beyond.status, HasCode(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(GetOffsetRange(beyond.status)->end, 5);
  EXPECT_THAT(Store(-1).status, HasCode(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(Store(0, kGroup, kOtherQueue).status, HasCode(absl::StatusCode::kNotFound));
  EXPECT_EQ(Stored(), 5);
}

TEST_F(OffsetStateTest, GoesWithItsQueueAndItsGroup) {
  Configure(kOtherQueue);
  Store(0);
  Store(0, kGroup, kOtherQueue);
  Store(0, kOtherGroup);
  Delete(kOtherQueue);
  EXPECT_EQ(Stored(kGroup, kOtherQueue), std::nullopt);
  EXPECT_TRUE(Close().status.ok()) << "also without a cursor";
  EXPECT_EQ(Stored(), std::nullopt);
  EXPECT_EQ(Stored(kOtherGroup), 0);
  EXPECT_THAT(Close().status, HasCode(absl::StatusCode::kNotFound));
  EXPECT_THAT(Store(0, kGroup, kOtherQueue).status, HasCode(absl::StatusCode::kNotFound));
}

TEST_F(OffsetStateTest, SurvivesInACheckpoint) {
  SendMany(5);
  Store(4);
  Store(2, kOtherGroup);
  WriteCheckpoint();
  Store(3);
  Close(kOtherGroup);
  WriteCheckpoint();
  const uint64_t hash = state_->hash();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(Stored(), 3);
  EXPECT_EQ(Stored(kOtherGroup), std::nullopt);
  EXPECT_EQ(state_->hash(), hash);
  EXPECT_EQ(state_->RecomputeHash().value(), hash);
}

TEST_F(OffsetStateTest, ASeekDeliversAgainFromThereOn) {
  SendMany(10);
  Subscribe();
  Deliver(0, 6, {4});
  const log::DeliveryRef receipt = Receipt(3);
  Ack(Receipt(0));
  const Outcome outcome = Seek(2);
  EXPECT_TRUE(outcome.status.ok());
  EXPECT_EQ(outcome.first_offset, 2);
  EXPECT_EQ(outcome.dropped_in_flight, 4);
  EXPECT_EQ(cursor().next, 2);
  EXPECT_EQ(cursor().floor(), 2);
  EXPECT_THAT(InFlightOffsets(), IsEmpty());
  EXPECT_THAT(Ack(receipt).live, ElementsAre(false)) << "its delivery was dropped";
  EXPECT_THAT(Deliver(2, 5).delivered, ::testing::SizeIs(3));
  EXPECT_EQ(delivery(3).attempts, 1);
  EXPECT_THAT(Ack(receipt).live, ElementsAre(false)) << "and is another one now";
}

TEST_F(OffsetStateTest, ASeekForwardsSettlesWhatItPasses) {
  SendMany(10);
  Subscribe();
  Deliver(0, 3);
  EXPECT_EQ(Seek(8).dropped_in_flight, 3);
  EXPECT_EQ(cursor().floor(), 8);
  EXPECT_TRUE(state_->deadlines().empty());
}

TEST_F(OffsetStateTest, ASeekStaysWithinTheQueue) {
  SendMany(10);
  Subscribe();
  Expire(4);
  EXPECT_EQ(Seek(0).first_offset, 4);
  EXPECT_EQ(Seek(99).first_offset, 10);
  EXPECT_THAT(Seek(0, false, kOtherQueue).status, HasCode(absl::StatusCode::kNotFound));
}

TEST_F(OffsetStateTest, ASeekOpensACursorThatIsNotThere) {
  SendMany(3);
  EXPECT_EQ(Seek(2, /*ordered=*/true).first_offset, 2);
  EXPECT_TRUE(cursor().ordered);
  EXPECT_THAT(Subscribe(0).status, HasCode(absl::StatusCode::kAlreadyExists)) << "it stands where it was put";
  EXPECT_EQ(cursor().next, 2);
}

TEST_F(OffsetStateTest, ASeekDropsParkedMessagesAndLocks) {
  SendGrouped({1, 1, 2, 1});
  SubscribeOrdered();
  DeliverOrdered(4, {0, 2}, {1, 3});
  ASSERT_TRUE(cursor().IsLocked(1));
  const Outcome outcome = Seek(1);
  EXPECT_EQ(outcome.dropped_in_flight, 2);
  EXPECT_EQ(outcome.dropped_parked, 2);
  EXPECT_FALSE(cursor().IsLocked(1));
  EXPECT_THAT(Parked(), IsEmpty());
  EXPECT_TRUE(cursor().ordered);
  const Outcome delivered = DeliverOrdered(4, {1, 2, 3}, {});
  EXPECT_THAT(delivered.delivered, ::testing::SizeIs(3)) << "in order, from the new place on";
}

TEST_F(OffsetStateTest, ADeliverFromBeforeASeekIsDropped) {
  SendMany(10);
  Subscribe();
  Deliver(0, 4);
  log::Deliver late = DeliverTo("ann");
  late.set_from(4);
  late.set_to(6);
  late.add_first_offsets(4);
  late.add_again_offsets(1);
  Seek(2);
  EXPECT_THAT(Apply(late).status, HasCode(absl::StatusCode::kAborted));
  EXPECT_EQ(cursor().next, 2);
}

}  // namespace
}  // namespace barid::broker
