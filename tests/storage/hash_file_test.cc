#include "storage/hash_file.h"

#include "tests/storage/testing.h"

namespace barid::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::string_view kDir = "/data/lookup";
constexpr uint64_t kLogId = 77;

class HashFileTest : public ::testing::Test {
 protected:
  HashFileTest() {
    EXPECT_THAT(disk_.CreateDir(kDir), IsOk());
    EXPECT_THAT(disk_.SyncDir("/data"), IsOk());
  }

  absl::Status TryWrite(uint64_t segment, const std::vector<std::vector<HashPlace>>& runs) {
    auto writer = HashFileWriter::Create(&disk_, kDir, kLogId, segment);
    if (!writer.ok()) return writer.status();
    for (const std::vector<HashPlace>& run : runs) {
      if (const absl::Status status = (*writer)->AddRun(run); !status.ok()) return status;
    }
    HashFileInfo info;
    info.first_index = 100;
    info.end_index = 200;
    info.first_time_us = 1'000;
    info.last_time_us = 2'000;
    return (*writer)->Finish(info);
  }
  std::vector<uint32_t> Find(uint64_t segment, uint64_t hash) {
    auto file = HashFile::Open(&disk_, kDir, kLogId, segment);
    EXPECT_THAT(file, IsOk());
    if (!file.ok()) return {};
    auto found = (*file)->Find(hash);
    EXPECT_THAT(found, IsOk());
    return found.ok() ? *found : std::vector<uint32_t>();
  }
  // Every hash twice, in two runs of some pages.
  std::vector<std::vector<HashPlace>> Many() {
    std::vector<std::vector<HashPlace>> runs(2);
    for (uint32_t i = 0; i < 2'000; ++i) {
      runs[0].push_back({uint64_t{i} * 7919 % 2'000 * 3, i});
      runs[1].push_back({uint64_t{i} * 3, 100'000 + i});
    }
    return runs;
  }

  SimulatedDisk disk_{/*seed=*/3};
};

TEST_F(HashFileTest, FindsEveryPlaceOfAHashInAllRuns) {
  ASSERT_THAT(TryWrite(7, Many()), IsOk());
  for (uint32_t i = 0; i < 2'000; i += 37) {
    EXPECT_THAT(Find(7, uint64_t{i} * 7919 % 2'000 * 3), ElementsAre(i, 100'000 + i * 7919 % 2'000));
  }
  EXPECT_THAT(Find(7, 1), IsEmpty());
  EXPECT_THAT(Find(7, 1'000'000), IsEmpty());
}

TEST_F(HashFileTest, FindsAHashThatFillsSeveralPages) {
  std::vector<HashPlace> run;
  for (uint32_t i = 0; i < 1'000; ++i) run.push_back({5, 1'000 - i});
  run.push_back({4, 1});
  run.push_back({6, 2});
  ASSERT_THAT(TryWrite(7, {run}), IsOk());
  EXPECT_EQ(Find(7, 5).size(), 1'000);
  EXPECT_THAT(Find(7, 4), ElementsAre(1));
  EXPECT_THAT(Find(7, 6), ElementsAre(2));
}

TEST_F(HashFileTest, KnowsItsSegment) {
  ASSERT_THAT(TryWrite(7, {}), IsOk());
  const auto file = HashFile::Open(&disk_, kDir, kLogId, 7);
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ((*file)->info().first_index, 100);
  EXPECT_EQ((*file)->info().end_index, 200);
  EXPECT_EQ((*file)->info().last_time_us, 2'000);
  EXPECT_THAT(HashFile::Open(&disk_, kDir, kLogId, 8), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(HashFile::Open(&disk_, kDir, kLogId + 1, 7), Fails(absl::StatusCode::kDataLoss));
}

TEST_F(HashFileTest, RefusesEveryDamagedByte) {
  ASSERT_THAT(TryWrite(7, Many()), IsOk());
  const std::string path = HashFilePath(kDir, 7);
  const std::string good = ReadFile(&disk_, path).value();
  for (size_t at = 0; at < good.size(); at += 509) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    ASSERT_THAT(WriteFileDurably(&disk_, path, bad), IsOk());
    const auto file = HashFile::Open(&disk_, kDir, kLogId, 7);
    absl::Status seen = file.status();
    for (uint64_t hash = 0; seen.ok() && hash < 6'000; hash += 100) seen = (*file)->Find(hash).status();
    EXPECT_THAT(seen, Fails(absl::StatusCode::kDataLoss)) << "byte " << at;
  }
}

TEST_F(HashFileTest, IsThereWhollyOrNotAfterAPowerCutAnywhere) {
  for (int64_t call = 1;; ++call) {
    SimulatedDisk disk(static_cast<uint64_t>(call));
    ASSERT_THAT(disk.CreateDir(kDir), IsOk());
    ASSERT_THAT(disk.SyncDir("/data"), IsOk());
    ASSERT_THAT(disk.SyncDir("/"), IsOk());
    disk.CutPowerAtCall(call);
    bool done = false;
    {
      auto writer = HashFileWriter::Create(&disk, kDir, kLogId, 7);
      if (writer.ok() && (*writer)->AddRun({{1, 10}, {2, 20}}).ok()) done = (*writer)->Finish({}).ok();
    }
    const bool was_cut = !disk.powered();
    disk.CutPowerAtCall(0);
    if (was_cut) disk.Restart();
    const auto file = HashFile::Open(&disk, kDir, kLogId, 7);
    if (done) {
      EXPECT_THAT(file, IsOk());
    }
    if (file.ok()) {
      EXPECT_THAT((*file)->Find(2).value(), ElementsAre(20));
    } else {
      EXPECT_THAT(file, Fails(absl::StatusCode::kNotFound));
    }
    if (!was_cut) break;
  }
}

TEST_F(HashFileTest, RemovesWhatIsBelowASegment) {
  for (uint64_t segment = 5; segment < 9; ++segment) ASSERT_THAT(TryWrite(segment, {}), IsOk());
  ASSERT_THAT(WriteFileDurably(&disk_, JoinPath(kDir, "00000000000000000004.hashes.new"), "torn"), IsOk());
  ASSERT_THAT(RemoveHashFilesBelow(&disk_, kDir, 7), IsOk());
  EXPECT_THAT(ListHashFiles(&disk_, kDir).value(), ElementsAre(7, 8));
  EXPECT_EQ(disk_.ListDir(kDir).value().size(), 2);
}

// --- Reading a log in runs: what the files are made from. ---

class ReadRunTest : public LogTest {
 protected:
  // All records from the beginning, read `max_bytes` at a time.
  absl::StatusOr<std::vector<std::string>> ReadRuns(size_t max_bytes) {
    std::vector<std::string> payloads;
    LogPlace place;
    while (place.position < log_->end_position()) {
      const absl::StatusOr<LogPlace> next =
          log_->ReadRun(place, log_->end_position(), max_bytes, [&payloads](const Record& record) {
            payloads.emplace_back(record.payload.data(), record.payload.size());
            return absl::OkStatus();
          });
      if (!next.ok()) return next.status();
      EXPECT_GT(next->position, place.position);
      place = *next;
    }
    return payloads;
  }
};

TEST_F(ReadRunTest, VisitsAllRecordsOverSegmentsWhateverTheSlice) {
  std::vector<std::string> written;
  for (size_t i = 0; i < 60; ++i) written.push_back(std::string(i * 37 % 1'900, static_cast<char>('a' + i % 26)));
  Write(written);
  ASSERT_GT(log_->segment_count(), 3);
  for (const size_t slice : {1, 48, 100, 4'096, 8'192, 1 << 20}) EXPECT_THAT(ReadRuns(slice).value(), written);
}

TEST_F(ReadRunTest, GoesOnBehindASegmentThatIsFullToTheByte) {
  std::vector<std::string> written(20, std::string(options_.segment_bytes / 4 - kRecordHeaderBytes, 'x'));
  Write(written);
  for (const size_t slice : {1, 4'096, 1 << 20}) EXPECT_THAT(ReadRuns(slice).value(), written);
}

TEST_F(ReadRunTest, NeverSkipsADamagedRecord) {
  Write(std::vector<std::string>(30, std::string(1'000, 'x')));
  for (const LogIndex index : {1, 2, 7, 8, 9}) {
    const uint64_t position = placed_.at(index - 1).position;
    Overwrite(Segment(position / options_.segment_bytes), position % options_.segment_bytes + 60, "y");
    for (const size_t slice : {1, 4'096, 1 << 20}) {
      EXPECT_THAT(ReadRuns(slice), Fails(absl::StatusCode::kDataLoss)) << "record " << index << ", slice " << slice;
    }
    Overwrite(Segment(position / options_.segment_bytes), position % options_.segment_bytes + 60, "x");
  }
  EXPECT_EQ(ReadRuns(4'096)->size(), 30);
}

}  // namespace
}  // namespace barid::storage
