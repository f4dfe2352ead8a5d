#include "base/metadata.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid {
namespace {

constexpr absl::string_view kMessageTypeNames[] = {"unspecified", "normal", "fifo",    "delay",
                                                   "transaction", "lite",   "priority"};

absl::Status ValidateName(absl::string_view kind, absl::string_view name, size_t max_bytes) {
  if (name.empty()) return absl::InvalidArgumentError(absl::StrCat("the ", kind, " name is empty"));
  if (name.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", kind, " name has ", name.size(), " bytes, at most ", max_bytes, " are allowed"));
  }
  for (const char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '%' && c != '|' && c != '_' && c != '-') {
      return absl::InvalidArgumentError(
          absl::StrCat("the ", kind, " name \"", absl::CHexEscape(name), "\" has an illegal character \"",
                       absl::CHexEscape(absl::string_view(&c, 1)), "\", allowed is ^[%|a-zA-Z0-9_-]+$"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view MessageTypeName(MessageType type) {
  const auto i = static_cast<size_t>(type);
  return i < std::size(kMessageTypeNames) ? kMessageTypeNames[i] : kMessageTypeNames[0];
}

std::optional<MessageType> ParseMessageType(absl::string_view name) {
  for (size_t i = 1; i < std::size(kMessageTypeNames); ++i) {
    if (absl::EqualsIgnoreCase(name, kMessageTypeNames[i])) return static_cast<MessageType>(i);
  }
  return std::nullopt;
}

absl::Status ValidateTopicName(absl::string_view name) {
  const size_t prefix = absl::StartsWith(name, kDiscardedPrefix) ? sizeof(kDiscardedPrefix) - 1 : 0;
  return ValidateName("topic", name, prefix + kMaxTopicNameBytes);
}
absl::Status ValidateGroupName(absl::string_view name) { return ValidateName("group", name, kMaxGroupNameBytes); }

std::vector<absl::Duration> DefaultRetryDelays() {
  std::vector<absl::Duration> delays = {absl::Seconds(1), absl::Seconds(5), absl::Seconds(10), absl::Seconds(30)};
  for (int minutes = 1; minutes <= 10; ++minutes) delays.push_back(absl::Minutes(minutes));
  delays.push_back(absl::Minutes(20));
  delays.push_back(absl::Minutes(30));
  delays.push_back(absl::Hours(1));
  delays.push_back(absl::Hours(2));
  return delays;
}

int32_t TopicMetadata::QueuesIn(ShardId shard) const {
  if (type != MessageType::kFifo) return queues_per_shard;
  return static_cast<int32_t>(std::count(placement.begin(), placement.end(), shard));
}

TopicMetadata::Place TopicMetadata::PlaceOf(uint64_t message_group) const {
  CHECK(!placement.empty());
  const auto queue = placement.begin() + static_cast<ptrdiff_t>(message_group % placement.size());
  return {*queue, static_cast<int32_t>(std::count(placement.begin(), queue, *queue))};
}

absl::Duration RetryPolicy::DelayAfter(int32_t attempt) const {
  attempt = std::max(attempt, 1);
  if (!delays.empty()) return delays[std::min<size_t>(attempt - 1, delays.size() - 1)];
  return std::min(max, initial * std::pow(multiplier, std::min(attempt - 1, 32)));
}

Metadata::Metadata(Tables tables) : tables_(std::move(tables)) {
  implicit_topics_.reserve(tables_.groups.size() + tables_.topics.size());  // The look-up tables point into it.
  const auto add_implicit = [this](TopicId id, ResourceName name, absl::Time created) {
    TopicMetadata& topic = implicit_topics_.emplace_back();
    topic.id = id;
    topic.name = std::move(name);
    topic.queues_per_shard = 1;
    topic.retention.age = absl::Hours(14 * 24);
    topic.created = created;
    topics_by_name_[topic.name] = &topic;
    topics_by_id_[topic.id] = &topic;
  };
  for (const GroupMetadata& group : tables_.groups) {
    groups_by_name_[group.name] = &group;
    groups_by_id_[group.id] = &group;
    has_expiring_groups_ |= group.expire_after > absl::ZeroDuration();
    if (group.paused) paused_groups_.insert(group.id);
    add_implicit(DeadLetterTopicId(group.id), {group.name.space, absl::StrCat(kDeadLetterPrefix, group.name.name)},
                 group.created);
  }
  for (const TopicMetadata& topic : tables_.topics) {
    topics_by_name_[topic.name] = &topic;
    topics_by_id_[topic.id] = &topic;
    if (topic.type != MessageType::kTransaction) continue;
    add_implicit(DiscardedTopicId(topic.id), {topic.name.space, absl::StrCat(kDiscardedPrefix, topic.name.name)},
                 topic.created);
  }
  for (const SubscriptionMetadata& s : tables_.subscriptions) subscriptions_[{s.group, s.topic}] = &s;
}

namespace {
template <typename Map, typename Key>
auto Find(const Map& map, const Key& key) -> typename Map::mapped_type {
  const auto it = map.find(key);
  return it == map.end() ? nullptr : it->second;
}
}  // namespace

absl::flat_hash_set<GroupId> Metadata::ResumedSince(const Metadata& before) const {
  absl::flat_hash_set<GroupId> resumed;
  for (const GroupId group : before.paused_groups_) {
    if (!IsPaused(group)) resumed.insert(group);
  }
  return resumed;
}

const TopicMetadata* Metadata::FindTopic(const ResourceName& name) const { return Find(topics_by_name_, name); }
const TopicMetadata* Metadata::FindTopic(TopicId id) const { return Find(topics_by_id_, id); }
const GroupMetadata* Metadata::FindGroup(const ResourceName& name) const { return Find(groups_by_name_, name); }
const GroupMetadata* Metadata::FindGroup(GroupId id) const { return Find(groups_by_id_, id); }
const SubscriptionMetadata* Metadata::FindSubscription(GroupId group, TopicId topic) const {
  return Find(subscriptions_, std::make_pair(group, topic));
}

const BrokerMetadata* Metadata::FindBroker(absl::string_view id) const {
  for (const BrokerMetadata& broker : tables_.brokers) {
    if (broker.id == id) return &broker;
  }
  return nullptr;
}
const ShardMetadata* Metadata::FindShard(ShardId id) const {
  for (const ShardMetadata& shard : tables_.shards) {
    if (shard.id == id) return &shard;
  }
  return nullptr;
}
const ShardMetadata* Metadata::FindShard(absl::string_view name) const {
  for (const ShardMetadata& shard : tables_.shards) {
    if (shard.name == name) return &shard;
  }
  return nullptr;
}

}  // namespace barid
