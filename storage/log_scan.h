#ifndef BARID_STORAGE_LOG_SCAN_H_
#define BARID_STORAGE_LOG_SCAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"
#include "base/ids.h"
#include "storage/commit_log.h"
#include "storage/record.h"

// Reading a log that nobody writes: what recovery does before it changes anything, and all that `inspect` does.
namespace barid::storage {

// "<dir>/00000000000000000007.log"
std::string SegmentPath(absl::string_view dir, uint64_t segment);

// The numbers of the segments in `dir`, ascending; other files are left alone. kDataLoss if one is missing in the
// middle.
absl::StatusOr<std::vector<uint64_t>> ListSegments(Env* env, absl::string_view dir);

// Where a scan begins: the record `index` stands at `position`, and `chain` is the running hash before it.
struct LogStart {
  LogIndex index = 1;
  uint64_t position = 0;
  uint64_t chain = 0;
};

// What a log says of its own beginning: the first record of the oldest segment, believed. kNotFound if it has none.
absl::StatusOr<LogStart> FindLogStart(Env* env, absl::string_view dir, const CommitLogOptions& options);

// What stands in a log.
struct LogScan {
  std::vector<uint64_t> segments;  // All of them, also those behind the end.
  uint64_t start_segment = 0;      // Where the scan began.
  // The last valid record, and where the next one goes. Without records: what the start says.
  LogIndex last_index = 0;
  uint64_t end_position = 0;
  uint64_t chain = 0;
  int64_t last_time_us = 0;
  Epoch last_epoch = 0;
  // Behind the end stands something other than zeros: a torn tail, of records that were never known to be durable.
  bool is_torn = false;
};

// Reads past the page cache, changes nothing, and calls `visit` for each record from `start` to the end, in order, with
// CRC, index and running hash verified. kDataLoss, naming the place, what was expected and what was found, if a bad
// record had been durable (docs/storage-format.md, "Torn or damaged"). An error of `visit` ends the scan with it.
absl::StatusOr<LogScan> ScanLog(Env* env, absl::string_view dir, const CommitLogOptions& options, const LogStart& start,
                                absl::FunctionRef<absl::Status(const Record&)> visit);

// The same from the record behind a checkpoint's anchor, whose own record is verified first.
absl::StatusOr<LogScan> ScanLog(Env* env, absl::string_view dir, const CommitLogOptions& options,
                                const LogAnchor& anchor, absl::FunctionRef<absl::Status(const Record&)> visit);

}  // namespace barid::storage

#endif  // BARID_STORAGE_LOG_SCAN_H_
