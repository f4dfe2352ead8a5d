#ifndef BARID_BASE_SETTINGS_H_
#define BARID_BASE_SETTINGS_H_

#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/setting_types.h"

namespace barid {

// A value that somebody gave, and where.
struct SettingValue {
  std::string name;    // "storage.segment_bytes"
  std::string text;    // "256MiB"
  std::string source;  // "barid.yaml:12", "--storage.segment-bytes", "BARID_STORAGE_SEGMENT_BYTES"
};

// Everything that can be set, one row per setting:
//
//   table->Add("storage.segment_bytes", &options->segment_bytes, Default(1 * kGiB),
//              Between(16 * kMiB, 4 * kGiB), kNeedsRestart,
//              "Size of one commit-log file. Space is freed a whole file at a time.");
//
// The row is what a reader, the parser, --help and the docs page need. A setting has one name everywhere: the key in
// the file, the flag (`--storage.segment-bytes`) and the environment variable (`BARID_STORAGE_SEGMENT_BYTES`).
//
// Fields are bool, int32_t, int64_t, uint64_t, double, std::string, absl::Duration, std::vector<std::string>, or an
// enum with OneOf. An integer whose default is a ByteSize (`1 * kGiB`) is read and printed with a unit. The fields
// outlive the table. Not thread-safe: a process that reloads reads into new options with a new table, and hands those
// out.
class SettingsTable {
 public:
  // Declares a setting and gives the field its default. CHECKs that the name is new and the default allowed.
  template <typename T, typename D, typename A>
  void Add(absl::string_view name, T* field, DefaultValue<D> default_value, A allowed, Reload reload,
           absl::string_view help);
  // Without bounds.
  template <typename T, typename D>
  void Add(absl::string_view name, T* field, DefaultValue<D> default_value, Reload reload, absl::string_view help) {
    Add(name, field, std::move(default_value), AnyValue(), reload, help);
  }

  // kInvalidArgument, naming the key, the source, what was found and what is allowed, if there is no such setting or
  // the value is not allowed. The field is left alone then.
  absl::Status Set(const SettingValue& value);

  struct Row {
    std::string name;
    std::string default_text;
    std::string allowed;  // "a whole number, from 1 to 10"
    Reload reload;
    std::string help;
    bool is_bool = false;                                // The flag needs no value.
    std::function<bool(absl::string_view text)> assign;  // False, and nothing happens, if that is not allowed.
    std::function<std::string()> print;                  // The field as it is now.
  };
  const std::vector<Row>& rows() const { return rows_; }  // In the order of Add.
  const Row* Find(absl::string_view name) const;          // Null if there is none.

  // kInvalidArgument that says so and suggests the nearest name.
  absl::Status UnknownName(absl::string_view found, absl::string_view source) const;

  // The docs page's table, for --print-settings, and a listing for the terminal.
  std::string PrintMarkdown() const;
  std::string Help() const;

 private:
  void AddRow(Row row);

  std::vector<Row> rows_;
  absl::flat_hash_map<std::string, size_t> index_;
};

// "--storage.segment-bytes" and "BARID_STORAGE_SEGMENT_BYTES".
std::string SettingFlag(absl::string_view name);
std::string SettingVariable(absl::string_view name);

// The settings that differ between two tables with the same rows: before and after a reload.
std::vector<const SettingsTable::Row*> ChangedSettings(const SettingsTable& before, const SettingsTable& after);

struct CommandLine {
  std::vector<SettingValue> values;
  std::vector<std::string> positional;
  std::string config_path;      // --config, or BARID_CONFIG.
  bool wants_help = false;      // --help, -h
  bool wants_settings = false;  // --print-settings
  bool wants_metrics = false;   // --print-metrics
};

// `--name=value`, `--name value`, and `--name` for true; "-" stands for "_" in names. What follows "--" is positional.
// `args` is without the program's name.
absl::StatusOr<CommandLine> ParseCommandLine(const SettingsTable& table, absl::Span<const std::string> args);

// `environment` is "NAME=value" lines. All that begin with BARID_ must be settings, but for those that Kubernetes makes
// for services whose name begins with "barid" (BARID_..._SERVICE_HOST, ..._PORT_80_TCP and so on).
absl::StatusOr<std::vector<SettingValue>> ParseEnvironment(const SettingsTable& table,
                                                           absl::Span<const std::string> environment);
// This process's.
std::vector<std::string> ProcessEnvironment();

template <typename T, typename D, typename A>
void SettingsTable::Add(absl::string_view name, T* field, DefaultValue<D> default_value, A allowed, Reload reload,
                        absl::string_view help) {
  // What is parsed and printed: the field's own type, except that sizes are numbers with units.
  using Value = std::conditional_t<std::is_same_v<D, ByteSize>, ByteSize, T>;
  *field = static_cast<T>(std::move(default_value.value));
  Row row;
  row.name = std::string(name);
  row.allowed = settings_internal::Describe<Value>(allowed);
  row.reload = reload;
  row.help = std::string(help);
  row.is_bool = std::is_same_v<T, bool>;
  row.assign = [allowed, field](absl::string_view text) {
    Value value{};
    if (!settings_internal::ParseAllowed(allowed, text, &value)) return false;
    if constexpr (std::is_same_v<Value, ByteSize> && sizeof(T) < sizeof(int64_t)) {
      if (static_cast<int64_t>(static_cast<T>(value)) != static_cast<int64_t>(value)) return false;
    }
    *field = static_cast<T>(std::move(value));
    return true;
  };
  row.print = [allowed, field] { return settings_internal::PrintAllowed(allowed, static_cast<Value>(*field)); };
  row.default_text = row.print();
  AddRow(std::move(row));
}

}  // namespace barid

#endif  // BARID_BASE_SETTINGS_H_
