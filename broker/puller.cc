#include "broker/puller.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "broker/queue_lookup.h"

namespace barid::broker {
namespace {

// A scan that finds nothing goes on for so long also if the pull would not wait for messages; then it says how far it
// came.
constexpr int64_t kPatienceMicros = 2'000'000;
// It lets others run after so many entries.
constexpr QueueOffset kScanSlice = 64 * kBlockEntries;
// Of messages that are read to be evaluated, at once. What is larger than all of it is a slice of its own.
constexpr size_t kSliceMessages = 1024;
constexpr int64_t kSliceBytes = int64_t{4} << 20;
// Slices being read: what pulls hold in memory is bounded by this.
constexpr int kMaxReading = 8;
constexpr absl::Duration kLogEvery = absl::Seconds(10);

}  // namespace

void Puller::SetMetadata(std::shared_ptr<const Metadata> metadata) {
  const std::shared_ptr<const Metadata> before = std::exchange(metadata_, std::move(metadata));
  const absl::flat_hash_set<GroupId> resumed = metadata_->ResumedSince(*before);
  if (resumed.empty()) return;
  for (const auto& [deadline, id] : deadlines_) {
    const PullCall& call = pulls_.at(id)->call;
    if (resumed.contains(call.group)) Wake(call.queue);
  }
}

void Puller::Pull(uint64_t id, PullCall call, Callback<PullResult> done) {
  const auto refuse = [&done](absl::Status why) { done(PullResult{std::move(why), {}, 0}); };
  if (!core_->leading()) {
    return refuse(core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted());
  }
  if (under_way() >= core_->options().max_waiting_receives) {
    return refuse(RetryAfterError(absl::Seconds(1), absl::StrCat("more than ", core_->options().max_waiting_receives,
                                                                 " pulls wait on this shard")));
  }
  const absl::StatusOr<Queue> bounds = FindBounds(core_->state(), *metadata_, shard_, call.queue);
  if (!bounds.ok()) return refuse(bounds.status());
  if (call.offset < bounds->first || call.offset > bounds->end) {
    return refuse(OffsetRangeError({bounds->first, bounds->end},
                                   absl::StrCat("the offset is ", call.offset, ", the queue has those from ",
                                                bounds->first, " to ", bounds->end, ", its end")));
  }
  absl::StatusOr<std::shared_ptr<const filter::Filter>> filter = nullptr;
  if (!call.sql.empty()) filter = filters_.Get(call.sql);
  if (!filter.ok()) return refuse(filter.status());

  auto pull = std::make_unique<Pending>();
  for (const std::string& tag : call.tags) pull->tag_hashes.push_back(TagHash(tag));
  pull->filter = *std::move(filter);
  const int64_t now = core_->NowMicros();
  pull->deadline_us = draining_ ? now : now + absl::ToInt64Microseconds(call.wait);
  pull->give_up_us = std::max(pull->deadline_us, now + kPatienceMicros);
  pull->scan = call.offset;
  pull->call = std::move(call);
  pull->done = std::move(done);
  pulls_[id] = std::move(pull);
  Advance(id);
}

void Puller::Advance(uint64_t id) {
  const auto it = pulls_.find(id);
  if (it == pulls_.end()) return;
  if (!core_->leading()) return Finish(id, NotLeaderError({}, "this broker does not lead the shard any more"));
  Pending* const pull = it->second.get();
  const absl::StatusOr<Queue> bounds = FindBounds(core_->state(), *metadata_, shard_, pull->call.queue);
  if (!bounds.ok()) return Finish(id, bounds.status());
  // What retention took meanwhile is passed over.
  pull->scan = std::max(pull->scan, bounds->first);
  if (metadata_->IsPaused(pull->call.group)) {
    return core_->NowMicros() >= pull->deadline_us || draining_ ? Finish(id, absl::OkStatus()) : Wait(id, pull);
  }
  if (!Collect(id, pull, *bounds)) return;
  if (!pull->slice.empty()) return Read(id);
  pull->scan = pull->slice_end;
  const int64_t now = core_->NowMicros();
  if (pull->scan < bounds->end) return now >= pull->give_up_us ? Finish(id, absl::OkStatus()) : AdvanceSoon(id);
  if (now >= pull->deadline_us || draining_) return Finish(id, absl::OkStatus());
  Wait(id, pull);
}

bool Puller::Collect(uint64_t id, Pending* pull, const Queue& bounds) {
  const bool judges = pull->filter != nullptr;
  const size_t most = judges ? kSliceMessages : static_cast<size_t>(std::max(pull->call.max_messages, 1));
  const int64_t most_bytes = judges ? kSliceBytes : pull->call.max_bytes;
  int64_t bytes = 0;
  pull->slice.clear();
  pull->slice_carries = core_->state().carries();
  QueueOffset& scan = pull->slice_end;
  const QueueOffset turn_end = std::min(bounds.end, pull->scan + kScanSlice);
  for (scan = pull->scan; scan < turn_end && pull->slice.size() < most; ++scan) {
    const BlockKey key = BlockOf(pull->call.queue, scan);
    const IndexBlock* const block = core_->state().index().Resident(key);
    if (block == nullptr) {
      if (scan > pull->scan) return true;  // What was found so far comes first.
      core_->WithBlock(key, [this, id, key](absl::StatusOr<const IndexBlock*> block) {
        const Queue* const left = core_->state().FindQueue(key.queue);
        const bool expired = left == nullptr || (key.block + 1) * kBlockEntries <= left->first;
        if (!block.ok() && !expired) return Finish(id, Unreadable(block.status()));
        Advance(id);  // Now, while it is in memory.
      });
      return false;
    }
    const IndexEntry& entry = block->entries[static_cast<size_t>(scan % kBlockEntries)];
    if (entry.is_redriven()) continue;
    const bool matches = pull->tag_hashes.empty() || std::find(pull->tag_hashes.begin(), pull->tag_hashes.end(),
                                                               entry.tag_hash) != pull->tag_hashes.end();
    if (!matches) continue;
    if (!pull->slice.empty() && bytes + entry.bytes > most_bytes) return true;
    bytes += entry.bytes;
    Picked& one = pull->slice.emplace_back();
    one.offset = scan;
    one.entry = entry;
    const auto provenance = block->provenance.find(scan);
    if (provenance != block->provenance.end()) one.provenance = provenance->second;
  }
  return true;
}

void Puller::AdvanceSoon(uint64_t id) {
  core_->context().shard_executor->Post(core_->IfAlive([this, id] { Advance(id); }));
}

// --- Reading ---

void Puller::Read(uint64_t id) {
  if (reading_ >= kMaxReading) return unread_.push_back(id);
  StartReading(id, pulls_.at(id).get());
}

void Puller::StartReading(uint64_t id, Pending* pull) {
  ++reading_;
  std::vector<IndexEntry> entries;
  for (const Picked& one : pull->slice) entries.push_back(one.entry);
  core_->ReadBodies(std::move(entries), [this, id, filter = pull->filter](ShardCore::Bodies bodies) mutable {
    if (filter == nullptr) return OnRead(id, std::move(bodies), std::nullopt);
    core_->context().read_executor->Post(
        [id, filter = std::move(filter), bodies = std::move(bodies), home = core_->context().shard_executor,
         then = core_->IfAlive([this](uint64_t id, ShardCore::Bodies bodies, std::vector<FilterScan::Judged> judged) {
           OnRead(id, std::move(bodies), std::move(judged));
         })]() mutable {
          std::vector<FilterScan::Judged> judged = FilterScan::Judge(*filter, bodies);
          home->Post([id, bodies = std::move(bodies), judged = std::move(judged), then = std::move(then)]() mutable {
            then(id, std::move(bodies), std::move(judged));
          });
        });
  });
}

// Two tags may share a hash; the message itself decides.
bool Puller::Wants(const Pending& pull, absl::string_view stored) const {
  if (pull.call.tags.empty()) return true;
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(stored);
  return view.ok() && view->tag &&
         std::find(pull.call.tags.begin(), pull.call.tags.end(), *view->tag) != pull.call.tags.end();
}

void Puller::NoteProblem(const Pending& pull, const Picked& one, const FilterScan::Judged& judged) {
  const absl::Duration now = core_->context().clock->SinceBoot();
  if (now - problem_logged_ < kLogEvery) return;
  problem_logged_ = now;
  LOG(WARNING)
      << "a pull's filter could not be wholly evaluated; such messages are given only if the rest of it is true"
      << KV("queue", pull.call.queue) << KV("offset", one.offset) << KV("problem", filter::ProblemName(judged.problem))
      << KV("property", judged.name < 0 ? "" : pull.filter->names()[static_cast<size_t>(judged.name)]);
}

void Puller::OnRead(uint64_t id, ShardCore::Bodies bodies, std::optional<std::vector<FilterScan::Judged>> judged) {
  --reading_;
  while (!unread_.empty() && reading_ < kMaxReading) {
    const auto next = pulls_.find(unread_.front());
    const uint64_t next_id = unread_.front();
    unread_.pop_front();
    if (next != pulls_.end()) StartReading(next_id, next->second.get());
  }
  const auto it = pulls_.find(id);
  if (it == pulls_.end()) return;  // Cancelled, or its time is over.
  Pending* const pull = it->second.get();
  const Queue* const queue = core_->state().FindQueue(pull->call.queue);
  const QueueOffset first = queue == nullptr ? pull->slice_end : queue->first;
  PullResult result;
  int64_t bytes_left = pull->call.max_bytes;
  QueueOffset& next = result.next_offset;
  next = pull->slice_end;
  for (size_t i = 0; i < pull->slice.size(); ++i) {
    const Picked& one = pull->slice[i];
    if (judged && i >= judged->size()) {  // It took long enough.
      next = one.offset;
      break;
    }
    if (one.offset < first) continue;
    // It was carried forward, or went back to its topic, while the pull waited for its turn: the next slice knows. If
    // that has it at the same place, it is lost.
    if (absl::IsOutOfRange(bodies[i].status())) {
      if (pull->vanished == one.offset && pull->slice_carries == core_->state().carries()) {
        bodies[i] = absl::DataLossError(absl::StrCat("its record was trimmed: ", bodies[i].status().message()));
      } else {
        pull->vanished = one.offset;
        next = one.offset;
        break;
      }
    }
    if (!bodies[i].ok()) {
      // Those before it can be had; who goes on behind them meets this one again, and is told.
      if (!result.deliveries.empty()) {
        next = one.offset;
        break;
      }
      LOG(ERROR) << "cannot read a message for a pull" << KV("queue", pull->call.queue) << KV("offset", one.offset)
                 << KV("error", bodies[i].status());
      return Finish(id, Annotate(bodies[i].status(), absl::StrCat("the message at offset ", one.offset)));
    }
    if (judged && (*judged)[i].problem != filter::Problem::kNone) NoteProblem(*pull, one, (*judged)[i]);
    if ((judged && !(*judged)[i].matches) || !Wants(*pull, bodies[i]->view())) continue;
    const bool is_full = static_cast<int32_t>(result.deliveries.size()) >= std::max(pull->call.max_messages, 1) ||
                         (!result.deliveries.empty() && one.entry.bytes > bytes_left);
    if (is_full) {
      next = one.offset;
      break;
    }
    bytes_left -= one.entry.bytes;
    Delivery& delivery = result.deliveries.emplace_back();
    delivery.stored = *std::move(bodies[i]);
    delivery.queue = pull->call.queue;
    delivery.offset = one.offset;
    delivery.attempt = 0;
    delivery.store_time = absl::FromUnixMicros(one.entry.time_us);
    if (one.provenance) {
      delivery.origin = Delivery::Origin{TopicId(), one.provenance->topic, one.provenance->message_id,
                                         one.provenance->attempts, one.provenance->reason};
    }
  }
  if (!result.deliveries.empty()) return FinishWith(id, std::move(result));
  pull->scan = next;
  pull->slice.clear();
  if (core_->leading() && core_->NowMicros() >= pull->give_up_us) return Finish(id, absl::OkStatus());
  AdvanceSoon(id);
}

// --- Waiting ---

void Puller::Wait(uint64_t id, Pending* pull) {
  pull->waiting = true;
  waiting_[pull->call.queue].insert(id);
  deadlines_.insert({pull->deadline_us, id});
}

void Puller::StopWaiting(uint64_t id, Pending* pull) {
  if (!std::exchange(pull->waiting, false)) return;
  deadlines_.erase({pull->deadline_us, id});
  const auto line = waiting_.find(pull->call.queue);
  line->second.erase(id);
  if (line->second.empty()) waiting_.erase(line);
}

void Puller::Wake(const QueueKey& queue) {
  if (waiting_.contains(queue)) woken_.insert(queue);
}

void Puller::ServeWoken() {
  for (const QueueKey& queue : std::exchange(woken_, {})) {
    const auto line = waiting_.find(queue);
    if (line == waiting_.end()) continue;
    for (const uint64_t id : std::vector<uint64_t>(line->second.begin(), line->second.end())) {
      const auto pull = pulls_.find(id);
      if (pull == pulls_.end()) continue;
      StopWaiting(id, pull->second.get());
      Advance(id);
    }
  }
}

void Puller::ExpireWaiting(int64_t now_us) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_us)
    Finish(deadlines_.begin()->second, absl::OkStatus());
}

void Puller::Cancel(uint64_t id) { Finish(id, absl::OkStatus()); }

void Puller::Drain() {
  draining_ = true;
  EndWaiting(absl::OkStatus());
}

void Puller::EndWaiting(const absl::Status& why) {
  std::vector<uint64_t> ids;
  for (const auto& [deadline, id] : deadlines_) ids.push_back(id);
  for (const uint64_t id : ids) Finish(id, why);
}

void Puller::EndAll(const absl::Status& why) {
  std::vector<uint64_t> ids;
  for (const auto& [id, pull] : pulls_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (const uint64_t id : ids) Finish(id, why);
}

void Puller::Finish(uint64_t id, absl::Status status) {
  const auto it = pulls_.find(id);
  if (it == pulls_.end()) return;
  FinishWith(id, PullResult{std::move(status), {}, it->second->scan});
}

void Puller::FinishWith(uint64_t id, PullResult result) {
  const auto it = pulls_.find(id);
  StopWaiting(id, it->second.get());
  const std::unique_ptr<Pending> pull = std::move(it->second);
  pulls_.erase(it);
  pull->done(std::move(result));
}

}  // namespace barid::broker
