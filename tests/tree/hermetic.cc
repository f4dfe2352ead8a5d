#include "tests/tree/hermetic.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace barid::tree {
namespace {

using Names = absl::flat_hash_map<absl::string_view, World>;

// With their qualifier, wherever they stand.
const Names& QualifiedNames() {
  static const auto* const kNames = new Names({
      {"absl::Now", World::kClock},
      {"absl::GetCurrentTimeNanos", World::kClock},
      {"absl::SleepFor", World::kSleep},
      {"absl::BitGen", World::kRandom},
      {"absl::InsecureBitGen", World::kRandom},
      {"std::thread", World::kThread},
      {"std::jthread", World::kThread},
      {"std::async", World::kThread},
      {"std::filesystem", World::kFile},
      {"std::fstream", World::kFile},
      {"std::ifstream", World::kFile},
      {"std::ofstream", World::kFile},
      {"std::time", World::kClock},
      {"std::clock", World::kClock},
      {"std::rand", World::kRandom},
      {"std::rename", World::kFile},
      {"::time", World::kClock},
      {"::clock", World::kClock},
      {"::sleep", World::kSleep},
      {"::open", World::kFile},
      {"::creat", World::kFile},
      {"::read", World::kFile},
      {"::write", World::kFile},
      {"::remove", World::kFile},
      {"::rename", World::kFile},
      {"::unlink", World::kFile},
      {"::mkdir", World::kFile},
      {"::rmdir", World::kFile},
      {"::stat", World::kFile},
      {"::fork", World::kThread},
      {"::rand", World::kRandom},
      {"::random", World::kRandom},
  });
  return *kNames;
}

// Whatever stands before them.
const Names& PlainNames() {
  static const auto* const kNames = new Names({
      {"system_clock", World::kClock},
      {"steady_clock", World::kClock},
      {"high_resolution_clock", World::kClock},
      {"clock_gettime", World::kClock},
      {"gettimeofday", World::kClock},
      {"timespec_get", World::kClock},
      {"clock_nanosleep", World::kSleep},
      {"nanosleep", World::kSleep},
      {"usleep", World::kSleep},
      {"sleep_for", World::kSleep},
      {"sleep_until", World::kSleep},
      {"pthread_create", World::kThread},
      {"fopen", World::kFile},
      {"fdopen", World::kFile},
      {"freopen", World::kFile},
      {"tmpfile", World::kFile},
      {"mkstemp", World::kFile},
      {"openat", World::kFile},
      {"opendir", World::kFile},
      {"pread", World::kFile},
      {"preadv", World::kFile},
      {"pwrite", World::kFile},
      {"pwritev", World::kFile},
      {"fsync", World::kFile},
      {"fdatasync", World::kFile},
      {"ftruncate", World::kFile},
      {"fallocate", World::kFile},
      {"mmap", World::kFile},
      {"random_device", World::kRandom},
      {"mt19937", World::kRandom},
      {"mt19937_64", World::kRandom},
      {"default_random_engine", World::kRandom},
      {"srand", World::kRandom},
      {"getrandom", World::kRandom},
      {"getentropy", World::kRandom},
      {"arc4random", World::kRandom},
      {"getenv", World::kEnvironment},
      {"secure_getenv", World::kEnvironment},
      {"setenv", World::kEnvironment},
      {"environ", World::kEnvironment},
  });
  return *kNames;
}

// Calls by their beginning: the unqualified forms that our own functions do not have.
const Names& Calls() {
  static const auto* const kNames = new Names({
      {"time(nullptr", World::kClock},
      {"time(NULL", World::kClock},
      {"time(0", World::kClock},
      {"time(&", World::kClock},
      {"rand()", World::kRandom},
  });
  return *kNames;
}

bool IsWord(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::string WithoutSpaces(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!absl::ascii_isspace(static_cast<unsigned char>(c))) out.push_back(c);
  }
  return out;
}

// The last part of a qualified name.
absl::string_view LastPart(absl::string_view name) {
  const size_t colons = name.rfind("::");
  return colons == name.npos ? name : name.substr(colons + 2);
}

// What `name` touches, if it does. `behind` is the code that follows it, `is_member` says that it is one of an object.
const World* Find(absl::string_view name, absl::string_view behind, bool is_member) {
  if (is_member) return nullptr;
  const auto look = [](const Names& names, absl::string_view key) -> const World* {
    const auto it = names.find(key);
    return it == names.end() ? nullptr : &it->second;
  };
  // std::chrono::steady_clock, ::std::thread: with and without what stands in front.
  if (const World* world = look(QualifiedNames(), name)) return world;
  if (const World* world = look(QualifiedNames(), absl::StripPrefix(name, "::"))) return world;
  if (absl::StartsWith(name, "std::filesystem::")) return look(QualifiedNames(), "std::filesystem");
  if (absl::StartsWith(name, "std::thread::") || absl::StartsWith(name, "std::jthread::"))
    return look(QualifiedNames(), "std::thread");
  // steady_clock::now and std::chrono::steady_clock::time_point have the clock in the middle.
  for (const absl::string_view clock : {"system_clock", "steady_clock", "high_resolution_clock"}) {
    if (absl::StrContains(name, clock)) return look(PlainNames(), clock);
  }
  if (const World* world = look(PlainNames(), LastPart(name))) return world;
  if (absl::StrContains(name, "::")) return nullptr;
  const std::string call = absl::StrCat(name, WithoutSpaces(behind.substr(0, 24)));
  for (const auto& [beginning, world] : Calls()) {
    if (absl::StartsWith(call, beginning)) return &world;
  }
  return nullptr;
}

}  // namespace

absl::string_view WorldName(World world) {
  switch (world) {
    case World::kClock:
      return "clock";
    case World::kSleep:
      return "sleep";
    case World::kThread:
      return "thread";
    case World::kFile:
      return "file";
    case World::kRandom:
      return "random device";
    case World::kEnvironment:
      return "variable of the environment";
  }
  return "";
}

std::vector<Touch> TouchesOf(absl::string_view source) {
  const std::string code = WithoutComments(source, Strings::kBlank);
  const absl::string_view view = code;
  std::vector<Touch> touches;
  size_t at = 0;
  while (at < view.size()) {
    const bool is_global = absl::StartsWith(view.substr(at), "::");
    if (!is_global && !IsWord(view[at])) {
      ++at;
      continue;
    }
    // A qualified name: words with :: between them, and perhaps in front.
    const size_t start = at;
    if (is_global) at += 2;
    while (at < view.size() && (IsWord(view[at]) || (absl::StartsWith(view.substr(at), "::") && at + 2 < view.size() &&
                                                     IsWord(view[at + 2])))) {
      at += IsWord(view[at]) ? 1 : 2;
    }
    const absl::string_view name = view.substr(start, at - start);
    const absl::string_view before = absl::StripTrailingAsciiWhitespace(view.substr(0, start));
    // An object's, or a type's whose name does not end with a word: list<T>::read.
    const bool is_member = absl::EndsWith(before, ".") || absl::EndsWith(before, "->") ||
                           (is_global && start > 0 && view[start - 1] == '>');
    // #include <time.h> and <thread>: the include table's business.
    const absl::string_view line = view.substr(view.rfind('\n', start) + 1, start - view.rfind('\n', start) - 1);
    if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "#include")) continue;
    if (const World* const world = Find(name, view.substr(at), is_member)) {
      touches.push_back({*world, std::string(name), LineAt(view, start)});
    }
  }
  return touches;
}

const std::vector<Exception>& Exceptions() {
  static const auto* const kExceptions = new std::vector<Exception>({
      // The real implementations of what base declares.
      {"base/clock.cc", {World::kClock}},
      {"base/executor.cc", {World::kThread}},
      {"base/random.cc", {World::kRandom}},
      {"base/real_env.cc", {World::kFile}},
      // Settings are read once, at the start.
      {"base/settings.cc", {World::kEnvironment}},
      // A log line: its time stamp, for people, and its way to stderr.
      {"base/log.cc", {World::kClock, World::kFile}},
      // Where our code ends: sockets, gRPC, processes, the operator's tools.
      {"edge/**", {}},
      {"**/grpc/**", {}},
      {"rpc/**", {}},
      {"standalone/**", {}},
      {"cli/**", {}},
  });
  return *kExceptions;
}

std::vector<std::string> Violations(const std::vector<SourceFile>& files, const std::vector<Exception>& exceptions) {
  std::vector<std::string> violations;
  std::vector<std::vector<World>> unused;
  for (const Exception& exception : exceptions) unused.push_back(exception.worlds);
  for (const SourceFile& file : files) {
    for (const Touch& touch : TouchesOf(file.text)) {
      bool is_allowed = false;
      for (size_t i = 0; i < exceptions.size(); ++i) {
        const std::vector<World>& worlds = exceptions[i].worlds;
        if (!MatchesGlob(exceptions[i].glob, file.path)) continue;
        if (!worlds.empty() && std::find(worlds.begin(), worlds.end(), touch.world) == worlds.end()) continue;
        is_allowed = true;
        unused[i].erase(std::remove(unused[i].begin(), unused[i].end(), touch.world), unused[i].end());
      }
      if (!is_allowed) {
        violations.push_back(
            absl::StrCat(file.path, ":", touch.line, " takes a ", WorldName(touch.world), " by itself: ", touch.name));
      }
    }
  }
  for (size_t i = 0; i < exceptions.size(); ++i) {
    for (const World world : unused[i]) {
      violations.push_back(
          absl::StrCat(exceptions[i].glob, " may take a ", WorldName(world), " and does not: drop the exception"));
    }
  }
  return violations;
}

}  // namespace barid::tree
