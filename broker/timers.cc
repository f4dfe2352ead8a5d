#include "broker/timers.h"

#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"

namespace barid::broker {
namespace {

constexpr size_t kMaxPerRecord = 500;  // Timers that one record names.
// So that a storm of timers neither fills the log's queue nor waits for a tick between two records.
constexpr int kMaxFireRecords = 4;
constexpr size_t kSliceTimers = 4096;            // That are read from the store at once.
constexpr int64_t kReadAgainMicros = 1'000'000;  // After an error.

void SetRef(log::TimerRef* ref, const TimerKey& key) {
  ref->set_deliver_at(key.deliver_at_us);
  ref->set_log_index(key.index);
  ref->set_entry(key.entry);
}

absl::Status Gone() {
  return absl::NotFoundError("the message has been delivered or recalled already, or its topic was deleted");
}

}  // namespace

void Timers::OnLead() {
  next_reading_us_ = 0;
  ReadNear();
}

void Timers::Tick(int64_t now_us) {
  Fire(BARID_MUTATION(kFireEarly) ? now_us + 2'000'000 : now_us);
  ReadNear();
}

void Timers::Fire(int64_t now_us) {
  while (core_->leading() && fire_records_ < kMaxFireRecords && !BARID_MUTATION(kFireForgotten)) {
    log::FireTimer command;
    std::vector<TimerKey> keys;
    core_->state().timers().VisitDue(now_us, [&](const TimerKey& key) {
      if (!firing_.insert(key).second) return true;  // There are few: kMaxFireRecords * kMaxPerRecord.
      SetRef(command.add_timers(), key);
      keys.push_back(key);
      return keys.size() < kMaxPerRecord;
    });
    if (keys.empty()) return;
    ++fire_records_;
    core_->Propose(Command(std::move(command)), Bytes(),
                   [this, keys = std::move(keys)](absl::StatusOr<Outcome> outcome) {
                     for (const TimerKey& key : keys) firing_.erase(key);
                     --fire_records_;
                     if (!outcome.ok() || !core_->leading()) return;
                     // There may be more that were due then, here or behind the near ones; what is due since waits for
                     // the tick.
                     if (keys.size() == kMaxPerRecord) Fire(core_->NowMicros());
                     ReadNear();
                   });
  }
}

void Timers::ReadNear() {
  const TimerTable& table = core_->state().timers();
  if (reading_near_ || !table.WantsNear() || !core_->leading() || core_->NowMicros() < next_reading_us_) return;
  reading_near_ = true;
  core_->context().read_executor->Post(
      [store = core_->store(), from = table.horizon(), limit = table.max_near(), generation = table.generation(),
       home = core_->context().shard_executor,
       then = core_->IfAlive([this](uint64_t generation, const absl::StatusOr<TimerTable::Reading>& reading) {
         OnNearRead(generation, reading);
       })]() mutable {
        home->Post([then = std::move(then), generation, reading = TimerTable::ReadFrom(*store, from, limit)]() mutable {
          then(generation, reading);
        });
      });
}

void Timers::OnNearRead(uint64_t generation, const absl::StatusOr<TimerTable::Reading>& reading) {
  reading_near_ = false;
  if (!core_->leading()) return;
  if (!reading.ok()) {
    LOG(ERROR) << "cannot read timers; scheduled messages are late" << KV("dir", core_->dir())
               << KV("error", reading.status());
    next_reading_us_ = core_->NowMicros() + kReadAgainMicros;
    return;
  }
  if (core_->state().timers().InstallNear(generation, *reading)) Fire(core_->NowMicros());
  ReadNear();
}

// --- Recall ---

void Timers::Recall(const TimerKey& key, Callback<RecallResult> done) {
  if (!core_->leading()) {
    return done({core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted()});
  }
  const uint64_t recall = next_recall_++;
  recalls_[recall] = std::move(done);
  FindAndCancel(recall, key);
}

void Timers::FindAndCancel(uint64_t recall, const TimerKey& key) {
  const TimerTable& table = core_->state().timers();
  switch (table.Find(key)) {
    case TimerTable::Presence::kGone:
      return EndRecall(recall, BARID_MUTATION(kCancelOfTheGone) ? absl::OkStatus() : Gone());
    case TimerTable::Presence::kHere:
      return CancelRecalled(recall, key);
    case TimerTable::Presence::kUnknown:
      break;
  }
  core_->context().read_executor->Post(
      [key, store = core_->store(), generation = table.generation(), home = core_->context().shard_executor,
       then =
           core_->IfAlive([this, recall, key](uint64_t generation, const absl::StatusOr<std::optional<Timer>>& timer) {
             if (!timer.ok()) return EndRecall(recall, timer.status());
             if (generation != core_->state().timers().generation()) return FindAndCancel(recall, key);
             if (!*timer) return EndRecall(recall, Gone());
             core_->state().timers().Install(generation, {{key, **timer}});
             CancelRecalled(recall, key);
           })]() mutable {
        home->Post([then = std::move(then), generation, timer = TimerTable::ReadOne(*store, key)]() mutable {
          then(generation, timer);
        });
      });
}

void Timers::CancelRecalled(uint64_t recall, const TimerKey& key) {
  log::CancelTimer command;
  SetRef(command.add_timers(), key);
  core_->Propose(Command(std::move(command)), Bytes(), [this, recall](absl::StatusOr<Outcome> outcome) {
    if (!outcome.ok()) return EndRecall(recall, outcome.status());
    EndRecall(recall, outcome->live[0] ? absl::OkStatus() : Gone());
  });
}

void Timers::EndRecall(uint64_t recall, absl::Status status) {
  const auto it = recalls_.find(recall);
  if (it == recalls_.end()) return;
  Callback<RecallResult> done = std::move(it->second);
  recalls_.erase(it);
  done({std::move(status)});
}

void Timers::EndAll(const absl::Status& why) {
  for (auto& [recall, done] : std::exchange(recalls_, {})) done({why});
}

// --- Deleted topics ---

bool Timers::IsOfDeletedQueue(const Timer& timer) const {
  const Queue* const queue = core_->state().FindQueue(timer.queue);
  return queue != nullptr && queue->deleted;
}

void Timers::CancelOfDeletedQueues() {
  if (cancelling_deleted_ || !core_->leading() || BARID_MUTATION(kTimersOfTheDeletedStay)) return;
  const auto& queues = core_->state().queues();
  const bool any = std::any_of(queues.begin(), queues.end(),
                               [](const auto& queue) { return queue.second.deleted && queue.second.delayed > 0; });
  if (!any) return;
  // First those in memory: whatever is not there now is in the store, and stays there until it is taken out. New ones
  // do not come to a deleted queue.
  std::vector<TimerKey> keys;
  core_->state().timers().VisitResident([&](const TimerKey& key, const Timer& timer) {
    if (IsOfDeletedQueue(timer)) keys.push_back(key);
  });
  ProposeCancel(keys);
  cancelling_deleted_ = true;
  CancelSlice(TimerKey());
}

void Timers::CancelSlice(const TimerKey& from) {
  core_->context().read_executor->Post(
      [from, store = core_->store(), generation = core_->state().timers().generation(),
       home = core_->context().shard_executor,
       then = core_->IfAlive([this, from](uint64_t generation, absl::StatusOr<TimerTable::Reading> reading) {
         if (!reading.ok() || !core_->leading()) {
           cancelling_deleted_ = false;  // Begun again at the next occasion.
           return;
         }
         std::erase_if(reading->timers, [this](const auto& timer) { return !IsOfDeletedQueue(timer.second); });
         if (!core_->state().timers().Install(generation, reading->timers)) return CancelSlice(from);
         std::vector<TimerKey> keys;
         for (const auto& [key, timer] : reading->timers) keys.push_back(key);
         ProposeCancel(keys);
         if (reading->end < kNoTimerBefore) return CancelSlice(reading->end);
         cancelling_deleted_ = false;
       })]() mutable {
        home->Post(
            [then = std::move(then), generation, reading = TimerTable::ReadFrom(*store, from, kSliceTimers)]() mutable {
              then(generation, std::move(reading));
            });
      });
}

void Timers::ProposeCancel(const std::vector<TimerKey>& keys) {
  for (size_t first = 0; first < keys.size(); first += kMaxPerRecord) {
    log::CancelTimer command;
    for (size_t i = first; i < std::min(first + kMaxPerRecord, keys.size()); ++i) SetRef(command.add_timers(), keys[i]);
    core_->Propose(Command(std::move(command)), Bytes(), [](absl::StatusOr<Outcome>) {});
  }
}

}  // namespace barid::broker
