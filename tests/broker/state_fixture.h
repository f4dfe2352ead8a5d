#ifndef BARID_TESTS_BROKER_STATE_FIXTURE_H_
#define BARID_TESTS_BROKER_STATE_FIXTURE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "broker/state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/key_value_store.h"
#include "tests/broker/recount.h"

namespace barid::broker {

inline constexpr QueueKey kQueue{TopicId(7), 0};
inline constexpr QueueKey kOtherQueue{TopicId(7), 1};
inline constexpr GroupId kGroup{3};
inline constexpr GroupId kOtherGroup{4};
inline constexpr QueueKey kDeadLetters{DeadLetterTopicId(kGroup), 0};
inline constexpr QueueKey kDiscarded{DiscardedTopicId(TopicId(7)), 0};
inline constexpr int64_t kSecond = 1'000'000;

// The command's name matters more than the status' text.
MATCHER_P(HasCode, code, "") { return arg.code() == code; }

// A state to which commands are applied one by one, as if they had come out of a log. The vocabulary is that of a
// shard's life; each word is one record.
class StateTest : public ::testing::Test {
 protected:
  StateTest() { Renew(); }

  // --- Records ---

  absl::StatusOr<Outcome> TryApply(const Command& command) {
    RecordInfo record = state_->applied();
    record.index += 1;
    record.epoch = 1;
    record.time_us = now_us_;
    record.position = record.end_position;
    record.end_position += 64;
    record.bulk_offset = 16;
    return state_->Apply(record, command);
  }
  Outcome Apply(const Command& command) {
    absl::StatusOr<Outcome> outcome = TryApply(command);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(state_->RecomputeHash().value(), state_->hash());
    EXPECT_EQ(state_->VerifyCounts(), absl::OkStatus());
    EXPECT_EQ(WrongCounts(*state_), "");
    return outcome.ok() ? *std::move(outcome) : Outcome();
  }

  Outcome Configure(QueueKey queue = kQueue) { return ConfigureAs(queue, /*deleted=*/false); }
  Outcome Delete(QueueKey queue = kQueue) { return ConfigureAs(queue, /*deleted=*/true); }
  // Messages of these sizes, in one record.
  Outcome Send(std::vector<uint32_t> sizes, QueueKey queue = kQueue) {
    log::Append command;
    SetKey(command.mutable_queue(), queue);
    for (const uint32_t bytes : sizes) {
      log::Append::Entry* const entry = command.add_entries();
      entry->set_bytes(bytes);
      entry->set_tag_hash(bytes * 10);
    }
    return Apply(command);
  }
  // A message of one byte for each of these message groups, in one record; 0: without one.
  Outcome SendGrouped(const std::vector<uint64_t>& message_groups, QueueKey queue = kQueue) {
    log::Append command;
    SetKey(command.mutable_queue(), queue);
    for (const uint64_t message_group : message_groups) {
      log::Append::Entry* const entry = command.add_entries();
      entry->set_bytes(1);
      entry->set_message_group(message_group);
    }
    return Apply(command);
  }
  Outcome SendMany(int64_t messages, QueueKey queue = kQueue) {
    return Send(std::vector<uint32_t>(static_cast<size_t>(messages), 1), queue);
  }
  Outcome Subscribe(QueueOffset start = 0, GroupId group = kGroup, QueueKey queue = kQueue) {
    log::OpenCursor command;
    command.set_group_id(group.value());
    SetKey(command.mutable_queue(), queue);
    command.set_start(start);
    return Apply(command);
  }
  Outcome SubscribeOrdered(QueueOffset start = 0, GroupId group = kGroup, QueueKey queue = kQueue) {
    log::OpenCursor command;
    command.set_group_id(group.value());
    SetKey(command.mutable_queue(), queue);
    command.set_start(start);
    command.set_ordered(true);
    return Apply(command);
  }
  // Offsets [from, to), delivered for the first time, but those in `without`.
  Outcome Deliver(QueueOffset from, QueueOffset to, std::vector<QueueOffset> without = {}) {
    log::Deliver command = DeliverTo("ann");
    command.set_from(from);
    command.set_to(to);
    for (QueueOffset offset = from; offset < to; ++offset) {
      if (std::find(without.begin(), without.end(), offset) == without.end()) command.add_first_offsets(offset);
    }
    return Apply(command);
  }
  Outcome DeliverAgain(std::vector<QueueOffset> offsets, const std::string& client = "ann") {
    log::Deliver command = DeliverTo(client);
    const Cursor* const cursor = state_->FindCursor({kGroup, kQueue});
    if (cursor != nullptr) {
      command.set_from(cursor->next);
      command.set_to(cursor->next);
    }
    for (const QueueOffset offset : offsets) command.add_again_offsets(offset);
    return Apply(command);
  }
  // The scan moves to `to`; delivers these and parks those, and what was parked or came back.
  Outcome DeliverOrdered(QueueOffset to, std::vector<QueueOffset> first, std::vector<QueueOffset> parked,
                         std::vector<QueueOffset> unparked = {}, std::vector<QueueOffset> again = {}) {
    log::Deliver command = DeliverTo("ann");
    command.set_from(cursor().next);
    command.set_to(to);
    command.mutable_first_offsets()->Add(first.begin(), first.end());
    command.mutable_parked_offsets()->Add(parked.begin(), parked.end());
    command.mutable_unparked_offsets()->Add(unparked.begin(), unparked.end());
    command.mutable_again_offsets()->Add(again.begin(), again.end());
    return Apply(command);
  }
  Outcome Redeliver(std::vector<QueueOffset> offsets, uint64_t attempt_id_hash = 99,
                    const std::string& client = "ann") {
    log::Redeliver command;
    command.set_group_id(kGroup.value());
    SetKey(command.mutable_queue(), kQueue);
    command.mutable_offsets()->Add(offsets.begin(), offsets.end());
    command.set_client_id(client);
    command.set_attempt_id_hash(attempt_id_hash);
    command.set_auto_renew(auto_renew_);
    command.set_invisible_until(now_us_ + 30 * kSecond);
    return Apply(command);
  }
  log::Deliver DeliverTo(const std::string& client) const {
    log::Deliver command;
    command.set_group_id(kGroup.value());
    SetKey(command.mutable_queue(), kQueue);
    command.set_client_id(client);
    command.set_attempt_id_hash(99);
    command.set_auto_renew(auto_renew_);
    command.set_invisible_until(now_us_ + 30 * kSecond);
    return command;
  }
  Outcome Skip(QueueOffset from, QueueOffset to, GroupId group = kGroup) {
    log::Skip command;
    command.set_group_id(group.value());
    SetKey(command.mutable_queue(), kQueue);
    command.set_from(from);
    command.set_to(to);
    return Apply(command);
  }
  Outcome Settle(log::DeliveryRef ref, log::Settle::Entry::Action action, int64_t visible_at = 0) {
    log::Settle command;
    log::Settle::Entry* const entry = command.add_entries();
    *entry->mutable_delivery() = std::move(ref);
    entry->set_action(action);
    entry->set_visible_at(visible_at);
    return Apply(command);
  }
  Outcome Ack(log::DeliveryRef ref) { return Settle(std::move(ref), log::Settle::Entry::ACK); }
  Outcome ShowAt(log::DeliveryRef ref, int64_t time) {
    return Settle(std::move(ref), log::Settle::Entry::SHOW_AT, time);
  }
  Outcome Undelivered(log::DeliveryRef ref) { return Settle(std::move(ref), log::Settle::Entry::UNDELIVERED); }
  Outcome Hold(log::DeliveryRef ref, int64_t cap) {
    log::Hold command;
    *command.add_deliveries() = std::move(ref);
    command.set_cap(cap);
    return Apply(command);
  }
  Outcome Lapse(log::DeliveryRef ref) {
    log::MakeVisible command;
    *command.add_deliveries() = std::move(ref);
    command.set_now(now_us_);
    return Apply(command);
  }
  Outcome Gone(const std::string& client, int64_t deadline) {
    log::ClientGone command;
    command.set_client_id(client);
    command.set_deadline(deadline);
    return Apply(command);
  }
  // Dead letters of kGroup at these offsets go to a queue.
  Outcome Redrive(std::vector<QueueOffset> offsets, QueueKey to = kQueue) {
    log::Redrive command;
    command.set_group_id(kGroup.value());
    for (const QueueOffset offset : offsets) {
      log::Redrive::Entry* const entry = command.add_entries();
      entry->set_offset(offset);
      SetKey(entry->mutable_to(), to);
      const Queue* const letters = state_->FindQueue(kDeadLetters);
      if (letters == nullptr || offset < letters->first || offset >= letters->end) continue;
      entry->set_log_index(Entry(offset, kDeadLetters).index);
      entry->set_payload_offset(Entry(offset, kDeadLetters).offset);
    }
    return Apply(command);
  }
  Outcome Move(log::DeliveryRef ref) {
    log::Move command;
    *command.mutable_delivery() = std::move(ref);
    command.set_attempts(2);
    command.set_reason("poison");
    command.set_origin_topic("orders");
    command.set_origin_message_id("id-1");
    return Apply(command);
  }
  Outcome Expire(QueueOffset first, QueueKey queue = kQueue) {
    log::Expire command;
    SetKey(command.mutable_queue(), queue);
    command.set_first(first);
    return Apply(command);
  }
  Outcome Trim(LogIndex log_start) {
    log::Trim command;
    command.set_log_start(log_start);
    return Apply(command);
  }
  Outcome Close(GroupId group = kGroup) {
    log::CloseGroup command;
    command.set_group_id(group.value());
    return Apply(command);
  }
  Outcome Unsubscribe(GroupId group, TopicId topic) {
    log::CloseSubscription command;
    command.set_group_id(group.value());
    command.set_topic_id(topic.value());
    return Apply(command);
  }
  // Messages to be delivered at these times, in one record.
  Outcome Schedule(const std::vector<int64_t>& times, QueueKey queue = kQueue) {
    log::Schedule command;
    SetKey(command.mutable_queue(), queue);
    for (const int64_t time : times) {
      log::Schedule::Entry* const entry = command.add_entries();
      entry->set_bytes(50);
      entry->set_tag_hash(7);
      entry->set_deliver_at(time);
    }
    return Apply(command);
  }
  // The timer of an entry of the last record, which is a Schedule.
  log::TimerRef LastTimer(int64_t time, uint32_t entry = 0) const {
    log::TimerRef ref;
    ref.set_deliver_at(time);
    ref.set_log_index(state_->applied_index());
    ref.set_entry(entry);
    return ref;
  }
  Outcome Fire(const std::vector<log::TimerRef>& timers) {
    log::FireTimer command;
    for (const log::TimerRef& ref : timers) *command.add_timers() = ref;
    return Apply(command);
  }
  Outcome Cancel(const std::vector<log::TimerRef>& timers) {
    log::CancelTimer command;
    for (const log::TimerRef& ref : timers) *command.add_timers() = ref;
    return Apply(command);
  }
  // Messages of transactions that are to be checked at these times, in one record.
  Outcome Prepare(const std::vector<int64_t>& times, QueueKey queue = kQueue) {
    log::Prepare command;
    SetKey(command.mutable_queue(), queue);
    for (const int64_t time : times) {
      log::Prepare::Entry* const entry = command.add_entries();
      entry->set_bytes(50);
      entry->set_tag_hash(7);
      entry->set_check_at(time);
    }
    return Apply(command);
  }
  // The transaction of an entry of the last record, which is a Prepare.
  TransactionKey LastTransaction(uint32_t entry = 0) const { return {state_->applied_index(), entry}; }
  Outcome End(const std::vector<TransactionKey>& keys, log::EndTransaction::Entry::Resolution resolution) {
    log::EndTransaction command;
    for (const TransactionKey& key : keys) {
      log::EndTransaction::Entry* const entry = command.add_entries();
      entry->mutable_transaction()->set_log_index(key.index);
      entry->mutable_transaction()->set_entry(key.entry);
      entry->set_resolution(resolution);
      if (resolution != log::EndTransaction::Entry::DISCARD) continue;
      entry->set_reason("no decision");
      entry->set_origin_topic("orders");
      entry->set_origin_message_id("id-1");
    }
    command.set_remember(remembered_);
    return Apply(command);
  }
  Outcome Commit(const TransactionKey& key) { return End({key}, log::EndTransaction::Entry::COMMIT); }
  Outcome RollBack(const TransactionKey& key) { return End({key}, log::EndTransaction::Entry::ROLL_BACK); }
  Outcome Discard(const TransactionKey& key) { return End({key}, log::EndTransaction::Entry::DISCARD); }
  // A check of one that was checked so often.
  Outcome Check(const TransactionKey& key, uint32_t checks, int64_t next_at) {
    log::CheckTransaction command;
    log::CheckTransaction::Entry* const entry = command.add_entries();
    entry->mutable_transaction()->set_log_index(key.index);
    entry->mutable_transaction()->set_entry(key.entry);
    entry->set_checks(checks);
    entry->set_next_at(next_at);
    return Apply(command);
  }
  // Records that change nothing, up to this log index.
  void FillLogTo(LogIndex index) {
    while (state_->applied_index() < index) ASSERT_TRUE(TryApply(log::EpochStart()).ok());
  }

  // --- What is there ---

  // The delivery as whoever received it last knows it.
  log::DeliveryRef Receipt(QueueOffset offset, GroupId group = kGroup, QueueKey queue = kQueue) const {
    log::DeliveryRef ref;
    ref.set_group_id(group.value());
    SetKey(ref.mutable_queue(), queue);
    ref.set_offset(offset);
    const Cursor* const cursor = state_->FindCursor({group, queue});
    if (cursor != nullptr && cursor->in_flight.contains(offset)) ref.set_nonce(cursor->in_flight.at(offset).nonce);
    return ref;
  }
  const Cursor& cursor(GroupId group = kGroup, QueueKey queue = kQueue) const {
    const Cursor* const found = state_->FindCursor({group, queue});
    CHECK(found != nullptr);
    return *found;
  }
  std::vector<QueueOffset> InFlightOffsets() const {
    std::vector<QueueOffset> offsets;
    for (const auto& [offset, delivery] : cursor().in_flight) offsets.push_back(offset);
    return offsets;
  }
  std::vector<QueueOffset> Parked() const {
    std::vector<QueueOffset> offsets;
    for (const auto& [offset, message_group] : cursor().parked) offsets.push_back(offset);
    return offsets;
  }
  // Also of what is parked.
  std::vector<QueueOffset> Offered() const {
    std::vector<QueueOffset> offsets(cursor().again.begin(), cursor().again.end());
    offsets.insert(offsets.end(), cursor().released.begin(), cursor().released.end());
    std::sort(offsets.begin(), offsets.end());
    return offsets;
  }
  const InFlight& delivery(QueueOffset offset) const { return cursor().in_flight.at(offset); }
  const Queue& queue(QueueKey key = kQueue) const {
    const Queue* const found = state_->FindQueue(key);
    CHECK(found != nullptr);
    return *found;
  }
  IndexEntry Entry(QueueOffset offset, QueueKey key = kQueue) {
    return state_->index().Load(BlockOf(key, offset)).value()->entries.at(static_cast<size_t>(offset % kBlockEntries));
  }

  // --- Checkpoints ---

  // Everything so far goes to the store.
  void WriteCheckpoint() {
    const State::Checkpoint checkpoint = state_->TakeCheckpoint();
    Write(checkpoint);
    state_->Written(checkpoint, /*durable=*/true);
  }
  void Write(const State::Checkpoint& checkpoint) {
    State::Checkpoint copy = checkpoint;
    ASSERT_EQ(store_->Write(TakeOperations(&copy)), absl::OkStatus());
  }
  // A new process: the state is what the store has.
  absl::Status Reload() {
    Renew();
    return state_->Load(*store_);
  }

  std::unique_ptr<storage::KeyValueStore> store_ = storage::NewMemoryStore();
  std::unique_ptr<State> state_;
  size_t max_clean_blocks_ = 1;
  size_t max_near_timers_ = 1;
  int64_t now_us_ = 1000 * kSecond;
  bool auto_renew_ = false;
  uint64_t remembered_ = 100;  // Ends.

 private:
  Outcome ConfigureAs(QueueKey queue, bool deleted) {
    log::ConfigureQueue command;
    SetKey(command.mutable_queue(), queue);
    command.set_deleted(deleted);
    return Apply(command);
  }
  void Renew() { state_ = std::make_unique<State>(store_.get(), max_clean_blocks_, max_near_timers_); }
};

}  // namespace barid::broker

#endif  // BARID_TESTS_BROKER_STATE_FIXTURE_H_
