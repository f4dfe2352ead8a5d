#include "base/settings_file.h"

#include <yaml-cpp/yaml.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace barid {
namespace {

// Walks the tree of one file. yaml-cpp throws; ParseSettingsYaml catches.
class YamlReader {
 public:
  explicit YamlReader(absl::string_view file_name) : file_name_(file_name) {}

  absl::Status Read(const std::string& name, const YAML::Node& node) {
    if (node.IsMap()) {
      for (const auto& entry : node) {
        if (!entry.first.IsScalar()) return Error(entry.first, "expected a name");
        const std::string key = entry.first.Scalar();
        RETURN_IF_ERROR(Read(name.empty() ? key : absl::StrCat(name, ".", key), entry.second));
      }
      return absl::OkStatus();
    }
    if (name.empty()) return Error(node, "expected settings as \"name: value\"");
    if (node.IsScalar()) return Add(name, node, node.Scalar());
    if (node.IsSequence()) return ReadList(name, node);
    return Error(node, absl::StrCat(name, " has no value; write \"\" for empty text, or leave the line out"));
  }

  std::vector<SettingValue> TakeValues() { return std::move(values_); }

 private:
  absl::Status ReadList(const std::string& name, const YAML::Node& node) {
    std::vector<std::string> words;
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) return Error(item, absl::StrCat(name, ": expected a list of words"));
      if (absl::StrContains(item.Scalar(), ',')) return Error(item, absl::StrCat(name, ": a word has no comma"));
      words.push_back(item.Scalar());
    }
    return Add(name, node, absl::StrJoin(words, ","));
  }

  absl::Status Add(const std::string& name, const YAML::Node& node, std::string text) {
    const auto [first, is_new] = lines_.try_emplace(name, node.Mark().line + 1);
    if (!is_new) return Error(node, absl::StrCat(name, " is set already in line ", first->second));
    values_.push_back({name, std::move(text), Source(node.Mark())});
    return absl::OkStatus();
  }

  std::string Source(const YAML::Mark& mark) const { return absl::StrCat(file_name_, ":", mark.line + 1); }
  absl::Status Error(const YAML::Node& node, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(Source(node.Mark()), ": ", what));
  }

  const absl::string_view file_name_;
  absl::flat_hash_map<std::string, int> lines_;
  std::vector<SettingValue> values_;
};

absl::StatusOr<std::vector<SettingValue>> ReadSettingsFile(Env* env, absl::string_view path) {
  const absl::StatusOr<std::string> text = ReadFile(env, path);
  if (!text.ok()) return Annotate(text.status(), "reading the settings file");
  return ParseSettingsYaml(*text, path);
}

}  // namespace

absl::StatusOr<std::vector<SettingValue>> ParseSettingsYaml(absl::string_view text, absl::string_view file_name) {
  try {
    const YAML::Node root = YAML::Load(std::string(text));
    YamlReader reader(file_name);
    if (!root.IsNull()) RETURN_IF_ERROR(reader.Read("", root));
    return reader.TakeValues();
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ":", error.mark.line + 1, ": not YAML: ", error.msg));
  }
}

absl::StatusOr<CommandLine> LoadSettings(SettingsTable* table, Env* env, absl::Span<const std::string> args,
                                         absl::Span<const std::string> environment) {
  ASSIGN_OR_RETURN(CommandLine line, ParseCommandLine(*table, args));
  if (line.wants_help || line.wants_settings || line.wants_metrics) return line;
  if (line.config_path.empty()) {
    for (absl::string_view variable : environment) {
      if (absl::ConsumePrefix(&variable, "BARID_CONFIG=")) line.config_path = std::string(variable);
    }
  }
  if (!line.config_path.empty()) {
    ASSIGN_OR_RETURN(const std::vector<SettingValue> file_values, ReadSettingsFile(env, line.config_path));
    for (const SettingValue& value : file_values) RETURN_IF_ERROR(table->Set(value));
  }
  ASSIGN_OR_RETURN(const std::vector<SettingValue> variables, ParseEnvironment(*table, environment));
  for (const SettingValue& value : variables) RETURN_IF_ERROR(table->Set(value));
  for (const SettingValue& value : line.values) RETURN_IF_ERROR(table->Set(value));
  return line;
}

}  // namespace barid
