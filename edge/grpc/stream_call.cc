#include "edge/grpc/stream_call.h"

#include <atomic>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/log.h"
#include "edge/grpc/message.h"

namespace barid::edge {
namespace {

// A streaming call.
//
// Its state belongs to the queue's thread. Write and Finish, called elsewhere, leave what they carry in a post of their
// own; each is posted at most once at a time, because Write answers OnWritable and Finish is called once. The
// operations that run at the same time are at most: a read, a write (or the headers, or the status), and the close.
//
//   open:   headers sent -> OnWritable -> [message_] -> write -> OnWritable ...
//           read -> OnMessage -> read ... -> OnHalfClose
//   over:   finished: the status is sent and the close has come;  or else the close came alone -> OnDone
class GrpcStream final : public Stream, public Flushed, public std::enable_shared_from_this<GrpcStream> {
 public:
  GrpcStream(const std::string& method, const AcceptedCall& accepted, std::shared_ptr<PollingQueue> queue)
      : queue_(std::move(queue)), call_(accepted.call) {
    head_.method = method;
    FillHead(accepted, &head_);
  }
  ~GrpcStream() override {
    if (sent_ != nullptr) grpc_byte_buffer_destroy(sent_);
    grpc_slice_unref(status_message_);
    grpc_call_unref(call_);
  }

  void Open(const StreamFactory& factory);

  // Stream:
  const CallHead& head() const override { return head_; }
  bool AddInitial(absl::string_view key, absl::string_view value) override {
    CHECK(queue_->IsCurrent());
    CHECK(!opened_) << "initial metadata after the headers: " << head_.method;
    return metadata()->AddInitial(key, value);
  }
  bool AddTrailing(absl::string_view key, absl::string_view value) override {
    if (over_) return true;  // It is dropped.
    CHECK(queue_->IsCurrent());
    CHECK(!status_) << "trailing metadata after Finish: " << head_.method;
    return metadata()->AddTrailing(key, value);
  }
  void Write(Bytes message) override;
  // What waits is bounded by what the streams' handlers hold: this transport serves our own processes.
  bool Reserve(size_t) override { return true; }
  void Finish(const absl::Status& status) override;
  void Resume(absl::AnyInvocable<void()> task) override;

 private:
  using Task = absl::AnyInvocable<void()>;

  // A message, the status or a task on its way from another thread. Holds the stream meanwhile.
  template <typename T, void (GrpcStream::*take)(T)>
  class Post final : public Posted {
   public:
    void Send(GrpcStream* stream, T value) {
      CHECK(!busy_.exchange(true, std::memory_order_acquire))
          << "written without OnWritable, finished twice, or resumed while it was";
      value_ = std::move(value);
      stream_ = stream->shared_from_this();
      if (stream->queue_->Post(this, stream->call_)) return;
      // A closed queue never runs it: the call is over. The caller holds the stream.
      stream_ = nullptr;
      T unsent = std::move(value_);
      busy_.store(false, std::memory_order_release);
      if constexpr (std::is_same_v<T, Task>) unsent();
    }
    void RunPosted() override {
      const std::shared_ptr<GrpcStream> stream = std::move(stream_);
      T value = std::move(value_);
      busy_.store(false, std::memory_order_release);
      (stream.get()->*take)(std::move(value));
      stream->queue_->FlushLater(stream, stream.get());
    }

   private:
    std::atomic<bool> busy_{false};
    T value_;
    std::shared_ptr<GrpcStream> stream_;
  };

  // Runs a call of the handler; what it writes leaves afterwards, so that a last message and the status go together.
  template <typename Tell>
  void TellHandler(Tell tell) {
    if (handler_ == nullptr) return;
    telling_ = true;
    tell(handler_.get());
    telling_ = false;
  }

  // For what the handler adds.
  SentMetadata* metadata() {
    if (metadata_ == nullptr) metadata_ = std::make_unique<SentMetadata>();
    return metadata_.get();
  }

  void TakeMessage(Bytes message);
  void TakeStatus(absl::Status status);
  void TakeTask(Task task) { task(); }
  void Flush() override;

  // Starts a batch whose end is `event`; it holds the stream meanwhile.
  void Start(const grpc_op* ops, size_t count, Event* event);
  // What `Start` held. Every event begins with it, and keeps it while it runs.
  std::shared_ptr<GrpcStream> Ended();
  void StartRead();

  void OnHeadersSent(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnClosed(bool ok);
  void MaybeDone();

  const std::shared_ptr<PollingQueue> queue_;
  grpc_call* const call_;
  CallHead head_;
  Post<Bytes, &GrpcStream::TakeMessage> message_post_;
  Post<absl::Status, &GrpcStream::TakeStatus> status_post_;
  Post<Task, &GrpcStream::TakeTask> task_post_;

  // The queue's thread only.
  std::shared_ptr<StreamHandler> handler_;  // Null once OnDone was called.
  std::shared_ptr<GrpcStream> self_;        // While operations run.
  int running_ = 0;
  bool telling_ = false;
  bool opened_ = false;   // The factory has returned.
  bool over_ = false;     // OnDone was called, or will be before anything else.
  bool asked_ = false;    // OnWritable was called and Write has not answered it.
  bool sending_ = false;  // Headers, a message or the status are on their way.
  std::optional<Bytes> message_;
  std::optional<absl::Status> status_;
  std::unique_ptr<SentMetadata> metadata_;  // Null: none.
  bool status_sent_ = false;                // The operation is started...
  bool finished_ = false;                   // ...and over...
  bool finished_ok_ = false;                // ...and all that was sent has left.
  bool closed_ = false;

  grpc_byte_buffer* sent_ = nullptr;
  grpc_byte_buffer* received_ = nullptr;
  grpc_slice status_message_ = {};
  int cancelled_ = 0;
  EventOf<GrpcStream, &GrpcStream::OnHeadersSent> on_headers_sent_{this};
  EventOf<GrpcStream, &GrpcStream::OnRead> on_read_{this};
  EventOf<GrpcStream, &GrpcStream::OnWritten> on_written_{this};
  EventOf<GrpcStream, &GrpcStream::OnClosed> on_closed_{this};
};

void GrpcStream::Open(const StreamFactory& factory) {
  grpc_op close = {};
  close.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
  close.data.recv_close_on_server.cancelled = &cancelled_;
  Start(&close, 1, &on_closed_);

  sending_ = true;
  telling_ = true;
  handler_ = factory(shared_from_this());
  telling_ = false;
  opened_ = true;
  CHECK(handler_ != nullptr) << head_.method;

  grpc_op headers = {};
  headers.op = GRPC_OP_SEND_INITIAL_METADATA;
  if (metadata_ != nullptr) metadata_->SetInitial(&headers);
  Start(&headers, 1, &on_headers_sent_);
  StartRead();
}

void GrpcStream::Write(Bytes message) {
  if (!queue_->IsCurrent()) return message_post_.Send(this, std::move(message));
  TakeMessage(std::move(message));
  if (!telling_) Flush();
}

void GrpcStream::Finish(const absl::Status& status) {
  if (!queue_->IsCurrent()) return status_post_.Send(this, status);
  TakeStatus(status);
  if (!telling_) Flush();
}

void GrpcStream::Resume(absl::AnyInvocable<void()> task) {
  if (queue_->IsCurrent()) return task();
  task_post_.Send(this, std::move(task));
}

void GrpcStream::TakeMessage(Bytes message) {
  if (over_ || status_) return;
  CHECK(asked_) << "Write without OnWritable: " << head_.method;
  asked_ = false;
  message_ = std::move(message);
}

void GrpcStream::TakeStatus(absl::Status status) {
  if (over_) return;
  CHECK(!status_) << "finished twice: " << head_.method;
  status_ = std::move(status);
}

void GrpcStream::Flush() {
  if (sending_ || over_ || !queue_->open()) return;
  grpc_op ops[2] = {};
  grpc_op* op = ops;
  if (message_) {
    sent_ = ToByteBuffer(*message_);
    message_.reset();
    op->op = GRPC_OP_SEND_MESSAGE;
    op->data.send_message.send_message = sent_;
    ++op;
  }
  if (status_ && !status_sent_) {
    SetStatusOp(*status_, &status_message_, op);
    if (metadata_ != nullptr) metadata_->SetTrailing(op);
    status_sent_ = true;
    ++op;
  }
  if (op == ops) return;
  sending_ = true;
  Start(ops, op - ops, &on_written_);
}

void GrpcStream::Start(const grpc_op* ops, size_t count, Event* event) {
  if (running_++ == 0) self_ = shared_from_this();
  const grpc_call_error error = grpc_call_start_batch(call_, ops, count, event, nullptr);
  CHECK(error == GRPC_CALL_OK) << error;
}

std::shared_ptr<GrpcStream> GrpcStream::Ended() { return --running_ == 0 ? std::move(self_) : self_; }

void GrpcStream::StartRead() {
  grpc_op read = {};
  read.op = GRPC_OP_RECV_MESSAGE;
  read.data.recv_message.recv_message = &received_;
  Start(&read, 1, &on_read_);
}

void GrpcStream::OnHeadersSent(bool ok) {
  const auto self = Ended();
  sending_ = false;
  if (!ok || over_) return;  // The close tells.
  if (!status_) {
    asked_ = true;
    TellHandler([](StreamHandler* handler) { handler->OnWritable(); });
  }
  Flush();
}

void GrpcStream::OnRead(bool ok) {
  const auto self = Ended();
  grpc_byte_buffer* received = std::exchange(received_, nullptr);
  if (received == nullptr) {
    if (ok && !over_ && !status_) TellHandler([](StreamHandler* handler) { handler->OnHalfClose(); });
    return Flush();
  }
  Bytes message = FromByteBuffer(received);
  if (over_) return;
  // Once the server has finished, nobody reads what comes.
  if (!status_) TellHandler([&message](StreamHandler* handler) { handler->OnMessage(std::move(message)); });
  Flush();
  if (!over_ && !status_ && queue_->open()) StartRead();
}

void GrpcStream::OnWritten(bool ok) {
  const auto self = Ended();
  sending_ = false;
  if (sent_ != nullptr) grpc_byte_buffer_destroy(std::exchange(sent_, nullptr));
  if (status_sent_) {
    finished_ = true;
    finished_ok_ = ok && status_->ok();
    return MaybeDone();
  }
  if (!ok || over_) return;
  if (!status_) {
    asked_ = true;
    TellHandler([](StreamHandler* handler) { handler->OnWritable(); });
  }
  Flush();
}

void GrpcStream::OnClosed(bool ok) {
  const auto self = Ended();
  closed_ = true;
  MaybeDone();
}

// The close comes when the stream is over on the wire. If it was the server who ended it, the end of that operation
// tells how; otherwise the peer, its deadline or the connection ended it.
void GrpcStream::MaybeDone() {
  if (over_ || !closed_ || (status_sent_ && !finished_)) return;
  over_ = true;
  message_.reset();
  const bool delivered = finished_ok_ && cancelled_ == 0;
  TellHandler([delivered](StreamHandler* handler) { handler->OnDone(delivered); });
  handler_ = nullptr;
}

}  // namespace

void BeginStream(const std::string& method, const StreamFactory& factory, const AcceptedCall& accepted,
                 std::shared_ptr<PollingQueue> queue) {
  std::make_shared<GrpcStream>(method, accepted, std::move(queue))->Open(factory);
}

}  // namespace barid::edge
