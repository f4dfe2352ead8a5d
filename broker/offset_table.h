#ifndef BARID_BROKER_OFFSET_TABLE_H_
#define BARID_BROKER_OFFSET_TABLE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "broker/cursor_key.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// The offsets that groups have stored: how far each has read a queue by its own account. All are in memory, some 50
// bytes each. Deterministic; a part of the shard's state, with the part of its hash. Belongs to the shard's executor.
class OffsetTable {
 public:
  void Set(const CursorKey& key, QueueOffset offset);
  // nullopt: none is stored.
  std::optional<QueueOffset> Find(const CursorKey& key) const;
  // Forgets those of a queue that is deleted, which takes a look at all,
  void EraseQueue(const QueueKey& queue);
  // and those of a group. False if there are none.
  bool EraseGroup(GroupId group);

  const absl::btree_map<CursorKey, QueueOffset>& all() const { return offsets_; }

  // A sum over entries.
  uint64_t hash() const { return hash_; }
  uint64_t RecomputeHash() const;

  // --- Checkpoints: entries of kind 'o' (docs/storage-format.md). ---
  // Appends what changed since the last call.
  void AppendChanges(std::vector<storage::KeyValueStore::Operation>* operations);
  // Reads what checkpoints wrote into an empty table.
  absl::Status Load(const storage::KeyValueStore& store);

 private:
  using Offsets = absl::btree_map<CursorKey, QueueOffset>;
  Offsets::iterator Erase(Offsets::iterator it);

  Offsets offsets_;
  uint64_t hash_ = 0;
  absl::flat_hash_set<CursorKey> dirty_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_OFFSET_TABLE_H_
