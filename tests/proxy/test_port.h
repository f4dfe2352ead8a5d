#ifndef BARID_TESTS_PROXY_TEST_PORT_H_
#define BARID_TESTS_PROXY_TEST_PORT_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "edge/memory_transport.h"
#include "google/protobuf/message_lite.h"

namespace barid::proxy {

// One unary call under test, and what became of it.
class TestCall {
 public:
  explicit TestCall(std::shared_ptr<edge::MemoryCall> call) : call_(std::move(call)) {}

  bool answered() const { return call_->result() && call_->result()->ok(); }
  bool failed() const { return call_->result() && !call_->result()->ok(); }
  absl::Status failure() const { return call_->result()->status(); }
  void NearDeadline() { call_->NearDeadline(); }
  std::string bytes() const { return (*call_->result())->ToString(); }
  template <typename Response>
  Response As() const {
    CHECK(answered()) << (failed() ? failure().ToString() : "no answer yet");
    Response response;
    CHECK(response.ParseFromString((*call_->result())->ToString()));
    return response;
  }

 private:
  const std::shared_ptr<edge::MemoryCall> call_;
};

// A stream under test. The peer takes every frame, or, if it was opened so, only those it grants by Read.
class TestStream {
 public:
  explicit TestStream(edge::MemoryStream stream) : stream_(std::move(stream)) {}

  void Send(const google::protobuf::MessageLite& message) { SendBytes(message.SerializeAsString()); }
  void SendBytes(std::string bytes) { stream_.Send(Bytes(std::move(bytes))); }
  void HalfClose() { stream_.HalfClose(); }
  void Read(int frames) { stream_.Grant(frames); }
  void Cancel() { stream_.Cancel(); }
  void NearDeadline() { stream_.NearDeadline(); }

  size_t frames() {
    while (std::optional<Bytes> frame = stream_.Read()) frames_.push_back(frame->ToString());
    return frames_.size();
  }
  const std::vector<std::string>& raw_frames() {
    frames();
    return frames_;
  }
  template <typename Response>
  std::vector<Response> As() {
    frames();
    std::vector<Response> responses;
    for (const std::string& frame : frames_) CHECK(responses.emplace_back().ParseFromString(frame));
    return responses;
  }
  // How it ended; the server's word, or the peer's if that came first.
  std::optional<absl::Status> finished() const { return stream_.status(); }

 private:
  edge::MemoryStream stream_;
  std::vector<std::string> frames_;
};

// Serves a table of methods to a test, on its own thread.
class TestPort {
 public:
  std::vector<std::pair<std::string, std::string>> metadata = {{"x-mq-client-id", "client-1"},
                                                               {"x-mq-language", "JAVA"}};
  absl::Time deadline = absl::InfiniteFuture();

  void Serve(edge::MethodTable table) {
    table_ = std::move(table);
    transport_ = std::make_unique<edge::MemoryTransport>(table_);
  }
  // The port may hold so many bytes of answers for each stream that does not read.
  void SetRoom(size_t bytes) {
    transport_ =
        std::make_unique<edge::MemoryTransport>(table_, edge::PortLimits{.max_connection_request_bytes = bytes});
  }
  const edge::MethodTable& table() const { return table_; }

  std::shared_ptr<TestCall> StartBytes(const std::string& method, std::string bytes) {
    CHECK(table_.unary.contains(method)) << method;
    return std::make_shared<TestCall>(transport_->Call(Head(method), Bytes(std::move(bytes))));
  }
  std::shared_ptr<TestCall> Start(const std::string& method, const google::protobuf::MessageLite& request) {
    return StartBytes(method, request.SerializeAsString());
  }
  template <typename Response>
  Response Call(const std::string& method, const google::protobuf::MessageLite& request) {
    return Start(method, request)->template As<Response>();
  }

  std::shared_ptr<TestStream> Open(const std::string& method, bool reading = true) {
    CHECK(table_.streams.contains(method)) << method;
    const int credits = reading ? edge::MemoryTransport::kUnlimited : 0;
    return std::make_shared<TestStream>(transport_->Open(Head(method), credits));
  }

 private:
  edge::CallHead Head(const std::string& method) const {
    edge::CallHead head;
    head.method = method;
    head.metadata = metadata;
    head.deadline = deadline;
    head.peer = "ipv4:192.0.2.7:4711";
    return head;
  }

  edge::MethodTable table_;
  std::unique_ptr<edge::MemoryTransport> transport_;
};

}  // namespace barid::proxy

#endif  // BARID_TESTS_PROXY_TEST_PORT_H_
