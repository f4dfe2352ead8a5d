#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr v2::Language kLanguages[] = {v2::JAVA, v2::CPP,    v2::DOT_NET, v2::GOLANG,
                                       v2::RUST, v2::PYTHON, v2::PHP,     v2::NODE_JS};

class TelemetryHandlerTest : public ProxyFixture {
 protected:
  v2::Settings Answer(const v2::Settings& asked) {
    const auto stream = OpenTelemetry();
    SendSettings(*stream, asked);
    const auto commands = stream->As<v2::TelemetryCommand>();
    EXPECT_THAT(commands, SizeIs(1));
    EXPECT_EQ(commands.at(0).status().code(), v2::OK);
    EXPECT_TRUE(commands.at(0).has_settings());
    EXPECT_FALSE(stream->finished());
    return commands.at(0).settings();
  }
};

TEST_F(TelemetryHandlerTest, ProducersOfEveryLanguageGetWhatTheyInsistOn) {
  for (const v2::Language language : kLanguages) {
    const v2::Settings answer = Answer(ProducerSettings(language));
    EXPECT_EQ(answer.client_type(), v2::PRODUCER);
    EXPECT_EQ(answer.publishing().topics(0).name(), "orders");
    EXPECT_EQ(answer.publishing().max_body_size(), 4 << 20);
    EXPECT_TRUE(answer.publishing().validate_message_type());
    EXPECT_EQ(answer.backoff_policy().max_attempts(), 3);
    ASSERT_TRUE(answer.backoff_policy().has_exponential_backoff());
    EXPECT_EQ(answer.backoff_policy().exponential_backoff().initial().nanos(), 10'000'000);
    EXPECT_EQ(answer.backoff_policy().exponential_backoff().max().seconds(), 1);
    EXPECT_EQ(answer.backoff_policy().exponential_backoff().multiplier(), 2);
    EXPECT_FALSE(answer.metric().on());
    EXPECT_FALSE(answer.metric().has_endpoints());
    EXPECT_EQ(answer.user_agent().language(), language);
  }
}

TEST_F(TelemetryHandlerTest, ConsumersOfEveryLanguageGetWhatTheyInsistOn) {
  for (const v2::Language language : kLanguages) {
    for (const v2::ClientType type : {v2::PUSH_CONSUMER, v2::SIMPLE_CONSUMER}) {
      const v2::Settings answer = Answer(ConsumerSettings(language, type));
      EXPECT_EQ(answer.client_type(), type);
      const v2::Subscription& subscription = answer.subscription();
      EXPECT_EQ(subscription.group().name(), "workers");
      EXPECT_EQ(subscription.subscriptions(0).topic().name(), "orders");
      EXPECT_TRUE(subscription.has_fifo());
      EXPECT_FALSE(subscription.fifo());
      EXPECT_EQ(subscription.receive_batch_size(), 32);
      EXPECT_EQ(subscription.long_polling_timeout().seconds(), 20);
      EXPECT_FALSE(subscription.has_lite_subscription_quota());
      EXPECT_EQ(answer.backoff_policy().max_attempts(), 17);
      EXPECT_EQ(answer.backoff_policy().has_exponential_backoff(), language == v2::NODE_JS);
      EXPECT_EQ(answer.backoff_policy().has_customized_backoff(), language != v2::NODE_JS);
    }
  }
}

TEST_F(TelemetryHandlerTest, TheBackoffIsTheGroups) {
  const auto list = Answer(ConsumerSettings(v2::JAVA)).backoff_policy().customized_backoff();
  ASSERT_EQ(list.next_size(), 18);
  EXPECT_EQ(list.next(0).seconds(), 1);
  EXPECT_EQ(list.next(17).seconds(), 7200);
  const auto node = Answer(ConsumerSettings(v2::NODE_JS)).backoff_policy().exponential_backoff();
  EXPECT_EQ(node.initial().seconds(), 1);
  EXPECT_EQ(node.max().seconds(), 7200);
}

TEST_F(TelemetryHandlerTest, AnExponentialBackoffBecomesAListForThoseWhoNeedOne) {
  controller_.Edit([](Metadata::Tables* tables) {
    tables->groups[0].retry = RetryPolicy();
    tables->groups[0].retry.max_attempts = 5;
  });
  const auto list = Answer(ConsumerSettings(v2::PYTHON)).backoff_policy().customized_backoff();
  ASSERT_EQ(list.next_size(), 4);
  EXPECT_EQ(list.next(0).seconds(), 5);
  EXPECT_EQ(list.next(3).seconds(), 40);
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].retry.max_attempts = 1; });
  EXPECT_EQ(Answer(ConsumerSettings(v2::PYTHON)).backoff_policy().customized_backoff().next_size(), 1);
  EXPECT_EQ(Answer(ConsumerSettings(v2::NODE_JS)).backoff_policy().exponential_backoff().initial().seconds(), 5);
}

TEST_F(TelemetryHandlerTest, AnOrderedGroupIsFifo) {
  controller_.MakeGroup("in-line", DeliveryOrder::kFifo);
  EXPECT_TRUE(Answer(ConsumerSettings(v2::DOT_NET, v2::PUSH_CONSUMER, "in-line")).subscription().fifo());
}

TEST_F(TelemetryHandlerTest, AnUnknownGroupGetsSoundDefaultsAndIsMade) {
  const v2::Settings answer = Answer(ConsumerSettings(v2::NODE_JS, v2::PUSH_CONSUMER, "newcomers"));
  EXPECT_EQ(answer.backoff_policy().max_attempts(), 17);
  EXPECT_NE(controller_.Current()->FindGroup(ResourceName{"", "newcomers"}), nullptr);

  ProxyOptions options;
  options.auto_create_groups = false;
  Restart(options);
  EXPECT_EQ(Answer(ConsumerSettings(v2::JAVA, v2::PUSH_CONSUMER, "strangers")).backoff_policy().max_attempts(), 17);
  EXPECT_EQ(controller_.Current()->FindGroup(ResourceName{"", "strangers"}), nullptr);
}

TEST_F(TelemetryHandlerTest, AControllerThatIsAwayDoesNotDelaySettings) {
  controller_.Hold();
  EXPECT_EQ(Answer(ConsumerSettings(v2::JAVA, v2::PUSH_CONSUMER, "newcomers")).subscription().receive_batch_size(), 32);
}

TEST_F(TelemetryHandlerTest, LiteClientsGetTheirQuotas) {
  for (const v2::ClientType type : {v2::LITE_PUSH_CONSUMER, v2::LITE_SIMPLE_CONSUMER}) {
    const v2::Settings answer = Answer(ConsumerSettings(v2::PYTHON, type));
    EXPECT_GT(answer.subscription().lite_subscription_quota(), 0);
    EXPECT_GT(answer.subscription().max_lite_topic_size(), 0);
  }
}

TEST_F(TelemetryHandlerTest, SettingsThatSayLittleAreAnsweredAllTheSame) {
  Answer(v2::Settings());
  v2::Settings producer;
  producer.set_client_type(v2::PRODUCER);
  EXPECT_GT(Answer(producer).publishing().max_body_size(), 0);
  v2::Settings consumer;
  consumer.set_client_type(v2::SIMPLE_CONSUMER);
  EXPECT_GT(Answer(consumer).subscription().receive_batch_size(), 0);
}

TEST_F(TelemetryHandlerTest, WhatTheClientSentComesBack) {
  v2::Settings asked = ConsumerSettings(v2::JAVA);
  asked.mutable_access_point()->set_scheme(v2::IPv4);
  asked.mutable_request_timeout()->set_seconds(3);
  asked.mutable_metric()->set_on(true);
  asked.mutable_metric()->mutable_endpoints()->set_scheme(v2::IPv4);
  (*asked.mutable_client_properties())["team"] = "blue";
  asked.mutable_subscription()->mutable_group()->set_resource_namespace("ns");
  const v2::Settings answer = Answer(asked);
  EXPECT_EQ(answer.access_point().scheme(), v2::IPv4);
  EXPECT_EQ(answer.request_timeout().seconds(), 3);
  EXPECT_FALSE(answer.metric().on());
  EXPECT_FALSE(answer.metric().has_endpoints());
  EXPECT_EQ(answer.client_properties().at("team"), "blue");
  EXPECT_EQ(answer.subscription().group().resource_namespace(), "ns");
}

TEST_F(TelemetryHandlerTest, TheLargestLimitOfTheTopicsNamedCounts) {
  controller_.MakeTopic("large");
  controller_.Edit([](Metadata::Tables* tables) { tables->topics[1].max_message_bytes = 8 << 20; });
  v2::Settings settings = ProducerSettings(v2::JAVA);
  *settings.mutable_publishing()->add_topics() = Named("large");
  *settings.mutable_publishing()->add_topics() = Named("unknown");
  EXPECT_EQ(Answer(settings).publishing().max_body_size(), 8 << 20);
}

TEST_F(TelemetryHandlerTest, EverySettingsIsAnsweredAndTheStreamStaysOpen) {
  const auto stream = OpenTelemetry();
  for (size_t i = 1; i <= 3; ++i) {
    SendSettings(*stream, ConsumerSettings(v2::CPP));
    EXPECT_EQ(stream->frames(), i);
  }
  v2::TelemetryCommand result;
  result.mutable_verify_message_result()->set_nonce("n");
  stream->Send(result);
  EXPECT_EQ(stream->frames(), 3u);
  EXPECT_FALSE(stream->finished());
}

TEST_F(TelemetryHandlerTest, AChangedPolicyIsPushedOnce) {
  const auto consumer = OpenTelemetry();
  SendSettings(*consumer, ConsumerSettings(v2::JAVA));
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].retry.max_attempts = 4; });
  world_.RunFor(absl::Seconds(11));
  const auto commands = consumer->As<v2::TelemetryCommand>();
  ASSERT_THAT(commands, SizeIs(2));
  EXPECT_EQ(commands[1].status().code(), v2::OK);
  EXPECT_EQ(commands[1].settings().backoff_policy().max_attempts(), 4);
  controller_.MakeTopic("unrelated");
  world_.RunFor(absl::Seconds(11));
  EXPECT_EQ(consumer->frames(), 2u);
}

TEST_F(TelemetryHandlerTest, OnlyTheNewestStreamGetsPushes) {
  const auto old_stream = OpenTelemetry();
  SendSettings(*old_stream, ConsumerSettings(v2::GOLANG));
  const auto new_stream = OpenTelemetry();
  SendSettings(*new_stream, ConsumerSettings(v2::GOLANG));
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].retry.max_attempts = 4; });
  world_.RunFor(absl::Seconds(6));
  EXPECT_EQ(old_stream->frames(), 1u);
  EXPECT_EQ(new_stream->frames(), 2u);
  old_stream->Cancel();
  EXPECT_THAT(proxy_->clients().Sessions(), SizeIs(1));
  SendSettings(*new_stream, ConsumerSettings(v2::GOLANG));
  EXPECT_EQ(new_stream->frames(), 3u);
}

// Also one that has said nothing yet, or whose client has another by now.
TEST_F(TelemetryHandlerTest, ADrainEndsEveryStream) {
  const auto silent = OpenTelemetry();
  const auto replaced = OpenTelemetry();
  SendSettings(*replaced, ConsumerSettings(v2::GOLANG));
  const auto newest = OpenTelemetry();
  SendSettings(*newest, ConsumerSettings(v2::GOLANG));
  for (const auto& stream : {silent, replaced, newest}) {
    EXPECT_FALSE(stream->finished());
    stream->Drain();
    ASSERT_TRUE(stream->finished());
    EXPECT_TRUE(stream->finished()->ok());
  }
  EXPECT_THAT(proxy_->clients().Sessions(), IsEmpty());
}

TEST_F(TelemetryHandlerTest, AHalfCloseEndsTheStreamAndKeepsTheClient) {
  const auto stream = OpenTelemetry();
  SendSettings(*stream, ConsumerSettings(v2::JAVA));
  stream->HalfClose();
  ASSERT_TRUE(stream->finished());
  EXPECT_TRUE(stream->finished()->ok());
  EXPECT_THAT(proxy_->clients().Sessions(), IsEmpty());
  world_.RunFor(absl::Seconds(110));
  EXPECT_TRUE(proxy_->clients().Find("client-1"));
  world_.RunFor(absl::Seconds(20));
  EXPECT_FALSE(proxy_->clients().Find("client-1"));
}

TEST_F(TelemetryHandlerTest, AClientThatDoesNotReadHoldsUpNobodyAndLosesTheOldest) {
  ProxyOptions options;
  options.limits.max_telemetry_frames = 4;
  Restart(options);
  const auto stream = OpenTelemetry(/*reading=*/false);
  for (int i = 1; i <= 10; ++i) {
    v2::Settings settings = ConsumerSettings(v2::PYTHON);
    settings.mutable_request_timeout()->set_seconds(i);
    SendSettings(*stream, settings);
  }
  EXPECT_EQ(stream->frames(), 0u);
  stream->Read(100);
  std::vector<int64_t> seen;
  for (const auto& command : stream->As<v2::TelemetryCommand>())
    seen.push_back(command.settings().request_timeout().seconds());
  EXPECT_THAT(seen, ElementsAre(7, 8, 9, 10));
}

TEST_F(TelemetryHandlerTest, ACallerWithoutAnIdHearsWhyAndIsSentAway) {
  port_.metadata.clear();
  const auto stream = OpenTelemetry();
  SendSettings(*stream, ConsumerSettings(v2::PHP));
  EXPECT_EQ(stream->As<v2::TelemetryCommand>().at(0).status().code(), v2::CLIENT_ID_REQUIRED);
  ASSERT_TRUE(stream->finished());
  EXPECT_TRUE(absl::IsInvalidArgument(*stream->finished()));
  const auto garbage = OpenTelemetry();
  garbage->SendBytes("\xff\xff");
  EXPECT_EQ(garbage->As<v2::TelemetryCommand>().at(0).status().code(), v2::BAD_REQUEST);
}

TEST_F(TelemetryHandlerTest, BrokersHearWhoIsAliveAndWhoHasGone) {
  const auto stream = OpenTelemetry();
  SendSettings(*stream, ConsumerSettings(v2::JAVA));
  SetHeader("x-mq-client-id", "client-2");
  Heartbeat(v2::SIMPLE_CONSUMER);
  world_.RunFor(absl::Seconds(5));
  for (int i : {0, 1}) {
    ASSERT_THAT(broker(i).reports, SizeIs(1));
    EXPECT_EQ(broker(i).reports[0].proxy, "proxy-0");
    EXPECT_THAT(broker(i).reports[0].alive, UnorderedElementsAre("client-1", "client-2"));
  }
  v2::NotifyClientTerminationRequest goodbye;
  *goodbye.mutable_group() = Named("workers");
  EXPECT_EQ(Call<v2::NotifyClientTerminationResponse>("NotifyClientTermination", goodbye).status().code(), v2::OK);
  world_.RunFor(absl::Seconds(5));
  EXPECT_THAT(broker(1).reports[1].alive, ElementsAre("client-1"));  // Its stream is open.
  EXPECT_THAT(broker(1).reports[1].gone, ElementsAre("client-2"));
}

TEST_F(TelemetryHandlerTest, AnOpenStreamIsAMemberOfItsGroup) {
  controller_.Edit([](Metadata::Tables* tables) { tables->groups[0].expire_after = absl::Minutes(1); });
  const auto stream = OpenTelemetry();
  SendSettings(*stream, ConsumerSettings(v2::JAVA));
  world_.RunFor(absl::Seconds(20));
  ASSERT_THAT(controller_.group_reports, SizeIs(4));
  EXPECT_THAT(controller_.group_reports[3].seen, ElementsAre(workers_));
  stream->Cancel();
  world_.RunFor(absl::Seconds(10));
  EXPECT_THAT(controller_.group_reports[5].seen, IsEmpty());
}

TEST_F(TelemetryHandlerTest, HeartbeatsAreAlwaysWelcome) {
  EXPECT_EQ(Heartbeat(v2::CLIENT_TYPE_UNSPECIFIED, "").status().code(), v2::OK);
  EXPECT_EQ(Heartbeat(v2::PRODUCER, "").status().code(), v2::OK);
  EXPECT_EQ(Heartbeat(v2::PUSH_CONSUMER, "newcomers").status().code(), v2::OK);
  EXPECT_NE(controller_.Current()->FindGroup(ResourceName{"", "newcomers"}), nullptr);
  EXPECT_EQ(Heartbeat(v2::PUSH_CONSUMER, "a b").status().code(), v2::ILLEGAL_CONSUMER_GROUP);
}

}  // namespace
}  // namespace barid::proxy
