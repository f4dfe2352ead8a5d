#ifndef BARID_CLI_JSON_H_
#define BARID_CLI_JSON_H_

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace barid::cli {

// Writes one JSON value on one line. The caller opens and closes in order and names what stands in an object:
//
//   json.BeginObject().Field("name", "orders").Key("queues").BeginArray().Value(1).End().End();
class JsonWriter {
 public:
  JsonWriter& BeginObject() { return Open('{', '}'); }
  JsonWriter& BeginArray() { return Open('[', ']'); }
  // Closes what was opened last.
  JsonWriter& End();

  JsonWriter& Key(absl::string_view name);
  // What is no UTF-8 is replaced by U+FFFD.
  JsonWriter& Value(absl::string_view text);
  JsonWriter& Value(const char* text) { return Value(absl::string_view(text)); }
  JsonWriter& Value(const std::string& text) { return Value(absl::string_view(text)); }
  template <std::integral T>
  JsonWriter& Value(T number) {
    if constexpr (std::is_same_v<T, bool>) {
      return Raw(number ? "true" : "false");
    } else {
      return Raw(std::to_string(number));
    }
  }
  // Infinities and NaN, which JSON has not, are null.
  JsonWriter& Value(double number);

  template <typename T>
  JsonWriter& Field(absl::string_view name, const T& value) {
    return Key(name).Value(value);
  }

  const std::string& text() const { return text_; }

 private:
  JsonWriter& Open(char open, char close);
  JsonWriter& Raw(absl::string_view text);
  void Separate();

  std::string text_;
  std::string closers_;  // What End writes, innermost last.
  bool is_first_ = true;
};

}  // namespace barid::cli

#endif  // BARID_CLI_JSON_H_
