#include "broker/live_ranges.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/sealed_entry.h"

namespace barid::broker {
namespace {

std::string StoreKey(LogIndex first) {
  std::string key = "k";
  PutOrdered64(&key, first);
  return key;
}

bool IsInFrontOf(LogIndex index, const LiveRange& range) { return index < range.first; }

}  // namespace

// The log refuses segments of 0 bytes, and others whose size is not a multiple of 4,096.
LiveRanges::LiveRanges(uint64_t segment_bytes) : range_bytes_(std::max<uint64_t>(segment_bytes / kPerSegment, 1)) {}

void LiveRanges::Extend(LogIndex index, uint64_t position, uint64_t previous_position) {
  const bool begins =
      index % kMostRecords == 0 || position / range_bytes_ != previous_position / range_bytes_ || ranges_.empty();
  if (!begins) return;
  ranges_.push_back({index, position, 0, 0});
  dirty_.insert(index);
}

size_t LiveRanges::PlaceOf(LogIndex index) const {
  if (ranges_.empty() || index < ranges_.front().first) return ranges_.size();
  if (index >= ranges_.back().first) return ranges_.size() - 1;
  const auto next = std::upper_bound(ranges_.begin(), ranges_.end(), index, IsInFrontOf);
  return static_cast<size_t>(next - ranges_.begin()) - 1;
}

LiveRange* LiveRanges::Find(LogIndex index) {
  const size_t place = PlaceOf(index);
  CHECK_LT(place, ranges_.size()) << "no range for log index " << index;
  return &ranges_[place];
}

void LiveRanges::Add(LogIndex index, int64_t change, uint32_t bytes) {
  LiveRange* const range = Find(index);
  range->pointers += change;
  range->bytes += change * int64_t{bytes};
  CHECK_GE(range->pointers, 0);
  CHECK_GE(range->bytes, 0);
  dirty_.insert(range->first);
}

void LiveRanges::Move(LogIndex from, LogIndex to, uint32_t bytes) {
  Add(from, -1, bytes);
  Add(to, 1, bytes);
}

void LiveRanges::DropBelow(LogIndex index) {
  size_t dropped = 0;
  for (; dropped + 1 < ranges_.size() && ranges_[dropped + 1].first <= index; ++dropped) {
    dirty_.insert(ranges_[dropped].first);
  }
  ranges_.erase(ranges_.begin(), ranges_.begin() + static_cast<ptrdiff_t>(dropped));
}

void LiveRanges::AppendChanges(std::vector<storage::KeyValueStore::Operation>* operations) {
  for (std::string& key : old_keys_) operations->push_back({std::move(key), std::nullopt});
  old_keys_.clear();
  for (const LogIndex first : dirty_) {
    const size_t place = PlaceOf(first);
    if (place == ranges_.size() || ranges_[place].first != first) {
      operations->push_back({StoreKey(first), std::nullopt});
      continue;
    }
    const LiveRange& range = ranges_[place];
    std::string value;
    PutFixed(&value, range.pointers);
    PutFixed(&value, range.position);
    PutFixed(&value, range.bytes);
    operations->push_back(Sealed(StoreKey(first), std::move(value)));
  }
  dirty_.clear();
}

absl::Status LiveRanges::Load(const storage::KeyValueStore& store) {
  absl::Status error;
  const auto read = [&](absl::string_view key, absl::string_view value) {
    error = OpenSealed(key, &value);
    if (!error.ok()) return false;
    const bool is_old = key[0] == 'r';
    if (is_old) old_keys_.emplace_back(key);
    LiveRange range;
    absl::string_view name = key.substr(1);
    bool parses = GetOrdered64(&name, &range.first) && name.empty() && GetFixed(&value, &range.pointers) &&
                  GetFixed(&value, &range.position);
    if (is_old) {
      range.first = std::max<LogIndex>(range.first * kMostRecords, 1);
      // Absent from what was written before bytes were counted.
      if (value.empty()) knows_bytes_ = false;
      parses = parses && (value.empty() || GetFixed(&value, &range.bytes));
      dirty_.insert(range.first);
    } else {
      parses = parses && GetFixed(&value, &range.bytes);
    }
    if (!parses || !value.empty() || (!ranges_.empty() && range.first <= ranges_.back().first)) {
      error = absl::DataLossError(absl::StrCat("checkpoint entry of kind '", key.substr(0, 1), "': does not parse"));
      return false;
    }
    ranges_.push_back(range);
    return true;
  };
  for (const auto& [from, to] : {std::pair("r", "s"), std::pair("k", "l")}) {
    RETURN_IF_ERROR(store.Scan(from, to, read));
    RETURN_IF_ERROR(error);
  }
  if (!knows_bytes_) {
    for (LiveRange& range : ranges_) range.bytes = 0;
  }
  return absl::OkStatus();
}

void LiveRanges::AddBytes(LogIndex index, uint32_t bytes) {
  if (const size_t place = PlaceOf(index); place < ranges_.size()) ranges_[place].bytes += bytes;
}

}  // namespace barid::broker
