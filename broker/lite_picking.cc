// How a receive of a LITE topic looks for messages: in the lite topics of its client that may have some, and in no
// others.
#include "base/lite_topic.h"
#include "base/status.h"
#include "broker/dispatcher.h"

namespace barid::broker {
namespace {

// Of the lite topics that a receive looks at, so many may be on their way from the disk; the others' turn comes then.
constexpr int kMostLater = 32;

}  // namespace

ReceiveLine Dispatcher::LineOf(const ReceiveCall& call) const {
  const TopicMetadata* const topic = metadata_->FindTopic(call.topic);
  const bool is_lite = topic != nullptr && topic->type == MessageType::kLite;
  return {call.topic, call.group, is_lite ? call.client_id : std::string()};
}

void Dispatcher::WakeLine(const ReceiveLine& line) {
  if (lines_.contains(line)) woken_.insert(line);
}

absl::Status Dispatcher::SyncLite(const LiteSyncCall& call) {
  const int64_t expires_us = core_->NowMicros() + absl::ToInt64Microseconds(core_->options().lite_subscription_ttl);
  const absl::Status status = lite_.Sync(call, call.quota, expires_us);
  WakeLine({call.topic, call.group, call.client_id});
  ServeWoken();
  return status;
}

absl::StatusOr<std::vector<QueueKey>> Dispatcher::LiteQueuesBegunBy(const LiteSyncCall& call) const {
  RETURN_IF_ERROR(lite_.Check(call, call.quota));
  return lite_.BegunBy(call);
}

std::vector<QueueKey> Dispatcher::LiteQueuesToRepeat(const Pending& receive) const {
  // Attempt ids are kept of ordered groups only.
  const GroupMetadata* const group = metadata_->FindGroup(receive.call.group);
  const bool is_ordered = group != nullptr && group->order == DeliveryOrder::kFifo;
  if (receive.call.attempt_id.empty() || receive.repeated || !is_ordered) return {};
  return lite_.QueuesOf(receive.line);
}

bool Dispatcher::PickLite(uint64_t id, Pending* receive, int32_t* messages_left, int64_t* bytes_left) {
  int later = 0;
  for (size_t left = lite_.ReadyFor(receive->line);
       left > 0 && later<kMostLater&& * messages_left> 0 && *bytes_left > 0; --left) {
    const std::optional<QueueKey> queue = lite_.Next(receive->line);
    if (!queue) break;
    const CursorKey key{receive->call.group, *queue};
    const Queue* const bounds = core_->state().FindQueue(*queue);
    // One that is empty gets no cursor for it.
    const bool is_there = bounds != nullptr && !bounds->deleted &&
                          (bounds->first < bounds->end || core_->state().FindCursor(key) != nullptr);
    const Served served = is_there ? PickFrom(id, receive, *queue, messages_left, bytes_left) : Served::kNothing;
    if (served == Served::kLater) ++later;
    if (served != Served::kNothing) continue;
    lite_.Done(receive->line, *queue);
    ForgetIdle(key);
  }
  return later > 0;
}

void Dispatcher::ForgetIdle(const CursorKey& key) {
  if (key.queue.queue < kFirstLiteQueue) return;
  const auto it = reserved_.find(key);
  if (it == reserved_.end()) return;
  const Reserved& reserved = it->second;
  const bool is_idle = reserved.proposals == 0 && reserved.again.empty() && reserved.busy.empty() &&
                       reserved.parking == 0 && reserved.scanned <= reserved.next;
  if (is_idle) reserved_.erase(it);
}

}  // namespace barid::broker
