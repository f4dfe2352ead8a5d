#include "base/setting_types.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace barid {
namespace settings_internal {
namespace {

struct Unit {
  char letter;
  int shift;
};
constexpr Unit kUnits[] = {{'p', 50}, {'t', 40}, {'g', 30}, {'m', 20}, {'k', 10}};

}  // namespace

bool Parse(absl::string_view text, bool* value) {
  if (text != "true" && text != "false") return false;
  *value = text == "true";
  return true;
}

bool Parse(absl::string_view text, int32_t* value) { return absl::SimpleAtoi(text, value); }
bool Parse(absl::string_view text, int64_t* value) { return absl::SimpleAtoi(text, value); }
bool Parse(absl::string_view text, uint64_t* value) { return absl::SimpleAtoi(text, value); }

bool Parse(absl::string_view text, double* value) {
  // Neither infinity nor "not a number" sets anything sensibly.
  return absl::SimpleAtod(text, value) && *value - *value == 0;
}

bool Parse(absl::string_view text, std::string* value) {
  *value = std::string(text);
  return true;
}

bool Parse(absl::string_view text, absl::Duration* value) {
  absl::Duration days;
  if (const size_t end = text.find('d'); end != absl::string_view::npos) {
    int32_t count = 0;
    if (!absl::ascii_isdigit(text[0]) || !absl::SimpleAtoi(text.substr(0, end), &count)) return false;
    days = absl::Hours(24) * count;
    text.remove_prefix(end + 1);
    if (text.empty()) text = "0";
    if (!absl::ascii_isdigit(text[0])) return false;
  }
  absl::Duration rest;
  if (!absl::ParseDuration(std::string(text), &rest)) return false;
  *value = days + rest;
  return true;
}

bool Parse(absl::string_view text, ByteSize* value) {
  size_t digits = 0;
  while (digits < text.size() && absl::ascii_isdigit(text[digits])) ++digits;
  uint64_t count = 0;
  if (!absl::SimpleAtoi(text.substr(0, digits), &count)) return false;
  const std::string unit = absl::AsciiStrToLower(text.substr(digits));
  int shift = 0;
  if (!unit.empty() && unit != "b") {
    for (const Unit& known : kUnits) {
      if (unit[0] == known.letter) shift = known.shift;
    }
    const absl::string_view rest = absl::string_view(unit).substr(1);
    // Not "MB": some mean a million by it.
    if (shift == 0 || (!rest.empty() && rest != "i" && rest != "ib")) return false;
  }
  if (count > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) >> shift) return false;
  *value = ByteSize(static_cast<int64_t>(count << shift));
  return true;
}

bool Parse(absl::string_view text, std::vector<std::string>* value) {
  value->clear();
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const absl::string_view word = absl::StripAsciiWhitespace(part);
    if (!word.empty()) value->emplace_back(word);
  }
  return true;
}

std::string Print(bool value) { return value ? "true" : "false"; }
std::string Print(int32_t value) { return absl::StrCat(value); }
std::string Print(int64_t value) { return absl::StrCat(value); }
std::string Print(uint64_t value) { return absl::StrCat(value); }
std::string Print(double value) { return absl::StrCat(value); }
std::string Print(const std::string& value) { return value; }
std::string Print(absl::Duration value) {
  std::string text = absl::FormatDuration(value);
  // "72h0m0s" would be right, but nobody writes it.
  if (absl::EndsWith(text, "m0s")) text.resize(text.size() - 2);
  if (absl::EndsWith(text, "h0m")) text.resize(text.size() - 2);
  return text;
}
std::string Print(ByteSize value) {
  for (const Unit& unit : kUnits) {
    const int64_t size = int64_t{1} << unit.shift;
    if (value == 0 || value % size != 0) continue;
    return absl::StrCat(value / size, std::string(1, absl::ascii_toupper(unit.letter)), "iB");
  }
  return absl::StrCat(static_cast<int64_t>(value));
}
std::string Print(const std::vector<std::string>& value) { return absl::StrJoin(value, ","); }

const char* TypeName(const bool&) { return "true or false"; }
const char* TypeName(const int32_t&) { return "a whole number"; }
const char* TypeName(const int64_t&) { return "a whole number"; }
const char* TypeName(const uint64_t&) { return "a whole number"; }
const char* TypeName(const double&) { return "a number"; }
const char* TypeName(const std::string&) { return "text"; }
const char* TypeName(const absl::Duration&) { return "a duration (5s, 1m30s, 72h, 3d)"; }
const char* TypeName(const ByteSize&) { return "a size (4096, 4k, 256MiB)"; }
const char* TypeName(const std::vector<std::string>&) { return "a list (a,b,c)"; }

}  // namespace settings_internal
}  // namespace barid
