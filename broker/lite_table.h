#ifndef BARID_BROKER_LITE_TABLE_H_
#define BARID_BROKER_LITE_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// Which queues of a shard are lite topics, and what they are called. Deterministic; a part of the shard's state, with
// the part of its hash. Belongs to the shard's executor. All are in memory: tests/bench/lite_topics_bench.cc measures
// what one costs.
class LiteTable {
 public:
  struct LiteTopic {
    QueueKey key;
    int64_t written_us = 0;  // When the newest message entered it, or when it was made.
    std::string name;
  };

  // The queue of a new lite topic, which no other has: the caller makes it. `name` is not there yet.
  QueueKey Add(TopicId topic, absl::string_view name, int64_t now_us);
  // A message entered the queue. Nothing happens if it is no lite topic's.
  void Touch(const QueueKey& key, int64_t now_us);
  // The same for a queue that goes.
  void Erase(const QueueKey& key);

  std::optional<QueueKey> Find(TopicId topic, absl::string_view name) const;
  // nullptr: it is no lite topic's.
  const LiteTopic* Get(const QueueKey& key) const;
  // Whether the topic has any.
  bool Has(TopicId topic) const { return counts_.contains(topic); }
  int64_t CountOf(TopicId topic) const;

  // By topic, then queue.
  using All = absl::btree_map<QueueKey, std::unique_ptr<LiteTopic>>;
  const All& all() const { return all_; }

  // A sum over entries.
  uint64_t hash() const { return hash_; }
  uint64_t RecomputeHash() const;
  // Whether names find the queues that have them. kDataLoss says what differs.
  absl::Status Verify() const;

  // --- Checkpoints: entries of kind 'l' (docs/storage-format.md). ---
  void AppendChanges(std::vector<storage::KeyValueStore::Operation>* operations);
  // Reads what checkpoints wrote into an empty table.
  absl::Status Load(const storage::KeyValueStore& store);

 private:
  struct Name {
    TopicId topic;
    absl::string_view name;
  };
  static Name NameOf(const LiteTopic* lite) { return {lite->key.topic, lite->name}; }
  static Name NameOf(const Name& name) { return name; }
  struct HashName {
    using is_transparent = void;
    template <typename T>
    size_t operator()(const T& of) const {
      const Name name = NameOf(of);
      return absl::HashOf(name.topic, name.name);
    }
  };
  struct SameName {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      const Name left = NameOf(a);
      const Name right = NameOf(b);
      return left.topic == right.topic && left.name == right.name;
    }
  };

  void Insert(std::unique_ptr<LiteTopic> lite);
  void SetLast(int32_t last);

  All all_;
  absl::flat_hash_set<const LiteTopic*, HashName, SameName> by_name_;
  absl::flat_hash_map<TopicId, int64_t> counts_;
  int32_t last_ =
      0;  // The queue id that was given last; ids are taken in turn, so that one comes back as late as possible.
  uint64_t hash_ = 0;
  absl::flat_hash_set<QueueKey> dirty_;
  bool last_dirty_ = false;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_LITE_TABLE_H_
