#ifndef BARID_BROKER_COUNTS_H_
#define BARID_BROKER_COUNTS_H_

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "broker/cursor_key.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// A group's messages in a topic. Every message that the group has not settled is in exactly one.
struct GroupFigures {
  int64_t ready = 0;      // Above the scan position, or below it and not held, nor behind a locked message group.
  int64_t in_flight = 0;  // Handed out and invisible: held by a member, or given back for a while.
  int64_t blocked = 0;    // Visible or parked, of a message group that is locked.

  friend bool operator==(const GroupFigures&, const GroupFigures&) = default;
};

struct GroupTopic {
  GroupId group;
  TopicId topic;

  friend constexpr auto operator<=>(const GroupTopic&, const GroupTopic&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const GroupTopic& key) {
    return H::combine(std::move(h), key.group, key.topic);
  }
};

class Counts;

// The figures of one group in one topic, of all its cursors in this shard together.
class GroupCounts {
 public:
  GroupCounts(Counts* counts, GroupTopic key) : counts_(counts), key_(key) {}

  inline void Add(int64_t ready, int64_t in_flight, int64_t blocked);
  const GroupFigures& figures() const { return figures_; }

 private:
  friend class Counts;
  Counts* const counts_;
  const GroupTopic key_;
  GroupFigures figures_;
  int64_t cursors_ = 0;
  bool dirty_ = false;
};

// What a shard has of each kind, kept with each change of its state, so that reading a figure costs nothing. Part of
// State, and so of its executor. It follows from the rest of the state, so it is no part of the hash; a checkpoint has
// it nevertheless, of the same moment as all else, and broker/audit.h recounts from there.
//
// Which groups read a queue, and which offsets of a dead-letter queue are empty, is kept here too.
class Counts {
 public:
  Counts() = default;
  Counts(const Counts&) = delete;
  Counts& operator=(const Counts&) = delete;

  // --- What one asks. ---
  GroupFigures Of(const GroupTopic& key) const;
  // Scheduled messages that have not entered their queues.
  int64_t Delayed(TopicId topic) const;
  // Dead letters of the group that came from the topic of this name, and are still there.
  int64_t DeadLetters(GroupId group, absl::string_view origin) const;
  const absl::btree_map<GroupTopic, std::unique_ptr<GroupCounts>>& groups() const { return groups_; }
  const absl::btree_map<TopicId, int64_t>& delayed() const { return delayed_; }
  using DeadLetterKey = std::pair<GroupId, std::string>;
  const absl::btree_map<DeadLetterKey, int64_t>& dead_letters() const { return dead_letters_; }
  struct Reader {
    GroupId group;
    GroupCounts* counts;
  };
  // The groups that have a cursor in the queue, in no order that means anything.
  const std::vector<Reader>& ReadersOf(const QueueKey& queue) const;
  // Offsets of [first, end) at which there was a dead letter that went back.
  int64_t EmptyIn(const QueueKey& queue, QueueOffset first, QueueOffset end) const;
  // The first offset from `offset` on that is not one of those.
  QueueOffset SkipEmpty(const QueueKey& queue, QueueOffset offset) const;

  // --- What the state tells. ---
  // A cursor opens, above which `ready` messages are; it closes, and nothing is in flight or parked any more.
  GroupCounts* Open(const CursorKey& key, int64_t ready);
  void Close(const CursorKey& key, int64_t ready);
  // A message has become the last of a queue.
  void Entered(const QueueKey& queue) {
    for (const Reader& reader : ReadersOf(queue)) reader.counts->Add(1, 0, 0);
  }
  void AddDelayed(TopicId topic, int64_t change);
  void AddDeadLetters(GroupId group, absl::string_view origin, int64_t change);
  void Empty(const QueueKey& queue, QueueOffset offset);
  void DropEmptyBelow(const QueueKey& queue, QueueOffset first);

  // --- Checkpoints; docs/storage-format.md draws the entries. ---
  // What a checkpoint at `index` writes for all that changed since the last.
  void AppendChanges(LogIndex index, std::vector<storage::KeyValueStore::Operation>* operations);
  // Reads what no other part of the state says: dead letters and empty offsets. The rest comes from the queues, which
  // are loaded before, and the cursors, which are loaded next. What a version that kept no counts has written is
  // counted anew, from the index.
  absl::Status Load(const storage::KeyValueStore& store, LogIndex applied);
  // Everything is loaded. What the store has otherwise is logged, and written by the next checkpoint.
  void EndLoad();

 private:
  friend class GroupCounts;
  static constexpr QueueOffset kBits = 256;
  using Bits = std::array<uint64_t, kBits / 64>;
  using BitsKey = std::pair<QueueKey, int64_t>;

  void Touch(GroupCounts* counts) {
    counts->dirty_ = true;
    dirty_groups_.insert(counts->key_);
  }
  absl::Status LoadFromIndex(const storage::KeyValueStore& store);

  absl::btree_map<GroupTopic, std::unique_ptr<GroupCounts>> groups_;
  absl::btree_map<TopicId, int64_t> delayed_;             // None is 0.
  absl::btree_map<DeadLetterKey, int64_t> dead_letters_;  // None is 0.
  absl::btree_map<BitsKey, Bits> empty_;                  // A bit for each offset.
  absl::flat_hash_map<QueueKey, std::vector<Reader>> readers_;

  // While loading: what the store has.
  bool is_marked_ = false;
  absl::flat_hash_map<GroupTopic, GroupFigures> stored_groups_;
  absl::flat_hash_map<TopicId, int64_t> stored_delayed_;

  // Changed since the last checkpoint.
  absl::flat_hash_set<GroupTopic> dirty_groups_;
  absl::flat_hash_set<TopicId> dirty_delayed_;
  absl::flat_hash_set<DeadLetterKey> dirty_dead_letters_;
  absl::flat_hash_set<BitsKey> dirty_empty_;
};

inline void GroupCounts::Add(int64_t ready, int64_t in_flight, int64_t blocked) {
  figures_.ready += ready;
  figures_.in_flight += in_flight;
  figures_.blocked += blocked;
  if (!dirty_) counts_->Touch(this);
}

}  // namespace barid::broker

#endif  // BARID_BROKER_COUNTS_H_
