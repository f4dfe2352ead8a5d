#include "codec/controller_codec.h"

#include <tuple>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace barid {
namespace {

absl::Status FieldError(absl::string_view field, int64_t found, absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", found, ", expected ", allowed));
}

absl::Status CheckId(absl::string_view field, uint64_t id) {
  if (id & kDiscardedBit)
    return absl::InvalidArgumentError(absl::StrCat(field, " ", id, " has the bit of discarded transactions"));
  if (id & kDeadLetterBit) return absl::InvalidArgumentError(absl::StrCat(field, " ", id, " has the dead-letter bit"));
  return absl::OkStatus();
}

}  // namespace

void Encode(const ResourceName& in, controller_pb::ResourceName* out) {
  out->set_space(in.space);
  out->set_name(in.name);
}

ResourceName Decode(const controller_pb::ResourceName& in) { return {in.space(), in.name()}; }

void Encode(const StartFrom& in, controller_pb::StartFrom* out) {
  out->set_kind(static_cast<controller_pb::StartFrom::Kind>(in.kind));
  if (in.kind == StartFrom::Kind::kTime) out->set_time_us(absl::ToUnixMicros(in.time));
}

absl::StatusOr<StartFrom> Decode(const controller_pb::StartFrom& in) {
  if (in.kind() < 0 || in.kind() > static_cast<int>(StartFrom::Kind::kTime)) {
    return FieldError("start.kind", in.kind(), "0 (first), 1 (last) or 2 (time)");
  }
  StartFrom out;
  out.kind = static_cast<StartFrom::Kind>(in.kind());
  if (out.kind == StartFrom::Kind::kTime) out.time = absl::FromUnixMicros(in.time_us());
  return out;
}

void Encode(const TopicMetadata& in, controller_pb::Topic* out) {
  out->set_id(in.id.value());
  Encode(in.name, out->mutable_name());
  out->set_type(static_cast<int32_t>(in.type));
  out->set_queues_per_shard(in.queues_per_shard);
  out->mutable_retention()->set_age_us(absl::ToInt64Microseconds(in.retention.age));
  out->mutable_retention()->set_bytes(in.retention.bytes);
  out->mutable_retention()->set_keep_unsettled(in.retention.keep_unsettled);
  out->set_max_message_bytes(in.max_message_bytes);
  out->set_created_us(absl::ToUnixMicros(in.created));
  for (const ShardId shard : in.placement) out->add_placement(shard.value());
  out->set_repeats_are_stored(!in.idempotent);
  out->set_transaction_recovery_us(absl::ToInt64Microseconds(in.transaction_recovery));
}

absl::StatusOr<TopicMetadata> Decode(const controller_pb::Topic& in) {
  RETURN_IF_ERROR(CheckId("topic.id", in.id()));
  if (in.type() < 0 || in.type() > static_cast<int>(MessageType::kPriority)) {
    return FieldError("topic.type", in.type(), "a message type, 0 to 6");
  }
  TopicMetadata out;
  out.id = TopicId(in.id());
  out.name = Decode(in.name());
  out.type = static_cast<MessageType>(in.type());
  out.queues_per_shard = in.queues_per_shard();
  out.retention.age = absl::Microseconds(in.retention().age_us());
  out.retention.bytes = in.retention().bytes();
  out.retention.keep_unsettled = in.retention().keep_unsettled();
  out.max_message_bytes = in.max_message_bytes();
  out.created = absl::FromUnixMicros(in.created_us());
  for (const uint64_t shard : in.placement()) out.placement.push_back(ShardId(shard));
  out.idempotent = !in.repeats_are_stored();
  out.transaction_recovery = absl::Microseconds(in.transaction_recovery_us());
  return out;
}

void Encode(const RetryPolicy& in, controller_pb::RetryPolicy* out) {
  out->set_max_attempts(in.max_attempts);
  for (const absl::Duration delay : in.delays) out->add_delays_us(absl::ToInt64Microseconds(delay));
  out->set_initial_us(absl::ToInt64Microseconds(in.initial));
  out->set_max_us(absl::ToInt64Microseconds(in.max));
  out->set_multiplier(in.multiplier);
}

RetryPolicy Decode(const controller_pb::RetryPolicy& in) {
  RetryPolicy out;
  out.max_attempts = in.max_attempts();
  for (const int64_t delay : in.delays_us()) out.delays.push_back(absl::Microseconds(delay));
  out.initial = absl::Microseconds(in.initial_us());
  out.max = absl::Microseconds(in.max_us());
  out.multiplier = in.multiplier();
  return out;
}

void Encode(const GroupMetadata& in, controller_pb::Group* out) {
  out->set_id(in.id.value());
  Encode(in.name, out->mutable_name());
  out->set_order(static_cast<controller_pb::DeliveryOrder>(in.order));
  Encode(in.retry, out->mutable_retry());
  Encode(in.start, out->mutable_start());
  out->set_created_us(absl::ToUnixMicros(in.created));
  out->set_kind(static_cast<controller_pb::GroupKind>(in.kind));
  out->set_expire_after_us(absl::ToInt64Microseconds(in.expire_after));
  out->set_paused(in.paused);
}

absl::StatusOr<GroupMetadata> Decode(const controller_pb::Group& in) {
  RETURN_IF_ERROR(CheckId("group.id", in.id()));
  if (in.order() < 0 || in.order() > static_cast<int>(DeliveryOrder::kFifo)) {
    return FieldError("group.order", in.order(), "0 (none) or 1 (fifo)");
  }
  if (!controller_pb::GroupKind_IsValid(in.kind())) {
    return FieldError("group.kind", in.kind(), "0 (undecided), 1 (delivery) or 2 (offset)");
  }
  GroupMetadata out;
  out.kind = static_cast<GroupKind>(in.kind());
  out.id = GroupId(in.id());
  out.name = Decode(in.name());
  out.order = static_cast<DeliveryOrder>(in.order());
  out.retry = Decode(in.retry());
  ASSIGN_OR_RETURN(out.start, Decode(in.start()));
  out.created = absl::FromUnixMicros(in.created_us());
  out.expire_after = absl::Microseconds(in.expire_after_us());
  out.paused = in.paused();
  return out;
}

void Encode(const SubscriptionMetadata& in, controller_pb::Subscription* out) {
  out->set_group_id(in.group.value());
  out->set_topic_id(in.topic.value());
  Encode(in.start, out->mutable_start());
  out->set_created_us(absl::ToUnixMicros(in.created));
}

absl::StatusOr<SubscriptionMetadata> Decode(const controller_pb::Subscription& in) {
  RETURN_IF_ERROR(CheckId("subscription.group_id", in.group_id()));
  SubscriptionMetadata out;
  out.group = GroupId(in.group_id());
  out.topic = TopicId(in.topic_id());
  ASSIGN_OR_RETURN(out.start, Decode(in.start()));
  out.created = absl::FromUnixMicros(in.created_us());
  return out;
}

void Encode(const BrokerMetadata& in, controller_pb::Broker* out) {
  out->set_id(in.id);
  out->set_endpoint(in.endpoint);
}

BrokerMetadata Decode(const controller_pb::Broker& in) { return {in.id(), in.endpoint()}; }

void Encode(const ShardMetadata& in, controller_pb::Shard* out) {
  out->set_id(in.id.value());
  out->set_name(in.name);
  out->set_leader(in.leader);
  out->set_epoch(in.epoch);
}

ShardMetadata Decode(const controller_pb::Shard& in) { return {ShardId(in.id()), in.name(), in.leader(), in.epoch()}; }

void Encode(const SigningKey& in, controller_pb::SigningKey* out) {
  out->set_id(in.id);
  out->set_secret(in.secret);
}

SigningKey Decode(const controller_pb::SigningKey& in) { return {in.id(), in.secret()}; }

void Encode(const TopicUpdate& in, controller_pb::UpdateTopicRequest* out) {
  Encode(in.name, out->mutable_name());
  if (in.retention_age) out->set_retention_age_us(absl::ToInt64Microseconds(*in.retention_age));
  if (in.retention_bytes) out->set_retention_bytes(*in.retention_bytes);
  if (in.keep_unsettled) out->set_keep_unsettled(*in.keep_unsettled);
  if (in.max_message_bytes) out->set_max_message_bytes(*in.max_message_bytes);
  if (in.queues_per_shard) out->set_queues_per_shard(*in.queues_per_shard);
  if (in.idempotent) out->set_repeats_are_stored(!*in.idempotent);
  if (in.transaction_recovery) out->set_transaction_recovery_us(absl::ToInt64Microseconds(*in.transaction_recovery));
}

TopicUpdate Decode(const controller_pb::UpdateTopicRequest& in) {
  TopicUpdate out;
  out.name = Decode(in.name());
  if (in.has_retention_age_us()) out.retention_age = absl::Microseconds(in.retention_age_us());
  if (in.has_retention_bytes()) out.retention_bytes = in.retention_bytes();
  if (in.has_keep_unsettled()) out.keep_unsettled = in.keep_unsettled();
  if (in.has_max_message_bytes()) out.max_message_bytes = in.max_message_bytes();
  if (in.has_queues_per_shard()) out.queues_per_shard = in.queues_per_shard();
  if (in.has_repeats_are_stored()) out.idempotent = !in.repeats_are_stored();
  if (in.has_transaction_recovery_us()) out.transaction_recovery = absl::Microseconds(in.transaction_recovery_us());
  return out;
}

void Encode(const GroupUpdate& in, controller_pb::UpdateGroupRequest* out) {
  Encode(in.name, out->mutable_name());
  if (in.retry) Encode(*in.retry, out->mutable_retry());
  if (in.kind) out->set_kind(static_cast<controller_pb::GroupKind>(*in.kind));
  if (in.expire_after) out->set_expire_after_us(absl::ToInt64Microseconds(*in.expire_after));
  if (in.paused) out->set_paused(*in.paused);
}

GroupUpdate Decode(const controller_pb::UpdateGroupRequest& in) {
  GroupUpdate out;
  out.name = Decode(in.name());
  if (in.has_retry()) out.retry = Decode(in.retry());
  // One that we do not know is none that could be decided.
  if (in.kind() == controller_pb::GROUP_KIND_DELIVERY) out.kind = GroupKind::kDelivery;
  if (in.kind() == controller_pb::GROUP_KIND_OFFSET) out.kind = GroupKind::kOffset;
  if (in.has_expire_after_us()) out.expire_after = absl::Microseconds(in.expire_after_us());
  if (in.has_paused()) out.paused = in.paused();
  return out;
}

void Encode(const GroupReport& in, controller_pb::ReportGroupsRequest* out) {
  out->set_proxy(in.proxy);
  for (const GroupId group : in.seen) out->add_group_ids(group.value());
}

GroupReport Decode(const controller_pb::ReportGroupsRequest& in) {
  GroupReport out;
  out.proxy = in.proxy();
  for (const uint64_t id : in.group_ids()) out.seen.push_back(GroupId(id));
  return out;
}

void Encode(const BrokerRegistration& in, controller_pb::RegisterBrokerRequest* out) {
  out->set_id(in.id);
  out->set_endpoint(in.endpoint);
  for (const BrokerRegistration::Replica& replica : in.replicas) {
    controller_pb::Replica* encoded = out->add_replicas();
    encoded->set_shard_id(replica.shard.value());
    encoded->set_log_id(replica.log_id);
  }
  out->set_cluster(in.cluster);
}

BrokerRegistration Decode(const controller_pb::RegisterBrokerRequest& in) {
  BrokerRegistration out;
  out.id = in.id();
  out.endpoint = in.endpoint();
  for (const controller_pb::Replica& replica : in.replicas()) {
    out.replicas.push_back({ShardId(replica.shard_id()), replica.log_id()});
  }
  out.cluster = in.cluster();
  return out;
}

void Encode(const BrokerGrant& in, controller_pb::RegisterBrokerResponse* out) {
  out->set_cluster(in.cluster);
  out->set_now_us(absl::ToUnixMicros(in.now));
  for (const ShardGrant& grant : in.shards) {
    controller_pb::RegisterBrokerResponse::Grant* encoded = out->add_grants();
    Encode(grant.shard, encoded->mutable_shard());
    encoded->set_log_id(grant.log_id);
  }
}

BrokerGrant Decode(const controller_pb::RegisterBrokerResponse& in) {
  BrokerGrant out;
  out.cluster = in.cluster();
  out.now = absl::FromUnixMicros(in.now_us());
  for (const auto& grant : in.grants()) out.shards.push_back({Decode(grant.shard()), grant.log_id()});
  return out;
}

namespace {

// How each table's entries are told apart. The tables of a Metadata may stand in any order.
TopicId KeyOf(const TopicMetadata& entry) { return entry.id; }
GroupId KeyOf(const GroupMetadata& entry) { return entry.id; }
std::pair<GroupId, TopicId> KeyOf(const SubscriptionMetadata& entry) { return {entry.group, entry.topic}; }
std::string KeyOf(const BrokerMetadata& entry) { return entry.id; }
ShardId KeyOf(const ShardMetadata& entry) { return entry.id; }
uint32_t KeyOf(const SigningKey& entry) { return entry.id; }

template <typename Entry>
auto IndexOf(const std::vector<Entry>& table) {
  absl::btree_map<decltype(KeyOf(table[0])), const Entry*> index;
  for (const Entry& entry : table) index[KeyOf(entry)] = &entry;
  return index;
}

template <typename Entry, typename Add, typename Delete>
void Difference(const std::vector<Entry>& from, const std::vector<Entry>& to, Add add, Delete remove) {
  const auto before = IndexOf(from);
  const auto after = IndexOf(to);
  auto old = before.begin();
  for (const auto& [key, entry] : after) {
    for (; old != before.end() && old->first < key; ++old) remove(old->first);
    const bool is_there = old != before.end() && old->first == key;
    if (!is_there || !(*old->second == *entry)) Encode(*entry, add());
    if (is_there) ++old;
  }
  for (; old != before.end(); ++old) remove(old->first);
}

// Decode gives a value for some messages and a StatusOr for others.
template <typename T>
absl::StatusOr<T> Checked(T value) {
  return value;
}
template <typename T>
absl::StatusOr<T> Checked(absl::StatusOr<T> value) {
  return value;
}

template <typename Entry, typename Changed, typename Deleted, typename KeyOfDeleted>
absl::Status ApplyTo(const std::vector<Entry>& base, const Changed& changed, const Deleted& deleted,
                     KeyOfDeleted key_of_deleted, std::vector<Entry>* out) {
  absl::btree_map<decltype(KeyOf(base[0])), Entry> index;
  for (const Entry& entry : base) index[KeyOf(entry)] = entry;
  for (const auto& key : deleted) index.erase(key_of_deleted(key));
  for (const auto& message : changed) {
    absl::StatusOr<Entry> entry = Checked<Entry>(Decode(message));
    RETURN_IF_ERROR(entry.status());
    index[KeyOf(*entry)] = *std::move(entry);
  }
  out->reserve(index.size());
  for (auto& [key, entry] : index) out->push_back(std::move(entry));
  return absl::OkStatus();
}

}  // namespace

void EncodeSnapshot(const Metadata& metadata, controller_pb::MetadataUpdate* out) {
  EncodeDifference(Metadata(), metadata, out);
  out->set_snapshot(true);
}

void EncodeDifference(const Metadata& from_metadata, const Metadata& to_metadata, controller_pb::MetadataUpdate* out) {
  const Metadata::Tables& from = from_metadata.tables();
  const Metadata::Tables& to = to_metadata.tables();
  out->set_revision(to.revision);
  out->set_cluster(to.cluster);
  Difference(
      from.topics, to.topics, [&] { return out->add_topics(); },
      [&](TopicId id) { out->add_deleted_topic_ids(id.value()); });
  Difference(
      from.groups, to.groups, [&] { return out->add_groups(); },
      [&](GroupId id) { out->add_deleted_group_ids(id.value()); });
  Difference(
      from.subscriptions, to.subscriptions, [&] { return out->add_subscriptions(); },
      [&](const std::pair<GroupId, TopicId>& key) {
        controller_pb::MetadataUpdate::SubscriptionKey* deleted = out->add_deleted_subscriptions();
        deleted->set_group_id(key.first.value());
        deleted->set_topic_id(key.second.value());
      });
  Difference(
      from.brokers, to.brokers, [&] { return out->add_brokers(); },
      [&](const std::string& id) { out->add_deleted_broker_ids(id); });
  Difference(
      from.shards, to.shards, [&] { return out->add_shards(); },
      [&](ShardId id) { out->add_deleted_shard_ids(id.value()); });
  Difference(
      from.signing_keys, to.signing_keys, [&] { return out->add_signing_keys(); },
      [&](uint32_t id) { out->add_deleted_signing_key_ids(id); });
}

absl::StatusOr<Metadata::Tables> ApplyUpdate(const Metadata::Tables& base,
                                             const controller_pb::MetadataUpdate& update) {
  static const Metadata::Tables* const kNothing = new Metadata::Tables;
  const Metadata::Tables& from = update.snapshot() ? *kNothing : base;
  Metadata::Tables to;
  to.revision = update.revision();
  to.cluster = update.cluster();
  RETURN_IF_ERROR(ApplyTo(
      from.topics, update.topics(), update.deleted_topic_ids(), [](uint64_t id) { return TopicId(id); }, &to.topics));
  RETURN_IF_ERROR(ApplyTo(
      from.groups, update.groups(), update.deleted_group_ids(), [](uint64_t id) { return GroupId(id); }, &to.groups));
  RETURN_IF_ERROR(ApplyTo(
      from.subscriptions, update.subscriptions(), update.deleted_subscriptions(),
      [](const controller_pb::MetadataUpdate::SubscriptionKey& key) {
        return std::make_pair(GroupId(key.group_id()), TopicId(key.topic_id()));
      },
      &to.subscriptions));
  RETURN_IF_ERROR(ApplyTo(
      from.brokers, update.brokers(), update.deleted_broker_ids(), [](const std::string& id) { return id; },
      &to.brokers));
  RETURN_IF_ERROR(ApplyTo(
      from.shards, update.shards(), update.deleted_shard_ids(), [](uint64_t id) { return ShardId(id); }, &to.shards));
  RETURN_IF_ERROR(ApplyTo(
      from.signing_keys, update.signing_keys(), update.deleted_signing_key_ids(), [](uint32_t id) { return id; },
      &to.signing_keys));
  return to;
}

}  // namespace barid
