#ifndef BARID_BROKER_TIMER_TABLE_H_
#define BARID_BROKER_TIMER_TABLE_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// A scheduled message that has not entered its queue: a pointer into the log. Its key says when it is due.
struct Timer {
  QueueKey queue;
  uint64_t position = 0;  // Where its record stands in the log.
  uint32_t offset = 0;    // Of the stored message in the record's payload.
  uint32_t bytes = 0;     // Of the stored message.
  uint32_t tag_hash = 0;
  LogIndex carried_to = 0;  // The record that has its bytes, if that is not its key's any more; else 0.

  LogIndex RecordOf(const TimerKey& key) const { return carried_to != 0 ? carried_to : key.index; }

  friend bool operator==(const Timer&, const Timer&) = default;
};

// Behind every key.
inline constexpr TimerKey kNoTimerBefore{std::numeric_limits<int64_t>::max(), std::numeric_limits<LogIndex>::max(),
                                         std::numeric_limits<uint32_t>::max()};

// The timers of a shard by due time. In memory are the near ones and those that no durable checkpoint has; the far ones
// are in the checkpoint store, one entry each. So a million timers cost disk, and memory for max_near of them and for
// what was scheduled since the last checkpoint: 64 bytes each, and what the tree adds.
//
//     due |------ near: all in memory ------|------- far: new ones in memory, the rest in the store -------|
//         0                              horizon
//
// A timer in memory is dirty (the store has not heard of it, or has it as it was before it was carried), then being
// written, then clean; only clean far ones leave. A key is never used twice, which is why "gone" is for ever.
//
// Belongs to the shard's executor, but for the static functions, which read the store from any thread. What is read
// there is old when it arrives: a checkpoint may have become durable meanwhile, and then what it evicted or deleted
// would be missed or come back. So a reading belongs to a generation, which each durable checkpoint ends, and is
// refused in a later one.
class TimerTable {
 public:
  // `store` outlives the table; nullptr keeps everything in memory.
  TimerTable(const storage::KeyValueStore* store, size_t max_near)
      : store_(store), max_near_(max_near), horizon_(store == nullptr ? kNoTimerBefore : TimerKey{INT64_MIN, 0, 0}) {}

  // Adds one that was never there.
  void Add(const TimerKey& key, const Timer& timer);
  // Takes it out; nullopt if it is not there (any more). Reads the store, on this thread, for a far one: Install it
  // first where waiting matters.
  absl::StatusOr<std::optional<Timer>> Take(const TimerKey& key);

  // The same timer, but without taking it out.
  absl::StatusOr<std::optional<Timer>> Get(const TimerKey& key) const;
  // Changes one that is there.
  void Replace(const TimerKey& key, const Timer& timer);

  // --- What the leader asks. ---
  enum class Presence { kHere, kGone, kUnknown };  // kUnknown: only the store knows.
  Presence Find(const TimerKey& key) const;
  // Calls `visit` for each near timer that is due by `due_us`, in order, until it returns false.
  void VisitDue(int64_t due_us, absl::FunctionRef<bool(const TimerKey&)> visit) const;
  // Calls `visit` for each timer in memory from `from` on and before `end`, in order, until it returns false.
  void VisitResident(const TimerKey& from, const TimerKey& end,
                     absl::FunctionRef<bool(const TimerKey&, const Timer&)> visit) const;
  // Calls `visit` for each timer in memory, in order.
  void VisitResident(absl::FunctionRef<void(const TimerKey&, const Timer&)> visit) const;

  // --- Bringing in far timers: read on another executor, then install. ---
  struct Reading {
    std::vector<std::pair<TimerKey, Timer>> timers;
    TimerKey end;  // All timers of the store in [from, end) are there.
  };
  uint64_t generation() const { return generation_; }
  // Few near timers are left, and there may be more behind them.
  bool WantsNear() const { return horizon_ < kNoTimerBefore && 2 * near_ < max_near_; }
  const TimerKey& horizon() const { return horizon_; }
  size_t max_near() const { return max_near_; }
  // The first `limit` timers of the store from `from` on. Any thread.
  static absl::StatusOr<Reading> ReadFrom(const storage::KeyValueStore& store, const TimerKey& from, size_t limit);
  // nullopt: it is not in the store. Any thread.
  static absl::StatusOr<std::optional<Timer>> ReadOne(const storage::KeyValueStore& store, const TimerKey& key);
  // What was read from horizon() on becomes near. False, and nothing done, if it is of another generation.
  bool InstallNear(uint64_t generation, const Reading& reading);
  // Holds far ones in memory until the next checkpoint is durable. False as above.
  bool Install(uint64_t generation, const std::vector<std::pair<TimerKey, Timer>>& timers);

  // --- Checkpoints, one at a time. ---
  struct Changes {
    std::vector<std::pair<TimerKey, Timer>> added;
    std::vector<TimerKey> removed;
  };
  // What changed since the last call, to be written by a checkpoint.
  Changes TakeChanges();
  // A checkpoint with these changes is durable (or failed: then they are as before).
  void Written(const Changes& changes, bool durable);
  // What the checkpoint writes for them. Any thread.
  static void AppendOperations(const Changes& changes, std::vector<storage::KeyValueStore::Operation>* operations);

  size_t resident() const { return resident_.size(); }
  // Every timer, in memory or not: for inspect and for tests.
  absl::Status VisitAll(absl::FunctionRef<void(const TimerKey&, const Timer&)> visit) const;

 private:
  enum class Kept : uint8_t { kDirty, kWriting, kClean };
  struct Resident {
    Timer timer;
    Kept kept = Kept::kDirty;
    bool is_stored = false;  // The store has it, or is about to.
  };
  bool IsNear(const TimerKey& key) const { return key < horizon_; }
  bool IsGone(const TimerKey& key) const { return removed_.contains(key) || removing_.contains(key); }
  void Insert(const TimerKey& key, const Timer& timer, Kept kept);
  void Evict();

  const storage::KeyValueStore* const store_;
  const size_t max_near_;
  absl::btree_map<TimerKey, Resident> resident_;
  TimerKey horizon_;                        // Every timer before it is in resident_.
  size_t near_ = 0;                         // How many of resident_ are.
  std::vector<TimerKey> added_;             // Dirty ones, and some that are gone since.
  absl::flat_hash_set<TimerKey> removed_;   // Gone, and the store has them or is about to.
  absl::flat_hash_set<TimerKey> removing_;  // Of those, the ones that the checkpoint under way deletes.
  uint64_t generation_ = 0;                 // Durable checkpoints so far.
};

}  // namespace barid::broker

#endif  // BARID_BROKER_TIMER_TABLE_H_
