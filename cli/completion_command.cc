#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/command.h"

namespace barid::cli {
namespace {

// For bash, and for zsh by its bashcompinit: what may follow the words so far is looked up in a table.
constexpr absl::string_view kHead = R"(_baridctl() {
  local current="${COMP_WORDS[COMP_CWORD]}" words="" i word
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word="${COMP_WORDS[i]}"
    case "$word" in
      -*) ;;
      *) case "${words:+$words }$word" in
)";
constexpr absl::string_view kMiddle = R"() words="${words:+$words }$word" ;;
        esac ;;
    esac
  done
  case "$words" in
)";
constexpr absl::string_view kTail = R"(  esac
}
complete -o default -F _baridctl baridctl
)";

class Completion : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    if (arguments[0] != "bash" && arguments[0] != "zsh") {
      return UsageError(absl::StrCat("\"", arguments[0], "\" is no shell that is known, expected bash or zsh"));
    }
    if (arguments[0] == "zsh") session->out() << "autoload -U +X bashcompinit && bashcompinit\n";
    session->out() << Script();
    return absl::OkStatus();
  }

 private:
  static std::string Script() {
    // By the words so far: the words that go on, and flags.
    std::map<std::string, std::vector<std::string>> next;
    std::vector<std::string> known;
    for (const CommandEntry& entry : Commands()) {
      if (entry.hidden) continue;
      const std::vector<std::string> words = absl::StrSplit(entry.words, ' ');
      if (next[""].empty() || next[""].back() != words[0]) next[""].push_back(words[0]);
      if (words.size() == 2) next[words[0]].push_back(words[1]);
      for (const std::string& flag : FlagsOf(entry)) next[entry.words].push_back(flag);
    }
    next["completion"].insert(next["completion"].begin(), {"bash", "zsh"});
    std::string cases;
    for (const auto& [words, candidates] : next) {
      if (!words.empty()) known.push_back(absl::StrCat("\"", words, "\""));
      absl::StrAppend(&cases, "    \"", words, "\") COMPREPLY=($(compgen -W \"", absl::StrJoin(candidates, " "),
                      "\" -- \"$current\")) ;;\n");
    }
    return absl::StrCat(kHead, "        ", absl::StrJoin(known, "|"), kMiddle, cases, kTail);
  }

  static std::vector<std::string> FlagsOf(const CommandEntry& entry) {
    GlobalOptions options;
    FlagSet flags;
    options.AddFlags(&flags);
    const std::unique_ptr<Command> command = entry.make();
    command->AddFlags(&flags);
    std::vector<std::string> names;
    for (const FlagSet::Row& row : flags.Rows()) names.push_back(row.flag);
    return names;
  }
};

}  // namespace

void AddCompletionCommand(std::vector<CommandEntry>* commands) {
  commands->push_back({"completion", "SHELL",
                       "Writes the completion script for bash or zsh: source <(baridctl completion bash).",
                       Make<Completion>()});
}

}  // namespace barid::cli
