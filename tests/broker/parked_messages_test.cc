// What an ordered cursor has parked, against a map of it.
#include "broker/parked_messages.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

std::vector<std::pair<QueueOffset, uint64_t>> AllOf(const ParkedMessages& parked) {
  std::vector<std::pair<QueueOffset, uint64_t>> all;
  for (const auto& [offset, message_group] : parked) all.emplace_back(offset, message_group);
  return all;
}

TEST(ParkedMessagesTest, NothingIsParkedAtFirst) {
  const ParkedMessages parked;
  EXPECT_TRUE(parked.empty());
  EXPECT_EQ(parked.size(), 0);
  EXPECT_EQ(parked.bytes(), 0);
  EXPECT_THAT(AllOf(parked), IsEmpty());
  EXPECT_EQ(parked.FirstOf(7), std::nullopt);
  EXPECT_EQ(parked.MessageGroupOf(0), std::nullopt);
  EXPECT_TRUE(parked.lower_bound(3) == parked.end());
}

TEST(ParkedMessagesTest, FindsByOffsetAndByMessageGroup) {
  ParkedMessages parked;
  parked.Add(5, 1);
  parked.Add(9'000'000'000, 1);
  parked.Add(4096, 2);
  parked.Add(4095, 1);
  EXPECT_THAT(AllOf(parked), ElementsAre(Pair(5, 1), Pair(4095, 1), Pair(4096, 2), Pair(9'000'000'000, 1)));
  EXPECT_EQ(parked.MessageGroupOf(4096), 2);
  EXPECT_EQ(parked.MessageGroupOf(4097), std::nullopt);
  EXPECT_EQ(parked.FirstOf(1), 5);
  EXPECT_EQ(parked.FirstOf(1, 5), 5);
  EXPECT_EQ(parked.FirstOf(1, 6), 4095);
  EXPECT_EQ(parked.FirstOf(1, 4096), 9'000'000'000);
  EXPECT_EQ(parked.FirstOf(1, 9'000'000'001), std::nullopt);
  EXPECT_EQ(parked.FirstOf(2, 4097), std::nullopt);
  EXPECT_EQ((*parked.lower_bound(6)).offset, 4095);
  EXPECT_EQ((*parked.lower_bound(4097)).offset, 9'000'000'000);
}

TEST(ParkedMessagesTest, AMessageGroupLeavesItsChunk) {
  ParkedMessages parked;
  parked.Add(1, 10);
  parked.Add(2, 20);
  parked.Add(3, 30);
  parked.Add(4, 30);
  parked.Remove(1);  // 30 takes its number in the chunk.
  EXPECT_EQ(parked.FirstOf(10), std::nullopt);
  EXPECT_EQ(parked.FirstOf(30), 3);
  EXPECT_EQ(parked.MessageGroupOf(4), 30);
  parked.Add(6, 10);
  parked.Remove(3);
  parked.Remove(4);
  EXPECT_THAT(AllOf(parked), ElementsAre(Pair(2, 20), Pair(6, 10)));
}

TEST(ParkedMessagesTest, ManyOfOneMessageGroupCostFourBytesEach) {
  ParkedMessages parked;
  for (QueueOffset offset = 0; offset < 1'000'000; ++offset) parked.Add(offset, 7);
  EXPECT_LT(parked.bytes(), 4'100'000);
  ParkedMessages alone;
  alone.Add(123'456, 7);
  EXPECT_EQ(alone.bytes(), ParkedMessages::kMostBytes);
  alone.Remove(123'456);
  EXPECT_EQ(alone.bytes(), 0);
}

TEST(ParkedMessagesTest, TheFirstOfAMessageGroupIsFoundAgainWhenItGoes) {
  ParkedMessages parked;
  for (QueueOffset offset = 0; offset < 12'000; ++offset) parked.Add(offset, static_cast<uint64_t>(offset) % 3);
  for (QueueOffset offset = 0; offset < 12'000; offset += 3) {
    ASSERT_EQ(parked.FirstOf(0), offset);
    parked.Remove(offset);
  }
  EXPECT_EQ(parked.FirstOf(0), std::nullopt);
  EXPECT_EQ(parked.FirstOf(1), 1);
  parked.Add(0, 1);
  EXPECT_EQ(parked.FirstOf(1), 0);
}

TEST(ParkedMessagesTest, DoesWhatAMapDoes) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SeededRandom random(seed);
    const uint64_t span = random.OneIn(2) ? 300 : 40'000;
    const uint64_t message_groups = random.OneIn(3) ? 1 : 1 + random.Below(300);
    ParkedMessages parked;
    std::map<QueueOffset, uint64_t> model;
    for (int step = 0; step < 3'000; ++step) {
      const auto offset = static_cast<QueueOffset>(random.Below(span));
      const bool is_there = model.contains(offset);
      ASSERT_EQ(parked.contains(offset), is_there) << "seed " << seed;
      if (is_there) {
        ASSERT_EQ(parked.MessageGroupOf(offset), model.at(offset)) << "seed " << seed;
        parked.Remove(offset);
        model.erase(offset);
      } else if (!random.OneIn(4)) {
        const uint64_t message_group = random.Below(message_groups);
        parked.Add(offset, message_group);
        model[offset] = message_group;
      }
      const uint64_t wanted = random.Below(message_groups);
      std::optional<QueueOffset> first;
      for (auto it = model.lower_bound(offset); it != model.end() && !first; ++it) {
        if (it->second == wanted) first = it->first;
      }
      ASSERT_EQ(parked.FirstOf(wanted, offset), first) << "seed " << seed;
      const auto next = model.lower_bound(offset);
      const auto found = parked.lower_bound(offset);
      ASSERT_EQ(found == parked.end(), next == model.end()) << "seed " << seed;
      if (next != model.end()) {
        ASSERT_EQ((*found).offset, next->first) << "seed " << seed;
      }
    }
    ASSERT_EQ(parked.size(), static_cast<int64_t>(model.size()));
    ASSERT_THAT(AllOf(parked), ::testing::ElementsAreArray(model)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace barid::broker
