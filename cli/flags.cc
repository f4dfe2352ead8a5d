#include "cli/flags.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "cli/failure.h"

namespace barid::cli {

void FlagSet::AddRepeated(absl::string_view name, std::vector<std::string>* field, absl::string_view help) {
  repeated_.push_back({std::string(name), field, std::string(help)});
}

bool FlagSet::IsBool(absl::string_view name) const {
  const SettingsTable::Row* const row = table_.Find(name);
  return row != nullptr && row->is_bool;
}

absl::Status FlagSet::Set(absl::string_view flag, absl::string_view name, absl::string_view text) {
  given_.insert(std::string(name));
  for (const Repeated& repeated : repeated_) {
    if (repeated.name != name) continue;
    repeated.field->emplace_back(text);
    return absl::OkStatus();
  }
  const SettingsTable::Row* const row = table_.Find(name);
  if (row == nullptr) return UsageError(absl::StrCat("there is no flag ", flag, ", see --help"));
  if (!row->assign(text)) {
    return UsageError(absl::StrCat(flag, " is \"", text, "\", expected ", row->allowed));
  }
  return absl::OkStatus();
}

absl::Status FlagSet::Parse(absl::Span<const std::string> args, bool until_positional,
                            std::vector<std::string>* positional) {
  for (size_t i = 0; i < args.size(); ++i) {
    const absl::string_view arg = args[i];
    if (arg == "--") {
      positional->insert(positional->end(), args.begin() + i + 1, args.end());
      return absl::OkStatus();
    }
    if (arg.size() < 2 || arg[0] != '-') {
      positional->push_back(args[i]);
      if (!until_positional) continue;
      positional->insert(positional->end(), args.begin() + i + 1, args.end());
      return absl::OkStatus();
    }
    const size_t equals = arg.find('=');
    const absl::string_view flag = arg.substr(0, equals);
    std::string name;
    if (flag == "-o") {
      name = "output";
    } else if (flag == "-h") {
      name = "help";
    } else if (absl::StartsWith(flag, "--")) {
      name = absl::StrReplaceAll(flag.substr(2), {{"-", "_"}});
    } else {
      return UsageError(absl::StrCat("there is no flag ", flag, ", see --help"));
    }
    if (equals != arg.npos) {
      RETURN_IF_ERROR(Set(flag, name, arg.substr(equals + 1)));
      continue;
    }
    const bool is_known = table_.Find(name) != nullptr || std::any_of(repeated_.begin(), repeated_.end(),
                                                                      [&](const auto& r) { return r.name == name; });
    if (IsBool(name) || !is_known) {
      RETURN_IF_ERROR(Set(flag, name, "true"));
    } else if (i + 1 == args.size()) {
      return UsageError(absl::StrCat(flag, " has no value, write ", flag, " VALUE"));
    } else {
      RETURN_IF_ERROR(Set(flag, name, args[++i]));
    }
  }
  return absl::OkStatus();
}

std::vector<FlagSet::Row> FlagSet::Rows() const {
  std::vector<Row> rows;
  for (const SettingsTable::Row& row : table_.rows()) {
    rows.push_back({SettingFlag(row.name), row.default_text, row.allowed, row.help, row.is_bool});
  }
  for (const Repeated& row : repeated_) {
    rows.push_back({SettingFlag(row.name), "", "text, may be given several times", row.help});
  }
  return rows;
}

}  // namespace barid::cli
