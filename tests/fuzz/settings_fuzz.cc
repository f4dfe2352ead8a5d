// Any text as a settings file, as a command line and as an environment: it is refused with where and what was found, or
// the fields have allowed values, which mean the same when they are said again in each of the three ways.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/settings.h"
#include "base/settings_file.h"
#include "tests/fuzz/fuzz.h"

namespace barid {
namespace {

enum class Colour { kRed, kGreen };

// A field of each type.
struct Fields {
  bool flag;
  int32_t small;
  int64_t bytes;
  uint64_t large;
  double part;
  std::string text;
  std::string word;
  absl::Duration time;
  std::vector<std::string> list;
  Colour colour;

  SettingsTable table;

  Fields() {
    table.Add("a.flag", &flag, Default(false), kNeedsRestart, "A flag.");
    table.Add("a.small", &small, Default(5), Between(1, 100), kNeedsRestart, "A number.");
    table.Add("a.bytes", &bytes, Default(1 * kMiB), Between(1 * kKiB, 4 * kGiB), kNeedsRestart, "A size.");
    table.Add("a.large", &large, Default(uint64_t{5}), kNeedsRestart, "A large number.");
    table.Add("b.part", &part, Default(0.5), Between(0.0, 1.0), kNeedsRestart, "A part.");
    table.Add("b.text", &text, Default(""), kNeedsRestart, "A text.");
    table.Add("b.word", &word, Default("text"), OneOf({"text", "json"}), kNeedsRestart, "A word.");
    table.Add("b.some_time", &time, Default(absl::Seconds(5)), Between(absl::Milliseconds(1), absl::Hours(72)),
              kNeedsRestart, "A time.");
    table.Add("list", &list, Default(std::vector<std::string>()), kNeedsRestart, "A list.");
    table.Add("colour", &colour, Default(Colour::kRed),
              OneOf<Colour>({{"red", Colour::kRed}, {"green", Colour::kGreen}}), kNeedsRestart, "A colour.");
  }
};

void CheckRefused(const absl::Status& status) { CHECK(absl::IsInvalidArgument(status)) << status; }

// What was taken is within its bounds, and is taken again as it is printed.
void Assign(const std::vector<SettingValue>& values) {
  Fields fields;
  for (const SettingValue& value : values) {
    if (const absl::Status status = fields.table.Set(value); !status.ok()) CheckRefused(status);
  }
  CHECK(fields.small >= 1 && fields.small <= 100);
  CHECK(fields.bytes >= 1024 && fields.bytes <= int64_t{4} << 30);
  CHECK(fields.part >= 0 && fields.part <= 1);
  CHECK(fields.word == "text" || fields.word == "json");
  CHECK(fields.time >= absl::Milliseconds(1) && fields.time <= absl::Hours(72));
  CHECK(!fields.table.PrintMarkdown().empty());
  Fields again;
  for (const SettingsTable::Row& row : fields.table.rows()) {
    CHECK(again.table.Find(row.name)->assign(row.print())) << row.name << " is printed as " << row.print();
    CHECK_EQ(again.table.Find(row.name)->print(), row.print());
  }
  CHECK(ChangedSettings(fields.table, again.table).empty());
}

void Fuzz(absl::string_view text) {
  const Fields fields;
  if (const auto values = ParseSettingsYaml(text, "barid.yaml"); values.ok()) {
    Assign(*values);
  } else {
    CheckRefused(values.status());
    CHECK(absl::StrContains(values.status().message(), "barid.yaml")) << values.status();
  }
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (const auto line = ParseCommandLine(fields.table, lines); line.ok()) {
    Assign(line->values);
  } else {
    CheckRefused(line.status());
  }
  if (const auto values = ParseEnvironment(fields.table, lines); values.ok()) {
    Assign(*values);
  } else {
    CheckRefused(values.status());
  }
}

}  // namespace
}  // namespace barid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  barid::Fuzz(absl::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {
      "a:\n  flag: true\n  small: 7\n  bytes: 2GiB\nb: {part: 0.25, text: \"x \\u00e9\", word: json, some_time: "
      "1m30s}\nlist: [x, 'y', z]\n",
      "a.flag: yes\nlist:\n  - x\n  - \"y\"\ncolour: green  # a comment\na.large: 18446744073709551615\n",
      "b.text: |\n  several\n  lines\nb: &anchor {part: 1}\nc: *anchor\n",
      "a: [1, {b: 2}]\n---\na: 1\n",
      "--a.flag\n--a.small=7\n--a.bytes\n2KiB\n--b.some-time=72h\n--list=x,y\n--\nrest",
      "--help",
      "-h\n--print-settings\n--config=x",
      "BARID_A_SMALL=7\nBARID_B_SOME_TIME=5s\nBARID_COLOUR=green\nPATH=/"
      "bin\nBARID_X_SERVICE_HOST=1\nBARID_X_PORT_80_TCP=tcp",
      "b.some_time: 3d",
      "a.bytes: 1e3",
      "b.part: nan"};
}
