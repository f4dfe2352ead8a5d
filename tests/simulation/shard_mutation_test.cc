// A checker that catches nothing is worth nothing: each bug of broker/mutation.h is switched on in turn, and random
// seeds must show it.
//
// Each bug runs in a process of its own, since some end in a failed CHECK, which is a way to be caught. BARID_SEED=n
// starts at that seed instead of a random one, BARID_MUTATION=name runs one bug.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "broker/mutation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/shard_simulation.h"

namespace barid::broker {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(60);
constexpr unsigned kStuckSeconds = 150;  // Of the whole search: a run without bugs takes less than one.
constexpr int kCaught = 42;
constexpr int kMissed = 43;

struct NamedMutation {
  Mutation mutation;
  const char* name;
};
constexpr NamedMutation kMutations[] = {
#define BARID_NAMED_MUTATION(name) {Mutation::name, #name},
    BARID_MUTATIONS_LIST(BARID_NAMED_MUTATION)
#undef BARID_NAMED_MUTATION
};

class ShardMutationTest : public ::testing::TestWithParam<NamedMutation> {};

// Runs seeds until one shows the bug. Ends the process.
//
// The parent never runs one itself: a process that has LevelDB's thread cannot be forked into one that has it.
[[noreturn]] void Search(Mutation mutation, uint64_t first_seed) {
  active_mutation = mutation;
  alarm(kStuckSeconds);
  const absl::Duration start = RealClock()->SinceBoot();
  uint64_t seed = first_seed;
  for (; RealClock()->SinceBoot() - start < kLimit; ++seed) {
    const std::string violation = ShardSimulation(seed).Run();
    if (violation.empty()) continue;
    std::fprintf(stderr, "  caught by seed %llu, the %lluth, after %.1f s: %s\n", static_cast<unsigned long long>(seed),
                 static_cast<unsigned long long>(seed - first_seed + 1),
                 absl::ToDoubleSeconds(RealClock()->SinceBoot() - start), violation.c_str());
    std::_Exit(kCaught);
  }
  std::fprintf(stderr, "  missed by %llu seeds\n", static_cast<unsigned long long>(seed - first_seed));
  std::_Exit(kMissed);
}

TEST_P(ShardMutationTest, IsCaughtByRandomSeeds) {
  uint64_t seed = RealRandom()->Below(1'000'000'000);
  if (const char* given = std::getenv("BARID_SEED")) CHECK(absl::SimpleAtoi(given, &seed));
  SCOPED_TRACE(absl::StrCat("from seed ", seed));
  SetMinLogLevel(LogLevel::kFatal);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) Search(GetParam().mutation, seed);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  // A failed CHECK is a catch, too, and so is a run that never ends: the simulation without bugs has neither.
  const bool broke = WIFSIGNALED(status) && (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGALRM);
  EXPECT_TRUE(broke || (WIFEXITED(status) && WEXITSTATUS(status) == kCaught)) << GetParam().name << " was not caught";
}

INSTANTIATE_TEST_SUITE_P(EveryBug, ShardMutationTest, ::testing::ValuesIn(kMutations),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace barid::broker
