#include "controller/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "tests/controller/testing.h"

namespace barid::controller {
namespace {

TopicMetadata SomeTopic() {
  TopicMetadata topic;
  topic.id = TopicId(7);
  topic.name = {"space", "t"};
  topic.type = MessageType::kPriority;
  topic.retention = {absl::Hours(1), 5, true};
  topic.created = absl::FromUnixMicros(9);
  topic.placement = {ShardId(3), ShardId(1), ShardId(3)};
  return topic;
}

GroupMetadata SomeGroup() {
  GroupMetadata group;
  group.id = GroupId(8);
  group.name = {"", "g"};
  group.order = DeliveryOrder::kFifo;
  group.retry.delays = DefaultRetryDelays();
  group.start = {StartFrom::Kind::kTime, absl::FromUnixMicros(10)};
  return group;
}

struct Case {
  Record record;
  std::string key;
};

std::vector<Case> Cases() {
  return {
      {ClusterRecord{"id", 2, 3, 4, 5}, "cluster"},
      {SomeTopic(), "topic/space/t"},
      {SomeGroup(), "group//g"},
      {SubscriptionMetadata{GroupId(8), TopicId(0xabc), {StartFrom::Kind::kTime, absl::FromUnixMicros(1)}, {}},
       "subscription/0000000000000008/0000000000000abc"},
      {BrokerMetadata{"broker-0", "host:1"}, "broker/broker-0"},
      {ShardMetadata{ShardId(1), "broker-0-0", "broker-0", std::numeric_limits<Epoch>::max()},
       "shard/0000000000000001"},
      {ReplicaRecord{ShardId(1), "broker-0", "ab"}, "replica/0000000000000001/broker-0"},
      {SigningKey{9, std::string("\0\xff", 2)}, "signing_key/00000009"},
  };
}

TEST(RecordsTest, DecodeIsTheInverseOfEncode) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.key);
    EXPECT_EQ(KeyOf(c.record), c.key);
    const auto decoded = DecodeRecord(c.key, EncodeRecord(c.record));
    ASSERT_THAT(decoded, IsOk());
    EXPECT_TRUE(*decoded == c.record);
  }
}

TEST(RecordsTest, RefusesWhatIsNoRecord) {
  for (const Case& c : Cases()) {
    EXPECT_THAT(DecodeRecord(c.key, "\x0f garbage"), FailsWith(absl::StatusCode::kDataLoss, c.key));
  }
  EXPECT_THAT(DecodeRecord("controller", "name"), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(DecodeRecord("later_version/1", ""), Fails(absl::StatusCode::kNotFound));
}

TEST(RecordsTest, RefusesAValueUnderAnotherKey) {
  EXPECT_THAT(DecodeRecord("topic/space/other", EncodeRecord(SomeTopic())),
              FailsWith(absl::StatusCode::kDataLoss, "belongs to \"topic/space/t\""));
}

}  // namespace
}  // namespace barid::controller
