#include "base/hash.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/crypto.h"
#include "base/executor.h"
#include "base/random.h"

namespace barid {
namespace {

// Formats hold these hashes: an answer that changes makes old data unreadable.
TEST(StableHashTest, AnswersTheKnownValues) {
  EXPECT_EQ(StableHash(""), 0x2d06800538d394c2u);
  EXPECT_EQ(StableHash("a"), 0xe6c632b61e964e1fu);
  EXPECT_EQ(StableHash("abc"), 0x78af5f94892f3950u);
}

TEST(StableHashTest, SeedsAndOrderMatter) {
  EXPECT_NE(StableHash("abc", 1), StableHash("abc", 2));
  EXPECT_NE(StableHash({1, 2}), StableHash({2, 1}));
}

TEST(StableHashTest, PiecesGiveTheHashOfTheWhole) {
  const std::string bytes = SeededRandom(1).Bytes(1000);
  for (const size_t cut : {0, 1, 63, 64, 500, 1000}) {
    StableHasher hasher;
    hasher.Update(absl::string_view(bytes).substr(0, cut));
    hasher.Update(absl::string_view(bytes).substr(cut));
    EXPECT_EQ(hasher.Finish(), StableHash(bytes)) << cut;
  }
}

TEST(CryptoTest, DigestsAreTheKnownOnes) {
  EXPECT_EQ(Sha1Hex("abc"), "A9993E364706816ABA3E25717850C26C9CD0D89D");
  EXPECT_EQ(Sha1Hex(""), "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
}

// RFC 4231, test case 2.
TEST(CryptoTest, HmacIsTheKnownOne) {
  const std::string mac = HmacSha256("Jefe", "what do ya want for nothing?");
  ASSERT_EQ(mac.size(), 32u);
  EXPECT_EQ(mac.substr(0, 8), std::string("\x5b\xdc\xc1\x46\xbf\x60\x75\x4e", 8));
}

TEST(CryptoTest, HmacKeepsKeysApartWhicheverWasUsedLast) {
  const std::string jefe = HmacSha256("Jefe", "what do ya want for nothing?");
  const std::string empty = HmacSha256("", "");
  EXPECT_NE(HmacSha256("Jeff", "what do ya want for nothing?"), jefe);
  EXPECT_EQ(HmacSha256("Jefe", "what do ya want for nothing?"), jefe);
  EXPECT_EQ(HmacSha256("Jefe", "what do ya want for nothing?"), jefe);
  EXPECT_NE(HmacSha256("Jefe", ""), empty);
  EXPECT_EQ(HmacSha256("", ""), empty);
  std::string elsewhere;
  std::unique_ptr<Executor> other = NewThreadExecutor("hmac");
  RunAndWait(other.get(), [&] { elsewhere = HmacSha256("Jefe", "what do ya want for nothing?"); });
  EXPECT_EQ(elsewhere, jefe);
}

TEST(CryptoTest, ConstantTimeEqualsComparesAll) {
  EXPECT_TRUE(ConstantTimeEquals("secret", "secret"));
  EXPECT_TRUE(ConstantTimeEquals("", ""));
  EXPECT_FALSE(ConstantTimeEquals("secret", "secres"));
  EXPECT_FALSE(ConstantTimeEquals("secret", "secre"));
}

}  // namespace
}  // namespace barid
