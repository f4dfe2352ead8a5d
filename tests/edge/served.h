#ifndef BARID_TESTS_EDGE_SERVED_H_
#define BARID_TESTS_EDGE_SERVED_H_

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "edge/call.h"

// What tests of a transport serve, and how they call it.
namespace barid::edge {

using Headers = Metadata;

inline constexpr absl::Duration kPatience = absl::Seconds(20);

// The client's end of a stream, whatever the transport.
class TestStream {
 public:
  virtual ~TestStream() = default;
  virtual void Send(std::string message) = 0;
  virtual void HalfClose() = 0;
  virtual void Cancel() = 0;
  // The next message, or nullopt if the stream ended.
  virtual std::optional<std::string> Read() = 0;
  // Once Read has returned nullopt.
  virtual absl::Status Status() = 0;
  // The server's metadata, once Status has returned.
  virtual ResponseMetadata Told() = 0;
};

// A served table and a client of it.
class TestPort {
 public:
  virtual ~TestPort() = default;
  // The server's metadata go to `told`.
  virtual absl::StatusOr<std::string> Call(const std::string& method, std::string request, Headers headers,
                                           ResponseMetadata* told) = 0;
  absl::StatusOr<std::string> Call(const std::string& method, std::string request, Headers headers = {}) {
    ResponseMetadata told;
    return Call(method, std::move(request), std::move(headers), &told);
  }
  virtual std::unique_ptr<TestStream> Open(const std::string& method, Headers headers) = 0;
  std::unique_ptr<TestStream> Open(const std::string& method) { return Open(method, {}); }
};

// Something one thread waits for and another sets.
template <typename T>
class Promise {
 public:
  void Set(T value) {
    MutexLock lock(&mu_);
    value_ = std::move(value);
    changed_.SignalAll();
  }
  // nullopt if it does not come in time.
  std::optional<T> Wait(absl::Duration timeout = kPatience) {
    const absl::Time end = absl::Now() + timeout;
    MutexLock lock(&mu_);
    while (!value_ && absl::Now() < end) changed_.WaitFor(&mu_, end - absl::Now());
    return value_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::optional<T> value_;
};

// A handler that writes down what it is told, as text: "writable message:a half-close done:delivered".
class RecordingHandler : public StreamHandler {
 public:
  explicit RecordingHandler(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  void OnMessage(Bytes message) override { Note("message:" + message.ToString()); }
  void OnHalfClose() override { Note("half-close"); }
  void OnWritable() override { Note("writable"); }
  void OnDeadlineNear() override { Note("deadline-near"); }
  void OnDrain() override { Note("drain"); }
  void OnDone(bool delivered) override { Note(delivered ? "done:delivered" : "done:lost"); }

  Stream* stream() { return stream_.get(); }
  std::vector<std::string> story() {
    MutexLock lock(&mu_);
    return story_;
  }
  // True once `event` was told `times` times.
  bool WaitFor(const std::string& event, int times = 1) {
    const absl::Time end = absl::Now() + kPatience;
    MutexLock lock(&mu_);
    while (std::count(story_.begin(), story_.end(), event) < times) {
      if (absl::Now() > end) return false;
      changed_.WaitFor(&mu_, absl::Seconds(1));
    }
    return true;
  }

 private:
  void Note(std::string event) {
    MutexLock lock(&mu_);
    story_.push_back(std::move(event));
    changed_.SignalAll();
  }

  const std::shared_ptr<Stream> stream_;
  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> story_ ABSL_GUARDED_BY(mu_);
};

// Tells `call`'s peer what it has told itself by keys that begin so. False: not all of it.
template <typename Call>
bool TellBack(Call* call) {
  for (const auto& [key, value] : call->head().metadata) {
    if (key.rfind("first-", 0) == 0 && !call->AddInitial(key, value)) return false;
    if (key.rfind("last-", 0) == 0 && !call->AddTrailing(key, value)) return false;
  }
  return true;
}

// Sends back every message; ends when the client has.
class EchoHandler : public StreamHandler {
 public:
  explicit EchoHandler(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  void OnMessage(Bytes message) override {
    waiting_.push_back(std::move(message));
    Pump();
  }
  void OnHalfClose() override {
    half_closed_ = true;
    Pump();
  }
  void OnWritable() override {
    writable_ = true;
    Pump();
  }
  void OnDone(bool delivered) override {}

 private:
  void Pump() {
    if (writable_ && !waiting_.empty()) {
      writable_ = false;
      Bytes next = std::move(waiting_.front());
      waiting_.pop_front();
      stream_->Write(std::move(next));
    }
    if (half_closed_ && waiting_.empty()) stream_->Finish(absl::OkStatus());
  }

  const std::shared_ptr<Stream> stream_;
  std::deque<Bytes> waiting_;
  bool writable_ = false;
  bool half_closed_ = false;
};

// Answers "/t/Unary" by keeping the call for the test, "/t/Echo" at once, "/t/Drop" by dropping the call; "/t/Stream"
// by a RecordingHandler, "/t/EchoStream" by an EchoHandler; the last three and "/t/Fail" after TellBack.
struct Served {
  Promise<std::shared_ptr<RecordingHandler>> stream;
  Promise<std::shared_ptr<UnaryCall>> call;

  MethodTable Table() {
    MethodTable table;
    table.unary["/t/Echo"] = [](std::unique_ptr<UnaryCall> call) {
      if (!TellBack(call.get())) return call->Fail(absl::InvalidArgumentError("it cannot be told"));
      call->Answer(call->request());
    };
    table.unary["/t/Fail"] = [](std::unique_ptr<UnaryCall> call) {
      TellBack(call.get());
      call->Fail(absl::AbortedError(call->request().ToString()));
    };
    table.unary["/t/Drop"] = [](std::unique_ptr<UnaryCall> call) {};
    table.unary["/t/Unary"] = [this](std::unique_ptr<UnaryCall> unary) { call.Set(std::move(unary)); };
    table.streams["/t/Stream"] = [this](std::shared_ptr<Stream> opened) {
      TellBack(opened.get());
      auto handler = std::make_shared<RecordingHandler>(std::move(opened));
      stream.Set(handler);
      return handler;
    };
    table.streams["/t/EchoStream"] = [](std::shared_ptr<Stream> opened) {
      TellBack(opened.get());
      return std::make_shared<EchoHandler>(std::move(opened));
    };
    return table;
  }
};

}  // namespace barid::edge

#endif  // BARID_TESTS_EDGE_SERVED_H_
