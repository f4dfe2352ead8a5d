#include "base/coding.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"

namespace barid {
namespace {

TEST(CodingTest, GetsRefuseShortInputAndLeaveItAlone) {
  absl::string_view in("\x01\x02\x03", 3);
  uint32_t fixed = 7;
  uint64_t wide = 7;
  EXPECT_FALSE(GetFixed(&in, &fixed));
  EXPECT_FALSE(GetOrdered32(&in, &fixed));
  EXPECT_FALSE(GetOrdered64(&in, &wide));
  EXPECT_EQ(in.size(), 3u);
  EXPECT_EQ(fixed, 7u);
  EXPECT_EQ(wide, 7u);
}

TEST(CodingTest, GetVarintRefusesWhatDoesNotEnd) {
  absl::string_view in("\x80\x80", 2);
  uint64_t value = 7;
  EXPECT_FALSE(GetVarint(&in, &value));
  EXPECT_EQ(in.size(), 2u);
  EXPECT_EQ(value, 7u);
}

TEST(CodingTest, GetVarintRefusesMoreThan64Bits) {
  const std::string eleven_bytes(11, '\x80');
  absl::string_view in = eleven_bytes;
  uint64_t value = 0;
  EXPECT_FALSE(GetVarint(&in, &value));
  const std::string too_large = std::string(9, '\xff') + "\x02";
  in = too_large;
  EXPECT_FALSE(GetVarint(&in, &value));
}

TEST(CodingTest, GetLengthPrefixedRefusesALengthBeyondTheEnd) {
  std::string bytes;
  PutVarint(&bytes, 4);
  bytes += "abc";
  absl::string_view in = bytes;
  absl::string_view out = "untouched";
  EXPECT_FALSE(GetLengthPrefixed(&in, &out));
  EXPECT_EQ(in.size(), bytes.size());
  EXPECT_EQ(out, "untouched");
}

TEST(CodingTest, FixedNumbersAreLittleEndian) {
  std::string bytes;
  PutFixed<uint32_t>(&bytes, 0x01020304);
  EXPECT_EQ(bytes, absl::string_view("\x04\x03\x02\x01", 4));
  StoreFixed<uint16_t>(bytes.data(), 0xabcd);
  EXPECT_EQ(LoadFixed<uint16_t>(bytes.data()), 0xabcd);
}

TEST(CodingTest, OrderedNumbersSortAsBytes) {
  std::string before;
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, uint64_t{255}, uint64_t{256}, uint64_t{1} << 40, ~uint64_t{0}}) {
    std::string bytes;
    PutOrdered64(&bytes, value);
    EXPECT_LE(before, bytes);
    absl::string_view in = bytes;
    uint64_t back = 0;
    ASSERT_TRUE(GetOrdered64(&in, &back));
    EXPECT_EQ(back, value);
    before = bytes;
  }
}

TEST(CodingTest, VarintsAreThoseOfProtocolBuffers) {
  std::string bytes;
  PutVarint(&bytes, 300);
  EXPECT_EQ(bytes, "\xac\x02");
  EXPECT_EQ(VarintSize(300), 2);
  EXPECT_EQ(VarintSize(0), 1);
  EXPECT_EQ(VarintSize(~uint64_t{0}), 10);
}

TEST(CodingTest, SmallNegativeNumbersAreShort) {
  std::string bytes;
  PutSignedVarint(&bytes, -1);
  EXPECT_EQ(bytes, "\x01");
}

TEST(CodingTest, EverythingComesBack) {
  constexpr uint64_t kSeed = 20250101;
  SCOPED_TRACE(kSeed);
  SeededRandom random(kSeed);
  for (int i = 0; i < 2000; ++i) {
    const uint64_t number = random.Next() >> random.Below(64);
    const auto signed_number = static_cast<int64_t>(number) * (random.OneIn(2) ? -1 : 1);
    const std::string text = random.Bytes(random.Below(300));
    std::string bytes;
    PutVarint(&bytes, number);
    PutSignedVarint(&bytes, signed_number);
    PutLengthPrefixed(&bytes, text);
    PutOrdered32(&bytes, static_cast<uint32_t>(number));
    EXPECT_EQ(VarintSize(number), static_cast<int>([&] {
                std::string one;
                PutVarint(&one, number);
                return one.size();
              }()));

    absl::string_view in = bytes;
    uint64_t number_back = 0;
    int64_t signed_back = 0;
    absl::string_view text_back;
    uint32_t narrow_back = 0;
    ASSERT_TRUE(GetVarint(&in, &number_back));
    ASSERT_TRUE(GetSignedVarint(&in, &signed_back));
    ASSERT_TRUE(GetLengthPrefixed(&in, &text_back));
    ASSERT_TRUE(GetOrdered32(&in, &narrow_back));
    EXPECT_EQ(number_back, number);
    EXPECT_EQ(signed_back, signed_number);
    EXPECT_EQ(text_back, text);
    EXPECT_EQ(narrow_back, static_cast<uint32_t>(number));
    EXPECT_TRUE(in.empty());
  }
}

TEST(CodingTest, ExtremeSignedNumbersComeBack) {
  for (const int64_t value : {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    std::string bytes;
    PutSignedVarint(&bytes, value);
    absl::string_view in = bytes;
    int64_t back = 0;
    ASSERT_TRUE(GetSignedVarint(&in, &back));
    EXPECT_EQ(back, value);
  }
}

}  // namespace
}  // namespace barid
