// How a receive looks at a queue: what it may be given there.
#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/lite_topic.h"
#include "base/log.h"
#include "broker/dispatcher.h"
#include "broker/mutation.h"

namespace barid::broker {
namespace {

// A scan that finds nothing stops after so many entries, lets others run, and goes on.
constexpr QueueOffset kScanSlice = 64 * kBlockEntries;
// A scan that ran so far ahead is written down at once; less waits for the next tick.
constexpr QueueOffset kRecordScanAfter = 4096;

}  // namespace

// One look of one receive at one queue: first PickAgain, then PickNew, then Propose.
//
// In an ordered cursor it picks of each message group a run: from its first unsettled message on, over those that came
// back and those that are parked, to new ones, as long as nothing is left out on the way. What cannot be part of a run
// is parked.
class Dispatcher::Picking {
 public:
  Picking(Dispatcher* dispatcher, uint64_t id, Pending* receive, const CursorKey& key, const Cursor& cursor,
          Reserved* reserved, int32_t* messages_left, int64_t* bytes_left)
      : dispatcher_(*dispatcher),
        core_(*dispatcher->core_),
        id_(id),
        receive_(*receive),
        key_(key),
        subscription_(key.queue.topic, key.group),
        cursor_(cursor),
        reserved_(*reserved),
        messages_left_(*messages_left),
        bytes_left_(*bytes_left),
        room_(core_.options().max_in_flight - static_cast<int64_t>(cursor.in_flight.size())) {}

  // What was returned, has lapsed, or was parked; what the filter leaves out of that is settled in passing.
  void PickAgain();
  // What was never looked at.
  void PickNew();
  Served Propose();

 private:
  enum class Pick {
    kYes,
    kUnwanted,  // The filter leaves it out.
    kNotNow,    // Nothing behind it in its message group either.
    kFull,      // Nothing else either.
  };

  bool IsFull() const { return messages_left_ <= 0 || bytes_left_ <= 0; }
  // False if nothing more can be picked.
  bool PickRun(QueueOffset head);
  Pick PickOld(QueueOffset offset);
  bool Take(QueueOffset offset, const IndexBlock& block);
  // Whether a new message may be delivered, by its message group.
  bool MayFollow(uint64_t message_group) const;
  // Passes over a message. False if too many are parked.
  bool Park(QueueOffset offset, uint64_t message_group);
  bool IsExhausted(const InFlight& delivery) const;
  Claim MakeClaim() const;

  Dispatcher& dispatcher_;
  ShardCore& core_;
  const uint64_t id_;
  Pending& receive_;
  const CursorKey key_;
  const Subscription subscription_;
  const Cursor& cursor_;
  Reserved& reserved_;
  int32_t& messages_left_;
  int64_t& bytes_left_;
  int64_t room_;  // For deliveries that are not in flight yet.

  log::Deliver deliver_;
  std::vector<Picked> picked_;
  std::vector<std::pair<QueueOffset, LogIndex>> unwanted_;
  std::vector<QueueOffset> unwanted_parked_;
  std::vector<QueueOffset> parks_;
  absl::flat_hash_set<uint64_t> runs_;         // Message groups whose runs new messages may join.
  absl::flat_hash_set<uint64_t> interrupted_;  // Message groups of parks_.
  std::optional<FilterScan::Slice> unjudged_;
  QueueOffset scan_ = 0;
  bool later_ = false;
};

bool Dispatcher::Picking::Take(QueueOffset offset, const IndexBlock& block) {
  const IndexEntry& entry = block.entries[static_cast<size_t>(offset % kBlockEntries)];
  const bool any = receive_.proposals > 0 || !picked_.empty();
  if (any && entry.bytes > bytes_left_) {
    bytes_left_ = 0;
    return false;
  }
  Picked& one = picked_.emplace_back();
  one.queue = key_.queue;
  one.offset = offset;
  one.entry = entry;
  one.message_group = cursor_.ordered ? entry.message_group : 0;
  const auto provenance = block.provenance.find(offset);
  if (provenance != block.provenance.end()) one.provenance = provenance->second;
  bytes_left_ -= entry.bytes;
  --messages_left_;
  return true;
}

bool Dispatcher::Picking::IsExhausted(const InFlight& delivery) const {
  if (IsDeadLetterTopic(key_.queue.topic)) return false;
  const GroupMetadata* const group = dispatcher_.metadata_->FindGroup(key_.group);
  return delivery.attempts >= (group == nullptr ? RetryPolicy().max_attempts : group->retry.max_attempts);
}

Dispatcher::Picking::Pick Dispatcher::Picking::PickOld(QueueOffset offset) {
  if (IsFull()) return Pick::kFull;
  if (reserved_.again.contains(offset)) return Pick::kNotNow;
  const IndexBlock* const block = dispatcher_.FindBlock(subscription_, BlockOf(key_.queue, offset));
  if (block == nullptr) {
    later_ = true;
    return Pick::kFull;
  }
  const IndexEntry& entry = block->entries[static_cast<size_t>(offset % kBlockEntries)];
  const auto delivery = cursor_.in_flight.find(offset);
  const bool was_parked = delivery == cursor_.in_flight.end();
  if (!was_parked && IsExhausted(delivery->second)) {
    dispatcher_.bury_(key_, offset, delivery->second.nonce, "attempts exhausted");
    return Pick::kNotNow;
  }
  const FilterScan::Verdict verdict = dispatcher_.filters_.Look(receive_.filter.get(), entry);
  if (!dispatcher_.Matches(receive_, entry.tag_hash) || verdict == FilterScan::Verdict::kFilteredOut) {
    if (was_parked) {
      unwanted_parked_.push_back(offset);
    } else {
      unwanted_.emplace_back(offset, delivery->second.nonce);
    }
    return Pick::kUnwanted;
  }
  if (verdict == FilterScan::Verdict::kNotKnown) {
    later_ = true;
    if (!unjudged_) unjudged_.emplace(key_.queue);
    return unjudged_->Add(offset, entry) ? Pick::kNotNow : Pick::kFull;
  }
  if (was_parked && room_ <= 0) return Pick::kNotNow;
  if (!Take(offset, *block)) return Pick::kFull;
  if (was_parked) {
    --room_;
    deliver_.add_unparked_offsets(offset);
  } else {
    deliver_.add_again_offsets(offset);
  }
  reserved_.again.insert(offset);
  return Pick::kYes;
}

bool Dispatcher::Picking::PickRun(QueueOffset head) {
  const auto delivery = cursor_.in_flight.find(head);
  const uint64_t message_group =
      delivery != cursor_.in_flight.end() ? delivery->second.message_group : *cursor_.parked.MessageGroupOf(head);
  if (message_group == 0) return PickOld(head) != Pick::kFull;
  if (reserved_.busy.contains(message_group)) return true;
  for (std::optional<QueueOffset> offset = head; offset; offset = cursor_.FirstWaiting(message_group, *offset + 1)) {
    const Pick pick = PickOld(*offset);
    if (pick == Pick::kFull) return false;
    if (pick == Pick::kNotNow) return true;
  }
  runs_.insert(message_group);
  return true;
}

void Dispatcher::Picking::PickAgain() {
  bool more = true;
  for (auto head = cursor_.again.begin(); head != cursor_.again.end() && more; ++head)
    more = !IsFull() && PickRun(*head);
  const bool ignored = BARID_MUTATION(kRunIgnoresWaiting);
  for (auto head = ignored ? cursor_.released.end() : cursor_.released.begin();
       head != cursor_.released.end() && more && room_ > 0; ++head) {
    more = !IsFull() && PickRun(*head);
  }
  if (!unwanted_.empty()) dispatcher_.SettleUnwanted(key_, &reserved_, unwanted_);
  if (!unwanted_parked_.empty()) dispatcher_.SettleUnwantedParked(key_, &reserved_, unwanted_parked_);
  if (unjudged_ && !unjudged_->empty())
    dispatcher_.filters_.Evaluate(subscription_, receive_.filter, *std::move(unjudged_));
}

bool Dispatcher::Picking::MayFollow(uint64_t message_group) const {
  if (message_group == 0 || runs_.contains(message_group)) return true;
  if (cursor_.IsLocked(message_group) || reserved_.busy.contains(message_group)) return false;
  if (BARID_MUTATION(kRunIgnoresWaiting)) return true;
  return !interrupted_.contains(message_group) && !cursor_.FirstWaiting(message_group);
}

bool Dispatcher::Picking::Park(QueueOffset offset, uint64_t message_group) {
  const int64_t proposed = reserved_.parking + static_cast<int64_t>(parks_.size());
  if (cursor_.parked.bytes() + proposed * ParkedMessages::kMostBytes >= core_.options().max_parked_bytes) {
    // Those that are only proposed may cost less than they might.
    if (proposed > 0) {
      reserved_.stopped_parking = true;
    } else {
      dispatcher_.NoteTooManyParked(key_, cursor_.parked.size());
    }
    return false;
  }
  parks_.push_back(offset);
  interrupted_.insert(message_group);
  return true;
}

void Dispatcher::Picking::PickNew() {
  const QueueKey& queue = key_.queue;
  const Queue& bounds = *core_.state().FindQueue(queue);
  deliver_.set_from(reserved_.next);
  scan_ = std::max(reserved_.scanned, bounds.first);
  const QueueOffset slice_end = scan_ + kScanSlice;
  const IndexBlock* block = nullptr;
  int64_t block_number = -1;
  for (; !later_ && scan_ < bounds.end && !IsFull() && room_ > 0; ++scan_) {
    if (scan_ >= slice_end) {
      later_ = true;  // Others run first.
      core_.context().shard_executor->Post(core_.IfAlive([dispatcher = &dispatcher_, key = key_] {
        dispatcher->Wake(key);
        dispatcher->ServeWoken();
      }));
      break;
    }
    if (scan_ / kBlockEntries != block_number) {
      block = dispatcher_.FindBlock(subscription_, BlockOf(queue, scan_));
      if (block == nullptr) {
        later_ = true;
        break;
      }
      block_number = scan_ / kBlockEntries;
    }
    const IndexEntry& entry = block->entries[static_cast<size_t>(scan_ % kBlockEntries)];
    if (entry.is_redriven()) continue;
    const FilterScan::Verdict verdict = dispatcher_.filters_.Look(receive_.filter.get(), entry);
    if (!dispatcher_.Matches(receive_, entry.tag_hash) || verdict == FilterScan::Verdict::kFilteredOut) continue;
    if (verdict == FilterScan::Verdict::kNotKnown) {
      dispatcher_.filters_.EvaluateFrom(subscription_, receive_.filter, queue, scan_, bounds.end,
                                        [&](const IndexEntry& other) {
                                          return !other.is_redriven() && dispatcher_.Matches(receive_, other.tag_hash);
                                        });
      later_ = true;
      break;
    }
    const uint64_t message_group = cursor_.ordered ? entry.message_group : 0;
    if (!MayFollow(message_group)) {
      const bool is_lite = queue.queue >= kFirstLiteQueue;
      // Nothing behind it is of another message group, and one that is parked wakes receives when its time has come.
      if (is_lite && (reserved_.parking > 0 || cursor_.FirstWaiting(message_group))) break;
      if (!Park(scan_, message_group)) break;
      if (!is_lite) continue;
      ++scan_;
      break;
    }
    if (!Take(scan_, *block)) break;
    --room_;
    deliver_.add_first_offsets(scan_);
    if (message_group != 0) runs_.insert(message_group);
  }
  reserved_.scanned = std::max(reserved_.scanned, scan_);
}

Dispatcher::Claim Dispatcher::Picking::MakeClaim() const {
  absl::flat_hash_set<uint64_t> groups = interrupted_;
  for (const Picked& one : picked_) {
    if (one.message_group != 0) groups.insert(one.message_group);
  }
  return {{groups.begin(), groups.end()}, static_cast<int64_t>(parks_.size())};
}

Dispatcher::Served Dispatcher::Picking::Propose() {
  if (picked_.empty()) {
    if (!parks_.empty()) {
      dispatcher_.scans_ahead_.erase(key_);
      dispatcher_.ProposeSkip(key_, &reserved_, scan_, parks_, MakeClaim());
      return later_ ? Served::kLater : Served::kNothing;
    }
    if (reserved_.scanned > reserved_.next) dispatcher_.scans_ahead_.insert(key_);
    if (reserved_.scanned - reserved_.next >= kRecordScanAfter) dispatcher_.RecordScans();
    return later_ ? Served::kLater : Served::kNothing;
  }
  deliver_.set_group_id(key_.group.value());
  SetKey(deliver_.mutable_queue(), key_.queue);
  deliver_.set_to(
      std::max<QueueOffset>(deliver_.from(), scan_));  // What was filtered out on the way is settled with it.
  deliver_.mutable_parked_offsets()->Add(parks_.begin(), parks_.end());
  deliver_.set_client_id(receive_.call.client_id);
  if (!receive_.call.attempt_id.empty()) deliver_.set_attempt_id_hash(StableHash(receive_.call.attempt_id));
  deliver_.set_invisible_until(receive_.invisible_until_us);
  deliver_.set_auto_renew(receive_.call.auto_renew);
  if (deliver_.to() > deliver_.from()) {
    reserved_.next = deliver_.to();
    dispatcher_.scans_ahead_.erase(key_);
  }
  ++receive_.proposals;
  ++reserved_.proposals;
  Claim claim = MakeClaim();
  dispatcher_.Hold(&reserved_, claim);
  dispatcher_.ProposeDelivery(id_, key_, Command(std::move(deliver_)), std::move(picked_), std::move(claim));
  return Served::kYes;
}

const IndexBlock* Dispatcher::FindBlock(const Subscription& subscription, const BlockKey& key) {
  if (const IndexBlock* const block = core_->state().index().Resident(key)) return block;
  // Once: whoever is woken by one block asks again for all others, and would be woken by each as often as it has asked.
  if (!awaited_.emplace(key, subscription).second) return nullptr;
  core_->WithBlock(key, [this, subscription, key](absl::StatusOr<const IndexBlock*> block) {
    awaited_.erase({key, subscription});
    if (!block.ok()) {
      const Queue* const left = core_->state().FindQueue(key.queue);
      const bool expired = left == nullptr || (key.block + 1) * kBlockEntries <= left->first;
      if (!expired) {
        LOG(ERROR) << "cannot read an index block; its messages are not delivered" << KV("error", block.status());
        return;
      }
    }
    Wake(CursorKey{subscription.second, key.queue});
    ServeWoken();
  });
  return nullptr;
}

Dispatcher::Served Dispatcher::PickFrom(uint64_t id, Pending* receive, const QueueKey& queue, int32_t* messages_left,
                                        int64_t* bytes_left) {
  const CursorKey key{receive->call.group, queue};
  if (seeking_.contains(key)) return Served::kLater;
  const Cursor* const cursor = core_->state().FindCursor(key);
  if (cursor == nullptr) {
    const SubscriptionMetadata* const subscription = metadata_->FindSubscription(key.group, queue.topic);
    if (subscription == nullptr) return Served::kNothing;  // Unsubscribed, or deleted.
    OpenCursor(key, *subscription);
    return Served::kLater;
  }
  Picking picking(this, id, receive, key, *cursor, ReservedFor(key, *cursor), messages_left, bytes_left);
  picking.PickAgain();
  picking.PickNew();
  return picking.Propose();
}

Dispatcher::Served Dispatcher::RepeatAttempt(uint64_t id, Pending* receive, const std::vector<QueueKey>& queues) {
  if (receive->call.attempt_id.empty() || receive->repeated) return Served::kNothing;
  const uint64_t attempt_id_hash = StableHash(receive->call.attempt_id);
  // All of the batch, or none: whoever comes again has to find the index blocks at hand.
  std::vector<std::pair<CursorKey, std::vector<Picked>>> batch;
  int32_t messages_left = receive->call.max_messages;
  for (const QueueKey& queue : queues) {
    const CursorKey key{receive->call.group, queue};
    const Cursor* const cursor = core_->state().FindCursor(key);
    if (cursor == nullptr) continue;
    if (seeking_.contains(key)) return Served::kLater;
    std::vector<Picked> picked;
    const bool any = BARID_MUTATION(kRedeliverOfOthers);
    for (auto it = any ? cursor->by_attempt.begin() : cursor->by_attempt.lower_bound({attempt_id_hash, 0});
         it != cursor->by_attempt.end() && (any || it->first == attempt_id_hash) && messages_left > 0; ++it) {
      const QueueOffset offset = it->second;
      if (*cursor->in_flight.at(offset).client != receive->call.client_id && !any) continue;
      const IndexBlock* const block = FindBlock({queue.topic, key.group}, BlockOf(queue, offset));
      if (block == nullptr) return Served::kLater;
      Picked& one = picked.emplace_back();
      one.queue = queue;
      one.offset = offset;
      one.entry = block->entries[static_cast<size_t>(offset % kBlockEntries)];
      one.message_group = one.entry.message_group;
      const auto provenance = block->provenance.find(offset);
      if (provenance != block->provenance.end()) one.provenance = provenance->second;
      --messages_left;
    }
    if (!picked.empty()) batch.emplace_back(key, std::move(picked));
  }
  if (batch.empty()) return Served::kNothing;
  receive->repeated = true;
  for (auto& [key, picked] : batch) {
    log::Redeliver redeliver;
    redeliver.set_group_id(key.group.value());
    SetKey(redeliver.mutable_queue(), key.queue);
    for (const Picked& one : picked) redeliver.add_offsets(one.offset);
    redeliver.set_client_id(receive->call.client_id);
    redeliver.set_attempt_id_hash(attempt_id_hash);
    redeliver.set_invisible_until(receive->invisible_until_us);
    redeliver.set_auto_renew(receive->call.auto_renew);
    ++receive->proposals;
    ++ReservedFor(key, *core_->state().FindCursor(key))->proposals;
    ProposeDelivery(id, key, Command(std::move(redeliver)), std::move(picked), Claim());
  }
  return Served::kYes;
}

}  // namespace barid::broker
