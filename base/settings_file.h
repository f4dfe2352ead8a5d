#ifndef BARID_BASE_SETTINGS_FILE_H_
#define BARID_BASE_SETTINGS_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/env.h"
#include "base/settings.h"

namespace barid {

// The settings in a YAML text. Keys may be nested or dotted (`storage: {segment_bytes: 1GiB}`, `storage.segment_bytes:
// 1GiB`) and lists a sequence or a line with commas. kInvalidArgument with file and line for what is not YAML or not of
// this shape; whether the names and values are allowed says the table.
absl::StatusOr<std::vector<SettingValue>> ParseSettingsYaml(absl::string_view text, absl::string_view file_name);

// Fills the table's fields in rising precedence: file (--config or BARID_CONFIG), environment, flags. With --help or
// --print-settings on the line only the flags are read.
absl::StatusOr<CommandLine> LoadSettings(SettingsTable* table, Env* env, absl::Span<const std::string> args,
                                         absl::Span<const std::string> environment);

}  // namespace barid

#endif  // BARID_BASE_SETTINGS_FILE_H_
