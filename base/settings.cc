#include "base/settings.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status.h"

namespace barid {
namespace {

constexpr absl::string_view kVariablePrefix = "BARID_";
constexpr absl::string_view kConfigVariable = "BARID_CONFIG";

// How many letters to insert, drop or change to get from `a` to `b`.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

bool IsName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '.';
  });
}

// Kubernetes gives every container such variables for each service of its namespace, and ours are called barid-...
bool IsServiceLink(absl::string_view name, absl::string_view value) {
  return absl::EndsWith(name, "_SERVICE_HOST") || absl::StrContains(name, "_SERVICE_PORT") ||
         (absl::StrContains(name, "_PORT") && absl::StrContains(value, "://")) || absl::StrContains(name, "_TCP_") ||
         absl::StrContains(name, "_UDP_");
}

}  // namespace

std::string SettingFlag(absl::string_view name) { return "--" + absl::StrReplaceAll(name, {{"_", "-"}}); }

std::string SettingVariable(absl::string_view name) {
  return absl::StrCat(kVariablePrefix, absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{".", "_"}})));
}

void SettingsTable::AddRow(Row row) {
  CHECK(IsName(row.name)) << row.name;
  CHECK(row.assign(row.default_text)) << row.name << ": its default " << row.default_text << " is not " << row.allowed;
  for (const Row& other : rows_) {
    CHECK(SettingVariable(other.name) != SettingVariable(row.name)) << other.name << " and " << row.name;
  }
  index_[row.name] = rows_.size();
  rows_.push_back(std::move(row));
}

const SettingsTable::Row* SettingsTable::Find(absl::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &rows_[found->second];
}

absl::Status SettingsTable::UnknownName(absl::string_view found, absl::string_view source) const {
  const std::string name = absl::AsciiStrToLower(absl::StrReplaceAll(found, {{"-", "_"}}));
  const Row* nearest = nullptr;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  for (const Row& row : rows_) {
    // The right name in the wrong group is nearer than any misspelling.
    const bool is_tail = absl::EndsWith(row.name, "." + name);
    // A variable's underscores may stand for dots.
    const size_t distance = is_tail ? 0
                                    : std::min(EditDistance(name, row.name),
                                               EditDistance(name, absl::StrReplaceAll(row.name, {{".", "_"}})));
    if (distance >= least) continue;
    least = distance;
    nearest = &row;
  }
  std::string message = absl::StrCat(found, " (", source, "): there is no such setting");
  if (nearest != nullptr) {
    absl::StrAppend(&message, "; did you mean ", nearest->name, "?");
  } else {
    absl::StrAppend(&message, "; --help lists them all");
  }
  return absl::InvalidArgumentError(message);
}

absl::Status SettingsTable::Set(const SettingValue& value) {
  const Row* row = Find(value.name);
  if (row == nullptr) return UnknownName(value.name, value.source);
  if (row->assign(value.text)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(value.name, " (", value.source, "): found \"", value.text, "\", allowed is ", row->allowed));
}

std::string SettingsTable::PrintMarkdown() const {
  std::string out =
      "| setting | default | allowed | takes effect | what it does |\n"
      "|---|---|---|---|---|\n";
  const auto cell = [](absl::string_view text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); };
  for (const Row& row : rows_) {
    absl::StrAppend(&out, "| `", row.name, "` | ", row.default_text.empty() ? "" : "`" + cell(row.default_text) + "`",
                    " | ", cell(row.allowed), " | ", row.reload == kReloadable ? "on reload" : "at start", " | ",
                    cell(row.help), " |\n");
  }
  return out;
}

std::string SettingsTable::Help() const {
  std::string out =
      "Settings, as flags. Each is also a key of the --config file and an environment variable\n"
      "(--storage.segment-bytes is storage.segment_bytes and BARID_STORAGE_SEGMENT_BYTES);\n"
      "flags go before the environment, the environment before the file.\n";
  for (const Row& row : rows_) {
    absl::StrAppend(&out, "\n  ", SettingFlag(row.name), row.default_text.empty() ? "" : "=" + row.default_text,
                    "\n      ", row.help, "\n      Allowed: ", row.allowed, ".",
                    row.reload == kReloadable ? " Reloadable." : "", "\n");
  }
  return out;
}

std::vector<const SettingsTable::Row*> ChangedSettings(const SettingsTable& before, const SettingsTable& after) {
  std::vector<const SettingsTable::Row*> changed;
  for (const SettingsTable::Row& row : after.rows()) {
    const SettingsTable::Row* old_row = before.Find(row.name);
    if (old_row == nullptr || old_row->print() != row.print()) changed.push_back(&row);
  }
  return changed;
}

absl::StatusOr<CommandLine> ParseCommandLine(const SettingsTable& table, absl::Span<const std::string> args) {
  CommandLine result;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    if (arg == "--") {
      for (++i; i < args.size(); ++i) result.positional.push_back(args[i]);
      break;
    }
    if (arg == "-h" || arg == "--help") {
      result.wants_help = true;
      continue;
    }
    if (arg == "--print-settings") {
      result.wants_settings = true;
      continue;
    }
    if (arg == "--print-metrics") {
      result.wants_metrics = true;
      continue;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      result.positional.emplace_back(arg);
      continue;
    }
    if (!absl::ConsumePrefix(&arg, "--")) {
      return absl::InvalidArgumentError(absl::StrCat(arg, ": flags begin with two dashes; --help lists them"));
    }
    const std::pair<std::string, std::string> parts = absl::StrSplit(arg, absl::MaxSplits('=', 1));
    const bool has_value = absl::StrContains(arg, '=');
    const std::string name = absl::StrReplaceAll(parts.first, {{"-", "_"}});
    const std::string source = "--" + parts.first;
    const SettingsTable::Row* row = table.Find(name);
    if (row == nullptr && name != "config") return table.UnknownName(name, source);

    std::string text = parts.second;
    if (!has_value && row != nullptr && row->is_bool) {
      text = "true";
    } else if (!has_value) {
      if (++i == args.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat(source, " needs a value: ", row == nullptr ? "the path of a file" : row->allowed));
      }
      text = args[i];
    }
    if (row == nullptr) {
      result.config_path = text;
    } else {
      result.values.push_back({name, text, source});
    }
  }
  return result;
}

absl::StatusOr<std::vector<SettingValue>> ParseEnvironment(const SettingsTable& table,
                                                           absl::Span<const std::string> environment) {
  absl::flat_hash_map<std::string, const SettingsTable::Row*> variables;
  for (const SettingsTable::Row& row : table.rows()) variables[SettingVariable(row.name)] = &row;
  std::vector<SettingValue> values;
  for (const std::string& line : environment) {
    if (!absl::StartsWith(line, kVariablePrefix)) continue;
    const std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (parts.first == kConfigVariable) continue;
    const auto found = variables.find(parts.first);
    if (found != variables.end()) {
      values.push_back({found->second->name, parts.second, parts.first});
    } else if (!IsServiceLink(parts.first, parts.second)) {
      return table.UnknownName(parts.first.substr(kVariablePrefix.size()), parts.first);
    }
  }
  return values;
}

std::vector<std::string> ProcessEnvironment() {
  std::vector<std::string> lines;
  for (char** line = environ; *line != nullptr; ++line) lines.emplace_back(*line);
  return lines;
}

}  // namespace barid
