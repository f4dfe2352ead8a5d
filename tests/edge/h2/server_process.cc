#include "tests/edge/h2/server_process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid::edge::h2 {

ServerProcess::ServerProcess(const Serve& serve) {
  int tell[2];
  int stop[2];
  CHECK_EQ(pipe(tell), 0);
  CHECK_EQ(pipe(stop), 0);
  child_ = fork();
  CHECK(child_ >= 0);
  if (child_ == 0) {
    close(stop[1]);
    serve(tell[1], stop[0]);
    _exit(0);
  }
  close(tell[1]);
  close(stop[0]);
  stop_ = stop[1];
  char text[64] = {};
  const ssize_t size = read(tell[0], text, sizeof(text));
  close(tell[0]);
  CHECK(size > 0) << "no server";
  address_.assign(text, static_cast<size_t>(size));
}

size_t ServerProcess::Memory(absl::string_view name) const {
  std::ifstream status(absl::StrCat("/proc/", child_, "/status"));
  std::string word;
  while (status >> word) {
    if (word != name) continue;
    size_t kib = 0;
    status >> kib;
    return kib * 1024;
  }
  return 0;
}

bool ServerProcess::End() {
  if (stop_ == -1) return true;
  close(std::exchange(stop_, -1));
  int status = 0;
  waitpid(child_, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace barid::edge::h2
