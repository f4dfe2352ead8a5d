// Which lite topics go. A slice of them is looked at each time, so that a million of them do not hold up the shard.
#include <algorithm>
#include <utility>

#include "base/lite_topic.h"
#include "broker/retention.h"

namespace barid::broker {
namespace {

constexpr int kLiteSlice = 10'000;
// Of a slice: each reads an index block, or takes a record that passes over much of the shard's state.
constexpr size_t kMostReads = 256;
constexpr size_t kMostDeletes = 500;

}  // namespace

bool Retention::IsSettled(const QueueKey& key, const Queue& queue) const {
  if (queue.first == queue.end) return true;
  bool any = false;
  for (const SubscriptionMetadata& subscription : metadata_->tables().subscriptions) {
    if (subscription.topic != key.topic) continue;
    const Cursor* const cursor = core_->state().FindCursor({subscription.group, key});
    if (cursor == nullptr || cursor->floor() < queue.end) return false;
    any = true;
  }
  return any;
}

bool Retention::IsIdle(const LiteTable::LiteTopic& lite, const Queue& queue) const {
  const absl::Duration expiry = core_->options().lite_topic_expiry;
  return expiry > absl::ZeroDuration() && lite.written_us + absl::ToInt64Microseconds(expiry) <= core_->NowMicros() &&
         queue.delayed == 0 && !is_moving_(lite.key) && IsSettled(lite.key, queue);
}

void Retention::SweepLite() {
  const auto& queues = core_->state().queues();
  std::vector<QueueKey> looked_at;
  std::vector<log::ConfigureQueue> idle;
  auto it = queues.lower_bound(lite_from_);
  for (int left = kLiteSlice;
       left > 0 && it != queues.end() && looked_at.size() < kMostReads && idle.size() < kMostDeletes;) {
    const auto& [key, queue] = *it;
    if (key.queue < kFirstLiteQueue) {
      // On to the lite topics of this topic, if it has any.
      it = queues.lower_bound({key.topic, kFirstLiteQueue});
      continue;
    }
    --left;
    ++it;
    const LiteTable::LiteTopic* const lite = core_->state().lite().Get(key);
    const bool is_deleted = metadata_->FindTopic(key.topic) == nullptr;
    if (lite == nullptr || (!is_deleted && !IsIdle(*lite, queue))) {
      if (queue.first < queue.end) looked_at.push_back(key);
      continue;
    }
    log::ConfigureQueue& command = idle.emplace_back();
    SetKey(command.mutable_queue(), key);
    command.set_deleted(true);
    if (!is_deleted) command.set_lite_end(queue.end);
  }
  lite_from_ = it == queues.end() ? QueueKey() : it->first;
  for (log::ConfigureQueue& command : idle) {
    const QueueKey key = KeyOf(command.queue());
    core_->Propose(Command(std::move(command)), Bytes(), [this, key](absl::StatusOr<Outcome> outcome) {
      // What it still has goes at once: nobody is owed it.
      if (outcome.ok() && outcome->status.ok()) ExpireStep(key);
    });
  }
  for (const QueueKey& key : looked_at) ExpireStep(key);
}

}  // namespace barid::broker
