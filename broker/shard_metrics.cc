#include "broker/shard_metrics.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "broker/state.h"

namespace barid::broker {
namespace {

// Groups and topics whose counts are shown; of more, baridctl tells.
constexpr size_t kMaxCounted = 2000;

const std::vector<std::string>& ByShard() {
  static const auto* const kLabels = new std::vector<std::string>{"shard"};
  return *kLabels;
}
const std::vector<std::string>& ByTopic() {
  static const auto* const kLabels = new std::vector<std::string>{"topic"};
  return *kLabels;
}
// RocketMQ's names.
const std::vector<std::string>& ByGroup() {
  static const auto* const kLabels = new std::vector<std::string>{"topic", "consumer_group"};
  return *kLabels;
}

template <typename Command>
int64_t BytesOf(const Command& command) {
  int64_t bytes = 0;
  for (const auto& entry : command.entries()) bytes += entry.bytes();
  return bytes;
}

}  // namespace

BrokerMetrics::BrokerMetrics(Metrics* metrics)
    : log_records(metrics->AddCounters("barid_broker_log_records_total", "Records that were committed.", ByShard())),
      log_bytes(metrics->AddCounters("barid_broker_log_appended_bytes_total",
                                     "Bytes of the records that were committed.", ByShard())),
      log_batch_records(metrics->AddHistograms("barid_broker_log_batch_records",
                                               "Records that one write and sync of the log made durable.", ByShard(),
                                               CountBuckets())),
      log_write_seconds(metrics->AddHistograms("barid_broker_log_write_seconds",
                                               "How long writing and syncing (fdatasync) a batch took.", ByShard(),
                                               LatencyBuckets())),
      log_size_bytes(metrics->AddGauges("barid_broker_log_size_bytes",
                                        "What the log has between its first and its last record.", ByShard())),
      lateness_seconds(metrics->AddHistograms(
          "barid_broker_shard_lateness_seconds",
          "How much later than asked the shard's regular task ran: how long its queue of tasks is.", ByShard(),
          LatencyBuckets())),
      proposals(
          metrics->AddGauges("barid_broker_proposed_bytes", "Bytes of records that wait to be durable.", ByShard())),
      waiting_receives(
          metrics->AddGauges("barid_broker_waiting_receives", "Receives that are not answered yet.", ByShard())),
      timers_pending(metrics->AddGauges("barid_broker_timers_pending",
                                        "Scheduled messages that have not entered their queues.", ByShard())),
      timers_fired(metrics->AddCounters("barid_broker_timers_fired_total",
                                        "Scheduled messages that entered their queues.", ByShard())),
      timers_cancelled(metrics->AddCounters("barid_broker_timers_cancelled_total",
                                            "Scheduled messages that were recalled, or whose topic was deleted.",
                                            ByShard())),
      transactions_open(metrics->AddGauges("barid_broker_transactions_open",
                                           "Transactions that are prepared and have not ended.", ByShard())),
      transaction_checks(metrics->AddCounters("barid_broker_transaction_checks_total",
                                              "Times that a producer was to be asked about a transaction.", ByShard())),
      transactions_discarded(metrics->AddCounters("barid_broker_transactions_discarded_total",
                                                  "Transactions that nobody ended.", ByShard())),
      repeated_sends(metrics->AddCounters("barid_broker_repeated_sends_total",
                                          "Messages that repeated an earlier one and were not stored again.",
                                          ByShard())),
      reused_ids(metrics->AddCounters("barid_broker_reused_ids_total",
                                      "New messages with the id of another one that is remembered.", ByShard())),
      carried(metrics->AddCounters("barid_broker_carried_messages_total",
                                   "Messages that were copied to the log's end, so that an old part of it can go.",
                                   ByShard())),
      carried_bytes(
          metrics->AddCounters("barid_broker_carried_bytes_total", "Bytes of those, as they are stored.", ByShard())),
      filter_problems(metrics->AddCounters(
          "barid_broker_filter_problems_total",
          "Messages of which an SQL filter could not evaluate a part: a property is no number, for example.",
          ByShard())),
      audits(metrics->AddCounters("barid_broker_audits_total", "Recounts of what the shard counts that came to an end.",
                                  ByShard())),
      audited_counts(metrics->AddCounters("barid_broker_audited_counts_total",
                                          "Counts that were compared with a recount.", ByShard())),
      audit_mismatches(metrics->AddCounters("barid_broker_audit_mismatches_total",
                                            "Counts that were not what a recount found. Anything but 0 is a bug.",
                                            ByShard())),
      disk_available_bytes(metrics->AddGauges("barid_broker_disk_available_bytes",
                                              "Free space of the disk that has the shard.", ByShard())),
      disk_reserve_bytes(metrics->AddGauges("barid_broker_disk_reserve_bytes",
                                            "Below so much free space sends are refused.", ByShard())),
      settlements(metrics->AddCounters("barid_broker_settlements_total",
                                       "Deliveries that ended: acknowledged, given back or extended (shown_later), "
                                       "undelivered, or lapsed at their deadline.",
                                       {"shard", "action"})),
      messages_in(
          metrics->AddCounters("rocketmq_messages_in_total", "Messages stored, scheduled or prepared.", ByTopic())),
      bytes_in(metrics->AddCounters("rocketmq_throughput_in_total",
                                    "Bytes of messages stored, scheduled or prepared, as they are stored.", ByTopic())),
      committed(metrics->AddCounters("rocketmq_commit_messages_total", "Messages whose transactions were committed.",
                                     ByTopic())),
      rolled_back(metrics->AddCounters("rocketmq_rollback_messages_total",
                                       "Messages whose transactions were rolled back.", ByTopic())),
      delayed(metrics->AddGauges("barid_broker_delayed_messages",
                                 "Scheduled messages that have not entered their queues.", ByTopic())),
      messages_out(metrics->AddCounters("rocketmq_messages_out_total",
                                        "Messages handed to the group's members, pulls not counted.", ByGroup())),
      bytes_out(metrics->AddCounters("rocketmq_throughput_out_total",
                                     "Bytes of messages handed to the group's members, as they are stored.",
                                     ByGroup())),
      redeliveries(metrics->AddCounters("barid_broker_redeliveries_total",
                                        "Messages handed to the group's members that were handed out before.",
                                        ByGroup())),
      sent_to_dead_letters(metrics->AddCounters("rocketmq_send_to_dlq_messages_total",
                                                "Messages that went to the group's dead letters.", ByGroup())),
      lag(metrics->AddGauges("rocketmq_consumer_lag_messages",
                             "Messages that the group has not settled: ready, in flight or blocked.", ByGroup())),
      ready(metrics->AddGauges("rocketmq_consumer_ready_messages",
                               "Messages that the group may have now, but for its filter.", ByGroup())),
      in_flight(metrics->AddGauges("rocketmq_consumer_inflight_messages",
                                   "Messages that are handed out, or given back for a while.", ByGroup())),
      blocked(metrics->AddGauges("barid_broker_blocked_messages",
                                 "Messages that wait for others of their message groups.", ByGroup())),
      dead_letters(metrics->AddGauges("barid_broker_dead_letters",
                                      "Messages of the topic that are among the group's dead letters.", ByGroup())),
      oldest_seconds(metrics->AddGauges(
          "barid_broker_oldest_message_seconds",
          "How long ago the oldest message that the group has not settled entered its queue; of one shard.",
          {"topic", "consumer_group", "shard"})),
      paused(metrics->AddGauges("barid_broker_group_paused",
                                "1 while the group is paused, so that it is given nothing; of one shard.",
                                {"topic", "consumer_group", "shard"})) {}

ShardMetrics::ShardMetrics(BrokerMetrics* families, ShardId shard)
    : log_records(families->log_records->With({absl::StrCat(shard.value())})),
      log_bytes(families->log_bytes->With({absl::StrCat(shard.value())})),
      log_batch_records(families->log_batch_records->With({absl::StrCat(shard.value())})),
      log_write_seconds(families->log_write_seconds->With({absl::StrCat(shard.value())})),
      log_size_bytes(families->log_size_bytes->With({absl::StrCat(shard.value())})),
      lateness_seconds(families->lateness_seconds->With({absl::StrCat(shard.value())})),
      proposals(families->proposals->With({absl::StrCat(shard.value())})),
      waiting_receives(families->waiting_receives->With({absl::StrCat(shard.value())})),
      timers_pending(families->timers_pending->With({absl::StrCat(shard.value())})),
      transactions_open(families->transactions_open->With({absl::StrCat(shard.value())})),
      filter_problems(families->filter_problems->With({absl::StrCat(shard.value())})),
      audits(families->audits->With({absl::StrCat(shard.value())})),
      audited_counts(families->audited_counts->With({absl::StrCat(shard.value())})),
      audit_mismatches(families->audit_mismatches->With({absl::StrCat(shard.value())})),
      disk_available_bytes(families->disk_available_bytes->With({absl::StrCat(shard.value())})),
      disk_reserve_bytes(families->disk_reserve_bytes->With({absl::StrCat(shard.value())})),
      families_(families),
      shard_(absl::StrCat(shard.value())),
      timers_fired_(families->timers_fired->With({shard_})),
      timers_cancelled_(families->timers_cancelled->With({shard_})),
      carried_(families->carried->With({shard_})),
      carried_bytes_(families->carried_bytes->With({shard_})),
      transaction_checks_(families->transaction_checks->With({shard_})),
      transactions_discarded_(families->transactions_discarded->With({shard_})),
      repeated_sends_(families->repeated_sends->With({shard_})),
      reused_ids_(families->reused_ids->With({shard_})),
      acknowledged_(families->settlements->With({shard_, "acknowledged"})),
      shown_later_(families->settlements->With({shard_, "shown_later"})),
      undelivered_(families->settlements->With({shard_, "undelivered"})),
      lapsed_(families->settlements->With({shard_, "lapsed"})),
      metadata_(std::make_shared<Metadata>()) {}

void ShardMetrics::SetMetadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }

std::string ShardMetrics::NameOf(TopicId topic) const {
  const TopicMetadata* const found = metadata_->FindTopic(topic);
  return found == nullptr ? absl::StrCat(topic.value()) : found->name.ToString();
}
std::string ShardMetrics::NameOf(GroupId group) const {
  const GroupMetadata* const found = metadata_->FindGroup(group);
  return found == nullptr ? absl::StrCat(group.value()) : found->name.ToString();
}

const ShardMetrics::OfTopic& ShardMetrics::Topic(TopicId topic) {
  if (const auto found = topics_.find(topic); found != topics_.end()) return found->second;
  const std::string name = NameOf(topic);
  OfTopic metrics{families_->messages_in->With({name}), families_->bytes_in->With({name}),
                  families_->committed->With({name}), families_->rolled_back->With({name})};
  return topics_.emplace(topic, metrics).first->second;
}

const ShardMetrics::OfGroup& ShardMetrics::Group(TopicId topic, GroupId group) {
  const GroupTopic key{group, topic};
  if (const auto found = groups_.find(key); found != groups_.end()) return found->second;
  const std::string topic_name = NameOf(topic);
  const std::string group_name = NameOf(group);
  OfGroup metrics{families_->messages_out->With({topic_name, group_name}),
                  families_->bytes_out->With({topic_name, group_name}),
                  families_->redeliveries->With({topic_name, group_name}),
                  families_->sent_to_dead_letters->With({topic_name, group_name})};
  return groups_.emplace(key, metrics).first->second;
}

void ShardMetrics::In(TopicId topic, int64_t messages, int64_t bytes) {
  if (messages <= 0) return;
  const OfTopic& metrics = Topic(topic);
  metrics.messages_in->Add(static_cast<uint64_t>(messages));
  metrics.bytes_in->Add(static_cast<uint64_t>(bytes));
}

void ShardMetrics::OnApplied(const Command& command, const Outcome& outcome) {
  const auto count = [](const std::vector<bool>& live) {
    return static_cast<uint64_t>(std::count(live.begin(), live.end(), true));
  };
  if (!outcome.repeats.empty()) repeated_sends_->Add(outcome.repeats.size());
  if (outcome.reused_ids > 0) reused_ids_->Add(static_cast<uint64_t>(outcome.reused_ids));
  if (const auto* append = std::get_if<log::Append>(&command)) {
    if (!outcome.status.ok()) return;
    In(outcome.queue.topic, append->entries_size() - static_cast<int64_t>(outcome.repeats.size()), BytesOf(*append));
  } else if (const auto* settle = std::get_if<log::Settle>(&command)) {
    for (size_t i = 0; i < outcome.live.size(); ++i) {
      if (!outcome.live[i]) continue;
      const auto action = settle->entries(static_cast<int>(i)).action();
      Counter* const counter = action == log::Settle::Entry::ACK           ? acknowledged_
                               : action == log::Settle::Entry::UNDELIVERED ? undelivered_
                                                                           : shown_later_;
      counter->Add();
    }
  } else if (std::holds_alternative<log::MakeVisible>(command)) {
    lapsed_->Add(count(outcome.live));
  } else if (const auto* schedule = std::get_if<log::Schedule>(&command)) {
    if (!outcome.status.ok()) return;
    In(outcome.queue.topic, schedule->entries_size() - static_cast<int64_t>(outcome.repeats.size()),
       BytesOf(*schedule));
  } else if (const auto* prepare = std::get_if<log::Prepare>(&command)) {
    if (!outcome.status.ok()) return;
    In(outcome.queue.topic, prepare->entries_size() - static_cast<int64_t>(outcome.repeats.size()), BytesOf(*prepare));
  } else if (std::holds_alternative<log::FireTimer>(command)) {
    timers_fired_->Add(count(outcome.live));
  } else if (std::holds_alternative<log::CancelTimer>(command)) {
    timers_cancelled_->Add(count(outcome.live));
  } else if (const auto* carry = std::get_if<log::Carry>(&command)) {
    carried_->Add(count(outcome.live));
    carried_bytes_->Add(static_cast<uint64_t>(BytesOf(*carry)));
  } else if (const auto* end = std::get_if<log::EndTransaction>(&command)) {
    for (size_t i = 0; i < outcome.ended.size(); ++i) {
      if (!outcome.ended[i].now) continue;
      const auto resolution = end->entries(static_cast<int>(i)).resolution();
      if (resolution == log::EndTransaction::Entry::DISCARD) {
        transactions_discarded_->Add();
      } else {
        const OfTopic& metrics = Topic(outcome.ended[i].topic);
        (resolution == log::EndTransaction::Entry::COMMIT ? metrics.committed : metrics.rolled_back)->Add();
      }
    }
  } else if (std::holds_alternative<log::CheckTransaction>(command)) {
    transaction_checks_->Add(count(outcome.live));
  } else if (const auto* move = std::get_if<log::Move>(&command)) {
    if (!outcome.status.ok()) return;
    Group(TopicId(move->delivery().queue().topic_id()), GroupId(move->delivery().group_id()))
        .sent_to_dead_letters->Add();
  }
}

void ShardMetrics::OnReceived(TopicId topic, GroupId group, const ReceiveResult& result) {
  if (result.deliveries.empty()) return;
  const OfGroup& metrics = Group(topic, group);
  uint64_t bytes = 0;
  uint64_t again = 0;
  for (const Delivery& delivery : result.deliveries) {
    bytes += delivery.stored.size();
    if (delivery.attempt > 1) ++again;
  }
  metrics.messages_out->Add(result.deliveries.size());
  metrics.bytes_out->Add(bytes);
  if (again > 0) metrics.redeliveries->Add(again);
}

void ShardMetrics::Show(const std::vector<GroupCount>& counts, absl::Time now) {
  for (auto& [key, shown] : shown_) shown.is_there = false;
  for (auto& [topic, shown] : delayed_) shown.is_there = false;
  for (const GroupCount& count : counts) {
    const std::string topic = NameOf(count.topic);
    if (count.group == GroupId()) {
      if (!delayed_.contains(count.topic) && delayed_.size() >= kMaxCounted) continue;
      ShownDelayed& shown =
          delayed_.try_emplace(count.topic, ShownDelayed{{families_->delayed->With({topic})}}).first->second;
      shown.is_there = true;
      shown.delayed.Set(static_cast<double>(count.delayed));
      continue;
    }
    const GroupTopic key{count.group, count.topic};
    auto found = shown_.find(key);
    if (found == shown_.end()) {
      if (shown_.size() >= kMaxCounted) continue;
      const std::string group = NameOf(count.group);
      ShownCounts fresh{
          {families_->lag->With({topic, group})},          {families_->ready->With({topic, group})},
          {families_->in_flight->With({topic, group})},    {families_->blocked->With({topic, group})},
          {families_->dead_letters->With({topic, group})}, families_->oldest_seconds->With({topic, group, shard_}),
          families_->paused->With({topic, group, shard_})};
      found = shown_.emplace(key, fresh).first;
    }
    ShownCounts& shown = found->second;
    shown.is_there = true;
    shown.lag.Set(static_cast<double>(count.ready + count.in_flight + count.blocked));
    shown.ready.Set(static_cast<double>(count.ready));
    shown.in_flight.Set(static_cast<double>(count.in_flight));
    shown.blocked.Set(static_cast<double>(count.blocked));
    shown.dead_letters.Set(static_cast<double>(count.dead_lettered));
    shown.oldest_seconds->Set(count.oldest ? absl::ToDoubleSeconds(std::max(now - *count.oldest, absl::ZeroDuration()))
                                           : 0);
    shown.paused->Set(metadata_->IsPaused(count.group) ? 1 : 0);
  }
  absl::erase_if(shown_, [](auto& entry) {
    ShownCounts& shown = entry.second;
    if (shown.is_there) return false;
    for (Shown* one : {&shown.lag, &shown.ready, &shown.in_flight, &shown.blocked, &shown.dead_letters}) one->Set(0);
    shown.oldest_seconds->Set(0);
    shown.paused->Set(0);
    return true;
  });
  absl::erase_if(delayed_, [](auto& entry) {
    if (entry.second.is_there) return false;
    entry.second.delayed.Set(0);
    return true;
  });
}

}  // namespace barid::broker
