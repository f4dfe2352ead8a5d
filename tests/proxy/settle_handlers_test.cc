#include "base/status.h"
#include "proxy/receipt.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SettleHandlersTest : public ProxyFixture {
 protected:
  SettleHandlersTest() { UseOneShard(); }

  SettleKind LastKind() { return broker(0).settles.back().entries.back().kind; }
  std::string SendAndReceive(const v2::ReceiveMessageRequest& request = ReceiveRequestOf()) {
    Send("x");
    return ReceiveHandle(request);
  }
};

TEST_F(SettleHandlersTest, AnAcknowledgedMessageIsGone) {
  const std::string handle = SendAndReceive();
  const v2::AckMessageResponse response = Ack({handle});
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_THAT(response.entries(), SizeIs(1));
  EXPECT_EQ(response.entries(0).status().code(), v2::OK);
  EXPECT_EQ(response.entries(0).receipt_handle(), handle);
  EXPECT_EQ(response.entries(0).message_id(), "01ID");
  EXPECT_EQ(broker(0).in_flight(), 0u);
  EXPECT_EQ(ReceiveCode(ReceiveRequestOf()), v2::MESSAGE_NOT_FOUND);
}

TEST_F(SettleHandlersTest, AcknowledgingTwiceIsInvalidTheSecondTime) {
  const std::string handle = SendAndReceive();
  Ack({handle});
  EXPECT_EQ(Ack({handle}).status().code(), v2::INVALID_RECEIPT_HANDLE);
}

TEST_F(SettleHandlersTest, AnyProxyAndAnyClientCanSettle) {
  const std::string handle = SendAndReceive();
  Restart(ProxyOptions());
  SetHeader("x-mq-client-id", "another-client");
  EXPECT_EQ(Ack({handle}).status().code(), v2::OK);
}

TEST_F(SettleHandlersTest, OldKeysVerifyAfterARotation) {
  const std::string handle = SendAndReceive();
  controller_.Edit([](Metadata::Tables* tables) { tables->signing_keys.push_back({3, "the-third-secret"}); });
  EXPECT_EQ(Ack({handle}).status().code(), v2::OK);
}

TEST_F(SettleHandlersTest, ForgedAndForeignHandlesAreInvalid) {
  std::string handle = SendAndReceive();
  const auto receipt = DecodeReceipt(handle, controller_.Current()->tables().signing_keys);
  for (const std::string& bad : {std::string(), std::string("nonsense"), EncodeReceipt(*receipt, {2, "guessed"})}) {
    const auto response = Ack({bad});
    EXPECT_EQ(response.status().code(), v2::INVALID_RECEIPT_HANDLE) << bad;
    EXPECT_FALSE(response.status().message().empty());
    EXPECT_EQ(Change(bad, absl::Seconds(1)).status().code(), v2::INVALID_RECEIPT_HANDLE);
    EXPECT_EQ(Forward(bad).status().code(), v2::INVALID_RECEIPT_HANDLE);
  }
  EXPECT_THAT(broker(0).settles, IsEmpty());
}

TEST_F(SettleHandlersTest, TopicAndGroupMustBeThoseOfTheReceipt) {
  const std::string handle = SendAndReceive();
  controller_.MakeGroup("others");
  controller_.MakeTopic("invoices");
  EXPECT_THAT(Ack({handle}, "others").status().message(), HasSubstr("for the group workers"));
  EXPECT_EQ(Ack({handle}, "others").status().code(), v2::INVALID_RECEIPT_HANDLE);
  EXPECT_EQ(Ack({handle}, "workers", "invoices").status().code(), v2::INVALID_RECEIPT_HANDLE);
  EXPECT_EQ(Ack({handle}, "workers", "nowhere").status().code(), v2::INVALID_RECEIPT_HANDLE);
  EXPECT_EQ(Ack({handle}, "a b").status().code(), v2::ILLEGAL_CONSUMER_GROUP);
  EXPECT_EQ(Ack({handle}, "workers", "a b").status().code(), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(Ack({handle}).status().code(), v2::OK);
}

TEST_F(SettleHandlersTest, EachEntryHasItsOwnResult) {
  Send("a");
  Send("b");
  std::vector<std::string> handles;
  for (const v2::Message& message : ReceiveMessages()) handles.push_back(message.system_properties().receipt_handle());
  const auto response = Ack({handles[0], "forged", handles[1]});
  EXPECT_EQ(response.status().code(), v2::MULTIPLE_RESULTS);
  ASSERT_THAT(response.entries(), SizeIs(3));
  EXPECT_EQ(response.entries(0).status().code(), v2::OK);
  EXPECT_EQ(response.entries(1).status().code(), v2::INVALID_RECEIPT_HANDLE);
  EXPECT_EQ(response.entries(2).status().code(), v2::OK);
  EXPECT_THAT(broker(0).settles, SizeIs(1));
}

TEST_F(SettleHandlersTest, EntriesGoToTheirShards) {
  controller_.Edit([](Metadata::Tables* tables) {
    tables->brokers.push_back({"broker-1", ""});
    tables->shards.push_back({ShardId(2), "shard-2", "broker-1", 1});
  });
  PlaceInTurn();
  for (int i = 0; i < 4; ++i) Send("x");
  std::vector<std::string> handles;
  for (const char* shard : {"shard-2", "shard-1"}) {
    v2::ReceiveMessageRequest request = ReceiveRequestOf();
    request.mutable_message_queue()->mutable_broker()->set_name(shard);
    for (const v2::Message& message : ReceiveMessages(request))
      handles.push_back(message.system_properties().receipt_handle());
  }
  ASSERT_THAT(handles, SizeIs(4));
  broker(0).hold = true;
  v2::AckMessageRequest request;
  *request.mutable_group() = Named("workers");
  *request.mutable_topic() = Named("orders");
  for (const std::string& handle : handles) request.add_entries()->set_receipt_handle(handle);
  const auto call = port_.Start(std::string(kService) + "AckMessage", request);
  EXPECT_FALSE(call->answered());
  EXPECT_EQ(broker(1).in_flight(), 0u);
  broker(0).Release();
  EXPECT_EQ(call->As<v2::AckMessageResponse>().status().code(), v2::OK);
  EXPECT_THAT(broker(0).settles, SizeIs(1));
  EXPECT_THAT(broker(1).settles, SizeIs(1));

  broker(1).RefuseNext(absl::DeadlineExceededError("slow"));
  const auto again = Ack(handles);
  EXPECT_EQ(again.status().code(), v2::MULTIPLE_RESULTS);
  EXPECT_EQ(again.entries(0).status().code(), v2::PROXY_TIMEOUT);
  EXPECT_EQ(again.entries(3).status().code(), v2::INVALID_RECEIPT_HANDLE);
}

TEST_F(SettleHandlersTest, ThereIsAtLeastOneEntryAndAtMostTheLimit) {
  EXPECT_EQ(Ack({}).status().code(), v2::BAD_REQUEST);
  ProxyOptions options;
  options.limits.max_settle_entries = 2;
  Restart(options);
  const auto response = Ack({"a", "b", "c"});
  EXPECT_EQ(response.status().code(), v2::PAYLOAD_TOO_LARGE);
  EXPECT_THAT(response.entries(), SizeIs(3));
}

TEST_F(SettleHandlersTest, TheLeaderIsAskedWhenTheShardHasMoved) {
  const std::string handle = SendAndReceive();
  broker(0).RefuseNext(NotLeaderError({"", 2}, "not yet"));
  EXPECT_EQ(Ack({handle}).status().code(), v2::OK);
  EXPECT_THAT(broker(0).settles, SizeIs(2));
}

TEST_F(SettleHandlersTest, AShardWithoutALeaderIsAnErrorThatClientsRetry) {
  const std::string handle = SendAndReceive();
  controller_.Edit([](Metadata::Tables* tables) { tables->shards[0].leader.clear(); });
  EXPECT_EQ(Ack({handle}).status().code(), v2::HA_NOT_AVAILABLE);
}

TEST_F(SettleHandlersTest, AChangeKeepsTheHandle) {
  const std::string handle = SendAndReceive();
  const auto response = Change(handle, absl::Minutes(5));
  EXPECT_EQ(response.status().code(), v2::OK);
  EXPECT_EQ(response.receipt_handle(), handle);
  EXPECT_EQ(broker(0).settles.back().entries[0].delay, absl::Minutes(5));
  EXPECT_EQ(Change(handle, absl::Minutes(6)).status().code(), v2::OK);
  EXPECT_EQ(Ack({handle}).status().code(), v2::OK);
}

TEST_F(SettleHandlersTest, AChangeAnswersWithTheHandleAlsoWhenItFails) {
  EXPECT_EQ(Change("forged", absl::Seconds(1)).receipt_handle(), "forged");
  const std::string handle = SendAndReceive();
  for (const absl::Duration bad : {-absl::Seconds(1), absl::Hours(12) + absl::Seconds(1)}) {
    const auto response = Change(handle, bad);
    EXPECT_EQ(response.status().code(), v2::ILLEGAL_INVISIBLE_TIME);
    EXPECT_EQ(response.receipt_handle(), handle);
  }
  EXPECT_EQ(Change(handle, absl::ZeroDuration()).status().code(), v2::OK);
}

TEST_F(SettleHandlersTest, PushConsumersReturnAndSimpleConsumersExtend) {
  // Nobody said what the client is: how it received tells.
  EXPECT_EQ(Change(SendAndReceive(), absl::Seconds(1)).status().code(), v2::OK);
  EXPECT_EQ(LastKind(), SettleKind::kExtend);
  EXPECT_EQ(Change(SendAndReceive(AutoRenewRequest()), absl::Seconds(1)).status().code(), v2::OK);
  EXPECT_EQ(LastKind(), SettleKind::kReturn);
  // A heartbeat says.
  Heartbeat(v2::PUSH_CONSUMER);
  Change(SendAndReceive(), absl::Seconds(1));
  EXPECT_EQ(LastKind(), SettleKind::kReturn);
  // So do settings.
  const auto telemetry = OpenTelemetry();
  SendSettings(*telemetry, ConsumerSettings(v2::GOLANG, v2::SIMPLE_CONSUMER));
  Change(SendAndReceive(AutoRenewRequest()), absl::Seconds(1));
  EXPECT_EQ(LastKind(), SettleKind::kExtend);
}

TEST_F(SettleHandlersTest, ForwardingToTheDeadLettersSettles) {
  const std::string handle = SendAndReceive();
  EXPECT_EQ(Forward(handle).status().code(), v2::OK);
  EXPECT_EQ(LastKind(), SettleKind::kDeadLetter);
  EXPECT_THAT(broker(0).settles.back().entries[0].reason, HasSubstr("attempt 3 of 3"));
  EXPECT_EQ(broker(0).in_flight(), 0u);
}

TEST_F(SettleHandlersTest, ForwardingWhatIsGoneIsFine) {
  const std::string handle = SendAndReceive();
  Ack({handle});
  EXPECT_EQ(Forward(handle).status().code(), v2::OK);
  const std::string other = SendAndReceive();
  controller_.Edit([](Metadata::Tables* tables) { tables->topics.clear(); });
  EXPECT_EQ(Forward(other).status().code(), v2::OK);
  EXPECT_EQ(Ack({other}).status().code(), v2::INVALID_RECEIPT_HANDLE);
}

}  // namespace
}  // namespace barid::proxy
