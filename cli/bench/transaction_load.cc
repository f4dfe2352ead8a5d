#include "cli/bench/transaction_load.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "base/clock.h"

namespace barid::cli {
namespace {

const std::string& Method(bool is_end) {
  static const auto* const send = new std::string("/apache.rocketmq.v2.MessagingService/SendMessage");
  static const auto* const end = new std::string("/apache.rocketmq.v2.MessagingService/EndTransaction");
  return is_end ? *end : *send;
}

}  // namespace

// Prepare -> OnDone -> Commit -> OnDone -> Prepare ...
class TransactionLoad::Loop final : public RawUnaryCall {
 public:
  Loop(TransactionLoad* load, Lane* lane) : load_(load), lane_(lane) {}

  void Begin() {
    lane_->active().fetch_add(1);
    Prepare();
  }

 private:
  void Prepare() {
    if (lane_->is_stopping()) return Stop();
    is_ending_ = false;
    since_ = RealClock()->SinceBoot();
    Start(lane_, Method(is_ending_),
          load_->requests_->Make(load_->next_number_.fetch_add(1, std::memory_order_relaxed)));
  }

  void Commit(const v2::SendResultEntry& prepared) {
    v2::EndTransactionRequest request;
    *request.mutable_topic() = load_->topic_;
    request.set_message_id(prepared.message_id());
    request.set_transaction_id(prepared.transaction_id());
    request.set_resolution(v2::COMMIT);
    request.set_source(v2::SOURCE_CLIENT);
    is_ending_ = true;
    since_ = RealClock()->SinceBoot();
    Start(lane_, Method(is_ending_), Serialized(request));
  }

  void Stop() { lane_->active().fetch_sub(1); }

  void OnDone(const grpc::Status& status, grpc::ByteBuffer* response) override {
    if (!status.ok()) {
      lane_->meter().Fail(absl::StrCat(status.error_message(), " (gRPC status ", status.error_code(), ")"));
      return status.error_code() == grpc::StatusCode::UNAVAILABLE ? Stop() : Prepare();
    }
    if (is_ending_) {
      OnEnded(response);
    } else {
      OnPrepared(response);
    }
  }

  void OnPrepared(grpc::ByteBuffer* response) {
    v2::SendMessageResponse answer;
    if (!Parsed(response, &answer)) return Prepare();
    if (answer.entries_size() != 1) {
      lane_->meter().Fail("the answer to a prepared message has no entry");
      return Prepare();
    }
    if (lane_->is_measuring()) {
      ++lane_->meter().calls;
      lane_->meter().send.Record(RealClock()->SinceBoot() - since_);
    }
    Commit(answer.entries(0));
  }

  void OnEnded(grpc::ByteBuffer* response) {
    v2::EndTransactionResponse answer;
    if (Parsed(response, &answer) && lane_->is_measuring()) {
      ++lane_->meter().calls;
      ++lane_->meter().sent;
      lane_->meter().ack.Record(RealClock()->SinceBoot() - since_);
    }
    Prepare();
  }

  // Whether it says OK.
  template <typename Answer>
  bool Parsed(grpc::ByteBuffer* response, Answer* answer) {
    if (!ParseFrom(response, answer)) {
      lane_->meter().Fail("the answer cannot be parsed");
      return false;
    }
    if (answer->status().code() == v2::OK) return true;
    lane_->meter().Fail(absl::StrCat(answer->status().message(), " (", v2::Code_Name(answer->status().code()), ")"));
    return false;
  }

  TransactionLoad* const load_;
  Lane* const lane_;
  bool is_ending_ = false;
  absl::Duration since_;
};

TransactionLoad::TransactionLoad(std::vector<Lane*> lanes, const SendRequests* requests, v2::Resource topic)
    : lanes_(std::move(lanes)), requests_(requests), topic_(std::move(topic)) {}
TransactionLoad::~TransactionLoad() = default;

void TransactionLoad::Start(int outstanding) {
  for (int i = 0; i < outstanding; ++i) loops_.push_back(std::make_unique<Loop>(this, lanes_[i % lanes_.size()]));
  for (const auto& loop : loops_) loop->Begin();
}

}  // namespace barid::cli
