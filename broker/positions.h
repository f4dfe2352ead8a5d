#ifndef BARID_BROKER_POSITIONS_H_
#define BARID_BROKER_POSITIONS_H_

#include <cstdint>
#include <memory>

#include "absl/container/btree_map.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "broker/dispatcher.h"
#include "broker/shard_core.h"

namespace barid::broker {

// Where groups stand in queues, as far as somebody says so and not deliveries: offsets that groups store, offsets that
// anyone looks for, and resets by an operator. Proposes CommitOffset and SeekCursor. Belongs to the shard's executor.
class Positions {
 public:
  // `dispatcher` outlives it.
  Positions(ShardId shard, ShardCore* core, Dispatcher* dispatcher)
      : shard_(shard), core_(core), dispatcher_(dispatcher) {}

  void SetMetadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }

  void Query(const QueryOffsetCall& call, Callback<OffsetResult> done);
  void Get(const GetOffsetCall& call, Callback<OffsetResult> done);
  void Update(const UpdateOffsetCall& call, Callback<OffsetResult> done);
  void Reset(ResetOffsetCall call, Callback<ResetOffsetResult> done);

  // Answers whoever still waits for index blocks: the shard goes.
  void EndAll(const absl::Status& why);

 private:
  // A reset under way: one queue after the other.
  struct Resetting {
    ResetOffsetCall call;
    Callback<ResetOffsetResult> done;
    ResetOffsetResult result;
    size_t next = 0;  // Of result.entries.
  };

  absl::Status CheckLeads() const;
  void EndQuery(uint64_t id, OffsetResult result);
  void ResetNext(uint64_t id);
  void ResetOne(uint64_t id, QueueOffset to);
  void SeekCursor(uint64_t id, QueueOffset to);
  void StoreOffset(uint64_t id, QueueOffset to);
  void EndReset(uint64_t id);
  // The entry is done, and its queue was moved as `outcome` says.
  void EndEntry(uint64_t id, absl::StatusOr<Outcome> outcome);

  const ShardId shard_;
  ShardCore* const core_;
  Dispatcher* const dispatcher_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  absl::btree_map<uint64_t, Callback<OffsetResult>> queries_;
  absl::btree_map<uint64_t, Resetting> resets_;
  uint64_t next_id_ = 1;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_POSITIONS_H_
