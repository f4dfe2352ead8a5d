#ifndef BARID_FILTER_NUMBER_H_
#define BARID_FILTER_NUMBER_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace barid::filter {

// A whole number of 64 bits, exact, or a double. Invariant: the double is finite, so any two numbers have an order.
class Number {
 public:
  Number() = default;
  explicit Number(int64_t value) : integer_(value) {}
  // Nothing if it is not finite.
  static std::optional<Number> OfDouble(double value);

  bool is_integer() const { return is_integer_; }
  int64_t integer() const { return integer_; }
  double AsDouble() const { return is_integer_ ? static_cast<double>(integer_) : real_; }

 private:
  bool is_integer_ = true;
  int64_t integer_ = 0;
  double real_ = 0;
};

// The number that `text` is, all of it: [sign] digits [. digits] [exponent], or [sign] . digits [exponent]. Whole
// numbers that do not fit 64 bits are doubles. Nothing for other text, text of more than kMaxNumberBytes, and what a
// double cannot hold.
inline constexpr size_t kMaxNumberBytes = 64;
std::optional<Number> ParseNumber(absl::string_view text);

// Negative, 0 or positive, as a is below, equal to or above b. Exact, also between a whole number and a double.
int Compare(const Number& a, const Number& b);

// Nothing where the result is not finite. Whole numbers stay whole while they fit, but for the quotient: 7 / 2 is 3.5.
std::optional<Number> Add(const Number& a, const Number& b);
std::optional<Number> Subtract(const Number& a, const Number& b);
std::optional<Number> Multiply(const Number& a, const Number& b);
std::optional<Number> Divide(const Number& a, const Number& b);
Number Negate(const Number& a);

}  // namespace barid::filter

#endif  // BARID_FILTER_NUMBER_H_
