#include "base/env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/simulated/disk.h"
#include "tests/base/status_matchers.h"

namespace barid {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(JoinPathTest, PutsOneSlashBetween) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
}

TEST(WriteFileDurablyTest, LeavesTheOldFileAndNoRubbishWhenItFails) {
  for (int64_t n = 1; n <= 4; ++n) {
    SimulatedDisk disk(n);
    ASSERT_THAT(WriteFileDurably(&disk, "/f", "old"), IsOk());
    disk.FailCall(n);
    EXPECT_THAT(WriteFileDurably(&disk, "/f", "new"), testing::Not(IsOk())) << n;
    EXPECT_THAT(ReadFile(&disk, "/f"), IsOkAndHolds("old")) << n;
    EXPECT_THAT(disk.FileNames(), ElementsAre("/f")) << n;
  }
}

// The machine's file system, in a directory of its own.
class RealEnvTest : public testing::Test {
 protected:
  RealEnvTest() {
    char name[] = "/tmp/barid-env-test-XXXXXX";
    dir_ = mkdtemp(name);
  }
  ~RealEnvTest() override { [[maybe_unused]] const int result = std::system(absl::StrCat("rm -rf ", dir_).c_str()); }
  std::string Path(absl::string_view name) const { return JoinPath(dir_, name); }
  std::unique_ptr<File> Open(absl::string_view name, OpenMode mode, bool direct = false) {
    absl::StatusOr<std::unique_ptr<File>> file = env_->Open(Path(name), {mode, direct});
    EXPECT_THAT(file, IsOk());
    return file.ok() ? *std::move(file) : nullptr;
  }

  Env* const env_ = RealEnv();
  std::string dir_;
};

TEST_F(RealEnvTest, ErrorsCarryThePathAndTheReason) {
  EXPECT_THAT(env_->Open(Path("none"), {OpenMode::kRead}),
              StatusIs(StatusCode::kNotFound, absl::StrCat("open ", Path("none"), ": No such file or directory")));
  EXPECT_THAT(env_->Open(Path("none"), {OpenMode::kReadWrite}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_->Remove(Path("none")), StatusIs(StatusCode::kNotFound, HasSubstr(Path("none"))));
  EXPECT_THAT(env_->Rename(Path("none"), Path("x")), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_->ListDir(Path("none")), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_->SyncDir(Path("none")), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_->GetSpace(Path("none")), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_->LockDir(Path("none")), StatusIs(StatusCode::kNotFound));
}

TEST_F(RealEnvTest, CreateRefusesWhatExists) {
  Open("f", OpenMode::kCreate);
  EXPECT_THAT(env_->Open(Path("f"), {OpenMode::kCreate}), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(env_->CreateDir(Path("f")), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(Open("f", OpenMode::kRead)->Write(0, "x"), StatusIs(StatusCode::kUnavailable));
}

TEST_F(RealEnvTest, DirectoriesAreRemovedOnlyEmpty) {
  ASSERT_THAT(env_->CreateDir(Path("a/b/c")), IsOk());
  ASSERT_THAT(env_->CreateDir(Path("a/b/c")), IsOk());
  EXPECT_THAT(env_->RemoveDir(Path("a/b")), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(env_->RemoveDir(Path("a/b/c")), IsOk());
  EXPECT_THAT(env_->Exists(Path("a/b/c")), IsOkAndHolds(false));
  EXPECT_THAT(env_->ListDir(Path("a/b")), IsOkAndHolds(IsEmpty()));
}

TEST_F(RealEnvTest, ASecondHolderOfALockIsToldWhoHasIt) {
  auto lock = env_->LockDir(dir_);
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(env_->LockDir(dir_),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr(absl::StrCat("held by pid ", getpid()))));
  lock->reset();
  EXPECT_THAT(env_->LockDir(dir_), IsOk());
}

TEST_F(RealEnvTest, ALockOfOneWhoLooksChangesNothing) {
  auto unused = env_->LockDirUnchanged(dir_);
  ASSERT_THAT(unused, IsOk());
  EXPECT_THAT(env_->ListDir(dir_), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(env_->LockDirUnchanged(dir_), StatusIs(StatusCode::kFailedPrecondition));
  unused->reset();
  EXPECT_THAT(env_->LockDirUnchanged(Path("none")), StatusIs(StatusCode::kNotFound));

  ASSERT_THAT(WriteFileDurably(env_, Path("LOCK"), "12345\n"), IsOk());
  auto lock = env_->LockDirUnchanged(dir_);
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(ReadFile(env_, Path("LOCK")), IsOkAndHolds("12345\n"));
  EXPECT_THAT(env_->LockDir(dir_), StatusIs(StatusCode::kFailedPrecondition));
  lock->reset();
  const auto owner = env_->LockDir(dir_);
  ASSERT_THAT(owner, IsOk());
  EXPECT_THAT(env_->LockDirUnchanged(dir_),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr(absl::StrCat("held by pid ", getpid()))));
}

TEST_F(RealEnvTest, ALockEndsWithItsProcess) {
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = env_->LockDir(dir_);
    _exit(lock.ok() ? 0 : 1);  // Without giving it back.
  }
  int exit_status = -1;
  ASSERT_EQ(waitpid(child, &exit_status, 0), child);
  EXPECT_EQ(exit_status, 0);
  EXPECT_THAT(env_->LockDir(dir_), IsOk());
}

TEST_F(RealEnvTest, ManyPiecesAreWrittenBehindEachOther) {
  const auto file = Open("f", OpenMode::kCreate);
  std::vector<std::string> texts;
  std::string all;
  for (int i = 0; i < 200; ++i) all += texts.emplace_back(std::string(i % 7, static_cast<char>('a' + i % 26)));
  const std::vector<absl::string_view> pieces(texts.begin(), texts.end());
  ASSERT_THAT(file->Write(3, pieces), IsOk());
  EXPECT_THAT(file->Sync(), IsOk());
  EXPECT_THAT(ReadFile(env_, Path("f")), IsOkAndHolds(std::string(3, '\0') + all));
}

TEST_F(RealEnvTest, ReadsStopAtTheEnd) {
  const auto file = Open("f", OpenMode::kCreate);
  ASSERT_THAT(file->Write(0, "abcdef"), IsOk());
  char out[10];
  EXPECT_THAT(file->Read(4, 10, out), IsOkAndHolds(2u));
  EXPECT_THAT(file->Read(100, 10, out), IsOkAndHolds(0u));
  ASSERT_THAT(file->Truncate(3), IsOk());
  EXPECT_THAT(file->Size(), IsOkAndHolds(3u));
  EXPECT_THAT(Open("f", OpenMode::kTruncate)->Size(), IsOkAndHolds(0u));
}

TEST_F(RealEnvTest, DirectAccessTakesMemoryOfAnyAlignment) {
  constexpr uint64_t kSeed = 5;
  const std::string content = SeededRandom(kSeed).Bytes(4 * kDirectAlignment);
  const auto file = Open("f", OpenMode::kCreate, true);
  const absl::string_view whole(content);
  const absl::string_view pieces[] = {whole.substr(0, 100), whole.substr(100)};
  ASSERT_THAT(file->Write(kDirectAlignment, pieces), IsOk());
  std::string out(6 * kDirectAlignment + 1, '\0');
  ASSERT_THAT(file->Read(0, 6 * kDirectAlignment, out.data() + 1), IsOkAndHolds(5 * kDirectAlignment));
  EXPECT_EQ(out.substr(1, 5 * kDirectAlignment), std::string(kDirectAlignment, '\0') + content);
  ASSERT_THAT(file->Truncate(kDirectAlignment + 10), IsOk());
  EXPECT_THAT(file->Read(0, 6 * kDirectAlignment, out.data()), IsOkAndHolds(kDirectAlignment + 10));
}

TEST_F(RealEnvTest, FilesAreReplacedAndListed) {
  ASSERT_THAT(WriteFileDurably(env_, Path("b"), "one"), IsOk());
  ASSERT_THAT(WriteFileDurably(env_, Path("b"), "two"), IsOk());
  ASSERT_THAT(WriteFileDurably(env_, Path("a"), ""), IsOk());
  EXPECT_THAT(ReadFile(env_, Path("b")), IsOkAndHolds("two"));
  EXPECT_THAT(env_->ListDir(dir_), IsOkAndHolds(ElementsAre("a", "b")));
  ASSERT_THAT(env_->Remove(Path("a")), IsOk());
  EXPECT_THAT(env_->Exists(Path("a")), IsOkAndHolds(false));
  EXPECT_THAT(env_->Exists(Path("b")), IsOkAndHolds(true));
}

TEST_F(RealEnvTest, KnowsTheSpace) {
  const absl::StatusOr<Env::Space> space = env_->GetSpace(dir_);
  ASSERT_THAT(space, IsOk());
  EXPECT_GT(space->capacity_bytes, 0u);
  EXPECT_LE(space->available_bytes, space->capacity_bytes);
}

}  // namespace
}  // namespace barid
