#include "controller/metadata_logic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace barid::controller {
namespace {

absl::Status CheckBetween(absl::string_view what, int64_t found, int64_t min, int64_t max) {
  if (found >= min && found <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " is ", found, ", allowed is ", min, " to ", max));
}

absl::Status CheckBetween(absl::string_view what, absl::Duration found, absl::Duration min, absl::Duration max) {
  if (found >= min && found <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " is ", absl::FormatDuration(found), ", allowed is ",
                                                 absl::FormatDuration(min), " to ", absl::FormatDuration(max)));
}

absl::Status CheckAlphabet(absl::string_view what, absl::string_view found, size_t max_bytes,
                           absl::string_view punctuation) {
  if (found.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", found.size(), " bytes, at most ", max_bytes, " are allowed"));
  }
  for (const char c : found) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(punctuation, c)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(what, " \"", absl::CHexEscape(found), "\" has an illegal character \"",
                     absl::CHexEscape(absl::string_view(&c, 1)), "\", allowed are letters, digits and ", punctuation));
  }
  return absl::OkStatus();
}

absl::Status ValidateNamespace(absl::string_view space) {
  return CheckAlphabet("the namespace", space, kMaxNamespaceBytes, "%|_.-");
}

// Topics of these names exist with what they belong to, and only with it.
absl::Status RefuseImplicit(absl::string_view kind, absl::string_view name) {
  for (const absl::string_view prefix :
       {absl::string_view(kDeadLetterPrefix), absl::string_view(kRetryPrefix), absl::string_view(kDiscardedPrefix)}) {
    if (absl::StartsWith(name, prefix)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the ", kind, " name \"", name, "\" begins with ", prefix,
          prefix == kDiscardedPrefix ? ": such names belong to a topic of type transaction and come and go with it"
                                     : ": such names belong to a group and come and go with it"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateName(const TopicMetadata& topic) {
  RETURN_IF_ERROR(ValidateTopicName(topic.name.name));
  RETURN_IF_ERROR(ValidateNamespace(topic.name.space));
  return RefuseImplicit("topic", topic.name.name);
}

absl::Status ValidateName(const GroupMetadata& group) {
  RETURN_IF_ERROR(ValidateGroupName(group.name.name));
  RETURN_IF_ERROR(ValidateNamespace(group.name.space));
  return RefuseImplicit("group", group.name.name);
}

absl::Status ValidateExpiry(absl::Duration expire_after) {
  if (expire_after == absl::ZeroDuration()) return absl::OkStatus();
  return CheckBetween("expire_after (0: never)", expire_after, kMinGroupExpiry, kMaxGroupExpiry);
}

// What may change in a topic's life.
absl::Status ValidateSettings(const TopicMetadata& topic) {
  if (topic.type == MessageType::kPriority && topic.queues_per_shard != kPriorityLevels) {
    return absl::InvalidArgumentError(absl::StrCat("queues_per_shard is ", topic.queues_per_shard,
                                                   ", a priority topic has ", kPriorityLevels,
                                                   " queues in every shard, one for each priority"));
  }
  if (topic.type == MessageType::kLite && topic.queues_per_shard != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("queues_per_shard is ", topic.queues_per_shard,
                     ", expected 1: a lite topic's parent "
                     "shows clients one queue in every shard, and its lite topics are queues of their own"));
  }
  RETURN_IF_ERROR(CheckBetween("queues_per_shard", topic.queues_per_shard, 1, kMaxQueuesPerShard));
  RETURN_IF_ERROR(CheckBetween("retention.age", topic.retention.age, kMinRetentionAge, kMaxRetentionAge));
  RETURN_IF_ERROR(CheckBetween("retention.bytes", topic.retention.bytes, 0, std::numeric_limits<int64_t>::max()));
  if (topic.transaction_recovery != absl::ZeroDuration() && topic.type != MessageType::kTransaction) {
    return absl::InvalidArgumentError(absl::StrCat("the topic's type is ", MessageTypeName(topic.type),
                                                   ", a recovery time is of topics of type transaction only"));
  }
  RETURN_IF_ERROR(
      CheckBetween("transaction_recovery", topic.transaction_recovery, absl::ZeroDuration(), kMaxTransactionRecovery));
  return CheckBetween("max_message_bytes", topic.max_message_bytes, 1, kMaxMessageBytes);
}

absl::Status ValidateBrokerId(absl::string_view id) {
  if (id.empty()) return absl::InvalidArgumentError("the broker id is empty");
  return CheckAlphabet("the broker id", id, kMaxBrokerIdBytes, "_.-");
}

absl::Status ValidateEndpoint(absl::string_view endpoint) {
  if (endpoint.empty()) return absl::OkStatus();  // It shares its process with the only proxy.
  RETURN_IF_ERROR(CheckAlphabet("the endpoint", endpoint, kMaxEndpointBytes, "_.-:[]%"));
  const size_t colon = endpoint.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || colon == 0 || !absl::SimpleAtoi(endpoint.substr(colon + 1), &port) ||
      port < 1 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("the endpoint is \"", endpoint, "\", expected host:port with a port from 1 to 65535"));
  }
  return absl::OkStatus();
}

absl::Status ValidateLogId(absl::string_view log_id) {
  const bool is_hex = std::all_of(log_id.begin(), log_id.end(),
                                  [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); });
  if (is_hex && !log_id.empty() && log_id.size() <= kMaxLogIdBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the log id is \"", absl::CHexEscape(log_id), "\", expected 1 to ", kMaxLogIdBytes, " hex digits"));
}

absl::Status CheckRoom(absl::string_view what, int64_t found, int64_t max) {
  if (found < max) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("there are ", found, " ", what, ", at most ", max, " are allowed: delete some or raise the limit"));
}

absl::Status NoSuch(absl::string_view kind, const ResourceName& name) {
  return absl::NotFoundError(absl::StrCat("no ", kind, " \"", absl::CHexEscape(name.ToString()), "\""));
}

// Formats keep microseconds: what is in memory must be what a restart reads.
absl::Time Microseconds(absl::Time time) { return absl::FromUnixMicros(absl::ToUnixMicros(time)); }

// Gives the queues of a FIFO topic their shards, in turn, beginning with another one for each topic.
absl::Status PlaceQueues(const MetadataState& state, const MetadataLimits& limits, TopicMetadata* topic) {
  std::vector<ShardId> shards;
  state.ForEach<ShardMetadata>("shard/", [&](const ShardMetadata& shard) { shards.push_back(shard.id); });
  if (shards.empty()) {
    return absl::UnavailableError(
        "the cluster has no shards yet, on which a FIFO topic's queues are placed for good: no broker has registered");
  }
  std::sort(shards.begin(), shards.end());
  int64_t count = limits.fifo_queues;
  if (topic->queues_per_shard != 0) {
    RETURN_IF_ERROR(CheckBetween("queues_per_shard", topic->queues_per_shard, 1, kMaxQueuesPerShard));
    count = int64_t{topic->queues_per_shard} * static_cast<int64_t>(shards.size());
  }
  RETURN_IF_ERROR(
      CheckBetween("the number of queues of a FIFO topic, in all shards together,", count, 1, kMaxFifoQueues));
  topic->placement.clear();
  for (int64_t i = 0; i < count; ++i) {
    topic->placement.push_back(shards[(topic->id.value() + static_cast<uint64_t>(i)) % shards.size()]);
  }
  const auto shard_count = static_cast<int64_t>(shards.size());
  topic->queues_per_shard = static_cast<int32_t>((count + shard_count - 1) / shard_count);
  return absl::OkStatus();
}

const ClusterRecord& ClusterOf(const MetadataState& state) {
  const auto* cluster = state.Find<ClusterRecord>(ClusterKey());
  CHECK(cluster != nullptr) << "the store has no cluster record";  // PlanFoundation comes first.
  return *cluster;
}

}  // namespace

absl::Status ValidateTopic(const TopicMetadata& topic) {
  RETURN_IF_ERROR(ValidateName(topic));
  const bool is_known = topic.type == MessageType::kNormal || topic.type == MessageType::kDelay ||
                        topic.type == MessageType::kFifo || topic.type == MessageType::kTransaction ||
                        topic.type == MessageType::kPriority || topic.type == MessageType::kLite;
  if (!is_known) {
    return absl::InvalidArgumentError(
        absl::StrCat("the topic's type is ", MessageTypeName(topic.type),
                     ", allowed are normal, fifo, delay, transaction, lite and priority"));
  }
  return ValidateSettings(topic);
}

absl::Status ValidateRetryPolicy(const RetryPolicy& retry) {
  RETURN_IF_ERROR(CheckBetween("retry.max_attempts", retry.max_attempts, 1, kMaxAttempts));
  if (retry.delays.size() > kMaxRetryDelays) {
    return absl::InvalidArgumentError(
        absl::StrCat("retry.delays has ", retry.delays.size(), " entries, at most ", kMaxRetryDelays, " are allowed"));
  }
  for (size_t i = 0; i < retry.delays.size(); ++i) {
    RETURN_IF_ERROR(
        CheckBetween(absl::StrCat("retry.delays[", i, "]"), retry.delays[i], absl::ZeroDuration(), kMaxRetryDelay));
  }
  RETURN_IF_ERROR(CheckBetween("retry.initial", retry.initial, absl::ZeroDuration(), kMaxRetryDelay));
  RETURN_IF_ERROR(CheckBetween("retry.max", retry.max, retry.initial, kMaxRetryDelay));
  // Written so that NaN is refused.
  if (!(retry.multiplier >= 1 && retry.multiplier <= kMaxRetryMultiplier)) {
    return absl::InvalidArgumentError(
        absl::StrCat("retry.multiplier is ", retry.multiplier, ", allowed is 1 to ", kMaxRetryMultiplier));
  }
  return absl::OkStatus();
}

Plan PlanFoundation(const MetadataState& state, const std::string& cluster_id, const std::string& secret) {
  Plan plan;
  if (state.Find<ClusterRecord>(ClusterKey()) != nullptr) return plan;
  ClusterRecord cluster;
  cluster.id = cluster_id;
  plan.puts.push_back(SigningKey{cluster.next_signing_key_id++, secret});
  plan.puts.push_back(std::move(cluster));
  return plan;
}

absl::StatusOr<Plan> PlanCreateTopic(const MetadataState& state, const MetadataLimits& limits, TopicMetadata topic,
                                     absl::Time now) {
  topic.id = TopicId(ClusterOf(state).next_topic_id);
  topic.placement.clear();
  if (topic.type == MessageType::kFifo) RETURN_IF_ERROR(PlaceQueues(state, limits, &topic));
  if (topic.type == MessageType::kPriority && topic.queues_per_shard == 0) topic.queues_per_shard = kPriorityLevels;
  if (topic.type == MessageType::kLite && topic.queues_per_shard == 0) topic.queues_per_shard = 1;
  RETURN_IF_ERROR(ValidateTopic(topic));
  if (state.Find<TopicMetadata>(TopicKey(topic.name)) != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("there is a topic \"", topic.name.ToString(), "\" already"));
  }
  RETURN_IF_ERROR(CheckRoom("topics", state.topic_count(), limits.max_topics));

  ClusterRecord cluster = ClusterOf(state);
  ++cluster.next_topic_id;
  topic.created = Microseconds(now);
  Plan plan;
  plan.puts = {std::move(cluster), std::move(topic)};
  return plan;
}

absl::StatusOr<Plan> PlanUpdateTopic(const MetadataState& state, const TopicUpdate& update) {
  RETURN_IF_ERROR(RefuseImplicit("topic", update.name.name));
  const auto* topic = state.Find<TopicMetadata>(TopicKey(update.name));
  if (topic == nullptr) return NoSuch("topic", update.name);
  TopicMetadata updated = *topic;
  if (update.retention_age) updated.retention.age = *update.retention_age;
  if (update.retention_bytes) updated.retention.bytes = *update.retention_bytes;
  if (update.keep_unsettled) updated.retention.keep_unsettled = *update.keep_unsettled;
  if (update.max_message_bytes) updated.max_message_bytes = *update.max_message_bytes;
  if (update.queues_per_shard) updated.queues_per_shard = *update.queues_per_shard;
  if (update.idempotent) updated.idempotent = *update.idempotent;
  if (update.transaction_recovery) updated.transaction_recovery = *update.transaction_recovery;
  if (topic->type == MessageType::kFifo && updated.queues_per_shard != topic->queues_per_shard) {
    return absl::InvalidArgumentError(
        absl::StrCat("the FIFO topic has ", topic->placement.size(),
                     " queues, and their number is fixed: with another one message groups would "
                     "go to other queues, and their messages would overtake each other. Create another topic with as "
                     "many as are needed"));
  }
  RETURN_IF_ERROR(ValidateSettings(updated));
  if (updated.queues_per_shard < topic->queues_per_shard) {
    return absl::InvalidArgumentError(absl::StrCat("queues_per_shard is ", updated.queues_per_shard, ", the topic has ",
                                                   topic->queues_per_shard, ": queues are only ever added"));
  }
  Plan plan;
  if (!(updated == *topic)) plan.puts.push_back(std::move(updated));
  return plan;
}

absl::StatusOr<Plan> PlanDeleteTopic(const MetadataState& state, const ResourceName& name) {
  RETURN_IF_ERROR(RefuseImplicit("topic", name.name));
  const auto* topic = state.Find<TopicMetadata>(TopicKey(name));
  if (topic == nullptr) return NoSuch("topic", name);
  Plan plan;
  plan.deletes.push_back(TopicKey(name));
  state.ForEach<SubscriptionMetadata>("subscription/", [&](const SubscriptionMetadata& s) {
    if (s.topic == topic->id || s.topic == DiscardedTopicId(topic->id))
      plan.deletes.push_back(SubscriptionKey(s.group, s.topic));
  });
  return plan;
}

absl::StatusOr<Plan> PlanCreateGroup(const MetadataState& state, const MetadataLimits& limits, GroupMetadata group,
                                     absl::Time now) {
  RETURN_IF_ERROR(ValidateName(group));
  RETURN_IF_ERROR(ValidateRetryPolicy(group.retry));
  RETURN_IF_ERROR(ValidateExpiry(group.expire_after));
  if (state.Find<GroupMetadata>(GroupKey(group.name)) != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("there is a group \"", group.name.ToString(), "\" already"));
  }
  RETURN_IF_ERROR(CheckRoom("groups", state.group_count(), limits.max_groups));

  ClusterRecord cluster = ClusterOf(state);
  group.id = GroupId(cluster.next_group_id++);
  group.created = Microseconds(now);
  // Whoever makes a group for itself may be sent something before its first receive: the answer to a request.
  if (group.expire_after > absl::ZeroDuration() && group.start.kind == StartFrom::Kind::kLast) {
    group.start = {StartFrom::Kind::kTime, group.created - kMemberHeadStart};
  }
  Plan plan;
  plan.puts = {std::move(cluster), std::move(group)};
  return plan;
}

namespace {

// A group that has a subscription from before kinds were recorded is delivered to.
GroupKind KindOf(const MetadataState& state, const GroupMetadata& group) {
  if (group.kind != GroupKind::kUndecided) return group.kind;
  bool subscribed = false;
  state.ForEach<SubscriptionMetadata>("subscription/",
                                      [&](const SubscriptionMetadata& s) { subscribed |= s.group == group.id; });
  return subscribed ? GroupKind::kDelivery : GroupKind::kUndecided;
}

absl::Status CheckKind(const GroupMetadata& group, GroupKind is, GroupKind wanted) {
  if (is == GroupKind::kUndecided || is == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(
      is == GroupKind::kOffset
          ? absl::StrCat("the group ", group.name.ToString(),
                         " is offset-based, it stores offsets and is not delivered to: use another "
                         "group to receive")
          : absl::StrCat("the group ", group.name.ToString(),
                         " is delivered to, it receives and settles messages and stores no offsets: "
                         "use another group to store offsets"));
}

}  // namespace

absl::StatusOr<Plan> PlanUpdateGroup(const MetadataState& state, const GroupUpdate& update) {
  const auto* group = state.Find<GroupMetadata>(GroupKey(update.name));
  if (group == nullptr) return NoSuch("group", update.name);
  GroupMetadata updated = *group;
  if (update.retry) updated.retry = *update.retry;
  if (update.kind && *update.kind != GroupKind::kUndecided) {
    RETURN_IF_ERROR(CheckKind(*group, KindOf(state, *group), *update.kind));
    updated.kind = *update.kind;
  }
  if (update.expire_after) updated.expire_after = *update.expire_after;
  if (update.paused) updated.paused = *update.paused;
  RETURN_IF_ERROR(ValidateRetryPolicy(updated.retry));
  RETURN_IF_ERROR(ValidateExpiry(updated.expire_after));
  Plan plan;
  if (!(updated == *group)) plan.puts.push_back(std::move(updated));
  return plan;
}

namespace {

// With their subscriptions, and those to their dead letters: one pass, however many they are.
Plan DeleteGroups(const MetadataState& state, const std::vector<const GroupMetadata*>& groups) {
  Plan plan;
  absl::flat_hash_set<GroupId> ids;
  for (const GroupMetadata* const group : groups) {
    plan.deletes.push_back(GroupKey(group->name));
    ids.insert(group->id);
  }
  state.ForEach<SubscriptionMetadata>("subscription/", [&](const SubscriptionMetadata& s) {
    if (ids.contains(s.group) || (IsDeadLetterTopic(s.topic) && ids.contains(DeadLetterGroup(s.topic)))) {
      plan.deletes.push_back(SubscriptionKey(s.group, s.topic));
    }
  });
  return plan;
}

}  // namespace

absl::StatusOr<Plan> PlanDeleteGroup(const MetadataState& state, const ResourceName& name) {
  const auto* group = state.Find<GroupMetadata>(GroupKey(name));
  if (group == nullptr) return NoSuch("group", name);
  return DeleteGroups(state, {group});
}

Plan PlanExpireGroups(const MetadataState& state, const std::vector<GroupId>& due) {
  std::vector<const GroupMetadata*> groups;
  for (const GroupId id : due) {
    const GroupMetadata* const group = state.FindGroup(id);
    if (group != nullptr && group->expire_after > absl::ZeroDuration()) groups.push_back(group);
  }
  return groups.empty() ? Plan() : DeleteGroups(state, groups);
}

absl::StatusOr<Plan> PlanSubscribe(const MetadataState& state, const MetadataLimits& limits, GroupId group_id,
                                   TopicId topic_id, absl::Time now) {
  const GroupMetadata* group = state.FindGroup(group_id);
  if (group == nullptr) return absl::NotFoundError(absl::StrCat("no group with the id ", group_id.value()));
  Plan plan;
  plan.relies_on.push_back(GroupKey(group->name));
  if (IsDeadLetterTopic(topic_id)) {
    const GroupMetadata* owner = state.FindGroup(DeadLetterGroup(topic_id));
    if (owner == nullptr) {
      return absl::NotFoundError(
          absl::StrCat("no dead-letter topic of a group with the id ", DeadLetterGroup(topic_id).value()));
    }
    if (owner->id != group_id) plan.relies_on.push_back(GroupKey(owner->name));
  } else {
    const TopicMetadata* topic = state.FindTopic(IsDiscardedTopic(topic_id) ? DiscardedOrigin(topic_id) : topic_id);
    if (topic == nullptr || (IsDiscardedTopic(topic_id) && topic->type != MessageType::kTransaction))
      return absl::NotFoundError(absl::StrCat("no topic with the id ", topic_id.value()));
    plan.relies_on.push_back(TopicKey(topic->name));
  }
  if (state.Find<SubscriptionMetadata>(SubscriptionKey(group_id, topic_id)) != nullptr) return Plan();
  RETURN_IF_ERROR(CheckKind(*group, group->kind, GroupKind::kDelivery));
  RETURN_IF_ERROR(CheckRoom("subscriptions", state.subscription_count(), limits.max_subscriptions));

  SubscriptionMetadata subscription;
  subscription.group = group_id;
  subscription.topic = topic_id;
  subscription.start = group->start;
  subscription.created = Microseconds(now);
  if (subscription.start.kind == StartFrom::Kind::kLast) {
    subscription.start = {StartFrom::Kind::kTime, subscription.created};
  }
  plan.puts.push_back(std::move(subscription));
  if (group->kind == GroupKind::kUndecided) {
    GroupMetadata decided = *group;
    decided.kind = GroupKind::kDelivery;
    plan.puts.push_back(std::move(decided));
  }
  return plan;
}

absl::StatusOr<Plan> PlanUnsubscribe(const MetadataState& state, GroupId group, TopicId topic) {
  std::string key = SubscriptionKey(group, topic);
  if (state.Find<SubscriptionMetadata>(key) == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("the group ", group.value(), " is not subscribed to the topic ", topic.value()));
  }
  Plan plan;
  plan.deletes.push_back(std::move(key));
  return plan;
}

namespace {

// What the broker found, by shard. A broker whose data belongs elsewhere is refused before anything is granted to it:
// it would answer with another cluster's messages.
absl::StatusOr<absl::btree_map<ShardId, std::string>> CheckFound(const MetadataState& state,
                                                                 const BrokerRegistration& registration) {
  const ClusterRecord& cluster = ClusterOf(state);
  if (!registration.cluster.empty() && registration.cluster != cluster.id) {
    return absl::FailedPreconditionError(absl::StrCat("broker \"", registration.id, "\" has data of the cluster \"",
                                                      registration.cluster, "\", this is \"", cluster.id,
                                                      "\": give it the right data directory or controller"));
  }
  absl::btree_map<ShardId, std::string> found;
  for (const BrokerRegistration::Replica& replica : registration.replicas) {
    RETURN_IF_ERROR(ValidateLogId(replica.log_id));
    if (!found.emplace(replica.shard, replica.log_id).second) {
      return absl::InvalidArgumentError(absl::StrCat("shard ", replica.shard.value(), " is listed twice"));
    }
    if (state.Find<ReplicaRecord>(ReplicaKey(replica.shard, registration.id)) == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(
          "broker \"", registration.id, "\" has a log of shard ", replica.shard.value(), " of which cluster \"",
          cluster.id, "\" gave it no replica: was its id or the controller's store exchanged?"));
    }
  }
  return found;
}

void AddNewShards(const MetadataLimits& limits, const BrokerRegistration& registration, ClusterRecord cluster,
                  BrokerPlan* out) {
  for (int32_t n = 0; n < limits.shards_per_broker; ++n) {
    ShardMetadata shard;
    shard.id = ShardId(cluster.next_shard_id++);
    shard.name = absl::StrCat(registration.id, "-", n);
    shard.leader = registration.id;
    shard.epoch = 1;
    out->plan.puts.push_back(ReplicaRecord{shard.id, registration.id, ""});
    out->plan.puts.push_back(shard);
    out->grant.shards.push_back({std::move(shard), ""});
  }
  out->plan.puts.push_back(std::move(cluster));
}

void TakeNextEpochs(const MetadataState& state, const BrokerRegistration& registration,
                    const absl::btree_map<ShardId, std::string>& found, BrokerPlan* out) {
  // A scan of all replicas: registrations are rare.
  state.ForEach<ReplicaRecord>("replica/", [&](const ReplicaRecord& known) {
    if (known.broker != registration.id) return;
    ReplicaRecord replica = known;
    const auto it = found.find(replica.shard);
    const std::string found_log = it == found.end() ? "" : it->second;
    if (replica.log_id.empty() && !found_log.empty()) {
      replica.log_id = found_log;
      out->plan.puts.push_back(replica);
    } else {
      out->plan.relies_on.push_back(ReplicaKey(replica.shard, replica.broker));
    }

    const auto* shard_now = state.Find<ShardMetadata>(ShardKey(replica.shard));
    CHECK(shard_now != nullptr) << KV("shard", replica.shard);
    CHECK_LT(shard_now->epoch, std::numeric_limits<Epoch>::max());
    ShardMetadata shard = *shard_now;
    ++shard.epoch;
    shard.leader = found_log == replica.log_id ? registration.id : "";
    out->plan.puts.push_back(shard);
    out->grant.shards.push_back({std::move(shard), replica.log_id});
  });
}

}  // namespace

absl::StatusOr<BrokerPlan> PlanRegisterBroker(const MetadataState& state, const MetadataLimits& limits,
                                              const BrokerRegistration& registration, absl::Time now) {
  RETURN_IF_ERROR(ValidateBrokerId(registration.id));
  RETURN_IF_ERROR(ValidateEndpoint(registration.endpoint));
  absl::StatusOr<absl::btree_map<ShardId, std::string>> found = CheckFound(state, registration);
  RETURN_IF_ERROR(found.status());

  BrokerPlan out;
  out.grant.cluster = ClusterOf(state).id;
  out.grant.now = now;
  out.plan.puts.push_back(BrokerMetadata{registration.id, registration.endpoint});
  if (state.Find<BrokerMetadata>(BrokerKey(registration.id)) == nullptr) {
    AddNewShards(limits, registration, ClusterOf(state), &out);
  } else {
    TakeNextEpochs(state, registration, *found, &out);
  }
  return out;
}

absl::StatusOr<Plan> PlanRegisterReplica(const MetadataState& state, const std::string& broker,
                                         const BrokerRegistration::Replica& replica) {
  RETURN_IF_ERROR(ValidateBrokerId(broker));
  RETURN_IF_ERROR(ValidateLogId(replica.log_id));
  const auto* known = state.Find<ReplicaRecord>(ReplicaKey(replica.shard, broker));
  if (known == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("broker \"", broker, "\" was given no replica of shard ", replica.shard.value()));
  }
  Plan plan;
  if (known->log_id == replica.log_id) return plan;
  if (!known->log_id.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("shard ", replica.shard.value(), " at broker \"", broker,
                                                      "\" has the log ", known->log_id, ", not ", replica.log_id,
                                                      ": the new log must not be used"));
  }
  plan.puts.push_back(ReplicaRecord{replica.shard, broker, replica.log_id});
  return plan;
}

Plan PlanRotateSigningKey(const MetadataState& state, const std::string& secret) {
  Plan plan;
  ClusterRecord cluster = ClusterOf(state);
  plan.puts.push_back(SigningKey{cluster.next_signing_key_id++, secret});
  plan.puts.push_back(std::move(cluster));

  std::vector<std::string> old_keys;
  state.ForEach<SigningKey>("signing_key/", [&](const SigningKey& key) { old_keys.push_back(SigningKeyKey(key.id)); });
  const size_t stay = std::min(old_keys.size(), kSigningKeys - 1);
  plan.deletes.assign(old_keys.begin(), old_keys.end() - static_cast<int64_t>(stay));
  plan.relies_on.assign(old_keys.end() - static_cast<int64_t>(stay), old_keys.end());
  return plan;
}

}  // namespace barid::controller
