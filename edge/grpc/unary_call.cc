#include "edge/grpc/unary_call.h"

#include <utility>

#include "base/log.h"
#include "edge/grpc/message.h"

namespace barid::edge {

// One call, held by two: the transport, until its last operation is over, and the handler, through its handle. Whoever
// lets go last frees it; if that is the transport, it is used again.
//
//   Begin --handler--> Answer or Fail --> [posted] --> Finish --> OnFinished
//                \--> Resume --> [posted] --^  \-- queue closed --> Drop
class GrpcUnaryCall final : public Posted {
 public:
  explicit GrpcUnaryCall(UnaryMethod* method) : method_(method), queue_(method->queue_), budget_(method->budget_) {
    head_.method = method->name_;
  }

  void Begin(const AcceptedCall& accepted);

 private:
  // What the handler has.
  class Handle final : public UnaryCall {
   public:
    explicit Handle(GrpcUnaryCall* call) : call_(call) {}
    ~Handle() override {
      if (!call_->answered_) Fail(absl::InternalError("call dropped without an answer"));
      if (call_->LetGo()) delete call_;
    }

    const CallHead& head() const override { return call_->head_; }
    const Bytes& request() const override { return call_->request_; }
    bool AddInitial(absl::string_view key, absl::string_view value) override {
      return call_->metadata()->AddInitial(key, value);
    }
    bool AddTrailing(absl::string_view key, absl::string_view value) override {
      return call_->metadata()->AddTrailing(key, value);
    }
    void Answer(Bytes response) override {
      call_->response_ = std::move(response);
      call_->End(absl::OkStatus());
    }
    void Fail(const absl::Status& status) override {
      CHECK(!status.ok()) << "a call fails with an error or is answered";
      call_->End(status);
    }
    void AnswerInTime(Bytes) override {}
    void Resume(absl::AnyInvocable<void()> task) override { call_->Resume(std::move(task)); }

   private:
    GrpcUnaryCall* const call_;
  };

  // For what the handler adds.
  SentMetadata* metadata() {
    CHECK(!answered_) << "metadata after the answer: " << head_.method;
    if (metadata_ == nullptr) metadata_ = std::make_unique<SentMetadata>();
    return metadata_.get();
  }
  void End(absl::Status status);
  void Resume(absl::AnyInvocable<void()> task);
  void RunPosted() override;
  void Finish();
  void OnFinished(bool ok);
  // The call is over for the transport without an operation of ours. True if this was the last hold.
  bool Drop();
  void Reset();
  bool LetGo() { return holds_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  UnaryMethod* const method_;  // Gone once the queue is closed.
  const std::shared_ptr<PollingQueue> queue_;
  const std::shared_ptr<ByteBudget> budget_;
  EventOf<GrpcUnaryCall, &GrpcUnaryCall::OnFinished> on_finished_{this};

  grpc_call* call_ = nullptr;
  CallHead head_;
  Bytes request_;
  size_t taken_bytes_ = 0;

  bool answered_ = false;               // The handler's side only.
  absl::AnyInvocable<void()> resumed_;  // While it is posted.
  Bytes response_;
  std::unique_ptr<SentMetadata> metadata_;  // Null: none.
  absl::Status status_;
  grpc_byte_buffer* sent_ = nullptr;
  grpc_slice status_message_ = {};
  int cancelled_ = 0;
  std::atomic<int> holds_{0};
};

UnaryMethod::~UnaryMethod() {
  for (GrpcUnaryCall* call : spares_) delete call;
}

void UnaryMethod::Begin(const AcceptedCall& accepted) {
  GrpcUnaryCall* call;
  if (spares_.empty()) {
    call = new GrpcUnaryCall(this);
  } else {
    call = spares_.back();
    spares_.pop_back();
  }
  call->Begin(accepted);
}

void GrpcUnaryCall::Begin(const AcceptedCall& accepted) {
  call_ = accepted.call;
  holds_.store(2, std::memory_order_relaxed);
  auto handle = std::make_unique<Handle>(this);
  if (accepted.payload == nullptr) {
    return handle->Fail(absl::InternalError("a unary call has exactly one request message; none came"));
  }
  request_ = FromByteBuffer(accepted.payload);
  if (!budget_->Take(request_.size())) {
    return handle->Fail(absl::ResourceExhaustedError("the server holds too many bytes of requests; try again later"));
  }
  taken_bytes_ = request_.size();
  FillHead(accepted, &head_);
  (*method_->handler_)(std::move(handle));
}

void GrpcUnaryCall::End(absl::Status status) {
  CHECK(!answered_) << "answered twice: " << head_.method;
  answered_ = true;
  status_ = std::move(status);
  if (queue_->IsCurrent()) return Finish();
  // The handle holds the call, so Drop is never the last to let go here.
  if (!queue_->Post(this, call_)) Drop();
}

void GrpcUnaryCall::Resume(absl::AnyInvocable<void()> task) {
  if (queue_->IsCurrent()) return task();
  resumed_ = std::move(task);
  if (queue_->Post(this, call_)) return;
  // `task` may own the handle, and with it this call.
  std::exchange(resumed_, nullptr)();
}

void GrpcUnaryCall::RunPosted() {
  if (answered_) return Finish();
  std::exchange(resumed_, nullptr)();
}

void GrpcUnaryCall::Finish() {
  if (!queue_->open()) {
    if (Drop()) delete this;
    return;
  }
  grpc_op ops[4] = {};
  grpc_op* op = ops;
  op->op = GRPC_OP_SEND_INITIAL_METADATA;
  if (metadata_ != nullptr) metadata_->SetInitial(op);
  ++op;
  if (status_.ok()) {
    sent_ = ToByteBuffer(response_);
    op->op = GRPC_OP_SEND_MESSAGE;
    op->data.send_message.send_message = sent_;
    ++op;
  }
  SetStatusOp(status_, &status_message_, op);
  if (metadata_ != nullptr) metadata_->SetTrailing(op);
  ++op;
  op->op = GRPC_OP_RECV_CLOSE_ON_SERVER;
  op->data.recv_close_on_server.cancelled = &cancelled_;
  ++op;
  const grpc_call_error error =
      grpc_call_start_batch(call_, ops, op - ops, static_cast<Event*>(&on_finished_), nullptr);
  CHECK(error == GRPC_CALL_OK) << error;
}

void GrpcUnaryCall::OnFinished(bool ok) {
  // That the peer went away first is no news to anyone: a late answer is dropped.
  if (!Drop()) return;
  if (!queue_->open() || method_->spares_.size() >= UnaryMethod::kMostSpares) {
    delete this;
    return;
  }
  Reset();
  method_->spares_.push_back(this);
}

bool GrpcUnaryCall::Drop() {
  budget_->Return(std::exchange(taken_bytes_, 0));
  if (sent_ != nullptr) grpc_byte_buffer_destroy(std::exchange(sent_, nullptr));
  grpc_slice_unref(std::exchange(status_message_, grpc_slice{}));
  grpc_call_unref(std::exchange(call_, nullptr));
  return LetGo();
}

void GrpcUnaryCall::Reset() {
  request_ = Bytes();
  response_ = Bytes();
  metadata_.reset();
  status_ = absl::OkStatus();
  answered_ = false;
}

}  // namespace barid::edge
