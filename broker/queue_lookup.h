#ifndef BARID_BROKER_QUEUE_LOOKUP_H_
#define BARID_BROKER_QUEUE_LOOKUP_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/metadata.h"
#include "broker/shard_core.h"

namespace barid::broker {

// Of an index block: one that is missing is damage, and must not look like a queue that is not there.
absl::Status Unreadable(const absl::Status& status);

// What the queue has. One that the topic has and to which nothing was sent yet is an empty one. kNotFound if there is
// none, or not any more.
absl::StatusOr<Queue> FindBounds(const State& state, const Metadata& metadata, ShardId shard, const QueueKey& key);

// The first offset whose message entered the queue at `time_us` or later; the end if there is none. Searches the index
// by halves: `then` runs on the shard's executor, at once if the blocks are in memory, and not at all if `core` goes
// before. kNotFound: there is no such queue in the state.
void FindOffset(ShardCore* core, const QueueKey& key, int64_t time_us,
                absl::AnyInvocable<void(absl::StatusOr<QueueOffset>)> then);

}  // namespace barid::broker

#endif  // BARID_BROKER_QUEUE_LOOKUP_H_
