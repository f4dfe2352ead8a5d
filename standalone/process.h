#ifndef BARID_STANDALONE_PROCESS_H_
#define BARID_STANDALONE_PROCESS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/env.h"
#include "base/mutex.h"

namespace barid {

// Exit codes of `barid`, which scripts rely on.
inline constexpr int kExitDrained = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitBadSetting = 2;
inline constexpr int kExitDataDirInUse = 3;
inline constexpr int kExitDamage = 4;

// SIGTERM and SIGINT, taken from all threads that start after this.
class TerminationSignals {
 public:
  TerminationSignals();
  // Blocks until one comes, or End was called.
  void Wait();
  // Ends the process as a signal does, but `why` is what it ends with: the first counts. Any thread.
  void End(const absl::Status& why);
  absl::Status why();

 private:
  Mutex mu_;
  absl::Status why_ ABSL_GUARDED_BY(mu_);
};

// As many descriptors as the system lets the process have: what it is given by default, often 1024, is for programs
// that use select(2). Warns if those are fewer than `wanted`.
void RaiseDescriptorLimit(int64_t wanted);

// Ports by name ("public", "admin", ...) and address, in the order in which people look for them.
using Ports = std::vector<std::pair<std::string, std::string>>;

// Tells the world that the process serves: <data_dir>/ports, a line `name=host:port` each, written by rename, then one
// line on stdout, `ready public=... admin=...`.
absl::Status AnnounceReady(Env* env, const std::string& data_dir, const Ports& ports);

}  // namespace barid

#endif  // BARID_STANDALONE_PROCESS_H_
