#include "edge/h2/h2_call.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "edge/h2/connection.h"
#include "edge/h2/encodings.h"

namespace barid::edge::h2 {
namespace {

constexpr size_t kMostSpareCalls = 256;
// Of one port on one loop. Of calls beyond it, as of all that have nothing to say in time, clients end their wait.
constexpr int kMostCallsInTime = 1000;
// Answers up to this size need no room in the budgets: that something is done is told in any case, and there are no
// more of them than streams.
constexpr size_t kSmallAnswer = size_t{4} << 10;

}  // namespace

LoopPort::~LoopPort() = default;

// --- Any call ---

void H2Call::OnData(absl::string_view data) {
  while (!is_over() && ReadsOn()) {
    const size_t size = data.size();
    if (reader_.is_empty() && reading_since_ == absl::InfiniteDuration()) AwaitMore();
    const absl::StatusOr<bool> whole = reader_.Read(&data);
    if (!whole.ok()) return Abort(whole.status());
    if (!connection_->TakeBytes(size - data.size())) {
      return Abort(absl::ResourceExhaustedError("the server holds too many bytes of requests; try again later"));
    }
    taken_bytes_ += size - data.size();
    if (!*whole) return;
    reading_since_ = absl::InfiniteDuration();
    OnMessage(reader_.Take());
    if (data.empty()) return;
  }
}

bool H2Call::TakeAnswer(size_t bytes) {
  ReturnTaken();  // The request is done with.
  if (bytes <= kSmallAnswer) return true;
  if (!connection_->TakeBytes(bytes)) return false;
  taken_bytes_ = bytes;
  return true;
}

bool H2Call::Reserve(size_t bytes) {
  if (is_over()) return true;  // What is sent from now on is dropped.
  if (!connection_->TakeBytes(bytes)) return false;
  reserved_bytes_ += bytes;
  return true;
}

void H2Call::ReturnTaken() { connection_->ReturnBytes(std::exchange(taken_bytes_, 0)); }

void H2Call::ReturnAll() {
  ReturnTaken();
  connection_->ReturnBytes(std::exchange(reserved_bytes_, 0));
}

void H2Call::OnEndStream() {
  has_ended_ = true;
  if (is_over() || !ReadsOn()) return;
  if (!reader_.is_empty()) return Abort(absl::InternalError("the request ends in the middle of a message"));
  OnHalfClose();
}

void H2Call::SendMessage(Bytes message) {
  if (is_over() || status_) return;
  CHECK(!message_) << "a message before the one before it was taken: " << head_.method;
  message_ = std::move(message);
  sent_bytes_ = part_ = part_bytes_ = 0;
  moved_at_ = loop_->now();
  connection_->Send(this);
}

void H2Call::SendStatus(absl::Status status) {
  if (is_over() || status_) return;
  status_ = std::move(status);
  moved_at_ = loop_->now();
  connection_->Send(this);
}

void H2Call::Abort(absl::Status status) {
  if (is_over() || status_) return;
  const bool is_in_message = sent_bytes_ > 0 && unsent_bytes() > 0;
  if (is_in_message || !CanSendStatus()) {
    status_ = std::move(status);
    return connection_->ResetStream(this);
  }
  message_.reset();
  SendStatus(std::move(status));
}

void H2Call::MoveTo(OutQueue* out, size_t size) {
  moved_at_ = loop_->now();
  const size_t length = message_->size();
  if (sent_bytes_ < kPrefixBytes) {
    char prefix[kPrefixBytes] = {0};
    for (size_t i = 1; i < kPrefixBytes; ++i) prefix[i] = static_cast<char>(length >> 8 * (kPrefixBytes - 1 - i));
    const size_t prefix_bytes = std::min(size, kPrefixBytes - sent_bytes_);
    out->Append(absl::string_view(prefix + sent_bytes_, prefix_bytes));
    sent_bytes_ += prefix_bytes;
    size -= prefix_bytes;
  }
  while (size > 0) {
    const Buffer& part = message_->parts()[part_];
    const size_t part_left = std::min(size, part.size() - part_bytes_);
    if (part_left >= OutQueue::kByReference) {
      out->Append(part.Slice(part_bytes_, part_left));
    } else {
      out->Append(part.view().substr(part_bytes_, part_left));
    }
    part_bytes_ += part_left;
    sent_bytes_ += part_left;
    size -= part_left;
    if (part_bytes_ < part.size()) continue;
    ++part_;
    part_bytes_ = 0;
  }
}

bool H2Call::AddMetadata(Metadata ResponseMetadata::*part, absl::string_view key, absl::string_view value,
                         std::unique_ptr<ResponseMetadata>* metadata) {
  if (*metadata == nullptr) *metadata = std::make_unique<ResponseMetadata>();
  std::string text = absl::EndsWith(key, "-bin") ? EncodeBinaryHeader(value) : std::string(value);
  return edge::AddMetadata(key, std::move(text), &(**metadata.*part));
}

void H2Call::Reset() {
  reader_.Reset();
  metadata_.reset();
  has_ended_ = has_headers_out_ = is_deferred_ = has_status_out_ = false;
  message_.reset();
  sent_bytes_ = part_ = part_bytes_ = 0;
  status_.reset();
}

void H2Call::WatchDeadline(absl::Duration at) { connection_->WatchDeadline(at); }

// --- Unary ---

class H2UnaryCall::Handle final : public UnaryCall {
 public:
  explicit Handle(H2UnaryCall* call) : call_(call) {}
  ~Handle() override {
    if (!call_->answered_) Fail(absl::InternalError("call dropped without an answer"));
    if (call_->LetGo()) delete call_;
  }

  const CallHead& head() const override { return call_->head_; }
  const Bytes& request() const override { return *call_->request_; }
  bool AddInitial(absl::string_view key, absl::string_view value) override {
    return call_->Add(&ResponseMetadata::initial, key, value);
  }
  bool AddTrailing(absl::string_view key, absl::string_view value) override {
    return call_->Add(&ResponseMetadata::trailing, key, value);
  }
  void Answer(Bytes response) override {
    call_->response_ = std::move(response);
    call_->End(absl::OkStatus());
  }
  void Fail(const absl::Status& status) override {
    CHECK(!status.ok()) << "a call fails with an error or is answered";
    call_->End(status);
  }
  void AnswerInTime(Bytes response) override { call_->AnswerInTime(std::move(response)); }
  void Resume(absl::AnyInvocable<void()> task) override { call_->Resume(std::move(task)); }

 private:
  H2UnaryCall* const call_;
};

void H2UnaryCall::Begin(const UnaryHandler* handler) {
  handler_ = handler;
  notice_at_ = absl::InfiniteDuration();
  has_left_ = is_in_time_ = false;
  request_.reset();
  answered_ = is_finished_ = false;
  holds_.store(1, std::memory_order_relaxed);
}

void H2UnaryCall::OnMessage(Bytes message) {
  if (request_) return Abort(absl::InternalError("a unary call has exactly one request message; a second one came"));
  request_ = std::move(message);
  AwaitMore();  // The end.
}

void H2UnaryCall::OnHalfClose() {
  if (!request_) return Abort(absl::InternalError("a unary call has exactly one request message; none came"));
  holds_.fetch_add(1, std::memory_order_relaxed);
  (*std::exchange(handler_, nullptr))(std::make_unique<Handle>(this));
}

bool H2UnaryCall::Add(Metadata ResponseMetadata::*part, absl::string_view key, absl::string_view value) {
  CHECK(!answered_) << "metadata after the answer: " << head_.method;
  return AddMetadata(part, key, value, &added_);
}

void H2UnaryCall::AnswerInTime(Bytes response) {
  if (head_.deadline == absl::InfiniteFuture() || is_over()) return;
  const absl::Duration left = head_.deadline - absl::Now();
  notice_at_ = loop_->now() + left - std::min(kDeadlineNotice, left / 2);
  in_time_ = std::move(response);
  if (added_ != nullptr) metadata_ = std::make_unique<ResponseMetadata>(*added_);
  WatchDeadline(notice_at_);
}

absl::Duration H2UnaryCall::OnDeadlineNotice() {
  if (notice_at_ > loop_->now()) return notice_at_;
  notice_at_ = absl::InfiniteDuration();
  // The stream is over then, and the call is not: those are bounded by this, no longer by the streams.
  const std::shared_ptr<LoopPort> home = home_.lock();
  if (home == nullptr || home->calls_in_time >= kMostCallsInTime) return notice_at_;
  ++home->calls_in_time;
  is_in_time_ = true;
  // No room is taken for it: it is small, and the request is still its handler's.
  SendMessage(std::move(in_time_));
  SendStatus(absl::OkStatus());
  return notice_at_;
}

void H2UnaryCall::End(absl::Status status) {
  CHECK(!answered_) << "answered twice: " << head_.method;
  answered_ = true;
  end_ = std::move(status);
  if (loop_->IsCurrent()) return Finish();
  // A loop that has ended has closed all its connections. The handle holds the call, so this is never the last hold.
  if (!loop_->Post(this)) LetGo();
}

void H2UnaryCall::Resume(absl::AnyInvocable<void()> task) {
  if (loop_->IsCurrent()) return task();
  resumed_ = std::move(task);
  // The task may own the handle: once it has run, nobody holds the call, and with it the loop, while we still post.
  const std::shared_ptr<Loop> loop = loop_;
  if (loop->Post(this)) return;
  std::exchange(resumed_, nullptr)();  // May own the handle, and with it this call.
}

void H2UnaryCall::RunPosted() {
  if (answered_) return Finish();
  std::exchange(resumed_, nullptr)();
}

void H2UnaryCall::Finish() {
  is_finished_ = true;
  notice_at_ = absl::InfiniteDuration();
  in_time_ = Bytes();
  if (is_in_time_) {
    if (const std::shared_ptr<LoopPort> home = home_.lock()) --home->calls_in_time;
  }
  if (has_left_) {
    if (LetGo()) delete this;
    return;
  }
  // It was answered already, and OnOver lets go.
  if (is_over() || has_status()) return;
  metadata_ = std::move(added_);
  if (end_.ok() && !TakeAnswer(response_.size())) {
    end_ = absl::ResourceExhaustedError(
        absl::StrCat("the answer has ", response_.size(),
                     " bytes, and the server holds too many of this connection; try again later"));
    response_ = Bytes();
  }
  if (end_.ok()) SendMessage(std::move(response_));
  SendStatus(std::move(end_));
}

void H2UnaryCall::OnOver(bool delivered) {
  has_left_ = true;
  // That the peer went away first is no news to anyone: a late answer is dropped.
  if (handler_ == nullptr && !is_finished_) return;  // Until the answer comes.
  if (!LetGo()) return;
  std::unique_ptr<H2UnaryCall> self(this);
  const std::shared_ptr<LoopPort> home = home_.lock();
  if (home == nullptr || home->spare_calls.size() >= kMostSpareCalls) return;
  Reset();
  request_.reset();
  response_ = Bytes();
  added_.reset();
  home->spare_calls.push_back(std::move(self));
}

// --- Streaming ---

void H2StreamCall::Begin(const StreamFactory& factory) {
  self_ = shared_from_this();
  handler_ = factory(self_);
  CHECK(handler_ != nullptr) << head_.method;
  if (head_.deadline == absl::InfiniteFuture()) return;
  const absl::Duration left = head_.deadline - absl::Now();
  deadline_ = loop_->now() + left;
  loop_->Set(this, deadline_ - std::min(kDeadlineNotice, left / 2));
}

template <typename T, void (H2StreamCall::*take)(T)>
void H2StreamCall::Post<T, take>::Send(H2StreamCall* stream, T value) {
  CHECK(!is_busy_.exchange(true, std::memory_order_acquire))
      << "written without OnWritable, finished twice, or resumed while it was";
  value_ = std::move(value);
  stream_ = stream->shared_from_this();
  if (stream->loop_->Post(this)) return;
  // The loop has ended: the call is over. The caller holds the stream.
  stream_ = nullptr;
  T unsent = std::move(value_);
  is_busy_.store(false, std::memory_order_release);
  if constexpr (std::is_same_v<T, Task>) unsent();
}

template <typename T, void (H2StreamCall::*take)(T)>
void H2StreamCall::Post<T, take>::RunPosted() {
  const std::shared_ptr<H2StreamCall> stream = std::move(stream_);
  T value = std::move(value_);
  is_busy_.store(false, std::memory_order_release);
  (stream.get()->*take)(std::move(value));
}

// Where a stream is made, its tables name these.
template class H2StreamCall::Post<Bytes, &H2StreamCall::TakeMessage>;
template class H2StreamCall::Post<absl::Status, &H2StreamCall::TakeStatus>;
template class H2StreamCall::Post<H2StreamCall::Task, &H2StreamCall::TakeTask>;

bool H2StreamCall::AddInitial(absl::string_view key, absl::string_view value) {
  CHECK(loop_->IsCurrent());
  CHECK(!has_headers_out()) << "initial metadata after the headers: " << head_.method;
  return AddMetadata(&ResponseMetadata::initial, key, value, &metadata_);
}

bool H2StreamCall::AddTrailing(absl::string_view key, absl::string_view value) {
  if (is_over()) return true;  // It is dropped.
  CHECK(loop_->IsCurrent());
  CHECK(!is_finished_) << "trailing metadata after Finish: " << head_.method;
  return AddMetadata(&ResponseMetadata::trailing, key, value, &metadata_);
}

void H2StreamCall::Write(Bytes message) {
  if (!loop_->IsCurrent()) return message_post_.Send(this, std::move(message));
  TakeMessage(std::move(message));
}

void H2StreamCall::Finish(const absl::Status& status) {
  if (!loop_->IsCurrent()) return status_post_.Send(this, status);
  TakeStatus(status);
}

void H2StreamCall::Resume(absl::AnyInvocable<void()> task) {
  if (loop_->IsCurrent()) return task();
  task_post_.Send(this, std::move(task));
}

void H2StreamCall::TakeMessage(Bytes message) {
  if (is_over() || has_status()) return;
  CHECK(is_asked_) << "Write without OnWritable: " << head_.method;
  is_asked_ = false;
  SendMessage(std::move(message));
}

void H2StreamCall::TakeStatus(absl::Status status) {
  if (is_over()) return;
  CHECK(!is_finished_) << "finished twice: " << head_.method;
  is_finished_ = true;
  SendStatus(std::move(status));
}

void H2StreamCall::OnMessage(Bytes message) {
  handler_->OnMessage(std::move(message));
  ReturnTaken();  // What the handler keeps of it, it bounds.
}

void H2StreamCall::OnHalfClose() { handler_->OnHalfClose(); }

void H2StreamCall::OnTaken() {
  if (has_status()) return;
  is_asked_ = true;
  handler_->OnWritable();
}

void H2StreamCall::OnDrain() {
  if (!is_over() && !is_finished_) handler_->OnDrain();
}

void H2StreamCall::OnAlarm() {
  if (std::exchange(is_deadline_near_, true)) {
    return Abort(absl::DeadlineExceededError("the deadline of the call has passed"));
  }
  loop_->Set(this, deadline_);
  handler_->OnDeadlineNear();  // May end the call.
}

void H2StreamCall::OnOver(bool delivered) {
  loop_->Unset(this);
  const std::shared_ptr<H2StreamCall> self = std::move(self_);
  // The handler may hold the stream, and the stream the handler.
  const std::shared_ptr<StreamHandler> handler = std::move(handler_);
  handler->OnDone(delivered);
}

}  // namespace barid::edge::h2
