#ifndef BARID_BASE_SETTING_TYPES_H_
#define BARID_BASE_SETTING_TYPES_H_

#include <compare>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// The values that a setting may have: how they are read from text, printed and bounded.
namespace barid {

// A number of bytes, read and printed with a unit. Becomes a plain number by itself: `int64_t limit = 16 * kMiB;`.
class ByteSize {
 public:
  constexpr ByteSize() = default;
  constexpr explicit ByteSize(int64_t bytes) : bytes_(bytes) {}
  constexpr operator int64_t() const { return bytes_; }  // NOLINT(google-explicit-constructor)

  template <std::integral N>
  friend constexpr ByteSize operator*(N n, ByteSize unit) {
    return ByteSize(static_cast<int64_t>(n) * unit.bytes_);
  }

 private:
  int64_t bytes_ = 0;
};
inline constexpr ByteSize kKiB{int64_t{1} << 10};
inline constexpr ByteSize kMiB{int64_t{1} << 20};
inline constexpr ByteSize kGiB{int64_t{1} << 30};
inline constexpr ByteSize kTiB{int64_t{1} << 40};

// Whether a running process takes a new value.
enum class Reload { kNeedsRestart, kReloadable };
inline constexpr Reload kNeedsRestart = Reload::kNeedsRestart;
inline constexpr Reload kReloadable = Reload::kReloadable;

template <typename T>
struct DefaultValue {
  T value;
};
template <typename T>
DefaultValue<T> Default(T value) {
  return {std::move(value)};
}
inline DefaultValue<std::string> Default(const char* value) { return {value}; }

// What is allowed: anything of the type,
struct AnyValue {};
// or a range, ends included,
template <typename T>
struct Bounds {
  T min;
  T max;
};
template <typename T>
Bounds<T> Between(T min, T max) {
  return {min, max};
}
template <typename T>
struct LowerBound {
  T min;
};
template <typename T>
LowerBound<T> AtLeast(T min) {
  return {min};
}
// or one of some words: `OneOf({"text", "json"})` for a string, `OneOf<LogFormat>({{"text", LogFormat::kText}, ...})`.
template <typename T>
struct Words {
  std::vector<std::pair<std::string, T>> words;
};
inline Words<std::string> OneOf(std::initializer_list<const char*> words) {
  Words<std::string> result;
  for (const char* word : words) result.words.emplace_back(word, word);
  return result;
}
template <typename E>
Words<E> OneOf(std::initializer_list<std::pair<const char*, E>> words) {
  Words<E> result;
  for (const auto& [word, value] : words) result.words.emplace_back(word, value);
  return result;
}

namespace settings_internal {

// From text; false if it is not of the type.
//
// | type        | text                                                           |
// |-------------|----------------------------------------------------------------|
// | bool        | true, false                                                    |
// | Duration    | 5s, 1m30s, 72h (Abseil's syntax), and days in front: 3d, 1d12h |
// | ByteSize    | 1000, 4k, 256MiB, 16Gi: units are powers of 1024               |
// | list        | words between commas                                           |
bool Parse(absl::string_view text, bool* value);
bool Parse(absl::string_view text, int32_t* value);
bool Parse(absl::string_view text, int64_t* value);
bool Parse(absl::string_view text, uint64_t* value);
bool Parse(absl::string_view text, double* value);
bool Parse(absl::string_view text, std::string* value);
bool Parse(absl::string_view text, absl::Duration* value);
bool Parse(absl::string_view text, ByteSize* value);
bool Parse(absl::string_view text, std::vector<std::string>* value);

std::string Print(bool value);
std::string Print(int32_t value);
std::string Print(int64_t value);
std::string Print(uint64_t value);
std::string Print(double value);
std::string Print(const std::string& value);
std::string Print(absl::Duration value);
std::string Print(ByteSize value);
std::string Print(const std::vector<std::string>& value);

// "a whole number", for messages and the docs page.
const char* TypeName(const bool&);
const char* TypeName(const int32_t&);
const char* TypeName(const int64_t&);
const char* TypeName(const uint64_t&);
const char* TypeName(const double&);
const char* TypeName(const std::string&);
const char* TypeName(const absl::Duration&);
const char* TypeName(const ByteSize&);
const char* TypeName(const std::vector<std::string>&);

// Each kind of "what is allowed" has three functions: parse and check, print, describe.
template <typename V>
bool ParseAllowed(const AnyValue&, absl::string_view text, V* value) {
  return Parse(text, value);
}
template <typename V, typename B>
bool ParseAllowed(const Bounds<B>& bounds, absl::string_view text, V* value) {
  return Parse(text, value) && static_cast<V>(bounds.min) <= *value && *value <= static_cast<V>(bounds.max);
}
template <typename V, typename B>
bool ParseAllowed(const LowerBound<B>& bound, absl::string_view text, V* value) {
  return Parse(text, value) && static_cast<V>(bound.min) <= *value;
}
template <typename V>
bool ParseAllowed(const Words<V>& words, absl::string_view text, V* value) {
  for (const auto& [word, meaning] : words.words) {
    if (word != text) continue;
    *value = meaning;
    return true;
  }
  return false;
}

template <typename A, typename V>
std::string PrintAllowed(const A&, const V& value) {
  return Print(value);
}
template <typename V>
std::string PrintAllowed(const Words<V>& words, const V& value) {
  for (const auto& [word, meaning] : words.words) {
    if (meaning == value) return word;
  }
  return "";
}

template <typename V>
std::string Describe(const AnyValue&) {
  return TypeName(V());
}
template <typename V, typename B>
std::string Describe(const Bounds<B>& bounds) {
  return absl::StrCat(TypeName(V()), ", from ", Print(static_cast<V>(bounds.min)), " to ",
                      Print(static_cast<V>(bounds.max)));
}
template <typename V, typename B>
std::string Describe(const LowerBound<B>& bound) {
  return absl::StrCat(TypeName(V()), ", at least ", Print(static_cast<V>(bound.min)));
}
template <typename V>
std::string Describe(const Words<V>& words) {
  std::string text = "one of ";
  for (size_t i = 0; i < words.words.size(); ++i) absl::StrAppend(&text, i == 0 ? "" : ", ", words.words[i].first);
  return text;
}

}  // namespace settings_internal
}  // namespace barid

#endif  // BARID_BASE_SETTING_TYPES_H_
