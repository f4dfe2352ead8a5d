#ifndef BARID_STORAGE_RECORD_SEARCH_H_
#define BARID_STORAGE_RECORD_SEARCH_H_

#include <cstdint>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "storage/record.h"

namespace barid::storage {

// Looks through bytes that follow a bad record for proof that the bad record had been durable: a valid record of this
// log whose `durable` field is at least the bad index. Every 8-byte aligned place is tried.
//
// One pass, whatever the bytes are. A message's body can be full of headers that claim megabytes each, so checking one
// candidate after the other would be quadratic. Instead the CRC of everything read so far runs along, and the CRC of
// any range follows from the running ones at its two ends: a candidate says what the running CRC must be where it ends.
class RecordSearch {
 public:
  RecordSearch(uint64_t log_id, LogIndex bad_index) : log_id_(log_id), bad_index_(bad_index) {}

  struct Proof {
    uint64_t offset = 0;  // Of the record, from the first byte fed.
    LogIndex index = 0;
    LogIndex durable = 0;
  };

  // The next bytes. Their first byte of all stands at an aligned place. True once a proof was found.
  bool Feed(absl::string_view bytes);

  const std::optional<Proof>& proof() const { return proof_; }

 private:
  struct Candidate {
    uint64_t end = 0;          // Where its payload ends.
    uint32_t running_crc = 0;  // What the running CRC is there if it is a record.
    Proof proof;
    bool operator>(const Candidate& other) const { return end > other.end; }
  };

  void Consider(uint64_t offset, const RecordHeader& header);
  // Moves the running CRC to `offset` and settles the candidates that end on the way.
  void RunTo(uint64_t offset);
  void ExtendTo(uint64_t offset);

  const uint64_t log_id_;
  const LogIndex bad_index_;
  std::optional<Proof> proof_;

  std::string window_;  // The bytes from window_offset_ on: not yet tried as headers.
  uint64_t window_offset_ = 0;
  uint64_t crc_offset_ = 0;  // Up to where running_crc_ runs. Never below window_offset_ between calls of Feed.
  uint32_t running_crc_ = 0;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates_;
};

}  // namespace barid::storage

#endif  // BARID_STORAGE_RECORD_SEARCH_H_
