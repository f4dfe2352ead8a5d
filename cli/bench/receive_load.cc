#include "cli/bench/receive_load.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "base/clock.h"
#include "google/protobuf/arena.h"

namespace barid::cli {
namespace {

const std::string& Method(absl::string_view name) {
  static const auto* const receive = new std::string("/apache.rocketmq.v2.MessagingService/ReceiveMessage");
  static const auto* const ack = new std::string("/apache.rocketmq.v2.MessagingService/AckMessage");
  return name == "receive" ? *receive : *ack;
}

grpc::ByteBuffer ReceiveRequest(const ReceiveLoadOptions& options, const v2::MessageQueue& shard) {
  v2::ReceiveMessageRequest request;
  *request.mutable_group() = options.group;
  *request.mutable_message_queue() = shard;
  request.mutable_filter_expression()->set_type(options.sql.empty() ? v2::TAG : v2::SQL);
  request.mutable_filter_expression()->set_expression(options.sql.empty() ? "*" : options.sql);
  request.set_batch_size(options.batch);
  request.mutable_invisible_duration()->set_seconds(60);
  request.mutable_long_polling_timeout()->set_seconds(1);  // So that a run ends soon after its last message.
  return Serialized(request);
}

std::string ErrorText(const grpc::Status& status) {
  return absl::StrCat(status.error_message(), " (gRPC status ", status.error_code(), ")");
}

std::string ErrorText(const v2::Status& status) {
  return absl::StrCat(status.message(), " (", v2::Code_Name(status.code()), ")");
}

}  // namespace

// Receive, read to the end, acknowledge, again.
//
//   Receive -> OnWritten, OnRead ... OnRead(false) -> Finish -> OnFinished -> Settle -> OnAcked ... -> Receive
class ReceiveLoad::Loop {
 public:
  Loop(ReceiveLoad* load, Lane* lane, const v2::MessageQueue& shard)
      : load_(load), lane_(lane), request_(ReceiveRequest(load->options_, shard)) {}

  void Begin() {
    lane_->active().fetch_add(1);
    Receive();
  }

 private:
  class Ack final : public RawUnaryCall {
   public:
    explicit Ack(Loop* loop) : loop_(loop) {}
    int messages = 0;

   private:
    void OnDone(const grpc::Status& status, grpc::ByteBuffer* response) override {
      loop_->OnAcked(this, status, response);
    }

    Loop* const loop_;
  };

  struct Receipt {
    std::string message_id;
    std::string handle;
  };

  void End() { lane_->active().fetch_sub(1); }

  void Receive() {
    if (lane_->is_stopping()) return End();
    since_ = RealClock()->SinceBoot();
    receipts_.clear();
    call_.reset();  // It lives in memory that belongs to its context.
    context_.emplace();
    lane_->Prepare(&*context_);
    context_->set_initial_metadata_corked(true);  // Head and request leave in one write.
    call_ = lane_->NextStub()->PrepareCall(&*context_, Method("receive"), lane_->queue());
    call_->StartCall(nullptr);  // Corked, so it has no event of its own.
    waiting_ = 2;
    call_->WriteLast(request_, grpc::WriteOptions(), static_cast<Event*>(&on_written_));
    call_->Read(&frame_, static_cast<Event*>(&on_read_));
  }

  void OnWritten(bool) { FinishIfDone(); }

  void OnRead(bool ok) {
    if (!ok) return FinishIfDone();
    arena_.Reset();
    auto* const frame = google::protobuf::Arena::CreateMessage<v2::ReceiveMessageResponse>(&arena_);
    if (!ParseFrom(&frame_, frame)) {
      lane_->meter().Fail("a message cannot be parsed");
    } else if (frame->has_message()) {
      const v2::SystemProperties& system = frame->message().system_properties();
      receipts_.push_back({system.message_id(), system.receipt_handle()});
      if (load_->options_.on_message) load_->options_.on_message(lane_, system.message_id());
    } else if (frame->has_status() && frame->status().code() != v2::OK &&
               frame->status().code() != v2::MESSAGE_NOT_FOUND) {
      lane_->meter().Fail(ErrorText(frame->status()));
    }
    call_->Read(&frame_, static_cast<Event*>(&on_read_));
  }

  // Both the request and the last frame are through.
  void FinishIfDone() {
    if (--waiting_ == 0) call_->Finish(&status_, static_cast<Event*>(&on_finished_));
  }

  void OnFinished(bool) {
    if (!status_.ok()) {
      lane_->meter().Fail(ErrorText(status_));
      if (status_.error_code() == grpc::StatusCode::UNAVAILABLE) return End();
    }
    if (receipts_.empty()) return Receive();
    if (lane_->is_measuring()) {
      ++lane_->meter().calls;
      lane_->meter().receive.Record(RealClock()->SinceBoot() - since_);
    }
    Settle();
  }

  void Settle() {
    acked_since_ = RealClock()->SinceBoot();
    const size_t step = load_->options_.ack_singly ? 1 : receipts_.size();
    waiting_ = static_cast<int>((receipts_.size() + step - 1) / step);
    while (static_cast<int>(acks_.size()) < waiting_) acks_.push_back(std::make_unique<Ack>(this));
    for (int i = 0; i < waiting_; ++i) {
      v2::AckMessageRequest request;
      *request.mutable_group() = load_->options_.group;
      *request.mutable_topic() = load_->options_.topic;
      const size_t first = static_cast<size_t>(i) * step;
      const size_t end = std::min(first + step, receipts_.size());
      for (size_t j = first; j < end; ++j) {
        v2::AckMessageEntry* const entry = request.add_entries();
        entry->set_message_id(std::move(receipts_[j].message_id));
        entry->set_receipt_handle(std::move(receipts_[j].handle));
      }
      acks_[i]->messages = static_cast<int>(end - first);
      acks_[i]->Start(lane_, Method("ack"), Serialized(request));
    }
  }

  void OnAcked(Ack* ack, const grpc::Status& status, grpc::ByteBuffer* response) {
    v2::AckMessageResponse answer;
    Meter& meter = lane_->meter();
    if (!status.ok()) {
      meter.Fail(ErrorText(status));
    } else if (!ParseFrom(response, &answer)) {
      meter.Fail("the answer to an acknowledgement cannot be parsed");
    } else if (answer.status().code() != v2::OK) {
      meter.Fail(ErrorText(answer.status()));
    } else {
      load_->settled_.fetch_add(ack->messages);
      if (lane_->is_measuring()) {
        meter.settled += ack->messages;
        ++meter.calls;
        meter.ack.Record(RealClock()->SinceBoot() - acked_since_);
      }
    }
    if (--waiting_ == 0) Receive();
  }

  ReceiveLoad* const load_;
  Lane* const lane_;
  const grpc::ByteBuffer request_;

  // All of it on the lane's thread.
  absl::Duration since_;
  absl::Duration acked_since_;
  int waiting_ = 0;  // Events of the step that is under way.
  std::vector<Receipt> receipts_;
  google::protobuf::Arena arena_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer frame_;
  grpc::Status status_;
  std::vector<std::unique_ptr<Ack>> acks_;
  MethodEvent<Loop, &Loop::OnWritten> on_written_{this};
  MethodEvent<Loop, &Loop::OnRead> on_read_{this};
  MethodEvent<Loop, &Loop::OnFinished> on_finished_{this};
};

ReceiveLoad::ReceiveLoad(std::vector<Lane*> lanes, ReceiveLoadOptions options)
    : lanes_(std::move(lanes)), options_(std::move(options)) {}
ReceiveLoad::~ReceiveLoad() = default;

void ReceiveLoad::Start() {
  const int loops =
      std::max<int>(options_.outstanding, static_cast<int>(options_.shards.size()));  // Every shard is read.
  for (int i = 0; i < loops; ++i) {
    loops_.push_back(
        std::make_unique<Loop>(this, lanes_[i % lanes_.size()], options_.shards[i % options_.shards.size()]));
  }
  for (const auto& loop : loops_) loop->Begin();
}

}  // namespace barid::cli
