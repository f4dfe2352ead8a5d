#include "storage/commit_log.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/log_scan.h"

namespace barid::storage {
namespace {

using SharedFile = std::shared_ptr<File>;

// Of a segment that is no part of the log any more.
constexpr absl::string_view kTrimmedSuffix = ".trimmed";
constexpr std::array<char, 64 << 10> kZeros = {};
// What Read asks for when it does not know the record's size.
constexpr size_t kReadGuessBytes = 4096;

absl::string_view Zeros(uint64_t bytes) {
  return absl::string_view(kZeros.data(), std::min<uint64_t>(bytes, kZeros.size()));
}

// Fills [first, end) with zeros, in writes of at most `slice_bytes`.
absl::Status WriteZeros(File* file, uint64_t first, uint64_t end, uint64_t slice_bytes) {
  std::vector<absl::string_view> pieces;
  while (first < end) {
    pieces.clear();
    const uint64_t slice_end = std::min(end, first + slice_bytes);
    for (uint64_t at = first; at < slice_end; at += pieces.back().size()) pieces.push_back(Zeros(slice_end - at));
    RETURN_IF_ERROR(file->Write(first, pieces));
    first = slice_end;
  }
  return absl::OkStatus();
}

// Whether [first, end) is nothing but zeros, as readers of the page cache see it.
absl::StatusOr<bool> IsZero(const File& file, uint64_t first, uint64_t end, uint64_t slice_bytes) {
  std::string bytes;
  while (first < end) {
    bytes.resize(std::min(slice_bytes, end - first));
    ASSIGN_OR_RETURN(const size_t size, file.Read(first, bytes.size(), bytes.data()));
    if (size == 0) break;
    if (absl::string_view(bytes).substr(0, size).find_first_not_of('\0') != absl::string_view::npos) return false;
    first += size;
  }
  return true;
}

// Files open for reading, shared with the readers that use them: a file leaves here when it is trimmed, and is closed
// when the last of its readers is done. Any thread.
class SegmentFiles {
 public:
  SegmentFiles(Env* env, std::string dir) : env_(env), dir_(std::move(dir)) {}

  absl::StatusOr<SharedFile> Get(uint64_t segment) {
    {
      MutexLock lock(&mu_);
      if (const auto it = open_.find(segment); it != open_.end()) {
        it->second.last_use = ++uses_;
        return it->second.file;
      }
    }
    ASSIGN_OR_RETURN(SharedFile file, env_->Open(SegmentPath(dir_, segment), {.mode = OpenMode::kRead}));
    Put(segment, file);
    return file;
  }

  void Put(uint64_t segment, SharedFile file) {
    SharedFile evicted;  // Closed behind the lock.
    MutexLock lock(&mu_);
    if (segment < first_) return;  // Trimmed while it was being opened.
    open_.insert_or_assign(segment, Open{std::move(file), ++uses_});
    if (open_.size() <= kMaxOpen) return;
    auto oldest = open_.begin();  // Linear, n <= kMaxOpen, and only when a file was opened.
    for (auto it = open_.begin(); it != open_.end(); ++it) {
      if (it->second.last_use < oldest->second.last_use) oldest = it;
    }
    evicted = std::move(oldest->second.file);
    open_.erase(oldest);
  }

  void DropBelow(uint64_t segment) {
    std::vector<SharedFile> dropped;  // Closed behind the lock.
    MutexLock lock(&mu_);
    first_ = segment;
    while (!open_.empty() && open_.begin()->first < segment) {
      dropped.push_back(std::move(open_.begin()->second.file));
      open_.erase(open_.begin());
    }
  }

 private:
  static constexpr size_t kMaxOpen = 32;
  struct Open {
    SharedFile file;
    uint64_t last_use = 0;
  };

  Env* const env_;
  const std::string dir_;
  Mutex mu_;
  uint64_t first_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t uses_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, Open> open_ ABSL_GUARDED_BY(mu_);
};

absl::Status CheckOptions(const CommitLogOptions& options) {
  if (options.segment_bytes == 0 || options.segment_bytes % 4096 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("segment_bytes is ", options.segment_bytes, ", must be a positive multiple of 4096"));
  }
  if (options.zero_slice_bytes == 0) return absl::InvalidArgumentError("zero_slice_bytes is 0, must be positive");
  return absl::OkStatus();
}

}  // namespace

class CommitLog::Impl {
 public:
  Impl(Env* env, absl::string_view dir, const CommitLogOptions& options)
      : env_(env), dir_(dir), options_(options), readable_(env, dir_) {}

  // Takes over what a scan found: cuts the tail behind it and opens it for appending.
  absl::Status Recover(const LogScan& scan);

  absl::StatusOr<std::vector<Placed>> Append(absl::Span<const RecordDraft> drafts);
  absl::Status Sync();
  absl::StatusOr<bool> ZeroAhead();
  absl::StatusOr<Record> Read(uint64_t position, size_t record_size_hint) const;
  absl::StatusOr<LogPlace> ReadRun(const LogPlace& from, uint64_t end, size_t max_bytes,
                                   absl::FunctionRef<absl::Status(const Record&)> visit) const;
  absl::Status TrimBelow(uint64_t position);
  absl::StatusOr<bool> FreeTrimmed();

  // Where the log ends, and begins. Written by the owner's thread, read by any.
  struct State {
    LogIndex last_index = 0;
    LogIndex durable_index = 0;
    uint64_t end_position = 0;
    uint64_t first_segment = 0;
    uint64_t last_segment = 0;  // The one that is written.
    uint64_t chain = 0;
    int64_t last_time_us = std::numeric_limits<int64_t>::min();
    Epoch last_epoch = 0;
  };
  State state() const {
    MutexLock lock(&mu_);
    return state_;
  }
  bool was_torn() const { return was_torn_; }
  const CommitLogOptions& options() const { return options_; }
  const absl::Status& poison() const { return poison_; }

 private:
  // Records that go to one segment, as pieces of one write.
  struct Batch {
    uint64_t offset = 0;
    std::vector<absl::string_view> pieces;
  };

  // The file of the segment that has `position`, to be read.
  absl::StatusOr<SharedFile> FileAt(uint64_t position) const;
  absl::Status CheckDrafts(absl::Span<const RecordDraft> drafts) const;
  absl::Status CreateSegment(uint64_t segment);
  absl::Status Write(Batch* batch);
  // Removes what FreeTrimmed had begun to free before a crash.
  absl::Status RemoveLeftovers();
  // What a reader is told who found no record in a segment: it may have been trimmed meanwhile.
  absl::Status Missing(uint64_t segment, absl::string_view what) const;
  // Removes all segments behind `segment`.
  absl::Status RemoveBehind(uint64_t segment, uint64_t last_segment);
  absl::Status Poison(const absl::Status& cause, absl::string_view during);
  void Publish(const State& state) {
    MutexLock lock(&mu_);
    state_ = state;
  }

  Env* const env_;
  const std::string dir_;
  const CommitLogOptions options_;

  // The owner's thread only.
  absl::Status poison_;
  SharedFile file_;          // The segment that is written.
  uint64_t zeroed_end_ = 0;  // In it: bytes from here on do not exist, from the log's end to here they are zeros.
  // Segments before it that hold records no Sync has covered; filled when a batch rolls.
  std::vector<SharedFile> unsynced_;
  bool was_torn_ = false;

  // FreeTrimmed's, once the log is open. Below the first segment that readers see while files wait to be freed.
  uint64_t oldest_file_ = 0;
  SharedFile freed_file_;  // The oldest one while it is freed: it has its other name.

  mutable SegmentFiles readable_;
  mutable Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_);
};

absl::Status CommitLog::Impl::Poison(const absl::Status& cause, absl::string_view during) {
  const absl::Status described = Annotate(cause, absl::StrCat(during, " of the log in ", dir_));
  if (poison_.ok()) {
    poison_ = absl::DataLossError(
        absl::StrCat("the log refuses everything until it is opened again, since: ", described.message()));
    LOG(ERROR) << "log poisoned" << KV("cause", described);
  }
  return described;
}

absl::Status CommitLog::Impl::Recover(const LogScan& scan) {
  State state;
  state.last_index = scan.last_index;
  state.durable_index = scan.last_index;
  state.end_position = scan.end_position;
  state.chain = scan.chain;
  state.last_epoch = scan.last_epoch;
  if (scan.last_index > 0) state.last_time_us = scan.last_time_us;
  was_torn_ = scan.is_torn;

  RETURN_IF_ERROR(RemoveLeftovers());
  if (scan.segments.empty()) {
    Publish(state);
    return CreateSegment(0);
  }
  state.first_segment = scan.segments.front();
  oldest_file_ = state.first_segment;
  // Or the one before it, if that is full to the byte and the next one was not begun.
  state.last_segment = std::min(scan.end_position / options_.segment_bytes, scan.segments.back());
  RETURN_IF_ERROR(RemoveBehind(state.last_segment, scan.segments.back()));

  const std::string path = SegmentPath(dir_, state.last_segment);
  ASSIGN_OR_RETURN(file_, env_->Open(path, {.mode = OpenMode::kReadWrite}));
  ASSIGN_OR_RETURN(const uint64_t size, file_->Size());
  const uint64_t tail = state.end_position - state.last_segment * options_.segment_bytes;
  // The scan has looked past the page cache. After a failed sync the cache may have more than the disk, which the next
  // write into such a page would bring back, so a clean tail is clean in both.
  ASSIGN_OR_RETURN(const bool is_zero, IsZero(*file_, tail, size, options_.zero_slice_bytes));
  if (scan.is_torn || !is_zero) {
    RETURN_IF_ERROR(WriteZeros(file_.get(), tail, size, options_.zero_slice_bytes));
  }
  // Also what was found intact: the process before us may have died between write and sync.
  for (const uint64_t segment : scan.segments) {
    if (segment < scan.start_segment || segment >= state.last_segment) continue;
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                     env_->Open(SegmentPath(dir_, segment), {.mode = OpenMode::kReadWrite}));
    RETURN_IF_ERROR(file->Sync());
  }
  RETURN_IF_ERROR(file_->Sync());
  RETURN_IF_ERROR(env_->SyncDir(dir_));
  zeroed_end_ = std::max(size, tail);
  readable_.DropBelow(state.first_segment);
  readable_.Put(state.last_segment, file_);
  Publish(state);
  return absl::OkStatus();
}

absl::Status CommitLog::Impl::RemoveBehind(uint64_t segment, uint64_t last_segment) {
  // The last one first and one at a time, so that a power cut leaves no hole.
  for (; last_segment > segment; --last_segment) {
    RETURN_IF_ERROR(env_->Remove(SegmentPath(dir_, last_segment)));
    RETURN_IF_ERROR(env_->SyncDir(dir_));
  }
  return absl::OkStatus();
}

absl::Status CommitLog::Impl::CreateSegment(uint64_t segment) {
  ASSIGN_OR_RETURN(SharedFile file, env_->Open(SegmentPath(dir_, segment), {.mode = OpenMode::kCreate}));
  const uint64_t zeroed_end = std::min(options_.zero_slice_bytes, options_.segment_bytes);
  RETURN_IF_ERROR(WriteZeros(file.get(), 0, zeroed_end, zeroed_end));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(env_->SyncDir(dir_));
  file_ = std::move(file);
  zeroed_end_ = zeroed_end;
  readable_.Put(segment, file_);
  return absl::OkStatus();
}

absl::Status CommitLog::Impl::CheckDrafts(absl::Span<const RecordDraft> drafts) const {
  const State state = this->state();
  LogIndex index = state.last_index;
  Epoch epoch = state.last_epoch;
  int64_t time_us = state.last_time_us;
  for (const RecordDraft& draft : drafts) {
    if (draft.index != ++index) {
      return absl::InvalidArgumentError(absl::StrCat("the next record is ", index, ", not ", draft.index));
    }
    if (draft.epoch < epoch || draft.time_us < time_us) {
      return absl::InvalidArgumentError(absl::StrCat("record ", index, " is of epoch ", draft.epoch, " and time ",
                                                     draft.time_us, "; the one before it has ", epoch, " and ",
                                                     time_us));
    }
    epoch = draft.epoch;
    time_us = draft.time_us;
    const uint64_t payload_bytes = draft.payload.size();
    if (payload_bytes > std::numeric_limits<uint32_t>::max() || RecordSize(payload_bytes) > options_.segment_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("record ", index, " has ", payload_bytes,
                                                     " bytes of payload, more than a segment of ",
                                                     options_.segment_bytes, " holds"));
    }
  }
  return absl::OkStatus();
}

absl::Status CommitLog::Impl::Write(Batch* batch) {
  if (batch->pieces.empty()) return absl::OkStatus();
  uint64_t end = batch->offset;
  for (const absl::string_view piece : batch->pieces) end += piece.size();
  RETURN_IF_ERROR(file_->Write(batch->offset, batch->pieces));
  zeroed_end_ = std::max(zeroed_end_, end);
  batch->pieces.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<CommitLog::Placed>> CommitLog::Impl::Append(absl::Span<const RecordDraft> drafts) {
  RETURN_IF_ERROR(poison_);
  RETURN_IF_ERROR(CheckDrafts(drafts));

  State state = this->state();
  std::vector<Placed> placed;
  placed.reserve(drafts.size());
  std::vector<std::array<char, kRecordHeaderBytes>> headers(drafts.size());
  Batch batch;
  for (size_t i = 0; i < drafts.size(); ++i) {
    const RecordDraft& draft = drafts[i];
    const size_t size = RecordSize(draft.payload.size());
    uint64_t offset = state.end_position - state.last_segment * options_.segment_bytes;
    if (size > options_.segment_bytes - offset) {
      absl::Status status = Write(&batch);
      if (status.ok()) {
        unsynced_.push_back(file_);
        status = CreateSegment(state.last_segment + 1);
      }
      if (!status.ok()) return Poison(status, "roll");
      ++state.last_segment;
      state.end_position = state.last_segment * options_.segment_bytes;
      offset = 0;
    }

    RecordHeader header;
    header.epoch = draft.epoch;
    header.type = draft.type;
    header.index = draft.index;
    header.time_us = draft.time_us;
    header.prev_chain = state.chain;
    header.durable = state.durable_index;
    state.chain = EncodeRecordHeader(options_.log_id, header, draft.payload, headers[i].data());

    if (batch.pieces.empty()) batch.offset = offset;
    batch.pieces.emplace_back(headers[i].data(), headers[i].size());
    // From where they are: only the kernel copies payloads.
    for (const Buffer& part : draft.payload.parts()) batch.pieces.push_back(part.view());
    const size_t padding = size - kRecordHeaderBytes - draft.payload.size();
    if (padding > 0) batch.pieces.push_back(Zeros(padding));

    placed.push_back(Placed{.index = draft.index,
                            .position = state.end_position,
                            .end_position = state.end_position + size,
                            .chain = state.chain});
    state.end_position += size;
    state.last_index = draft.index;
    state.last_epoch = draft.epoch;
    state.last_time_us = draft.time_us;
  }
  if (const absl::Status status = Write(&batch); !status.ok()) return Poison(status, "append");
  Publish(state);
  return placed;
}

absl::Status CommitLog::Impl::Sync() {
  RETURN_IF_ERROR(poison_);
  State state = this->state();
  if (state.durable_index == state.last_index) return absl::OkStatus();
  unsynced_.push_back(file_);
  for (const SharedFile& file : unsynced_) {
    if (const absl::Status status = file->Sync(); !status.ok()) {
      return absl::DataLossError(Poison(status, "sync").message());
    }
  }
  unsynced_.clear();
  state.durable_index = state.last_index;
  Publish(state);
  return absl::OkStatus();
}

absl::StatusOr<bool> CommitLog::Impl::ZeroAhead() {
  RETURN_IF_ERROR(poison_);
  const State state = this->state();
  const uint64_t tail = state.end_position - state.last_segment * options_.segment_bytes;
  const uint64_t target = std::min(options_.segment_bytes, tail + options_.zero_ahead_bytes);
  const uint64_t slice_bytes = std::min(options_.zero_slice_bytes, options_.zero_ahead_bytes);
  if (zeroed_end_ >= target) return false;
  const uint64_t end = std::min(target, zeroed_end_ + slice_bytes);
  // Whole slices only, but for the last of a segment: a sync for every few bytes that were appended would be worse than
  // no zeros.
  if (end - zeroed_end_ < slice_bytes && end < options_.segment_bytes) return false;
  absl::Status status = WriteZeros(file_.get(), zeroed_end_, end, slice_bytes);
  // The file's records become durable with it, but who waits for them asks Sync.
  if (status.ok()) status = file_->Sync();
  if (!status.ok()) return Poison(status, "zeroing ahead");
  zeroed_end_ = end;
  return end < target;
}

absl::StatusOr<SharedFile> CommitLog::Impl::FileAt(uint64_t position) const {
  const State state = this->state();
  const uint64_t segment = position / options_.segment_bytes;
  if (segment < state.first_segment || position >= state.end_position) {
    return absl::OutOfRangeError(absl::StrCat(dir_, ": position ", position, " is not in the log, which has [",
                                              state.first_segment * options_.segment_bytes, ", ", state.end_position,
                                              ")"));
  }
  absl::StatusOr<SharedFile> file = readable_.Get(segment);
  if (absl::IsNotFound(file.status())) {
    return Missing(segment, absl::StrCat("position ", position, ": ", file.status().message()));
  }
  return file;
}

absl::Status CommitLog::Impl::Missing(uint64_t segment, absl::string_view what) const {
  if (segment < state().first_segment) {
    return absl::OutOfRangeError(absl::StrCat(SegmentPath(dir_, segment), " was trimmed"));
  }
  return absl::DataLossError(what);
}

absl::StatusOr<Record> CommitLog::Impl::Read(uint64_t position, size_t record_size_hint) const {
  const State state = this->state();
  const uint64_t segment = position / options_.segment_bytes;
  const uint64_t offset = position % options_.segment_bytes;
  const absl::StatusOr<SharedFile> file = FileAt(position);
  if (!file.ok()) return file.status();

  const uint64_t room = std::min(options_.segment_bytes - offset, state.end_position - position);
  size_t wanted = std::min<uint64_t>(room, std::max(record_size_hint, kRecordHeaderBytes));
  if (record_size_hint == 0) wanted = std::min<uint64_t>(room, kReadGuessBytes);
  std::shared_ptr<char[]> bytes(new char[wanted]);
  ASSIGN_OR_RETURN(size_t size, (*file)->Read(offset, wanted, bytes.get()));
  if (size >= kRecordHeaderBytes) {
    // Believed only as far as the log reaches.
    const uint64_t claimed = kRecordHeaderBytes + uint64_t{LoadRecordHeader(bytes.get()).length};
    if (claimed > size && claimed <= room) {
      // The guess was too small: what came of it is copied, which is cheaper than to read it twice. Of a record with
      // one message an index knows the size, so few deliveries come here.
      std::shared_ptr<char[]> all(new char[claimed]);
      std::copy_n(bytes.get(), size, all.get());
      ASSIGN_OR_RETURN(const size_t more, (*file)->Read(offset + size, claimed - size, all.get() + size));
      bytes = std::move(all);
      size += more;
    }
  }
  const absl::StatusOr<RecordView> view = DecodeRecord(options_.log_id, absl::string_view(bytes.get(), size));
  if (!view.ok()) {
    return Missing(segment, absl::StrCat(SegmentPath(dir_, segment), ": no valid record at offset ", offset,
                                         " (position ", position, "); found ", view.status().message()));
  }
  Record record;
  record.header = view->header;
  record.position = position;
  record.payload = Buffer(std::move(bytes), view->payload);
  return record;
}

absl::StatusOr<LogPlace> CommitLog::Impl::ReadRun(const LogPlace& from, uint64_t end, size_t max_bytes,
                                                  absl::FunctionRef<absl::Status(const Record&)> visit) const {
  LogPlace place = from;
  if (place.position >= end) return place;
  ASSIGN_OR_RETURN(const SharedFile file, FileAt(place.position));
  const uint64_t segment = place.position / options_.segment_bytes;
  const uint64_t offset = place.position % options_.segment_bytes;
  const uint64_t room = std::min(options_.segment_bytes - offset, end - place.position);
  size_t wanted = std::min<uint64_t>(room, std::max(max_bytes, kRecordHeaderBytes));
  std::shared_ptr<char[]> bytes(new char[wanted]);
  ASSIGN_OR_RETURN(size_t size, file->Read(offset, wanted, bytes.get()));
  size_t at = 0;  // Of the next record, in `bytes`.
  while (at < size) {
    const size_t rest = size - at;
    const uint64_t claimed =
        rest < kRecordHeaderBytes ? kRecordHeaderBytes : RecordSize(LoadRecordHeader(bytes.get() + at).length);
    if (claimed > rest && claimed <= room - at && size == wanted && wanted < room) {
      if (at > 0) return place;  // The next call begins with it.
      // One record that is larger than what was to be read.
      wanted = std::max<uint64_t>(claimed, kRecordHeaderBytes);
      bytes = std::shared_ptr<char[]>(new char[wanted]);
      ASSIGN_OR_RETURN(size, file->Read(offset, wanted, bytes.get()));
      continue;
    }
    const absl::StatusOr<RecordView> view = DecodeRecord(options_.log_id, absl::string_view(bytes.get() + at, rest));
    if (!view.ok()) break;
    if (place.index != 0 && view->header.index != place.index) break;
    Record record;
    record.header = view->header;
    record.position = place.position;
    record.payload = Buffer(bytes, view->payload);
    RETURN_IF_ERROR(visit(record));
    at += view->size();
    place = {place.position + view->size(), view->header.index + 1};
  }
  if (place.position >= end || (at == size && size == wanted && wanted < room)) return place;
  const uint64_t next = (segment + 1) * options_.segment_bytes;
  if (place.position == next) return place;  // Full to the byte.
  // At the beginning of a segment stands a record; elsewhere the next one may have had no room. If it had, it is
  // missing here, which its index shows in the next segment.
  const bool may_end_here = next < end && place.position % options_.segment_bytes != 0;
  if (may_end_here && segment >= this->state().first_segment) return LogPlace{next, place.index};
  return Missing(segment, absl::StrCat(SegmentPath(dir_, segment), ": no valid record at offset ", offset + at,
                                       ", expected record ", place.index, ", and the log goes on behind it"));
}

absl::Status CommitLog::Impl::TrimBelow(uint64_t position) {
  RETURN_IF_ERROR(poison_);
  State state = this->state();
  // For readers first: who finds a file missing knows that it was trimmed.
  const uint64_t first_kept = std::min(position / options_.segment_bytes, state.last_segment);
  if (first_kept > state.first_segment) {
    state.first_segment = first_kept;
    Publish(state);
    readable_.DropBelow(first_kept);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> CommitLog::Impl::FreeTrimmed() {
  if (freed_file_ == nullptr) {
    const uint64_t first_kept = state().first_segment;
    if (oldest_file_ >= first_kept) return false;
    // It leaves the log in one durable step, the oldest first, so that a crash leaves no hole and no part of a segment.
    const std::string path = SegmentPath(dir_, oldest_file_);
    const std::string trimmed = absl::StrCat(path, kTrimmedSuffix);
    const absl::Status renamed = env_->Rename(path, trimmed);
    if (!renamed.ok() && !absl::IsNotFound(renamed)) return renamed;  // Not there: the call before came so far.
    RETURN_IF_ERROR(env_->SyncDir(dir_));
    absl::StatusOr<SharedFile> file = env_->Open(trimmed, {.mode = OpenMode::kReadWrite});
    if (file.ok()) {
      freed_file_ = *std::move(file);
    } else if (absl::IsNotFound(file.status())) {
      ++oldest_file_;  // Somebody else has removed it.
    } else {
      return file.status();
    }
    return true;
  }
  ASSIGN_OR_RETURN(const uint64_t size, freed_file_->Size());
  if (size > options_.free_slice_bytes) {
    RETURN_IF_ERROR(freed_file_->Truncate(size - options_.free_slice_bytes));
    return true;
  }
  const absl::Status removed = env_->Remove(absl::StrCat(SegmentPath(dir_, oldest_file_), kTrimmedSuffix));
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  freed_file_ = nullptr;
  ++oldest_file_;
  return true;
}

absl::Status CommitLog::Impl::RemoveLeftovers() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env_->ListDir(dir_));
  for (const std::string& name : names) {
    if (absl::EndsWith(name, kTrimmedSuffix)) RETURN_IF_ERROR(env_->Remove(JoinPath(dir_, name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<CommitLog>> CommitLog::Open(Env* env, absl::string_view dir,
                                                           const CommitLogOptions& options, const LogAnchor& anchor,
                                                           absl::FunctionRef<absl::Status(const Record&)> replay) {
  RETURN_IF_ERROR(CheckOptions(options));
  RETURN_IF_ERROR(CreateDirDurably(env, dir));
  ASSIGN_OR_RETURN(const LogScan scan, ScanLog(env, dir, options, anchor, replay));
  auto impl = std::make_unique<Impl>(env, dir, options);
  if (const absl::Status status = impl->Recover(scan); !status.ok()) {
    return Annotate(status, absl::StrCat("recovering the log in ", dir));
  }
  return std::unique_ptr<CommitLog>(new CommitLog(std::move(impl)));
}

CommitLog::CommitLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CommitLog::~CommitLog() = default;

absl::StatusOr<std::vector<CommitLog::Placed>> CommitLog::Append(absl::Span<const RecordDraft> drafts) {
  return impl_->Append(drafts);
}
absl::Status CommitLog::Sync() { return impl_->Sync(); }
absl::StatusOr<bool> CommitLog::ZeroAhead() { return impl_->ZeroAhead(); }
absl::StatusOr<Record> CommitLog::Read(uint64_t position, size_t record_size_hint) const {
  return impl_->Read(position, record_size_hint);
}
absl::StatusOr<LogPlace> CommitLog::ReadRun(const LogPlace& from, uint64_t end, size_t max_bytes,
                                            absl::FunctionRef<absl::Status(const Record&)> visit) const {
  return impl_->ReadRun(from, end, max_bytes, visit);
}
absl::Status CommitLog::TrimBelow(uint64_t position) { return impl_->TrimBelow(position); }
absl::StatusOr<bool> CommitLog::FreeTrimmed() { return impl_->FreeTrimmed(); }

LogIndex CommitLog::last_index() const { return impl_->state().last_index; }
LogIndex CommitLog::durable_index() const { return impl_->state().durable_index; }
uint64_t CommitLog::end_position() const { return impl_->state().end_position; }
uint64_t CommitLog::first_position() const { return impl_->state().first_segment * impl_->options().segment_bytes; }
uint64_t CommitLog::chain() const { return impl_->state().chain; }
int64_t CommitLog::last_time_us() const { return std::max<int64_t>(impl_->state().last_time_us, 0); }
Epoch CommitLog::last_epoch() const { return impl_->state().last_epoch; }
uint64_t CommitLog::segment_count() const {
  const Impl::State state = impl_->state();
  return state.last_segment - state.first_segment + 1;
}
bool CommitLog::was_torn() const { return impl_->was_torn(); }
const absl::Status& CommitLog::poison() const { return impl_->poison(); }

}  // namespace barid::storage
