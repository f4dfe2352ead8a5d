#include "base/status.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PullHandlerTest : public ProxyFixture {
 protected:
  PullHandlerTest() { UseOneShard(); }

  static v2::PullMessageRequest PullRequest(int64_t offset, int32_t batch = 32) {
    v2::PullMessageRequest request;
    *request.mutable_group() = Named("readers");
    *request.mutable_message_queue()->mutable_topic() = Named("orders");
    request.mutable_message_queue()->mutable_broker()->set_name("shard-1");
    request.set_offset(offset);
    request.set_batch_size(batch);
    return request;
  }
  static v2::PullMessageRequest WaitingRequest(int64_t offset) {
    v2::PullMessageRequest request = PullRequest(offset);
    request.mutable_long_polling_timeout()->set_seconds(10);
    return request;
  }
  std::shared_ptr<TestStream> StartPull(const v2::PullMessageRequest& request) {
    auto stream = port_.Open(std::string(kService) + "PullMessage");
    stream->Send(request);
    return stream;
  }
  std::vector<v2::PullMessageResponse> Pull(const v2::PullMessageRequest& request) {
    const auto stream = StartPull(request);
    EXPECT_TRUE(stream->finished().value_or(absl::UnknownError("not finished")).ok());
    return stream->As<v2::PullMessageResponse>();
  }
  v2::Code CodeOf(const v2::PullMessageRequest& request) { return Pull(request).at(0).status().code(); }
};

TEST_F(PullHandlerTest, StatusThenMessagesThenWhereToGoOn) {
  for (const char* body : {"a", "b", "c"}) Send(body);
  const auto frames = Pull(PullRequest(1));
  ASSERT_THAT(frames, SizeIs(4));
  EXPECT_EQ(frames[0].status().code(), v2::OK);
  EXPECT_EQ(frames[1].message().body(), "b");
  EXPECT_EQ(frames[2].message().body(), "c");
  EXPECT_EQ(frames[3].next_offset(), 3);
}

TEST_F(PullHandlerTest, AMessageIsNobodys) {
  v2::Message sent = MessageOf("orders", "hello", "the-id");
  (*sent.mutable_user_properties())["a"] = "1";
  Send(sent);
  const v2::Message message = Pull(PullRequest(0)).at(1).message();
  EXPECT_EQ(message.topic().name(), "orders");
  EXPECT_EQ(message.user_properties().at("a"), "1");
  const v2::SystemProperties& system = message.system_properties();
  EXPECT_EQ(system.message_id(), "the-id");
  EXPECT_EQ(system.queue_id(), 0);
  EXPECT_EQ(system.queue_offset(), 0);
  EXPECT_TRUE(system.has_store_timestamp());
  EXPECT_FALSE(system.has_receipt_handle());
  EXPECT_FALSE(system.has_delivery_attempt());
  EXPECT_FALSE(system.has_invisible_duration());
}

TEST_F(PullHandlerTest, ChangesNothingAndMakesNothing) {
  Send("a");
  Pull(PullRequest(0));
  EXPECT_EQ(broker(0).in_flight(), 0u);
  EXPECT_EQ(controller_.Current()->FindGroup(ResourceName{"", "readers"}), nullptr);
  EXPECT_EQ(controller_.subscriptions_made, 0);
  v2::PullMessageRequest request = PullRequest(0);
  request.mutable_message_queue()->mutable_topic()->set_name("nothing");
  EXPECT_EQ(CodeOf(request), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(controller_.topics_created, 0);
}

TEST_F(PullHandlerTest, GroupsOfEitherKindMayPull) {
  Send("a");
  ASSERT_EQ(ReceiveCode(ReceiveRequestOf()), v2::OK);
  v2::PullMessageRequest request = PullRequest(0);
  *request.mutable_group() = Named("workers");
  EXPECT_EQ(CodeOf(request), v2::OK);
  EXPECT_EQ(broker(0).pulls.back().group, workers_);
  EXPECT_EQ(CodeOf(PullRequest(0)), v2::OK) << "one that is not there";
  EXPECT_EQ(broker(0).pulls.back().group, GroupId());
}

TEST_F(PullHandlerTest, OffsetsOutsideOfTheQueueAreIllegal) {
  Send("a");
  EXPECT_EQ(CodeOf(PullRequest(-1)), v2::ILLEGAL_OFFSET);
  EXPECT_EQ(CodeOf(PullRequest(2)), v2::ILLEGAL_OFFSET);
  EXPECT_EQ(CodeOf(PullRequest(1)), v2::MESSAGE_NOT_FOUND) << "the end";
}

TEST_F(PullHandlerTest, WithoutAWaitItEndsAtOnce) {
  const auto frames = Pull(PullRequest(0));
  ASSERT_THAT(frames, SizeIs(2));
  EXPECT_EQ(frames[0].status().code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_TRUE(frames[1].has_next_offset());
  EXPECT_EQ(frames[1].next_offset(), 0);
  EXPECT_EQ(broker(0).pulls.at(0).wait, absl::ZeroDuration());
}

TEST_F(PullHandlerTest, AWaitingPullGetsTheNextMessage) {
  const auto stream = StartPull(WaitingRequest(0));
  EXPECT_EQ(stream->frames(), 0u);
  EXPECT_EQ(broker(0).pulls.at(0).wait, absl::Seconds(10));
  Send("late");
  const auto frames = stream->As<v2::PullMessageResponse>();
  ASSERT_THAT(frames, SizeIs(3));
  EXPECT_EQ(frames[1].message().body(), "late");
}

TEST_F(PullHandlerTest, AWaitingPullEndsWithItsTimeOrItsClient) {
  const auto over = StartPull(WaitingRequest(0));
  broker(0).EndWaits();
  EXPECT_EQ(over->As<v2::PullMessageResponse>().at(0).status().code(), v2::MESSAGE_NOT_FOUND);
  const auto cancelled = StartPull(WaitingRequest(0));
  EXPECT_EQ(broker(0).waiting(), 1u);
  cancelled->Cancel();
  EXPECT_EQ(broker(0).waiting(), 0u);
  StartPull(WaitingRequest(0));
  proxy_->Drain();
  EXPECT_EQ(broker(0).waiting(), 0u);
}

TEST_F(PullHandlerTest, ANearDeadlineFindsItAnswered) {
  for (const char* body : {"a", "b"}) Send(body);
  const auto stream = StartPull(WaitingRequest(2));
  stream->NearDeadline();
  const auto frames = stream->As<v2::PullMessageResponse>();
  ASSERT_THAT(frames, SizeIs(2));
  EXPECT_EQ(frames[0].status().code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(frames[1].next_offset(), 2);
  EXPECT_TRUE(stream->finished()->ok());
  EXPECT_EQ(broker(0).waiting(), 0u);
}

TEST_F(PullHandlerTest, AGoodbyeEndsThePullsOfItsClient) {
  Send("a");
  const auto stream = StartPull(WaitingRequest(1));
  SayGoodbye();
  EXPECT_EQ(broker(0).waiting(), 0u);
  const auto frames = stream->As<v2::PullMessageResponse>();
  ASSERT_THAT(frames, SizeIs(2));
  EXPECT_EQ(frames[0].status().code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(frames[1].next_offset(), 1);
}

TEST_F(PullHandlerTest, BatchesAreBounded) {
  for (int i = 0; i < 40; ++i) Send("x");
  EXPECT_THAT(Pull(PullRequest(0, 3)), SizeIs(5));
  EXPECT_THAT(Pull(PullRequest(0, 0)), SizeIs(3)) << "one";
  EXPECT_THAT(Pull(PullRequest(0, 1000)), SizeIs(34)) << "proxy.max_receive_messages";
}

TEST_F(PullHandlerTest, WhatThePortHasNoRoomForIsPulledAgain) {
  for (int i = 0; i < 3; ++i) Send(std::string(1000, 'x'));
  port_.SetRoom(2500);
  const auto frames = Pull(PullRequest(0));
  const size_t given = frames.size() - 2;
  ASSERT_GE(given, 1u);
  ASSERT_LE(given, 2u);
  EXPECT_EQ(frames.back().next_offset(), static_cast<int64_t>(given));
  port_.SetRoom(100);
  EXPECT_EQ(CodeOf(PullRequest(0)), v2::TOO_MANY_REQUESTS);
}

TEST_F(PullHandlerTest, FiltersAreReadAndPassedOn) {
  SendTagged("r", "red");
  SendTagged("g", "green");
  v2::PullMessageRequest request = PullRequest(0);
  request.mutable_filter_expression()->set_type(v2::TAG);
  request.mutable_filter_expression()->set_expression("green || blue");
  const auto frames = Pull(request);
  ASSERT_THAT(frames, SizeIs(3));
  EXPECT_EQ(frames[1].message().body(), "g");
  request.mutable_filter_expression()->set_type(v2::SQL);
  request.mutable_filter_expression()->set_expression("a > 1");
  Pull(request);
  EXPECT_EQ(broker(0).pulls.back().sql, "a > 1");
  EXPECT_THAT(broker(0).pulls.back().tags, IsEmpty());
  request.mutable_filter_expression()->set_expression("a >");
  EXPECT_EQ(CodeOf(request), v2::ILLEGAL_FILTER_EXPRESSION);
}

TEST_F(PullHandlerTest, RefusesWhatCannotBe) {
  v2::PullMessageRequest request = PullRequest(0);
  request.mutable_message_queue()->set_id(2);
  EXPECT_EQ(CodeOf(request), v2::BAD_REQUEST);
  request = PullRequest(0);
  request.mutable_message_queue()->mutable_broker()->set_name("");
  EXPECT_EQ(CodeOf(request), v2::BAD_REQUEST) << "offsets are of one queue";
  request = PullRequest(0);
  request.clear_group();
  EXPECT_EQ(CodeOf(request), v2::ILLEGAL_CONSUMER_GROUP);
  SetHeader("x-mq-client-id", "");
  EXPECT_EQ(CodeOf(PullRequest(0)), v2::CLIENT_ID_REQUIRED);
}

TEST_F(PullHandlerTest, WhatCannotBeReadEndsTheBatchAndThenIsTold) {
  Send("a");
  Send("b");
  broker(0).Corrupt(ShardId(1), orders_, 1);
  const auto frames = Pull(PullRequest(0));
  ASSERT_THAT(frames, SizeIs(3));
  EXPECT_EQ(frames[2].next_offset(), 1);
  const auto broken = Pull(PullRequest(1));
  EXPECT_EQ(broken.at(0).status().code(), v2::INTERNAL_SERVER_ERROR);
  EXPECT_THAT(broken.at(0).status().message(), HasSubstr("offset 1"));
}

TEST_F(PullHandlerTest, ALeaderThatMovedIsFollowedOnce) {
  broker(0).RefuseNext(NotLeaderError({"broker-1", 2}, "not here any more"));
  EXPECT_EQ(CodeOf(PullRequest(0)), v2::MESSAGE_NOT_FOUND);
  EXPECT_THAT(broker(1).pulls, SizeIs(1));
  broker(0).RefuseNext(absl::UnavailableError("away"));
  EXPECT_EQ(CodeOf(PullRequest(0)), v2::HA_NOT_AVAILABLE);
}

TEST_F(PullHandlerTest, WaitsAreCountedWithReceives) {
  ProxyOptions options;
  options.limits.max_waiting_receives_per_client = 1;
  Restart(options);
  const auto waiting = StartPull(WaitingRequest(0));
  EXPECT_EQ(CodeOf(WaitingRequest(0)), v2::TOO_MANY_REQUESTS);
  broker(0).EndWaits();
  EXPECT_EQ(CodeOf(PullRequest(0)), v2::MESSAGE_NOT_FOUND);
}

}  // namespace
}  // namespace barid::proxy
