#ifndef BARID_BROKER_PULLER_H_
#define BARID_BROKER_PULLER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "broker/filter_scan.h"
#include "broker/shard_core.h"
#include "filter/filter_cache.h"

namespace barid::broker {

// Reads queues by offset, for pulls: nothing is proposed, nothing changes. A pull scans from its offset on, a slice of
// messages at a time, and is answered with what the first slice has that holds anything it wants. One that comes to the
// end of its queue waits in memory until a message is committed there, or its time is over; so does one whose group is
// paused, until it is resumed.
//
//   scanning --slice--> reading (evaluating) --something found--> answered
//      ^  |                 |
//      |  +--at the end--> waiting --woken, or its time is over-->
//      +-------nothing------+
//
// Belongs to the shard's executor.
class Puller {
 public:
  Puller(ShardId shard, ShardCore* core) : shard_(shard), core_(core) {}

  // Wakes the pulls of groups that are not paused any more.
  void SetMetadata(std::shared_ptr<const Metadata> metadata);

  void Pull(uint64_t id, PullCall call, Callback<PullResult> done);
  // Nobody wants the answer any more: it comes at once, with nothing. Passes over what it does not know.
  void Cancel(uint64_t id);

  // Something was committed to the queue, or it is gone.
  void Wake(const QueueKey& queue);
  // Goes on with those that were woken. After each run of applied records.
  void ServeWoken();

  // Ends pulls whose time is over.
  void ExpireWaiting(int64_t now_us);
  // As with receives (dispatcher.h).
  void Drain();
  void EndWaiting(const absl::Status& why);
  void EndAll(const absl::Status& why);

  int64_t under_way() const { return static_cast<int64_t>(pulls_.size()); }

 private:
  struct Picked {
    QueueOffset offset = 0;
    IndexEntry entry;
    std::optional<Provenance> provenance;
  };
  struct Pending {
    PullCall call;
    Callback<PullResult> done;
    std::vector<uint32_t> tag_hashes;
    std::shared_ptr<const filter::Filter> filter;  // None: no SQL.
    int64_t deadline_us = 0;                       // Of waiting,
    int64_t give_up_us = 0;                        // and of a scan that finds nothing.
    QueueOffset scan = 0;                          // Everything before it, from the pull's offset on, was filtered out.
    bool waiting = false;
    std::vector<Picked> slice;   // Being read; it reaches up to
    QueueOffset slice_end = 0;   // here.
    uint64_t slice_carries = 0;  // State::carries() when it was collected.
    QueueOffset vanished = -1;   // What an earlier slice pointed at and the log did not have any more.
  };

  // Scans on. The pull may be gone afterwards.
  void Advance(uint64_t id);
  // Collects the next slice. False if it has to wait for an index block or for its turn, and Advance will be called
  // again.
  bool Collect(uint64_t id, Pending* pull, const Queue& bounds);
  void Wait(uint64_t id, Pending* pull);
  void StopWaiting(uint64_t id, Pending* pull);
  // Reads the slice, now or when there is a place.
  void Read(uint64_t id);
  void StartReading(uint64_t id, Pending* pull);
  void OnRead(uint64_t id, ShardCore::Bodies bodies, std::optional<std::vector<FilterScan::Judged>> judged);
  bool Wants(const Pending& pull, absl::string_view stored) const;
  void NoteProblem(const Pending& pull, const Picked& one, const FilterScan::Judged& judged);
  void AdvanceSoon(uint64_t id);
  // OK: with what was found so far, nothing.
  void Finish(uint64_t id, absl::Status status);
  void FinishWith(uint64_t id, PullResult result);

  const ShardId shard_;
  ShardCore* const core_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  filter::FilterCache filters_{size_t{1} << 20};
  absl::flat_hash_map<uint64_t, std::unique_ptr<Pending>> pulls_;
  absl::btree_map<QueueKey, absl::btree_set<uint64_t>> waiting_;
  absl::btree_set<std::pair<int64_t, uint64_t>> deadlines_;  // Of those that wait.
  absl::btree_set<QueueKey> woken_;
  int reading_ = 0;
  std::deque<uint64_t> unread_;  // Found no place to read, in order; may name the gone.
  bool draining_ = false;
  absl::Duration problem_logged_ = -absl::InfiniteDuration();
};

}  // namespace barid::broker

#endif  // BARID_BROKER_PULLER_H_
