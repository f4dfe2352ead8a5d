#include "filter/pattern.h"

#include <string>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace barid::filter {
namespace {

// '%' and '_' as in LIKE.
Pattern Of(absl::string_view text) {
  Pattern pattern;
  for (const char& c : text) {
    if (c == '%') {
      pattern.AddAnyRun();
    } else if (c == '_') {
      pattern.AddAnyCharacter();
    } else {
      pattern.AddText(absl::string_view(&c, 1));
    }
  }
  return pattern;
}

bool Matches(absl::string_view pattern, absl::string_view text) {
  int64_t steps = 1'000'000;
  return Of(pattern).Matches(text, &steps).value();
}

// By trying everything.
bool Naive(absl::string_view pattern, absl::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '%') {
    for (size_t i = 0; i <= text.size(); ++i) {
      if (Naive(pattern.substr(1), text.substr(i))) return true;
    }
    return false;
  }
  return !text.empty() && (pattern[0] == '_' || pattern[0] == text[0]) && Naive(pattern.substr(1), text.substr(1));
}

TEST(PatternTest, TakesAllOfTheText) {
  EXPECT_TRUE(Matches("", ""));
  EXPECT_FALSE(Matches("", "a"));
  EXPECT_TRUE(Matches("abc", "abc"));
  EXPECT_FALSE(Matches("abc", "abcd"));
  EXPECT_FALSE(Matches("abc", "xabc"));
  EXPECT_FALSE(Matches("abc", "ABC"));
}

TEST(PatternTest, ARunMayBeEmpty) {
  EXPECT_TRUE(Matches("%", ""));
  EXPECT_TRUE(Matches("%%a%%", "a"));
  EXPECT_TRUE(Matches("a%b", "ab"));
  EXPECT_TRUE(Matches("%b%", "abc"));
  EXPECT_FALSE(Matches("a%b", "abc"));
}

TEST(PatternTest, ACharacterMayHaveSeveralBytes) {
  EXPECT_TRUE(Matches("_", "\xc3\xa9"));
  EXPECT_FALSE(Matches("__", "\xc3\xa9"));
  EXPECT_FALSE(Matches("%__", "\xc3\xa9"));
  EXPECT_TRUE(Matches("%_b",
                      "a\xe4\xb8\xad"
                      "b"));
  EXPECT_TRUE(Matches("_", "\xff"));  // No UTF-8; still one character.
}

TEST(PatternTest, AgreesWithTryingEverything) {
  SeededRandom random(1);
  for (int i = 0; i < 50'000; ++i) {
    std::string pattern, text;
    for (uint64_t n = random.Below(7); n > 0; --n) pattern += "ab%_"[random.Below(4)];
    for (uint64_t n = random.Below(9); n > 0; --n) text += "ab"[random.Below(2)];
    ASSERT_EQ(Matches(pattern, text), Naive(pattern, text)) << pattern << " " << text;
  }
}

TEST(PatternTest, GivesUpWhenItsStepsAreUsedUp) {
  const std::string text(1 << 14, 'a');
  const Pattern hard = Of("%aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
  int64_t steps = 100'000;
  EXPECT_FALSE(hard.Matches(text, &steps).has_value());
  EXPECT_LE(steps, 0);
  steps = 10'000'000;
  EXPECT_EQ(hard.Matches(text, &steps), false);
}

}  // namespace
}  // namespace barid::filter
