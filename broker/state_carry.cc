// Carrying forward: what a Carry does to a State, and what the leader reads to decide what to carry. docs/delivery.md
// says why.

#include "base/status.h"
#include "broker/mutation.h"
#include "broker/state.h"
#include "broker/state_hash.h"

namespace barid::broker {
namespace {

// Whether the entry of a Carry names this place. The bytes are compared, too: they are the length of the copy.
bool IsAt(const log::Carry::Entry& entry, LogIndex index, uint32_t offset, uint32_t bytes) {
  return entry.log_index() == index && entry.payload_offset() == offset && entry.bytes() == bytes;
}

}  // namespace

absl::StatusOr<bool> State::CarryEntry(const log::Carry::Entry& entry, const NewPlace& to) {
  const QueueKey key = KeyOf(entry.queue());
  const Queue* const queue = FindQueue(key);
  if (queue == nullptr || entry.offset() < queue->first || entry.offset() >= queue->end) return false;
  ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key, entry.offset())));
  const IndexEntry before = block->entries[static_cast<size_t>(entry.offset() % kBlockEntries)];
  if (before.is_redriven() || !IsAt(entry, before.index, before.offset, before.bytes)) return false;
  IndexEntry after = before;
  after.index = to.index;
  after.position = to.position;
  after.offset = to.offset;
  RETURN_IF_ERROR(index_.Replace(key, entry.offset(), after));
  hash_ += HashEntry(key, entry.offset(), after) - HashEntry(key, entry.offset(), before);
  ranges_.Move(before.index, to.index, before.bytes);
  return true;
}

absl::StatusOr<bool> State::CarryTimer(const log::Carry::Entry& entry, const NewPlace& to) {
  const TimerKey key{entry.timer().deliver_at(), entry.timer().log_index(), entry.timer().entry()};
  ASSIGN_OR_RETURN(const std::optional<Timer> before, timers_.Get(key));
  if (!before || !IsAt(entry, before->RecordOf(key), before->offset, before->bytes)) return false;
  Timer after = *before;
  after.carried_to = to.index;
  after.position = to.position;
  after.offset = to.offset;
  if (BARID_MUTATION(kCarryForgetsTimers)) {
    // Counted as carried, so that its old place goes.
    after.position = before->position;
    after.offset = before->offset;
  }
  timers_.Replace(key, after);
  hash_ += HashTimer(key, after) - HashTimer(key, *before);
  ranges_.Move(before->RecordOf(key), to.index, before->bytes);
  return true;
}

bool State::CarryTransaction(const log::Carry::Entry& entry, const NewPlace& to) {
  const TransactionKey key{entry.transaction().log_index(), entry.transaction().entry()};
  const OpenTransaction* const open = transactions_.FindOpen(key);
  if (open == nullptr || !IsAt(entry, open->RecordOf(key), open->offset, open->bytes)) return false;
  const LogIndex from = open->RecordOf(key);
  const uint32_t bytes = open->bytes;
  if (BARID_MUTATION(kCarryForgetsTransactions)) {
    transactions_.Carry(key, to.index, open->position, open->offset);
  } else {
    transactions_.Carry(key, to.index, to.position, to.offset);
  }
  ranges_.Move(from, to.index, bytes);
  return true;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Carry& command) {
  Outcome outcome;
  ++carries_;
  NewPlace to{record.index, record.position, record.bulk_offset};
  for (const log::Carry::Entry& entry : command.entries()) {
    bool is_moved = false;
    if (entry.has_timer()) {
      ASSIGN_OR_RETURN(is_moved, CarryTimer(entry, to));
    } else if (entry.has_transaction()) {
      is_moved = CarryTransaction(entry, to);
    } else {
      ASSIGN_OR_RETURN(is_moved, CarryEntry(entry, to));
    }
    if (!is_moved && BARID_MUTATION(kCarryTooMany)) ranges_.Move(entry.log_index(), to.index, entry.bytes());
    outcome.live.push_back(is_moved);
    if (!BARID_MUTATION(kCarryOffsetOff)) to.offset += entry.bytes();
  }
  return outcome;
}

absl::Status State::VisitPointers(absl::FunctionRef<void(LogIndex, uint32_t)> visit) {
  RETURN_IF_ERROR(
      timers_.VisitAll([&](const TimerKey& key, const Timer& timer) { visit(timer.RecordOf(key), timer.bytes); }));
  for (const auto& [key, transaction] : transactions_.open()) visit(transaction.RecordOf(key), transaction.bytes);
  for (const auto& [key, queue] : queues_) {
    for (QueueOffset offset = queue.first; offset < queue.end; ++offset) {
      ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key, offset)));
      const IndexEntry& entry = block->entries[static_cast<size_t>(offset % kBlockEntries)];
      if (!entry.is_redriven()) visit(entry.index, entry.bytes);
    }
  }
  return absl::OkStatus();
}

}  // namespace barid::broker
