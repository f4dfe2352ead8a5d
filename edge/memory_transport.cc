#include "edge/memory_transport.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid::edge {
namespace {

// Waits until `done()` holds or real time `timeout` has passed. Waking is whoever changes the state's business.
template <typename Done>
void WaitUntil(Mutex* mu, CondVar* changed, absl::Duration timeout, Done done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
  const absl::Time end = absl::Now() + timeout;
  while (!done()) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return;
    changed->WaitFor(mu, std::min(left, absl::Hours(1)));
  }
}

absl::Status TooLarge(size_t size, size_t limit) {
  return absl::ResourceExhaustedError(absl::StrCat("message of ", size, " bytes; the limit is ", limit));
}

}  // namespace

// --- Unary ---------------------------------------------------------------------------------------------------------

class MemoryUnaryCall final : public UnaryCall {
 public:
  MemoryUnaryCall(CallHead head, Bytes request, std::shared_ptr<MemoryCall> client)
      : head_(std::move(head)), request_(std::move(request)), client_(std::move(client)) {}
  ~MemoryUnaryCall() override {
    if (client_ != nullptr) Fail(absl::InternalError("call dropped without an answer"));
  }

  const CallHead& head() const override { return head_; }
  const Bytes& request() const override { return request_; }
  bool AddInitial(absl::string_view key, absl::string_view value) override {
    return Add(&ResponseMetadata::initial, key, value);
  }
  bool AddTrailing(absl::string_view key, absl::string_view value) override {
    return Add(&ResponseMetadata::trailing, key, value);
  }
  void Answer(Bytes response) override { Release()->End(std::move(response), std::move(metadata_)); }
  void Fail(const absl::Status& status) override {
    CHECK(!status.ok()) << "a call fails with an error or is answered";
    Release()->End(status, std::move(metadata_));
  }
  void AnswerInTime(Bytes response) override {
    MutexLock lock(&client_->mu_);
    client_->in_time_ = {std::move(response), metadata_};
  }
  void Resume(absl::AnyInvocable<void()> task) override { task(); }

 private:
  std::shared_ptr<MemoryCall> Release() {
    CHECK(client_ != nullptr) << "answered twice: " << head_.method;
    return std::move(client_);
  }
  bool Add(Metadata ResponseMetadata::*part, absl::string_view key, absl::string_view value) {
    CHECK(client_ != nullptr) << "metadata after the answer: " << head_.method;
    return AddMetadata(key, std::string(value), &(metadata_.*part));
  }

  const CallHead head_;
  const Bytes request_;
  ResponseMetadata metadata_;
  std::shared_ptr<MemoryCall> client_;
};

std::optional<absl::StatusOr<Bytes>> MemoryCall::result() const {
  MutexLock lock(&mu_);
  return result_;
}

ResponseMetadata MemoryCall::metadata() const {
  MutexLock lock(&mu_);
  return metadata_;
}

absl::StatusOr<Bytes> MemoryCall::Wait(absl::Duration timeout) const {
  MutexLock lock(&mu_);
  WaitUntil(&mu_, &ended_, timeout, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return result_.has_value(); });
  if (!result_) return absl::DeadlineExceededError(absl::StrCat("no answer within ", absl::FormatDuration(timeout)));
  return *result_;
}

void MemoryCall::NearDeadline() {
  std::optional<std::pair<Bytes, ResponseMetadata>> answer;
  {
    MutexLock lock(&mu_);
    answer = std::exchange(in_time_, std::nullopt);
  }
  if (answer) End(std::move(answer->first), std::move(answer->second));
}

void MemoryCall::End(absl::StatusOr<Bytes> result, ResponseMetadata metadata) {
  MutexLock lock(&mu_);
  if (result_) return;
  result_ = std::move(result);
  metadata_ = std::move(metadata);
  ended_.SignalAll();
}

// --- Streams -------------------------------------------------------------------------------------------------------

// Both ends of a stream. Whoever changes the state calls Run, which calls the handler until there is nothing to tell;
// while one thread does, the others leave their news to it. So the handler hears one thing at a time, in order, and may
// call the stream from inside.
class MemoryStream::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(CallHead head, size_t max_request_bytes, int credits)
      : head_(std::move(head)), max_request_bytes_(max_request_bytes), credits_(credits) {}

  const CallHead& head() const { return head_; }

  void Start(std::shared_ptr<StreamHandler> handler) {
    CHECK(handler != nullptr) << head_.method;
    {
      MutexLock lock(&mu_);
      handler_ = std::move(handler);
      opened_ = true;
    }
    Run();
  }

  // The client's side.
  void Send(Bytes message) {
    if (message.size() > max_request_bytes_) return End(TooLarge(message.size(), max_request_bytes_));
    {
      MutexLock lock(&mu_);
      if (half_closed_ || status_) return;
      to_server_.push_back(std::move(message));
    }
    Run();
  }
  void HalfClose() {
    {
      MutexLock lock(&mu_);
      half_closed_ = true;
    }
    Run();
  }
  void NearDeadline() {
    {
      MutexLock lock(&mu_);
      deadline_near_ = true;
    }
    Run();
  }
  void Drain() {
    {
      MutexLock lock(&mu_);
      drains_ = true;
    }
    Run();
  }
  void Grant(int messages) {
    {
      MutexLock lock(&mu_);
      credits_ += messages;
    }
    Run();
  }
  // The client or its deadline ends the stream: what the server wrote may or may not have arrived.
  void End(absl::Status status) {
    {
      MutexLock lock(&mu_);
      if (status_) return;
      status_ = std::move(status);
      changed_.SignalAll();
    }
    Run();
  }
  ResponseMetadata metadata() const {
    MutexLock lock(&mu_);
    return {metadata_.initial, finished_ ? metadata_.trailing : Metadata()};
  }
  std::optional<Bytes> Read() {
    MutexLock lock(&mu_);
    return Pop();
  }
  std::optional<Bytes> WaitForMessage(absl::Duration timeout) {
    MutexLock lock(&mu_);
    WaitUntil(&mu_, &changed_, timeout,
              [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !to_client_.empty() || status_.has_value(); });
    return Pop();
  }
  std::optional<absl::Status> status() const {
    MutexLock lock(&mu_);
    return status_;
  }
  std::optional<absl::Status> WaitForStatus(absl::Duration timeout) {
    MutexLock lock(&mu_);
    WaitUntil(&mu_, &changed_, timeout, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return status_.has_value(); });
    return status_;
  }

  // The server's side.
  bool AddInitial(absl::string_view key, absl::string_view value) {
    MutexLock lock(&mu_);
    CHECK(!opened_) << "initial metadata after the headers: " << head_.method;
    return AddMetadata(key, std::string(value), &metadata_.initial);
  }
  bool AddTrailing(absl::string_view key, absl::string_view value) {
    MutexLock lock(&mu_);
    if (opened_ && handler_ == nullptr) return true;  // It is over.
    CHECK(!finished_) << "trailing metadata after Finish: " << head_.method;
    return AddMetadata(key, std::string(value), &metadata_.trailing);
  }
  void Write(Bytes message) {
    {
      MutexLock lock(&mu_);
      if (status_) return;
      CHECK(asked_) << "Write without OnWritable: " << head_.method;
      asked_ = false;
      --credits_;
      to_client_.push_back(std::move(message));
      changed_.SignalAll();
    }
    Run();
  }
  void Finish(const absl::Status& status) {
    {
      MutexLock lock(&mu_);
      if (status_) return;
      finished_ = true;
      delivered_ = status.ok();
      status_ = status;
      changed_.SignalAll();
    }
    Run();
  }

 private:
  std::optional<Bytes> Pop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (to_client_.empty()) return std::nullopt;
    Bytes message = std::move(to_client_.front());
    to_client_.pop_front();
    return message;
  }

  void Run() {
    // The handler may drop the last other share in this stream.
    const std::shared_ptr<Core> self = shared_from_this();
    {
      MutexLock lock(&mu_);
      if (running_ || handler_ == nullptr) return;
      running_ = true;
    }
    while (TellNext()) {
    }
  }

  // Tells the handler one thing. False if there is nothing to tell; then another call of Run may take over.
  bool TellNext() {
    std::shared_ptr<StreamHandler> handler;
    absl::AnyInvocable<void(StreamHandler*)> tell;
    {
      MutexLock lock(&mu_);
      handler = handler_;
      if (status_) {
        tell = [delivered = delivered_](StreamHandler* h) { h->OnDone(delivered); };
        handler_ = nullptr;
      } else if (!asked_ && credits_ > 0) {
        asked_ = true;
        tell = [](StreamHandler* h) { h->OnWritable(); };
      } else if (!to_server_.empty()) {
        tell = [message = std::move(to_server_.front())](StreamHandler* h) mutable {
          h->OnMessage(std::move(message));
        };
        to_server_.pop_front();
      } else if (half_closed_ && !told_half_close_) {
        told_half_close_ = true;
        tell = [](StreamHandler* h) { h->OnHalfClose(); };
      } else if (deadline_near_ && !told_deadline_near_) {
        told_deadline_near_ = true;
        tell = [](StreamHandler* h) { h->OnDeadlineNear(); };
      } else if (drains_ && !told_drain_) {
        told_drain_ = true;
        tell = [](StreamHandler* h) { h->OnDrain(); };
      } else {
        running_ = false;
        return false;
      }
    }
    tell(handler.get());
    MutexLock lock(&mu_);
    if (handler_ == nullptr) running_ = false;
    return handler_ != nullptr;
  }

  const CallHead head_;
  const size_t max_request_bytes_;

  mutable Mutex mu_;
  CondVar changed_;
  std::shared_ptr<StreamHandler> handler_ ABSL_GUARDED_BY(mu_);  // Null before Start and once OnDone was called.
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  bool asked_ ABSL_GUARDED_BY(mu_) = false;  // OnWritable was called and not yet answered by Write.
  int64_t credits_ ABSL_GUARDED_BY(mu_);
  std::deque<Bytes> to_server_ ABSL_GUARDED_BY(mu_);
  std::deque<Bytes> to_client_ ABSL_GUARDED_BY(mu_);
  bool half_closed_ ABSL_GUARDED_BY(mu_) = false;
  bool told_half_close_ ABSL_GUARDED_BY(mu_) = false;
  bool deadline_near_ ABSL_GUARDED_BY(mu_) = false;
  bool told_deadline_near_ ABSL_GUARDED_BY(mu_) = false;
  bool drains_ ABSL_GUARDED_BY(mu_) = false;
  bool told_drain_ ABSL_GUARDED_BY(mu_) = false;
  bool opened_ ABSL_GUARDED_BY(mu_) = false;    // The factory has returned.
  bool finished_ ABSL_GUARDED_BY(mu_) = false;  // By the server.
  bool delivered_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mu_);
  ResponseMetadata metadata_ ABSL_GUARDED_BY(mu_);
};

namespace {

class ServerStream : public Stream {
 public:
  ServerStream(std::shared_ptr<MemoryStream::Core> core, size_t max_reserved_bytes)
      : core_(std::move(core)), left_to_reserve_(max_reserved_bytes) {}

  const CallHead& head() const override { return core_->head(); }
  bool AddInitial(absl::string_view key, absl::string_view value) override { return core_->AddInitial(key, value); }
  bool AddTrailing(absl::string_view key, absl::string_view value) override { return core_->AddTrailing(key, value); }
  void Write(Bytes message) override { core_->Write(std::move(message)); }
  bool Reserve(size_t bytes) override {
    if (bytes > left_to_reserve_) return false;
    left_to_reserve_ -= bytes;
    return true;
  }
  void Finish(const absl::Status& status) override { core_->Finish(status); }
  void Resume(absl::AnyInvocable<void()> task) override { task(); }

 private:
  const std::shared_ptr<MemoryStream::Core> core_;
  size_t left_to_reserve_;
};

}  // namespace

MemoryStream::MemoryStream(std::shared_ptr<Core> core) : core_(std::move(core)) {}
MemoryStream::~MemoryStream() {
  if (core_ != nullptr) Cancel();
}
void MemoryStream::Send(Bytes message) { core_->Send(std::move(message)); }
void MemoryStream::HalfClose() { core_->HalfClose(); }
void MemoryStream::Cancel() { core_->End(absl::CancelledError("cancelled by the client")); }
void MemoryStream::NearDeadline() { core_->NearDeadline(); }
void MemoryStream::ExpireDeadline() { core_->End(absl::DeadlineExceededError("deadline passed")); }
void MemoryStream::Drain() { core_->Drain(); }
void MemoryStream::Grant(int messages) { core_->Grant(messages); }
ResponseMetadata MemoryStream::metadata() const { return core_->metadata(); }
std::optional<Bytes> MemoryStream::Read() { return core_->Read(); }
std::optional<Bytes> MemoryStream::WaitForMessage(absl::Duration timeout) { return core_->WaitForMessage(timeout); }
std::optional<absl::Status> MemoryStream::status() const { return core_->status(); }
std::optional<absl::Status> MemoryStream::WaitForStatus(absl::Duration timeout) {
  return core_->WaitForStatus(timeout);
}

// --- The table -----------------------------------------------------------------------------------------------------

std::shared_ptr<MemoryCall> MemoryTransport::Call(CallHead head, Bytes request) const {
  auto client = std::make_shared<MemoryCall>();
  const auto method = table_.unary.find(head.method);
  if (method == table_.unary.end()) {
    client->End(absl::UnimplementedError(absl::StrCat("unknown method ", head.method)));
  } else if (request.size() > limits_.max_request_bytes) {
    client->End(TooLarge(request.size(), limits_.max_request_bytes));
  } else {
    method->second(std::make_unique<MemoryUnaryCall>(std::move(head), std::move(request), client));
  }
  return client;
}

MemoryStream MemoryTransport::Open(CallHead head, int credits) const {
  const auto method = table_.streams.find(head.method);
  auto core = std::make_shared<MemoryStream::Core>(std::move(head), limits_.max_request_bytes, credits);
  if (method == table_.streams.end()) {
    core->End(absl::UnimplementedError(absl::StrCat("unknown method ", core->head().method)));
  } else {
    core->Start(method->second(std::make_shared<ServerStream>(core, limits_.max_connection_request_bytes)));
  }
  return MemoryStream(std::move(core));
}

}  // namespace barid::edge
