#include "edge/h2/encodings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace barid::edge::h2 {
namespace {

using testing::Eq;
using testing::Optional;

TEST(ParseTimeoutTest, KnowsEveryUnit) {
  EXPECT_THAT(ParseTimeout("2H"), Optional(absl::Hours(2)));
  EXPECT_THAT(ParseTimeout("3M"), Optional(absl::Minutes(3)));
  EXPECT_THAT(ParseTimeout("4S"), Optional(absl::Seconds(4)));
  EXPECT_THAT(ParseTimeout("5m"), Optional(absl::Milliseconds(5)));
  EXPECT_THAT(ParseTimeout("6u"), Optional(absl::Microseconds(6)));
  EXPECT_THAT(ParseTimeout("7n"), Optional(absl::Nanoseconds(7)));
  EXPECT_THAT(ParseTimeout("0S"), Optional(absl::ZeroDuration()));
  EXPECT_THAT(ParseTimeout("007S"), Optional(absl::Seconds(7)));
}

TEST(ParseTimeoutTest, TakesEightDigitsAndNoMore) {
  EXPECT_THAT(ParseTimeout("99999999H"), Optional(absl::Hours(99999999)));
  EXPECT_THAT(ParseTimeout("99999999n"), Optional(absl::Nanoseconds(99999999)));
  EXPECT_THAT(ParseTimeout("100000000n"), Eq(std::nullopt));
}

TEST(ParseTimeoutTest, RefusesWhatIsNoTimeout) {
  for (const char* text :
       {"", "S", "1", "1s", "1h", "-1S", "+1S", " 1S", "1S ", "1 S", "1.5S", "1SS", "0x1S", "1\xc2\xb5", "m1"}) {
    EXPECT_THAT(ParseTimeout(text), Eq(std::nullopt)) << text;
  }
  EXPECT_THAT(ParseTimeout(absl::string_view("1\0S", 3)), Eq(std::nullopt));
}

TEST(DeadlineAfterTest, MoreThanAYearIsNone) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000'000);
  EXPECT_EQ(DeadlineAfter(now, absl::Seconds(5)), now + absl::Seconds(5));
  EXPECT_EQ(DeadlineAfter(now, absl::Hours(24 * 365)), now + absl::Hours(24 * 365));
  EXPECT_EQ(DeadlineAfter(now, absl::Hours(24 * 365) + absl::Nanoseconds(1)), absl::InfiniteFuture());
  EXPECT_EQ(DeadlineAfter(now, absl::Hours(99999999)), absl::InfiniteFuture());
}

TEST(DecodeBinaryHeaderTest, TakesPaddedAndUnpadded) {
  for (const std::string& bytes : {std::string(), std::string("f"), std::string("fo"), std::string("foo"),
                                   std::string("\0\xff\x80", 3), std::string(100, '\xfb')}) {
    EXPECT_THAT(DecodeBinaryHeader(EncodeBinaryHeader(bytes)), Optional(bytes));
    std::string encoded = absl::Base64Escape(bytes);
    EXPECT_THAT(DecodeBinaryHeader(encoded), Optional(bytes)) << encoded;
    while (!encoded.empty() && encoded.back() == '=') encoded.pop_back();
    EXPECT_THAT(DecodeBinaryHeader(encoded), Optional(bytes)) << encoded;
  }
}

TEST(DecodeBinaryHeaderTest, RefusesWhatIsNoBase64) {
  for (const char* text : {"A", "AAAAA", "AA=A", "A===", "@@@@", "AA=", "\xff\xff\xff\xff"}) {
    EXPECT_THAT(DecodeBinaryHeader(text), Eq(std::nullopt)) << text;
  }
}

TEST(EncodeBinaryHeaderTest, DoesNotPad) {
  EXPECT_EQ(EncodeBinaryHeader(""), "");
  EXPECT_EQ(EncodeBinaryHeader("f"), "Zg");
  EXPECT_EQ(EncodeBinaryHeader("fo"), "Zm8");
  EXPECT_EQ(EncodeBinaryHeader("foo"), "Zm9v");
  EXPECT_EQ(EncodeBinaryHeader("\xfb\xff"), "+/8");  // Not the alphabet for URLs.
}

TEST(PercentEncodeTest, LeavesPrintableAsciiAlone) {
  EXPECT_EQ(PercentEncode(""), "");
  std::string printable;
  for (char c = ' '; c <= '~'; ++c) {
    if (c != '%') printable.push_back(c);
  }
  EXPECT_EQ(PercentEncode(printable), printable);
}

TEST(PercentEncodeTest, EncodesAllElse) {
  EXPECT_EQ(PercentEncode("100%"), "100%25");
  EXPECT_EQ(PercentEncode("a\r\nb\tc"), "a%0D%0Ab%09c");
  EXPECT_EQ(PercentEncode("\xc3\xa9\x7f"), "%C3%A9%7F");
  EXPECT_EQ(PercentEncode(absl::string_view("\0", 1)), "%00");
}

}  // namespace
}  // namespace barid::edge::h2
