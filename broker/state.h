#ifndef BARID_BROKER_STATE_H_
#define BARID_BROKER_STATE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "broker/command.h"
#include "broker/counts.h"
#include "broker/cursor.h"
#include "broker/cursor_key.h"
#include "broker/index.h"
#include "broker/lite_table.h"
#include "broker/live_ranges.h"
#include "broker/offset_table.h"
#include "broker/send_window.h"
#include "broker/timer_table.h"
#include "broker/transaction_table.h"
#include "storage/commit_log.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// Offsets [first, end) exist.
struct Queue {
  QueueOffset first = 0;
  QueueOffset end = 0;
  int64_t bytes = 0;     // Of the stored messages in [first, end).
  int64_t delayed = 0;   // Scheduled messages that are to enter it.
  bool deleted = false;  // Takes nothing any more; retention empties it, its timers are cancelled, then it goes.
};

// What a record is, beside its command.
struct RecordInfo {
  LogIndex index = 0;
  Epoch epoch = 0;
  int64_t time_us = 0;
  uint64_t position = 0;
  uint64_t end_position = 0;
  uint64_t chain = 0;        // The running hash including it.
  uint32_t bulk_offset = 0;  // Of the bulk in its payload.
};

// What applying a record did, for whoever waits for the answer.
struct Outcome {
  absl::Status status;           // Why the whole command had no effect, if it had none.
  QueueKey queue;                // Append, Move: where the entries are,
  QueueOffset first_offset = 0;  // and the offset of the first.
  struct Delivered {
    QueueOffset offset = 0;
    int32_t attempt = 0;
    LogIndex nonce = 0;
  };
  std::vector<Delivered> delivered;  // Deliver, Redeliver: what was kept.
  // Settle, Hold, MakeVisible: whether each entry named a live delivery. FireTimer, CancelTimer: whether each named a
  // timer. CheckTransaction: whether each counts. Redrive: whether each went back.
  // Carry: whether each was moved.
  std::vector<bool> live;
  std::vector<std::optional<QueueOffset>> entered;  // Schedule: the offset of each message that was due at once.
  struct Repeat {
    uint32_t place = 0;  // Of the entry in its command,
    FirstSend first;     // and what it repeats.
  };
  // Append, Schedule, Prepare: entries for which nothing was done, in order. An Append gives the others consecutive
  // offsets.
  std::vector<Repeat> repeats;
  int32_t reused_ids = 0;  // The same: new messages with the id of another that is remembered.
  // FireTimer, EndTransaction, Redrive: where messages entered; one may stand there several times.
  std::vector<QueueKey> queues;
  struct Ended {
    bool now = false;                  // By this record,
    std::optional<Resolution> before;  // or by an earlier one, in this way. Neither: nothing is known of it (any more).
    TopicId topic{};                   // Of its message, if now.
  };
  std::vector<Ended> ended;       // EndTransaction: what each entry came to.
  int64_t dropped_in_flight = 0;  // SeekCursor: deliveries, visible ones included,
  int64_t dropped_parked = 0;     // and parked messages that were dropped; first_offset is where the cursor stands now.
};

// The state of a shard: what its log says. Deterministic: no clock, no randomness, no float, no I/O but the index
// blocks that a command touches (loaded first with Prepare where waiting matters). Belongs to the shard's executor.
//
// Its hash is a sum over entries, kept up to date by each change, so it does not depend on what is in memory.
class State {
 public:
  // `segment_bytes` is that of the log.
  State(const storage::KeyValueStore* store, size_t max_clean_blocks, size_t max_near_timers = 65'536,
        uint64_t segment_bytes = storage::CommitLogOptions().segment_bytes)
      : ranges_(segment_bytes), index_(store, max_clean_blocks), timers_(store, max_near_timers) {}

  // Reads what the last checkpoint wrote. An empty store is an empty state.
  absl::Status Load(const storage::KeyValueStore& store);

  // Applies the record behind the last one. An error is damage (an index block that does not verify, a state hash that
  // differs): the shard must halt.
  absl::StatusOr<Outcome> Apply(const RecordInfo& record, const Command& command);

  // --- What the leader reads to decide what to propose. ---
  LogIndex applied_index() const { return applied_.index; }
  const RecordInfo& applied() const { return applied_; }
  uint64_t hash() const { return hash_ + transactions_.hash() + offsets_.hash() + sends_.hash() + lite_.hash(); }
  LogIndex log_start() const { return log_start_; }
  // The last multiple of 4,096 log indexes that was applied, and what the state hashed to then: what a StateHash says.
  LogIndex remembered_index() const { return remembered_index_; }
  uint64_t remembered_hash() const { return remembered_hash_; }
  const absl::btree_map<QueueKey, Queue>& queues() const { return queues_; }
  const absl::btree_map<CursorKey, Cursor>& cursors() const { return cursors_; }
  const Queue* FindQueue(const QueueKey& key) const;
  const Cursor* FindCursor(const CursorKey& key) const;
  // The delivery, if it is live.
  const InFlight* FindDelivery(const CursorKey& key, QueueOffset offset, LogIndex nonce) const;

  // Deliveries by the time at which they become visible, invisible ones only.
  using Deadline = std::tuple<int64_t, CursorKey, QueueOffset>;
  const absl::btree_set<Deadline>& deadlines() const { return deadlines_; }
  // How many deliveries each client holds.
  const absl::btree_map<std::string, int64_t>& holders() const { return holders_; }

  // The lowest log index that anything still points to, rounded down to a range: what Trim may name. Its position in
  // the log.
  struct TrimPoint {
    LogIndex log_start = 0;
    uint64_t position = 0;
  };
  TrimPoint trim_point() const;

  // What still points into the log, from its start on.
  const std::vector<LiveRange>& live_ranges() const { return ranges_.all(); }
  // Carry records applied by this object: while this stands, no message's place in the log changes.
  uint64_t carries() const { return carries_; }

  Index& index() { return index_; }
  const Index& index() const { return index_; }
  TimerTable& timers() { return timers_; }
  const TimerTable& timers() const { return timers_; }
  const TransactionTable& transactions() const { return transactions_; }
  const OffsetTable& offsets() const { return offsets_; }
  const SendWindow& sends() const { return sends_; }
  const Counts& counts() const { return counts_; }
  const LiteTable& lite() const { return lite_; }

  // --- Checkpoints. ---
  struct Checkpoint {
    std::vector<storage::KeyValueStore::Operation> operations;  // Without the index blocks, timers and sends,
    Index::Changes blocks;                                      // which are encoded elsewhere.
    TimerTable::Changes timers;
    SendWindow::Changes sends;
    RecordInfo applied;
    uint64_t kept_from = 0;  // Log position below which nothing is needed once this checkpoint is durable.
  };
  // Everything that changed since the last one.
  Checkpoint TakeCheckpoint();
  // The checkpoint is durable, or failed: then its blocks stay in memory, and the shard halts.
  void Written(const Checkpoint& checkpoint, bool durable);
  bool dirty() const { return dirty_since_checkpoint_; }

  // Recomputes the hash from the whole state, reading all index blocks: for inspect and for tests.
  absl::StatusOr<uint64_t> RecomputeHash();
  // Counts the live pointers of each range and the timers of each queue anew, derives what cursors derive, and
  // compares: for inspect and for tests.
  absl::Status VerifyCounts();

 private:
  static constexpr QueueOffset kChunkOffsets =
      256;  // Deliveries and parked messages are stored in chunks of this many offsets.
  using ChunkKey = std::pair<CursorKey, int64_t>;

  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::EpochStart& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Append& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::OpenCursor& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Deliver& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Skip& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Hold& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Settle& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::MakeVisible& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::ClientGone& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Move& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Expire& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Trim& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::ConfigureQueue& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::StateHash& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::CloseGroup& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::CloseSubscription& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Schedule& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::FireTimer& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::CancelTimer& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Prepare& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::EndTransaction& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::CheckTransaction& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Redeliver& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::CommitOffset& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::SeekCursor& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Redrive& command);
  absl::StatusOr<Outcome> Do(const RecordInfo& record, const log::Carry& command);

  // Each changes one entry of the state, with its hash, its secondary indexes and its dirty mark.
  void SetQueue(const QueueKey& key, const Queue& queue);
  // If it is deleted and empty.
  void MaybeEraseQueue(const QueueKey& key);
  absl::Status AddEntry(const QueueKey& key, const IndexEntry& entry, std::optional<Provenance> provenance);
  void AddTimer(const TimerKey& key, const Timer& timer);
  // nullopt: there is no such timer (any more).
  absl::StatusOr<std::optional<Timer>> TakeTimer(const TimerKey& key);
  // What is known of the id of an entry; the outcome says of what it is a repeat, if it is one.
  template <typename Entry>
  SendWindow::Found FindSend(const RecordInfo& record, const Entry& entry, uint32_t place, Outcome* outcome) const;
  // The entry is new, and `found` is what was known of its id: the next one with its hashes repeats it.
  template <typename Entry>
  void RememberSend(const RecordInfo& record, const Entry& entry, const SendWindow::Found& found,
                    const FirstSend& send);
  void OpenOne(const TransactionKey& key, const OpenTransaction& transaction);
  OpenTransaction CloseOne(const TransactionKey& key);
  void DropTransactionsOf(const QueueKey& queue);
  // The message of a transaction that ends goes where its resolution says.
  absl::Status Enter(const RecordInfo& record, const log::EndTransaction::Entry& end, const TransactionKey& key,
                     const OpenTransaction& transaction, Outcome* outcome);
  void OpenCursor(const CursorKey& key, QueueOffset start, bool ordered);
  // Messages above the scan position.
  int64_t CountAbove(const CursorKey& key, const Cursor& cursor) const;
  void SetNext(const CursorKey& key, Cursor* cursor, QueueOffset next);
  void DropDeliveries(const CursorKey& key, Cursor* cursor);
  void DropParked(const CursorKey& key, Cursor* cursor);
  void SetDelivery(const CursorKey& key, Cursor* cursor, QueueOffset offset, InFlight delivery);
  void EraseDelivery(const CursorKey& key, Cursor* cursor, QueueOffset offset);
  void Park(const CursorKey& key, Cursor* cursor, QueueOffset offset, uint64_t message_group);
  void Unpark(const CursorKey& key, Cursor* cursor, QueueOffset offset);
  absl::btree_map<CursorKey, Cursor>::iterator EraseCursor(absl::btree_map<CursorKey, Cursor>::iterator it);
  void Link(const CursorKey& key, Cursor* cursor, QueueOffset offset, const InFlight& delivery);
  void Unlink(const CursorKey& key, Cursor* cursor, QueueOffset offset, const InFlight& delivery);
  // The message group of a message, as its index entry has it; 0 in a cursor that is not ordered.
  absl::StatusOr<uint64_t> MessageGroupOf(const CursorKey& key, const Cursor& cursor, QueueOffset offset);
  void CountDelayed(const QueueKey& key, int64_t change);
  // Whether messages may be sent to it.
  absl::Status CheckTakesMessages(const QueueKey& key) const;
  // The live delivery that `ref` names, or nullptr.
  InFlight* Live(const log::DeliveryRef& ref, CursorKey* key, Cursor** cursor);
  void ExpireCursors(const QueueKey& key, QueueOffset first);
  // Drops the entries of a queue below `first`, of which it has some.
  absl::Status ExpireTo(const QueueKey& key, QueueOffset first);
  // If the queue has dead letters.
  void CountDeadLetter(const QueueKey& key, const IndexBlock& block, QueueOffset offset, int64_t change);
  // Empties an entry of a dead-letter queue, for all who read it.
  absl::StatusOr<IndexEntry> TakeDeadLetter(const QueueKey& key, QueueOffset offset);
  // Whether it is an entry that is empty.
  absl::StatusOr<bool> IsRedriven(const QueueKey& key, QueueOffset offset);
  // The queue of a lite topic, if the name is new; the outcome says which it is in any case.
  absl::StatusOr<Outcome> MakeLite(const RecordInfo& record, const log::ConfigureQueue& command);
  // Whether a queue may be deleted that goes because nothing is sent to it any more.
  absl::Status CheckLiteGoes(const QueueKey& key, const Queue& queue, const log::ConfigureQueue& command) const;
  std::shared_ptr<const std::string> Intern(const std::string& client);
  // Each moves what an entry of a Carry names to `to`; false, and nothing done, if it is not where the entry says.
  struct NewPlace {
    LogIndex index = 0;
    uint64_t position = 0;
    uint32_t offset = 0;
  };
  absl::StatusOr<bool> CarryEntry(const log::Carry::Entry& entry, const NewPlace& to);
  absl::StatusOr<bool> CarryTimer(const log::Carry::Entry& entry, const NewPlace& to);
  bool CarryTransaction(const log::Carry::Entry& entry, const NewPlace& to);
  // Calls `visit` for each live pointer, with the record it points at and the bytes of its message.
  absl::Status VisitPointers(absl::FunctionRef<void(LogIndex, uint32_t)> visit);

  RecordInfo applied_;
  LogIndex log_start_ = 1;
  uint64_t hash_ = 0;              // Without those of transactions_, offsets_, sends_ and lite_.
  LogIndex remembered_index_ = 0;  // The last multiple of 4,096, and
  uint64_t remembered_hash_ = 0;   // what the state hashed to after it: StateHash is compared with that.

  absl::btree_map<QueueKey, Queue> queues_;
  absl::btree_map<CursorKey, Cursor> cursors_;
  LiveRanges ranges_;
  Index index_;
  TimerTable timers_;
  TransactionTable transactions_;
  OffsetTable offsets_;
  SendWindow sends_;
  LiteTable lite_;

  // Derived.
  Counts counts_;
  uint64_t carries_ = 0;
  absl::btree_set<Deadline> deadlines_;
  absl::btree_map<std::string, int64_t> holders_;
  absl::flat_hash_map<std::string, std::weak_ptr<const std::string>> clients_;

  // Changed since the last checkpoint.
  absl::flat_hash_set<QueueKey> dirty_queues_;
  absl::flat_hash_set<CursorKey> dirty_cursors_;
  absl::flat_hash_set<ChunkKey> dirty_chunks_;
  absl::flat_hash_set<ChunkKey> dirty_parked_;
  bool dirty_since_checkpoint_ = false;
};

// What the checkpoint writes. Takes its operations; encodes its blocks, timers and sends. Any thread.
std::vector<storage::KeyValueStore::Operation> TakeOperations(State::Checkpoint* checkpoint);

// What a checkpoint says about the log that it covers. kNotFound: no checkpoint yet.
struct CheckpointMeta {
  RecordInfo applied;
  LogIndex log_start = 1;
  uint64_t hash = 0;
};
absl::StatusOr<CheckpointMeta> ReadCheckpointMeta(const storage::KeyValueStore& store);

template <typename Entry>
SendWindow::Found State::FindSend(const RecordInfo& record, const Entry& entry, uint32_t place,
                                  Outcome* outcome) const {
  if (entry.id_hash() == 0) return SendWindow::Found();
  SendWindow::Found found = sends_.Find(entry.id_hash(), entry.content_hash(), record.time_us);
  if (found.first) {
    outcome->repeats.push_back({place, *found.first});
  } else if (found.contents > 0) {
    ++outcome->reused_ids;
  }
  return found;
}

template <typename Entry>
void State::RememberSend(const RecordInfo& record, const Entry& entry, const SendWindow::Found& found,
                         const FirstSend& send) {
  if (entry.id_hash() == 0 || found.contents >= SendWindow::kMaxContentsPerId) return;
  sends_.Remember(entry.id_hash(), entry.content_hash(), record.time_us, send);
}

}  // namespace barid::broker

#endif  // BARID_BROKER_STATE_H_
