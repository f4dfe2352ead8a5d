#include "base/awaited.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace barid {
namespace {

using ::testing::Optional;
using ::testing::Pointee;

TEST(AwaitedTest, GivesWhatAnotherThreadSets) {
  Awaited<std::unique_ptr<int>> value;
  std::thread other([&value] { value.Set(std::make_unique<int>(7)); });
  EXPECT_THAT(value.Wait(), Pointee(7));
  other.join();
}

TEST(AwaitedTest, GivesWhatWasSetBefore) {
  Awaited<int> value;
  value.Set(7);
  EXPECT_THAT(value.WaitFor(absl::ZeroDuration()), Optional(7));
}

TEST(AwaitedTest, TheFirstValueCounts) {
  Awaited<int> value;
  value.Set(7);
  value.Set(8);
  EXPECT_EQ(value.Wait(), 7);
}

TEST(AwaitedTest, GivesNothingWhenPatienceIsOver) {
  Awaited<int> value;
  EXPECT_EQ(value.WaitFor(absl::Milliseconds(1)), std::nullopt);
  EXPECT_EQ(value.WaitFor(-absl::InfiniteDuration()), std::nullopt);
}

TEST(AwaitedTest, WaitsForEver) {
  Awaited<int> value;
  std::thread other([&value] { value.Set(7); });
  EXPECT_THAT(value.WaitFor(absl::InfiniteDuration()), Optional(7));
  other.join();
}

}  // namespace
}  // namespace barid
