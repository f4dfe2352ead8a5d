// BARID_SEED=n runs one seed, with every call and answer on stderr.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "absl/strings/numbers.h"
#include "base/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/shard_simulation.h"

namespace barid::broker {
namespace {

constexpr uint64_t kSeeds = 300;

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
    ShardSimulation simulation(seed, trace ? ShardSimulation::Watch::kPrint : ShardSimulation::Watch::kNothing);
    const std::string violation = simulation.Run();
    if (trace)
      std::fprintf(stderr, "digest of seed %llu: %016llx\n", static_cast<unsigned long long>(seed),
                   static_cast<unsigned long long>(simulation.digest()));
    ASSERT_EQ(violation, "") << "BARID_SEED=" << seed;
    all.events += simulation.counts().events;
    all.time += simulation.counts().time;
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
    all.renewed += simulation.counts().renewed;
    all.redriven += simulation.counts().redriven;
    all.found += simulation.counts().found;
    all.sent_again += simulation.counts().sent_again;
    all.last_in_window += simulation.counts().last_in_window;
    all.sent_after_window += simulation.counts().sent_after_window;
    all.by_priority += simulation.counts().by_priority;
    all.oldest_first += simulation.counts().oldest_first;
    all.reused_ids += simulation.counts().reused_ids;
    all.subscribed_again += simulation.counts().subscribed_again;
    all.stuck += simulation.counts().stuck;
    all.paused += simulation.counts().paused;
    all.audited += simulation.counts().audited;
    all.lite_settled += simulation.counts().lite_settled;
    all.stored_offsets += simulation.counts().stored_offsets;
    all.resets += simulation.counts().resets;
    all.pulled += simulation.counts().pulled;
  }
  if (count < kSeeds) return;
  // For docs/testing.md.
  std::printf("%lld events and %.0f simulated hours in %.1f s of CPU\n", static_cast<long long>(all.events),
              absl::ToDoubleHours(all.time), static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
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
  EXPECT_GT(all.renewed, static_cast<int64_t>(count) * 10);
  EXPECT_GT(all.redriven, static_cast<int64_t>(count));
  EXPECT_GT(all.found, static_cast<int64_t>(count));
  EXPECT_GT(all.sent_again, static_cast<int64_t>(count) * 10);
  EXPECT_GT(all.last_in_window, static_cast<int64_t>(count));
  EXPECT_GT(all.sent_after_window, static_cast<int64_t>(count) / 4);
  EXPECT_GT(all.by_priority, static_cast<int64_t>(count));
  EXPECT_GT(all.oldest_first, static_cast<int64_t>(count) / 40);
  EXPECT_GT(all.reused_ids, static_cast<int64_t>(count));
  EXPECT_GT(all.subscribed_again, static_cast<int64_t>(count) / 10);
  EXPECT_GT(all.audited, static_cast<int64_t>(count) * 10);
  EXPECT_GT(all.paused, static_cast<int64_t>(count));
  EXPECT_GT(all.stuck, static_cast<int64_t>(count) / 20);
  EXPECT_GT(all.lite_settled, static_cast<int64_t>(count));
  EXPECT_GT(all.stored_offsets, static_cast<int64_t>(count) / 4);
  EXPECT_GT(all.resets, static_cast<int64_t>(count) / 8);
  EXPECT_GT(all.pulled, static_cast<int64_t>(count) * 5);
  RecordProperty("delivered", std::to_string(all.delivered));
  RecordProperty("by_priority", std::to_string(all.by_priority));
  RecordProperty("oldest_first", std::to_string(all.oldest_first));
  RecordProperty("sent_after_window", std::to_string(all.sent_after_window));
}

// Not only with the same addresses and the same heap: so a failing seed fails again, wherever it is run.
TEST(ShardSimulationTest, ASeedRepeats) {
  SetMinLogLevel(LogLevel::kFatal);
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    uint64_t digests[2] = {};
    for (uint64_t& digest : digests) {
      ShardSimulation simulation(seed, ShardSimulation::Watch::kDigest);
      EXPECT_EQ(simulation.Run(), "");
      digest = simulation.digest();
    }
    EXPECT_EQ(digests[0], digests[1]) << "seed " << seed;
  }
}

}  // namespace
}  // namespace barid::broker
