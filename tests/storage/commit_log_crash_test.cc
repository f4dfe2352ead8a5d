#include <algorithm>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/status.h"
#include "tests/storage/testing.h"

// The log under a disk that loses power, fails and fills up at every call in turn, against a model of what it promises.
namespace barid::storage {
namespace {

constexpr uint64_t kManyBytes = uint64_t{1} << 30;

// What the log was told, and what it promised.
struct Model {
  std::vector<std::string> appended;      // By index - 1. What was handed to Append, also if it failed.
  std::vector<CommitLog::Placed> placed;  // Of those whose Append succeeded.
  LogIndex synced = 0;
  LogAnchor anchor;
};

// One life of a log: a disk, a model beside it, and work that is the same for the same seed.
class Life {
 public:
  Life(uint64_t work_seed, SimulatedDisk* disk) : disk_(disk), random_(work_seed), work_seed_(work_seed) {}

  // Opens the log, checks it against the model, and takes over into the model what was recovered.
  absl::Status Open() {
    Close();
    std::vector<std::string> replayed;
    auto log = CommitLog::Open(disk_, kLogDir, SmallLog(), model_.anchor, [&](const Record& record) {
      EXPECT_EQ(record.header.index, model_.anchor.index + replayed.size() + 1);
      replayed.emplace_back(record.payload.data(), record.payload.size());
      return absl::OkStatus();
    });
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return Check(replayed);
  }

  // Work until the first error, or until it is done: batches of many sizes, rolls, zeros, checkpoints, trimming, clean
  // restarts and, every other seed, a full disk.
  absl::Status Work(int rounds = 14) {
    if (log_ == nullptr) RETURN_IF_ERROR(Open());
    for (int round = 0; round < rounds; ++round) {
      RETURN_IF_ERROR(AppendSome());
      if (random_.OneIn(3)) RETURN_IF_ERROR(AppendSome());
      RETURN_IF_ERROR(Final(log_->Sync()));
      model_.synced = log_->last_index();
      if (log_->durable_index() != model_.synced) return absl::InternalError("durable_index is behind");
      for (uint64_t slices = random_.Below(4); slices > 0; --slices) RETURN_IF_ERROR(Final(log_->ZeroAhead().status()));
      if (random_.OneIn(4)) Checkpoint();
      if (random_.OneIn(4)) RETURN_IF_ERROR(log_->TrimBelow(model_.anchor.position));
      for (uint64_t slices = random_.Below(20); slices > 0; --slices) RETURN_IF_ERROR(log_->FreeTrimmed().status());
      if (random_.OneIn(7)) RETURN_IF_ERROR(Open());
      if (work_seed_ % 2 == 0 && round == rounds / 2) RETURN_IF_ERROR(FillUp());
    }
    return absl::OkStatus();
  }

  // After an error: nothing more may be accepted.
  void ExpectRefuses() {
    if (!must_refuse_) return;
    EXPECT_THAT(log_->Sync(), Fails(absl::StatusCode::kDataLoss));
    EXPECT_THAT(log_->Append(Drafts(*log_, {"never"})), Fails(absl::StatusCode::kDataLoss));
    EXPECT_THAT(log_->ZeroAhead(), Fails(absl::StatusCode::kDataLoss));
  }

  void Close() {
    log_.reset();
    must_refuse_ = false;
  }
  CommitLog* log() { return log_.get(); }
  const Model& model() const { return model_; }

 private:
  // An error of these is for good.
  absl::Status Final(absl::Status status) {
    must_refuse_ = must_refuse_ || !status.ok();
    return status;
  }

  absl::Status AppendSome() {
    std::vector<std::string> payloads;
    for (uint64_t n = 1 + random_.Below(4); n > 0; --n) {
      const uint64_t bytes = random_.OneIn(3) ? random_.Below(40) : random_.Below(3500);
      payloads.push_back(absl::StrCat(model_.appended.size() + payloads.size(), ":", random_.Bytes(bytes)));
    }
    model_.appended.resize(log_->last_index());
    model_.appended.insert(model_.appended.end(), payloads.begin(), payloads.end());
    auto placed = log_->Append(Drafts(*log_, payloads));
    if (!placed.ok()) return Final(placed.status());
    model_.placed.insert(model_.placed.end(), placed->begin(), placed->end());
    return absl::OkStatus();
  }

  void Checkpoint() {
    if (model_.synced == 0) return;
    const CommitLog::Placed& last = model_.placed.at(model_.synced - 1);
    model_.anchor = {last.index, last.position, last.end_position, last.chain};
  }

  absl::Status FillUp() {
    const absl::StatusOr<Env::Space> space = disk_->GetSpace("/");
    if (!space.ok()) return space.status();
    disk_->SetCapacity(space->capacity_bytes - space->available_bytes + 1500);
    absl::Status status;
    while (status.ok()) status = AppendSome();
    disk_->SetCapacity(kManyBytes);
    if (!absl::IsResourceExhausted(status)) return status;
    ExpectRefuses();
    return Open();
  }

  // Everything synced is there, nothing that was not appended is, in order and without a hole. An error is the disk's.
  absl::Status Check(const std::vector<std::string>& replayed) {
    const LogIndex end = log_->last_index();
    EXPECT_GE(end, model_.synced);
    EXPECT_LE(end, model_.appended.size());
    EXPECT_EQ(log_->durable_index(), end);
    EXPECT_EQ(replayed.size(), end - model_.anchor.index);
    EXPECT_TRUE(std::equal(replayed.begin(), replayed.end(),
                           model_.appended.begin() + static_cast<ptrdiff_t>(model_.anchor.index)));
    if (end > 0) RETURN_IF_ERROR(CheckRecords());
    model_.appended.resize(end);
    model_.synced = end;
    return absl::OkStatus();
  }

  // The whole log as it stands, with its running hash, and each record by itself.
  absl::Status CheckRecords() {
    ASSIGN_OR_RETURN(const LogStart start, FindLogStart(disk_, kLogDir, SmallLog()));
    EXPECT_LE(start.position, model_.anchor.position);
    model_.placed.resize(std::min<size_t>(model_.placed.size(), start.index - 1));
    const auto visit = [this](const Record& record) {
      const uint64_t end_position = record.position + RecordSize(record.payload.size());
      EXPECT_EQ(record.payload.view(), model_.appended[record.header.index - 1]);
      model_.placed.push_back(
          {record.header.index, record.position, end_position, RecordChain(record.header, record.payload.view())});
      return absl::OkStatus();
    };
    ASSIGN_OR_RETURN(const LogScan scan, ScanLog(disk_, kLogDir, SmallLog(), start, visit));
    EXPECT_EQ(scan.last_index, log_->last_index());
    EXPECT_EQ(scan.chain, log_->chain());
    EXPECT_FALSE(scan.is_torn);
    for (LogIndex index = start.index; index <= scan.last_index; ++index) {
      const CommitLog::Placed& place = model_.placed[index - 1];
      ASSIGN_OR_RETURN(const Record record,
                       log_->Read(place.position, index % 2 ? 0 : place.end_position - place.position));
      EXPECT_EQ(record.payload.view(), model_.appended[index - 1]);
    }
    return absl::OkStatus();
  }

  SimulatedDisk* const disk_;
  SeededRandom random_;
  const uint64_t work_seed_;
  Model model_;
  bool must_refuse_ = false;
  std::unique_ptr<CommitLog> log_;
};

class CommitLogCrashTest : public ::testing::Test {
 protected:
  CommitLogCrashTest() {
    SetLogSink([](LogLevel, absl::string_view) {});
  }
  ~CommitLogCrashTest() override { SetLogSink(nullptr); }
};

TEST_F(CommitLogCrashTest, PowerIsCutAtEveryCallInTurn) {
  int64_t cut_points = 0, cases = 0, torn = 0, kept_unsynced = 0;
  for (uint64_t work_seed = 1; work_seed <= 4; ++work_seed) {
    for (int64_t cut = 1;; ++cut) {
      bool is_cut = false;
      for (uint64_t disk_seed = 1; disk_seed <= 5; ++disk_seed) {
        SCOPED_TRACE(absl::StrCat("work seed ", work_seed, ", power cut at change ", cut, ", disk seed ", disk_seed));
        SimulatedDisk disk(disk_seed * 1000 + static_cast<uint64_t>(cut));
        Life life(work_seed, &disk);
        disk.CutPowerAtCall(cut);
        const absl::Status status = life.Work();
        is_cut = !disk.powered();
        if (!is_cut) {
          ASSERT_THAT(status, IsOk());
          break;
        }
        ASSERT_THAT(status, testing::Not(IsOk()));
        ++cases;
        life.Close();
        disk.Restart();
        // Every third recovery is cut as well, somewhere.
        if (disk_seed % 3 == 0) {
          disk.CutPowerAtCall(1 + (cut + static_cast<int64_t>(disk_seed)) % 6);
          life.Open().IgnoreError();
          life.Close();
          disk.CutPowerAtCall(0);
          disk.Restart();
          disk.CutPower();
        }
        const LogIndex synced = life.model().synced;
        ASSERT_THAT(life.Open(), IsOk());
        if (HasFailure()) return;
        torn += life.log()->was_torn();
        kept_unsynced += life.log()->last_index() > synced;
        // And it is a log like any other: it goes on, and forgets the cut.
        ASSERT_THAT(life.Work(3), IsOk());
        life.Close();
        disk.CutPower();
        ASSERT_THAT(life.Open(), IsOk());
        if (HasFailure()) return;
      }
      if (!is_cut) break;
      ++cut_points;
    }
  }
  std::cout << cut_points << " cut points, " << cases << " cases, " << torn << " torn tails, " << kept_unsynced
            << " that kept records not yet synced\n";
  EXPECT_GE(cut_points, 300);
  EXPECT_GT(torn, 100);
  EXPECT_GT(kept_unsynced, 100);
}

TEST_F(CommitLogCrashTest, EveryCallFailsInTurn) {
  int64_t cases = 0;
  for (uint64_t work_seed = 1; work_seed <= 2; ++work_seed) {
    for (int64_t n = 1;; ++n) {
      bool is_done = false;
      for (const bool is_power_cut : {false, true}) {
        SCOPED_TRACE(
            absl::StrCat("work seed ", work_seed, ", call ", n, " fails, then ", is_power_cut ? "power" : "process"));
        SimulatedDisk disk(static_cast<uint64_t>(n));
        Life life(work_seed, &disk);
        disk.FailCall(n);
        const absl::Status status = life.Work();
        is_done = disk.calls() < n;
        if (is_done) {
          ASSERT_THAT(status, IsOk());
          break;
        }
        ++cases;
        disk.FailCall(0);
        life.ExpectRefuses();
        life.Close();
        if (is_power_cut) {
          disk.CutPower();
        } else {
          disk.KillProcess();
        }
        ASSERT_THAT(life.Open(), IsOk());
        if (HasFailure()) return;
        ASSERT_THAT(life.Work(3), IsOk());
        life.Close();
        disk.CutPower();
        ASSERT_THAT(life.Open(), IsOk());
        if (HasFailure()) return;
      }
      if (is_done) break;
    }
  }
  std::cout << cases << " failed calls\n";
  EXPECT_GE(cases, 300);
}

TEST_F(CommitLogCrashTest, NothingIsAcceptedAfterTheDiskIsGone) {
  for (int64_t n = 1; n < 150; ++n) {
    SimulatedDisk disk(static_cast<uint64_t>(n));
    Life life(/*work_seed=*/3, &disk);
    disk.FailCallsFrom(n);
    ASSERT_THAT(life.Work(/*rounds=*/24), testing::Not(IsOk())) << n;
    disk.FailCallsFrom(0);
    life.ExpectRefuses();
    life.Close();
    disk.CutPower();
    ASSERT_THAT(life.Open(), IsOk()) << n;
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace barid::storage
