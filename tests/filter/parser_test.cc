#include "filter/parser.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/base/status_matchers.h"

namespace barid::filter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Refusal(absl::string_view expression) {
  const absl::StatusOr<Program> program = Parse(expression);
  EXPECT_THAT(program, StatusIs(absl::StatusCode::kInvalidArgument)) << expression;
  return std::string(program.status().message());
}

std::string Repeat(absl::string_view piece, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) absl::StrAppend(&all, piece);
  return all;
}

TEST(ParserTest, SaysWhatIsMissing) {
  EXPECT_EQ(Refusal(""), "position 1: found the end, expected a condition");
  EXPECT_EQ(Refusal("  -- nothing"), "position 13: found the end, expected a condition");
  EXPECT_EQ(Refusal("*"), "position 1: found \"*\", expected a name, a literal, NOT, a sign or (");
  EXPECT_EQ(Refusal("a ="), "position 4: found the end, expected a name, a literal, NOT, a sign or (");
  EXPECT_EQ(Refusal("(a = 1"), "position 7: found the end, expected AND, OR or )");
  EXPECT_EQ(Refusal("(a"), "position 3: found the end, expected an operator or )");
  EXPECT_EQ(Refusal("a = 1)"), "position 6: found \")\", expected AND, OR or the end");
  EXPECT_EQ(Refusal("region = 'eu' AN"), "position 15: found \"AN\", expected AND, OR or the end");
  EXPECT_EQ(Refusal("region 'eu'"), "position 8: found \"'eu'\", expected an operator or the end");
  EXPECT_EQ(Refusal("a AND"), "position 6: found the end, expected a name, a literal, NOT, a sign or (");
  EXPECT_EQ(Refusal("a IS 1"), "position 6: found \"1\", expected NULL or NOT NULL");
  EXPECT_EQ(Refusal("a IS NOT TRUE"), "position 10: found \"TRUE\", expected NULL");
  EXPECT_EQ(Refusal("a NOT = 1"),
            "position 7: found \"=\", expected BETWEEN, IN, LIKE, CONTAINS, STARTSWITH or ENDSWITH");
  EXPECT_EQ(Refusal("a BETWEEN 1 OR 2"), "position 13: found \"OR\", expected AND and the upper bound");
  EXPECT_EQ(Refusal("a IN 1"), "position 6: found \"1\", expected ( and a list of literals");
  EXPECT_EQ(Refusal("a IN ()"), "position 7: found \")\", expected a text, a number or NULL");
  EXPECT_EQ(Refusal("a IN ('x' 'y')"), "position 11: found \"'y'\", expected , or )");
  EXPECT_EQ(Refusal("a IN (b)"), "position 7: found \"b\", expected a text, a number or NULL");
  EXPECT_EQ(Refusal("a LIKE b"), "position 8: found \"b\", expected a pattern, as a text");
  EXPECT_EQ(Refusal("a CONTAINS 5"), "position 12: found \"5\", expected a text");
}

TEST(ParserTest, ChecksTypes) {
  EXPECT_EQ(Refusal("'x'"), "position 1: found \"'x'\", expected a condition, this is a text");
  EXPECT_EQ(Refusal("a + 1"), "position 1: found \"a + 1\", expected a condition, this is a number");
  EXPECT_EQ(Refusal("a = 1 AND 5"), "position 11: found \"5\", expected a condition, this is a number");
  EXPECT_EQ(Refusal("5 OR a"), "position 1: found \"5\", expected a condition, this is a number");
  EXPECT_EQ(Refusal("NOT 5"), "position 5: found \"5\", expected a condition, this is a number");
  EXPECT_EQ(Refusal("'x' = 5"),
            "position 7: found \"5\", expected a text as on the left, or a property; this is a number");
  EXPECT_EQ(Refusal("a + 1 > 'x'"),
            "position 9: found \"'x'\", expected a number as on the left, or a property; this is a text");
  EXPECT_EQ(Refusal("a + 'x' > 1"), "position 5: found \"'x'\", expected a number, this is a text");
  EXPECT_EQ(Refusal("-'x' > 1"), "position 2: found \"'x'\", expected a number, this is a text");
  EXPECT_EQ(Refusal("-(a = 1) > 1"), "position 2: found \"(a = 1)\", expected a number, this is a condition");
  EXPECT_EQ(Refusal("a < TRUE"), "position 5: found \"TRUE\", expected a number or a text: conditions have no order");
  EXPECT_EQ(Refusal("1 LIKE 'x'"), "position 1: found \"1\", expected a text, this is a number");
  EXPECT_EQ(Refusal("a IN (1, 'x')"), "position 10: found \"'x'\", expected a number, as before in the list");
  EXPECT_EQ(Refusal("a IN ('x', -1)"), "position 12: found \"-1\", expected a text, as before in the list");
  EXPECT_EQ(Refusal("a + 1 IN ('x')"), "position 1: found \"a + 1\", expected a text as in the list, or a property");
  EXPECT_EQ(Refusal("a BETWEEN 1 AND 2 BETWEEN 0 AND 1"),
            "position 27: found \"0\", expected a condition as on the left, or a property; this is a number");
}

TEST(ParserTest, ChecksEscapes) {
  EXPECT_EQ(Refusal("a LIKE 'x' ESCAPE ''"), "position 19: found \"''\", expected a text of one character");
  EXPECT_EQ(Refusal("a LIKE 'x' ESCAPE 'ab'"), "position 19: found \"'ab'\", expected a text of one character");
  EXPECT_EQ(Refusal("a LIKE 'x' ESCAPE b"), "position 19: found \"b\", expected a text of one character");
  EXPECT_EQ(Refusal("a LIKE 'x!y' ESCAPE '!'"), "position 8: found \"'x!y'\", expected %, _ or ! behind each !");
  EXPECT_EQ(Refusal("a LIKE 'x!' ESCAPE '!'"), "position 8: found \"'x!'\", expected %, _ or ! behind each !");
  EXPECT_THAT(Parse("a LIKE 'x!!!%!_' ESCAPE '!'"), IsOk());
  EXPECT_THAT(Parse("a LIKE 'x\xc3\xa9%' ESCAPE '\xc3\xa9'"), IsOk());
}

TEST(ParserTest, NamesEachPropertyOnce) {
  EXPECT_THAT(Parse("a = b OR \"a\" > c AND A IS NULL OR \"x.y\" = 'q'")->names,
              ElementsAre("a", "b", "c", "A", "x.y"));
}

TEST(ParserTest, NestingHasABound) {
  EXPECT_THAT(Parse(Repeat("(", kMaxFilterDepth) + "a" + Repeat(")", kMaxFilterDepth)), IsOk());
  EXPECT_THAT(Refusal(Repeat("(", kMaxFilterDepth + 1) + "a" + Repeat(")", kMaxFilterDepth + 1)),
              HasSubstr("position 65: found \"(\", expected at most 64 levels of nesting"));
  EXPECT_THAT(Parse(Repeat("NOT ", kMaxFilterDepth - 1) + "a"), IsOk());
  EXPECT_THAT(Refusal(Repeat("NOT ", kMaxFilterDepth + 1) + "a"), HasSubstr("levels of nesting"));
  EXPECT_THAT(Refusal(Repeat("- ", kMaxFilterDepth + 1) + "a > 1"), HasSubstr("levels of nesting"));
  EXPECT_THAT(Refusal("a" + Repeat(" IS NULL", kMaxFilterDepth)), HasSubstr("levels of nesting"));
  EXPECT_THAT(Refusal("a" + Repeat(" = TRUE", kMaxFilterDepth)), HasSubstr("levels of nesting"));
}

TEST(ParserTest, LongChainsDoNotNest) {
  EXPECT_THAT(Parse("a" + Repeat(" OR a", 500)), IsOk());
  EXPECT_THAT(Parse("a" + Repeat(" AND a", 500)), IsOk());
  EXPECT_THAT(Parse("0 < a" + Repeat(" + a", 500)), IsOk());
  EXPECT_THAT(Parse("0 < a" + Repeat(" * a", 500)), IsOk());
}

TEST(ParserTest, SizeHasABound) {
  EXPECT_THAT(Parse("a IN ('x'" + Repeat(",'y'", kMaxFilterTerms - 3) + ")"), IsOk());
  EXPECT_THAT(Refusal("a IN ('x'" + Repeat(",'y'", kMaxFilterTerms) + ")"),
              HasSubstr("expected an expression of at most 2048 terms"));
  EXPECT_THAT(Refusal("a" + Repeat(" OR a", kMaxFilterTerms)), HasSubstr("terms"));
  EXPECT_THAT(Parse("a = '" + std::string(kMaxFilterBytes - 6, 'x') + "'"), IsOk());
  EXPECT_EQ(Refusal("a = '" + std::string(kMaxFilterBytes - 5, 'x') + "'"),
            "position 16385: found an expression of 16385 bytes, expected at most 16384");
}

}  // namespace
}  // namespace barid::filter
