#include "broker/lite_table.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/hash.h"
#include "base/lite_topic.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/sealed_entry.h"

namespace barid::broker {
namespace {

constexpr char kLastKey[] = "l";

// The first number keeps these apart from the other entries of a shard's state.
uint64_t HashLite(const LiteTable::LiteTopic& lite) {
  return StableHash({36, lite.key.topic.value(), static_cast<uint64_t>(lite.key.queue),
                     static_cast<uint64_t>(lite.written_us), StableHash(lite.name)});
}
// A state that never had any hashes as it did before.
uint64_t HashLast(int32_t last) { return last == 0 ? 0 : StableHash({37, static_cast<uint64_t>(last)}); }

std::string StoreKey(const QueueKey& key) {
  std::string name = kLastKey;
  PutOrdered64(&name, key.topic.value());
  PutOrdered32(&name, static_cast<uint32_t>(key.queue));
  return name;
}

}  // namespace

void LiteTable::Insert(std::unique_ptr<LiteTopic> lite) {
  hash_ += HashLite(*lite);
  ++counts_[lite->key.topic];
  CHECK(by_name_.insert(lite.get()).second) << "a lite topic is there twice";
  const QueueKey key = lite->key;
  CHECK(all_.emplace(key, std::move(lite)).second) << "a queue has two lite topics";
}

void LiteTable::SetLast(int32_t last) {
  hash_ += HashLast(last) - HashLast(last_);
  last_ = last;
}

QueueKey LiteTable::Add(TopicId topic, absl::string_view name, int64_t now_us) {
  QueueKey key{topic, last_};
  do {
    key.queue = key.queue < kFirstLiteQueue || key.queue == std::numeric_limits<int32_t>::max() ? kFirstLiteQueue
                                                                                                : key.queue + 1;
  } while (all_.contains(key));
  SetLast(key.queue);
  last_dirty_ = true;
  auto lite = std::make_unique<LiteTopic>();
  lite->key = key;
  lite->written_us = now_us;
  lite->name = std::string(name);
  Insert(std::move(lite));
  dirty_.insert(key);
  return key;
}

void LiteTable::Touch(const QueueKey& key, int64_t now_us) {
  if (key.queue < kFirstLiteQueue) return;
  const auto it = all_.find(key);
  if (it == all_.end() || it->second->written_us == now_us) return;
  hash_ -= HashLite(*it->second);
  it->second->written_us = now_us;
  hash_ += HashLite(*it->second);
  dirty_.insert(key);
}

void LiteTable::Erase(const QueueKey& key) {
  const auto it = all_.find(key);
  if (it == all_.end()) return;
  hash_ -= HashLite(*it->second);
  by_name_.erase(it->second.get());
  if (--counts_[key.topic] == 0) counts_.erase(key.topic);
  all_.erase(it);
  dirty_.insert(key);
}

std::optional<QueueKey> LiteTable::Find(TopicId topic, absl::string_view name) const {
  const auto it = by_name_.find(Name{topic, name});
  if (it == by_name_.end()) return std::nullopt;
  return (*it)->key;
}

const LiteTable::LiteTopic* LiteTable::Get(const QueueKey& key) const {
  if (key.queue < kFirstLiteQueue) return nullptr;
  const auto it = all_.find(key);
  return it == all_.end() ? nullptr : it->second.get();
}

int64_t LiteTable::CountOf(TopicId topic) const {
  const auto it = counts_.find(topic);
  return it == counts_.end() ? 0 : it->second;
}

uint64_t LiteTable::RecomputeHash() const {
  uint64_t hash = HashLast(last_);
  for (const auto& [key, lite] : all_) hash += HashLite(*lite);
  return hash;
}

absl::Status LiteTable::Verify() const {
  if (by_name_.size() != all_.size()) {
    return absl::DataLossError(absl::StrCat(all_.size(), " lite topics are here, ", by_name_.size(), " have names"));
  }
  for (const auto& [key, lite] : all_) {
    if (Find(key.topic, lite->name) == key) continue;
    return absl::DataLossError(
        absl::StrCat("the name of lite topic ", key.queue, " of topic ", key.topic.value(), " leads elsewhere"));
  }
  return absl::OkStatus();
}

void LiteTable::AppendChanges(std::vector<storage::KeyValueStore::Operation>* operations) {
  if (std::exchange(last_dirty_, false)) {
    std::string value;
    PutFixed(&value, last_);
    operations->push_back(Sealed(kLastKey, std::move(value)));
  }
  for (const QueueKey& key : dirty_) {
    if (BARID_MUTATION(kCheckpointForgetsLite)) break;
    const LiteTopic* const lite = Get(key);
    if (lite == nullptr) {
      operations->push_back({StoreKey(key), std::nullopt});
      continue;
    }
    std::string value;
    PutFixed(&value, lite->written_us);
    value += lite->name;
    operations->push_back(Sealed(StoreKey(key), std::move(value)));
  }
  dirty_.clear();
}

absl::Status LiteTable::Load(const storage::KeyValueStore& store) {
  absl::Status error;
  const absl::Status scanned = store.Scan("l", "m", [&](absl::string_view name, absl::string_view value) {
    error = OpenSealed(name, &value);
    if (!error.ok()) return false;
    name.remove_prefix(1);
    if (name.empty()) {
      int32_t last = 0;
      if (GetFixed(&value, &last) && value.empty()) {
        SetLast(last);
        return true;
      }
    } else {
      uint64_t topic = 0;
      uint32_t queue = 0;
      auto lite = std::make_unique<LiteTopic>();
      if (GetOrdered64(&name, &topic) && GetOrdered32(&name, &queue) && GetFixed(&value, &lite->written_us)) {
        lite->key = {TopicId(topic), static_cast<int32_t>(queue)};
        lite->name = std::string(value);
        if (!Find(lite->key.topic, lite->name)) {
          Insert(std::move(lite));
          return true;
        }
      }
    }
    error = absl::DataLossError("checkpoint entry of kind 'l': does not parse");
    return false;
  });
  return scanned.ok() ? error : scanned;
}

}  // namespace barid::broker
