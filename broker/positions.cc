#include "broker/positions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/queue_lookup.h"

namespace barid::broker {

absl::Status Positions::CheckLeads() const {
  if (core_->leading()) return absl::OkStatus();
  return core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted();
}

// --- Looking ---

void Positions::Query(const QueryOffsetCall& call, Callback<OffsetResult> done) {
  if (absl::Status status = CheckLeads(); !status.ok()) return done({std::move(status)});
  const absl::StatusOr<Queue> bounds = FindBounds(core_->state(), *metadata_, shard_, call.queue);
  if (!bounds.ok()) return done({bounds.status()});
  switch (call.policy) {
    case QueryOffsetCall::Policy::kBeginning:
      return done({absl::OkStatus(), bounds->first});
    case QueryOffsetCall::Policy::kEnd:
      return done({absl::OkStatus(), bounds->end});
    case QueryOffsetCall::Policy::kTime:
      break;
  }
  if (bounds->first == bounds->end) return done({absl::OkStatus(), bounds->end});
  const uint64_t id = next_id_++;
  queries_[id] = std::move(done);
  FindOffset(core_, call.queue, absl::ToUnixMicros(call.time), [this, id](absl::StatusOr<QueueOffset> offset) {
    if (!offset.ok()) return EndQuery(id, {offset.status()});
    EndQuery(id, {absl::OkStatus(), *offset});
  });
}

void Positions::EndQuery(uint64_t id, OffsetResult result) {
  const auto it = queries_.find(id);
  if (it == queries_.end()) return;
  Callback<OffsetResult> done = std::move(it->second);
  queries_.erase(it);
  done(std::move(result));
}

void Positions::Get(const GetOffsetCall& call, Callback<OffsetResult> done) {
  if (absl::Status status = CheckLeads(); !status.ok()) return done({std::move(status)});
  const absl::StatusOr<Queue> bounds = FindBounds(core_->state(), *metadata_, shard_, call.queue);
  if (!bounds.ok()) return done({bounds.status()});
  done({absl::OkStatus(), core_->state().offsets().Find({call.group, call.queue})});
}

// --- Storing ---

void Positions::Update(const UpdateOffsetCall& call, Callback<OffsetResult> done) {
  log::CommitOffset command;
  command.set_group_id(call.group.value());
  SetKey(command.mutable_queue(), call.queue);
  command.set_offset(call.offset);
  core_->Propose(Command(std::move(command)), Bytes(),
                 [offset = call.offset, done = std::move(done)](absl::StatusOr<Outcome> outcome) mutable {
                   if (!outcome.ok()) return done({outcome.status()});
                   if (!outcome->status.ok()) return done({outcome->status});
                   done({absl::OkStatus(), offset});
                 });
}

// --- Moving ---

void Positions::Reset(ResetOffsetCall call, Callback<ResetOffsetResult> done) {
  if (absl::Status status = CheckLeads(); !status.ok()) return done({std::move(status), {}});
  ResetOffsetResult result;
  if (call.queues.empty()) {
    const auto& queues = core_->state().queues();
    for (auto it = queues.lower_bound(QueueKey{call.topic, 0}); it != queues.end() && it->first.topic == call.topic;
         ++it) {
      if (!it->second.deleted) result.entries.emplace_back().queue = it->first;
    }
  }
  std::sort(call.queues.begin(), call.queues.end());
  call.queues.erase(std::unique(call.queues.begin(), call.queues.end()), call.queues.end());
  for (const int32_t queue : call.queues) {
    const QueueKey key{call.topic, queue};
    const absl::StatusOr<Queue> bounds = FindBounds(core_->state(), *metadata_, shard_, key);
    if (!bounds.ok()) return done({bounds.status(), {}});
    result.entries.emplace_back().queue = key;
  }
  const uint64_t id = next_id_++;
  resets_[id] = {std::move(call), std::move(done), std::move(result), 0};
  ResetNext(id);
}

void Positions::ResetNext(uint64_t id) {
  const auto it = resets_.find(id);
  if (it == resets_.end()) return;
  Resetting& reset = it->second;
  if (reset.next == reset.result.entries.size()) return EndReset(id);
  ResetOffsetResult::Entry& entry = reset.result.entries[reset.next];
  const absl::StatusOr<Queue> bounds = FindBounds(core_->state(), *metadata_, shard_, entry.queue);
  if (!bounds.ok()) return EndEntry(id, bounds.status());
  switch (reset.call.target) {
    case ResetOffsetCall::Target::kOffset:
      return ResetOne(id, reset.call.offset);
    case ResetOffsetCall::Target::kLatest:
      return ResetOne(id, bounds->end);
    case ResetOffsetCall::Target::kTime:
      break;
  }
  if (bounds->first == bounds->end) return ResetOne(id, bounds->end);
  FindOffset(core_, entry.queue, absl::ToUnixMicros(reset.call.time), [this, id](absl::StatusOr<QueueOffset> offset) {
    if (!offset.ok()) return EndEntry(id, offset.status());
    ResetOne(id, *offset);
  });
}

void Positions::ResetOne(uint64_t id, QueueOffset to) {
  const auto it = resets_.find(id);
  if (it == resets_.end()) return;
  Resetting& reset = it->second;
  ResetOffsetResult::Entry& entry = reset.result.entries[reset.next];
  const CursorKey key{reset.call.group, entry.queue};
  const absl::StatusOr<Queue> bounds = FindBounds(core_->state(), *metadata_, shard_, entry.queue);
  if (!bounds.ok()) return EndEntry(id, bounds.status());
  entry.to = std::clamp(to, bounds->first, bounds->end);
  entry.end = bounds->end;
  if (reset.call.stored) {
    entry.from = core_->state().offsets().Find(key);
  } else if (const Cursor* const cursor = core_->state().FindCursor(key)) {
    entry.from = cursor->floor();
    entry.in_flight = static_cast<int64_t>(cursor->in_flight.size());
    entry.parked = cursor->parked.size();
  }
  if (reset.call.dry_run) {
    ++reset.next;
    return ResetNext(id);
  }
  return reset.call.stored ? StoreOffset(id, entry.to) : SeekCursor(id, entry.to);
}

void Positions::StoreOffset(uint64_t id, QueueOffset to) {
  const Resetting& reset = resets_.at(id);
  log::CommitOffset command;
  command.set_group_id(reset.call.group.value());
  SetKey(command.mutable_queue(), reset.result.entries[reset.next].queue);
  command.set_offset(to);
  core_->Propose(Command(std::move(command)), Bytes(),
                 [this, id](absl::StatusOr<Outcome> outcome) { EndEntry(id, std::move(outcome)); });
}

void Positions::SeekCursor(uint64_t id, QueueOffset to) {
  const Resetting& reset = resets_.at(id);
  const CursorKey key{reset.call.group, reset.result.entries[reset.next].queue};
  const GroupMetadata* const group = metadata_->FindGroup(key.group);
  log::SeekCursor command;
  command.set_group_id(key.group.value());
  SetKey(command.mutable_queue(), key.queue);
  command.set_to(to);
  command.set_ordered(group != nullptr && group->order == DeliveryOrder::kFifo);
  dispatcher_->BeginSeek(key);
  core_->Propose(Command(std::move(command)), Bytes(), [this, id, key](absl::StatusOr<Outcome> outcome) {
    dispatcher_->EndSeek(key);
    const auto it = resets_.find(id);
    if (it != resets_.end() && outcome.ok() && outcome->status.ok()) {
      // What apply found, which may be more than when it was proposed.
      ResetOffsetResult::Entry& entry = it->second.result.entries[it->second.next];
      entry.to = outcome->first_offset;
      entry.in_flight = outcome->dropped_in_flight;
      entry.parked = outcome->dropped_parked;
    }
    EndEntry(id, std::move(outcome));
  });
}

void Positions::EndEntry(uint64_t id, absl::StatusOr<Outcome> outcome) {
  const auto it = resets_.find(id);
  if (it == resets_.end()) return;
  Resetting& reset = it->second;
  reset.result.entries[reset.next].status = outcome.ok() ? outcome->status : outcome.status();
  ++reset.next;
  ResetNext(id);
}

void Positions::EndReset(uint64_t id) {
  const auto it = resets_.find(id);
  Resetting reset = std::move(it->second);
  resets_.erase(it);
  if (!reset.call.dry_run) {
    for (const ResetOffsetResult::Entry& entry : reset.result.entries) {
      LOG(INFO) << "a group's place was reset" << KV("group", reset.call.group) << KV("queue", entry.queue)
                << KV("from", entry.from.value_or(-1)) << KV("to", entry.to) << KV("in_flight", entry.in_flight)
                << KV("parked", entry.parked) << KV("status", entry.status);
    }
  }
  reset.done(std::move(reset.result));
}

void Positions::EndAll(const absl::Status& why) {
  for (auto& [id, done] : std::exchange(queries_, {})) done({why});
  for (auto& [id, reset] : std::exchange(resets_, {})) reset.done({why, {}});
}

}  // namespace barid::broker
