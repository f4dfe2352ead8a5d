// Lite topics over the public API, as a lite push consumer and its producer speak, on brokers in memory.
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

TEST_F(LiteHandlersTest, AShardThatHasNoRoomForTheClientSaysSo) {
  for (auto& [id, broker] : directory_.brokers) broker->RefuseNext(absl::ResourceExhaustedError("too many"));
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"a"}).code(), v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED);
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
