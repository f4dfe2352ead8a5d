// Lite topics over the public API, as a lite push consumer and its producer speak, on brokers in memory.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/lite_topic.h"
#include "proxy/public/settings.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class LiteHandlersTest : public ProxyFixture {
 protected:
  LiteHandlersTest() { controller_.MakeTopic("sessions", MessageType::kLite); }

  v2::Status Sync(v2::LiteSubscriptionAction action, const std::vector<std::string>& names, int64_t version = 0) {
    v2::SyncLiteSubscriptionRequest request;
    request.set_action(action);
    *request.mutable_topic() = Named("sessions");
    *request.mutable_group() = Named("workers");
    for (const std::string& name : names) request.add_lite_topic_set(name);
    if (version > 0) request.set_version(version);
    return Call<v2::SyncLiteSubscriptionResponse>("SyncLiteSubscription", request).status();
  }
  v2::Message Lite(const std::string& name, const std::string& id = "01ID") {
    v2::Message message = MessageOf("sessions", "hello", id);
    message.mutable_system_properties()->set_message_type(v2::LITE);
    message.mutable_system_properties()->set_lite_topic(name);
    return message;
  }
  ShardId ShardOf(const std::string& name) {
    const Snapshot metadata = controller_.Current();
    return Router::ShardOf(*metadata, LiteTopicHash(metadata->FindTopic(ResourceName{"", "sessions"})->id, name))->id;
  }
  // What all brokers were told since the last look.
  std::vector<LiteSyncCall> TakeSyncs() {
    std::vector<LiteSyncCall> all;
    for (auto& [id, broker] : directory_.brokers) {
      for (LiteSyncCall& call : broker->syncs) all.push_back(std::move(call));
      broker->syncs.clear();
    }
    return all;
  }
};

TEST_F(LiteHandlersTest, AMessageGoesToTheShardOfItsLiteTopic) {
  for (int i = 0; i < 20; ++i) {
    const std::string name = absl::StrCat("session-", i);
    EXPECT_EQ(Send(Lite(name)).status().code(), v2::OK);
    std::vector<AppendCall> appends;
    for (auto& [id, broker] : directory_.brokers) {
      for (AppendCall& call : broker->appends) appends.push_back(std::move(call));
      broker->appends.clear();
    }
    ASSERT_THAT(appends, SizeIs(1));
    EXPECT_EQ(appends[0].lite_topic, name);
    EXPECT_EQ(appends[0].shard, ShardOf(name));
  }
}

TEST_F(LiteHandlersTest, ABatchIsSentApartByLiteTopic) {
  v2::SendMessageRequest request;
  for (const char* name : {"a", "b", "a"})
    *request.add_messages() = Lite(name, absl::StrCat("id", request.messages_size()));
  const auto response = Call<v2::SendMessageResponse>("SendMessage", request);
  EXPECT_EQ(response.status().code(), v2::OK);
  EXPECT_THAT(response.entries(), SizeIs(3));
  std::map<std::string, size_t> sent;
  for (auto& [id, broker] : directory_.brokers) {
    for (const AppendCall& call : broker->appends) sent[call.lite_topic] += call.messages.size();
  }
  EXPECT_THAT(sent, ElementsAre(testing::Pair("a", 2u), testing::Pair("b", 1u)));
}

TEST_F(LiteHandlersTest, OnlyALiteTopicTakesLiteMessages) {
  v2::Message message = Lite("a");
  *message.mutable_topic() = Named("orders");
  EXPECT_EQ(Send(message).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  message.mutable_system_properties()->set_message_type(v2::NORMAL);
  EXPECT_EQ(Send(message).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(Send("hello", "sessions").status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  message = Lite("a");
  message.mutable_system_properties()->set_priority(1);
  EXPECT_EQ(Send(message).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(Send(Lite(" ")).status().code(), v2::ILLEGAL_LITE_TOPIC);
}

// Also to those where its lite topics would not be made: they may have been, when there were fewer shards.
TEST_F(LiteHandlersTest, EveryShardIsToldEverything) {
  const size_t shards = controller_.Current()->tables().shards.size();
  ASSERT_GT(shards, 1u);
  EXPECT_EQ(Sync(v2::COMPLETE_ADD, {"a", "b", "c", "a"}, 5).code(), v2::OK);
  std::set<ShardId> told;
  for (const LiteSyncCall& call : TakeSyncs()) {
    EXPECT_EQ(call.action, LiteSyncCall::Action::kSet);
    EXPECT_EQ(call.version, 5);
    EXPECT_EQ(call.quota, 2000);
    EXPECT_TRUE(told.insert(call.shard).second);
    EXPECT_EQ(std::set<std::string>(call.lite_topics.begin(), call.lite_topics.end()),
              std::set<std::string>({"a", "b", "c"}));
  }
  EXPECT_EQ(told.size(), shards);
  // None is a set too.
  EXPECT_EQ(Sync(v2::COMPLETE_ADD, {}).code(), v2::OK);
  EXPECT_EQ(TakeSyncs().size(), shards);
  EXPECT_EQ(Sync(v2::COMPLETE_REMOVE, {}).code(), v2::OK);
  EXPECT_EQ(TakeSyncs().size(), shards);
}

TEST_F(LiteHandlersTest, AChangeIsOne) {
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"a"}).code(), v2::OK);
  EXPECT_EQ(TakeSyncs().at(0).action, LiteSyncCall::Action::kAdd);
  EXPECT_EQ(Sync(v2::PARTIAL_REMOVE, {"a"}).code(), v2::OK);
  EXPECT_EQ(TakeSyncs().at(0).action, LiteSyncCall::Action::kRemove);
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {}).code(), v2::OK);
  EXPECT_THAT(TakeSyncs(), IsEmpty());
}

TEST_F(LiteHandlersTest, ASubscriptionSaysWhereItBegins) {
  v2::SyncLiteSubscriptionRequest request;
  request.set_action(v2::PARTIAL_ADD);
  *request.mutable_topic() = Named("sessions");
  *request.mutable_group() = Named("workers");
  request.add_lite_topic_set("a");
  const auto sync = [&] { return Call<v2::SyncLiteSubscriptionResponse>("SyncLiteSubscription", request).status(); };
  v2::OffsetOption& option = *request.mutable_offset_option();
  const auto start = [&] {
    EXPECT_EQ(sync().code(), v2::OK);
    return TakeSyncs().at(0).start;
  };
  EXPECT_EQ(start(), std::nullopt);
  option.set_policy(v2::OffsetOption::LAST);
  EXPECT_EQ(start(), std::nullopt);
  const auto is = [](std::optional<LiteStart> got, LiteStart::Kind kind, int64_t count) {
    return got && got->kind == kind && got->count == count;
  };
  option.set_policy(v2::OffsetOption::MIN);
  EXPECT_TRUE(is(start(), LiteStart::Kind::kOffset, 0));
  option.set_policy(v2::OffsetOption::MAX);
  EXPECT_TRUE(is(start(), LiteStart::Kind::kTail, 0));
  option.set_offset(7);
  EXPECT_TRUE(is(start(), LiteStart::Kind::kOffset, 7));
  option.set_tail_n(3);
  EXPECT_TRUE(is(start(), LiteStart::Kind::kTail, 3));
  option.set_timestamp(1'500);
  EXPECT_EQ(start()->time, absl::UnixEpoch() + absl::Milliseconds(1'500));
  option.set_tail_n(-1);
  EXPECT_EQ(sync().code(), v2::BAD_REQUEST);
  option.set_policy(static_cast<v2::OffsetOption::Policy>(9));
  EXPECT_EQ(sync().code(), v2::BAD_REQUEST);
  EXPECT_THAT(TakeSyncs(), IsEmpty());
}

TEST_F(LiteHandlersTest, AShardThatHasNoRoomForTheClientSaysSo) {
  for (auto& [id, broker] : directory_.brokers) broker->RefuseNext(absl::ResourceExhaustedError("too many"));
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"a"}).code(), v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED);
}

TEST_F(LiteHandlersTest, ANewLeaderIsToldWhatClientsRead) {
  world_.RunFor(absl::Seconds(6));
  Sync(v2::COMPLETE_ADD, {"c", "a", "d"}, 3);
  Sync(v2::PARTIAL_ADD, {"b"}, 4);
  Sync(v2::PARTIAL_REMOVE, {"d"}, 5);
  TakeSyncs();
  world_.RunFor(absl::Seconds(6));
  EXPECT_THAT(TakeSyncs(), IsEmpty()) << "all leaders have heard it";

  ShardId moved;
  controller_.Edit([&](Metadata::Tables* tables) {
    moved = tables->shards.back().id;
    ++tables->shards.back().epoch;
  });
  // It has not started yet.
  for (auto& [id, broker] : directory_.brokers) broker->RefuseNext(absl::UnavailableError("not yet"));
  world_.RunFor(absl::Seconds(6));
  TakeSyncs();
  world_.RunFor(absl::Seconds(6));
  std::vector<LiteSyncCall> told = TakeSyncs();
  const auto is_elsewhere = [&](const LiteSyncCall& call) { return call.shard != moved; };
  told.erase(std::remove_if(told.begin(), told.end(), is_elsewhere), told.end());
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].action, LiteSyncCall::Action::kSet);
  EXPECT_THAT(told[0].lite_topics, ElementsAre("a", "b", "c"));
  EXPECT_EQ(told[0].version, 5);
  EXPECT_EQ(told[0].client_id, "client-1");

  // Who reads nothing any more, or has gone, is not told of.
  Sync(v2::COMPLETE_REMOVE, {});
  TakeSyncs();
  controller_.Edit([&](Metadata::Tables* tables) { ++tables->shards.back().epoch; });
  world_.RunFor(absl::Seconds(6));
  EXPECT_THAT(TakeSyncs(), IsEmpty());
  Sync(v2::COMPLETE_ADD, {"a"});
  SayGoodbye();
  TakeSyncs();
  controller_.Edit([&](Metadata::Tables* tables) { ++tables->shards.back().epoch; });
  world_.RunFor(absl::Seconds(6));
  EXPECT_THAT(TakeSyncs(), IsEmpty());
}

TEST_F(LiteHandlersTest, WhatWasNotTriedIsPutOff) {
  UseOneShard();
  EXPECT_EQ(Send("hello").status().code(), v2::OK);
  const std::vector<v2::Message> messages = ReceiveMessages();
  ASSERT_THAT(messages, SizeIs(1));
  v2::ChangeInvisibleDurationRequest request;
  *request.mutable_topic() = Named("orders");
  *request.mutable_group() = Named("workers");
  request.set_receipt_handle(messages[0].system_properties().receipt_handle());
  request.mutable_invisible_duration()->set_seconds(7);
  request.set_suspend(true);
  EXPECT_EQ(Call<v2::ChangeInvisibleDurationResponse>("ChangeInvisibleDuration", request).status().code(), v2::OK);
  const SettleEntry& entry = broker(0).settles.at(0).entries.at(0);
  EXPECT_EQ(entry.kind, SettleKind::kSuspend);
  EXPECT_EQ(entry.delay, absl::Seconds(7));
}

// One that asks for the first queue of its route only.
class LiteSimpleConsumerTest : public LiteHandlersTest {
 protected:
  LiteSimpleConsumerTest() {
    ClientProfile profile;
    profile.id = "client-1";
    profile.type = ClientType::kLiteSimpleConsumer;
    proxy_->clients().Declare(profile);
    // A lite topic in each of the two shards.
    for (int i = 0; here_.empty() || there_.empty(); ++i) {
      const std::string name = absl::StrCat("session-", i);
      (ShardOf(name) == ShardId(1) ? here_ : there_) = name;
    }
  }
  void SendTo(const std::string& name) { EXPECT_EQ(Send(Lite(name, name)).status().code(), v2::OK); }
  static v2::ReceiveMessageRequest Waiting() {
    v2::ReceiveMessageRequest request = ReceiveRequestOf("workers", "sessions");
    request.mutable_long_polling_timeout()->set_seconds(20);
    return request;
  }
  std::vector<std::string> NamesIn(const std::shared_ptr<TestStream>& stream) {
    world_.RunUntilIdle();
    EXPECT_TRUE(stream->finished().has_value());
    std::vector<std::string> names;
    for (const v2::ReceiveMessageResponse& frame : stream->As<v2::ReceiveMessageResponse>()) {
      if (frame.has_message()) names.push_back(frame.message().system_properties().lite_topic());
    }
    return names;
  }
  size_t waiting() { return broker(0).waiting() + broker(1).waiting(); }

  std::string here_, there_;
};

TEST_F(LiteSimpleConsumerTest, IsGivenWhatAnyShardHas) {
  SendTo(here_);
  SendTo(there_);
  std::vector<std::string> names;
  for (int i = 0; i < 2; ++i) {
    for (const v2::Message& message : ReceiveMessages(ReceiveRequestOf("workers", "sessions")))
      names.push_back(message.system_properties().lite_topic());
  }
  EXPECT_THAT(names, UnorderedElementsAre(here_, there_));
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf("workers", "sessions")), v2::MESSAGE_NOT_FOUND);
}

TEST_F(LiteSimpleConsumerTest, WaitsAtAllShards) {
  for (const std::string& name : {here_, there_, here_}) {
    const auto stream = StartReceive(Waiting());
    EXPECT_EQ(waiting(), 2u);
    SendTo(name);
    EXPECT_THAT(NamesIn(stream), ElementsAre(name));
    EXPECT_EQ(waiting(), 0u) << "the other shard's wait is over";
  }
  // One shard of them is enough.
  broker(0).RefuseNext(absl::UnavailableError("no leader"));
  const auto stream = StartReceive(Waiting());
  SendTo(there_);
  EXPECT_THAT(NamesIn(stream), ElementsAre(there_));
}

TEST_F(LiteSimpleConsumerTest, WhatAnotherShardGivesTooGoesBack) {
  const auto stream = StartReceive(Waiting());
  broker(0).hold_deliveries = broker(1).hold_deliveries = true;
  SendTo(here_);
  SendTo(there_);
  broker(0).hold_deliveries = broker(1).hold_deliveries = false;
  broker(0).Release();
  broker(1).Release();
  std::vector<std::string> names = NamesIn(stream);
  ASSERT_THAT(names, SizeIs(1));
  for (const v2::Message& message : ReceiveMessages(ReceiveRequestOf("workers", "sessions"))) {
    names.push_back(message.system_properties().lite_topic());
    EXPECT_EQ(message.system_properties().delivery_attempt(), 1);
  }
  EXPECT_THAT(names, UnorderedElementsAre(here_, there_));
}

TEST_F(LiteSimpleConsumerTest, EndsWithItsCallAndWithItsTime) {
  const auto gone = StartReceive(Waiting());
  gone->Cancel();
  world_.RunUntilIdle();
  EXPECT_EQ(waiting(), 0u);
  const auto over = StartReceive(Waiting());
  broker(0).EndWaits();
  EXPECT_FALSE(over->finished().has_value());
  broker(1).EndWaits();
  EXPECT_THAT(NamesIn(over), IsEmpty());
  for (int i = 0; i < 2; ++i) broker(i).RefuseNext(absl::UnavailableError("no leader"));
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf("workers", "sessions")), v2::HA_NOT_AVAILABLE);
}

TEST_F(LiteHandlersTest, OtherClientsAskTheShardThatTheyName) {
  const auto stream = StartReceive(ReceiveRequestOf("workers", "sessions"));
  EXPECT_EQ(broker(0).receives.size() + broker(1).receives.size(), 1u);
}

TEST_F(LiteHandlersTest, ClientsAreToldTheirQuotas) {
  ProxyOptions options;
  options.limits.max_lite_subscriptions = 7;
  v2::Settings settings;
  settings.set_client_type(v2::LITE_PUSH_CONSUMER);
  *settings.mutable_subscription()->mutable_group() = Named("workers");
  const v2::Settings answer = AnswerSettings(settings, "", *controller_.Current(), options);
  EXPECT_EQ(answer.subscription().lite_subscription_quota(), 7);
  EXPECT_EQ(answer.subscription().max_lite_topic_size(), 64);
}

}  // namespace
}  // namespace barid::proxy
