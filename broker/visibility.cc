#include "broker/visibility.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "broker/mutation.h"

namespace barid::broker {
namespace {

constexpr int kMaxPerRecord = 1000;                      // Deliveries that one MakeVisible or Hold names.
constexpr absl::Duration kLeastWait = absl::Seconds(1);  // To look again at a client that said goodbye.
constexpr int64_t kClientCheckMicros = 5'000'000;

void SetRef(log::DeliveryRef* ref, const CursorKey& key, QueueOffset offset, LogIndex nonce) {
  ref->set_group_id(key.group.value());
  SetKey(ref->mutable_queue(), key.queue);
  ref->set_offset(offset);
  ref->set_nonce(nonce);
}

// Gathers the statuses of a SettleCall's entries, which come from several records, and answers when all are there.
struct Settling {
  SettleResult result;
  int missing = 0;
  Callback<SettleResult> done;

  void Arrived(int count) {
    missing -= count;
    if (missing == 0) done(std::move(result));
  }
};

absl::Status Stale() { return StaleReceiptError("the message was settled or delivered again since"); }

}  // namespace

RetryPolicy Visibility::PolicyOf(GroupId group) const {
  const GroupMetadata* const found = metadata_->FindGroup(group);
  return found == nullptr ? RetryPolicy() : found->retry;
}

void Visibility::OnLead() {
  listening_since_us_ = core_->NowMicros();
  next_client_check_us_ = listening_since_us_ + kClientCheckMicros;
  last_words_.clear();
  holds_.clear();
}

void Visibility::Drain() {
  draining_ = true;
  if (!core_->leading()) return;
  const int64_t now = core_->NowMicros();
  for (DueHold& hold : holds_) hold.due_us = std::min(hold.due_us, now);
  ProposeHolds(now);
}

void Visibility::Settle(SettleCall call, Callback<SettleResult> done) {
  if (!core_->leading()) {
    SettleResult refused;
    refused.status = core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted();
    return done(std::move(refused));
  }
  auto settling = std::make_shared<Settling>();
  settling->result.entries.resize(call.entries.size());
  settling->missing = static_cast<int>(call.entries.size()) + 1;
  settling->done = std::move(done);

  const int64_t now = core_->NowMicros();
  log::Settle command;
  std::vector<size_t> places;  // Of the command's entries in the call's.
  for (size_t i = 0; i < call.entries.size(); ++i) {
    const SettleEntry& entry = call.entries[i];
    const CursorKey key{entry.group, entry.queue};
    SettleKind kind = entry.kind;
    int64_t delay_us = absl::ToInt64Microseconds(entry.delay);
    if (kind == SettleKind::kReturn) {
      const RetryPolicy policy = PolicyOf(entry.group);
      const InFlight* const delivery = core_->state().FindDelivery(key, entry.offset, entry.nonce);
      const int32_t attempts = delivery == nullptr ? 1 : delivery->attempts;
      delay_us = std::max(delay_us, absl::ToInt64Microseconds(policy.DelayAfter(attempts)));
      if (attempts >= policy.max_attempts) kind = SettleKind::kDeadLetter;
    }
    // Dead letters are not dead-lettered again.
    if (kind == SettleKind::kDeadLetter && IsDeadLetterTopic(entry.queue.topic)) {
      kind = SettleKind::kExtend;
      delay_us = std::max(delay_us, absl::ToInt64Microseconds(RetryPolicy().max));
    }
    if (kind == SettleKind::kDeadLetter) {
      Bury(key, entry.offset, entry.nonce, entry.reason.empty() ? "attempts exhausted" : entry.reason,
           [settling, i](absl::Status status) {
             settling->result.entries[i] = std::move(status);
             settling->Arrived(1);
           });
      continue;
    }
    places.push_back(i);
    log::Settle::Entry* const out = command.add_entries();
    SetRef(out->mutable_delivery(), key, entry.offset, entry.nonce);
    switch (kind) {
      case SettleKind::kAck:
        out->set_action(log::Settle::Entry::ACK);
        break;
      case SettleKind::kUndelivered:
        out->set_action(log::Settle::Entry::UNDELIVERED);
        break;
      case SettleKind::kSuspend:
        out->set_action(log::Settle::Entry::SUSPEND);
        out->set_visible_at(now + delay_us);
        break;
      case SettleKind::kReturn:
      case SettleKind::kExtend:
      case SettleKind::kDeadLetter:
        out->set_action(log::Settle::Entry::SHOW_AT);
        out->set_visible_at(now + delay_us);
        break;
    }
  }
  if (!places.empty()) {
    core_->Propose(Command(std::move(command)), Bytes(), [settling, places](absl::StatusOr<Outcome> outcome) {
      for (size_t j = 0; j < places.size(); ++j) {
        absl::Status& status = settling->result.entries[places[j]];
        if (!outcome.ok()) {
          status = outcome.status();
        } else if (!outcome->live[j]) {
          status = Stale();
        }
      }
      settling->Arrived(static_cast<int>(places.size()));
    });
  }
  settling->Arrived(1);
}

void Visibility::Bury(const CursorKey& key, QueueOffset offset, LogIndex nonce, absl::string_view reason, Buried done) {
  const Name name{key, offset, nonce};
  const InFlight* const delivery = core_->state().FindDelivery(key, offset, nonce);
  if (delivery == nullptr) {
    if (done) done(Stale());
    return;
  }
  const bool under_way = burying_.contains(name);
  std::vector<Buried>& waiting = burying_[name];
  if (done) waiting.push_back(std::move(done));
  if (under_way) return;

  const auto finish = [this, name](absl::Status status) {
    std::vector<Buried> waiting = std::move(burying_[name]);
    burying_.erase(name);
    for (Buried& done : waiting) done(status);
  };
  // The dead letter names the message that it was, so the message is read first.
  core_->WithBlock(BlockOf(key.queue, offset), [this, key, offset, nonce, finish, attempts = delivery->attempts,
                                                reason = std::string(reason)](absl::StatusOr<const IndexBlock*> block) {
    if (!block.ok()) return finish(block.status());
    const IndexEntry entry = (*block)->entries[static_cast<size_t>(offset % kBlockEntries)];
    core_->ReadBodies({entry}, [=, this](ShardCore::Bodies bodies) {
      log::Move move;
      SetRef(move.mutable_delivery(), key, offset, nonce);
      move.set_attempts(attempts);
      move.set_reason(reason);
      const TopicMetadata* const topic = metadata_->FindTopic(key.queue.topic);
      if (topic != nullptr) move.set_origin_topic(topic->name.name);
      if (bodies[0].ok()) {
        const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(bodies[0]->view());
        if (view.ok()) move.set_origin_message_id(std::string(view->message_id));
      } else {
        LOG(ERROR) << "cannot read a message that goes to the dead letters" << KV("queue", key.queue)
                   << KV("offset", offset) << KV("error", bodies[0].status());
      }
      core_->Propose(Command(std::move(move)), Bytes(), [finish](absl::StatusOr<Outcome> outcome) {
        if (!outcome.ok()) return finish(outcome.status());
        finish(outcome->status.ok() ? absl::OkStatus() : Stale());
      });
    });
  });
}

void Visibility::EndAll(const absl::Status& why) {
  for (auto& [name, waiting] : std::exchange(burying_, {})) {
    for (Buried& done : waiting) done(why);
  }
}

void Visibility::ReportSent(const SentReport& report) {
  if (!core_->leading()) return;
  const int64_t now = core_->NowMicros();
  const absl::Duration hold_after = draining_ ? absl::ZeroDuration() : core_->options().auto_renew_hold_after;
  const int64_t due = now + absl::ToInt64Microseconds(hold_after);
  bool is_urgent = draining_;
  for (const SentReport::Entry& entry : report.entries) {
    const CursorKey key{entry.group, entry.queue};
    const InFlight* const delivery = core_->state().FindDelivery(key, entry.offset, entry.nonce);
    if (delivery == nullptr || !delivery->auto_renew) continue;
    // A client may be given something before any proxy has told of it.
    last_words_[*delivery->client] = {now, /*was_goodbye=*/false};
    const DueHold hold{due, key, entry.offset, entry.nonce};
    if (delivery->invisible_until > due) {
      holds_.push_back(hold);
      continue;
    }
    // There is no time to see whether it is settled soon.
    holds_.push_front(hold);
    holds_.front().due_us = 0;
    is_urgent = true;
  }
  if (is_urgent) ProposeHolds(now);
}

void Visibility::ReportClients(const ClientReport& report) {
  if (!core_->leading()) return;
  const int64_t now = core_->NowMicros();
  // Who is in both said goodbye and came back.
  for (const std::string& client : report.gone) {
    // Of whom nothing is known here, nothing is to be held.
    const auto word = last_words_.find(client);
    if (word != last_words_.end()) word->second = {now, /*was_goodbye=*/true};
    if (core_->state().holders().contains(client)) ProposeClientGone(client, now);
  }
  for (const std::string& client : report.alive) {
    last_words_[client] = {now, /*was_goodbye=*/false};
    if (BARID_MUTATION(kHoldAgainAndAgain) && core_->state().holders().contains(client))
      core_->Propose(Command(log::Hold()), Bytes(), [](absl::StatusOr<Outcome>) {});
  }
}

// Holds before lapses: after a pause of the process both may be due.
void Visibility::Tick(int64_t now_us) {
  ProposeHolds(now_us);
  ProposeLapses(now_us);
  ProposeClientsGone(now_us);
}

void Visibility::ProposeLapses(int64_t now_us) {
  log::MakeVisible command;
  std::vector<Name> names;
  for (const auto& [deadline_us, key, offset] : core_->state().deadlines()) {
    if (deadline_us > now_us || names.size() >= kMaxPerRecord) break;
    const InFlight& delivery = core_->state().FindCursor(key)->in_flight.at(offset);
    const Name name{key, offset, delivery.nonce};
    if (holding_.contains(name) || burying_.contains(name) || !lapsing_.insert(name).second) continue;
    if (delivery.attempts >= PolicyOf(key.group).max_attempts && !IsDeadLetterTopic(key.queue.topic)) {
      lapsing_.erase(name);
      if (burying_.size() >= kMaxPerRecord) break;  // Each reads a message first.
      Bury(key, offset, delivery.nonce, "attempts exhausted", [this, key = key, offset = offset](absl::Status status) {
        if (!status.ok() && core_->leading()) {
          LOG(WARNING) << "a message could not go to the dead letters" << KV("queue", key.queue) << KV("offset", offset)
                       << KV("error", status);
        }
      });
      continue;
    }
    SetRef(command.add_deliveries(), key, offset, delivery.nonce);
    names.push_back(name);
  }
  if (names.empty()) return;
  command.set_now(now_us);
  core_->Propose(Command(std::move(command)), Bytes(), [this, names = std::move(names)](absl::StatusOr<Outcome>) {
    for (const Name& name : names) lapsing_.erase(name);
  });
}

void Visibility::ProposeHolds(int64_t now_us) {
  log::Hold command;
  while (!holds_.empty() && holds_.front().due_us <= now_us) {
    DueHold hold = holds_.front();
    holds_.pop_front();
    const InFlight* const delivery = core_->state().FindDelivery(hold.key, hold.offset, hold.nonce);
    if (delivery == nullptr || !delivery->auto_renew || delivery->visible || delivery->held) continue;
    if (BARID_MUTATION(kHoldForgotten)) continue;
    if (SaidGoodbye(*delivery->client)) {
      // It may come back before the delivery does.
      hold.due_us = now_us + absl::ToInt64Microseconds(std::max(core_->options().auto_renew_hold_after, kLeastWait));
      holds_.push_back(hold);
      continue;
    }
    if (!holding_.insert({hold.key, hold.offset, hold.nonce}).second) continue;
    SetRef(command.add_deliveries(), hold.key, hold.offset, hold.nonce);
    if (command.deliveries_size() == kMaxPerRecord) ProposeHold(std::exchange(command, log::Hold()), now_us);
  }
  if (command.deliveries_size() > 0) ProposeHold(std::move(command), now_us);
}

void Visibility::ProposeHold(log::Hold command, int64_t now_us) {
  const absl::Duration rest = core_->options().auto_renew_cap - core_->options().auto_renew_hold_after;
  command.set_cap(now_us + absl::ToInt64Microseconds(rest));
  std::vector<Name> names;
  for (const log::DeliveryRef& ref : command.deliveries()) {
    names.push_back({{GroupId(ref.group_id()), KeyOf(ref.queue())}, ref.offset(), ref.nonce()});
  }
  core_->Propose(Command(std::move(command)), Bytes(), [this, names = std::move(names)](absl::StatusOr<Outcome>) {
    for (const Name& name : names) holding_.erase(name);
  });
}

bool Visibility::SaidGoodbye(const std::string& client) const {
  const auto word = last_words_.find(client);
  return word != last_words_.end() && word->second.was_goodbye;
}

void Visibility::ProposeClientsGone(int64_t now_us) {
  if (now_us < next_client_check_us_) return;
  // Whoever was paused has heard nobody meanwhile.
  if (now_us - next_client_check_us_ > kClientCheckMicros) listening_since_us_ = now_us;
  next_client_check_us_ = now_us + kClientCheckMicros;
  int64_t silence_us = absl::ToInt64Microseconds(core_->options().client_silence);
  absl::erase_if(last_words_, [&](const auto& word) { return word.second.at_us < now_us - 2 * silence_us; });
  if (BARID_MUTATION(kGoneTooEarly)) silence_us /= 4;
  for (const auto& [client, held] : core_->state().holders()) {
    const auto word = last_words_.find(client);
    const int64_t heard_us = word == last_words_.end() ? 0 : word->second.at_us;
    const int64_t since = BARID_MUTATION(kNoTimeAfterLead) ? heard_us : std::max(listening_since_us_, heard_us);
    // A Hold may have been on its way when its client said goodbye.
    if (now_us - since > silence_us || SaidGoodbye(client)) ProposeClientGone(client, now_us);
  }
}

void Visibility::ProposeClientGone(const std::string& client, int64_t now_us) {
  LOG(INFO) << "client gone; what it holds becomes visible" << KV("client", client);
  log::ClientGone command;
  command.set_client_id(client);
  command.set_deadline(now_us + absl::ToInt64Microseconds(core_->options().client_grace));
  core_->Propose(Command(std::move(command)), Bytes(), [](absl::StatusOr<Outcome>) {});
}

}  // namespace barid::broker
