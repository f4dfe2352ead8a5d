#include "cli/failure.h"

#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace barid::cli {
namespace {

constexpr char kPayload[] = "barid.cli/exit_code";

absl::Status Failure(absl::StatusCode code, ExitCode exit_code, absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kPayload, absl::Cord(absl::StrCat(static_cast<int>(exit_code))));
  return status;
}

}  // namespace

absl::Status RefusedError(absl::string_view message) {
  return Failure(absl::StatusCode::kFailedPrecondition, ExitCode::kRefused, message);
}

absl::Status UsageError(absl::string_view message) {
  return Failure(absl::StatusCode::kInvalidArgument, ExitCode::kUsage, message);
}

absl::Status NothingReceivedError(absl::string_view message) {
  return Failure(absl::StatusCode::kNotFound, ExitCode::kNothingReceived, message);
}

absl::Status UnreachableError(absl::string_view message) {
  return Failure(absl::StatusCode::kUnavailable, ExitCode::kUnreachable, message);
}

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return ExitCode::kDone;
  const auto payload = status.GetPayload(kPayload);
  int code = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &code)) return ExitCode::kRefused;
  return static_cast<ExitCode>(code);
}

}  // namespace barid::cli
