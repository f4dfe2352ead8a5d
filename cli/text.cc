#include "cli/text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/setting_types.h"

namespace barid::cli {
namespace {

// The bytes of the UTF-8 character at the front of `text`, 0 if there is none. Overlong forms, surrogates and what is
// above U+10FFFF are none.
size_t CharacterBytes(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    if (!continues(1) || !continues(2)) return 0;
    const bool is_overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool is_surrogate = first == 0xed && byte(1) >= 0xa0;
    return is_overlong || is_surrogate ? 0 : 3;
  }
  if (first >= 0xf0 && first < 0xf5) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    const bool is_overlong = first == 0xf0 && byte(1) < 0x90;
    const bool is_too_large = first == 0xf4 && byte(1) >= 0x90;
    return is_overlong || is_too_large ? 0 : 4;
  }
  return 0;
}

}  // namespace

bool ParseDuration(absl::string_view text, absl::Duration* value) { return settings_internal::Parse(text, value); }
std::string DurationText(absl::Duration value) { return settings_internal::Print(value); }
std::string BytesText(int64_t value) { return settings_internal::Print(ByteSize(value)); }

absl::Duration FromProto(const google::protobuf::Duration& proto) {
  return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

absl::Time FromProto(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

void ToProto(absl::Duration value, google::protobuf::Duration* proto) {
  proto->set_seconds(absl::IDivDuration(value, absl::Seconds(1), &value));
  proto->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(value)));
}

void ToProto(absl::Time value, google::protobuf::Timestamp* proto) {
  const int64_t seconds = absl::ToUnixSeconds(value);  // Rounds down, so that nanos are never negative.
  proto->set_seconds(seconds);
  proto->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(value - absl::FromUnixSeconds(seconds))));
}

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

bool IsPrintable(absl::string_view text) {
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\n' && c != '\t') return false;
  }
  return IsUtf8(text);
}

std::string HexDump(absl::string_view bytes) {
  std::string out;
  for (size_t line = 0; line < bytes.size(); line += 16) {
    const absl::string_view part = bytes.substr(line, 16);
    absl::StrAppendFormat(&out, "%08x ", line);
    for (size_t i = 0; i < 16; ++i) {
      if (i == 8) out += ' ';
      if (i < part.size()) {
        absl::StrAppendFormat(&out, " %02x", static_cast<uint8_t>(part[i]));
      } else {
        out += "   ";
      }
    }
    out += "  |";
    for (const char c : part) out += absl::ascii_isprint(static_cast<unsigned char>(c)) ? c : '.';
    out += "|\n";
  }
  return out;
}

}  // namespace barid::cli
