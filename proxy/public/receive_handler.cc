#include "proxy/public/receive_handler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "proxy/public/exchange.h"
#include "proxy/public/frame_writer.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

// Before the first message there is one frame, the status.
constexpr size_t kFramesBeforeMessages = 1;

class ReceiveStream : public edge::StreamHandler, public std::enable_shared_from_this<ReceiveStream> {
 public:
  ReceiveStream(Proxy* proxy, MethodMetrics* metrics, std::shared_ptr<edge::Stream> stream)
      : proxy_(proxy),
        stream_(stream),
        metrics_(metrics),
        caller_(CallerOf(stream->head())),
        writer_(std::move(stream), /*max_frames=*/0) {}

  void OnMessage(Bytes message) override {
    if (std::exchange(started_, true)) return;
    if (const absl::Status status = Start(message); !status.ok()) Push(StatusOnly(status));
  }

  void OnHalfClose() override {
    if (!started_) writer_.Finish(absl::InvalidArgumentError("the call has no request"));
  }

  void OnWritable() override { writer_.OnWritable(); }

  void OnDeadlineNear() override;

  void OnDone(bool delivered) override;

 private:
  absl::Status Start(const Bytes& message);
  void OnOutcome(ReceiveOutcome outcome);
  // Drops deliveries that cannot be read from the outcome.
  StreamAnswer Messages(ReceiveOutcome* outcome) const;
  // Deliveries that the port cannot hold until the peer reads them go back, and their frames.
  void DropWhatHasNoRoom(ReceiveOutcome* outcome, StreamAnswer* answer) const;
  StreamAnswer StatusOnly(const absl::Status& status) const;
  StreamAnswer NoMessage() const;
  void Push(StreamAnswer answer) { PushAnswer(std::move(answer), &writer_, metrics_); }

  Proxy* const proxy_;
  const std::shared_ptr<edge::Stream> stream_;  // Keeps the head that caller_ looks into.
  MethodMetrics* const metrics_;                // nullptr: nobody asks.
  const Caller caller_;
  FrameWriter writer_;

  // Only for the transport's calls.
  bool started_ = false;
  // Set in Start, before the outcome can come.
  std::shared_ptr<PendingCall> pending_;
  ResourceName topic_as_named_;

  Mutex mu_;
  bool over_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<ReceiveOutcome> outcome_ ABSL_GUARDED_BY(mu_);
};

absl::Status ReceiveStream::Start(const Bytes& message) {
  v2::ReceiveMessageRequest proto;
  RETURN_IF_ERROR(Parse(message, &proto));
  RETURN_IF_ERROR(CheckCaller(caller_));
  const ProxyOptions& options = proxy_->options();

  ReceiveRequest request;
  const v2::Resource& topic = proto.message_queue().topic();
  request.topic = NameOf(topic, caller_.space);
  request.group = NameOf(proto.group(), caller_.space);
  RETURN_IF_ERROR(CheckTopic(request.topic));
  RETURN_IF_ERROR(CheckGroup(request.group));
  topic_as_named_ = {topic.resource_namespace(), topic.name()};
  request.shard_name = proto.message_queue().broker().name();
  if (proto.filter_expression().type() == v2::SQL) {
    RETURN_IF_ERROR(CheckSqlExpression(proto.filter_expression().expression(), &proxy_->filters()));
    request.sql = proto.filter_expression().expression();
  } else {
    ASSIGN_OR_RETURN(request.tags,
                     ParseTagExpression(proto.filter_expression().expression(), options.limits.max_filter_tags));
  }
  request.max_messages = std::clamp(proto.batch_size(), 1, options.limits.max_receive_messages);
  request.max_bytes = options.limits.max_receive_bytes;
  request.auto_renew = proto.auto_renew();
  if (request.auto_renew) {
    request.invisible = options.auto_renew_invisible;
  } else {
    request.invisible = FromProto(proto.invisible_duration());
    RETURN_IF_ERROR(CheckReceiveInvisible(request.invisible, options));
  }
  request.client_id = std::string(caller_.id);
  request.everywhere = proxy_->clients().TypeOf(caller_.id) == ClientType::kLiteSimpleConsumer;
  request.attempt_id = proto.attempt_id();
  const absl::Duration asked = proto.has_long_polling_timeout()
                                   ? std::max(FromProto(proto.long_polling_timeout()), absl::ZeroDuration())
                                   : absl::Seconds(-1);
  request.wait = PollTime(asked, stream_->head().deadline - proxy_->clock()->Now(), options);

  // Who reads nothing is not to have messages fetched and given back.
  if (!stream_->Reserve(1)) return NoRoomForAnswer();
  const auto pending = std::make_shared<PendingCall>();
  if (!proxy_->clients().BeginReceive(caller_.id, pending)) {
    return Refuse(Reason::kTooManyRequests,
                  absl::StrCat("the client has ", options.limits.max_waiting_receives_per_client,
                               " receives waiting already, that many are allowed"));
  }
  // A shard's thread does not make receipts and frames.
  pending_ = pending;
  proxy_->receiver().Start(std::move(request), pending, [self = shared_from_this()](ReceiveOutcome outcome) {
    self->stream_->Resume([self, outcome = std::move(outcome)]() mutable { self->OnOutcome(std::move(outcome)); });
  });
  return absl::OkStatus();
}

void ReceiveStream::OnOutcome(ReceiveOutcome outcome) {
  proxy_->clients().EndReceive(caller_.id, pending_.get());
  // The call is over or answered, or its client has said goodbye and will not process what it is given.
  if (pending_->is_cancelled()) {
    proxy_->receiver().GiveBack(outcome);
    return Push(NoMessage());
  }
  StreamAnswer answer = Messages(&outcome);
  if (outcome.status.ok() && !outcome.deliveries.empty()) DropWhatHasNoRoom(&outcome, &answer);
  bool over = false;
  {
    MutexLock lock(&mu_);
    over = over_;
    if (!over) outcome_ = std::move(outcome);
  }
  if (over) return proxy_->receiver().GiveBack(outcome);
  Push(std::move(answer));
}

// The poll itself ends earlier. Who is late makes a group first, or waits for a shard that is stuck: of Rust's client,
// whose deadline is its poll, that would be an error.
void ReceiveStream::OnDeadlineNear() {
  if (pending_ == nullptr) return;
  {
    MutexLock lock(&mu_);
    if (outcome_) return;
  }
  pending_->Cancel();
  Push(NoMessage());
}

void ReceiveStream::OnDone(bool delivered) {
  std::optional<ReceiveOutcome> outcome;
  {
    MutexLock lock(&mu_);
    over_ = true;
    outcome = std::exchange(outcome_, std::nullopt);
  }
  const size_t written = writer_.Close();
  if (!outcome) {
    if (pending_ != nullptr) pending_->Cancel();
    return;
  }
  if (delivered) {
    proxy_->throughput().Delivered(outcome->deliveries.size());
    proxy_->receiver().ReportSent(*outcome);
  } else {
    // Messages that were never handed to the transport surely did not leave. The others may have arrived: they stay
    // invisible for their time.
    proxy_->receiver().GiveBack(*outcome, written - std::min(written, kFramesBeforeMessages));
  }
}

StreamAnswer ReceiveStream::Messages(ReceiveOutcome* outcome) const {
  if (!outcome->status.ok()) return StatusOnly(outcome->status);
  if (outcome->deliveries.empty()) return NoMessage();
  const SigningKey* const key = NewestKey(outcome->metadata->tables().signing_keys);
  if (key == nullptr) {
    proxy_->receiver().GiveBack(*outcome);
    outcome->deliveries.clear();
    return StatusOnly(absl::UnavailableError("the cluster has no key to sign receipts with yet"));
  }

  StreamAnswer answer = StatusOnly(absl::OkStatus());
  answer.frames.reserve(outcome->deliveries.size() + 2);
  std::vector<Delivery> readable;
  readable.reserve(outcome->deliveries.size());
  for (Delivery& delivery : outcome->deliveries) {
    DeliveryFields fields;
    fields.topic = topic_as_named_;
    fields.receipt_handle = EncodeReceipt(outcome->ReceiptOf(delivery), *key);
    fields.queue_id = delivery.queue.queue;
    fields.queue_offset = delivery.offset;
    fields.attempt = delivery.attempt;
    fields.store_time = delivery.store_time;
    fields.invisible_duration = delivery.invisible;
    if (delivery.origin) fields.dead_letter_origin = {delivery.origin->topic_name, delivery.origin->message_id};
    const absl::StatusOr<Bytes> message = SpliceDelivery(delivery.stored, fields);
    if (!message.ok()) {
      // The others can be had. This one stays invisible and, with its attempts, goes to the dead letters in the end.
      LOG(ERROR) << "stored message cannot be read" << KV("shard", outcome->shard) << KV("queue", delivery.queue)
                 << KV("offset", delivery.offset) << KV("status", message.status());
      continue;
    }
    answer.frames.push_back(FrameOf(v2::ReceiveMessageResponse::kMessageFieldNumber, *message));
    readable.push_back(std::move(delivery));
  }
  outcome->deliveries = std::move(readable);
  if (outcome->deliveries.empty())
    return StatusOnly(absl::DataLossError("what is stored for the group cannot be read"));
  v2::ReceiveMessageResponse last;
  ToProto(proxy_->clock()->Now(), last.mutable_delivery_timestamp());
  answer.frames.push_back(Serialize(last));
  return answer;
}

void ReceiveStream::DropWhatHasNoRoom(ReceiveOutcome* outcome, StreamAnswer* answer) const {
  const size_t all = outcome->deliveries.size();
  const size_t kept =
      ReserveFor(stream_.get(), absl::MakeConstSpan(answer->frames).subspan(kFramesBeforeMessages, all));
  if (kept == all) return;
  proxy_->receiver().GiveBack(*outcome, kept);
  outcome->deliveries.resize(kept);
  const auto messages = answer->frames.begin() + kFramesBeforeMessages;
  answer->frames.erase(messages + static_cast<ptrdiff_t>(kept), messages + static_cast<ptrdiff_t>(all));
  if (kept == 0) *answer = StatusOnly(NoRoomForAnswer());
}

StreamAnswer ReceiveStream::StatusOnly(const absl::Status& status) const {
  v2::ReceiveMessageResponse frame;
  WriteStatus(status, StatusUse::kOther, caller_, proxy_, frame.mutable_status());
  return {{Serialize(frame)}, frame.status().code()};
}

StreamAnswer ReceiveStream::NoMessage() const {
  v2::ReceiveMessageResponse frame;
  frame.mutable_status()->set_code(v2::MESSAGE_NOT_FOUND);
  frame.mutable_status()->set_message("no message came while the receive waited");
  return {{Serialize(frame)}, v2::MESSAGE_NOT_FOUND};
}

}  // namespace

void AddReceiveHandler(Proxy* proxy, edge::MethodTable* table) {
  table->streams[absl::StrCat(kMessagingService, "ReceiveMessage")] =
      [proxy, metrics = proxy->MetricsOfWaiting("ReceiveMessage")](std::shared_ptr<edge::Stream> stream) {
        return std::make_shared<ReceiveStream>(proxy, metrics, std::move(stream));
      };
}

}  // namespace barid::proxy
