// Lite topics: what they are in a state, and what a shard does with them, on a simulated disk, clock and executors.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/lite_topic.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "broker/lite_subscriptions.h"
#include "tests/base/status_matchers.h"
#include "tests/broker/shard_fixture.h"
#include "tests/broker/state_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// --- The state ---

class LiteStateTest : public StateTest {
 protected:
  Outcome Make(const std::string& name, TopicId topic = kQueue.topic) {
    log::ConfigureQueue command;
    command.mutable_queue()->set_topic_id(topic.value());
    command.set_lite_topic(name);
    return Apply(command);
  }
  Outcome Drop(const QueueKey& key, QueueOffset end) {
    log::ConfigureQueue command;
    SetKey(command.mutable_queue(), key);
    command.set_deleted(true);
    command.set_lite_end(end);
    return Apply(command);
  }
};

TEST_F(LiteStateTest, ANameHasOneQueue) {
  const Outcome first = Make("a");
  EXPECT_THAT(first.status, IsOk());
  EXPECT_EQ(first.queue.queue, kFirstLiteQueue);
  EXPECT_NE(Make("b").queue, first.queue);
  const Outcome again = Make("a");
  EXPECT_THAT(again.status, HasCode(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(again.queue, first.queue);
  EXPECT_NE(Make("a", TopicId(8)).queue.topic, first.queue.topic);
  EXPECT_EQ(state_->lite().CountOf(kQueue.topic), 2);
  EXPECT_EQ(state_->lite().Find(kQueue.topic, "a"), first.queue);
  EXPECT_EQ(state_->lite().Get(first.queue)->name, "a");
}

TEST_F(LiteStateTest, GoesOnlyIfNothingWasSentMeanwhile) {
  const QueueKey key = Make("a").queue;
  Send({10}, key);
  Subscribe(0, kGroup, key);
  EXPECT_THAT(Drop(key, 0).status, HasCode(absl::StatusCode::kAborted));
  EXPECT_THAT(Drop(key, 1).status, IsOk());
  EXPECT_EQ(state_->lite().Find(kQueue.topic, "a"), std::nullopt);
  EXPECT_EQ(state_->FindCursor({kGroup, key}), nullptr);
  // What is left of it expires, and its id is free again, but not given at once.
  const QueueKey next = Make("a").queue;
  EXPECT_NE(next, key);
  log::Expire expire;
  SetKey(expire.mutable_queue(), key);
  expire.set_first(1);
  Apply(expire);
  EXPECT_EQ(state_->FindQueue(key), nullptr);
  EXPECT_THAT(Drop(kQueue, 0).status, HasCode(absl::StatusCode::kNotFound));
}

TEST_F(LiteStateTest, AnOrdinaryQueueIsNoneThatGoesSo) {
  Configure();
  EXPECT_THAT(Drop(kQueue, 0).status, HasCode(absl::StatusCode::kAborted));
  EXPECT_NE(state_->FindQueue(kQueue), nullptr);
}

TEST_F(LiteStateTest, KnowsWhenItWasWrittenTo) {
  const QueueKey key = Make("a").queue;
  const int64_t made = state_->lite().Get(key)->written_us;
  now_us_ += kSecond;
  Send({10}, key);
  EXPECT_EQ(state_->lite().Get(key)->written_us, made + kSecond);
}

// --- Who reads what ---

TEST(LiteSubscriptionsTest, AGoodbyeForgetsAllThatTheClientReadsAndNobodyElse) {
  LiteTable table;
  LiteSubscriptions subscriptions(&table);
  const auto read = [&](uint64_t topic, uint64_t group, const std::string& client) {
    LiteSyncCall call;
    call.topic = TopicId(topic);
    call.group = GroupId(group);
    call.client_id = client;
    call.action = LiteSyncCall::Action::kSet;
    call.lite_topics = {"a", "b"};
    EXPECT_THAT(subscriptions.Sync(call, /*quota=*/10, /*expires_us=*/5), IsOk());
  };
  for (const char* client : {"ann", "an", "anna"}) read(1, 1, client);
  read(1, 2, "ann");
  read(2, 1, "ann");
  subscriptions.Forget("ann");
  subscriptions.Forget("nobody");
  EXPECT_EQ(subscriptions.clients(), 2);
  EXPECT_EQ(subscriptions.subscriptions(), 4);
  read(1, 1, "ann");
  EXPECT_EQ(subscriptions.clients(), 3);
  subscriptions.Expire(5);
  EXPECT_EQ(subscriptions.clients(), 0);
  subscriptions.Forget("ann");
  EXPECT_EQ(subscriptions.subscriptions(), 0);
}

// --- A shard ---

constexpr TopicId kParent{1};

class LiteShardTest : public ShardFixture {
 protected:
  LiteShardTest() {
    options_.lite_topic_expiry = absl::Hours(1);
    options_.max_lite_topics = 50;
    TopicMetadata& topic = tables_.topics.emplace_back();
    topic.id = kParent;
    topic.name = {"", "sessions"};
    topic.type = MessageType::kLite;
    topic.queues_per_shard = 1;
    topic.retention.age = absl::Hours(72);
    tables_.subscriptions.push_back({kGroup, kParent, {}});
    for (const GroupId id : {kGroup, kOtherGroup}) {
      GroupMetadata& group = tables_.groups.emplace_back();
      group.id = id;
      group.name = {"", absl::StrCat("group-", id.value())};
      group.order = id == kOtherGroup ? DeliveryOrder::kFifo : DeliveryOrder::kNone;
    }
    Start();
  }

  void SubscribeOther() {
    tables_.subscriptions.push_back({kOtherGroup, kParent, {}});
    Tell();
  }

  absl::Status Send(const std::string& lite_topic, const std::string& id) {
    AppendCall call;
    call.shard = kShard;
    call.topic = kParent;
    call.lite_topic = lite_topic;
    MessageDraft draft;
    draft.type = MessageType::kLite;
    draft.message_id = id;
    draft.lite_topic = lite_topic;
    draft.body = "body";
    call.messages.push_back({EncodeStoredMessage(draft), 0});
    return Ask(&Shard::Append, std::move(call)).status;
  }
  absl::Status Sync(const std::string& client, LiteSyncCall::Action action, std::vector<std::string> names,
                    int64_t version = 0, GroupId group = kGroup, std::optional<LiteStart> start = std::nullopt) {
    LiteSyncCall call;
    call.start = start;
    call.shard = kShard;
    call.group = group;
    call.topic = kParent;
    call.client_id = client;
    call.action = action;
    call.lite_topics = std::move(names);
    call.version = version;
    call.quota = 3;
    return Ask(&Shard::SyncLite, std::move(call)).status;
  }
  absl::Status Reads(const std::string& client, std::vector<std::string> names) {
    return Sync(client, LiteSyncCall::Action::kSet, std::move(names));
  }

  using ShardFixture::StartReceive;
  std::shared_ptr<std::optional<ReceiveResult>> StartReceive(const std::string& client, absl::Duration wait,
                                                             GroupId group = kGroup, int32_t most = 32) {
    ReceiveCall call;
    call.shard = kShard;
    call.group = group;
    call.topic = kParent;
    call.max_messages = most;
    call.invisible = absl::Seconds(30);
    call.client_id = client;
    call.wait = wait;
    return StartReceive(std::move(call));
  }
  std::vector<Delivery> Finish(const std::shared_ptr<std::optional<ReceiveResult>>& result) {
    world_.RunUntil([&] { return result->has_value(); }, absl::Seconds(30));
    CHECK(result->has_value());
    return (**result).deliveries;
  }
  std::vector<Delivery> Receive(const std::string& client, GroupId group = kGroup, int32_t most = 32) {
    return Finish(StartReceive(client, absl::Milliseconds(100), group, most));
  }
  absl::Status Ack(const std::vector<Delivery>& deliveries, GroupId group = kGroup) {
    SettleCall call;
    call.shard = kShard;
    for (const Delivery& one : deliveries) {
      call.entries.push_back({group, one.queue, one.offset, one.nonce, SettleKind::kAck, absl::ZeroDuration(), ""});
    }
    const SettleResult result = Ask(&Shard::Settle, std::move(call));
    for (const absl::Status& status : result.entries) RETURN_IF_ERROR(status);
    return result.status;
  }
};

TEST_F(LiteShardTest, AClientIsGivenWhatItReadsAndNothingElse) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Send("b", "b0"), IsOk());
  EXPECT_THAT(Send("c", "c0"), IsOk());
  EXPECT_THAT(Receive("ann"), IsEmpty()) << "it reads nothing";
  EXPECT_THAT(Reads("ann", {"a", "c"}), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), UnorderedElementsAre("a0", "c0"));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  EXPECT_THAT(Reads("bob", {"b", "nothing"}), IsOk());
  EXPECT_THAT(Ids(Receive("bob")), ElementsAre("b0"));
}

TEST_F(LiteShardTest, AReceiveThatWaitsIsWokenByASendToWhatItReads) {
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Reads("bob", {"b"}), IsOk());
  const auto ann = StartReceive("ann", absl::Seconds(20));
  const auto bob = StartReceive("bob", absl::Seconds(20));
  EXPECT_THAT(Send("b", "b0"), IsOk());
  EXPECT_THAT(Ids(Finish(bob)), ElementsAre("b0"));
  EXPECT_FALSE(ann->has_value());
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Ids(Finish(ann)), ElementsAre("a0"));
}

TEST_F(LiteShardTest, AReceiveThatWaitsIsWokenByASubscription) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  const auto ann = StartReceive("ann", absl::Seconds(20));
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kAdd, {"a"}), IsOk());
  EXPECT_THAT(Ids(Finish(ann)), ElementsAre("a0"));
}

TEST_F(LiteShardTest, MembersOfAGroupShareALiteTopicAndOtherGroupsHaveItAll) {
  SubscribeOther();
  for (const char* id : {"0", "1", "2", "3"}) EXPECT_THAT(Send("a", id), IsOk());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Reads("bob", {"a"}), IsOk());
  EXPECT_THAT(Sync("eve", LiteSyncCall::Action::kSet, {"a"}, 0, kOtherGroup), IsOk());
  EXPECT_THAT(Ids(Receive("ann", kGroup, 2)), ElementsAre("0", "1"));
  EXPECT_THAT(Ids(Receive("bob", kGroup, 9)), ElementsAre("2", "3"));
  EXPECT_THAT(Ids(Receive("eve", kOtherGroup, 9)), ElementsAre("0", "1", "2", "3"));
}

TEST_F(LiteShardTest, WhatIsNotAcknowledgedComesAgain) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("a0"));
  EXPECT_THAT(Receive("ann"), IsEmpty());
  world_.RunFor(absl::Seconds(31));
  const std::vector<Delivery> again = Receive("ann");
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].attempt, 2);
  EXPECT_THAT(Ack(again), IsOk());
  world_.RunFor(absl::Seconds(31));
  EXPECT_THAT(Receive("ann"), IsEmpty());
}

TEST_F(LiteShardTest, AnOrderedGroupIsGivenALiteTopicOneMessageAfterTheOther) {
  SubscribeOther();
  for (const char* id : {"a0", "a1", "a2", "a3"}) EXPECT_THAT(Send("a", id), IsOk());
  EXPECT_THAT(Send("b", "b0"), IsOk());
  for (const char* client : {"ann", "bob"})
    EXPECT_THAT(Sync(client, LiteSyncCall::Action::kSet, {"a", "b"}, 0, kOtherGroup), IsOk());
  const auto two = Receive("ann", kOtherGroup, 2);
  EXPECT_THAT(Ids(two), ElementsAre("a0", "a1"));
  const auto other = Receive("bob", kOtherGroup);
  EXPECT_THAT(Ids(other), ElementsAre("b0")) << "another lite topic";
  // Many look in vain, and one message is parked for all of them.
  EXPECT_THAT(Receive("bob", kOtherGroup), IsEmpty());
  const auto waits = StartReceive("bob", absl::Seconds(20), kOtherGroup);
  EXPECT_THAT(Receive("ann", kOtherGroup), IsEmpty());
  StatsCall call;
  call.topic = kParent;
  int64_t parked = 0;
  world_.RunOn(shard_executor_.get(), [&] {
    for (const QueueStats& stats : shard_->Stats(call)) {
      for (const auto& group : stats.groups) parked += group.parked;
    }
  });
  EXPECT_EQ(parked, 1);
  EXPECT_FALSE(waits->has_value());
  EXPECT_THAT(Ack({two[0]}, kOtherGroup), IsOk());
  EXPECT_FALSE(waits->has_value()) << "a1 is not settled";
  EXPECT_THAT(Ack({two[1]}, kOtherGroup), IsOk());
  EXPECT_THAT(Ids(Finish(waits)), ElementsAre("a2", "a3"));
}

TEST_F(LiteShardTest, AnUnorderedGroupDoesNotWait) {
  for (const char* id : {"a0", "a1"}) EXPECT_THAT(Send("a", id), IsOk());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Ids(Receive("ann", kGroup, 1)), ElementsAre("a0"));
  EXPECT_THAT(Ids(Receive("ann", kGroup, 1)), ElementsAre("a1"));
}

TEST_F(LiteShardTest, ASubscriptionSaysWhereItBegins) {
  using Kind = LiteStart::Kind;
  const auto adds = [this](const std::string& name, std::optional<LiteStart> start) {
    return Sync("ann", LiteSyncCall::Action::kAdd, {name}, 0, kGroup, start);
  };
  const auto removes = [this](const std::string& name) { return Sync("ann", LiteSyncCall::Action::kRemove, {name}); };
  for (const char* id : {"a0", "a1", "a2"}) EXPECT_THAT(Send("a", id), IsOk());
  const absl::Time later = world_.clock()->Now() + absl::Seconds(1);
  world_.RunFor(absl::Seconds(2));
  for (const char* id : {"a3", "a4"}) EXPECT_THAT(Send("a", id), IsOk());
  EXPECT_THAT(adds("a", LiteStart{Kind::kTail, 1, {}}), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("a4"));
  // It reads it already: nothing is moved, whatever it says.
  EXPECT_THAT(adds("a", LiteStart{Kind::kOffset, 0, {}}), IsOk());
  EXPECT_THAT(Receive("ann"), IsEmpty());
  EXPECT_THAT(removes("a"), IsOk());
  EXPECT_THAT(adds("a", LiteStart{Kind::kTime, 0, later}), IsOk());
  const auto by_time = Receive("ann");
  EXPECT_THAT(Ids(by_time), ElementsAre("a3", "a4"));
  EXPECT_THAT(Ack(by_time), IsOk());
  EXPECT_THAT(removes("a"), IsOk());
  EXPECT_THAT(adds("a", std::nullopt), IsOk());
  EXPECT_THAT(Receive("ann"), IsEmpty()) << "where it was";
  EXPECT_THAT(removes("a"), IsOk());
  EXPECT_THAT(adds("a", LiteStart{Kind::kOffset, 3, {}}), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("a3", "a4"));
  EXPECT_THAT(removes("a"), IsOk());
  EXPECT_THAT(adds("a", LiteStart{Kind::kTail, 99, {}}), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("a0", "a1", "a2", "a3", "a4"));
  // One that is not there yet has nothing to begin at; and what is refused moves nothing.
  EXPECT_THAT(adds("new", LiteStart{Kind::kTail, 0, {}}), IsOk());
  EXPECT_THAT(Send("new", "n0"), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("n0"));
  EXPECT_THAT(Send("b", "b0"), IsOk());
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kAdd, {"b", "c"}, 0, kGroup, LiteStart{Kind::kTail, 0, {}}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(adds("b", std::nullopt), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("b0"));
}

TEST_F(LiteShardTest, WhatIsPutOffWasNotTried) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  for (int i = 0; i < 20; ++i) {  // More often than the group tries.
    const auto got = Receive("ann");
    ASSERT_THAT(Ids(got), ElementsAre("a0"));
    EXPECT_EQ(got[0].attempt, 1);
    SettleCall call;
    call.shard = kShard;
    call.entries.push_back(
        {kGroup, got[0].queue, got[0].offset, got[0].nonce, SettleKind::kSuspend, absl::Seconds(5), ""});
    EXPECT_THAT(Ask(&Shard::Settle, call).entries.at(0), IsOk());
    EXPECT_TRUE(IsStaleReceipt(Ask(&Shard::Settle, call).entries.at(0))) << "it was put off once";
    EXPECT_THAT(Receive("ann"), IsEmpty());
    world_.RunFor(absl::Seconds(6));
  }
}

TEST_F(LiteShardTest, WhatAClientStopsToReadIsNotGivenToIt) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Send("b", "b0"), IsOk());
  EXPECT_THAT(Reads("ann", {"a", "b"}), IsOk());
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kRemove, {"a"}), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("b0"));
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kAdd, {"a"}), IsOk());
  EXPECT_THAT(Reads("ann", {"b"}), IsOk());
  EXPECT_THAT(Receive("ann"), IsEmpty());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kRemoveAll, {}), IsOk());
  EXPECT_THAT(Receive("ann"), IsEmpty());
}

TEST_F(LiteShardTest, AnOlderVersionIsPassedOver) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kSet, {"a"}, 7), IsOk());
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kSet, {}, 6), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("a0"));
}

TEST_F(LiteShardTest, MoreThanItsQuotaIsRefusedWhole) {
  EXPECT_THAT(Reads("ann", {"a", "b"}), IsOk());
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kAdd, {"c", "d"}), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Reads("ann", {"a", "b", "c", "d"}), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Send("c", "c0"), IsOk());
  EXPECT_THAT(Receive("ann"), IsEmpty());
  EXPECT_THAT(Sync("ann", LiteSyncCall::Action::kAdd, {"a", "b", "c"}), IsOk()) << "some are there";
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("c0"));
}

TEST_F(LiteShardTest, ATopicTakesSoManyLiteTopics) {
  for (int i = 0; i < 50; ++i) EXPECT_THAT(Send(absl::StrCat(i), "id"), IsOk());
  const absl::Status refused = Send("one more", "id");
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(GetRetryAfter(refused), std::nullopt);
  EXPECT_THAT(Send("49", "id"), IsOk());
}

TEST_F(LiteShardTest, ASubscriptionIsForgottenUnlessItIsRepeated) {
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  world_.RunFor(absl::Minutes(2));
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  world_.RunFor(absl::Minutes(2));
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("a0"));
  world_.RunFor(absl::Minutes(4));
  EXPECT_THAT(Send("a", "a1"), IsOk());
  EXPECT_THAT(Receive("ann"), IsEmpty());
}

TEST_F(LiteShardTest, AfterARestartTheNextFullCallBringsItBack) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Ack(Receive("ann")), IsOk());
  EXPECT_THAT(Send("a", "a1"), IsOk());
  Restart();
  EXPECT_THAT(Receive("ann"), IsEmpty());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("a1"));
  EXPECT_EQ(shard_->state().lite().CountOf(kParent), 1);
}

TEST_F(LiteShardTest, AnIdleLiteTopicGoesWhenAllIsSettled) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Send("b", "b0"), IsOk());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Ack(Receive("ann")), IsOk());
  world_.RunFor(absl::Minutes(50));
  EXPECT_EQ(shard_->state().lite().CountOf(kParent), 2);
  world_.RunFor(absl::Minutes(15));
  EXPECT_EQ(shard_->state().lite().Find(kParent, "a"), std::nullopt);
  EXPECT_NE(shard_->state().lite().Find(kParent, "b"), std::nullopt) << "nobody has settled its message";
  EXPECT_THAT(shard_->state().queues(), SizeIs(1));
  EXPECT_THAT(shard_->state().cursors(), IsEmpty());
  // It comes again as if it had never been.
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Send("a", "a1"), IsOk());
  EXPECT_THAT(Ids(Receive("ann")), ElementsAre("a1"));
}

TEST_F(LiteShardTest, GoesWithItsParent) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  tables_.topics.clear();
  tables_.subscriptions.clear();
  Tell();
  world_.RunFor(absl::Minutes(1));
  EXPECT_THAT(shard_->state().queues(), IsEmpty());
  EXPECT_THAT(shard_->state().lite().all(), IsEmpty());
}

TEST_F(LiteShardTest, FiguresAreOfAllOfThemTogether) {
  EXPECT_THAT(Send("a", "a0"), IsOk());
  EXPECT_THAT(Send("a", "a1"), IsOk());
  EXPECT_THAT(Send("b", "b0"), IsOk());
  EXPECT_THAT(Reads("ann", {"a"}), IsOk());
  EXPECT_THAT(Receive("ann", kGroup, 1), SizeIs(1));
  const std::vector<QueueStats> stats = shard_->Stats({});
  ASSERT_THAT(stats, SizeIs(1));
  EXPECT_EQ(stats[0].lite_topics, 2);
  EXPECT_EQ(stats[0].end, 3);
  ASSERT_THAT(stats[0].groups, SizeIs(1));
  EXPECT_EQ(stats[0].groups[0].next, 1);
  EXPECT_EQ(stats[0].groups[0].in_flight, 1);
}

}  // namespace
}  // namespace barid::broker
