#include "broker/send_window.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/sealed_entry.h"

namespace barid::broker {
namespace {

constexpr size_t kFewestSlots = 64;
// A table is at most half full, and not less than a sixteenth, so that it does not double and halve in turn.
constexpr size_t kSparse = 16;
// So many go with one record: more than ever come with most.
constexpr int kExpiredAtOnce = 256;
constexpr uint64_t kNumberBits = (uint64_t{1} << 31) - 1;

uint64_t UpperHalf(uint64_t value) { return value >> 32; }

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("checkpoint entry of kind 'n': ", what));
}

std::string ChunkKey(uint64_t number) {
  std::string key = "n";
  PutOrdered64(&key, number);
  return key;
}

// Indexes and times never go backwards.
std::string EncodeChunk(const SendWindow::Chunk& chunk) {
  std::string out;
  out.reserve(chunk.used * 28);
  uint64_t index = 0;
  int64_t time_us = 0;
  for (uint64_t i = 0; i < chunk.used; ++i) {
    PutFixed(&out, chunk.id[i]);
    PutFixed(&out, chunk.content[i]);
    PutVarint(&out, chunk.index[i] - index);
    PutSignedVarint(&out, chunk.time_us[i] - time_us);
    PutVarint(&out, chunk.entry[i]);
    PutVarint(&out, static_cast<uint64_t>(chunk.queue[i]));
    PutVarint(&out, static_cast<uint64_t>(chunk.offset[i] + 1));
    index = chunk.index[i];
    time_us = chunk.time_us[i];
  }
  return out;
}

bool DecodeChunk(absl::string_view in, SendWindow::Chunk* chunk) {
  uint64_t index = 0;
  int64_t time_us = 0;
  for (; !in.empty(); ++chunk->used) {
    const uint64_t i = chunk->used;
    uint64_t records = 0;
    int64_t elapsed = 0;
    uint64_t entry = 0;
    uint64_t queue = 0;
    uint64_t behind = 0;
    if (i == SendWindow::kChunkSends || !GetFixed(&in, &chunk->id[i]) || !GetFixed(&in, &chunk->content[i]) ||
        !GetVarint(&in, &records) || !GetSignedVarint(&in, &elapsed) || !GetVarint(&in, &entry) ||
        !GetVarint(&in, &queue) || !GetVarint(&in, &behind)) {
      return false;
    }
    index += records;
    time_us += elapsed;
    chunk->index[i] = index;
    chunk->time_us[i] = time_us;
    chunk->entry[i] = static_cast<uint32_t>(entry);
    chunk->queue[i] = static_cast<int32_t>(queue);
    chunk->offset[i] = static_cast<int64_t>(behind) - 1;
  }
  return true;
}

}  // namespace

uint64_t SendWindow::NumberOf(uint64_t slot) const {
  const uint64_t low = (slot - 1) & kNumberBits;
  return first_ + ((low - first_) & kNumberBits);
}

uint64_t SendWindow::HashOf(uint64_t number) const {
  const Chunk& chunk = *ChunkOf(number);
  const uint64_t i = number % kChunkSends;
  // Of what the shard's state has, this and the bounds alone begin with 39 and 38.
  return StableHash({39, number, chunk.id[i], chunk.content[i], static_cast<uint64_t>(chunk.time_us[i]), chunk.index[i],
                     chunk.entry[i], static_cast<uint64_t>(chunk.queue[i]), static_cast<uint64_t>(chunk.offset[i])});
}

void SendWindow::SetBounds(const Bounds& bounds) {
  if (bounds == bounds_) return;
  bounds_ = bounds;
  CHECK_LE(bounds_.ids, kNumberBits / 2);
  dirty_ = true;
  while (size() > (bounds_.duration_us == 0 ? 0 : bounds_.ids)) ForgetFirst();
}

SendWindow::Found SendWindow::Find(uint64_t id, uint64_t content, int64_t now_us) const {
  Found found;
  if (slots_.empty()) return found;
  const size_t mask = slots_.size() - 1;
  for (size_t place = UpperHalf(id) & mask; slots_[place] != 0; place = (place + 1) & mask) {
    if (UpperHalf(slots_[place]) != UpperHalf(id)) continue;
    const uint64_t number = NumberOf(slots_[place]);
    const Chunk& chunk = *ChunkOf(number);
    const uint64_t i = number % kChunkSends;
    if (chunk.id[i] != id) continue;
    const int64_t remembered_us = bounds_.duration_us / (BARID_MUTATION(kWindowEndsEarly) ? 2 : 1);
    if (now_us - chunk.time_us[i] >= remembered_us && !BARID_MUTATION(kWindowNeverEnds)) continue;
    ++found.contents;
    if (chunk.content[i] != content && !BARID_MUTATION(kRepeatIgnoresContent)) continue;
    if (BARID_MUTATION(kRepeatIsStored)) continue;
    found.first = FirstSend{chunk.index[i], chunk.entry[i], chunk.queue[i], chunk.offset[i]};
    return found;
  }
  return found;
}

void SendWindow::Remember(uint64_t id, uint64_t content, int64_t now_us, const FirstSend& send) {
  if (bounds_.ids == 0 || bounds_.duration_us == 0) return;
  const uint64_t most = bounds_.ids - (BARID_MUTATION(kWindowOneShort) ? 1 : 0);
  if (size() >= bounds_.ids) ForgetFirst();
  if (end_ % kChunkSends == 0) chunks_.push_back(std::make_shared<Chunk>());
  Chunk* const chunk = chunks_.back().get();
  const uint64_t i = chunk->used++;
  chunk->id[i] = id;
  chunk->content[i] = content;
  chunk->time_us[i] = now_us;
  chunk->index[i] = send.index;
  chunk->entry[i] = send.entry;
  chunk->queue[i] = send.queue;
  chunk->offset[i] = send.offset;
  if (2 * (size() + 1) > slots_.size()) Resize(std::max(kFewestSlots, 2 * slots_.size()));
  Insert(end_, id);
  ++end_;
  hash_ += HashOf(end_ - 1);
  dirty_ = true;
  while (size() > most) ForgetFirst();
}

void SendWindow::Insert(uint64_t number, uint64_t id) {
  const size_t mask = slots_.size() - 1;
  size_t place = UpperHalf(id) & mask;
  while (slots_[place] != 0) place = (place + 1) & mask;
  slots_[place] = UpperHalf(id) << 32 | ((number & kNumberBits) + 1);
}

void SendWindow::ForgetFirst() {
  const uint64_t id = ChunkOf(first_)->id[first_ % kChunkSends];
  const uint64_t slot = UpperHalf(id) << 32 | ((first_ & kNumberBits) + 1);
  hash_ -= HashOf(first_);
  const size_t mask = slots_.size() - 1;
  size_t hole = UpperHalf(id) & mask;
  while (slots_[hole] != slot) hole = (hole + 1) & mask;
  // What stands behind it moves up, unless that would be in front of where its search begins.
  for (size_t place = (hole + 1) & mask; slots_[place] != 0; place = (place + 1) & mask) {
    const size_t home = UpperHalf(slots_[place]) & mask;
    if (((place - home) & mask) < ((place - hole) & mask)) continue;
    slots_[hole] = slots_[place];
    hole = place;
  }
  slots_[hole] = 0;
  ++first_;
  if (first_ % kChunkSends == 0) chunks_.pop_front();
  dirty_ = true;
  if (slots_.size() > kFewestSlots && kSparse * size() < slots_.size()) Resize(slots_.size() / 2);
}

// The halves in the slots say where each belongs: no send is looked at.
void SendWindow::Resize(size_t slots) {
  std::vector<uint64_t> old(slots);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const uint64_t slot : old) {
    if (slot == 0) continue;
    size_t place = UpperHalf(slot) & mask;
    while (slots_[place] != 0) place = (place + 1) & mask;
    slots_[place] = slot;
  }
}

void SendWindow::Expire(int64_t now_us) {
  if (BARID_MUTATION(kWindowNeverEnds)) return;
  for (int left = kExpiredAtOnce; left > 0 && first_ < end_; --left) {
    if (now_us - ChunkOf(first_)->time_us[first_ % kChunkSends] < bounds_.duration_us) return;
    ForgetFirst();
  }
}

uint64_t SendWindow::hash() const {
  // Nothing in a state that never heard of it: it hashes as it did before.
  if (end_ == 0 && bounds_ == Bounds()) return 0;
  return hash_ + StableHash({38, first_, end_, static_cast<uint64_t>(bounds_.duration_us), bounds_.ids});
}

uint64_t SendWindow::RecomputeHash() const {
  uint64_t sum = 0;
  for (uint64_t number = first_; number < end_; ++number) sum += HashOf(number);
  return hash() - hash_ + sum;
}

absl::Status SendWindow::Verify() const {
  const auto taken = static_cast<uint64_t>(slots_.size()) -
                     static_cast<uint64_t>(std::count(slots_.begin(), slots_.end(), uint64_t{0}));
  if (taken != size()) {
    return absl::DataLossError(
        absl::StrCat("the table of the send window has ", taken, " entries, there are ", size(), " sends"));
  }
  for (uint64_t number = first_; number < end_; ++number) {
    const Chunk& chunk = *ChunkOf(number);
    const uint64_t i = number % kChunkSends;
    const Found found = Find(chunk.id[i], chunk.content[i], chunk.time_us[i]);
    if (found.contents == 0)
      return absl::DataLossError(absl::StrCat("send ", number, " is not found in the send window"));
  }
  return absl::OkStatus();
}

SendWindow::Changes SendWindow::TakeChanges() {
  Changes changes;
  changes.any = std::exchange(dirty_, false);
  if (!changes.any) return changes;
  changes.first = first_;
  changes.end = end_;
  changes.bounds = bounds_;
  const uint64_t first_chunk = first_ / kChunkSends;
  const uint64_t first_changed = std::max(stored_end_ / kChunkSends, first_chunk);
  for (uint64_t number = first_changed; stored_end_ < end_ && number * kChunkSends < end_; ++number) {
    const std::shared_ptr<Chunk>& chunk = chunks_[number - first_chunk];
    if (chunk->used == kChunkSends) {
      changes.chunks.emplace_back(number, chunk);
    } else {
      // More is to be written into it: it is copied.
      changes.chunks.emplace_back(number, std::make_shared<const Chunk>(*chunk));
    }
  }
  const uint64_t stored_chunks_end = (stored_end_ + kChunkSends - 1) / kChunkSends;
  changes.removed = {stored_chunk_, std::max(stored_chunk_, std::min(first_chunk, stored_chunks_end))};
  stored_end_ = end_;
  stored_chunk_ = first_chunk;
  return changes;
}

void SendWindow::AppendOperations(const Changes& changes, std::vector<storage::KeyValueStore::Operation>* operations) {
  if (!changes.any) return;
  for (uint64_t number = changes.removed.first; number < changes.removed.second; ++number) {
    operations->push_back({ChunkKey(number), std::nullopt});
  }
  const bool forgets = BARID_MUTATION(kCheckpointForgetsSends);
  std::string value;
  PutFixed(&value, forgets ? changes.end / kChunkSends * kChunkSends : changes.first);
  PutFixed(&value, forgets ? changes.end / kChunkSends * kChunkSends : changes.end);
  PutFixed(&value, changes.bounds.duration_us);
  PutFixed(&value, changes.bounds.ids);
  operations->push_back(Sealed("n", std::move(value)));
  if (forgets) return;
  for (const auto& [number, chunk] : changes.chunks) {
    operations->push_back(Sealed(ChunkKey(number), EncodeChunk(*chunk)));
  }
}

absl::Status SendWindow::Load(const storage::KeyValueStore& store) {
  absl::Status error;
  bool known = false;
  const absl::Status scanned = store.Scan("n", "o", [&](absl::string_view key, absl::string_view value) {
    error = OpenSealed(key, &value);
    if (!error.ok()) return false;
    if (key.size() == 1) {
      known = GetFixed(&value, &first_) && GetFixed(&value, &end_) && GetFixed(&value, &bounds_.duration_us) &&
              GetFixed(&value, &bounds_.ids) && value.empty() && first_ <= end_;
      if (!known) error = Damaged("does not parse");
      return error.ok();
    }
    absl::string_view name = key.substr(1);
    uint64_t number = 0;
    auto chunk = std::make_shared<Chunk>();
    if (!GetOrdered64(&name, &number) || !DecodeChunk(value, chunk.get())) {
      error = Damaged("does not parse");
    } else if (!known || number != first_ / kChunkSends + chunks_.size() || number * kChunkSends >= end_ ||
               chunk->used != std::min(kChunkSends, end_ - number * kChunkSends)) {
      error = Damaged(
          absl::StrCat("chunk ", number, " with ", chunk->used, " sends does not fit into [", first_, ", ", end_, ")"));
    } else {
      chunks_.push_back(std::move(chunk));
    }
    return error.ok();
  });
  RETURN_IF_ERROR(scanned);
  RETURN_IF_ERROR(error);
  const uint64_t chunks = (end_ + kChunkSends - 1) / kChunkSends - first_ / kChunkSends;
  if (chunks_.size() != chunks) return Damaged(absl::StrCat(chunks_.size(), " chunks are here, expected ", chunks));
  size_t slots = kFewestSlots;
  while (slots < 2 * (size() + 1)) slots *= 2;
  if (size() > 0) slots_.resize(slots);
  for (uint64_t number = first_; number < end_; ++number) {
    Insert(number, ChunkOf(number)->id[number % kChunkSends]);
    hash_ += HashOf(number);
  }
  stored_end_ = end_;
  stored_chunk_ = first_ / kChunkSends;
  return absl::OkStatus();
}

}  // namespace barid::broker
