#include "proxy/public/admin_conversions.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proxy/public/conversions.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

bool IsUtf8(absl::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const auto at = [bytes](size_t place) { return static_cast<uint8_t>(bytes[place]); };
    const uint8_t lead = at(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0 || length > bytes.size() - i) return false;
    // Neither longer than need be, nor half of a UTF-16 pair, nor beyond the last character.
    const uint8_t lowest = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t highest = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at(i + 1) < lowest || at(i + 1) > highest) return false;
    for (size_t k = 2; k < length; ++k) {
      if ((at(i + k) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

absl::Status Expect(bool holds, absl::string_view what, int64_t found, absl::string_view expected) {
  if (holds) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " is ", found, ", expected ", expected));
}

absl::Status CheckQueues(int32_t queues) {
  return Expect(queues >= 1 && queues <= kMaxQueuesPerShard, "queues_per_shard", queues,
                absl::StrCat("1 to ", kMaxQueuesPerShard));
}

absl::StatusOr<absl::Duration> Positive(const google::protobuf::Duration& proto, absl::string_view what) {
  const absl::Duration duration = FromProto(proto);
  if (duration > absl::ZeroDuration()) return duration;
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", absl::FormatDuration(duration), ", expected more than 0"));
}

absl::StatusOr<RetryPolicy> PolicyFromProto(const admin::RetryPolicy& proto) {
  RetryPolicy policy;
  if (proto.max_attempts() != 0) policy.max_attempts = proto.max_attempts();
  RETURN_IF_ERROR(Expect(policy.max_attempts >= 1 && policy.max_attempts <= kMaxAttempts, "max_attempts",
                         policy.max_attempts, absl::StrCat("1 to ", kMaxAttempts)));
  for (const google::protobuf::Duration& delay : proto.delays()) {
    policy.delays.push_back(FromProto(delay));
    if (policy.delays.back() < absl::ZeroDuration()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a retry delay is ", absl::FormatDuration(policy.delays.back()), ", expected 0 or more"));
    }
  }
  if (proto.has_initial()) {
    ASSIGN_OR_RETURN(policy.initial, Positive(proto.initial(), "the initial retry delay"));
  }
  if (proto.has_max()) {
    ASSIGN_OR_RETURN(policy.max, Positive(proto.max(), "the maximal retry delay"));
  }
  if (proto.multiplier() != 0) policy.multiplier = proto.multiplier();
  if (!(policy.multiplier >= 1 && policy.multiplier <= kMaxRetryMultiplier)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the retry multiplier is ", policy.multiplier, ", expected 1 to ", kMaxRetryMultiplier));
  }
  // Only attempts were named: the usual delays.
  if (policy.delays.empty() && !proto.has_initial() && !proto.has_max() && proto.multiplier() == 0) {
    policy.delays = DefaultRetryDelays();
  }
  return policy;
}

void PolicyToProto(const RetryPolicy& policy, admin::RetryPolicy* out) {
  out->set_max_attempts(policy.max_attempts);
  for (const absl::Duration delay : policy.delays) ToProto(delay, out->add_delays());
  if (!policy.delays.empty()) return;
  ToProto(policy.initial, out->mutable_initial());
  ToProto(policy.max, out->mutable_max());
  out->set_multiplier(policy.multiplier);
}

static_assert(static_cast<int>(GroupKind::kDelivery) == admin::GROUP_KIND_DELIVERY);
static_assert(static_cast<int>(GroupKind::kOffset) == admin::GROUP_KIND_OFFSET);

}  // namespace

ResourceName FromProto(const admin::Name& name) { return {name.namespace_(), name.name()}; }

absl::StatusOr<TopicMetadata> FromProto(const admin::CreateTopicRequest& request) {
  TopicMetadata topic;
  topic.name = FromProto(request.name());
  RETURN_IF_ERROR(CheckTopic(topic.name));
  if (absl::StartsWith(topic.name.name, kDeadLetterPrefix)) {
    return absl::InvalidArgumentError(absl::StrCat("the topic name ", topic.name.name, " begins with ",
                                                   kDeadLetterPrefix, ": such topics are there with their group"));
  }
  if (absl::StartsWith(topic.name.name, kDiscardedPrefix)) {
    return absl::InvalidArgumentError(absl::StrCat("the topic name ", topic.name.name, " begins with ",
                                                   kDiscardedPrefix,
                                                   ": such topics are there with their topic of type transaction"));
  }
  if (!admin::TopicType_IsValid(request.type())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the topic type is ", static_cast<int>(request.type()), ", expected 1 to 6"));
  }
  if (request.type() != admin::TOPIC_TYPE_UNSPECIFIED) topic.type = static_cast<MessageType>(request.type());
  if (request.has_queues_per_shard()) {
    topic.queues_per_shard = request.queues_per_shard();
    RETURN_IF_ERROR(CheckQueues(topic.queues_per_shard));
  } else if (topic.type == MessageType::kFifo || topic.type == MessageType::kPriority ||
             topic.type == MessageType::kLite) {
    topic.queues_per_shard = 0;  // The controller's default: a number in all, of priorities, or one.
  }
  if (request.has_retention_age()) {
    ASSIGN_OR_RETURN(topic.retention.age, Positive(request.retention_age(), "retention_age"));
  }
  topic.retention.bytes = request.retention_bytes();
  RETURN_IF_ERROR(Expect(topic.retention.bytes >= 0, "retention_bytes", topic.retention.bytes, "0 (no limit) or more"));
  topic.retention.keep_unsettled = request.keep_unsettled();
  if (request.has_idempotent()) topic.idempotent = request.idempotent();
  if (request.has_transaction_recovery()) topic.transaction_recovery = FromProto(request.transaction_recovery());
  if (request.has_max_message_bytes()) topic.max_message_bytes = request.max_message_bytes();
  RETURN_IF_ERROR(Expect(topic.max_message_bytes >= 1, "max_message_bytes", topic.max_message_bytes, "1 or more"));
  return topic;
}

absl::StatusOr<TopicUpdate> FromProto(const admin::UpdateTopicRequest& request) {
  TopicUpdate update;
  update.name = FromProto(request.name());
  if (request.has_queues_per_shard()) {
    RETURN_IF_ERROR(CheckQueues(request.queues_per_shard()));
    update.queues_per_shard = request.queues_per_shard();
  }
  if (request.has_retention_age()) {
    ASSIGN_OR_RETURN(update.retention_age, Positive(request.retention_age(), "retention_age"));
  }
  if (request.has_retention_bytes()) {
    RETURN_IF_ERROR(
        Expect(request.retention_bytes() >= 0, "retention_bytes", request.retention_bytes(), "0 (no limit) or more"));
    update.retention_bytes = request.retention_bytes();
  }
  if (request.has_keep_unsettled()) update.keep_unsettled = request.keep_unsettled();
  if (request.has_idempotent()) update.idempotent = request.idempotent();
  if (request.has_transaction_recovery()) update.transaction_recovery = FromProto(request.transaction_recovery());
  if (request.has_max_message_bytes()) {
    RETURN_IF_ERROR(
        Expect(request.max_message_bytes() >= 1, "max_message_bytes", request.max_message_bytes(), "1 or more"));
    update.max_message_bytes = request.max_message_bytes();
  }
  return update;
}

absl::StatusOr<GroupMetadata> FromProto(const admin::CreateGroupRequest& request) {
  GroupMetadata group;
  group.name = FromProto(request.name());
  RETURN_IF_ERROR(CheckGroup(group.name));
  if (!admin::DeliveryOrder_IsValid(request.order())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the delivery order is ", static_cast<int>(request.order()), ", expected 1 or 2"));
  }
  if (!admin::GroupKind_IsValid(request.kind())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the group's kind is ", static_cast<int>(request.kind()), ", expected 0 to 2"));
  }
  group.kind = static_cast<GroupKind>(request.kind());
  group.order = request.order() == admin::DELIVERY_ORDER_FIFO ? DeliveryOrder::kFifo : DeliveryOrder::kNone;
  if (request.has_expire_after()) group.expire_after = FromProto(request.expire_after());
  // An absent message reads as an empty one: the default policy.
  ASSIGN_OR_RETURN(group.retry, PolicyFromProto(request.retry()));
  switch (request.start().position_case()) {
    case admin::StartFrom::kLast:
      group.start.kind = StartFrom::Kind::kLast;
      break;
    case admin::StartFrom::kTime:
      group.start.kind = StartFrom::Kind::kTime;
      group.start.time = FromProto(request.start().time(), absl::UnixEpoch());
      break;
    default:
      group.start.kind = StartFrom::Kind::kFirst;
  }
  return group;
}

absl::StatusOr<GroupUpdate> FromProto(const admin::UpdateGroupRequest& request) {
  GroupUpdate update;
  update.name = FromProto(request.name());
  if (request.has_retry()) {
    ASSIGN_OR_RETURN(update.retry, PolicyFromProto(request.retry()));
  }
  if (request.has_expire_after()) update.expire_after = FromProto(request.expire_after());
  if (request.has_paused()) update.paused = request.paused();
  return update;
}

std::string Text(absl::string_view bytes) {
  return IsUtf8(bytes) ? absl::Utf8SafeCEscape(bytes) : absl::CEscape(bytes);
}

std::string SentenceText(std::string sentence) {
  if (!IsUtf8(sentence)) return absl::CEscape(sentence);
  for (char& c : sentence) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return sentence;
}

void ToProto(const ResourceName& name, admin::Name* out) {
  out->set_namespace_(name.space);
  out->set_name(name.name);
}

void ToProto(const TopicMetadata& topic, admin::Topic* out) {
  ToProto(topic.name, out->mutable_name());
  out->set_type(static_cast<admin::TopicType>(topic.type));
  out->set_queues_per_shard(topic.queues_per_shard);
  out->set_fifo_queues(static_cast<int32_t>(topic.placement.size()));
  ToProto(topic.retention.age, out->mutable_retention_age());
  out->set_retention_bytes(topic.retention.bytes);
  out->set_keep_unsettled(topic.retention.keep_unsettled);
  out->set_idempotent(topic.idempotent);
  if (topic.transaction_recovery > absl::ZeroDuration())
    ToProto(topic.transaction_recovery, out->mutable_transaction_recovery());
  out->set_max_message_bytes(topic.max_message_bytes);
  ToProto(topic.created, out->mutable_created());
  out->set_id(topic.id.value());
}

void ToProto(const GroupMetadata& group, admin::Group* out) {
  ToProto(group.name, out->mutable_name());
  out->set_order(group.order == DeliveryOrder::kFifo ? admin::DELIVERY_ORDER_FIFO : admin::DELIVERY_ORDER_NONE);
  PolicyToProto(group.retry, out->mutable_retry());
  switch (group.start.kind) {
    case StartFrom::Kind::kFirst:
      out->mutable_start()->set_first(true);
      break;
    case StartFrom::Kind::kLast:
      out->mutable_start()->set_last(true);
      break;
    case StartFrom::Kind::kTime:
      ToProto(group.start.time, out->mutable_start()->mutable_time());
      break;
  }
  ToProto(group.created, out->mutable_created());
  out->set_id(group.id.value());
  out->set_kind(static_cast<admin::GroupKind>(group.kind));
  if (group.expire_after > absl::ZeroDuration()) ToProto(group.expire_after, out->mutable_expire_after());
  out->set_paused(group.paused);
}

void ToProto(const QueueStats& stats, const Metadata& metadata, admin::QueueStats* out) {
  const ShardMetadata* const shard = metadata.FindShard(stats.shard);
  out->set_shard(shard != nullptr ? shard->name : absl::StrCat(stats.shard.value()));
  if (const TopicMetadata* const topic = metadata.FindTopic(stats.queue.topic))
    ToProto(topic->name, out->mutable_topic());
  out->set_queue(stats.queue.queue);
  out->set_first(stats.first);
  out->set_end(stats.end);
  out->set_bytes(stats.bytes);
  out->set_delayed(stats.delayed);
  out->set_repeated_sends(stats.repeated_sends);
  out->set_reused_ids(stats.reused_ids);
  out->set_lite_topics(stats.lite_topics);
  for (const QueueStats::Group& place : stats.groups) {
    const GroupMetadata* const group = metadata.FindGroup(place.group);
    if (group == nullptr) continue;  // Deleted just now.
    admin::QueueStats::GroupPlace* const proto = out->add_groups();
    ToProto(group->name, proto->mutable_group());
    proto->set_floor(place.floor);
    proto->set_next(place.next);
    proto->set_in_flight(place.in_flight);
    proto->set_ready_again(place.ready_again);
    proto->set_parked(place.parked);
    proto->set_lag(place.in_flight + place.ready_again + place.parked + (stats.end - place.next));
  }
}

void ToProto(const GroupCount& count, const Metadata& metadata, admin::GroupCount* out) {
  if (const GroupMetadata* const group = metadata.FindGroup(count.group)) ToProto(group->name, out->mutable_group());
  if (const TopicMetadata* const topic = metadata.FindTopic(count.topic)) ToProto(topic->name, out->mutable_topic());
  out->set_ready(count.ready);
  out->set_in_flight(count.in_flight);
  out->set_blocked(count.blocked);
  out->set_delayed(count.delayed);
  out->set_dead_lettered(count.dead_lettered);
  if (count.oldest) ToProto(*count.oldest, out->mutable_oldest());
}

void ToProto(const TransactionInfo& transaction, const std::string& shard,
             admin::ListTransactionsResponse::Transaction* out) {
  out->set_shard(shard);
  out->set_message_id(Text(transaction.message_id));
  ToProto(transaction.since, out->mutable_since());
  out->set_checks(transaction.checks);
  if (transaction.next_check != absl::Time()) ToProto(transaction.next_check, out->mutable_next_check());
  out->set_reason(transaction.reason);
}

void ToProto(const ResetOffsetResult::Entry& entry, const std::string& shard, admin::ResetOffsetResponse::Queue* out) {
  out->set_shard(shard);
  out->set_queue(entry.queue.queue);
  if (entry.from) out->set_from(*entry.from);
  out->set_to(entry.to);
  out->set_end(entry.end);
  out->set_in_flight(entry.in_flight);
  out->set_parked(entry.parked);
  if (!entry.status.ok()) out->set_error(std::string(entry.status.message()));
}

void ToProto(const ClientProfile& client, admin::Client* out) {
  out->set_id(client.id);
  out->set_type(std::string(ClientTypeName(client.type)));
  out->set_language(std::string(LanguageName(client.language)));
  out->set_version(client.version);
  if (client.group) ToProto(*client.group, out->mutable_group());
}

}  // namespace barid::proxy
