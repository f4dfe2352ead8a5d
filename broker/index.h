#ifndef BARID_BROKER_INDEX_H_
#define BARID_BROKER_INDEX_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// One message of a queue: a pointer into the log.
struct IndexEntry {
  LogIndex index = 0;     // The record that has its bytes.
  uint64_t position = 0;  // Where that record stands in the log.
  uint32_t offset = 0;    // Of the stored message in the record's payload.
  uint32_t bytes = 0;     // Of the stored message.
  uint32_t tag_hash = 0;
  int64_t time_us = 0;         // When it entered the queue: leader time of the record that made the entry.
  uint64_t message_group = 0;  // Hash of it; 0: none.

  // It was a dead letter that went back to a topic: there is no message at this offset any more. Its time stays, so
  // that times never go down in a queue.
  bool is_redriven() const { return index == 0; }
};

// Where a dead letter came from.
struct Provenance {
  std::string topic;
  std::string message_id;
  std::string reason;
  int32_t attempts = 0;
};

inline constexpr int64_t kBlockEntries = 256;

// A run of kBlockEntries entries of one queue, aligned. Entries that have expired stay until their block goes.
struct IndexBlock {
  std::vector<IndexEntry> entries;                      // entries[i] is that of offset block * kBlockEntries + i.
  absl::btree_map<QueueOffset, Provenance> provenance;  // Only dead letters have one.
};

std::string EncodeIndexBlock(const IndexBlock& block);
// kDataLoss if the bytes do not follow the format or their checksum does not match.
absl::StatusOr<IndexBlock> DecodeIndexBlock(absl::string_view bytes);

struct BlockKey {
  QueueKey queue;
  int64_t block = 0;

  friend auto operator<=>(const BlockKey&, const BlockKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const BlockKey& key) {
    return H::combine(std::move(h), key.queue, key.block);
  }
};
inline BlockKey BlockOf(const QueueKey& queue, QueueOffset offset) { return {queue, offset / kBlockEntries}; }
// Key of the block in the checkpoint store.
std::string StoreKey(const BlockKey& key);

// The entries of all queues of a shard: what changed since the last checkpoint and what was used lately in memory, the
// rest in the checkpoint store. Belongs to the shard's executor.
//
// A block in memory is dirty until a checkpoint that has it is durable; only clean ones leave.
class Index {
 public:
  // `store` outlives the index; nullptr keeps everything in memory.
  Index(const storage::KeyValueStore* store, size_t max_clean_blocks)
      : store_(store), max_clean_blocks_(max_clean_blocks) {}

  // Adds the entry of `offset`, which is the next of its queue.
  absl::Status Append(const QueueKey& queue, QueueOffset offset, const IndexEntry& entry,
                      std::optional<Provenance> provenance);

  // Puts another entry at `offset`, which has one: the same message, elsewhere in the log.
  absl::Status Replace(const QueueKey& queue, QueueOffset offset, const IndexEntry& entry);

  // Empties the entry of `offset`, but for its time. Returns what it was.
  absl::StatusOr<IndexEntry> Empty(const QueueKey& queue, QueueOffset offset);

  // The block, if it is in memory.
  const IndexBlock* Resident(const BlockKey& key);
  // The same, and does not count as a use of it.
  const IndexBlock* Peek(const BlockKey& key) const;
  // The block, read from the store if need be. Blocks the caller: use Resident and Install where that matters.
  absl::StatusOr<const IndexBlock*> Load(const BlockKey& key);
  // Puts in a block that was read from the store, unless a newer one is here. What was read elsewhere belongs to the
  // generation in which the reading began, and must not be put in in a later one: the block may have been changed,
  // written and dropped meanwhile.
  void Install(const BlockKey& key, IndexBlock block);
  // Durable checkpoints so far.
  uint64_t generation() const { return generation_; }

  // Forgets blocks wholly below `first`; they are deleted by the next checkpoint.
  void DropBelow(const QueueKey& queue, QueueOffset old_first, QueueOffset first);

  // What changed since the last call, to be written by a checkpoint: a null pointer means deleted. The blocks are not
  // changed any more by the index.
  using Changes = std::vector<std::pair<BlockKey, std::shared_ptr<const IndexBlock>>>;
  Changes TakeChanges();
  // A checkpoint with these changes is durable (or failed: then they are dirty again).
  void Written(const Changes& changes, bool durable);

  size_t resident_blocks() const { return blocks_.size(); }

 private:
  struct Resident_ {
    // Before it is changed.
    void Own();

    std::shared_ptr<IndexBlock> block;
    bool dirty = false;
    bool writing = false;  // Handed to a checkpoint; copied before the next change.
    uint64_t used = 0;
  };
  Resident_* Touch(const BlockKey& key);
  void Evict();

  const storage::KeyValueStore* const store_;
  const size_t max_clean_blocks_;
  absl::flat_hash_map<BlockKey, Resident_> blocks_;
  absl::flat_hash_set<BlockKey> dirty_;
  absl::flat_hash_set<BlockKey> deleted_;
  uint64_t uses_ = 0;
  uint64_t generation_ = 0;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_INDEX_H_
