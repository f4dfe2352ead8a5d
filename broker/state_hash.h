#ifndef BARID_BROKER_STATE_HASH_H_
#define BARID_BROKER_STATE_HASH_H_

#include <cstdint>

#include "base/hash.h"
#include "broker/index.h"
#include "broker/timer_table.h"

// Hashes of entries of the state that are changed in more than one file. The first number keeps kinds apart.
namespace barid::broker {

inline uint64_t HashTimer(const TimerKey& key, const Timer& timer) {
  // Without the position, as with entries.
  const uint64_t hash =
      StableHash({21, static_cast<uint64_t>(key.deliver_at_us), key.index, key.entry, timer.queue.topic.value(),
                  static_cast<uint64_t>(timer.queue.queue), timer.offset, timer.bytes, timer.tag_hash});
  // Apart, so that one that was never carried hashes as it did before there was carrying.
  if (timer.carried_to == 0) return hash;
  return hash + StableHash({35, 0, static_cast<uint64_t>(key.deliver_at_us), key.index, key.entry, timer.carried_to});
}

inline uint64_t HashEntry(const QueueKey& key, QueueOffset offset, const IndexEntry& entry) {
  // Without the position: it follows from the index.
  const uint64_t hash =
      StableHash({2, key.topic.value(), static_cast<uint64_t>(key.queue), static_cast<uint64_t>(offset), entry.index,
                  entry.offset, entry.bytes, entry.tag_hash, static_cast<uint64_t>(entry.time_us)});
  // Apart, as all that came with message groups: a state without any hashes as it did before.
  if (entry.message_group == 0) return hash;
  return hash + StableHash({30, key.topic.value(), static_cast<uint64_t>(key.queue), static_cast<uint64_t>(offset),
                            entry.message_group});
}

}  // namespace barid::broker

#endif  // BARID_BROKER_STATE_HASH_H_
