#include "cli/bench/process_cpu.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace barid::cli {
namespace {

std::vector<std::string> NamesIn(const std::string& path) {
  std::vector<std::string> names;
  DIR* const dir = opendir(path.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir)) names.emplace_back(entry->d_name);
  closedir(dir);
  return names;
}

// The inodes of listening sockets of a port, from one of /proc/net's tables.
void CollectListeners(const char* table, int port, std::set<std::string>* links) {
  std::ifstream file(table);
  std::string line;
  while (std::getline(file, line)) {
    // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode ...
    const std::vector<std::string> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 10 || fields[3] != "0A") continue;
    const size_t colon = fields[1].rfind(':');
    if (colon == std::string::npos || std::strtol(fields[1].c_str() + colon + 1, nullptr, 16) != port) continue;
    links->insert(absl::StrCat("socket:[", fields[9], "]"));
  }
}

bool HasAnyOpen(pid_t pid, const std::set<std::string>& links) {
  const std::string dir = absl::StrCat("/proc/", pid, "/fd");
  for (const std::string& name : NamesIn(dir)) {
    char target[64];
    const ssize_t size = readlink(absl::StrCat(dir, "/", name).c_str(), target, sizeof(target));
    if (size > 0 && links.count(std::string(target, size)) > 0) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<absl::Duration> CpuTime(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The name, in parentheses, may hold anything; what follows it is numbers: utime and stime are fields 14 and 15.
  const size_t name_end = content.rfind(") ");
  if (name_end == std::string::npos) return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  const std::vector<std::string> fields = absl::StrSplit(content.substr(name_end + 2), ' ');
  int64_t user = 0;
  int64_t system = 0;
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) || !absl::SimpleAtoi(fields[12], &system)) {
    return absl::InternalError(absl::StrCat("/proc/", pid, "/stat has an unknown form"));
  }
  return absl::Seconds(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

absl::Duration OwnCpuTime() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

std::vector<pid_t> ListenersOf(absl::string_view endpoint) {
  const size_t colon = endpoint.rfind(':');
  int port = 0;
  if (colon == endpoint.npos || !absl::SimpleAtoi(endpoint.substr(colon + 1), &port)) return {};
  const absl::string_view host = endpoint.substr(0, colon);
  if (host != "localhost" && host != "[::1]" && !absl::StartsWith(host, "127.")) return {};

  std::set<std::string> links;
  CollectListeners("/proc/net/tcp", port, &links);
  CollectListeners("/proc/net/tcp6", port, &links);
  std::vector<pid_t> pids;
  if (links.empty()) return pids;
  for (const std::string& name : NamesIn("/proc")) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(name, &pid) && HasAnyOpen(pid, links)) pids.push_back(pid);
  }
  return pids;
}

}  // namespace barid::cli
