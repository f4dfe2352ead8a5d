#ifndef BARID_CLI_COMMAND_H_
#define BARID_CLI_COMMAND_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cli/client.h"
#include "cli/failure.h"
#include "cli/flags.h"

namespace barid::cli {

enum class OutputFormat { kText, kJson };

// The flags that every command takes.
struct GlobalOptions {
  ClientOptions client;
  OutputFormat output = OutputFormat::kText;
  bool help = false;

  void AddFlags(FlagSet* flags);
};

// What a command runs in: the options, the streams, and the server once it is asked for.
class Session {
 public:
  Session(const GlobalOptions& options, std::ostream& out, std::ostream& err)
      : options_(options), out_(out), err_(err) {}

  const GlobalOptions& options() const { return options_; }
  bool json() const { return options_.output == OutputFormat::kJson; }
  std::ostream& out() { return out_; }
  std::ostream& err() { return err_; }

  // Connects at the first call.
  absl::StatusOr<Client*> Connect();

 private:
  const GlobalOptions options_;
  std::ostream& out_;
  std::ostream& err_;
  std::unique_ptr<Client> client_;
};

// One use of a command: made, given its flags, run once.
class Command {
 public:
  virtual ~Command() = default;

  virtual void AddFlags(FlagSet*) {}
  // `flags` is what was parsed, `arguments` as many as the entry names, but for those that may be left out.
  virtual absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) = 0;
};

struct CommandEntry {
  std::string words;      // "topic create"
  std::string arguments;  // "TOPIC [ID]"; one word each, those in brackets may be left out.
  std::string help;       // One sentence.
  std::function<std::unique_ptr<Command>()> make;
  bool hidden = false;
};

template <typename T>
std::function<std::unique_ptr<Command>()> Make() {
  return [] { return std::make_unique<T>(); };
}

// Everything baridctl can do, in the order of its help. Made once.
const std::vector<CommandEntry>& Commands();

void AddTopicCommands(std::vector<CommandEntry>* commands);
void AddGroupCommands(std::vector<CommandEntry>* commands);
void AddSendCommand(std::vector<CommandEntry>* commands);
void AddRequestCommand(std::vector<CommandEntry>* commands);
void AddReplyCommand(std::vector<CommandEntry>* commands);
void AddRecallCommand(std::vector<CommandEntry>* commands);
void AddPullCommand(std::vector<CommandEntry>* commands);
void AddReceiveCommand(std::vector<CommandEntry>* commands);
void AddTailCommand(std::vector<CommandEntry>* commands);
void AddMessageCommands(std::vector<CommandEntry>* commands);
void AddDeadLetterCommands(std::vector<CommandEntry>* commands);
void AddTransactionCommand(std::vector<CommandEntry>* commands);
void AddStatusCommand(std::vector<CommandEntry>* commands);
void AddBenchCommands(std::vector<CommandEntry>* commands);
void AddCompletionCommand(std::vector<CommandEntry>* commands);

// Runs what the command line says. An error is one sentence on `err`.
ExitCode RunCommandLine(absl::Span<const std::string> args, std::ostream& out, std::ostream& err);

}  // namespace barid::cli

#endif  // BARID_CLI_COMMAND_H_
