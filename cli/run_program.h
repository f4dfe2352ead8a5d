#ifndef BARID_CLI_RUN_PROGRAM_H_
#define BARID_CLI_RUN_PROGRAM_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barid::cli {

struct ProgramResult {
  std::string output;   // What it wrote to its standard output, up to the bound.
  bool is_cut = false;  // There was more.
  std::string failure;  // Empty: it ended with 0. Else how it ended.
};

// Runs a line of the shell and waits for its end. It reads `input` from its standard input, and has the variables
// beside our own environment; its standard error is ours. It ends when it wants to: our interrupts are not passed on.
absl::StatusOr<ProgramResult> RunProgram(const std::string& line, absl::string_view input,
                                         const std::vector<std::pair<std::string, std::string>>& variables,
                                         size_t max_output);

}  // namespace barid::cli

#endif  // BARID_CLI_RUN_PROGRAM_H_
