#include "filter/number.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace barid::filter {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

Number Whole(int64_t value) { return Number(value); }
Number Real(double value) { return Number::OfDouble(value).value(); }

TEST(NumberTest, OnlyAllOfATextIsANumber) {
  for (const char* text :
       {"",    " ",   " 1", "1 ",   "+",  "-",   ".",    "-.",  "e5",  ".e5",      "1e",  "1e+",   "1.2.3",   "--1",
        "+-1", "-+1", "1x", "0x10", "1L", "inf", "-inf", "nan", "NaN", "Infinity", "1,5", "1_000", "\xd9\xa3"}) {
    EXPECT_FALSE(ParseNumber(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseNumber(absl::string_view("1\0", 2)).has_value());
}

TEST(NumberTest, ReadsWholeNumbersExactly) {
  for (const auto& [text, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"0", 0}, {"-0", 0}, {"+7", 7}, {"007", 7}, {"9223372036854775807", kMax}, {"-9223372036854775808", kMin}}) {
    const std::optional<Number> number = ParseNumber(text);
    ASSERT_TRUE(number && number->is_integer()) << text;
    EXPECT_EQ(number->integer(), value) << text;
  }
}

TEST(NumberTest, ReadsTheRestAsDoubles) {
  for (const auto& [text, value] :
       std::initializer_list<std::pair<const char*, double>>{{"1.", 1},
                                                             {".5", 0.5},
                                                             {"-2.5e3", -2500},
                                                             {"1E-2", 0.01},
                                                             {"+1e+2", 100},
                                                             {"9223372036854775808", 0x1p63}}) {
    const std::optional<Number> number = ParseNumber(text);
    ASSERT_TRUE(number && !number->is_integer()) << text;
    EXPECT_EQ(number->AsDouble(), value) << text;
  }
}

TEST(NumberTest, RefusesWhatADoubleCannotHoldAndWhatIsTooLong) {
  EXPECT_FALSE(ParseNumber("1e309"));
  EXPECT_FALSE(ParseNumber("-1e309"));
  EXPECT_FALSE(ParseNumber("1e-400"));
  EXPECT_TRUE(ParseNumber(std::string(kMaxNumberBytes, '0')));
  EXPECT_FALSE(ParseNumber(std::string(kMaxNumberBytes + 1, '0')));
}

TEST(NumberTest, ComparesWholeNumbersWithDoublesExactly) {
  // As doubles these would all be equal.
  EXPECT_LT(Compare(Whole((int64_t{1} << 53) + 1), Real(0x1p53 + 2)), 0);
  EXPECT_GT(Compare(Whole((int64_t{1} << 53) + 1), Real(0x1p53)), 0);
  EXPECT_LT(Compare(Whole(kMax), Real(0x1p63)), 0);
  EXPECT_EQ(Compare(Whole(kMin), Real(-0x1p63)), 0);
  EXPECT_GT(Compare(Whole(kMin), Real(-0x1.0000000000001p63)), 0);
  EXPECT_LT(Compare(Whole(-1), Real(-0.5)), 0);
  EXPECT_GT(Compare(Whole(0), Real(-0.5)), 0);
  EXPECT_LT(Compare(Whole(0), Real(0.5)), 0);
  EXPECT_GT(Compare(Real(0.5), Whole(0)), 0);
  EXPECT_EQ(Compare(Real(-0.0), Whole(0)), 0);
}

TEST(NumberTest, WholeNumbersStayWholeUntilTheyDoNotFit) {
  EXPECT_EQ(Add(Whole(kMax - 1), Whole(1))->integer(), kMax);
  EXPECT_FALSE(Add(Whole(kMax), Whole(1))->is_integer());
  EXPECT_EQ(Add(Whole(kMax), Whole(1))->AsDouble(), 0x1p63);
  EXPECT_FALSE(Subtract(Whole(kMin), Whole(1))->is_integer());
  EXPECT_EQ(Multiply(Whole(1 << 30), Whole(1 << 30))->integer(), int64_t{1} << 60);
  EXPECT_EQ(Multiply(Whole(kMax), Whole(4))->AsDouble(), 0x1p65);
  EXPECT_EQ(Negate(Whole(kMin)).AsDouble(), 0x1p63);
  EXPECT_EQ(Negate(Whole(kMax)).integer(), -kMax);
}

TEST(NumberTest, AQuotientIsDecimal) {
  EXPECT_EQ(Divide(Whole(7), Whole(2))->AsDouble(), 3.5);
  EXPECT_EQ(Divide(Whole(-6), Whole(3))->AsDouble(), -2);
  EXPECT_FALSE(Divide(Whole(1), Whole(0)));
  EXPECT_FALSE(Divide(Real(0), Real(-0.0)));
}

TEST(NumberTest, WhatIsNotFiniteIsNoNumber) {
  EXPECT_FALSE(Add(Real(1e308), Real(1e308)));
  EXPECT_FALSE(Multiply(Real(1e308), Whole(-10)));
  EXPECT_FALSE(Divide(Real(1e308), Real(0.1)));
  EXPECT_FALSE(Number::OfDouble(std::nan("")));
}

}  // namespace
}  // namespace barid::filter
