#include "base/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/base/status_matchers.h"

namespace barid {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsNull;
using testing::NotNull;

TEST(NameTest, LettersDigitsAndFourSignsAreAllowed) {
  for (const char* name : {"a", "Orders-2_eu", "%DLQ%group", "a|b", "0"}) {
    EXPECT_THAT(ValidateTopicName(name), IsOk()) << name;
    EXPECT_THAT(ValidateGroupName(name), IsOk()) << name;
  }
}

TEST(NameTest, WhatIsNotAllowedIsQuoted) {
  for (const char* name : {"a b", "a.b", "a/b", "é", "a\n", "a*"}) {
    EXPECT_THAT(ValidateTopicName(name), StatusIs(StatusCode::kInvalidArgument, HasSubstr("allowed is"))) << name;
  }
  EXPECT_THAT(ValidateTopicName("a.b"), StatusIs(StatusCode::kInvalidArgument,
                                                 AllOf(HasSubstr("topic"), HasSubstr("\"a.b\""), HasSubstr("\".\""))));
  EXPECT_THAT(ValidateGroupName("a\nb"),
              StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("group"), HasSubstr("a\\nb"))));
  EXPECT_THAT(ValidateGroupName(""), StatusIs(StatusCode::kInvalidArgument, HasSubstr("empty")));
}

TEST(NameTest, LengthsAreBounded) {
  EXPECT_THAT(ValidateTopicName(std::string(127, 'a')), IsOk());
  EXPECT_THAT(ValidateTopicName(std::string(128, 'a')),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("128 bytes, at most 127")));
  EXPECT_THAT(ValidateGroupName(std::string(120, 'a')), IsOk());
  EXPECT_THAT(ValidateGroupName(std::string(121, 'a')),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("121 bytes, at most 120")));
}

TEST(NameTest, EveryGroupsDeadLetterTopicHasAnAllowedName) {
  EXPECT_THAT(ValidateTopicName(kDeadLetterPrefix + std::string(kMaxGroupNameBytes, 'g')), IsOk());
}

TEST(NameTest, ANamespaceStandsInFront) {
  EXPECT_EQ((ResourceName{"", "a"}).ToString(), "a");
  EXPECT_EQ((ResourceName{"space", "a"}).ToString(), "space/a");
}

TEST(MessageTypeTest, NamesComeBackAsTypes) {
  for (int i = 1; i <= 6; ++i) {
    const auto type = static_cast<MessageType>(i);
    EXPECT_EQ(ParseMessageType(MessageTypeName(type)), type);
  }
  EXPECT_EQ(ParseMessageType("FIFO"), MessageType::kFifo);
  EXPECT_EQ(ParseMessageType("unspecified"), std::nullopt);
  EXPECT_EQ(ParseMessageType("fif"), std::nullopt);
  EXPECT_EQ(MessageTypeName(static_cast<MessageType>(200)), "unspecified");
}

TEST(RetryPolicyTest, AListIsFollowedAndItsLastDelayRepeats) {
  RetryPolicy policy;
  policy.delays = {absl::Seconds(1), absl::Seconds(5)};
  EXPECT_EQ(policy.DelayAfter(1), absl::Seconds(1));
  EXPECT_EQ(policy.DelayAfter(2), absl::Seconds(5));
  EXPECT_EQ(policy.DelayAfter(3), absl::Seconds(5));
  EXPECT_EQ(policy.DelayAfter(1'000'000), absl::Seconds(5));
}

TEST(RetryPolicyTest, WithoutAListDelaysGrowToTheirBound) {
  RetryPolicy policy;
  policy.initial = absl::Seconds(5);
  policy.multiplier = 2;
  policy.max = absl::Minutes(1);
  EXPECT_EQ(policy.DelayAfter(1), absl::Seconds(5));
  EXPECT_EQ(policy.DelayAfter(2), absl::Seconds(10));
  EXPECT_EQ(policy.DelayAfter(4), absl::Seconds(40));
  EXPECT_EQ(policy.DelayAfter(5), absl::Minutes(1));
  EXPECT_EQ(policy.DelayAfter(std::numeric_limits<int32_t>::max()), absl::Minutes(1));
}

TEST(RetryPolicyTest, AnAttemptThatDoesNotCountIsTreatedAsTheFirst) {
  RetryPolicy policy;
  policy.delays = {absl::Seconds(1), absl::Seconds(5)};
  EXPECT_EQ(policy.DelayAfter(0), absl::Seconds(1));
  EXPECT_EQ(policy.DelayAfter(-1), absl::Seconds(1));
}

TEST(RetryPolicyTest, TheDefaultDelaysGoFromASecondToTwoHours) {
  const std::vector<absl::Duration> delays = DefaultRetryDelays();
  EXPECT_EQ(delays.size(), 18u);
  EXPECT_EQ(delays.front(), absl::Seconds(1));
  EXPECT_EQ(delays.back(), absl::Hours(2));
  EXPECT_TRUE(std::is_sorted(delays.begin(), delays.end()));
}

class MetadataTest : public testing::Test {
 protected:
  static Metadata::Tables SomeTables() {
    Metadata::Tables tables;
    tables.revision = 9;
    tables.cluster = "c";
    TopicMetadata topic;
    topic.id = TopicId(1);
    topic.name = {"", "orders"};
    tables.topics.push_back(topic);
    topic.id = TopicId(2);
    topic.name = {"space", "orders"};
    tables.topics.push_back(topic);
    GroupMetadata group;
    group.id = GroupId(1);
    group.name = {"space", "billing"};
    group.created = absl::FromUnixSeconds(7);
    tables.groups.push_back(group);
    tables.subscriptions.push_back({GroupId(1), TopicId(2), {}, absl::FromUnixSeconds(8)});
    tables.brokers.push_back({"broker-0", "host:1"});
    tables.shards.push_back({ShardId(3), "broker-0-0", "broker-0", 4});
    return tables;
  }

  const Metadata metadata_{SomeTables()};
};

TEST_F(MetadataTest, TopicsAreFoundByNameInTheirNamespaceAndById) {
  ASSERT_THAT(metadata_.FindTopic({"", "orders"}), NotNull());
  EXPECT_EQ(metadata_.FindTopic({"", "orders"})->id, TopicId(1));
  EXPECT_EQ(metadata_.FindTopic({"space", "orders"})->id, TopicId(2));
  EXPECT_EQ(metadata_.FindTopic(TopicId(2))->name.space, "space");
  EXPECT_THAT(metadata_.FindTopic({"other", "orders"}), IsNull());
  EXPECT_THAT(metadata_.FindTopic({"", "order"}), IsNull());
  EXPECT_THAT(metadata_.FindTopic(TopicId(3)), IsNull());
}

TEST_F(MetadataTest, GroupsAreFoundByNameAndById) {
  ASSERT_THAT(metadata_.FindGroup({"space", "billing"}), NotNull());
  EXPECT_EQ(metadata_.FindGroup(GroupId(1))->name.name, "billing");
  EXPECT_THAT(metadata_.FindGroup({"", "billing"}), IsNull());
  EXPECT_THAT(metadata_.FindGroup(GroupId(2)), IsNull());
}

TEST_F(MetadataTest, SubscriptionsAreFoundByGroupAndTopic) {
  ASSERT_THAT(metadata_.FindSubscription(GroupId(1), TopicId(2)), NotNull());
  EXPECT_EQ(metadata_.FindSubscription(GroupId(1), TopicId(2))->created, absl::FromUnixSeconds(8));
  EXPECT_THAT(metadata_.FindSubscription(GroupId(1), TopicId(1)), IsNull());
  EXPECT_THAT(metadata_.FindSubscription(GroupId(2), TopicId(2)), IsNull());
}

TEST_F(MetadataTest, BrokersAndShardsAreFound) {
  EXPECT_EQ(metadata_.FindBroker("broker-0")->endpoint, "host:1");
  EXPECT_THAT(metadata_.FindBroker("broker-1"), IsNull());
  EXPECT_EQ(metadata_.FindShard(ShardId(3))->epoch, 4u);
  EXPECT_EQ(metadata_.FindShard("broker-0-0")->id, ShardId(3));
  EXPECT_THAT(metadata_.FindShard(ShardId(1)), IsNull());
  EXPECT_THAT(metadata_.FindShard("broker-0-1"), IsNull());
}

TEST_F(MetadataTest, EveryGroupHasADeadLetterTopicInItsNamespace) {
  const TopicMetadata* const topic = metadata_.FindTopic({"space", "%DLQ%billing"});
  ASSERT_THAT(topic, NotNull());
  EXPECT_EQ(topic->id, DeadLetterTopicId(GroupId(1)));
  EXPECT_EQ(metadata_.FindTopic(topic->id), topic);
  EXPECT_TRUE(IsDeadLetterTopic(topic->id));
  EXPECT_EQ(DeadLetterGroup(topic->id), GroupId(1));
  EXPECT_EQ(topic->type, MessageType::kNormal);
  EXPECT_EQ(topic->queues_per_shard, 1);
  EXPECT_EQ(topic->retention.age, absl::Hours(14 * 24));
  EXPECT_EQ(topic->created, absl::FromUnixSeconds(7));
}

TEST_F(MetadataTest, WithoutTheGroupThereIsNoDeadLetterTopic) {
  EXPECT_THAT(metadata_.FindTopic({"", "%DLQ%billing"}), IsNull());
  EXPECT_THAT(metadata_.FindTopic({"space", "%DLQ%other"}), IsNull());
  EXPECT_THAT(metadata_.FindTopic(DeadLetterTopicId(GroupId(2))), IsNull());
}

TEST_F(MetadataTest, DeadLetterTopicsAreNoRowsOfTheTables) { EXPECT_EQ(metadata_.tables().topics.size(), 2u); }

TEST(DiscardedTopicTest, EveryTransactionTopicHasOneInItsNamespace) {
  Metadata::Tables tables;
  tables.topics.resize(2);
  tables.topics[0].id = TopicId(4);
  tables.topics[0].name = {"space", std::string(kMaxTopicNameBytes, 't')};
  tables.topics[0].type = MessageType::kTransaction;
  tables.topics[0].created = absl::FromUnixSeconds(7);
  tables.topics[1].id = TopicId(5);
  tables.topics[1].name = {"space", "orders"};
  const Metadata metadata(std::move(tables));
  const std::string name = kDiscardedPrefix + std::string(kMaxTopicNameBytes, 't');
  EXPECT_THAT(ValidateTopicName(name), IsOk());
  EXPECT_THAT(ValidateTopicName(name + "t"), StatusIs(StatusCode::kInvalidArgument));
  const TopicMetadata* const topic = metadata.FindTopic({"space", name});
  ASSERT_THAT(topic, NotNull());
  EXPECT_EQ(topic->id, DiscardedTopicId(TopicId(4)));
  EXPECT_EQ(metadata.FindTopic(topic->id), topic);
  EXPECT_TRUE(IsDiscardedTopic(topic->id));
  EXPECT_FALSE(IsDeadLetterTopic(topic->id));
  EXPECT_EQ(DiscardedOrigin(topic->id), TopicId(4));
  EXPECT_EQ(topic->type, MessageType::kNormal);
  EXPECT_EQ(topic->queues_per_shard, 1);
  EXPECT_EQ(topic->retention.age, absl::Hours(14 * 24));
  EXPECT_EQ(topic->created, absl::FromUnixSeconds(7));
  EXPECT_THAT(metadata.FindTopic({"space", "%TXN_DISCARDED%orders"}), IsNull());
  EXPECT_THAT(metadata.FindTopic(DiscardedTopicId(TopicId(5))), IsNull());
  EXPECT_FALSE(IsDiscardedTopic(TopicId(4)));
  EXPECT_FALSE(IsDiscardedTopic(DeadLetterTopicId(GroupId(4))));
}

TEST_F(MetadataTest, OrdinaryTopicsAreNotDeadLetterTopics) {
  EXPECT_FALSE(IsDeadLetterTopic(TopicId(1)));
  EXPECT_FALSE(IsDeadLetterTopic(TopicId(kDeadLetterBit - 1)));
}

TEST(EmptyMetadataTest, HasNothing) {
  const Metadata metadata;
  EXPECT_EQ(metadata.revision(), 0);
  EXPECT_THAT(metadata.FindTopic({"", "a"}), IsNull());
  EXPECT_THAT(metadata.FindGroup({"", "a"}), IsNull());
}

TEST(PausedMetadataTest, TellsWhoWasResumed) {
  Metadata::Tables tables;
  for (const uint64_t id : {1, 2, 3}) {
    GroupMetadata& group = tables.groups.emplace_back();
    group.id = GroupId(id);
    group.name = {"", absl::StrCat("g", id)};
    group.paused = id != 3;
  }
  const Metadata before(tables);
  tables.groups[0].paused = false;
  tables.groups[2].paused = true;
  EXPECT_THAT(Metadata(tables).ResumedSince(before), testing::UnorderedElementsAre(GroupId(1)));
  EXPECT_THAT(before.ResumedSince(before), testing::IsEmpty());
  tables.groups.clear();
  EXPECT_THAT(Metadata(tables).ResumedSince(before), testing::UnorderedElementsAre(GroupId(1), GroupId(2)));
}

// A snapshot is looked into by pointers that live as long as it does, wherever it has moved meanwhile.
TEST(MovedMetadataTest, KeepsItsPointersGood) {
  Metadata::Tables tables;
  tables.topics.emplace_back().name = {"", "a"};
  tables.groups.emplace_back().name = {"", "g"};
  Metadata first(std::move(tables));
  const Metadata second = std::move(first);
  ASSERT_THAT(second.FindTopic({"", "a"}), NotNull());
  EXPECT_EQ(second.FindTopic({"", "a"}), &second.tables().topics[0]);
  EXPECT_EQ(second.FindTopic({"", "%DLQ%g"})->name.name, "%DLQ%g");
}

}  // namespace
}  // namespace barid
