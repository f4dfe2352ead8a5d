#include "tests/simulation/checker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "base/stored_message.h"

namespace barid::broker {
namespace {

// The leader's clock is steered by up to 1 %; ticks come every 20 ms.
absl::Duration AtLeast(absl::Duration duration) { return duration * 0.98 - absl::Milliseconds(50); }

bool IsRefusal(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status) || absl::IsResourceExhausted(status) ||
         absl::IsFailedPrecondition(status);
}

}  // namespace

std::string Checker::Name(const Receipt& receipt) const {
  return absl::StrCat("m", receipt.number, " (group ", receipt.group.value(), ", topic ",
                      receipt.topic.value() & ~kDeadLetterBit, IsDeadLetterTopic(receipt.topic) ? " dead letters" : "",
                      ", queue ", receipt.queue.queue, ", offset ", receipt.offset, ", nonce ", receipt.nonce, ")");
}

void Checker::VoidTopic(TopicId topic) {
  for (Sent& sent : sent_) {
    if (sent.topic == topic) sent.is_void = true;
  }
  std::erase_if(places_, [&](const auto& place) { return std::get<0>(place.first) == topic; });
  std::erase_if(order_, [&](const auto& order) { return order.first.first == topic; });
  std::erase_if(first_, [&](const auto& first) { return first.first.topic == topic; });
  voided_.insert(topic);
  std::erase_if(progress_, [&](const auto& progress) { return std::get<1>(progress.first) == topic; });
  for (auto& [id, settle] : settles_) settle.is_void |= settle.receipt.topic == topic;
  for (auto& [id, update] : updates_) update.is_void |= update.place.second.topic == topic;
  for (auto& [id, reset] : resets_) reset.is_void |= reset.place.second.topic == topic;
  for (auto& [place, stored] : stored_) {
    if (place.second.topic == topic) stored = std::nullopt;
  }
  std::erase_if(moved_, [&](const auto& moved) { return moved.first.second.topic == topic; });
}

void Checker::DropGroup(GroupId group) {
  groups_.erase(group);
  std::erase_if(progress_, [&](const auto& progress) { return std::get<0>(progress.first) == group; });
  for (auto& [id, settle] : settles_) settle.is_void |= settle.receipt.group == group;
  // One that is subscribed again begins anew; what was delivered before may be answered after that.
  for (auto& [id, receive] : receives_) receive.is_void |= receive.call.group == group;
  for (auto& [id, reset] : resets_) reset.is_void |= reset.place.first == group;
  std::erase_if(moved_, [&](const auto& moved) { return moved.first.first == group; });
}

void Checker::ForgetDeadlines() {
  for (auto& [key, progress] : progress_) {
    progress.invisible_until = progress.first_deadline = -absl::InfiniteDuration();
    progress.is_renewed = false;
  }
}

// --- Stored offsets ---

Checker::Stored& Checker::StoredAt(const Place& place) {
  // Of a queue that began anew it is not known what was stored before.
  const Stored fresh = voided_.contains(place.second.topic) ? Stored() : Stored(Offsets{std::nullopt});
  return stored_.try_emplace(place, fresh).first->second;
}

uint64_t Checker::OnUpdateOffset(const Place& place, QueueOffset offset) {
  StoredAt(place);
  updates_[next_id_] = {place, offset};
  return next_id_++;
}

void Checker::OnUpdateOffsetAnswer(uint64_t id, const absl::Status& status) {
  const auto found = updates_.find(id);
  if (found == updates_.end()) return Violate("an update of an offset was answered twice");
  const PendingUpdate update = found->second;
  updates_.erase(found);
  if (update.is_void) return;
  Stored& stored = StoredAt(update.place);
  if (status.ok()) {
    stored = Offsets{update.offset};
  } else if (stored && !IsRefusal(status) && !absl::IsOutOfRange(status)) {
    stored->insert(update.offset);
  }
}

void Checker::OnGetOffsetAnswer(const Place& place, const OffsetResult& result) {
  if (!result.status.ok()) return;
  Stored& stored = StoredAt(place);
  if (!stored || stored->contains(result.offset)) return;
  for (const auto& [id, update] : updates_) {
    if (update.place == place && result.offset == update.offset) return;
  }
  Violate(absl::StrCat("group ", place.first.value(), " stored ", stored->begin()->value_or(-1), " for queue ",
                       place.second.queue, " of topic ", place.second.topic.value(), ", and finds ",
                       result.offset.value_or(-1)));
}

// --- Resets ---

const Checker::Moved* Checker::MovedAt(GroupId group, const QueueKey& queue) const {
  const auto found = moved_.find({group, queue});
  return found == moved_.end() ? nullptr : &found->second;
}

bool Checker::IsResetting(const Place& place) const {
  return std::any_of(resets_.begin(), resets_.end(), [&](const auto& reset) { return reset.second.place == place; });
}

bool Checker::IsInDoubt(GroupId group, const QueueKey& queue) const {
  const Moved* const moved = MovedAt(group, queue);
  return (moved != nullptr && moved->in_doubt) || IsResetting({group, queue});
}

bool Checker::WasMoved(GroupId group) const {
  return std::any_of(moved_.begin(), moved_.end(), [&](const auto& moved) { return moved.first.first == group; });
}

bool Checker::MayBePassedOver(GroupId group, const Sent& sent) const {
  if (sent.place) {
    const QueueKey queue{sent.topic, sent.place->first};
    const Moved* const moved = MovedAt(group, queue);
    return IsInDoubt(group, queue) || (moved != nullptr && sent.place->second < moved->to);
  }
  // It may have stood in any queue of its topic.
  for (const auto& [place, moved] : moved_) {
    if (place.first == group && place.second.topic == sent.topic && (moved.in_doubt || sent.at <= moved.at))
      return true;
  }
  return false;
}

uint64_t Checker::OnReset(const Place& place, QueueOffset to) {
  resets_[next_id_] = {place, to};
  return next_id_++;
}

void Checker::OnResetAnswer(uint64_t id, const ResetOffsetResult& result, LogIndex index, absl::Duration now) {
  const auto found = resets_.find(id);
  if (found == resets_.end()) return Violate("a reset was answered twice");
  const PendingReset reset = found->second;
  resets_.erase(found);
  if (reset.is_void || !groups_.contains(reset.place.first)) return;
  Moved& moved = moved_[reset.place];
  if (!result.status.ok() || result.entries.size() != 1 || !result.entries[0].status.ok()) {
    // Also after a refusal: what was delivered meanwhile was not counted.
    moved.in_doubt = true;
    return;
  }
  ++resets_done_;
  const auto& [group, queue] = reset.place;
  const ResetOffsetResult::Entry& entry = result.entries[0];
  moved = {index, entry.to, now, /*in_doubt=*/false};
  for (size_t i = 0; i < sent_.size(); ++i) {
    const Sent& sent = sent_[i];
    if (sent.topic != queue.topic || sent.is_void || !sent.place || sent.place->first != queue.queue) continue;
    const QueueOffset offset = sent.place->second;
    if (offset >= reset.to && offset < entry.to && !MayHaveAged(sent, queue.topic, now)) {
      return Violate(
          absl::StrCat("a reset of group ", group.value(), " to ", reset.to, " goes to ", entry.to, ", behind m", i));
    }
    const auto progress = progress_.find({group, queue.topic, static_cast<Number>(i)});
    if (progress == progress_.end()) continue;  // It was never delivered: the offset says whether it is to be.
    progress->second = Progress();
    progress->second.nonce = index;
    progress->second.silent_seen = groups_.at(group).silent;
    if (offset < entry.to) progress->second.fate = Fate::kSettled;
  }
  for (auto& [other, settle] : settles_)
    settle.is_void |= settle.receipt.group == group && settle.receipt.queue == queue;
}

// --- Pulls ---

void Checker::OnPullAnswer(const PullCall& call, const PullResult& result) {
  if (!result.status.ok() || !topics_.contains(call.queue.topic)) return;
  QueueOffset expected = call.offset;
  for (const Delivery& delivery : result.deliveries) {
    const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(delivery.stored.view());
    const std::optional<Number> number = view.ok() ? NumberOf(view->message_id) : std::nullopt;
    if (!number) return Violate("a pull gave a message that nobody sent");
    Sent& sent = sent_[static_cast<size_t>(*number)];
    const std::string name =
        absl::StrCat("a pull from offset ", call.offset, " gave m", *number, " at offset ", delivery.offset);
    if (sent.bytes != delivery.stored.view()) return Violate(absl::StrCat(name, ", which is not what was sent"));
    if (sent.is_void) return;
    if (sent.topic != call.queue.topic || sent.state == SendState::kRefused)
      return Violate(absl::StrCat(name, ", which is not there"));
    if (!call.tags.empty() && std::find(call.tags.begin(), call.tags.end(), sent.tag) == call.tags.end()) {
      return Violate(absl::StrCat(name, ", which its filter leaves out"));
    }
    if (delivery.offset < expected) return Violate(absl::StrCat(name, ", out of order"));
    if (call.tags.empty() && delivery.offset != expected && expected != call.offset)
      return Violate(absl::StrCat(name, ", not ", expected));
    expected = delivery.offset + 1;
    CheckPlace(call.queue.topic, call.queue.queue, delivery.offset, *number);
  }
  if (result.next_offset < expected)
    Violate(absl::StrCat("a pull from offset ", call.offset, " goes on at ", result.next_offset));
}

// --- Sends ---

Checker::Number Checker::OnSend(TopicId topic, const std::string& tag, const std::string& message_group,
                                const std::string& stored_bytes, std::optional<Due> due, absl::Duration now) {
  Sent& sent = sent_.emplace_back();
  sent.topic = topic;
  sent.tag = tag;
  sent.message_group = message_group;
  sent.bytes = stored_bytes;
  sent.at = now;
  sent.enters = now;
  if (due) {
    sent.due = due->at;
    sent.enters = std::max(now, now + due->delay);
  }
  const auto number = static_cast<Number>(sent_.size()) - 1;
  pending_sends_.insert(number);
  return number;
}

void Checker::OnSendAnswer(const std::vector<Number>& numbers, TopicId topic, const AppendResult& result) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    Sent& sent = sent_[static_cast<size_t>(numbers[i])];
    pending_sends_.erase(pending_sends_.find(numbers[i]));
    if (!result.status.ok()) {
      if (sent.state == SendState::kStored) {
        if (IsRefusal(result.status) && !sent.is_repeated)
          Violate(absl::StrCat("m", numbers[i], " was delivered, its send refused"));
      } else if (sent.state == SendState::kPending) {
        const bool is_refused = IsRefusal(result.status) && !pending_sends_.contains(numbers[i]);
        sent.state = is_refused ? SendState::kRefused : SendState::kUnknown;
      }
      continue;
    }
    if (result.entries.size() != numbers.size()) return Violate("a send of several got another number of answers");
    sent.state = SendState::kStored;
    CheckSameAnswer(numbers[i], result.entries[i], &sent);
    // A scheduled message has no place yet, and if it has, nobody says so; nor has that of a transaction.
    if (!sent.is_void && !sent.due && !sent.transaction)
      CheckPlace(topic, result.entries[i].queue, result.entries[i].offset, numbers[i]);
  }
}

void Checker::CheckSameAnswer(Number number, const AppendResult::Entry& entry, Sent* sent) {
  if (sent->is_void) return;
  if (sent->timer.value_or(entry.timer.value_or(TimerKey())) != entry.timer.value_or(TimerKey())) {
    return Violate(absl::StrCat("m", number, " was sent again, and is another scheduled message"));
  }
  if (sent->transaction_key.value_or(entry.transaction.value_or(TransactionKey())) !=
      entry.transaction.value_or(TransactionKey())) {
    return Violate(absl::StrCat("m", number, " was sent again, and is another transaction"));
  }
  sent->timer = entry.timer;
  sent->transaction_key = entry.transaction;
}

void Checker::OnRepeat(Number number) {
  Sent& sent = sent_[static_cast<size_t>(number)];
  sent.is_repeated = true;
  if (sent.state == SendState::kRefused) sent.state = SendState::kPending;
  pending_sends_.insert(number);
}

void Checker::CheckPlace(TopicId topic, int32_t queue, QueueOffset offset, Number number) {
  const auto [at, is_new] = places_.try_emplace({topic, queue, offset}, number);
  if (at->second != number) {
    return Violate(absl::StrCat("m", number, " and m", at->second, " both have offset ", offset, " of queue ", queue,
                                " of topic ", topic.value()));
  }
  const std::pair<int32_t, QueueOffset> place{queue, offset};
  if (IsDeadLetterTopic(topic)) {
    const auto [seen, first] = dead_letters_.try_emplace({topic, number}, place);
    if (seen->second != place) Violate(absl::StrCat("m", number, " is twice among the dead letters"));
    return;
  }
  Sent& sent = sent_[static_cast<size_t>(number)];
  if (sent.place && *sent.place != place) {
    return Violate(absl::StrCat("m", number, " stands at offset ", sent.place->second, " and at ", offset));
  }
  sent.place = place;
  if (!sent.message_group.empty()) order_[{topic, sent.message_group}][offset] = number;
}

// --- Recalls ---

uint64_t Checker::OnRecall(Number number) {
  recalls_[next_id_] = number;
  return next_id_++;
}

void Checker::OnRecallAnswer(uint64_t id, const absl::Status& status, absl::Duration now) {
  const auto found = recalls_.find(id);
  if (found == recalls_.end()) return Violate("a recall was answered twice");
  const Number number = found->second;
  recalls_.erase(found);
  Sent& sent = sent_[static_cast<size_t>(number)];
  if (sent.is_void) return;
  if (status.ok()) {
    if (sent.place) return Violate(absl::StrCat("m", number, " was recalled, and was delivered"));
    if (sent.recall == RecallState::kRecalled) return Violate(absl::StrCat("m", number, " was recalled twice"));
    sent.recall = RecallState::kRecalled;
    return;
  }
  if (absl::IsNotFound(status)) {
    const bool other =
        std::any_of(recalls_.begin(), recalls_.end(), [&](const auto& recall) { return recall.second == number; });
    const bool may_be_due = !exact_time_ || now >= sent.enters - absl::Milliseconds(50);
    if (!sent.place && sent.recall == RecallState::kNot && !other && !may_be_due) {
      Violate(absl::StrCat("m", number, " is not due, and could not be recalled"));
    }
    return;
  }
  if (!IsRefusal(status) && sent.recall == RecallState::kNot) sent.recall = RecallState::kMaybe;
}

// --- Transactions ---

std::optional<Checker::Number> Checker::NumberOf(absl::string_view message_id) const {
  Number number = -1;
  if (message_id.empty() || !absl::SimpleAtoi(message_id.substr(1), &number)) return std::nullopt;
  if (number < 0 || number >= static_cast<Number>(sent_.size())) return std::nullopt;
  return number;
}

void Checker::OnPrepare(Number number, absl::Duration check_after) {
  sent_[static_cast<size_t>(number)].transaction.emplace().check_after = check_after;
}

uint64_t Checker::OnEnd(Number number, bool commit, absl::Duration now) {
  ends_[next_id_] = {number, commit};
  Sent& sent = sent_[static_cast<size_t>(number)];
  if (commit && !sent.transaction->may_be_committed) sent.enters = now;
  (commit ? sent.transaction->may_be_committed : sent.transaction->may_be_rolled_back) = true;
  return next_id_++;
}

void Checker::SetCommitted(Number number, bool committed, absl::string_view what) {
  TransactionFate& transaction = *sent_[static_cast<size_t>(number)].transaction;
  if (transaction.committed.value_or(committed) != committed) {
    return Violate(
        absl::StrCat("the transaction of m", number, " was ", committed ? "rolled back" : "committed", ", and ", what));
  }
  transaction.committed = committed;
}

void Checker::OnEndAnswer(uint64_t id, const absl::Status& status) {
  const auto found = ends_.find(id);
  if (found == ends_.end()) return Violate("the end of a transaction was answered twice");
  const PendingEnd end = found->second;
  ends_.erase(found);
  Sent& sent = sent_[static_cast<size_t>(end.number)];
  if (sent.is_void) return;
  TransactionFate& transaction = *sent.transaction;
  const absl::string_view verb = end.commit ? "commit" : "rollback";
  if (status.ok()) return SetCommitted(end.number, end.commit, absl::StrCat("its ", verb, " was taken"));
  if (absl::IsAlreadyExists(status)) {
    if (!end.commit && !transaction.may_be_committed) {
      return Violate(absl::StrCat("the transaction of m", end.number, " is said to be committed, by nobody"));
    }
    return SetCommitted(end.number, !end.commit, absl::StrCat("its ", verb, " was refused"));
  }
  if (absl::IsNotFound(status) && checks_.ends_are_remembered) {
    Violate(absl::StrCat("the transaction of m", end.number, " is not known"));
  }
}

void Checker::OnCheck(const TransactionCheck& check, absl::Duration asked_at, absl::Duration now) {
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(check.stored.view());
  const std::optional<Number> number = view.ok() ? NumberOf(view->message_id) : std::nullopt;
  if (!number) return Violate("a check of a message that nobody sent");
  Sent& sent = sent_[static_cast<size_t>(*number)];
  if (sent.bytes != check.stored.view())
    return Violate(absl::StrCat("a check of m", *number, " has not what was sent"));
  if (sent.state == SendState::kRefused) return Violate(absl::StrCat("a check of m", *number, ", which was refused"));
  if (sent.is_void) return;
  if (!sent.transaction) return Violate(absl::StrCat("a check of m", *number, ", which is no transaction"));
  if (sent.topic != check.queue.topic) return Violate(absl::StrCat("a check of m", *number, " for another topic"));
  TransactionFate& transaction = *sent.transaction;
  if (transaction.committed || transaction.discarded || sent.place) {
    return Violate(absl::StrCat("a check of m", *number, ", whose transaction has ended"));
  }
  if (exact_time_ && now - sent.at < AtLeast(transaction.check_after)) {
    return Violate(absl::StrCat("m", *number, " was checked after ", absl::FormatDuration(now - sent.at)));
  }
  ++transaction.checks;
  if (transaction.checks > checks_.most || check.check < 1 || check.check > checks_.most) {
    return Violate(absl::StrCat("m", *number, " was checked ", transaction.checks,
                                " times, the last is said to be check ", check.check));
  }
  if (check.check <= transaction.last_check) return;  // Overtaken: its message was read for longer.
  if (exact_time_ && transaction.last_check > 0 && now - transaction.asked_at < AtLeast(checks_.interval)) {
    return Violate(
        absl::StrCat("m", *number, " was checked again after ", absl::FormatDuration(now - transaction.asked_at)));
  }
  transaction.last_check = check.check;
  transaction.asked_at = asked_at;
}

void Checker::OnDiscarded(TopicId topic, const std::string& message_id, absl::Duration now) {
  const std::optional<Number> number = NumberOf(message_id);
  if (!number) return Violate("something was discarded that nobody sent");
  Sent& sent = sent_[static_cast<size_t>(*number)];
  if (sent.is_void) return;
  if (!sent.transaction || sent.topic != topic)
    return Violate(absl::StrCat("m", *number, " was discarded, and is no transaction there"));
  TransactionFate& transaction = *sent.transaction;
  if (std::exchange(transaction.discarded, true)) return Violate(absl::StrCat("m", *number, " was discarded twice"));
  if (sent.place) return Violate(absl::StrCat("m", *number, " was discarded, and was delivered"));
  SetCommitted(*number, false, "it was discarded");
  const absl::Duration checked = transaction.check_after + checks_.most * checks_.interval;
  if (exact_time_ && now - sent.at < AtLeast(std::min(checks_.max_age, checked))) {
    Violate(absl::StrCat("m", *number, " was discarded at the age of ", absl::FormatDuration(now - sent.at)));
  }
}

void Checker::CheckNoTransactionIsLost() {
  for (size_t number = 0; number < sent_.size(); ++number) {
    const Sent& sent = sent_[number];
    if (sent.is_void || !sent.transaction || sent.state != SendState::kStored) continue;
    const TransactionFate& transaction = *sent.transaction;
    if (transaction.discarded || transaction.may_be_committed || transaction.may_be_rolled_back) continue;
    Violate(absl::StrCat("the transaction of m", number, ", which nobody ended, is lost"));
  }
}

// --- Receives ---

uint64_t Checker::OnReceive(const ReceiveCall& call, absl::Duration now) {
  // A repeated attempt begins with a first deadline again, whether its answer is seen or not.
  if (!call.attempt_id.empty() && IsOrdered(call.group)) {
    for (auto it = progress_.lower_bound({call.group, TopicId(), 0});
         it != progress_.end() && std::get<GroupId>(it->first) == call.group; ++it) {
      if (it->second.attempt_id == call.attempt_id && it->second.client == call.client_id) EndRenewal(&it->second);
    }
  }
  receives_[next_id_] = {call, now, first_, /*is_void=*/false};
  return next_id_++;
}

int64_t Checker::PendingReceivesOf(GroupId group, TopicId topic) const {
  return std::count_if(receives_.begin(), receives_.end(), [&](const auto& receive) {
    return receive.second.call.group == group && receive.second.call.topic == topic && !receive.second.is_void;
  });
}

std::vector<Checker::Receipt> Checker::OnReceiveAnswer(uint64_t id, const ReceiveResult& result, absl::Duration now,
                                                       bool powered) {
  const auto found = receives_.find(id);
  if (found == receives_.end()) {
    Violate("a receive was answered twice");
    return {};
  }
  const PendingReceive receive = std::move(found->second);
  receives_.erase(found);
  std::vector<Receipt> receipts;
  const auto group = groups_.find(receive.call.group);
  if (group == groups_.end()) return receipts;
  if (receive.is_void) {
    for (const Delivery& delivery : result.deliveries) {
      if (delivery.nonce > group->second.group.since_index)
        Violate("a receive outlived that its group was unsubscribed");
    }
    return receipts;
  }
  // While the disk fails, bodies cannot be read, and what was delivered is not answered.
  if (!result.status.ok() || !powered) ++group->second.silent;
  if (static_cast<int32_t>(result.deliveries.size()) > receive.call.max_messages)
    Violate("more messages than were asked for");
  const auto topic = topics_.find(receive.call.topic);
  if (topic != topics_.end() && topic->second.is_priority) CheckPriorities(result);
  for (const Delivery& delivery : result.deliveries) {
    const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(delivery.stored.view());
    const std::optional<Number> number = view.ok() ? NumberOf(view->message_id) : std::nullopt;
    if (!number) {
      Violate("a message that nobody sent");
      return {};
    }
    CheckDelivery(receive, delivery, *number, now);
    receipts.push_back({receive.call.group, receive.call.topic, *number, delivery.queue, delivery.offset,
                        delivery.nonce, delivery.attempt, receive.call.auto_renew, receive.call.client_id});
    ++delivered_;
  }
  return receipts;
}

void Checker::CheckPriorities(const ReceiveResult& result) {
  std::set<int32_t> seen;
  int32_t last = -1;
  for (const Delivery& delivery : result.deliveries) {
    const int32_t priority = delivery.queue.queue;
    if (priority == last) continue;
    if (!oldest_first_ && last >= 0 && priority > last)
      return Violate(absl::StrCat("an answer has a message of priority ", priority, " behind one of ", last));
    if (!seen.insert(priority).second)
      return Violate(absl::StrCat("an answer has messages of priority ", priority, " in two places"));
    last = priority;
  }
}

bool Checker::Matches(const Group& group, const Sent& sent) const {
  return group.tags.empty() || std::find(group.tags.begin(), group.tags.end(), sent.tag) != group.tags.end();
}

bool Checker::MayBeExhausted(const GroupState& group, const Progress& progress) const {
  return progress.max_attempt - 1 + group.silent - progress.silent_seen >= group.group.max_attempts;
}

void Checker::CheckDelivery(const PendingReceive& receive, const Delivery& delivery, Number number,
                            absl::Duration now) {
  GroupState& state = groups_.at(receive.call.group);
  const Group& group = state.group;
  const TopicId topic = receive.call.topic;
  const bool is_dead_letter = IsDeadLetterTopic(topic);
  const std::string name = Name({receive.call.group, topic, number, delivery.queue, delivery.offset, delivery.nonce,
                                 delivery.attempt, receive.call.auto_renew, receive.call.client_id});
  Sent& sent = sent_[static_cast<size_t>(number)];

  // It is a message that was sent, as it was sent.
  if (sent.bytes != delivery.stored.view()) return Violate(absl::StrCat(name, " is not what was sent"));
  if (!is_dead_letter && sent.topic != topic) return Violate(absl::StrCat(name, " was sent to another topic"));
  if (delivery.queue.topic != topic) return Violate(absl::StrCat(name, " comes from another topic's queue"));
  if (sent.state == SendState::kRefused) return Violate(absl::StrCat(name, " was refused when it was sent"));
  if (!is_dead_letter && sent.is_void) return;
  if (!is_dead_letter) sent.state = SendState::kStored;
  if (sent.due && delivery.store_time < *sent.due) {
    return Violate(absl::StrCat(name, " was delivered ", absl::FormatDuration(*sent.due - delivery.store_time),
                                " before it was due"));
  }
  if (sent.transaction && !is_dead_letter) {
    if (!sent.transaction->may_be_committed)
      return Violate(absl::StrCat(name, " was delivered, and nobody committed it"));
    SetCommitted(number, true, "it was delivered");
  }
  if (sent.recall == RecallState::kRecalled) return Violate(absl::StrCat(name, " was recalled, and was delivered"));
  sent.recall = RecallState::kNot;
  if (!Matches(group, sent)) return Violate(absl::StrCat(name, " does not match the filter"));
  CheckPlace(topic, delivery.queue.queue, delivery.offset, number);
  const auto first = receive.first.find(delivery.queue);
  if (first != receive.first.end() && delivery.offset < first->second && !voided_.contains(topic)) {
    return Violate(absl::StrCat(name, " had expired"));
  }
  const bool may_be_moved = MovedAt(group.id, delivery.queue) != nullptr || IsInDoubt(group.id, delivery.queue);
  if (group.start && delivery.store_time < *group.start && !may_be_moved)
    return Violate(absl::StrCat(name, " is older than the group's start"));

  if (is_dead_letter) {
    if (!delivery.origin || delivery.origin->message_id != absl::StrCat("m", number)) {
      return Violate(absl::StrCat(name, " does not know its origin"));
    }
    // It left its group for a reason.
    const auto mourned = groups_.find(DeadLetterGroup(topic));
    const auto origin = progress_.find({DeadLetterGroup(topic), sent.topic, number});
    if (mourned != groups_.end() && !sent.is_void && !WasMoved(mourned->first)) {
      if (origin == progress_.end() && mourned->second.silent == 0)
        return Violate(absl::StrCat(name, " was never delivered"));
      if (origin != progress_.end()) {
        Progress& left = origin->second;
        if (left.fate == Fate::kSettled) return Violate(absl::StrCat(name, " is a dead letter, and was acknowledged"));
        if (left.fate == Fate::kOwed && left.is_renewed && now < InvisibleUntil(left)) {
          return Violate(absl::StrCat(name, " is a dead letter, and ", left.client, ", who lives, has it"));
        }
        if (left.fate == Fate::kOwed && !MayBeExhausted(mourned->second, left) &&
            PendingReceivesOf(DeadLetterGroup(topic), sent.topic) == 0) {
          return Violate(absl::StrCat(name, " is a dead letter without cause"));
        }
        left.fate = Fate::kMoved;
      } else {
        progress_[{DeadLetterGroup(topic), sent.topic, number}].fate = Fate::kMoved;
      }
    }
  }

  if (IsInDoubt(group.id, delivery.queue)) return;
  if (const Moved* const moved = MovedAt(group.id, delivery.queue)) {
    if (delivery.nonce < moved->index) return;  // From before a reset, and answered late.
    if (delivery.offset < moved->to) return Violate(absl::StrCat(name, " was delivered after a reset to ", moved->to));
  }

  // The group is owed it, now, with this attempt.
  Progress& progress = progress_[{group.id, topic, number}];
  if (delivery.nonce < progress.nonce) return;  // Answered late, and delivered again meanwhile.
  if (delivery.nonce == progress.nonce) {
    if (IsRepeat(receive, delivery, name, &progress)) return;
    return Violate(absl::StrCat(name, " was delivered twice by one record"));
  }
  if (progress.fate == Fate::kSettled) return Violate(absl::StrCat(name, " was acknowledged, and came back"));
  if (progress.fate == Fate::kMoved) return Violate(absl::StrCat(name, " is a dead letter, and came back"));
  const int64_t unseen = state.silent - progress.silent_seen + PendingReceivesOf(group.id, topic);
  if (delivery.attempt < progress.min_attempt || delivery.attempt > progress.max_attempt + unseen) {
    return Violate(absl::StrCat(name, " has attempt ", delivery.attempt, ", expected ", progress.min_attempt, " to ",
                                progress.max_attempt + unseen));
  }
  if (!is_dead_letter && delivery.attempt > group.max_attempts) {
    return Violate(absl::StrCat(name, " has attempt ", delivery.attempt, " of ", group.max_attempts));
  }
  if (now < InvisibleUntil(progress)) {
    return Violate(absl::StrCat(name, " was delivered while ", progress.is_renewed ? progress.client : "somebody else",
                                " held it, ", absl::FormatDuration(InvisibleUntil(progress) - now), " too early"));
  }
  if (group.ordered && !is_dead_letter && !sent.message_group.empty())
    CheckOrder(state, receive, delivery, number, name, now);
  progress.held_since = -absl::InfiniteDuration();
  progress.attempt_id = receive.call.attempt_id;
  progress.client = receive.call.client_id;
  progress.fate = Fate::kOwed;
  progress.min_attempt = progress.max_attempt = delivery.attempt + 1;
  progress.silent_seen = state.silent;
  progress.nonce = delivery.nonce;
  progress.receipt_is_dead = false;
  progress.invisible_until = progress.first_deadline = receive.at + AtLeast(delivery.invisible);
  progress.may_be_renewed = receive.call.auto_renew;
  progress.is_renewed = false;
}

bool Checker::IsRepeat(const PendingReceive& receive, const Delivery& delivery, const std::string& name,
                       Progress* progress) {
  const ReceiveCall& call = receive.call;
  if (!groups_.at(call.group).group.ordered || call.attempt_id.empty()) return false;
  if (progress->attempt_id != call.attempt_id || progress->client != call.client_id) return false;
  ++repeated_;
  if (progress->fate != Fate::kOwed) return true;  // Settled by whoever had it first, while this was on its way.
  const bool given_back = progress->receipt_is_dead;
  if (delivery.attempt != progress->min_attempt - 1 && !given_back) {
    Violate(absl::StrCat(name, " was repeated as attempt ", delivery.attempt, ", it was ", progress->min_attempt - 1));
  }
  // What is known of its time may be newer than this answer.
  EndRenewal(progress);
  progress->invisible_until = std::min(progress->invisible_until, receive.at + AtLeast(delivery.invisible));
  progress->first_deadline = progress->invisible_until;
  return true;
}

void Checker::CheckOrder(const GroupState& state, const PendingReceive& receive, const Delivery& delivery,
                         Number number, const std::string& name, absl::Duration now) {
  const Sent& sent = sent_[static_cast<size_t>(number)];
  for (const auto& [offset, other] : order_[{sent.topic, sent.message_group}]) {
    const Sent& neighbour = sent_[static_cast<size_t>(other)];
    if (other == number || neighbour.is_void || !Matches(state.group, neighbour)) continue;
    if (MayHaveExpired(neighbour, sent.topic, now)) continue;
    if (const Moved* const moved = MovedAt(state.group.id, delivery.queue); moved != nullptr && offset < moved->to)
      continue;
    const auto found = progress_.find({state.group.id, sent.topic, other});
    const bool is_earlier = offset < delivery.offset;
    if (found == progress_.end()) {
      // Before the group's start, or gone before there was the group.
      if (!is_earlier || state.group.start) continue;
      if (neighbour.enters < state.group.since && MayHaveAged(neighbour, sent.topic, now)) continue;
    }
    const Progress progress = found == progress_.end() ? Progress() : found->second;
    if (progress.fate != Fate::kOwed || MayBeExhausted(state, progress)) continue;
    // In the same run; or this answer is older than what is known.
    if (progress.nonce >= delivery.nonce) continue;
    if (is_earlier) {
      return Violate(absl::StrCat(name, " was delivered while m", other, " of its message group, at offset ", offset,
                                  ", was not settled"));
    }
    // What was extended after the receive was asked for may have been so after it was delivered.
    if (now < InvisibleUntil(progress) && progress.held_since < receive.at) {
      return Violate(absl::StrCat(name, " was delivered while somebody else held m", other, " of its message group"));
    }
  }
}

// --- Renewal ---

absl::Duration Checker::LastSign(const std::string& client) const {
  const auto heard = heard_.find(client);
  return heard == heard_.end() ? leading_since_ : std::max(leading_since_, heard->second);
}

absl::Duration Checker::InvisibleUntil(const Progress& progress) const {
  if (!progress.is_renewed) return progress.invisible_until;
  const absl::Duration gone = LastSign(progress.client) + AtLeast(renewal_.silence) + AtLeast(renewal_.grace);
  return std::min(progress.invisible_until, std::max(progress.first_deadline, gone));
}

void Checker::EndRenewal(Progress* progress) {
  if (std::exchange(progress->is_renewed, false)) progress->invisible_until = progress->first_deadline;
}

void Checker::OnSent(const Receipt& receipt, absl::Duration now) {
  if (IsVoid(receipt)) return;
  Progress& progress = progress_.at({receipt.group, receipt.topic, receipt.number});
  if (progress.nonce != receipt.nonce || progress.fate != Fate::kOwed || progress.receipt_is_dead) return;
  if (!progress.may_be_renewed || progress.is_renewed) return;
  // A leader that hears of it late may let it lapse first.
  if (now + renewal_.hold_after * 1.02 + absl::Milliseconds(100) > progress.first_deadline) return;
  const bool is_repeated = std::any_of(receives_.begin(), receives_.end(), [&](const auto& receive) {
    const ReceiveCall& call = receive.second.call;
    return call.group == receipt.group && !call.attempt_id.empty() && call.attempt_id == progress.attempt_id;
  });
  if (is_repeated && IsOrdered(receipt.group)) return;
  progress.is_renewed = true;
  progress.invisible_until = now + AtLeast(renewal_.cap);
  ++renewed_;
}

void Checker::OnClients(const ClientReport& report, absl::Duration now) {
  for (const std::string& client : report.alive) {
    if (now - LastSign(client) > AtLeast(renewal_.silence)) {
      for (auto& [key, progress] : progress_) {
        if (progress.client == client) progress.invisible_until = InvisibleUntil(progress);
      }
    }
    heard_[client] = now;
  }
  for (const std::string& client : report.gone) {
    for (auto& [key, progress] : progress_) {
      if (progress.client == client) EndRenewal(&progress);
    }
  }
}

void Checker::OnLead(absl::Duration now) { leading_since_ = now; }

// --- Settling ---

bool Checker::IsVoid(const Receipt& receipt) const {
  return !groups_.contains(receipt.group) || !progress_.contains({receipt.group, receipt.topic, receipt.number}) ||
         (!IsDeadLetterTopic(receipt.topic) && sent_[static_cast<size_t>(receipt.number)].is_void) ||
         IsInDoubt(receipt.group, receipt.queue);
}

uint64_t Checker::OnSettle(const Receipt& receipt, SettleKind kind, absl::Duration delay, absl::Duration now) {
  PendingSettle settle{receipt, kind, delay, now, /*must_be_stale=*/false, /*is_void=*/false};
  settle.is_void = IsVoid(receipt);
  if (!settle.is_void) {
    const Progress& progress = progress_.at({receipt.group, receipt.topic, receipt.number});
    settle.must_be_stale =
        progress.nonce > receipt.nonce || progress.fate == Fate::kSettled || progress.fate == Fate::kMoved;
  }
  settles_[next_id_] = settle;
  return next_id_++;
}

bool Checker::MayHaveExpired(const Sent& sent, TopicId topic, absl::Duration now) const {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return false;  // Dead letters are kept for longer than we live.
  return !found->second.retention.keep_unsettled && MayHaveAged(sent, topic, now);
}

bool Checker::MayHaveAged(const Sent& sent, TopicId topic, absl::Duration now) const {
  return now - sent.enters >= AtLeast(topics_.at(topic).retention.age);
}

void Checker::OnSettleAnswer(uint64_t id, const absl::Status& status, absl::Duration now) {
  const auto found = settles_.find(id);
  if (found == settles_.end()) return Violate("a settlement was answered twice");
  const PendingSettle settle = found->second;
  settles_.erase(found);
  if (settle.is_void || IsVoid(settle.receipt)) return;
  const Receipt& receipt = settle.receipt;
  GroupState& group = groups_.at(receipt.group);
  Progress& progress = progress_.at({receipt.group, receipt.topic, receipt.number});
  const Sent& sent = sent_[static_cast<size_t>(receipt.number)];

  if (IsStaleReceipt(status)) {
    const bool is_last = progress.nonce == receipt.nonce && progress.fate == Fate::kOwed && !progress.receipt_is_dead;
    const bool unseen = group.silent != progress.silent_seen || PendingReceivesOf(receipt.group, receipt.topic) > 0;
    if (is_last && !unseen && !MayBeExhausted(group, progress) && !MayHaveExpired(sent, receipt.topic, now)) {
      Violate(absl::StrCat("the receipt of ", Name(receipt), " was taken for stale"));
    }
    return;
  }
  const bool exhausted = receipt.attempt >= group.group.max_attempts && !IsDeadLetterTopic(receipt.topic);
  if (!status.ok()) {
    if (IsRefusal(status)) return;
    // Done or not.
    switch (settle.kind) {
      case SettleKind::kAck:
        if (progress.fate == Fate::kOwed || progress.fate == Fate::kMaybeMoved) progress.fate = Fate::kMaybeSettled;
        break;
      case SettleKind::kUndelivered:
      case SettleKind::kSuspend:
        progress.min_attempt = std::max(progress.min_attempt - 1, 1);
        progress.receipt_is_dead = true;
        break;
      case SettleKind::kReturn:
      case SettleKind::kExtend:
        if (exhausted && progress.fate == Fate::kOwed) progress.fate = Fate::kMaybeMoved;
        break;
      case SettleKind::kDeadLetter:
        if (progress.fate == Fate::kOwed) progress.fate = Fate::kMaybeMoved;
        break;
    }
    progress.invisible_until = progress.first_deadline = -absl::InfiniteDuration();
    progress.may_be_renewed = progress.is_renewed = false;
    return;
  }
  if (settle.must_be_stale) return Violate(absl::StrCat("the stale receipt of ", Name(receipt), " was taken"));
  if (progress.nonce != receipt.nonce) return;  // Redelivered and answered after this was applied.
  progress.held_since = now;
  progress.may_be_renewed = progress.is_renewed = false;
  switch (settle.kind) {
    case SettleKind::kAck:
      if (progress.fate == Fate::kMoved)
        return Violate(absl::StrCat(Name(receipt), " is a dead letter, and was acknowledged"));
      progress.fate = Fate::kSettled;
      break;
    case SettleKind::kReturn:
      if (exhausted) {
        progress.fate = Fate::kMoved;
        break;
      }
      progress.invisible_until =
          settle.at + AtLeast(std::max(settle.delay, group.group.policy.DelayAfter(std::max(receipt.attempt, 1))));
      break;
    case SettleKind::kExtend:
      progress.invisible_until = settle.at + AtLeast(settle.delay);
      break;
    case SettleKind::kSuspend:
      progress.min_attempt = progress.max_attempt = receipt.attempt;
      progress.receipt_is_dead = true;
      progress.invisible_until = settle.at + AtLeast(settle.delay);
      break;
    case SettleKind::kUndelivered:
      progress.min_attempt = progress.max_attempt = receipt.attempt;
      progress.receipt_is_dead = true;
      progress.invisible_until = -absl::InfiniteDuration();
      break;
    case SettleKind::kDeadLetter:
      progress.fate = Fate::kMoved;
      break;
  }
}

// --- Crashes, retention, the end ---

void Checker::OnCrash(const Held& held) {
  for (auto& [key, progress] : progress_) {
    const auto& [group, topic, number] = key;
    const std::optional<std::pair<int32_t, QueueOffset>>& place = sent_[static_cast<size_t>(number)].place;
    if (!progress.is_renewed || !place) continue;
    if (!held.contains({{group, {topic, place->first}}, place->second, progress.nonce})) EndRenewal(&progress);
  }
  for (const Number number : pending_sends_) {
    Sent& sent = sent_[static_cast<size_t>(number)];
    if (sent.state == SendState::kPending) sent.state = SendState::kUnknown;
  }
  pending_sends_.clear();
  for (const auto& [id, receive] : receives_) {
    const auto group = groups_.find(receive.call.group);
    if (group != groups_.end() && !receive.is_void) ++group->second.silent;
  }
  receives_.clear();
  while (!recalls_.empty())
    OnRecallAnswer(recalls_.begin()->first, absl::UnknownError("crashed"), absl::ZeroDuration());
  while (!ends_.empty()) OnEndAnswer(ends_.begin()->first, absl::UnknownError("crashed"));
  while (!updates_.empty()) OnUpdateOffsetAnswer(updates_.begin()->first, absl::UnknownError("crashed"));
  while (!resets_.empty()) {
    OnResetAnswer(resets_.begin()->first, {absl::UnknownError("crashed"), {}}, 0, absl::ZeroDuration());
  }
  while (!settles_.empty())
    OnSettleAnswer(settles_.begin()->first, absl::UnknownError("crashed"), absl::ZeroDuration());
}

void Checker::CheckExpired(const QueueKey& queue, QueueOffset offset, absl::Duration now) {
  const auto place = places_.find({queue.topic, queue.queue, offset});
  if (place == places_.end()) return;
  const Sent& sent = sent_[static_cast<size_t>(place->second)];
  const ::barid::Retention& retention = topics_.at(queue.topic).retention;
  if (now - sent.enters < AtLeast(retention.age)) {
    return Violate(
        absl::StrCat("m", place->second, " expired at the age of ", absl::FormatDuration(now - sent.enters)));
  }
  if (!retention.keep_unsettled) return;
  for (const auto& [id, state] : groups_) {
    if (state.group.topic != queue.topic || !Matches(state.group, sent) || state.group.start) continue;
    if (sent.enters < state.group.since || MayBePassedOver(id, sent)) continue;
    const auto progress = progress_.find({id, queue.topic, place->second});
    // Deliveries whose answers a crash swallowed count as attempts, too.
    const Progress left = progress == progress_.end() ? Progress() : progress->second;
    const bool settled = left.fate != Fate::kOwed || MayBeExhausted(state, left);
    // An acknowledgement may be on its way home.
    const bool settling = std::any_of(settles_.begin(), settles_.end(), [&, group = id](const auto& settle) {
      return settle.second.receipt.number == place->second && settle.second.receipt.group == group;
    });
    if (!settled && !settling) {
      Violate(absl::StrCat("m", place->second, " expired before group ", id.value(), " had settled it"));
    }
  }
}

void Checker::OnStats(const std::vector<QueueStats>& stats, absl::Duration now) {
  for (const QueueStats& queue : stats) {
    QueueOffset& first = first_[queue.queue];
    // Figures are of what is applied: they may have shown a queue whose end was in the log already, and which began
    // anew since.
    if (voided_.contains(queue.queue.topic)) first = std::min(first, queue.first);
    if (queue.first < first) Violate(absl::StrCat("queue ", queue.queue.queue, " goes back to ", queue.first));
    if (topics_.contains(queue.queue.topic)) {
      for (; first < queue.first; ++first) CheckExpired(queue.queue, first, now);
    }
    first = queue.first;
  }
}

void Checker::Drained(const std::vector<QueueStats>& stats, absl::Duration now) {
  OnStats(stats, now);
  if (pending() > 0) Violate("a call was never answered");
  for (const QueueStats& queue : stats) {
    if (queue.delayed > 0) {
      Violate(absl::StrCat("queue ", queue.queue.queue, " of topic ", queue.queue.topic.value(), " has ", queue.delayed,
                           " timers that never fire"));
    }
    for (const QueueStats::Group& group : queue.groups) {
      if (!groups_.contains(group.group)) {
        Violate(absl::StrCat("group ", group.group.value(), " was deleted, and still reads"));
      } else if (group.in_flight + group.ready_again + group.parked > 0) {
        Violate(absl::StrCat("group ", group.group.value(), " has ", group.in_flight, " + ", group.ready_again, " + ",
                             group.parked, " messages in flight or parked that it never gets, topic ",
                             queue.queue.topic.value(), " queue ", queue.queue.queue));
      }
    }
  }
  CheckNothingIsOwed(nullptr, now);
}

void Checker::DrainedCounts(const Counts& counts) {
  for (const auto& [key, of_group] : counts.groups()) {
    const GroupFigures& figures = of_group->figures();
    if (figures == GroupFigures()) continue;
    Violate(absl::StrCat("group ", key.group.value(), " has consumed everything of topic ", key.topic.value(),
                         ", and counts ", figures.ready, " ready, ", figures.in_flight, " in flight, ", figures.blocked,
                         " blocked"));
  }
  for (const auto& [topic, delayed] : counts.delayed()) {
    Violate(absl::StrCat("topic ", topic.value(), " counts ", delayed, " delayed messages, and all are due"));
  }
  std::map<GroupId, int64_t> counted;
  for (const auto& [key, count] : counts.dead_letters()) counted[key.first] += count;
  for (const auto& [id, state] : groups_) {
    if (state.group.mourned) continue;
    const TopicId letters = DeadLetterTopicId(id);
    const auto seen = std::count_if(dead_letters_.begin(), dead_letters_.end(),
                                    [&](const auto& letter) { return std::get<0>(letter.first) == letters; });
    if (counted[id] != seen) {
      Violate(absl::StrCat("group ", id.value(), " counts ", counted[id], " dead letters, and ", seen, " were seen"));
    }
  }
}

void Checker::CheckNothingIsOwed(const Stuck* stuck, absl::Duration now) {
  for (const auto& [id, state] : groups_) {
    if (state.group.mourned) continue;
    const TopicId topic = state.group.topic;
    for (size_t number = 0; number < sent_.size(); ++number) {
      const Sent& sent = sent_[number];
      if (stuck != nullptr && stuck->group == id && stuck->message_group == sent.message_group) continue;
      if (stuck != nullptr && sent.due) continue;  // It may be far from due.
      if (sent.topic != topic || sent.is_void || sent.state != SendState::kStored || !Matches(state.group, sent))
        continue;
      if (sent.recall != RecallState::kNot || MayBePassedOver(id, sent)) continue;
      if (sent.transaction && !sent.transaction->committed.value_or(false)) continue;
      const auto found = progress_.find({id, topic, static_cast<Number>(number)});
      const bool is_dead_letter = dead_letters_.contains({DeadLetterTopicId(id), static_cast<Number>(number)});
      const Fate fate = found == progress_.end() ? Fate::kOwed : found->second.fate;
      if (fate == Fate::kSettled || fate == Fate::kMaybeSettled || is_dead_letter) continue;
      if (fate == Fate::kMoved) {
        Violate(absl::StrCat("m", number, " went to the dead letters of group ", id.value(), ", and is not there"));
        continue;
      }
      if (MayHaveExpired(sent, topic, now)) continue;
      if (found == progress_.end() && state.group.start) continue;  // It may be older than that.
      if (found == progress_.end() && sent.enters < state.group.since && MayHaveAged(sent, topic, now)) continue;
      Violate(absl::StrCat("m", number, ", acknowledged, was never ",
                           found == progress_.end() ? "delivered to" : "settled by", " group ", id.value(), " topic ",
                           topic.value(), " queue ", sent.place ? sent.place->first : -1, " offset ",
                           sent.place ? sent.place->second : -1));
    }
  }
}

}  // namespace barid::broker
