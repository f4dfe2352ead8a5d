#include "cli/command.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "cli/json.h"
#include "cli/table.h"

namespace barid::cli {
namespace {

// The command whose words stand at the front of `args`, or nullptr.
const CommandEntry* FindCommand(absl::Span<const std::string> args) {
  const CommandEntry* found = nullptr;
  for (const CommandEntry& entry : Commands()) {
    const std::vector<std::string> words = absl::StrSplit(entry.words, ' ');
    if (words.size() <= args.size() && std::equal(words.begin(), words.end(), args.begin())) found = &entry;
  }
  return found;
}

size_t WordCount(absl::string_view text) {
  return text.empty() ? 0 : std::vector<absl::string_view>(absl::StrSplit(text, ' ')).size();
}

std::string Usage(const CommandEntry& entry) {
  return absl::StrCat("baridctl ", entry.words, entry.arguments.empty() ? "" : " ", entry.arguments);
}

// "topic" alone: which commands go on from there. Empty: none.
std::string Continuations(absl::string_view word) {
  std::vector<std::string> second;
  for (const CommandEntry& entry : Commands()) {
    const std::vector<std::string> words = absl::StrSplit(entry.words, ' ');
    if (words.size() == 2 && words[0] == word) second.push_back(words[1]);
  }
  return absl::StrJoin(second, ", ");
}

absl::Status UnknownCommand(absl::Span<const std::string> args) {
  if (args.empty()) return UsageError("there is no command, see baridctl --help");
  const std::string continuations = Continuations(args[0]);
  if (continuations.empty())
    return UsageError(absl::StrCat("there is no command \"", args[0], "\", see baridctl --help"));
  return UsageError(absl::StrCat("\"", absl::StrJoin(args.subspan(0, std::min<size_t>(args.size(), 2)), " "),
                                 "\" is no command, behind ", args[0], " stands one of ", continuations));
}

void PrintFlags(const FlagSet& flags, std::ostream& out) {
  Table table({});
  for (const FlagSet::Row& row : flags.Rows()) {
    const std::string fallback =
        row.is_bool || row.default_text.empty() ? "" : absl::StrCat(" Default: ", row.default_text, ".");
    table.AddRow({absl::StrCat("  ", row.flag), row.is_bool ? " " : row.allowed, absl::StrCat(row.help, fallback)});
  }
  table.Print(out);
}

void PrintHelp(std::ostream& out) {
  out << "baridctl [FLAGS] COMMAND [ARGUMENTS] [FLAGS]\n\n";
  Table table({});
  for (const CommandEntry& entry : Commands()) {
    if (entry.hidden) continue;
    table.AddRow({absl::StrCat("  ", entry.words, entry.arguments.empty() ? "" : " ", entry.arguments), entry.help});
  }
  table.Print(out);
  out << "\nFlags of every command (baridctl COMMAND --help shows its own):\n";
  GlobalOptions options;
  FlagSet flags;
  options.AddFlags(&flags);
  PrintFlags(flags, out);
  out << "\nExit codes: 0 done, 1 refused by the server, 2 usage, 3 nothing received, 4 unreachable.\n";
}

void PrintHelp(const CommandEntry& entry, const FlagSet& flags, std::ostream& out) {
  out << Usage(entry) << "\n" << entry.help << "\n\nFlags:\n";
  PrintFlags(flags, out);
}

absl::Status Run(absl::Span<const std::string> args, std::ostream& out, std::ostream& err) {
  // Flags may stand in front of the command, so its words are looked for behind those.
  GlobalOptions leading_options;
  FlagSet leading;
  leading_options.AddFlags(&leading);
  std::vector<std::string> rest;
  RETURN_IF_ERROR(leading.Parse(args, /*until_positional=*/true, &rest));
  const CommandEntry* const entry = FindCommand(rest);
  if (entry == nullptr) {
    const bool wants_help = leading_options.help || absl::c_linear_search(rest, "--help") ||
                            absl::c_linear_search(rest, "-h") || (!rest.empty() && rest[0] == "help");
    if (!wants_help) return UnknownCommand(rest);
    PrintHelp(out);
    return absl::OkStatus();
  }

  GlobalOptions options;
  FlagSet flags;
  options.AddFlags(&flags);
  const std::unique_ptr<Command> command = entry->make();
  command->AddFlags(&flags);
  std::vector<std::string> all(args.begin(), args.end() - static_cast<ptrdiff_t>(rest.size()));
  all.insert(all.end(), rest.begin() + static_cast<ptrdiff_t>(WordCount(entry->words)), rest.end());
  std::vector<std::string> arguments;
  RETURN_IF_ERROR(flags.Parse(all, /*until_positional=*/false, &arguments));
  if (options.help) {
    PrintHelp(*entry, flags, out);
    return absl::OkStatus();
  }
  const size_t most = WordCount(entry->arguments);
  const size_t wanted = most - static_cast<size_t>(absl::c_count(entry->arguments, '['));
  if (arguments.size() < wanted) {
    return UsageError(absl::StrCat(absl::StrJoin(absl::MakeSpan(arguments), " "),
                                   arguments.empty() ? "" : " is not enough, ", "expected ", Usage(*entry)));
  }
  if (arguments.size() > most) {
    return UsageError(absl::StrCat("\"", arguments[most], "\" is too much, expected ", Usage(*entry)));
  }
  Session session(options, out, err);
  return command->Run(flags, arguments, &session);
}

class VersionCommand : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string>, Session* session) override {
    if (session->json()) {
      session->out() << JsonWriter().BeginObject().Field("version", kVersion).End().text() << "\n";
    } else {
      session->out() << "baridctl " << kVersion << "\n";
    }
    return absl::OkStatus();
  }
};

}  // namespace

void GlobalOptions::AddFlags(FlagSet* flags) {
  flags->Add("endpoint", &client.endpoint, Default("127.0.0.1:8081"),
             "Where a server listens: its public or its admin port, HOST:PORT or unix:/PATH.");
  flags->Add("namespace", &client.space, Default(""), "Of all topics and groups that are named.");
  flags->Add("timeout", &client.timeout, Default(absl::Seconds(5)), Between(absl::Milliseconds(10), absl::Hours(1)),
             "How long to wait for an answer.");
  flags->Add("tls", &client.tls.enabled, Default(false), "Speak TLS; each of the other --tls flags means that, too.");
  flags->Add("tls_authorities", &client.tls.authorities, Default(""),
             "File (PEM) with those whose certificates are trusted. Without: the system's.");
  flags->Add("tls_server_name", &client.tls.server_name, Default(""),
             "Whom the server's certificate is to name. Without: the host in --endpoint.");
  flags->Add("tls_certificate", &client.tls.certificate, Default(""),
             "File (PEM) with the certificate to show to a server that asks for one.");
  flags->Add("tls_key", &client.tls.key, Default(""), "File (PEM) with the key of --tls-certificate.");
  flags->Add("output", &output, Default(OutputFormat::kText),
             OneOf<OutputFormat>({{"text", OutputFormat::kText}, {"json", OutputFormat::kJson}}),
             "Tables for people or JSON for programs; also -o.");
  flags->Add("help", &help, Default(false), "Show what the command does and its flags; also -h.");
}

absl::StatusOr<Client*> Session::Connect() {
  if (client_ == nullptr) {
    ASSIGN_OR_RETURN(client_, Client::Connect(options_.client));
  }
  return client_.get();
}

const std::vector<CommandEntry>& Commands() {
  static const auto* const commands = [] {
    auto* const all = new std::vector<CommandEntry>;
    AddTopicCommands(all);
    AddGroupCommands(all);
    AddSendCommand(all);
    AddRecallCommand(all);
    AddReceiveCommand(all);
    AddPullCommand(all);
    AddTailCommand(all);
    AddRequestCommand(all);
    AddReplyCommand(all);
    AddMessageCommands(all);
    AddDeadLetterCommands(all);
    AddTransactionCommand(all);
    AddStatusCommand(all);
    AddBenchCommands(all);
    all->push_back({"version", "", "Shows baridctl's version.", Make<VersionCommand>()});
    AddCompletionCommand(all);
    return all;
  }();
  return *commands;
}

ExitCode RunCommandLine(absl::Span<const std::string> args, std::ostream& out, std::ostream& err) {
  const absl::Status status = Run(args, out, err);
  out.flush();
  if (!status.ok()) {
    std::string sentence(status.message());
    if (!absl::EndsWith(sentence, ".")) sentence += '.';
    err << "baridctl: " << sentence << "\n";
  }
  return ExitCodeOf(status);
}

}  // namespace barid::cli
