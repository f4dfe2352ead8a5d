// BARID_SEED=n runs one seed, with every call and answer on stderr.
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "base/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/shard_simulation.h"

namespace barid::broker {
namespace {

constexpr uint64_t kSeeds = 1500;

TEST(ShardSimulationTest, KeepsEveryPromiseUnderEverySeed) {
  uint64_t first = 1;
  uint64_t count = kSeeds;
  bool trace = false;
  if (const char* one = std::getenv("BARID_SEED")) {
    CHECK(absl::SimpleAtoi(one, &first));
    count = 1;
    trace = true;
  }
  if (const char* seeds = std::getenv("BARID_SEEDS")) CHECK(absl::SimpleAtoi(seeds, &count));
  SetMinLogLevel(trace ? LogLevel::kInfo : LogLevel::kFatal);
  ShardSimulation::Counts all;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    ShardSimulation simulation(seed, trace);
    const std::string violation = simulation.Run();
    ASSERT_EQ(violation, "") << "BARID_SEED=" << seed;
    all.delivered += simulation.counts().delivered;
    all.crashes += simulation.counts().crashes;
    all.checkpoint_starts += simulation.counts().checkpoint_starts;
    all.trims += simulation.counts().trims;
    all.carried += simulation.counts().carried;
    all.scheduled += simulation.counts().scheduled;
    all.recalled += simulation.counts().recalled;
    all.committed += simulation.counts().committed;
    all.rolled_back += simulation.counts().rolled_back;
    all.checked += simulation.counts().checked;
    all.discarded += simulation.counts().discarded;
    all.repeated += simulation.counts().repeated;
    all.redriven += simulation.counts().redriven;
    all.found += simulation.counts().found;
    all.sent_again += simulation.counts().sent_again;
    all.last_in_window += simulation.counts().last_in_window;
    all.reused_ids += simulation.counts().reused_ids;
    all.stuck += simulation.counts().stuck;
    all.audited += simulation.counts().audited;
    all.lite_settled += simulation.counts().lite_settled;
    all.stored_offsets += simulation.counts().stored_offsets;
    all.resets += simulation.counts().resets;
    all.pulled += simulation.counts().pulled;
  }
  if (count < kSeeds) return;
  // A world in which nothing happens proves nothing.
  EXPECT_GT(all.delivered, static_cast<int64_t>(count) * 100);
  EXPECT_GT(all.crashes, static_cast<int64_t>(count) * 2);
  EXPECT_GT(all.checkpoint_starts, static_cast<int64_t>(count));
  EXPECT_GT(all.trims, static_cast<int64_t>(count) / 20);
  EXPECT_GT(all.carried, static_cast<int64_t>(count) * 10);
  EXPECT_GT(all.scheduled, static_cast<int64_t>(count) * 20);
  EXPECT_GT(all.recalled, static_cast<int64_t>(count));
  EXPECT_GT(all.committed, static_cast<int64_t>(count) * 5);
  EXPECT_GT(all.rolled_back, static_cast<int64_t>(count));
  EXPECT_GT(all.checked, static_cast<int64_t>(count) * 5);
  EXPECT_GT(all.discarded, static_cast<int64_t>(count) * 5);
  EXPECT_GT(all.repeated, static_cast<int64_t>(count) / 10);
  EXPECT_GT(all.redriven, static_cast<int64_t>(count));
  EXPECT_GT(all.found, static_cast<int64_t>(count));
  EXPECT_GT(all.sent_again, static_cast<int64_t>(count) * 10);
  EXPECT_GT(all.last_in_window, static_cast<int64_t>(count));
  EXPECT_GT(all.reused_ids, static_cast<int64_t>(count));
  EXPECT_GT(all.audited, static_cast<int64_t>(count) * 10);
  EXPECT_GT(all.stuck, static_cast<int64_t>(count) / 20);
  EXPECT_GT(all.lite_settled, static_cast<int64_t>(count));
  EXPECT_GT(all.stored_offsets, static_cast<int64_t>(count) / 4);
  EXPECT_GT(all.resets, static_cast<int64_t>(count) / 8);
  EXPECT_GT(all.pulled, static_cast<int64_t>(count) * 5);
  RecordProperty("delivered", std::to_string(all.delivered));
}

}  // namespace
}  // namespace barid::broker
