#ifndef BARID_TESTS_PROXY_STATUS_CODES_H_
#define BARID_TESTS_PROXY_STATUS_CODES_H_

#include <string>
#include <vector>

#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {

// A proxy of its own for one case of the table, with a topic of every type that is served: "orders" (NORMAL), "later"
// (DELAY), "deals" (TRANSACTION), "steps" (FIFO) and "alarms" (PRIORITY), the group "workers", and one shard.
class StatusWorld : public ProxyFixture {
 public:
  StatusWorld();

  // The status that stands on top of the answer, or in the first frame of a stream.
  v2::Status Ask(const std::string& rpc, const google::protobuf::MessageLite& request) {
    return AskBytes(rpc, request.SerializeAsString());
  }
  v2::Status AskBytes(const std::string& rpc, std::string request);

  // --- What the cases say ---

  using ProxyFixture::Ack;
  using ProxyFixture::broker;
  using ProxyFixture::Change;
  using ProxyFixture::ConsumerSettings;
  using ProxyFixture::Forward;
  using ProxyFixture::Heartbeat;
  using ProxyFixture::MessageOf;
  using ProxyFixture::Named;
  using ProxyFixture::ReceiveHandle;
  using ProxyFixture::ReceiveRequestOf;
  using ProxyFixture::Restart;
  using ProxyFixture::Send;
  using ProxyFixture::SetHeader;
  using ProxyFixture::StartReceive;

  FakeController& controller() { return controller_; }
  absl::Time In(absl::Duration delay) { return world_.clock()->Now() + delay; }

  // Topics and groups are made by nobody.
  void MakeNothing();
  // The shard has no leader.
  void Depose();
  // The shard refuses the next call so.
  void Refuse(absl::Status status) { broker(0).RefuseNext(std::move(status)); }
  // The port holds so many bytes of an answer that is not read yet.
  void LeaveRoomFor(size_t bytes) { port_.SetRoom(bytes); }

  v2::QueryRouteRequest Route(const std::string& topic = "orders");
  v2::QueryAssignmentRequest Assignment(const std::string& topic = "orders", const std::string& group = "workers");
  v2::Status SendWith(void (*change)(v2::SystemProperties*));
  // The shard takes the message, and says nothing.
  v2::Status SendUntilItsDeadline();
  v2::Message Scheduled(absl::Duration ahead);
  v2::Message Prepared();
  v2::Message Urgent(int32_t priority);
  v2::Message Lite(const std::string& lite_topic);
  v2::SyncLiteSubscriptionRequest Reads(const std::vector<std::string>& lite_topics,
                                        const std::string& topic = "sessions", const std::string& group = "workers");
  v2::MessageQueue Queue(const std::string& topic = "orders");
  v2::PullMessageRequest PullOf(int64_t offset);
  v2::UpdateOffsetRequest UpdateOf(int64_t offset, const std::string& group = "workers");
  v2::GetOffsetRequest GetOf(const std::string& group = "workers");
  v2::QueryOffsetRequest QueryOf(v2::QueryOffsetPolicy policy = v2::END);
  v2::EndTransactionRequest End(v2::TransactionResolution resolution, const std::string& topic = "deals");
  v2::RecallMessageRequest RecallOf(const std::string& handle, const std::string& topic = "later");
  std::string RecallHandle() { return Send(Scheduled(absl::Hours(1))).entries(0).recall_handle(); }
  // The handle of a delivery of a new message.
  std::string Delivered();

 private:
  void TestBody() override {}
};

// One row: what provokes a code of a call, in words and in deed.
struct StatusCase {
  const char* rpc;
  v2::Code code;
  const char* what;  // Reads after "when".
  v2::Status (*provoke)(StatusWorld&);
};
const std::vector<StatusCase>& StatusCases();

// Why codes are never answered. Without calls it holds for all calls that have no case of the code.
struct StatusReason {
  std::vector<const char*> rpcs;
  std::vector<v2::Code> codes;
  const char* why;
};
const std::vector<StatusReason>& StatusReasons();

// What the facts about the official clients and the reference server name for a call: it must have a case.
struct NamedCode {
  const char* rpc;
  v2::Code code;
};
const std::vector<NamedCode>& NamedCodes();

}  // namespace barid::proxy

#endif  // BARID_TESTS_PROXY_STATUS_CODES_H_
