#include "controller/metadata_logic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/controller/testing.h"

namespace barid::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

// A state without a store: plans that are OK are carried out at once.
class MetadataLogicTest : public ::testing::Test {
 protected:
  MetadataLogicTest() { Carry(PlanFoundation(state_, "cafe", "secret-1")); }

  void Carry(const Plan& plan) {
    MetadataStore::Change change;
    change.revision = state_.revision() + 1;
    for (const Record& record : plan.puts) change.operations.push_back({KeyOf(record), EncodeRecord(record), {}});
    for (const std::string& key : plan.deletes) change.operations.push_back({key, std::nullopt, {}});
    ASSERT_THAT(state_.Apply(change), IsOk());
  }
  absl::Status Do(const absl::StatusOr<Plan>& plan) {
    if (plan.ok()) Carry(*plan);
    return plan.status();
  }
  absl::Status Create(const TopicMetadata& topic) { return Do(PlanCreateTopic(state_, limits_, topic, kNow)); }
  absl::Status Create(const GroupMetadata& group) { return Do(PlanCreateGroup(state_, limits_, group, kNow)); }
  absl::Status Subscribe(const std::string& group, TopicId topic) {
    return Do(PlanSubscribe(state_, limits_, FindGroup(group)->id, topic, kNow));
  }
  absl::StatusOr<BrokerGrant> Register(const BrokerRegistration& registration) {
    auto plan = PlanRegisterBroker(state_, limits_, registration, kNow);
    if (!plan.ok()) return plan.status();
    Carry(plan->plan);
    return plan->grant;
  }

  const TopicMetadata* FindTopic(const std::string& name) { return state_.Find<TopicMetadata>(TopicKey({"", name})); }
  const GroupMetadata* FindGroup(const std::string& name) { return state_.Find<GroupMetadata>(GroupKey({"", name})); }
  const ShardMetadata* FindShard(uint64_t id) { return state_.Find<ShardMetadata>(ShardKey(ShardId(id))); }
  std::vector<uint32_t> SigningKeys() {
    std::vector<uint32_t> ids;
    state_.ForEach<SigningKey>("signing_key/", [&](const SigningKey& key) { ids.push_back(key.id); });
    return ids;
  }

  MetadataState state_;
  MetadataLimits limits_;
};

// --- Topics ---

TEST_F(MetadataLogicTest, ATopicGetsAnIdAndATime) {
  TopicMetadata topic = Topic("t");
  topic.id = TopicId(99);  // Ignored.
  ASSERT_THAT(Create(topic), IsOk());
  ASSERT_THAT(Create(Topic("u")), IsOk());
  EXPECT_EQ(FindTopic("t")->id, TopicId(1));
  EXPECT_EQ(FindTopic("t")->created, kNow);
  EXPECT_EQ(FindTopic("u")->id, TopicId(2));
  EXPECT_EQ(state_.FindTopic(TopicId(2))->name.name, "u");
}

TEST_F(MetadataLogicTest, RefusesEachBadTopic) {
  struct Case {
    std::function<void(TopicMetadata*)> spoil;
    std::string says;
  };
  const std::vector<Case> cases = {
      {[](auto* t) { t->name.name = ""; }, "empty"},
      {[](auto* t) { t->name.name = std::string(128, 'a'); }, "128 bytes, at most 127"},
      {[](auto* t) { t->name.name = "a.b"; }, "illegal character \".\""},
      {[](auto* t) { t->name.name = "a/b"; }, "illegal character \"/\""},
      {[](auto* t) { t->name.name = "%DLQ%g"; }, "begins with %DLQ%"},
      {[](auto* t) { t->name.name = "%RETRY%g"; }, "begins with %RETRY%"},
      {[](auto* t) { t->name.name = "%TXN_DISCARDED%t"; }, "belong to a topic of type transaction"},
      {[](auto* t) { t->name.space = "a/b"; }, "the namespace \"a/b\""},
      {[](auto* t) { t->name.space = std::string(65, 'a'); }, "65 bytes, at most 64"},
      {[](auto* t) { t->type = MessageType::kUnspecified; },
       "type is unspecified, allowed are normal, fifo, delay, transaction, lite and priority"},
      {[](auto* t) { t->type = MessageType::kLite; }, "queues_per_shard is 4, expected 1"},
      {[](auto* t) { t->type = MessageType::kPriority; }, "a priority topic has 16 queues in every shard"},
      {[](auto* t) { t->queues_per_shard = 0; }, "queues_per_shard is 0, allowed is 1 to 64"},
      {[](auto* t) { t->queues_per_shard = 65; }, "queues_per_shard is 65, allowed is 1 to 64"},
      {[](auto* t) { t->retention.age = absl::ZeroDuration(); }, "retention.age is 0, allowed is 1s to 87600h"},
      {[](auto* t) { t->retention.age = absl::InfiniteDuration(); }, "retention.age is inf"},
      {[](auto* t) { t->retention.bytes = -1; }, "retention.bytes is -1"},
      {[](auto* t) { t->max_message_bytes = 0; }, "max_message_bytes is 0, allowed is 1 to 4194304"},
      {[](auto* t) { t->max_message_bytes = 4194305; }, "max_message_bytes is 4194305"},
  };
  for (const Case& c : cases) {
    TopicMetadata topic = Topic("t");
    c.spoil(&topic);
    EXPECT_THAT(Create(topic), FailsWith(absl::StatusCode::kInvalidArgument, c.says));
  }
  EXPECT_EQ(state_.topic_count(), 0);
}

TEST_F(MetadataLogicTest, AcceptsTheBounds) {
  TopicMetadata topic = Topic(std::string(127, '%'));
  topic.name.space = "a.b-c_d";
  topic.queues_per_shard = 64;
  topic.retention = {absl::Seconds(1), 0, true};
  topic.max_message_bytes = 1;
  EXPECT_THAT(Create(topic), IsOk());
  EXPECT_THAT(Create(Group(std::string(120, 'g'))), IsOk());
}

TEST_F(MetadataLogicTest, ANameIsTakenOncePerNamespace) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  EXPECT_THAT(Create(Topic("t")), Fails(absl::StatusCode::kAlreadyExists));
  TopicMetadata elsewhere = Topic("t");
  elsewhere.name.space = "other";
  EXPECT_THAT(Create(elsewhere), IsOk());
  EXPECT_THAT(Create(elsewhere), FailsWith(absl::StatusCode::kAlreadyExists, "other/t"));
  EXPECT_THAT(Create(Group("t")), IsOk());  // Groups have names of their own.
}

TEST_F(MetadataLogicTest, LimitsTheNumberOfTopicsGroupsAndSubscriptions) {
  limits_.max_topics = 1;
  limits_.max_groups = 1;
  limits_.max_subscriptions = 0;
  ASSERT_THAT(Create(Topic("t")), IsOk());
  EXPECT_THAT(Create(Topic("u")), FailsWith(absl::StatusCode::kResourceExhausted, "there are 1 topics, at most 1"));
  ASSERT_THAT(Create(Group("g")), IsOk());
  EXPECT_THAT(Create(Group("h")), FailsWith(absl::StatusCode::kResourceExhausted, "there are 1 groups, at most 1"));
  EXPECT_THAT(Subscribe("g", TopicId(1)), FailsWith(absl::StatusCode::kResourceExhausted, "subscriptions"));
  ASSERT_THAT(Do(PlanDeleteTopic(state_, {"", "t"})), IsOk());
  EXPECT_THAT(Create(Topic("u")), IsOk());
}

TEST_F(MetadataLogicTest, AnUpdateChangesOnlyWhatItNames) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  TopicUpdate update{.name = {"", "t"}, .retention_bytes = 77, .queues_per_shard = 8};
  ASSERT_THAT(Do(PlanUpdateTopic(state_, update)), IsOk());
  TopicMetadata expected = Topic("t");
  expected.id = TopicId(1);
  expected.created = kNow;
  expected.retention.bytes = 77;
  expected.queues_per_shard = 8;
  EXPECT_TRUE(*FindTopic("t") == expected);
  EXPECT_TRUE(PlanUpdateTopic(state_, update)->empty());  // The second time there is nothing to write.
}

TEST_F(MetadataLogicTest, RefusesEachBadTopicUpdate) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  const ResourceName t{"", "t"};
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = {"", "u"}}), FailsWith(absl::StatusCode::kNotFound, "no topic \"u\""));
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = {"", "%DLQ%g"}}),
              FailsWith(absl::StatusCode::kInvalidArgument, "%DLQ%"));
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = t, .queues_per_shard = 3}),
              FailsWith(absl::StatusCode::kInvalidArgument, "queues_per_shard is 3, the topic has 4"));
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = t, .queues_per_shard = 65}),
              FailsWith(absl::StatusCode::kInvalidArgument, "queues_per_shard is 65"));
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = t, .retention_age = -absl::Seconds(1)}),
              FailsWith(absl::StatusCode::kInvalidArgument, "retention.age is -1s"));
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = t, .retention_bytes = -1}),
              FailsWith(absl::StatusCode::kInvalidArgument, "retention.bytes is -1"));
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = t, .max_message_bytes = 1 << 23}),
              FailsWith(absl::StatusCode::kInvalidArgument, "max_message_bytes is 8388608"));
}

TEST_F(MetadataLogicTest, ADeletedTopicsIdIsNeverGivenAgain) {
  std::set<uint64_t> ids;
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(Create(Topic("t")), IsOk());
    EXPECT_TRUE(ids.insert(FindTopic("t")->id.value()).second);
    ASSERT_THAT(Do(PlanDeleteTopic(state_, {"", "t"})), IsOk());
    EXPECT_EQ(FindTopic("t"), nullptr);
    EXPECT_EQ(state_.FindTopic(TopicId(*ids.rbegin())), nullptr);
  }
  EXPECT_THAT(PlanDeleteTopic(state_, {"", "t"}), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(PlanDeleteTopic(state_, {"", "%DLQ%g"}), Fails(absl::StatusCode::kInvalidArgument));
}

// --- Groups ---

TEST_F(MetadataLogicTest, RefusesEachBadGroup) {
  struct Case {
    std::function<void(GroupMetadata*)> spoil;
    std::string says;
  };
  const std::vector<Case> cases = {
      {[](auto* g) { g->name.name = ""; }, "empty"},
      {[](auto* g) { g->name.name = std::string(121, 'a'); }, "121 bytes, at most 120"},
      {[](auto* g) { g->name.name = "a b"; }, "illegal character \" \""},
      {[](auto* g) { g->name.name = "%DLQ%g"; }, "begins with %DLQ%"},
      {[](auto* g) { g->name.name = "%RETRY%g"; }, "begins with %RETRY%"},
      {[](auto* g) { g->name.space = "\xff"; }, "the namespace \"\\xff\""},
      {[](auto* g) { g->retry.max_attempts = 0; }, "retry.max_attempts is 0, allowed is 1 to 1000"},
      {[](auto* g) { g->retry.max_attempts = 1001; }, "retry.max_attempts is 1001"},
      {[](auto* g) { g->retry.delays.assign(65, absl::Seconds(1)); }, "retry.delays has 65 entries, at most 64"},
      {[](auto* g) {
         g->retry.delays = {absl::Seconds(1), absl::Hours(25)};
       },
       "retry.delays[1] is 25h"},
      {[](auto* g) { g->retry.delays = {-absl::Seconds(1)}; }, "retry.delays[0] is -1s, allowed is 0 to 24h"},
      {[](auto* g) { g->retry.initial = -absl::Seconds(1); }, "retry.initial is -1s"},
      {[](auto* g) { g->retry.initial = absl::Hours(3); }, "retry.max is 2h, allowed is 3h to 24h"},
      {[](auto* g) { g->retry.max = absl::Hours(25); }, "retry.max is 25h"},
      {[](auto* g) { g->retry.multiplier = 0.5; }, "retry.multiplier is 0.5, allowed is 1 to 100"},
      {[](auto* g) { g->retry.multiplier = 101; }, "retry.multiplier is 101"},
      {[](auto* g) { g->retry.multiplier = std::nan(""); }, "retry.multiplier is nan"},
  };
  for (const Case& c : cases) {
    GroupMetadata group = Group("g");
    c.spoil(&group);
    EXPECT_THAT(Create(group), FailsWith(absl::StatusCode::kInvalidArgument, c.says));
  }
  EXPECT_EQ(state_.group_count(), 0);
}

TEST_F(MetadataLogicTest, AGroupMayBeOrdered) {
  GroupMetadata group = Group("g");
  group.order = DeliveryOrder::kFifo;
  ASSERT_THAT(Create(group), IsOk());
  EXPECT_EQ(FindGroup("g")->order, DeliveryOrder::kFifo);
  EXPECT_THAT(Create(group), Fails(absl::StatusCode::kAlreadyExists));
}

TEST_F(MetadataLogicTest, AGroupsRetryPolicyCanChange) {
  ASSERT_THAT(Create(Group("g")), IsOk());
  RetryPolicy retry;
  retry.max_attempts = 3;
  retry.delays = {absl::Seconds(1)};
  ASSERT_THAT(Do(PlanUpdateGroup(state_, {{"", "g"}, retry})), IsOk());
  EXPECT_TRUE(FindGroup("g")->retry == retry);
  EXPECT_TRUE(PlanUpdateGroup(state_, {{"", "g"}, retry})->empty());
  EXPECT_TRUE(PlanUpdateGroup(state_, {{"", "g"}, std::nullopt})->empty());
  retry.max_attempts = 0;
  EXPECT_THAT(PlanUpdateGroup(state_, {{"", "g"}, retry}), Fails(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PlanUpdateGroup(state_, {{"", "h"}, retry}), FailsWith(absl::StatusCode::kNotFound, "no group \"h\""));
}

// --- Subscriptions ---

TEST_F(MetadataLogicTest, TheLastMessageBecomesATime) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  GroupMetadata group = Group("last");
  group.start.kind = StartFrom::Kind::kLast;
  ASSERT_THAT(Create(group), IsOk());
  ASSERT_THAT(Create(Group("first")), IsOk());
  ASSERT_THAT(Subscribe("last", TopicId(1)), IsOk());
  ASSERT_THAT(Subscribe("first", TopicId(1)), IsOk());

  const auto* last = state_.Find<SubscriptionMetadata>(SubscriptionKey(GroupId(1), TopicId(1)));
  EXPECT_EQ(last->start.kind, StartFrom::Kind::kTime);
  EXPECT_EQ(last->start.time, kNow);
  const auto* first = state_.Find<SubscriptionMetadata>(SubscriptionKey(GroupId(2), TopicId(1)));
  EXPECT_EQ(first->start.kind, StartFrom::Kind::kFirst);
  // Once recorded it stays as it is.
  EXPECT_TRUE(PlanSubscribe(state_, limits_, GroupId(1), TopicId(1), kNow + absl::Hours(1))->empty());
}

TEST_F(MetadataLogicTest, AGroupForAMemberIsOwedWhatComesFromWhenItWasMade) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  GroupMetadata group = Group("mine");
  group.start.kind = StartFrom::Kind::kLast;
  group.expire_after = absl::Minutes(1);
  ASSERT_THAT(Create(group), IsOk());
  ASSERT_THAT(Do(PlanSubscribe(state_, limits_, FindGroup("mine")->id, TopicId(1), kNow + absl::Hours(1))), IsOk());
  const auto* subscription = state_.Find<SubscriptionMetadata>(SubscriptionKey(GroupId(1), TopicId(1)));
  EXPECT_EQ(subscription->start.kind, StartFrom::Kind::kTime);
  EXPECT_EQ(subscription->start.time, kNow - kMemberHeadStart);
}

TEST_F(MetadataLogicTest, AGroupsExpiryIsBounded) {
  GroupMetadata group = Group("g");
  group.expire_after = kMinGroupExpiry / 2;
  EXPECT_THAT(Create(group),
              FailsWith(absl::StatusCode::kInvalidArgument, "expire_after (0: never) is 500ms, allowed is 1s to"));
  group.expire_after = -absl::Seconds(1);
  EXPECT_THAT(Create(group), Fails(absl::StatusCode::kInvalidArgument));
  group.expire_after = kMaxGroupExpiry;
  ASSERT_THAT(Create(group), IsOk());
  EXPECT_THAT(PlanUpdateGroup(state_, {{"", "g"}, std::nullopt, std::nullopt, kMaxGroupExpiry + absl::Seconds(1)}),
              Fails(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Do(PlanUpdateGroup(state_, {{"", "g"}, std::nullopt, std::nullopt, absl::ZeroDuration()})), IsOk());
  EXPECT_EQ(FindGroup("g")->expire_after, absl::ZeroDuration());
}

TEST_F(MetadataLogicTest, AGroupIsPausedAndResumed) {
  ASSERT_THAT(Create(Group("g")), IsOk());
  EXPECT_FALSE(FindGroup("g")->paused);
  GroupUpdate update{{"", "g"}};
  update.paused = true;
  ASSERT_THAT(Do(PlanUpdateGroup(state_, update)), IsOk());
  EXPECT_TRUE(FindGroup("g")->paused);
  EXPECT_TRUE(PlanUpdateGroup(state_, update)->empty()) << "it is already";
  // What does not speak of it leaves it.
  ASSERT_THAT(Do(PlanUpdateGroup(state_, {{"", "g"}, RetryPolicy()})), IsOk());
  EXPECT_TRUE(FindGroup("g")->paused);
  update.paused = false;
  ASSERT_THAT(Do(PlanUpdateGroup(state_, update)), IsOk());
  EXPECT_FALSE(FindGroup("g")->paused);
}

TEST_F(MetadataLogicTest, ARecoveryTimeIsOfTransactionTopics) {
  TopicMetadata topic = Topic("t");
  topic.transaction_recovery = absl::Seconds(20);
  EXPECT_THAT(Create(topic), FailsWith(absl::StatusCode::kInvalidArgument, "topics of type transaction only"));
  topic.type = MessageType::kTransaction;
  ASSERT_THAT(Create(topic), IsOk());
  const absl::Duration too_long = kMaxTransactionRecovery + absl::Seconds(1);
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = {"", "t"}, .transaction_recovery = too_long}),
              Fails(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Do(PlanUpdateTopic(state_, {.name = {"", "t"}, .transaction_recovery = absl::ZeroDuration()})), IsOk());
  EXPECT_EQ(FindTopic("t")->transaction_recovery, absl::ZeroDuration());
}

TEST_F(MetadataLogicTest, SubscribesOnlyWhatExists) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  ASSERT_THAT(Create(Group("g")), IsOk());
  EXPECT_THAT(PlanSubscribe(state_, limits_, GroupId(9), TopicId(1), kNow),
              FailsWith(absl::StatusCode::kNotFound, "no group with the id 9"));
  EXPECT_THAT(PlanSubscribe(state_, limits_, GroupId(1), TopicId(9), kNow),
              FailsWith(absl::StatusCode::kNotFound, "no topic with the id 9"));
  EXPECT_THAT(PlanSubscribe(state_, limits_, GroupId(1), DeadLetterTopicId(GroupId(9)), kNow),
              FailsWith(absl::StatusCode::kNotFound, "dead-letter topic"));
}

TEST_F(MetadataLogicTest, WhatATransactionTopicDiscardsIsReadAndGoesWithIt) {
  TopicMetadata deals = Topic("deals");
  deals.type = MessageType::kTransaction;
  ASSERT_THAT(Create(deals), IsOk());
  ASSERT_THAT(Create(Topic("orders")), IsOk());
  ASSERT_THAT(Create(Group("g")), IsOk());
  EXPECT_THAT(Subscribe("g", DiscardedTopicId(TopicId(1))), IsOk());
  EXPECT_THAT(PlanSubscribe(state_, limits_, GroupId(1), DiscardedTopicId(TopicId(2)), kNow),
              Fails(absl::StatusCode::kNotFound))
      << "orders has no transactions";
  EXPECT_THAT(PlanSubscribe(state_, limits_, GroupId(1), DiscardedTopicId(TopicId(9)), kNow),
              Fails(absl::StatusCode::kNotFound));
  ASSERT_THAT(Do(PlanDeleteTopic(state_, {"", "deals"})), IsOk());
  EXPECT_EQ(state_.subscription_count(), 0);
}

TEST_F(MetadataLogicTest, SubscriptionsGoWithTheirTopicOrGroup) {
  for (const char* name : {"t", "u"}) ASSERT_THAT(Create(Topic(name)), IsOk());
  for (const char* name : {"g", "h"}) ASSERT_THAT(Create(Group(name)), IsOk());
  const TopicId dead_letters = DeadLetterTopicId(GroupId(1));
  for (const char* group : {"g", "h"}) {
    for (const TopicId topic : {TopicId(1), TopicId(2), dead_letters}) ASSERT_THAT(Subscribe(group, topic), IsOk());
  }
  EXPECT_EQ(state_.subscription_count(), 6);
  ASSERT_THAT(Do(PlanDeleteTopic(state_, {"", "t"})), IsOk());
  EXPECT_EQ(state_.subscription_count(), 4);
  // Also those to its dead-letter topic.
  ASSERT_THAT(Do(PlanDeleteGroup(state_, {"", "g"})), IsOk());
  EXPECT_EQ(state_.subscription_count(), 1);
  EXPECT_NE(state_.Find<SubscriptionMetadata>(SubscriptionKey(GroupId(2), TopicId(2))), nullptr);
  EXPECT_EQ(FindGroup("g"), nullptr);
  EXPECT_THAT(PlanDeleteGroup(state_, {"", "g"}), Fails(absl::StatusCode::kNotFound));
  ASSERT_THAT(Create(Group("g")), IsOk());
  EXPECT_EQ(FindGroup("g")->id, GroupId(3));  // Another one.
}

TEST_F(MetadataLogicTest, TheFirstSubscriptionOrStoredOffsetDecidesAGroupsKind) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  ASSERT_THAT(Create(Group("readers")), IsOk());
  ASSERT_THAT(Create(Group("workers")), IsOk());
  GroupMetadata made = Group("made");
  made.kind = GroupKind::kOffset;
  ASSERT_THAT(Create(made), IsOk());
  const GroupUpdate stores{{"", "readers"}, std::nullopt, GroupKind::kOffset};
  ASSERT_THAT(Do(PlanUpdateGroup(state_, stores)), IsOk());
  EXPECT_EQ(FindGroup("readers")->kind, GroupKind::kOffset);
  EXPECT_TRUE(PlanUpdateGroup(state_, stores)->empty()) << "once decided it stays";
  ASSERT_THAT(Subscribe("workers", TopicId(1)), IsOk());
  EXPECT_EQ(FindGroup("workers")->kind, GroupKind::kDelivery);

  EXPECT_THAT(Subscribe("readers", TopicId(1)),
              FailsWith(absl::StatusCode::kFailedPrecondition, "readers is offset-based"));
  EXPECT_THAT(Subscribe("made", TopicId(1)), Fails(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(PlanUpdateGroup(state_, {{"", "workers"}, std::nullopt, GroupKind::kOffset}),
              FailsWith(absl::StatusCode::kFailedPrecondition, "workers is delivered to"));
  EXPECT_EQ(state_.subscription_count(), 1);
}

TEST_F(MetadataLogicTest, OfTwoFirstCallsOneWins) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  ASSERT_THAT(Create(Group("g")), IsOk());
  // Both write the group's record, so the second finds it changed and decides again.
  const auto subscribes = PlanSubscribe(state_, limits_, GroupId(1), TopicId(1), kNow);
  const auto stores = PlanUpdateGroup(state_, {{"", "g"}, std::nullopt, GroupKind::kOffset});
  const auto writes_group = [](const Plan& plan) {
    return std::any_of(plan.puts.begin(), plan.puts.end(),
                       [](const Record& record) { return KeyOf(record) == "group//g"; });
  };
  EXPECT_TRUE(writes_group(*subscribes));
  EXPECT_TRUE(writes_group(*stores));
}

TEST_F(MetadataLogicTest, AGroupThatWasSubscribedBeforeThereWereKindsIsDeliveredTo) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  ASSERT_THAT(Create(Group("old")), IsOk());
  ASSERT_THAT(Subscribe("old", TopicId(1)), IsOk());
  GroupMetadata old = *FindGroup("old");
  old.kind = GroupKind::kUndecided;
  Plan plan;
  plan.puts = {old};
  Carry(plan);
  EXPECT_THAT(PlanUpdateGroup(state_, {{"", "old"}, std::nullopt, GroupKind::kOffset}),
              Fails(absl::StatusCode::kFailedPrecondition));
}

TEST_F(MetadataLogicTest, ASubscriptionReliesOnItsTopicAndGroup) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  ASSERT_THAT(Create(Group("g")), IsOk());
  const auto plan = PlanSubscribe(state_, limits_, GroupId(1), TopicId(1), kNow);
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->relies_on, ElementsAre("group//g", "topic//t"));
}

// --- Brokers ---

TEST_F(MetadataLogicTest, ANewBrokerGetsNamedShards) {
  limits_.shards_per_broker = 2;
  const auto grant = Register({"broker-0", "host:1", {}});
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->cluster, "cafe");
  EXPECT_EQ(grant->now, kNow);
  ASSERT_THAT(grant->shards, SizeIs(2));
  EXPECT_TRUE((grant->shards[1].shard == ShardMetadata{ShardId(2), "broker-0-1", "broker-0", 1}));
  EXPECT_EQ(grant->shards[1].log_id, "");
  EXPECT_TRUE(*FindShard(2) == grant->shards[1].shard);

  const auto second = Register({"broker-1", "host:1", {}});
  EXPECT_EQ(second->shards[0].shard.id, ShardId(3));
  EXPECT_EQ(second->shards[0].shard.name, "broker-1-0");
}

TEST_F(MetadataLogicTest, EveryRegistrationTakesAHigherEpoch) {
  limits_.shards_per_broker = 1;
  ASSERT_THAT(Register({"b", "host:1", {}}), IsOk());
  ASSERT_THAT(Do(PlanRegisterReplica(state_, "b", {ShardId(1), "ab"})), IsOk());
  for (Epoch epoch = 2; epoch < 6; ++epoch) {
    const auto grant = Register({"b", "host:" + std::to_string(epoch), {{ShardId(1), "ab"}}, "cafe"});
    ASSERT_THAT(grant, IsOk());
    ASSERT_THAT(grant->shards, SizeIs(1));
    EXPECT_EQ(grant->shards[0].shard.epoch, epoch);
    EXPECT_EQ(grant->shards[0].shard.leader, "b");
    EXPECT_EQ(grant->shards[0].log_id, "ab");
  }
  EXPECT_EQ(state_.Find<BrokerMetadata>(BrokerKey("b"))->endpoint, "host:5");
}

TEST_F(MetadataLogicTest, AShardWithoutItsLogHasNoLeader) {
  limits_.shards_per_broker = 2;
  ASSERT_THAT(Register({"b", "host:1", {}}), IsOk());
  ASSERT_THAT(Do(PlanRegisterReplica(state_, "b", {ShardId(1), "aa"})), IsOk());
  ASSERT_THAT(Do(PlanRegisterReplica(state_, "b", {ShardId(2), "bb"})), IsOk());

  // Shard 1 has another log, shard 2 none.
  auto grant = Register({"b", "host:1", {{ShardId(1), "ff"}}});
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->shards[0].log_id, "aa");
  EXPECT_EQ(grant->shards[0].shard.leader, "");
  EXPECT_EQ(grant->shards[0].shard.epoch, 2u);
  EXPECT_EQ(grant->shards[1].log_id, "bb");
  EXPECT_EQ(grant->shards[1].shard.leader, "");
  EXPECT_EQ(FindShard(1)->leader, "");

  // The right disk is back.
  grant = Register({"b", "host:1", {{ShardId(1), "aa"}, {ShardId(2), "bb"}}});
  EXPECT_EQ(grant->shards[0].shard.leader, "b");
  EXPECT_EQ(grant->shards[0].shard.epoch, 3u);
  EXPECT_EQ(grant->shards[1].shard.leader, "b");
}

TEST_F(MetadataLogicTest, TakesOverALogThatWasMadeButNotRegistered) {
  limits_.shards_per_broker = 2;
  ASSERT_THAT(Register({"b", "host:1", {}}), IsOk());
  const auto grant = Register({"b", "host:1", {{ShardId(1), "aa"}}});
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->shards[0].log_id, "aa");
  EXPECT_EQ(grant->shards[0].shard.leader, "b");
  EXPECT_EQ(grant->shards[1].log_id, "");  // Still to be made.
  EXPECT_EQ(grant->shards[1].shard.leader, "b");
  EXPECT_EQ(state_.Find<ReplicaRecord>(ReplicaKey(ShardId(1), "b"))->log_id, "aa");
}

TEST_F(MetadataLogicTest, RefusesEachBadRegistration) {
  limits_.shards_per_broker = 1;
  ASSERT_THAT(Register({"b", "host:1", {}}), IsOk());
  struct Case {
    BrokerRegistration registration;
    absl::StatusCode code;
    std::string says;
  };
  const absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
  const absl::StatusCode kPrecondition = absl::StatusCode::kFailedPrecondition;
  const std::vector<Case> cases = {
      {{"", "host:1", {}}, kInvalid, "broker id is empty"},
      {{"a/b", "host:1", {}}, kInvalid, "illegal character \"/\""},
      {{std::string(65, 'a'), "host:1", {}}, kInvalid, "65 bytes, at most 64"},
      {{"b", ":5", {}}, kInvalid, "endpoint is \":5\""},
      {{"b", "host", {}}, kInvalid, "expected host:port"},
      {{"b", ":1", {}}, kInvalid, "expected host:port"},
      {{"b", "host:0", {}}, kInvalid, "a port from 1 to 65535"},
      {{"b", "host:65536", {}}, kInvalid, "a port from 1 to 65535"},
      {{"b", "ho st:1", {}}, kInvalid, "illegal character"},
      {{"b", "host:1", {{ShardId(1), ""}}}, kInvalid, "expected 1 to 64 hex digits"},
      {{"b", "host:1", {{ShardId(1), "xyz"}}}, kInvalid, "the log id is \"xyz\""},
      {{"b", "host:1", {{ShardId(1), "a"}, {ShardId(1), "a"}}}, kInvalid, "shard 1 is listed twice"},
      {{"b", "host:1", {{ShardId(2), "a"}}}, kPrecondition, "has a log of shard 2"},
      {{"c", "host:1", {{ShardId(1), "a"}}}, kPrecondition, "gave it no replica"},  // Another broker's.
      {{"b", "host:1", {}, "beef"}, kPrecondition, "the cluster \"beef\", this is \"cafe\""},
  };
  for (const Case& c : cases) EXPECT_THAT(Register(c.registration), FailsWith(c.code, c.says));
  EXPECT_EQ(FindShard(1)->epoch, 1u);
}

TEST_F(MetadataLogicTest, AReplicasLogIsRegisteredOnce) {
  limits_.shards_per_broker = 1;
  ASSERT_THAT(Register({"b", "host:1", {}}), IsOk());
  ASSERT_THAT(Do(PlanRegisterReplica(state_, "b", {ShardId(1), "ab"})), IsOk());
  EXPECT_TRUE(PlanRegisterReplica(state_, "b", {ShardId(1), "ab"})->empty());  // Said twice.
  EXPECT_THAT(PlanRegisterReplica(state_, "b", {ShardId(1), "cd"}),
              FailsWith(absl::StatusCode::kFailedPrecondition, "has the log ab, not cd"));
  EXPECT_THAT(PlanRegisterReplica(state_, "b", {ShardId(2), "ab"}), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(PlanRegisterReplica(state_, "c", {ShardId(1), "ab"}), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(PlanRegisterReplica(state_, "b", {ShardId(1), ""}), Fails(absl::StatusCode::kInvalidArgument));
}

// --- Keys ---

TEST_F(MetadataLogicTest, FoundationHappensOnce) {
  EXPECT_TRUE(PlanFoundation(state_, "other", "other").empty());
  EXPECT_THAT(SigningKeys(), ElementsAre(1));
  EXPECT_EQ(state_.ToTables().cluster, "cafe");
}

TEST_F(MetadataLogicTest, TwoSigningKeysAreValidAfterARotation) {
  Carry(PlanRotateSigningKey(state_, "secret-2"));
  EXPECT_THAT(SigningKeys(), ElementsAre(1, 2));
  Carry(PlanRotateSigningKey(state_, "secret-3"));
  EXPECT_THAT(SigningKeys(), ElementsAre(2, 3));
  EXPECT_EQ(state_.ToTables().signing_keys.back().secret, "secret-3");
}

TEST_F(MetadataLogicTest, TablesAreSortedById) {
  for (const char* name : {"z", "a", "m"}) {
    ASSERT_THAT(Create(Topic(name)), IsOk());
    ASSERT_THAT(Create(Group(name)), IsOk());
  }
  const Metadata::Tables tables = state_.ToTables();
  EXPECT_EQ(tables.topics[0].name.name, "z");
  EXPECT_EQ(tables.topics[2].name.name, "m");
  EXPECT_EQ(tables.groups[0].name.name, "z");
  EXPECT_THAT(tables.subscriptions, IsEmpty());
}

// --- FIFO topics ---

TEST_F(MetadataLogicTest, APriorityTopicHasAQueueForEachPriority) {
  TopicMetadata topic = Topic("alarms");
  topic.type = MessageType::kPriority;
  topic.queues_per_shard = 0;
  ASSERT_THAT(Create(topic), IsOk());
  EXPECT_EQ(FindTopic("alarms")->queues_per_shard, kPriorityLevels);
  EXPECT_THAT(PlanUpdateTopic(state_, {.name = {"", "alarms"}, .queues_per_shard = 17}),
              FailsWith(absl::StatusCode::kInvalidArgument, "a priority topic has 16 queues"));
}

TEST_F(MetadataLogicTest, IdempotenceIsSwitchedOffAndOn) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  EXPECT_TRUE(FindTopic("t")->idempotent);
  for (const bool idempotent : {false, true}) {
    ASSERT_THAT(Do(PlanUpdateTopic(state_, {.name = {"", "t"}, .idempotent = idempotent})), IsOk());
    EXPECT_EQ(FindTopic("t")->idempotent, idempotent);
  }
}

TEST_F(MetadataLogicTest, TheQueuesOfAFifoTopicAreSpreadOverTheShardsForGood) {
  TopicMetadata topic = Topic("lines");
  topic.type = MessageType::kFifo;
  topic.queues_per_shard = 0;
  EXPECT_THAT(Create(topic), FailsWith(absl::StatusCode::kUnavailable, "no shards yet"));
  limits_.shards_per_broker = 3;
  BrokerRegistration registration;
  registration.id = "broker-0";
  ASSERT_THAT(Register(registration).status(), IsOk());
  ASSERT_THAT(Create(topic), IsOk());
  const TopicMetadata made = *FindTopic("lines");
  EXPECT_EQ(made.placement.size(), 16u);
  EXPECT_EQ(made.queues_per_shard, 6);
  int32_t queues = 0;
  for (uint64_t shard = 1; shard <= 3; ++shard) {
    EXPECT_GE(made.QueuesIn(ShardId(shard)), 5);
    queues += made.QueuesIn(ShardId(shard));
  }
  EXPECT_EQ(queues, 16);
  // Every queue is some message group's.
  std::set<TopicMetadata::Place> places;
  for (uint64_t hash = 0; hash < 16; ++hash) {
    const TopicMetadata::Place place = made.PlaceOf(hash);
    EXPECT_LT(place.queue, made.QueuesIn(place.shard));
    places.insert(place);
  }
  EXPECT_THAT(places, SizeIs(16));

  // More shards change nothing.
  registration.id = "broker-1";
  ASSERT_THAT(Register(registration).status(), IsOk());
  EXPECT_EQ(FindTopic("lines")->placement, made.placement);
  EXPECT_EQ(made.QueuesIn(ShardId(4)), 0);
  TopicUpdate update;
  update.name = {"", "lines"};
  update.queues_per_shard = 7;
  EXPECT_THAT(Do(PlanUpdateTopic(state_, update)),
              FailsWith(absl::StatusCode::kInvalidArgument, "their number is fixed"));
  update.queues_per_shard = std::nullopt;
  update.retention_bytes = 1000;
  EXPECT_THAT(Do(PlanUpdateTopic(state_, update)), IsOk());
  EXPECT_EQ(FindTopic("lines")->placement, made.placement);
}

TEST_F(MetadataLogicTest, AFifoTopicMayHaveAnotherNumberOfQueuesInEachShard) {
  limits_.shards_per_broker = 4;
  BrokerRegistration registration;
  registration.id = "broker-0";
  ASSERT_THAT(Register(registration).status(), IsOk());
  TopicMetadata topic = Topic("lines");
  topic.type = MessageType::kFifo;
  topic.queues_per_shard = 2;
  ASSERT_THAT(Create(topic), IsOk());
  for (uint64_t shard = 1; shard <= 4; ++shard) EXPECT_EQ(FindTopic("lines")->QueuesIn(ShardId(shard)), 2);
}

}  // namespace
}  // namespace barid::controller
