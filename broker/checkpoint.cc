// How a State is written to the checkpoint store and read back. docs/storage-format.md draws the entries:
//
// clang-format off
//   m                               what was applied: index, epoch, time, position, end, chain, log start, hash
//   q topic queue                   first, end, bytes, deleted, timers
//   c group topic queue             next; whether it is ordered
//   d group topic queue chunk       deliveries in flight of 256 offsets
//   w group topic queue chunk       parked messages of 256 offsets: they wait for their message groups
//   o group topic queue             broker/offset_table.h: the offset that a group has stored
//   l                               broker/lite_table.h: the id that was given last to a lite topic
//   l topic queue                   the same: a lite topic's name, and when it was last written to
//   k index                         broker/live_ranges.h: live pointers into a range of the log
//   r range                         the same, of an older version
//   i topic queue block             broker/index.h
//   t due index entry               broker/timer_table.h
//   x index entry                   broker/transaction_table.h: an open transaction
//   y chunk                         the same: ends recorded in 256 log indexes
//   e                               broker/counts.h: the log index of what follows
//   e g group topic                 the same: ready, in flight, blocked
//   e t topic                       the same: timers
//   e d group name                  the same: dead letters that came from the topic of this name
//   f topic queue block             the same: which offsets of 256 are empty
//   n                               broker/send_window.h: which sends are remembered
//   n chunk                         the same: 1,024 of them
// clang-format on
//
// Numbers in keys are big-endian, so that keys sort as numbers. Every value ends with the CRC-32C of its key and
// itself, an index block's of itself.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/sealed_entry.h"
#include "broker/state.h"

namespace barid::broker {
namespace {

constexpr char kMetaKey[] = "m";

void PutQueueKey(std::string* out, const QueueKey& key) {
  PutOrdered64(out, key.topic.value());
  PutOrdered32(out, static_cast<uint32_t>(key.queue));
}
bool GetQueueKey(absl::string_view* in, QueueKey* key) {
  uint64_t topic = 0;
  uint32_t queue = 0;
  if (!GetOrdered64(in, &topic) || !GetOrdered32(in, &queue)) return false;
  *key = {TopicId(topic), static_cast<int32_t>(queue)};
  return true;
}
void PutCursorKey(std::string* out, const CursorKey& key) {
  PutOrdered64(out, key.group.value());
  PutQueueKey(out, key.queue);
}
bool GetCursorKey(absl::string_view* in, CursorKey* key) {
  uint64_t group = 0;
  if (!GetOrdered64(in, &group) || !GetQueueKey(in, &key->queue)) return false;
  key->group = GroupId(group);
  return true;
}

absl::Status Damaged(absl::string_view key, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("checkpoint entry of kind '", key.substr(0, 1), "': ", what));
}

void PutDelivery(std::string* out, QueueOffset offset, const InFlight& d) {
  PutVarint(out, static_cast<uint64_t>(offset));
  PutVarint(out, static_cast<uint64_t>(d.attempts));
  PutVarint(out, d.nonce);
  PutSignedVarint(out, d.invisible_until);
  const bool held = d.held && !BARID_MUTATION(kCheckpointForgetsHolds);
  out->push_back(static_cast<char>((d.visible ? 1 : 0) | (d.auto_renew ? 2 : 0) | (held ? 4 : 0) |
                                   (d.message_group != 0 ? 8 : 0)));
  PutFixed(out, d.attempt_id_hash);
  PutLengthPrefixed(out, *d.client);
  if (d.message_group != 0) PutFixed(out, d.message_group);
}

bool GetDelivery(absl::string_view* in, QueueOffset* offset, InFlight* d, std::string* client) {
  uint64_t raw_offset = 0;
  uint64_t attempts = 0;
  uint8_t flags = 0;
  absl::string_view name;
  if (!GetVarint(in, &raw_offset) || !GetVarint(in, &attempts) || !GetVarint(in, &d->nonce) ||
      !GetSignedVarint(in, &d->invisible_until) || !GetFixed(in, &flags) || !GetFixed(in, &d->attempt_id_hash) ||
      !GetLengthPrefixed(in, &name)) {
    return false;
  }
  *offset = static_cast<QueueOffset>(raw_offset);
  d->attempts = static_cast<int32_t>(attempts);
  d->visible = flags & 1;
  d->auto_renew = flags & 2;
  d->held = flags & 4;
  *client = std::string(name);
  return (flags & 8) == 0 || GetFixed(in, &d->message_group);
}

}  // namespace

State::Checkpoint State::TakeCheckpoint() {
  Checkpoint checkpoint;
  checkpoint.applied = applied_;
  if (BARID_MUTATION(kCheckpointIndexTooHigh)) ++checkpoint.applied.index;
  auto& operations = checkpoint.operations;

  std::string meta;
  PutFixed(&meta, checkpoint.applied.index);
  PutFixed(&meta, applied_.epoch);
  PutFixed(&meta, applied_.time_us);
  PutFixed(&meta, applied_.position);
  PutFixed(&meta, applied_.end_position);
  PutFixed(&meta, applied_.chain);
  PutFixed(&meta, log_start_);
  PutFixed(&meta, hash());
  PutFixed(&meta, remembered_index_);
  PutFixed(&meta, remembered_hash_);
  operations.push_back(Sealed(kMetaKey, std::move(meta)));

  for (const QueueKey& key : dirty_queues_) {
    std::string name = "q";
    PutQueueKey(&name, key);
    const Queue* const queue = FindQueue(key);
    if (queue == nullptr) {
      operations.push_back({std::move(name), std::nullopt});
      continue;
    }
    std::string value;
    PutFixed(&value, queue->first);
    PutFixed(&value, queue->end);
    PutFixed(&value, queue->bytes);
    value.push_back(queue->deleted ? 1 : 0);
    PutFixed(&value, queue->delayed);
    operations.push_back(Sealed(std::move(name), std::move(value)));
  }
  for (const CursorKey& key : dirty_cursors_) {
    if (BARID_MUTATION(kCheckpointForgetsCursors)) break;
    std::string name = "c";
    PutCursorKey(&name, key);
    const Cursor* const cursor = FindCursor(key);
    if (cursor == nullptr) {
      operations.push_back({std::move(name), std::nullopt});
      continue;
    }
    std::string value;
    PutFixed(&value, cursor->next);
    if (cursor->ordered && !BARID_MUTATION(kCheckpointForgetsOrder)) PutFixed<uint8_t>(&value, 1);
    operations.push_back(Sealed(std::move(name), std::move(value)));
  }
  for (const auto& [key, chunk] : dirty_chunks_) {
    if (BARID_MUTATION(kCheckpointForgetsDeliveries)) break;
    std::string name = "d";
    PutCursorKey(&name, key);
    PutOrdered64(&name, static_cast<uint64_t>(chunk));
    std::string value;
    if (const Cursor* const cursor = FindCursor(key)) {
      for (auto it = cursor->in_flight.lower_bound(chunk * kChunkOffsets);
           it != cursor->in_flight.end() && it->first < (chunk + 1) * kChunkOffsets; ++it) {
        PutDelivery(&value, it->first, it->second);
      }
    }
    if (value.empty()) {
      operations.push_back({std::move(name), std::nullopt});
    } else {
      operations.push_back(Sealed(std::move(name), std::move(value)));
    }
  }
  for (const auto& [key, chunk] : dirty_parked_) {
    if (BARID_MUTATION(kCheckpointForgetsParked)) break;
    std::string name = "w";
    PutCursorKey(&name, key);
    PutOrdered64(&name, static_cast<uint64_t>(chunk));
    std::string value;
    if (const Cursor* const cursor = FindCursor(key)) {
      for (auto it = cursor->parked.lower_bound(chunk * kChunkOffsets);
           it != cursor->parked.end() && (*it).offset < (chunk + 1) * kChunkOffsets; ++it) {
        PutVarint(&value, static_cast<uint64_t>((*it).offset));
        PutFixed(&value, (*it).message_group);
      }
    }
    if (value.empty()) {
      operations.push_back({std::move(name), std::nullopt});
    } else {
      operations.push_back(Sealed(std::move(name), std::move(value)));
    }
  }
  ranges_.AppendChanges(&operations);
  transactions_.AppendChanges(&operations);
  offsets_.AppendChanges(&operations);
  lite_.AppendChanges(&operations);
  counts_.AppendChanges(checkpoint.applied.index, &operations);
  dirty_queues_.clear();
  dirty_cursors_.clear();
  dirty_chunks_.clear();
  dirty_parked_.clear();
  dirty_since_checkpoint_ = false;
  checkpoint.kept_from = ranges_.all().empty() ? 0 : ranges_.all().front().position;
  checkpoint.blocks = index_.TakeChanges();
  checkpoint.timers = timers_.TakeChanges();
  checkpoint.sends = sends_.TakeChanges();
  if (BARID_MUTATION(kCheckpointForgetsBlocks) && !checkpoint.blocks.empty()) checkpoint.blocks.pop_back();
  return checkpoint;
}

void State::Written(const Checkpoint& checkpoint, bool durable) {
  index_.Written(checkpoint.blocks, durable);
  timers_.Written(checkpoint.timers, durable);
  // A store that failed to write refuses everything from then on, and its shard halts: nothing else to take back.
}

std::vector<storage::KeyValueStore::Operation> TakeOperations(State::Checkpoint* checkpoint) {
  std::vector<storage::KeyValueStore::Operation> operations = std::move(checkpoint->operations);
  operations.reserve(operations.size() + checkpoint->blocks.size());
  for (const auto& [key, block] : checkpoint->blocks) {
    operations.push_back({StoreKey(key), std::nullopt});
    if (block != nullptr) operations.back().value = EncodeIndexBlock(*block);
  }
  TimerTable::AppendOperations(checkpoint->timers, &operations);
  SendWindow::AppendOperations(checkpoint->sends, &operations);
  // What changed comes out of hash maps. In the order of keys, LevelDB does the same work for the same state, so that a
  // simulation repeats, and inserts faster than in any other.
  std::stable_sort(operations.begin(), operations.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return operations;
}

absl::StatusOr<CheckpointMeta> ReadCheckpointMeta(const storage::KeyValueStore& store) {
  ASSIGN_OR_RETURN(const std::string bytes, store.Get(kMetaKey));
  absl::string_view in = bytes;
  RETURN_IF_ERROR(OpenSealed(kMetaKey, &in));
  CheckpointMeta meta;
  if (!GetFixed(&in, &meta.applied.index) || !GetFixed(&in, &meta.applied.epoch) ||
      !GetFixed(&in, &meta.applied.time_us) || !GetFixed(&in, &meta.applied.position) ||
      !GetFixed(&in, &meta.applied.end_position) || !GetFixed(&in, &meta.applied.chain) ||
      !GetFixed(&in, &meta.log_start) || !GetFixed(&in, &meta.hash)) {
    return Damaged(kMetaKey, "too short");
  }
  return meta;
}

absl::Status State::Load(const storage::KeyValueStore& store) {
  const absl::StatusOr<CheckpointMeta> meta = ReadCheckpointMeta(store);
  if (absl::IsNotFound(meta.status())) return absl::OkStatus();
  RETURN_IF_ERROR(meta.status());
  applied_ = meta->applied;
  log_start_ = meta->log_start;
  ASSIGN_OR_RETURN(const std::string meta_bytes, store.Get(kMetaKey));
  absl::string_view remembered = meta_bytes;
  remembered.remove_suffix(sizeof(uint32_t));
  if (remembered.size() >= 2 * sizeof(uint64_t)) {
    remembered.remove_prefix(remembered.size() - 2 * sizeof(uint64_t));
    GetFixed(&remembered, &remembered_index_);
    GetFixed(&remembered, &remembered_hash_);
  }

  absl::Status error;
  // Reads all entries of one kind; `read` gets the key without its kind and the value without its checksum.
  const auto scan = [&](const char* kind, const char* end, auto read) {
    const absl::Status scanned = store.Scan(kind, end, [&](absl::string_view key, absl::string_view value) {
      error = OpenSealed(key, &value);
      if (error.ok() && !read(key.substr(1), value)) error = Damaged(key, "does not parse");
      return error.ok();
    });
    return scanned.ok() ? error : scanned;
  };

  RETURN_IF_ERROR(scan("q", "r", [&](absl::string_view key, absl::string_view value) {
    QueueKey queue_key;
    Queue queue;
    uint8_t deleted = 0;
    if (!GetQueueKey(&key, &queue_key) || !GetFixed(&value, &queue.first) || !GetFixed(&value, &queue.end) ||
        !GetFixed(&value, &queue.bytes) || !GetFixed(&value, &deleted)) {
      return false;
    }
    queue.deleted = deleted != 0;
    // Absent from what was written before there were timers.
    if (!value.empty() && !GetFixed(&value, &queue.delayed)) return false;
    queues_[queue_key] = queue;
    if (queue.delayed != 0) counts_.AddDelayed(queue_key.topic, queue.delayed);
    return true;
  }));
  RETURN_IF_ERROR(counts_.Load(store, applied_.index));
  RETURN_IF_ERROR(scan("c", "d", [&](absl::string_view key, absl::string_view value) {
    CursorKey cursor_key;
    if (!GetCursorKey(&key, &cursor_key)) return false;
    Cursor& cursor = cursors_[cursor_key];
    uint8_t ordered = 0;
    if (!GetFixed(&value, &cursor.next)) return false;
    // Absent from one that is not, and from what was written before there were any.
    if (!value.empty() && !GetFixed(&value, &ordered)) return false;
    cursor.ordered = ordered != 0;
    cursor.counts = counts_.Open(cursor_key, CountAbove(cursor_key, cursor));
    return true;
  }));
  RETURN_IF_ERROR(scan("d", "e", [&](absl::string_view key, absl::string_view value) {
    CursorKey cursor_key;
    if (!GetCursorKey(&key, &cursor_key)) return false;
    const auto it = cursors_.find(cursor_key);
    if (it == cursors_.end()) return false;
    while (!value.empty()) {
      QueueOffset offset = 0;
      InFlight delivery;
      std::string client;
      if (!GetDelivery(&value, &offset, &delivery, &client)) return false;
      delivery.client = Intern(client);
      SetDelivery(cursor_key, &it->second, offset, std::move(delivery));
    }
    return true;
  }));
  RETURN_IF_ERROR(scan("w", "x", [&](absl::string_view key, absl::string_view value) {
    CursorKey cursor_key;
    if (!GetCursorKey(&key, &cursor_key)) return false;
    const auto it = cursors_.find(cursor_key);
    if (it == cursors_.end()) return false;
    while (!value.empty()) {
      uint64_t offset = 0;
      uint64_t message_group = 0;
      if (!GetVarint(&value, &offset) || !GetFixed(&value, &message_group)) return false;
      if (it->second.parked.contains(static_cast<QueueOffset>(offset))) return false;
      Park(cursor_key, &it->second, static_cast<QueueOffset>(offset), message_group);
    }
    return true;
  }));
  RETURN_IF_ERROR(ranges_.Load(store));
  RETURN_IF_ERROR(transactions_.Load(store));
  RETURN_IF_ERROR(offsets_.Load(store));
  RETURN_IF_ERROR(sends_.Load(store));
  RETURN_IF_ERROR(lite_.Load(store));
  counts_.EndLoad();
  dirty_chunks_.clear();
  dirty_parked_.clear();
  // What Link added is in it; inspect and the tests recompute the sum.
  hash_ = meta->hash - transactions_.hash() - offsets_.hash() - sends_.hash() - lite_.hash();
  if (ranges_.knows_bytes()) return absl::OkStatus();
  return VisitPointers([this](LogIndex index, uint32_t bytes) { ranges_.AddBytes(index, bytes); });
}

}  // namespace barid::broker
