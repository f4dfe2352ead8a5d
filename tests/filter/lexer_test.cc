#include "filter/lexer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/base/status_matchers.h"

namespace barid::filter {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

absl::StatusOr<std::vector<Token>> Cut(absl::string_view expression) {
  Lexer lexer(expression);
  std::vector<Token> tokens;
  while (true) {
    absl::StatusOr<Token> token = lexer.Next();
    if (!token.ok()) return token.status();
    if (token->kind == TokenKind::kEnd) return tokens;
    tokens.push_back(*std::move(token));
  }
}

std::vector<TokenKind> Kinds(absl::string_view expression) {
  std::vector<TokenKind> kinds;
  const std::vector<Token> tokens = Cut(expression).value();
  for (const Token& token : tokens) kinds.push_back(token.kind);
  return kinds;
}

std::string Refusal(absl::string_view expression) { return std::string(Cut(expression).status().message()); }

TEST(LexerTest, KeywordsAreNotCaseSensitiveAndNamesAre) {
  EXPECT_THAT(Kinds("and OR Not bEtWeEn in like escape contains startswith endswith is null true false"),
              ElementsAre(TokenKind::kAnd, TokenKind::kOr, TokenKind::kNot, TokenKind::kBetween, TokenKind::kIn,
                          TokenKind::kLike, TokenKind::kEscape, TokenKind::kContains, TokenKind::kStartsWith,
                          TokenKind::kEndsWith, TokenKind::kIs, TokenKind::kNull, TokenKind::kTrue, TokenKind::kFalse));
  const std::vector<Token> tokens = Cut("And_ $x _1 Region").value();
  EXPECT_EQ(tokens[0].text, "And_");
  EXPECT_EQ(tokens[1].text, "$x");
  EXPECT_EQ(tokens[2].text, "_1");
  EXPECT_EQ(tokens[3].text, "Region");
}

TEST(LexerTest, OperatorsAreAsLongAsTheyCanBe) {
  EXPECT_THAT(Kinds("<>=<=>=<>-+*/(),"),
              ElementsAre(TokenKind::kNotEqual, TokenKind::kEqual, TokenKind::kLessOrEqual, TokenKind::kGreaterOrEqual,
                          TokenKind::kNotEqual, TokenKind::kMinus, TokenKind::kPlus, TokenKind::kTimes,
                          TokenKind::kDivide, TokenKind::kOpen, TokenKind::kClose, TokenKind::kComma));
}

TEST(LexerTest, AQuoteWithinQuotesIsWrittenTwice) {
  const std::vector<Token> tokens = Cut(R"('it''s' '' '''' "a""b" "AND")").value();
  EXPECT_EQ(tokens[0].text, "it's");
  EXPECT_EQ(tokens[1].text, "");
  EXPECT_EQ(tokens[2].text, "'");
  EXPECT_EQ(tokens[3].text, "a\"b");
  EXPECT_EQ(tokens[3].kind, TokenKind::kIdentifier);
  EXPECT_EQ(tokens[4].kind, TokenKind::kIdentifier);
}

TEST(LexerTest, ReadsNumbers) {
  const std::vector<Token> tokens = Cut("1 2L 3l 0.5 .5 5. 1e3 1E-3 9223372036854775808").value();
  std::vector<double> values;
  for (const Token& token : tokens) values.push_back(token.number.AsDouble());
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 0.5, 0.5, 5, 1000, 0.001, 0x1p63));
  EXPECT_TRUE(tokens[1].number.is_integer());
  EXPECT_FALSE(tokens[5].number.is_integer());
}

TEST(LexerTest, LeavesOutSpaceAndComments) {
  EXPECT_THAT(Kinds(" \t\r\n a -- b = 'c'\n /* d \n ' */ = /**/ 1 -- end"),
              ElementsAre(TokenKind::kIdentifier, TokenKind::kEqual, TokenKind::kNumber));
}

TEST(LexerTest, SaysWhereItIsWrong) {
  EXPECT_EQ(Refusal("a = 'eu"), "position 5: found \"'eu\", expected a closing '");
  EXPECT_EQ(Refusal("\"a"), "position 1: found \"\"a\", expected a closing \"");
  EXPECT_EQ(Refusal("a = \"\""), "position 5: found \"\"\"\", expected a name between the quotes");
  EXPECT_EQ(Refusal("a # 1"), "position 3: found \"#\", expected a name, a literal or an operator");
  EXPECT_EQ(Refusal("a != 1"), "position 3: found \"!=\", expected <>");
  EXPECT_EQ(Refusal("a > 12abc"),
            "position 5: found \"12abc\", expected a number, or a space or an operator behind it");
  EXPECT_EQ(Refusal("1.2.3"), "position 1: found \"1.2.3\", expected a number, or a space or an operator behind it");
  EXPECT_THAT(Refusal("a > 1e999"), StartsWith("position 5: found \"1e999\", expected a number of at most 64 digits"));
  EXPECT_EQ(Refusal("a /* b"), "position 3: found \"/* b\", expected */ at the end of the comment");
}

TEST(LexerTest, CountsCharactersNotBytes) {
  EXPECT_EQ(Refusal("a = '\xc3\xa9\xe4\xb8\xad' #"),
            "position 10: found \"#\", expected a name, a literal or an operator");
  EXPECT_EQ(Refusal("a \xe2\x89\xa4 1"),
            "position 3: found \"\xe2\x89\xa4\", expected a name, a literal or an operator");
}

TEST(LexerTest, QuotesTheBeginningOfWhatIsLong) {
  EXPECT_EQ(Refusal("'" + std::string(100, 'x')),
            "position 1: found \"'" + std::string(31, 'x') + "...\", expected a closing '");
  EXPECT_EQ(Refusal("'a\nb"), "position 1: found \"'a\\nb\", expected a closing '");
}

}  // namespace
}  // namespace barid::filter
