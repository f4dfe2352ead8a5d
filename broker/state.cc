#include "broker/state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/state_hash.h"

namespace barid::broker {
namespace {

// The state's hash is remembered once for so many records.
constexpr LogIndex kHashedRecords = 4096;

// The hash of one entry of the state. The first number keeps kinds apart.
uint64_t HashQueue(const QueueKey& key, const Queue& queue) {
  const uint64_t hash =
      StableHash({1, key.topic.value(), static_cast<uint64_t>(key.queue), static_cast<uint64_t>(queue.first),
                  static_cast<uint64_t>(queue.end), static_cast<uint64_t>(queue.bytes), queue.deleted});
  // Apart, so that a queue without timers hashes as it did before there were any.
  if (queue.delayed == 0) return hash;
  return hash +
         StableHash({20, key.topic.value(), static_cast<uint64_t>(key.queue), static_cast<uint64_t>(queue.delayed)});
}

// Of something at an offset of a cursor.
uint64_t HashAt(uint64_t kind, const CursorKey& key, QueueOffset offset, uint64_t value) {
  return StableHash({kind, key.group.value(), key.queue.topic.value(), static_cast<uint64_t>(key.queue.queue),
                     static_cast<uint64_t>(offset), value});
}

uint64_t HashNext(const CursorKey& key, const Cursor& cursor) {
  const uint64_t hash = StableHash({3, key.group.value(), key.queue.topic.value(),
                                    static_cast<uint64_t>(key.queue.queue), static_cast<uint64_t>(cursor.next)});
  return cursor.ordered ? hash + HashAt(31, key, 0, 0) : hash;
}

uint64_t HashParked(const CursorKey& key, QueueOffset offset, uint64_t message_group) {
  return HashAt(32, key, offset, message_group);
}

uint64_t HashDelivery(const CursorKey& key, QueueOffset offset, const InFlight& d) {
  const uint64_t flags = (d.visible ? 1 : 0) | (d.auto_renew ? 2 : 0) | (d.held ? 4 : 0);
  const uint64_t hash =
      StableHash({4, key.group.value(), key.queue.topic.value(), static_cast<uint64_t>(key.queue.queue),
                  static_cast<uint64_t>(offset), static_cast<uint64_t>(d.attempts), d.nonce,
                  static_cast<uint64_t>(d.invisible_until), flags, d.attempt_id_hash, StableHash(*d.client)});
  return d.message_group == 0 ? hash : hash + HashAt(33, key, offset, d.message_group);
}

// Which messages of an ordered cursor a Deliver may have: of each message group a run from its head, while nobody else
// holds any of it.
class Runs {
 public:
  explicit Runs(const Cursor* cursor) : cursor_(*cursor) {}

  // Whether the message may be the next of its message group; if so, the caller makes a delivery of it at once.
  // `is_new`: it was neither handed out nor parked before.
  bool Take(QueueOffset offset, uint64_t message_group, bool is_new) {
    if (message_group == 0) return true;
    int32_t& taken = taken_[message_group];
    if (cursor_.LocksOf(message_group) != taken && !BARID_MUTATION(kRunIgnoresLock)) return false;
    const std::optional<QueueOffset> head = cursor_.Head(message_group);
    const bool is_next = is_new ? !head || BARID_MUTATION(kRunIgnoresWaiting) : head == offset;
    if (is_next) ++taken;
    return is_next;
  }

 private:
  const Cursor& cursor_;
  absl::flat_hash_map<uint64_t, int32_t> taken_;
};

// Offsets of two lists, in order, each once.
using Offsets = google::protobuf::RepeatedField<int64_t>;
std::vector<QueueOffset> Merge(const Offsets& a, const Offsets& b) {
  std::vector<QueueOffset> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

TimerKey KeyOf(const log::TimerRef& ref) { return {ref.deliver_at(), ref.log_index(), ref.entry()}; }

Outcome Refused(absl::Status why) {
  Outcome outcome;
  outcome.status = std::move(why);
  return outcome;
}

}  // namespace

const Queue* State::FindQueue(const QueueKey& key) const {
  const auto it = queues_.find(key);
  return it == queues_.end() ? nullptr : &it->second;
}

const Cursor* State::FindCursor(const CursorKey& key) const {
  const auto it = cursors_.find(key);
  return it == cursors_.end() ? nullptr : &it->second;
}

const InFlight* State::FindDelivery(const CursorKey& key, QueueOffset offset, LogIndex nonce) const {
  const Cursor* const cursor = FindCursor(key);
  if (cursor == nullptr) return nullptr;
  const auto it = cursor->in_flight.find(offset);
  return it == cursor->in_flight.end() || it->second.nonce != nonce ? nullptr : &it->second;
}

absl::StatusOr<Outcome> State::Apply(const RecordInfo& record, const Command& command) {
  CHECK_EQ(record.index, applied_.index + 1);
  CHECK_GE(record.time_us, applied_.time_us);
  ranges_.Extend(record.index, record.position, applied_.position);
  sends_.Expire(record.time_us);
  absl::StatusOr<Outcome> outcome = std::visit(
      [&](const auto& c) -> absl::StatusOr<Outcome> {
        if constexpr (std::is_same_v<std::decay_t<decltype(c)>, std::monostate>) {
          return absl::DataLossError(absl::StrCat("record ", record.index, " has no command"));
        } else {
          return Do(record, c);
        }
      },
      command);
  if (!outcome.ok()) {
    return Annotate(outcome.status(),
                    absl::StrCat("applying record ", record.index, " (", CommandName(CommandType(command)), ")"));
  }
  applied_ = record;
  dirty_since_checkpoint_ = true;
  if (record.index % kHashedRecords == 0) {
    remembered_index_ = record.index;
    remembered_hash_ = hash();
  }
  return outcome;
}

// --- Entries of the state ---

void State::SetQueue(const QueueKey& key, const Queue& queue) {
  const auto [it, inserted] = queues_.try_emplace(key);
  if (!inserted) hash_ -= HashQueue(key, it->second);
  it->second = queue;
  hash_ += HashQueue(key, queue);
  dirty_queues_.insert(key);
}

void State::MaybeEraseQueue(const QueueKey& key) {
  const auto it = queues_.find(key);
  CHECK(it != queues_.end());
  if (!it->second.deleted || it->second.first != it->second.end || it->second.delayed > 0) return;
  // What has expired stays in its block until that goes.
  const QueueOffset end_of_blocks = (it->second.end + kBlockEntries - 1) / kBlockEntries * kBlockEntries;
  index_.DropBelow(key, it->second.end, end_of_blocks);
  counts_.DropEmptyBelow(key, end_of_blocks);
  hash_ -= HashQueue(key, it->second);
  queues_.erase(it);
  dirty_queues_.insert(key);
}

absl::Status State::AddEntry(const QueueKey& key, const IndexEntry& entry, std::optional<Provenance> provenance) {
  Queue queue = queues_[key];
  if (IsDeadLetterTopic(key.topic) && provenance) {
    counts_.AddDeadLetters(DeadLetterGroup(key.topic), provenance->topic, 1);
  }
  RETURN_IF_ERROR(index_.Append(key, queue.end, entry, std::move(provenance)));
  hash_ += HashEntry(key, queue.end, entry);
  ranges_.Add(entry.index, 1, entry.bytes);
  ++queue.end;
  queue.bytes += entry.bytes;
  SetQueue(key, queue);
  counts_.Entered(key);
  lite_.Touch(key, entry.time_us);
  return absl::OkStatus();
}

void State::CountDelayed(const QueueKey& key, int64_t change) {
  const Queue* const found = FindQueue(key);
  CHECK(found != nullptr) << "a timer of queue " << key
                          << ", which is not here";  // Only a queue without timers is erased.
  Queue queue = *found;
  queue.delayed += change;
  CHECK_GE(queue.delayed, 0);
  SetQueue(key, queue);
  counts_.AddDelayed(key.topic, change);
}

void State::AddTimer(const TimerKey& key, const Timer& timer) {
  timers_.Add(key, timer);
  hash_ += HashTimer(key, timer);
  if (!BARID_MUTATION(kTimerHoldsNoLog)) ranges_.Add(timer.RecordOf(key), 1, timer.bytes);
  CountDelayed(timer.queue, 1);
}

absl::StatusOr<std::optional<Timer>> State::TakeTimer(const TimerKey& key) {
  ASSIGN_OR_RETURN(const std::optional<Timer> timer, timers_.Take(key));
  if (!timer) return std::nullopt;
  hash_ -= HashTimer(key, *timer);
  if (!BARID_MUTATION(kTimerHoldsNoLog)) ranges_.Add(timer->RecordOf(key), -1, timer->bytes);
  CountDelayed(timer->queue, -1);
  return timer;
}

void State::SetNext(const CursorKey& key, Cursor* cursor, QueueOffset next) {
  hash_ -= HashNext(key, *cursor);
  const QueueOffset first = std::min(cursor->next, next);
  const QueueOffset end = std::max(cursor->next, next);
  const int64_t passed = end - first - counts_.EmptyIn(key.queue, first, end);
  const bool forgets = BARID_MUTATION(kCountForgetsWhatExpires) && FindQueue(key.queue)->first == next;
  if (!forgets) cursor->counts->Add(next > cursor->next ? -passed : passed, 0, 0);
  cursor->next = next;
  hash_ += HashNext(key, *cursor);
  dirty_cursors_.insert(key);
}

void State::Link(const CursorKey& key, Cursor* cursor, QueueOffset offset, const InFlight& d) {
  hash_ += HashDelivery(key, offset, d);
  cursor->Note(offset, d);
  if (!d.visible) deadlines_.insert({d.invisible_until, key, offset});
  if (d.held) ++holders_[*d.client];
}

void State::Unlink(const CursorKey& key, Cursor* cursor, QueueOffset offset, const InFlight& d) {
  hash_ -= HashDelivery(key, offset, d);
  cursor->Forget(offset, d);
  if (!d.visible) deadlines_.erase({d.invisible_until, key, offset});
  if (d.held) {
    const auto it = holders_.find(*d.client);
    CHECK(it != holders_.end());
    if (--it->second == 0) holders_.erase(it);
  }
}

void State::SetDelivery(const CursorKey& key, Cursor* cursor, QueueOffset offset, InFlight delivery) {
  const auto [it, inserted] = cursor->in_flight.try_emplace(offset);
  if (!inserted) Unlink(key, cursor, offset, it->second);
  it->second = std::move(delivery);
  Link(key, cursor, offset, it->second);
  dirty_chunks_.insert({key, offset / kChunkOffsets});
}

void State::EraseDelivery(const CursorKey& key, Cursor* cursor, QueueOffset offset) {
  const auto it = cursor->in_flight.find(offset);
  CHECK(it != cursor->in_flight.end());
  Unlink(key, cursor, offset, it->second);
  cursor->in_flight.erase(it);
  dirty_chunks_.insert({key, offset / kChunkOffsets});
}

void State::Park(const CursorKey& key, Cursor* cursor, QueueOffset offset, uint64_t message_group) {
  hash_ += HashParked(key, offset, message_group);
  cursor->Park(offset, message_group);
  dirty_parked_.insert({key, offset / kChunkOffsets});
}

void State::Unpark(const CursorKey& key, Cursor* cursor, QueueOffset offset) {
  hash_ -= HashParked(key, offset, cursor->Unpark(offset));
  dirty_parked_.insert({key, offset / kChunkOffsets});
}

absl::StatusOr<uint64_t> State::MessageGroupOf(const CursorKey& key, const Cursor& cursor, QueueOffset offset) {
  if (!cursor.ordered) return 0;
  ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key.queue, offset)));
  return block->entries[static_cast<size_t>(offset % kBlockEntries)].message_group;
}

void State::OpenCursor(const CursorKey& key, QueueOffset start, bool ordered) {
  const auto [it, inserted] = cursors_.try_emplace(key);
  CHECK(inserted);
  it->second.next = start;
  it->second.ordered = ordered;
  it->second.counts = counts_.Open(key, CountAbove(key, it->second));
  hash_ += HashNext(key, it->second);
  dirty_cursors_.insert(key);
}

int64_t State::CountAbove(const CursorKey& key, const Cursor& cursor) const {
  const Queue* const queue = FindQueue(key.queue);
  if (queue == nullptr) return 0;
  return queue->end - cursor.next - counts_.EmptyIn(key.queue, cursor.next, queue->end);
}

void State::DropDeliveries(const CursorKey& key, Cursor* cursor) {
  while (!cursor->in_flight.empty()) EraseDelivery(key, cursor, cursor->in_flight.begin()->first);
}

void State::DropParked(const CursorKey& key, Cursor* cursor) {
  for (const auto& [offset, message_group] : cursor->parked) {
    hash_ -= HashParked(key, offset, message_group);
    dirty_parked_.insert({key, offset / kChunkOffsets});
  }
  cursor->UnparkAll();
}

absl::btree_map<CursorKey, Cursor>::iterator State::EraseCursor(absl::btree_map<CursorKey, Cursor>::iterator it) {
  DropDeliveries(it->first, &it->second);
  DropParked(it->first, &it->second);
  hash_ -= HashNext(it->first, it->second);
  counts_.Close(it->first, CountAbove(it->first, it->second));
  dirty_cursors_.insert(it->first);
  return cursors_.erase(it);
}

InFlight* State::Live(const log::DeliveryRef& ref, CursorKey* key, Cursor** cursor) {
  *key = {GroupId(ref.group_id()), KeyOf(ref.queue())};
  const auto it = cursors_.find(*key);
  if (it == cursors_.end()) return nullptr;
  *cursor = &it->second;
  const auto delivery = it->second.in_flight.find(ref.offset());
  if (delivery == it->second.in_flight.end()) return nullptr;
  if (delivery->second.nonce != ref.nonce() && !BARID_MUTATION(kSettleIgnoresNonce)) return nullptr;
  return &delivery->second;
}

std::shared_ptr<const std::string> State::Intern(const std::string& client) {
  std::weak_ptr<const std::string>& known = clients_[client];
  std::shared_ptr<const std::string> shared = known.lock();
  if (shared == nullptr) {
    shared = std::make_shared<const std::string>(client);
    known = shared;
    // Names of clients that have gone are swept when they may be half of all.
    if (clients_.size() > 1024 && clients_.size() == clients_.capacity() / 2) {
      absl::erase_if(clients_, [](const auto& entry) { return entry.second.expired(); });
    }
  }
  return shared;
}

// --- Commands ---

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::EpochStart& command) {
  sends_.SetBounds({command.send_window(), command.send_window_ids()});
  return Outcome();
}

absl::Status State::CheckTakesMessages(const QueueKey& key) const {
  const Queue* const queue = FindQueue(key);
  if (queue != nullptr && (!queue->deleted || BARID_MUTATION(kAppendToDeletedQueue))) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("queue ", key.queue, " of topic ", key.topic.value(), " is not here"));
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Append& command) {
  const QueueKey key = KeyOf(command.queue());
  if (absl::Status status = CheckTakesMessages(key); !status.ok()) return Refused(std::move(status));
  Outcome outcome;
  outcome.queue = key;
  outcome.first_offset = FindQueue(key)->end;
  uint32_t offset = record.bulk_offset;
  QueueOffset next = outcome.first_offset;
  uint32_t place = 0;
  int left = command.entries_size();
  for (const log::Append::Entry& entry : command.entries()) {
    --left;
    if (BARID_MUTATION(kAppendForgetsLastEntry) && left == 0 && command.entries_size() > 1) break;
    const SendWindow::Found found = FindSend(record, entry, place, &outcome);
    if (!found.first) {
      IndexEntry pointer;
      pointer.index = record.index;
      pointer.position = record.position;
      pointer.offset = BARID_MUTATION(kAppendOffsetOffByOne) ? record.bulk_offset : offset;
      pointer.bytes = entry.bytes();
      pointer.tag_hash = entry.tag_hash();
      pointer.time_us = record.time_us;
      pointer.message_group = entry.message_group();
      RETURN_IF_ERROR(AddEntry(key, pointer, std::nullopt));
      RememberSend(record, entry, found,
                   {record.index, place, key.queue, BARID_MUTATION(kWindowSharesOffset) ? outcome.first_offset : next});
      ++next;
    }
    ++place;
    offset += entry.bytes();
  }
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::OpenCursor& command) {
  const CursorKey key{GroupId(command.group_id()), KeyOf(command.queue())};
  const Queue* const queue = FindQueue(key.queue);
  if (queue == nullptr || queue->deleted) return Refused(absl::NotFoundError("the queue is not here"));
  if (cursors_.contains(key)) return Refused(absl::AlreadyExistsError("the cursor is open"));
  QueueOffset start = std::clamp(command.start(), queue->first, queue->end);
  if (BARID_MUTATION(kOpenCursorLate) && start < queue->end) ++start;
  OpenCursor(key, start, command.ordered());
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Deliver& command) {
  const CursorKey key{GroupId(command.group_id()), KeyOf(command.queue())};
  const auto it = cursors_.find(key);
  const Queue* const queue = FindQueue(key.queue);
  if (it == cursors_.end() || queue == nullptr) return Refused(absl::NotFoundError("the cursor is not open"));
  Cursor* const cursor = &it->second;

  InFlight delivery;
  delivery.nonce = record.index;
  delivery.invisible_until = command.invisible_until();
  delivery.auto_renew = command.auto_renew();
  delivery.attempt_id_hash = command.attempt_id_hash();
  delivery.client = Intern(command.client_id());

  Outcome outcome;
  Runs runs(cursor);
  const auto deliver = [&](QueueOffset offset, uint64_t message_group) {
    delivery.message_group = message_group;
    outcome.delivered.push_back({offset, delivery.attempts, delivery.nonce});
    SetDelivery(key, cursor, offset, delivery);
  };
  for (const QueueOffset offset : Merge(command.again_offsets(), command.unparked_offsets())) {
    if (const auto found = cursor->in_flight.find(offset); found != cursor->in_flight.end()) {
      if (!found->second.visible && !BARID_MUTATION(kDeliverIgnoresInvisible)) continue;
      if (!runs.Take(offset, found->second.message_group, /*is_new=*/false)) continue;
      delivery.attempts = found->second.attempts + (BARID_MUTATION(kDeliverForgetsAttempt) ? 0 : 1);
      deliver(offset, found->second.message_group);
    } else if (const std::optional<uint64_t> parked = cursor->parked.MessageGroupOf(offset)) {
      if (!runs.Take(offset, *parked, /*is_new=*/false)) continue;
      Unpark(key, cursor, offset);
      delivery.attempts = 1;
      deliver(offset, *parked);
    }
  }
  // An expiry may have moved the position since this was proposed; then what is left of the run still stands.
  if (command.from() <= cursor->next && cursor->next < command.to() && command.to() <= queue->end &&
      (command.from() == cursor->next || cursor->next == queue->first)) {
    const QueueOffset old_next = cursor->next;
    const bool one_more = BARID_MUTATION(kDeliverSkipsOne) && command.to() < queue->end;
    SetNext(key, cursor, command.to() + (one_more ? 1 : 0));
    delivery.attempts = 1;
    bool first = true;
    for (const QueueOffset offset : Merge(command.first_offsets(), command.parked_offsets())) {
      if (offset < old_next || offset >= command.to()) continue;
      ASSIGN_OR_RETURN(const bool is_redriven, IsRedriven(key.queue, offset));
      if (is_redriven) continue;
      ASSIGN_OR_RETURN(const uint64_t message_group, MessageGroupOf(key, *cursor, offset));
      const bool may_be_first =
          !std::binary_search(command.parked_offsets().begin(), command.parked_offsets().end(), offset);
      if (!may_be_first || !runs.Take(offset, message_group, /*is_new=*/true)) {
        if (!BARID_MUTATION(kParkedIsSettled)) Park(key, cursor, offset, message_group);
      } else if (BARID_MUTATION(kDeliverSettlesFirst) && std::exchange(first, false)) {
        outcome.delivered.push_back({offset, 1, delivery.nonce});
      } else {
        deliver(offset, message_group);
      }
    }
  }
  if (outcome.delivered.empty()) outcome.status = absl::AbortedError("nothing of it could be delivered any more");
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Skip& command) {
  const CursorKey key{GroupId(command.group_id()), KeyOf(command.queue())};
  const auto it = cursors_.find(key);
  const Queue* const queue = FindQueue(key.queue);
  if (it == cursors_.end() || queue == nullptr) return Refused(absl::NotFoundError("the cursor is not open"));
  // As with Deliver: an expiry may have moved the position since.
  const QueueOffset next = it->second.next;
  const bool stands = command.from() == next || (command.from() < next && next == queue->first);
  bool any = false;
  for (const QueueOffset offset : command.unwanted_offsets()) {
    if (!it->second.parked.contains(offset)) continue;
    Unpark(key, &it->second, offset);
    any = true;
  }
  if (!stands || command.to() <= next || command.to() > queue->end) {
    return any ? Outcome() : Refused(absl::AbortedError("the scan position is elsewhere"));
  }
  const bool one_more = BARID_MUTATION(kSkipOneMore) && command.to() < queue->end;
  SetNext(key, &it->second, command.to() + (one_more ? 1 : 0));
  for (const QueueOffset offset : Merge(command.parked_offsets(), {})) {
    if (offset < next || offset >= command.to() || BARID_MUTATION(kParkedIsSettled)) continue;
    ASSIGN_OR_RETURN(const bool is_redriven, IsRedriven(key.queue, offset));
    if (is_redriven) continue;
    ASSIGN_OR_RETURN(const uint64_t message_group, MessageGroupOf(key, it->second, offset));
    Park(key, &it->second, offset, message_group);
  }
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Redeliver& command) {
  const CursorKey key{GroupId(command.group_id()), KeyOf(command.queue())};
  const auto it = cursors_.find(key);
  if (it == cursors_.end()) return Refused(absl::NotFoundError("the cursor is not open"));
  Outcome outcome;
  for (const QueueOffset offset : Merge(command.offsets(), {})) {
    const auto found = it->second.in_flight.find(offset);
    if (found == it->second.in_flight.end() || found->second.visible) continue;
    const bool is_its_own =
        found->second.attempt_id_hash == command.attempt_id_hash() && *found->second.client == command.client_id();
    if (!is_its_own && !BARID_MUTATION(kRedeliverOfOthers)) continue;
    InFlight delivery = found->second;
    delivery.auto_renew = command.auto_renew();
    delivery.held = false;
    delivery.invisible_until = command.invisible_until();
    if (BARID_MUTATION(kRedeliverCounts)) ++delivery.attempts;
    outcome.delivered.push_back({offset, delivery.attempts, delivery.nonce});
    SetDelivery(key, &it->second, offset, std::move(delivery));
  }
  if (outcome.delivered.empty()) outcome.status = absl::AbortedError("nothing of it is invisible any more");
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Hold& command) {
  Outcome outcome;
  for (const log::DeliveryRef& ref : command.deliveries()) {
    CursorKey key;
    Cursor* cursor = nullptr;
    const InFlight* const live = Live(ref, &key, &cursor);
    const bool applies = live != nullptr && !live->visible && live->auto_renew && !live->held;
    outcome.live.push_back(applies);
    if (!applies) continue;
    InFlight delivery = *live;
    delivery.held = true;
    delivery.invisible_until = BARID_MUTATION(kHoldForever) ? INT64_MAX : command.cap();
    SetDelivery(key, cursor, ref.offset(), std::move(delivery));
  }
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Settle& command) {
  Outcome outcome;
  for (const log::Settle::Entry& entry : command.entries()) {
    CursorKey key;
    Cursor* cursor = nullptr;
    const InFlight* const live = Live(entry.delivery(), &key, &cursor);
    outcome.live.push_back(live != nullptr);
    if (live == nullptr) continue;
    const QueueOffset offset = entry.delivery().offset();
    switch (entry.action()) {
      case log::Settle::Entry::SUSPEND:
      case log::Settle::Entry::SHOW_AT: {
        if (BARID_MUTATION(kShowAtForgotten)) break;
        InFlight delivery = *live;
        // The member's word is the last: a Hold that is on its way must not make hours of it.
        delivery.auto_renew = false;
        delivery.held = false;
        // Whoever says so has seen the answer: a receive with its attempt id does not get around the time that was
        // asked for.
        if (cursor->ordered) delivery.attempt_id_hash = 0;
        delivery.visible = entry.visible_at() <= record.time_us;
        delivery.invisible_until = entry.visible_at();
        if (entry.action() == log::Settle::Entry::SUSPEND) {
          if (!BARID_MUTATION(kSuspendCounts)) --delivery.attempts;
          // Its member has let go of it; who says so twice must not be given two attempts back.
          delivery.nonce = record.index;
        }
        SetDelivery(key, cursor, offset, std::move(delivery));
        break;
      }
      case log::Settle::Entry::UNDELIVERED: {
        InFlight delivery = *live;
        if (!BARID_MUTATION(kUndeliveredCounts)) --delivery.attempts;
        delivery.held = false;
        delivery.visible = true;
        delivery.invisible_until = record.time_us;
        // Nobody has this delivery: its receipt must not settle the message.
        delivery.nonce = record.index;
        SetDelivery(key, cursor, offset, std::move(delivery));
        break;
      }
      case log::Settle::Entry::ACK: {
        if (BARID_MUTATION(kSettleAckLost) && offset % 7 == 0) break;
        EraseDelivery(key, cursor, offset);
        const auto neighbour = cursor->in_flight.upper_bound(offset);
        if (BARID_MUTATION(kSettleAckNeighbour) && neighbour != cursor->in_flight.end()) {
          EraseDelivery(key, cursor, neighbour->first);
        }
        break;
      }
      default:  // Of a later version, which this one must not follow.
        return absl::DataLossError(absl::StrCat("a Settle with the unknown action ", static_cast<int>(entry.action())));
    }
  }
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::MakeVisible& command) {
  Outcome outcome;
  for (const log::DeliveryRef& ref : command.deliveries()) {
    CursorKey key;
    Cursor* cursor = nullptr;
    const InFlight* const live = Live(ref, &key, &cursor);
    const bool lapsed = live != nullptr && !live->visible &&
                        (live->invisible_until <= command.now() || BARID_MUTATION(kMakeVisibleEarly));
    outcome.live.push_back(lapsed);
    if (!lapsed || BARID_MUTATION(kMakeVisibleForgotten)) continue;
    if (BARID_MUTATION(kMakeVisibleSettles)) {
      EraseDelivery(key, cursor, ref.offset());
      continue;
    }
    InFlight delivery = *live;
    delivery.visible = true;
    delivery.held = false;
    SetDelivery(key, cursor, ref.offset(), std::move(delivery));
  }
  return outcome;
}

// Linear in all deliveries in flight: clients die rarely.
absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::ClientGone& command) {
  if (BARID_MUTATION(kClientGoneForgotten)) return Outcome();
  if (!holders_.contains(command.client_id())) return Refused(absl::NotFoundError("the client holds nothing"));
  for (auto& [key, cursor] : cursors_) {
    for (auto& [offset, in_flight] : cursor.in_flight) {
      if (!in_flight.held || *in_flight.client != command.client_id()) continue;
      InFlight delivery = in_flight;
      delivery.held = false;
      delivery.invisible_until = std::min(delivery.invisible_until, command.deadline());
      SetDelivery(key, &cursor, offset, std::move(delivery));
    }
  }
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Move& command) {
  CursorKey key;
  Cursor* cursor = nullptr;
  if (Live(command.delivery(), &key, &cursor) == nullptr)
    return Refused(absl::AbortedError("the delivery is not live"));
  if (IsDeadLetterTopic(key.queue.topic)) return Refused(absl::FailedPreconditionError("it is a dead letter already"));
  const QueueOffset offset = command.delivery().offset();
  ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key.queue, offset)));
  IndexEntry entry = block->entries[static_cast<size_t>(offset % kBlockEntries)];
  entry.time_us = record.time_us;

  Outcome outcome;
  outcome.queue = {DeadLetterTopicId(key.group), 0};
  const Queue* const queue = FindQueue(outcome.queue);
  if (queue == nullptr) SetQueue(outcome.queue, Queue());
  outcome.first_offset = queues_[outcome.queue].end;
  if (!BARID_MUTATION(kMoveLosesMessage)) {
    RETURN_IF_ERROR(AddEntry(
        outcome.queue, entry,
        Provenance{command.origin_topic(), command.origin_message_id(), command.reason(), command.attempts()}));
  }
  const uint64_t message_group = cursor->in_flight.at(offset).message_group;
  if (!BARID_MUTATION(kMoveKeepsMessage)) EraseDelivery(key, cursor, offset);
  if (BARID_MUTATION(kMoveKeepsLock) && message_group != 0) {
    InFlight ghost;
    ghost.message_group = message_group;
    cursor->Note(offset, ghost);
  }
  return outcome;
}

void State::ExpireCursors(const QueueKey& key, QueueOffset first) {
  for (const Counts::Reader& reader : counts_.ReadersOf(key)) {
    const CursorKey cursor_key{reader.group, key};
    Cursor& cursor = cursors_.find(cursor_key)->second;
    while (!cursor.in_flight.empty() && cursor.in_flight.begin()->first < first &&
           !BARID_MUTATION(kExpireKeepsDeliveries)) {
      EraseDelivery(cursor_key, &cursor, cursor.in_flight.begin()->first);
    }
    while (!cursor.parked.empty() && (*cursor.parked.begin()).offset < first) {
      Unpark(cursor_key, &cursor, (*cursor.parked.begin()).offset);
    }
    if (cursor.next < first) SetNext(cursor_key, &cursor, first);
  }
}

void State::CountDeadLetter(const QueueKey& key, const IndexBlock& block, QueueOffset offset, int64_t change) {
  if (!IsDeadLetterTopic(key.topic)) return;
  const auto provenance = block.provenance.find(offset);
  const bool is_known = provenance != block.provenance.end();
  counts_.AddDeadLetters(DeadLetterGroup(key.topic), is_known ? provenance->second.topic : "", change);
}

absl::Status State::ExpireTo(const QueueKey& key, QueueOffset first) {
  Queue queue = *FindQueue(key);
  const QueueOffset old_first = queue.first;
  // All blocks are at hand before anything changes.
  for (QueueOffset offset = old_first; offset < first; offset = (offset / kBlockEntries + 1) * kBlockEntries) {
    RETURN_IF_ERROR(index_.Load(BlockOf(key, offset)).status());
  }
  for (QueueOffset offset = old_first; offset < first; ++offset) {
    ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key, offset)));
    const IndexEntry& entry = block->entries[static_cast<size_t>(offset % kBlockEntries)];
    hash_ -= HashEntry(key, offset, entry);
    if (!entry.is_redriven()) ranges_.Add(entry.index, -1, entry.bytes);
    if (!entry.is_redriven()) CountDeadLetter(key, *block, offset, -1);
    queue.bytes -= entry.bytes;
  }
  index_.DropBelow(key, old_first, first);
  queue.first = first;
  SetQueue(key, queue);
  ExpireCursors(key, first);
  counts_.DropEmptyBelow(key, first);
  return absl::OkStatus();
}

absl::StatusOr<IndexEntry> State::TakeDeadLetter(const QueueKey& key, QueueOffset offset) {
  ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key, offset)));
  CountDeadLetter(key, *block, offset, -1);
  ASSIGN_OR_RETURN(const IndexEntry entry, index_.Empty(key, offset));
  IndexEntry empty;
  empty.time_us = entry.time_us;
  hash_ += HashEntry(key, offset, empty) - HashEntry(key, offset, entry);
  ranges_.Add(entry.index, -1, entry.bytes);
  Queue queue = *FindQueue(key);
  queue.bytes -= entry.bytes;
  SetQueue(key, queue);
  counts_.Empty(key, offset);
  for (const Counts::Reader& reader : counts_.ReadersOf(key)) {
    const CursorKey cursor_key{reader.group, key};
    Cursor& cursor = cursors_.find(cursor_key)->second;
    if (cursor.next <= offset) reader.counts->Add(-1, 0, 0);
    if (cursor.in_flight.contains(offset)) EraseDelivery(cursor_key, &cursor, offset);
    if (cursor.parked.contains(offset)) Unpark(cursor_key, &cursor, offset);
  }
  return entry;
}

absl::StatusOr<bool> State::IsRedriven(const QueueKey& key, QueueOffset offset) {
  if (!IsDeadLetterTopic(key.topic)) return false;
  ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key, offset)));
  return block->entries[static_cast<size_t>(offset % kBlockEntries)].is_redriven();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Redrive& command) {
  const QueueKey key{DeadLetterTopicId(GroupId(command.group_id())), 0};
  Outcome outcome;
  for (const log::Redrive::Entry& redrive : command.entries()) {
    const Queue* const queue = FindQueue(key);
    const QueueKey to = broker::KeyOf(redrive.to());
    bool is_there = queue != nullptr && queue->first <= redrive.offset() && redrive.offset() < queue->end &&
                    !IsDeadLetterTopic(to.topic) && !IsDiscardedTopic(to.topic) && CheckTakesMessages(to).ok();
    if (is_there) {
      ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key, redrive.offset())));
      const IndexEntry& entry = block->entries[static_cast<size_t>(redrive.offset() % kBlockEntries)];
      is_there = !entry.is_redriven() && entry.index == redrive.log_index() && entry.offset == redrive.payload_offset();
    }
    outcome.live.push_back(is_there);
    if (!is_there) continue;
    IndexEntry entry;
    if (BARID_MUTATION(kRedriveKeepsMessage)) {
      ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key, redrive.offset())));
      entry = block->entries[static_cast<size_t>(redrive.offset() % kBlockEntries)];
    } else {
      ASSIGN_OR_RETURN(entry, TakeDeadLetter(key, redrive.offset()));
    }
    entry.time_us = record.time_us;
    outcome.queues.push_back(to);
    if (!BARID_MUTATION(kRedriveLosesMessage)) RETURN_IF_ERROR(AddEntry(to, entry, std::nullopt));
  }
  // What is empty at the queue's beginning goes.
  const Queue* const queue = FindQueue(key);
  QueueOffset first = queue == nullptr ? 0 : queue->first;
  while (queue != nullptr && first < queue->end) {
    ASSIGN_OR_RETURN(const bool is_redriven, IsRedriven(key, first));
    if (!is_redriven) break;
    ++first;
  }
  if (queue != nullptr && first > queue->first) {
    RETURN_IF_ERROR(ExpireTo(key, first));
    MaybeEraseQueue(key);
  }
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Expire& command) {
  const QueueKey key = KeyOf(command.queue());
  const Queue* const found = FindQueue(key);
  if (found == nullptr) return Refused(absl::NotFoundError("the queue is not here"));
  QueueOffset first = std::min(command.first(), found->end);
  if (BARID_MUTATION(kExpireOneMore) && first < found->end) ++first;
  if (first <= found->first) return Refused(absl::AbortedError("expired already"));
  RETURN_IF_ERROR(ExpireTo(key, first));
  MaybeEraseQueue(key);
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Trim& command) {
  const TrimPoint point = trim_point();
  if (command.log_start() > point.log_start) {
    return Refused(absl::FailedPreconditionError(absl::StrCat("log index ", point.log_start, " is needed, trimming to ",
                                                              command.log_start(), " was asked for")));
  }
  if (command.log_start() <= log_start_) return Refused(absl::AbortedError("trimmed already"));
  hash_ += command.log_start() - log_start_;
  log_start_ = command.log_start();
  ranges_.DropBelow(log_start_);
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::ConfigureQueue& command) {
  const QueueKey key = KeyOf(command.queue());
  const Queue* const found = FindQueue(key);
  if (!command.lite_topic().empty()) return MakeLite(record, command);
  if (!command.deleted()) {
    if (found != nullptr) return Refused(absl::AlreadyExistsError("the queue is here"));
    SetQueue(key, Queue());
    return Outcome();
  }
  if (found == nullptr || found->deleted) return Refused(absl::NotFoundError("the queue is not here"));
  if (absl::Status status = CheckLiteGoes(key, *found, command); !status.ok()) return Refused(std::move(status));
  Queue queue = *found;
  queue.deleted = true;
  SetQueue(key, queue);
  lite_.Erase(key);
  const std::vector<Counts::Reader> readers = counts_.ReadersOf(key);  // A copy: each that goes leaves the list.
  for (const Counts::Reader& reader : readers) EraseCursor(cursors_.find({reader.group, key}));
  if (!BARID_MUTATION(kTransactionsOfTheDeletedStay)) DropTransactionsOf(key);
  offsets_.EraseQueue(key);
  MaybeEraseQueue(key);
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::CloseGroup& command) {
  if (BARID_MUTATION(kCloseGroupForgotten)) return Outcome();
  const GroupId group(command.group_id());
  bool any = offsets_.EraseGroup(group);
  for (auto it = cursors_.lower_bound(CursorKey{group, QueueKey()});
       it != cursors_.end() && it->first.group == group;) {
    it = EraseCursor(it);
    any = true;
  }
  if (!any) return Refused(absl::NotFoundError("the group has no cursor and no stored offset here"));
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::CloseSubscription& command) {
  if (BARID_MUTATION(kCloseSubscriptionForgotten)) return Outcome();
  const GroupId group(command.group_id());
  const TopicId topic(command.topic_id());
  bool any = false;
  for (auto it = cursors_.lower_bound(CursorKey{group, {topic, 0}});
       it != cursors_.end() && it->first.group == group && it->first.queue.topic == topic;) {
    it = EraseCursor(it);
    any = true;
  }
  if (!any) return Refused(absl::NotFoundError("the group has no cursor in the topic here"));
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Schedule& command) {
  const QueueKey key = KeyOf(command.queue());
  if (absl::Status status = CheckTakesMessages(key); !status.ok()) return Refused(std::move(status));
  Outcome outcome;
  outcome.queue = key;
  uint32_t offset = record.bulk_offset;
  uint32_t place = 0;
  for (const log::Schedule::Entry& entry : command.entries()) {
    const TimerKey timer{entry.deliver_at(), record.index, place};
    const SendWindow::Found found = FindSend(record, entry, place, &outcome);
    if (found.first) {
      outcome.entered.push_back(found.first->offset < 0 ? std::nullopt
                                                        : std::optional<QueueOffset>(found.first->offset));
    } else if (timer.deliver_at_us <= record.time_us || BARID_MUTATION(kScheduleAtOnce)) {
      outcome.entered.push_back(FindQueue(key)->end);
      const IndexEntry pointer{record.index, record.position, offset, entry.bytes(), entry.tag_hash(), record.time_us};
      if (!BARID_MUTATION(kScheduleLosesWhatIsDue)) RETURN_IF_ERROR(AddEntry(key, pointer, std::nullopt));
      RememberSend(record, entry, found, {record.index, place, key.queue, *outcome.entered.back()});
    } else {
      outcome.entered.push_back(std::nullopt);
      if (!BARID_MUTATION(kScheduleForgotten)) {
        AddTimer(timer, {key, record.position, offset, entry.bytes(), entry.tag_hash()});
      }
      RememberSend(record, entry, found, {record.index, place, key.queue, /*offset=*/-1});
    }
    ++place;
    offset += BARID_MUTATION(kScheduleOffsetOff) ? 0 : entry.bytes();
  }
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::FireTimer& command) {
  Outcome outcome;
  for (const log::TimerRef& ref : command.timers()) {
    const TimerKey key = KeyOf(ref);
    const bool is_due = key.deliver_at_us <= record.time_us || BARID_MUTATION(kFireEarly);
    std::optional<Timer> timer;
    if (is_due) {
      ASSIGN_OR_RETURN(timer, TakeTimer(key));
    }
    outcome.live.push_back(timer.has_value());
    if (!timer) continue;
    if (BARID_MUTATION(kFireKeepsTimer)) AddTimer({key.deliver_at_us, record.index, key.entry}, *timer);
    if (BARID_MUTATION(kFireLosesMessage)) continue;
    const IndexEntry pointer{timer->RecordOf(key), timer->position, timer->offset,
                             timer->bytes,         timer->tag_hash, record.time_us};
    RETURN_IF_ERROR(AddEntry(timer->queue, pointer, std::nullopt));
    outcome.queues.push_back(timer->queue);
  }
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::CancelTimer& command) {
  Outcome outcome;
  for (const log::TimerRef& ref : command.timers()) {
    std::optional<Timer> timer;
    if (!BARID_MUTATION(kCancelForgotten)) {
      ASSIGN_OR_RETURN(timer, TakeTimer(KeyOf(ref)));
    }
    outcome.live.push_back(timer.has_value() || BARID_MUTATION(kCancelForgotten) || BARID_MUTATION(kCancelOfTheGone));
    if (timer) MaybeEraseQueue(timer->queue);
  }
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::StateHash& command) {
  if (command.log_index() != remembered_index_) return Refused(absl::AbortedError("not the index that is remembered"));
  if (command.hash() != remembered_hash_) {
    return absl::DataLossError(absl::StrCat("the state after record ", command.log_index(), " hashes to ",
                                            remembered_hash_, " here, the leader had ", command.hash()));
  }
  return Outcome();
}

State::TrimPoint State::trim_point() const {
  TrimPoint point;
  for (const LiveRange& range : ranges_.all()) {
    point = {range.first, range.position};
    if (range.pointers > 0 && !BARID_MUTATION(kTrimIgnoresLive)) break;
  }
  return point;
}

absl::StatusOr<uint64_t> State::RecomputeHash() {
  uint64_t hash = log_start_ - 1;
  for (const auto& [key, queue] : queues_) {
    hash += HashQueue(key, queue);
    for (QueueOffset offset = queue.first; offset < queue.end; ++offset) {
      ASSIGN_OR_RETURN(const IndexBlock* const block, index_.Load(BlockOf(key, offset)));
      const auto place = static_cast<size_t>(offset % kBlockEntries);
      if (place >= block->entries.size()) return absl::DataLossError("an index block is too short");
      hash += HashEntry(key, offset, block->entries[place]);
    }
  }
  for (const auto& [key, cursor] : cursors_) {
    hash += HashNext(key, cursor);
    for (const auto& [offset, message_group] : cursor.parked) hash += HashParked(key, offset, message_group);
    for (const auto& [offset, delivery] : cursor.in_flight) hash += HashDelivery(key, offset, delivery);
  }
  RETURN_IF_ERROR(timers_.VisitAll([&](const TimerKey& key, const Timer& timer) { hash += HashTimer(key, timer); }));
  return hash + transactions_.RecomputeHash() + offsets_.RecomputeHash() + sends_.RecomputeHash() +
         lite_.RecomputeHash();
}

absl::Status State::VerifyCounts() {
  struct Count {
    int64_t pointers = 0;
    int64_t bytes = 0;
  };
  std::vector<Count> live(ranges_.all().size());
  absl::Status outside;
  RETURN_IF_ERROR(VisitPointers([&](LogIndex index, uint32_t bytes) {
    const size_t place = ranges_.PlaceOf(index);
    if (place == live.size()) {
      outside = absl::DataLossError(absl::StrCat("something points at record ", index, ", which no range has"));
      return;
    }
    ++live[place].pointers;
    live[place].bytes += bytes;
  }));
  RETURN_IF_ERROR(outside);
  absl::btree_map<QueueKey, int64_t> delayed;
  RETURN_IF_ERROR(timers_.VisitAll([&](const TimerKey& key, const Timer& timer) { ++delayed[timer.queue]; }));
  RETURN_IF_ERROR(sends_.Verify());
  RETURN_IF_ERROR(lite_.Verify());
  for (const auto& [key, queue] : queues_) {
    if (const int64_t counted = delayed[key]; counted != queue.delayed) {
      return absl::DataLossError(absl::StrCat("queue ", key.queue, " of topic ", key.topic.value(), " counts ",
                                              queue.delayed, " timers, there are ", counted));
    }
  }
  for (const auto& [key, cursor] : cursors_) {
    RETURN_IF_ERROR(Annotate(cursor.Verify(), absl::StrCat("cursor of group ", key.group.value(), " in queue ",
                                                           key.queue.queue, " of topic ", key.queue.topic.value())));
    const auto verify_group = [&, key = &key, cursor = &cursor](QueueOffset offset,
                                                                uint64_t message_group) -> absl::Status {
      ASSIGN_OR_RETURN(const uint64_t expected, MessageGroupOf(*key, *cursor, offset));
      if (message_group == expected) return absl::OkStatus();
      return absl::DataLossError(
          absl::StrCat("offset ", offset, " has another message group in the index than in a cursor"));
    };
    for (const auto& [offset, delivery] : cursor.in_flight)
      RETURN_IF_ERROR(verify_group(offset, delivery.message_group));
    for (const auto& [offset, message_group] : cursor.parked) RETURN_IF_ERROR(verify_group(offset, message_group));
  }
  for (size_t i = 0; i < live.size(); ++i) {
    const LiveRange& range = ranges_.all()[i];
    if (live[i].pointers != range.pointers || live[i].bytes != range.bytes) {
      return absl::DataLossError(absl::StrCat("the range from record ", range.first, " on counts ", range.pointers,
                                              " live pointers of ", range.bytes, " bytes, there are ", live[i].pointers,
                                              " of ", live[i].bytes));
    }
  }
  return absl::OkStatus();
}

}  // namespace barid::broker
