#include "filter/filter.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/base/status_matchers.h"

namespace barid::filter {
namespace {

constexpr Truth T = Truth::kTrue;
constexpr Truth F = Truth::kFalse;
constexpr Truth U = Truth::kUnknown;

using Properties = std::map<std::string, std::string>;

Evaluation EvaluateAll(absl::string_view expression, const MessageDraft& draft) {
  const absl::StatusOr<std::shared_ptr<const Filter>> filter = Filter::Compile(expression);
  EXPECT_THAT(filter, IsOk()) << expression;
  if (!filter.ok()) return Evaluation();
  const Buffer stored = EncodeStoredMessage(draft);
  return (*filter)->Evaluate(DecodeStoredMessage(stored.view()).value());
}

Evaluation EvaluateAll(absl::string_view expression, const Properties& properties) {
  MessageDraft draft;
  draft.message_id = "01";
  draft.body = "b";
  for (const auto& [key, value] : properties) draft.properties.emplace_back(key, value);
  return EvaluateAll(expression, draft);
}

Truth Of(absl::string_view expression, const Properties& properties = {}) {
  return EvaluateAll(expression, properties).truth;
}

TEST(FilterTest, ThreeValuedLogic) {
  const std::pair<const char*, Truth> kValues[] = {{"TRUE", T}, {"FALSE", F}, {"NULL", U}};
  const auto Not = [](Truth a) { return a == U ? U : a == T ? F : T; };
  const auto And = [](Truth a, Truth b) { return a == F || b == F ? F : a == U || b == U ? U : T; };
  for (const auto& [a, truth_a] : kValues) {
    EXPECT_EQ(Of(absl::StrCat("NOT ", a)), Not(truth_a));
    EXPECT_EQ(Of(absl::StrCat("(NOT ", a, ") IS NULL")), truth_a == U ? T : F);
    for (const auto& [b, truth_b] : kValues) {
      EXPECT_EQ(Of(absl::StrCat(a, " AND ", b)), And(truth_a, truth_b)) << a << b;
      EXPECT_EQ(Of(absl::StrCat(a, " OR ", b)), Not(And(Not(truth_a), Not(truth_b)))) << a << b;
      const Truth equal = truth_a == U || truth_b == U ? U : truth_a == truth_b ? T : F;
      EXPECT_EQ(Of(absl::StrCat(a, " = ", b)), equal) << a << b;
      EXPECT_EQ(Of(absl::StrCat(a, " <> ", b)), Not(equal)) << a << b;
    }
  }
}

TEST(FilterTest, WhatIsMissingIsUnknown) {
  for (const char* expression : {"a = 'x'",
                                 "a <> 'x'",
                                 "NOT (a = 'x')",
                                 "a > 1",
                                 "a",
                                 "NOT a",
                                 "a = TRUE",
                                 "a LIKE '%'",
                                 "a NOT LIKE 'x'",
                                 "a CONTAINS 'x'",
                                 "NOT (a CONTAINS 'x')",
                                 "a STARTSWITH 'x'",
                                 "a ENDSWITH 'x'",
                                 "a IN ('x')",
                                 "a NOT IN ('x')",
                                 "a BETWEEN 1 AND 2",
                                 "a + 1 > 0",
                                 "-a > 0",
                                 "a = b",
                                 "a < b",
                                 "a = NULL",
                                 "NULL = NULL",
                                 "NULL IN (1)",
                                 "1 IN (NULL)"}) {
    const Evaluation evaluation = EvaluateAll(expression, Properties());
    EXPECT_EQ(evaluation.truth, U) << expression;
    EXPECT_EQ(evaluation.problem, Problem::kNone) << expression;
  }
  EXPECT_EQ(Of("a IS NULL"), T);
  EXPECT_EQ(Of("a IS NOT NULL"), F);
  EXPECT_EQ(Of("a IS NULL", {{"a", ""}}), F);
  EXPECT_EQ(Of("a = ''", {{"a", ""}}), T);
}

TEST(FilterTest, APropertyIsComparedAsTheOtherSideIs) {
  EXPECT_EQ(Of("a = 1", {{"a", "1.0"}}), T);
  EXPECT_EQ(Of("1 = a", {{"a", "1e0"}}), T);
  EXPECT_EQ(Of("a = '1'", {{"a", "1.0"}}), F);
  EXPECT_EQ(Of("a < 9", {{"a", "10"}}), F);
  EXPECT_EQ(Of("a < '9'", {{"a", "10"}}), T);
  EXPECT_EQ(Of("a = TRUE", {{"a", "True"}}), T);
  EXPECT_EQ(Of("a", {{"a", "TRUE"}}), T);
  EXPECT_EQ(Of("a", {{"a", "false"}}), F);
  EXPECT_EQ(Of("a = b", {{"a", "1"}, {"b", "1.0"}}), F);
  EXPECT_EQ(Of("a <= b", {{"a", "1"}, {"b", "1.0"}}), T);
  EXPECT_EQ(Of("a < b", {{"a", "9"}, {"b", "10"}}), T);
  EXPECT_EQ(Of("+a = +b", {{"a", "1"}, {"b", "1.0"}}), T);
  EXPECT_EQ(Of("a > '\xc3\xa9'", {{"a", "\xe4\xb8\xad"}}), T);
}

TEST(FilterTest, WholeNumbersAreExact) {
  EXPECT_EQ(Of("id = 9007199254740993", {{"id", "9007199254740993"}}), T);
  EXPECT_EQ(Of("id = 9007199254740993", {{"id", "9007199254740992"}}), F);
  EXPECT_EQ(Of("id > -9223372036854775808", {{"id", "-9223372036854775807"}}), T);
}

TEST(FilterTest, PrecedenceIsThatOfSql) {
  EXPECT_EQ(Of("TRUE OR TRUE AND FALSE"), T);
  EXPECT_EQ(Of("NOT FALSE AND FALSE"), F);
  EXPECT_EQ(Of("NOT a = 1", {{"a", "2"}}), T);
  EXPECT_EQ(Of("a > 1 = TRUE", {{"a", "2"}}), T);
  EXPECT_EQ(Of("a = 1 IS NOT NULL", {{"a", "2"}}), T);
  EXPECT_EQ(Of("1 + 2 * 3 = 7"), T);
  EXPECT_EQ(Of("10 - 4 - 3 = 3"), T);
  EXPECT_EQ(Of("20 / 2 / 5 * 3 = 6"), T);
  EXPECT_EQ(Of("- 2 * - 3 = + 6"), T);
  EXPECT_EQ(Of("a BETWEEN 1 AND 3 AND TRUE", {{"a", "2"}}), T);
  EXPECT_EQ(Of("7 / 2 = 3.5"), T);
}

TEST(FilterTest, BetweenIsInclusiveAndNeedsOrder) {
  EXPECT_EQ(Of("a BETWEEN 1 AND 3", {{"a", "1"}}), T);
  EXPECT_EQ(Of("a BETWEEN 1 AND 3", {{"a", "3.0"}}), T);
  EXPECT_EQ(Of("a NOT BETWEEN 1 AND 3", {{"a", "3.1"}}), T);
  EXPECT_EQ(Of("a BETWEEN 3 AND 1", {{"a", "2"}}), F);
  EXPECT_EQ(Of("a BETWEEN 'b' AND 'd'", {{"a", "cc"}}), T);
  EXPECT_EQ(Of("5 BETWEEN a AND NULL", {{"a", "6"}}), F);
  EXPECT_EQ(Of("5 BETWEEN a AND NULL", {{"a", "4"}}), U);
}

TEST(FilterTest, ListsHoldTextsOrNumbers) {
  EXPECT_EQ(Of("a IN ('x', 'y')", {{"a", "y"}}), T);
  EXPECT_EQ(Of("a NOT IN ('x', 'y')", {{"a", "z"}}), T);
  EXPECT_EQ(Of("a IN (3, -1, 2.5)", {{"a", "-1.0"}}), T);
  EXPECT_EQ(Of("a + 1 IN (3, 4)", {{"a", "2"}}), T);
  EXPECT_EQ(Of("a IN ('x', NULL)", {{"a", "x"}}), T);
  EXPECT_EQ(Of("a IN ('x', NULL)", {{"a", "y"}}), U);
  EXPECT_EQ(Of("a NOT IN (1, NULL)", {{"a", "2"}}), U);
}

TEST(FilterTest, LikeIsCaseSensitiveAndEscapes) {
  EXPECT_EQ(Of("a LIKE 'order-%'", {{"a", "order-17"}}), T);
  EXPECT_EQ(Of("a LIKE 'order-%'", {{"a", "Order-17"}}), F);
  EXPECT_EQ(Of("a NOT LIKE 'o_der'", {{"a", "order"}}), F);
  EXPECT_EQ(Of("a LIKE '100!%' ESCAPE '!'", {{"a", "100%"}}), T);
  EXPECT_EQ(Of("a LIKE '100!%' ESCAPE '!'", {{"a", "100x"}}), F);
  EXPECT_EQ(Of("a LIKE '!!' ESCAPE '!'", {{"a", "!"}}), T);
  EXPECT_EQ(Of("'abc' LIKE 'a%'"), T);
}

TEST(FilterTest, SearchesTexts) {
  EXPECT_EQ(Of("a CONTAINS '%'", {{"a", "5%!"}}), T);
  EXPECT_EQ(Of("a CONTAINS '_'", {{"a", "x"}}), F);
  EXPECT_EQ(Of("a CONTAINS ''", {{"a", ""}}), T);
  EXPECT_EQ(Of("a NOT CONTAINS 'b'", {{"a", "abc"}}), F);
  EXPECT_EQ(Of("a STARTSWITH 'ab'", {{"a", "abc"}}), T);
  EXPECT_EQ(Of("a NOT STARTSWITH 'b'", {{"a", "abc"}}), T);
  EXPECT_EQ(Of("a ENDSWITH 'bc'", {{"a", "abc"}}), T);
  EXPECT_EQ(Of("a ENDSWITH 'abcd'", {{"a", "bcd"}}), F);
}

TEST(FilterTest, SaysWhichPartCouldNotBeEvaluated) {
  struct Case {
    const char* expression;
    Properties properties;
    Truth truth;
    Problem problem;
    int name;
  };
  for (const Case& c : std::vector<Case>{
           {"a > 1", {{"a", "x"}}, U, Problem::kNotANumber, 0},
           {"a > 1", {{"a", ""}}, U, Problem::kNotANumber, 0},
           {"a > 1", {{"a", "NaN"}}, U, Problem::kNotANumber, 0},
           {"b = 'y' AND a + 1 > 1", {{"a", "x"}, {"b", "y"}}, U, Problem::kNotANumber, 1},
           {"b = 'y' AND a + 1 > 1", {{"a", "x"}, {"b", "z"}}, F, Problem::kNone, -1},
           {"a > 1 OR b = 'y'", {{"a", "x"}, {"b", "y"}}, T, Problem::kNotANumber, 0},
           {"a < b", {{"a", "1"}, {"b", "x"}}, U, Problem::kNotANumber, 1},
           {"a", {{"a", "yes"}}, U, Problem::kNotABoolean, 0},
           {"a = TRUE", {{"a", "1"}}, U, Problem::kNotABoolean, 0},
           {"1 / a > 0", {{"a", "0.0"}}, U, Problem::kDivisionByZero, -1},
           {"a * a > 0", {{"a", "1e200"}}, U, Problem::kOutOfRange, -1},
           {"a + 1 IS NULL", {{"a", "x"}}, T, Problem::kNotANumber, 0},
       }) {
    const Evaluation evaluation = EvaluateAll(c.expression, c.properties);
    EXPECT_EQ(evaluation.truth, c.truth) << c.expression;
    EXPECT_EQ(evaluation.problem, c.problem) << c.expression;
    EXPECT_EQ(evaluation.name, c.name) << c.expression;
  }
}

TEST(FilterTest, WhatCostsTooMuchIsNotDelivered) {
  const std::string value(16 << 10, 'a');
  const std::string hard = absl::StrCat("a NOT LIKE '%", std::string(500, 'a'), "b'");
  const Evaluation evaluation = EvaluateAll(absl::StrCat(hard, " OR TRUE"), {{"a", value}});
  EXPECT_EQ(evaluation.truth, U);
  EXPECT_EQ(evaluation.problem, Problem::kTooCostly);
  // Many cheap ones are bounded by the same sum.
  std::string many = "a LIKE '%b'";
  for (int i = 0; i < 500; ++i) many += " OR a LIKE '%ab'";
  EXPECT_EQ(EvaluateAll(many, {{"a", value}}).problem, Problem::kTooCostly);
}

TEST(FilterTest, ReadsWhatTheMessageItselfSays) {
  MessageDraft draft;
  draft.type = MessageType::kPriority;
  draft.message_id = "01AB";
  draft.tag = "paid";
  draft.keys = {"k1", "k2"};
  draft.message_group = "customer-7";
  draft.born_time = absl::FromUnixMillis(1'700'000'000'123);
  draft.delivery_time = absl::FromUnixMillis(1'800'000'000'000);
  draft.priority = 3;
  draft.properties = {{"region", "eu"}};
  draft.body = "b";
  for (const char* expression : {"TAGS = 'paid'", "KEYS = 'k1 k2'", "UNIQ_KEY = '01AB'", "__SHARDINGKEY ENDSWITH '7'",
                                 "BORN_TIMESTAMP = 1700000000123", "TIMER_DELIVER_MS >= 1800000000000",
                                 "_SYS_MSG_PRIORITY_ > 2", "region = 'eu' AND TAGS IN ('paid')"}) {
    EXPECT_EQ(EvaluateAll(expression, draft).truth, T) << expression;
  }
  MessageDraft plain;
  plain.message_id = "01";
  plain.body = "b";
  for (const char* expression : {"TAGS IS NULL", "KEYS IS NULL", "__SHARDINGKEY IS NULL", "TIMER_DELIVER_MS IS NULL",
                                 "_SYS_MSG_PRIORITY_ IS NULL"}) {
    EXPECT_EQ(EvaluateAll(expression, plain).truth, T) << expression;
  }
}

TEST(FilterTest, NamesAreTakenLiterally) {
  EXPECT_EQ(Of("Region IS NULL", {{"region", "eu"}}), T);
  EXPECT_EQ(Of("\"x-app.version\" = '2' AND \"and\" = 'y'", {{"x-app.version", "2"}, {"and", "y"}}), T);
}

TEST(FilterTest, EveryFilterHasItsOwnId) {
  EXPECT_NE(Filter::Compile("a").value()->id(), Filter::Compile("a").value()->id());
}

}  // namespace
}  // namespace barid::filter
