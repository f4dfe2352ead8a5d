#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class RouteHandlersTest : public ProxyFixture {
 protected:
  static v2::QueryRouteRequest RouteRequest(const std::string& topic, const std::string& space = "") {
    v2::QueryRouteRequest request;
    *request.mutable_topic() = Named(topic, space);
    request.mutable_endpoints()->set_scheme(v2::DOMAIN_NAME);
    for (const char* host : {"mq.example.com", "other.example.com"}) {
      request.mutable_endpoints()->add_addresses()->set_host(host);
      request.mutable_endpoints()->mutable_addresses(request.endpoints().addresses_size() - 1)->set_port(8081);
    }
    return request;
  }
  v2::QueryRouteResponse Route(const std::string& topic, const std::string& space = "") {
    return Call<v2::QueryRouteResponse>("QueryRoute", RouteRequest(topic, space));
  }
  v2::QueryAssignmentResponse Assignment(const std::string& topic, const std::string& group) {
    v2::QueryAssignmentRequest request;
    *request.mutable_topic() = Named(topic);
    *request.mutable_group() = Named(group);
    *request.mutable_endpoints() = RouteRequest(topic).endpoints();
    return Call<v2::QueryAssignmentResponse>("QueryAssignment", request);
  }
};

TEST_F(RouteHandlersTest, NamesEveryQueueOfEveryShard) {
  const v2::QueryRouteResponse response = Route("orders");
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_THAT(response.message_queues(), SizeIs(4));
  for (int i = 0; i < 4; ++i) {
    const v2::MessageQueue& queue = response.message_queues(i);
    EXPECT_EQ(queue.topic().name(), "orders");
    EXPECT_EQ(queue.id(), i / 2);
    EXPECT_EQ(queue.permission(), v2::READ_WRITE);
    EXPECT_EQ(queue.broker().name(), i % 2 == 0 ? "shard-1" : "shard-2");
    EXPECT_EQ(queue.broker().id(), 0);
    EXPECT_EQ(queue.broker().endpoints().scheme(), v2::DOMAIN_NAME);
    ASSERT_THAT(queue.broker().endpoints().addresses(), SizeIs(1));
    EXPECT_EQ(queue.broker().endpoints().addresses(0).host(), "mq.example.com");
    EXPECT_EQ(queue.broker().endpoints().addresses(0).port(), 8081);
    ASSERT_THAT(queue.accept_message_types(), SizeIs(1));
    EXPECT_EQ(queue.accept_message_types(0), v2::NORMAL);
  }
}

TEST_F(RouteHandlersTest, AcceptedTypesFollowTheTopic) {
  controller_.MakeTopic("lines", MessageType::kFifo);
  EXPECT_EQ(Route("lines").message_queues(0).accept_message_types(0), v2::FIFO);
}

TEST_F(RouteHandlersTest, TheAdvertisedAddressServesThoseWhoDoNotSayHowTheyCame) {
  v2::QueryRouteRequest request = RouteRequest("orders");
  request.clear_endpoints();
  const auto refused = Call<v2::QueryRouteResponse>("QueryRoute", request);
  EXPECT_EQ(refused.status().code(), v2::BAD_REQUEST);
  EXPECT_THAT(refused.status().message(), HasSubstr("no endpoints"));

  ProxyOptions options;
  options.advertised_address = "192.0.2.1:8081";
  Restart(options);
  const auto response = Call<v2::QueryRouteResponse>("QueryRoute", request);
  const v2::Endpoints& endpoints = response.message_queues(0).broker().endpoints();
  EXPECT_EQ(endpoints.scheme(), v2::IPv4);
  EXPECT_EQ(endpoints.addresses(0).host(), "192.0.2.1");
  EXPECT_EQ(endpoints.addresses(0).port(), 8081);
}

TEST_F(RouteHandlersTest, AMissingSchemeFollowsFromTheHost) {
  const std::pair<const char*, v2::AddressScheme> cases[] = {
      {"10.1.2.3", v2::IPv4}, {"::1", v2::IPv6}, {"localhost", v2::DOMAIN_NAME}};
  for (const auto& [host, scheme] : cases) {
    v2::QueryRouteRequest request = RouteRequest("orders");
    request.mutable_endpoints()->clear_scheme();
    request.mutable_endpoints()->mutable_addresses(0)->set_host(host);
    const auto response = Call<v2::QueryRouteResponse>("QueryRoute", request);
    EXPECT_EQ(response.message_queues(0).broker().endpoints().scheme(), scheme) << host;
  }
}

TEST_F(RouteHandlersTest, AnUnknownTopicIsMadeOnFirstUse) {
  const v2::QueryRouteResponse response = Route("invoices");
  EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
  ASSERT_THAT(response.message_queues(), SizeIs(2 * 4));
  // Who takes one after the other goes from shard to shard.
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(response.message_queues(i).id(), i / 2);
    EXPECT_EQ(response.message_queues(i).broker().name(), response.message_queues(i % 2).broker().name());
  }
  EXPECT_NE(response.message_queues(0).broker().name(), response.message_queues(1).broker().name());
  const TopicMetadata* const topic = controller_.Current()->FindTopic(ResourceName{"", "invoices"});
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->type, MessageType::kNormal);
  EXPECT_EQ(topic->queues_per_shard, 4);
  EXPECT_EQ(controller_.topics_created, 1);
  EXPECT_EQ(Route("invoices").status().code(), v2::OK);
  EXPECT_EQ(controller_.topics_created, 1);
}

TEST_F(RouteHandlersTest, ManyWhoMissTheSameTopicShareOneCreation) {
  controller_.Hold();
  std::vector<std::shared_ptr<TestCall>> calls;
  for (int i = 0; i < 3; ++i)
    calls.push_back(port_.Start(std::string(kService) + "QueryRoute", RouteRequest("invoices")));
  for (const auto& call : calls) EXPECT_FALSE(call->answered());
  controller_.Release();
  for (const auto& call : calls) EXPECT_EQ(call->As<v2::QueryRouteResponse>().status().code(), v2::OK);
  EXPECT_EQ(controller_.topics_created, 1);
}

TEST_F(RouteHandlersTest, WhenAnotherProxyWasFasterTheTopicIsThere) {
  controller_.Hold();
  const auto call = port_.Start(std::string(kService) + "QueryRoute", RouteRequest("invoices"));
  controller_.MakeTopic("invoices");
  controller_.Release();
  EXPECT_EQ(call->As<v2::QueryRouteResponse>().status().code(), v2::OK);
}

TEST_F(RouteHandlersTest, WithoutAutoCreationAnUnknownTopicIsNotFoundAtOnce) {
  ProxyOptions options;
  options.auto_create_topics = false;
  Restart(options);
  const v2::QueryRouteResponse response = Route("invoices");
  EXPECT_EQ(response.status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_THAT(response.status().message(), HasSubstr("invoices"));
  EXPECT_EQ(controller_.topics_created, 0);
}

TEST_F(RouteHandlersTest, AControllerThatIsAwayIsNotATopicThatIsMissing) {
  controller_.FailChanges(absl::UnavailableError("no controller"));
  EXPECT_EQ(Route("invoices").status().code(), v2::HA_NOT_AVAILABLE);
  EXPECT_EQ(Route("orders").status().code(), v2::OK);
}

TEST_F(RouteHandlersTest, AnIllegalNameIsRefusedAndNotMade) {
  for (const std::string& name : {std::string(), std::string("a b"), std::string(128, 'x')}) {
    EXPECT_EQ(Route(name).status().code(), v2::ILLEGAL_TOPIC) << name;
  }
  EXPECT_EQ(controller_.topics_created, 0);
}

TEST_F(RouteHandlersTest, ADeadLetterTopicIsThereWithItsGroupOnly) {
  EXPECT_THAT(Route("%DLQ%workers").message_queues(), SizeIs(2));
  EXPECT_EQ(Route("%DLQ%nobody").status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(controller_.topics_created, 0);
}

TEST_F(RouteHandlersTest, TheNamespaceIsTheResourcesElseTheCallers) {
  controller_.MakeTopic("t", MessageType::kNormal, "blue");
  ProxyOptions options;
  options.auto_create_topics = false;
  Restart(options);
  EXPECT_EQ(Route("t").status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(Route("t", "blue").message_queues(0).topic().resource_namespace(), "blue");
  SetHeader("x-mq-namespace", "blue");
  const auto response = Route("t");
  EXPECT_EQ(response.status().code(), v2::OK);
  EXPECT_EQ(response.message_queues(0).topic().resource_namespace(), "");
  EXPECT_EQ(Route("t", "green").status().code(), v2::TOPIC_NOT_FOUND);
}

TEST_F(RouteHandlersTest, AClusterWithoutShardsSaysSo) {
  controller_.Edit([](Metadata::Tables* tables) { tables->shards.clear(); });
  EXPECT_EQ(Route("orders").status().code(), v2::HA_NOT_AVAILABLE);
}

TEST_F(RouteHandlersTest, AssignsEachShardOnceAndAlwaysAlike) {
  controller_.MakeGroup("in-line", DeliveryOrder::kFifo);
  const std::string first = Assignment("orders", "workers").SerializeAsString();
  for (const char* group : {"workers", "in-line", "new-group"}) {
    const v2::QueryAssignmentResponse response = Assignment("orders", group);
    EXPECT_EQ(response.SerializeAsString(), first);
    ASSERT_THAT(response.assignments(), SizeIs(2));
    for (int i = 0; i < 2; ++i) {
      const v2::MessageQueue& queue = response.assignments(i).message_queue();
      EXPECT_EQ(queue.id(), -1);
      EXPECT_EQ(queue.broker().name(), absl::StrCat("shard-", i + 1));
      EXPECT_EQ(queue.permission(), v2::READ_WRITE);
      EXPECT_EQ(queue.broker().endpoints().addresses(0).host(), "mq.example.com");
    }
  }
  EXPECT_NE(controller_.Current()->FindGroup(ResourceName{"", "new-group"}), nullptr);
  controller_.Edit([](Metadata::Tables* tables) { std::swap(tables->shards[0], tables->shards[1]); });
  EXPECT_EQ(Assignment("orders", "workers").SerializeAsString(), first);
  EXPECT_EQ(Assignment("orders", "a b").status().code(), v2::ILLEGAL_CONSUMER_GROUP);
}

TEST_F(RouteHandlersTest, ACallerWithoutAnIdIsRefused) {
  SetHeader("x-mq-client-id", "  ");
  EXPECT_EQ(Route("orders").status().code(), v2::CLIENT_ID_REQUIRED);
  port_.metadata.clear();
  EXPECT_EQ(Route("orders").status().code(), v2::CLIENT_ID_REQUIRED);
  EXPECT_EQ(Heartbeat(v2::PRODUCER, "").status().code(), v2::CLIENT_ID_REQUIRED);
}

TEST_F(RouteHandlersTest, WhatIsNotARequestIsABadRequest) {
  const auto call = port_.StartBytes(std::string(kService) + "QueryRoute", "\xff\xff\xff");
  const auto status = call->As<v2::QueryRouteResponse>().status();
  EXPECT_EQ(status.code(), v2::BAD_REQUEST);
  EXPECT_THAT(status.message(), HasSubstr("not a valid apache.rocketmq.v2.QueryRouteRequest"));
}

}  // namespace
}  // namespace barid::proxy
