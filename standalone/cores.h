#ifndef BARID_STANDALONE_CORES_H_
#define BARID_STANDALONE_CORES_H_

#include <optional>

#include "absl/strings/string_view.h"

namespace barid {

// So many cores this process may use at once: by its affinity, and by the CPU quota of its control group (version 2),
// which is how Kubernetes keeps a container's limit. At least 1.
int AvailableCores();

// What a `cpu.max` file allows, rounded up; nullopt: no limit, or it cannot be read.
// https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
std::optional<int> CoresOfQuota(absl::string_view cpu_max);

}  // namespace barid

#endif  // BARID_STANDALONE_CORES_H_
