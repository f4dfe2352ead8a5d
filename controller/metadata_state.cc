#include "controller/metadata_state.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status.h"

namespace barid::controller {

absl::StatusOr<MetadataState> MetadataState::FromSnapshot(const MetadataStore::Snapshot& snapshot) {
  MetadataState state;
  state.revision_ = snapshot.revision;
  for (const MetadataStore::Entry& entry : snapshot.entries) {
    RETURN_IF_ERROR(state.Put(entry.key, entry.value, entry.revision));
  }
  return state;
}

absl::Status MetadataState::Apply(const MetadataStore::Change& change) {
  if (change.revision <= revision_) return absl::OkStatus();
  for (const MetadataStore::Operation& operation : change.operations) {
    if (operation.value) {
      RETURN_IF_ERROR(Put(operation.key, *operation.value, change.revision));
    } else {
      Erase(operation.key);
    }
  }
  revision_ = change.revision;
  return absl::OkStatus();
}

absl::Status MetadataState::Put(absl::string_view key, absl::string_view value, int64_t revision) {
  absl::StatusOr<Record> record = DecodeRecord(key, value);
  if (absl::IsNotFound(record.status()))
    return absl::OkStatus();  // The election's, or a later version's: not ours to read.
  RETURN_IF_ERROR(record.status());
  Erase(key);
  if (const auto* topic = std::get_if<TopicMetadata>(&*record)) topic_keys_[topic->id] = std::string(key);
  if (const auto* group = std::get_if<GroupMetadata>(&*record)) group_keys_[group->id] = std::string(key);
  if (std::holds_alternative<SubscriptionMetadata>(*record)) ++subscription_count_;
  entries_[std::string(key)] = Entry{*std::move(record), revision};
  return absl::OkStatus();
}

void MetadataState::Erase(absl::string_view key) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  const Record& record = it->second.record;
  if (const auto* topic = std::get_if<TopicMetadata>(&record)) topic_keys_.erase(topic->id);
  if (const auto* group = std::get_if<GroupMetadata>(&record)) group_keys_.erase(group->id);
  if (std::holds_alternative<SubscriptionMetadata>(record)) --subscription_count_;
  entries_.erase(it);
}

const TopicMetadata* MetadataState::FindTopic(TopicId id) const {
  const auto it = topic_keys_.find(id);
  return it == topic_keys_.end() ? nullptr : Find<TopicMetadata>(it->second);
}

const GroupMetadata* MetadataState::FindGroup(GroupId id) const {
  const auto it = group_keys_.find(id);
  return it == group_keys_.end() ? nullptr : Find<GroupMetadata>(it->second);
}

int64_t MetadataState::RevisionOf(absl::string_view key) const {
  const auto it = entries_.find(key);
  return it == entries_.end() ? 0 : it->second.revision;
}

namespace {

template <typename T>
std::vector<T> CopyById(std::vector<const T*> entries) {
  std::sort(entries.begin(), entries.end(), [](const T* a, const T* b) { return a->id < b->id; });
  std::vector<T> table;
  table.reserve(entries.size());
  for (const T* entry : entries) table.push_back(*entry);
  return table;
}

}  // namespace

Metadata::Tables MetadataState::ToTables() const {
  Metadata::Tables tables;
  tables.revision = revision_;
  tables.subscriptions.reserve(subscription_count_);
  // Topics and groups have their names as keys; the other tables' keys sort as their ids do.
  std::vector<const TopicMetadata*> topics;
  std::vector<const GroupMetadata*> groups;
  topics.reserve(topic_keys_.size());
  groups.reserve(group_keys_.size());
  for (const auto& [key, entry] : entries_) {
    const Record& record = entry.record;
    if (const auto* cluster = std::get_if<ClusterRecord>(&record)) tables.cluster = cluster->id;
    if (const auto* topic = std::get_if<TopicMetadata>(&record)) topics.push_back(topic);
    if (const auto* group = std::get_if<GroupMetadata>(&record)) groups.push_back(group);
    if (const auto* s = std::get_if<SubscriptionMetadata>(&record)) tables.subscriptions.push_back(*s);
    if (const auto* broker = std::get_if<BrokerMetadata>(&record)) tables.brokers.push_back(*broker);
    if (const auto* shard = std::get_if<ShardMetadata>(&record)) tables.shards.push_back(*shard);
    if (const auto* signing_key = std::get_if<SigningKey>(&record)) tables.signing_keys.push_back(*signing_key);
  }
  tables.topics = CopyById(std::move(topics));
  tables.groups = CopyById(std::move(groups));
  return tables;
}

}  // namespace barid::controller
