#ifndef BARID_TESTS_PROXY_TEST_PORT_H_
#define BARID_TESTS_PROXY_TEST_PORT_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/log.h"
#include "edge/call.h"
#include "google/protobuf/message_lite.h"

namespace barid::proxy {

// The client's end of one unary call.
class CallEnd {
 public:
  virtual ~CallEnd() = default;
  virtual std::optional<absl::StatusOr<std::string>> Result() = 0;
  // The deadline is near: over memory because this says so, over sockets because time passes, which this waits for.
  virtual void NearDeadline() = 0;
};

// The client's end of one stream.
class StreamEnd {
 public:
  virtual ~StreamEnd() = default;  // Cancels it.
  virtual void Send(std::string message) = 0;
  virtual void HalfClose() = 0;
  virtual void Cancel() = 0;
  virtual std::optional<std::string> Next() = 0;
  virtual std::optional<absl::Status> Status() = 0;
  // Over memory only.
  virtual void Grant(int messages) = 0;
  virtual void NearDeadline() = 0;
  virtual void Drain() = 0;
};

// How calls come to the handlers and answers go back. Handlers never run at the same time as the test: over memory in
// what the test calls, over sockets while that waits.
class Carrier {
 public:
  virtual ~Carrier() = default;
  virtual std::unique_ptr<CallEnd> Call(edge::CallHead head, std::string request) = 0;
  virtual std::unique_ptr<StreamEnd> Open(edge::CallHead head, bool reading) = 0;
  // Streams that are open end as they do when a port does. No more calls come.
  virtual void Stop() {}
};

// In the same process (edge/memory_transport.h).
std::shared_ptr<Carrier> CarryInMemory(edge::MethodTable table, edge::PortLimits limits);
// Through the public port of edge/h2/ and a client of raw frames.
std::shared_ptr<Carrier> CarryOverSockets(edge::MethodTable table, edge::PortLimits limits);

// One unary call under test, and what became of it.
class TestCall {
 public:
  explicit TestCall(std::unique_ptr<CallEnd> end) : end_(std::move(end)) {}

  bool answered() const { return Is(true); }
  bool failed() const { return Is(false); }
  absl::Status failure() const { return end_->Result()->status(); }
  void NearDeadline() { end_->NearDeadline(); }
  std::string bytes() const { return **end_->Result(); }
  template <typename Response>
  Response As() const {
    CHECK(answered()) << (failed() ? failure().ToString() : "no answer yet");
    Response response;
    CHECK(response.ParseFromString(bytes()));
    return response;
  }

 private:
  bool Is(bool ok) const {
    const auto result = end_->Result();
    return result && result->ok() == ok;
  }

  const std::unique_ptr<CallEnd> end_;
};

// A stream under test. The peer takes every frame, or, if it was opened so, only those it grants by Read.
class TestStream {
 public:
  explicit TestStream(std::unique_ptr<StreamEnd> end) : end_(std::move(end)) {}

  void Send(const google::protobuf::MessageLite& message) { SendBytes(message.SerializeAsString()); }
  void SendBytes(std::string bytes) { end_->Send(std::move(bytes)); }
  void HalfClose() { end_->HalfClose(); }
  void Read(int frames) { end_->Grant(frames); }
  void Cancel() { end_->Cancel(); }
  void NearDeadline() { end_->NearDeadline(); }
  void Drain() { end_->Drain(); }

  size_t frames() {
    while (std::optional<std::string> frame = end_->Next()) frames_.push_back(*std::move(frame));
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
  std::optional<absl::Status> finished() const { return end_->Status(); }

 private:
  const std::unique_ptr<StreamEnd> end_;
  std::vector<std::string> frames_;
};

// Serves a table of methods to a test, on its own thread: over memory, or, if the environment says BARID_TEST_PORT=h2,
// over sockets.
class TestPort {
 public:
  std::vector<std::pair<std::string, std::string>> metadata = {{"x-mq-client-id", "client-1"},
                                                               {"x-mq-language", "JAVA"}};
  absl::Time deadline = absl::InfiniteFuture();

  static bool IsOverSockets();

  ~TestPort() { Stop(); }
  void Serve(edge::MethodTable table) {
    table_ = std::move(table);
    Carry({});
  }
  // Before what the handlers need goes.
  void Stop() {
    for (const auto& carrier : carriers_) carrier->Stop();
    carriers_.clear();
  }
  // The port may hold so many bytes of answers for each stream that does not read. Streams that are open stay.
  void SetRoom(size_t bytes) {
    Carry({.max_inflight_request_bytes = 2 * bytes, .max_connection_request_bytes = bytes});
  }
  const edge::MethodTable& table() const { return table_; }

  std::shared_ptr<TestCall> StartBytes(const std::string& method, std::string bytes) {
    CHECK(table_.unary.contains(method)) << method;
    return std::make_shared<TestCall>(carriers_.back()->Call(Head(method), std::move(bytes)));
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
    return std::make_shared<TestStream>(carriers_.back()->Open(Head(method), reading));
  }

 private:
  void Carry(const edge::PortLimits& limits) {
    carriers_.push_back(IsOverSockets() ? CarryOverSockets(table_, limits) : CarryInMemory(table_, limits));
  }
  edge::CallHead Head(const std::string& method) const {
    edge::CallHead head;
    head.method = method;
    head.metadata = metadata;
    head.deadline = deadline;
    head.peer = "ipv4:192.0.2.7:4711";
    return head;
  }

  edge::MethodTable table_;
  std::vector<std::shared_ptr<Carrier>> carriers_;  // The last takes new calls.
};

}  // namespace barid::proxy

#endif  // BARID_TESTS_PROXY_TEST_PORT_H_
