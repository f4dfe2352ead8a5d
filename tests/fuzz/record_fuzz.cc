// Bytes as they may stand in a log after anything has happened to the disk: the record decoder, the search for proof
// (against trying each place by itself), the scanner and recovery.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/simulated/disk.h"
#include "storage/commit_log.h"
#include "storage/log_scan.h"
#include "storage/record.h"
#include "storage/record_search.h"
#include "tests/fuzz/fuzz.h"

namespace barid::storage {
namespace {

constexpr absl::string_view kDir = "/log";

CommitLogOptions Options() {
  CommitLogOptions options;
  options.segment_bytes = 4096;
  options.zero_ahead_bytes = 1024;
  options.zero_slice_bytes = 512;
  options.log_id = 42;
  return options;
}

void FuzzDecode(absl::string_view bytes) {
  const absl::StatusOr<RecordView> view = DecodeRecord(Options().log_id, bytes);
  if (!view.ok()) return CHECK(absl::IsDataLoss(view.status()));
  // What is accepted is what would be written.
  char header[kRecordHeaderBytes];
  const uint64_t chain = EncodeRecordHeader(Options().log_id, view->header, Bytes(std::string(view->payload)), header);
  CHECK(absl::string_view(header, sizeof(header)) == bytes.substr(0, sizeof(header)));
  CHECK_EQ(chain, RecordChain(view->header, view->payload));
}

void FuzzSearch(absl::string_view bytes) {
  constexpr LogIndex kBadIndex = 2;
  std::set<uint64_t> expected;
  for (uint64_t offset = 0; offset + kRecordHeaderBytes <= bytes.size(); offset += kRecordAlignment) {
    const absl::StatusOr<RecordView> view = DecodeRecord(Options().log_id, bytes.substr(offset));
    if (view.ok() && view->header.durable >= kBadIndex && view->header.index > view->header.durable)
      expected.insert(offset);
  }
  RecordSearch search(Options().log_id, kBadIndex);
  // In pieces whose sizes the input decides.
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = 1 + static_cast<uint8_t>(bytes[at]) * size_t{7};
    search.Feed(bytes.substr(at, size));
    at += size;
  }
  CHECK_EQ(search.proof().has_value(), !expected.empty());
  if (search.proof()) CHECK(expected.contains(search.proof()->offset)) << search.proof()->offset;
}

void FuzzScan(absl::string_view bytes) {
  SimulatedDisk disk(1);
  CHECK_OK(disk.CreateDir(kDir));
  const CommitLogOptions options = Options();
  uint64_t segments = 0;
  for (; !bytes.empty() && segments < 4; ++segments) {
    const absl::string_view content = bytes.substr(0, options.segment_bytes);
    CHECK_OK(WriteFileDurably(&disk, SegmentPath(kDir, segments), content));
    bytes.remove_prefix(content.size());
  }
  LogIndex visited = 0;
  const auto count = [&visited](const Record& record) {
    CHECK_EQ(record.header.index, ++visited);
    return absl::OkStatus();
  };
  const absl::StatusOr<LogScan> scan = ScanLog(&disk, kDir, options, LogStart(), count);
  if (scan.ok()) CHECK_EQ(scan->last_index, visited);
  visited = 0;
  auto log = CommitLog::Open(&disk, kDir, options, LogAnchor(), count);
  CHECK_EQ(log.ok(), scan.ok());
  if (!log.ok()) return CHECK(absl::IsDataLoss(log.status())) << log.status();

  // Whatever it was, it is a log now.
  CHECK_EQ((*log)->last_index(), visited);
  CHECK_EQ((*log)->chain(), scan->chain);
  RecordDraft draft;
  draft.epoch = (*log)->last_epoch();
  draft.index = visited + 1;
  draft.time_us = scan->last_time_us;
  draft.payload = Bytes(std::string("new"));
  CHECK_OK((*log)->Append({draft}).status());
  CHECK_OK((*log)->Sync());
  visited = 0;
  const absl::StatusOr<LogScan> again = ScanLog(&disk, kDir, options, LogStart(), count);
  CHECK_OK(again.status());
  CHECK_EQ(again->last_index, scan->last_index + 1);
  CHECK(!again->is_torn);
}

}  // namespace
}  // namespace barid::storage

// Segments of real logs: as written, and with every record durable before the next.
std::vector<std::string> FuzzSeeds() {
  using namespace barid;
  using namespace barid::storage;
  std::vector<std::string> seeds;
  for (const bool is_synced_each : {false, true}) {
    for (const size_t payload_bytes : {0, 5, 100, 1500}) {
      SimulatedDisk disk(1);
      auto log =
          CommitLog::Open(&disk, kDir, Options(), LogAnchor(), [](const Record&) { return absl::OkStatus(); }).value();
      for (LogIndex index = 1; index <= 4; ++index) {
        RecordDraft draft;
        draft.index = index;
        draft.payload = Bytes(std::string(payload_bytes, 'x'));
        CHECK_OK(log->Append({draft}).status());
        if (is_synced_each) CHECK_OK(log->Sync());
      }
      std::string bytes;
      for (uint64_t segment = 0; segment < log->segment_count(); ++segment) {
        bytes.resize(segment * Options().segment_bytes);
        bytes += ReadFile(&disk, SegmentPath(kDir, segment)).value();
      }
      seeds.push_back(std::move(bytes));
    }
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  barid::storage::FuzzDecode(bytes);
  barid::storage::FuzzSearch(bytes);
  barid::storage::FuzzScan(bytes);
  return 0;
}
