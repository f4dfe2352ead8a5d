#ifndef BARID_CLI_FAILURE_H_
#define BARID_CLI_FAILURE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// How a command ends. A command returns absl::Status; what scripts branch on travels in it.
namespace barid::cli {

enum class ExitCode {
  kDone = 0,
  kRefused = 1,          // The server said no.
  kUsage = 2,            // The command line, or a file it names, makes no sense.
  kNothingReceived = 3,  // A receive waited its time and there was nothing.
  kUnreachable = 4,      // Nobody answers at the endpoint, or not in time.
};

// `message` is one sentence: what was found, and what to do.
absl::Status RefusedError(absl::string_view message);
absl::Status UsageError(absl::string_view message);
absl::Status NothingReceivedError(absl::string_view message);
absl::Status UnreachableError(absl::string_view message);

// kRefused for errors that came from none of the above.
ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace barid::cli

#endif  // BARID_CLI_FAILURE_H_
