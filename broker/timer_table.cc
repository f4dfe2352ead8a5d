#include "broker/timer_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/sealed_entry.h"

namespace barid::broker {
namespace {

// t | due 8 | record 8 | entry 4, big-endian, so that keys sort as they are due.
std::string StoreKey(const TimerKey& key) {
  std::string out = "t";
  // Due times are at least 0 in the store; the horizon of a new table is before them.
  PutOrdered64(&out, static_cast<uint64_t>(std::max<int64_t>(key.deliver_at_us, 0)));
  PutOrdered64(&out, key.index);
  PutOrdered32(&out, key.entry);
  return out;
}

absl::StatusOr<std::pair<TimerKey, Timer>> Decode(absl::string_view key, absl::string_view value) {
  RETURN_IF_ERROR(OpenSealed(key, &value));
  std::pair<TimerKey, Timer> out;
  auto& [timer_key, timer] = out;
  key.remove_prefix(1);
  uint64_t due = 0;
  uint64_t topic = 0;
  uint64_t queue = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  if (!GetOrdered64(&key, &due) || !GetOrdered64(&key, &timer_key.index) || !GetOrdered32(&key, &timer_key.entry) ||
      !GetVarint(&value, &topic) || !GetVarint(&value, &queue) || !GetVarint(&value, &timer.position) ||
      !GetVarint(&value, &offset) || !GetVarint(&value, &bytes) || !GetFixed(&value, &timer.tag_hash) ||
      (!value.empty() && !GetVarint(&value, &timer.carried_to)) || !value.empty()) {
    return absl::DataLossError("checkpoint entry of kind 't': does not parse");
  }
  timer_key.deliver_at_us = static_cast<int64_t>(due);
  timer.queue = {TopicId(topic), static_cast<int32_t>(queue)};
  timer.offset = static_cast<uint32_t>(offset);
  timer.bytes = static_cast<uint32_t>(bytes);
  return out;
}

}  // namespace

void TimerTable::Insert(const TimerKey& key, const Timer& timer, Kept kept) {
  const bool inserted = resident_.try_emplace(key, Resident{timer, kept, kept != Kept::kDirty}).second;
  CHECK(inserted);
  if (IsNear(key)) ++near_;
}

void TimerTable::Add(const TimerKey& key, const Timer& timer) {
  CHECK_GE(key.deliver_at_us, 0);
  Insert(key, timer, Kept::kDirty);
  added_.push_back(key);
}

absl::StatusOr<std::optional<Timer>> TimerTable::Take(const TimerKey& key) {
  const auto it = resident_.find(key);
  if (it != resident_.end()) {
    const Timer timer = it->second.timer;
    if (it->second.is_stored) removed_.insert(key);
    if (IsNear(key)) {
      CHECK_GT(near_, 0u);
      --near_;
    }
    resident_.erase(it);
    return timer;
  }
  if (Find(key) == Presence::kGone) return std::nullopt;
  ASSIGN_OR_RETURN(const std::optional<Timer> timer, ReadOne(*store_, key));
  if (timer) removed_.insert(key);
  return timer;
}

absl::StatusOr<std::optional<Timer>> TimerTable::Get(const TimerKey& key) const {
  const auto it = resident_.find(key);
  if (it != resident_.end()) return it->second.timer;
  if (Find(key) == Presence::kGone) return std::nullopt;
  return ReadOne(*store_, key);
}

void TimerTable::Replace(const TimerKey& key, const Timer& timer) {
  auto it = resident_.find(key);
  if (it == resident_.end()) {
    // A far one: it stays in memory until a checkpoint has it as it is now.
    Insert(key, timer, Kept::kClean);
    it = resident_.find(key);
  }
  it->second.timer = timer;
  it->second.kept = Kept::kDirty;
  added_.push_back(key);
}

void TimerTable::VisitResident(const TimerKey& from, const TimerKey& end,
                               absl::FunctionRef<bool(const TimerKey&, const Timer&)> visit) const {
  for (auto it = resident_.lower_bound(from); it != resident_.end() && it->first < end; ++it) {
    if (!visit(it->first, it->second.timer)) return;
  }
}

TimerTable::Presence TimerTable::Find(const TimerKey& key) const {
  if (resident_.contains(key)) return Presence::kHere;
  if (IsNear(key) || IsGone(key) || store_ == nullptr) return Presence::kGone;
  return Presence::kUnknown;
}

void TimerTable::VisitDue(int64_t due_us, absl::FunctionRef<bool(const TimerKey&)> visit) const {
  for (const auto& [key, resident] : resident_) {
    if (key.deliver_at_us > due_us || !IsNear(key) || !visit(key)) return;
  }
}

void TimerTable::VisitResident(absl::FunctionRef<void(const TimerKey&, const Timer&)> visit) const {
  for (const auto& [key, resident] : resident_) visit(key, resident.timer);
}

absl::StatusOr<TimerTable::Reading> TimerTable::ReadFrom(const storage::KeyValueStore& store, const TimerKey& from,
                                                         size_t limit) {
  Reading reading;
  reading.end = kNoTimerBefore;
  absl::Status error;
  RETURN_IF_ERROR(store.Scan(StoreKey(from), "u", [&](absl::string_view key, absl::string_view value) {
    absl::StatusOr<std::pair<TimerKey, Timer>> timer = Decode(key, value);
    if (!timer.ok()) {
      error = timer.status();
      return false;
    }
    if (reading.timers.size() == limit) {
      reading.end = timer->first;
      return false;
    }
    reading.timers.push_back(*std::move(timer));
    return true;
  }));
  if (!error.ok()) return error;
  return reading;
}

absl::StatusOr<std::optional<Timer>> TimerTable::ReadOne(const storage::KeyValueStore& store, const TimerKey& key) {
  const std::string name = StoreKey(key);
  const absl::StatusOr<std::string> value = store.Get(name);
  if (absl::IsNotFound(value.status())) return std::nullopt;
  if (!value.ok()) return value.status();
  ASSIGN_OR_RETURN(const auto decoded, Decode(name, *value));
  return decoded.second;
}

bool TimerTable::Install(uint64_t generation, const std::vector<std::pair<TimerKey, Timer>>& timers) {
  if (generation != generation_) return false;
  for (const auto& [key, timer] : timers) {
    if (!resident_.contains(key) && !IsGone(key)) Insert(key, timer, Kept::kClean);
  }
  return true;
}

bool TimerTable::InstallNear(uint64_t generation, const Reading& reading) {
  if (!Install(generation, reading.timers)) return false;
  const TimerKey end = BARID_MUTATION(kTimerHorizonTooFar) ? kNoTimerBefore : reading.end;
  // Those between the old horizon and the new one are near now, also those that were here already.
  for (auto it = resident_.lower_bound(horizon_); it != resident_.end() && it->first < end; ++it) ++near_;
  horizon_ = std::max(horizon_, end);
  return true;
}

TimerTable::Changes TimerTable::TakeChanges() {
  Changes changes;
  for (const TimerKey& key : added_) {
    const auto it = resident_.find(key);
    if (it == resident_.end() || it->second.kept != Kept::kDirty) continue;
    it->second.kept = Kept::kWriting;
    it->second.is_stored = true;
    changes.added.emplace_back(key, it->second.timer);
  }
  added_.clear();
  changes.removed.assign(removed_.begin(), removed_.end());
  removing_.merge(removed_);
  removed_.clear();
  return changes;
}

void TimerTable::Written(const Changes& changes, bool durable) {
  for (const auto& [key, timer] : changes.added) {
    const auto it = resident_.find(key);
    // Gone, or carried meanwhile: then the next checkpoint has it again.
    if (it == resident_.end() || it->second.kept != Kept::kWriting) continue;
    it->second.kept = durable ? Kept::kClean : Kept::kDirty;
    if (!durable) added_.push_back(key);
  }
  if (!durable) {
    removed_.merge(removing_);
    removing_.clear();
    return;
  }
  removing_.clear();
  ++generation_;
  Evict();
}

// Linear in the timers in memory; once per checkpoint.
void TimerTable::Evict() {
  if (store_ == nullptr) return;
  if (near_ > 2 * max_near_) {
    const auto first_far = std::next(resident_.begin(), static_cast<ptrdiff_t>(max_near_));
    horizon_ = first_far->first;
    near_ = max_near_;
  }
  for (auto it = resident_.lower_bound(horizon_); it != resident_.end();) {
    const bool leaves = it->second.kept == Kept::kClean || BARID_MUTATION(kTimersLeaveUnwritten);
    it = leaves ? resident_.erase(it) : std::next(it);
  }
}

void TimerTable::AppendOperations(const Changes& changes, std::vector<storage::KeyValueStore::Operation>* operations) {
  operations->reserve(operations->size() + changes.added.size() + changes.removed.size());
  for (const auto& [key, timer] : changes.added) {
    if (BARID_MUTATION(kCheckpointForgetsTimers)) break;
    std::string value;
    PutVarint(&value, timer.queue.topic.value());
    PutVarint(&value, static_cast<uint64_t>(timer.queue.queue));
    PutVarint(&value, timer.position);
    PutVarint(&value, timer.offset);
    PutVarint(&value, timer.bytes);
    PutFixed<uint32_t>(&value, timer.tag_hash);
    if (timer.carried_to != 0) PutVarint(&value, timer.carried_to);
    operations->push_back(Sealed(StoreKey(key), std::move(value)));
  }
  for (const TimerKey& key : changes.removed) {
    if (BARID_MUTATION(kCheckpointKeepsGoneTimers)) break;
    operations->push_back({StoreKey(key), std::nullopt});
  }
}

absl::Status TimerTable::VisitAll(absl::FunctionRef<void(const TimerKey&, const Timer&)> visit) const {
  VisitResident(visit);
  if (store_ == nullptr) return absl::OkStatus();
  absl::Status error;
  RETURN_IF_ERROR(store_->Scan("t", "u", [&](absl::string_view key, absl::string_view value) {
    const absl::StatusOr<std::pair<TimerKey, Timer>> timer = Decode(key, value);
    error = timer.status();
    if (error.ok() && !resident_.contains(timer->first) && !IsGone(timer->first)) visit(timer->first, timer->second);
    return error.ok();
  }));
  return error;
}

}  // namespace barid::broker
