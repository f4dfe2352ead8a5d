#include "absl/strings/escaping.h"
#include "barid/admin/v1/admin.pb.h"
#include "base/stored_message.h"
#include "proxy/public/admin_conversions.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class AdminServiceTest : public ProxyFixture {
 protected:
  template <typename Response>
  Response Do(const std::string& method, const google::protobuf::MessageLite& request) {
    return port_.Call<Response>("/barid.admin.v1.Admin/" + method, request);
  }
  absl::Status Failure(const std::string& method, const google::protobuf::MessageLite& request) {
    const auto call = port_.Start("/barid.admin.v1.Admin/" + method, request);
    return call->failed() ? call->failure() : absl::OkStatus();
  }
  template <typename Request>
  static Request For(const std::string& name, const std::string& space = "") {
    Request request;
    request.mutable_name()->set_name(name);
    request.mutable_name()->set_namespace_(space);
    return request;
  }
};

TEST_F(AdminServiceTest, CreatesATopicWithAllItsFields) {
  auto request = For<admin::CreateTopicRequest>("lines", "blue");
  request.set_type(admin::FIFO);
  request.set_queues_per_shard(16);
  request.mutable_retention_age()->set_seconds(3600);
  request.set_retention_bytes(1 << 30);
  request.set_keep_unsettled(true);
  request.set_idempotent(false);
  request.set_max_message_bytes(1000);
  const auto topic = Do<admin::Topic>("CreateTopic", request);
  EXPECT_EQ(topic.name().name(), "lines");
  EXPECT_EQ(topic.name().namespace_(), "blue");
  EXPECT_EQ(topic.type(), admin::FIFO);
  EXPECT_EQ(topic.queues_per_shard(), 16);
  EXPECT_EQ(topic.retention_age().seconds(), 3600);
  EXPECT_EQ(topic.retention_bytes(), 1 << 30);
  EXPECT_TRUE(topic.keep_unsettled());
  EXPECT_FALSE(topic.idempotent());
  EXPECT_EQ(topic.max_message_bytes(), 1000);
  EXPECT_GT(topic.id(), 0u);
  EXPECT_TRUE(absl::IsAlreadyExists(Failure("CreateTopic", request)));
}

TEST_F(AdminServiceTest, WhatIsAbsentHasItsDefault) {
  const auto topic = Do<admin::Topic>("CreateTopic", For<admin::CreateTopicRequest>("plain"));
  EXPECT_EQ(topic.type(), admin::NORMAL);
  EXPECT_EQ(topic.queues_per_shard(), 4);
  EXPECT_TRUE(topic.idempotent());
  EXPECT_EQ(topic.retention_age().seconds(), 72 * 3600);
  EXPECT_EQ(topic.max_message_bytes(), 4 << 20);
  const auto group = Do<admin::Group>("CreateGroup", For<admin::CreateGroupRequest>("team"));
  EXPECT_EQ(group.order(), admin::DELIVERY_ORDER_NONE);
  EXPECT_EQ(group.retry().max_attempts(), 17);
  EXPECT_EQ(group.retry().delays_size(), 18);
  EXPECT_TRUE(group.start().first());
}

TEST_F(AdminServiceTest, ImpossibleTopicsAreRefused) {
  struct Case {
    std::function<void(admin::CreateTopicRequest*)> spoil;
    const char* sentence;
  };
  const Case cases[] = {
      {[](auto* r) { r->mutable_name()->set_name("a b"); }, "illegal character"},
      {[](auto* r) { r->mutable_name()->set_name("%DLQ%x"); }, "begins with %DLQ%"},
      {[](auto* r) { r->set_type(static_cast<admin::TopicType>(9)); }, "type is 9"},
      {[](auto* r) { r->set_queues_per_shard(0); }, "queues_per_shard is 0, expected 1 to"},
      {[](auto* r) { r->set_queues_per_shard(5000); }, "queues_per_shard is 5000"},
      {[](auto* r) { r->mutable_retention_age()->set_seconds(-1); }, "retention_age is -1s"},
      {[](auto* r) { r->set_retention_bytes(-1); }, "retention_bytes is -1"},
      {[](auto* r) { r->set_max_message_bytes(0); }, "max_message_bytes is 0"},
  };
  for (const Case& c : cases) {
    auto request = For<admin::CreateTopicRequest>("fine");
    c.spoil(&request);
    const absl::Status status = Failure("CreateTopic", request);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.sentence));
  }
  EXPECT_EQ(controller_.topics_created, 0);
}

TEST_F(AdminServiceTest, AnUpdateChangesWhatItNames) {
  auto request = For<admin::UpdateTopicRequest>("orders");
  request.mutable_retention_age()->set_seconds(60);
  const auto topic = Do<admin::Topic>("UpdateTopic", request);
  EXPECT_EQ(topic.retention_age().seconds(), 60);
  EXPECT_EQ(topic.queues_per_shard(), 2);
  EXPECT_TRUE(absl::IsNotFound(Failure("UpdateTopic", For<admin::UpdateTopicRequest>("missing"))));
  auto group = For<admin::UpdateGroupRequest>("workers");
  group.mutable_retry()->set_max_attempts(3);
  group.mutable_retry()->add_delays()->set_seconds(7);
  EXPECT_EQ(Do<admin::Group>("UpdateGroup", group).retry().max_attempts(), 3);
  EXPECT_EQ(controller_.Current()->FindGroup(workers_)->retry.DelayAfter(5), absl::Seconds(7));
}

TEST_F(AdminServiceTest, GroupsHaveOrderPolicyAndStart) {
  auto request = For<admin::CreateGroupRequest>("team");
  request.set_order(admin::DELIVERY_ORDER_FIFO);
  request.mutable_retry()->set_max_attempts(5);
  request.mutable_retry()->mutable_initial()->set_seconds(2);
  request.mutable_retry()->mutable_max()->set_seconds(60);
  request.mutable_retry()->set_multiplier(3);
  request.mutable_start()->mutable_time()->set_seconds(1000);
  request.mutable_expire_after()->set_seconds(60);
  const auto group = Do<admin::Group>("CreateGroup", request);
  EXPECT_EQ(group.order(), admin::DELIVERY_ORDER_FIFO);
  EXPECT_EQ(group.retry().delays_size(), 0);
  EXPECT_EQ(group.retry().multiplier(), 3);
  EXPECT_EQ(group.start().time().seconds(), 1000);
  EXPECT_EQ(group.expire_after().seconds(), 60);
  auto update = For<admin::UpdateGroupRequest>("team");
  update.mutable_expire_after()->set_seconds(0);
  EXPECT_FALSE(Do<admin::Group>("UpdateGroup", update).has_expire_after());
  request.mutable_retry()->set_max_attempts(-1);
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("CreateGroup", request)));
  request.mutable_retry()->set_max_attempts(1);
  request.mutable_retry()->set_multiplier(0.5);
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("CreateGroup", request)));
}

TEST_F(AdminServiceTest, AGroupIsPausedAndResumed) {
  auto update = For<admin::UpdateGroupRequest>("workers");
  update.set_paused(true);
  EXPECT_TRUE(Do<admin::Group>("UpdateGroup", update).paused());
  EXPECT_TRUE(controller_.Current()->IsPaused(workers_));
  EXPECT_TRUE(Do<admin::Group>("UpdateGroup", For<admin::UpdateGroupRequest>("workers")).paused()) << "left as it is";
  update.set_paused(false);
  EXPECT_FALSE(Do<admin::Group>("UpdateGroup", update).paused());
  EXPECT_TRUE(absl::IsNotFound(Failure("UpdateGroup", For<admin::UpdateGroupRequest>("missing"))));
}

TEST_F(AdminServiceTest, ListsAreSortedAndMayBeOfOneNamespace) {
  controller_.MakeTopic("zebra", MessageType::kNormal, "blue");
  controller_.MakeTopic("ant");
  const auto names = [](const admin::ListTopicsResponse& response) {
    std::vector<std::string> names;
    for (const auto& topic : response.topics()) names.push_back(topic.name().name());
    return names;
  };
  admin::ListTopicsRequest request;
  EXPECT_THAT(names(Do<admin::ListTopicsResponse>("ListTopics", request)), ElementsAre("ant", "orders", "zebra"));
  request.set_namespace_("blue");
  EXPECT_THAT(names(Do<admin::ListTopicsResponse>("ListTopics", request)), ElementsAre("zebra"));
  request.set_namespace_("");
  EXPECT_THAT(names(Do<admin::ListTopicsResponse>("ListTopics", request)), ElementsAre("ant", "orders"));
  EXPECT_THAT(Do<admin::ListGroupsResponse>("ListGroups", admin::ListGroupsRequest()).groups(), SizeIs(1));
}

TEST_F(AdminServiceTest, DeletesAreFinal) {
  Do<admin::DeleteTopicResponse>("DeleteTopic", For<admin::DeleteTopicRequest>("orders"));
  EXPECT_TRUE(absl::IsNotFound(Failure("DeleteTopic", For<admin::DeleteTopicRequest>("orders"))));
  Do<admin::DeleteGroupResponse>("DeleteGroup", For<admin::DeleteGroupRequest>("workers"));
  EXPECT_TRUE(absl::IsNotFound(Failure("DescribeGroup", For<admin::DescribeGroupRequest>("workers"))));
}

TEST_F(AdminServiceTest, ATopicIsDescribedWithItsQueuesAndGroups) {
  PlaceInTurn();
  for (int i = 0; i < 4; ++i) Send("x");
  Receive(ReceiveRequestOf());
  const auto response = Do<admin::DescribeTopicResponse>("DescribeTopic", For<admin::DescribeTopicRequest>("orders"));
  EXPECT_EQ(response.topic().name().name(), "orders");
  ASSERT_THAT(response.queues(), SizeIs(2));
  EXPECT_EQ(response.queues(0).shard(), "shard-1");
  EXPECT_EQ(response.queues(0).end(), 2);
  ASSERT_THAT(response.queues(0).groups(), SizeIs(1));
  EXPECT_EQ(response.queues(0).groups(0).group().name(), "workers");
  EXPECT_EQ(response.queues(0).groups(0).in_flight(), 2);
  EXPECT_EQ(response.queues(0).groups(0).lag(), 2);
  EXPECT_EQ(response.queues(1).shard(), "shard-2");
  EXPECT_THAT(response.silent_brokers(), SizeIs(0));
  EXPECT_TRUE(absl::IsNotFound(Failure("DescribeTopic", For<admin::DescribeTopicRequest>("missing"))));
}

TEST_F(AdminServiceTest, ABrokerThatDoesNotAnswerIsNamed) {
  PlaceInTurn();
  for (int i = 0; i < 2; ++i) Send("x");
  broker(1).RefuseNext(absl::UnavailableError("down"));
  const auto response = Do<admin::DescribeTopicResponse>("DescribeTopic", For<admin::DescribeTopicRequest>("orders"));
  EXPECT_THAT(response.silent_brokers(), ElementsAre("broker-1"));
  EXPECT_THAT(response.queues(), SizeIs(1));
}

TEST_F(AdminServiceTest, AGroupIsDescribedWithItsPlacesAndMembers) {
  Heartbeat(v2::PUSH_CONSUMER);
  PlaceInTurn();
  for (int i = 0; i < 2; ++i) Send("x");
  Receive(ReceiveRequestOf());
  const auto response = Do<admin::DescribeGroupResponse>("DescribeGroup", For<admin::DescribeGroupRequest>("workers"));
  EXPECT_EQ(response.group().name().name(), "workers");
  ASSERT_THAT(response.queues(), SizeIs(1));
  EXPECT_EQ(response.queues(0).topic().name(), "orders");
  ASSERT_THAT(response.clients(), SizeIs(1));
  EXPECT_EQ(response.clients(0).id(), "client-1");
  EXPECT_EQ(response.clients(0).type(), "push_consumer");
}

TEST_F(AdminServiceTest, CountsAreThoseOfAllShardsTogether) {
  const TopicId topic = controller_.Current()->FindTopic(ResourceName{"", "orders"})->id;
  const GroupId group = controller_.Current()->FindGroup(ResourceName{"", "workers"})->id;
  const absl::Time oldest = absl::FromUnixSeconds(1000);
  broker(0).counts = {{ShardId(1), group, topic, 5, 4, 3, 0, 2, oldest + absl::Seconds(1)},
                      {ShardId(1), GroupId(), topic, 0, 0, 0, 6, 0, std::nullopt},
                      {ShardId(1), GroupId(999), topic, 7, 0, 0, 0, 0, std::nullopt}};
  broker(1).counts = {{ShardId(2), group, topic, 50, 40, 30, 0, 20, oldest},
                      {ShardId(2), GroupId(), topic, 0, 0, 0, 60, 0, std::nullopt}};
  const auto check = [&](const auto& response) {
    ASSERT_THAT(response.counts(), SizeIs(1));
    const admin::GroupCount& count = response.counts(0);
    EXPECT_EQ(count.group().name(), "workers");
    EXPECT_EQ(count.topic().name(), "orders");
    EXPECT_EQ(count.ready(), 55);
    EXPECT_EQ(count.in_flight(), 44);
    EXPECT_EQ(count.blocked(), 33);
    EXPECT_EQ(count.delayed(), 66);
    EXPECT_EQ(count.dead_lettered(), 22);
    EXPECT_EQ(count.oldest().seconds(), 1000);
  };
  check(Do<admin::DescribeTopicResponse>("DescribeTopic", For<admin::DescribeTopicRequest>("orders")));
  check(Do<admin::DescribeGroupResponse>("DescribeGroup", For<admin::DescribeGroupRequest>("workers")));
  const auto cluster = Do<admin::DescribeClusterResponse>("DescribeCluster", admin::DescribeClusterRequest());
  EXPECT_EQ(cluster.ready(), 62);
  EXPECT_EQ(cluster.delayed(), 66);
  EXPECT_EQ(cluster.dead_lettered(), 22);
}

TEST_F(AdminServiceTest, TransactionsAreListedByShard) {
  controller_.MakeTopic("deals", MessageType::kTransaction);
  for (int i = 0; i < 2; ++i) {
    v2::Message message = MessageOf("deals", "x", absl::StrCat("id-", i));
    message.mutable_system_properties()->set_message_type(v2::TRANSACTION);
    Send(message);
  }
  admin::ListTransactionsRequest request;
  request.mutable_topic()->set_name("deals");
  auto response = Do<admin::ListTransactionsResponse>("ListTransactions", request);
  ASSERT_THAT(response.transactions(), SizeIs(2));
  EXPECT_EQ(response.transactions(0).shard(), "shard-1");
  EXPECT_EQ(response.transactions(1).shard(), "shard-2");
  EXPECT_EQ(broker(0).lists.at(0).limit, 100);
  EXPECT_FALSE(broker(0).lists.at(0).discarded);

  broker(1).RefuseNext(absl::UnavailableError("down"));
  request.set_discarded(true);
  request.set_limit(1000);
  response = Do<admin::ListTransactionsResponse>("ListTransactions", request);
  EXPECT_THAT(response.silent_brokers(), ElementsAre("broker-1"));
  EXPECT_TRUE(broker(0).lists.at(1).discarded);
  request.set_limit(1001);
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("ListTransactions", request)));
  request.set_limit(1);
  request.mutable_topic()->set_name("orders");
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("ListTransactions", request))) << "it has no transactions";
  request.mutable_topic()->set_name("missing");
  EXPECT_TRUE(absl::IsNotFound(Failure("ListTransactions", request)));
}

FoundMessage FoundOf(const std::string& id, QueueOffset offset) {
  MessageDraft draft;
  draft.message_id = id;
  draft.tag = "größe";
  draft.keys = {"k"};
  draft.body = "body";
  FoundMessage found;
  found.offset = offset;
  found.entered = absl::FromUnixSeconds(5);
  found.stored = EncodeStoredMessage(draft);
  return found;
}

TEST(AdminTextTest, IsUtf8WhateverTheBytesAre) {
  for (const char* good : {"", "plain", "größe", "你好", "🐪", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(Text(good), good);
  EXPECT_EQ(Text("a\nb"), "a\\nb");
  for (const char* bad : {"\xff", "\x80", "\xc0\x80", "\xc3", "\xe4\xbd", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3(", "\xe4\xbd("}) {
    EXPECT_EQ(Text(bad), absl::CEscape(bad));
  }
  EXPECT_EQ(Text("ö\xff"), "\\303\\266\\377");
}

TEST_F(AdminServiceTest, MessagesAreFoundShardAfterShardAndPageAfterPage) {
  LookupResult page;
  page.messages = {FoundOf("a\xff", 1)};
  page.resume = "0:2";
  broker(0).lookup_results = {page, page};
  broker(0).lookup_results[1].resume.clear();
  broker(1).lookup_results = {page, page};
  broker(1).lookup_results[1].resume.clear();
  admin::FindMessagesRequest request;
  request.mutable_topic()->set_name("orders");
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("FindMessages", request))) << "which ones?";
  request.mutable_range()->mutable_from()->set_seconds(3);
  request.set_max_messages(3);
  auto response = Do<admin::FindMessagesResponse>("FindMessages", request);
  ASSERT_THAT(response.messages(), SizeIs(1));
  EXPECT_EQ(response.messages(0).message_id(), "a\\377") << "no UTF-8: not for the wire as it is";
  EXPECT_EQ(response.messages(0).tag(), "größe");
  EXPECT_EQ(response.messages(0).shard(), "shard-1");
  EXPECT_EQ(response.messages(0).state(), admin::QUEUED);
  EXPECT_EQ(response.messages(0).offset(), 1);
  EXPECT_EQ(response.messages(0).body_bytes(), 4);
  EXPECT_EQ(response.messages(0).body(), "");
  EXPECT_EQ(broker(0).lookups.at(0).from, absl::FromUnixSeconds(3));
  EXPECT_EQ(broker(0).lookups.at(0).max_messages, 3);
  request.set_resume(response.resume());
  request.set_with_body(true);
  response = Do<admin::FindMessagesResponse>("FindMessages", request);
  ASSERT_THAT(response.messages(), SizeIs(2)) << "the rest of one shard, the beginning of the next";
  EXPECT_EQ(response.messages(1).shard(), "shard-2");
  EXPECT_EQ(response.messages(1).body(), "body");
  EXPECT_EQ(broker(0).lookups.at(1).resume, "0:2");
  EXPECT_EQ(broker(1).lookups.at(0).resume, "");
  request.set_resume(response.resume());
  response = Do<admin::FindMessagesResponse>("FindMessages", request);
  EXPECT_THAT(response.messages(), SizeIs(1));
  EXPECT_EQ(response.resume(), "");
  EXPECT_THAT(broker(0).lookups, SizeIs(2)) << "it has nothing more";

  broker(0).RefuseNext(absl::UnavailableError("down"));
  request.clear_resume();
  response = Do<admin::FindMessagesResponse>("FindMessages", request);
  ASSERT_THAT(response.silent_brokers(), SizeIs(1));
  request.set_max_messages(1001);
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("FindMessages", request)));
  request.set_max_messages(1);
  request.set_resume("?");
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("FindMessages", request)));
  request.mutable_topic()->set_name("missing");
  EXPECT_TRUE(absl::IsNotFound(Failure("FindMessages", request)));
}

TEST_F(AdminServiceTest, AMessageIsExplainedWithNames) {
  LookupResult life;
  life.messages = {FoundOf("m", 1)};
  LifeEvent& event = life.events.emplace_back();
  event.what = "delivered";
  event.group = controller_.Current()->tables().groups.at(0).id;
  event.client = "ann";
  event.attempt = 2;
  life.standings.emplace_back().group = GroupId(999);
  life.standings[0].standing = "in_flight";
  broker(1).lookup_results = {life};
  admin::ExplainMessageRequest request;
  request.mutable_topic()->set_name("orders");
  request.set_message_id("m");
  const auto response = Do<admin::ExplainMessageResponse>("ExplainMessage", request);
  ASSERT_THAT(response.lives(), SizeIs(1));
  EXPECT_EQ(response.lives(0).message().shard(), "shard-2");
  EXPECT_EQ(response.lives(0).events(0).group().name(), "workers");
  EXPECT_EQ(response.lives(0).events(0).client(), "ann");
  EXPECT_FALSE(response.lives(0).events(0).has_until());
  EXPECT_EQ(response.lives(0).standings(0).group().name(), "group 999");
  EXPECT_EQ(broker(0).lookups.at(0).kind, LookupCall::Kind::kExplain);
  EXPECT_TRUE(absl::IsNotFound(Failure("ExplainMessage", request)));
  request.mutable_topic()->set_name("%DLQ%workers");
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("ExplainMessage", request)));
}

TEST_F(AdminServiceTest, WhyAMessageIsNotGivenIsSaidInSentences) {
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].paused = true; });
  // A client says in its settings what it reads.
  const auto stream = OpenTelemetry();
  v2::Settings settings = ConsumerSettings(v2::JAVA);
  v2::SubscriptionEntry* const entry = settings.mutable_subscription()->mutable_subscriptions(0);
  entry->mutable_expression()->set_type(v2::SQL);
  entry->mutable_expression()->set_expression("TAGS =\n'klein'");
  SendSettings(*stream, settings);

  LookupResult life;
  life.messages = {FoundOf("m", 4)};
  GroupStanding& standing = life.standings.emplace_back();
  standing.group = workers_;
  standing.queue = {orders_, 0};
  standing.offset = 4;
  standing.standing = "parked";
  standing.blocked_by = GroupStanding::Blocker{3, "first\xff", "ann", 1, absl::FromUnixSeconds(7)};
  standing.waiting = {{{"x", "y"}, "", 1}};
  broker(0).lookup_results = {life};
  admin::ExplainMessageRequest request;
  request.mutable_topic()->set_name("orders");
  request.set_message_id("m");
  const auto response = Do<admin::ExplainMessageResponse>("ExplainMessage", request);
  const auto& told = response.lives(0).standings(0);
  EXPECT_EQ(told.blocked_by().message_id(), "first\\377") << "no UTF-8: not for the wire as it is";
  EXPECT_EQ(told.blocked_by().offset(), 3);
  EXPECT_EQ(told.blocked_by().client(), "ann");
  EXPECT_EQ(told.blocked_by().attempt(), 1);
  EXPECT_EQ(told.blocked_by().until().seconds(), 7);
  EXPECT_THAT(told.reasons(), ElementsAre(HasSubstr("paused"), HasSubstr("offset 3"), HasSubstr("x || y"),
                                          HasSubstr("\"TAGS = 'klein'\" does")));
}

TEST_F(AdminServiceTest, DeadLettersAreSentBackStepByStep) {
  RedriveResult step;
  step.redriven = 2;
  step.filtered_out = 1;
  step.next = 3;
  step.end = 10;
  broker(0).redrive_results = {step, step};
  broker(0).redrive_results[1].next = 12;
  broker(0).redrive_results[1].end = 12;
  admin::RedriveDeadLettersRequest request;
  request.mutable_group()->set_name("workers");
  request.set_tags("a || b");
  request.set_max_messages(5);
  auto response = Do<admin::RedriveDeadLettersResponse>("RedriveDeadLetters", request);
  EXPECT_EQ(response.redriven(), 2);
  EXPECT_EQ(response.filtered_out(), 1);
  EXPECT_THAT(broker(0).redrives.at(0).tags, ElementsAre("a", "b"));
  EXPECT_EQ(broker(0).redrives.at(0).topic, TopicId());
  request.set_resume(response.resume());
  response = Do<admin::RedriveDeadLettersResponse>("RedriveDeadLetters", request);
  EXPECT_EQ(broker(0).redrives.at(1).from, 3);
  EXPECT_EQ(broker(0).redrives.at(1).to, 10) << "what died meanwhile waits for another time";
  EXPECT_EQ(response.resume(), "");
  EXPECT_THAT(broker(1).redrives, SizeIs(1));

  request.set_resume("?");
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("RedriveDeadLetters", request)));
  request.clear_resume();
  request.mutable_topic()->set_name("missing");
  EXPECT_TRUE(absl::IsNotFound(Failure("RedriveDeadLetters", request)));
  request.clear_topic();
  request.mutable_group()->set_name("missing");
  EXPECT_TRUE(absl::IsNotFound(Failure("RedriveDeadLetters", request)));
}

TEST_F(AdminServiceTest, TheClusterIsDescribed) {
  Heartbeat(v2::PRODUCER, "");
  const auto response = Do<admin::DescribeClusterResponse>("DescribeCluster", admin::DescribeClusterRequest());
  EXPECT_EQ(response.cluster(), "test-cluster");
  EXPECT_EQ(response.version(), "1.2.3");
  EXPECT_EQ(response.metadata_revision(), controller_.Current()->revision());
  ASSERT_THAT(response.brokers(), SizeIs(2));
  EXPECT_EQ(response.brokers(0).shards_led(), 1);
  ASSERT_THAT(response.shards(), SizeIs(2));
  EXPECT_EQ(response.shards(1).leader(), "broker-1");
  EXPECT_EQ(response.shards(1).epoch(), 1u);
  EXPECT_EQ(response.topics(), 1);
  EXPECT_EQ(response.groups(), 1);
  EXPECT_EQ(response.clients_connected(), 1);
}

TEST_F(AdminServiceTest, AControllerThatIsAwayIsUnavailable) {
  controller_.FailChanges(absl::UnavailableError("no controller"));
  EXPECT_TRUE(absl::IsUnavailable(Failure("CreateTopic", For<admin::CreateTopicRequest>("x"))));
  const auto call = port_.StartBytes("/barid.admin.v1.Admin/CreateTopic", "\xff\xff");
  EXPECT_TRUE(absl::IsInvalidArgument(call->failure()));
}

class ResetOffsetTest : public AdminServiceTest {
 protected:
  static admin::ResetOffsetRequest Request(const std::string& group = "workers") {
    admin::ResetOffsetRequest request;
    request.mutable_group()->set_name(group);
    request.mutable_topic()->set_name("orders");
    request.set_latest(true);
    return request;
  }
  admin::ResetOffsetResponse Reset(const admin::ResetOffsetRequest& request) {
    return Do<admin::ResetOffsetResponse>("ResetOffset", request);
  }
};

TEST_F(ResetOffsetTest, EveryShardIsAskedAndSaysWhatIsDropped) {
  PlaceInTurn();
  Send("a");
  Send("b");
  ASSERT_EQ(ReceiveCode(ReceiveRequestOf()), v2::OK);
  const auto response = Reset(Request());
  EXPECT_EQ(response.kind(), admin::GROUP_KIND_DELIVERY);
  ASSERT_THAT(response.queues(), SizeIs(2));
  EXPECT_EQ(response.queues(0).shard(), "shard-1");
  EXPECT_EQ(response.queues(0).in_flight(), 1);
  EXPECT_TRUE(response.queues(0).has_from());
  EXPECT_FALSE(response.queues(1).has_from());
  EXPECT_EQ(response.queues(1).to(), 1);
  ASSERT_THAT(broker(0).resets, SizeIs(1));
  EXPECT_EQ(broker(0).resets[0].target, ResetOffsetCall::Target::kLatest);
  EXPECT_FALSE(broker(0).resets[0].stored);
  EXPECT_FALSE(broker(0).resets[0].dry_run);
}

TEST_F(ResetOffsetTest, OnlyNamedQueuesAreAskedFor) {
  PlaceInTurn();
  Send("a");
  Send("b");
  ASSERT_EQ(ReceiveCode(ReceiveRequestOf()), v2::OK);
  admin::ResetOffsetRequest request = Request();
  request.mutable_time()->set_seconds(77);
  request.set_dry_run(true);
  request.add_queues()->set_shard("shard-2");
  request.mutable_queues(0)->set_queue(1);
  Reset(request);
  EXPECT_TRUE(broker(0).resets.empty());
  ASSERT_THAT(broker(1).resets, SizeIs(1));
  EXPECT_EQ(broker(1).resets[0].queues, std::vector<int32_t>{1});
  EXPECT_EQ(broker(1).resets[0].time, absl::FromUnixSeconds(77));
  EXPECT_TRUE(broker(1).resets[0].dry_run);
  request.mutable_queues(0)->set_queue(2);
  EXPECT_TRUE(absl::IsNotFound(Failure("ResetOffset", request)));
  request.mutable_queues(0)->set_shard("shard-9");
  EXPECT_TRUE(absl::IsNotFound(Failure("ResetOffset", request)));
}

TEST_F(ResetOffsetTest, AnOffsetBasedGroupHasItsStoredOffsetsMoved) {
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].kind = GroupKind::kOffset; });
  const auto response = Reset(Request());
  EXPECT_EQ(response.kind(), admin::GROUP_KIND_OFFSET);
  EXPECT_TRUE(broker(0).resets.at(0).stored);
}

TEST_F(ResetOffsetTest, RefusesWhatHasNoPlaceOrNoTarget) {
  const absl::Status undecided = Failure("ResetOffset", Request());
  EXPECT_TRUE(absl::IsFailedPrecondition(undecided));
  EXPECT_THAT(std::string(undecided.message()), HasSubstr("neither received a message nor stored an offset"));
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].kind = GroupKind::kDelivery; });
  EXPECT_TRUE(absl::IsNotFound(Failure("ResetOffset", Request()))) << "it has not read the topic";
  EXPECT_TRUE(absl::IsNotFound(Failure("ResetOffset", Request("nobody"))));
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].kind = GroupKind::kOffset; });
  admin::ResetOffsetRequest request = Request();
  request.clear_target();
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("ResetOffset", request)));
  request.set_offset(-1);
  EXPECT_TRUE(absl::IsInvalidArgument(Failure("ResetOffset", request)));
  request.mutable_topic()->set_name("nothing");
  EXPECT_TRUE(absl::IsNotFound(Failure("ResetOffset", request)));
}

TEST_F(ResetOffsetTest, ABrokerThatFailsIsNamed) {
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].kind = GroupKind::kOffset; });
  broker(1).RefuseNext(absl::UnavailableError("away"));
  const auto response = Reset(Request());
  EXPECT_THAT(response.silent_brokers(), ElementsAre("broker-1"));
  EXPECT_THAT(response.queues(), SizeIs(1));
}

}  // namespace
}  // namespace barid::proxy
