#ifndef BARID_CLI_OWN_GROUP_H_
#define BARID_CLI_OWN_GROUP_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/client.h"

// A group that a command makes for itself, so that it takes nothing from anyone, and takes away again.
namespace barid::cli {

// "<prefix>-<pid>-<random>", which sees what is sent from now on. The server deletes it too, if nobody has used it for
// `expire_after`; zero: only DeleteOwnGroup does.
absl::StatusOr<std::string> CreateOwnGroup(Client* client, absl::string_view prefix, absl::Duration expire_after);
// An error names the group that is left over, and says how to delete it.
absl::Status DeleteOwnGroup(Client* client, const std::string& name);

}  // namespace barid::cli

#endif  // BARID_CLI_OWN_GROUP_H_
