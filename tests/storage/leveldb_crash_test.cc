#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "storage/key_value_store.h"
#include "tests/storage/testing.h"

// LevelDB on our Env, on a disk that loses power at every call in turn. Its compactions run on a thread of its own, so
// the same seed does not repeat the same case; what is checked holds in every case.
namespace barid::storage {
namespace {

using Entries = std::map<std::string, std::string>;

constexpr int kBatches = 30;
constexpr int kBatchKeys = 25;
constexpr int kKeys = 40;

std::vector<KeyValueStore::Operation> MakeBatch(SeededRandom* random, int number) {
  std::vector<KeyValueStore::Operation> batch;
  for (int i = 0; i < kBatchKeys; ++i) {
    KeyValueStore::Operation operation;
    operation.key = "key" + std::to_string(random->Below(kKeys));
    // Random, so that it does not compress: tables are written and compacted after every few batches.
    if (!random->OneIn(5)) operation.value = std::to_string(number) + ":" + random->Bytes(random->Below(1200));
    batch.push_back(std::move(operation));
  }
  return batch;
}

void Apply(const std::vector<KeyValueStore::Operation>& batch, Entries* entries) {
  for (const KeyValueStore::Operation& operation : batch) {
    if (operation.value) {
      (*entries)[operation.key] = *operation.value;
    } else {
      entries->erase(operation.key);
    }
  }
}

class LevelDbCrashTest : public ::testing::Test {
 protected:
  LevelDbCrashTest() {
    SetLogSink([](LogLevel, absl::string_view) {});
  }
  ~LevelDbCrashTest() override { SetLogSink(nullptr); }

  static absl::StatusOr<std::unique_ptr<KeyValueStore>> Open(SimulatedDisk* disk) {
    KeyValueStoreOptions options;
    options.write_buffer_bytes = 64 << 10;
    return OpenLevelDbStore(disk, "/data/index", options);
  }

  static Entries ReadAll(const KeyValueStore& store) {
    Entries entries;
    EXPECT_THAT(store.Scan("", "",
                           [&entries](absl::string_view key, absl::string_view value) {
                             entries[std::string(key)] = std::string(value);
                             return true;
                           }),
                IsOk());
    return entries;
  }

  // Writes batches until one fails; the store is opened anew halfway. After it: what is acknowledged, and what may be.
  absl::Status Work(SimulatedDisk* disk, uint64_t seed) {
    acknowledged_.clear();
    possible_.clear();
    SeededRandom random(seed);
    auto store = Open(disk);
    for (int number = 0; number < kBatches; ++number) {
      if (number == kBatches / 2) {
        store = absl::UnavailableError("closed");
        store = Open(disk);
      }
      if (!store.ok()) return store.status();
      const std::vector<KeyValueStore::Operation> batch = MakeBatch(&random, number);
      Apply(batch, &possible_);
      if (const absl::Status status = (*store)->Write(batch); !status.ok()) return status;
      acknowledged_ = possible_;
    }
    return absl::OkStatus();
  }

  void ExpectTheLastBatchOrTheOneInFlight(SimulatedDisk* disk) {
    auto store = Open(disk);
    ASSERT_THAT(store, IsOk());
    const Entries found = ReadAll(**store);
    ASSERT_TRUE(found == acknowledged_ || found == possible_);
    // It goes on from there.
    ASSERT_THAT((*store)->Write({{"key0", "again"}}), IsOk());
    store = absl::UnavailableError("closed");
    disk->CutPower();
    store = Open(disk);
    ASSERT_THAT(store, IsOk());
    Entries expected = found;
    expected["key0"] = "again";
    ASSERT_TRUE(ReadAll(**store) == expected);
  }

  Entries acknowledged_;
  Entries possible_;
};

TEST_F(LevelDbCrashTest, PowerIsCutAtEveryCallInTurn) {
  int64_t cut_points = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    for (int64_t cut = 1;; ++cut) {
      SCOPED_TRACE(absl::StrCat("seed ", seed, ", power cut at change ", cut));
      SimulatedDisk disk(seed * 10000 + static_cast<uint64_t>(cut));
      disk.CutPowerAtCall(cut);
      const absl::Status status = Work(&disk, seed);
      if (disk.powered()) {
        ASSERT_THAT(status, IsOk());
        break;
      }
      ++cut_points;
      disk.Restart();
      disk.CutPowerAtCall(0);
      if (cut % 3 == 0) {  // Once more, while it is opened.
        disk.CutPowerAtCall(1 + cut % 17);
        Open(&disk).IgnoreError();
        disk.CutPowerAtCall(0);
        disk.Restart();
        disk.CutPower();
      }
      ExpectTheLastBatchOrTheOneInFlight(&disk);
      if (HasFailure()) return;
    }
  }
  std::cout << cut_points << " cut points\n";
  EXPECT_GE(cut_points, 300);
}

TEST_F(LevelDbCrashTest, EveryCallFailsInTurn) {
  int64_t failures = 0;
  for (int64_t n = 1;; ++n) {
    SCOPED_TRACE(absl::StrCat("call ", n, " fails"));
    SimulatedDisk disk(static_cast<uint64_t>(n));
    disk.FailCall(n);
    // Some calls may fail without anybody noticing: removing what is not needed any more, compactions behind the last
    // batch.
    Work(&disk, 1).IgnoreError();
    if (disk.calls() < n) break;
    ++failures;
    disk.FailCall(0);
    disk.CutPower();
    ExpectTheLastBatchOrTheOneInFlight(&disk);
    if (HasFailure()) return;
  }
  std::cout << failures << " failed calls\n";
  EXPECT_GE(failures, 200);
}

}  // namespace
}  // namespace barid::storage
