#include "storage/commit_log.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "base/status.h"
#include "storage/record.h"
#include "tests/storage/testing.h"

namespace barid::storage {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class CommitLogTest : public LogTest {
 protected:
  // All that was trimmed; how many calls it took.
  absl::StatusOr<int> Free() {
    for (int calls = 1;; ++calls) {
      ASSIGN_OR_RETURN(const bool more, log_->FreeTrimmed());
      if (!more) return calls;
    }
  }
};

std::string Long(char c, size_t bytes = 2000) { return std::string(bytes, c); }

// --- What fails ---

TEST_F(CommitLogTest, RefusesEverythingAfterAFailedSync) {
  Write({"a"});
  Append({"b"});
  disk_.FailNextSync();
  EXPECT_THAT(log_->Sync(), Fails(absl::StatusCode::kDataLoss));
  EXPECT_THAT(log_->Sync(), FailsWith(absl::StatusCode::kDataLoss, "refuses everything"));
  EXPECT_THAT(TryAppend({"c"}), Fails(absl::StatusCode::kDataLoss));
  EXPECT_THAT(log_->ZeroAhead(), Fails(absl::StatusCode::kDataLoss));
  EXPECT_THAT(log_->poison(), Fails(absl::StatusCode::kDataLoss));
  EXPECT_EQ(log_->durable_index(), 1u);
  CutPowerAndReopen();
  EXPECT_THAT(ReadAll(), AnyOf(ElementsAre("a"), ElementsAre("a", "b")));
}

// The process dies, the machine does not: the page cache shows a record that the disk does not have.
TEST_F(CommitLogTest, DoesNotBelieveThePageCacheAfterAFailedSync) {
  for (int seed = 0; seed < 20; ++seed) {
    std::unique_ptr<SimulatedDisk> disk = disk_.Clone(seed);
    const auto ignore = [](const Record&) { return absl::OkStatus(); };
    auto log = CommitLog::Open(disk.get(), kLogDir, options_, {}, ignore).value();
    ASSERT_THAT(log->Append(Drafts(*log, {Long('a'), Long('b')})), IsOk());
    disk->FailNextSync();
    ASSERT_THAT(log->Sync(), Not(IsOk()));
    log.reset();
    disk->KillProcess();

    log = CommitLog::Open(disk.get(), kLogDir, options_, {}, ignore).value();
    const LogIndex recovered = log->last_index();
    ASSERT_THAT(log->Append(Drafts(*log, {"c"})), IsOk());
    ASSERT_THAT(log->Sync(), IsOk());
    disk->CutPower();
    log = CommitLog::Open(disk.get(), kLogDir, options_, {}, ignore).value();
    EXPECT_EQ(log->last_index(), recovered + 1) << "seed " << seed;
  }
}

TEST_F(CommitLogTest, AFullDiskPoisonsAndLosesNothingThatWasSynced) {
  Write({"a"});
  disk_.SetCapacity(2000);
  EXPECT_THAT(TryAppend({Long('b')}), Fails(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(TryAppend({"c"}), Fails(absl::StatusCode::kDataLoss));
  disk_.SetCapacity(1 << 20);
  Reopen();
  Write({"d"});
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre("a", "d"));
}

TEST_F(CommitLogTest, RefusesWhatDoesNotFollowWithoutEffect) {
  Write({"a"});
  std::vector<RecordDraft> drafts = Drafts(*log_, {"b"});
  drafts[0].index = 3;
  EXPECT_THAT(log_->Append(drafts), FailsWith(absl::StatusCode::kInvalidArgument, "the next record is 2, not 3"));
  drafts = Drafts(*log_, {"b"});
  drafts[0].epoch = 0;
  EXPECT_THAT(log_->Append(drafts), Fails(absl::StatusCode::kInvalidArgument));
  drafts = Drafts(*log_, {"b"});
  drafts[0].time_us = 5;
  EXPECT_THAT(log_->Append(drafts), Fails(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(TryAppend({"b", Long('c', options_.segment_bytes)}), Fails(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(log_->last_index(), 1u);
  Write({"b"});
  EXPECT_THAT(ReadAll(), ElementsAre("a", "b"));
}

TEST_F(CommitLogTest, AnErrorOfReplayEndsTheOpening) {
  Write({"a", "b"});
  log_.reset();
  EXPECT_THAT(
      CommitLog::Open(&disk_, kLogDir, options_, {}, [](const Record&) { return absl::InternalError("enough"); }),
      FailsWith(absl::StatusCode::kInternal, "enough"));
}

TEST_F(CommitLogTest, RefusesImpossibleOptions) {
  options_.segment_bytes = 5000;
  EXPECT_THAT(TryReopen(), Fails(absl::StatusCode::kInvalidArgument));
}

TEST_F(CommitLogTest, SaysSoIfTheSegmentSizeWasChanged) {
  Write({Long('a'), Long('b'), Long('c'), Long('d'), Long('e')});
  options_.segment_bytes = 4096;
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kInvalidArgument, "segment_bytes"));
  options_.segment_bytes = 16384;
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss, "segment_bytes"));
}

// --- What is there ---

TEST_F(CommitLogTest, IsCreatedEmptyAndDurably) {
  CutPowerAndReopen();
  EXPECT_EQ(log_->last_index(), 0u);
  EXPECT_EQ(log_->chain(), 0u);
  EXPECT_EQ(log_->segment_count(), 1u);
  EXPECT_FALSE(log_->was_torn());
  EXPECT_THAT(ReadAll(), IsEmpty());
}

TEST_F(CommitLogTest, WhatWasSyncedIsThereAfterAPowerCut) {
  Append({"a", "", "c"});
  EXPECT_EQ(log_->durable_index(), 0u);
  Sync();
  EXPECT_EQ(log_->durable_index(), 3u);
  const uint64_t chain = log_->chain();
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre("a", "", "c"));
  EXPECT_EQ(log_->last_index(), 3u);
  EXPECT_EQ(log_->durable_index(), 3u);
  EXPECT_EQ(log_->chain(), chain);
  EXPECT_EQ(log_->last_epoch(), 1u);
  EXPECT_EQ(log_->last_time_us(), 1003);
}

TEST_F(CommitLogTest, WhatWasWrittenIsThereAfterAKill) {
  Append({"a", "b"});
  log_.reset();
  disk_.KillProcess();
  Reopen();
  EXPECT_THAT(replayed_, ElementsAre("a", "b"));
  // And is durable now, since the log says so.
  EXPECT_EQ(log_->durable_index(), 2u);
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre("a", "b"));
}

TEST_F(CommitLogTest, ReplaysWhatIsBehindTheAnchor) {
  Write({"a", "b"});
  Checkpoint();
  Write({"c"});
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre("c"));
  EXPECT_THAT(Read(1), IsOk());
}

TEST_F(CommitLogTest, AnAnchorAtTheEndReplaysNothing) {
  Write({"a", "b"});
  Checkpoint();
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, IsEmpty());
  EXPECT_EQ(log_->last_index(), 2u);
  Write({"c"});
  EXPECT_THAT(ReadAll(), ElementsAre("a", "b", "c"));
}

TEST_F(CommitLogTest, ABatchIsOneWriteAndOneSync) {
  const int64_t writes = disk_.writes();
  const int64_t syncs = disk_.syncs();
  Append({"a", "b", Long('c'), "d"});
  Sync();
  EXPECT_EQ(disk_.writes() - writes, 1);
  EXPECT_EQ(disk_.syncs() - syncs, 1);
}

TEST_F(CommitLogTest, ReadsAnyRecordInOneCallIfItsSizeIsKnown) {
  Write({"a", Long('b', 6000), "c"});
  ASSERT_THAT(Read(2), IsOk());
  const int64_t calls = disk_.calls();
  EXPECT_EQ(Read(2, RecordSize(6000)).value(), Long('b', 6000));
  EXPECT_EQ(disk_.calls() - calls, 1);
  EXPECT_EQ(Read(1, 1).value(), "a");
  EXPECT_EQ(Read(1, 100000).value(), "a");
  EXPECT_EQ(Read(3).value(), "c");
}

TEST_F(CommitLogTest, ReadingWhereNoRecordIsSaysSo) {
  Write({"a", "b"});
  EXPECT_THAT(log_->Read(8), Fails(absl::StatusCode::kDataLoss));
  EXPECT_THAT(log_->Read(log_->end_position()), Fails(absl::StatusCode::kOutOfRange));
}

TEST_F(CommitLogTest, TheSameRecordsStandAtTheSamePlacesHoweverTheyWereBatched) {
  Append({Long('a'), Long('b'), "c", Long('d'), Long('e', 4000), Long('f')});
  const std::vector<CommitLog::Placed> together = placed_;
  SimulatedDisk other(9);
  CommitLogOptions options = options_;
  options.log_id = 77;  // Another replica's.
  auto log = CommitLog::Open(&other, kLogDir, options, {}, [](const Record&) { return absl::OkStatus(); }).value();
  for (size_t i = 0; i < together.size(); ++i) {
    const std::vector<std::string> payloads = {Long('a'), Long('b'), "c", Long('d'), Long('e', 4000), Long('f')};
    const auto placed = log->Append(Drafts(*log, {payloads[i]}));
    ASSERT_THAT(placed, IsOk());
    ASSERT_THAT(log->Sync(), IsOk());
    EXPECT_EQ(placed->at(0).position, together[i].position);
    EXPECT_EQ(placed->at(0).chain, together[i].chain);
  }
}

// --- Segments ---

TEST_F(CommitLogTest, RollsWhereARecordDoesNotFit) {
  Write({Long('a', 5000), Long('b', 5000), Long('c', 3000)});
  EXPECT_EQ(log_->segment_count(), 2u);
  EXPECT_EQ(placed_[1].position, options_.segment_bytes);
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre(Long('a', 5000), Long('b', 5000), Long('c', 3000)));
}

TEST_F(CommitLogTest, OneBatchMayTakeSeveralSegments) {
  Append({Long('a', 5000), Long('b', 5000), Long('c', 5000), "d"});
  Sync();
  EXPECT_EQ(log_->segment_count(), 3u);
  EXPECT_EQ(log_->durable_index(), 4u);
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, SizeIs(4));
}

TEST_F(CommitLogTest, ARecordMayFillASegmentToTheByte) {
  const std::string full = Long('a', options_.segment_bytes - kRecordHeaderBytes);
  Write({full});
  Checkpoint();
  CutPowerAndReopen();
  EXPECT_EQ(log_->last_index(), 1u);
  Write({full, "c"});
  EXPECT_EQ(log_->segment_count(), 3u);
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre(full, "c"));
}

TEST_F(CommitLogTest, ZeroesAheadInSlicesUpToTheLimit) {
  Write({"a"});
  int slices = 0;
  while (log_->ZeroAhead().value()) ++slices;
  EXPECT_EQ(slices, 3);  // 1 KiB when the segment was made, 4 KiB is the limit, less than a slice is not worth a sync.
  EXPECT_EQ(SizeOf(Segment(0)), 4096u);
  EXPECT_FALSE(log_->ZeroAhead().value());
  Write({Long('b', 5000)});
  while (log_->ZeroAhead().value()) {
  }
  EXPECT_EQ(SizeOf(Segment(0)), options_.segment_bytes);
  EXPECT_THAT(ReadAll(), ElementsAre("a", Long('b', 5000)));
}

TEST_F(CommitLogTest, TrimsWholeSegmentsBelowAPosition) {
  Write({Long('a', 5000), Long('b', 5000), Long('c', 5000), Long('d', 5000)});
  Checkpoint();
  ASSERT_THAT(log_->TrimBelow(placed_[2].position + 100), IsOk());
  EXPECT_EQ(disk_.ListDir(kLogDir)->size(), 4u) << "the files are still there";
  EXPECT_EQ(log_->first_position(), placed_[2].position);
  EXPECT_EQ(log_->segment_count(), 2u);
  EXPECT_THAT(Read(2), Fails(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(Read(3), IsOk());
  ASSERT_THAT(Free(), IsOk());
  CutPowerAndReopen();
  EXPECT_EQ(log_->first_position(), placed_[2].position);
  EXPECT_THAT(ReadAll(), ElementsAre(Long('c', 5000), Long('d', 5000)));
}

TEST_F(CommitLogTest, WhatWasTrimmedAndNotRemovedIsThereAgain) {
  Write({Long('a', 5000), Long('b', 5000), Long('c', 5000)});
  Checkpoint();
  ASSERT_THAT(log_->TrimBelow(placed_[2].position), IsOk());
  CutPowerAndReopen();
  EXPECT_EQ(log_->first_position(), 0u);
  ASSERT_THAT(log_->TrimBelow(placed_[2].position), IsOk());
  ASSERT_THAT(Free(), IsOk());
  CutPowerAndReopen();
  EXPECT_EQ(log_->first_position(), placed_[2].position);
}

TEST_F(CommitLogTest, FreesASliceAtATimeAndGoesOnAfterACrash) {
  Write({Long('a', 5000), Long('b', 5000), Long('c', 5000)});
  Checkpoint();
  ASSERT_THAT(log_->TrimBelow(placed_[2].position), IsOk());
  // Each of two segments of 8 KiB leaves the log, loses 4 KiB, and goes.
  EXPECT_EQ(*Free(), 2 * 3 + 1);
  EXPECT_THAT(*disk_.ListDir(kLogDir), SizeIs(1));
  Write({Long('d', 5000), Long('e', 5000)});
  Checkpoint();
  ASSERT_THAT(log_->TrimBelow(placed_[4].position), IsOk());
  EXPECT_TRUE(*log_->FreeTrimmed());
  EXPECT_TRUE(*log_->FreeTrimmed());  // Half of it is gone.
  CutPowerAndReopen();
  EXPECT_EQ(log_->first_position(), placed_[3].position);
  EXPECT_THAT(*disk_.ListDir(kLogDir), SizeIs(2)) << "nothing is left of what was being freed";
  EXPECT_THAT(ReadAll(), ElementsAre(Long('d', 5000), Long('e', 5000)));
}

// A reader may have opened the segment before it was trimmed. The second record reaches into the part that goes first.
class ReadWhileFreedTest : public CommitLogTest {
 protected:
  ReadWhileFreedTest() {
    Write({Long('a', 2000), Long('b', 4000), Long('c', 5000)});
    disk_.SetCallObserver([this](const SimulatedDisk::Call& call) {
      if (call.kind != SimulatedDisk::CallKind::kRead || std::exchange(is_freed_, true)) return;
      ASSERT_THAT(log_->TrimBelow(placed_[2].position), IsOk());
      ASSERT_THAT(Free(), IsOk());
    });
  }
  ~ReadWhileFreedTest() override {
    EXPECT_TRUE(is_freed_);
    disk_.SetCallObserver(nullptr);
  }

 private:
  bool is_freed_ = false;
};

TEST_F(ReadWhileFreedTest, ARecordWasTrimmed) { EXPECT_THAT(Read(2), Fails(absl::StatusCode::kOutOfRange)); }

TEST_F(ReadWhileFreedTest, ARunWasTrimmed) {
  const auto ignore = [](const Record&) { return absl::OkStatus(); };
  EXPECT_THAT(log_->ReadRun({placed_[1].position, 2}, log_->end_position(), 100, ignore),
              Fails(absl::StatusCode::kOutOfRange));
}

TEST_F(CommitLogTest, TrimmingGoesOnAfterAFailure) {
  Write({Long('a', 5000), Long('b', 5000), Long('c', 5000), Long('d', 5000)});
  Checkpoint();
  ASSERT_THAT(log_->TrimBelow(placed_[2].position), IsOk());
  int failures = 0;
  for (int i = 0; i < 20; ++i) {
    disk_.FailCall(1 + i % 4);
    if (!Free().ok()) ++failures;
    disk_.FailCall(0);
    EXPECT_THAT(Read(2), Fails(absl::StatusCode::kOutOfRange));
    EXPECT_THAT(Read(3), IsOk());
  }
  EXPECT_GE(failures, 8);
  ASSERT_THAT(Free(), IsOk());
  EXPECT_THAT(*disk_.ListDir(kLogDir), SizeIs(2));
  CutPowerAndReopen();
  EXPECT_THAT(ReadAll(), ElementsAre(Long('c', 5000), Long('d', 5000)));
}

TEST_F(CommitLogTest, NeverTrimsTheSegmentThatIsWritten) {
  Write({"a", "b"});
  ASSERT_THAT(log_->TrimBelow(1 << 30), IsOk());
  ASSERT_THAT(Free(), IsOk());
  EXPECT_EQ(log_->segment_count(), 1u);
  EXPECT_THAT(Read(1), IsOk());
}

TEST_F(CommitLogTest, ATrimmedLogIsNotOpenedWithoutItsCheckpoint) {
  Write({Long('a', 5000), Long('b', 5000), Long('c', 5000)});
  Checkpoint();
  ASSERT_THAT(log_->TrimBelow(placed_[2].position), IsOk());
  ASSERT_THAT(Free(), IsOk());
  anchor_ = {};
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss, "segments 2 to 2"));
}

TEST_F(CommitLogTest, ReadersAreSafeFromTrimming) {
  std::vector<std::string> payloads;
  for (int i = 0; i < 100; ++i) payloads.push_back(Long(static_cast<char>('a' + i % 26), 5000));
  Write(payloads);
  const std::vector<CommitLog::Placed> placed = placed_;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&, t] {
      for (int i = 0; i < 600; ++i) {
        const size_t n = static_cast<size_t>(i * 7 + t) % placed.size();
        const absl::StatusOr<Record> record = log_->Read(placed[n].position, 100);
        if (record.ok() ? record->header.index != n + 1 : !absl::IsOutOfRange(record.status())) ++wrong;
      }
    });
  }
  for (const CommitLog::Placed& place : placed) {
    ASSERT_THAT(log_->TrimBelow(place.position), IsOk());
    Append({"more"});
    ASSERT_THAT(Free(), IsOk());
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

// --- Torn tails ---

TEST_F(CommitLogTest, CutsATornTailAndGoesOn) {
  Write({"a", "b"});
  Append({Long('c'), Long('d')});
  const uint64_t end = log_->end_position();
  log_.reset();
  Overwrite(Segment(0), placed_[2].position + 1000, "garbage");
  Reopen();
  EXPECT_THAT(replayed_, ElementsAre("a", "b"));
  EXPECT_TRUE(log_->was_torn());
  // Nothing of it is left, or it could come back behind shorter records.
  const std::string content = ReadFile(&disk_, Segment(0)).value();
  EXPECT_GE(content.size(), end);
  EXPECT_EQ(content.find_first_not_of('\0', log_->end_position()), std::string::npos);
  Write({"e"});
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre("a", "b", "e"));
  EXPECT_FALSE(log_->was_torn());
}

TEST_F(CommitLogTest, ATornRecordInFrontOfNewSegmentsCutsThemToo) {
  Write({"a"});
  Append({Long('b', 5000), Long('c', 5000), Long('d', 5000)});
  ASSERT_EQ(log_->segment_count(), 3u);
  log_.reset();
  Overwrite(Segment(0), placed_[1].position + 100, "garbage");
  Reopen();
  EXPECT_THAT(replayed_, ElementsAre("a"));
  EXPECT_EQ(log_->segment_count(), 1u);
  Write({Long('e', 5000), Long('f', 5000)});
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre("a", Long('e', 5000), Long('f', 5000)));
}

TEST_F(CommitLogTest, ASegmentThatWasOnlyBegunIsTornAway) {
  Write({Long('a', 5000)});
  log_.reset();
  for (const std::string& content : {std::string(), std::string(100, '\0'), std::string(1024, '\0')}) {
    ASSERT_THAT(WriteFileDurably(&disk_, Segment(1), content), IsOk());
    Reopen();
    EXPECT_EQ(log_->segment_count(), 1u);
    EXPECT_THAT(replayed_, SizeIs(1));
    log_.reset();
  }
  Reopen();
  Write({Long('b', 5000)});
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, SizeIs(2));
}

TEST_F(CommitLogTest, AFirstSegmentThatWasOnlyBegunIsAnEmptyLog) {
  log_.reset();
  ASSERT_THAT(WriteFileDurably(&disk_, Segment(0), ""), IsOk());
  Reopen();
  Write({"a"});
  CutPowerAndReopen();
  EXPECT_THAT(replayed_, ElementsAre("a"));
}

// --- Damage ---

TEST_F(CommitLogTest, ABadRecordThatALaterOneProvesDurableIsDamage) {
  Write({"a", "b", "c"});
  log_.reset();
  disk_.FlipBit(Segment(0), (placed_[1].position + kRecordHeaderBytes) * 8);
  const absl::Status status = TryReopen();
  EXPECT_THAT(status,
              FailsWith(absl::StatusCode::kDataLoss,
                        "00000000000000000000.log: offset 56 (position 56) should have record 2; found checksum"));
  EXPECT_THAT(status,
              FailsWith(absl::StatusCode::kDataLoss, "at offset 112 says that everything up to record 2 was durable"));
  // Nothing was touched: the bit flipped back, all is there.
  disk_.FlipBit(Segment(0), (placed_[1].position + kRecordHeaderBytes) * 8);
  Reopen();
  EXPECT_THAT(replayed_, ElementsAre("a", "b", "c"));
}

TEST_F(CommitLogTest, ProofMayStandInALaterSegment) {
  Write({Long('a', 5000), Long('b', 5000), Long('c', 5000)});
  log_.reset();
  Overwrite(Segment(1), 0, std::string(5048, '\0'));
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss,
                                     "should have record 2; found the end of the file (and zeros at the "
                                     "beginning of the next segment)"));
}

TEST_F(CommitLogTest, TheCheckpointIsProof) {
  Write({"a", "b"});
  Checkpoint();
  log_.reset();
  disk_.FlipBit(Segment(0), (placed_[1].position + 20) * 8);
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss, "the checkpoint covers it"));
}

TEST_F(CommitLogTest, ACheckpointBeyondTheEndIsDamage) {
  Write({"a", "b"});
  Checkpoint();
  log_.reset();
  ASSERT_THAT(disk_.Remove(Segment(0)), IsOk());
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss, "the log has no segments"));
  EXPECT_THAT(disk_.FileNames(), IsEmpty());
}

TEST_F(CommitLogTest, ACheckpointOfAnotherHistoryIsDamage) {
  Write({"a", "b"});
  Checkpoint();
  anchor_.chain ^= 1;
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss, "running hash"));
}

TEST_F(CommitLogTest, AMissingSegmentIsDamage) {
  Write({Long('a', 5000), Long('b', 5000), Long('c', 5000)});
  log_.reset();
  ASSERT_THAT(disk_.Remove(Segment(1)), IsOk());
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss, "00000000000000000001.log: missing"));
}

TEST_F(CommitLogTest, AValidRecordThatDoesNotFollowIsDamage) {
  Write({"a", "b", "c"});
  log_.reset();
  const std::string bytes = ReadFile(&disk_, Segment(0)).value();
  const size_t size = RecordSize(1);
  Overwrite(Segment(0), placed_[1].position, absl::string_view(bytes).substr(placed_[2].position, size));
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss, "does not follow record 1"));
}

TEST_F(CommitLogTest, AValidRecordOfAnotherHistoryIsDamage) {
  Write({"a", "b"});
  const std::string bytes = ReadFile(&disk_, Segment(0)).value();
  log_.reset();
  ASSERT_THAT(disk_.Remove(Segment(0)), IsOk());
  Reopen();
  Write({"x"});
  log_.reset();
  // The same index, the same log, but what came before was another record.
  Overwrite(Segment(0), placed_[0].end_position, absl::string_view(bytes).substr(RecordSize(1), RecordSize(1)));
  EXPECT_THAT(TryReopen(), FailsWith(absl::StatusCode::kDataLoss, "does not follow record 1"));
}

TEST_F(CommitLogTest, ReadingADamagedRecordSaysSo) {
  Write({"a", "b"});
  disk_.FlipBit(Segment(0), kRecordHeaderBytes * 8);
  EXPECT_THAT(Read(1), FailsWith(absl::StatusCode::kDataLoss, "no valid record at offset 0"));
  EXPECT_THAT(Read(2), IsOk());
}

TEST_F(CommitLogTest, TheCopyOfARecordInABodyIsNoRecord) {
  // Somebody sends, as a message, bytes that look like this log's records: without the log id their CRC is wrong.
  std::string forged(kRecordHeaderBytes, '\0');
  RecordHeader header;
  header.index = 50;
  header.durable = 49;
  EncodeRecordHeader(/*log_id=*/0, header, Bytes(), forged.data());
  Write({"a"});
  Append({forged + forged, "b"});
  log_.reset();
  disk_.FlipBit(Segment(0), (placed_[1].position + 16) * 8);
  Reopen();
  EXPECT_THAT(replayed_, ElementsAre("a"));
}

// Stops a log cleanly and flips each of its bits in turn.
TEST_F(CommitLogTest, EveryFlippedBitIsReportedOrHarmless) {
  options_.segment_bytes = 4096;
  options_.zero_slice_bytes = 512;
  options_.zero_ahead_bytes = 512;
  disk_.Remove(Segment(0)).IgnoreError();
  log_.reset();
  Reopen();
  const std::vector<std::string> payloads = {"first", Long('b', 1500), "", Long('d', 700), Long('e', 2000), "last one"};
  Write(payloads);
  while (log_->ZeroAhead().value()) {
  }
  ASSERT_EQ(log_->segment_count(), 2u);
  Checkpoint();
  log_.reset();

  // Bytes of a record but not padding.
  const auto covers = [this, &payloads](uint64_t position) {
    for (size_t i = 0; i < placed_.size(); ++i) {
      const uint64_t end = placed_[i].position + kRecordHeaderBytes + payloads[i].size();
      if (placed_[i].position <= position && position < end) return true;
    }
    return false;
  };
  int64_t reported = 0, harmless = 0;
  for (uint64_t segment = 0; segment < 2; ++segment) {
    const uint64_t bits = SizeOf(Segment(segment)) * 8;
    for (uint64_t bit = 0; bit < bits; ++bit) {
      const std::unique_ptr<SimulatedDisk> disk = disk_.Clone(bit);
      disk->FlipBit(Segment(segment), bit);
      const bool is_covered = covers(segment * options_.segment_bytes + bit / 8);

      // By the scan of everything (with the checkpoint's word that the last record had been there).
      std::vector<std::string> found;
      const absl::StatusOr<LogScan> scan =
          ScanLog(disk.get(), kLogDir, options_, LogStart(), [&found](const Record& record) {
            found.emplace_back(record.payload.data(), record.payload.size());
            return absl::OkStatus();
          });
      const bool is_seen_by_scan = !scan.ok() || scan->last_index < anchor_.index;
      ASSERT_EQ(is_seen_by_scan, is_covered) << "bit " << bit << " of segment " << segment;
      if (!is_seen_by_scan) {
        ASSERT_EQ(found, payloads);
      }
      if (!scan.ok()) {
        ASSERT_THAT(scan, Fails(absl::StatusCode::kDataLoss));
      }

      // By opening, or else by reading the record.
      auto log =
          CommitLog::Open(disk.get(), kLogDir, options_, anchor_, [](const Record&) { return absl::OkStatus(); });
      if (!log.ok()) {
        ASSERT_THAT(log, Fails(absl::StatusCode::kDataLoss));
        ASSERT_TRUE(is_covered);
        ++reported;
        continue;
      }
      int bad = 0;
      for (size_t i = 0; i < placed_.size(); ++i) {
        const absl::StatusOr<Record> record = (*log)->Read(placed_[i].position, RecordSize(payloads[i].size()));
        if (record.ok()) {
          ASSERT_EQ(std::string(record->payload.data(), record->payload.size()), payloads[i]);
        } else {
          ASSERT_THAT(record, Fails(absl::StatusCode::kDataLoss));
          ++bad;
        }
      }
      ASSERT_EQ(bad, is_covered ? 1 : 0) << "bit " << bit << " of segment " << segment;
      ++(is_covered ? reported : harmless);
    }
  }
  RecordProperty("reported", std::to_string(reported));
  RecordProperty("harmless", std::to_string(harmless));
  EXPECT_GT(reported, 30000);
  EXPECT_GT(harmless, 1000);
}

// --- The real disk ---

TEST(CommitLogOnTheMachinesDiskTest, ComesBack) {
  Env* const env = RealEnv();
  const std::string dir = JoinPath(::testing::TempDir(), "commit_log_test");
  for (const std::string& name : env->ListDir(dir).value_or(std::vector<std::string>())) {
    ASSERT_THAT(env->Remove(JoinPath(dir, name)), IsOk());
  }
  const CommitLogOptions options = SmallLog();
  LogIndex replayed = 0;
  const auto count = [&replayed](const Record&) {
    ++replayed;
    return absl::OkStatus();
  };
  std::vector<uint64_t> positions;
  for (int round = 0; round < 3; ++round) {
    replayed = 0;
    auto log = CommitLog::Open(env, dir, options, {}, count);
    ASSERT_THAT(log, IsOk());
    EXPECT_EQ(replayed, positions.size());
    EXPECT_FALSE((*log)->was_torn());
    for (int i = 0; i < 20; ++i) {
      const auto placed = (*log)->Append(Drafts(**log, {Long('a', 3000 + i), "b"}));
      ASSERT_THAT(placed, IsOk());
      for (const CommitLog::Placed& place : *placed) positions.push_back(place.position);
      ASSERT_THAT((*log)->Sync(), IsOk());
      ASSERT_THAT((*log)->ZeroAhead(), IsOk());
    }
    for (size_t i = 0; i < positions.size(); ++i) EXPECT_EQ((*log)->Read(positions[i])->header.index, i + 1);
  }
}

}  // namespace
}  // namespace barid::storage
