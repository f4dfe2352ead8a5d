#ifndef BARID_BROKER_TRANSACTION_TABLE_H_
#define BARID_BROKER_TRANSACTION_TABLE_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// A message that waits for the end of its transaction: a pointer into the log. Its key says which record has it.
struct OpenTransaction {
  QueueKey queue;
  uint64_t position = 0;  // Where its record stands in the log.
  uint32_t offset = 0;    // Of the stored message in the record's payload.
  uint32_t bytes = 0;     // Of the stored message.
  uint32_t tag_hash = 0;
  int64_t prepared_us = 0;  // Leader time, microseconds.
  int64_t check_at_us = 0;  // When its producer is to be asked next.
  uint32_t checks = 0;      // How often it was asked.
  LogIndex carried_to = 0;  // The record that has its bytes, if that is not its key's any more; else 0.

  LogIndex RecordOf(const TransactionKey& key) const { return carried_to != 0 ? carried_to : key.index; }

  friend bool operator==(const OpenTransaction&, const OpenTransaction&) = default;
};

// How a transaction ended. Numbers as in the log (log::EndTransaction::Entry::Resolution).
enum class Resolution : uint8_t { kCommitted = 1, kRolledBack = 2, kDiscarded = 3 };

// The transactions of a shard: the open ones, and how the last ones ended, so that ending twice is told from ending
// otherwise. All are in memory: about 150 bytes for an open one, 100 for one that is remembered; the leader bounds both
// (settings broker.max_open_transactions, broker.remembered_transactions). Deterministic; a part of the shard's state,
// with the part of its hash. Belongs to the shard's executor.
class TransactionTable {
 public:
  // Adds one that was never there.
  void Open(const TransactionKey& key, const OpenTransaction& transaction);
  const OpenTransaction* FindOpen(const TransactionKey& key) const;
  // An open one was asked about.
  void SetCheck(const TransactionKey& key, uint32_t checks, int64_t check_at_us);
  // The bytes of an open one are in another record now.
  void Carry(const TransactionKey& key, LogIndex to, uint64_t position, uint32_t offset);
  // Takes an open one out.
  OpenTransaction Close(const TransactionKey& key);

  // Where in the log an end stands: its record, and the place there. What orders the ends.
  using End = std::pair<LogIndex, uint32_t>;
  // Behind all that are remembered.
  void Remember(const End& end, const TransactionKey& key, Resolution resolution);
  // Forgets the oldest ends beyond `most`.
  void ForgetBeyond(uint64_t most);
  // nullopt: it has not ended, or that is forgotten.
  std::optional<Resolution> FindEnded(const TransactionKey& key) const;

  const absl::btree_map<TransactionKey, OpenTransaction>& open() const { return open_; }
  size_t ended() const { return ended_.size(); }
  // The open ones by the time at which their producers are to be asked next.
  using Due = std::pair<int64_t, TransactionKey>;
  const absl::btree_set<Due>& due() const { return due_; }

  // A sum over entries.
  uint64_t hash() const { return hash_; }
  uint64_t RecomputeHash() const;

  // --- Checkpoints: entries of kinds 'x' and 'y' (docs/storage-format.md). ---
  // Appends what changed since the last call.
  void AppendChanges(std::vector<storage::KeyValueStore::Operation>* operations);
  // Reads what checkpoints wrote into an empty table.
  absl::Status Load(const storage::KeyValueStore& store);

 private:
  struct Ended {
    TransactionKey key;
    Resolution resolution = Resolution::kCommitted;
  };
  // Ends are stored in chunks of this many log indexes.
  static constexpr LogIndex kChunkRecords = 256;

  void AppendOpen(std::vector<storage::KeyValueStore::Operation>* operations);
  void AppendEnded(std::vector<storage::KeyValueStore::Operation>* operations);

  absl::btree_map<TransactionKey, OpenTransaction> open_;
  absl::btree_set<Due> due_;
  absl::btree_map<End, Ended> ended_;
  absl::flat_hash_map<TransactionKey, Resolution> ended_by_key_;
  uint64_t hash_ = 0;

  absl::flat_hash_set<TransactionKey> stored_;      // Open ones that a checkpoint has taken.
  absl::flat_hash_set<TransactionKey> dirty_open_;  // Changed since the last one.
  absl::flat_hash_set<LogIndex> dirty_chunks_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_TRANSACTION_TABLE_H_
