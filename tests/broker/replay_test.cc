// Commands are applied deterministically: a state that applies random commands, and states that replay their records,
// in one piece or with checkpoints, evictions and crashes in between, answer the same and hash to the same after each
// record.
//
// BARID_SEED=n runs one seed.
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/random.h"
#include "broker/state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/key_value_store.h"
#include "storage/record.h"
#include "tests/broker/recount.h"

namespace barid::broker {
namespace {

constexpr uint64_t kSeeds = 1000;
constexpr int kCommands = 500;

// One record as it stands in the log.
struct LoggedRecord {
  RecordInfo info;
  uint16_t type = 0;
  std::string payload;
};

// What must be the same everywhere after a record.
struct Answer {
  uint64_t hash = 0;
  std::string outcome;
};

std::string Describe(const Outcome& outcome) {
  std::string out = absl::StrCat(outcome.status.ToString(), " ", outcome.queue.topic.value(), "/", outcome.queue.queue,
                                 "@", outcome.first_offset);
  for (const Outcome::Delivered& d : outcome.delivered)
    absl::StrAppend(&out, " ", d.offset, "x", d.attempt, "n", d.nonce);
  for (const bool live : outcome.live) out += live ? '+' : '-';
  for (const std::optional<QueueOffset>& offset : outcome.entered) absl::StrAppend(&out, " ", offset.value_or(-1));
  for (const Outcome::Ended& ended : outcome.ended) {
    absl::StrAppend(&out, ended.now      ? " now"
                          : ended.before ? absl::StrCat(" before ", static_cast<int>(*ended.before))
                                         : " unknown");
  }
  for (const QueueKey& queue : outcome.queues) absl::StrAppend(&out, " ", queue.topic.value(), "/", queue.queue);
  absl::StrAppend(&out, " -", outcome.dropped_in_flight, " -", outcome.dropped_parked);
  for (const auto& [place, first] : outcome.repeats) {
    absl::StrAppend(&out, " ", place, "=", first.index, ".", first.entry, "@", first.queue, "/", first.offset);
  }
  return absl::StrCat(out, " reused ", outcome.reused_ids);
}

// --- The commands ---

// Draws commands that have something to do with what is there: live deliveries and stale ones, real positions and wrong
// ones, expiries behind the cursors, trims beyond what is live.
class CommandGenerator {
 public:
  CommandGenerator(Random* random, State* state) : random_(*random), state_(*state) {}

  Command Next(int64_t now_us) {
    now_us_ = now_us;
    const uint64_t dice = random_.Below(150);
    if (dice < 20) return MakeAppend();
    if (dice < 43) return MakeDeliver();
    if (dice < 57) return MakeSettle();
    if (dice < 62) return MakeConfigure(random_.OneIn(5));
    if (dice < 68) return MakeOpen();
    if (dice < 72) return MakeSkip();
    if (dice < 77) return MakeHold();
    if (dice < 83) return MakeLapse();
    if (dice < 86) return MakeGone();
    if (dice < 90) return MakeMove();
    if (dice < 94) return MakeExpire();
    if (dice < 97) return MakeTrim();
    if (dice < 98) return MakeStateHash();
    if (dice < 99) return random_.OneIn(2) ? MakeClose() : MakeCloseSubscription();
    if (dice < 105) return MakeSchedule();
    if (dice < 111) return MakeFire();
    if (dice < 114) return MakeCancel();
    if (dice < 119) return MakePrepare();
    if (dice < 125) return MakeEnd();
    if (dice < 129) return MakeCheck();
    if (dice < 133) return MakeRedeliver();
    if (dice < 136) return MakeCommitOffset();
    if (dice < 139) return MakeSeek();
    if (dice < 143) return MakeRedrive();
    if (dice < 149) return MakeCarry();
    return MakeEpochStart();
  }
  log::EpochStart MakeEpochStart() {
    log::EpochStart command;
    command.set_send_window(static_cast<int64_t>(random_.Below(60)) * 1'000'000);
    command.set_send_window_ids(random_.OneIn(2) ? random_.Below(100) : random_.Below(3000));
    return command;
  }

  // The hash that a StateHash should carry is that of the last multiple of 4,096.
  void Applied(LogIndex index, uint64_t hash) {
    if (index % 4096 == 0) remembered_ = {index, hash};
  }
  void Keep(const log::TimerRef& ref) { timers_.push_back(ref); }
  void Keep(const TransactionKey& key) { transactions_.push_back(key); }
  // Receipts of deliveries, to come back stale.
  void Keep(const log::DeliveryRef& ref) { receipts_.push_back(ref); }

 private:
  QueueKey AnyQueue() {
    if (!state_.queues().empty() && !random_.OneIn(12)) {
      return std::next(state_.queues().begin(), static_cast<ptrdiff_t>(random_.Below(state_.queues().size())))->first;
    }
    return {TopicId(1 + random_.Below(2)), static_cast<int32_t>(random_.Below(2))};
  }
  GroupId AnyGroup() { return GroupId(1 + random_.Below(3)); }
  CursorKey AnyCursor() {
    if (!state_.cursors().empty() && !random_.OneIn(25)) {
      return std::next(state_.cursors().begin(), static_cast<ptrdiff_t>(random_.Below(state_.cursors().size())))->first;
    }
    return {AnyGroup(), AnyQueue()};
  }
  std::string AnyClient() { return std::string(1, static_cast<char>('a' + random_.Below(4))); }
  int64_t Soon() { return now_us_ + static_cast<int64_t>(random_.Below(20)) * 1'000'000 - 2'000'000; }

  log::DeliveryRef RefOf(const CursorKey& key, QueueOffset offset, LogIndex nonce) {
    log::DeliveryRef ref;
    ref.set_group_id(key.group.value());
    SetKey(ref.mutable_queue(), key.queue);
    ref.set_offset(offset);
    ref.set_nonce(nonce);
    return ref;
  }
  log::DeliveryRef AnyDelivery() {
    if (!receipts_.empty() && random_.OneIn(8)) return receipts_[random_.Below(receipts_.size())];
    const CursorKey key = AnyCursor();
    const Cursor* const cursor = state_.FindCursor(key);
    if (cursor == nullptr || cursor->in_flight.empty()) {
      return RefOf(key, static_cast<QueueOffset>(random_.Below(50)), random_.Below(100));
    }
    const auto it =
        std::next(cursor->in_flight.begin(), static_cast<ptrdiff_t>(random_.Below(cursor->in_flight.size())));
    return RefOf(key, it->first, it->second.nonce - (random_.OneIn(10) ? 1 : 0));
  }

  // Some ids come again, with the same content or another. Their order in the table is that of the upper halves.
  template <typename Entry>
  void SetHashes(Entry* entry) {
    if (random_.OneIn(3)) return;
    const uint64_t id = 1 + random_.Below(random_.OneIn(3) ? 20 : 1'000'000);
    entry->set_id_hash(random_.OneIn(4) ? id : id << 32);
    entry->set_content_hash(1 + random_.Below(3));
  }

  Command MakeAppend() {
    log::Append command;
    SetKey(command.mutable_queue(), AnyQueue());
    const uint64_t entries = random_.OneIn(10) ? random_.Below(400) : random_.Below(6);
    for (uint64_t i = 0; i < entries; ++i) {
      log::Append::Entry* const entry = command.add_entries();
      entry->set_bytes(static_cast<uint32_t>(random_.Below(5000)));
      entry->set_tag_hash(static_cast<uint32_t>(random_.Below(4)));
      entry->set_message_group(random_.Below(4));
      SetHashes(entry);
    }
    return command;
  }
  Command MakeConfigure(bool deleted) {
    log::ConfigureQueue command;
    SetKey(command.mutable_queue(), AnyQueue());
    // Half of the time one that may be missing.
    if (!deleted && random_.OneIn(2)) {
      SetKey(command.mutable_queue(), {TopicId(1 + random_.Below(2)), static_cast<int32_t>(random_.Below(2))});
    }
    if (!deleted && random_.OneIn(4)) {
      command.set_lite_topic(std::string(1, static_cast<char>('a' + random_.Below(2))));
    } else if (deleted && random_.OneIn(2)) {
      // One that goes because nothing is sent to it, mostly a lite topic.
      const auto& all = state_.lite().all();
      if (!all.empty() && !random_.OneIn(4)) {
        SetKey(command.mutable_queue(),
               std::next(all.begin(), static_cast<ptrdiff_t>(random_.Below(all.size())))->first);
      }
      const Queue* const queue = state_.FindQueue(KeyOf(command.queue()));
      command.set_lite_end((queue == nullptr ? 0 : queue->end) - (random_.OneIn(3) ? 1 : 0));
    }
    command.set_deleted(deleted);
    return command;
  }
  Command MakeOpen() {
    log::OpenCursor command;
    command.set_group_id(AnyGroup().value());
    SetKey(command.mutable_queue(), AnyQueue());
    command.set_start(static_cast<int64_t>(random_.Below(30)) - 5);
    command.set_ordered(random_.OneIn(2));
    return command;
  }
  Command MakeDeliver() {
    const CursorKey key = AnyCursor();
    const Cursor* const cursor = state_.FindCursor(key);
    const Queue* const queue = state_.FindQueue(key.queue);
    log::Deliver command;
    command.set_group_id(key.group.value());
    SetKey(command.mutable_queue(), key.queue);
    command.set_client_id(AnyClient());
    command.set_attempt_id_hash(random_.Below(6));
    command.set_invisible_until(Soon());
    command.set_auto_renew(!random_.OneIn(3));
    const QueueOffset next = cursor == nullptr ? 0 : cursor->next;
    const QueueOffset left = queue == nullptr ? 5 : queue->end - next;
    // Now and then from where the position was before an expiry, or is not at all.
    const QueueOffset from = next - (random_.OneIn(8) ? static_cast<QueueOffset>(random_.Below(10)) : 0);
    QueueOffset to =
        next + static_cast<QueueOffset>(random_.Below(static_cast<uint64_t>(std::min<QueueOffset>(left, 40) + 1)));
    if (random_.OneIn(20)) to = next + left + 1;
    command.set_from(from);
    command.set_to(to);
    const uint64_t filter = random_.Below(4);
    for (QueueOffset offset = from; offset < to; ++offset) {
      if (filter == 0 || !random_.OneIn(1 + filter)) {
        command.add_first_offsets(offset);
      } else if (random_.OneIn(2)) {
        command.add_parked_offsets(offset);
      }
    }
    if (cursor != nullptr) {
      // Runs as a leader would propose them, and now and then with holes.
      for (const auto& [offset, message_group] : cursor->parked) {
        if (command.unparked_offsets_size() > 20) break;
        if (!random_.OneIn(5)) command.add_unparked_offsets(offset);
      }
      for (const auto& [offset, delivery] : cursor->in_flight) {
        if (delivery.visible && random_.OneIn(2)) command.add_again_offsets(offset);
      }
      for (const QueueOffset offset : cursor->again) {
        if (random_.OneIn(2)) command.add_again_offsets(offset);
      }
      if (random_.OneIn(4) && !cursor->in_flight.empty()) command.add_again_offsets(cursor->in_flight.begin()->first);
    }
    return command;
  }
  Command MakeSkip() {
    const CursorKey key = AnyCursor();
    const Cursor* const cursor = state_.FindCursor(key);
    log::Skip command;
    command.set_group_id(key.group.value());
    SetKey(command.mutable_queue(), key.queue);
    command.set_from((cursor == nullptr ? 0 : cursor->next) - (random_.OneIn(5) ? 1 : 0));
    command.set_to(command.from() + static_cast<int64_t>(random_.Below(8)));
    for (QueueOffset offset = command.from(); offset < command.to(); ++offset) {
      if (random_.OneIn(2)) command.add_parked_offsets(offset);
    }
    if (cursor != nullptr && random_.OneIn(3)) {
      for (const auto& [offset, message_group] : cursor->parked) {
        if (random_.OneIn(3)) command.add_unwanted_offsets(offset);
      }
      if (random_.OneIn(2)) command.set_to(command.from());
    }
    return command;
  }
  Command MakeRedeliver() {
    CursorKey key = AnyCursor();
    // Cursors that are not ordered find nothing by attempt id.
    for (int tries = 0; tries < 4; ++tries) {
      const Cursor* const drawn = state_.FindCursor(key);
      if (drawn != nullptr && !drawn->by_attempt.empty()) break;
      key = AnyCursor();
    }
    const Cursor* const cursor = state_.FindCursor(key);
    log::Redeliver command;
    command.set_group_id(key.group.value());
    SetKey(command.mutable_queue(), key.queue);
    command.set_client_id(AnyClient());
    command.set_attempt_id_hash(random_.Below(6));
    command.set_invisible_until(Soon());
    command.set_auto_renew(random_.OneIn(2));
    if (cursor == nullptr) return command;
    if (!cursor->by_attempt.empty()) {
      const auto& [attempt, offset] =
          *std::next(cursor->by_attempt.begin(), static_cast<ptrdiff_t>(random_.Below(cursor->by_attempt.size())));
      command.set_attempt_id_hash(attempt);
      if (!random_.OneIn(5)) command.set_client_id(*cursor->in_flight.at(offset).client);
    }
    for (const auto& [offset, delivery] : cursor->in_flight) {
      if (delivery.attempt_id_hash == command.attempt_id_hash() || random_.OneIn(8)) command.add_offsets(offset);
    }
    return command;
  }
  Command MakeCommitOffset() {
    log::CommitOffset command;
    command.set_group_id(AnyGroup().value());
    const QueueKey key = AnyQueue();
    SetKey(command.mutable_queue(), key);
    const Queue* const queue = state_.FindQueue(key);
    command.set_offset(
        static_cast<int64_t>(random_.Below(static_cast<uint64_t>(queue == nullptr ? 5 : queue->end) + 2)));
    return command;
  }
  Command MakeSeek() {
    // Mostly of a cursor that is there; now and then one that opens by it.
    const CursorKey key = random_.OneIn(4) ? CursorKey{AnyGroup(), AnyQueue()} : AnyCursor();
    const Queue* const queue = state_.FindQueue(key.queue);
    log::SeekCursor command;
    command.set_group_id(key.group.value());
    SetKey(command.mutable_queue(), key.queue);
    command.set_to(static_cast<int64_t>(random_.Below(static_cast<uint64_t>(queue == nullptr ? 5 : queue->end) + 10)) -
                   5);
    command.set_ordered(random_.OneIn(2));
    return command;
  }
  Command MakeRedrive() {
    log::Redrive command;
    GroupId group = AnyGroup();
    for (int tries = 0; tries < 4 && state_.FindQueue({DeadLetterTopicId(group), 0}) == nullptr; ++tries)
      group = AnyGroup();
    command.set_group_id(group.value());
    const Queue* const letters = state_.FindQueue({DeadLetterTopicId(group), 0});
    // From its beginning, where it leaves nothing behind, or here and there.
    const bool from_first = random_.OneIn(2);
    for (uint64_t i = 0; i < 1 + random_.Below(4); ++i) {
      log::Redrive::Entry* const entry = command.add_entries();
      const int64_t length = letters == nullptr ? 3 : letters->end - letters->first + 1;
      entry->set_offset((letters == nullptr ? 0 : letters->first) +
                        static_cast<int64_t>(from_first ? i : random_.Below(static_cast<uint64_t>(length))));
      SetKey(entry->mutable_to(), AnyQueue());
      if (letters == nullptr || entry->offset() < letters->first || entry->offset() >= letters->end) continue;
      const auto block = state_.index().Load(BlockOf({DeadLetterTopicId(group), 0}, entry->offset()));
      CHECK_OK(block.status());
      const IndexEntry& pointer = (*block)->entries[static_cast<size_t>(entry->offset() % kBlockEntries)];
      entry->set_log_index(pointer.index + (random_.OneIn(20) ? 1 : 0));
      entry->set_payload_offset(pointer.offset);
    }
    return command;
  }
  // Names pointers where they are, and sometimes where they are not.
  Command MakeCarry() {
    log::Carry command;
    for (uint64_t entries = 1 + random_.Below(6); entries > 0; --entries) {
      log::Carry::Entry* const entry = command.add_entries();
      const uint64_t kind = random_.Below(3);
      entry->set_bytes(1);
      if (kind == 0 && !timers_.empty()) {
        *entry->mutable_timer() = timers_[random_.Below(timers_.size())];
        const TimerKey key{entry->timer().deliver_at(), entry->timer().log_index(), entry->timer().entry()};
        const auto timer = state_.timers().Get(key);
        CHECK_OK(timer.status());
        if (*timer) SetPlace(entry, (*timer)->RecordOf(key), (*timer)->offset, (*timer)->bytes);
      } else if (kind == 1 && !transactions_.empty()) {
        const TransactionKey key = transactions_[random_.Below(transactions_.size())];
        entry->mutable_transaction()->set_log_index(key.index);
        entry->mutable_transaction()->set_entry(key.entry);
        const OpenTransaction* const open = state_.transactions().FindOpen(key);
        if (open != nullptr) SetPlace(entry, open->RecordOf(key), open->offset, open->bytes);
      } else {
        const QueueKey key = AnyQueue();
        SetKey(entry->mutable_queue(), key);
        const Queue* const queue = state_.FindQueue(key);
        if (queue == nullptr || queue->first == queue->end) continue;
        // Beside its ends, too.
        entry->set_offset(queue->first +
                          static_cast<int64_t>(random_.Below(static_cast<uint64_t>(queue->end - queue->first) + 1)));
        if (entry->offset() == queue->end) continue;
        const auto block = state_.index().Load(BlockOf(key, entry->offset()));
        CHECK_OK(block.status());
        const IndexEntry& pointer = (*block)->entries[static_cast<size_t>(entry->offset() % kBlockEntries)];
        SetPlace(entry, pointer.index, pointer.offset, pointer.bytes);
      }
    }
    return command;
  }
  void SetPlace(log::Carry::Entry* entry, LogIndex index, uint32_t offset, uint32_t bytes) {
    entry->set_log_index(index + (random_.OneIn(20) ? 1 : 0));
    entry->set_payload_offset(offset);
    entry->set_bytes(bytes);
  }
  Command MakeSettle() {
    log::Settle command;
    for (uint64_t entries = 1 + random_.Below(8); entries > 0; --entries) {
      log::Settle::Entry* const entry = command.add_entries();
      *entry->mutable_delivery() = AnyDelivery();
      entry->set_action(static_cast<log::Settle::Entry::Action>(random_.Below(4)));
      entry->set_visible_at(Soon());
    }
    return command;
  }
  Command MakeHold() {
    log::Hold command;
    for (uint64_t entries = 1 + random_.Below(5); entries > 0; --entries) *command.add_deliveries() = AnyDelivery();
    command.set_cap(now_us_ + static_cast<int64_t>(random_.Below(100)) * 1'000'000);
    return command;
  }
  Command MakeLapse() {
    log::MakeVisible command;
    command.set_now(now_us_);
    for (const auto& [time, key, offset] : state_.deadlines()) {
      if (command.deliveries_size() == 10 || (time > now_us_ && !random_.OneIn(5))) break;
      *command.add_deliveries() = RefOf(key, offset, state_.FindCursor(key)->in_flight.at(offset).nonce);
    }
    if (random_.OneIn(4)) *command.add_deliveries() = AnyDelivery();
    return command;
  }
  Command MakeGone() {
    log::ClientGone command;
    command.set_client_id(AnyClient());
    command.set_deadline(Soon());
    return command;
  }
  Command MakeMove() {
    log::Move command;
    *command.mutable_delivery() = AnyDelivery();
    command.set_attempts(static_cast<int32_t>(random_.Below(20)));
    command.set_reason("poison");
    command.set_origin_topic("topic");
    command.set_origin_message_id(random_.Bytes(8));
    return command;
  }
  Command MakeExpire() {
    const QueueKey key = AnyQueue();
    const Queue* const queue = state_.FindQueue(key);
    log::Expire command;
    SetKey(command.mutable_queue(), key);
    if (queue == nullptr) {
      command.set_first(3);
    } else if (random_.OneIn(3)) {
      command.set_first(queue->end + static_cast<int64_t>(random_.Below(2)));
    } else {
      command.set_first(queue->first +
                        static_cast<int64_t>(random_.Below(static_cast<uint64_t>(queue->end - queue->first) + 1)));
    }
    return command;
  }
  Command MakeTrim() {
    log::Trim command;
    command.set_log_start(state_.trim_point().log_start + (random_.OneIn(4) ? 1 + state_.applied_index() % 4096 : 0));
    return command;
  }
  Command MakeStateHash() {
    log::StateHash command;
    command.set_log_index(remembered_.first + (random_.OneIn(4) ? 1 : 0));
    command.set_hash(remembered_.second);
    return command;
  }
  Command MakeClose() {
    log::CloseGroup command;
    command.set_group_id(AnyGroup().value());
    return command;
  }

  Command MakeCloseSubscription() {
    log::CloseSubscription command;
    command.set_group_id(AnyGroup().value());
    command.set_topic_id(AnyQueue().topic.value());
    return command;
  }

  Command MakeSchedule() {
    log::Schedule command;
    SetKey(command.mutable_queue(), AnyQueue());
    const uint64_t entries = random_.OneIn(10) ? random_.Below(60) : random_.Below(6);
    for (uint64_t i = 0; i < entries; ++i) {
      log::Schedule::Entry* const entry = command.add_entries();
      entry->set_bytes(static_cast<uint32_t>(random_.Below(5000)));
      entry->set_tag_hash(static_cast<uint32_t>(random_.Below(4)));
      // Several at the same time, now and then.
      entry->set_deliver_at(random_.OneIn(4) ? now_us_ + 5'000'000 : random_.OneIn(6) ? 0 : Soon());
      SetHashes(entry);
    }
    return command;
  }
  log::TimerRef AnyTimer() {
    log::TimerRef ref;
    if (!timers_.empty() && !random_.OneIn(10)) {
      // Most of those that were scheduled first are gone.
      const size_t newest = std::min<size_t>(timers_.size(), 40);
      ref = timers_[timers_.size() - 1 - random_.Below(random_.OneIn(3) ? timers_.size() : newest)];
    }
    if (random_.OneIn(10)) ref.set_entry(ref.entry() + 1);
    return ref;
  }
  Command MakeFire() {
    log::FireTimer command;
    state_.timers().VisitDue(now_us_, [&](const TimerKey& key) {
      log::TimerRef* const ref = command.add_timers();
      ref->set_deliver_at(key.deliver_at_us);
      ref->set_log_index(key.index);
      ref->set_entry(key.entry);
      return command.timers_size() < 10;
    });
    for (uint64_t others = random_.Below(6); others > 0; --others) *command.add_timers() = AnyTimer();
    return command;
  }
  Command MakeCancel() {
    log::CancelTimer command;
    if (!random_.OneIn(3)) {
      // As the leader does: all of the queues that are deleted.
      state_.timers().VisitResident([&](const TimerKey& key, const Timer& timer) {
        if (!state_.FindQueue(timer.queue)->deleted) return;
        log::TimerRef* const ref = command.add_timers();
        ref->set_deliver_at(key.deliver_at_us);
        ref->set_log_index(key.index);
        ref->set_entry(key.entry);
      });
    }
    for (uint64_t timers = 1 + random_.Below(4); timers > 0; --timers) *command.add_timers() = AnyTimer();
    return command;
  }

  Command MakePrepare() {
    log::Prepare command;
    SetKey(command.mutable_queue(), AnyQueue());
    for (uint64_t entries = random_.Below(random_.OneIn(10) ? 40 : 6); entries > 0; --entries) {
      log::Prepare::Entry* const entry = command.add_entries();
      entry->set_bytes(static_cast<uint32_t>(random_.Below(5000)));
      entry->set_tag_hash(static_cast<uint32_t>(random_.Below(4)));
      entry->set_check_at(Soon());
      SetHashes(entry);
    }
    return command;
  }
  log::TransactionRef AnyTransaction() {
    TransactionKey key;
    const auto& open = state_.transactions().open();
    if (!open.empty() && !random_.OneIn(3)) {
      key = std::next(open.begin(), static_cast<ptrdiff_t>(random_.Below(open.size())))->first;
    } else if (!transactions_.empty()) {
      key = transactions_[random_.Below(transactions_.size())];
    }
    if (random_.OneIn(15)) ++key.entry;
    log::TransactionRef ref;
    ref.set_log_index(key.index);
    ref.set_entry(key.entry);
    return ref;
  }
  Command MakeEnd() {
    log::EndTransaction command;
    for (uint64_t entries = 1 + random_.Below(4); entries > 0; --entries) {
      log::EndTransaction::Entry* const entry = command.add_entries();
      *entry->mutable_transaction() = AnyTransaction();
      entry->set_resolution(static_cast<log::EndTransaction::Entry::Resolution>(1 + random_.Below(3)));
      if (entry->resolution() != log::EndTransaction::Entry::DISCARD) continue;
      entry->set_reason("no decision");
      entry->set_origin_topic("topic");
      entry->set_origin_message_id(random_.Bytes(8));
    }
    command.set_remember(random_.OneIn(20) ? random_.Below(3) : 20);
    return command;
  }
  Command MakeCheck() {
    log::CheckTransaction command;
    for (uint64_t entries = 1 + random_.Below(4); entries > 0; --entries) {
      log::CheckTransaction::Entry* const entry = command.add_entries();
      *entry->mutable_transaction() = AnyTransaction();
      const OpenTransaction* const open =
          state_.transactions().FindOpen({entry->transaction().log_index(), entry->transaction().entry()});
      entry->set_checks(open == nullptr || random_.OneIn(5) ? static_cast<uint32_t>(random_.Below(4)) : open->checks);
      entry->set_next_at(Soon());
    }
    return command;
  }

  Random& random_;
  State& state_;
  int64_t now_us_ = 0;
  std::pair<LogIndex, uint64_t> remembered_ = {0, 0};
  std::vector<log::DeliveryRef> receipts_;
  std::vector<log::TimerRef> timers_;
  std::vector<TransactionKey> transactions_;
};

// --- What happened ---

// Facts about a run: "Deliver OK", "Settle stale".
using Facts = std::set<std::string>;

// Settle, Move, MakeVisible and Expire may be about several, or about any.
bool IsAbout(const Command& command, const CursorKey& key) {
  const auto names = [&key](const auto& c) {
    return GroupId(c.group_id()) == key.group && KeyOf(c.queue()) == key.queue;
  };
  if (const auto* deliver = std::get_if<log::Deliver>(&command)) return names(*deliver);
  if (const auto* skip = std::get_if<log::Skip>(&command)) return names(*skip);
  if (const auto* redeliver = std::get_if<log::Redeliver>(&command)) return names(*redeliver);
  if (const auto* seek = std::get_if<log::SeekCursor>(&command)) return names(*seek);
  return true;
}

void NoteOrder(const Command& command, const Outcome& outcome, const Cursor& before, const Cursor& after,
               Facts* facts) {
  if (const auto* deliver = std::get_if<log::Deliver>(&command)) {
    std::set<QueueOffset> kept;
    for (const Outcome::Delivered& d : outcome.delivered) kept.insert(d.offset);
    for (const QueueOffset offset : deliver->unparked_offsets()) {
      if (before.parked.contains(offset))
        facts->insert(kept.contains(offset) ? "Deliver unparks" : "Deliver leaves parked");
    }
    for (const QueueOffset offset : deliver->again_offsets()) {
      const auto it = before.in_flight.find(offset);
      if (it != before.in_flight.end() && it->second.visible && !kept.contains(offset))
        facts->insert("Deliver leaves visible");
    }
    for (const QueueOffset offset : deliver->first_offsets()) {
      if (after.parked.contains(offset)) facts->insert("Deliver parks a first one");
    }
    for (const QueueOffset offset : deliver->parked_offsets()) {
      if (!before.parked.contains(offset) && after.parked.contains(offset)) facts->insert("Deliver parks");
    }
  } else if (std::holds_alternative<log::Skip>(command)) {
    if (after.parked.size() > before.parked.size()) facts->insert("Skip parks");
    if (after.parked.size() < before.parked.size()) facts->insert("Skip settles parked ones");
  } else if (const auto* redeliver = std::get_if<log::Redeliver>(&command)) {
    for (const Outcome::Delivered& d : outcome.delivered) {
      facts->insert(d.attempt == before.in_flight.at(d.offset).attempts &&
                            d.nonce == before.in_flight.at(d.offset).nonce
                        ? "Redeliver the same"
                        : "Redeliver something else");
    }
    if (static_cast<int>(outcome.delivered.size()) < redeliver->offsets_size()) facts->insert("Redeliver of others");
  } else if (std::holds_alternative<log::Expire>(command) && after.parked.size() < before.parked.size()) {
    facts->insert("Expire of parked ones");
  }
  for (const auto& [message_group, count] : before.locks) {
    if (!after.IsLocked(message_group) && after.Head(message_group)) {
      facts->insert(absl::StrCat(CommandName(CommandType(command)), " unlocks"));
    }
  }
}

void Note(const Command& command, const Outcome& outcome, int64_t now_us, Facts* facts) {
  const absl::string_view name = CommandName(CommandType(command));
  facts->insert(absl::StrCat(name, " ", absl::StatusCodeToString(outcome.status.code())));
  for (const bool live : outcome.live) facts->insert(absl::StrCat(name, live ? " live" : " stale"));
  if (!outcome.repeats.empty()) facts->insert(absl::StrCat(name, " repeats"));
  if (outcome.reused_ids > 0) facts->insert(absl::StrCat(name, " reuses ids"));
  for (const std::optional<QueueOffset>& offset : outcome.entered)
    facts->insert(offset ? "Schedule at once" : "Schedule later");
  for (const Outcome::Ended& ended : outcome.ended) {
    facts->insert(ended.now      ? "EndTransaction now"
                  : ended.before ? "EndTransaction again"
                                 : "EndTransaction of the unknown");
  }
  if (std::holds_alternative<log::SeekCursor>(command)) {
    if (outcome.dropped_in_flight > 0) facts->insert("SeekCursor drops deliveries");
    if (outcome.dropped_parked > 0) facts->insert("SeekCursor drops parked ones");
  }
  if (const auto* configure = std::get_if<log::ConfigureQueue>(&command)) {
    if (!configure->lite_topic().empty()) {
      facts->insert(outcome.status.ok() ? "ConfigureQueue makes a lite topic" : "ConfigureQueue finds a lite topic");
    } else if (configure->has_lite_end() && outcome.status.ok()) {
      facts->insert("ConfigureQueue drops a lite topic");
    }
  }
  for (const QueueKey& queue : outcome.queues) {
    if (!IsDiscardedTopic(queue.topic)) continue;
    facts->insert(std::holds_alternative<log::Redrive>(command) ? "Redrive discards" : "EndTransaction discards");
  }
  if (const auto* carry = std::get_if<log::Carry>(&command)) {
    for (int i = 0; i < carry->entries_size(); ++i) {
      const log::Carry::Entry& entry = carry->entries(i);
      if (!outcome.live[static_cast<size_t>(i)]) continue;
      facts->insert(entry.has_timer()                               ? "Carry of a timer"
                    : entry.has_transaction()                       ? "Carry of a transaction"
                    : IsDeadLetterTopic(KeyOf(entry.queue()).topic) ? "Carry of a dead letter"
                                                                    : "Carry of an entry");
    }
  }
  if (const auto* fire = std::get_if<log::FireTimer>(&command)) {
    for (const log::TimerRef& ref : fire->timers()) {
      if (ref.deliver_at() > now_us) facts->insert("FireTimer early");
    }
  }
  if (const auto* deliver = std::get_if<log::Deliver>(&command)) {
    size_t again = 0;
    for (const Outcome::Delivered& d : outcome.delivered) again += d.attempt > 1 ? 1 : 0;
    if (again > 0) facts->insert("Deliver again");
    if (outcome.status.ok() && !deliver->first_offsets().empty() && outcome.delivered.size() == again) {
      facts->insert("Deliver from elsewhere");
    }
    if (!outcome.delivered.empty() && deliver->first_offsets_size() > 0 && outcome.delivered.back().attempt == 1 &&
        outcome.delivered.back().offset == *deliver->first_offsets().rbegin() &&
        static_cast<int>(outcome.delivered.size() - again) < deliver->first_offsets_size()) {
      facts->insert("Deliver overtaken");
    }
  }
}

// Everything that a record can come to. Each must be met in 1 % of the runs, and nothing else may be.
const std::set<std::string>& AllFacts() {
  static const auto* const facts = new std::set<std::string>{
      "EpochStart OK",
      "Append OK",
      "Append NOT_FOUND",
      "Append repeats",
      "Append reuses ids",
      "Schedule repeats",
      "Schedule reuses ids",
      "Prepare repeats",
      "Prepare reuses ids",
      "sends expire",
      "sends make room",
      "OpenCursor OK",
      "OpenCursor NOT_FOUND",
      "OpenCursor ALREADY_EXISTS",
      "Deliver OK",
      "Deliver NOT_FOUND",
      "Deliver ABORTED",
      "Deliver again",
      "Deliver from elsewhere",
      "Deliver overtaken",
      "Skip OK",
      "Skip NOT_FOUND",
      "Skip ABORTED",
      "Hold OK",
      "Hold live",
      "Hold stale",
      "Settle OK",
      "Settle live",
      "Settle stale",
      "MakeVisible OK",
      "MakeVisible live",
      "MakeVisible stale",
      "ClientGone OK",
      "ClientGone NOT_FOUND",
      "Move OK",
      "Move ABORTED",
      "Move FAILED_PRECONDITION",
      "Expire OK",
      "Expire NOT_FOUND",
      "Expire ABORTED",
      "Trim OK",
      "Trim ABORTED",
      "Trim FAILED_PRECONDITION",
      "ConfigureQueue OK",
      "ConfigureQueue NOT_FOUND",
      "ConfigureQueue ALREADY_EXISTS",
      "ConfigureQueue ABORTED",
      "ConfigureQueue makes a lite topic",
      "ConfigureQueue finds a lite topic",
      "ConfigureQueue drops a lite topic",
      "StateHash OK",
      "StateHash ABORTED",
      "CloseGroup OK",
      "CloseGroup NOT_FOUND",
      "CloseSubscription OK",
      "CloseSubscription NOT_FOUND",
      "Schedule OK",
      "Schedule NOT_FOUND",
      "Schedule at once",
      "Schedule later",
      "FireTimer OK",
      "FireTimer live",
      "FireTimer stale",
      "FireTimer early",
      "FireTimer of a deleted queue",
      "CancelTimer OK",
      "CancelTimer live",
      "CancelTimer stale",
      "CancelTimer erases a queue",
      "Prepare OK",
      "Prepare NOT_FOUND",
      "EndTransaction OK",
      "EndTransaction now",
      "EndTransaction again",
      "EndTransaction of the unknown",
      "EndTransaction discards",
      "CheckTransaction OK",
      "CheckTransaction live",
      "CheckTransaction stale",
      "ConfigureQueue drops transactions",
      "Carry OK",
      "Carry live",
      "Carry stale",
      "Carry of an entry",
      "Carry of a dead letter",
      "Carry of a timer",
      "Carry of a transaction",
      "Redrive OK",
      "Redrive live",
      "Redrive stale",
      "Redrive unlocks",
      "Redeliver OK",
      "Redeliver NOT_FOUND",
      "Redeliver ABORTED",
      "Redeliver the same",
      "Redeliver of others",
      "CommitOffset OK",
      "CommitOffset NOT_FOUND",
      "CommitOffset OUT_OF_RANGE",
      "ConfigureQueue drops offsets",
      "SeekCursor OK",
      "SeekCursor NOT_FOUND",
      "SeekCursor opens",
      "SeekCursor drops deliveries",
      "SeekCursor drops parked ones",
      "SeekCursor back",
      "Deliver unparks",
      "Deliver leaves parked",
      "Deliver leaves visible",
      "Deliver parks a first one",
      "Deliver parks",
      "Skip parks",
      "Skip settles parked ones",
      "Expire of parked ones",
      "Settle unlocks",
      "MakeVisible unlocks",
      "Move unlocks",
      "Expire unlocks",
  };
  return *facts;
}

// --- One run ---

class Replica {
 public:
  Replica(size_t max_clean_blocks, size_t max_near_timers, uint64_t segment_bytes)
      : max_clean_blocks_(max_clean_blocks), max_near_timers_(max_near_timers), segment_bytes_(segment_bytes) {
    Restart();
  }

  State& state() { return *state_; }

  // A new process: what the store has, and nothing else.
  void Restart() {
    pending_.reset();
    reading_.reset();
    state_ = std::make_unique<State>(store_.get(), max_clean_blocks_, max_near_timers_, segment_bytes_);
    CHECK_OK(state_->Load(*store_));
  }
  void BeginCheckpoint() {
    if (!pending_) pending_ = state_->TakeCheckpoint();
  }
  void EndCheckpoint() {
    if (!pending_) return;
    CHECK_OK(store_->Write(TakeOperations(&*pending_)));
    state_->Written(*pending_, /*durable=*/true);
    pending_.reset();
  }

  // Brings in far timers; between the two calls anything may happen.
  void BeginReading() {
    const TimerTable& timers = state_->timers();
    absl::StatusOr<TimerTable::Reading> reading = TimerTable::ReadFrom(*store_, timers.horizon(), timers.max_near());
    CHECK_OK(reading.status());
    reading_.emplace(timers.generation(), *std::move(reading));
  }
  void EndReading() {
    if (reading_) state_->timers().InstallNear(reading_->first, reading_->second);
    reading_.reset();
  }

  absl::StatusOr<Answer> Apply(const LoggedRecord& record) {
    absl::StatusOr<Command> command = DecodeCommand(record.type, record.payload);
    if (!command.ok()) return command.status();
    absl::StatusOr<Outcome> outcome = state_->Apply(record.info, *command);
    if (!outcome.ok()) return outcome.status();
    return Answer{state_->hash(), Describe(*outcome)};
  }

 private:
  const size_t max_clean_blocks_;
  const size_t max_near_timers_;
  const uint64_t segment_bytes_;
  const std::unique_ptr<storage::KeyValueStore> store_ = storage::NewMemoryStore();
  std::unique_ptr<State> state_;
  std::optional<State::Checkpoint> pending_;
  std::optional<std::pair<uint64_t, TimerTable::Reading>> reading_;  // With its generation.
};

class Story {
 public:
  explicit Story(uint64_t seed) : random_(seed), segment_bytes_(uint64_t{1} << (14 + seed % 10)) {}

  // Everything that a run proves; what happened is added to `facts`.
  void All(Facts* facts) {
    Write(facts);
    if (!::testing::Test::HasFailure()) ReplayInOnePiece();
    if (!::testing::Test::HasFailure()) ReplayWithCrashes();
  }

 private:
  // Random commands through a leader's state.
  void Write(Facts* facts) {
    Replica leader(/*max_clean_blocks=*/1 + random_.Below(3), /*max_near_timers=*/1 + random_.Below(20),
                   segment_bytes_);
    CommandGenerator generator(&random_, &leader.state());
    // Records that change nothing come first, so that counts and hashes of 4,096 records are met.
    const LogIndex quiet = random_.OneIn(2) ? random_.Below(50) : 4096 * (1 + random_.Below(2)) - random_.Below(450);
    for (LogIndex i = 0; i < quiet; ++i) {
      Propose(log::EpochStart());
      CHECK_OK(leader.state().Apply(records_.back().info, log::EpochStart()).status());
      answers_.push_back({leader.state().hash(), ""});
      generator.Applied(leader.state().applied_index(), leader.state().hash());
    }
    Propose(generator.MakeEpochStart());
    CHECK_OK(leader.Apply(records_.back()).status());
    answers_.push_back({leader.state().hash(), ""});
    generator.Applied(leader.state().applied_index(), leader.state().hash());
    for (int i = 0; i < kCommands; ++i) {
      if (random_.OneIn(30)) leader.BeginCheckpoint();
      if (random_.OneIn(10)) leader.EndCheckpoint();
      if (random_.OneIn(10)) leader.BeginReading();
      if (random_.OneIn(5)) leader.EndReading();
      if (random_.OneIn(3)) now_us_ += static_cast<int64_t>(random_.Below(3'000'000));
      const Command command = generator.Next(now_us_);
      Propose(command);
      const size_t queues = leader.state().queues().size();
      const size_t open = leader.state().transactions().open().size();
      const size_t offsets = leader.state().offsets().all().size();
      const auto before = leader.state().cursors();
      const uint64_t sends = leader.state().sends().size();
      const absl::StatusOr<Outcome> outcome = leader.state().Apply(records_.back().info, command);
      ASSERT_TRUE(outcome.ok()) << outcome.status();
      answers_.push_back({leader.state().hash(), Describe(*outcome)});
      generator.Applied(leader.state().applied_index(), leader.state().hash());
      if (const auto* deliver = std::get_if<log::Deliver>(&command)) {
        for (const Outcome::Delivered& d : outcome->delivered) {
          log::DeliveryRef ref;
          ref.set_group_id(deliver->group_id());
          *ref.mutable_queue() = deliver->queue();
          ref.set_offset(d.offset);
          ref.set_nonce(records_.back().info.index);
          if (random_.OneIn(4)) generator.Keep(ref);
        }
      }
      if (const auto* schedule = std::get_if<log::Schedule>(&command)) {
        for (size_t i = 0; i < outcome->entered.size(); ++i) {
          if (outcome->entered[i]) continue;
          log::TimerRef ref;
          ref.set_deliver_at(schedule->entries(static_cast<int>(i)).deliver_at());
          ref.set_log_index(records_.back().info.index);
          ref.set_entry(static_cast<uint32_t>(i));
          generator.Keep(ref);
        }
      }
      if (const auto* prepare = std::get_if<log::Prepare>(&command)) {
        for (int entry = 0; entry < prepare->entries_size(); ++entry) {
          generator.Keep(TransactionKey{records_.back().info.index, static_cast<uint32_t>(entry)});
        }
      }
      if (std::holds_alternative<log::ConfigureQueue>(command) && leader.state().transactions().open().size() < open) {
        facts->insert("ConfigureQueue drops transactions");
      }
      if (std::holds_alternative<log::ConfigureQueue>(command) && leader.state().offsets().all().size() < offsets) {
        facts->insert("ConfigureQueue drops offsets");
      }
      if (const auto* seek = std::get_if<log::SeekCursor>(&command); seek != nullptr && outcome->status.ok()) {
        const auto it = before.find(CursorKey{GroupId(seek->group_id()), KeyOf(seek->queue())});
        if (it == before.end()) facts->insert("SeekCursor opens");
        if (it != before.end() && outcome->first_offset < it->second.next) facts->insert("SeekCursor back");
      }
      for (const QueueKey& queue : outcome->queues) {
        if (std::holds_alternative<log::FireTimer>(command) && leader.state().FindQueue(queue)->deleted)
          facts->insert("FireTimer of a deleted queue");
      }
      if (std::holds_alternative<log::CancelTimer>(command) && leader.state().queues().size() < queues) {
        facts->insert("CancelTimer erases a queue");
      }
      Note(command, *outcome, now_us_, facts);
      if (leader.state().sends().size() < sends) facts->insert("sends expire");
      if (sends > 0 && sends == leader.state().sends().bounds().ids) facts->insert("sends make room");
      for (const auto& [key, cursor] : before) {
        const Cursor* const after = leader.state().FindCursor(key);
        if (cursor.ordered && after != nullptr && IsAbout(command, key))
          NoteOrder(command, *outcome, cursor, *after, facts);
      }
    }
    Verify(leader.state());
  }

  void ReplayInOnePiece() {
    Replica replica(/*max_clean_blocks=*/1000, /*max_near_timers=*/1000, segment_bytes_);
    for (size_t i = 0; i < records_.size(); ++i) Replay(i, &replica);
    Verify(replica.state());
  }

  // Batches of random lengths; between them checkpoints begin, end, and the process dies and starts from the last one.
  void ReplayWithCrashes() {
    Replica replica(/*max_clean_blocks=*/random_.Below(2), /*max_near_timers=*/1 + random_.Below(3), segment_bytes_);
    size_t next = 0;
    while (next < records_.size() && !::testing::Test::HasFailure()) {
      const size_t end = std::min(records_.size(), next + 1 + random_.Below(next + 600 < records_.size() ? 2000 : 60));
      for (; next < end; ++next) Replay(next, &replica);
      if (random_.OneIn(3)) replica.EndReading();
      if (random_.OneIn(3)) replica.EndCheckpoint();
      if (random_.OneIn(3)) replica.BeginReading();
      if (random_.OneIn(2)) replica.BeginCheckpoint();
      if (random_.OneIn(2)) replica.EndCheckpoint();
      if (random_.OneIn(5)) {
        replica.Restart();
        next = replica.state().applied_index();
        if (next > 0) {
          ASSERT_EQ(replica.state().hash(), answers_[next - 1].hash) << "loaded at record " << next;
          Verify(replica.state());
        }
      }
    }
    Verify(replica.state());
  }

  void Replay(size_t place, Replica* replica) {
    if (::testing::Test::HasFailure()) return;
    const absl::StatusOr<Answer> answer = replica->Apply(records_[place]);
    const absl::string_view name = CommandName(records_[place].type);
    ASSERT_TRUE(answer.ok()) << "record " << place + 1 << " " << answer.status();
    ASSERT_EQ(answer->hash, answers_[place].hash) << "after record " << place + 1 << ", " << name;
    const std::string& expected = answers_[place].outcome;
    ASSERT_TRUE(expected.empty() || answer->outcome == expected)
        << name << ": " << answer->outcome << ", not " << expected;
  }

  void Verify(State& state) {
    const absl::StatusOr<uint64_t> hash = state.RecomputeHash();
    ASSERT_TRUE(hash.ok()) << hash.status();
    ASSERT_EQ(*hash, state.hash());
    const absl::Status counts = state.VerifyCounts();
    ASSERT_TRUE(counts.ok()) << counts;
    ASSERT_EQ(WrongCounts(state), "");
  }

  void Propose(const Command& command) {
    LoggedRecord record;
    record.type = CommandType(command);
    record.payload = EncodePayload(command, Bytes(std::string(random_.Below(20), 'x'))).ToString();
    if (!records_.empty()) {
      record.info = records_.back().info;
      record.info.position = records_.back().info.end_position;
    }
    record.info.index += 1;
    record.info.epoch = 1;
    record.info.time_us = now_us_;
    record.info.end_position = record.info.position + storage::RecordSize(record.payload.size());
    record.info.bulk_offset = static_cast<uint32_t>(BulkOffset(record.payload));
    records_.push_back(std::move(record));
  }

  SeededRandom random_;
  const uint64_t segment_bytes_;
  int64_t now_us_ = 1'000'000'000;
  std::vector<LoggedRecord> records_;
  std::vector<Answer> answers_;  // Of the leader, by record.
};

TEST(ReplayTest, EveryReplayGivesTheSameAnswersAndTheSameHash) {
  uint64_t first = 1;
  uint64_t count = kSeeds;
  if (const char* seeds = std::getenv("BARID_SEEDS")) CHECK(absl::SimpleAtoi(seeds, &count));
  if (const char* one = std::getenv("BARID_SEED")) {
    CHECK(absl::SimpleAtoi(one, &first));
    count = 1;
  }
  std::map<std::string, uint64_t> runs_with;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    Facts facts;
    Story(seed).All(&facts);
    for (const std::string& fact : facts) ++runs_with[fact];
    ASSERT_FALSE(HasFailure()) << "BARID_SEED=" << seed;
  }
  if (count < kSeeds) return;  // Too few for what is rare.
  for (const std::string& fact : AllFacts()) EXPECT_GE(runs_with[fact] * 100, count) << fact << " is too rare";
  for (const auto& [fact, runs] : runs_with) EXPECT_TRUE(AllFacts().contains(fact)) << fact << " is not expected";
}

}  // namespace
}  // namespace barid::broker
