#ifndef BARID_STORAGE_RECORD_H_
#define BARID_STORAGE_RECORD_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/ids.h"

// The bytes of one record of a shard's log. docs/storage-format.md draws them.
//
//   0        4        8        12   14   16           24           32           40           48
//   +--------+--------+--------+----+----+------------+------------+------------+------------+---------+-----+
//   | length | crc32c | epoch  |type|flag| log index  | leader time| prev chain | durable    | payload | pad |
//   +--------+--------+--------+----+----+------------+------------+------------+------------+---------+-----+
//
// length is the payload's. The CRC, seeded with the log's secret id, covers everything else but the padding. prev chain
// is the running hash up to the record before, so (index, epoch, chain) names the whole prefix. durable is the highest
// log index known durable here when the record was written: local, so the chain leaves it (and the CRC) out.
namespace barid::storage {

inline constexpr size_t kRecordHeaderBytes = 48;
inline constexpr size_t kRecordAlignment = 8;

struct RecordHeader {
  uint32_t length = 0;
  uint32_t crc = 0;
  Epoch epoch = 0;
  uint16_t type = 0;
  uint16_t flags = 0;
  LogIndex index = 0;
  int64_t time_us = 0;  // Leader time, microseconds since the Unix epoch; never backwards in a log.
  uint64_t prev_chain = 0;
  LogIndex durable = 0;
};

// What a record takes in the log: header, payload, padding to 8 bytes.
constexpr size_t RecordSize(size_t payload_bytes) {
  return (kRecordHeaderBytes + payload_bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

// A record on its way into the log: everything but what the log itself fills in.
struct RecordDraft {
  Epoch epoch = 0;
  uint16_t type = 0;
  LogIndex index = 0;  // Checked against the log's next index.
  int64_t time_us = 0;
  Bytes payload;
};

// A record read from the log.
struct Record {
  RecordHeader header;
  uint64_t position = 0;  // Where it starts in the log, in bytes from the log's beginning.
  uint64_t chain = 0;     // The running hash including it; filled in by the scans, which know what came before.
  Buffer payload;
};

// The bytes in memory are the bytes on disk.
static_assert(sizeof(RecordHeader) == kRecordHeaderBytes);

// Fills in the length and the CRC, writes the header's kRecordHeaderBytes to `out`, and returns the running hash that
// includes this record. `header` has everything else.
uint64_t EncodeRecordHeader(uint64_t log_id, RecordHeader header, const Bytes& payload, char* out);

// The header as it stands at `bytes` (kRecordHeaderBytes of them). Nothing is checked.
RecordHeader LoadRecordHeader(const char* bytes);

// The CRC of a record up to its payload; the payload continues it.
uint32_t RecordHeaderCrc(uint64_t log_id, const RecordHeader& header);

// The running hash behind a record.
uint64_t RecordChain(const RecordHeader& header, absl::string_view payload);

// A record in somebody's memory.
struct RecordView {
  RecordHeader header;
  absl::string_view payload;

  size_t size() const { return RecordSize(payload.size()); }
};

// The record at the front of `bytes`, which may go on behind it. kDataLoss, saying what was found, if there is none
// that was written to this log; the length is believed only within `bytes`, and the rest once the CRC matches.
absl::StatusOr<RecordView> DecodeRecord(uint64_t log_id, absl::string_view bytes);

}  // namespace barid::storage

#endif  // BARID_STORAGE_RECORD_H_
