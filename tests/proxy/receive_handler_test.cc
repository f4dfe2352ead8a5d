#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/crypto.h"
#include "base/status.h"
#include "proxy/receipt.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ReceiveHandlerTest : public ProxyFixture {
 protected:
  ReceiveHandlerTest() { UseOneShard(); }

  // A receive that waits.
  static v2::ReceiveMessageRequest WaitingRequest() {
    v2::ReceiveMessageRequest request = ReceiveRequestOf();
    request.mutable_long_polling_timeout()->set_seconds(10);
    return request;
  }
  std::vector<std::string> Bodies(const std::vector<v2::Message>& messages) {
    std::vector<std::string> bodies;
    for (const v2::Message& message : messages) bodies.push_back(message.body());
    return bodies;
  }
};

TEST_F(ReceiveHandlerTest, StatusFirstThenMessagesInOrderThenTheTime) {
  for (const char* body : {"a", "b", "c"}) Send(body);
  const auto stream = StartReceive(ReceiveRequestOf());
  const auto frames = stream->As<v2::ReceiveMessageResponse>();
  ASSERT_THAT(frames, SizeIs(5));
  EXPECT_EQ(frames[0].status().code(), v2::OK);
  EXPECT_EQ(frames[1].message().body(), "a");
  EXPECT_EQ(frames[2].message().body(), "b");
  EXPECT_EQ(frames[3].message().body(), "c");
  EXPECT_EQ(FromProto(frames[4].delivery_timestamp(), absl::UnixEpoch()), world_.clock()->Now());
  ASSERT_TRUE(stream->finished());
  EXPECT_TRUE(stream->finished()->ok());
}

TEST_F(ReceiveHandlerTest, AMessageHasAllThatClientsLookFor) {
  v2::Message sent = MessageOf("orders", "hello", "the-id");
  sent.mutable_system_properties()->set_tag("red");
  (*sent.mutable_user_properties())["a"] = "1";
  Send(sent);
  const v2::Message message = ReceiveMessages().at(0);
  const v2::SystemProperties& system = message.system_properties();
  EXPECT_EQ(message.topic().name(), "orders");
  EXPECT_EQ(message.user_properties().at("a"), "1");
  EXPECT_EQ(system.message_id(), "the-id");
  EXPECT_EQ(system.tag(), "red");
  EXPECT_EQ(system.body_digest().type(), v2::SHA1);
  EXPECT_EQ(system.body_digest().checksum(), Sha1Hex("hello"));
  EXPECT_EQ(system.body_encoding(), v2::IDENTITY);
  EXPECT_EQ(system.message_type(), v2::NORMAL);
  EXPECT_TRUE(system.has_born_timestamp());
  EXPECT_TRUE(system.has_store_timestamp());
  EXPECT_EQ(system.delivery_attempt(), 1);
  EXPECT_EQ(system.queue_offset(), 0);
  EXPECT_EQ(system.invisible_duration().seconds(), 30);
  EXPECT_FALSE(system.receipt_handle().empty());
}

TEST_F(ReceiveHandlerTest, TheReceiptSaysWhatWasDelivered) {
  Send("x");
  const auto receipt = DecodeReceipt(ReceiveHandle(AutoRenewRequest()), controller_.Current()->tables().signing_keys);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(receipt->shard, ShardId(1));
  EXPECT_EQ(receipt->group, workers_);
  EXPECT_EQ(receipt->queue.topic, orders_);
  EXPECT_EQ(receipt->offset, 0);
  EXPECT_EQ(receipt->attempt, 1);
  EXPECT_TRUE(receipt->auto_renew);
}

TEST_F(ReceiveHandlerTest, AnEmptyPollIsAnsweredWhenItIsOver) {
  const auto stream = StartReceive(WaitingRequest());
  EXPECT_EQ(stream->frames(), 0u);
  EXPECT_EQ(broker(0).receives.at(0).wait, absl::Seconds(10));
  broker(0).EndWaits();
  const auto frames = stream->As<v2::ReceiveMessageResponse>();
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(frames[0].status().code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_TRUE(stream->finished()->ok());
}

TEST_F(ReceiveHandlerTest, AWaitingReceiveGetsTheNextMessage) {
  const auto stream = StartReceive(WaitingRequest());
  Send("late");
  const auto frames = stream->As<v2::ReceiveMessageResponse>();
  ASSERT_THAT(frames, SizeIs(3));
  EXPECT_EQ(frames[1].message().body(), "late");
}

TEST_F(ReceiveHandlerTest, ThePollEndsBeforeTheDeadline) {
  v2::ReceiveMessageRequest request = WaitingRequest();
  port_.deadline = world_.clock()->Now() + absl::Seconds(6);
  StartReceive(request);
  EXPECT_EQ(broker(0).receives.back().wait, absl::Seconds(5.5));
  request.clear_long_polling_timeout();
  StartReceive(request);
  EXPECT_EQ(broker(0).receives.back().wait, absl::Seconds(5.5));
  port_.deadline = absl::InfiniteFuture();
  StartReceive(request);
  EXPECT_EQ(broker(0).receives.back().wait, absl::Seconds(20));
  request.mutable_long_polling_timeout()->set_seconds(40);
  StartReceive(request);
  EXPECT_EQ(broker(0).receives.back().wait, absl::Seconds(20));
}

TEST_F(ReceiveHandlerTest, ANearDeadlineFindsItAnswered) {
  const auto stream = StartReceive(WaitingRequest());
  stream->NearDeadline();
  EXPECT_EQ(stream->As<v2::ReceiveMessageResponse>().at(0).status().code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_TRUE(stream->finished()->ok());
  EXPECT_EQ(broker(0).waiting(), 0u) << "nothing is delivered to nobody";
}

TEST_F(ReceiveHandlerTest, ANearDeadlineDoesNotWaitForTheControllerOrTheBroker) {
  controller_.Hold();
  const auto making = StartReceive(ReceiveRequestOf("new"));
  making->NearDeadline();
  EXPECT_EQ(making->As<v2::ReceiveMessageResponse>().at(0).status().code(), v2::MESSAGE_NOT_FOUND);
  controller_.Release();
  EXPECT_THAT(broker(0).receives, IsEmpty());

  Send("x");
  broker(0).hold_deliveries = true;
  const auto late = StartReceive(ReceiveRequestOf());
  late->NearDeadline();
  EXPECT_THAT(late->As<v2::ReceiveMessageResponse>(), SizeIs(1));
  broker(0).Release();
  EXPECT_EQ(ReceiveMessages().at(0).system_properties().delivery_attempt(), 1) << "it was given back";
}

TEST_F(ReceiveHandlerTest, ANearDeadlineTakesNothingFromASlowReader) {
  Send("x");
  const auto stream = StartReceive(ReceiveRequestOf(), /*reading=*/false);
  stream->Read(1);
  stream->NearDeadline();
  stream->Read(2);
  EXPECT_EQ(stream->As<v2::ReceiveMessageResponse>().at(1).message().body(), "x");
  EXPECT_TRUE(broker(0).IsInFlight(0));
}

// And its time, which is the client's, not at all.
TEST_F(ReceiveHandlerTest, IsCountedOnceByItsCode) {
  Send("x");
  ReceiveMessages();
  StartReceive(WaitingRequest())->Cancel();
  Send("y");
  broker(0).hold_deliveries = true;
  const auto late = StartReceive(ReceiveRequestOf());
  late->NearDeadline();
  broker(0).Release();
  EXPECT_THAT(late->As<v2::ReceiveMessageResponse>(), SizeIs(1));
  Receive(ReceiveRequestOf("no group"));
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(metrics_.CollectText(), '\n')) {
    if (absl::StrContains(line, "method=\"ReceiveMessage\"")) lines.emplace_back(line);
  }
  const std::string begin = "barid_public_calls_total{method=\"ReceiveMessage\",code=";
  EXPECT_THAT(lines, UnorderedElementsAre(begin + "\"OK\"} 1", begin + "\"MESSAGE_NOT_FOUND\"} 1",
                                          begin + "\"ILLEGAL_CONSUMER_GROUP\"} 1"));
}

TEST_F(ReceiveHandlerTest, TagsFilter) {
  SendTagged("r1", "red");
  SendTagged("g1", "green");
  SendTagged("b1", "blue");
  v2::ReceiveMessageRequest request = ReceiveRequestOf();
  request.mutable_filter_expression()->set_expression("red || blue");
  EXPECT_THAT(Bodies(ReceiveMessages(request)), ElementsAre("r1", "b1"));
  EXPECT_THAT(broker(0).receives.back().tags, ElementsAre("red", "blue"));
  request.clear_filter_expression();
  EXPECT_THAT(Bodies(ReceiveMessages(request)), ElementsAre("g1"));
}

void SetSql(v2::ReceiveMessageRequest* request, const std::string& expression) {
  request->mutable_filter_expression()->set_type(v2::SQL);
  request->mutable_filter_expression()->set_expression(expression);
}

TEST_F(ReceiveHandlerTest, SqlFilters) {
  SendTagged("r1", "red");
  SendTagged("g1", "green");
  SendTagged("b1", "blue");
  v2::ReceiveMessageRequest request = ReceiveRequestOf();
  SetSql(&request, "TAGS LIKE '_re%' OR TAGS = 'blue'");
  EXPECT_THAT(Bodies(ReceiveMessages(request)), ElementsAre("g1", "b1"));
  EXPECT_THAT(broker(0).receives.back().tags, IsEmpty());
  EXPECT_EQ(broker(0).receives.back().sql, "TAGS LIKE '_re%' OR TAGS = 'blue'");
  // As a tag expression it would be two tags.
  SetSql(&request, "TAGS = 'red' AND KEYS IS NULL");
  EXPECT_THAT(Bodies(ReceiveMessages(request)), ElementsAre("r1"));
}

TEST_F(ReceiveHandlerTest, BatchesAreClamped) {
  const std::pair<int, int> cases[] = {{-1, 1}, {0, 1}, {1, 1}, {32, 32}, {33, 32}, {1 << 30, 32}};
  for (const auto& [asked, given] : cases) {
    v2::ReceiveMessageRequest request = ReceiveRequestOf();
    request.set_batch_size(asked);
    Receive(request);
    EXPECT_EQ(broker(0).receives.back().max_messages, given) << asked;
  }
}

TEST_F(ReceiveHandlerTest, AutoRenewHasItsOwnFirstDeadline) {
  v2::ReceiveMessageRequest request = AutoRenewRequest();
  request.mutable_invisible_duration()->set_seconds(3);  // As C++ does; it does not count.
  request.set_attempt_id("attempt-9");
  Receive(request);
  const ReceiveCall& call = broker(0).receives.back();
  EXPECT_TRUE(call.auto_renew);
  EXPECT_EQ(call.invisible, absl::Seconds(60));
  EXPECT_EQ(call.client_id, "client-1");
  EXPECT_EQ(call.attempt_id, "attempt-9");
}

TEST_F(ReceiveHandlerTest, WhatIsWrongIsSaid) {
  struct Case {
    std::function<void(v2::ReceiveMessageRequest*)> spoil;
    v2::Code code;
    const char* sentence;
  };
  const Case cases[] = {
      {[](auto* r) { r->mutable_invisible_duration()->set_seconds(9); }, v2::ILLEGAL_INVISIBLE_TIME,
       "expected 10s to 12h"},
      {[](auto* r) { r->clear_invisible_duration(); }, v2::ILLEGAL_INVISIBLE_TIME, "is 0"},
      {[](auto* r) { r->mutable_invisible_duration()->set_seconds(43'201); }, v2::ILLEGAL_INVISIBLE_TIME, "is 12h1s"},
      {[](auto* r) { r->mutable_filter_expression()->set_expression("a|b"); }, v2::ILLEGAL_FILTER_EXPRESSION, "a|b"},
      {[](auto* r) { SetSql(r, "*"); }, v2::ILLEGAL_FILTER_EXPRESSION,
       "the SQL filter cannot be read at position 1: found \"*\", expected a name, a literal, NOT, a sign or ("},
      {[](auto* r) { SetSql(r, ""); }, v2::ILLEGAL_FILTER_EXPRESSION,
       "position 1: found the end, expected a condition"},
      {[](auto* r) { SetSql(r, "a > 1 AND"); }, v2::ILLEGAL_FILTER_EXPRESSION, "position 10: found the end"},
      {[](auto* r) { SetSql(r, "a > 'x' + 1"); }, v2::ILLEGAL_FILTER_EXPRESSION,
       "position 5: found \"'x'\", expected a number"},
      {[](auto* r) { SetSql(r, "a = '" + std::string(20'000, 'x') + "'"); }, v2::ILLEGAL_FILTER_EXPRESSION,
       "at most 16384"},
      {[](auto* r) { r->mutable_group()->set_name("a b"); }, v2::ILLEGAL_CONSUMER_GROUP, "illegal character"},
      {[](auto* r) { r->clear_group(); }, v2::ILLEGAL_CONSUMER_GROUP, "is empty"},
      {[](auto* r) { r->clear_message_queue(); }, v2::ILLEGAL_TOPIC, "is empty"},
  };
  for (const Case& c : cases) {
    v2::ReceiveMessageRequest request = ReceiveRequestOf();
    c.spoil(&request);
    const auto frames = Receive(request);
    ASSERT_THAT(frames, SizeIs(1));
    EXPECT_EQ(frames[0].status().code(), c.code) << frames[0].status().message();
    EXPECT_THAT(frames[0].status().message(), HasSubstr(c.sentence));
  }
  EXPECT_THAT(broker(0).receives, IsEmpty());
}

TEST_F(ReceiveHandlerTest, NoIdOrNoRequestIsRefused) {
  port_.metadata.clear();
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf()), v2::CLIENT_ID_REQUIRED);
  const auto garbage = port_.Open(std::string(kService) + "ReceiveMessage");
  garbage->SendBytes("\xff\xff");
  EXPECT_EQ(garbage->As<v2::ReceiveMessageResponse>().at(0).status().code(), v2::BAD_REQUEST);
  const auto silent = port_.Open(std::string(kService) + "ReceiveMessage");
  silent->HalfClose();
  EXPECT_TRUE(absl::IsInvalidArgument(*silent->finished()));
}

TEST_F(ReceiveHandlerTest, NothingEarlierIsNeeded) {
  SetHeader("x-mq-client-id", "never-seen-before");
  Send("x");
  EXPECT_THAT(ReceiveMessages(), SizeIs(1));
}

TEST_F(ReceiveHandlerTest, TheFirstReceiveSubscribesOnceAndTheBrokerHearsTheRevision) {
  Receive(ReceiveRequestOf());
  EXPECT_EQ(controller_.subscriptions_made, 1);
  EXPECT_NE(controller_.Current()->FindSubscription(workers_, orders_), nullptr);
  EXPECT_EQ(broker(0).receives.back().metadata_revision, controller_.Current()->revision());
  Receive(ReceiveRequestOf());
  EXPECT_EQ(controller_.subscriptions_made, 1);
}

TEST_F(ReceiveHandlerTest, AnUnknownGroupIsMadeAtTheFirstReceiveOrNot) {
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf("new-group")), v2::MESSAGE_NOT_FOUND);
  const GroupMetadata* const group = controller_.Current()->FindGroup(ResourceName{"", "new-group"});
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(group->retry.delays, DefaultRetryDelays());
  ProxyOptions options;
  options.auto_create_groups = false;
  options.auto_create_topics = false;
  Restart(options);
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf("another-group")), v2::CONSUMER_GROUP_NOT_FOUND);
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf("workers", "missing")), v2::TOPIC_NOT_FOUND);
}

TEST_F(ReceiveHandlerTest, AGroupForAMemberIsMadeAlsoWithoutAutoCreate) {
  ProxyOptions options;
  options.auto_create_groups = false;
  Restart(options);
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf("%MEMBER%me")), v2::MESSAGE_NOT_FOUND);
  const GroupMetadata* const group = controller_.Current()->FindGroup(ResourceName{"", "%MEMBER%me"});
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(group->expire_after, options.member_group_expiry);
  EXPECT_EQ(group->start.kind, StartFrom::Kind::kLast);
  options.member_group_prefix = "";
  Restart(options);
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf("%MEMBER%you")), v2::CONSUMER_GROUP_NOT_FOUND);
}

TEST_F(ReceiveHandlerTest, TheControllerHearsWhichExpiringGroupsHaveAMember) {
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf("plain")), v2::MESSAGE_NOT_FOUND);
  world_.RunFor(absl::Seconds(6));
  EXPECT_THAT(controller_.group_reports, IsEmpty()) << "no group expires: nothing to say";
  v2::ReceiveMessageRequest request = ReceiveRequestOf("%MEMBER%me");
  request.mutable_long_polling_timeout()->set_seconds(15);
  const auto stream = StartReceive(request);
  const GroupId me = controller_.Current()->FindGroup(ResourceName{"", "%MEMBER%me"})->id;
  world_.RunFor(absl::Seconds(10));
  ASSERT_THAT(controller_.group_reports, SizeIs(2));
  for (const GroupReport& report : controller_.group_reports) {
    EXPECT_EQ(report.proxy, "proxy-0");
    EXPECT_THAT(report.seen, ElementsAre(me)) << "its receive waits";
  }
  broker(0).EndWaits();
  world_.RunFor(absl::Seconds(10));
  ASSERT_THAT(controller_.group_reports, SizeIs(4));
  EXPECT_THAT(controller_.group_reports[2].seen, ElementsAre(me));
  EXPECT_THAT(controller_.group_reports[3].seen, IsEmpty()) << "it says so too";
}

TEST_F(ReceiveHandlerTest, AnUnknownBrokerNameIsServedFromAnyShard) {
  Send("x");
  v2::ReceiveMessageRequest request = ReceiveRequestOf();
  request.mutable_message_queue()->mutable_broker()->set_name("broker-of-yesterday");
  EXPECT_THAT(ReceiveMessages(request), SizeIs(1));
  Send("y");
  request.mutable_message_queue()->clear_broker();
  EXPECT_THAT(ReceiveMessages(request), SizeIs(1));
}

TEST_F(ReceiveHandlerTest, WithoutABrokerNameItWaitsAtAllShards) {
  controller_.Edit([](Metadata::Tables* tables) {
    tables->brokers.push_back({"broker-1", ""});
    tables->shards.push_back({ShardId(2), "shard-2", "broker-1", 1});
  });
  for (const char* const name : {"", "broker-of-yesterday"}) {
    v2::ReceiveMessageRequest request = WaitingRequest();
    request.mutable_message_queue()->mutable_broker()->set_name(name);
    const auto stream = StartReceive(request);
    EXPECT_EQ(broker(0).waiting(), 1u) << name;
    EXPECT_EQ(broker(1).waiting(), 1u) << name;
    stream->Cancel();
    EXPECT_EQ(broker(0).waiting() + broker(1).waiting(), 0u) << name;
  }
}

TEST_F(ReceiveHandlerTest, TheNamedShardIsAsked) {
  controller_.Edit([](Metadata::Tables* tables) {
    tables->brokers.push_back({"broker-1", ""});
    tables->shards.push_back({ShardId(2), "shard-2", "broker-1", 1});
  });
  v2::ReceiveMessageRequest request = ReceiveRequestOf();
  request.mutable_message_queue()->mutable_broker()->set_name("shard-2");
  Receive(request);
  Receive(request);
  EXPECT_THAT(broker(0).receives, IsEmpty());
  EXPECT_THAT(broker(1).receives, SizeIs(2));
}

TEST_F(ReceiveHandlerTest, TheLeaderIsAskedWhenAnotherWasTaken) {
  v2::ReceiveMessageRequest request = WaitingRequest();
  broker(0).RefuseNext(NotLeaderError({"broker-1", 2}, "moved"));
  const auto stream = StartReceive(request);
  EXPECT_EQ(broker(1).waiting(), 1u);
  stream->Cancel();
  EXPECT_EQ(broker(1).waiting(), 0u);
}

TEST_F(ReceiveHandlerTest, BrokerErrorsEndThePollWithTheirCode) {
  broker(0).RefuseNext(absl::UnavailableError("draining"));
  const auto frames = Receive(WaitingRequest());
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(frames[0].status().code(), v2::HA_NOT_AVAILABLE);
  broker(0).RefuseNext(absl::ResourceExhaustedError("too many"));
  EXPECT_EQ(ReceiveCode(WaitingRequest()), v2::TOO_MANY_REQUESTS);
}

TEST_F(ReceiveHandlerTest, ACancelledPollIsTakenBack) {
  const auto stream = StartReceive(WaitingRequest());
  EXPECT_EQ(broker(0).waiting(), 1u);
  stream->Cancel();
  EXPECT_EQ(broker(0).waiting(), 0u);
  Send("x");
  EXPECT_EQ(broker(0).in_flight(), 0u);
}

TEST_F(ReceiveHandlerTest, ACallCancelledWhileTheGroupIsBeingMadeAsksNoBroker) {
  controller_.Hold();
  const auto stream = StartReceive(WaitingRequest());
  stream->Cancel();
  controller_.Release();
  EXPECT_THAT(broker(0).receives, IsEmpty());
}

TEST_F(ReceiveHandlerTest, WhatArrivesAfterTheCancellationIsGivenBack) {
  Send("x");
  broker(0).hold_deliveries = true;
  const auto stream = StartReceive(ReceiveRequestOf());
  EXPECT_TRUE(broker(0).IsInFlight(0));
  stream->Cancel();
  broker(0).Release();
  EXPECT_FALSE(broker(0).IsInFlight(0));
  EXPECT_EQ(broker(0).settles.at(0).entries.at(0).kind, SettleKind::kUndelivered);
  EXPECT_EQ(ReceiveMessages().at(0).system_properties().delivery_attempt(), 1);
}

TEST_F(ReceiveHandlerTest, WhatWasNeverWrittenIsGivenBack) {
  Send("a");
  Send("b");
  const auto stream = StartReceive(AutoRenewRequest(), /*reading=*/false);
  EXPECT_EQ(stream->frames(), 0u);
  stream->Cancel();
  ASSERT_THAT(broker(0).settles, SizeIs(1));
  EXPECT_THAT(broker(0).settles[0].entries, SizeIs(2));
  EXPECT_EQ(broker(0).in_flight(), 0u);
  EXPECT_THAT(broker(0).sent, IsEmpty());
}

TEST_F(ReceiveHandlerTest, WhatWasWrittenStaysInvisibleAndTheRestIsGivenBack) {
  for (const char* body : {"a", "b", "c"}) Send(body);
  const auto stream = StartReceive(ReceiveRequestOf(), /*reading=*/false);
  stream->Read(2);  // The status and the first message.
  EXPECT_EQ(stream->frames(), 2u);
  stream->Cancel();
  EXPECT_TRUE(broker(0).IsInFlight(0));
  EXPECT_FALSE(broker(0).IsInFlight(1));
  EXPECT_FALSE(broker(0).IsInFlight(2));
}

TEST_F(ReceiveHandlerTest, WhenAllMessagesWereWrittenNothingIsGivenBackOrReported) {
  Send("a");
  const auto stream = StartReceive(AutoRenewRequest(), /*reading=*/false);
  stream->Read(2);
  stream->Cancel();  // The message may or may not have arrived.
  EXPECT_THAT(broker(0).settles, IsEmpty());
  EXPECT_THAT(broker(0).sent, IsEmpty());
}

TEST_F(ReceiveHandlerTest, AnswersToRenewedReceivesThatLeftAreReported) {
  Send("a");
  Send("b");
  ReceiveMessages(AutoRenewRequest());
  ASSERT_THAT(broker(0).sent, SizeIs(1));
  EXPECT_EQ(broker(0).sent[0].shard, ShardId(1));
  ASSERT_THAT(broker(0).sent[0].entries, SizeIs(2));
  EXPECT_EQ(broker(0).sent[0].entries[0].group, workers_);
  EXPECT_EQ(broker(0).sent[0].entries[1].offset, 1);
  Send("c");
  ReceiveMessages(ReceiveRequestOf());
  EXPECT_THAT(broker(0).sent, SizeIs(1));
}

TEST_F(ReceiveHandlerTest, WhatThePortHasNoRoomForIsGivenBack) {
  for (const char* name : {"a", "b", "c"}) Send(std::string(1000, name[0]));
  port_.SetRoom(2500);
  const auto stream = StartReceive(AutoRenewRequest(), /*reading=*/false);
  EXPECT_TRUE(broker(0).IsInFlight(0));
  EXPECT_FALSE(broker(0).IsInFlight(1) && broker(0).IsInFlight(2));
  stream->Read(10);
  const auto frames = stream->As<v2::ReceiveMessageResponse>();
  const size_t given = frames.size() - 2;
  ASSERT_GE(given, 1u);
  ASSERT_LE(given, 2u);
  EXPECT_EQ(frames[1].message().body(), std::string(1000, 'a'));
  EXPECT_TRUE(frames.back().has_delivery_timestamp());
  EXPECT_TRUE(stream->finished()->ok());
  // Only what was given is held for the client, and the others are for another receive, which is their first.
  ASSERT_THAT(broker(0).sent, SizeIs(1));
  EXPECT_THAT(broker(0).sent[0].entries, SizeIs(given));
  EXPECT_EQ(broker(0).in_flight(), given);
  port_.SetRoom(100000);
  const auto rest = ReceiveMessages();
  ASSERT_THAT(rest, SizeIs(3 - given));
  for (const v2::Message& message : rest) EXPECT_EQ(message.system_properties().delivery_attempt(), 1);
}

TEST_F(ReceiveHandlerTest, ThePortHasRoomForNothing) {
  Send("a");
  port_.SetRoom(100);
  const auto frames = StartReceive(ReceiveRequestOf())->As<v2::ReceiveMessageResponse>();
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(frames[0].status().code(), v2::TOO_MANY_REQUESTS);
  EXPECT_THAT(frames[0].status().message(), HasSubstr("not read yet"));
  EXPECT_EQ(broker(0).in_flight(), 0u);
}

TEST_F(ReceiveHandlerTest, FramesWaitForThePeer) {
  Send("a");
  const auto stream = StartReceive(ReceiveRequestOf(), /*reading=*/false);
  for (size_t i = 1; i <= 3; ++i) {
    stream->Read(1);
    EXPECT_EQ(stream->frames(), i);
    EXPECT_EQ(stream->finished().has_value(), i == 3);
  }
}

TEST_F(ReceiveHandlerTest, AGoodbyeEndsTheReceivesOfItsClient) {
  const auto stream = StartReceive(WaitingRequest());
  SetHeader("x-mq-client-id", "client-2");
  const auto of_another = StartReceive(WaitingRequest());
  SetHeader("x-mq-client-id", "client-1");
  SayGoodbye();
  ASSERT_TRUE(stream->finished().has_value());
  EXPECT_TRUE(stream->finished()->ok());
  EXPECT_EQ(stream->As<v2::ReceiveMessageResponse>().at(0).status().code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(broker(0).waiting(), 1u);
  Send("x");
  EXPECT_EQ(of_another->As<v2::ReceiveMessageResponse>().at(0).status().code(), v2::OK);
}

TEST_F(ReceiveHandlerTest, WhatArrivesAfterTheGoodbyeIsGivenBack) {
  Send("x");
  broker(0).hold_deliveries = true;
  const auto stream = StartReceive(ReceiveRequestOf());
  EXPECT_TRUE(broker(0).IsInFlight(0));
  SayGoodbye();
  broker(0).Release();
  const auto frames = stream->As<v2::ReceiveMessageResponse>();
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(frames[0].status().code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_FALSE(broker(0).IsInFlight(0));
  EXPECT_EQ(ReceiveMessages().at(0).system_properties().delivery_attempt(), 1) << "who comes back is served";
}

TEST_F(ReceiveHandlerTest, AGoodbyeWhileTheGroupIsBeingMadeAsksNoBroker) {
  controller_.Hold();
  const auto stream = StartReceive(WaitingRequest());
  SayGoodbye();
  controller_.Release();
  EXPECT_THAT(broker(0).receives, IsEmpty());
  EXPECT_EQ(stream->As<v2::ReceiveMessageResponse>().at(0).status().code(), v2::MESSAGE_NOT_FOUND);
}

TEST_F(ReceiveHandlerTest, OneClientsWaitingReceivesHaveALimit) {
  ProxyOptions options;
  options.limits.max_waiting_receives_per_client = 2;
  Restart(options);
  const auto first = StartReceive(WaitingRequest());
  const auto second = StartReceive(WaitingRequest());
  EXPECT_EQ(ReceiveCode(WaitingRequest()), v2::TOO_MANY_REQUESTS);
  SetHeader("x-mq-client-id", "client-2");
  EXPECT_EQ(StartReceive(WaitingRequest())->frames(), 0u);
  SetHeader("x-mq-client-id", "client-1");
  first->Cancel();
  EXPECT_EQ(StartReceive(WaitingRequest())->frames(), 0u);
}

TEST_F(ReceiveHandlerTest, OneMessageThatCannotBeReadDoesNotHoldUpTheOthers) {
  for (const char* body : {"a", "b", "c"}) Send(body);
  broker(0).Corrupt(ShardId(1), orders_, 1);
  EXPECT_THAT(Bodies(ReceiveMessages(AutoRenewRequest())), ElementsAre("a", "c"));
  EXPECT_THAT(broker(0).sent.at(0).entries, SizeIs(2));
  Send("d");
  broker(0).Corrupt(ShardId(1), orders_, 3);
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf()), v2::INTERNAL_SERVER_ERROR);
}

TEST_F(ReceiveHandlerTest, WithoutASigningKeyNothingIsDeliveredAndNothingIsLost) {
  Send("x");
  controller_.Edit([](Metadata::Tables* tables) { tables->signing_keys.clear(); });
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf()), v2::HA_NOT_AVAILABLE);
  EXPECT_EQ(broker(0).in_flight(), 0u);
}

TEST_F(ReceiveHandlerTest, DeadLettersCanBeReceived) {
  const TopicId dead = DeadLetterTopicId(workers_);
  const Buffer stored = [&] {
    Send("poison");
    return broker(0).appends.back().messages[0].stored;
  }();
  AppendCall call;
  call.shard = ShardId(1);
  call.topic = dead;
  call.messages.push_back({stored, 0});
  broker(0).Append(call, [](AppendResult) {});
  const auto messages = ReceiveMessages(ReceiveRequestOf("inspectors", "%DLQ%workers"));
  ASSERT_THAT(messages, SizeIs(1));
  EXPECT_EQ(messages[0].topic().name(), "%DLQ%workers");
  EXPECT_EQ(Ack({messages[0].system_properties().receipt_handle()}, "inspectors", "%DLQ%workers").status().code(),
            v2::OK);
}

TEST_F(ReceiveHandlerTest, TheNamespaceIsEchoedAsTheClientWroteIt) {
  controller_.MakeTopic("orders", MessageType::kNormal, "blue");
  SetHeader("x-mq-namespace", "blue");
  Send("x");
  EXPECT_EQ(ReceiveMessages().at(0).topic().resource_namespace(), "");
  Send("y");
  v2::ReceiveMessageRequest request = ReceiveRequestOf();
  request.mutable_group()->set_resource_namespace("blue");
  request.mutable_message_queue()->mutable_topic()->set_resource_namespace("blue");
  SetHeader("x-mq-namespace", "");
  EXPECT_EQ(ReceiveMessages(request).at(0).topic().resource_namespace(), "blue");
}

}  // namespace
}  // namespace barid::proxy
