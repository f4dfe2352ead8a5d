#include <map>
#include <set>

#include "base/status.h"
#include "base/stored_message.h"
#include "proxy/public/status_map.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class SendHandlerTest : public ProxyFixture {
 protected:
  v2::SendMessageResponse SendAll(const std::vector<v2::Message>& messages) {
    v2::SendMessageRequest request;
    for (const v2::Message& message : messages) *request.add_messages() = message;
    return Call<v2::SendMessageResponse>("SendMessage", request);
  }
  // The only call since the last one was taken.
  AppendCall TakeAppend() {
    std::vector<AppendCall> calls;
    for (int i = 0; i < 2; ++i) {
      for (AppendCall& call : std::exchange(broker(i).appends, {})) calls.push_back(std::move(call));
    }
    EXPECT_THAT(calls, SizeIs(1));
    return calls.at(0);
  }
  // The topic "orders" is not idempotent.
  void StoreRepeats() {
    controller_.Edit([](Metadata::Tables* tables) { tables->topics[0].idempotent = false; });
  }
  v2::Code SendCode(const v2::Message& message) {
    const v2::SendMessageResponse response = Send(message);
    EXPECT_THAT(response.entries(), SizeIs(1));
    EXPECT_EQ(response.entries(0).status().code(), response.status().code());
    return response.status().code();
  }
};

TEST_F(SendHandlerTest, StoresAndAnswersWithTheProducersId) {
  const v2::SendMessageResponse response = Send(MessageOf("orders", "hello", "producer-chose-this"));
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_THAT(response.entries(), SizeIs(1));
  EXPECT_EQ(response.entries(0).status().code(), v2::OK);
  EXPECT_EQ(response.entries(0).message_id(), "producer-chose-this");
  EXPECT_EQ(response.entries(0).offset(), 0);
}

TEST_F(SendHandlerTest, KeepsWhatTheProducerSaid) {
  UseOneShard();
  v2::Message message = MessageOf("orders", "hello");
  v2::SystemProperties* const system = message.mutable_system_properties();
  system->set_tag("red");
  system->add_keys("k1");
  system->add_keys("k2");
  system->set_body_encoding(v2::GZIP);
  system->set_born_host("host-1");
  system->set_trace_context("00-trace");
  system->mutable_born_timestamp()->set_seconds(1'700'000'000);
  (*message.mutable_user_properties())["a"] = "1";
  (*message.mutable_user_properties())["traceparent"] = "00-x";
  EXPECT_EQ(Send(message).status().code(), v2::OK);

  ASSERT_THAT(broker(0).appends, SizeIs(1));
  const AppendCall& call = broker(0).appends[0];
  EXPECT_EQ(call.topic, orders_);
  EXPECT_EQ(call.shard, ShardId(1));
  EXPECT_EQ(call.queue, -1);
  EXPECT_EQ(call.metadata_revision, controller_.Current()->revision());
  EXPECT_EQ(call.messages[0].tag_hash, TagHash("red"));
  const auto stored = DecodeStoredMessage(call.messages[0].stored.view());
  ASSERT_TRUE(stored.ok());
  EXPECT_EQ(stored->Body(), "hello");
  EXPECT_EQ(*stored->tag, "red");
  EXPECT_THAT(stored->keys, ElementsAre("k1", "k2"));
  EXPECT_EQ(stored->born_time, absl::FromUnixSeconds(1'700'000'000));
  EXPECT_THAT(stored->Properties(),
              UnorderedElementsAre(std::pair<absl::string_view, absl::string_view>("a", "1"),
                                   std::pair<absl::string_view, absl::string_view>("traceparent", "00-x")));
}

TEST_F(SendHandlerTest, AMessageWithoutATagHasTagHashZero) {
  UseOneShard();
  Send("x");
  EXPECT_EQ(broker(0).appends[0].messages[0].tag_hash, 0u);
}

TEST_F(SendHandlerTest, ABornTimeThatIsMissingOrImpossibleIsNow) {
  UseOneShard();
  v2::Message message = MessageOf("orders", "x");
  Send(message);
  message.mutable_system_properties()->mutable_born_timestamp()->set_seconds(std::numeric_limits<int64_t>::max());
  Send(message);
  for (const AppendCall& call : broker(0).appends) {
    EXPECT_EQ(DecodeStoredMessage(call.messages[0].stored.view())->born_time, world_.clock()->Now());
  }
}

TEST_F(SendHandlerTest, CallsGoToTheShardsInTurnIfTheTopicIsNotIdempotent) {
  StoreRepeats();
  for (int i = 0; i < 6; ++i) Send("x");
  EXPECT_THAT(broker(0).appends, SizeIs(3));
  EXPECT_THAT(broker(1).appends, SizeIs(3));
}

TEST_F(SendHandlerTest, ShardsWithoutALeaderArePassedOver) {
  controller_.Edit([](Metadata::Tables* tables) { tables->shards[0].leader.clear(); });
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Send("x").status().code(), v2::OK);
  EXPECT_THAT(broker(1).appends, SizeIs(4));
  controller_.Edit([](Metadata::Tables* tables) { tables->shards[1].leader = "broker-that-nobody-knows"; });
  EXPECT_EQ(Send("x").status().code(), v2::HA_NOT_AVAILABLE);
}

TEST_F(SendHandlerTest, AMessageGoesToTheShardOfItsId) {
  std::set<ShardId> shards;
  for (int i = 0; i < 20; ++i) {
    const v2::Message message = MessageOf("orders", "x", absl::StrCat("id-", i));
    EXPECT_EQ(Send(message).status().code(), v2::OK);
    const AppendCall first = TakeAppend();
    EXPECT_EQ(Send(message).status().code(), v2::OK);
    const AppendCall second = TakeAppend();
    EXPECT_EQ(first.shard, second.shard);
    EXPECT_EQ(first.queue, -1);
    EXPECT_NE(first.messages[0].id_hash, 0u);
    EXPECT_EQ(first.messages[0].id_hash, second.messages[0].id_hash);
    EXPECT_EQ(first.messages[0].content_hash, second.messages[0].content_hash);
    shards.insert(first.shard);
  }
  EXPECT_THAT(shards, SizeIs(2));
}

TEST_F(SendHandlerTest, AnotherShardTakesThePlaceOfOneWithoutALeader) {
  std::map<std::string, ShardId> before;
  for (int i = 0; i < 20; ++i) {
    const std::string id = absl::StrCat("id-", i);
    Send(MessageOf("orders", "x", id));
    before[id] = TakeAppend().shard;
  }
  controller_.Edit([](Metadata::Tables* tables) { tables->shards[0].leader.clear(); });
  for (const auto& [id, shard] : before) {
    Send(MessageOf("orders", "x", id));
    EXPECT_EQ(TakeAppend().shard, ShardId(2));
  }
}

TEST_F(SendHandlerTest, WhoSendsIsPartOfTheContent) {
  UseOneShard();
  const v2::Message message = MessageOf("orders", "x");
  Send(message);
  const AppendCall first = TakeAppend();
  SetHeader("x-mq-client-id", "another-client");
  Send(message);
  const AppendCall second = TakeAppend();
  EXPECT_EQ(first.messages[0].id_hash, second.messages[0].id_hash);
  EXPECT_NE(first.messages[0].content_hash, second.messages[0].content_hash);
}

TEST_F(SendHandlerTest, NothingIsRememberedOfATopicThatIsNotIdempotent) {
  StoreRepeats();
  Send("x");
  EXPECT_EQ(TakeAppend().messages[0].id_hash, 0u);
}

TEST_F(SendHandlerTest, MessagesOfOneCallGoToTheShardsOfTheirIds) {
  std::vector<v2::Message> messages;
  for (int i = 0; i < 20; ++i) messages.push_back(MessageOf("orders", "x", absl::StrCat("id-", i)));
  const auto response = SendAll(messages);
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_THAT(response.entries(), SizeIs(20));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(response.entries(i).message_id(), absl::StrCat("id-", i));
  ASSERT_THAT(broker(0).appends, SizeIs(1));
  ASSERT_THAT(broker(1).appends, SizeIs(1));
  EXPECT_EQ(broker(0).appends[0].messages.size() + broker(1).appends[0].messages.size(), 20u);
}

TEST_F(SendHandlerTest, APriorityIsAQueue) {
  controller_.MakeTopic("alarms", MessageType::kPriority);
  for (const auto& [priority, queue] :
       {std::pair(0, 0), std::pair(7, 7), std::pair(15, 15), std::pair(1'000'000, 15)}) {
    v2::Message message = MessageOf("alarms", "x");
    message.mutable_system_properties()->set_message_type(v2::PRIORITY);
    message.mutable_system_properties()->set_priority(priority);
    EXPECT_EQ(SendCode(message), v2::OK);
    EXPECT_EQ(TakeAppend().queue, queue);
  }
}

TEST_F(SendHandlerTest, WhereTypesAreNotEnforcedAMessageDoesWhatItsTypeSays) {
  ProxyOptions options;
  options.enforce_message_types = false;
  Restart(options);
  v2::Message message = MessageOf("orders", "x", "1");
  message.mutable_system_properties()->set_message_type(v2::FIFO);
  message.mutable_system_properties()->set_message_group("g");
  EXPECT_EQ(SendCode(message), v2::OK);
  const AppendCall first = TakeAppend();
  EXPECT_EQ(first.messages[0].message_group, MessageGroupHash("g"));
  message.mutable_system_properties()->set_message_id("2");
  EXPECT_EQ(SendCode(message), v2::OK);
  EXPECT_EQ(TakeAppend().shard, first.shard);  // With the rest of its message group.

  controller_.MakeTopic("payments", MessageType::kTransaction);
  EXPECT_EQ(SendCode(MessageOf("payments", "x")), v2::OK);
  EXPECT_FALSE(TakeAppend().prepare);
  controller_.MakeTopic("lines", MessageType::kFifo);
  EXPECT_EQ(SendCode(MessageOf("lines", "x")), v2::OK);
  EXPECT_GE(TakeAppend().queue, 0);
}

TEST_F(SendHandlerTest, ManyMessagesGoToOneShardTogether) {
  StoreRepeats();
  const auto response =
      SendAll({MessageOf("orders", "a", "1"), MessageOf("orders", "b", "2"), MessageOf("orders", "c", "3")});
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_THAT(response.entries(), SizeIs(3));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(response.entries(i).message_id(), absl::StrCat(i + 1));
  EXPECT_EQ(broker(0).appends.size() + broker(1).appends.size(), 1u);
}

TEST_F(SendHandlerTest, EachMessageOfACallHasItsOwnFate) {
  StoreRepeats();
  for (int i : {0, 1}) {
    broker(i).append_fate = [](size_t index) {
      return index == 1 ? absl::DeadlineExceededError("not synced in time") : absl::OkStatus();
    };
  }
  const auto response =
      SendAll({MessageOf("orders", "a", "1"), MessageOf("orders", "b", "2"), MessageOf("orders", "c", "3")});
  EXPECT_EQ(response.status().code(), v2::MULTIPLE_RESULTS);
  EXPECT_EQ(response.entries(0).status().code(), v2::OK);
  EXPECT_EQ(response.entries(1).status().code(), v2::MASTER_PERSISTENCE_TIMEOUT);
  EXPECT_EQ(response.entries(1).message_id(), "2");
  EXPECT_EQ(response.entries(2).status().code(), v2::OK);
}

TEST_F(SendHandlerTest, WhenAllFailAlikeTheCallFailsSo) {
  UseOneShard();
  broker(0).append_fate = [](size_t) { return absl::ResourceExhaustedError("disk nearly full"); };
  const auto response = SendAll({MessageOf("orders", "a"), MessageOf("orders", "b")});
  EXPECT_EQ(response.status().code(), v2::TOO_MANY_REQUESTS);
  EXPECT_EQ(response.status().message(), "disk nearly full");
}

TEST_F(SendHandlerTest, ABrokerThatLeadsNoMoreIsNotAskedAgainButTheLeaderIs) {
  UseOneShard();
  broker(0).RefuseNext(NotLeaderError({"broker-1", 2}, "moved"));
  EXPECT_EQ(Send("x").status().code(), v2::OK);
  EXPECT_THAT(broker(0).appends, SizeIs(1));
  ASSERT_THAT(broker(1).appends, SizeIs(1));
  EXPECT_EQ(broker(1).appends[0].shard, ShardId(1));
}

TEST_F(SendHandlerTest, WithoutAHintTheNewestSnapshotTellsTheLeader) {
  UseOneShard();
  broker(0).RefuseNext(NotLeaderError({"", 2}, "moved"));
  EXPECT_EQ(Send("x").status().code(), v2::OK);  // It is still named there, and is asked once more.
  EXPECT_THAT(broker(0).appends, SizeIs(2));
}

TEST_F(SendHandlerTest, ThereIsOneSecondTry) {
  UseOneShard();
  broker(0).RefuseNext(NotLeaderError({"broker-1", 2}, "moved"));
  broker(1).RefuseNext(NotLeaderError({"broker-0", 3}, "moved back"));
  EXPECT_EQ(Send("x").status().code(), v2::HA_NOT_AVAILABLE);
  EXPECT_THAT(broker(0).appends, SizeIs(1));
  EXPECT_THAT(broker(1).appends, SizeIs(1));
}

TEST_F(SendHandlerTest, AnOutcomeThatIsUnknownIsNotTriedAgain) {
  UseOneShard();
  for (const absl::Status& status : {absl::DeadlineExceededError("slow"), absl::UnavailableError("gone")}) {
    broker(0).appends.clear();
    broker(0).RefuseNext(status);
    EXPECT_NE(Send("x").status().code(), v2::OK);
    EXPECT_THAT(broker(0).appends, SizeIs(1));
  }
}

TEST_F(SendHandlerTest, BrokerErrorsHaveTheirPublicCodes) {
  UseOneShard();
  const std::pair<absl::Status, v2::Code> cases[] = {
      {absl::ResourceExhaustedError("x"), v2::TOO_MANY_REQUESTS},
      {absl::DeadlineExceededError("x"), v2::MASTER_PERSISTENCE_TIMEOUT},
      {absl::UnavailableError("x"), v2::HA_NOT_AVAILABLE},
      {absl::DataLossError("x"), v2::INTERNAL_SERVER_ERROR},
      {absl::InternalError("x"), v2::INTERNAL_SERVER_ERROR},
  };
  for (const auto& [status, code] : cases) {
    broker(0).RefuseNext(status);
    EXPECT_EQ(SendCode(MessageOf("orders", "x")), code) << status;
  }
}

TEST_F(SendHandlerTest, ACallIsRefusedAsAWhole) {
  v2::Message bad = MessageOf("orders", "b", "2");
  bad.mutable_system_properties()->set_tag("a|b");
  const auto response = SendAll({MessageOf("orders", "a", "1"), bad});
  EXPECT_EQ(response.status().code(), v2::ILLEGAL_MESSAGE_TAG);
  EXPECT_THAT(response.status().message(), HasSubstr("message 1"));
  EXPECT_THAT(response.entries(), SizeIs(2));
  EXPECT_THAT(broker(0).appends, SizeIs(0));
  EXPECT_THAT(broker(1).appends, SizeIs(0));
}

TEST_F(SendHandlerTest, AnEmptyOrMixedBatchIsCorrupt) {
  EXPECT_EQ(SendAll({}).status().code(), v2::MESSAGE_CORRUPTED);
  const auto response = SendAll({MessageOf("orders", "a"), MessageOf("invoices", "b")});
  EXPECT_EQ(response.status().code(), v2::MESSAGE_CORRUPTED);
  EXPECT_THAT(response.status().message(), HasSubstr("orders and invoices"));
  EXPECT_EQ(controller_.topics_created, 0);
}

TEST_F(SendHandlerTest, BatchesHaveLimits) {
  ProxyOptions options;
  options.limits.max_batch_messages = 2;
  options.limits.max_batch_bytes = 10;
  Restart(options);
  const v2::Message small = MessageOf("orders", "x");
  EXPECT_EQ(SendAll({small, small}).status().code(), v2::OK);
  EXPECT_EQ(SendAll({small, small, small}).status().code(), v2::PAYLOAD_TOO_LARGE);
  EXPECT_EQ(SendAll({small, MessageOf("orders", "0123456789")}).status().code(), v2::PAYLOAD_TOO_LARGE);
  EXPECT_EQ(SendAll({MessageOf("orders", "0123456789ab")}).status().code(), v2::OK);
}

TEST_F(SendHandlerTest, BytesInFlightHaveALimit) {
  UseOneShard();
  ProxyOptions options;
  options.limits.max_inflight_send_bytes = 200;
  Restart(options);
  broker(0).hold = true;
  v2::SendMessageRequest request;
  *request.add_messages() = MessageOf("orders", std::string(100, 'x'));
  const auto first = port_.Start(std::string(kService) + "SendMessage", request);
  EXPECT_FALSE(first->answered());
  const auto second = port_.Start(std::string(kService) + "SendMessage", request);
  EXPECT_EQ(second->As<v2::SendMessageResponse>().status().code(), v2::TOO_MANY_REQUESTS);
  broker(0).Release();
  EXPECT_EQ(first->As<v2::SendMessageResponse>().status().code(), v2::OK);
  EXPECT_EQ(proxy_->sender().inflight()->used(), 0);
  EXPECT_EQ(Send("x").status().code(), v2::OK);
}

// A disk that stands still must not leave the client with nothing but its own deadline.
TEST_F(SendHandlerTest, WhoseDeadlineIsNearIsToldThatNothingIsKnown) {
  UseOneShard();
  broker(0).hold = true;
  v2::SendMessageRequest request;
  *request.add_messages() = MessageOf("orders", "x");
  const auto call = port_.Start(std::string(kService) + "SendMessage", request);
  call->NearDeadline();
  const auto response = call->As<v2::SendMessageResponse>();
  EXPECT_EQ(response.status().code(), v2::MASTER_PERSISTENCE_TIMEOUT);
  EXPECT_THAT(response.status().message(), HasSubstr("same ids"));
  EXPECT_THAT(response.entries(), SizeIs(0));
  broker(0).Release();  // Stored after all; it is said to nobody, and holds nothing.
  EXPECT_EQ(call->As<v2::SendMessageResponse>().status().code(), v2::MASTER_PERSISTENCE_TIMEOUT);
  EXPECT_EQ(proxy_->sender().inflight()->used(), 0);
}

TEST_F(SendHandlerTest, WhoWasAnsweredIsNotToldAgain) {
  v2::SendMessageRequest request;
  *request.add_messages() = MessageOf("orders", "x");
  const auto call = port_.Start(std::string(kService) + "SendMessage", request);
  call->NearDeadline();
  EXPECT_EQ(call->As<v2::SendMessageResponse>().status().code(), v2::OK);
}

TEST_F(SendHandlerTest, TheTopicsOwnLimitCounts) {
  controller_.Edit([](Metadata::Tables* tables) { tables->topics[0].max_message_bytes = 8; });
  EXPECT_EQ(Send("12345678").status().code(), v2::OK);
  EXPECT_EQ(SendCode(MessageOf("orders", "123456789")), v2::MESSAGE_BODY_TOO_LARGE);
}

TEST_F(SendHandlerTest, AnUnknownTopicIsMadeOnFirstUseOrNot) {
  EXPECT_EQ(Send("x", "fresh").status().code(), v2::OK);
  EXPECT_NE(controller_.Current()->FindTopic(ResourceName{"", "fresh"}), nullptr);
  EXPECT_EQ(SendCode(MessageOf("a b", "x")), v2::ILLEGAL_TOPIC);
  ProxyOptions options;
  options.auto_create_topics = false;
  Restart(options);
  EXPECT_EQ(SendCode(MessageOf("missing", "x")), v2::TOPIC_NOT_FOUND);
}

TEST_F(SendHandlerTest, NothingIsSentToADeadLetterTopic) {
  const auto response = Send("x", "%DLQ%workers");
  EXPECT_EQ(response.status().code(), v2::FORBIDDEN);
  EXPECT_THAT(response.status().message(), HasSubstr("dead-letter topic"));
}

TEST_F(SendHandlerTest, OtherTypesAreRefused) {
  v2::Message message = MessageOf("orders", "x");
  message.mutable_system_properties()->set_message_type(v2::FIFO);
  message.mutable_system_properties()->set_message_group("g");
  EXPECT_EQ(SendCode(message), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  controller_.MakeTopic("lines", MessageType::kFifo);
  EXPECT_EQ(SendCode(MessageOf("lines", "x")), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  v2::Message plain = MessageOf("orders", "x");
  plain.mutable_system_properties()->clear_message_type();
  EXPECT_EQ(SendCode(plain), v2::OK);
}

TEST_F(SendHandlerTest, AMessageGroupStaysInOneQueueWhateverTheClientPicked) {
  controller_.MakeTopic("lines", MessageType::kFifo);
  const TopicMetadata topic = *controller_.Current()->FindTopic(ResourceName{"", "lines"});
  std::set<TopicMetadata::Place> places;
  for (int i = 0; i < 40; ++i) {
    const std::string group = absl::StrCat("g", i % 10);
    v2::Message message = MessageOf("lines", "x");
    message.mutable_system_properties()->set_message_group(group);
    message.mutable_system_properties()->set_queue_id(i % 3);
    if (i % 2 == 0) {
      message.mutable_system_properties()->set_message_type(v2::FIFO);
    } else {
      message.mutable_system_properties()->clear_message_type();
    }
    ASSERT_EQ(SendCode(message), v2::OK);
    const TopicMetadata::Place place = topic.PlaceOf(MessageGroupHash(group));
    const AppendCall call = TakeAppend();
    EXPECT_EQ(call.shard, place.shard);
    EXPECT_EQ(call.queue, place.queue);
    EXPECT_EQ(call.messages[0].message_group, MessageGroupHash(group));
    places.insert(place);
  }
  EXPECT_GT(places.size(), 2u);
}

TEST_F(SendHandlerTest, MessageGroupsOfOneCallGoToTheirOwnQueues) {
  controller_.MakeTopic("lines", MessageType::kFifo);
  v2::SendMessageRequest request;
  for (int i = 0; i < 10; ++i) {
    v2::Message& message = *request.add_messages() = MessageOf("lines", "x");
    message.mutable_system_properties()->set_message_id(absl::StrCat("id-", i));
    message.mutable_system_properties()->set_message_type(v2::FIFO);
    message.mutable_system_properties()->set_message_group(absl::StrCat("g", i));
  }
  const auto response = Call<v2::SendMessageResponse>("SendMessage", request);
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_EQ(response.entries_size(), 10);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(response.entries(i).message_id(), absl::StrCat("id-", i));
}

TEST_F(SendHandlerTest, AFifoMessageNeedsAMessageGroup) {
  controller_.MakeTopic("lines", MessageType::kFifo);
  v2::Message message = MessageOf("lines", "x");
  message.mutable_system_properties()->set_message_type(v2::FIFO);
  EXPECT_EQ(SendCode(message), v2::ILLEGAL_MESSAGE_GROUP);
  for (const std::string& bad : {std::string(), std::string("  "), std::string(64, 'g'), std::string("a\nb")}) {
    message.mutable_system_properties()->set_message_group(bad);
    EXPECT_EQ(SendCode(message), v2::ILLEGAL_MESSAGE_GROUP);
  }
  message.mutable_system_properties()->set_message_group(std::string(63, 'g'));
  EXPECT_EQ(SendCode(message), v2::OK);
}

TEST_F(SendHandlerTest, RustHearsOldCodesOnly) {
  EXPECT_EQ(SendCode(MessageOf("orders", "")), v2::MESSAGE_BODY_EMPTY);
  SetHeader("x-mq-language", "RUST");
  EXPECT_EQ(SendCode(MessageOf("orders", "")), v2::BAD_REQUEST);
  // Also when only its settings said what it is.
  SetHeader("x-mq-language", "");
  const auto telemetry = OpenTelemetry();
  SendSettings(*telemetry, ProducerSettings(v2::RUST));
  EXPECT_EQ(SendCode(MessageOf("orders", "")), v2::BAD_REQUEST);
}

TEST_F(SendHandlerTest, TheNamespaceMayComeWithTheCall) {
  const TopicId blue = controller_.MakeTopic("orders", MessageType::kNormal, "blue");
  UseOneShard();
  SetHeader("x-mq-namespace", "blue");
  Send("x");
  EXPECT_EQ(broker(0).appends.back().topic, blue);
  SetHeader("x-mq-namespace", "");
  v2::Message message = MessageOf("orders", "x");
  message.mutable_topic()->set_resource_namespace("blue");
  Send(message);
  EXPECT_EQ(broker(0).appends.back().topic, blue);
  Send("x");
  EXPECT_EQ(broker(0).appends.back().topic, orders_);
}

}  // namespace
}  // namespace barid::proxy
