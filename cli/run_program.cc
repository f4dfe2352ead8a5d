#include "cli/run_program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/failure.h"

extern char** environ;

namespace barid::cli {
namespace {

absl::Status Failed(absl::string_view what, int error) {
  return RefusedError(absl::StrCat(what, ": ", strerror(error)));
}

// A file without a name that has `input`, at its beginning. Whoever reads it needs nobody who writes meanwhile.
absl::StatusOr<int> FileWith(absl::string_view input) {
  const int file = memfd_create("request", MFD_CLOEXEC);
  if (file < 0) return Failed("no memory for the program's input", errno);
  while (!input.empty()) {
    const ssize_t written = write(file, input.data(), input.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = errno;
      close(file);
      return Failed("no memory for the program's input", error);
    }
    input.remove_prefix(static_cast<size_t>(written));
  }
  lseek(file, 0, SEEK_SET);
  return file;
}

absl::StatusOr<pid_t> Spawn(const std::string& line, const std::vector<std::pair<std::string, std::string>>& variables,
                            int in, int out) {
  std::vector<std::string> added;
  for (const auto& [name, value] : variables) added.push_back(absl::StrCat(name, "=", value));
  std::vector<char*> environment;
  for (char** one = environ; *one != nullptr; ++one) environment.push_back(*one);
  for (std::string& one : added) environment.push_back(one.data());
  environment.push_back(nullptr);
  std::string shell = "sh", flag = "-c", command = line;
  char* arguments[] = {shell.data(), flag.data(), command.data(), nullptr};

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);  // We block those that our own interrupts wait for.
  // A group of its own: the interrupt of a terminal ends us, after the program has done its work.
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  pid_t child = 0;
  const int error = posix_spawn(&child, "/bin/sh", &files, &attributes, arguments, environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return Failed("the program cannot be started", error);
  return child;
}

std::string FailureOf(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  return WIFEXITED(status) ? absl::StrCat("it ended with ", WEXITSTATUS(status))
                           : absl::StrCat("signal ", WTERMSIG(status), " ended it");
}

}  // namespace

absl::StatusOr<ProgramResult> RunProgram(const std::string& line, absl::string_view input,
                                         const std::vector<std::pair<std::string, std::string>>& variables,
                                         size_t max_output) {
  ASSIGN_OR_RETURN(const int in, FileWith(input));
  const auto close_in = absl::MakeCleanup([in] { close(in); });
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Failed("no pipe for the program's output", errno);
  const auto close_out = absl::MakeCleanup([&ends] { close(ends[0]); });
  const absl::StatusOr<pid_t> child = Spawn(line, variables, in, ends[1]);
  close(ends[1]);
  RETURN_IF_ERROR(child.status());

  ProgramResult result;
  char buffer[65536];
  for (;;) {
    const ssize_t got = read(ends[0], buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    const size_t taken = std::min(static_cast<size_t>(got), max_output - result.output.size());
    result.output.append(buffer, taken);
    result.is_cut |= taken < static_cast<size_t>(got);
  }
  int status = 0;
  while (waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  result.failure = FailureOf(status);
  return result;
}

}  // namespace barid::cli
