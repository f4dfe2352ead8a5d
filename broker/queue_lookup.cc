#include "broker/queue_lookup.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace barid::broker {
namespace {

absl::Status NoQueue(const QueueKey& key) {
  return absl::NotFoundError(absl::StrCat("queue ", key.queue, " of topic ", key.topic.value(), " is not here"));
}

using Then = absl::AnyInvocable<void(absl::StatusOr<QueueOffset>)>;

// The offset lies in a block of [low, high], or behind it.
void Search(ShardCore* core, const QueueKey& key, int64_t time_us, int64_t low, int64_t high, Then then) {
  const int64_t middle = low + (high - low) / 2;
  core->WithBlock({key, middle}, [core, key, time_us, low, high, middle,
                                  then = std::move(then)](absl::StatusOr<const IndexBlock*> block) mutable {
    const Queue* const queue = core->state().FindQueue(key);
    if (queue == nullptr) return then(NoQueue(key));
    if (!block.ok()) {
      // Retention took the block while it was read: what is left begins behind it.
      if ((middle + 1) * kBlockEntries <= queue->first) return FindOffset(core, key, time_us, std::move(then));
      return then(Unreadable(block.status()));
    }
    if (low < high) {
      const bool before = (*block)->entries.back().time_us < time_us;
      return Search(core, key, time_us, before ? middle + 1 : low, before ? high : middle, std::move(then));
    }
    QueueOffset offset = middle * kBlockEntries;
    for (const IndexEntry& entry : (*block)->entries) {
      if (entry.time_us >= time_us) break;
      ++offset;
    }
    then(std::clamp(offset, queue->first, queue->end));
  });
}

}  // namespace

absl::Status Unreadable(const absl::Status& status) {
  return absl::DataLossError(absl::StrCat("cannot read an index block: ", status.message()));
}

absl::StatusOr<Queue> FindBounds(const State& state, const Metadata& metadata, ShardId shard, const QueueKey& key) {
  const Queue* const queue = state.FindQueue(key);
  if (queue != nullptr && !queue->deleted) return *queue;
  const TopicMetadata* const topic = metadata.FindTopic(key.topic);
  const bool may_come = queue == nullptr && topic != nullptr && key.queue >= 0 && key.queue < topic->QueuesIn(shard);
  if (may_come) return Queue();
  return NoQueue(key);
}

void FindOffset(ShardCore* core, const QueueKey& key, int64_t time_us, Then then) {
  const Queue* const queue = core->state().FindQueue(key);
  if (queue == nullptr) return then(NoQueue(key));
  if (queue->first == queue->end) return then(queue->end);
  Search(core, key, time_us, queue->first / kBlockEntries, (queue->end - 1) / kBlockEntries, std::move(then));
}

}  // namespace barid::broker
