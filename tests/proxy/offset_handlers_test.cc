#include "base/status.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::HasSubstr;

class OffsetHandlersTest : public ProxyFixture {
 protected:
  OffsetHandlersTest() { UseOneShard(); }

  static void Fill(v2::MessageQueue* queue, const std::string& topic, int32_t id = 0) {
    *queue->mutable_topic() = Named(topic);
    queue->set_id(id);
    queue->mutable_broker()->set_name("shard-1");
  }
  static v2::QueryOffsetRequest QueryRequest(v2::QueryOffsetPolicy policy, const std::string& topic = "orders") {
    v2::QueryOffsetRequest request;
    Fill(request.mutable_message_queue(), topic);
    request.set_query_offset_policy(policy);
    return request;
  }
  v2::QueryOffsetResponse Query(const v2::QueryOffsetRequest& request) {
    return Call<v2::QueryOffsetResponse>("QueryOffset", request);
  }

  static v2::UpdateOffsetRequest UpdateRequest(int64_t offset, const std::string& group = "workers") {
    v2::UpdateOffsetRequest request;
    *request.mutable_group() = Named(group);
    Fill(request.mutable_message_queue(), "orders");
    request.set_offset(offset);
    return request;
  }
  v2::Status Update(const v2::UpdateOffsetRequest& request) {
    return Call<v2::UpdateOffsetResponse>("UpdateOffset", request).status();
  }
  v2::GetOffsetResponse Get(const std::string& group = "workers", const std::string& topic = "orders") {
    v2::GetOffsetRequest request;
    *request.mutable_group() = Named(group);
    Fill(request.mutable_message_queue(), topic);
    return Call<v2::GetOffsetResponse>("GetOffset", request);
  }
};

TEST_F(OffsetHandlersTest, WhatIsStoredIsFound) {
  for (const char* body : {"a", "b", "c"}) Send(body);
  EXPECT_EQ(Get().status().code(), v2::OFFSET_NOT_FOUND);
  EXPECT_EQ(Update(UpdateRequest(2)).code(), v2::OK);
  EXPECT_EQ(Get().status().code(), v2::OK);
  EXPECT_EQ(Get().offset(), 2);
  EXPECT_EQ(Update(UpdateRequest(0)).code(), v2::OK);
  EXPECT_EQ(Get().offset(), 0) << "it may go back";
}

TEST_F(OffsetHandlersTest, AnOffsetThatTheQueueCannotHaveIsIllegal) {
  EXPECT_EQ(Update(UpdateRequest(1)).code(), v2::ILLEGAL_OFFSET);
  EXPECT_EQ(Update(UpdateRequest(-1)).code(), v2::ILLEGAL_OFFSET);
  EXPECT_EQ(Update(UpdateRequest(0)).code(), v2::OK) << "before the first message";
}

TEST_F(OffsetHandlersTest, StoringMakesTheGroupAndDecidesItsKind) {
  EXPECT_EQ(Update(UpdateRequest(0, "readers")).code(), v2::OK);
  const GroupMetadata* const group = controller_.Current()->FindGroup(ResourceName{"", "readers"});
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(group->kind, GroupKind::kOffset);
  EXPECT_EQ(Get("readers").offset(), 0);

  ProxyOptions options;
  options.auto_create_groups = false;
  Restart(options);
  EXPECT_EQ(Update(UpdateRequest(0, "others")).code(), v2::CONSUMER_GROUP_NOT_FOUND);
}

TEST_F(OffsetHandlersTest, AGroupThatStoresOffsetsIsNotDeliveredTo) {
  Send("a");
  EXPECT_EQ(Update(UpdateRequest(0)).code(), v2::OK);
  const auto frames = Receive(ReceiveRequestOf());
  EXPECT_EQ(frames.at(0).status().code(), v2::PRECONDITION_FAILED);
  EXPECT_THAT(frames.at(0).status().message(), HasSubstr("offset-based"));
  EXPECT_TRUE(broker(0).receives.empty());
}

TEST_F(OffsetHandlersTest, AGroupThatIsDeliveredToStoresNoOffsets) {
  Send("a");
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf()), v2::OK);
  const v2::Status status = Update(UpdateRequest(0));
  EXPECT_EQ(status.code(), v2::PRECONDITION_FAILED);
  EXPECT_THAT(status.message(), HasSubstr("the group workers is delivered to"));
  EXPECT_EQ(Get().status().code(), v2::PRECONDITION_FAILED);
}

TEST_F(OffsetHandlersTest, TheControllersWordCountsWhereSnapshotsAreOld) {
  controller_.FailChanges(absl::FailedPreconditionError("the group was decided otherwise just now"));
  EXPECT_EQ(Update(UpdateRequest(0)).code(), v2::PRECONDITION_FAILED);
  controller_.FailChanges(absl::UnavailableError("away"));
  EXPECT_EQ(Update(UpdateRequest(0)).code(), v2::HA_NOT_AVAILABLE);
}

TEST_F(OffsetHandlersTest, RefusesWhatIsNotThere) {
  v2::UpdateOffsetRequest update = UpdateRequest(0);
  update.mutable_message_queue()->mutable_topic()->set_name("nothing");
  EXPECT_EQ(Update(update).code(), v2::TOPIC_NOT_FOUND) << "nothing is made for it";
  update = UpdateRequest(0);
  update.mutable_message_queue()->set_id(2);
  const v2::Status status = Update(update);
  EXPECT_EQ(status.code(), v2::BAD_REQUEST);
  EXPECT_THAT(status.message(), HasSubstr("the topic orders has 2 queues at shard-1"));
  update.mutable_message_queue()->set_id(-1);
  EXPECT_EQ(Update(update).code(), v2::BAD_REQUEST);
  update = UpdateRequest(0);
  update.mutable_message_queue()->mutable_broker()->set_name("shard-9");
  EXPECT_EQ(Update(update).code(), v2::BAD_REQUEST);
  EXPECT_EQ(Update(UpdateRequest(0, "bad name")).code(), v2::ILLEGAL_CONSUMER_GROUP);
  update = UpdateRequest(0);
  update.mutable_message_queue()->mutable_topic()->set_name("bad name");
  EXPECT_EQ(Update(update).code(), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(Get("nobody").status().code(), v2::CONSUMER_GROUP_NOT_FOUND);
  EXPECT_EQ(Get("workers", "nothing").status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(Query(QueryRequest(v2::END, "nothing")).status().code(), v2::TOPIC_NOT_FOUND);
}

TEST_F(OffsetHandlersTest, QueriesSayWhatTheyLookFor) {
  Send("a");
  Send("b");
  EXPECT_EQ(Query(QueryRequest(v2::BEGINNING)).offset(), 0);
  EXPECT_EQ(Query(QueryRequest(v2::END)).offset(), 2);
  v2::QueryOffsetRequest at = QueryRequest(v2::TIMESTAMP);
  EXPECT_EQ(Query(at).status().code(), v2::BAD_REQUEST) << "without a timestamp";
  at.mutable_timestamp()->set_seconds(77);
  EXPECT_EQ(Query(at).status().code(), v2::OK);
  EXPECT_EQ(broker(0).queries.back().policy, QueryOffsetCall::Policy::kTime);
  EXPECT_EQ(broker(0).queries.back().time, absl::FromUnixSeconds(77));
  EXPECT_EQ(Query(QueryRequest(static_cast<v2::QueryOffsetPolicy>(3))).status().code(), v2::BAD_REQUEST);
}

TEST_F(OffsetHandlersTest, WhatBrokersSayIsToldInPublicCodes) {
  broker(0).RefuseNext(absl::DeadlineExceededError("in doubt"));
  EXPECT_EQ(Update(UpdateRequest(0)).code(), v2::PROXY_TIMEOUT);
  broker(0).RefuseNext(absl::NotFoundError("deleted just now"));
  EXPECT_EQ(Update(UpdateRequest(0)).code(), v2::TOPIC_NOT_FOUND);
  broker(0).RefuseNext(absl::UnavailableError("away"));
  EXPECT_EQ(Get().status().code(), v2::HA_NOT_AVAILABLE);
}

TEST_F(OffsetHandlersTest, ALeaderThatMovedIsFollowedOnce) {
  broker(0).RefuseNext(NotLeaderError({"broker-1", 2}, "not here any more"));
  EXPECT_EQ(Update(UpdateRequest(0)).code(), v2::OK);
  EXPECT_EQ(Get().status().code(), v2::OFFSET_NOT_FOUND) << "it is at the other one";
}

}  // namespace
}  // namespace barid::proxy
