#include "broker/grpc/deliveries_stream.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "codec/broker_codec.h"

namespace barid::broker {
namespace {

// What one answer may write before it is the next one's turn.
constexpr int64_t kTurnBytes = 64 << 10;
// Of a delivery besides its message. Rough.
constexpr int64_t kHeadCost = 64;
constexpr absl::Duration kRetryAfter = absl::Milliseconds(100);

int64_t BytesOf(const ReceiveResult& result) {
  int64_t bytes = kHeadCost;
  for (const Delivery& delivery : result.deliveries) bytes += kHeadCost + static_cast<int64_t>(delivery.stored.size());
  return bytes;
}

}  // namespace

DeliveriesStream::DeliveriesStream(BrokerApi* broker, std::shared_ptr<edge::Stream> stream,
                                   std::shared_ptr<OpenStreams> open_streams, int64_t max_answer_bytes)
    : FrameStream(std::move(stream), std::move(open_streams)), broker_(broker), max_answer_bytes_(max_answer_bytes) {}

absl::Status DeliveriesStream::Handle(const std::shared_ptr<ArenaFrame<broker_pb::ReceiveFrame>>& frame) {
  for (const broker_pb::Receive& receive : frame->message->receives()) RETURN_IF_ERROR(Receive(receive));
  for (const broker_pb::Pull& pull : frame->message->pulls()) RETURN_IF_ERROR(Pull(pull));
  for (const uint64_t id : frame->message->cancels()) Cancel(id);
  return absl::OkStatus();
}

absl::StatusOr<bool> DeliveriesStream::IsAccepted(uint64_t id, Waiting waiting) {
  absl::Status refusal;
  {
    MutexLock lock(&mu_);
    if (!waiting_.emplace(id, waiting).second) {
      return absl::InvalidArgumentError(absl::StrCat("receive ", id, " is asked for twice"));
    }
    ++calls_under_way_;
    if (refuses_) {
      refusal = absl::UnavailableError("the broker drains");
    } else if (answer_bytes_ > max_answer_bytes_) {
      refusal = RetryAfterError(kRetryAfter,
                                absl::StrCat("the proxy has ", answer_bytes_, " bytes of answers to take first"));
    }
  }
  if (refusal.ok()) return true;
  OnResult(id, {std::move(refusal), {}});
  return false;
}

absl::Status DeliveriesStream::Receive(const broker_pb::Receive& receive) {
  const uint64_t id = receive.id();
  Waiting waiting;
  waiting.shard = ShardId(receive.shard());
  waiting.group = GroupId(receive.group());
  ASSIGN_OR_RETURN(const bool is_accepted, IsAccepted(id, waiting));
  if (!is_accepted) return absl::OkStatus();
  const uint64_t broker_id =
      broker_->Receive(Decode(receive), [self = std::static_pointer_cast<DeliveriesStream>(shared_from_this()),
                                         id](ReceiveResult result) { self->OnResult(id, std::move(result)); });
  NoteBrokerId(id, waiting.shard, broker_id);
  return absl::OkStatus();
}

absl::Status DeliveriesStream::Pull(const broker_pb::Pull& pull) {
  const uint64_t id = pull.id();
  Waiting waiting;
  waiting.shard = ShardId(pull.shard());
  waiting.is_pull = true;
  ASSIGN_OR_RETURN(const bool is_accepted, IsAccepted(id, waiting));
  if (!is_accepted) return absl::OkStatus();
  const uint64_t broker_id = broker_->Pull(
      Decode(pull), [self = std::static_pointer_cast<DeliveriesStream>(shared_from_this()), id](PullResult result) {
        self->OnResult(id, {std::move(result.status), std::move(result.deliveries)}, result.next_offset);
      });
  NoteBrokerId(id, waiting.shard, broker_id);
  return absl::OkStatus();
}

void DeliveriesStream::NoteBrokerId(uint64_t id, ShardId shard, uint64_t broker_id) {
  {
    // The answer or a cancellation may have come before the broker's id.
    MutexLock lock(&mu_);
    const auto it = waiting_.find(id);
    if (it == waiting_.end()) return;
    it->second.broker_id = broker_id;
    it->second.has_broker_id = true;
    if (!it->second.is_cancelled) return;
  }
  broker_->CancelReceive(shard, broker_id);
}

void DeliveriesStream::Cancel(uint64_t id) {
  ShardId shard;
  uint64_t broker_id = 0;
  {
    MutexLock lock(&mu_);
    const auto it = waiting_.find(id);
    if (it == waiting_.end()) return;  // Answered.
    it->second.is_cancelled = true;
    if (!it->second.has_broker_id) return;  // NoteBrokerId does it.
    shard = it->second.shard;
    broker_id = it->second.broker_id;
  }
  broker_->CancelReceive(shard, broker_id);
}

void DeliveriesStream::CancelAll() {
  std::vector<uint64_t> ids;
  {
    MutexLock lock(&mu_);
    refuses_ = true;
    for (const auto& [id, waiting] : waiting_) ids.push_back(id);
  }
  for (const uint64_t id : ids) Cancel(id);
}

void DeliveriesStream::OnResult(uint64_t id, ReceiveResult result, QueueOffset next_offset) {
  Answer answer;
  answer.id = id;
  answer.next_offset = next_offset;
  answer.result = std::move(result);
  bool is_wanted = false;
  {
    MutexLock lock(&mu_);
    const auto it = waiting_.find(id);
    CHECK(it != waiting_.end()) << "receive " << id << " was answered twice";
    answer.shard = it->second.shard;
    answer.group = it->second.group;
    answer.is_pull = it->second.is_pull;
    waiting_.erase(it);
    --calls_under_way_;
    is_wanted = !is_broken_ && !is_finished_;
    if (is_wanted) {
      answer_bytes_ += BytesOf(answer.result);
      answers_.push_back(std::move(answer));
    }
  }
  if (!is_wanted) return GiveBack(std::move(answer));
  FlushSoon();
}

bool DeliveriesStream::Collect() {
  std::move(answers_.begin(), answers_.end(), std::back_inserter(collected_));
  answers_.clear();
  answer_bytes_ -= std::exchange(encoded_bytes_, 0);
  return !collected_.empty();
}

void DeliveriesStream::Encode(broker_pb::DeliveryFrame* frame) {
  for (int64_t budget = kFrameBytes; budget > 0 && !collected_.empty();) {
    Answer answer = std::move(collected_.front());
    collected_.pop_front();
    int64_t encoded = EncodePieces(&answer, std::min(budget, kTurnBytes), frame);
    if (answer.next == answer.result.deliveries.size()) {
      broker_pb::Piece* const end = frame->add_pieces();
      end->set_receive_id(answer.id);
      barid::Encode(answer.result.status, end->mutable_end());
      if (answer.is_pull) end->set_next_offset(answer.next_offset);
      encoded += kHeadCost;
    } else {
      collected_.push_back(std::move(answer));
    }
    budget -= encoded;
    encoded_bytes_ += encoded;
  }
}

int64_t DeliveriesStream::EncodePieces(Answer* answer, int64_t budget, broker_pb::DeliveryFrame* frame) {
  std::vector<Delivery>& deliveries = answer->result.deliveries;
  int64_t encoded = 0;
  while (encoded < budget && answer->next < deliveries.size()) {
    Delivery& delivery = deliveries[answer->next];
    broker_pb::Piece* const piece = frame->add_pieces();
    piece->set_receive_id(answer->id);
    // protobuf copies the bytes, here and once more when it writes the frame: about 0.1 us per KiB.
    const size_t size = std::min(static_cast<size_t>(budget - encoded), delivery.stored.size() - answer->written_bytes);
    const char* const from = delivery.stored.data() + answer->written_bytes;
    if (answer->written_bytes == 0) {
      EncodeHead(delivery, piece->mutable_delivery());
      piece->mutable_delivery()->set_stored(from, size);
      encoded += kHeadCost;
    } else {
      piece->set_more(from, size);
    }
    encoded += static_cast<int64_t>(size);
    answer->written_bytes += size;
    if (answer->written_bytes < delivery.stored.size()) continue;
    delivery.stored = Buffer();  // Its name is kept until the end is written.
    answer->written_bytes = 0;
    ++answer->next;
  }
  return encoded;
}

void DeliveriesStream::OnEnd() {
  std::deque<Answer> unwritten;
  {
    MutexLock lock(&mu_);
    Collect();
    unwritten = std::exchange(collected_, {});
  }
  for (Answer& answer : unwritten) GiveBack(std::move(answer));
}

void DeliveriesStream::GiveBack(Answer answer) {
  if (answer.result.deliveries.empty() || answer.is_pull) return;
  SettleCall call;
  call.shard = answer.shard;
  for (const Delivery& delivery : answer.result.deliveries) {
    SettleEntry& entry = call.entries.emplace_back();
    entry.group = answer.group;
    entry.queue = delivery.queue;
    entry.offset = delivery.offset;
    entry.nonce = delivery.nonce;
    entry.kind = SettleKind::kUndelivered;
  }
  // Best effort: if it fails they come back when their invisible time is over.
  broker_->Settle(std::move(call), [](SettleResult) {});
}

}  // namespace barid::broker
