#include "codec/controller_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace barid {
namespace {

using ::testing::HasSubstr;

TopicMetadata SomeTopic(uint64_t id, const std::string& name) {
  TopicMetadata topic;
  topic.id = TopicId(id);
  topic.name = {"space", name};
  topic.queues_per_shard = 7;
  topic.retention = {absl::Hours(5), 123, true};
  topic.max_message_bytes = 99;
  topic.created = absl::FromUnixMicros(1234567);
  topic.placement = {ShardId(3), ShardId(1), ShardId(3)};
  return topic;
}

GroupMetadata SomeGroup(uint64_t id, const std::string& name) {
  GroupMetadata group;
  group.id = GroupId(id);
  group.name = {"", name};
  group.order = DeliveryOrder::kFifo;
  group.retry.max_attempts = 3;
  group.retry.delays = {absl::Seconds(1), absl::Milliseconds(2500)};
  group.retry.multiplier = 1.5;
  group.start = {StartFrom::Kind::kTime, absl::FromUnixMicros(42)};
  group.created = absl::FromUnixMicros(7654321);
  group.kind = GroupKind::kOffset;
  group.expire_after = absl::Minutes(3);
  group.paused = true;
  return group;
}

Metadata::Tables SomeTables() {
  Metadata::Tables tables;
  tables.revision = 17;
  tables.cluster = "c0ffee";
  tables.topics = {SomeTopic(1, "a"), SomeTopic(2, "b"), SomeTopic(5, "c")};
  tables.groups = {SomeGroup(1, "g"), SomeGroup(4, "h")};
  tables.subscriptions = {{GroupId(1), TopicId(2), {}, absl::FromUnixMicros(5)},
                          {GroupId(1), DeadLetterTopicId(GroupId(4)), {}, absl::FromUnixMicros(6)}};
  tables.brokers = {{"broker-0", "host:1"}};
  tables.shards = {{ShardId(1), "broker-0-0", "broker-0", 3}, {ShardId(2), "broker-0-1", "", 3}};
  tables.signing_keys = {{1, std::string("\0\xff", 2)}};
  return tables;
}

void ExpectSame(const Metadata::Tables& a, const Metadata::Tables& b) {
  EXPECT_EQ(a.revision, b.revision);
  EXPECT_EQ(a.cluster, b.cluster);
  EXPECT_TRUE(a.topics == b.topics);
  EXPECT_TRUE(a.groups == b.groups);
  EXPECT_TRUE(a.subscriptions == b.subscriptions);
  EXPECT_TRUE(a.brokers == b.brokers);
  EXPECT_TRUE(a.shards == b.shards);
  EXPECT_TRUE(a.signing_keys == b.signing_keys);
}

// Over the wire and back.
controller_pb::MetadataUpdate Sent(const controller_pb::MetadataUpdate& update) {
  controller_pb::MetadataUpdate received;
  EXPECT_TRUE(received.ParseFromString(update.SerializeAsString()));
  return received;
}

TEST(ControllerCodecTest, ASnapshotReplacesWhateverWasThere) {
  controller_pb::MetadataUpdate update;
  EncodeSnapshot(Metadata(SomeTables()), &update);
  Metadata::Tables base;
  base.topics = {SomeTopic(9, "gone")};
  const auto tables = ApplyUpdate(base, Sent(update));
  ASSERT_TRUE(tables.ok()) << tables.status();
  ExpectSame(*tables, SomeTables());
}

TEST(ControllerCodecTest, ADifferenceHasOnlyWhatChanged) {
  Metadata::Tables to = SomeTables();
  to.revision = 18;
  to.topics[1].retention.bytes = 4;        // Changed.
  to.topics.erase(to.topics.begin());      // Gone.
  to.topics.push_back(SomeTopic(6, "d"));  // New.
  to.groups.pop_back();
  to.subscriptions.pop_back();
  to.brokers[0].endpoint = "elsewhere:1";
  to.shards.erase(to.shards.begin());
  to.signing_keys.push_back({2, "new"});

  controller_pb::MetadataUpdate update;
  EncodeDifference(Metadata(SomeTables()), Metadata(to), &update);
  EXPECT_FALSE(update.snapshot());
  EXPECT_EQ(update.topics_size(), 2);
  EXPECT_EQ(update.deleted_topic_ids_size(), 1);
  EXPECT_EQ(update.groups_size(), 0);
  EXPECT_EQ(update.deleted_group_ids_size(), 1);
  EXPECT_EQ(update.deleted_subscriptions_size(), 1);
  EXPECT_EQ(update.brokers_size(), 1);
  EXPECT_EQ(update.shards_size(), 0);
  EXPECT_EQ(update.deleted_shard_ids_size(), 1);
  EXPECT_EQ(update.signing_keys_size(), 1);

  const auto tables = ApplyUpdate(SomeTables(), Sent(update));
  ASSERT_TRUE(tables.ok()) << tables.status();
  ExpectSame(*tables, to);
}

TEST(ControllerCodecTest, NothingChangedIsAnEmptyDifference) {
  controller_pb::MetadataUpdate update;
  EncodeDifference(Metadata(SomeTables()), Metadata(SomeTables()), &update);
  update.clear_revision();
  update.clear_cluster();
  EXPECT_EQ(update.ByteSizeLong(), 0u);
}

TEST(ControllerCodecTest, CallsSurviveTheWire) {
  TopicUpdate topic_update;
  topic_update.name = {"s", "t"};
  topic_update.retention_bytes = 0;  // Set to nothing, which is not the same as left alone.
  controller_pb::UpdateTopicRequest topic_request;
  Encode(topic_update, &topic_request);
  const TopicUpdate decoded = Decode(topic_request);
  EXPECT_EQ(decoded.name, topic_update.name);
  EXPECT_EQ(decoded.retention_bytes, 0);
  EXPECT_FALSE(decoded.retention_age.has_value());
  EXPECT_FALSE(decoded.keep_unsettled.has_value());
  EXPECT_FALSE(decoded.transaction_recovery.has_value());
  topic_update.transaction_recovery = absl::ZeroDuration();
  Encode(topic_update, &topic_request);
  EXPECT_EQ(Decode(topic_request).transaction_recovery, absl::ZeroDuration());

  controller_pb::UpdateGroupRequest group_request;
  Encode(GroupUpdate{{"s", "g"}, std::nullopt, GroupKind::kOffset}, &group_request);
  EXPECT_EQ(Decode(group_request).kind, GroupKind::kOffset);
  EXPECT_FALSE(Decode(group_request).retry.has_value());
  Encode(GroupUpdate{{"s", "g"}}, &group_request);
  group_request.clear_kind();
  EXPECT_FALSE(Decode(group_request).kind.has_value()) << "left as it is";
  EXPECT_FALSE(Decode(group_request).expire_after.has_value());
  Encode(GroupUpdate{{"s", "g"}, std::nullopt, std::nullopt, absl::ZeroDuration()}, &group_request);
  EXPECT_EQ(Decode(group_request).expire_after, absl::ZeroDuration());
  EXPECT_FALSE(Decode(group_request).paused.has_value());
  Encode(GroupUpdate{{"s", "g"}, std::nullopt, std::nullopt, std::nullopt, false}, &group_request);
  EXPECT_EQ(Decode(group_request).paused, false);

  controller_pb::ReportGroupsRequest report_request;
  Encode(GroupReport{"proxy-7", {GroupId(3), GroupId(5)}}, &report_request);
  EXPECT_EQ(Decode(report_request).proxy, "proxy-7");
  EXPECT_EQ(Decode(report_request).seen, (std::vector<GroupId>{GroupId(3), GroupId(5)}));

  BrokerRegistration registration{"b", "h:1", {{ShardId(3), "ab"}}, "cluster"};
  controller_pb::RegisterBrokerRequest broker_request;
  Encode(registration, &broker_request);
  const BrokerRegistration found = Decode(broker_request);
  EXPECT_EQ(found.id, "b");
  EXPECT_EQ(found.endpoint, "h:1");
  EXPECT_EQ(found.cluster, "cluster");
  ASSERT_EQ(found.replicas.size(), 1u);
  EXPECT_EQ(found.replicas[0].shard, ShardId(3));
  EXPECT_EQ(found.replicas[0].log_id, "ab");
}

TEST(ControllerCodecTest, RefusesNumbersThatMeanNothing) {
  controller_pb::Topic topic;
  topic.set_type(7);
  EXPECT_THAT(std::string(Decode(topic).status().message()), HasSubstr("topic.type is 7"));
  topic.set_type(1);
  topic.set_id(kDeadLetterBit | 1);
  EXPECT_THAT(std::string(Decode(topic).status().message()), HasSubstr("topic.id"));
  controller_pb::Group group;
  group.set_order(static_cast<controller_pb::DeliveryOrder>(2));
  EXPECT_THAT(std::string(Decode(group).status().message()), HasSubstr("group.order is 2"));
  group.set_order(controller_pb::DELIVERY_ORDER_NONE);
  group.mutable_start()->set_kind(static_cast<controller_pb::StartFrom::Kind>(-1));
  EXPECT_THAT(std::string(Decode(group).status().message()), HasSubstr("start.kind is -1"));
}

}  // namespace
}  // namespace barid
