#include "broker/transactions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "broker/mutation.h"

namespace barid::broker {
namespace {

constexpr int64_t kDiscardMicros = 1'000'000;  // How often it is looked for what is to be discarded.
constexpr size_t kMaxDiscards = 100;           // That one record names; each message is read first.
// A proxy that came for checks so lately may come again,
constexpr int64_t kProxyMicros = 10'000'000;
// and a check waits so long for it.
constexpr int64_t kOtherProxyMicros = 3'000'000;

void SetRef(log::TransactionRef* ref, const TransactionKey& key) {
  ref->set_log_index(key.index);
  ref->set_entry(key.entry);
}

IndexEntry PointerOf(const TransactionKey& key, const OpenTransaction& t) {
  return {t.RecordOf(key), t.position, t.offset, t.bytes, t.tag_hash, t.prepared_us};
}

absl::Status Otherwise(Resolution resolution) {
  switch (resolution) {
    case Resolution::kCommitted:
      return absl::AlreadyExistsError("the transaction was committed already");
    case Resolution::kRolledBack:
      return absl::AlreadyExistsError("the transaction was rolled back already");
    case Resolution::kDiscarded:
      break;
  }
  return absl::AlreadyExistsError(
      "nobody ended the transaction in time; it was rolled back, and its message is kept for inspection");
}

absl::Status StatusOf(bool commit, Resolution resolution) {
  return commit == (resolution == Resolution::kCommitted) ? absl::OkStatus() : Otherwise(resolution);
}

std::string MessageIdOf(const absl::StatusOr<Buffer>& body) {
  if (!body.ok()) return "";
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(body->view());
  return view.ok() ? std::string(view->message_id) : "";
}

}  // namespace

void Transactions::OnLead() {
  next_discard_us_ = 0;
  asked_.clear();
  proxies_.clear();
}

absl::Status Transactions::CheckRoom(int64_t more) const {
  const int64_t open = static_cast<int64_t>(core_->state().transactions().open().size()) + preparing_;
  const int64_t most = core_->options().max_open_transactions;
  if (open + more <= most) return absl::OkStatus();
  return RetryAfterError(absl::Seconds(1),
                         absl::StrCat("the shard has ", open, " open transactions, at most ", most,
                                      " are allowed (setting broker.max_open_transactions); end some"));
}

absl::Duration Transactions::RecoveryOf(TopicId id, absl::Duration otherwise) const {
  const TopicMetadata* const topic = metadata_->FindTopic(id);
  const bool is_said = topic != nullptr && topic->transaction_recovery > absl::ZeroDuration();
  return is_said ? topic->transaction_recovery : otherwise;
}

absl::Duration Transactions::FirstCheckAfter(TopicId topic) const {
  return RecoveryOf(topic, core_->options().transaction_first_check);
}

void Transactions::End(const EndTransactionCall& call, Callback<EndTransactionResult> done) {
  if (!core_->leading()) {
    return done({core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted()});
  }
  // What is applied stays true: nothing needs to be written.
  if (const std::optional<Resolution> ended = core_->state().transactions().FindEnded(call.transaction)) {
    return done({BARID_MUTATION(kEndAgainTaken) ? absl::OkStatus() : StatusOf(call.commit, *ended)});
  }
  log::EndTransaction command;
  log::EndTransaction::Entry* const entry = command.add_entries();
  SetRef(entry->mutable_transaction(), call.transaction);
  entry->set_resolution(call.commit ? log::EndTransaction::Entry::COMMIT : log::EndTransaction::Entry::ROLL_BACK);
  command.set_remember(static_cast<uint64_t>(core_->options().remembered_transactions));
  core_->Propose(
      Command(std::move(command)), Bytes(),
      [commit = call.commit, done = std::move(done)](absl::StatusOr<Outcome> outcome) mutable {
        if (!outcome.ok()) return done({outcome.status()});
        const Outcome::Ended& ended = outcome->ended[0];
        if (ended.now) return done({absl::OkStatus()});
        if (ended.before) return done({StatusOf(commit, *ended.before)});
        done({absl::NotFoundError("the transaction is not known: it ended long ago, or its topic was deleted")});
      });
}

// --- Checks ---

bool Transactions::IsToBeDiscarded(const TransactionKey& key, const OpenTransaction& transaction,
                                   int64_t now_us) const {
  const bool exhausted =
      transaction.checks >= core_->options().max_transaction_checks && transaction.check_at_us <= now_us;
  return exhausted ||
         transaction.prepared_us + absl::ToInt64Microseconds(core_->options().max_transaction_age) <= now_us;
}

bool Transactions::IsForAnother(const TransactionKey& key, const OpenTransaction& transaction, const std::string& proxy,
                                int64_t now_us) const {
  const auto asked = asked_.find(key);
  if (asked == asked_.end() || asked->second != proxy || now_us - transaction.check_at_us > kOtherProxyMicros)
    return false;
  return std::any_of(proxies_.begin(), proxies_.end(),
                     [&](const auto& other) { return other.first != proxy && now_us - other.second < kProxyMicros; });
}

// Passes over everything that is due and cannot be given out: linear in what no proxy has a producer of. There is a
// bounded number.
void Transactions::TakeChecks(ChecksCall call, Callback<ChecksResult> done) {
  if (!core_->leading()) {
    return done(
        {core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted(), {}});
  }
  const int64_t now_us = core_->NowMicros();
  proxies_[call.proxy] = now_us;
  const absl::flat_hash_set<TopicId> topics(call.topics.begin(), call.topics.end());
  const TransactionTable& table = core_->state().transactions();
  log::CheckTransaction command;
  std::vector<TransactionKey> keys;
  int64_t bytes = 0;
  for (const auto& [check_at_us, key] : table.due()) {
    if (check_at_us > now_us || static_cast<int32_t>(keys.size()) >= call.max_checks) break;
    const OpenTransaction& transaction = *table.FindOpen(key);
    if (!topics.contains(transaction.queue.topic) || checking_.contains(key) || discarding_.contains(key)) continue;
    if (IsToBeDiscarded(key, transaction, now_us) || IsForAnother(key, transaction, call.proxy, now_us)) continue;
    bytes += transaction.bytes;
    if (!keys.empty() && bytes > call.max_bytes) break;
    log::CheckTransaction::Entry* const entry = command.add_entries();
    SetRef(entry->mutable_transaction(), key);
    entry->set_checks(transaction.checks);
    const absl::Duration until_next = RecoveryOf(transaction.queue.topic, core_->options().transaction_check_interval);
    entry->set_next_at(now_us + absl::ToInt64Microseconds(until_next));
    keys.push_back(key);
  }
  if (keys.empty() || BARID_MUTATION(kChecksNotGivenOut)) return done({});
  checking_.insert(keys.begin(), keys.end());
  const uint64_t id = next_id_++;
  takings_[id] = std::move(done);
  core_->Propose(Command(std::move(command)), Bytes(),
                 [this, id, keys = std::move(keys), proxy = call.proxy](absl::StatusOr<Outcome> outcome) {
                   for (const TransactionKey& key : keys) checking_.erase(key);
                   if (!outcome.ok()) return EndTaking(id, {outcome.status(), {}});
                   for (const TransactionKey& key : keys) asked_[key] = proxy;
                   OnChecked(id, keys, outcome->live);
                 });
}

void Transactions::OnChecked(uint64_t id, const std::vector<TransactionKey>& keys, const std::vector<bool>& live) {
  std::vector<TransactionKey> read;
  std::vector<IndexEntry> entries;
  for (size_t i = 0; i < keys.size(); ++i) {
    const OpenTransaction* const transaction = core_->state().transactions().FindOpen(keys[i]);
    if (!live[i] || transaction == nullptr) continue;
    read.push_back(keys[i]);
    entries.push_back(PointerOf(keys[i], *transaction));
  }
  core_->ReadBodies(std::move(entries), core_->IfAlive([this, id, read = std::move(read)](ShardCore::Bodies bodies) {
    ChecksResult result;
    for (size_t i = 0; i < read.size(); ++i) {
      // It may have ended meanwhile.
      const OpenTransaction* const transaction = core_->state().transactions().FindOpen(read[i]);
      if (transaction == nullptr) continue;
      if (!bodies[i].ok()) {
        LOG(ERROR) << "cannot read the message of a transaction; its producer is not asked"
                   << KV("queue", transaction->queue) << KV("transaction", read[i]) << KV("error", bodies[i].status());
        continue;
      }
      result.checks.push_back({read[i], transaction->queue, *std::move(bodies[i]),
                               absl::FromUnixMicros(transaction->prepared_us),
                               static_cast<int32_t>(transaction->checks)});
    }
    EndTaking(id, std::move(result));
  }));
}

void Transactions::EndTaking(uint64_t id, ChecksResult result) {
  const auto it = takings_.find(id);
  if (it == takings_.end()) return;
  Callback<ChecksResult> done = std::move(it->second);
  takings_.erase(it);
  done(std::move(result));
}

// --- What nobody ends ---

void Transactions::Tick(int64_t now_us) {
  if (now_us < next_discard_us_) return;
  next_discard_us_ = now_us + kDiscardMicros;
  Discard(now_us);
  ForgetAsked();
}

// Passes over all that is due and waits for a producer: as in TakeChecks.
void Transactions::Discard(int64_t now_us) {
  if (!core_->leading() || !discarding_.empty() || BARID_MUTATION(kDiscardForgotten)) return;
  const TransactionTable& table = core_->state().transactions();
  std::vector<TransactionKey> keys;
  const auto look = [&](const TransactionKey& key, const OpenTransaction& transaction) {
    if (IsToBeDiscarded(key, transaction, now_us) && discarding_.insert(key).second) keys.push_back(key);
    return keys.size() < kMaxDiscards;
  };
  // The oldest come first there,
  for (const auto& [key, transaction] : table.open()) {
    if (!look(key, transaction) || !discarding_.contains(key)) break;
  }
  // and the exhausted anywhere here.
  for (const auto& [check_at_us, key] : table.due()) {
    if (check_at_us > now_us || !look(key, *table.FindOpen(key))) break;
  }
  if (!keys.empty()) ProposeDiscards(keys);
}

// What is kept names the message that it was, so the messages are read first.
void Transactions::ProposeDiscards(const std::vector<TransactionKey>& keys) {
  std::vector<IndexEntry> entries;
  for (const TransactionKey& key : keys)
    entries.push_back(PointerOf(key, *core_->state().transactions().FindOpen(key)));
  core_->ReadBodies(std::move(entries), core_->IfAlive([this, keys](ShardCore::Bodies bodies) {
    log::EndTransaction command;
    for (size_t i = 0; i < keys.size(); ++i) {
      const OpenTransaction* const transaction = core_->state().transactions().FindOpen(keys[i]);
      if (transaction == nullptr) continue;
      log::EndTransaction::Entry* const entry = command.add_entries();
      SetRef(entry->mutable_transaction(), keys[i]);
      entry->set_resolution(log::EndTransaction::Entry::DISCARD);
      entry->set_reason(
          transaction->checks >= core_->options().max_transaction_checks
              ? absl::StrCat("no decision after ", transaction->checks, " checks")
              : absl::StrCat("no decision within ", absl::FormatDuration(core_->options().max_transaction_age)));
      entry->set_origin_message_id(MessageIdOf(bodies[i]));
      if (const TopicMetadata* const topic = metadata_->FindTopic(transaction->queue.topic))
        entry->set_origin_topic(topic->name.name);
    }
    command.set_remember(static_cast<uint64_t>(core_->options().remembered_transactions));
    const int discards = command.entries_size();
    const auto finish = [this, keys] {
      for (const TransactionKey& key : keys) discarding_.erase(key);
    };
    if (discards == 0 || !core_->leading()) return finish();
    core_->Propose(Command(std::move(command)), Bytes(),
                   [this, finish, more = keys.size() == kMaxDiscards, discards](absl::StatusOr<Outcome> outcome) {
                     finish();
                     if (!outcome.ok()) return;
                     LOG(WARNING) << "transactions discarded: nobody ended them" << KV("shard", shard_)
                                  << KV("count", discards);
                     if (more && core_->leading()) Discard(core_->NowMicros());
                   });
  }));
}

void Transactions::ForgetAsked() {
  const TransactionTable& table = core_->state().transactions();
  if (asked_.size() <= 2 * table.open().size() + 1000) return;
  absl::erase_if(asked_, [&](const auto& asked) { return table.FindOpen(asked.first) == nullptr; });
}

// --- For operators ---

void Transactions::List(const TransactionsCall& call, Callback<TransactionsResult> done) {
  const uint64_t id = next_id_++;
  listings_[id] = std::move(done);
  if (!call.discarded) return ListOpen(id, call);
  const QueueKey queue{DiscardedTopicId(call.topic), 0};
  const Queue* const found = core_->state().FindQueue(queue);
  ListDiscarded(id, queue, found == nullptr ? 0 : found->end, call.limit, {});
}

void Transactions::ListOpen(uint64_t id, const TransactionsCall& call) {
  TransactionsResult result;
  std::vector<IndexEntry> entries;
  for (const auto& [key, transaction] : core_->state().transactions().open()) {
    if (static_cast<int32_t>(entries.size()) >= call.limit) break;
    if (transaction.queue.topic != call.topic) continue;
    entries.push_back(PointerOf(key, transaction));
    TransactionInfo& info = result.transactions.emplace_back();
    info.shard = shard_;
    info.since = absl::FromUnixMicros(transaction.prepared_us);
    info.checks = static_cast<int32_t>(transaction.checks);
    info.next_check = absl::FromUnixMicros(transaction.check_at_us);
  }
  core_->ReadBodies(std::move(entries),
                    core_->IfAlive([this, id, result = std::move(result)](ShardCore::Bodies bodies) mutable {
                      for (size_t i = 0; i < bodies.size(); ++i)
                        result.transactions[i].message_id = MessageIdOf(bodies[i]);
                      EndListing(id, std::move(result));
                    }));
}

void Transactions::ListDiscarded(uint64_t id, const QueueKey& queue, QueueOffset end, int64_t left,
                                 TransactionsResult result) {
  const Queue* const found = core_->state().FindQueue(queue);
  if (found == nullptr || end <= found->first || left <= 0) return EndListing(id, std::move(result));
  core_->WithBlock(BlockOf(queue, end - 1), core_->IfAlive([this, id, queue, end, left, result = std::move(result)](
                                                               absl::StatusOr<const IndexBlock*> block) mutable {
    if (!block.ok()) return EndListing(id, {block.status(), {}});
    const Queue* const found = core_->state().FindQueue(queue);
    if (found == nullptr) return EndListing(id, std::move(result));
    const QueueOffset block_first = (end - 1) / kBlockEntries * kBlockEntries;
    for (; end > std::max(block_first, found->first) && left > 0; --left) {
      --end;
      TransactionInfo& info = result.transactions.emplace_back();
      info.shard = shard_;
      info.since = absl::FromUnixMicros((*block)->entries[static_cast<size_t>(end % kBlockEntries)].time_us);
      const auto provenance = (*block)->provenance.find(end);
      if (provenance == (*block)->provenance.end()) continue;
      info.message_id = provenance->second.message_id;
      info.reason = provenance->second.reason;
      info.checks = provenance->second.attempts;
    }
    ListDiscarded(id, queue, end, left, std::move(result));
  }));
}

void Transactions::EndListing(uint64_t id, TransactionsResult result) {
  const auto it = listings_.find(id);
  if (it == listings_.end()) return;
  Callback<TransactionsResult> done = std::move(it->second);
  listings_.erase(it);
  done(std::move(result));
}

void Transactions::EndAll(const absl::Status& why) {
  for (auto& [id, done] : std::exchange(takings_, {})) done({why, {}});
  for (auto& [id, done] : std::exchange(listings_, {})) done({why, {}});
}

}  // namespace barid::broker
