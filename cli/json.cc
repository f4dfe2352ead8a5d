#include "cli/json.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

void AppendQuoted(absl::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
          absl::StrAppendFormat(out, "\\u%04x", static_cast<uint8_t>(c));
        } else {
          out->push_back(c);
        }
    }
  }
  out->push_back('"');
}

// ASCII stays; every byte of a text that is no UTF-8 as a whole becomes U+FFFD otherwise.
std::string Repaired(absl::string_view text) {
  std::string out;
  for (const char c : text) absl::StrAppend(&out, (c & 0x80) == 0 ? std::string(1, c) : "\xef\xbf\xbd");
  return out;
}

}  // namespace

void JsonWriter::Separate() {
  if (!is_first_) text_.push_back(',');
  is_first_ = false;
}

JsonWriter& JsonWriter::Open(char open, char close) {
  Separate();
  text_.push_back(open);
  closers_.push_back(close);
  is_first_ = true;
  return *this;
}

JsonWriter& JsonWriter::End() {
  CHECK(!closers_.empty());
  text_.push_back(closers_.back());
  closers_.pop_back();
  is_first_ = false;
  return *this;
}

JsonWriter& JsonWriter::Key(absl::string_view name) {
  Separate();
  AppendQuoted(name, &text_);
  text_.push_back(':');
  is_first_ = true;  // The value is not separated from its key.
  return *this;
}

JsonWriter& JsonWriter::Raw(absl::string_view text) {
  Separate();
  absl::StrAppend(&text_, text);
  return *this;
}

JsonWriter& JsonWriter::Value(absl::string_view text) {
  Separate();
  AppendQuoted(IsUtf8(text) ? std::string(text) : Repaired(text), &text_);
  return *this;
}

JsonWriter& JsonWriter::Value(double number) {
  return Raw(std::isfinite(number) ? absl::StrFormat("%.10g", number) : "null");
}

}  // namespace barid::cli
