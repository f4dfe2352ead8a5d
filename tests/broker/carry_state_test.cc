// What a Carry does to the state: the place of the bytes changes, and nothing else.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "broker/carrier.h"
#include "broker/sealed_entry.h"
#include "tests/broker/state_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using enum absl::StatusCode;

class CarryStateTest : public StateTest {
 protected:
  static log::Carry::Entry PlaceOf(LogIndex index, uint32_t offset, uint32_t bytes) {
    log::Carry::Entry entry;
    entry.set_log_index(index);
    entry.set_payload_offset(offset);
    entry.set_bytes(bytes);
    return entry;
  }
  log::Carry::Entry Pointer(QueueOffset offset, QueueKey queue = kQueue) {
    const IndexEntry at = Entry(offset, queue);
    log::Carry::Entry entry = PlaceOf(at.index, at.offset, at.bytes);
    SetKey(entry.mutable_queue(), queue);
    entry.set_offset(offset);
    return entry;
  }
  log::Carry::Entry Pointer(const log::TimerRef& ref) {
    const TimerKey key{ref.deliver_at(), ref.log_index(), ref.entry()};
    const Timer timer = state_->timers().Get(key).value().value();
    log::Carry::Entry entry = PlaceOf(timer.RecordOf(key), timer.offset, timer.bytes);
    *entry.mutable_timer() = ref;
    return entry;
  }
  log::Carry::Entry Pointer(const TransactionKey& key) {
    const OpenTransaction& open = *state_->transactions().FindOpen(key);
    log::Carry::Entry entry = PlaceOf(open.RecordOf(key), open.offset, open.bytes);
    entry.mutable_transaction()->set_log_index(key.index);
    entry.mutable_transaction()->set_entry(key.entry);
    return entry;
  }
  Outcome Carry(const std::vector<log::Carry::Entry>& entries) {
    log::Carry command;
    for (const log::Carry::Entry& entry : entries) *command.add_entries() = entry;
    return Apply(command);
  }
  LogIndex last() const { return state_->applied_index(); }
  // Of messages a second apart, all on the store and the far ones on it only.
  std::vector<log::TimerRef> SixTimers() {
    std::vector<log::TimerRef> timers;
    for (int i = 0; i < 6; ++i) {
      Schedule({now_us_ + (1000 + i) * kSecond});
      timers.push_back(LastTimer(now_us_ + (1000 + i) * kSecond));
    }
    WriteCheckpoint();  // The far ones leave memory.
    return timers;
  }
  // As older versions wrote them: by numbers of 4,096 records, and once without bytes.
  void MakeRangesOld(bool with_bytes) {
    std::vector<storage::KeyValueStore::Operation> operations;
    ASSERT_TRUE(store_
                    ->Scan("k", "l",
                           [&](absl::string_view key, absl::string_view value) {
                             operations.push_back({std::string(key), std::nullopt});
                             key.remove_prefix(1);
                             uint64_t first = 0;
                             EXPECT_TRUE(GetOrdered64(&key, &first));
                             std::string old = "r";
                             PutOrdered64(&old, first / 4096);
                             operations.push_back(
                                 Sealed(std::move(old), std::string(value.substr(0, with_bytes ? 24 : 16))));
                             return true;
                           })
                    .ok());
    ASSERT_TRUE(store_->Write(std::move(operations)).ok());
  }
  int KeysFrom(absl::string_view first, absl::string_view end) {
    int keys = 0;
    EXPECT_TRUE(store_->Scan(first, end, [&](absl::string_view, absl::string_view) { return ++keys > 0; }).ok());
    return keys;
  }
};

TEST_F(CarryStateTest, AnEntryKeepsAllButItsPlace) {
  Configure();
  Send({10, 20, 30});
  const IndexEntry before = Entry(1);
  now_us_ += kSecond;
  EXPECT_THAT(Carry({Pointer(2), Pointer(1)}).live, ElementsAre(true, true));
  const IndexEntry after = Entry(1);
  EXPECT_EQ(after.index, last());
  EXPECT_EQ(after.position, state_->applied().position);
  EXPECT_EQ(after.offset, 16u + 30);  // Behind the first one of the record.
  EXPECT_EQ(after.bytes, before.bytes);
  EXPECT_EQ(after.tag_hash, before.tag_hash);
  EXPECT_EQ(after.time_us, before.time_us);
  EXPECT_EQ(Entry(0).index, before.index);
  EXPECT_EQ(queue().bytes, 60);
}

TEST_F(CarryStateTest, ReceiptsOfDeliveriesStayGood) {
  Configure();
  Send({10, 20});
  Subscribe();
  Deliver(0, 2);
  const log::DeliveryRef receipt = Receipt(0);
  Carry({Pointer(0)});
  EXPECT_THAT(Ack(receipt).live, ElementsAre(true));
}

TEST_F(CarryStateTest, OnlyWhatIsStillThereIsMoved) {
  Configure();
  Send({10, 20, 30});
  const log::Carry::Entry first = Pointer(0);
  const log::Carry::Entry second = Pointer(1);
  log::Carry::Entry longer = Pointer(2);
  longer.set_bytes(31);
  log::Carry::Entry behind = Pointer(2);
  behind.set_offset(3);
  log::Carry::Entry elsewhere = Pointer(2);
  SetKey(elsewhere.mutable_queue(), {TopicId(99), 0});
  Expire(1);
  EXPECT_THAT(Carry({first, second, longer, behind, elsewhere}).live, ElementsAre(false, true, false, false, false));
  // It stands elsewhere now.
  EXPECT_THAT(Carry({second}).live, ElementsAre(false));
  EXPECT_THAT(Carry({Pointer(1)}).live, ElementsAre(true));
}

TEST_F(CarryStateTest, ADeadLetterKeepsItsOriginAndOneThatWentBackIsNotMoved) {
  Configure();
  Send({10, 20});
  Subscribe();
  Deliver(0, 2);
  Move(Receipt(0));
  Move(Receipt(1));
  const log::Carry::Entry went_back = Pointer(1, kDeadLetters);
  EXPECT_THAT(Redrive({1}).live, ElementsAre(true));
  EXPECT_THAT(Carry({Pointer(0, kDeadLetters), went_back}).live, ElementsAre(true, false));
  EXPECT_EQ(Entry(0, kDeadLetters).index, last());
  EXPECT_NE(Entry(0).index, last());  // The same message in its topic is another pointer.
  EXPECT_EQ(state_->index().Load(BlockOf(kDeadLetters, 0)).value()->provenance.at(0).message_id, "id-1");
  EXPECT_THAT(Redrive({0}).live, ElementsAre(true));
}

TEST_F(CarryStateTest, ATimerKeepsItsNameAndFiresFromItsNewPlace) {
  Configure();
  const int64_t due = now_us_ + 60 * kSecond;
  Schedule({due, due});
  const log::TimerRef first = LastTimer(due, 0);
  const log::TimerRef second = LastTimer(due, 1);
  EXPECT_THAT(Carry({Pointer(second), Pointer(first)}).live, ElementsAre(true, true));
  const LogIndex carried_to = last();
  EXPECT_THAT(Cancel({first}).live, ElementsAre(true));
  now_us_ = due;
  EXPECT_THAT(Fire({first, second}).live, ElementsAre(false, true));
  EXPECT_EQ(Entry(0).index, carried_to);
  EXPECT_EQ(Entry(0).offset, 16u);
}

TEST_F(CarryStateTest, ATransactionKeepsItsNameAndCommitsFromItsNewPlace) {
  Configure();
  Prepare({now_us_, now_us_});
  const TransactionKey first = LastTransaction(0);
  const TransactionKey second = LastTransaction(1);
  const log::Carry::Entry stale = Pointer(first);
  RollBack(first);
  EXPECT_THAT(Carry({stale, Pointer(second)}).live, ElementsAre(false, true));
  const LogIndex carried_to = last();
  Discard(second);
  EXPECT_EQ(Entry(0, kDiscarded).index, carried_to);
  EXPECT_EQ(Entry(0, kDiscarded).offset, 16u + 50);
  EXPECT_THAT(Carry({Pointer(0, kDiscarded)}).live, ElementsAre(true));
}

// The carrier looks, and proposes later: what it found may be over by then.
TEST_F(CarryStateTest, ATimerThatFiredOrWasRecalledMeanwhileStaysGone) {
  Configure();
  const int64_t due = now_us_ + 60 * kSecond;
  Schedule({due, due, due + kSecond});
  const LogIndex scheduled = last();
  const log::TimerRef fires = LastTimer(due, 0);
  const log::TimerRef recalled = LastTimer(due, 1);
  const log::TimerRef stays = LastTimer(due + kSecond, 2);
  const std::vector<log::Carry::Entry> looked_at{Pointer(fires), Pointer(recalled), Pointer(stays)};
  EXPECT_THAT(Cancel({recalled}).live, ElementsAre(true));
  now_us_ = due;
  EXPECT_THAT(Fire({fires}).live, ElementsAre(true));
  EXPECT_THAT(Carry(looked_at).live, ElementsAre(false, false, true));
  EXPECT_EQ(queue().delayed, 1);
  EXPECT_EQ(Entry(0).index, scheduled);  // What it has become is a pointer of its own.
  now_us_ = due + kSecond;
  EXPECT_THAT(Fire({fires, recalled, stays}).live, ElementsAre(false, false, true));
  EXPECT_EQ(queue().end, 2);
  EXPECT_NE(Entry(1).index, scheduled);
  // Nor the other way round: carried, then fired, then the same Carry again.
  EXPECT_THAT(Carry(looked_at).live, ElementsAre(false, false, false));
  EXPECT_EQ(queue().delayed, 0);
}

// The same of far ones, which only the store has; and what a checkpoint writes does not bring them back.
TEST_F(CarryStateTest, AFarTimerThatWentMeanwhileStaysGoneAfterARestart) {
  Configure();
  const std::vector<log::TimerRef> timers = SixTimers();
  const std::vector<log::Carry::Entry> looked_at{Pointer(timers[4]), Pointer(timers[5])};
  EXPECT_THAT(Cancel({timers[5]}).live, ElementsAre(true));
  now_us_ += 1004 * kSecond;
  EXPECT_THAT(Fire({timers[4]}).live, ElementsAre(true));
  EXPECT_THAT(Carry(looked_at).live, ElementsAre(false, false));
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_THAT(Carry(looked_at).live, ElementsAre(false, false));
  EXPECT_EQ(queue().delayed, 4);
  EXPECT_THAT(Fire({timers[4], timers[5]}).live, ElementsAre(false, false));
  EXPECT_EQ(queue().end, 1);
}

TEST_F(CarryStateTest, ATransactionThatEndedMeanwhileStaysEnded) {
  Configure();
  Prepare({now_us_, now_us_, now_us_});
  const LogIndex prepared = last();
  const TransactionKey committed = LastTransaction(0);
  const TransactionKey rolled_back = LastTransaction(1);
  const TransactionKey discarded = LastTransaction(2);
  const std::vector<log::Carry::Entry> looked_at{Pointer(committed), Pointer(rolled_back), Pointer(discarded)};
  Commit(committed);
  RollBack(rolled_back);
  Discard(discarded);
  EXPECT_THAT(Carry(looked_at).live, ElementsAre(false, false, false));
  EXPECT_TRUE(state_->transactions().open().empty());
  EXPECT_EQ(Entry(0).index, prepared);
  EXPECT_EQ(Entry(0, kDiscarded).index, prepared);
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_TRUE(state_->transactions().open().empty());
  Commit(rolled_back);  // The first end stands.
  EXPECT_EQ(queue().end, 1);
}

// Of a deleted queue nothing is kept, and another of its name has other messages at the same offsets.
TEST_F(CarryStateTest, WhatWentWithItsQueueIsNotMovedIntoTheNextOfItsName) {
  Configure();
  Send({10});
  const int64_t due = now_us_ + 1000 * kSecond;
  Schedule({due});
  const log::TimerRef timer = LastTimer(due);
  const std::vector<log::Carry::Entry> looked_at{Pointer(0), Pointer(timer)};
  Delete();
  Expire(1);
  Cancel({timer});
  Configure();
  Send({10});
  const LogIndex sent = last();
  EXPECT_THAT(Carry(looked_at).live, ElementsAre(false, false));
  EXPECT_EQ(Entry(queue().end - 1).index, sent);
}

TEST_F(CarryStateTest, WhatWasEmptiedMayBeTrimmed) {
  Configure();
  Send({10});
  Prepare({now_us_});
  const TransactionKey transaction = LastTransaction();
  Schedule({now_us_ + 1000 * kSecond});
  const log::TimerRef timer = LastTimer(now_us_ + 1000 * kSecond);
  FillLogTo(3 * 4096);
  EXPECT_THAT(Trim(2 * 4096).status, HasCode(kFailedPrecondition));
  Carry({Pointer(0), Pointer(transaction)});
  EXPECT_THAT(Trim(2 * 4096).status, HasCode(kFailedPrecondition));  // The timer.
  Carry({Pointer(timer)});
  EXPECT_THAT(Trim(2 * 4096).status, HasCode(kOk));
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->VerifyCounts(), absl::OkStatus());
  EXPECT_EQ(state_->RecomputeHash().value(), state_->hash());
  EXPECT_THAT(Cancel({timer}).live, ElementsAre(true));
  Commit(transaction);
  EXPECT_EQ(Entry(1).index, Entry(0).index);
}

// The store has the timer as it was; a checkpoint writes it again, and one that is under way is none of that.
TEST_F(CarryStateTest, ACarriedTimerIsWrittenAgainAndDeletedOnce) {
  Configure();
  const std::vector<log::TimerRef> timers = SixTimers();
  Carry({Pointer(timers[5])});
  const State::Checkpoint under_way = state_->TakeCheckpoint();
  Carry({Pointer(timers[5]), Pointer(timers[0])});
  Write(under_way);
  state_->Written(under_way, /*durable=*/true);
  const LogIndex carried_to = last();
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(Pointer(timers[5]).log_index(), carried_to);
  EXPECT_EQ(Pointer(timers[0]).log_index(), carried_to);
  Cancel({timers[5]});
  Carry({Pointer(timers[4])});
  Cancel({timers[4]});  // Before any checkpoint has it anew.
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_THAT(Cancel({timers[4], timers[5]}).live, ElementsAre(false, false));
}

TEST_F(CarryStateTest, RangesOfAnOldCheckpointAreWrittenAnew) {
  Configure();
  Send({10, 20});
  FillLogTo(5000);
  Schedule({now_us_ + 1000 * kSecond});
  WriteCheckpoint();
  MakeRangesOld(/*with_bytes=*/true);
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->VerifyCounts(), absl::OkStatus());
  EXPECT_EQ(state_->trim_point().log_start, 1u);
  Expire(2);
  EXPECT_EQ(state_->trim_point().log_start, 4096u);
  WriteCheckpoint();
  EXPECT_EQ(KeysFrom("r", "s"), 0);
  EXPECT_EQ(KeysFrom("k", "l"), 2);
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->VerifyCounts(), absl::OkStatus());
  EXPECT_EQ(state_->live_ranges().at(1).position, 4095u * 64);
  EXPECT_EQ(state_->live_ranges().at(1).bytes, 50);
}

TEST_F(CarryStateTest, AnOldCheckpointWithoutBytesIsCountedAnew) {
  Configure();
  Send({10, 20});
  Schedule({now_us_ + 1000 * kSecond});
  WriteCheckpoint();
  MakeRangesOld(/*with_bytes=*/false);
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(state_->live_ranges().at(0).bytes, 80);
  EXPECT_EQ(state_->VerifyCounts(), absl::OkStatus());
}

// --- What is worth it ---

constexpr uint64_t kSegment = 1000;

LiveRange Range(LogIndex first, uint64_t position, int64_t pointers, int64_t bytes) {
  return {first, position, pointers, bytes};
}

TEST(CarryGoalTest, TheLowestShareOfWhatIsFreedIsChosen) {
  //                                          before: 0          8/1000: no, 64 each     9/3000
  const std::vector<LiveRange> ranges{Range(1, 0, 8, 80), Range(4096, 1000, 0, 0), Range(8192, 3100, 1, 900),
                                      Range(12288, 5000, 0, 0)};
  const CarryGoal goal = ChooseCarryGoal(ranges, 0, 5500, kSegment, 50);
  EXPECT_EQ(goal.below, 8192u);
  EXPECT_EQ(goal.pointers, 8);
  EXPECT_EQ(goal.freed_bytes, 3000u);
}

TEST(CarryGoalTest, NothingIsCarriedThatFreesNothingOrTooLittle) {
  EXPECT_EQ(ChooseCarryGoal({Range(1, 0, 1, 10), Range(4096, 900, 0, 0)}, 0, 2500, kSegment, 50).below, 0u);
  EXPECT_EQ(ChooseCarryGoal({Range(1, 0, 1, 600), Range(4096, 1100, 0, 0)}, 0, 2500, kSegment, 50).below, 0u);
  EXPECT_EQ(ChooseCarryGoal({Range(1, 0, 1, 10), Range(4096, 1100, 0, 0)}, 0, 2500, kSegment, 0).below, 0u);
  // Trim does that alone.
  EXPECT_EQ(ChooseCarryGoal({Range(1, 0, 0, 0), Range(4096, 1100, 0, 0)}, 0, 2500, kSegment, 50).below, 0u);
}

TEST(CarryGoalTest, WhatIsDeadAlreadyIsNotGained) {
  EXPECT_EQ(
      ChooseCarryGoal({Range(1, 0, 0, 0), Range(4096, 9000, 1, 600), Range(8192, 10100, 0, 0)}, 0, 12000, kSegment, 50)
          .below,
      0u);
}

TEST(CarryGoalTest, AGoalIsCarriedInSteps) {
  std::vector<LiveRange> ranges;
  for (uint64_t i = 0; i < 17; ++i) ranges.push_back(Range(1 + i * 4096, i * kSegment, 1, 100));
  const CarryGoal step = FirstStepOf(1 + 16 * 4096, ranges, 0, kSegment);
  EXPECT_EQ(step.below, 1 + 2 * 4096u);
  EXPECT_EQ(step.pointers, 2);
  // What is done with is passed over, and the last step ends at the goal.
  for (size_t i = 0; i < 15; ++i) ranges[i].pointers = 0;
  EXPECT_EQ(FirstStepOf(1 + 16 * 4096, ranges, 0, kSegment).below, 1 + 16 * 4096u);
  ranges[15].pointers = 0;
  EXPECT_EQ(FirstStepOf(1 + 16 * 4096, ranges, 0, kSegment).below, 0u);
  EXPECT_EQ(FirstStepOf(0, ranges, 0, kSegment).below, 0u);
}

TEST(CarryGoalTest, TheSegmentThatIsWrittenIsNeverCarried) {
  const std::vector<LiveRange> ranges{Range(1, 0, 1, 10), Range(4096, 1100, 0, 0), Range(8192, 2200, 0, 0)};
  EXPECT_EQ(ChooseCarryGoal(ranges, 0, 1800, kSegment, 50).below, 0u);
  EXPECT_EQ(ChooseCarryGoal(ranges, 0, 2500, kSegment, 50).below, 4096u);
}

// The overhead of small messages is not taken for waste, or they would be carried again and again.
TEST(CarryGoalTest, SmallMessagesAreNotCarriedForTheirOverhead) {
  EXPECT_EQ(ChooseCarryGoal({Range(1, 0, 14, 14 * 8), Range(4096, 1000, 0, 0)}, 0, 2500, kSegment, 75).below, 0u);
}

}  // namespace
}  // namespace barid::broker
