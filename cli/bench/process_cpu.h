#ifndef BARID_CLI_BENCH_PROCESS_CPU_H_
#define BARID_CLI_BENCH_PROCESS_CPU_H_

#include <sys/types.h>

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace barid::cli {

// CPU that a process has used, in user mode and in the kernel, as /proc counts it: in steps of 10 ms.
absl::StatusOr<absl::Duration> CpuTime(pid_t pid);

// CPU that this process has used.
absl::Duration OwnCpuTime();

// The processes of this machine that listen on the port of "host:port". Empty if the host is not this machine by its
// name, if nobody listens, or if this user may not see who it is.
std::vector<pid_t> ListenersOf(absl::string_view endpoint);

}  // namespace barid::cli

#endif  // BARID_CLI_BENCH_PROCESS_CPU_H_
