#ifndef BARID_STORAGE_COMMIT_LOG_H_
#define BARID_STORAGE_COMMIT_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/env.h"
#include "base/ids.h"
#include "storage/record.h"

namespace barid::storage {

struct CommitLogOptions {
  uint64_t segment_bytes = uint64_t{256} << 20;  // A multiple of 4096. Never changed for a log that exists.
  uint64_t zero_ahead_bytes = uint64_t{16} << 20;
  uint64_t zero_slice_bytes = uint64_t{256} << 10;
  uint64_t free_slice_bytes = uint64_t{4} << 20;
  // Secret, random, made when the log is created: seeds the CRCs, so that no message's body passes for a record.
  uint64_t log_id = 0;
};

// What a checkpoint knows of the log: the record at `index` was durable, stood at `position` with the chain `chain`
// after it. {0, 0, 0}: no checkpoint.
struct LogAnchor {
  LogIndex index = 0;
  uint64_t position = 0;
  uint64_t end_position = 0;  // Where the next record may start.
  uint64_t chain = 0;
};

// Where a reader of a run of records stands.
struct LogPlace {
  uint64_t position = 0;  // The next record stands here, or, if it had no room, at the beginning of the next segment.
  LogIndex index = 0;     // Of the next record; 0: not known yet.
};

// The segmented log of one shard.
//
// A log position counts bytes from the log's beginning: segment number * segment_bytes + offset in the segment. A
// record that does not fit into the rest of a segment starts the next one, so positions are the same on every replica.
//
// Threads: Append, Sync, ZeroAhead, TrimBelow and poison belong to one thread (the disk executor). FreeTrimmed runs
// on one thread at a time, Read and the other accessors on any, beside all others.
class CommitLog {
 public:
  // Opens the log in `dir`, creating it if the directory is empty, and recovers: scans from `anchor` to the first
  // record that is torn, cuts and zeroes what is behind it durably, and calls `replay` for each record behind the
  // anchor, in order. Reads past the page cache. kDataLoss, naming the place, if a bad record is damage: a later valid
  // record, or the anchor, proves that it had been durable. An error of `replay` ends the opening with it.
  static absl::StatusOr<std::unique_ptr<CommitLog>> Open(Env* env, absl::string_view dir,
                                                         const CommitLogOptions& options, const LogAnchor& anchor,
                                                         absl::FunctionRef<absl::Status(const Record&)> replay);
  ~CommitLog();

  struct Placed {
    LogIndex index = 0;
    uint64_t position = 0;
    uint64_t end_position = 0;
    uint64_t chain = 0;  // The running hash including this record.
  };

  // Writes the records behind the last one. Not durable before Sync. After any error the log is poisoned: every later
  // Append and Sync answers kDataLoss. kInvalidArgument, with no effect, for a record larger than a segment or a draft
  // whose index is not the next, or whose epoch or time is below the last one's.
  absl::StatusOr<std::vector<Placed>> Append(absl::Span<const RecordDraft> drafts);

  // Makes everything appended durable: the segment's data and, for a new segment, its directory entry. A failure is
  // final (kDataLoss): the page cache may now show bytes that the disk does not have.
  absl::Status Sync();

  // Writes zeros ahead of the tail, at most one slice; true if there is more to do. Between batches.
  absl::StatusOr<bool> ZeroAhead();

  // Reads and verifies one record. kOutOfRange if it was trimmed, kDataLoss if its checksum does not match. Any thread.
  absl::StatusOr<Record> Read(uint64_t position, size_t record_size_hint = 0) const;

  // Reads and verifies the records from `from` on that lie below `end`, which must be where an appended record ended,
  // and calls `visit` for each, in order, until about `max_bytes` are read. Returns where to go on: at `end` there is
  // nothing left. Errors as those of Read; also kDataLoss if a record is missing in between. An error of `visit` ends
  // the reading with it. Any thread.
  absl::StatusOr<LogPlace> ReadRun(const LogPlace& from, uint64_t end, size_t max_bytes,
                                   absl::FunctionRef<absl::Status(const Record&)> visit) const;

  // Takes the segments that lie wholly below `position`, except the one that is written, out of the log: who reads them
  // from now on finds them trimmed. Their files stay for FreeTrimmed, or, after a crash, for the next trimming.
  absl::Status TrimBelow(uint64_t position);

  // Gives the file system back a slice of what was trimmed; true if there is more to do. Beside the writer, with a
  // pause between slices: a file of 256 MiB that is removed at once holds up the file system's journal, and with it
  // Sync, for a tenth of a second. After a failure the next call goes on from there.
  absl::StatusOr<bool> FreeTrimmed();

  LogIndex last_index() const;     // 0: empty.
  LogIndex durable_index() const;  // What the last Sync covered.
  uint64_t end_position() const;
  uint64_t first_position() const;  // Start of the oldest segment kept.
  uint64_t chain() const;
  int64_t last_time_us() const;
  Epoch last_epoch() const;
  uint64_t segment_count() const;
  // Opening cut a torn tail. Rot of the last records looks the same: a replicated shard lets another replica lead
  // first.
  bool was_torn() const;
  const absl::Status& poison() const;  // OK while healthy.

 private:
  class Impl;
  explicit CommitLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace barid::storage

#endif  // BARID_STORAGE_COMMIT_LOG_H_
