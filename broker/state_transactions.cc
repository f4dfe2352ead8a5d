// What the commands of transactions do to a State. docs/delivery.md draws the life of one.
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/state.h"

namespace barid::broker {
namespace {

TransactionKey KeyOf(const log::TransactionRef& ref) { return {ref.log_index(), ref.entry()}; }

absl::StatusOr<Resolution> ResolutionOf(const log::EndTransaction::Entry& entry) {
  switch (entry.resolution()) {
    case log::EndTransaction::Entry::COMMIT:
      return Resolution::kCommitted;
    case log::EndTransaction::Entry::ROLL_BACK:
      return Resolution::kRolledBack;
    case log::EndTransaction::Entry::DISCARD:
      return Resolution::kDiscarded;
    default:  // Of a later version, which this one must not follow.
      return absl::DataLossError(
          absl::StrCat("an EndTransaction with the unknown resolution ", static_cast<int>(entry.resolution())));
  }
}

}  // namespace

void State::OpenOne(const TransactionKey& key, const OpenTransaction& transaction) {
  transactions_.Open(key, transaction);
  if (!BARID_MUTATION(kPrepareHoldsNoLog)) ranges_.Add(transaction.RecordOf(key), 1, transaction.bytes);
}

OpenTransaction State::CloseOne(const TransactionKey& key) {
  const OpenTransaction transaction = transactions_.Close(key);
  if (!BARID_MUTATION(kPrepareHoldsNoLog)) ranges_.Add(transaction.RecordOf(key), -1, transaction.bytes);
  return transaction;
}

// Linear in the open transactions, of which there is a bounded number: topics are deleted rarely.
void State::DropTransactionsOf(const QueueKey& queue) {
  std::vector<TransactionKey> keys;
  for (const auto& [key, transaction] : transactions_.open()) {
    if (transaction.queue == queue) keys.push_back(key);
  }
  for (const TransactionKey& key : keys) CloseOne(key);
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::Prepare& command) {
  Outcome outcome;
  outcome.queue = broker::KeyOf(command.queue());
  outcome.status = CheckTakesMessages(outcome.queue);
  if (!outcome.status.ok()) return outcome;
  OpenTransaction transaction;
  transaction.queue = outcome.queue;
  transaction.position = record.position;
  transaction.offset = record.bulk_offset;
  transaction.prepared_us = record.time_us;
  uint32_t place = 0;
  for (const log::Prepare::Entry& entry : command.entries()) {
    transaction.bytes = entry.bytes();
    transaction.tag_hash = entry.tag_hash();
    transaction.check_at_us = entry.check_at();
    const SendWindow::Found found = FindSend(record, entry, place, &outcome);
    if (found.first) {
      ++place;
      transaction.offset += entry.bytes();
      continue;
    }
    if (BARID_MUTATION(kPrepareVisible)) {
      const IndexEntry pointer{record.index,      record.position,      transaction.offset,
                               transaction.bytes, transaction.tag_hash, record.time_us};
      RETURN_IF_ERROR(AddEntry(transaction.queue, pointer, std::nullopt));
    }
    if (!BARID_MUTATION(kPrepareForgotten)) OpenOne({record.index, place}, transaction);
    RememberSend(record, entry, found, {record.index, place, outcome.queue.queue, /*offset=*/-1});
    ++place;
    transaction.offset += entry.bytes();
  }
  return outcome;
}

absl::Status State::Enter(const RecordInfo& record, const log::EndTransaction::Entry& end, const TransactionKey& key,
                          const OpenTransaction& transaction, Outcome* outcome) {
  const IndexEntry pointer{transaction.RecordOf(key), transaction.position, transaction.offset,
                           transaction.bytes,         transaction.tag_hash, record.time_us};
  if (end.resolution() == log::EndTransaction::Entry::COMMIT) {
    if (BARID_MUTATION(kCommitLosesMessage)) return absl::OkStatus();
    outcome->queues.push_back(transaction.queue);
    return AddEntry(transaction.queue, pointer, std::nullopt);
  }
  if (end.resolution() == log::EndTransaction::Entry::ROLL_BACK) {
    if (!BARID_MUTATION(kRollBackCommits)) return absl::OkStatus();
    outcome->queues.push_back(transaction.queue);
    return AddEntry(transaction.queue, pointer, std::nullopt);
  }
  if (BARID_MUTATION(kDiscardLosesMessage)) return absl::OkStatus();
  const QueueKey discarded{DiscardedTopicId(transaction.queue.topic), 0};
  if (FindQueue(discarded) == nullptr) SetQueue(discarded, Queue());
  outcome->queues.push_back(discarded);
  return AddEntry(
      discarded, pointer,
      Provenance{end.origin_topic(), end.origin_message_id(), end.reason(), static_cast<int32_t>(transaction.checks)});
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::EndTransaction& command) {
  Outcome outcome;
  uint32_t place = 0;
  for (const log::EndTransaction::Entry& entry : command.entries()) {
    const TransactionKey key = KeyOf(entry.transaction());
    ASSIGN_OR_RETURN(const Resolution resolution, ResolutionOf(entry));
    Outcome::Ended& ended = outcome.ended.emplace_back();
    const OpenTransaction* const open = transactions_.FindOpen(key);
    if (open == nullptr) {
      ended.before = transactions_.FindEnded(key);
      if (BARID_MUTATION(kEndAgainTaken)) ended = {true, std::nullopt, TopicId()};
    } else {
      ended.now = true;
      const OpenTransaction transaction = BARID_MUTATION(kCommitTwice) ? *open : CloseOne(key);
      ended.topic = transaction.queue.topic;
      RETURN_IF_ERROR(Enter(record, entry, key, transaction, &outcome));
      if (!BARID_MUTATION(kOutcomeForgotten) && !BARID_MUTATION(kCommitTwice)) {
        transactions_.Remember({record.index, place}, key, resolution);
      }
    }
    ++place;
  }
  transactions_.ForgetBeyond(command.remember());
  return outcome;
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::CheckTransaction& command) {
  Outcome outcome;
  for (const log::CheckTransaction::Entry& entry : command.entries()) {
    const TransactionKey key = KeyOf(entry.transaction());
    const OpenTransaction* const open = transactions_.FindOpen(key);
    const bool applies = open != nullptr && open->checks == entry.checks();
    outcome.live.push_back(applies);
    if (!applies) continue;
    transactions_.SetCheck(key, open->checks + (BARID_MUTATION(kCheckNotCounted) ? 0 : 1),
                           BARID_MUTATION(kCheckNotDelayed) ? open->check_at_us : entry.next_at());
  }
  return outcome;
}

}  // namespace barid::broker
