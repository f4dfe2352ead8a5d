// The official C++ and C# clients do not run in tests/conformance. These speak to the proxy as they do.
#include "base/crypto.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// What a zlib stream of "hello" looks like: the C++ client says GZIP and means this.
const std::string kZlib("\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15", 13);

class OtherClientsTest : public ProxyFixture {
 protected:
  OtherClientsTest() {
    deals_ = controller_.MakeTopic("deals", MessageType::kTransaction);
    UseOneShard();
  }

  void BeCpp() { SetHeader("x-mq-language", "CPP"); }
  void BeCsharp() { SetHeader("x-mq-language", "DOT_NET"); }

  // A push consumer of C++ says no polling time, names an invisible time that does not count, and takes 32.
  static v2::ReceiveMessageRequest CppPushRequest() {
    v2::ReceiveMessageRequest request = AutoRenewRequest();
    request.clear_long_polling_timeout();
    request.mutable_invisible_duration()->set_seconds(30);
    request.set_attempt_id("5d0b8f0e-0000-4000-8000-000000000001");
    return request;
  }
  // A push consumer of C# polls as long as its settings say.
  static v2::ReceiveMessageRequest CsharpPushRequest(int round) {
    v2::ReceiveMessageRequest request = AutoRenewRequest();
    request.mutable_long_polling_timeout()->set_seconds(20);
    request.set_attempt_id(absl::StrCat("attempt-", round));
    return request;
  }
  v2::TelemetryCommand FirstAnswer(const v2::Settings& settings) {
    const auto stream = OpenTelemetry();
    SendSettings(*stream, settings);
    return stream->As<v2::TelemetryCommand>().at(0);
  }
  std::string Prepare() {
    v2::Message message = MessageOf("deals", "hello", "01HALF");
    message.mutable_system_properties()->set_message_type(v2::TRANSACTION);
    return Send(message).entries(0).transaction_id();
  }

  TopicId deals_;
};

// --- C++ ---

TEST_F(OtherClientsTest, CppPollsAsLongAsItsCallMayTake) {
  BeCpp();
  port_.deadline = world_.clock()->Now() + absl::Seconds(20 + 3);
  const auto poll = StartReceive(CppPushRequest());
  ASSERT_THAT(broker(0).receives, SizeIs(1));
  EXPECT_EQ(broker(0).receives[0].wait, absl::Seconds(20));
  EXPECT_EQ(broker(0).receives[0].invisible, absl::Seconds(60));
  EXPECT_EQ(broker(0).receives[0].max_messages, 32);
  EXPECT_THAT(poll->As<v2::ReceiveMessageResponse>(), IsEmpty());  // Not before its time: it would ask again at once.
}

// OK without a message is an error to it.
TEST_F(OtherClientsTest, CppNeverHearsOkWithoutAMessage) {
  BeCpp();
  const auto poll = StartReceive(CppPushRequest());
  broker(0).EndWaits();
  const auto frames = poll->As<v2::ReceiveMessageResponse>();
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(frames[0].status().code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_TRUE(poll->finished()->ok());

  Send("cannot be read");
  broker(0).Corrupt(ShardId(1), orders_, 0);
  const auto unreadable = Receive(CppPushRequest());
  ASSERT_THAT(unreadable, SizeIs(1));
  EXPECT_EQ(unreadable[0].status().code(), v2::INTERNAL_SERVER_ERROR);
}

// It says GZIP to a zlib stream, and writes the delivery time into the attempt. Both come to nobody's harm.
TEST_F(OtherClientsTest, WhatCppCompressedComesBackByteByByte) {
  BeCpp();
  v2::Message sent = MessageOf("orders", kZlib);
  sent.mutable_system_properties()->set_body_encoding(v2::GZIP);
  sent.mutable_system_properties()->set_delivery_attempt(-1486618624);
  ASSERT_EQ(Send(sent).status().code(), v2::OK);
  const v2::Message message = ReceiveMessages(CppPushRequest()).at(0);
  EXPECT_EQ(message.body(), kZlib);
  EXPECT_EQ(message.system_properties().body_encoding(), v2::GZIP);
  // Of what travelled: it checks before it decompresses, and dies of a message without a digest.
  EXPECT_EQ(message.system_properties().body_digest().type(), v2::SHA1);
  EXPECT_EQ(message.system_properties().body_digest().checksum(), Sha1Hex(kZlib));
  EXPECT_EQ(message.system_properties().delivery_attempt(), 1);
}

TEST_F(OtherClientsTest, CppGetsAnEncodingAlsoWhenTheSenderNamedNone) {
  v2::Message sent = MessageOf("orders", "hello");
  sent.mutable_system_properties()->clear_body_encoding();
  Send(sent);
  BeCpp();
  const v2::Message message = ReceiveMessages(CppPushRequest()).at(0);
  EXPECT_EQ(message.system_properties().body_encoding(), v2::IDENTITY);  // Without one it shows an empty body.
  EXPECT_EQ(message.body(), "hello");
}

// It adds each list of delays to what it has.
TEST_F(OtherClientsTest, CppGetsTheSameSettingsEachTime) {
  BeCpp();
  const auto stream = OpenTelemetry();
  for (int i = 0; i < 3; ++i) SendSettings(*stream, ConsumerSettings(v2::CPP));
  const auto answers = stream->As<v2::TelemetryCommand>();
  ASSERT_THAT(answers, SizeIs(3));
  for (const v2::TelemetryCommand& answer : answers) {
    EXPECT_EQ(answer.SerializeAsString(), answers[0].SerializeAsString());
    EXPECT_THAT(answer.settings().backoff_policy().customized_backoff().next(), Not(IsEmpty()));
  }
}

// A producer's check-back: it checks the digest of that message too.
TEST_F(OtherClientsTest, CppIsAskedAboutATransactionWithACompleteMessage) {
  BeCpp();
  const auto stream = OpenTelemetry();
  v2::Settings settings = ProducerSettings(v2::CPP);
  *settings.mutable_publishing()->mutable_topics(0) = Named("deals");
  SendSettings(*stream, settings);
  const std::string id = Prepare();
  broker(0).checks_due = true;
  world_.RunFor(ProxyOptions().transaction_poll_interval);
  world_.RunUntilIdle();
  const auto commands = stream->As<v2::TelemetryCommand>();
  ASSERT_THAT(commands, SizeIs(2));
  const v2::RecoverOrphanedTransactionCommand& asked = commands[1].recover_orphaned_transaction_command();
  EXPECT_EQ(asked.transaction_id(), id);
  EXPECT_EQ(asked.message().body(), "hello");
  EXPECT_EQ(asked.message().system_properties().body_encoding(), v2::IDENTITY);
  EXPECT_EQ(asked.message().system_properties().body_digest().checksum(), Sha1Hex("hello"));
}

// Neither it nor C# says where an end comes from; C# names another message id than it sent.
TEST_F(OtherClientsTest, BothEndTransactionsByTheTransactionIdAlone) {
  for (const char* language : {"CPP", "DOT_NET"}) {
    SetHeader("x-mq-language", language);
    v2::EndTransactionRequest request;
    *request.mutable_topic() = Named("deals");
    request.set_transaction_id(Prepare());
    request.set_message_id("01OF-THE-RECEIPT");
    request.set_resolution(v2::COMMIT);
    EXPECT_EQ(Call<v2::EndTransactionResponse>("EndTransaction", request).status().code(), v2::OK) << language;
  }
}

// --- C# ---

// It drops and makes anew all its queues every 5 s, each time with a poll of its own; those of before live on until
// they end or are cancelled. An hour of it costs what five polls cost, and the next message goes to exactly one that is
// alive.
TEST_F(OtherClientsTest, CsharpRenewsItsPollsEveryFiveSeconds) {
  ProxyOptions options;
  options.limits.max_waiting_receives_per_client = 6;
  Restart(options);
  BeCsharp();
  std::vector<std::shared_ptr<TestStream>> polls;
  for (int round = 0; round < 720; ++round) {
    polls.push_back(StartReceive(CsharpPushRequest(round)));
    ASSERT_FALSE(polls.back()->finished()) << "refused in round " << round;
    if (polls.size() > 5) {
      polls.front()->Cancel();
      polls.erase(polls.begin());
    }
    world_.RunFor(absl::Seconds(5));
    ASSERT_EQ(broker(0).waiting(), polls.size());
  }
  Send("hello");
  int received = 0;
  for (const auto& poll : polls) {
    for (const auto& frame : poll->As<v2::ReceiveMessageResponse>()) received += frame.has_message();
  }
  EXPECT_EQ(received, 1);
  EXPECT_EQ(broker(0).in_flight(), 1u);
  for (const auto& poll : polls) poll->Cancel();
  EXPECT_EQ(broker(0).waiting(), 0u);
}

// A poll that was dropped swallows nothing, also if its message was on the way already.
TEST_F(OtherClientsTest, WhatADroppedPollOfCsharpWasGivenComesToTheNext) {
  BeCsharp();
  broker(0).hold_deliveries = true;
  const auto dropped = StartReceive(CsharpPushRequest(1));
  Send("hello");
  dropped->Cancel();
  broker(0).Release();
  const auto messages = ReceiveMessages(CsharpPushRequest(2));
  ASSERT_THAT(messages, SizeIs(1));
  EXPECT_EQ(messages[0].system_properties().delivery_attempt(), 1);
}

// It ends with a null reference where a time is missing.
TEST_F(OtherClientsTest, CsharpGetsEveryTime) {
  v2::Message sent = MessageOf("orders", "hello");
  sent.mutable_system_properties()->clear_born_timestamp();
  Send(sent);
  BeCsharp();
  const auto frames = Receive(CsharpPushRequest(1));
  ASSERT_THAT(frames, SizeIs(3));
  const v2::SystemProperties& system = frames[1].message().system_properties();
  EXPECT_EQ(FromProto(system.born_timestamp(), absl::UnixEpoch()), world_.clock()->Now());
  EXPECT_TRUE(system.has_store_timestamp());
  EXPECT_TRUE(system.has_invisible_duration());
  EXPECT_TRUE(system.has_body_digest());
  EXPECT_TRUE(frames[2].has_delivery_timestamp());
}

// Its stream is never made anew, and an error in its handler ends it: the first answer must hold all it reads.
TEST_F(OtherClientsTest, CsharpGetsSoundSettingsAtOnce) {
  BeCsharp();
  for (const v2::ClientType type : {v2::PUSH_CONSUMER, v2::SIMPLE_CONSUMER}) {
    const v2::TelemetryCommand answer = FirstAnswer(ConsumerSettings(v2::DOT_NET, type));
    EXPECT_EQ(answer.status().code(), v2::OK);
    EXPECT_TRUE(answer.settings().has_subscription());
    EXPECT_TRUE(answer.settings().subscription().has_fifo());
    EXPECT_THAT(answer.settings().backoff_policy().customized_backoff().next(), Not(IsEmpty()));
  }
  const v2::TelemetryCommand answer = FirstAnswer(ProducerSettings(v2::DOT_NET));
  EXPECT_TRUE(answer.settings().has_publishing());
  EXPECT_TRUE(answer.settings().backoff_policy().has_exponential_backoff());
}

// It keeps the handle that it was given first.
TEST_F(OtherClientsTest, CsharpAcknowledgesWithTheOldHandleAfterAChange) {
  BeCsharp();
  Send("hello");
  const std::string handle = ReceiveHandle();
  Heartbeat(v2::SIMPLE_CONSUMER);
  ASSERT_EQ(Change(handle, absl::Seconds(30)).status().code(), v2::OK);
  EXPECT_EQ(Ack({handle}).status().code(), v2::OK);
}

}  // namespace
}  // namespace barid::proxy
