#ifndef BARID_BASE_IDS_H_
#define BARID_BASE_IDS_H_

#include <compare>
#include <cstdint>
#include <ostream>
#include <utility>

namespace barid {

// A number that cannot be passed where another kind of number is meant.
template <typename Tag, typename Rep = uint64_t>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }

  friend constexpr auto operator<=>(const StrongId&, const StrongId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const StrongId& id) {
    return H::combine(std::move(h), id.value_);
  }
  friend std::ostream& operator<<(std::ostream& out, const StrongId& id) { return out << id.value_; }

 private:
  Rep value_ = 0;
};

// Given by the controller, never reused, 0 is none.
using TopicId = StrongId<struct TopicIdTag>;
using GroupId = StrongId<struct GroupIdTag>;
using ShardId = StrongId<struct ShardIdTag>;

// The number of a record in its shard's log: dense, from 1. 0 is "before the first record".
using LogIndex = uint64_t;

// The term of one leader of a shard. Every start of a leader takes a new, higher one. 0 is none.
using Epoch = uint32_t;

// The number of a message in its queue: dense, from 0.
using QueueOffset = int64_t;

// A queue of a shard.
struct QueueKey {
  TopicId topic;
  int32_t queue = 0;

  friend constexpr auto operator<=>(const QueueKey&, const QueueKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const QueueKey& key) {
    return H::combine(std::move(h), key.topic, key.queue);
  }
  friend std::ostream& operator<<(std::ostream& out, const QueueKey& key) {
    return out << key.topic << "/" << key.queue;
  }
};

// A scheduled message of a shard, named for ever; ordered by when it is due.
struct TimerKey {
  int64_t deliver_at_us = 0;  // Leader time, microseconds since the Unix epoch.
  LogIndex index = 0;         // The record that has its bytes,
  uint32_t entry = 0;         // and its place there.

  friend constexpr auto operator<=>(const TimerKey&, const TimerKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const TimerKey& key) {
    return H::combine(std::move(h), key.deliver_at_us, key.index, key.entry);
  }
  friend std::ostream& operator<<(std::ostream& out, const TimerKey& key) {
    return out << key.deliver_at_us << "/" << key.index << "/" << key.entry;
  }
};

// A message of a transaction, named for ever; ordered by age.
struct TransactionKey {
  LogIndex index = 0;  // The record that has its bytes,
  uint32_t entry = 0;  // and its place there.

  friend constexpr auto operator<=>(const TransactionKey&, const TransactionKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const TransactionKey& key) {
    return H::combine(std::move(h), key.index, key.entry);
  }
  friend std::ostream& operator<<(std::ostream& out, const TransactionKey& key) {
    return out << key.index << "/" << key.entry;
  }
};

// The dead-letter topic of a group exists in every shard without being created: its id is the group's, marked.
inline constexpr uint64_t kDeadLetterBit = uint64_t{1} << 63;
constexpr TopicId DeadLetterTopicId(GroupId group) { return TopicId(group.value() | kDeadLetterBit); }
constexpr bool IsDeadLetterTopic(TopicId topic) { return (topic.value() & kDeadLetterBit) != 0; }
constexpr GroupId DeadLetterGroup(TopicId topic) { return GroupId(topic.value() & ~kDeadLetterBit); }

// So does the topic of what is left of a topic's transactions that nobody ended: its id is the topic's, marked.
inline constexpr uint64_t kDiscardedBit = uint64_t{1} << 62;
constexpr TopicId DiscardedTopicId(TopicId topic) { return TopicId(topic.value() | kDiscardedBit); }
constexpr bool IsDiscardedTopic(TopicId topic) {
  return (topic.value() & (kDeadLetterBit | kDiscardedBit)) == kDiscardedBit;
}
constexpr TopicId DiscardedOrigin(TopicId topic) { return TopicId(topic.value() & ~kDiscardedBit); }

}  // namespace barid

#endif  // BARID_BASE_IDS_H_
