#ifndef BARID_CLI_MESSAGE_BODY_H_
#define BARID_CLI_MESSAGE_BODY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/flags.h"

namespace barid::cli {

// The flags by which a command is given a message's body: --body TEXT or --file PATH.
class BodyFlags {
 public:
  void Add(FlagSet* flags);
  static bool Given(const FlagSet& flags) { return flags.Given("body") || flags.Given("file"); }
  // A usage error unless exactly one was given, and it is a body that some topic takes.
  absl::StatusOr<std::string> Read(const FlagSet& flags) const;

 private:
  std::string body_;
  std::string file_;
};

// Each of `properties` is NAME=VALUE, as --property takes it.
absl::Status FillProperties(const std::vector<std::string>& properties, v2::Message* message);

}  // namespace barid::cli

#endif  // BARID_CLI_MESSAGE_BODY_H_
