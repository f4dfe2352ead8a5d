// barid: the server. `barid standalone` is everything in one process; `barid controller`, `barid broker` and `barid
// proxy` are the same parts as processes of their own.
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/settings_file.h"
#include "base/status.h"
#include "base/version.h"
#include "standalone/inspect.h"
#include "standalone/memory.h"
#include "standalone/process.h"
#include "standalone/process_metrics.h"
#include "standalone/roles.h"
#include "standalone/settings.h"

namespace barid {
namespace {

constexpr char kUsage[] =
    "usage: barid ROLE [--setting=value ...]\n"
    "\n"
    "roles\n"
    "  standalone   everything in one process: the quick start\n"
    "  controller   topics, groups, shards, leaders\n"
    "  broker       keeps messages\n"
    "  proxy        the door for clients\n"
    "\n"
    "  inspect DIR  prints and verifies a stopped data directory\n"
    "  version\n"
    "\n"
    "`barid ROLE --help` lists the settings, `--print-settings` prints them as a page, `--config FILE` reads them from "
    "YAML.\n"
    "`barid ROLE --print-metrics` prints what the metrics port shows.\n";

int Complain(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "barid: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

std::optional<Role> ParseRole(const std::string& name) {
  if (name == "standalone") return Role::kStandalone;
  if (name == "controller") return Role::kController;
  if (name == "broker") return Role::kBroker;
  if (name == "proxy") return Role::kProxy;
  return std::nullopt;
}

absl::Status Run(Role role, const Settings& settings, TerminationSignals* signals) {
  switch (role) {
    case Role::kStandalone:
      return RunStandalone(settings, signals);
    case Role::kController:
      return RunController(settings, signals);
    case Role::kBroker:
      return RunBroker(settings, signals);
    case Role::kProxy:
      return RunProxy(settings, signals);
  }
  return absl::InternalError("no such role");
}

int RunRole(Role role, const std::string& name, const std::vector<std::string>& arguments) {
  Settings settings;
  SettingsTable table;
  AddSettings(role, &settings, &table);
  const absl::StatusOr<CommandLine> line = LoadSettings(&table, RealEnv(), arguments, ProcessEnvironment());
  if (!line.ok()) return Complain(line.status(), kExitBadSetting);
  if (line->wants_help) {
    std::printf("barid %s: settings\n\n%s", name.c_str(), table.Help().c_str());
    return kExitDrained;
  }
  if (line->wants_settings) {
    std::printf("%s", table.PrintMarkdown().c_str());
    return kExitDrained;
  }
  if (line->wants_metrics) {
    std::printf("%s", ProcessMetrics(role).metrics()->PrintMarkdown().c_str());
    return kExitDrained;
  }
  if (!line->positional.empty()) {
    return Complain(
        absl::InvalidArgumentError(absl::StrCat("\"", line->positional[0], "\" is not a setting; they begin with --")),
        kExitBadSetting);
  }
  SetMinLogLevel(settings.log_level);
  SetLogFormat(settings.log_format);
  TerminationSignals signals;
  // Besides connections: files of the log, of LevelDB, and streams between the processes.
  constexpr int64_t kOtherDescriptors = 1000;
  RaiseDescriptorLimit(settings.public_port.limits.max_connections + kOtherDescriptors);

  const absl::Status created = RealEnv()->CreateDir(settings.data_dir);
  if (!created.ok()) return Complain(Annotate(created, "data_dir"), kExitBadSetting);
  const absl::StatusOr<std::unique_ptr<DirLock>> lock = RealEnv()->LockDir(settings.data_dir);
  if (!lock.ok()) return Complain(lock.status(), kExitDataDirInUse);

  const std::unique_ptr<Executor> memory = NewThreadExecutor("barid-memory");
  KeepGivingMemoryBack(memory.get());
  LOG(INFO) << "starting" << KV("role", name) << KV("version", kVersion) << KV("data_dir", settings.data_dir);
  const absl::Status ran = Run(role, settings, &signals);
  if (ran.ok()) {
    LOG(INFO) << "drained";
    return kExitDrained;
  }
  LOG(ERROR) << "cannot serve" << KV("error", ran);
  if (absl::IsDataLoss(ran)) return Complain(ran, kExitDamage);
  return Complain(ran, absl::IsInvalidArgument(ran) ? kExitBadSetting : kExitFailed);
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    std::fprintf(arguments.empty() ? stderr : stdout, "%s", kUsage);
    return arguments.empty() ? kExitBadSetting : kExitDrained;
  }
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (arguments[0] == "version" || arguments[0] == "--version") {
    std::printf("barid %s\n", kVersion);
    return kExitDrained;
  }
  if (arguments[0] == "inspect") return RunInspect(rest);
  const std::optional<Role> role = ParseRole(arguments[0]);
  if (!role) {
    return Complain(absl::InvalidArgumentError(absl::StrCat("\"", arguments[0], "\" is not a role; see barid --help")),
                    kExitBadSetting);
  }
  return RunRole(*role, arguments[0], rest);
}

}  // namespace
}  // namespace barid

int main(int argc, char** argv) { return barid::Main(std::vector<std::string>(argv + 1, argv + argc)); }
