#include "controller/records.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "codec/controller_codec.h"

namespace barid::controller {
namespace {

using ::barid::Decode;  // Of the other records, beside ours.
using ::barid::Encode;

std::string Hex(uint64_t id) { return absl::StrCat(absl::Hex(id, absl::kZeroPad16)); }

std::string NameKey(absl::string_view kind, const ResourceName& name) {
  return absl::StrCat(kind, "/", name.space, "/", name.name);
}

void Encode(const ClusterRecord& in, controller_pb::Cluster* out) {
  out->set_id(in.id);
  out->set_next_topic_id(in.next_topic_id);
  out->set_next_group_id(in.next_group_id);
  out->set_next_shard_id(in.next_shard_id);
  out->set_next_signing_key_id(in.next_signing_key_id);
}

ClusterRecord Decode(const controller_pb::Cluster& in) {
  return {in.id(), in.next_topic_id(), in.next_group_id(), in.next_shard_id(), in.next_signing_key_id()};
}

void Encode(const ReplicaRecord& in, controller_pb::Replica* out) {
  out->set_shard_id(in.shard.value());
  out->set_broker(in.broker);
  out->set_log_id(in.log_id);
}

ReplicaRecord Decode(const controller_pb::Replica& in) { return {ShardId(in.shard_id()), in.broker(), in.log_id()}; }

template <typename Message, typename Entry>
std::string Serialize(const Entry& entry) {
  Message message;
  Encode(entry, &message);
  return message.SerializeAsString();
}

template <typename Message>
absl::StatusOr<Record> Parse(absl::string_view key, absl::string_view value) {
  Message message;
  if (!message.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return absl::DataLossError(absl::StrCat("the value of \"", key, "\" is no ", Message::descriptor()->name()));
  }
  auto entry = Decode(message);
  if constexpr (requires { entry.status(); }) {
    if (!entry.ok()) {
      return absl::DataLossError(absl::StrCat("the value of \"", key, "\": ", entry.status().message()));
    }
    return Record(*std::move(entry));
  } else {
    return Record(std::move(entry));
  }
}

absl::StatusOr<Record> ParseAny(absl::string_view key, absl::string_view value) {
  if (key == ClusterKey()) return Parse<controller_pb::Cluster>(key, value);
  if (absl::StartsWith(key, "topic/")) return Parse<controller_pb::Topic>(key, value);
  if (absl::StartsWith(key, "group/")) return Parse<controller_pb::Group>(key, value);
  if (absl::StartsWith(key, "subscription/")) return Parse<controller_pb::Subscription>(key, value);
  if (absl::StartsWith(key, "broker/")) return Parse<controller_pb::Broker>(key, value);
  if (absl::StartsWith(key, "shard/")) return Parse<controller_pb::Shard>(key, value);
  if (absl::StartsWith(key, "replica/")) return Parse<controller_pb::Replica>(key, value);
  if (absl::StartsWith(key, "signing_key/")) return Parse<controller_pb::SigningKey>(key, value);
  return absl::NotFoundError(absl::StrCat("\"", key, "\" is no record's key"));
}

struct KeyVisitor {
  std::string operator()(const ClusterRecord&) const { return ClusterKey(); }
  std::string operator()(const TopicMetadata& topic) const { return TopicKey(topic.name); }
  std::string operator()(const GroupMetadata& group) const { return GroupKey(group.name); }
  std::string operator()(const SubscriptionMetadata& s) const { return SubscriptionKey(s.group, s.topic); }
  std::string operator()(const BrokerMetadata& broker) const { return BrokerKey(broker.id); }
  std::string operator()(const ShardMetadata& shard) const { return ShardKey(shard.id); }
  std::string operator()(const ReplicaRecord& replica) const { return ReplicaKey(replica.shard, replica.broker); }
  std::string operator()(const SigningKey& key) const { return SigningKeyKey(key.id); }
};

struct ValueVisitor {
  std::string operator()(const ClusterRecord& cluster) const { return Serialize<controller_pb::Cluster>(cluster); }
  std::string operator()(const TopicMetadata& topic) const { return Serialize<controller_pb::Topic>(topic); }
  std::string operator()(const GroupMetadata& group) const { return Serialize<controller_pb::Group>(group); }
  std::string operator()(const SubscriptionMetadata& s) const { return Serialize<controller_pb::Subscription>(s); }
  std::string operator()(const BrokerMetadata& broker) const { return Serialize<controller_pb::Broker>(broker); }
  std::string operator()(const ShardMetadata& shard) const { return Serialize<controller_pb::Shard>(shard); }
  std::string operator()(const ReplicaRecord& replica) const { return Serialize<controller_pb::Replica>(replica); }
  std::string operator()(const SigningKey& key) const { return Serialize<controller_pb::SigningKey>(key); }
};

}  // namespace

std::string ClusterKey() { return "cluster"; }
std::string TopicKey(const ResourceName& name) { return NameKey("topic", name); }
std::string GroupKey(const ResourceName& name) { return NameKey("group", name); }
std::string SubscriptionKey(GroupId group, TopicId topic) {
  return absl::StrCat("subscription/", Hex(group.value()), "/", Hex(topic.value()));
}
std::string BrokerKey(absl::string_view id) { return absl::StrCat("broker/", id); }
std::string ShardKey(ShardId id) { return absl::StrCat("shard/", Hex(id.value())); }
std::string ReplicaKey(ShardId shard, absl::string_view broker) {
  return absl::StrCat("replica/", Hex(shard.value()), "/", broker);
}
std::string SigningKeyKey(uint32_t id) { return absl::StrCat("signing_key/", absl::Hex(id, absl::kZeroPad8)); }
std::string KeyOf(const Record& record) { return std::visit(KeyVisitor(), record); }

std::string EncodeRecord(const Record& record) { return std::visit(ValueVisitor(), record); }

absl::StatusOr<Record> DecodeRecord(absl::string_view key, absl::string_view value) {
  ASSIGN_OR_RETURN(Record record, ParseAny(key, value));
  if (KeyOf(record) != key) {
    return absl::DataLossError(absl::StrCat("the value of \"", key, "\" belongs to \"", KeyOf(record), "\""));
  }
  return record;
}

}  // namespace barid::controller
