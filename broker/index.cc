#include "broker/index.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/status.h"

namespace barid::broker {
namespace {

constexpr uint8_t kBlockVersion = 1;

}  // namespace

// version | entries | per entry: deltas of index, position, time; offset, bytes, tag hash | dead letters | message
// groups | crc32c
//
// Message groups, one per entry, are there only if any entry has one.
std::string EncodeIndexBlock(const IndexBlock& block) {
  std::string out;
  out.reserve(16 + block.entries.size() * 16);
  out.push_back(kBlockVersion);
  PutVarint(&out, block.entries.size());
  IndexEntry last;
  for (const IndexEntry& entry : block.entries) {
    // A dead letter points backwards, so the differences have signs.
    PutSignedVarint(&out, static_cast<int64_t>(entry.index - last.index));
    PutSignedVarint(&out, static_cast<int64_t>(entry.position - last.position));
    PutSignedVarint(&out, entry.time_us - last.time_us);
    PutVarint(&out, entry.offset);
    PutVarint(&out, entry.bytes);
    PutFixed<uint32_t>(&out, entry.tag_hash);
    last = entry;
  }
  PutVarint(&out, block.provenance.size());
  for (const auto& [offset, provenance] : block.provenance) {
    PutVarint(&out, static_cast<uint64_t>(offset));
    PutLengthPrefixed(&out, provenance.topic);
    PutLengthPrefixed(&out, provenance.message_id);
    PutLengthPrefixed(&out, provenance.reason);
    PutVarint(&out, static_cast<uint64_t>(provenance.attempts));
  }
  const bool any_group = std::any_of(block.entries.begin(), block.entries.end(),
                                     [](const IndexEntry& entry) { return entry.message_group != 0; });
  if (any_group) {
    for (const IndexEntry& entry : block.entries) PutFixed<uint64_t>(&out, entry.message_group);
  }
  PutFixed<uint32_t>(&out, Crc32c(out));
  return out;
}

absl::StatusOr<IndexBlock> DecodeIndexBlock(absl::string_view bytes) {
  const auto damaged = [](absl::string_view what) { return absl::DataLossError(absl::StrCat("index block: ", what)); };
  if (bytes.size() < 1 + sizeof(uint32_t)) return damaged("too short");
  const absl::string_view covered = bytes.substr(0, bytes.size() - sizeof(uint32_t));
  if (LoadFixed<uint32_t>(bytes.data() + covered.size()) != Crc32c(covered)) return damaged("checksum does not match");
  absl::string_view in = covered;
  if (static_cast<uint8_t>(in[0]) != kBlockVersion) return damaged("unknown version");
  in.remove_prefix(1);

  IndexBlock block;
  uint64_t count = 0;
  if (!GetVarint(&in, &count) || count > kBlockEntries) return damaged("number of entries");
  block.entries.reserve(count);
  IndexEntry entry;
  for (uint64_t i = 0; i < count; ++i) {
    int64_t index = 0;
    int64_t position = 0;
    int64_t time = 0;
    uint64_t offset = 0;
    uint64_t size = 0;
    if (!GetSignedVarint(&in, &index) || !GetSignedVarint(&in, &position) || !GetSignedVarint(&in, &time) ||
        !GetVarint(&in, &offset) || !GetVarint(&in, &size) || !GetFixed(&in, &entry.tag_hash)) {
      return damaged("an entry is cut short");
    }
    entry.index += static_cast<uint64_t>(index);
    entry.position += static_cast<uint64_t>(position);
    entry.time_us = static_cast<int64_t>(static_cast<uint64_t>(entry.time_us) + static_cast<uint64_t>(time));
    entry.offset = static_cast<uint32_t>(offset);
    entry.bytes = static_cast<uint32_t>(size);
    block.entries.push_back(entry);
  }
  uint64_t dead_letters = 0;
  if (!GetVarint(&in, &dead_letters) || dead_letters > count) return damaged("number of dead letters");
  for (uint64_t i = 0; i < dead_letters; ++i) {
    uint64_t offset = 0;
    uint64_t attempts = 0;
    absl::string_view topic;
    absl::string_view id;
    absl::string_view reason;
    if (!GetVarint(&in, &offset) || !GetLengthPrefixed(&in, &topic) || !GetLengthPrefixed(&in, &id) ||
        !GetLengthPrefixed(&in, &reason) || !GetVarint(&in, &attempts)) {
      return damaged("a dead letter is cut short");
    }
    block.provenance[static_cast<QueueOffset>(offset)] = {std::string(topic), std::string(id), std::string(reason),
                                                          static_cast<int32_t>(attempts)};
  }
  if (!in.empty()) {
    for (IndexEntry& grouped : block.entries) {
      if (!GetFixed(&in, &grouped.message_group)) return damaged("a message group is cut short");
    }
  }
  if (!in.empty()) return damaged("bytes behind its end");
  return block;
}

std::string StoreKey(const BlockKey& key) {
  std::string out = "i";
  PutOrdered64(&out, key.queue.topic.value());
  PutOrdered32(&out, static_cast<uint32_t>(key.queue.queue));
  PutOrdered64(&out, static_cast<uint64_t>(key.block));
  return out;
}

Index::Resident_* Index::Touch(const BlockKey& key) {
  const auto it = blocks_.find(key);
  if (it == blocks_.end()) return nullptr;
  it->second.used = ++uses_;
  return &it->second;
}

const IndexBlock* Index::Peek(const BlockKey& key) const {
  const auto it = blocks_.find(key);
  return it == blocks_.end() ? nullptr : it->second.block.get();
}

const IndexBlock* Index::Resident(const BlockKey& key) {
  Resident_* const resident = Touch(key);
  return resident == nullptr ? nullptr : resident->block.get();
}

absl::StatusOr<const IndexBlock*> Index::Load(const BlockKey& key) {
  if (Resident_* const resident = Touch(key)) return resident->block.get();
  if (store_ == nullptr) return absl::NotFoundError("no such index block");
  const absl::StatusOr<std::string> bytes = store_->Get(StoreKey(key));
  if (absl::IsNotFound(bytes.status()))
    return absl::DataLossError(absl::StrCat("an index block of queue ", key.queue.queue, " of topic ",
                                            key.queue.topic.value(), " is missing"));
  if (!bytes.ok()) return bytes.status();
  ASSIGN_OR_RETURN(IndexBlock block, DecodeIndexBlock(*bytes));
  Install(key, std::move(block));
  return blocks_[key].block.get();
}

void Index::Install(const BlockKey& key, IndexBlock block) {
  if (blocks_.contains(key)) return;
  if (blocks_.size() >= 2 * max_clean_blocks_ + dirty_.size()) Evict();
  Resident_& resident = blocks_[key];
  resident.block = std::make_shared<IndexBlock>(std::move(block));
  resident.used = ++uses_;
}

absl::Status Index::Append(const QueueKey& queue, QueueOffset offset, const IndexEntry& entry,
                           std::optional<Provenance> provenance) {
  const BlockKey key = BlockOf(queue, offset);
  const auto place = static_cast<size_t>(offset % kBlockEntries);
  if (place == 0) {
    blocks_[key].block = std::make_shared<IndexBlock>();
    blocks_[key].writing = false;
    deleted_.erase(key);
  } else {
    RETURN_IF_ERROR(Load(key).status());
  }
  Resident_* const resident = Touch(key);
  resident->Own();
  CHECK_EQ(resident->block->entries.size(), place);
  resident->block->entries.push_back(entry);
  if (provenance) resident->block->provenance[offset] = *std::move(provenance);
  resident->dirty = true;
  dirty_.insert(key);
  return absl::OkStatus();
}

void Index::Resident_::Own() {
  if (!writing) return;
  block = std::make_shared<IndexBlock>(*block);
  writing = false;
}

absl::Status Index::Replace(const QueueKey& queue, QueueOffset offset, const IndexEntry& entry) {
  const BlockKey key = BlockOf(queue, offset);
  RETURN_IF_ERROR(Load(key).status());
  Resident_* const resident = Touch(key);
  resident->Own();
  resident->block->entries[static_cast<size_t>(offset % kBlockEntries)] = entry;
  resident->dirty = true;
  dirty_.insert(key);
  return absl::OkStatus();
}

absl::StatusOr<IndexEntry> Index::Empty(const QueueKey& queue, QueueOffset offset) {
  const BlockKey key = BlockOf(queue, offset);
  RETURN_IF_ERROR(Load(key).status());
  Resident_* const resident = Touch(key);
  resident->Own();
  IndexEntry& entry = resident->block->entries[static_cast<size_t>(offset % kBlockEntries)];
  const IndexEntry before = entry;
  entry = IndexEntry();
  entry.time_us = before.time_us;
  resident->block->provenance.erase(offset);
  resident->dirty = true;
  dirty_.insert(key);
  return before;
}

void Index::DropBelow(const QueueKey& queue, QueueOffset old_first, QueueOffset first) {
  for (int64_t block = old_first / kBlockEntries; block < first / kBlockEntries; ++block) {
    const BlockKey key{queue, block};
    blocks_.erase(key);
    dirty_.erase(key);
    deleted_.insert(key);
  }
}

Index::Changes Index::TakeChanges() {
  Changes changes;
  changes.reserve(dirty_.size() + deleted_.size());
  for (const BlockKey& key : dirty_) {
    Resident_& resident = blocks_[key];
    resident.dirty = false;
    resident.writing = true;
    changes.emplace_back(key, resident.block);
  }
  for (const BlockKey& key : deleted_) changes.emplace_back(key, nullptr);
  dirty_.clear();
  deleted_.clear();
  return changes;
}

void Index::Written(const Changes& changes, bool durable) {
  if (durable) ++generation_;
  for (const auto& [key, block] : changes) {
    if (block == nullptr) {
      if (!durable && !blocks_.contains(key)) deleted_.insert(key);
      continue;
    }
    const auto it = blocks_.find(key);
    if (it == blocks_.end() || it->second.block != block) continue;  // Changed or dropped since.
    it->second.writing = false;
    if (!durable) {
      it->second.dirty = true;
      dirty_.insert(key);
    }
  }
  Evict();
}

// Drops the clean blocks that were used longest ago. Linear in the blocks in memory; runs once per checkpoint, or once
// per max_clean_blocks_ reads.
void Index::Evict() {
  std::vector<std::pair<uint64_t, BlockKey>> clean;
  for (const auto& [key, resident] : blocks_) {
    if (!resident.dirty && !resident.writing) clean.emplace_back(resident.used, key);
  }
  if (clean.size() <= max_clean_blocks_) return;
  const size_t surplus = clean.size() - max_clean_blocks_;
  std::nth_element(clean.begin(), clean.begin() + static_cast<ptrdiff_t>(surplus), clean.end());
  for (size_t i = 0; i < surplus; ++i) blocks_.erase(clean[i].second);
}

}  // namespace barid::broker
