#ifndef BARID_BROKER_TAIL_CACHE_H_
#define BARID_BROKER_TAIL_CACHE_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/ids.h"

namespace barid::broker {

// The payloads of the newest records, shared with whoever sent them, so that messages at the tail are served from
// memory.
class TailCache {
 public:
  explicit TailCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // Adds the record behind the last one; an empty payload where it will not be asked for.
  void Add(LogIndex index, Bytes payload) {
    if (payloads_.empty()) first_ = index;
    bytes_ += static_cast<int64_t>(payload.size()) + kOverheadBytes;
    payloads_.push_back(std::move(payload));
    while (bytes_ > max_bytes_ && !payloads_.empty()) {
      bytes_ -= static_cast<int64_t>(payloads_.front().size()) + kOverheadBytes;
      payloads_.pop_front();
      ++first_;
    }
  }

  // Bytes [offset, offset + size) of the payload of `index`, if they are here. They lie in one part: a stored message.
  std::optional<Buffer> Find(LogIndex index, uint32_t offset, uint32_t size) const {
    if (index < first_ || index - first_ >= payloads_.size()) return std::nullopt;
    size_t start = 0;
    for (const Buffer& part : payloads_[index - first_].parts()) {
      if (offset >= start && offset + size <= start + part.size()) return part.Slice(offset - start, size);
      start += part.size();
    }
    return std::nullopt;
  }

 private:
  static constexpr int64_t kOverheadBytes = 128;  // Roughly what an entry costs beside its bytes.

  const int64_t max_bytes_;
  std::deque<Bytes> payloads_;
  LogIndex first_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_TAIL_CACHE_H_
