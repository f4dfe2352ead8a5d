#include "broker/offset_table.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/sealed_entry.h"

namespace barid::broker {
namespace {

// The first number keeps these apart from the other entries of a shard's state.
uint64_t HashOffset(const CursorKey& key, QueueOffset offset) {
  return StableHash({34, key.group.value(), key.queue.topic.value(), static_cast<uint64_t>(key.queue.queue),
                     static_cast<uint64_t>(offset)});
}

std::string StoreKey(const CursorKey& key) {
  std::string name = "o";
  PutOrdered64(&name, key.group.value());
  PutOrdered64(&name, key.queue.topic.value());
  PutOrdered32(&name, static_cast<uint32_t>(key.queue.queue));
  return name;
}

}  // namespace

void OffsetTable::Set(const CursorKey& key, QueueOffset offset) {
  const auto [it, inserted] = offsets_.try_emplace(key, offset);
  if (!inserted) hash_ -= HashOffset(key, it->second);
  it->second = offset;
  hash_ += HashOffset(key, offset);
  dirty_.insert(key);
}

std::optional<QueueOffset> OffsetTable::Find(const CursorKey& key) const {
  const auto it = offsets_.find(key);
  if (it == offsets_.end()) return std::nullopt;
  return it->second;
}

OffsetTable::Offsets::iterator OffsetTable::Erase(Offsets::iterator it) {
  hash_ -= HashOffset(it->first, it->second);
  dirty_.insert(it->first);
  return offsets_.erase(it);
}

void OffsetTable::EraseQueue(const QueueKey& queue) {
  for (auto it = offsets_.begin(); it != offsets_.end();) it = it->first.queue == queue ? Erase(it) : std::next(it);
}

bool OffsetTable::EraseGroup(GroupId group) {
  bool any = false;
  for (auto it = offsets_.lower_bound(CursorKey{group, QueueKey()});
       it != offsets_.end() && it->first.group == group;) {
    it = Erase(it);
    any = true;
  }
  return any;
}

uint64_t OffsetTable::RecomputeHash() const {
  uint64_t hash = 0;
  for (const auto& [key, offset] : offsets_) hash += HashOffset(key, offset);
  return hash;
}

void OffsetTable::AppendChanges(std::vector<storage::KeyValueStore::Operation>* operations) {
  for (const CursorKey& key : dirty_) {
    if (BARID_MUTATION(kCheckpointForgetsOffsets)) break;
    const std::optional<QueueOffset> offset = Find(key);
    if (!offset) {
      operations->push_back({StoreKey(key), std::nullopt});
      continue;
    }
    std::string value;
    PutFixed(&value, *offset);
    operations->push_back(Sealed(StoreKey(key), std::move(value)));
  }
  dirty_.clear();
}

absl::Status OffsetTable::Load(const storage::KeyValueStore& store) {
  absl::Status error;
  const absl::Status scanned = store.Scan("o", "p", [&](absl::string_view name, absl::string_view value) {
    error = OpenSealed(name, &value);
    if (!error.ok()) return false;
    name.remove_prefix(1);
    uint64_t group = 0;
    uint64_t topic = 0;
    uint32_t queue = 0;
    QueueOffset offset = 0;
    if (!GetOrdered64(&name, &group) || !GetOrdered64(&name, &topic) || !GetOrdered32(&name, &queue) ||
        !GetFixed(&value, &offset) || !value.empty()) {
      error = absl::DataLossError("checkpoint entry of kind 'o': does not parse");
      return false;
    }
    Set({GroupId(group), {TopicId(topic), static_cast<int32_t>(queue)}}, offset);
    return true;
  });
  dirty_.clear();
  return scanned.ok() ? error : scanned;
}

}  // namespace barid::broker
