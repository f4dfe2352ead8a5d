#include "proxy/grpc/exchange_lane.h"

#include <utility>

#include "codec/broker_codec.h"

namespace barid::proxy {
namespace {

// Besides the bytes of messages. Rough: it only keeps frames and memory within bounds.
constexpr int64_t kEntryBytes = 64;
// Below what a server accepts in one frame (broker.proto).
constexpr int64_t kMaxCallBytes = 60 << 20;

int64_t BytesOf(const AppendCall& call) {
  int64_t bytes = kEntryBytes;
  for (const AppendCall::Message& message : call.messages)
    bytes += kEntryBytes + static_cast<int64_t>(message.stored.size());
  return bytes;
}
int64_t BytesOf(const RecallCall&) { return kEntryBytes; }
int64_t BytesOf(const EndTransactionCall&) { return kEntryBytes; }
int64_t BytesOf(const ChecksCall& call) { return kEntryBytes + static_cast<int64_t>(8 * call.topics.size()); }
int64_t BytesOf(const TransactionsCall&) { return kEntryBytes; }
int64_t BytesOf(const LookupCall& call) { return kEntryBytes + static_cast<int64_t>(call.text.size()); }
int64_t BytesOf(const RedriveCall& call) {
  int64_t bytes = kEntryBytes + static_cast<int64_t>(call.sql.size());
  for (const std::string& tag : call.tags) bytes += static_cast<int64_t>(tag.size());
  return bytes;
}
int64_t BytesOf(const SettleCall& call) {
  int64_t bytes = kEntryBytes;
  for (const SettleEntry& entry : call.entries) bytes += kEntryBytes + static_cast<int64_t>(entry.reason.size());
  return bytes;
}
int64_t BytesOf(const SentReport& report) { return kEntryBytes * static_cast<int64_t>(1 + report.entries.size()); }
int64_t BytesOf(const ClientReport& report) {
  return kEntryBytes * static_cast<int64_t>(1 + report.alive.size() + report.gone.size());
}
int64_t BytesOf(const StatsCall&) { return kEntryBytes; }
int64_t BytesOf(const QueryOffsetCall&) { return kEntryBytes; }
int64_t BytesOf(const GetOffsetCall&) { return kEntryBytes; }
int64_t BytesOf(const UpdateOffsetCall&) { return kEntryBytes; }
int64_t BytesOf(const ResetOffsetCall&) { return 2 * kEntryBytes; }

int64_t BytesOf(const LiteSyncCall& call) {
  int64_t bytes = 2 * kEntryBytes;
  for (const std::string& name : call.lite_topics) bytes += static_cast<int64_t>(name.size()) + 4;
  return bytes;
}

size_t EntriesOf(const ExchangeLane::Request& request) {
  if (const auto* append = std::get_if<AppendCall>(&request)) return append->messages.size();
  if (const auto* settle = std::get_if<SettleCall>(&request)) return settle->entries.size();
  return 0;
}

template <typename Result>
void FailOne(Callback<Result>* done, const absl::Status& status) {
  Result result;
  result.status = status;
  (*done)(std::move(result));
}

void Fail(ExchangeLane::Done& done, const absl::Status& status) {
  if (auto* append = std::get_if<Callback<AppendResult>>(&done)) (*append)({status, {}});
  if (auto* recall = std::get_if<Callback<RecallResult>>(&done)) (*recall)({status});
  if (auto* end = std::get_if<Callback<EndTransactionResult>>(&done)) (*end)({status});
  if (auto* checks = std::get_if<Callback<ChecksResult>>(&done)) (*checks)({status, {}});
  if (auto* transactions = std::get_if<Callback<TransactionsResult>>(&done)) (*transactions)({status, {}});
  if (auto* lookup = std::get_if<Callback<LookupResult>>(&done)) FailOne(lookup, status);
  if (auto* redrive = std::get_if<Callback<RedriveResult>>(&done)) FailOne(redrive, status);
  if (auto* settle = std::get_if<Callback<SettleResult>>(&done)) (*settle)({status, {}});
  if (auto* stats = std::get_if<Callback<StatsResult>>(&done)) (*stats)({status, {}});
  if (auto* look_up = std::get_if<ExchangeLane::LookUp>(&done)) look_up->done({status});
  if (auto* offset = std::get_if<Callback<OffsetResult>>(&done)) (*offset)({status});
  if (auto* reset = std::get_if<Callback<ResetOffsetResult>>(&done)) (*reset)({status, {}});
  if (auto* sync = std::get_if<Callback<LiteSyncResult>>(&done)) (*sync)({status});
}

// The broker may have it. Figures and look-ups change nothing, so nothing about them is in doubt.
void FailInDoubt(ExchangeLane::Done& done, const absl::Status& why) {
  if (std::holds_alternative<Callback<StatsResult>>(done) ||
      std::holds_alternative<Callback<TransactionsResult>>(done) ||
      std::holds_alternative<Callback<LookupResult>>(done) || std::holds_alternative<ExchangeLane::LookUp>(done)) {
    return Fail(done, absl::UnavailableError(why.message()));
  }
  Fail(done, absl::DeadlineExceededError(absl::StrCat("the outcome is unknown: ", why.message())));
}

absl::Status WrongAnswer(absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("the broker's answer does not fit the call, whose outcome is unknown: ", what));
}

// `answer` is the whole of it, but for figures: their last part.
void Finish(ExchangeLane::Done& done, const broker_pb::Answer& answer, size_t entries, StatsResult stats) {
  if (answer.result_case() == broker_pb::Answer::RESULT_NOT_SET) {
    return Fail(done, absl::UnimplementedError("the broker does not know this call: is it older than the proxy?"));
  }
  if (auto* append = std::get_if<Callback<AppendResult>>(&done)) {
    AppendResult result = Decode(answer.append());
    if (!answer.has_append()) return Fail(done, WrongAnswer("not one to a send"));
    if (result.status.ok() && result.entries.size() != entries) {
      return Fail(done, WrongAnswer(absl::StrCat(result.entries.size(), " entries for ", entries, " messages")));
    }
    return (*append)(std::move(result));
  }
  if (auto* recall = std::get_if<Callback<RecallResult>>(&done)) {
    if (!answer.has_recall()) return Fail(done, WrongAnswer("not one to a recall"));
    return (*recall)(Decode(answer.recall()));
  }
  if (auto* end = std::get_if<Callback<EndTransactionResult>>(&done)) {
    if (!answer.has_end_transaction()) return Fail(done, WrongAnswer("not one to the end of a transaction"));
    return (*end)(Decode(answer.end_transaction()));
  }
  if (auto* checks = std::get_if<Callback<ChecksResult>>(&done)) {
    if (!answer.has_take_checks()) return Fail(done, WrongAnswer("not one to a question for checks"));
    return (*checks)(Decode(answer.take_checks()));
  }
  if (auto* transactions = std::get_if<Callback<TransactionsResult>>(&done)) {
    if (!answer.has_list_transactions()) return Fail(done, WrongAnswer("not one to a question for transactions"));
    return (*transactions)(Decode(answer.list_transactions()));
  }
  if (auto* lookup = std::get_if<Callback<LookupResult>>(&done)) {
    if (!answer.has_lookup()) return Fail(done, WrongAnswer("not one to a search for messages"));
    return (*lookup)(Decode(answer.lookup()));
  }
  if (auto* redrive = std::get_if<Callback<RedriveResult>>(&done)) {
    if (!answer.has_redrive()) return Fail(done, WrongAnswer("not one to a redrive"));
    return (*redrive)(Decode(answer.redrive()));
  }
  if (auto* settle = std::get_if<Callback<SettleResult>>(&done)) {
    SettleResult result = Decode(answer.settle());
    if (!answer.has_settle()) return Fail(done, WrongAnswer("not one to a settle"));
    if (result.status.ok() && result.entries.size() != entries) {
      return Fail(done, WrongAnswer(absl::StrCat(result.entries.size(), " entries for ", entries)));
    }
    return (*settle)(std::move(result));
  }
  if (auto* figures = std::get_if<Callback<StatsResult>>(&done)) {
    if (!answer.has_stats()) return Fail(done, WrongAnswer("not one to a question for figures"));
    return (*figures)(std::move(stats));
  }
  if (auto* reset = std::get_if<Callback<ResetOffsetResult>>(&done)) {
    if (!answer.has_reset_offset()) return Fail(done, WrongAnswer("not one to a reset"));
    return (*reset)(Decode(answer.reset_offset()));
  }
  if (auto* sync = std::get_if<Callback<LiteSyncResult>>(&done)) {
    if (!answer.has_sync_lite()) return Fail(done, WrongAnswer("not one to a lite subscription"));
    return (*sync)(Decode(answer.sync_lite()));
  }
  if (!answer.has_offset()) return Fail(done, WrongAnswer("not one about an offset"));
  if (auto* look_up = std::get_if<ExchangeLane::LookUp>(&done)) look_up->done(Decode(answer.offset()));
  if (auto* offset = std::get_if<Callback<OffsetResult>>(&done)) (*offset)(Decode(answer.offset()));
}

}  // namespace

void ExchangeLane::Call(Request request, Done done) {
  Queued call;
  call.sent.done = std::move(done);
  call.sent.bytes = std::visit([](const auto& typed) { return BytesOf(typed); }, request);
  call.sent.entries = EntriesOf(request);
  if (call.sent.bytes > kMaxCallBytes) {
    return Fail(call.sent.done,
                absl::InvalidArgumentError(absl::StrCat("the call has ", call.sent.bytes, " bytes; at most ",
                                                        kMaxCallBytes, " may go at once")));
  }
  call.sent.deadline = clock_->SinceBoot() + options_.call_timeout;
  call.request = std::move(request);

  absl::Status begun;
  Step step = Step::kNothing;
  bool must_watch = false;
  {
    MutexLock lock(&mu_);
    begun = BeginCallOf(call.sent.bytes);
    if (begun.ok()) {
      call.id = next_id_++;
      queue_.push_back(std::move(call));
      step = NextStep();
      must_watch = MustWatchTimeouts();
    }
  }
  if (!begun.ok()) return Fail(call.sent.done, begun);
  if (must_watch) WatchTimeouts();
  Do(step);
}

bool ExchangeLane::Collect() {
  collected_.clear();
  int64_t bytes = 0;
  while (!queue_.empty() && (bytes == 0 || bytes + queue_.front().sent.bytes <= kFrameBytes)) {
    Queued& call = collected_.emplace_back(std::move(queue_.front()));
    queue_.pop_front();
    bytes += call.sent.bytes;
    if (std::holds_alternative<std::monostate>(call.sent.done)) {
      EndCall(call.sent.bytes);
    } else {
      sent_.emplace(call.id, std::move(call.sent));
    }
  }
  return !collected_.empty();
}

void ExchangeLane::Encode(broker_pb::CallFrame* frame) {
  for (const Queued& call : collected_) {
    broker_pb::Call* const out = frame->add_calls();
    out->set_id(call.id);
    if (const auto* append = std::get_if<AppendCall>(&call.request)) barid::Encode(*append, out->mutable_append());
    if (const auto* recall = std::get_if<RecallCall>(&call.request)) barid::Encode(*recall, out->mutable_recall());
    if (const auto* end = std::get_if<EndTransactionCall>(&call.request))
      barid::Encode(*end, out->mutable_end_transaction());
    if (const auto* checks = std::get_if<ChecksCall>(&call.request)) barid::Encode(*checks, out->mutable_take_checks());
    if (const auto* list = std::get_if<TransactionsCall>(&call.request))
      barid::Encode(*list, out->mutable_list_transactions());
    if (const auto* lookup = std::get_if<LookupCall>(&call.request)) barid::Encode(*lookup, out->mutable_lookup());
    if (const auto* redrive = std::get_if<RedriveCall>(&call.request)) barid::Encode(*redrive, out->mutable_redrive());
    if (const auto* settle = std::get_if<SettleCall>(&call.request)) barid::Encode(*settle, out->mutable_settle());
    if (const auto* sent = std::get_if<SentReport>(&call.request)) barid::Encode(*sent, out->mutable_sent());
    if (const auto* clients = std::get_if<ClientReport>(&call.request)) barid::Encode(*clients, out->mutable_clients());
    if (const auto* stats = std::get_if<StatsCall>(&call.request)) barid::Encode(*stats, out->mutable_stats());
    if (const auto* query = std::get_if<QueryOffsetCall>(&call.request))
      barid::Encode(*query, out->mutable_query_offset());
    if (const auto* get = std::get_if<GetOffsetCall>(&call.request)) barid::Encode(*get, out->mutable_get_offset());
    if (const auto* update = std::get_if<UpdateOffsetCall>(&call.request))
      barid::Encode(*update, out->mutable_update_offset());
    if (const auto* reset = std::get_if<ResetOffsetCall>(&call.request))
      barid::Encode(*reset, out->mutable_reset_offset());
    if (const auto* sync = std::get_if<LiteSyncCall>(&call.request)) barid::Encode(*sync, out->mutable_sync_lite());
  }
  collected_.clear();  // Lets go of the messages.
}

absl::Status ExchangeLane::OnFrame(const std::shared_ptr<ArenaFrame<broker_pb::AnswerFrame>>& frame) {
  std::vector<std::pair<Sent, const broker_pb::Answer*>> answered;
  answered.reserve(frame->message->answers_size());
  {
    MutexLock lock(&mu_);
    for (const broker_pb::Answer& answer : frame->message->answers()) {
      const auto it = sent_.find(answer.id());
      if (it == sent_.end()) continue;  // It took too long.
      if (answer.has_stats()) {
        StatsResult& stats = it->second.stats;
        stats.status = Decode(answer.stats().status());
        for (const broker_pb::QueueStats& queue : answer.stats().queues()) stats.queues.push_back(Decode(queue));
        for (const broker_pb::GroupCount& count : answer.stats().counts()) stats.counts.push_back(Decode(count));
        if (answer.stats().more()) continue;
      }
      EndCall(it->second.bytes);
      answered.emplace_back(std::move(it->second), &answer);
      sent_.erase(it);
    }
  }
  for (auto& [sent, answer] : answered) Finish(sent.done, *answer, sent.entries, std::move(sent.stats));
  return absl::OkStatus();
}

void ExchangeLane::FailQueued(const absl::Status& why) {
  std::deque<Queued> failed;
  {
    MutexLock lock(&mu_);
    failed = std::exchange(queue_, {});
    for (const Queued& call : failed) EndCall(call.sent.bytes);
  }
  for (Queued& call : failed) Fail(call.sent.done, why);
}

void ExchangeLane::FailSent(const absl::Status& why) {
  absl::flat_hash_map<uint64_t, Sent> failed;
  {
    MutexLock lock(&mu_);
    failed = std::exchange(sent_, {});
    for (const auto& [id, sent] : failed) EndCall(sent.bytes);
  }
  for (auto& [id, sent] : failed) FailInDoubt(sent.done, why);
}

bool ExchangeLane::Expire(absl::Duration now) {
  std::vector<Done> unsent;
  std::vector<Done> in_doubt;
  bool has_more = false;
  {
    MutexLock lock(&mu_);
    // All wait equally long, so the queue is in the order of deadlines.
    while (!queue_.empty() && queue_.front().sent.deadline <= now) {
      EndCall(queue_.front().sent.bytes);
      unsent.push_back(std::move(queue_.front().sent.done));
      queue_.pop_front();
    }
    // All of them, once a second: some ten thousand.
    for (auto it = sent_.begin(); it != sent_.end();) {
      const auto call = it++;
      if (call->second.deadline > now) continue;
      EndCall(call->second.bytes);
      in_doubt.push_back(std::move(call->second.done));
      sent_.erase(call);
    }
    has_more = !queue_.empty() || !sent_.empty();
  }
  const absl::Status late = absl::UnavailableError(
      absl::StrCat("broker ", name_, " did not answer within ", absl::FormatDuration(options_.call_timeout)));
  for (Done& done : unsent) Fail(done, late);
  for (Done& done : in_doubt) FailInDoubt(done, late);
  return has_more;
}

}  // namespace barid::proxy
