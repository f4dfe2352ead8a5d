#include "standalone/cores.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace barid {
namespace {

constexpr char kControlGroups[] = "/sys/fs/cgroup";

// A set must have room for all cores that the kernel was built for, and it says only whether it has: 8192 today.
constexpr size_t kMostCores = size_t{1} << 20;

int CoresOfAffinity() {
  for (size_t cores = CPU_SETSIZE; cores <= kMostCores; cores *= 2) {
    std::vector<cpu_set_t> set(cores / CPU_SETSIZE);
    const size_t size = set.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, size, set.data()) == 0) return CPU_COUNT_S(size, set.data());
    if (errno != EINVAL) return 1;
  }
  return 1;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of all control groups of version 2 that the process is in: its own and those above, as far as it can see them. In a
// container its own is the root.
std::vector<std::string> QuotaFiles() {
  std::vector<std::string> files = {absl::StrCat(kControlGroups, "/cpu.max")};
  absl::string_view path;
  const std::string line = FirstLine("/proc/self/cgroup");  // "0::/system.slice/barid.service"
  if (path = line; !absl::ConsumePrefix(&path, "0::/")) return files;
  std::string group = kControlGroups;
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    absl::StrAppend(&group, "/", part);
    files.push_back(absl::StrCat(group, "/cpu.max"));
  }
  return files;
}

}  // namespace

std::optional<int> CoresOfQuota(absl::string_view cpu_max) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(absl::StripAsciiWhitespace(cpu_max), ' ', absl::SkipEmpty());
  int64_t quota = 0;
  int64_t period = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &quota) || !absl::SimpleAtoi(words[1], &period)) {
    return std::nullopt;
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  const int64_t cores = quota / period + (quota % period == 0 ? 0 : 1);
  return static_cast<int>(std::min<int64_t>(cores, std::numeric_limits<int>::max()));
}

int AvailableCores() {
  int cores = CoresOfAffinity();
  for (const std::string& file : QuotaFiles()) {
    if (const std::optional<int> quota = CoresOfQuota(FirstLine(file))) cores = std::min(cores, *quota);
  }
  return std::max(cores, 1);
}

}  // namespace barid
