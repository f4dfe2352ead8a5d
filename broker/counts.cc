#include "broker/counts.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/index.h"
#include "broker/mutation.h"
#include "broker/sealed_entry.h"

namespace barid::broker {
namespace {

// Entries of kind "e": the log index that they are of, and three kinds of figures.
constexpr char kMarkKey[] = "e";
constexpr char kGroupKind[] = "eg";
constexpr char kDelayedKind[] = "et";
constexpr char kDeadLettersKind[] = "ed";
constexpr char kEmptyKind[] = "f";

std::string DeadLettersKey(const Counts::DeadLetterKey& key) {
  std::string name = kDeadLettersKind;
  PutOrdered64(&name, key.first.value());
  return absl::StrCat(name, key.second);
}

// The bits of one word that stand for offsets of [first, end), counted from the word's first.
uint64_t Mask(QueueOffset first, QueueOffset end) {
  const auto low = static_cast<uint64_t>(std::clamp<QueueOffset>(first, 0, 64));
  const auto high = static_cast<uint64_t>(std::clamp<QueueOffset>(end, 0, 64));
  const uint64_t below_high = high == 64 ? ~uint64_t{0} : (uint64_t{1} << high) - 1;
  const uint64_t below_low = low == 64 ? ~uint64_t{0} : (uint64_t{1} << low) - 1;
  return below_high & ~below_low;
}

}  // namespace

GroupFigures Counts::Of(const GroupTopic& key) const {
  const auto it = groups_.find(key);
  return it == groups_.end() ? GroupFigures() : it->second->figures();
}

int64_t Counts::Delayed(TopicId topic) const {
  const auto it = delayed_.find(topic);
  return it == delayed_.end() ? 0 : it->second;
}

int64_t Counts::DeadLetters(GroupId group, absl::string_view origin) const {
  const auto it = dead_letters_.find(DeadLetterKey(group, origin));
  return it == dead_letters_.end() ? 0 : it->second;
}

const std::vector<Counts::Reader>& Counts::ReadersOf(const QueueKey& queue) const {
  static const std::vector<Reader>* const kNone = new std::vector<Reader>();
  const auto it = readers_.find(queue);
  return it == readers_.end() ? *kNone : it->second;
}

int64_t Counts::EmptyIn(const QueueKey& queue, QueueOffset first, QueueOffset end) const {
  int64_t count = 0;
  for (auto it = empty_.lower_bound({queue, first / kBits}); it != empty_.end() && it->first.first == queue; ++it) {
    const QueueOffset base = it->first.second * kBits;
    if (base >= end) break;
    for (size_t word = 0; word < it->second.size(); ++word) {
      const QueueOffset from = base + static_cast<QueueOffset>(word) * 64;
      count += std::popcount(it->second[word] & Mask(first - from, end - from));
    }
  }
  return count;
}

QueueOffset Counts::SkipEmpty(const QueueKey& queue, QueueOffset offset) const {
  while (true) {
    const auto it = empty_.find({queue, offset / kBits});
    if (it == empty_.end()) return offset;
    const auto word = static_cast<size_t>(offset % kBits / 64);
    const int run = std::countr_one(it->second[word] >> (offset % 64));
    if (run == 0) return offset;
    offset += run;
  }
}

GroupCounts* Counts::Open(const CursorKey& key, int64_t ready) {
  const GroupTopic name{key.group, key.queue.topic};
  std::unique_ptr<GroupCounts>& counts = groups_[name];
  if (counts == nullptr) counts = std::make_unique<GroupCounts>(this, name);
  ++counts->cursors_;
  counts->Add(ready, 0, 0);
  readers_[key.queue].push_back({key.group, counts.get()});
  return counts.get();
}

void Counts::Close(const CursorKey& key, int64_t ready) {
  const auto it = groups_.find({key.group, key.queue.topic});
  CHECK(it != groups_.end());
  it->second->Add(-ready, 0, 0);
  std::vector<Reader>& readers = readers_[key.queue];
  const auto reader =
      std::find_if(readers.begin(), readers.end(), [&](const Reader& r) { return r.group == key.group; });
  CHECK(reader != readers.end());
  *reader = readers.back();
  readers.pop_back();
  if (readers.empty()) readers_.erase(key.queue);
  if (--it->second->cursors_ > 0) return;
  groups_.erase(it);
}

void Counts::AddDelayed(TopicId topic, int64_t change) {
  if (BARID_MUTATION(kCountForgetsTimersThatGo) && change < 0) return;
  int64_t& delayed = delayed_[topic];
  delayed += change;
  if (delayed == 0) delayed_.erase(topic);
  dirty_delayed_.insert(topic);
}

void Counts::AddDeadLetters(GroupId group, absl::string_view origin, int64_t change) {
  if (BARID_MUTATION(kCountForgetsDeadLettersThatGo) && change < 0) return;
  const DeadLetterKey key(group, origin);
  int64_t& count = dead_letters_[key];
  count += change;
  if (count == 0) dead_letters_.erase(key);
  dirty_dead_letters_.insert(key);
}

void Counts::Empty(const QueueKey& queue, QueueOffset offset) {
  if (BARID_MUTATION(kCountForgetsEmptyOffsets)) return;
  const BitsKey key(queue, offset / kBits);
  empty_[key][static_cast<size_t>(offset % kBits / 64)] |= uint64_t{1} << (offset % 64);
  dirty_empty_.insert(key);
}

void Counts::DropEmptyBelow(const QueueKey& queue, QueueOffset first) {
  // What stands below `first` in its own block is no offset of the queue any more, and stays there until the block
  // goes.
  for (auto it = empty_.lower_bound({queue, 0}); it != empty_.end() && it->first.first == queue;) {
    if ((it->first.second + 1) * kBits > first) break;
    dirty_empty_.insert(it->first);
    it = empty_.erase(it);
  }
}

void Counts::AppendChanges(LogIndex index, std::vector<storage::KeyValueStore::Operation>* operations) {
  std::string mark;
  PutFixed(&mark, index);
  operations->push_back(Sealed(kMarkKey, std::move(mark)));
  for (const GroupTopic& key : dirty_groups_) {
    std::string name = kGroupKind;
    PutOrdered64(&name, key.group.value());
    PutOrdered64(&name, key.topic.value());
    const auto it = groups_.find(key);
    if (it == groups_.end()) {
      operations->push_back({std::move(name), std::nullopt});
      continue;
    }
    it->second->dirty_ = false;
    const GroupFigures& figures = it->second->figures();
    std::string value;
    PutFixed(&value, figures.ready);
    PutFixed(&value, figures.in_flight);
    PutFixed(&value, figures.blocked);
    operations->push_back(Sealed(std::move(name), std::move(value)));
  }
  const auto put = [operations](std::string name, int64_t count) {
    if (count == 0) return operations->push_back({std::move(name), std::nullopt});
    std::string value;
    PutFixed(&value, count);
    operations->push_back(Sealed(std::move(name), std::move(value)));
  };
  for (const TopicId topic : dirty_delayed_) {
    std::string name = kDelayedKind;
    PutOrdered64(&name, topic.value());
    put(std::move(name), Delayed(topic));
  }
  for (const DeadLetterKey& key : dirty_dead_letters_) put(DeadLettersKey(key), DeadLetters(key.first, key.second));
  for (const BitsKey& key : dirty_empty_) {
    std::string name = kEmptyKind;
    PutOrdered64(&name, key.first.topic.value());
    PutOrdered32(&name, static_cast<uint32_t>(key.first.queue));
    PutOrdered64(&name, static_cast<uint64_t>(key.second));
    const auto it = empty_.find(key);
    if (it == empty_.end()) {
      operations->push_back({std::move(name), std::nullopt});
      continue;
    }
    std::string value;
    for (const uint64_t word : it->second) PutFixed(&value, word);
    operations->push_back(Sealed(std::move(name), std::move(value)));
  }
  dirty_groups_.clear();
  dirty_delayed_.clear();
  dirty_dead_letters_.clear();
  dirty_empty_.clear();
}

absl::Status Counts::Load(const storage::KeyValueStore& store, LogIndex applied) {
  LogIndex mark = 0;
  absl::Status error;
  const absl::Status scanned = store.Scan("e", "g", [&](absl::string_view name, absl::string_view value) {
    error = OpenSealed(name, &value);
    if (!error.ok()) return false;
    bool parsed = true;
    const absl::string_view key = name.substr(1);
    if (name == kMarkKey) {
      parsed = GetFixed(&value, &mark);
    } else if (name.substr(0, 2) == kDeadLettersKind) {
      absl::string_view rest = name.substr(2);
      uint64_t group = 0;
      int64_t count = 0;
      parsed = GetOrdered64(&rest, &group) && GetFixed(&value, &count);
      if (parsed) dead_letters_[DeadLetterKey(GroupId(group), rest)] = count;
    } else if (name.substr(0, 1) == kEmptyKind) {
      absl::string_view rest = key;
      uint64_t topic = 0;
      uint32_t queue = 0;
      uint64_t block = 0;
      Bits bits = {};
      parsed = GetOrdered64(&rest, &topic) && GetOrdered32(&rest, &queue) && GetOrdered64(&rest, &block);
      for (uint64_t& word : bits) parsed = parsed && GetFixed(&value, &word);
      if (parsed) empty_[{{TopicId(topic), static_cast<int32_t>(queue)}, static_cast<int64_t>(block)}] = bits;
    } else if (name.substr(0, 2) == kGroupKind || name.substr(0, 2) == kDelayedKind) {
      absl::string_view rest = name.substr(2);
      uint64_t group = 0;
      uint64_t topic = 0;
      if (name[1] == 'g') {
        GroupFigures figures;
        parsed = GetOrdered64(&rest, &group) && GetOrdered64(&rest, &topic) && GetFixed(&value, &figures.ready) &&
                 GetFixed(&value, &figures.in_flight) && GetFixed(&value, &figures.blocked);
        stored_groups_[{GroupId(group), TopicId(topic)}] = figures;
      } else {
        int64_t delayed = 0;
        parsed = GetOrdered64(&rest, &topic) && GetFixed(&value, &delayed);
        stored_delayed_[TopicId(topic)] = delayed;
      }
    }
    if (!parsed)
      error = absl::DataLossError(absl::StrCat("checkpoint entry of kind '", name.substr(0, 1), "': does not parse"));
    return parsed;
  });
  RETURN_IF_ERROR(scanned.ok() ? error : scanned);
  is_marked_ = mark == applied;
  return is_marked_ ? absl::OkStatus() : LoadFromIndex(store);
}

void Counts::EndLoad() {
  const auto is_same = [this](const char* what, uint64_t group, TopicId topic, bool same) {
    if (!same && is_marked_) {
      LOG(ERROR) << "a count was wrong, and is counted anew" << KV("count", what) << KV("group", group)
                 << KV("topic", topic.value());
    }
    return same;
  };
  for (const auto& [key, figures] : stored_groups_) {
    const auto it = groups_.find(key);
    const bool same = it != groups_.end() && it->second->figures() == figures;
    if (!is_same("ready, in flight or blocked", key.group.value(), key.topic, same)) {
      dirty_groups_.insert(key);
      continue;
    }
    dirty_groups_.erase(key);
    it->second->dirty_ = false;
  }
  for (const auto& [topic, delayed] : stored_delayed_) {
    if (is_same("delayed", 0, topic, Delayed(topic) == delayed)) {
      dirty_delayed_.erase(topic);
    } else {
      dirty_delayed_.insert(topic);
    }
  }
  stored_groups_ = {};
  stored_delayed_ = {};
}

absl::Status Counts::LoadFromIndex(const storage::KeyValueStore& store) {
  for (const auto& [key, count] : dead_letters_) dirty_dead_letters_.insert(key);
  for (const auto& [key, bits] : empty_) dirty_empty_.insert(key);
  dead_letters_.clear();
  empty_.clear();
  // Queues that begin behind their first block's first offset; what is below has expired.
  std::string first_key = "i";
  PutOrdered64(&first_key, kDeadLetterBit);
  absl::Status error;
  QueueKey queue;
  QueueOffset first = 0;
  QueueOffset end = 0;
  const absl::Status scanned = store.Scan(first_key, "j", [&](absl::string_view name, absl::string_view value) {
    absl::string_view rest = name.substr(1);
    uint64_t topic = 0;
    uint32_t place = 0;
    uint64_t number = 0;
    const absl::StatusOr<IndexBlock> block = DecodeIndexBlock(value);
    if (!block.ok() || !GetOrdered64(&rest, &topic) || !GetOrdered32(&rest, &place) || !GetOrdered64(&rest, &number)) {
      error = block.ok() ? absl::DataLossError("the key of an index block does not parse") : block.status();
      return false;
    }
    const QueueKey key{TopicId(topic), static_cast<int32_t>(place)};
    if (key != queue) {
      queue = key;
      const std::string queue_name = absl::StrCat("q", name.substr(1, 12));
      const absl::StatusOr<std::string> bytes = store.Get(queue_name);
      if (absl::IsNotFound(bytes.status())) {
        first = end = 0;  // A block of a queue that has gone.
      } else {
        absl::string_view in = bytes.ok() ? *bytes : absl::string_view();
        error = bytes.ok() ? OpenSealed(queue_name, &in) : bytes.status();
        if (error.ok() && (!GetFixed(&in, &first) || !GetFixed(&in, &end)))
          error = absl::DataLossError("a queue does not parse");
        if (!error.ok()) return false;
      }
    }
    for (size_t i = 0; i < block->entries.size(); ++i) {
      const QueueOffset offset = static_cast<QueueOffset>(number) * kBlockEntries + static_cast<QueueOffset>(i);
      if (offset < first || offset >= end) continue;
      if (block->entries[i].is_redriven()) {
        Empty(queue, offset);
        continue;
      }
      const auto provenance = block->provenance.find(offset);
      AddDeadLetters(DeadLetterGroup(queue.topic),
                     provenance == block->provenance.end() ? "" : provenance->second.topic, 1);
    }
    return true;
  });
  return scanned.ok() ? error : scanned;
}

}  // namespace barid::broker
