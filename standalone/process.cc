#include "standalone/process.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
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

void RaiseDescriptorLimit(int64_t wanted) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= static_cast<rlim_t>(wanted)) return;
  LOG(WARNING)
      << "there may be fewer descriptors than connections; raise the limit of the service (ulimit -n, LimitNOFILE)"
      << KV("limit", limit.rlim_cur) << KV("wanted", wanted);
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
