#include "broker/transaction_table.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/sealed_entry.h"

namespace barid::broker {
namespace {

// The first numbers keep these apart from the other entries of a shard's state.
uint64_t HashOpen(const TransactionKey& key, const OpenTransaction& t) {
  // Without the position: it follows from the index.
  const uint64_t hash = StableHash(
      {30, key.index, key.entry, t.queue.topic.value(), static_cast<uint64_t>(t.queue.queue), t.offset, t.bytes,
       t.tag_hash, static_cast<uint64_t>(t.prepared_us), static_cast<uint64_t>(t.check_at_us), t.checks});
  // Apart, so that one that was never carried hashes as it did before there was carrying.
  return t.carried_to == 0 ? hash : hash + StableHash({35, 1, key.index, key.entry, t.carried_to});
}

uint64_t HashEnded(const TransactionTable::End& end, const TransactionKey& key, Resolution resolution) {
  return StableHash({31, end.first, end.second, key.index, key.entry, static_cast<uint64_t>(resolution)});
}

std::string OpenKey(const TransactionKey& key) {
  std::string name = "x";
  PutOrdered64(&name, key.index);
  PutOrdered32(&name, key.entry);
  return name;
}

std::string EncodeOpen(const OpenTransaction& t) {
  std::string value;
  PutVarint(&value, t.queue.topic.value());
  PutVarint(&value, static_cast<uint64_t>(t.queue.queue));
  PutVarint(&value, t.position);
  PutVarint(&value, t.offset);
  PutVarint(&value, t.bytes);
  PutFixed(&value, t.tag_hash);
  PutSignedVarint(&value, t.prepared_us);
  PutSignedVarint(&value, t.check_at_us);
  PutVarint(&value, t.checks);
  if (t.carried_to != 0) PutVarint(&value, t.carried_to);
  return value;
}

bool DecodeOpen(absl::string_view value, OpenTransaction* t) {
  uint64_t topic = 0;
  uint64_t queue = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t checks = 0;
  if (!GetVarint(&value, &topic) || !GetVarint(&value, &queue) || !GetVarint(&value, &t->position) ||
      !GetVarint(&value, &offset) || !GetVarint(&value, &bytes) || !GetFixed(&value, &t->tag_hash) ||
      !GetSignedVarint(&value, &t->prepared_us) || !GetSignedVarint(&value, &t->check_at_us) ||
      !GetVarint(&value, &checks) || (!value.empty() && !GetVarint(&value, &t->carried_to)) || !value.empty()) {
    return false;
  }
  t->queue = {TopicId(topic), static_cast<int32_t>(queue)};
  t->offset = static_cast<uint32_t>(offset);
  t->bytes = static_cast<uint32_t>(bytes);
  t->checks = static_cast<uint32_t>(checks);
  return true;
}

std::string ChunkKey(LogIndex chunk) {
  std::string name = "y";
  PutOrdered64(&name, chunk);
  return name;
}

bool IsResolution(uint8_t value) { return value >= 1 && value <= 3; }

}  // namespace

void TransactionTable::Open(const TransactionKey& key, const OpenTransaction& transaction) {
  CHECK(open_.emplace(key, transaction).second) << "transaction " << key << " is opened twice";
  due_.insert({transaction.check_at_us, key});
  hash_ += HashOpen(key, transaction);
  dirty_open_.insert(key);
}

const OpenTransaction* TransactionTable::FindOpen(const TransactionKey& key) const {
  const auto it = open_.find(key);
  return it == open_.end() ? nullptr : &it->second;
}

void TransactionTable::SetCheck(const TransactionKey& key, uint32_t checks, int64_t check_at_us) {
  OpenTransaction& transaction = open_.at(key);
  hash_ -= HashOpen(key, transaction);
  due_.erase({transaction.check_at_us, key});
  transaction.checks = checks;
  transaction.check_at_us = check_at_us;
  due_.insert({check_at_us, key});
  hash_ += HashOpen(key, transaction);
  dirty_open_.insert(key);
}

void TransactionTable::Carry(const TransactionKey& key, LogIndex to, uint64_t position, uint32_t offset) {
  OpenTransaction& transaction = open_.at(key);
  hash_ -= HashOpen(key, transaction);
  transaction.carried_to = to;
  transaction.position = position;
  transaction.offset = offset;
  hash_ += HashOpen(key, transaction);
  dirty_open_.insert(key);
}

OpenTransaction TransactionTable::Close(const TransactionKey& key) {
  const auto it = open_.find(key);
  CHECK(it != open_.end());
  const OpenTransaction transaction = it->second;
  due_.erase({transaction.check_at_us, key});
  hash_ -= HashOpen(key, transaction);
  open_.erase(it);
  // What no checkpoint has taken needs no deletion: most transactions are short.
  if (stored_.contains(key)) {
    dirty_open_.insert(key);
  } else {
    dirty_open_.erase(key);
  }
  return transaction;
}

void TransactionTable::Remember(const End& end, const TransactionKey& key, Resolution resolution) {
  CHECK(ended_.empty() || ended_.rbegin()->first < end);
  ended_.emplace_hint(ended_.end(), end, Ended{key, resolution});
  CHECK(ended_by_key_.emplace(key, resolution).second) << "transaction " << key << " ends twice";
  hash_ += HashEnded(end, key, resolution);
  dirty_chunks_.insert(end.first / kChunkRecords);
}

void TransactionTable::ForgetBeyond(uint64_t most) {
  while (ended_.size() > most) {
    const auto oldest = ended_.begin();
    hash_ -= HashEnded(oldest->first, oldest->second.key, oldest->second.resolution);
    dirty_chunks_.insert(oldest->first.first / kChunkRecords);
    ended_by_key_.erase(oldest->second.key);
    ended_.erase(oldest);
  }
}

std::optional<Resolution> TransactionTable::FindEnded(const TransactionKey& key) const {
  const auto it = ended_by_key_.find(key);
  if (it == ended_by_key_.end()) return std::nullopt;
  return it->second;
}

uint64_t TransactionTable::RecomputeHash() const {
  uint64_t hash = 0;
  for (const auto& [key, transaction] : open_) hash += HashOpen(key, transaction);
  for (const auto& [end, ended] : ended_) hash += HashEnded(end, ended.key, ended.resolution);
  return hash;
}

void TransactionTable::AppendOpen(std::vector<storage::KeyValueStore::Operation>* operations) {
  for (const TransactionKey& key : dirty_open_) {
    if (const OpenTransaction* const transaction = FindOpen(key)) {
      stored_.insert(key);
      if (!BARID_MUTATION(kCheckpointForgetsPrepared))
        operations->push_back(Sealed(OpenKey(key), EncodeOpen(*transaction)));
    } else {
      stored_.erase(key);
      if (!BARID_MUTATION(kCheckpointKeepsEnded)) operations->push_back({OpenKey(key), std::nullopt});
    }
  }
  dirty_open_.clear();
}

void TransactionTable::AppendEnded(std::vector<storage::KeyValueStore::Operation>* operations) {
  for (const LogIndex chunk : dirty_chunks_) {
    std::string value;
    LogIndex last = chunk * kChunkRecords;
    const auto end = ended_.lower_bound({(chunk + 1) * kChunkRecords, 0});
    for (auto it = ended_.lower_bound({last, 0}); it != end; ++it) {
      PutVarint(&value, it->first.first - last);
      PutVarint(&value, it->first.second);
      PutVarint(&value, it->first.first - it->second.key.index);
      PutVarint(&value, it->second.key.entry);
      value.push_back(static_cast<char>(it->second.resolution));
      last = it->first.first;
    }
    if (value.empty()) {
      operations->push_back({ChunkKey(chunk), std::nullopt});
    } else if (!BARID_MUTATION(kCheckpointForgetsOutcomes)) {
      operations->push_back(Sealed(ChunkKey(chunk), std::move(value)));
    }
  }
  dirty_chunks_.clear();
}

void TransactionTable::AppendChanges(std::vector<storage::KeyValueStore::Operation>* operations) {
  AppendOpen(operations);
  AppendEnded(operations);
}

absl::Status TransactionTable::Load(const storage::KeyValueStore& store) {
  absl::Status error;
  const auto scan = [&](const char* kind, const char* behind, auto read) {
    const absl::Status scanned = store.Scan(kind, behind, [&](absl::string_view key, absl::string_view value) {
      error = OpenSealed(key, &value);
      if (error.ok() && !read(key.substr(1), value)) {
        error = absl::DataLossError(absl::StrCat("checkpoint entry of kind '", kind, "': does not parse"));
      }
      return error.ok();
    });
    return scanned.ok() ? error : scanned;
  };
  RETURN_IF_ERROR(scan("x", "y", [this](absl::string_view name, absl::string_view value) {
    TransactionKey key;
    OpenTransaction transaction;
    if (!GetOrdered64(&name, &key.index) || !GetOrdered32(&name, &key.entry) || !DecodeOpen(value, &transaction))
      return false;
    Open(key, transaction);
    stored_.insert(key);
    return true;
  }));
  RETURN_IF_ERROR(scan("y", "z", [this](absl::string_view name, absl::string_view value) {
    uint64_t chunk = 0;
    if (!GetOrdered64(&name, &chunk)) return false;
    End end{chunk * kChunkRecords, 0};
    while (!value.empty()) {
      uint64_t records = 0;
      uint64_t place = 0;
      uint64_t age = 0;
      uint64_t entry = 0;
      uint8_t resolution = 0;
      if (!GetVarint(&value, &records) || !GetVarint(&value, &place) || !GetVarint(&value, &age) ||
          !GetVarint(&value, &entry) || !GetFixed(&value, &resolution) || !IsResolution(resolution)) {
        return false;
      }
      end = {end.first + records, static_cast<uint32_t>(place)};
      Remember(end, {end.first - age, static_cast<uint32_t>(entry)}, static_cast<Resolution>(resolution));
    }
    return true;
  }));
  dirty_open_.clear();
  dirty_chunks_.clear();
  return absl::OkStatus();
}

}  // namespace barid::broker
