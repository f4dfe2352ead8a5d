#ifndef BARID_BROKER_SEND_WINDOW_H_
#define BARID_BROKER_SEND_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// What became of a message when it was sent first: what a repeat is answered with.
struct FirstSend {
  LogIndex index = 0;  // Of its record,
  uint32_t entry = 0;  // and its place there.
  int32_t queue = 0;
  QueueOffset offset = -1;  // -1: it did not enter its queue with that record.

  friend bool operator==(const FirstSend&, const FirstSend&) = default;
};

// The newest sends of a shard, by hashes of message id and content: what tells a repeated send from a new one. A send
// is remembered for a time, and among so many of the newest, whichever is less.
//
// Packed: 48 bytes for a send, in chunks that are never moved, and 16 to 32 in a hash table, which says that a send is
// new without a look at any chunk. When the table doubles or halves it is rewritten as a whole, on this thread. Nothing
// is allocated that is not used.
//
//                     first                                    end          numbers of sends: dense, for ever
//     forgotten         | remembered, or too old and not gone yet |
//     ---------[ chunk ]-----------[ chunk ]-----------[ chunk ]
//
// Deterministic; a part of the shard's state, with the part of its hash. Belongs to the shard's executor.
class SendWindow {
 public:
  struct Bounds {
    int64_t duration_us = 0;
    uint64_t ids = 0;

    friend bool operator==(const Bounds&, const Bounds&) = default;
  };
  // How many messages with one id and different contents are remembered: more are not, so that a client that uses one
  // id for everything costs others nothing.
  static constexpr int kMaxContentsPerId = 16;

  const Bounds& bounds() const { return bounds_; }
  void SetBounds(const Bounds& bounds);

  struct Found {
    std::optional<FirstSend> first;  // Of the same content.
    int contents = 0;                // Remembered sends with this id.
  };
  Found Find(uint64_t id, uint64_t content, int64_t now_us) const;
  // Behind all others. Not for one that is found, nor one whose id has kMaxContentsPerId contents.
  void Remember(uint64_t id, uint64_t content, int64_t now_us, const FirstSend& send);
  // Frees some of what is too old to be found. Called for each record, so that no single one pays for all.
  void Expire(int64_t now_us);

  uint64_t size() const { return end_ - first_; }
  // Of memory.
  size_t bytes() const { return chunks_.size() * sizeof(Chunk) + slots_.capacity() * sizeof(uint64_t); }

  // A sum over entries.
  uint64_t hash() const;
  uint64_t RecomputeHash() const;
  // kDataLoss if the table and the sends do not fit.
  absl::Status Verify() const;

  // --- Checkpoints: entries of kind 'n' (docs/storage-format.md). ---
  struct Chunk;
  struct Changes {
    bool any = false;
    uint64_t first = 0;
    uint64_t end = 0;
    Bounds bounds;
    std::vector<std::pair<uint64_t, std::shared_ptr<const Chunk>>> chunks;  // With their numbers.
    std::pair<uint64_t, uint64_t> removed;                                  // Numbers of chunks, [first, end).
  };
  // What changed since the last call.
  Changes TakeChanges();
  // What the checkpoint writes for them. Any thread.
  static void AppendOperations(const Changes& changes, std::vector<storage::KeyValueStore::Operation>* operations);
  // Reads what checkpoints wrote into an empty window.
  absl::Status Load(const storage::KeyValueStore& store);

  static constexpr uint64_t kChunkSends = 1024;
  // A send at each place, field by field.
  struct Chunk {
    uint64_t used = 0;
    uint64_t id[kChunkSends];
    uint64_t content[kChunkSends];
    int64_t time_us[kChunkSends];
    uint64_t index[kChunkSends];
    int64_t offset[kChunkSends];
    int32_t queue[kChunkSends];
    uint32_t entry[kChunkSends];
  };

 private:
  Chunk* ChunkOf(uint64_t number) const { return chunks_[number / kChunkSends - first_ / kChunkSends].get(); }
  // Of a slot that is taken.
  uint64_t NumberOf(uint64_t slot) const;
  uint64_t HashOf(uint64_t number) const;
  void Insert(uint64_t number, uint64_t id);
  void ForgetFirst();
  void Resize(size_t slots);

  Bounds bounds_;
  uint64_t first_ = 0;
  uint64_t end_ = 0;
  std::deque<std::shared_ptr<Chunk>> chunks_;  // Those of [first_, end_).
  // Open addressing, linear probing, a power of two. 0: free; else the upper half of the id, and in the lower half 1
  // and the lowest 31 bits of the number.
  std::vector<uint64_t> slots_;
  uint64_t hash_ = 0;  // Of the sends.

  uint64_t stored_end_ = 0;    // Up to here a checkpoint has them.
  uint64_t stored_chunk_ = 0;  // The first chunk that one may have.
  bool dirty_ = false;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_SEND_WINDOW_H_
