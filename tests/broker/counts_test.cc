// What a shard counts, and the audit that counts it anew.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "broker/audit_scan.h"
#include "broker/sealed_entry.h"
#include "broker/shard_metrics.h"
#include "tests/broker/state_fixture.h"

namespace barid::broker {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using enum absl::StatusCode;

constexpr TopicId kTopic{7};

class CountsTest : public StateTest {
 protected:
  // Of kGroup in the topic: ready, in flight, blocked.
  std::vector<int64_t> Figures(GroupTopic key = {kGroup, kTopic}) const {
    const GroupFigures figures = state_->counts().Of(key);
    return {figures.ready, figures.in_flight, figures.blocked};
  }
  std::vector<int64_t> Expect(int64_t ready, int64_t in_flight, int64_t blocked) { return {ready, in_flight, blocked}; }
  int64_t DeadLetters() const { return state_->counts().DeadLetters(kGroup, "orders"); }

  // What an audit of the last checkpoint finds, in slices of `entries`.
  std::vector<CountMismatch> Audit(int64_t entries = 1) {
    AuditScan scan(store_->Snapshot());
    while (true) {
      const absl::StatusOr<bool> complete = scan.Step(entries);
      EXPECT_TRUE(complete.ok()) << complete.status();
      if (!complete.ok() || *complete) break;
    }
    compared_ = scan.counts();
    return scan.mismatches();
  }
  void OverwriteCounts(const std::string& key, std::vector<int64_t> counts) {
    std::string value;
    for (const int64_t count : counts) PutFixed(&value, count);
    ASSERT_TRUE(store_->Write({Sealed(key, std::move(value))}).ok());
  }
  std::string GroupKey(GroupId group, TopicId topic) {
    std::string key = "eg";
    PutOrdered64(&key, group.value());
    PutOrdered64(&key, topic.value());
    return key;
  }
  // Something of every kind.
  void Live() {
    Configure();
    Configure(kOtherQueue);
    SubscribeOrdered();
    SendGrouped({1, 1, 2, 1, 2, 3});
    Subscribe(2, kOtherGroup);
    Subscribe(0, kGroup, kOtherQueue);
    SendMany(3, kOtherQueue);
    DeliverOrdered(5, {0, 2}, {1, 3, 4});
    Schedule({now_us_ + kSecond, now_us_ + 2 * kSecond}, kOtherQueue);
    Move(Receipt(2));
    Subscribe(0, kOtherGroup, kDeadLetters);
    Send({5});
  }

  int64_t compared_ = 0;
};

TEST_F(CountsTest, WhatNobodyHasSeenIsReady) {
  Configure();
  Configure(kOtherQueue);
  Subscribe();
  Send({1, 2});
  Subscribe(0, kGroup, kOtherQueue);
  Send({3}, kOtherQueue);
  EXPECT_EQ(Figures(), Expect(3, 0, 0));
  Skip(0, 1);
  EXPECT_EQ(Figures(), Expect(2, 0, 0));
}

TEST_F(CountsTest, WhatIsHandedOutIsInFlightUntilItIsSettledOrComesBack) {
  Configure();
  Send({1, 2, 3});
  Subscribe();
  Deliver(0, 3);
  EXPECT_EQ(Figures(), Expect(0, 3, 0));
  Ack(Receipt(0));
  EXPECT_EQ(Figures(), Expect(0, 2, 0));
  ShowAt(Receipt(1), now_us_ + kSecond);  // Given back for a second: nobody may have it.
  EXPECT_EQ(Figures(), Expect(0, 2, 0));
  now_us_ += kSecond;
  Lapse(Receipt(1));
  EXPECT_EQ(Figures(), Expect(1, 1, 0));
}

TEST_F(CountsTest, WhatWaitsBehindALockedMessageGroupIsBlocked) {
  Configure();
  SendGrouped({1, 1, 2, 1, 3});
  SubscribeOrdered();
  DeliverOrdered(5, {0}, {1, 2, 3, 4});
  EXPECT_EQ(Figures(), Expect(2, 1, 2));  // Those of 2 and 3 are parked, and free.
  EXPECT_EQ(cursor().blocked, 2);
  Ack(Receipt(0));
  EXPECT_EQ(Figures(), Expect(4, 0, 0));
  DeliverOrdered(5, {}, {}, {1});
  EXPECT_EQ(Figures(), Expect(2, 1, 1));
  ShowAt(Receipt(1), now_us_);
  EXPECT_EQ(Figures(), Expect(4, 0, 0));
}

TEST_F(CountsTest, WhatIsScheduledIsDelayedUntilItFiresOrIsRecalled) {
  Configure();
  Subscribe();
  const int64_t due = now_us_ + kSecond;
  Schedule({due, due, due});
  const std::vector<log::TimerRef> timers = {LastTimer(due, 0), LastTimer(due, 1)};
  EXPECT_EQ(state_->counts().Delayed(kTopic), 3);
  Cancel({timers[0]});
  EXPECT_EQ(state_->counts().Delayed(kTopic), 2);
  now_us_ = due;
  Fire({timers[1]});
  EXPECT_EQ(state_->counts().Delayed(kTopic), 1);
  EXPECT_EQ(Figures(), Expect(1, 0, 0));
}

TEST_F(CountsTest, DeadLettersCountByTheTopicThatTheyCameFromUntilTheyGoBackOrExpire) {
  Configure();
  Send({1, 2, 3, 4});
  Subscribe();
  Deliver(0, 4);
  for (const QueueOffset offset : {0, 1, 2}) Move(Receipt(offset));
  EXPECT_EQ(DeadLetters(), 3);
  EXPECT_EQ(Figures(), Expect(0, 1, 0));
  Subscribe(0, kOtherGroup, kDeadLetters);
  EXPECT_EQ(Figures({kOtherGroup, kDeadLetters.topic}), Expect(3, 0, 0));
  Redrive({1});
  EXPECT_EQ(DeadLetters(), 2);
  EXPECT_EQ(Figures(), Expect(1, 1, 0));
  EXPECT_EQ(Figures({kOtherGroup, kDeadLetters.topic}), Expect(2, 0, 0));
  Skip(0, 2, kOtherGroup);  // Of another queue: nothing.
  Expire(2, kDeadLetters);
  EXPECT_EQ(DeadLetters(), 1);
  EXPECT_EQ(Figures({kOtherGroup, kDeadLetters.topic}), Expect(1, 0, 0));
}

TEST_F(CountsTest, TheEmptyPlaceOfADeadLetterIsFound) {
  Configure();
  SendMany(300);
  Subscribe();
  Deliver(0, 300);
  for (QueueOffset offset = 0; offset < 300; ++offset) Move(Receipt(offset));
  std::vector<QueueOffset> back;
  for (QueueOffset offset = 10; offset < 270; ++offset) back.push_back(offset);
  Redrive(back);
  EXPECT_EQ(state_->counts().SkipEmpty(kDeadLetters, 9), 9);
  EXPECT_EQ(state_->counts().SkipEmpty(kDeadLetters, 10), 270);
  EXPECT_EQ(state_->counts().EmptyIn(kDeadLetters, 0, 300), 260);
  EXPECT_EQ(state_->counts().EmptyIn(kDeadLetters, 63, 65), 2);
  EXPECT_EQ(state_->counts().EmptyIn(kDeadLetters, 255, 257), 2);
  EXPECT_EQ(state_->counts().EmptyIn(kDeadLetters, 5, 11), 1);
}

TEST_F(CountsTest, AQueueThatBeginsAnewHasNoEmptyPlaces) {
  Configure();
  Send({1, 2, 3});
  Subscribe();
  Deliver(0, 3);
  for (const QueueOffset offset : {0, 1, 2}) Move(Receipt(offset));
  Redrive({0});
  Delete(kDeadLetters);
  Expire(3, kDeadLetters);
  ASSERT_EQ(state_->FindQueue(kDeadLetters), nullptr);
  Deliver(3, 4);
  Move(Receipt(3));
  EXPECT_EQ(state_->counts().EmptyIn(kDeadLetters, 0, 1), 0);
  WriteCheckpoint();
  EXPECT_THAT(Audit(), IsEmpty());
}

TEST_F(CountsTest, AResetCountsWhatComesAgain) {
  Configure();
  Send({1, 2, 3});
  Subscribe();
  Deliver(0, 2);
  log::SeekCursor seek;
  seek.set_group_id(kGroup.value());
  SetKey(seek.mutable_queue(), kQueue);
  seek.set_to(0);
  Apply(seek);
  EXPECT_EQ(Figures(), Expect(3, 0, 0));
  seek.set_to(2);
  Apply(seek);
  EXPECT_EQ(Figures(), Expect(1, 0, 0));
}

TEST_F(CountsTest, WhatIsDeletedIsNotCounted) {
  Live();
  Close();
  EXPECT_EQ(Figures(), Expect(0, 0, 0));
  Delete();
  Delete(kOtherQueue);
  WriteCheckpoint();
  EXPECT_THAT(Audit(), IsEmpty());
}

TEST_F(CountsTest, ARestartCountsTheSame) {
  Live();
  const std::vector<int64_t> figures = Figures();
  const std::vector<int64_t> letters = Figures({kOtherGroup, kDeadLetters.topic});
  WriteCheckpoint();
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(Figures(), figures);
  EXPECT_EQ(Figures({kOtherGroup, kDeadLetters.topic}), letters);
  EXPECT_EQ(state_->counts().Delayed(kTopic), 2);
  EXPECT_EQ(DeadLetters(), 1);
  WriteCheckpoint();
  EXPECT_THAT(Audit(), IsEmpty());
}

// A version that kept none wrote the checkpoint, or wrote the last ones.
TEST_F(CountsTest, WhatHadNoCountsIsCountedFromTheIndex) {
  Configure();
  SendMany(4);
  Subscribe();
  Deliver(0, 4);
  for (const QueueOffset offset : {0, 1, 2, 3}) Move(Receipt(offset));
  Redrive({0, 2});
  WriteCheckpoint();
  std::vector<storage::KeyValueStore::Operation> operations;
  ASSERT_TRUE(store_
                  ->Scan("e", "g",
                         [&](absl::string_view key, absl::string_view) {
                           operations.push_back({std::string(key), std::nullopt});
                           return true;
                         })
                  .ok());
  ASSERT_TRUE(store_->Write(operations).ok());
  AuditScan scan(store_->Snapshot());
  EXPECT_THAT(scan.Step(100).status(), HasCode(kNotFound));
  ASSERT_TRUE(Reload().ok());
  EXPECT_EQ(DeadLetters(), 2);
  EXPECT_EQ(state_->counts().EmptyIn(kDeadLetters, 0, 4), 1);  // The first went with its place.
  FillLogTo(state_->applied_index() + 1);
  WriteCheckpoint();
  EXPECT_THAT(Audit(), IsEmpty());
}

TEST_F(CountsTest, AnAuditOfAnySliceFindsNothingWrong) {
  Live();
  WriteCheckpoint();
  for (const int64_t entries : {1, 2, 3, 1000}) {
    EXPECT_THAT(Audit(entries), IsEmpty());
    EXPECT_EQ(compared_, 12);  // Three of each of three groups, the timers, the dead letters, the empty offsets.
  }
}

TEST_F(CountsTest, AnAuditFindsEachWrongCount) {
  Live();
  WriteCheckpoint();
  const std::vector<int64_t> right = Figures();
  for (size_t i = 0; i < right.size(); ++i) {
    std::vector<int64_t> wrong = right;
    ++wrong[i];
    OverwriteCounts(GroupKey(kGroup, kTopic), wrong);
    const std::vector<CountMismatch> found = Audit();
    ASSERT_THAT(found, SizeIs(1));
    EXPECT_EQ(found[0].count, std::vector<std::string>({"ready", "in flight", "blocked"})[i]);
    EXPECT_EQ(found[0].group, kGroup);
    EXPECT_EQ(found[0].topic, kTopic);
    EXPECT_EQ(found[0].counted, right[i] + 1);
    EXPECT_EQ(found[0].found, right[i]);
  }
  OverwriteCounts(GroupKey(kGroup, kTopic), right);
  OverwriteCounts(GroupKey(GroupId(77), kTopic), {1, 0, 0});
  EXPECT_THAT(Audit(), SizeIs(1));
}

TEST_F(CountsTest, AnAuditFindsWrongTimersDeadLettersAndEmptyOffsets) {
  Live();
  WriteCheckpoint();
  std::string timers = "et";
  PutOrdered64(&timers, kTopic.value());
  OverwriteCounts(timers, {1});
  std::string letters = "ed";
  PutOrdered64(&letters, kGroup.value());
  OverwriteCounts(letters + "orders", {0});
  OverwriteCounts(letters + "others", {1});
  std::string empty = "f";
  PutOrdered64(&empty, kDeadLetters.topic.value());
  PutOrdered32(&empty, 0);
  PutOrdered64(&empty, 0);
  OverwriteCounts(empty, {1, 0, 0, 0});
  std::vector<std::string> counts;
  for (const CountMismatch& mismatch : Audit()) counts.push_back(mismatch.count + " " + mismatch.origin);
  EXPECT_THAT(counts,
              ::testing::ElementsAre("delayed ", "empty offsets ", "dead-lettered orders", "dead-lettered others"));
}

TEST_F(CountsTest, AnAuditSeesOneMoment) {
  Live();
  WriteCheckpoint();
  AuditScan scan(store_->Snapshot());
  ASSERT_TRUE(scan.Step(3).ok());
  Close();
  Expire(6);
  WriteCheckpoint();
  while (!scan.Step(1).value()) {
  }
  EXPECT_THAT(scan.mismatches(), IsEmpty());
  EXPECT_EQ(scan.counts(), 12);
}

GroupCount CountOf(int64_t ready, int64_t in_flight, int64_t blocked) {
  GroupCount count;
  count.group = kGroup;
  count.topic = kTopic;
  count.ready = ready;
  count.in_flight = in_flight;
  count.blocked = blocked;
  return count;
}

TEST(ShardMetricsTest, ShardsAddUpAndWhatIsGoneIsZero) {
  Metrics metrics;
  BrokerMetrics families(&metrics);
  ShardMetrics one(&families, ShardId(1));
  ShardMetrics two(&families, ShardId(2));
  const absl::Time now = absl::FromUnixSeconds(1000);
  GroupCount count = CountOf(1, 2, 3);
  count.oldest = now - absl::Seconds(7);
  one.Show({count}, now);
  two.Show({CountOf(10, 20, 30)}, now);
  const auto lag = [&](int64_t expected) {
    return ::testing::HasSubstr(
        absl::StrCat("rocketmq_consumer_lag_messages{topic=\"7\",consumer_group=\"3\"} ", expected, "\n"));
  };
  EXPECT_THAT(metrics.CollectText(), lag(66));
  EXPECT_THAT(metrics.CollectText(), ::testing::HasSubstr("consumer_group=\"3\",shard=\"1\"} 7\n"));
  one.Show({CountOf(2, 2, 3)}, now);
  EXPECT_THAT(metrics.CollectText(), lag(67));
  two.Show({}, now);
  EXPECT_THAT(metrics.CollectText(), lag(7));
}

TEST_F(CountsTest, WhatIsAppliedIsCountedUp) {
  Metrics metrics;
  BrokerMetrics families(&metrics);
  ShardMetrics shard(&families, ShardId(1));
  Configure();
  Subscribe();
  log::Append append;
  SetKey(append.mutable_queue(), kQueue);
  append.add_entries()->set_bytes(10);
  append.add_entries()->set_bytes(20);
  shard.OnApplied(append, Apply(append));
  Deliver(0, 2);
  log::Settle ack;
  *ack.add_entries()->mutable_delivery() = Receipt(0);
  ack.mutable_entries(0)->set_action(log::Settle::Entry::ACK);
  shard.OnApplied(ack, Apply(ack));
  shard.OnApplied(ack, Apply(ack));  // Stale by now.
  Prepare({now_us_ + kSecond});
  log::EndTransaction end;
  end.add_entries()->mutable_transaction()->set_log_index(LastTransaction().index);
  end.mutable_entries(0)->set_resolution(log::EndTransaction::Entry::COMMIT);
  end.set_remember(10);
  shard.OnApplied(end, Apply(end));
  shard.OnApplied(end, Apply(end));
  log::Carry carry;
  log::Carry::Entry* const pointer = carry.add_entries();
  const IndexEntry at = Entry(1);
  pointer->set_log_index(at.index);
  pointer->set_payload_offset(at.offset);
  pointer->set_bytes(at.bytes);
  SetKey(pointer->mutable_queue(), kQueue);
  pointer->set_offset(1);
  shard.OnApplied(carry, Apply(carry));
  const std::string text = metrics.CollectText();
  for (const char* line :
       {"barid_broker_carried_messages_total{shard=\"1\"} 1\n", "barid_broker_carried_bytes_total{shard=\"1\"} 20\n",
        "rocketmq_messages_in_total{topic=\"7\"} 2\n", "rocketmq_throughput_in_total{topic=\"7\"} 30\n",
        "barid_broker_settlements_total{shard=\"1\",action=\"acknowledged\"} 1\n",
        "rocketmq_commit_messages_total{topic=\"7\"} 1\n"}) {
    EXPECT_THAT(text, ::testing::HasSubstr(line));
  }
}

}  // namespace
}  // namespace barid::broker
