#include "base/crc32c.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace barid {
namespace {

// RFC 3720, appendix B.4.
TEST(Crc32cTest, AnswersTheKnownValues) {
  std::string rising;
  for (int i = 0; i < 32; ++i) rising += static_cast<char>(i);
  const std::string falling(rising.rbegin(), rising.rend());
  for (const auto crc : {ExtendCrc32c, crc32c_internal::ExtendByTable}) {
    EXPECT_EQ(crc(0, ""), 0u);
    EXPECT_EQ(crc(0, "123456789"), 0xe3069283u);
    EXPECT_EQ(crc(0, std::string(32, '\0')), 0x8a9136aau);
    EXPECT_EQ(crc(0, std::string(32, '\xff')), 0x62a8ab43u);
    EXPECT_EQ(crc(0, rising), 0x46dd794eu);
    EXPECT_EQ(crc(0, falling), 0x113fdb5cu);
  }
}

TEST(Crc32cTest, InstructionAndTableAgreeAtEveryLengthAndAlignment) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  const std::string bytes = SeededRandom(kSeed).Bytes(300);
  for (size_t start = 0; start < 9; ++start) {
    for (size_t size = 0; start + size <= bytes.size(); ++size) {
      const absl::string_view part = absl::string_view(bytes).substr(start, size);
      ASSERT_EQ(ExtendCrc32c(0x1234, part), crc32c_internal::ExtendByTable(0x1234, part)) << start << "+" << size;
    }
  }
}

TEST(Crc32cTest, ContinuesAcrossParts) { EXPECT_EQ(ExtendCrc32c(Crc32c("12345"), "6789"), Crc32c("123456789")); }

TEST(Crc32cTest, ASingleFlippedBitShows) {
  std::string bytes = SeededRandom(3).Bytes(1024);
  const uint32_t before = Crc32c(bytes);
  bytes[511] ^= 0x10;
  EXPECT_NE(Crc32c(bytes), before);
}

}  // namespace
}  // namespace barid
