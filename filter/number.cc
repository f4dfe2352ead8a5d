#include "filter/number.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

namespace barid::filter {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

size_t CountDigits(absl::string_view text) {
  size_t count = 0;
  while (count < text.size() && IsDigit(text[count])) ++count;
  return count;
}

int CompareDoubles(double a, double b) { return a < b ? -1 : a > b ? 1 : 0; }

int CompareMixed(int64_t a, double b) {
  // 2^63 has no int64_t; everything below it and from -2^63 on has, rounded towards zero.
  constexpr double kEnd = 9223372036854775808.0;
  if (b >= kEnd) return -1;
  if (b < -kEnd) return 1;
  const auto whole = static_cast<int64_t>(b);
  if (a != whole) return a < whole ? -1 : 1;
  return CompareDoubles(0, b - static_cast<double>(whole));
}

}  // namespace

std::optional<Number> Number::OfDouble(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  Number number;
  number.is_integer_ = false;
  number.real_ = value;
  return number;
}

std::optional<Number> ParseNumber(absl::string_view text) {
  if (text.size() > kMaxNumberBytes) return std::nullopt;
  // from_chars takes no '+', and takes "inf", "nan" and what is only the beginning of a number: the form is checked
  // first.
  if (!text.empty() && text[0] == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '-') return std::nullopt;
  }
  absl::string_view rest = text;
  if (!rest.empty() && rest[0] == '-') rest.remove_prefix(1);
  const size_t whole = CountDigits(rest);
  rest.remove_prefix(whole);
  bool is_integer = true;
  size_t fraction = 0;
  if (!rest.empty() && rest[0] == '.') {
    is_integer = false;
    rest.remove_prefix(1);
    fraction = CountDigits(rest);
    rest.remove_prefix(fraction);
  }
  if (whole + fraction == 0) return std::nullopt;
  if (!rest.empty() && (rest[0] == 'e' || rest[0] == 'E')) {
    is_integer = false;
    rest.remove_prefix(1);
    if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) rest.remove_prefix(1);
    const size_t exponent = CountDigits(rest);
    if (exponent == 0) return std::nullopt;
    rest.remove_prefix(exponent);
  }
  if (!rest.empty()) return std::nullopt;

  const char* const begin = text.data();
  const char* const end = begin + text.size();
  if (is_integer) {
    int64_t integer = 0;
    if (std::from_chars(begin, end, integer).ec == std::errc()) return Number(integer);
  }
  double real = 0;
  // Also what is too small for a double is out of its range.
  if (std::from_chars(begin, end, real).ec != std::errc()) return std::nullopt;
  return Number::OfDouble(real);
}

int Compare(const Number& a, const Number& b) {
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
  if (a.is_integer()) return CompareMixed(a.integer(), b.AsDouble());
  if (b.is_integer()) return -CompareMixed(b.integer(), a.AsDouble());
  return CompareDoubles(a.AsDouble(), b.AsDouble());
}

std::optional<Number> Add(const Number& a, const Number& b) {
  int64_t sum = 0;
  if (a.is_integer() && b.is_integer() && !__builtin_add_overflow(a.integer(), b.integer(), &sum)) return Number(sum);
  return Number::OfDouble(a.AsDouble() + b.AsDouble());
}

std::optional<Number> Subtract(const Number& a, const Number& b) {
  int64_t difference = 0;
  if (a.is_integer() && b.is_integer() && !__builtin_sub_overflow(a.integer(), b.integer(), &difference)) {
    return Number(difference);
  }
  return Number::OfDouble(a.AsDouble() - b.AsDouble());
}

std::optional<Number> Multiply(const Number& a, const Number& b) {
  int64_t product = 0;
  if (a.is_integer() && b.is_integer() && !__builtin_mul_overflow(a.integer(), b.integer(), &product))
    return Number(product);
  return Number::OfDouble(a.AsDouble() * b.AsDouble());
}

std::optional<Number> Divide(const Number& a, const Number& b) {
  if (b.AsDouble() == 0) return std::nullopt;
  return Number::OfDouble(a.AsDouble() / b.AsDouble());
}

Number Negate(const Number& a) {
  if (a.is_integer() && a.integer() != std::numeric_limits<int64_t>::min()) return Number(-a.integer());
  return *Number::OfDouble(-a.AsDouble());
}

}  // namespace barid::filter
