#include "proxy/public/rocketmq_admin.h"

#include "apache/rocketmq/v2/admin.pb.h"
#include "base/log.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/json_util.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class RocketmqAdminTest : public ProxyFixture {
 protected:
  RocketmqAdminTest() {
    // Operators' tools name no client.
    port_.metadata = {};
    UseOneShard();
  }

  template <typename Response>
  Response Ask(const std::string& method, const google::protobuf::MessageLite& request) {
    return port_.Call<Response>("/apache.rocketmq.v2.Admin/" + method, request);
  }
  std::shared_ptr<TestCall> Start(const std::string& method, const google::protobuf::MessageLite& request) {
    return port_.Start("/apache.rocketmq.v2.Admin/" + method, request);
  }

  // A consumer of "orders" in "workers", with its telemetry stream.
  std::shared_ptr<TestStream> Connect(const std::string& id, const std::string& filter = "*",
                                      const std::string& group = "workers") {
    const auto operators = port_.metadata;
    port_.metadata = {{"x-mq-client-id", id}, {"x-mq-language", "GO"}};
    const auto stream = OpenTelemetry();
    v2::Settings settings = ConsumerSettings(v2::GOLANG, v2::PUSH_CONSUMER, group);
    settings.mutable_user_agent()->set_hostname("host-of-" + id);
    settings.mutable_subscription()->mutable_subscriptions(0)->mutable_expression()->set_expression(filter);
    SendSettings(*stream, settings);
    port_.metadata = operators;
    return stream;
  }
  static v2::TelemetryCommand Newest(TestStream& stream) { return stream.As<v2::TelemetryCommand>().back(); }

  // What a message of "orders" looks like when it is looked up.
  FoundMessage Found(const std::string& id, QueueOffset offset, const std::string& tag = "",
                     const std::string& body = "hello") {
    FoundMessage found;
    found.queue = {orders_, 3};
    found.offset = offset;
    found.stored_at = found.entered = world_.clock()->Now() - absl::Seconds(100 - offset);
    MessageDraft draft;
    draft.type = MessageType::kNormal;
    draft.message_id = id;
    if (!tag.empty()) draft.tag = tag;
    draft.body = body;
    draft.born_time = world_.clock()->Now();
    found.stored = EncodeStoredMessage(draft);
    return found;
  }
  void AnswerLookup(std::vector<FoundMessage> messages, const std::string& resume = "") {
    LookupResult result;
    result.messages = std::move(messages);
    result.resume = resume;
    broker(0).lookup_results.push_back(std::move(result));
  }
  void FailLookup() {
    LookupResult result;
    result.status = absl::UnavailableError("away");
    broker(0).lookup_results.push_back(std::move(result));
  }
  static std::vector<std::string> IdsOf(const v2::ListMessageResponse& response) {
    std::vector<std::string> ids;
    for (const v2::Message& message : response.messages()) ids.push_back(message.system_properties().message_id());
    return ids;
  }
  v2::ListMessageRequest QueryOrders() {
    v2::ListMessageRequest request;
    *request.mutable_topic() = Named("orders");
    return request;
  }
  v2::Code QueryCode(const v2::ListMessageRequest& request) {
    return Ask<v2::ListMessageResponse>("QueryMessage", request).status().code();
  }
};

TEST_F(RocketmqAdminTest, EveryMethodOfEveryServiceIsServed) {
  for (const char* name : {"apache.rocketmq.v2.MessagingService", "apache.rocketmq.v2.Admin", "barid.admin.v1.Admin"}) {
    const auto* const service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    ASSERT_NE(service, nullptr) << name;
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* const method = service->method(i);
      const std::string path = absl::StrCat("/", name, "/", method->name());
      EXPECT_EQ(port_.table().streams.contains(path), method->server_streaming()) << path;
      EXPECT_EQ(port_.table().unary.contains(path), !method->server_streaming()) << path;
    }
  }
}

// --- Topics and the process ---

TEST_F(RocketmqAdminTest, TellsWhatATopicIs) {
  controller_.MakeTopic("steps", MessageType::kFifo);
  v2::DescribeTopicStatusRequest request;
  *request.mutable_topic() = Named("steps");
  const auto response = Ask<v2::DescribeTopicStatusResponse>("DescribeTopicStatus", request);
  EXPECT_EQ(response.status().code(), v2::OK);
  EXPECT_EQ(response.topic_message_type(), v2::FIFO);
  EXPECT_TRUE(response.has_create_timestamp());

  *request.mutable_topic() = Named("unknown");
  EXPECT_EQ(Ask<v2::DescribeTopicStatusResponse>("DescribeTopicStatus", request).status().code(), v2::TOPIC_NOT_FOUND);
}

TEST_F(RocketmqAdminTest, OnlyItsOwnDeploymentIsHere) {
  controller_.Edit([](Metadata::Tables* tables) { tables->cluster = "here"; });
  v2::DescribeTopicStatusRequest request;
  *request.mutable_topic() = Named("orders");
  request.set_deployment_name("here");
  EXPECT_EQ(Ask<v2::DescribeTopicStatusResponse>("DescribeTopicStatus", request).status().code(), v2::OK);
  request.set_deployment_name("elsewhere");
  const auto refused = Ask<v2::DescribeTopicStatusResponse>("DescribeTopicStatus", request);
  EXPECT_EQ(refused.status().code(), v2::NOT_FOUND);
  EXPECT_THAT(refused.status().message(), HasSubstr("\"elsewhere\" here, this is \"here\""));
}

TEST_F(RocketmqAdminTest, TheRouteIsWhatAClientWouldGet) {
  v2::GetTopicRouteRequest request;
  *request.mutable_topic() = Named("orders");
  request.set_client_address("192.0.2.1:8081");
  const auto response = Ask<v2::GetTopicRouteResponse>("GetTopicRoute", request);
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  v2::QueryRouteResponse route;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(response.topic_route_data(), &route).ok());

  port_.metadata = {{"x-mq-client-id", "client-1"}};
  v2::QueryRouteRequest asked;
  *asked.mutable_topic() = Named("orders");
  asked.mutable_endpoints()->set_scheme(v2::IPv4);
  asked.mutable_endpoints()->add_addresses()->set_host("192.0.2.1");
  asked.mutable_endpoints()->mutable_addresses(0)->set_port(8081);
  EXPECT_EQ(route.DebugString(), Call<v2::QueryRouteResponse>("QueryRoute", asked).DebugString());

  request.clear_client_address();  // And none is advertised.
  EXPECT_EQ(Ask<v2::GetTopicRouteResponse>("GetTopicRoute", request).status().code(), v2::BAD_REQUEST);
}

TEST_F(RocketmqAdminTest, TellsHowBusyTheProxyIs) {
  world_.RunFor(absl::Seconds(5));
  const auto producer = Connect("consumer-1");
  port_.metadata = {{"x-mq-client-id", "producer-1"}};
  const auto stream = OpenTelemetry();
  SendSettings(*stream, ProducerSettings(v2::JAVA));
  for (int i = 0; i < 20; ++i) Send(MessageOf("orders", "hello", absl::StrCat("id-", i)));
  EXPECT_THAT(ReceiveMessages(), SizeIs(20));
  world_.RunFor(absl::Seconds(5));
  const auto stats = Ask<v2::GetProxyRuntimeStatsResponse>("GetProxyRuntimeStats", v2::GetProxyRuntimeStatsRequest());
  EXPECT_EQ(stats.status().code(), v2::OK);
  EXPECT_EQ(stats.proxy_name(), "proxy-0");
  EXPECT_EQ(stats.version(), "1.2.3");
  EXPECT_EQ(stats.connections(), 7);
  EXPECT_EQ(stats.producers(), 1);
  EXPECT_EQ(stats.consumers(), 1);
  EXPECT_NEAR(stats.in_tps(), 2, 0.01);
  EXPECT_NEAR(stats.out_tps(), 2, 0.01);
}

TEST_F(RocketmqAdminTest, ChangesTheLogLevel) {
  const LogLevel before = MinLogLevel();
  v2::ChangeLogLevelRequest request;
  request.set_level(v2::ChangeLogLevelRequest::WARN);
  EXPECT_THAT(Ask<v2::ChangeLogLevelResponse>("ChangeLogLevel", request).remark(),
              HasSubstr("the log level is warning"));
  EXPECT_EQ(MinLogLevel(), LogLevel::kWarning);
  request.set_level(v2::ChangeLogLevelRequest::TRACE);
  Ask<v2::ChangeLogLevelResponse>("ChangeLogLevel", request);
  EXPECT_EQ(MinLogLevel(), LogLevel::kDebug);
  request.set_level(static_cast<v2::ChangeLogLevelRequest::Level>(9));
  const auto call = Start("ChangeLogLevel", request);
  ASSERT_TRUE(call->failed());
  EXPECT_TRUE(absl::IsInvalidArgument(call->failure()));
  SetMinLogLevel(before);
}

// --- AdminSendMessage ---

TEST_F(RocketmqAdminTest, AnOperatorsMessageGoesTheWayOfEveryOther) {
  v2::AdminSendMessageRequest request;
  *request.mutable_topic() = Named("orders");
  request.set_body("by hand");
  request.set_tag("blue");
  request.set_key("key-1");
  (*request.mutable_user_properties())["colour"] = "blue";
  const auto first = Ask<v2::AdminSendMessageResponse>("AdminSendMessage", request);
  ASSERT_EQ(first.status().code(), v2::OK) << first.status().message();
  EXPECT_THAT(first.message_id(), SizeIs(34));
  EXPECT_NE(first.message_id(), Ask<v2::AdminSendMessageResponse>("AdminSendMessage", request).message_id());

  port_.metadata = {{"x-mq-client-id", "client-1"}};
  const auto messages = ReceiveMessages();
  ASSERT_THAT(messages, SizeIs(2));
  EXPECT_EQ(messages[0].body(), "by hand");
  EXPECT_EQ(messages[0].system_properties().message_id(), first.message_id());
  EXPECT_EQ(messages[0].system_properties().tag(), "blue");
  EXPECT_THAT(messages[0].system_properties().keys(), ElementsAre("key-1"));
  EXPECT_THAT(messages[0].user_properties(), UnorderedElementsAre(Pair("colour", "blue")));
}

TEST_F(RocketmqAdminTest, AnOperatorsMessageIsCheckedAsEveryOther) {
  controller_.MakeTopic("deals", MessageType::kTransaction);
  v2::AdminSendMessageRequest request;
  *request.mutable_topic() = Named("unknown");
  request.set_body("hello");
  const auto code = [&] { return Ask<v2::AdminSendMessageResponse>("AdminSendMessage", request).status().code(); };
  EXPECT_EQ(code(), v2::TOPIC_NOT_FOUND);  // And is not made.
  *request.mutable_topic() = Named("deals");
  EXPECT_EQ(code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  *request.mutable_topic() = Named("orders");
  request.set_tag("a|b");
  EXPECT_EQ(code(), v2::ILLEGAL_MESSAGE_TAG);
  request.clear_tag();
  request.mutable_system_properties()->set_message_group("g");
  EXPECT_EQ(code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
}

// --- Clients ---

TEST_F(RocketmqAdminTest, ListsWhatGroupsReadAndByWhichFilters) {
  const auto ann = Connect("ann", "a || b");
  v2::ListSubscriptionRequest request;
  *request.mutable_group() = Named("workers");
  auto response = Ask<v2::ListSubscriptionResponse>("ListSubscription", request);
  ASSERT_EQ(response.status().code(), v2::OK);
  ASSERT_THAT(response.subscription_info(), SizeIs(1));
  EXPECT_EQ(response.subscription_info(0).group().name(), "workers");
  EXPECT_EQ(response.subscription_info(0).topic().name(), "orders");
  EXPECT_EQ(response.subscription_info(0).expression().expression(), "a || b");
  EXPECT_TRUE(response.subscription_info(0).online());
  EXPECT_TRUE(response.subscription_info(0).subscription_consistency());
  EXPECT_FALSE(response.subscription_info(0).has_last_update_timestamp()) << "nobody has received yet";

  const auto bob = Connect("bob", "c");
  response = Ask<v2::ListSubscriptionResponse>("ListSubscription", request);
  ASSERT_THAT(response.subscription_info(), SizeIs(1));
  EXPECT_FALSE(response.subscription_info(0).subscription_consistency()) << "they take messages from each other";

  // One that is recorded, of a group without clients.
  controller_.MakeGroup("sleepers");
  port_.metadata = {{"x-mq-client-id", "gone"}};
  Receive(ReceiveRequestOf("sleepers"));
  controller_.Edit([&](Metadata::Tables* tables) {
    for (SubscriptionMetadata& one : tables->subscriptions) one.created = world_.clock()->Now();
  });
  request.clear_group();
  *request.mutable_topic() = Named("orders");
  response = Ask<v2::ListSubscriptionResponse>("ListSubscription", request);
  ASSERT_THAT(response.subscription_info(), SizeIs(2));
  EXPECT_EQ(response.subscription_info(0).group().name(), "sleepers");
  EXPECT_FALSE(response.subscription_info(0).online());
  EXPECT_TRUE(response.subscription_info(0).has_last_update_timestamp());

  EXPECT_EQ(Ask<v2::ListSubscriptionResponse>("ListSubscription", v2::ListSubscriptionRequest()).status().code(),
            v2::BAD_REQUEST);
}

TEST_F(RocketmqAdminTest, ForgetsThatAGroupReadsATopic) {
  const auto ann = Connect("ann", "a");
  port_.metadata = {{"x-mq-client-id", "ann"}};
  Receive(ReceiveRequestOf());
  port_.metadata = {};
  ASSERT_NE(controller_.Current()->FindSubscription(workers_, orders_), nullptr);
  v2::DeleteSubscriptionRequest request;
  *request.mutable_topic() = Named("orders");
  *request.mutable_group() = Named("workers");
  const auto code = [&] { return Ask<v2::DeleteSubscriptionResponse>("DeleteSubscription", request).status().code(); };
  request.mutable_expression()->set_type(v2::TAG);
  request.mutable_expression()->set_expression("b");
  EXPECT_EQ(code(), v2::PRECONDITION_FAILED);
  ASSERT_NE(controller_.Current()->FindSubscription(workers_, orders_), nullptr);
  request.mutable_expression()->set_expression("a");
  EXPECT_EQ(code(), v2::OK);
  EXPECT_EQ(controller_.Current()->FindSubscription(workers_, orders_), nullptr);
  EXPECT_EQ(code(), v2::NOT_FOUND);
}

TEST_F(RocketmqAdminTest, DescribesSubscriptionsClientByClient) {
  const auto ann = Connect("ann", "a");
  const auto bob = Connect("bob", "b");
  v2::DescribeSubscriptionRequest request;
  *request.mutable_topic() = Named("orders");
  const auto response = Ask<v2::DescribeSubscriptionResponse>("DescribeSubscription", request);
  ASSERT_THAT(response.client_subscription_info(), SizeIs(2));
  const auto& of_bob = response.client_subscription_info(1);
  EXPECT_EQ(of_bob.client_info().client_id(), "bob");
  EXPECT_EQ(of_bob.client_info().language(), "GOLANG");
  EXPECT_EQ(of_bob.client_info().version(), "5.9.9");
  EXPECT_EQ(of_bob.client_info().hostname(), "host-of-bob");
  EXPECT_EQ(of_bob.client_info().egress_ip(), "192.0.2.7");
  EXPECT_EQ(of_bob.subscription_info().expression().expression(), "b");
}

TEST_F(RocketmqAdminTest, ListsTheClientsOfAGroup) {
  controller_.MakeGroup("others");
  controller_.MakeTopic("else");
  const auto ann = Connect("ann");
  const auto eve = Connect("eve", "*", "others");
  v2::ListConsumerConnectionRequest request;
  *request.mutable_group() = Named("workers");
  const auto ids = [&] {
    std::vector<std::string> found;
    const auto response = Ask<v2::ListConsumerConnectionResponse>("ListConsumerConnection", request);
    EXPECT_EQ(response.status().code(), v2::OK);
    for (const v2::ClientInfo& client : response.client_info()) found.push_back(client.client_id());
    return found;
  };
  EXPECT_THAT(ids(), ElementsAre("ann"));
  *request.mutable_topic() = Named("orders");
  EXPECT_THAT(ids(), ElementsAre("ann"));
  *request.mutable_topic() = Named("else");
  EXPECT_THAT(ids(), IsEmpty());
  *request.mutable_group() = Named("unknown");
  EXPECT_EQ(Ask<v2::ListConsumerConnectionResponse>("ListConsumerConnection", request).status().code(),
            v2::CONSUMER_GROUP_NOT_FOUND);
}

TEST_F(RocketmqAdminTest, FindsTheReadersOfALiteTopic) {
  controller_.MakeTopic("sessions", MessageType::kLite);
  port_.metadata = {{"x-mq-client-id", "ann"}};
  const auto stream = OpenTelemetry();
  v2::Settings settings = ConsumerSettings(v2::JAVA, v2::LITE_PUSH_CONSUMER);
  *settings.mutable_subscription()->mutable_subscriptions(0)->mutable_topic() = Named("sessions");
  SendSettings(*stream, settings);
  v2::SyncLiteSubscriptionRequest sync;
  sync.set_action(v2::COMPLETE_ADD);
  *sync.mutable_topic() = Named("sessions");
  *sync.mutable_group() = Named("workers");
  sync.add_lite_topic_set("s-1");
  ASSERT_EQ(Call<v2::SyncLiteSubscriptionResponse>("SyncLiteSubscription", sync).status().code(), v2::OK);

  v2::ListConsumerConnectionRequest request;
  *request.mutable_group() = Named("workers");
  *request.mutable_topic() = Named("sessions");
  request.set_litetopic("s-1");
  const auto found = Ask<v2::ListConsumerConnectionResponse>("ListConsumerConnection", request);
  ASSERT_THAT(found.client_info(), SizeIs(1));
  EXPECT_EQ(found.client_info(0).message_model(), v2::LITE_SELECTIVE);
  request.set_litetopic("s-2");
  EXPECT_THAT(Ask<v2::ListConsumerConnectionResponse>("ListConsumerConnection", request).client_info(), IsEmpty());
}

TEST_F(RocketmqAdminTest, TellsWhatAConsumerIsDoing) {
  const auto ann = Connect("ann", "a");
  port_.metadata = {{"x-mq-client-id", "ann"}};
  Send("one");
  Send("two");
  Ack({ReceiveHandle()});
  v2::GetConsumerRunningInfoRequest request;
  *request.mutable_group() = Named("workers");
  request.set_client_id("ann");
  const auto response = Ask<v2::GetConsumerRunningInfoResponse>("GetConsumerRunningInfo", request);
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  const v2::ConsumerRunningInfo& info = response.consumer_running_info();
  EXPECT_EQ(info.properties().at("language"), "go");
  EXPECT_EQ(info.properties().at("client_type"), "push_consumer");
  EXPECT_EQ(info.subscriptions().at("orders").expression(), "a");
  ASSERT_THAT(info.message_queue_table(), SizeIs(1));
  EXPECT_EQ(info.message_queue_table(0).message_queue().topic().name(), "orders");

  request.set_client_id("nobody");
  EXPECT_EQ(Ask<v2::GetConsumerRunningInfoResponse>("GetConsumerRunningInfo", request).status().code(), v2::NOT_FOUND);
}

TEST_F(RocketmqAdminTest, AsksAClientForItsThreads) {
  const auto ann = Connect("ann");
  v2::PrintThreadStackTraceRequest request;
  request.set_client_id("ann");
  *request.mutable_group() = Named("workers");
  const auto call = Start("PrintThreadStackTrace", request);
  EXPECT_FALSE(call->answered());
  const v2::TelemetryCommand asked = Newest(*ann);
  ASSERT_TRUE(asked.has_print_thread_stack_trace_command());
  EXPECT_EQ(asked.status().code(), v2::OK);

  // Another client's answer is none.
  const auto eve = Connect("eve");
  v2::TelemetryCommand answer;
  answer.mutable_status()->set_code(v2::OK);
  answer.mutable_thread_stack_trace()->set_nonce(asked.print_thread_stack_trace_command().nonce());
  answer.mutable_thread_stack_trace()->set_thread_stack_trace("main: waits");
  eve->Send(answer);
  EXPECT_FALSE(call->answered());
  ann->Send(answer);
  const auto response = call->As<v2::PrintThreadStackTraceResponse>();
  EXPECT_EQ(response.status().code(), v2::OK);
  EXPECT_EQ(response.thread_stack_trace(), "main: waits");
  ann->Send(answer);  // Once more hurts nobody.
}

TEST_F(RocketmqAdminTest, AClientThatDoesNotAnswerIsGivenUp) {
  const auto ann = Connect("ann");
  v2::PrintThreadStackTraceRequest request;
  request.set_client_id("ann");
  const auto call = Start("PrintThreadStackTrace", request);
  world_.RunFor(absl::Seconds(4));
  EXPECT_FALSE(call->answered());
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(call->As<v2::PrintThreadStackTraceResponse>().status().code(), v2::PROXY_TIMEOUT);

  *request.mutable_group() = Named("others");
  EXPECT_EQ(Ask<v2::PrintThreadStackTraceResponse>("PrintThreadStackTrace", request).status().code(), v2::NOT_FOUND);
  request.set_client_id("nobody");
  EXPECT_EQ(Ask<v2::PrintThreadStackTraceResponse>("PrintThreadStackTrace", request).status().code(), v2::NOT_FOUND);
}

TEST_F(RocketmqAdminTest, HasAConsumerLookAtAMessage) {
  const auto ann = Connect("ann");
  v2::VerifyMessageRequest request;
  request.set_client_id("ann");
  *request.mutable_group() = Named("workers");
  *request.mutable_topic() = Named("orders");
  request.set_message_id("01ID");
  FoundMessage rolled_back = Found("01ID", 6, "", "never happened");
  rolled_back.state = FoundMessage::State::kRolledBack;
  AnswerLookup({Found("01ID", 4, "", "older"), Found("01ID", 5, "", "newer"), rolled_back});
  auto call = Start("VerifyMessage", request);
  EXPECT_FALSE(call->answered());
  const v2::TelemetryCommand asked = Newest(*ann);
  ASSERT_TRUE(asked.has_verify_message_command());
  const v2::Message& message = asked.verify_message_command().message();
  EXPECT_EQ(message.body(), "newer");
  EXPECT_EQ(message.topic().name(), "orders");
  EXPECT_FALSE(message.system_properties().has_receipt_handle()) << "it is no delivery";
  v2::TelemetryCommand answer;
  answer.mutable_status()->set_code(v2::FAILED_TO_CONSUME_MESSAGE);
  answer.mutable_verify_message_result()->set_nonce(asked.verify_message_command().nonce());
  ann->Send(answer);
  EXPECT_EQ(call->As<v2::VerifyMessageResponse>().status().code(), v2::FAILED_TO_CONSUME_MESSAGE);

  // Node.js sends back what it was sent.
  AnswerLookup({Found("01ID", 4)});
  call = Start("VerifyMessage", request);
  answer = Newest(*ann);
  answer.mutable_status()->set_code(v2::OK);
  ann->Send(answer);
  EXPECT_EQ(call->As<v2::VerifyMessageResponse>().status().code(), v2::OK);

  AnswerLookup({});
  EXPECT_EQ(Ask<v2::VerifyMessageResponse>("VerifyMessage", request).status().code(), v2::MESSAGE_NOT_FOUND);
  FailLookup();
  EXPECT_EQ(Ask<v2::VerifyMessageResponse>("VerifyMessage", request).status().code(), v2::HA_NOT_AVAILABLE);
}

// --- Groups ---

TEST_F(RocketmqAdminTest, TellsHowMuchAGroupHasToDo) {
  const TopicId later = controller_.MakeTopic("later");
  GroupCount count;
  count.shard = ShardId(1);
  count.group = workers_;
  count.topic = orders_;
  count.ready = 3;
  count.in_flight = 2;
  count.blocked = 1;
  count.oldest = world_.clock()->Now() - absl::Seconds(7);
  broker(0).counts.push_back(count);
  count.topic = later;
  count.ready = 10;
  count.oldest = world_.clock()->Now() - absl::Seconds(3);
  broker(0).counts.push_back(count);
  v2::DescribeGroupAccumulationRequest request;
  *request.mutable_group() = Named("workers");
  auto response = Ask<v2::DescribeGroupAccumulationResponse>("DescribeGroupAccumulation", request);
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  EXPECT_EQ(response.accumulation().inflight_messages(), 4);
  EXPECT_EQ(response.accumulation().ready_messages(), 15);
  EXPECT_EQ(response.accumulation().accumulation(), 19);
  EXPECT_EQ(response.accumulation().deliver_delay_time().seconds(), 7);
  EXPECT_EQ(response.topic_accumulation().at("orders").accumulation(), 6);
  EXPECT_EQ(response.topic_accumulation().at("later").deliver_delay_time().seconds(), 3);

  *request.add_topics() = Named("later");
  response = Ask<v2::DescribeGroupAccumulationResponse>("DescribeGroupAccumulation", request);
  EXPECT_EQ(response.accumulation().accumulation(), 13);
  EXPECT_THAT(response.topic_accumulation(), SizeIs(1));
  *request.add_topics() = Named("unknown");
  EXPECT_EQ(Ask<v2::DescribeGroupAccumulationResponse>("DescribeGroupAccumulation", request).status().code(),
            v2::TOPIC_NOT_FOUND);
}

TEST_F(RocketmqAdminTest, TellsWhenTheMessagesOfAGroupWereStored) {
  port_.metadata = {{"x-mq-client-id", "ann"}};
  for (int i = 0; i < 4; ++i) Send(MessageOf("orders", "hello", absl::StrCat("id-", i)));
  Ack({ReceiveHandle()});
  port_.metadata = {};
  // First, last, the one below the group's place, and the one at it, as far as they are there.
  for (int i = 0; i < 4; ++i) AnswerLookup({Found("id", 10 * i)});
  v2::QueryTimeSpanRequest request;
  *request.mutable_group() = Named("workers");
  const auto response = Ask<v2::QueryTimeSpanResponse>("QueryTimeSpan", request);
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  ASSERT_THAT(response.queue_time_span_list(), SizeIs(1));
  const auto& span = response.queue_time_span_list(0);
  EXPECT_EQ(span.message_queue().topic().name(), "orders");
  EXPECT_EQ(span.message_queue().broker().name(), "shard-1");
  EXPECT_EQ(span.min_timestamp(), absl::ToUnixMillis(world_.clock()->Now() - absl::Seconds(100)));
  EXPECT_EQ(span.max_timestamp(), absl::ToUnixMillis(world_.clock()->Now() - absl::Seconds(90)));
  ASSERT_THAT(broker(0).lookups, SizeIs(3));
  EXPECT_EQ(broker(0).lookups[2].offset, 0) << "of what is not settled the first";
  EXPECT_EQ(span.delay_time_ms(), 80'000);
  EXPECT_EQ(broker(0).lookups[0].kind, LookupCall::Kind::kOffset);
  EXPECT_EQ(broker(0).lookups[0].offset, 0);
  EXPECT_EQ(broker(0).lookups[1].offset, 3);
}

TEST_F(RocketmqAdminTest, MovesAGroupToATime) {
  port_.metadata = {{"x-mq-client-id", "ann"}};
  Receive(ReceiveRequestOf());
  port_.metadata = {};
  v2::ResetGroupOffsetRequest request;
  *request.mutable_group() = Named("workers");
  *request.mutable_topic() = Named("orders");
  const auto code = [&] { return Ask<v2::ResetGroupOffsetResponse>("ResetGroupOffset", request).status().code(); };
  EXPECT_EQ(code(), v2::BAD_REQUEST);
  request.mutable_reset_timestamp()->set_seconds(1'700'000'000);
  EXPECT_EQ(code(), v2::OK);
  ASSERT_THAT(broker(0).resets, SizeIs(1));
  EXPECT_EQ(broker(0).resets[0].target, ResetOffsetCall::Target::kTime);
  EXPECT_EQ(broker(0).resets[0].time, absl::FromUnixSeconds(1'700'000'000));
  EXPECT_FALSE(broker(0).resets[0].dry_run);

  controller_.MakeTopic("unread");
  *request.mutable_topic() = Named("unread");
  EXPECT_EQ(code(), v2::NOT_FOUND);
  *request.mutable_topic() = Named("unknown");
  EXPECT_EQ(code(), v2::TOPIC_NOT_FOUND);
  *request.mutable_topic() = Named("orders");
  *request.mutable_group() = Named("unknown");
  EXPECT_EQ(code(), v2::CONSUMER_GROUP_NOT_FOUND);
}

// --- QueryMessage ---

TEST_F(RocketmqAdminTest, FindsMessagesByIdAndKey) {
  v2::ListMessageRequest request = QueryOrders();
  request.set_message_id("01ID");
  FoundMessage gone = Found("01ID", 3);
  gone.state = FoundMessage::State::kGone;
  AnswerLookup({gone, Found("01ID", 5, "blue")});
  const auto response = Ask<v2::ListMessageResponse>("QueryMessage", request);
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  ASSERT_THAT(response.messages(), SizeIs(1));
  const v2::Message& message = response.messages(0);
  EXPECT_EQ(message.topic().name(), "orders");
  EXPECT_EQ(message.body(), "hello");
  EXPECT_EQ(message.system_properties().tag(), "blue");
  EXPECT_EQ(message.system_properties().queue_id(), 3);
  EXPECT_EQ(message.system_properties().queue_offset(), 5);
  EXPECT_FALSE(message.system_properties().has_receipt_handle());
  EXPECT_EQ(response.scroll_id(), "");
  EXPECT_EQ(broker(0).lookups.back().kind, LookupCall::Kind::kId);
  EXPECT_EQ(broker(0).lookups.back().text, "01ID");

  request.set_message_key("key-1");
  Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_EQ(broker(0).lookups.back().kind, LookupCall::Kind::kKey);
  EXPECT_EQ(broker(0).lookups.back().text, "key-1");
}

TEST_F(RocketmqAdminTest, GoesThroughManyMessagesByScrolling) {
  v2::ListMessageRequest request = QueryOrders();
  request.set_page_size(2);
  request.set_max_message_nums(3);
  AnswerLookup({Found("a", 0), Found("b", 1)}, "there");
  auto response = Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_THAT(IdsOf(response), ElementsAre("a", "b"));
  EXPECT_EQ(broker(0).lookups.back().kind, LookupCall::Kind::kRange);
  EXPECT_EQ(broker(0).lookups.back().max_messages, 2);
  ASSERT_NE(response.scroll_id(), "");

  request.set_scroll_id(response.scroll_id());
  AnswerLookup({Found("c", 2)}, "farther");
  response = Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_THAT(IdsOf(response), ElementsAre("c"));
  EXPECT_EQ(broker(0).lookups.back().resume, "there");
  EXPECT_EQ(broker(0).lookups.back().max_messages, 1) << "three over all pages";
  EXPECT_EQ(response.scroll_id(), "");
}

// A shard gives all that one record has, also if that is more than it was asked for.
TEST_F(RocketmqAdminTest, AStepThatFindsMoreThanAPageIsGoneThroughPageByPage) {
  v2::ListMessageRequest request = QueryOrders();
  request.set_message_key("k");
  request.set_page_size(2);
  std::vector<std::string> ids;
  const std::vector<FoundMessage> batch = {Found("a", 0), Found("b", 1), Found("c", 2), Found("d", 3), Found("e", 4)};
  for (int page = 0; page < 3; ++page) {
    AnswerLookup(batch);
    const auto response = Ask<v2::ListMessageResponse>("QueryMessage", request);
    for (const std::string& id : IdsOf(response)) ids.push_back(id);
    EXPECT_EQ(response.scroll_id().empty(), page == 2);
    request.set_scroll_id(response.scroll_id());
  }
  EXPECT_THAT(ids, ElementsAre("a", "b", "c", "d", "e"));

  request.clear_scroll_id();
  for (int page = 1; page <= 3; ++page) {
    AnswerLookup(batch);
    request.set_page_num(page);
    EXPECT_THAT(Ask<v2::ListMessageResponse>("QueryMessage", request).messages(), SizeIs(page < 3 ? 2 : 1));
  }
  request.clear_page_num();
  request.set_max_message_nums(2);
  AnswerLookup(batch);
  const auto two = Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_THAT(IdsOf(two), ElementsAre("a", "b"));
  EXPECT_EQ(two.scroll_id(), "");
}

TEST_F(RocketmqAdminTest, GoesToAPageByItsNumber) {
  v2::ListMessageRequest request = QueryOrders();
  request.set_page_size(2);
  request.set_page_num(2);
  AnswerLookup({Found("a", 0), Found("b", 1), Found("c", 2)}, "there");
  AnswerLookup({Found("d", 3)}, "farther");
  EXPECT_THAT(IdsOf(Ask<v2::ListMessageResponse>("QueryMessage", request)), ElementsAre("c", "d"));
  EXPECT_THAT(broker(0).lookups, SizeIs(2));
  EXPECT_EQ(broker(0).lookups[0].max_messages, 4);
  EXPECT_EQ(broker(0).lookups[1].max_messages, 1);

  request.set_max_message_nums(3);
  AnswerLookup({Found("a", 0), Found("b", 1), Found("c", 2), Found("d", 3)}, "there");
  EXPECT_THAT(IdsOf(Ask<v2::ListMessageResponse>("QueryMessage", request)), ElementsAre("c")) << "three in all";
  request.set_page_num(3);
  EXPECT_THAT(Ask<v2::ListMessageResponse>("QueryMessage", request).messages(), IsEmpty());
}

TEST_F(RocketmqAdminTest, AnAnswerIsBoundedInBytes) {
  v2::ListMessageRequest request = QueryOrders();
  const std::string large(size_t{2} << 20, 'x');
  AnswerLookup({Found("a", 0), Found("b", 1, "", large), Found("c", 2, "", large), Found("d", 3)}, "there");
  auto response = Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_THAT(IdsOf(response), ElementsAre("a", "b"));
  request.set_scroll_id(response.scroll_id());
  AnswerLookup({Found("a", 0), Found("b", 1, "", large), Found("c", 2, "", large), Found("d", 3)}, "");
  response = Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_EQ(broker(0).lookups.back().resume, "") << "the step is repeated";
  EXPECT_THAT(IdsOf(response), ElementsAre("c", "d"));
  EXPECT_EQ(response.scroll_id(), "");

  request.clear_scroll_id();
  request.set_page_num(1);
  AnswerLookup({Found("a", 0, "", large), Found("b", 1, "", large)}, "there");
  const auto refused = Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_EQ(refused.status().code(), v2::PAYLOAD_TOO_LARGE);
  EXPECT_THAT(refused.messages(), IsEmpty());
  request.clear_page_num();
  AnswerLookup({Found("a", 0, "", large + large)});
  EXPECT_THAT(IdsOf(Ask<v2::ListMessageResponse>("QueryMessage", request)), ElementsAre("a")) << "however large";
}

TEST_F(RocketmqAdminTest, WhatCannotBeReadDoesNotHideTheRest) {
  FoundMessage damaged = Found("b", 1);
  damaged.stored = Buffer();
  AnswerLookup({Found("a", 0), damaged, Found("c", 2)});
  const auto response = Ask<v2::ListMessageResponse>("QueryMessage", QueryOrders());
  EXPECT_THAT(IdsOf(response), ElementsAre("a", "c"));
  EXPECT_EQ(response.status().code(), v2::OK);
  EXPECT_THAT(response.status().message(), HasSubstr("1 messages that cannot be read"));
}

TEST_F(RocketmqAdminTest, AFilterGoesOnUntilThePageIsFull) {
  v2::ListMessageRequest request = QueryOrders();
  request.set_page_size(2);
  request.set_subscription("red || blue");
  AnswerLookup({Found("a", 0, "green"), Found("b", 1, "blue")}, "there");
  AnswerLookup({Found("c", 2, "green")}, "farther");
  AnswerLookup({Found("d", 3, "red")}, "and on");
  const auto response = Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_THAT(IdsOf(response), ElementsAre("b", "d"));
  EXPECT_THAT(response.scroll_id(), HasSubstr("and on"));
}

// So that a filter which takes nothing does not read a whole topic for one call.
TEST_F(RocketmqAdminTest, AFilterThatTakesLittleIsToldWhereToGoOn) {
  v2::ListMessageRequest request = QueryOrders();
  request.set_subscription("red");
  for (int i = 0; i < 100; ++i) {
    std::vector<FoundMessage> messages(32, Found("x", 0, "green"));
    AnswerLookup(std::move(messages), absl::StrCat("at-", i));
  }
  const auto response = Ask<v2::ListMessageResponse>("QueryMessage", request);
  EXPECT_EQ(response.status().code(), v2::OK);
  EXPECT_THAT(response.messages(), IsEmpty());
  EXPECT_THAT(response.scroll_id(), HasSubstr("at-62"));  // 63 times 32 messages.
}

TEST_F(RocketmqAdminTest, AQueryThatMeansNothingIsRefused) {
  v2::ListMessageRequest request = QueryOrders();
  *request.mutable_topic() = Named("unknown");
  EXPECT_EQ(QueryCode(request), v2::TOPIC_NOT_FOUND);
  request = QueryOrders();
  request.set_scroll_id("nonsense");
  EXPECT_EQ(QueryCode(request), v2::BAD_REQUEST);
  request.set_scroll_id("5:nonsense");
  EXPECT_EQ(QueryCode(request), v2::BAD_REQUEST);
  request.set_scroll_id("5:2147483647:");
  EXPECT_EQ(QueryCode(request), v2::BAD_REQUEST);
  request.set_scroll_id("5:0:1/x");
  request.set_page_num(2);
  EXPECT_EQ(QueryCode(request), v2::BAD_REQUEST);
  request = QueryOrders();
  request.set_page_size(100);
  request.set_page_num(11);
  EXPECT_EQ(QueryCode(request), v2::BAD_REQUEST);
  request = QueryOrders();
  request.set_page_size(5000);
  EXPECT_EQ(QueryCode(request), v2::BAD_REQUEST);
  request = QueryOrders();
  request.set_queue_id(3);
  EXPECT_EQ(QueryCode(request), v2::BAD_REQUEST);
  request.set_broker_name("nowhere");
  EXPECT_EQ(QueryCode(request), v2::NOT_FOUND);
  request.set_broker_name("shard-1");
  EXPECT_EQ(QueryCode(request), v2::OK);
  EXPECT_EQ(broker(0).lookups.back().queue, 3);
}

TEST_F(RocketmqAdminTest, ScrollingHasNoEnd) {
  v2::ListMessageRequest request = QueryOrders();
  request.set_page_size(1000);
  for (int page = 0; page < 3; ++page) {
    AnswerLookup(std::vector<FoundMessage>(1000, Found("x", page)), "on");
    const auto response = Ask<v2::ListMessageResponse>("QueryMessage", request);
    EXPECT_THAT(response.messages(), SizeIs(1000));
    ASSERT_NE(response.scroll_id(), "");
    request.set_scroll_id(response.scroll_id());
  }
}

// What is missing is not to look like what is not there.
TEST_F(RocketmqAdminTest, AShardThatDoesNotAnswerIsAnError) {
  FailLookup();
  EXPECT_EQ(QueryCode(QueryOrders()), v2::HA_NOT_AVAILABLE);
}

}  // namespace
}  // namespace barid::proxy
