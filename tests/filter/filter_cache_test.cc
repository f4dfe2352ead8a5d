#include "filter/filter_cache.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/base/status_matchers.h"

namespace barid::filter {
namespace {

TEST(FilterCacheTest, CompilesATextOnce) {
  FilterCache cache(1 << 20);
  const auto first = cache.Get("a = 1").value();
  EXPECT_EQ(cache.Get("a = 1").value(), first);
  EXPECT_NE(cache.Get("a = 2").value(), first);
  EXPECT_EQ(cache.size(), 2u);
}

TEST(FilterCacheTest, DoesNotKeepWhatCannotBeRead) {
  FilterCache cache(1 << 20);
  EXPECT_THAT(cache.Get("a ="), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(cache.size(), 0u);
}

TEST(FilterCacheTest, ForgetsWhatWasNotUsedForLongest) {
  const size_t one = Filter::Compile("a = 100").value()->memory_bytes();
  FilterCache cache(10 * one);
  const auto first = cache.Get("a = 100").value();
  const auto second = cache.Get("a = 101").value();
  for (int i = 102; cache.Get("a = 100").value() == first && i < 150; ++i)
    EXPECT_THAT(cache.Get(absl::StrCat("a = ", i)), IsOk());
  EXPECT_LE(cache.size(), 10u);
  EXPECT_EQ(cache.Get("a = 100").value(), first);   // Used all the time,
  EXPECT_NE(cache.Get("a = 101").value(), second);  // and never again.
}

TEST(FilterCacheTest, KeepsOneHoweverLarge) {
  FilterCache cache(1);
  const auto filter = cache.Get("a = 1").value();
  EXPECT_EQ(cache.Get("a = 1").value(), filter);
}

}  // namespace
}  // namespace barid::filter
