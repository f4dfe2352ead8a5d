#include "standalone/process.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace barid {
namespace {

sigset_t TerminationSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

TerminationSignals::TerminationSignals() {
  const sigset_t set = TerminationSet();
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  signal(SIGPIPE, SIG_IGN);
}

void TerminationSignals::Wait() {
  const sigset_t set = TerminationSet();
  int signal = 0;
  CHECK_EQ(sigwait(&set, &signal), 0);
  LOG(INFO) << "draining" << KV("signal", signal == SIGTERM ? "SIGTERM" : "SIGINT");
}

void TerminationSignals::End(const absl::Status& why) {
  {
    MutexLock lock(&mu_);
    if (!why_.ok()) return;
    why_ = why;
  }
  kill(getpid(), SIGTERM);
}

absl::Status TerminationSignals::why() {
  MutexLock lock(&mu_);
  return why_;
}

absl::Status AnnounceReady(Env* env, const std::string& data_dir, const Ports& ports) {
  std::string file;
  std::string line = "ready";
  for (const auto& [name, address] : ports) {
    absl::StrAppend(&file, name, "=", address, "\n");
    absl::StrAppend(&line, " ", name, "=", address);
  }
  RETURN_IF_ERROR(WriteFileDurably(env, JoinPath(data_dir, "ports"), file));
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
  return absl::OkStatus();
}

}  // namespace barid
