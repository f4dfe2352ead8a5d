#include "codec/broker_codec.h"

#include <algorithm>
#include <limits>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace barid {
namespace {

QueueKey DecodeQueue(const broker_pb::Queue& in) { return {TopicId(in.topic()), in.queue()}; }

void EncodeQueue(const QueueKey& in, broker_pb::Queue* out) {
  out->set_topic(in.topic.value());
  out->set_queue(in.queue);
}

TimerKey DecodeTimer(const broker_pb::Timer& in) { return {in.deliver_at_us(), in.log_index(), in.entry()}; }

void EncodeTimer(const TimerKey& in, broker_pb::Timer* out) {
  out->set_deliver_at_us(in.deliver_at_us);
  out->set_log_index(in.index);
  out->set_entry(in.entry);
}

TransactionKey DecodeTransaction(const broker_pb::Transaction& in) { return {in.log_index(), in.entry()}; }

void EncodeTransaction(const TransactionKey& in, broker_pb::Transaction* out) {
  out->set_log_index(in.index);
  out->set_entry(in.entry);
}

absl::Duration DecodeDuration(int64_t micros) {
  return micros == std::numeric_limits<int64_t>::max() ? absl::InfiniteDuration() : absl::Microseconds(micros);
}

MessageOrigin DecodeOrigin(const broker_pb::Origin& in) {
  return {TopicId(in.topic()), in.topic_name(), in.message_id(), in.attempts(), in.reason()};
}

void EncodeOrigin(const MessageOrigin& in, broker_pb::Origin* out) {
  out->set_topic(in.topic.value());
  out->set_topic_name(in.topic_name);
  out->set_message_id(in.message_id);
  out->set_attempts(in.attempts);
  out->set_reason(in.reason);
}

// Infinite times are absent on the wire.
bool IsFinite(absl::Time time) { return time != absl::InfinitePast() && time != absl::InfiniteFuture(); }

// An OK status is absent on the wire.
template <typename Message>
void EncodeUnlessOk(const absl::Status& in, Message* out) {
  if (!in.ok()) Encode(in, out->mutable_status());
}

static_assert(static_cast<int>(SettleKind::kAck) == broker_pb::SETTLE_KIND_ACK);
static_assert(static_cast<int>(SettleKind::kReturn) == broker_pb::SETTLE_KIND_RETURN);
static_assert(static_cast<int>(SettleKind::kExtend) == broker_pb::SETTLE_KIND_EXTEND);
static_assert(static_cast<int>(SettleKind::kUndelivered) == broker_pb::SETTLE_KIND_UNDELIVERED);
static_assert(static_cast<int>(SettleKind::kDeadLetter) == broker_pb::SETTLE_KIND_DEAD_LETTER);
static_assert(static_cast<int>(SettleKind::kSuspend) == broker_pb::SETTLE_KIND_SUSPEND);
static_assert(static_cast<int>(QueryOffsetCall::Policy::kBeginning) == broker_pb::QueryOffset::BEGINNING);
static_assert(static_cast<int>(QueryOffsetCall::Policy::kEnd) == broker_pb::QueryOffset::END);
static_assert(static_cast<int>(QueryOffsetCall::Policy::kTime) == broker_pb::QueryOffset::TIME);
static_assert(static_cast<int>(ResetOffsetCall::Target::kOffset) == broker_pb::ResetOffset::OFFSET);
static_assert(static_cast<int>(ResetOffsetCall::Target::kTime) == broker_pb::ResetOffset::TIME);
static_assert(static_cast<int>(ResetOffsetCall::Target::kLatest) == broker_pb::ResetOffset::LATEST);

}  // namespace

void Encode(const AppendCall& in, broker_pb::Append* out) {
  out->set_shard(in.shard.value());
  out->set_topic(in.topic.value());
  out->set_metadata_revision(in.metadata_revision);
  out->set_queue(in.queue);
  for (const AppendCall::Message& message : in.messages) {
    broker_pb::Append::Message* const to = out->add_messages();
    to->set_stored(message.stored.data(), message.stored.size());
    to->set_tag_hash(message.tag_hash);
    if (message.deliver_at) to->set_deliver_at_us(absl::ToUnixMicros(*message.deliver_at));
    if (message.check_after) to->set_check_after_us(absl::ToInt64Microseconds(*message.check_after));
    to->set_message_group(message.message_group);
    to->set_id_hash(message.id_hash);
    to->set_content_hash(message.content_hash);
  }
  out->set_prepare(in.prepare);
  out->set_lite_topic(in.lite_topic);
}

void Encode(const RecallCall& in, broker_pb::Recall* out) {
  out->set_shard(in.shard.value());
  EncodeTimer(in.timer, out->mutable_timer());
}

void Encode(const EndTransactionCall& in, broker_pb::EndTransaction* out) {
  out->set_shard(in.shard.value());
  EncodeTransaction(in.transaction, out->mutable_transaction());
  out->set_commit(in.commit);
}

void Encode(const ChecksCall& in, broker_pb::TakeChecks* out) {
  out->set_shard(in.shard.value());
  out->set_proxy(in.proxy);
  for (const TopicId topic : in.topics) out->add_topics(topic.value());
  out->set_max_checks(in.max_checks);
  out->set_max_bytes(in.max_bytes);
}

void Encode(const TransactionsCall& in, broker_pb::ListTransactions* out) {
  out->set_shard(in.shard.value());
  out->set_topic(in.topic.value());
  out->set_discarded(in.discarded);
  out->set_limit(in.limit);
}

void Encode(const LookupCall& in, broker_pb::Lookup* out) {
  out->set_shard(in.shard.value());
  out->set_topic(in.topic.value());
  out->set_kind(static_cast<int32_t>(in.kind));
  out->set_text(in.text);
  out->set_queue(in.queue);
  out->set_offset(in.offset);
  if (IsFinite(in.from)) out->set_from_us(absl::ToUnixMicros(in.from));
  if (IsFinite(in.to)) out->set_to_us(absl::ToUnixMicros(in.to));
  out->set_max_messages(in.max_messages);
  out->set_max_bytes(in.max_bytes);
  out->set_resume(in.resume);
}

void Encode(const RedriveCall& in, broker_pb::Redrive* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  out->set_metadata_revision(in.metadata_revision);
  out->set_topic(in.topic.value());
  for (const std::string& tag : in.tags) out->add_tags(tag);
  out->set_sql(in.sql);
  out->set_from(in.from);
  out->set_to(in.to);
  out->set_max_messages(in.max_messages);
  out->set_dry_run(in.dry_run);
}

void Encode(const ReceiveCall& in, broker_pb::Receive* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  out->set_topic(in.topic.value());
  out->set_metadata_revision(in.metadata_revision);
  for (const std::string& tag : in.tags) out->add_tags(tag);
  out->set_sql(in.sql);
  out->set_max_messages(in.max_messages);
  out->set_max_bytes(in.max_bytes);
  out->set_invisible_us(absl::ToInt64Microseconds(in.invisible));
  out->set_auto_renew(in.auto_renew);
  out->set_client_id(in.client_id);
  out->set_attempt_id(in.attempt_id);
  out->set_wait_us(absl::ToInt64Microseconds(in.wait));
}

void Encode(const SettleCall& in, broker_pb::Settle* out) {
  out->set_shard(in.shard.value());
  for (const SettleEntry& entry : in.entries) {
    broker_pb::Settle::Entry* const to = out->add_entries();
    to->set_group(entry.group.value());
    EncodeQueue(entry.queue, to->mutable_queue());
    to->set_offset(entry.offset);
    to->set_nonce(entry.nonce);
    to->set_kind(static_cast<broker_pb::SettleKind>(entry.kind));
    to->set_delay_us(absl::ToInt64Microseconds(entry.delay));
    to->set_reason(entry.reason);
  }
}

void Encode(const SentReport& in, broker_pb::SentReport* out) {
  out->set_shard(in.shard.value());
  for (const SentReport::Entry& entry : in.entries) {
    broker_pb::SentReport::Entry* const to = out->add_entries();
    to->set_group(entry.group.value());
    EncodeQueue(entry.queue, to->mutable_queue());
    to->set_offset(entry.offset);
    to->set_nonce(entry.nonce);
  }
}

void Encode(const ClientReport& in, broker_pb::ClientReport* out) {
  out->set_proxy(in.proxy);
  for (const std::string& client : in.alive) out->add_alive(client);
  for (const std::string& client : in.gone) out->add_gone(client);
}

void Encode(const StatsCall& in, broker_pb::Stats* out) {
  out->set_topic(in.topic.value());
  out->set_group(in.group.value());
  out->set_counts_only(in.counts_only);
}

void Encode(const PullCall& in, broker_pb::Pull* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  EncodeQueue(in.queue, out->mutable_queue());
  out->set_metadata_revision(in.metadata_revision);
  out->set_offset(in.offset);
  for (const std::string& tag : in.tags) out->add_tags(tag);
  out->set_sql(in.sql);
  out->set_max_messages(in.max_messages);
  out->set_max_bytes(in.max_bytes);
  out->set_wait_us(absl::ToInt64Microseconds(in.wait));
}

void Encode(const QueryOffsetCall& in, broker_pb::QueryOffset* out) {
  out->set_shard(in.shard.value());
  EncodeQueue(in.queue, out->mutable_queue());
  out->set_metadata_revision(in.metadata_revision);
  out->set_policy(static_cast<broker_pb::QueryOffset::Policy>(in.policy));
  out->set_time_us(absl::ToUnixMicros(in.time));
}

void Encode(const GetOffsetCall& in, broker_pb::GetOffset* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  EncodeQueue(in.queue, out->mutable_queue());
  out->set_metadata_revision(in.metadata_revision);
}

void Encode(const UpdateOffsetCall& in, broker_pb::UpdateOffset* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  EncodeQueue(in.queue, out->mutable_queue());
  out->set_metadata_revision(in.metadata_revision);
  out->set_offset(in.offset);
}

void Encode(const ResetOffsetCall& in, broker_pb::ResetOffset* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  out->set_topic(in.topic.value());
  out->set_metadata_revision(in.metadata_revision);
  for (const int32_t queue : in.queues) out->add_queues(queue);
  out->set_target(static_cast<broker_pb::ResetOffset::Target>(in.target));
  out->set_offset(in.offset);
  out->set_time_us(absl::ToUnixMicros(in.time));
  out->set_stored(in.stored);
  out->set_dry_run(in.dry_run);
}

AppendCall Decode(const broker_pb::Append& in, const std::shared_ptr<const void>& owner) {
  AppendCall out;
  out.shard = ShardId(in.shard());
  out.topic = TopicId(in.topic());
  out.metadata_revision = in.metadata_revision();
  out.queue = in.queue();
  out.prepare = in.prepare();
  out.lite_topic = in.lite_topic();
  out.messages.reserve(in.messages_size());
  for (const broker_pb::Append::Message& message : in.messages()) {
    AppendCall::Message& to = out.messages.emplace_back();
    to.stored = Buffer(owner, message.stored());
    to.tag_hash = message.tag_hash();
    if (message.has_deliver_at_us()) to.deliver_at = absl::FromUnixMicros(message.deliver_at_us());
    if (message.has_check_after_us()) to.check_after = absl::Microseconds(message.check_after_us());
    to.message_group = message.message_group();
    to.id_hash = message.id_hash();
    to.content_hash = message.content_hash();
  }
  return out;
}

EndTransactionCall Decode(const broker_pb::EndTransaction& in) {
  return {ShardId(in.shard()), DecodeTransaction(in.transaction()), in.commit()};
}

ChecksCall Decode(const broker_pb::TakeChecks& in) {
  ChecksCall out;
  out.shard = ShardId(in.shard());
  out.proxy = in.proxy();
  for (const uint64_t topic : in.topics()) out.topics.emplace_back(topic);
  out.max_checks = in.max_checks();
  out.max_bytes = in.max_bytes();
  return out;
}

TransactionsCall Decode(const broker_pb::ListTransactions& in) {
  return {ShardId(in.shard()), TopicId(in.topic()), in.discarded(), in.limit()};
}

RecallCall Decode(const broker_pb::Recall& in) { return {ShardId(in.shard()), DecodeTimer(in.timer())}; }

LookupCall Decode(const broker_pb::Lookup& in) {
  LookupCall out;
  out.shard = ShardId(in.shard());
  out.topic = TopicId(in.topic());
  out.kind = static_cast<LookupCall::Kind>(std::clamp(in.kind(), 0, 255));
  out.text = in.text();
  out.queue = in.queue();
  out.offset = in.offset();
  if (in.has_from_us()) out.from = absl::FromUnixMicros(in.from_us());
  if (in.has_to_us()) out.to = absl::FromUnixMicros(in.to_us());
  out.max_messages = in.max_messages();
  out.max_bytes = in.max_bytes();
  out.resume = in.resume();
  return out;
}

RedriveCall Decode(const broker_pb::Redrive& in) {
  RedriveCall out;
  out.shard = ShardId(in.shard());
  out.group = GroupId(in.group());
  out.metadata_revision = in.metadata_revision();
  out.topic = TopicId(in.topic());
  out.tags.assign(in.tags().begin(), in.tags().end());
  out.sql = in.sql();
  out.from = in.from();
  out.to = in.to();
  out.max_messages = in.max_messages();
  out.dry_run = in.dry_run();
  return out;
}

ReceiveCall Decode(const broker_pb::Receive& in) {
  ReceiveCall out;
  out.shard = ShardId(in.shard());
  out.group = GroupId(in.group());
  out.topic = TopicId(in.topic());
  out.metadata_revision = in.metadata_revision();
  out.tags.assign(in.tags().begin(), in.tags().end());
  out.sql = in.sql();
  out.max_messages = in.max_messages();
  out.max_bytes = in.max_bytes();
  out.invisible = DecodeDuration(in.invisible_us());
  out.auto_renew = in.auto_renew();
  out.client_id = in.client_id();
  out.attempt_id = in.attempt_id();
  out.wait = DecodeDuration(in.wait_us());
  return out;
}

absl::StatusOr<SettleCall> Decode(const broker_pb::Settle& in) {
  SettleCall out;
  out.shard = ShardId(in.shard());
  out.entries.reserve(in.entries_size());
  for (const broker_pb::Settle::Entry& entry : in.entries()) {
    if (!broker_pb::SettleKind_IsValid(entry.kind())) {
      return absl::InvalidArgumentError(absl::StrCat("settle kind ", static_cast<int>(entry.kind()),
                                                     " is not known here: is this broker older than the proxy?"));
    }
    out.entries.push_back({GroupId(entry.group()), DecodeQueue(entry.queue()), entry.offset(), entry.nonce(),
                           static_cast<SettleKind>(entry.kind()), DecodeDuration(entry.delay_us()), entry.reason()});
  }
  return out;
}

SentReport Decode(const broker_pb::SentReport& in) {
  SentReport out;
  out.shard = ShardId(in.shard());
  out.entries.reserve(in.entries_size());
  for (const broker_pb::SentReport::Entry& entry : in.entries()) {
    out.entries.push_back({GroupId(entry.group()), DecodeQueue(entry.queue()), entry.offset(), entry.nonce()});
  }
  return out;
}

ClientReport Decode(const broker_pb::ClientReport& in) {
  return {in.proxy(), {in.alive().begin(), in.alive().end()}, {in.gone().begin(), in.gone().end()}};
}

StatsCall Decode(const broker_pb::Stats& in) { return {TopicId(in.topic()), GroupId(in.group()), in.counts_only()}; }

PullCall Decode(const broker_pb::Pull& in) {
  PullCall out;
  out.shard = ShardId(in.shard());
  out.group = GroupId(in.group());
  out.queue = DecodeQueue(in.queue());
  out.metadata_revision = in.metadata_revision();
  out.offset = in.offset();
  out.tags.assign(in.tags().begin(), in.tags().end());
  out.sql = in.sql();
  out.max_messages = in.max_messages();
  out.max_bytes = in.max_bytes();
  out.wait = DecodeDuration(in.wait_us());
  return out;
}

absl::StatusOr<QueryOffsetCall> Decode(const broker_pb::QueryOffset& in) {
  if (!broker_pb::QueryOffset::Policy_IsValid(in.policy())) {
    return absl::InvalidArgumentError(absl::StrCat("offset policy ", static_cast<int>(in.policy()),
                                                   " is not known here: is this broker older than the proxy?"));
  }
  return QueryOffsetCall{ShardId(in.shard()), DecodeQueue(in.queue()), in.metadata_revision(),
                         static_cast<QueryOffsetCall::Policy>(in.policy()), absl::FromUnixMicros(in.time_us())};
}

GetOffsetCall Decode(const broker_pb::GetOffset& in) {
  return {ShardId(in.shard()), GroupId(in.group()), DecodeQueue(in.queue()), in.metadata_revision()};
}

UpdateOffsetCall Decode(const broker_pb::UpdateOffset& in) {
  return {ShardId(in.shard()), GroupId(in.group()), DecodeQueue(in.queue()), in.metadata_revision(), in.offset()};
}

absl::StatusOr<ResetOffsetCall> Decode(const broker_pb::ResetOffset& in) {
  if (!broker_pb::ResetOffset::Target_IsValid(in.target())) {
    return absl::InvalidArgumentError(absl::StrCat("reset target ", static_cast<int>(in.target()),
                                                   " is not known here: is this broker older than the proxy?"));
  }
  ResetOffsetCall out;
  out.shard = ShardId(in.shard());
  out.group = GroupId(in.group());
  out.topic = TopicId(in.topic());
  out.metadata_revision = in.metadata_revision();
  out.queues.assign(in.queues().begin(), in.queues().end());
  out.target = static_cast<ResetOffsetCall::Target>(in.target());
  out.offset = in.offset();
  out.time = absl::FromUnixMicros(in.time_us());
  out.stored = in.stored();
  out.dry_run = in.dry_run();
  return out;
}

void Encode(const absl::Status& in, broker_pb::Status* out) {
  out->set_code(static_cast<int32_t>(in.code()));
  out->set_message(in.message().data(), in.message().size());
  in.ForEachPayload([out](absl::string_view url, const absl::Cord& value) {
    broker_pb::Status::Payload* const payload = out->add_payloads();
    payload->set_url(url.data(), url.size());
    payload->set_value(std::string(value));
  });
  // Abseil gives several in an order that depends on where they lie in memory.
  std::sort(out->mutable_payloads()->begin(), out->mutable_payloads()->end(),
            [](const auto& a, const auto& b) { return a.url() < b.url(); });
}

void Encode(const AppendResult& in, broker_pb::AppendAnswer* out) {
  EncodeUnlessOk(in.status, out);
  for (const AppendResult::Entry& entry : in.entries) {
    broker_pb::AppendAnswer::Entry* const to = out->add_entries();
    EncodeUnlessOk(entry.status, to);
    to->set_queue(entry.queue);
    to->set_offset(entry.offset);
    if (entry.timer) EncodeTimer(*entry.timer, to->mutable_timer());
    if (entry.transaction) EncodeTransaction(*entry.transaction, to->mutable_transaction());
  }
}

void Encode(const RecallResult& in, broker_pb::RecallAnswer* out) { EncodeUnlessOk(in.status, out); }

void Encode(const EndTransactionResult& in, broker_pb::EndTransactionAnswer* out) { EncodeUnlessOk(in.status, out); }

void Encode(const ChecksResult& in, broker_pb::TakeChecksAnswer* out) {
  EncodeUnlessOk(in.status, out);
  for (const TransactionCheck& check : in.checks) {
    broker_pb::TakeChecksAnswer::Check* const to = out->add_checks();
    EncodeTransaction(check.transaction, to->mutable_transaction());
    EncodeQueue(check.queue, to->mutable_queue());
    to->set_stored(check.stored.data(), check.stored.size());
    to->set_prepared_us(absl::ToUnixMicros(check.prepared));
    to->set_check(check.check);
  }
}

void Encode(const TransactionsResult& in, broker_pb::ListTransactionsAnswer* out) {
  EncodeUnlessOk(in.status, out);
  for (const TransactionInfo& one : in.transactions) {
    broker_pb::ListTransactionsAnswer::Entry* const to = out->add_entries();
    to->set_shard(one.shard.value());
    to->set_message_id(one.message_id);
    to->set_since_us(absl::ToUnixMicros(one.since));
    to->set_checks(one.checks);
    to->set_next_check_us(absl::ToUnixMicros(one.next_check));
    to->set_reason(one.reason);
  }
}

void Encode(const LookupResult& in, broker_pb::LookupAnswer* out) {
  EncodeUnlessOk(in.status, out);
  for (const FoundMessage& message : in.messages) {
    broker_pb::LookupAnswer::Message* const to = out->add_messages();
    to->set_state(static_cast<int32_t>(message.state));
    EncodeQueue(message.queue, to->mutable_queue());
    to->set_offset(message.offset);
    to->set_entered_us(absl::ToUnixMicros(message.entered));
    to->set_stored_at_us(absl::ToUnixMicros(message.stored_at));
    to->set_due_us(absl::ToUnixMicros(message.due));
    to->set_log_index(message.log_index);
    to->set_log_position(message.log_position);
    to->set_stored(message.stored.data(), message.stored.size());
    if (message.origin) EncodeOrigin(*message.origin, to->mutable_origin());
  }
  out->set_resume(in.resume);
  for (const LifeEvent& event : in.events) {
    broker_pb::LookupAnswer::Event* const to = out->add_events();
    to->set_time_us(absl::ToUnixMicros(event.time));
    to->set_log_index(event.log_index);
    to->set_what(event.what);
    to->set_group(event.group.value());
    EncodeQueue(event.queue, to->mutable_queue());
    to->set_offset(event.offset);
    to->set_client(event.client);
    to->set_attempt(event.attempt);
    if (IsFinite(event.until)) to->set_until_us(absl::ToUnixMicros(event.until));
    to->set_detail(event.detail);
  }
  for (const GroupStanding& standing : in.standings) {
    broker_pb::LookupAnswer::Standing* const to = out->add_standings();
    to->set_group(standing.group.value());
    EncodeQueue(standing.queue, to->mutable_queue());
    to->set_offset(standing.offset);
    to->set_standing(standing.standing);
    to->set_client(standing.client);
    to->set_attempt(standing.attempt);
    if (IsFinite(standing.until)) to->set_until_us(absl::ToUnixMicros(standing.until));
    to->set_detail(standing.detail);
    if (standing.blocked_by) {
      broker_pb::LookupAnswer::Standing::Blocker* const blocker = to->mutable_blocked_by();
      blocker->set_offset(standing.blocked_by->offset);
      blocker->set_message_id(standing.blocked_by->message_id);
      blocker->set_client(standing.blocked_by->client);
      blocker->set_attempt(standing.blocked_by->attempt);
      if (IsFinite(standing.blocked_by->until)) blocker->set_until_us(absl::ToUnixMicros(standing.blocked_by->until));
    }
    for (const WaitingFilter& filter : standing.waiting) {
      broker_pb::LookupAnswer::Standing::Waiting* const waiting = to->add_waiting();
      for (const std::string& tag : filter.tags) waiting->add_tags(tag);
      waiting->set_sql(filter.sql);
      waiting->set_receives(filter.receives);
    }
  }
  if (IsFinite(in.log_from)) out->set_log_from_us(absl::ToUnixMicros(in.log_from));
}

void Encode(const RedriveResult& in, broker_pb::RedriveAnswer* out) {
  EncodeUnlessOk(in.status, out);
  out->set_redriven(in.redriven);
  out->set_filtered_out(in.filtered_out);
  out->set_failed(in.failed);
  out->set_failure(in.failure);
  out->set_next(in.next);
  out->set_end(in.end);
}

void Encode(const SettleResult& in, broker_pb::SettleAnswer* out) {
  EncodeUnlessOk(in.status, out);
  for (const absl::Status& entry : in.entries) {
    broker_pb::Status* const to = out->add_entries();
    if (!entry.ok()) Encode(entry, to);
  }
}

void Encode(const QueueStats& in, broker_pb::QueueStats* out) {
  out->set_shard(in.shard.value());
  EncodeQueue(in.queue, out->mutable_queue());
  out->set_first(in.first);
  out->set_end(in.end);
  out->set_bytes(in.bytes);
  out->set_delayed(in.delayed);
  out->set_repeated_sends(in.repeated_sends);
  out->set_reused_ids(in.reused_ids);
  out->set_lite_topics(in.lite_topics);
  for (const QueueStats::Group& group : in.groups) {
    broker_pb::QueueStats::Group* const to = out->add_groups();
    to->set_group(group.group.value());
    to->set_floor(group.floor);
    to->set_next(group.next);
    to->set_in_flight(group.in_flight);
    to->set_ready_again(group.ready_again);
    to->set_parked(group.parked);
  }
}

void Encode(const GroupCount& in, broker_pb::GroupCount* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  out->set_topic(in.topic.value());
  out->set_ready(in.ready);
  out->set_in_flight(in.in_flight);
  out->set_blocked(in.blocked);
  out->set_delayed(in.delayed);
  out->set_dead_lettered(in.dead_lettered);
  if (in.oldest) out->set_oldest(absl::ToUnixMicros(*in.oldest));
}

void Encode(const LiteSyncCall& in, broker_pb::SyncLite* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  out->set_topic(in.topic.value());
  out->set_metadata_revision(in.metadata_revision);
  out->set_client_id(in.client_id);
  out->set_action(static_cast<broker_pb::SyncLite::Action>(in.action));
  for (const std::string& name : in.lite_topics) out->add_lite_topics(name);
  out->set_version(in.version);
  out->set_quota(in.quota);
  if (!in.start) return;
  broker_pb::SyncLite::Start* const start = out->mutable_start();
  switch (in.start->kind) {
    case LiteStart::Kind::kOffset:
      start->set_offset(in.start->count);
      break;
    case LiteStart::Kind::kTail:
      start->set_tail(in.start->count);
      break;
    case LiteStart::Kind::kTime:
      start->set_time_us(absl::ToUnixMicros(in.start->time));
      break;
  }
}

void Encode(const LiteSyncResult& in, broker_pb::SyncLiteAnswer* out) {
  if (!in.status.ok()) Encode(in.status, out->mutable_status());
}

void Encode(const OffsetResult& in, broker_pb::OffsetAnswer* out) {
  EncodeUnlessOk(in.status, out);
  if (in.offset) out->set_offset(*in.offset);
}

void Encode(const ResetOffsetResult& in, broker_pb::ResetOffsetAnswer* out) {
  EncodeUnlessOk(in.status, out);
  for (const ResetOffsetResult::Entry& entry : in.entries) {
    broker_pb::ResetOffsetAnswer::Entry* const to = out->add_entries();
    EncodeUnlessOk(entry.status, to);
    EncodeQueue(entry.queue, to->mutable_queue());
    if (entry.from) to->set_from(*entry.from);
    to->set_to(entry.to);
    to->set_end(entry.end);
    to->set_in_flight(entry.in_flight);
    to->set_parked(entry.parked);
  }
}

void EncodeHead(const Delivery& in, broker_pb::Delivery* out) {
  out->set_stored_bytes(in.stored.size());
  EncodeQueue(in.queue, out->mutable_queue());
  out->set_offset(in.offset);
  out->set_attempt(in.attempt);
  out->set_nonce(in.nonce);
  out->set_store_time_us(absl::ToUnixMicros(in.store_time));
  out->set_invisible_us(absl::ToInt64Microseconds(in.invisible));
  if (in.origin) EncodeOrigin(*in.origin, out->mutable_origin());
}

absl::Status Decode(const broker_pb::Status& in) {
  if (in.code() == 0) return absl::OkStatus();
  absl::Status out(static_cast<absl::StatusCode>(in.code()), in.message());
  for (const broker_pb::Status::Payload& payload : in.payloads())
    out.SetPayload(payload.url(), absl::Cord(payload.value()));
  return out;
}

AppendResult Decode(const broker_pb::AppendAnswer& in) {
  AppendResult out;
  out.status = Decode(in.status());
  out.entries.reserve(in.entries_size());
  for (const broker_pb::AppendAnswer::Entry& entry : in.entries()) {
    AppendResult::Entry& to = out.entries.emplace_back();
    to.status = Decode(entry.status());
    to.queue = entry.queue();
    to.offset = entry.offset();
    if (entry.has_timer()) to.timer = DecodeTimer(entry.timer());
    if (entry.has_transaction()) to.transaction = DecodeTransaction(entry.transaction());
  }
  return out;
}

RecallResult Decode(const broker_pb::RecallAnswer& in) { return {Decode(in.status())}; }

EndTransactionResult Decode(const broker_pb::EndTransactionAnswer& in) { return {Decode(in.status())}; }

ChecksResult Decode(const broker_pb::TakeChecksAnswer& in) {
  ChecksResult out;
  out.status = Decode(in.status());
  out.checks.reserve(in.checks_size());
  for (const broker_pb::TakeChecksAnswer::Check& check : in.checks()) {
    out.checks.push_back({DecodeTransaction(check.transaction()), DecodeQueue(check.queue()), Buffer(check.stored()),
                          absl::FromUnixMicros(check.prepared_us()), check.check()});
  }
  return out;
}

TransactionsResult Decode(const broker_pb::ListTransactionsAnswer& in) {
  TransactionsResult out;
  out.status = Decode(in.status());
  out.transactions.reserve(in.entries_size());
  for (const broker_pb::ListTransactionsAnswer::Entry& one : in.entries()) {
    out.transactions.push_back({ShardId(one.shard()), one.message_id(), absl::FromUnixMicros(one.since_us()),
                                one.checks(), absl::FromUnixMicros(one.next_check_us()), one.reason()});
  }
  return out;
}

LookupResult Decode(const broker_pb::LookupAnswer& in) {
  LookupResult out;
  out.status = Decode(in.status());
  out.messages.reserve(in.messages_size());
  for (const broker_pb::LookupAnswer::Message& message : in.messages()) {
    FoundMessage& to = out.messages.emplace_back();
    to.state = static_cast<FoundMessage::State>(message.state());
    to.queue = DecodeQueue(message.queue());
    to.offset = message.offset();
    to.entered = absl::FromUnixMicros(message.entered_us());
    to.stored_at = absl::FromUnixMicros(message.stored_at_us());
    to.due = absl::FromUnixMicros(message.due_us());
    to.log_index = message.log_index();
    to.log_position = message.log_position();
    to.stored = Buffer(message.stored());
    if (message.has_origin()) to.origin = DecodeOrigin(message.origin());
  }
  out.resume = in.resume();
  for (const broker_pb::LookupAnswer::Event& event : in.events()) {
    LifeEvent& to = out.events.emplace_back();
    to.time = absl::FromUnixMicros(event.time_us());
    to.log_index = event.log_index();
    to.what = event.what();
    to.group = GroupId(event.group());
    to.queue = DecodeQueue(event.queue());
    to.offset = event.offset();
    to.client = event.client();
    to.attempt = event.attempt();
    if (event.has_until_us()) to.until = absl::FromUnixMicros(event.until_us());
    to.detail = event.detail();
  }
  for (const broker_pb::LookupAnswer::Standing& standing : in.standings()) {
    GroupStanding& to = out.standings.emplace_back();
    to.group = GroupId(standing.group());
    to.queue = DecodeQueue(standing.queue());
    to.offset = standing.offset();
    to.standing = standing.standing();
    to.client = standing.client();
    to.attempt = standing.attempt();
    if (standing.has_until_us()) to.until = absl::FromUnixMicros(standing.until_us());
    to.detail = standing.detail();
    if (standing.has_blocked_by()) {
      to.blocked_by = GroupStanding::Blocker();
      GroupStanding::Blocker& blocker = *to.blocked_by;
      blocker.offset = standing.blocked_by().offset();
      blocker.message_id = standing.blocked_by().message_id();
      blocker.client = standing.blocked_by().client();
      blocker.attempt = standing.blocked_by().attempt();
      if (standing.blocked_by().has_until_us()) {
        blocker.until = absl::FromUnixMicros(standing.blocked_by().until_us());
      }
    }
    for (const broker_pb::LookupAnswer::Standing::Waiting& waiting : standing.waiting()) {
      WaitingFilter& filter = to.waiting.emplace_back();
      filter.tags.assign(waiting.tags().begin(), waiting.tags().end());
      filter.sql = waiting.sql();
      filter.receives = waiting.receives();
    }
  }
  if (in.has_log_from_us()) out.log_from = absl::FromUnixMicros(in.log_from_us());
  return out;
}

RedriveResult Decode(const broker_pb::RedriveAnswer& in) {
  return {Decode(in.status()), in.redriven(), in.filtered_out(), in.failed(), in.failure(), in.next(), in.end()};
}

SettleResult Decode(const broker_pb::SettleAnswer& in) {
  SettleResult out;
  out.status = Decode(in.status());
  out.entries.reserve(in.entries_size());
  for (const broker_pb::Status& entry : in.entries()) out.entries.push_back(Decode(entry));
  return out;
}

QueueStats Decode(const broker_pb::QueueStats& in) {
  QueueStats out;
  out.shard = ShardId(in.shard());
  out.queue = DecodeQueue(in.queue());
  out.first = in.first();
  out.end = in.end();
  out.bytes = in.bytes();
  out.delayed = in.delayed();
  out.repeated_sends = in.repeated_sends();
  out.reused_ids = in.reused_ids();
  out.lite_topics = in.lite_topics();
  for (const broker_pb::QueueStats::Group& group : in.groups()) {
    out.groups.push_back(
        {GroupId(group.group()), group.floor(), group.next(), group.in_flight(), group.ready_again(), group.parked()});
  }
  return out;
}

GroupCount Decode(const broker_pb::GroupCount& in) {
  GroupCount out;
  out.shard = ShardId(in.shard());
  out.group = GroupId(in.group());
  out.topic = TopicId(in.topic());
  out.ready = in.ready();
  out.in_flight = in.in_flight();
  out.blocked = in.blocked();
  out.delayed = in.delayed();
  out.dead_lettered = in.dead_lettered();
  if (in.has_oldest()) out.oldest = absl::FromUnixMicros(in.oldest());
  return out;
}

absl::StatusOr<LiteSyncCall> Decode(const broker_pb::SyncLite& in) {
  if (!broker_pb::SyncLite::Action_IsValid(in.action())) {
    return absl::InvalidArgumentError(absl::StrCat("lite action ", static_cast<int>(in.action()),
                                                   " is not known here: is this broker older than the proxy?"));
  }
  LiteSyncCall out;
  out.shard = ShardId(in.shard());
  out.group = GroupId(in.group());
  out.topic = TopicId(in.topic());
  out.metadata_revision = in.metadata_revision();
  out.client_id = in.client_id();
  out.action = static_cast<LiteSyncCall::Action>(in.action());
  out.lite_topics.assign(in.lite_topics().begin(), in.lite_topics().end());
  out.version = in.version();
  out.quota = in.quota();
  if (!in.has_start()) return out;
  switch (in.start().at_case()) {
    case broker_pb::SyncLite::Start::kOffset:
      out.start = LiteStart{LiteStart::Kind::kOffset, in.start().offset(), absl::UnixEpoch()};
      break;
    case broker_pb::SyncLite::Start::kTail:
      out.start = LiteStart{LiteStart::Kind::kTail, in.start().tail(), absl::UnixEpoch()};
      break;
    case broker_pb::SyncLite::Start::kTimeUs:
      out.start = LiteStart{LiteStart::Kind::kTime, 0, absl::FromUnixMicros(in.start().time_us())};
      break;
    case broker_pb::SyncLite::Start::AT_NOT_SET:
      return absl::InvalidArgumentError(
          "a lite subscription begins at a place that is not known here: is this broker older than the proxy?");
  }
  return out;
}

LiteSyncResult Decode(const broker_pb::SyncLiteAnswer& in) { return {Decode(in.status())}; }

OffsetResult Decode(const broker_pb::OffsetAnswer& in) {
  OffsetResult out;
  out.status = Decode(in.status());
  if (in.has_offset()) out.offset = in.offset();
  return out;
}

ResetOffsetResult Decode(const broker_pb::ResetOffsetAnswer& in) {
  ResetOffsetResult out;
  out.status = Decode(in.status());
  out.entries.reserve(in.entries_size());
  for (const broker_pb::ResetOffsetAnswer::Entry& entry : in.entries()) {
    ResetOffsetResult::Entry& to = out.entries.emplace_back();
    to.status = Decode(entry.status());
    to.queue = DecodeQueue(entry.queue());
    if (entry.has_from()) to.from = entry.from();
    to.to = entry.to();
    to.end = entry.end();
    to.in_flight = entry.in_flight();
    to.parked = entry.parked();
  }
  return out;
}

Delivery DecodeHead(const broker_pb::Delivery& in) {
  Delivery out;
  out.queue = DecodeQueue(in.queue());
  out.offset = in.offset();
  out.attempt = in.attempt();
  out.nonce = in.nonce();
  out.store_time = absl::FromUnixMicros(in.store_time_us());
  out.invisible = DecodeDuration(in.invisible_us());
  if (in.has_origin()) out.origin = DecodeOrigin(in.origin());
  return out;
}

}  // namespace barid
