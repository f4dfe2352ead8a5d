#include "base/status.h"
#include "base/stored_message.h"
#include "proxy/recall_handle.h"
#include "proxy/signature.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RecallHandlerTest : public ProxyFixture {
 protected:
  RecallHandlerTest() { later_ = controller_.MakeTopic("later", MessageType::kDelay); }

  static v2::Message DelayMessage(absl::Time at, const std::string& topic = "later") {
    v2::Message message = MessageOf(topic, "hello", "chosen-id");
    message.mutable_system_properties()->set_message_type(v2::DELAY);
    ToProto(at, message.mutable_system_properties()->mutable_delivery_timestamp());
    return message;
  }
  absl::Time In(absl::Duration delay) { return world_.clock()->Now() + delay; }
  std::string SendDelayed() {
    const v2::SendMessageResponse response = Send(DelayMessage(In(absl::Hours(1))));
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
    return response.entries(0).recall_handle();
  }
  v2::RecallMessageResponse Recall(const std::string& handle, const std::string& topic = "later") {
    v2::RecallMessageRequest request;
    *request.mutable_topic() = Named(topic);
    request.set_recall_handle(handle);
    return Call<v2::RecallMessageResponse>("RecallMessage", request);
  }

  TopicId later_;
};

TEST_F(RecallHandlerTest, AScheduledMessageGoesToTheBrokerWithItsTimeAndComesWithAHandle) {
  UseOneShard();
  const absl::Time due = absl::FromUnixMicros(absl::ToUnixMicros(In(absl::Hours(24 * 40))));
  const v2::SendMessageResponse response = Send(DelayMessage(due));
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  EXPECT_THAT(response.entries(0).recall_handle(), ::testing::Not(IsEmpty()));
  ASSERT_THAT(broker(0).appends, SizeIs(1));
  EXPECT_EQ(broker(0).appends[0].messages[0].deliver_at, due);
  const auto stored = DecodeStoredMessage(broker(0).appends[0].messages[0].stored.view());
  EXPECT_EQ(stored->delivery_time, due);
  EXPECT_EQ(stored->type, MessageType::kDelay);
}

TEST_F(RecallHandlerTest, ADeliveryTimeIsRoundedUpToTheMicrosecond) {
  UseOneShard();
  Send(DelayMessage(absl::FromUnixMicros(5) + absl::Nanoseconds(1)));
  EXPECT_EQ(broker(0).appends[0].messages[0].deliver_at, absl::FromUnixMicros(6));
}

TEST_F(RecallHandlerTest, ADeliveryTimeMayBeOverButNotTooFarAhead) {
  EXPECT_EQ(Send(DelayMessage(absl::UnixEpoch())).status().code(), v2::OK);
  EXPECT_EQ(Send(DelayMessage(In(-absl::Hours(1)))).status().code(), v2::OK);
  EXPECT_EQ(Send(DelayMessage(In(absl::Hours(24 * 40)))).status().code(), v2::OK);
  const auto refused = Send(DelayMessage(In(absl::Hours(24 * 40) + absl::Seconds(1))));
  EXPECT_EQ(refused.status().code(), v2::ILLEGAL_DELIVERY_TIME);
  EXPECT_THAT(refused.status().message(), HasSubstr("at most 960h are allowed"));
  v2::Message never = DelayMessage(In(absl::Hours(1)));
  never.mutable_system_properties()->mutable_delivery_timestamp()->set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Send(never).status().code(), v2::ILLEGAL_DELIVERY_TIME);
  v2::Message always = DelayMessage(In(absl::Hours(1)));
  always.mutable_system_properties()->mutable_delivery_timestamp()->set_seconds(std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Send(always).status().code(), v2::OK);
}

TEST_F(RecallHandlerTest, TheFarthestTimeIsASetting) {
  ProxyOptions options;
  options.max_delay = absl::Seconds(5);
  Restart(options);
  EXPECT_EQ(Send(DelayMessage(In(absl::Seconds(5)))).status().code(), v2::OK);
  EXPECT_EQ(Send(DelayMessage(In(absl::Seconds(6)))).status().code(), v2::ILLEGAL_DELIVERY_TIME);
}

TEST_F(RecallHandlerTest, OnlyADelayTopicTakesDelayMessages) {
  EXPECT_EQ(Send(DelayMessage(In(absl::Hours(1)), "orders")).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(Send("x", "later").status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
}

TEST_F(RecallHandlerTest, AMessageIsRecalledOnce) {
  const std::string handle = SendDelayed();
  const v2::RecallMessageResponse response = Recall(handle);
  EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
  EXPECT_EQ(response.message_id(), "chosen-id");
  EXPECT_EQ(Recall(handle).status().code(), v2::NOT_FOUND);
}

TEST_F(RecallHandlerTest, ARecallGoesToTheShardThatHasTheMessage) {
  PlaceInTurn();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Recall(SendDelayed()).status().code(), v2::OK);
  EXPECT_THAT(broker(0).recalls, SizeIs(2));
  EXPECT_THAT(broker(1).recalls, SizeIs(2));
}

TEST_F(RecallHandlerTest, AForgedOrMalformedHandleIsRefused) {
  std::string handle = SendDelayed();
  EXPECT_EQ(Recall("").status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(Recall("nonsense").status().code(), v2::BAD_REQUEST);
  const auto forged = EncodeRecallHandle({ShardId(1), later_, {1, 2, 3}, "chosen-id"}, {2, "not the secret"});
  EXPECT_EQ(Recall(forged).status().code(), v2::BAD_REQUEST);
  handle[10] ^= 1;
  EXPECT_EQ(Recall(handle).status().code(), v2::BAD_REQUEST);
  EXPECT_THAT(broker(0).recalls, IsEmpty());
  EXPECT_THAT(broker(1).recalls, IsEmpty());
}

TEST_F(RecallHandlerTest, AHandleIsForItsTopicOnly) {
  controller_.MakeTopic("other", MessageType::kDelay);
  const std::string handle = SendDelayed();
  EXPECT_EQ(Recall(handle, "other").status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(Recall(handle, "missing").status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(Recall(handle, "a b").status().code(), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(Recall(handle).status().code(), v2::OK);
}

TEST_F(RecallHandlerTest, AHandleOfADeletedTopicFindsNothing) {
  const std::string handle = SendDelayed();
  controller_.Edit([](Metadata::Tables* tables) { tables->topics.pop_back(); });
  controller_.MakeTopic("later", MessageType::kDelay);
  EXPECT_EQ(Recall(handle).status().code(), v2::NOT_FOUND);
}

TEST_F(RecallHandlerTest, BrokerErrorsHaveTheirPublicCodes) {
  UseOneShard();
  const std::string handle = SendDelayed();
  const std::pair<absl::Status, v2::Code> cases[] = {
      {absl::DeadlineExceededError("x"), v2::PROXY_TIMEOUT},
      {absl::UnavailableError("x"), v2::HA_NOT_AVAILABLE},
      {absl::DataLossError("x"), v2::INTERNAL_SERVER_ERROR},
  };
  for (const auto& [status, code] : cases) {
    broker(0).RefuseNext(status);
    EXPECT_EQ(Recall(handle).status().code(), code) << status;
  }
}

TEST_F(RecallHandlerTest, TheLeaderIsAskedAfterOneThatLeadsNoMore) {
  UseOneShard();
  const std::string handle = SendDelayed();
  broker(0).RefuseNext(NotLeaderError({"broker-1", 2}, "moved"));
  EXPECT_EQ(Recall(handle).status().code(), v2::NOT_FOUND);  // This fake does not know it.
  EXPECT_THAT(broker(1).recalls, SizeIs(1));
}

}  // namespace
}  // namespace barid::proxy
