#include <signal.h>

#include <iostream>
#include <string>
#include <vector>

#include "cli/command.h"

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // A reader that goes ends `tail` in good order.
  std::ios::sync_with_stdio(false);
  return static_cast<int>(
      barid::cli::RunCommandLine(std::vector<std::string>(argv + 1, argv + argc), std::cout, std::cerr));
}
