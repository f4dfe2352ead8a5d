#include "broker/dispatcher.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "base/lite_topic.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "broker/mutation.h"
#include "broker/queue_lookup.h"

namespace barid::broker {
namespace {

// A receive that would not wait for messages still waits this long for an index block or a cursor.
constexpr int64_t kPatienceMicros = 2'000'000;

}  // namespace

std::vector<QueueKey> Dispatcher::QueuesOf(TopicId topic) const {
  std::vector<QueueKey> keys;
  const auto& queues = core_->state().queues();
  for (auto it = queues.lower_bound(QueueKey{topic, 0}); it != queues.end() && it->first.topic == topic; ++it) {
    if (!it->second.deleted) keys.push_back(it->first);
  }
  return keys;
}

bool Dispatcher::Matches(const Pending& receive, uint32_t tag_hash) const {
  return receive.tag_hashes.empty() ||
         std::find(receive.tag_hashes.begin(), receive.tag_hashes.end(), tag_hash) != receive.tag_hashes.end();
}

void Dispatcher::SetMetadata(std::shared_ptr<const Metadata> metadata) {
  const std::shared_ptr<const Metadata> before = std::exchange(metadata_, std::move(metadata));
  // Who waits for what the group does not read any more is to ask again: that subscribes the group anew.
  std::vector<uint64_t> ended;
  for (const auto& [line, ids] : lines_) {
    if (metadata_->FindSubscription(line.group, line.topic) == nullptr)
      ended.insert(ended.end(), ids.begin(), ids.end());
  }
  for (const uint64_t id : ended) Finish(id, ReceiveResult{});
  const absl::flat_hash_set<GroupId> resumed = metadata_->ResumedSince(*before);
  if (resumed.empty()) return;
  for (const auto& [line, ids] : lines_) {
    if (resumed.contains(line.group)) woken_.insert(line);
  }
}

void Dispatcher::Receive(uint64_t id, ReceiveCall call, Callback<ReceiveResult> done) {
  const auto refuse = [&done](absl::Status why) { done(ReceiveResult{std::move(why), {}}); };
  if (!core_->leading()) {
    return refuse(core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted());
  }
  if (waiting() >= core_->options().max_waiting_receives) {
    return refuse(RetryAfterError(absl::Seconds(1), absl::StrCat("more than ", core_->options().max_waiting_receives,
                                                                 " receives wait on this shard")));
  }
  if (metadata_->FindSubscription(call.group, call.topic) == nullptr) {
    return refuse(absl::UnavailableError("the group was unsubscribed from the topic meanwhile: ask again"));
  }
  absl::StatusOr<std::shared_ptr<const filter::Filter>> filter = nullptr;
  if (!call.sql.empty()) filter = filters_.Compile(call.sql);
  if (!filter.ok()) return refuse(filter.status());
  auto receive = std::make_unique<Pending>();
  receive->call = std::move(call);
  if (draining_) receive->call.wait = absl::ZeroDuration();
  receive->done = std::move(done);
  for (const std::string& tag : receive->call.tags) receive->tag_hashes.push_back(TagHash(tag));
  receive->filter = *std::move(filter);
  const int64_t now = core_->NowMicros();
  receive->deadline_us = now + absl::ToInt64Microseconds(receive->call.wait);
  receive->line = LineOf(receive->call);
  Pending* const raw = receive.get();
  receives_[id] = std::move(receive);

  const Served served = Serve(id, raw);
  if (served == Served::kNothing && raw->call.wait <= absl::ZeroDuration()) return Finish(id, ReceiveResult{});
  if (served == Served::kLater) raw->deadline_us = std::max(raw->deadline_us, now + kPatienceMicros);
  if (raw->waiting) {
    lines_[raw->line].push_back(id);
    deadlines_.insert({raw->deadline_us, id});
  }
}

void Dispatcher::Cancel(uint64_t id) {
  const auto it = receives_.find(id);
  if (it == receives_.end()) return;
  it->second->cancelled = true;
  if (it->second->waiting) Finish(id, ReceiveResult{});
}

void Dispatcher::Wake(const QueueKey& queue) {
  if (queue.queue >= kFirstLiteQueue) {
    return lite_.Ready(queue, std::nullopt, [this](const ReceiveLine& line) { WakeLine(line); });
  }
  for (auto it = lines_.lower_bound({queue.topic, GroupId(), ""}); it != lines_.end() && it->first.topic == queue.topic;
       ++it) {
    woken_.insert(it->first);
  }
}

void Dispatcher::Wake(const CursorKey& key) {
  if (key.queue.queue < kFirstLiteQueue) return Wake(key.queue.topic, key.group);
  lite_.Ready(key.queue, key.group, [this](const ReceiveLine& line) { WakeLine(line); });
}

void Dispatcher::Wake(TopicId topic, GroupId group) {
  for (auto it = lines_.lower_bound({topic, group, ""});
       it != lines_.end() && it->first.topic == topic && it->first.group == group; ++it) {
    woken_.insert(it->first);
  }
}

std::vector<WaitingFilter> Dispatcher::FiltersAt(const CursorKey& key) const {
  std::vector<WaitingFilter> filters;
  const QueueKey& queue = key.queue;
  for (auto line = lines_.lower_bound({queue.topic, key.group, ""});
       line != lines_.end() && line->first.topic == queue.topic && line->first.group == key.group; ++line) {
    if (queue.queue >= kFirstLiteQueue && !lite_.Reads(line->first, queue)) continue;
    for (const uint64_t id : line->second) {
      const auto receive = receives_.find(id);
      if (receive == receives_.end() || !receive->second->waiting) continue;
      const ReceiveCall& call = receive->second->call;
      auto filter = std::find_if(filters.begin(), filters.end(), [&](const WaitingFilter& one) {
        return one.tags == call.tags && one.sql == call.sql;
      });
      if (filter == filters.end()) {
        if (filters.size() == kMostFilters) continue;
        filter = filters.insert(filters.end(), WaitingFilter{call.tags, call.sql, 0});
      }
      ++filter->receives;
    }
  }
  return filters;
}

void Dispatcher::ServeWoken() {
  while (core_->leading() && !woken_.empty()) {
    const ReceiveLine waiting = *woken_.begin();
    woken_.erase(woken_.begin());
    const auto line = lines_.find(waiting);
    if (line == lines_.end()) continue;
    // Serving may answer, and answering may put others in line.
    std::deque<uint64_t> ids = std::exchange(line->second, {});
    while (!ids.empty()) {
      const auto it = receives_.find(ids.front());
      if (it == receives_.end() || !it->second->waiting) {
        ids.pop_front();
        continue;
      }
      const uint64_t id = ids.front();
      const bool patient = it->second->call.wait > absl::ZeroDuration();
      const Served served = Serve(id, it->second.get());
      if (served == Served::kNothing && !patient) {
        Finish(id, ReceiveResult{});
      } else if (served != Served::kYes) {
        break;  // Nothing is left for those behind either.
      }
      ids.pop_front();
    }
    std::deque<uint64_t>& rest = lines_[waiting];
    rest.insert(rest.begin(), ids.begin(), ids.end());
    if (rest.empty()) lines_.erase(waiting);
  }
}

Dispatcher::Reserved* Dispatcher::ReservedFor(const CursorKey& key, const Cursor& cursor) {
  Reserved& reserved = reserved_[key];
  if (reserved.proposals == 0) reserved.next = cursor.next;
  reserved.scanned = std::max(reserved.scanned, reserved.next);
  return &reserved;
}

int64_t Dispatcher::OldestIn(GroupId group, const QueueKey& queue) const {
  const Cursor* const cursor = core_->state().FindCursor({group, queue});
  const Queue& bounds = *core_->state().FindQueue(queue);
  if (cursor == nullptr) return bounds.first < bounds.end ? 0 : std::numeric_limits<int64_t>::max();
  QueueOffset oldest = std::max(cursor->next, bounds.first);
  if (const auto reserved = reserved_.find({group, queue}); reserved != reserved_.end()) {
    // Without proposals its scan position is that of before, which a reset may have moved back.
    oldest = std::max(oldest, reserved->second.scanned);
    if (reserved->second.proposals > 0) oldest = std::max(oldest, reserved->second.next);
  }
  if (!cursor->again.empty() && !BARID_MUTATION(kPriorityForgetsReturned))
    oldest = std::min(oldest, *cursor->again.begin());
  if (!cursor->released.empty()) oldest = std::min(oldest, *cursor->released.begin());
  if (oldest >= bounds.end) return std::numeric_limits<int64_t>::max();
  // What is not in memory is older than what is.
  const IndexBlock* const block = core_->state().index().Resident(BlockOf(queue, oldest));
  return block == nullptr ? 0 : block->entries[static_cast<size_t>(oldest % kBlockEntries)].time_us;
}

std::vector<QueueKey> Dispatcher::InOrderOf(const Pending& receive, std::vector<QueueKey> queues) {
  if (queues.size() < 2) return queues;
  const TopicMetadata* const topic = metadata_->FindTopic(receive.call.topic);
  if (topic == nullptr || topic->type != MessageType::kPriority) {
    std::rotate(queues.begin(), queues.begin() + static_cast<ptrdiff_t>(turn_++ % queues.size()), queues.end());
    return queues;
  }
  const int64_t turn = priority_turns_[{receive.call.topic, receive.call.group}];
  int64_t every = core_->options().priority_oldest_every;
  if (BARID_MUTATION(kPriorityNobodyIsOldest)) every = 0;
  if (BARID_MUTATION(kPriorityOldestTooOften)) every = std::min<int64_t>(every, 1);
  if (every == 0 || (turn + 1) % every != 0) return queues;
  std::vector<std::pair<int64_t, QueueKey>> by_age;
  by_age.reserve(queues.size());
  for (const QueueKey& queue : queues) by_age.emplace_back(OldestIn(receive.call.group, queue), queue);
  // Of two that are as old the one with the higher priority stays in front.
  std::stable_sort(by_age.begin(), by_age.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < queues.size(); ++i) queues[i] = by_age[i].second;
  return queues;
}

Dispatcher::Served Dispatcher::Serve(uint64_t id, Pending* receive) {
  // Nothing is passed over either, nor written down: when it is resumed, all is as it was.
  if (metadata_->IsPaused(receive->call.group) && !BARID_MUTATION(kPauseIgnored)) return Served::kNothing;
  int32_t messages_left = receive->call.max_messages;
  int64_t bytes_left = receive->call.max_bytes;
  const absl::Duration invisible =
      receive->call.auto_renew ? core_->options().auto_renew_first : receive->call.invisible;
  receive->invisible_until_us = core_->NowMicros() + absl::ToInt64Microseconds(invisible);
  const TopicMetadata* const topic = metadata_->FindTopic(receive->call.topic);
  const bool is_lite = topic != nullptr && topic->type == MessageType::kLite;
  std::vector<QueueKey> queues = is_lite ? LiteQueuesToRepeat(*receive) : QueuesOf(receive->call.topic);
  // The highest first, also of a batch that is repeated.
  const bool is_priority = topic != nullptr && topic->type == MessageType::kPriority;
  if (is_priority && !BARID_MUTATION(kPriorityLowestFirst)) std::reverse(queues.begin(), queues.end());
  const Served repeated = RepeatAttempt(id, receive, queues);
  if (repeated == Served::kLater) return repeated;
  bool later = false;
  if (repeated == Served::kNothing && is_lite) {
    later = PickLite(id, receive, &messages_left, &bytes_left);
  } else if (repeated == Served::kNothing) {
    for (const QueueKey& queue : InOrderOf(*receive, std::move(queues))) {
      if (messages_left <= 0 || bytes_left <= 0) break;
      later |= PickFrom(id, receive, queue, &messages_left, &bytes_left) == Served::kLater;
    }
  }
  if (receive->proposals > 0) {
    if (const auto turn = priority_turns_.find({receive->call.topic, receive->call.group});
        turn != priority_turns_.end() && repeated == Served::kNothing) {
      ++turn->second;
    }
    if (receive->waiting) deadlines_.erase({receive->deadline_us, id});
    receive->waiting = false;
    return Served::kYes;
  }
  return later ? Served::kLater : Served::kNothing;
}

void Dispatcher::SettleUnwanted(const CursorKey& key, Reserved* reserved,
                                const std::vector<std::pair<QueueOffset, LogIndex>>& unwanted) {
  log::Settle settle;
  for (const auto& [offset, nonce] : unwanted) {
    log::DeliveryRef* const ref = settle.add_entries()->mutable_delivery();
    ref->set_group_id(key.group.value());
    SetKey(ref->mutable_queue(), key.queue);
    ref->set_offset(offset);
    ref->set_nonce(nonce);
    reserved->again.insert(offset);
  }
  core_->Propose(Command(std::move(settle)), Bytes(), [this, key, unwanted](absl::StatusOr<Outcome>) {
    Reserved& reserved = reserved_[key];
    for (const auto& [offset, nonce] : unwanted) reserved.again.erase(offset);
    ForgetIdle(key);
  });
}

void Dispatcher::SettleUnwantedParked(const CursorKey& key, Reserved* reserved,
                                      const std::vector<QueueOffset>& unwanted) {
  log::Skip skip;
  skip.set_group_id(key.group.value());
  SetKey(skip.mutable_queue(), key.queue);
  for (const QueueOffset offset : unwanted) {
    skip.add_unwanted_offsets(offset);
    reserved->again.insert(offset);
  }
  core_->Propose(Command(std::move(skip)), Bytes(), [this, key, unwanted](absl::StatusOr<Outcome>) {
    Reserved& reserved = reserved_[key];
    for (const QueueOffset offset : unwanted) reserved.again.erase(offset);
    ForgetIdle(key);
  });
}

void Dispatcher::Hold(Reserved* reserved, const Claim& claim) {
  for (const uint64_t message_group : claim.message_groups) ++reserved->busy[message_group];
  reserved->parking += claim.parking;
}

void Dispatcher::Release(const CursorKey& key, Reserved* reserved, const Claim& claim) {
  for (const uint64_t message_group : claim.message_groups) {
    const auto it = reserved->busy.find(message_group);
    // The cursor was opened anew since.
    if (it == reserved->busy.end()) continue;
    if (--it->second == 0) reserved->busy.erase(it);
  }
  reserved->parking = std::max<int64_t>(reserved->parking - claim.parking, 0);
  if (std::exchange(reserved->stopped_parking, false)) Wake(key);
}

void Dispatcher::NoteTooManyParked(const CursorKey& key, int64_t parked) {
  const absl::Duration now = core_->context().clock->SinceBoot();
  if (now - parked_logged_ < absl::Minutes(1)) return;
  parked_logged_ = now;
  LOG(WARNING)
      << "too many messages wait for locked message groups; nothing behind them is delivered until some are settled"
      << " (setting broker.max_parked_bytes)" << KV("group", key.group) << KV("queue", key.queue)
      << KV("parked", parked);
}

void Dispatcher::ProposeDelivery(uint64_t id, const CursorKey& key, Command command, std::vector<Picked> picked,
                                 Claim claim) {
  core_->Propose(
      std::move(command), Bytes(),
      [this, id, key, picked = std::move(picked), claim = std::move(claim)](absl::StatusOr<Outcome> outcome) mutable {
        OnDelivered(id, key, std::move(picked), claim, std::move(outcome));
      });
}

void Dispatcher::OnDelivered(uint64_t id, const CursorKey& key, std::vector<Picked> picked, const Claim& claim,
                             absl::StatusOr<Outcome> outcome) {
  Reserved& reserved = reserved_[key];
  --reserved.proposals;
  // What was dropped is looked at again.
  if (!outcome.ok() || !outcome->status.ok()) reserved.scanned = 0;
  for (const Picked& one : picked) reserved.again.erase(one.offset);
  Release(key, &reserved, claim);
  // Whoever found it reserved in the meantime took it for empty.
  if (key.queue.queue >= kFirstLiteQueue) Wake(key);
  ForgetIdle(key);
  const auto it = receives_.find(id);
  CHECK(it != receives_.end());
  Pending* const receive = it->second.get();
  --receive->proposals;
  if (outcome.ok()) {
    absl::flat_hash_map<QueueOffset, Outcome::Delivered> kept;
    for (const Outcome::Delivered& delivered : outcome->delivered) kept[delivered.offset] = delivered;
    for (Picked& one : picked) {
      const auto found = kept.find(one.offset);
      if (found == kept.end()) continue;
      one.attempt = found->second.attempt;
      one.nonce = found->second.nonce;
      receive->kept.push_back(std::move(one));
    }
  }
  if (receive->proposals > 0) return;
  if (!receive->kept.empty()) return Answer(id);
  if (!outcome.ok()) return Finish(id, ReceiveResult{outcome.status(), {}});
  PutBack(id, receive);
}

// Everything that was picked had gone by the time it was applied.
void Dispatcher::PutBack(uint64_t id, Pending* receive) {
  if (!core_->leading()) return Finish(id, ReceiveResult{core_->halted(), {}});
  if (receive->cancelled || draining_) return Finish(id, ReceiveResult{});
  // As SetMetadata ends those that wait.
  if (metadata_->FindSubscription(receive->call.group, receive->call.topic) == nullptr)
    return Finish(id, ReceiveResult{});
  receive->waiting = true;
  lines_[receive->line].push_front(id);
  deadlines_.insert({receive->deadline_us, id});
  woken_.insert(receive->line);
}

void Dispatcher::Answer(uint64_t id) {
  std::vector<IndexEntry> entries;
  for (const Picked& one : receives_.at(id)->kept) entries.push_back(one.entry);
  core_->ReadBodies(std::move(entries), [this, id](ShardCore::Bodies bodies) {
    const auto it = receives_.find(id);
    if (it == receives_.end()) return;  // Ended meanwhile; the invisible time runs.
    Pending* const receive = it->second.get();
    ReceiveResult result;
    log::Settle mismatches;
    absl::flat_hash_set<uint64_t> broken;  // Message groups of which a message cannot be read: none behind it is given.
    for (size_t i = 0; i < bodies.size(); ++i) {
      Picked& one = receive->kept[i];
      if (broken.contains(one.message_group)) continue;
      absl::Status bad = bodies[i].status();
      bool matches = true;
      if (bad.ok() && !receive->call.tags.empty()) {
        // Two tags may share a hash; the message itself decides.
        const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(bodies[i]->view());
        bad = view.status();
        matches =
            bad.ok() && view->tag &&
            std::find(receive->call.tags.begin(), receive->call.tags.end(), *view->tag) != receive->call.tags.end();
      }
      if (!bad.ok()) {
        LOG(ERROR) << "cannot read a message; it is not delivered" << KV("queue", one.queue) << KV("offset", one.offset)
                   << KV("error", bad);
        if (one.message_group != 0) broken.insert(one.message_group);
        continue;
      }
      if (!matches) {
        log::Settle::Entry* const entry = mismatches.add_entries();
        entry->mutable_delivery()->set_group_id(receive->call.group.value());
        SetKey(entry->mutable_delivery()->mutable_queue(), one.queue);
        entry->mutable_delivery()->set_offset(one.offset);
        entry->mutable_delivery()->set_nonce(one.nonce);
        continue;
      }
      Delivery& delivery = result.deliveries.emplace_back();
      delivery.stored = *std::move(bodies[i]);
      delivery.queue = one.queue;
      delivery.offset = one.offset;
      delivery.attempt = one.attempt;
      delivery.nonce = one.nonce;
      delivery.store_time = absl::FromUnixMicros(one.entry.time_us);
      delivery.invisible = receive->call.auto_renew ? core_->options().auto_renew_first : receive->call.invisible;
      if (one.provenance) {
        delivery.origin = Delivery::Origin{TopicId(), one.provenance->topic, one.provenance->message_id,
                                           one.provenance->attempts, one.provenance->reason};
      }
    }
    if (mismatches.entries_size() > 0) {
      core_->Propose(Command(std::move(mismatches)), Bytes(), [](absl::StatusOr<Outcome>) {});
    }
    receive->kept.clear();
    if (result.deliveries.empty()) {
      PutBack(id, receive);
      return ServeWoken();
    }
    Finish(id, std::move(result));
  });
}

void Dispatcher::Finish(uint64_t id, ReceiveResult result) {
  const auto it = receives_.find(id);
  if (it == receives_.end()) return;
  const std::unique_ptr<Pending> receive = std::move(it->second);
  receives_.erase(it);
  deadlines_.erase({receive->deadline_us, id});
  // Its place in the line goes when the line is next looked at, or at once where it is the only one.
  if (receive->waiting) {
    const auto line = lines_.find(receive->line);
    if (line != lines_.end()) {
      const auto place = std::find(line->second.begin(), line->second.end(), id);
      if (place != line->second.end()) line->second.erase(place);
      if (line->second.empty()) lines_.erase(line);
    }
  }
  receive->done(std::move(result));
}

void Dispatcher::ExpireWaiting(int64_t now_us) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_us)
    Finish(deadlines_.begin()->second, ReceiveResult{});
}

void Dispatcher::RecordScans() {
  std::vector<CursorKey> keys(scans_ahead_.begin(), scans_ahead_.end());
  scans_ahead_.clear();
  std::sort(keys.begin(), keys.end());  // So that a simulation repeats.
  for (const CursorKey& key : keys) {
    const Cursor* const cursor = core_->state().FindCursor(key);
    if (cursor == nullptr || seeking_.contains(key)) continue;
    Reserved* const reserved = ReservedFor(key, *cursor);
    if (reserved->scanned <= reserved->next) continue;
    ProposeSkip(key, reserved, reserved->scanned, {}, {});
  }
}

void Dispatcher::ProposeSkip(const CursorKey& key, Reserved* reserved, QueueOffset to,
                             const std::vector<QueueOffset>& parked, Claim claim) {
  log::Skip skip;
  skip.set_group_id(key.group.value());
  SetKey(skip.mutable_queue(), key.queue);
  skip.set_from(reserved->next);
  skip.set_to(to);
  skip.mutable_parked_offsets()->Add(parked.begin(), parked.end());
  reserved->next = to;
  ++reserved->proposals;
  Hold(reserved, claim);
  core_->Propose(Command(std::move(skip)), Bytes(),
                 [this, key, claim = std::move(claim)](absl::StatusOr<Outcome> outcome) {
                   Reserved& reserved = reserved_[key];
                   --reserved.proposals;
                   Release(key, &reserved, claim);
                   if (outcome.ok() && outcome->status.ok()) {
                     // As in OnDelivered.
                     if (key.queue.queue >= kFirstLiteQueue && !claim.message_groups.empty()) Wake(key);
                     return ForgetIdle(key);
                   }
                   reserved.scanned = 0;
                   ForgetIdle(key);
                   Wake(key);
                 });
}

void Dispatcher::Drain() {
  draining_ = true;
  EndWaiting(absl::OkStatus());
}

void Dispatcher::EndWaiting(const absl::Status& why) { End(/*all=*/false, why); }
void Dispatcher::EndAll(const absl::Status& why) { End(/*all=*/true, why); }

void Dispatcher::End(bool all, const absl::Status& why) {
  std::vector<uint64_t> ids;
  for (const auto& [id, receive] : receives_) {
    if (all || receive->waiting) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  for (const uint64_t id : ids) Finish(id, ReceiveResult{why, {}});
}

void Dispatcher::OnOpened(const CursorKey& key) {
  // It begins anew, whatever was known of one that is gone.
  reserved_.erase(key);
  scans_ahead_.erase(key);
}

bool Dispatcher::IsSeeking(const QueueKey& queue) const {
  return std::any_of(seeking_.begin(), seeking_.end(),
                     [&](const auto& seeking) { return seeking.first.queue == queue; });
}

void Dispatcher::EndSeek(const CursorKey& key) {
  const auto it = seeking_.find(key);
  CHECK(it != seeking_.end());
  if (--it->second == 0) seeking_.erase(it);
  // Whatever was proposed before it is applied; what scans know is about another place.
  if (const auto reserved = reserved_.find(key); reserved != reserved_.end()) reserved->second.scanned = 0;
  scans_ahead_.erase(key);
  Wake(key);
}

void Dispatcher::OnUnsubscribed(GroupId group, TopicId topic) {
  // What scans and lite topics know is about cursors that are gone.
  for (auto& [key, reserved] : reserved_) {
    if (key.group == group && key.queue.topic == topic) reserved.scanned = 0;
  }
  absl::erase_if(scans_ahead_, [&](const CursorKey& key) { return key.group == group && key.queue.topic == topic; });
  lite_.ReadyAll(topic, group, [this](const ReceiveLine& line) { WakeLine(line); });
  Wake(topic, group);
}

// A group reads a queue for the first time in this shard: where it starts is what the controller recorded.
void Dispatcher::OpenCursor(const CursorKey& key, const SubscriptionMetadata& subscription) {
  if (!opening_.insert(key).second) return;
  StartFrom start;
  if (!IsDeadLetterTopic(key.queue.topic) && !IsDiscardedTopic(key.queue.topic)) start = subscription.start;
  auto open = [this, key, since = subscription.created](QueueOffset offset) {
    const SubscriptionMetadata* const now = metadata_->FindSubscription(key.group, key.queue.topic);
    if (now == nullptr || now->created != since) {  // Unsubscribed while the offset was looked for.
      opening_.erase(key);
      return Wake(key);
    }
    log::OpenCursor command;
    command.set_group_id(key.group.value());
    SetKey(command.mutable_queue(), key.queue);
    command.set_start(offset);
    const GroupMetadata* const group = metadata_->FindGroup(key.group);
    command.set_ordered(group != nullptr && group->order == DeliveryOrder::kFifo);
    core_->Propose(Command(std::move(command)), Bytes(), [this, key](absl::StatusOr<Outcome> outcome) {
      opening_.erase(key);
      if (outcome.ok()) Wake(key);
    });
  };
  const Queue* const queue = core_->state().FindQueue(key.queue);
  if (start.kind == StartFrom::Kind::kFirst) return open(queue->first);
  FindOffset(core_, key.queue, absl::ToUnixMicros(start.time),
             [this, key, open = std::move(open)](absl::StatusOr<QueueOffset> offset) mutable {
               // Where the index cannot be read, what is left from the start on is never too little.
               const Queue* const left = core_->state().FindQueue(key.queue);
               open(offset.value_or(left == nullptr ? 0 : left->first));
             });
}

}  // namespace barid::broker
