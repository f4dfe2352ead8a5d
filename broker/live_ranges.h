#ifndef BARID_BROKER_LIVE_RANGES_H_
#define BARID_BROKER_LIVE_RANGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// A run of the log, and how much of it is needed. It ends where the next one begins.
struct LiveRange {
  LogIndex first = 0;
  uint64_t position = 0;  // Of its first record.
  int64_t pointers = 0;   // Into it: entries of queues, timers and open transactions.
  int64_t bytes = 0;      // Of the messages that those point at; one with two pointers counts twice.
};

// Counts what still points into a log, by ranges of records, so that what nothing points at can be freed. A range
// begins at each multiple of kMostRecords log indexes, and with the first record that begins in a sixteenth of a
// segment: so none lies in two segments, and one message holds little beside itself. Where ranges begin follows from
// the log alone, so what the holder of some ranges may trim, that of more of them may, too: ranges of an older version
// are a part of those that a replay of the same log gives.
//
// In memory, 32 bytes each (twice that while the table grows): at most 16 for each segment, which are 64 for each GiB
// in segments of 256 MiB, and one for every 4,096 records. Deterministic; a part of the shard's state, without a part
// in its hash, since the counts follow from what points. Belongs to the shard's executor.
class LiveRanges {
 public:
  static constexpr LogIndex kMostRecords = 4096;
  static constexpr uint64_t kPerSegment = 16;

  explicit LiveRanges(uint64_t segment_bytes);

  // The log goes on with this record. `previous_position` is that of the one before.
  void Extend(LogIndex index, uint64_t position, uint64_t previous_position);
  // Something begins (1) or ends (-1) to point at a message in this record, which is one of the ranges'. Takes a binary
  // search among the ranges, but for the newest.
  void Add(LogIndex index, int64_t change, uint32_t bytes);
  // Something that pointed at one record points at another.
  void Move(LogIndex from, LogIndex to, uint32_t bytes);
  // Forgets the ranges that lie wholly below this index.
  void DropBelow(LogIndex index);

  // In the order of the log.
  const std::vector<LiveRange>& all() const { return ranges_; }
  // The place in all() of the range that has the record; all().size(): none has.
  size_t PlaceOf(LogIndex index) const;

  // --- Checkpoints: entries of kind 'k' (docs/storage-format.md). ---
  // Appends what changed since the last call.
  void AppendChanges(std::vector<storage::KeyValueStore::Operation>* operations);
  // Reads what checkpoints wrote into an empty table; from older versions, ranges of 4,096 records (kind 'r'), which
  // the next checkpoint writes anew.
  absl::Status Load(const storage::KeyValueStore& store);
  // Whether what was loaded said so. If not, they are all 0, and to be added.
  bool knows_bytes() const { return knows_bytes_; }
  void AddBytes(LogIndex index, uint32_t bytes);

 private:
  // A record of a range that is there.
  LiveRange* Find(LogIndex index);

  const uint64_t range_bytes_;
  std::vector<LiveRange> ranges_;
  absl::flat_hash_set<LogIndex> dirty_;  // Their first indexes.
  std::vector<std::string> old_keys_;    // To be deleted.
  bool knows_bytes_ = true;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_LIVE_RANGES_H_
