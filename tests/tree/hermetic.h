#ifndef BARID_TESTS_TREE_HERMETIC_H_
#define BARID_TESTS_TREE_HERMETIC_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/tree/source_tree.h"

namespace barid::tree {

// What is passed in and never taken: the world outside, without which a simulation from one seed is possible.
enum class World { kClock, kSleep, kThread, kFile, kRandom, kEnvironment };
absl::string_view WorldName(World world);

struct Touch {
  World world = World::kClock;
  std::string name;  // As written: "std::thread", "::open".
  int line = 0;
};

// Where the C++ in `source` touches the world by itself, in order. Goes by names, so it sees what is written and not
// what a macro makes of it. Words that are also good names of our own (open, time) count only as calls that can mean
// nothing else:
// `::open(`, `time(nullptr)`; that the rest cannot be meant is the include table's business, which keeps <fcntl.h>
// away.
std::vector<Touch> TouchesOf(absl::string_view source);

// The files, by glob, that may touch a world: where the real implementations are, and where our code ends.
struct Exception {
  std::string glob;
  std::vector<World> worlds;  // Empty: all.
};
const std::vector<Exception>& Exceptions();

// One sentence for each touch without an exception, and for each exception without a touch.
std::vector<std::string> Violations(const std::vector<SourceFile>& files, const std::vector<Exception>& exceptions);

}  // namespace barid::tree

#endif  // BARID_TESTS_TREE_HERMETIC_H_
