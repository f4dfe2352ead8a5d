#include "base/overlay_env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/simulated/disk.h"
#include "tests/base/status_matchers.h"

namespace barid {
namespace {

using ::absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Over a disk with "/d/kept" and "/d/old"; whatever a test does, the disk is the same afterwards.
class OverlayEnvTest : public ::testing::Test {
 protected:
  OverlayEnvTest() {
    EXPECT_THAT(disk_.CreateDir("/d"), IsOk());
    EXPECT_THAT(WriteFileDurably(&disk_, "/d/kept", "content"), IsOk());
    EXPECT_THAT(WriteFileDurably(&disk_, "/d/old", "old"), IsOk());
    changes_ = disk_.changes();
  }
  ~OverlayEnvTest() override {
    EXPECT_EQ(disk_.changes(), changes_);
    EXPECT_THAT(disk_.FileNames(), ElementsAre("/d/kept", "/d/old"));
    EXPECT_THAT(ReadFile(&disk_, "/d/kept"), IsOkAndHolds("content"));
    EXPECT_THAT(ReadFile(&disk_, "/d/old"), IsOkAndHolds("old"));
  }

  SimulatedDisk disk_{1};
  OverlayEnv env_{&disk_};
  int64_t changes_ = 0;
};

TEST_F(OverlayEnvTest, ShowsWhatIsBelow) {
  EXPECT_THAT(ReadFile(&env_, "/d/kept"), IsOkAndHolds("content"));
  EXPECT_THAT(env_.ListDir("/d"), IsOkAndHolds(ElementsAre("kept", "old")));
  EXPECT_THAT(env_.Exists("/d//kept"), IsOkAndHolds(true));
  EXPECT_THAT(env_.Exists("/d/none"), IsOkAndHolds(false));
  EXPECT_THAT(env_.Open("/d/none", {OpenMode::kRead}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_.ListDir("/none"), StatusIs(StatusCode::kNotFound));
}

TEST_F(OverlayEnvTest, KeepsWritesToItself) {
  const auto file = env_.Open("/d/kept", {OpenMode::kReadWrite});
  ASSERT_THAT(file, IsOk());
  ASSERT_THAT((*file)->Write(3, "fused and more"), IsOk());
  ASSERT_THAT((*file)->Sync(), IsOk());
  EXPECT_THAT(ReadFile(&env_, "/d/kept"), IsOkAndHolds("confused and more"));
  ASSERT_THAT((*file)->Truncate(3), IsOk());
  EXPECT_THAT((*file)->Size(), IsOkAndHolds(3u));
  EXPECT_THAT(ReadFile(&env_, "/d/kept"), IsOkAndHolds("con"));
}

TEST_F(OverlayEnvTest, OpensAsEnvSays) {
  EXPECT_THAT(env_.Open("/d/none", {OpenMode::kReadWrite}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_.Open("/d/old", {OpenMode::kCreate}), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(env_.Open("/none/file", {OpenMode::kCreate}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_.Open("/d/new", {OpenMode::kCreate}), IsOk());
  EXPECT_THAT(env_.Open("/d/new", {OpenMode::kCreate}), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(env_.Open("/d/old", {OpenMode::kTruncate}), IsOk());
  EXPECT_THAT(ReadFile(&env_, "/d/old"), IsOkAndHolds(""));
  EXPECT_THAT(env_.Open("/d/kept", {OpenMode::kAppend}), IsOk());
  EXPECT_THAT(ReadFile(&env_, "/d/kept"), IsOkAndHolds("content"));
}

TEST_F(OverlayEnvTest, ReplacesAFileInOneStep) {
  ASSERT_THAT(WriteFileDurably(&env_, "/d/kept", "new"), IsOk());
  EXPECT_THAT(ReadFile(&env_, "/d/kept"), IsOkAndHolds("new"));
  EXPECT_THAT(env_.ListDir("/d"), IsOkAndHolds(ElementsAre("kept", "old")));
  // Also one from below, without a copy by hand.
  ASSERT_THAT(env_.Rename("/d/old", "/d/kept"), IsOk());
  EXPECT_THAT(ReadFile(&env_, "/d/kept"), IsOkAndHolds("old"));
  EXPECT_THAT(env_.ListDir("/d"), IsOkAndHolds(ElementsAre("kept")));
}

TEST_F(OverlayEnvTest, WhatIsRemovedIsGoneUntilItIsMadeAgain) {
  ASSERT_THAT(env_.Remove("/d/old"), IsOk());
  EXPECT_THAT(env_.Remove("/d/old"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_.Exists("/d/old"), IsOkAndHolds(false));
  EXPECT_THAT(env_.Open("/d/old", {OpenMode::kRead}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(env_.RemoveDir("/d"), StatusIs(StatusCode::kUnavailable));
  ASSERT_THAT(env_.Remove("/d/kept"), IsOk());
  EXPECT_THAT(env_.RemoveDir("/d"), IsOk());
  EXPECT_THAT(env_.ListDir("/d"), StatusIs(StatusCode::kNotFound));
  ASSERT_THAT(env_.CreateDir("/d/e"), IsOk());
  EXPECT_THAT(env_.ListDir("/d"), IsOkAndHolds(ElementsAre("e")));
  EXPECT_THAT(env_.ListDir("/d/e"), IsOkAndHolds(IsEmpty()));
  ASSERT_THAT(env_.Open("/d/e/old", {OpenMode::kCreate}), IsOk());
  EXPECT_THAT(env_.ListDir("/d"), IsOkAndHolds(ElementsAre("e")));
}

TEST_F(OverlayEnvTest, HoldsTheLockBelow) {
  auto lock = env_.LockDir("/d");
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(disk_.LockDirUnchanged("/d"), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(env_.LockDir("/d"), StatusIs(StatusCode::kFailedPrecondition));
  lock->reset();
  EXPECT_THAT(env_.LockDir("/d"), IsOk());
}

}  // namespace
}  // namespace barid
