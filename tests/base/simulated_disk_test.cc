#include "base/simulated/disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "tests/base/status_matchers.h"

namespace barid {
namespace {

using absl::StatusCode;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Sectors(char fill, int count) { return std::string(count * kSectorBytes, fill); }

// How often a random outcome is looked at.
constexpr uint64_t kSeeds = 100;

class SimulatedDiskTest : public testing::Test {
 protected:
  std::unique_ptr<File> Open(const std::string& path, OpenMode mode, bool direct = false) {
    absl::StatusOr<std::unique_ptr<File>> file = disk_.Open(path, {mode, direct});
    EXPECT_THAT(file, IsOk());
    return file.ok() ? *std::move(file) : nullptr;
  }
  // A file whose content and name are durable.
  void MakeDurable(const std::string& path, absl::string_view content) {
    EXPECT_THAT(WriteFileDurably(&disk_, path, content), IsOk());
  }
  std::string Direct(const std::string& path) {
    std::string out(64 * kDirectAlignment, '\0');
    out.resize(*Open(path, OpenMode::kRead, true)->Read(0, out.size(), out.data()));
    return out;
  }
  // What is in the file after a power cut, by seed, without disturbing the disk.
  std::string AfterCut(uint64_t seed, const std::string& path) {
    const std::unique_ptr<SimulatedDisk> clone = disk_.Clone(seed);
    clone->CutPower();
    const absl::StatusOr<std::string> content = ReadFile(clone.get(), path);
    return content.ok() ? *content : "(" + std::string(content.status().message()) + ")";
  }

  SimulatedDisk disk_{1};
};

TEST_F(SimulatedDiskTest, UnsyncedSectorsAreLostOrKeptEachByItself) {
  MakeDurable("/f", Sectors('o', 20));
  ASSERT_THAT(Open("/f", OpenMode::kReadWrite)->Write(0, Sectors('n', 20)), IsOk());
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const std::string content = AfterCut(seed, "/f");
    ASSERT_EQ(content.size(), 20 * kSectorBytes);
    for (size_t i = 0; i < content.size(); i += kSectorBytes) {
      ASSERT_THAT(content.substr(i, kSectorBytes), AnyOf(Sectors('o', 1), Sectors('n', 1))) << "seed " << seed;
    }
    seen.insert(content);
  }
  EXPECT_TRUE(seen.count(Sectors('o', 20)));
  EXPECT_TRUE(seen.count(Sectors('n', 20)));
  EXPECT_GT(seen.size(), 20u);  // And torn in many ways.
}

TEST_F(SimulatedDiskTest, SyncedSectorsAreKept) {
  MakeDurable("/f", "");
  const auto file = Open("/f", OpenMode::kReadWrite);
  ASSERT_THAT(file->Write(0, Sectors('a', 20)), IsOk());
  ASSERT_THAT(file->Sync(), IsOk());
  ASSERT_THAT(file->Write(20 * kSectorBytes, Sectors('b', 5)), IsOk());
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    EXPECT_EQ(AfterCut(seed, "/f").substr(0, 20 * kSectorBytes), Sectors('a', 20)) << "seed " << seed;
  }
}

TEST_F(SimulatedDiskTest, AnUnsyncedSizeIsOldOrNewOrBetween) {
  MakeDurable("/f", Sectors('a', 2));
  ASSERT_THAT(Open("/f", OpenMode::kReadWrite)->Write(2 * kSectorBytes, Sectors('b', 8)), IsOk());
  std::set<size_t> sizes;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) sizes.insert(AfterCut(seed, "/f").size());
  EXPECT_EQ(*sizes.begin(), 2 * kSectorBytes);
  EXPECT_EQ(*sizes.rbegin(), 10 * kSectorBytes);
  EXPECT_GT(sizes.size(), 3u);
}

TEST_F(SimulatedDiskTest, WhatWasTruncatedDoesNotComeBackInALargerFile) {
  MakeDurable("/f", Sectors('a', 10));
  const auto file = Open("/f", OpenMode::kReadWrite);
  ASSERT_THAT(file->Truncate(100), IsOk());
  ASSERT_THAT(file->Truncate(10 * kSectorBytes), IsOk());
  const std::string expected = std::string(100, 'a') + std::string(10 * kSectorBytes - 100, '\0');
  EXPECT_THAT(ReadFile(&disk_, "/f"), IsOkAndHolds(expected));
  ASSERT_THAT(file->Sync(), IsOk());
  for (uint64_t seed = 0; seed < kSeeds; ++seed) EXPECT_EQ(AfterCut(seed, "/f"), expected) << "seed " << seed;
}

TEST_F(SimulatedDiskTest, AVersionBetweenTwoMayBeWhatIsLeft) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimulatedDisk disk(seed);
    ASSERT_THAT(WriteFileDurably(&disk, "/f", "1"), IsOk());
    auto file = disk.Open("/f", {OpenMode::kReadWrite});
    ASSERT_THAT((*file)->Write(0, "2"), IsOk());
    ASSERT_THAT((*file)->Write(0, "3"), IsOk());
    disk.CutPower();
    seen.insert(*ReadFile(&disk, "/f"));
  }
  EXPECT_THAT(seen, ElementsAre("1", "2", "3"));
}

TEST_F(SimulatedDiskTest, AFileWhoseDirectoryWasNotSyncedMayBeGone) {
  {
    const auto file = Open("/f", OpenMode::kCreate);
    ASSERT_THAT(file->Write(0, "synced"), IsOk());
    ASSERT_THAT(file->Sync(), IsOk());
  }
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) seen.insert(AfterCut(seed, "/f"));
  EXPECT_THAT(seen, ElementsAre("(/f: no such file or directory)", "synced"));
  ASSERT_THAT(disk_.SyncDir("/"), IsOk());
  for (uint64_t seed = 0; seed < kSeeds; ++seed) EXPECT_EQ(AfterCut(seed, "/f"), "synced");
}

TEST_F(SimulatedDiskTest, ADirectoryIsDurableOnlyWithItsParent) {
  ASSERT_THAT(disk_.CreateDir("/a/b"), IsOk());
  MakeDurable("/a/b/f", "content");
  ASSERT_THAT(disk_.SyncDir("/a"), IsOk());
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) seen.insert(AfterCut(seed, "/a/b/f"));
  EXPECT_THAT(seen, ElementsAre("(/a/b/f: no such file or directory)", "content"));
  ASSERT_THAT(disk_.SyncDir("/"), IsOk());
  for (uint64_t seed = 0; seed < kSeeds; ++seed) EXPECT_EQ(AfterCut(seed, "/a/b/f"), "content");
}

TEST_F(SimulatedDiskTest, ARenameHappensWhollyOrNotAlsoBetweenDirectories) {
  ASSERT_THAT(disk_.CreateDir("/x"), IsOk());
  ASSERT_THAT(disk_.CreateDir("/y"), IsOk());
  ASSERT_THAT(disk_.SyncDir("/"), IsOk());
  MakeDurable("/x/new", "new");
  MakeDurable("/y/f", "old");
  ASSERT_THAT(disk_.Rename("/x/new", "/y/f"), IsOk());
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) seen.insert(AfterCut(seed, "/x/new") + " " + AfterCut(seed, "/y/f"));
  EXPECT_THAT(seen, ElementsAre("(/x/new: no such file or directory) new", "new old"));
  ASSERT_THAT(disk_.SyncDir("/y"), IsOk());
  for (uint64_t seed = 0; seed < kSeeds; ++seed) EXPECT_EQ(AfterCut(seed, "/y/f"), "new");
}

TEST_F(SimulatedDiskTest, DirectoryOperationsSurviveInTheirOrder) {
  for (int i = 0; i < 5; ++i) Open(absl::StrCat("/", i), OpenMode::kCreate);
  std::set<size_t> counts;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const auto clone = disk_.Clone(seed);
    clone->CutPower();
    const std::vector<std::string> names = clone->FileNames();
    for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(names[i], absl::StrCat("/", i)) << "seed " << seed;
    counts.insert(names.size());
  }
  EXPECT_EQ(counts.size(), 6u);
}

TEST_F(SimulatedDiskTest, ARemovedFileMayComeBack) {
  MakeDurable("/f", "content");
  ASSERT_THAT(disk_.Remove("/f"), IsOk());
  EXPECT_THAT(disk_.Exists("/f"), IsOkAndHolds(false));
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) seen.insert(AfterCut(seed, "/f"));
  EXPECT_THAT(seen, ElementsAre("(/f: no such file or directory)", "content"));
}

TEST_F(SimulatedDiskTest, ACrashVoidsOpenFilesAndLocks) {
  MakeDurable("/f", "content");
  const auto file = Open("/f", OpenMode::kReadWrite);
  const auto lock = disk_.LockDir("/");
  EXPECT_THAT(disk_.LockDir("/"), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("held")));
  disk_.CutPower();
  EXPECT_THAT(file->Write(0, "x"), StatusIs(StatusCode::kUnavailable, HasSubstr("/f")));
  EXPECT_THAT(file->Sync(), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(file->Size(), StatusIs(StatusCode::kUnavailable));
  const auto second_lock = disk_.LockDir("/");
  EXPECT_THAT(second_lock, IsOk());
  EXPECT_THAT(ReadFile(&disk_, "/f"), IsOkAndHolds("content"));
}

TEST_F(SimulatedDiskTest, ALateUnlockDoesNotFreeTheNextHoldersLock) {
  auto old_lock = *disk_.LockDir("/");
  disk_.KillProcess();
  const auto lock = disk_.LockDir("/");
  old_lock.reset();
  EXPECT_THAT(disk_.LockDir("/"), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(SimulatedDiskTest, AKilledProcessLosesNoData) {
  const auto file = Open("/f", OpenMode::kCreate);
  ASSERT_THAT(file->Write(0, "unsynced"), IsOk());
  disk_.KillProcess();
  EXPECT_THAT(file->Write(0, "x"), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(ReadFile(&disk_, "/f"), IsOkAndHolds("unsynced"));
}

TEST_F(SimulatedDiskTest, AfterAFailedSyncTheCacheShowsWhatTheDiskHasNot) {
  std::set<std::string> on_disk;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimulatedDisk disk(seed);
    ASSERT_THAT(WriteFileDurably(&disk, "/f", Sectors('o', 8)), IsOk());
    auto file = *disk.Open("/f", {OpenMode::kReadWrite});
    ASSERT_THAT(file->Write(0, Sectors('n', 8)), IsOk());
    disk.FailNextSync();
    ASSERT_THAT(file->Sync(), StatusIs(StatusCode::kDataLoss));
    ASSERT_THAT(file->Sync(), IsOk());  // A lie, as on Linux.
    EXPECT_THAT(ReadFile(&disk, "/f"), IsOkAndHolds(Sectors('n', 8)));

    auto direct = *disk.Open("/f", {OpenMode::kRead, true});
    std::string shown(8 * kSectorBytes, '\0');
    ASSERT_THAT(direct->Read(0, shown.size(), shown.data()), IsOkAndHolds(shown.size()));
    on_disk.insert(shown);
    disk.CutPower();
    EXPECT_THAT(ReadFile(&disk, "/f"), IsOkAndHolds(shown));
  }
  EXPECT_TRUE(on_disk.count(Sectors('o', 8)));
  EXPECT_GT(on_disk.size(), 10u);
}

TEST_F(SimulatedDiskTest, DirectReadsShowWhatWaitsToBeWritten) {
  ASSERT_THAT(Open("/f", OpenMode::kCreate)->Write(0, "unsynced"), IsOk());
  EXPECT_EQ(Direct("/f"), "unsynced");
}

TEST_F(SimulatedDiskTest, DirectAccessMustBeAligned) {
  const auto file = Open("/f", OpenMode::kCreate, true);
  char byte = 0;
  EXPECT_THAT(file->Write(0, "short"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("4096")));
  EXPECT_THAT(file->Read(512, 4096, &byte), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(SimulatedDiskTest, TheNthCallFailsAndNoOther) {
  disk_.FailCall(3);
  const auto file = Open("/f", OpenMode::kCreate);
  EXPECT_THAT(file->Write(0, "a"), IsOk());
  EXPECT_THAT(file->Write(0, "b"), StatusIs(StatusCode::kUnavailable, HasSubstr("/f")));
  EXPECT_THAT(file->Write(0, "c"), IsOk());
  disk_.FailCall(1);
  EXPECT_THAT(file->Sync(), StatusIs(StatusCode::kDataLoss));
  disk_.FailCall(1);
  EXPECT_THAT(disk_.SyncDir("/"), StatusIs(StatusCode::kDataLoss));
  disk_.FailCall(1);
  EXPECT_THAT(disk_.Remove("/f"), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(disk_.Exists("/f"), IsOkAndHolds(true));
}

TEST_F(SimulatedDiskTest, AllCallsFailFromTheNthOn) {
  disk_.FailCallsFrom(2);
  EXPECT_THAT(disk_.CreateDir("/a"), IsOk());
  EXPECT_THAT(disk_.CreateDir("/b"), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(disk_.ListDir("/"), StatusIs(StatusCode::kUnavailable));
  disk_.FailCallsFrom(0);
  EXPECT_THAT(disk_.ListDir("/"), IsOkAndHolds(ElementsAre("a")));
}

TEST_F(SimulatedDiskTest, ThePowerGoesAtTheNthChangeAndStaysAway) {
  disk_.CutPowerAtCall(3);
  const auto file = Open("/f", OpenMode::kCreate);
  EXPECT_THAT(file->Size(), IsOkAndHolds(0u));  // No change.
  EXPECT_THAT(file->Write(0, "a"), IsOk());
  EXPECT_TRUE(disk_.powered());
  EXPECT_THAT(file->Sync(), StatusIs(StatusCode::kUnavailable));
  EXPECT_FALSE(disk_.powered());
  EXPECT_THAT(disk_.ListDir("/"), StatusIs(StatusCode::kUnavailable, HasSubstr("power")));
  disk_.Restart();
  EXPECT_THAT(disk_.ListDir("/"), IsOk());
  EXPECT_THAT(file->Sync(), StatusIs(StatusCode::kUnavailable));
}

TEST_F(SimulatedDiskTest, ADurableReplacementIsOldOrNewAtEveryCutPoint) {
  MakeDurable("/f", "old");
  for (int64_t cut = 1;; ++cut) {
    bool reached_end = true;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const auto disk = disk_.Clone(seed);
      disk->CutPowerAtCall(cut);
      const absl::Status status = WriteFileDurably(disk.get(), "/f", "new");
      reached_end = reached_end && status.ok();
      disk->Restart();
      if (status.ok()) disk->CutPower();
      EXPECT_THAT(ReadFile(disk.get(), "/f"), IsOkAndHolds(AnyOf("new", status.ok() ? "new" : "old")))
          << "cut at " << cut << ", seed " << seed;
    }
    if (!reached_end) continue;
    EXPECT_EQ(cut, 6);  // Create, write, sync, rename, sync of the directory.
    break;
  }
}

TEST_F(SimulatedDiskTest, AFullDiskRefusesAndMayKeepAPart) {
  disk_.SetCapacity(10'000);
  const auto file = Open("/f", OpenMode::kCreate);
  ASSERT_THAT(file->Write(0, std::string(8'000, 'a')), IsOk());
  EXPECT_THAT(file->Write(8'000, std::string(4'000, 'b')), StatusIs(StatusCode::kResourceExhausted, HasSubstr("/f")));
  EXPECT_LE(*file->Size(), 10'000u);
  EXPECT_THAT(file->Truncate(20'000), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(file->Write(0, std::string(8'000, 'c')), IsOk());  // There is room for what is there.
  ASSERT_THAT(file->Truncate(4'000), IsOk());
  const absl::StatusOr<Env::Space> space = disk_.GetSpace("/");
  ASSERT_THAT(space, IsOk());
  EXPECT_EQ(space->available_bytes, 6'000u);
  EXPECT_EQ(space->capacity_bytes, 10'000u);
  ASSERT_THAT(disk_.Remove("/f"), IsOk());
  EXPECT_EQ(disk_.GetSpace("/")->available_bytes, 10'000u);
}

TEST_F(SimulatedDiskTest, AFlippedBitIsInTheCacheAndOnTheDisk) {
  MakeDurable("/f", "aaa");
  disk_.FlipBit("/f", 8);
  EXPECT_THAT(ReadFile(&disk_, "/f"), IsOkAndHolds("a`a"));
  EXPECT_EQ(Direct("/f"), "a`a");
  EXPECT_EQ(AfterCut(1, "/f"), "a`a");
}

TEST_F(SimulatedDiskTest, OpenModesAreThoseOfEnv) {
  EXPECT_THAT(disk_.Open("/f", {OpenMode::kRead}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(disk_.Open("/f", {OpenMode::kReadWrite}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(disk_.Open("/no/f", {OpenMode::kCreate}), StatusIs(StatusCode::kNotFound));
  ASSERT_THAT(Open("/f", OpenMode::kCreate)->Write(0, "abc"), IsOk());
  EXPECT_THAT(disk_.Open("/f", {OpenMode::kCreate}), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(Open("/f", OpenMode::kAppend)->Size(), IsOkAndHolds(3u));
  EXPECT_THAT(Open("/f", OpenMode::kRead)->Write(0, "x"), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(Open("/f", OpenMode::kTruncate)->Size(), IsOkAndHolds(0u));
  EXPECT_THAT(disk_.Open("/", {OpenMode::kRead}), StatusIs(StatusCode::kUnavailable));
}

TEST_F(SimulatedDiskTest, DirectoriesAreRemovedOnlyEmpty) {
  ASSERT_THAT(disk_.CreateDir("/a/b"), IsOk());
  EXPECT_THAT(disk_.RemoveDir("/a"), StatusIs(StatusCode::kUnavailable, HasSubstr("not empty")));
  EXPECT_THAT(disk_.Remove("/a/b"), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(disk_.RemoveDir("/a/b"), IsOk());
  EXPECT_THAT(disk_.RemoveDir("/a/b"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(disk_.ListDir("/a"), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(disk_.Rename("/none", "/x"), StatusIs(StatusCode::kNotFound));
}

TEST_F(SimulatedDiskTest, TheObserverMayCloneTheDiskAtEveryCall) {
  std::vector<std::unique_ptr<SimulatedDisk>> clones;
  disk_.SetCallObserver([&](const SimulatedDisk::Call& call) {
    if (call.is_change) clones.push_back(disk_.Clone(clones.size()));
  });
  MakeDurable("/f", "content");
  disk_.SetCallObserver(nullptr);
  ASSERT_EQ(clones.size(), 5u);
  EXPECT_THAT(clones[0]->FileNames(), IsEmpty());
  EXPECT_THAT(clones[2]->FileNames(), ElementsAre("/f.tmp"));
  EXPECT_THAT(ReadFile(clones[4].get(), "/f"), IsOkAndHolds("content"));
}

TEST_F(SimulatedDiskTest, CountsWhatHappened) {
  MakeDurable("/f", "content");
  ASSERT_THAT(ReadFile(&disk_, "/f"), IsOk());
  EXPECT_EQ(disk_.writes(), 1);
  EXPECT_EQ(disk_.syncs(), 1);
  EXPECT_EQ(disk_.changes(), 5);
  EXPECT_EQ(disk_.calls(), 8);
}

// Against the plainest model there is.
TEST_F(SimulatedDiskTest, ReadsWhatWasWrittenWhereverItWas) {
  constexpr uint64_t kSeed = 99;
  SCOPED_TRACE(kSeed);
  SeededRandom random(kSeed);
  const auto file = Open("/f", OpenMode::kCreate);
  std::string model;
  for (int i = 0; i < 3000; ++i) {
    const uint64_t offset = random.Below(30'000);
    const std::string a = random.Bytes(random.Below(3'000));
    const std::string b = random.Bytes(random.Below(3'000));
    if (random.OneIn(10)) {
      ASSERT_THAT(file->Truncate(offset), IsOk());
      model.resize(offset, '\0');
    } else if (random.OneIn(10)) {
      ASSERT_THAT(file->Sync(), IsOk());
    } else {
      const absl::string_view pieces[] = {a, b};
      ASSERT_THAT(file->Write(offset, pieces), IsOk());
      if (model.size() < offset + a.size() + b.size()) model.resize(offset + a.size() + b.size(), '\0');
      model.replace(offset, a.size() + b.size(), a + b);
    }
    if (random.OneIn(50)) {
      ASSERT_EQ(*ReadFile(&disk_, "/f"), model);
      ASSERT_EQ(Direct("/f"), model);
    }
  }
  ASSERT_THAT(file->Sync(), IsOk());
  ASSERT_THAT(disk_.SyncDir("/"), IsOk());
  disk_.CutPower();
  EXPECT_EQ(*ReadFile(&disk_, "/f"), model);
}

}  // namespace
}  // namespace barid
