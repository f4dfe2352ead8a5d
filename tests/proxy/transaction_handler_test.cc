#include "base/status.h"
#include "base/stored_message.h"
#include "proxy/signature.h"
#include "proxy/transaction_id.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class TransactionHandlerTest : public ProxyFixture {
 protected:
  TransactionHandlerTest() {
    deals_ = controller_.MakeTopic("deals", MessageType::kTransaction);
    UseOneShard();
  }

  static v2::Message TransactionMessage(const std::string& topic = "deals", const std::string& id = "chosen-id") {
    v2::Message message = MessageOf(topic, "hello", id);
    message.mutable_system_properties()->set_message_type(v2::TRANSACTION);
    return message;
  }
  std::string Prepare(const v2::Message& message = TransactionMessage()) {
    const v2::SendMessageResponse response = Send(message);
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
    return response.entries(0).transaction_id();
  }
  v2::Status End(const std::string& id, v2::TransactionResolution resolution, const std::string& topic = "deals") {
    v2::EndTransactionRequest request;
    *request.mutable_topic() = Named(topic);
    request.set_message_id("whatever");
    request.set_transaction_id(id);
    request.set_resolution(resolution);
    return Call<v2::EndTransactionResponse>("EndTransaction", request).status();
  }
  v2::Code EndCode(const std::string& id, v2::TransactionResolution resolution, const std::string& topic = "deals") {
    return End(id, resolution, topic).code();
  }

  // --- Check-back ---

  std::shared_ptr<TestStream> OpenProducer(const std::string& client, const std::string& topic = "deals") {
    SetHeader("x-mq-client-id", client);
    auto stream = OpenTelemetry();
    v2::Settings settings = ProducerSettings(v2::JAVA);
    *settings.mutable_publishing()->mutable_topics(0) = Named(topic);
    SendSettings(*stream, settings);
    return stream;
  }
  static std::vector<v2::RecoverOrphanedTransactionCommand> Asked(TestStream& stream) {
    std::vector<v2::RecoverOrphanedTransactionCommand> asked;
    for (const v2::TelemetryCommand& command : stream.As<v2::TelemetryCommand>()) {
      if (!command.has_recover_orphaned_transaction_command()) continue;
      EXPECT_EQ(command.status().code(), v2::OK);
      asked.push_back(command.recover_orphaned_transaction_command());
    }
    return asked;
  }
  // The open transactions are due, and the proxy comes for them.
  void CheckAll() {
    broker(0).checks_due = true;
    world_.RunFor(ProxyOptions().transaction_poll_interval);
    world_.RunUntilIdle();
  }

  TopicId deals_;
};

TEST_F(TransactionHandlerTest, AMessageIsPreparedAndComesWithItsTransactionId) {
  const v2::SendMessageResponse response = Send(TransactionMessage());
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  EXPECT_EQ(response.entries(0).message_id(), "chosen-id");
  EXPECT_THAT(response.entries(0).transaction_id(), Not(IsEmpty()));
  EXPECT_THAT(response.entries(0).recall_handle(), IsEmpty());
  ASSERT_THAT(broker(0).appends, SizeIs(1));
  EXPECT_TRUE(broker(0).appends[0].prepare);
  EXPECT_EQ(broker(0).appends[0].messages[0].check_after, std::nullopt);
  EXPECT_EQ(DecodeStoredMessage(broker(0).appends[0].messages[0].stored.view())->type, MessageType::kTransaction);
  Send("x");
  EXPECT_FALSE(broker(0).appends[1].prepare);
}

TEST_F(TransactionHandlerTest, EachMessageOfACallIsATransaction) {
  v2::SendMessageRequest request;
  *request.add_messages() = TransactionMessage("deals", "one");
  *request.add_messages() = TransactionMessage("deals", "two");
  const auto response = Call<v2::SendMessageResponse>("SendMessage", request);
  ASSERT_EQ(response.entries_size(), 2);
  EXPECT_NE(response.entries(0).transaction_id(), response.entries(1).transaction_id());
  EXPECT_EQ(EndCode(response.entries(0).transaction_id(), v2::COMMIT), v2::OK);
  EXPECT_EQ(EndCode(response.entries(1).transaction_id(), v2::ROLLBACK), v2::OK);
}

TEST_F(TransactionHandlerTest, TheProducerMaySayHowLongItTakes) {
  v2::Message message = TransactionMessage();
  auto* const recovery = message.mutable_system_properties()->mutable_orphaned_transaction_recovery_duration();
  recovery->set_seconds(90);
  Prepare(message);
  EXPECT_EQ(broker(0).appends[0].messages[0].check_after, absl::Seconds(90));
  recovery->set_seconds(3600);
  EXPECT_EQ(Send(message).status().code(), v2::OK);
  recovery->set_seconds(3601);
  EXPECT_EQ(Send(message).status().code(), v2::BAD_REQUEST);
  EXPECT_THAT(Send(message).status().message(), HasSubstr("at most 1h"));
  recovery->set_seconds(0);
  EXPECT_EQ(Send(message).status().code(), v2::BAD_REQUEST);
  v2::Message normal = MessageOf("orders", "x");
  normal.mutable_system_properties()->mutable_orphaned_transaction_recovery_duration()->set_seconds(5);
  EXPECT_EQ(Send(normal).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
}

TEST_F(TransactionHandlerTest, TypeAndTopicMustAgree) {
  EXPECT_EQ(Send(TransactionMessage("orders")).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(Send("x", "deals").status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  v2::Message message = TransactionMessage();
  message.mutable_system_properties()->set_message_group("g");
  EXPECT_EQ(Send(message).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  message = TransactionMessage();
  message.mutable_system_properties()->mutable_delivery_timestamp()->set_seconds(1);
  EXPECT_EQ(Send(message).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  message = TransactionMessage();
  message.mutable_system_properties()->set_priority(3);
  EXPECT_EQ(Send(message).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_THAT(broker(0).appends, IsEmpty());
}

TEST_F(TransactionHandlerTest, NobodySendsToWhereTheDiscardedAreKept) {
  EXPECT_EQ(Send(TransactionMessage("%TXN_DISCARDED%deals")).status().code(), v2::FORBIDDEN);
  EXPECT_EQ(Send("x", "%TXN_DISCARDED%orders").status().code(), v2::TOPIC_NOT_FOUND) << "orders has no transactions";
  EXPECT_EQ(controller_.topics_created, 0);
}

TEST_F(TransactionHandlerTest, TooManyOpenTransactionsAreToldSo) {
  broker(0).RefuseNext(RetryAfterError(absl::Seconds(1), "the shard has 5 open transactions"));
  EXPECT_EQ(Send(TransactionMessage()).status().code(), v2::TOO_MANY_REQUESTS);
}

TEST_F(TransactionHandlerTest, WithoutASigningKeyNothingIsPrepared) {
  controller_.Edit([](Metadata::Tables* tables) { tables->signing_keys.clear(); });
  EXPECT_EQ(Send(TransactionMessage()).status().code(), v2::HA_NOT_AVAILABLE);
  EXPECT_THAT(broker(0).appends, IsEmpty());
}

TEST_F(TransactionHandlerTest, EndingTwiceIsHarmlessAndEndingOtherwiseIsRefused) {
  const std::string committed = Prepare();
  EXPECT_EQ(EndCode(committed, v2::COMMIT), v2::OK);
  EXPECT_EQ(EndCode(committed, v2::COMMIT), v2::OK);
  EXPECT_EQ(EndCode(committed, v2::ROLLBACK), v2::PRECONDITION_FAILED);
  const std::string rolled_back = Prepare();
  EXPECT_EQ(EndCode(rolled_back, v2::ROLLBACK), v2::OK);
  EXPECT_EQ(EndCode(rolled_back, v2::ROLLBACK), v2::OK);
  EXPECT_EQ(EndCode(rolled_back, v2::COMMIT), v2::PRECONDITION_FAILED);
}

TEST_F(TransactionHandlerTest, TheTransactionIdAloneCounts) {
  v2::EndTransactionRequest request;
  *request.mutable_topic() = Named("deals");
  request.set_transaction_id(Prepare());
  request.set_resolution(v2::COMMIT);
  EXPECT_EQ(Call<v2::EndTransactionResponse>("EndTransaction", request).status().code(), v2::OK)
      << "without message id, source and trace context";
}

TEST_F(TransactionHandlerTest, NoDecisionLeavesItOpen) {
  const std::string id = Prepare();
  EXPECT_EQ(EndCode(id, v2::TRANSACTION_RESOLUTION_UNSPECIFIED), v2::OK);
  EXPECT_THAT(broker(0).ends, IsEmpty());
  EXPECT_EQ(EndCode(id, static_cast<v2::TransactionResolution>(3)), v2::BAD_REQUEST);
  EXPECT_EQ(EndCode(id, v2::ROLLBACK), v2::OK);
}

TEST_F(TransactionHandlerTest, ABlankForgedOrMalformedIdIsRefused) {
  std::string id = Prepare();
  for (const char* bad : {"", "  ", "nonsense"}) {
    EXPECT_EQ(EndCode(bad, v2::COMMIT), v2::INVALID_TRANSACTION_ID) << bad;
    EXPECT_EQ(EndCode(bad, v2::TRANSACTION_RESOLUTION_UNSPECIFIED), v2::INVALID_TRANSACTION_ID) << bad;
  }
  EXPECT_EQ(EndCode(EncodeTransactionId({ShardId(1), deals_, {1, 0}}, {2, "not the secret"}), v2::COMMIT),
            v2::INVALID_TRANSACTION_ID);
  id[10] ^= 1;
  EXPECT_EQ(EndCode(id, v2::COMMIT), v2::INVALID_TRANSACTION_ID);
  EXPECT_THAT(broker(0).ends, IsEmpty());
}

TEST_F(TransactionHandlerTest, AnIdIsForItsTopicOnly) {
  controller_.MakeTopic("others", MessageType::kTransaction);
  const std::string id = Prepare();
  EXPECT_EQ(EndCode(id, v2::COMMIT, "others"), v2::INVALID_TRANSACTION_ID);
  EXPECT_EQ(EndCode(id, v2::COMMIT, "a b"), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(EndCode(id, v2::COMMIT), v2::OK);
}

TEST_F(TransactionHandlerTest, WhatIsNotKnownIsNotFound) {
  const std::string id = Prepare();
  const SigningKey key = *NewestKey(controller_.Current()->tables().signing_keys);
  EXPECT_EQ(EndCode(EncodeTransactionId({ShardId(1), deals_, {9999, 0}}, key), v2::COMMIT), v2::NOT_FOUND);
  controller_.Edit([](Metadata::Tables* tables) { tables->topics.pop_back(); });
  controller_.MakeTopic("deals", MessageType::kTransaction);
  EXPECT_EQ(EndCode(id, v2::COMMIT), v2::NOT_FOUND) << "the topic was deleted, and made anew";
}

TEST_F(TransactionHandlerTest, BrokerErrorsHaveTheirPublicCodes) {
  const std::string id = Prepare();
  const std::pair<absl::Status, v2::Code> cases[] = {
      {absl::DeadlineExceededError("x"), v2::PROXY_TIMEOUT},
      {absl::UnavailableError("x"), v2::HA_NOT_AVAILABLE},
      {absl::DataLossError("x"), v2::INTERNAL_SERVER_ERROR},
  };
  for (const auto& [status, code] : cases) {
    broker(0).RefuseNext(status);
    EXPECT_EQ(EndCode(id, v2::COMMIT), code) << status;
  }
}

TEST_F(TransactionHandlerTest, TheLeaderIsAskedAfterOneThatLeadsNoMore) {
  controller_.Edit([](Metadata::Tables* tables) { tables->brokers.push_back({"broker-1", ""}); });
  const std::string id = Prepare();
  broker(0).RefuseNext(NotLeaderError({"broker-1", 2}, "moved"));
  EXPECT_EQ(EndCode(id, v2::COMMIT), v2::NOT_FOUND);  // This fake does not know it.
  EXPECT_THAT(broker(1).ends, SizeIs(1));
}

// --- Check-back ---

TEST_F(TransactionHandlerTest, AProducerThatNamedTheTopicIsAskedWithTheWholeMessage) {
  v2::Message message = TransactionMessage();
  message.mutable_system_properties()->set_tag("red");
  message.mutable_system_properties()->add_keys("k1");
  (*message.mutable_user_properties())["colour"] = "blue";
  const std::string id = Prepare(message);
  const auto producer = OpenProducer("somebody");
  CheckAll();
  const auto asked = Asked(*producer);
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_EQ(asked[0].transaction_id(), id);
  const v2::Message& copy = asked[0].message();
  EXPECT_EQ(copy.topic().name(), "deals");
  EXPECT_EQ(copy.body(), "hello");
  EXPECT_EQ(copy.user_properties().at("colour"), "blue");
  const v2::SystemProperties& system = copy.system_properties();
  EXPECT_EQ(system.message_id(), "chosen-id");
  EXPECT_EQ(system.message_type(), v2::TRANSACTION);
  EXPECT_EQ(system.tag(), "red");
  EXPECT_THAT(system.keys(), ElementsAre("k1"));
  EXPECT_EQ(system.body_digest().type(), v2::SHA1);
  EXPECT_THAT(system.body_digest().checksum(), SizeIs(40));
  EXPECT_EQ(system.queue_id(), 1);
  EXPECT_EQ(system.store_timestamp().seconds(), 1234);
  EXPECT_TRUE(system.has_born_timestamp());
  EXPECT_EQ(EndCode(asked[0].transaction_id(), v2::COMMIT), v2::OK);
  CheckAll();
  EXPECT_THAT(Asked(*producer), SizeIs(1)) << "it has ended";
}

TEST_F(TransactionHandlerTest, AProducerThatSentToTheTopicIsAskedToo) {
  const auto producer = OpenProducer("sender", "orders");
  Prepare();
  CheckAll();
  EXPECT_THAT(Asked(*producer), SizeIs(1));
}

TEST_F(TransactionHandlerTest, NobodyElseIsAsked) {
  Prepare();  // From a client without a stream.
  const auto other = OpenProducer("other", "orders");
  SetHeader("x-mq-client-id", "consumer");
  const auto consumer = OpenTelemetry();
  SendSettings(*consumer, ConsumerSettings(v2::JAVA));
  CheckAll();
  EXPECT_THAT(broker(0).check_calls, IsEmpty()) << "without a live producer no check is taken, and so none is counted";
  EXPECT_THAT(Asked(*other), IsEmpty());
  EXPECT_THAT(Asked(*consumer), IsEmpty());
}

TEST_F(TransactionHandlerTest, TheNextCheckGoesToAnotherProducer) {
  Prepare();
  const auto one = OpenProducer("one");
  const auto two = OpenProducer("two");
  CheckAll();
  EXPECT_EQ(Asked(*one).size() + Asked(*two).size(), 1u) << "one at a time";
  CheckAll();
  EXPECT_THAT(Asked(*one), SizeIs(1));
  EXPECT_THAT(Asked(*two), SizeIs(1));
}

TEST_F(TransactionHandlerTest, AProducerThatLeftIsNotAsked) {
  Prepare();
  const auto one = OpenProducer("one");
  const auto two = OpenProducer("two");
  one->Cancel();
  for (int i = 0; i < 3; ++i) CheckAll();
  EXPECT_THAT(Asked(*two), SizeIs(3));
  EXPECT_THAT(Asked(*one), IsEmpty());
}

TEST_F(TransactionHandlerTest, AnotherProxyGoesOnWhereThisOneWas) {
  const std::string id = Prepare();
  OpenProducer("one");
  ProxyOptions options;
  options.name = "proxy-1";
  Restart(options);
  const auto producer = OpenProducer("one");
  CheckAll();
  ASSERT_THAT(Asked(*producer), SizeIs(1));
  EXPECT_EQ(broker(0).check_calls.back().proxy, "proxy-1");
  EXPECT_EQ(EndCode(id, v2::ROLLBACK), v2::OK);
}

TEST_F(TransactionHandlerTest, ABrokerThatFailsIsAskedAgain) {
  Prepare();
  const auto producer = OpenProducer("one");
  broker(0).RefuseNext(absl::UnavailableError("away"));
  CheckAll();
  EXPECT_THAT(Asked(*producer), IsEmpty());
  CheckAll();
  EXPECT_THAT(Asked(*producer), SizeIs(1));
}

}  // namespace
}  // namespace barid::proxy
