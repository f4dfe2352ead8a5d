// Order by message group and by priority, end to end within a shard: on a simulated disk, clock and executors.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/stored_message.h"
#include "gmock/gmock.h"
#include "tests/base/status_matchers.h"
#include "tests/broker/shard_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr TopicId kTopic{1};
constexpr GroupId kGroup{1};
constexpr GroupId kUnordered{2};

class OrderTest : public ShardFixture {
 protected:
  explicit OrderTest(MessageType type = MessageType::kFifo) : ShardFixture(LogLevel::kError) {
    TopicMetadata& topic = tables_.topics.emplace_back();
    topic.id = kTopic;
    topic.name = {"", "orders"};
    topic.type = type;
    topic.queues_per_shard = type == MessageType::kFifo       ? 1
                             : type == MessageType::kPriority ? kPriorityLevels
                                                              : kMaxQueuesPerShard;
    if (type == MessageType::kFifo) topic.placement = {kShard};
    for (const GroupId id : {kGroup, kUnordered}) {
      GroupMetadata& group = tables_.groups.emplace_back();
      group.id = id;
      group.name = {"", absl::StrCat("group-", id.value())};
      group.order = id == kGroup ? DeliveryOrder::kFifo : DeliveryOrder::kNone;
      group.retry.max_attempts = 3;
      SubscriptionMetadata& subscription = tables_.subscriptions.emplace_back();
      subscription.group = group.id;
      subscription.topic = kTopic;
      tables_.subscriptions.push_back({group.id, DeadLetterTopicId(kGroup), {}});
    }
    Start();
  }

  // Messages in one call, named by message group and number: "a1".
  void Send(const std::vector<std::string>& names) {
    AppendCall call;
    call.shard = kShard;
    call.topic = kTopic;
    call.queue = 0;
    for (const std::string& name : names) {
      MessageDraft draft;
      draft.type = MessageType::kFifo;
      draft.message_id = name;
      draft.tag = absl::string_view(name).substr(1);
      draft.message_group = absl::string_view(name).substr(0, 1);
      draft.body = "body";
      call.messages.push_back({EncodeStoredMessage(draft), TagHash(*draft.tag)});
      call.messages.back().message_group = MessageGroupHash(*draft.message_group);
    }
    Append(std::move(call));
  }
  AppendResult Append(AppendCall call) {
    AppendResult result = Ask(&Shard::Append, std::move(call));
    EXPECT_THAT(result.status, IsOk());
    return result;
  }

  ReceiveCall Call() const {
    ReceiveCall call;
    call.shard = kShard;
    call.group = kGroup;
    call.topic = kTopic;
    call.invisible = absl::Seconds(30);
    call.client_id = "ann";
    return call;
  }
  ReceiveResult Take(ReceiveCall call) {
    const auto receive = StartReceive(std::move(call));
    world_.RunUntil([&] { return receive->has_value(); }, absl::Seconds(10));
    CHECK(receive->has_value());
    return **receive;
  }
  ReceiveResult Take(int32_t max_messages = 32) {
    ReceiveCall call = Call();
    call.max_messages = max_messages;
    return Take(std::move(call));
  }
  void Settle(const Delivery& delivery, SettleKind kind, absl::Duration delay = absl::ZeroDuration()) {
    SettleCall call;
    call.shard = kShard;
    call.entries.push_back({kGroup, delivery.queue, delivery.offset, delivery.nonce, kind, delay, ""});
    const SettleResult settled = Ask(&Shard::Settle, std::move(call));
    EXPECT_THAT(settled.entries.at(0), IsOk());
  }
  QueueStats::Group Stats() {
    world_.RunFor(
        absl::Milliseconds(10));  // A receive that finds nothing is answered before what it parked is written down.
    QueueStats::Group found;
    world_.RunOn(shard_executor_.get(), [&] {
      for (const QueueStats& queue : shard_->Stats(StatsCall())) {
        for (const QueueStats::Group& one : queue.groups) {
          if (one.group == kGroup && queue.queue.topic == kTopic) found = one;
        }
      }
    });
    return found;
  }

  GroupCount Count() {
    world_.RunFor(absl::Milliseconds(10));
    std::optional<std::vector<GroupCount>> counts;
    world_.RunOn(shard_executor_.get(), [&] {
      shard_->Count({kTopic, kGroup}, [&counts](std::vector<GroupCount> got) { counts = std::move(got); });
    });
    world_.RunUntil([&] { return counts.has_value(); }, absl::Seconds(1));
    EXPECT_THAT(*counts, SizeIs(1));
    return counts->empty() ? GroupCount() : counts->front();
  }
};

TEST_F(OrderTest, OneAnswerHasRunsOfSeveralMessageGroups) {
  Send({"a1", "b1", "a2", "a3", "b2"});
  EXPECT_THAT(Ids(Take()), ElementsAre("a1", "b1", "a2", "a3", "b2"));
}

TEST_F(OrderTest, AnExplanationNamesTheMessageThatIsWaitedFor) {
  Send({"a1", "a2", "b1", "a3"});
  const auto standing = [this](const std::string& id) {
    LookupCall call;
    call.shard = kShard;
    call.topic = kTopic;
    call.kind = LookupCall::Kind::kExplain;
    call.text = id;
    const LookupResult life = Ask(&Shard::Find, std::move(call));
    for (const GroupStanding& one : life.standings) {
      if (one.group == kGroup) return one;
    }
    return GroupStanding();
  };
  const Delivery first = Take(1).deliveries.at(0);
  // Not looked at yet, and locked already.
  GroupStanding a3 = standing("a3");
  EXPECT_EQ(a3.standing, "not_reached");
  ASSERT_TRUE(a3.blocked_by.has_value());
  EXPECT_EQ(a3.blocked_by->message_id, "a1");
  EXPECT_FALSE(standing("b1").blocked_by.has_value());

  EXPECT_THAT(Ids(Take()), ElementsAre("b1"));
  const GroupStanding a2 = standing("a2");
  EXPECT_EQ(a2.standing, "parked");
  ASSERT_TRUE(a2.blocked_by.has_value());
  EXPECT_EQ(a2.blocked_by->message_id, "a1");
  EXPECT_EQ(a2.blocked_by->offset, 0);
  EXPECT_EQ(a2.blocked_by->client, "ann");
  EXPECT_EQ(a2.blocked_by->attempt, 1);
  EXPECT_GT(a2.blocked_by->until, absl::UnixEpoch());
  EXPECT_FALSE(standing("a1").blocked_by.has_value());

  // The lock is gone: first comes first, and nothing is in flight that it could be waited for until a time.
  Settle(first, SettleKind::kAck);
  EXPECT_FALSE(standing("a2").blocked_by.has_value());
  a3 = standing("a3");
  ASSERT_TRUE(a3.blocked_by.has_value());
  EXPECT_EQ(a3.blocked_by->message_id, "a2");
  EXPECT_EQ(a3.blocked_by->attempt, 0);
  EXPECT_EQ(a3.blocked_by->until, absl::InfinitePast());
}

TEST_F(OrderTest, OthersPassALockedMessageGroup) {
  Send({"a1", "a2", "b1", "c1", "b2"});
  EXPECT_THAT(Ids(Take(1)), ElementsAre("a1"));
  EXPECT_THAT(Ids(Take(1)), ElementsAre("b1"));
  EXPECT_THAT(Ids(Take()), ElementsAre("c1"));
  EXPECT_THAT(Ids(Take()), IsEmpty());
  const QueueStats::Group stats = Stats();
  EXPECT_EQ(stats.in_flight, 3);
  EXPECT_EQ(stats.parked, 2);
  EXPECT_EQ(stats.floor, 0);
}

TEST_F(OrderTest, WhatWaitsIsCountedAndTheOldestIsDated) {
  const absl::Time sent = world_.clock()->Now();
  Send({"a1", "a2", "b1", "c1", "b2"});
  world_.RunFor(absl::Seconds(10));
  Send({"a3", "d1"});
  const ReceiveResult first = Take(1);
  EXPECT_THAT(Ids(Take(1)), ElementsAre("b1"));
  EXPECT_THAT(Ids(Take(1)), ElementsAre("c1"));
  GroupCount count = Count();
  EXPECT_EQ(count.ready, 3);  // The scan stands before b2, and does not know yet that it will park that.
  EXPECT_EQ(count.in_flight, 3);
  EXPECT_EQ(count.blocked, 1);
  ASSERT_TRUE(count.oldest.has_value());
  EXPECT_LE(absl::AbsDuration(*count.oldest - sent), absl::Seconds(1));
  EXPECT_THAT(Ids(Take()), ElementsAre("d1"));
  count = Count();
  EXPECT_EQ(count.ready, 0);
  EXPECT_EQ(count.blocked, 3);
  Settle(first.deliveries[0], SettleKind::kAck);
  count = Count();
  EXPECT_EQ(count.ready, 2);
  EXPECT_EQ(count.blocked, 1);
  // Also where the index block has to be read.
  world_.RunFor(absl::Seconds(10));
  Restart();
  EXPECT_EQ(Count().oldest, count.oldest);
}

TEST_F(OrderTest, AnAcknowledgementWakesWhoWaitsForTheNext) {
  Send({"a1", "a2", "a3"});
  const ReceiveResult first = Take(1);
  ReceiveCall call = Call();
  call.wait = absl::Seconds(20);
  const auto waiting = StartReceive(call);
  world_.RunFor(absl::Seconds(3));
  EXPECT_FALSE(waiting->has_value());
  Settle(first.deliveries[0], SettleKind::kAck);
  world_.RunFor(absl::Milliseconds(10));
  ASSERT_TRUE(waiting->has_value());
  EXPECT_THAT(Ids(**waiting), ElementsAre("a2", "a3"));
}

TEST_F(OrderTest, WhatIsSentWhileItsMessageGroupIsLockedComesWhenItIsNot) {
  Send({"a1"});
  const ReceiveResult first = Take();
  ReceiveCall call = Call();
  call.wait = absl::Seconds(20);
  const auto waiting = StartReceive(call);
  Send({"a2", "b1"});
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(waiting->has_value());
  EXPECT_THAT(Ids(**waiting), ElementsAre("b1"));
  EXPECT_THAT(Ids(Take()), IsEmpty());
  Settle(first.deliveries[0], SettleKind::kAck);
  EXPECT_THAT(Ids(Take()), ElementsAre("a2"));
}

TEST_F(OrderTest, AReturnedMessageComesBeforeItsFollowers) {
  Send({"a1", "a2", "b1"});
  const ReceiveResult first = Take(1);
  Settle(first.deliveries[0], SettleKind::kExtend, absl::Seconds(5));
  EXPECT_THAT(Ids(Take()), ElementsAre("b1"));
  world_.RunFor(absl::Seconds(6));
  const ReceiveResult again = Take();
  EXPECT_THAT(Ids(again), ElementsAre("a1", "a2"));
  EXPECT_EQ(again.deliveries[0].attempt, 2);
  EXPECT_EQ(again.deliveries[1].attempt, 1);
}

TEST_F(OrderTest, AfterTheLastAttemptTheMessageGroupGoesOn) {
  Send({"a1", "a2"});
  for (int attempt = 1; attempt <= 3; ++attempt) {
    const ReceiveResult result = Take(1);
    ASSERT_THAT(Ids(result), ElementsAre("a1"));
    EXPECT_EQ(result.deliveries[0].attempt, attempt);
    Settle(result.deliveries[0], SettleKind::kReturn);
    world_.RunFor(absl::Minutes(5));
  }
  EXPECT_THAT(Ids(Take()), ElementsAre("a2"));
  ReceiveCall call = Call();
  call.topic = DeadLetterTopicId(kGroup);
  EXPECT_THAT(Ids(Take(call)), ElementsAre("a1"));
}

TEST_F(OrderTest, LocksAndParkedMessagesSurviveARestart) {
  Send({"a1", "a2", "b1"});
  const ReceiveResult first = Take(1);
  EXPECT_THAT(Ids(Take()), ElementsAre("b1"));
  Restart();
  EXPECT_THAT(Ids(Take()), IsEmpty());
  EXPECT_EQ(Stats().parked, 1);
  Settle(first.deliveries[0], SettleKind::kAck);
  EXPECT_THAT(Ids(Take()), ElementsAre("a2"));
}

TEST_F(OrderTest, WhatTheFilterLeavesOutIsSettledAndStopsNobody) {
  Send({"a1", "a2", "a3", "a2", "a1"});
  ReceiveCall call = Call();
  call.tags = {"1", "3"};
  call.max_messages = 1;
  const ReceiveResult first = Take(call);
  EXPECT_THAT(Ids(first), ElementsAre("a1"));
  EXPECT_THAT(Ids(Take(call)), IsEmpty());
  EXPECT_EQ(Stats().parked, 2);
  Settle(first.deliveries[0], SettleKind::kAck);
  // Another filter meets what is parked already.
  call.tags = {"1"};
  EXPECT_THAT(Ids(Take(call)), ElementsAre("a1"));
  EXPECT_EQ(Stats().parked, 0);
}

TEST_F(OrderTest, AnUnorderedGroupIsNotHeldUp) {
  Send({"a1", "a2"});
  ReceiveCall call = Call();
  call.group = kUnordered;
  call.max_messages = 1;
  EXPECT_THAT(Ids(Take(call)), ElementsAre("a1"));
  EXPECT_THAT(Ids(Take(call)), ElementsAre("a2"));
}

TEST_F(OrderTest, ARepeatedAttemptGetsItsBatchAgain) {
  Send({"a1", "a2", "b1"});
  ReceiveCall call = Call();
  call.attempt_id = "attempt-1";
  call.max_messages = 2;
  const ReceiveResult first = Take(call);
  ASSERT_THAT(first.deliveries, SizeIs(2));
  Send({"a3", "c1"});
  world_.RunFor(absl::Seconds(20));
  const ReceiveResult again = Take(call);
  EXPECT_EQ(Ids(again), Ids(first));
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(again.deliveries[i].nonce, first.deliveries[i].nonce);
    EXPECT_EQ(again.deliveries[i].attempt, 1);
  }
  world_.RunFor(absl::Seconds(20));  // The first 30 seconds are over, those of the repetition are not.
  EXPECT_EQ(Stats().in_flight, 2);
  Settle(first.deliveries[0], SettleKind::kAck);
  EXPECT_THAT(Ids(Take(call)), ElementsAre("a2"));
  call.client_id = "bob";
  EXPECT_THAT(Ids(Take(call)), UnorderedElementsAre("b1", "c1"));
}

TEST_F(OrderTest, TooManyParkedMessagesStopTheScanUntilSomeAreSettled) {
  Stop();
  options_.max_parked_bytes = 2 * ParkedMessages::kMostBytes;
  Start();
  std::vector<std::string> ids;
  for (int i = 1; i <= 60; ++i) ids.push_back(absl::StrCat("a", i));
  ids.push_back("b1");
  Send(ids);
  ReceiveResult result = Take(1);
  for (int i = 0; i < 60; ++i) EXPECT_THAT(Ids(Take()), IsEmpty());  // Before b1 is some a that cannot be parked.
  EXPECT_GT(Stats().parked, 20);
  EXPECT_LT(Stats().parked, 59);
  ReceiveCall call = Call();
  call.wait = absl::Seconds(20);
  const auto waiting = StartReceive(call);
  Settle(result.deliveries[0], SettleKind::kAck);
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(waiting->has_value());
  EXPECT_EQ(Ids(**waiting), std::vector<std::string>(ids.begin() + 1, ids.begin() + 33));
}

TEST_F(OrderTest, WhatIsOnlyProposedToBeParkedStopsTheScanNoLongerThanThat) {
  Stop();
  options_.max_parked_bytes = 300 * 1024;
  Start();
  std::vector<std::string> ids;
  for (int i = 0; i < 3000; ++i) ids.push_back("a");
  ids.push_back("b1");
  Send(ids);
  ASSERT_THAT(Take(1).deliveries, SizeIs(1));
  ReceiveCall call = Call();
  call.wait = absl::Seconds(20);
  EXPECT_THAT(Ids(Take(call)), ElementsAre("b1"));
  EXPECT_EQ(Stats().parked, 2999);
}

// --- Many queues ---

class ManyQueuesTest : public OrderTest {
 protected:
  ManyQueuesTest() : OrderTest(MessageType::kNormal) {}
};

// Each block that comes wakes the receive, which asks for all others again: that must not add up.
TEST_F(ManyQueuesTest, AReceiveThatFindsNothingLooksAtEachColdQueueAFewTimes) {
  for (int32_t queue = 0; queue < kMaxQueuesPerShard; ++queue) {
    MessageDraft draft;
    draft.message_id = "one";
    draft.tag = "unwanted";
    draft.body = "body";
    AppendCall call;
    call.shard = kShard;
    call.topic = kTopic;
    call.queue = queue;
    call.messages.push_back({EncodeStoredMessage(draft), TagHash("unwanted")});
    Append(std::move(call));
  }
  world_.RunFor(absl::Seconds(10));  // A checkpoint has them.
  Stop();
  Start();
  ReceiveCall call = Call();
  call.tags = {"wanted"};
  EXPECT_THAT(Ids(Take(call)), IsEmpty());
}

// --- Priority ---

class PriorityTest : public OrderTest {
 protected:
  PriorityTest() : OrderTest(MessageType::kPriority) {}

  AppendResult SendAt(int32_t priority, const std::string& name, uint64_t hash = 0) {
    MessageDraft draft;
    draft.type = MessageType::kPriority;
    draft.message_id = name;
    draft.priority = priority;
    draft.body = "body";
    AppendCall call;
    call.shard = kShard;
    call.topic = kTopic;
    call.queue = priority;
    call.messages.push_back({EncodeStoredMessage(draft)});
    call.messages.back().id_hash = call.messages.back().content_hash = hash;
    AppendResult result = Append(std::move(call));
    world_.RunFor(absl::Milliseconds(1));
    return result;
  }
  // The next message, settled.
  std::string TakeOne() {
    const ReceiveResult result = Take(1);
    if (result.deliveries.empty()) return "";
    Settle(result.deliveries[0], SettleKind::kAck);
    return Ids(result)[0];
  }
};

TEST_F(PriorityTest, TheHigherComesFirst) {
  SendAt(0, "low");
  SendAt(15, "high");
  SendAt(7, "middle");
  SendAt(15, "high too");
  EXPECT_THAT(Ids(Take()), ElementsAre("high", "high too", "middle", "low"));
}

TEST_F(PriorityTest, WhatComesBackKeepsItsPriority) {
  SendAt(3, "low");
  SendAt(9, "high");
  ReceiveResult first = Take(1);
  EXPECT_THAT(Ids(first), ElementsAre("high"));
  Settle(first.deliveries[0], SettleKind::kExtend, absl::ZeroDuration());
  EXPECT_THAT(Ids(Take(1)), ElementsAre("high"));
}

TEST_F(PriorityTest, ABatchThatIsRepeatedStandsInTheSameOrder) {
  SendAt(3, "low");
  SendAt(12, "high");
  SendAt(7, "middle");
  ReceiveCall call = Call();
  call.attempt_id = "attempt-1";
  EXPECT_THAT(Ids(Take(call)), ElementsAre("high", "middle", "low"));
  EXPECT_THAT(Ids(Take(call)), ElementsAre("high", "middle", "low"));
  // Of a shorter one the first are given.
  call.max_messages = 2;
  EXPECT_THAT(Ids(Take(call)), ElementsAre("high", "middle"));
}

TEST_F(PriorityTest, ABatchThatIsRepeatedTakesNoTurnFromTheOldest) {
  Stop();
  options_.priority_oldest_every = 2;
  Start();
  SendAt(0, "oldest");
  for (int i = 0; i < 3; ++i) SendAt(15, absl::StrCat("high ", i));
  ReceiveCall call = Call();
  call.max_messages = 1;
  call.attempt_id = "attempt-1";
  EXPECT_THAT(Ids(Take(call)), ElementsAre("high 0"));
  EXPECT_THAT(Ids(Take(call)), ElementsAre("high 0"));
  EXPECT_THAT(Ids(Take(1)), ElementsAre("oldest"));
  EXPECT_THAT(Ids(Take(1)), ElementsAre("high 1"));
}

TEST_F(PriorityTest, OneReceiveOfTenBeginsWithTheOldest) {
  SendAt(0, "oldest");
  SendAt(1, "old");
  for (int i = 0; i < 30; ++i) SendAt(15, absl::StrCat("high ", i));
  std::vector<std::string> low;
  for (int i = 1; i <= 20; ++i) {
    const std::string id = TakeOne();
    if (i % 10 == 0) {
      low.push_back(id);
    } else {
      EXPECT_EQ(id.substr(0, 4), "high") << i;
    }
  }
  EXPECT_THAT(low, ElementsAre("oldest", "old"));
}

TEST_F(PriorityTest, WhatAResetGivesAgainIsAmongTheOldest) {
  Stop();
  options_.priority_oldest_every = 1;
  Start();
  SendAt(0, "oldest");
  EXPECT_EQ(TakeOne(), "oldest");
  SendAt(15, "high");
  ResetOffsetCall call;
  call.shard = kShard;
  call.group = kGroup;
  call.topic = kTopic;
  call.queues = {0};
  call.offset = 0;
  EXPECT_THAT(Ask(&Shard::ResetOffset, std::move(call)).entries.at(0).status, IsOk());
  EXPECT_EQ(TakeOne(), "oldest");
}

// However fast high ones come, a low one waits for ten receives at most for each that is older.
TEST_F(PriorityTest, NobodyWaitsForEver) {
  SendAt(0, "low");
  for (int i = 0; i < 10; ++i) {
    SendAt(15, absl::StrCat("high ", i));
    SendAt(15, absl::StrCat("another ", i));
    if (TakeOne() == "low") return;
  }
  FAIL() << "the low one was never given";
}

TEST_F(PriorityTest, NobodyIsOldestWhereThatIsSwitchedOff) {
  Stop();
  options_.priority_oldest_every = 0;
  Start();
  SendAt(0, "low");
  for (int i = 0; i < 12; ++i) SendAt(15, absl::StrCat("high ", i));
  for (int i = 0; i < 12; ++i) EXPECT_NE(TakeOne(), "low");
  EXPECT_EQ(TakeOne(), "low");
}

TEST_F(PriorityTest, ARepeatedSendIsAnsweredWithItsFirstPlace) {
  SendAt(4, "one", 77);
  EXPECT_EQ(SendAt(4, "two", 88).entries[0].offset, 1);
  const AppendResult again = SendAt(4, "one", 77);
  EXPECT_EQ(again.entries[0].offset, 0);
  EXPECT_EQ(again.entries[0].queue, 4);
  Restart();
  EXPECT_EQ(SendAt(4, "two", 88).entries[0].offset, 1);
  EXPECT_THAT(Ids(Take()), ElementsAre("one", "two"));
}

}  // namespace
}  // namespace barid::broker
