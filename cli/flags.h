#ifndef BARID_CLI_FLAGS_H_
#define BARID_CLI_FLAGS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/settings.h"

namespace barid::cli {

// The flags of one command: typed, bounded and explained as the settings of a server are (base/settings.h), but without
// files and environment, and with flags that may be given several times. The fields outlive the set.
class FlagSet {
 public:
  // `name` is in settings' spelling: "max_attempts" is given as --max-attempts.
  template <typename T, typename D, typename A>
  void Add(absl::string_view name, T* field, DefaultValue<D> default_value, A allowed, absl::string_view help) {
    table_.Add(name, field, std::move(default_value), std::move(allowed), kReloadable, help);
  }
  template <typename T, typename D>
  void Add(absl::string_view name, T* field, DefaultValue<D> default_value, absl::string_view help) {
    table_.Add(name, field, std::move(default_value), AnyValue(), kReloadable, help);
  }
  // May be given several times; each value is taken whole, commas included.
  void AddRepeated(absl::string_view name, std::vector<std::string>* field, absl::string_view help);

  // `--name=value`, `--name value`, `--name` for true, `-o` for --output, `-h` for --help. What follows "--" is
  // positional. Stops at the first positional if `until_positional`, and leaves it and all after it in `positional`. A
  // usage error names the flag, what was found and what is allowed.
  absl::Status Parse(absl::Span<const std::string> args, bool until_positional, std::vector<std::string>* positional);

  // Whether the flag was on the command line.
  bool Given(absl::string_view name) const { return given_.contains(name); }

  struct Row {
    std::string flag;  // "--max-attempts"
    std::string default_text;
    std::string allowed;
    std::string help;
    bool is_bool = false;
  };
  std::vector<Row> Rows() const;

 private:
  struct Repeated {
    std::string name;
    std::vector<std::string>* field;
    std::string help;
  };

  absl::Status Set(absl::string_view flag, absl::string_view name, absl::string_view text);
  bool IsBool(absl::string_view name) const;

  SettingsTable table_;
  std::vector<Repeated> repeated_;
  absl::flat_hash_set<std::string> given_;
};

}  // namespace barid::cli

#endif  // BARID_CLI_FLAGS_H_
