#include "proxy/public/pull_handler.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "proxy/offsets.h"
#include "proxy/public/exchange.h"
#include "proxy/public/frame_writer.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

Bytes NextOffsetFrame(QueueOffset offset) {
  v2::PullMessageResponse frame;
  frame.set_next_offset(offset);
  return Serialize(frame);
}

// The answer without messages; the reader goes on at `offset`.
StreamAnswer NothingFrom(QueueOffset offset) {
  v2::PullMessageResponse nothing;
  nothing.mutable_status()->set_code(v2::MESSAGE_NOT_FOUND);
  nothing.mutable_status()->set_message("there is no message from this offset on that the filter leaves");
  return {{Serialize(nothing), NextOffsetFrame(offset)}, v2::MESSAGE_NOT_FOUND};
}

class PullStream : public edge::StreamHandler, public std::enable_shared_from_this<PullStream> {
 public:
  PullStream(Proxy* proxy, MethodMetrics* metrics, std::shared_ptr<edge::Stream> stream)
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

  // As a receive does.
  void OnDeadlineNear() override {
    if (pending_ == nullptr) return;
    pending_->Cancel();
    Push(NothingFrom(offset_));
  }

  void OnDone(bool delivered) override {
    writer_.Close();
    if (pending_ != nullptr) pending_->Cancel();
  }

 private:
  absl::Status Start(const Bytes& message);
  void OnResult(PullResult result);
  StreamAnswer Messages(const PullResult& result) const;
  StreamAnswer StatusOnly(const absl::Status& status) const;
  void Push(StreamAnswer answer) { PushAnswer(std::move(answer), &writer_, metrics_); }

  Proxy* const proxy_;
  const std::shared_ptr<edge::Stream> stream_;  // Keeps the head that caller_ looks into.
  MethodMetrics* const metrics_;                // nullptr: nobody asks.
  const Caller caller_;
  FrameWriter writer_;

  // Only for the transport's calls.
  bool started_ = false;
  // Set in Start, before the result can come.
  std::shared_ptr<PendingCall> pending_;
  ResourceName topic_as_named_;
  QueueOffset offset_ = 0;            // That was asked for.
  std::optional<GroupId> member_of_;  // One that expires.
};

absl::Status PullStream::Start(const Bytes& message) {
  v2::PullMessageRequest proto;
  RETURN_IF_ERROR(Parse(message, &proto));
  RETURN_IF_ERROR(CheckCaller(caller_));
  const ProxyOptions& options = proxy_->options();
  const ResourceName group_name = NameOf(proto.group(), caller_.space);
  RETURN_IF_ERROR(CheckGroup(group_name));
  const v2::Resource& topic = proto.message_queue().topic();
  const ResourceName name = NameOf(topic, caller_.space);
  RETURN_IF_ERROR(CheckTopic(name));
  topic_as_named_ = {topic.resource_namespace(), topic.name()};

  PullCall call;
  if (proto.filter_expression().type() == v2::SQL) {
    RETURN_IF_ERROR(CheckSqlExpression(proto.filter_expression().expression(), &proxy_->filters()));
    call.sql = proto.filter_expression().expression();
  } else {
    ASSIGN_OR_RETURN(call.tags,
                     ParseTagExpression(proto.filter_expression().expression(), options.limits.max_filter_tags));
  }
  ASSIGN_OR_RETURN(const QueuePlace place,
                   FindQueue(*proxy_->router().Snapshot(), proxy_->router(), name,
                             proto.message_queue().broker().name(), proto.message_queue().id()));
  call.shard = place.target.shard;
  call.queue = place.queue;
  call.metadata_revision = place.metadata_revision;
  call.offset = offset_ = proto.offset();
  call.max_messages = std::clamp(proto.batch_size(), 1, options.limits.max_receive_messages);
  call.max_bytes = options.limits.max_receive_bytes;
  const absl::Duration asked = std::max(FromProto(proto.long_polling_timeout()), absl::ZeroDuration());
  call.wait = PollTime(asked, stream_->head().deadline - proxy_->clock()->Now(), options);

  if (!stream_->Reserve(1)) return NoRoomForAnswer();
  proxy_->clients().Heard(caller_.id);
  const auto pending = std::make_shared<PendingCall>();
  if (!proxy_->clients().BeginReceive(caller_.id, pending)) {
    return Refuse(Reason::kTooManyRequests,
                  absl::StrCat("the client has ", options.limits.max_waiting_receives_per_client,
                               " receives waiting already, that many are allowed"));
  }
  const Snapshot metadata = proxy_->router().Snapshot();
  const GroupMetadata* const group = metadata->FindGroup(group_name);
  if (group != nullptr) call.group = group->id;
  if (group != nullptr && proxy_->members().Begin(*metadata, group->id)) member_of_ = group->id;
  // A shard's thread does not make frames.
  pending_ = pending;
  proxy_->puller().Start(std::move(call), place.target, pending, [self = shared_from_this()](PullResult result) {
    self->stream_->Resume([self, result = std::move(result)]() mutable { self->OnResult(std::move(result)); });
  });
  return absl::OkStatus();
}

void PullStream::OnResult(PullResult result) {
  proxy_->clients().EndReceive(caller_.id, pending_.get());
  if (member_of_) proxy_->members().End(*member_of_);
  Push(Messages(result));
}

StreamAnswer PullStream::Messages(const PullResult& result) const {
  if (absl::IsNotFound(result.status)) return StatusOnly(Refuse(Reason::kTopicNotFound, result.status.message()));
  if (!result.status.ok()) return StatusOnly(result.status);
  if (result.deliveries.empty()) return NothingFrom(result.next_offset);
  StreamAnswer answer = StatusOnly(absl::OkStatus());
  std::vector<Bytes>& frames = answer.frames;
  frames.reserve(result.deliveries.size() + 2);
  QueueOffset next = result.next_offset;
  for (const Delivery& delivery : result.deliveries) {
    DeliveryFields fields;
    fields.topic = topic_as_named_;
    fields.queue_id = delivery.queue.queue;
    fields.queue_offset = delivery.offset;
    fields.store_time = delivery.store_time;
    if (delivery.origin) fields.dead_letter_origin = {delivery.origin->topic_name, delivery.origin->message_id};
    const absl::StatusOr<Bytes> message = SpliceDelivery(delivery.stored, fields);
    if (!message.ok()) {
      LOG(ERROR) << "stored message cannot be read" << KV("queue", delivery.queue) << KV("offset", delivery.offset)
                 << KV("status", message.status());
      // As the broker does it: what stands before it can be had, and then the reader is told.
      if (frames.size() == 1) {
        return StatusOnly(Annotate(message.status(), absl::StrCat("the message at offset ", delivery.offset)));
      }
      next = delivery.offset;
      break;
    }
    frames.push_back(FrameOf(v2::PullMessageResponse::kMessageFieldNumber, *message));
  }
  // The rest can be pulled again.
  const size_t messages = frames.size() - 1;
  const size_t kept = ReserveFor(stream_.get(), absl::MakeConstSpan(frames).subspan(1));
  if (kept == 0) return StatusOnly(NoRoomForAnswer());
  if (kept < messages) next = result.deliveries[kept].offset;
  proxy_->throughput().Delivered(kept);
  frames.resize(1 + kept);
  frames.push_back(NextOffsetFrame(next));
  return answer;
}

StreamAnswer PullStream::StatusOnly(const absl::Status& status) const {
  v2::PullMessageResponse frame;
  WriteStatus(status, StatusUse::kOther, caller_, proxy_, frame.mutable_status());
  return {{Serialize(frame)}, frame.status().code()};
}

}  // namespace

void AddPullHandler(Proxy* proxy, edge::MethodTable* table) {
  table->streams[absl::StrCat(kMessagingService, "PullMessage")] =
      [proxy, metrics = proxy->MetricsOfWaiting("PullMessage")](std::shared_ptr<edge::Stream> stream) {
        return std::make_shared<PullStream>(proxy, metrics, std::move(stream));
      };
}

}  // namespace barid::proxy
