#ifndef BARID_BROKER_PARKED_MESSAGES_H_
#define BARID_BROKER_PARKED_MESSAGES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "base/ids.h"

namespace barid::broker {

// What an ordered cursor has parked: offsets, each with the hash of its message group. Made for the message group that
// is stuck while millions of its messages come, of which each costs 4 bytes:
//
//   chunks_        offset / 4096 -> the message groups that have something parked there:  [0] a  [1] b
//                                   what is parked, by offset: {place in the chunk, which message group}
//   group_chunks_  message group, offset / 4096 -> which of the chunk's message groups it is, and its first place there
//
// Finding, adding and removing take a time logarithmic in the number of chunks, and at most one pass over what is
// parked in one chunk. Memory follows what is parked, not the span of offsets: a thousand stuck message groups cost
// what is theirs.
class ParkedMessages {
 public:
  struct Message {
    QueueOffset offset = 0;
    uint64_t message_group = 0;  // 0: none.
  };

  class Iterator;  // By offset. Any change ends it.

  static constexpr int64_t kMostBytes = 224;  // What one message adds to bytes(): one that is alone in its chunk.

  // `offset` is not there yet.
  void Add(QueueOffset offset, uint64_t message_group);
  // `offset` is there.
  void Remove(QueueOffset offset);
  void Clear() { *this = ParkedMessages(); }

  bool empty() const { return size_ == 0; }
  int64_t size() const { return size_; }
  // About so much memory; by what is in it only, so that it is the same wherever the same is parked.
  int64_t bytes() const;
  bool contains(QueueOffset offset) const { return MessageGroupOf(offset).has_value(); }
  std::optional<uint64_t> MessageGroupOf(QueueOffset offset) const;
  // The first of a message group, from `from` on.
  std::optional<QueueOffset> FirstOf(uint64_t message_group, QueueOffset from = 0) const;

  Iterator begin() const;
  Iterator end() const;
  // The first from `offset` on.
  Iterator lower_bound(QueueOffset offset) const;

 private:
  static constexpr QueueOffset kChunkOffsets = 4096;
  static constexpr int64_t kChunkBytes = 128;  // The chunk, its node in the map, what its vectors have to spare.
  static constexpr int64_t kGroupChunkBytes =
      92;  // Hash, entry of group_chunks_, and what the cursor keeps of a group.
  struct Place {
    uint16_t place = 0;  // offset % kChunkOffsets.
    uint16_t group = 0;  // In message_groups.
  };
  struct Chunk {
    std::vector<uint64_t> message_groups;  // Each once, and with something in places.
    std::vector<Place> places;             // Ascending; never empty.

    size_t LowerBound(QueueOffset place) const;
  };
  struct GroupChunk {
    uint16_t group = 0;        // In the chunk's message_groups.
    uint16_t first_place = 0;  // Its first in the chunk's places.
  };
  using Chunks = absl::btree_map<int64_t, Chunk>;

  // The chunk's message group of that number has nothing there any more: the last one takes its number.
  void LeaveGroup(int64_t number, uint16_t group, Chunk* chunk);

  Chunks chunks_;
  absl::btree_map<std::pair<uint64_t, int64_t>, GroupChunk> group_chunks_;
  int64_t size_ = 0;
};

class ParkedMessages::Iterator {
 public:
  Message operator*() const;
  Iterator& operator++();
  bool operator==(const Iterator& other) const { return chunk_ == other.chunk_ && place_ == other.place_; }

 private:
  friend class ParkedMessages;
  Iterator(Chunks::const_iterator chunk, size_t place) : chunk_(chunk), place_(place) {}

  Chunks::const_iterator chunk_;
  size_t place_;  // In its places; 0 at the end.
};

}  // namespace barid::broker

#endif  // BARID_BROKER_PARKED_MESSAGES_H_
