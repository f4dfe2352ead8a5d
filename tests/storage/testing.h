#ifndef BARID_TESTS_STORAGE_TESTING_H_
#define BARID_TESTS_STORAGE_TESTING_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/simulated/disk.h"
#include "storage/commit_log.h"
#include "storage/log_scan.h"

// What the storage tests say.
namespace barid::storage {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << "which is " << StatusOf(arg);
  return StatusOf(arg).ok();
}
MATCHER_P(Fails, code, std::string("fails with ") + absl::StatusCodeToString(code)) {
  *result_listener << "which is " << StatusOf(arg);
  return StatusOf(arg).code() == code;
}
// The message says at least this.
MATCHER_P2(FailsWith, code, text, std::string("fails with ") + absl::StatusCodeToString(code) + ": " + text) {
  *result_listener << "which is " << StatusOf(arg);
  return StatusOf(arg).code() == code && StatusOf(arg).message().find(text) != absl::string_view::npos;
}

inline constexpr absl::string_view kLogDir = "/data/log";

inline CommitLogOptions SmallLog() {
  CommitLogOptions options;
  options.segment_bytes = 8192;
  options.zero_ahead_bytes = 4096;
  options.zero_slice_bytes = 1024;
  options.free_slice_bytes = 4096;
  options.log_id = 0x5eed5eed5eed5eed;
  return options;
}

// Records with these payloads that follow the end of `log`.
inline std::vector<RecordDraft> Drafts(const CommitLog& log, const std::vector<std::string>& payloads) {
  std::vector<RecordDraft> drafts;
  LogIndex index = log.last_index();
  for (const std::string& payload : payloads) {
    RecordDraft draft;
    draft.epoch = 1;
    draft.type = 2;
    draft.index = ++index;
    draft.time_us = static_cast<int64_t>(1000 + index);
    // In two parts, as a command and its bulk are.
    draft.payload.Append(Buffer(payload.substr(0, payload.size() / 3)));
    draft.payload.Append(Buffer(payload.substr(payload.size() / 3)));
    drafts.push_back(std::move(draft));
  }
  return drafts;
}

// A log on a simulated disk, and the words to speak of its life.
class LogTest : public ::testing::Test {
 protected:
  LogTest() { Reopen(); }

  absl::Status TryReopen() {
    log_.reset();
    replayed_.clear();
    auto log = CommitLog::Open(&disk_, kLogDir, options_, anchor_, [this](const Record& record) {
      replayed_.emplace_back(record.payload.data(), record.payload.size());
      return absl::OkStatus();
    });
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return absl::OkStatus();
  }
  void Reopen() { ASSERT_THAT(TryReopen(), IsOk()); }
  void CutPower() {
    log_.reset();
    disk_.CutPower();
  }
  void CutPowerAndReopen() {
    CutPower();
    Reopen();
  }

  absl::Status TryAppend(const std::vector<std::string>& payloads) {
    absl::StatusOr<std::vector<CommitLog::Placed>> placed = log_->Append(Drafts(*log_, payloads));
    if (!placed.ok()) return placed.status();
    for (const CommitLog::Placed& place : *placed) {
      placed_.resize(place.index - 1);
      placed_.push_back(place);
    }
    return absl::OkStatus();
  }
  void Append(const std::vector<std::string>& payloads) { ASSERT_THAT(TryAppend(payloads), IsOk()); }
  void Sync() { ASSERT_THAT(log_->Sync(), IsOk()); }
  // Each in a batch of its own.
  void Write(const std::vector<std::string>& payloads) {
    for (const std::string& payload : payloads) {
      Append({payload});
      Sync();
    }
  }
  // What was synced last is from now on known from elsewhere to be there.
  void Checkpoint() {
    const CommitLog::Placed& last = placed_.at(log_->durable_index() - 1);
    anchor_ = {.index = last.index, .position = last.position, .end_position = last.end_position, .chain = last.chain};
  }

  absl::StatusOr<std::string> Read(LogIndex index, size_t hint = 0) {
    absl::StatusOr<Record> record = log_->Read(placed_.at(index - 1).position, hint);
    if (!record.ok()) return record.status();
    EXPECT_EQ(record->header.index, index);
    return std::string(record->payload.data(), record->payload.size());
  }
  // What a scan of the whole log finds, verified end to end.
  std::vector<std::string> ReadAll() {
    std::vector<std::string> payloads;
    const absl::StatusOr<LogStart> start = FindLogStart(&disk_, kLogDir, options_);
    if (!start.ok()) return payloads;
    EXPECT_THAT(ScanLog(&disk_, kLogDir, options_, *start,
                        [&payloads](const Record& record) {
                          payloads.emplace_back(record.payload.data(), record.payload.size());
                          return absl::OkStatus();
                        }),
                IsOk());
    return payloads;
  }

  std::string Segment(uint64_t number) { return SegmentPath(kLogDir, number); }
  uint64_t SizeOf(const std::string& path) { return ReadFile(&disk_, path).value().size(); }
  void Overwrite(const std::string& path, uint64_t offset, absl::string_view bytes) {
    auto file = disk_.Open(path, {.mode = OpenMode::kReadWrite});
    ASSERT_THAT(file, IsOk());
    ASSERT_THAT((*file)->Write(offset, bytes), IsOk());
    ASSERT_THAT((*file)->Sync(), IsOk());
  }

  SimulatedDisk disk_{/*seed=*/1};
  CommitLogOptions options_ = SmallLog();
  LogAnchor anchor_;
  std::unique_ptr<CommitLog> log_;
  std::vector<std::string> replayed_;
  std::vector<CommitLog::Placed> placed_;  // Of each record, by index - 1.
};

}  // namespace barid::storage

#endif  // BARID_TESTS_STORAGE_TESTING_H_
