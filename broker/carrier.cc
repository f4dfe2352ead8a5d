#include "broker/carrier.h"

#include <algorithm>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/lookup_keys.h"

namespace barid::broker {
namespace {

// A slice: what one record carries, but for a message that is larger. Small, since a publish may have to wait for its
// sync.
constexpr int64_t kSliceBytes = int64_t{64} << 10;
constexpr int64_t kEntryBytes = 128;  // Of a pointer in the command, roughly.
constexpr size_t kTimersPerStep = 256;
// How long it waits while much is on the way to the disk.
constexpr absl::Duration kMakeWay = absl::Milliseconds(20);
constexpr absl::Duration kTryAgain = absl::Minutes(1);
constexpr int kMostDoublings = 10;

}  // namespace

namespace {

double CostOf(const CarryGoal& goal) {
  return static_cast<double>(goal.bytes) +
         static_cast<double>(goal.pointers) * static_cast<double>(kCarriedOverheadBytes);
}

// What stands before it can be trimmed without carrying anything.
uint64_t FirstLive(const std::vector<LiveRange>& ranges, uint64_t first_position) {
  for (const LiveRange& range : ranges) {
    if (range.pointers > 0) return std::max(first_position, range.position);
  }
  return first_position;
}

}  // namespace

struct Carrier::Source {
  struct Message {
    uint32_t bytes = 0;
    log::Carry::Origin origin;  // Which record had it first.
  };

  absl::Status status = absl::UnknownError("nothing was read yet");
  uint64_t position = 0;
  storage::Record record;
  absl::flat_hash_map<uint32_t, Message> messages;  // By their places in the payload.

  void Read(const storage::CommitLog& log, uint64_t at, size_t size_hint) {
    position = at;
    messages.clear();
    absl::StatusOr<storage::Record> found = log.Read(at, size_hint);
    status = found.status();
    if (!found.ok()) return;
    record = *std::move(found);
    const absl::string_view payload = record.payload.view();
    const absl::StatusOr<Command> command = DecodeCommand(record.header.type, payload);
    status = command.status();
    if (!command.ok()) return;
    VisitMessages(*command, BulkOffset(payload), [this](const BulkMessage& message) {
      Message& known = messages[message.offset];
      known.bytes = message.bytes;
      if (message.origin != nullptr) {
        known.origin = *message.origin;
        return;
      }
      known.origin.set_log_index(record.header.index);
      known.origin.set_entry(message.entry);
      known.origin.set_command(record.header.type);
      known.origin.set_time(record.header.time_us);
      SetKey(known.origin.mutable_queue(), message.queue);
      if (message.deliver_at != 0) known.origin.set_deliver_at(message.deliver_at);
    });
  }
};

CarryGoal ChooseCarryGoal(const std::vector<LiveRange>& ranges, uint64_t first_position, uint64_t end_position,
                          uint64_t segment_bytes, int64_t live_percent) {
  CarryGoal best;
  CarryGoal goal;
  const uint64_t active = end_position / segment_bytes;
  const uint64_t base = FirstLive(ranges, first_position);
  for (const LiveRange& range : ranges) {
    const uint64_t segment = range.position / segment_bytes;
    if (segment >= active) break;
    goal.below = range.first;
    goal.freed_bytes = (segment - std::min(segment, base / segment_bytes)) * segment_bytes;
    const auto freed = static_cast<double>(goal.freed_bytes);
    const bool is_worth_it = goal.pointers > 0 && CostOf(goal) * 100 <= freed * static_cast<double>(live_percent);
    if (is_worth_it && (best.below == 0 || CostOf(goal) * static_cast<double>(best.freed_bytes) < CostOf(best) * freed))
      best = goal;
    goal.pointers += range.pointers;
    goal.bytes += range.bytes;
  }
  return best;
}

CarryGoal FirstStepOf(LogIndex below, const std::vector<LiveRange>& ranges, uint64_t first_position,
                      uint64_t segment_bytes) {
  const uint64_t base = FirstLive(ranges, first_position) / segment_bytes;
  std::vector<CarryGoal> prefixes;
  CarryGoal goal;
  for (const LiveRange& range : ranges) {
    if (range.first > below) break;
    goal.below = range.first;
    const uint64_t segment = range.position / segment_bytes;
    goal.freed_bytes = (segment - std::min(segment, base)) * segment_bytes;
    prefixes.push_back(goal);
    goal.pointers += range.pointers;
    goal.bytes += range.bytes;
  }
  if (prefixes.empty() || prefixes.back().pointers == 0) return CarryGoal();
  const uint64_t wanted = std::max(segment_bytes, prefixes.back().freed_bytes / 8);
  for (const CarryGoal& prefix : prefixes) {
    if (prefix.pointers > 0 && prefix.freed_bytes >= wanted) return prefix;
  }
  return prefixes.back();
}

void Carrier::Run() {
  if (is_busy() || !core_->leading() || core_->NowMicros() < next_try_us_) return;
  const std::vector<LiveRange>& ranges = core_->state().live_ranges();
  const uint64_t first_position = core_->log_first_position();
  const uint64_t segment_bytes = core_->options().log.segment_bytes;
  CarryGoal step = FirstStepOf(goal_, ranges, first_position, segment_bytes);
  if (step.below == 0) {
    const CarryGoal goal = ChooseCarryGoal(ranges, first_position, core_->state().applied().end_position, segment_bytes,
                                           core_->options().carry_live_percent);
    goal_ = goal.below;
    if (goal_ == 0) return;
    LOG(INFO) << "carrying forward what is needed of an old part of the log" << KV("messages", goal.pointers)
              << KV("bytes", goal.bytes) << KV("frees", goal.freed_bytes) << KV("below", goal.below);
    step = FirstStepOf(goal_, ranges, first_position, segment_bytes);
  }
  // Else it would fill the disk before it gives anything back.
  if (CostOf(step) > static_cast<double>(room_)) {
    goal_ = 0;
    return;
  }
  CarryBelow(step.below);
}

void Carrier::CarryBelow(LogIndex below) {
  if (is_busy() || !core_->leading() || below == 0) return;
  below_ = below;
  stage_ = Stage::kQueues;
  queue_ = QueueKey();
  offset_ = 0;
  timer_ = {0, 0, 0};
  transaction_ = {0, 0};
  moved_ = 0;
  moved_bytes_ = 0;
  failed_ = false;
  PostStep();
}

void Carrier::PostStep() {
  core_->context().shard_executor->Post(core_->IfAlive([this] { Step(); }));
}

bool Carrier::IsFull() const {
  return found_bytes_ >= std::min(kSliceBytes, static_cast<int64_t>(core_->options().log.segment_bytes / 8));
}

void Carrier::Step() {
  if (!core_->leading()) return End();
  if (IsFull()) return Copy();
  switch (stage_) {
    case Stage::kQueues:
      return LookAtQueue();
    case Stage::kTimers:
      return LookAtTimers();
    case Stage::kTransactions:
      return LookAtTransactions();
  }
}

// --- Looking ---

void Carrier::LookAtQueue() {
  const auto& queues = core_->state().queues();
  const auto it = queues.lower_bound(queue_);
  if (it == queues.end()) {
    stage_ = Stage::kTimers;
    return PostStep();
  }
  if (it->first != queue_) {
    queue_ = it->first;
    offset_ = 0;
  }
  offset_ = std::max(offset_, it->second.first);
  if (offset_ >= it->second.end) {
    ++queue_.queue;
    offset_ = 0;
    return PostStep();
  }
  const BlockKey key = BlockOf(queue_, offset_);
  if (const IndexBlock* const block = core_->state().index().Resident(key)) {
    AddOf(queue_, *block);
    return PostStep();
  }
  // Read past the cache, which keeps what receives use.
  core_->context().lookup_executor->Post(
      [key, store = core_->store(), home = core_->context().shard_executor,
       then = core_->IfAlive(
           [this, key, generation = core_->state().index().generation()](absl::StatusOr<IndexBlock> block) {
             if (!core_->leading()) return End();
             if (block.ok()) {
               const size_t before = found_.size();
               AddOf(key.queue, *block);
               // Applying the Carry changes it.
               Index& index = core_->state().index();
               if (found_.size() > before && generation == index.generation()) index.Install(key, *std::move(block));
             } else {
               if (!absl::IsNotFound(block.status())) {
                 LOG(ERROR) << "cannot read an index block; its messages are not carried forward"
                            << KV("queue", key.queue) << KV("error", block.status());
                 failed_ = true;
               }
               offset_ = (key.block + 1) * kBlockEntries;
             }
             Step();
           })]() mutable {
        absl::StatusOr<IndexBlock> block = absl::UnknownError("");
        const absl::StatusOr<std::string> bytes = store->Get(StoreKey(key));
        if (bytes.ok()) {
          block = DecodeIndexBlock(*bytes);
        } else {
          block = bytes.status();  // NotFound: it was dropped meanwhile.
        }
        home->Post([then = std::move(then), block = std::move(block)]() mutable { then(std::move(block)); });
      });
}

// From offset_ on, until there is enough for a slice.
void Carrier::AddOf(const QueueKey& queue, const IndexBlock& block) {
  const QueueOffset block_end = (offset_ / kBlockEntries + 1) * kBlockEntries;
  for (auto i = static_cast<size_t>(offset_ % kBlockEntries); i < block.entries.size(); ++i) {
    if (IsFull()) return;
    const IndexEntry& entry = block.entries[i];
    if (!entry.is_redriven() && entry.index < below_) {
      Pointer& pointer = found_.emplace_back();
      pointer.entry.set_bytes(entry.bytes);
      pointer.entry.set_log_index(entry.index);
      pointer.entry.set_payload_offset(entry.offset);
      SetKey(pointer.entry.mutable_queue(), queue);
      pointer.entry.set_offset(offset_);
      pointer.position = entry.position;
      found_bytes_ += entry.bytes + kEntryBytes;
    }
    ++offset_;
  }
  offset_ = block_end;
}

void Carrier::AddTimer(const TimerKey& key, const Timer& timer) {
  if (timer.RecordOf(key) >= below_) return;
  Pointer& pointer = found_.emplace_back();
  pointer.entry.set_bytes(timer.bytes);
  pointer.entry.set_log_index(timer.RecordOf(key));
  pointer.entry.set_payload_offset(timer.offset);
  SetKey(pointer.entry.mutable_queue(), timer.queue);
  pointer.entry.mutable_timer()->set_deliver_at(key.deliver_at_us);
  pointer.entry.mutable_timer()->set_log_index(key.index);
  pointer.entry.mutable_timer()->set_entry(key.entry);
  pointer.position = timer.position;
  found_bytes_ += timer.bytes + kEntryBytes;
}

// The store's first, which say how far this step goes; then those in memory up to there. What the store said may be
// over by now: then apply drops it.
void Carrier::LookAtTimers() {
  core_->context().lookup_executor->Post(
      [from = timer_, store = core_->store(), home = core_->context().shard_executor,
       then = core_->IfAlive([this, generation = core_->state().timers().generation()](
                                 const absl::StatusOr<TimerTable::Reading>& reading) {
         if (!core_->leading()) return End();
         if (!reading.ok()) {
           LOG(ERROR) << "cannot read timers; their messages are not carried forward" << KV("error", reading.status());
           failed_ = true;
           stage_ = Stage::kTransactions;
           return Step();
         }
         TimerTable& timers = core_->state().timers();
         absl::btree_map<TimerKey, Timer> both;
         TimerKey end = reading->end;
         timers.VisitResident(timer_, reading->end, [&](const TimerKey& key, const Timer& timer) {
           if (both.size() == kTimersPerStep) {
             end = key;
             return false;
           }
           both.emplace(key, timer);
           return true;
         });
         for (const auto& [key, timer] : reading->timers) {
           if (key < end && timers.Find(key) == TimerTable::Presence::kUnknown) both.emplace(key, timer);
         }
         for (const auto& [key, timer] : both) {
           if (IsFull()) {
             end = key;
             break;
           }
           const size_t before = found_.size();
           AddTimer(key, timer);
           // Applying the Carry reads it otherwise.
           if (found_.size() > before) timers.Install(generation, {{key, timer}});
         }
         timer_ = end;
         if (end == kNoTimerBefore) stage_ = Stage::kTransactions;
         Step();
       })]() mutable {
        home->Post([then = std::move(then), reading = TimerTable::ReadFrom(*store, from, kTimersPerStep)]() mutable {
          then(reading);
        });
      });
}

void Carrier::LookAtTransactions() {
  const auto& open = core_->state().transactions().open();
  auto it = open.lower_bound(transaction_);
  for (; it != open.end() && !IsFull(); ++it) {
    const auto& [key, transaction] = *it;
    transaction_ = {key.index, key.entry + 1};
    if (transaction.RecordOf(key) >= below_) continue;
    Pointer& pointer = found_.emplace_back();
    pointer.entry.set_bytes(transaction.bytes);
    pointer.entry.set_log_index(transaction.RecordOf(key));
    pointer.entry.set_payload_offset(transaction.offset);
    SetKey(pointer.entry.mutable_queue(), transaction.queue);
    pointer.entry.mutable_transaction()->set_log_index(key.index);
    pointer.entry.mutable_transaction()->set_entry(key.entry);
    pointer.position = transaction.position;
    found_bytes_ += transaction.bytes + kEntryBytes;
  }
  if (!found_.empty()) return Copy();
  End();
}

// --- Copying ---

absl::StatusOr<Buffer> Carrier::ReadOne(const storage::CommitLog& log, Pointer* pointer, Source* source) {
  log::Carry::Entry& entry = pointer->entry;
  if (!source->status.ok() || source->position != pointer->position) {
    source->Read(log, pointer->position, storage::RecordSize(size_t{entry.payload_offset()} + entry.bytes()));
  }
  RETURN_IF_ERROR(source->status);
  if (source->record.header.index != entry.log_index()) {
    return absl::DataLossError(absl::StrCat("record ", entry.log_index(), " does not stand at ", pointer->position));
  }
  const auto message = source->messages.find(entry.payload_offset());
  const Buffer& payload = source->record.payload;
  if (message == source->messages.end() || message->second.bytes != entry.bytes() ||
      payload.size() < size_t{entry.payload_offset()} + entry.bytes()) {
    return absl::DataLossError("the index points to a message that its record does not have");
  }
  *entry.mutable_origin() = message->second.origin;
  const Buffer body = payload.Slice(entry.payload_offset(), entry.bytes());
  // A small part of a large record is copied, so that it does not hold all of it in memory.
  return entry.bytes() < payload.size() / 2 ? Buffer(std::string(body.view())) : body;
}

void Carrier::Copy() {
  if (core_->pending_bytes() > core_->options().max_pending_bytes / 8) {
    core_->context().shard_executor->PostAfter(kMakeWay, core_->IfAlive([this] {
      if (!core_->leading()) return End();
      Copy();
    }));
    return;
  }
  found_bytes_ = 0;
  core_->context().lookup_executor->Post(
      [pointers = std::exchange(found_, {}), log = core_->log(), home = core_->context().shard_executor,
       then = core_->IfAlive([this](std::vector<Pointer> pointers, std::vector<absl::StatusOr<Buffer>> bodies) {
         Propose(std::move(pointers), std::move(bodies));
       })]() mutable {
        std::vector<absl::StatusOr<Buffer>> bodies;
        bodies.reserve(pointers.size());
        Source source;
        for (Pointer& pointer : pointers) bodies.push_back(ReadOne(*log, &pointer, &source));
        home->Post([then = std::move(then), pointers = std::move(pointers), bodies = std::move(bodies)]() mutable {
          then(std::move(pointers), std::move(bodies));
        });
      });
}

void Carrier::Propose(std::vector<Pointer> pointers, std::vector<absl::StatusOr<Buffer>> bodies) {
  if (!core_->leading()) return End();
  log::Carry command;
  Bytes bulk;
  for (size_t i = 0; i < pointers.size(); ++i) {
    if (!bodies[i].ok()) {
      if (absl::IsOutOfRange(bodies[i].status())) continue;  // Trimmed: it is gone, or was moved by somebody else.
      LOG(ERROR) << "a message cannot be carried forward; its part of the log stays"
                 << KV("record", pointers[i].entry.log_index()) << KV("error", bodies[i].status());
      failed_ = true;
      continue;
    }
    bulk.Append(*std::move(bodies[i]));
    *command.add_entries() = std::move(pointers[i].entry);
  }
  if (command.entries().empty()) return PostStep();
  const auto bytes = static_cast<int64_t>(bulk.size() + command.ByteSizeLong());
  // The disk fills up: what was not carried yet stays.
  if (room_ < bytes) return End();
  room_ -= bytes;
  core_->Propose(Command(std::move(command)), std::move(bulk), [this, bytes](absl::StatusOr<Outcome> outcome) {
    if (!outcome.ok() || !core_->leading()) return End();
    const auto moved = static_cast<int64_t>(std::count(outcome->live.begin(), outcome->live.end(), true));
    moved_ += moved;
    carried_ += moved;
    moved_bytes_ += bytes;
    const double seconds = static_cast<double>(bytes) / static_cast<double>(core_->options().carry_bytes_per_second);
    core_->context().shard_executor->PostAfter(absl::Seconds(seconds), core_->IfAlive([this] { Step(); }));
  });
}

void Carrier::End() {
  if (core_->leading()) LOG(INFO) << "carried forward" << KV("messages", moved_) << KV("bytes", moved_bytes_);
  if (failed_) {
    next_try_us_ =
        core_->NowMicros() + absl::ToInt64Microseconds(kTryAgain * (1 << std::min(failures_, kMostDoublings)));
    goal_ = 0;
  }
  failures_ = failed_ && moved_ == 0 ? failures_ + 1 : 0;
  below_ = 0;
  found_.clear();
  found_bytes_ = 0;
  if (core_->leading()) on_done_();
}

}  // namespace barid::broker
