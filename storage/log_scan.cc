#include "storage/log_scan.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/record_search.h"

namespace barid::storage {
namespace {

constexpr absl::string_view kSuffix = ".log";
constexpr size_t kNumberDigits = 20;
constexpr uint64_t kMaxSegment = uint64_t{1} << 31;  // Positions stay below 2^63 with segments up to 4 GiB.
constexpr uint64_t kReadBytes = uint64_t{1} << 20;

// Walks from record to record and, at the first that is bad, decides between torn and damaged.
class Scanner {
 public:
  Scanner(Env* env, absl::string_view dir, const CommitLogOptions& options, std::vector<uint64_t> segments)
      : env_(env), dir_(dir), options_(options) {
    scan_.segments = std::move(segments);
  }

  // The record at `position`, valid until the next call; or, if none is there, kDataLoss that says what is.
  absl::StatusOr<RecordView> Load(uint64_t position) {
    const uint64_t offset = position % options_.segment_bytes;
    RETURN_IF_ERROR(OpenSegment(position / options_.segment_bytes));
    const uint64_t room = options_.segment_bytes - offset;
    ASSIGN_OR_RETURN(const absl::string_view header, reader_->Read(offset, std::min(kRecordHeaderBytes, room)));
    if (header.size() < kRecordHeaderBytes) return absl::DataLossError("the end of the file");
    // The length is only a claim yet, but it is bounded by the segment, and reading stops at the end of the file.
    const uint64_t claimed = kRecordHeaderBytes + uint64_t{LoadRecordHeader(header.data()).length};
    if (claimed > room) {
      return absl::DataLossError(absl::StrCat("a header that claims ", claimed, " bytes where ", room, " are left"));
    }
    ASSIGN_OR_RETURN(const absl::string_view bytes, reader_->Read(offset, claimed));
    return DecodeRecord(options_.log_id, bytes);
  }

  // Starts behind the anchor's record, which must be there.
  absl::StatusOr<LogStart> Verify(const LogAnchor& anchor) {
    if (!HasSegment(anchor.position / options_.segment_bytes)) {
      return Damage(anchor.position, anchor.index, "no segment file",
                    absl::StrCat("the checkpoint covers it; the log has ", DescribeSegments()));
    }
    const absl::StatusOr<RecordView> record = Load(anchor.position);
    if (!record.ok() && !absl::IsDataLoss(record.status())) return record.status();
    constexpr absl::string_view kProof = "the checkpoint covers it";
    if (!record.ok()) return Damage(anchor.position, anchor.index, record.status().message(), kProof);
    const uint64_t chain = RecordChain(record->header, record->payload);
    const uint64_t end_position = anchor.position + record->size();
    if (record->header.index != anchor.index || chain != anchor.chain || end_position != anchor.end_position) {
      return Damage(anchor.position, anchor.index,
                    absl::StrCat("record ", record->header.index, " up to position ", end_position,
                                 " with running hash ", absl::Hex(chain)),
                    absl::StrCat("the checkpoint says it ends at ", anchor.end_position, " with running hash ",
                                 absl::Hex(anchor.chain)));
    }
    scan_.last_epoch = record->header.epoch;
    scan_.last_time_us = record->header.time_us;
    return LogStart{.index = anchor.index + 1, .position = end_position, .chain = chain};
  }

  absl::StatusOr<LogScan> Run(const LogStart& start, absl::FunctionRef<absl::Status(const Record&)> visit) {
    scan_.last_index = start.index - 1;
    scan_.start_segment = start.position / options_.segment_bytes;
    scan_.end_position = start.position;
    scan_.chain = start.chain;
    if (scan_.segments.empty()) return std::move(scan_);
    if (!HasSegment(start.position / options_.segment_bytes) && !IsBehindLastSegment(start.position)) {
      return Damage(start.position, start.index, "no segment file", absl::StrCat("the log has ", DescribeSegments()));
    }
    while (!IsBehindLastSegment(scan_.end_position)) {
      ASSIGN_OR_RETURN(const bool is_there, Step(scan_.end_position, visit));
      if (is_there) continue;
      std::string found = found_;
      // Not here: a record that had no room here starts the next segment.
      const uint64_t next_segment = scan_.end_position / options_.segment_bytes + 1;
      if (HasSegment(next_segment)) {
        ASSIGN_OR_RETURN(const bool is_next, Step(next_segment * options_.segment_bytes, visit));
        if (is_next) continue;
        absl::StrAppend(&found, " (and ", found_, " at the beginning of the next segment)");
      }
      RETURN_IF_ERROR(CheckTorn(found));
      break;
    }
    return std::move(scan_);
  }

 private:
  bool HasSegment(uint64_t segment) const {
    return !scan_.segments.empty() && segment >= scan_.segments.front() && segment <= scan_.segments.back();
  }
  // A record filled the last segment to the byte, and the next one was not begun.
  bool IsBehindLastSegment(uint64_t position) const {
    return position == (scan_.segments.back() + 1) * options_.segment_bytes;
  }
  std::string DescribeSegments() const {
    if (scan_.segments.empty()) return "no segments";
    return absl::StrCat("segments ", scan_.segments.front(), " to ", scan_.segments.back());
  }

  absl::Status OpenSegment(uint64_t segment) {
    if (reader_ != nullptr && segment == segment_) return absl::OkStatus();
    ASSIGN_OR_RETURN(reader_, DirectReader::Open(env_, SegmentPath(dir_, segment)));
    segment_ = segment;
    if (reader_->size() <= options_.segment_bytes) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(reader_->path(), ": has ", reader_->size(),
                                                   " bytes; a segment has at most ", options_.segment_bytes,
                                                   ". Was segment_bytes changed for a log that exists?"));
  }

  // Takes the record at `position` if it is there and is the next one; otherwise `found_` says what is.
  absl::StatusOr<bool> Step(uint64_t position, absl::FunctionRef<absl::Status(const Record&)> visit) {
    const LogIndex expected = scan_.last_index + 1;
    const absl::StatusOr<RecordView> view = Load(position);
    if (!view.ok()) {
      if (!absl::IsDataLoss(view.status())) return view.status();
      found_ = std::string(view.status().message());
      return false;
    }
    const RecordHeader& header = view->header;
    const bool is_rolled = position != scan_.end_position;
    if (is_rolled && header.index != expected) {
      // In the next segment, but not the next record: what that means is for CheckTorn.
      found_ = absl::StrCat("record ", header.index);
      return false;
    }
    // Valid bytes of this log, and yet not its next record: nothing torn looks like this.
    if (header.index != expected || header.prev_chain != scan_.chain || header.epoch < scan_.last_epoch ||
        header.time_us < scan_.last_time_us) {
      return Damage(position, expected,
                    absl::StrCat("record ", header.index, " of epoch ", header.epoch, " after running hash ",
                                 absl::Hex(header.prev_chain)),
                    absl::StrCat("it is valid but does not follow record ", scan_.last_index, " of epoch ",
                                 scan_.last_epoch, " with running hash ", absl::Hex(scan_.chain)));
    }
    const uint64_t room = options_.segment_bytes - scan_.end_position % options_.segment_bytes;
    if (is_rolled && view->size() <= room) {
      return Damage(position, expected, absl::StrCat("record ", expected, " of ", view->size(), " bytes"),
                    absl::StrCat("it has room at position ", scan_.end_position,
                                 " and belongs there. Was segment_bytes changed for a log that exists?"));
    }
    Record record;
    record.header = header;
    record.position = position;
    // The one copy of recovery: the reader's window moves on.
    record.payload = Buffer(std::string(view->payload.data(), view->payload.size()));
    scan_.last_index = expected;
    scan_.end_position = position + view->size();
    scan_.chain = RecordChain(header, view->payload);
    scan_.last_epoch = header.epoch;
    scan_.last_time_us = header.time_us;
    record.chain = scan_.chain;
    RETURN_IF_ERROR(visit(record));
    return true;
  }

  // The record behind the last one is bad. Looks for proof that it had been durable, in all that follows.
  absl::Status CheckTorn(const std::string& found) {
    const uint64_t tail_segment = scan_.end_position / options_.segment_bytes;
    const LogIndex bad_index = scan_.last_index + 1;
    for (uint64_t segment = tail_segment; HasSegment(segment); ++segment) {
      RETURN_IF_ERROR(OpenSegment(segment));
      RecordSearch search(options_.log_id, bad_index);
      const uint64_t first = segment == tail_segment ? scan_.end_position % options_.segment_bytes : 0;
      for (uint64_t offset = first; offset < reader_->size();) {
        ASSIGN_OR_RETURN(const absl::string_view bytes, reader_->Read(offset, kReadBytes));
        if (bytes.empty()) break;
        scan_.is_torn = scan_.is_torn || bytes.find_first_not_of('\0') != absl::string_view::npos;
        if (search.Feed(bytes)) {
          return Damage(scan_.end_position, bad_index, found,
                        absl::StrCat("record ", search.proof()->index, " in ", reader_->path(), " at offset ",
                                     first + search.proof()->offset, " says that everything up to record ",
                                     search.proof()->durable, " was durable when it was written"));
        }
        offset += bytes.size();
      }
    }
    return absl::OkStatus();
  }

  absl::Status Damage(uint64_t position, LogIndex expected, absl::string_view found, absl::string_view proof) const {
    return absl::DataLossError(
        absl::StrCat(SegmentPath(dir_, position / options_.segment_bytes), ": offset ",
                     position % options_.segment_bytes, " (position ", position, ") should have record ", expected,
                     "; found ", found, ". It is damage, not a torn write: ", proof,
                     ". Nothing was changed. Repair this replica from another one or from a backup."));
  }

  Env* const env_;
  const std::string dir_;
  const CommitLogOptions options_;
  LogScan scan_;
  std::unique_ptr<DirectReader> reader_;
  uint64_t segment_ = 0;  // That reader_ reads.
  std::string found_;
};

}  // namespace

std::string SegmentPath(absl::string_view dir, uint64_t segment) {
  return JoinPath(dir, absl::StrFormat("%020d%s", segment, kSuffix));
}

absl::StatusOr<std::vector<uint64_t>> ListSegments(Env* env, absl::string_view dir) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env->ListDir(dir));
  std::vector<uint64_t> segments;
  for (const std::string& name : names) {
    uint64_t segment = 0;
    if (name.size() != kNumberDigits + kSuffix.size() || !absl::EndsWith(name, kSuffix)) continue;
    if (!absl::SimpleAtoi(absl::string_view(name).substr(0, kNumberDigits), &segment)) continue;
    segments.push_back(segment);
  }
  std::sort(segments.begin(), segments.end());
  if (!segments.empty() && segments.back() > kMaxSegment) {
    return absl::DataLossError(absl::StrCat(SegmentPath(dir, segments.back()), ": no log has so many segments"));
  }
  for (size_t i = 1; i < segments.size(); ++i) {
    if (segments[i] == segments[i - 1] + 1) continue;
    return absl::DataLossError(absl::StrCat(SegmentPath(dir, segments[i - 1] + 1), ": missing, while segment ",
                                            segments[i],
                                            " is there. Repair this replica from another one or from a backup."));
  }
  return segments;
}

absl::StatusOr<LogStart> FindLogStart(Env* env, absl::string_view dir, const CommitLogOptions& options) {
  ASSIGN_OR_RETURN(std::vector<uint64_t> segments, ListSegments(env, dir));
  if (segments.empty()) return absl::NotFoundError(absl::StrCat(dir, ": no segments"));
  const uint64_t position = segments.front() * options.segment_bytes;
  Scanner scanner(env, dir, options, std::move(segments));
  const absl::StatusOr<RecordView> first = scanner.Load(position);
  if (first.ok()) return LogStart{first->header.index, position, first->header.prev_chain};
  if (!absl::IsDataLoss(first.status())) return first.status();
  return absl::NotFoundError(absl::StrCat(SegmentPath(dir, position / options.segment_bytes),
                                          ": no record at its beginning; found ", first.status().message()));
}

absl::StatusOr<LogScan> ScanLog(Env* env, absl::string_view dir, const CommitLogOptions& options, const LogStart& start,
                                absl::FunctionRef<absl::Status(const Record&)> visit) {
  ASSIGN_OR_RETURN(std::vector<uint64_t> segments, ListSegments(env, dir));
  return Scanner(env, dir, options, std::move(segments)).Run(start, visit);
}

absl::StatusOr<LogScan> ScanLog(Env* env, absl::string_view dir, const CommitLogOptions& options,
                                const LogAnchor& anchor, absl::FunctionRef<absl::Status(const Record&)> visit) {
  if (anchor.index == 0) return ScanLog(env, dir, options, LogStart(), visit);
  ASSIGN_OR_RETURN(std::vector<uint64_t> segments, ListSegments(env, dir));
  Scanner scanner(env, dir, options, std::move(segments));
  ASSIGN_OR_RETURN(const LogStart start, scanner.Verify(anchor));
  return scanner.Run(start, visit);
}

}  // namespace barid::storage
