#include "broker/grpc/exchange_stream.h"

#include <iterator>
#include <utility>

#include "base/status.h"
#include "codec/broker_codec.h"

namespace barid::broker {
namespace {

// Besides the bytes of messages. Rough: it only keeps frames and memory within bounds.
constexpr int64_t kEntryCost = 64;
constexpr absl::Duration kRetryAfter = absl::Milliseconds(100);

int64_t CostOf(const broker_pb::Call& call) {
  int64_t cost = kEntryCost;
  for (const auto& message : call.append().messages())
    cost += kEntryCost + static_cast<int64_t>(message.stored().size());
  cost += kEntryCost * call.settle().entries_size();
  return cost;
}

bool HasAnswer(const broker_pb::Call& call) { return !call.has_sent() && !call.has_clients(); }

int64_t EncodedCost(const AppendResult& result) { return kEntryCost * static_cast<int64_t>(1 + result.entries.size()); }
int64_t EncodedCost(const RecallResult&) { return kEntryCost; }
int64_t EncodedCost(const EndTransactionResult&) { return kEntryCost; }
int64_t EncodedCost(const ChecksResult& result) {
  int64_t cost = kEntryCost;
  for (const TransactionCheck& check : result.checks) cost += kEntryCost + static_cast<int64_t>(check.stored.size());
  return cost;
}
int64_t EncodedCost(const TransactionsResult& result) {
  return 2 * kEntryCost * static_cast<int64_t>(1 + result.transactions.size());
}
int64_t EncodedCost(const LookupResult& result) {
  auto cost = 2 * kEntryCost * static_cast<int64_t>(1 + result.events.size() + result.standings.size());
  for (const FoundMessage& message : result.messages)
    cost += 2 * kEntryCost + static_cast<int64_t>(message.stored.size());
  return cost;
}
int64_t EncodedCost(const RedriveResult&) { return kEntryCost; }
int64_t EncodedCost(const SettleResult& result) { return kEntryCost * static_cast<int64_t>(1 + result.entries.size()); }
int64_t EncodedCost(const LiteSyncResult&) { return kEntryCost; }
int64_t EncodedCost(const OffsetResult&) { return kEntryCost; }
int64_t EncodedCost(const ResetOffsetResult& result) {
  return kEntryCost * static_cast<int64_t>(1 + result.entries.size());
}
int64_t EncodedCost(const QueueStats& queue) { return kEntryCost * static_cast<int64_t>(1 + queue.groups.size()); }

}  // namespace

absl::Status ExchangeStream::Handle(const std::shared_ptr<ArenaFrame<broker_pb::CallFrame>>& frame) {
  for (const broker_pb::Call& call : frame->message->calls()) Dispatch(call, frame);
  return absl::OkStatus();
}

bool ExchangeStream::IsFull(int64_t cost) {
  MutexLock lock(&mu_);
  // One is always allowed. This one is counted.
  return bytes_under_way_ > cost && bytes_under_way_ > max_bytes_under_way_;
}

void ExchangeStream::Dispatch(const broker_pb::Call& call, const std::shared_ptr<const void>& owner) {
  const int64_t cost = CostOf(call);
  if (HasAnswer(call)) {
    MutexLock lock(&mu_);
    ++calls_under_way_;
    bytes_under_way_ += cost;
  }
  switch (call.request_case()) {
    case broker_pb::Call::kAppend:
      if (IsFull(cost)) {
        return OnAnswer(
            {call.id(),
             AppendResult{RetryAfterError(kRetryAfter, "the broker has too many bytes of this proxy's sends"), {}}},
            cost);
      }
      return broker_->Append(Decode(call.append(), owner), Answering<AppendResult>(call.id(), cost));
    case broker_pb::Call::kRecall:
      return broker_->Recall(Decode(call.recall()), Answering<RecallResult>(call.id(), cost));
    case broker_pb::Call::kEndTransaction:
      return broker_->EndTransaction(Decode(call.end_transaction()), Answering<EndTransactionResult>(call.id(), cost));
    case broker_pb::Call::kTakeChecks:
      return broker_->TakeChecks(Decode(call.take_checks()), Answering<ChecksResult>(call.id(), cost));
    case broker_pb::Call::kListTransactions:
      return broker_->ListTransactions(Decode(call.list_transactions()),
                                       Answering<TransactionsResult>(call.id(), cost));
    case broker_pb::Call::kLookup:
      return broker_->Lookup(Decode(call.lookup()), Answering<LookupResult>(call.id(), cost));
    case broker_pb::Call::kRedrive:
      return broker_->Redrive(Decode(call.redrive()), Answering<RedriveResult>(call.id(), cost));
    case broker_pb::Call::kSettle: {
      absl::StatusOr<SettleCall> settle = Decode(call.settle());
      if (!settle.ok()) return OnAnswer({call.id(), SettleResult{settle.status(), {}}}, cost);
      return broker_->Settle(*std::move(settle), Answering<SettleResult>(call.id(), cost));
    }
    case broker_pb::Call::kStats:
      return broker_->Stats(Decode(call.stats()), Answering<StatsResult>(call.id(), cost));
    case broker_pb::Call::kQueryOffset: {
      const absl::StatusOr<QueryOffsetCall> query = Decode(call.query_offset());
      if (!query.ok()) return OnAnswer({call.id(), OffsetResult{query.status()}}, cost);
      return broker_->QueryOffset(*query, Answering<OffsetResult>(call.id(), cost));
    }
    case broker_pb::Call::kGetOffset:
      return broker_->GetOffset(Decode(call.get_offset()), Answering<OffsetResult>(call.id(), cost));
    case broker_pb::Call::kUpdateOffset:
      return broker_->UpdateOffset(Decode(call.update_offset()), Answering<OffsetResult>(call.id(), cost));
    case broker_pb::Call::kResetOffset: {
      absl::StatusOr<ResetOffsetCall> reset = Decode(call.reset_offset());
      if (!reset.ok()) return OnAnswer({call.id(), ResetOffsetResult{reset.status(), {}}}, cost);
      return broker_->ResetOffset(*std::move(reset), Answering<ResetOffsetResult>(call.id(), cost));
    }
    case broker_pb::Call::kSyncLite: {
      absl::StatusOr<LiteSyncCall> sync = Decode(call.sync_lite());
      if (!sync.ok()) return OnAnswer({call.id(), LiteSyncResult{sync.status()}}, cost);
      return broker_->SyncLite(*std::move(sync), Answering<LiteSyncResult>(call.id(), cost));
    }
    case broker_pb::Call::kSent:
      return broker_->ReportSent(Decode(call.sent()));
    case broker_pb::Call::kClients:
      return broker_->ReportClients(Decode(call.clients()));
    case broker_pb::Call::REQUEST_NOT_SET:
      // Of a newer proxy. Without a result it means "not known here".
      return OnAnswer({call.id(), std::monostate()}, cost);
  }
}

template <typename Result>
Callback<Result> ExchangeStream::Answering(uint64_t id, int64_t cost) {
  return [self = std::static_pointer_cast<ExchangeStream>(shared_from_this()), id, cost](Result result) {
    self->OnAnswer({id, std::move(result)}, cost);
  };
}

void ExchangeStream::OnAnswer(Answer answer, int64_t cost) {
  {
    MutexLock lock(&mu_);
    --calls_under_way_;
    bytes_under_way_ -= cost;
    if (is_broken_ || is_finished_) return;
    answers_.push_back(std::move(answer));
  }
  FlushSoon();
}

bool ExchangeStream::Collect() {
  std::move(answers_.begin(), answers_.end(), std::back_inserter(collected_));
  answers_.clear();
  return !collected_.empty();
}

void ExchangeStream::Encode(broker_pb::AnswerFrame* frame) {
  for (int64_t budget = kFrameBytes; budget > 0 && !collected_.empty();) {
    Answer& answer = collected_.front();
    broker_pb::Answer* const out = frame->add_answers();
    out->set_id(answer.id);
    bool is_complete = true;
    if (const auto* append = std::get_if<AppendResult>(&answer.result)) {
      barid::Encode(*append, out->mutable_append());
      budget -= EncodedCost(*append);
    } else if (const auto* recall = std::get_if<RecallResult>(&answer.result)) {
      barid::Encode(*recall, out->mutable_recall());
      budget -= EncodedCost(*recall);
    } else if (const auto* ended = std::get_if<EndTransactionResult>(&answer.result)) {
      barid::Encode(*ended, out->mutable_end_transaction());
      budget -= EncodedCost(*ended);
    } else if (const auto* checks = std::get_if<ChecksResult>(&answer.result)) {
      barid::Encode(*checks, out->mutable_take_checks());
      budget -= EncodedCost(*checks);
    } else if (const auto* transactions = std::get_if<TransactionsResult>(&answer.result)) {
      barid::Encode(*transactions, out->mutable_list_transactions());
      budget -= EncodedCost(*transactions);
    } else if (const auto* lookup = std::get_if<LookupResult>(&answer.result)) {
      barid::Encode(*lookup, out->mutable_lookup());
      budget -= EncodedCost(*lookup);
    } else if (const auto* redrive = std::get_if<RedriveResult>(&answer.result)) {
      barid::Encode(*redrive, out->mutable_redrive());
      budget -= EncodedCost(*redrive);
    } else if (const auto* settle = std::get_if<SettleResult>(&answer.result)) {
      barid::Encode(*settle, out->mutable_settle());
      budget -= EncodedCost(*settle);
    } else if (const auto* offset = std::get_if<OffsetResult>(&answer.result)) {
      barid::Encode(*offset, out->mutable_offset());
      budget -= EncodedCost(*offset);
    } else if (const auto* reset = std::get_if<ResetOffsetResult>(&answer.result)) {
      barid::Encode(*reset, out->mutable_reset_offset());
      budget -= EncodedCost(*reset);
    } else if (const auto* sync = std::get_if<LiteSyncResult>(&answer.result)) {
      barid::Encode(*sync, out->mutable_sync_lite());
      budget -= EncodedCost(*sync);
    } else if (const auto* stats = std::get_if<StatsResult>(&answer.result)) {
      if (!stats->status.ok()) barid::Encode(stats->status, out->mutable_stats()->mutable_status());
      for (; budget > 0 && answer.first_queue < stats->queues.size(); ++answer.first_queue) {
        const QueueStats& queue = stats->queues[answer.first_queue];
        barid::Encode(queue, out->mutable_stats()->add_queues());
        budget -= EncodedCost(queue);
      }
      for (; budget > 0 && answer.first_count < stats->counts.size(); ++answer.first_count) {
        barid::Encode(stats->counts[answer.first_count], out->mutable_stats()->add_counts());
        budget -= kEntryCost;
      }
      is_complete = answer.first_queue == stats->queues.size() && answer.first_count == stats->counts.size();
      out->mutable_stats()->set_more(!is_complete);
      budget -= kEntryCost;
    }
    if (is_complete) collected_.pop_front();
  }
}

}  // namespace barid::broker
