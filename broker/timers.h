#ifndef BARID_BROKER_TIMERS_H_
#define BARID_BROKER_TIMERS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/broker_calls.h"
#include "broker/shard_core.h"

namespace barid::broker {

// What becomes of scheduled messages: those that are due enter their queues, those that are recalled do not, those of
// deleted topics go. Each is a record that the leader proposes: FireTimer, CancelTimer. Whichever of the two names a
// timer first in the log decides; the other finds none, so a message is recalled or delivered, never both.
//
// Far timers are brought into memory (timer_table.h) before they are needed, off the shard's executor, to which this
// belongs.
class Timers {
 public:
  explicit Timers(ShardCore* core) : core_(core) {}

  // A term begins.
  void OnLead();

  // Proposes what is due by now, and sees that the next timers are in memory.
  void Tick(int64_t now_us);

  void Recall(const TimerKey& key, Callback<RecallResult> done);

  // Begins to cancel the timers of deleted queues, if there are any: a pass over all timers.
  void CancelOfDeletedQueues();

  // Answers whoever still waits for a recall: the shard goes.
  void EndAll(const absl::Status& why);

 private:
  void Fire(int64_t now_us);
  void ReadNear();
  void OnNearRead(uint64_t generation, const absl::StatusOr<TimerTable::Reading>& reading);
  // Reads the timer from the store until the reading is of the present generation.
  void FindAndCancel(uint64_t recall, const TimerKey& key);
  void CancelRecalled(uint64_t recall, const TimerKey& key);
  void EndRecall(uint64_t recall, absl::Status status);
  // Looks for timers of deleted queues in the store from `from` on, slice by slice.
  void CancelSlice(const TimerKey& from);
  void ProposeCancel(const std::vector<TimerKey>& keys);
  bool IsOfDeletedQueue(const Timer& timer) const;

  ShardCore* const core_;
  absl::flat_hash_set<TimerKey> firing_;  // Proposed to fire, not applied.
  int fire_records_ = 0;                  // FireTimer records under way.
  bool reading_near_ = false;
  int64_t next_reading_us_ = 0;  // After one that failed.
  bool cancelling_deleted_ = false;
  absl::btree_map<uint64_t, Callback<RecallResult>> recalls_;
  uint64_t next_recall_ = 1;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_TIMERS_H_
