#include "base/random.h"

#include <gtest/gtest.h>

#include <set>

namespace barid {
namespace {

TEST(RandomTest, TheSameSeedGivesTheSameNumbers) {
  SeededRandom a(42);
  SeededRandom b(42);
  SeededRandom c(43);
  const std::string bytes = a.Bytes(100);
  EXPECT_EQ(bytes, b.Bytes(100));
  EXPECT_NE(bytes, c.Bytes(100));
}

TEST(RandomTest, SplitMixAnswersTheKnownValue) { EXPECT_EQ(SeededRandom(1234567).Next(), 6457827717110365317u); }

TEST(RandomTest, BelowReachesAllAndOnlyTheNumbersBelow) {
  SeededRandom random(1);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.Below(10));
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_EQ(*seen.rbegin(), 9u);
}

TEST(RandomTest, BytesHasTheSizeAsked) {
  SeededRandom random(1);
  for (const size_t size : {0, 1, 7, 8, 9, 16}) EXPECT_EQ(random.Bytes(size).size(), size);
}

TEST(RandomTest, TheMachinesSourceDoesNotRepeat) { EXPECT_NE(RealRandom()->Bytes(16), RealRandom()->Bytes(16)); }

}  // namespace
}  // namespace barid
