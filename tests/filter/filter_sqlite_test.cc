// The evaluator against SQLite's: the same random expressions, in our words and in its, on the same random rows.
// BARID_SEED=n and BARID_EXPRESSIONS=n choose others.
#include <sqlite3.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/log.h"
#include "base/random.h"
#include "filter/filter.h"
#include "gtest/gtest.h"
#include "tests/base/status_matchers.h"

namespace barid::filter {
namespace {

constexpr int kExpressions = 40'000;
constexpr int kRows = 24;
constexpr int kProperties = 5;

using Row = std::vector<std::optional<std::string>>;

std::string Name(int property) { return absl::StrCat("p", property); }

// How tightly the outermost operator of an expression binds.
enum Level { kOr = 1, kAnd, kNot, kEqual, kCompare, kSum, kProduct, kSign, kPrimary };

enum class Kind { kBoolean, kNumber, kText, kProperty, kNull };

// An expression in both languages. Ours has the parentheses that it needs and some more, SQLite's has them all, so that
// what our parser makes of precedence is compared too.
struct Expression {
  Kind kind = Kind::kBoolean;
  Level level = kPrimary;
  std::string ours;
  std::string sql;        // As its own kind; of a property, its text.
  std::string as_number;  // Of a property,
  std::string as_boolean;
};

std::string Number(const Expression& e) { return e.kind == Kind::kProperty ? e.as_number : e.sql; }
std::string Boolean(const Expression& e) { return e.kind == Kind::kProperty ? e.as_boolean : e.sql; }

std::string Literal(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}}), "'");
}

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  Expression Condition(int depth) {
    if (depth <= 0) return SimpleCondition();
    switch (random_.Below(10)) {
      case 0:
      case 1:
        return Binary(Condition(depth - 1), "OR", Condition(depth - 1), kOr);
      case 2:
      case 3:
        return Binary(Condition(depth - 1), "AND", Condition(depth - 1), kAnd);
      case 4: {
        const Expression operand = Condition(depth - 1);
        return {Kind::kBoolean,
                kNot,
                absl::StrCat(Word("NOT"), " ", In(operand, kNot)),
                absl::StrCat("(NOT ", Boolean(operand), ")"),
                "",
                ""};
      }
      case 5: {
        const Expression left = Condition(depth - 1), right = Condition(depth - 1);
        const char* const sign = random_.OneIn(2) ? "=" : "<>";
        const bool texts = left.kind == Kind::kProperty && right.kind == Kind::kProperty;
        return Make(kEqual, {In(left, kEqual), sign, In(right, kCompare)},
                    absl::StrCat(texts ? left.sql : Boolean(left), sign, texts ? right.sql : Boolean(right)));
      }
      case 6:
        return IsNull(random_.OneIn(2) ? Condition(depth - 1) : random_.OneIn(2) ? Numeric(depth) : Text());
      default:
        return Comparison(depth);
    }
  }

  Row NewRow() {
    static const char* const kValues[] = {"",
                                          "1",
                                          "1.0",
                                          "007",
                                          "-3",
                                          "2.5",
                                          "1e2",
                                          ".5",
                                          "12.",
                                          "+4",
                                          "3",
                                          "10",
                                          "9",
                                          "0",
                                          "-0.0",
                                          "9007199254740993",
                                          "9007199254740992",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "9223372036854775808",
                                          "x",
                                          "1x",
                                          " 1",
                                          "--1",
                                          "0x1",
                                          "nan",
                                          "1e",
                                          "true",
                                          "False",
                                          "TRUE",
                                          "a",
                                          "b",
                                          "ab",
                                          "abc",
                                          "A",
                                          "aB",
                                          "a%b",
                                          "a_b",
                                          "it's",
                                          "\xc3\xa9",
                                          "a\xc3\xa9z",
                                          "\xe4\xb8\xad"};
    Row row;
    for (int i = 0; i < kProperties; ++i) {
      std::optional<std::string>& value = row.emplace_back();
      if (random_.OneIn(5)) continue;
      value = random_.OneIn(4) ? Word(4) : kValues[random_.Below(std::size(kValues))];
    }
    return row;
  }

 private:
  // Case is not looked at.
  std::string Word(std::string keyword) {
    if (random_.OneIn(5)) absl::AsciiStrToLower(&keyword);
    return keyword;
  }
  // `operand` as the operand of something that takes what binds at least like `level`.
  std::string In(const Expression& operand, Level level) {
    return operand.level < level || random_.OneIn(8) ? absl::StrCat("(", operand.ours, ")") : operand.ours;
  }
  Expression Make(Level level, std::vector<std::string> ours, const std::string& sql) {
    std::string text;
    for (const std::string& piece : ours)
      absl::StrAppend(&text, text.empty() ? "" : random_.OneIn(20) ? " /* ' */ " : " ", piece);
    return {Kind::kBoolean, level, text, absl::StrCat("(", sql, ")"), "", ""};
  }
  Expression Binary(const Expression& left, const char* word, const Expression& right, Level level) {
    return Make(level, {In(left, level), Word(std::string(word)), In(right, static_cast<Level>(level + 1))},
                absl::StrCat(Boolean(left), " ", word, " ", Boolean(right)));
  }

  Expression Property() {
    const std::string name = Name(static_cast<int>(random_.Below(kProperties)));
    return {Kind::kProperty, kPrimary,  random_.OneIn(8) ? absl::StrCat("\"", name, "\"") : name, name,
            name + "n",      name + "b"};
  }
  Expression Null() { return {Kind::kNull, kPrimary, Word("NULL"), "NULL", "", ""}; }
  Expression SimpleCondition() {
    switch (random_.Below(6)) {
      case 0:
        return {Kind::kBoolean, kPrimary, Word("TRUE"), "1", "", ""};
      case 1:
        return {Kind::kBoolean, kPrimary, Word("FALSE"), "0", "", ""};
      case 2:
        return random_.OneIn(2) ? Null() : Property();
      default:
        return Comparison(0);
    }
  }
  Expression IsNull(const Expression& operand) {
    const bool negated = random_.OneIn(2);
    return Make(kEqual, {In(operand, kEqual), Word("IS"), Word(negated ? "NOT NULL" : "NULL")},
                absl::StrCat(operand.sql, negated ? " IS NOT NULL" : " IS NULL"));
  }

  std::string Digits() {
    static const char* const kNumbers[] = {"0",
                                           "1",
                                           "2",
                                           "3",
                                           "7",
                                           "10",
                                           "100",
                                           "2.5",
                                           "0.5",
                                           "3.14",
                                           "1e2",
                                           "12.",
                                           ".25",
                                           "1e-3",
                                           "0.0",
                                           "9007199254740993",
                                           "9223372036854775807",
                                           "9223372036854775808",
                                           "4611686018427387904"};
    return kNumbers[random_.Below(std::size(kNumbers))];
  }
  Expression Numeric(int depth) {
    if (depth <= 0 || random_.OneIn(3)) {
      if (random_.OneIn(2)) return Property();
      if (random_.OneIn(20)) return Null();
      const std::string digits = Digits();
      return {Kind::kNumber, kPrimary, digits, digits, "", ""};
    }
    if (random_.OneIn(5)) {
      const Expression operand = Numeric(depth - 1);
      const char* const sign = random_.OneIn(3) ? "+" : "-";
      return {Kind::kNumber,
              kSign,
              absl::StrCat(sign, " ", In(operand, kSign)),
              absl::StrCat("(", sign, Number(operand), ")"),
              "",
              ""};
    }
    const Expression left = Numeric(depth - 1), right = Numeric(depth - 1);
    const char sign = "+-*/"[random_.Below(4)];
    const Level level = sign == '+' || sign == '-' ? kSum : kProduct;
    const std::string dividend = sign == '/' ? absl::StrCat("CAST(", Number(left), " AS REAL)") : Number(left);
    Expression result = Make(level, {In(left, level), std::string(1, sign), In(right, static_cast<Level>(level + 1))},
                             absl::StrCat(dividend, std::string(1, sign), Number(right)));
    result.kind = Kind::kNumber;
    return result;
  }

  std::string Word(uint64_t most) {
    static const char* const kLetters[] = {"a", "b", "A", "%", "_", "'", "\xc3\xa9", "\xe4\xb8\xad", "1", "!"};
    std::string word;
    for (uint64_t n = random_.Below(most + 1); n > 0; --n) word += kLetters[random_.Below(std::size(kLetters))];
    return word;
  }
  std::string SomeText() {
    static const char* const kTexts[] = {"", "a", "ab", "abc", "b", "1", "10", "9", "true", "it's", "\xc3\xa9"};
    return random_.OneIn(3) ? Word(3) : kTexts[random_.Below(std::size(kTexts))];
  }
  Expression Text() {
    if (random_.OneIn(2)) return Property();
    const std::string literal = Literal(SomeText());
    return {Kind::kText, kPrimary, literal, literal, "", ""};
  }

  Expression Comparison(int depth) {
    static const char* const kSigns[] = {"=", "<>", "<", "<=", ">", ">="};
    const std::string negation = random_.OneIn(3) ? "NOT " : "";
    switch (random_.Below(7)) {
      case 0:
      case 1: {
        const uint64_t sign = random_.Below(6);
        const Level level = sign < 2 ? kEqual : kCompare;
        const Expression left = Numeric(depth), right = Numeric(depth);
        const bool texts = sign < 2 && left.kind == Kind::kProperty && right.kind == Kind::kProperty;
        return Make(level, {In(left, level), kSigns[sign], In(right, static_cast<Level>(level + 1))},
                    absl::StrCat(texts ? left.sql : Number(left), kSigns[sign], texts ? right.sql : Number(right)));
      }
      case 2: {
        const uint64_t sign = random_.Below(6);
        const Level level = sign < 2 ? kEqual : kCompare;
        const Expression left = Text(), right = Text();
        const bool numbers = sign >= 2 && left.kind == Kind::kProperty && right.kind == Kind::kProperty;
        return Make(
            level, {In(left, level), kSigns[sign], In(right, static_cast<Level>(level + 1))},
            absl::StrCat(numbers ? left.as_number : left.sql, kSigns[sign], numbers ? right.as_number : right.sql));
      }
      case 3: {
        // Bounds that are literals, so that the property between them has one meaning.
        const bool texts = random_.OneIn(2);
        const Expression value = texts ? Text() : Numeric(depth);
        const std::string low = texts ? Literal(SomeText()) : Digits();
        const std::string high = texts ? Literal(SomeText()) : Digits();
        return Make(kCompare, {In(value, kSum), Word(negation + "BETWEEN"), low, Word("AND"), high},
                    absl::StrCat(texts ? value.sql : Number(value), " ", negation, "BETWEEN ", low, " AND ", high));
      }
      case 4: {
        const bool texts = random_.OneIn(2);
        const Expression value = texts ? Text() : Numeric(depth);
        std::string list;
        for (uint64_t n = 1 + random_.Below(4); n > 0; --n) {
          if (!list.empty()) list += ", ";
          list += random_.OneIn(10) ? "NULL"
                  : texts           ? Literal(SomeText())
                                    : absl::StrCat(random_.OneIn(4) ? "-" : "", Digits());
        }
        return Make(kCompare, {In(value, kSum), Word(negation + "IN"), absl::StrCat("(", list, ")")},
                    absl::StrCat(texts ? value.sql : Number(value), " ", negation, "IN (", list, ")"));
      }
      case 5: {
        const Expression value = Text();
        std::string pattern = Word(4);
        std::string escape;
        if (random_.OneIn(2)) {
          pattern = absl::StrReplaceAll(pattern, {{"!", "!!"}, {"a%", "a!%"}, {"b_", "b!_"}});
          escape = " ESCAPE '!'";
        }
        return Make(kCompare, {In(value, kSum), Word(negation + "LIKE"), Literal(pattern) + escape},
                    absl::StrCat(value.sql, " ", negation, "LIKE ", Literal(pattern), escape));
      }
      default: {
        const Expression value = Text();
        const std::string wanted = Literal(SomeText());
        std::string word, sql;
        switch (random_.Below(3)) {
          case 0:
            word = "CONTAINS";
            sql = absl::StrCat("instr(", value.sql, ", ", wanted, ") > 0");
            break;
          case 1:
            word = "STARTSWITH";
            sql = absl::StrCat("substr(", value.sql, ", 1, length(", wanted, ")) = ", wanted);
            break;
          default:
            word = "ENDSWITH";
            sql = absl::StrCat("length(", value.sql, ") >= length(", wanted, ") AND substr(", value.sql, ", length(",
                               value.sql, ") - length(", wanted, ") + 1) = ", wanted);
        }
        return Make(kCompare, {In(value, kSum), Word(negation + word), wanted},
                    negation.empty() ? sql : absl::StrCat("NOT (", sql, ")"));
      }
    }
  }

  SeededRandom random_;
};

class Sqlite {
 public:
  Sqlite() {
    CHECK_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK);
    Execute("PRAGMA case_sensitive_like = ON");
    std::string columns = "id INTEGER PRIMARY KEY";
    // What a property is as a number or a boolean is said by this test; columns without a type convert nothing.
    for (int i = 0; i < kProperties; ++i)
      absl::StrAppend(&columns, ", ", Name(i), " TEXT, ", Name(i), "n, ", Name(i), "b");
    Execute(absl::StrCat("CREATE TABLE rows (", columns, ")"));
  }
  ~Sqlite() { sqlite3_close(db_); }

  void SetRows(const std::vector<Row>& rows) {
    Execute("BEGIN");
    Execute("DELETE FROM rows");
    std::string marks = "?";
    for (int i = 0; i < 3 * kProperties; ++i) marks += ", ?";
    sqlite3_stmt* const insert = Prepare(absl::StrCat("INSERT INTO rows VALUES (", marks, ")"));
    for (size_t id = 0; id < rows.size(); ++id) {
      int place = 1;
      sqlite3_bind_int64(insert, place++, static_cast<int64_t>(id));
      for (const std::optional<std::string>& value : rows[id]) Bind(insert, &place, value);
      CHECK_EQ(sqlite3_step(insert), SQLITE_DONE);
      sqlite3_reset(insert);
      sqlite3_clear_bindings(insert);
    }
    sqlite3_finalize(insert);
    Execute("COMMIT");
  }

  std::vector<Truth> Evaluate(const std::string& expression) {
    std::vector<Truth> truths;
    sqlite3_stmt* const select = Prepare(absl::StrCat("SELECT ", expression, " FROM rows ORDER BY id"));
    while (sqlite3_step(select) == SQLITE_ROW) {
      truths.push_back(sqlite3_column_type(select, 0) == SQLITE_NULL ? Truth::kUnknown
                       : sqlite3_column_int(select, 0) != 0          ? Truth::kTrue
                                                                     : Truth::kFalse);
    }
    sqlite3_finalize(select);
    return truths;
  }

 private:
  static void Bind(sqlite3_stmt* insert, int* place, const std::optional<std::string>& value) {
    static const std::regex number(R"([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?)");
    static const std::regex whole("[+-]?[0-9]+");
    const int text_place = (*place)++, number_place = (*place)++, boolean_place = (*place)++;
    if (!value) return;
    sqlite3_bind_text(insert, text_place, value->data(), static_cast<int>(value->size()), SQLITE_TRANSIENT);
    if (std::regex_match(*value, number)) {
      errno = 0;
      const int64_t integer = std::strtoll(value->c_str(), nullptr, 10);
      if (std::regex_match(*value, whole) && errno == 0) {
        sqlite3_bind_int64(insert, number_place, integer);
      } else {
        sqlite3_bind_double(insert, number_place, std::strtod(value->c_str(), nullptr));
      }
    }
    if (absl::EqualsIgnoreCase(*value, "true")) sqlite3_bind_int(insert, boolean_place, 1);
    if (absl::EqualsIgnoreCase(*value, "false")) sqlite3_bind_int(insert, boolean_place, 0);
  }

  sqlite3_stmt* Prepare(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    CHECK_EQ(sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db_) << ": " << sql;
    return statement;
  }
  void Execute(const std::string& sql) {
    CHECK_EQ(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db_) << ": " << sql;
  }

  sqlite3* db_ = nullptr;
};

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* const text = std::getenv(name);
  if (text != nullptr) CHECK(absl::SimpleAtoi(text, &otherwise)) << name;
  return otherwise;
}

TEST(FilterSqliteTest, AgreesWithSqliteOnRandomExpressionsAndRows) {
  const auto seed = static_cast<uint64_t>(FromEnvironment("BARID_SEED", 1));
  const int64_t expressions = FromEnvironment("BARID_EXPRESSIONS", kExpressions);
  Generator generator(seed);
  Sqlite sqlite;
  std::vector<Row> rows;
  int64_t seen[3] = {};
  for (int64_t i = 0; i < expressions; ++i) {
    if (i % 50 == 0) {
      rows.clear();
      for (int row = 0; row < kRows; ++row) rows.push_back(generator.NewRow());
      sqlite.SetRows(rows);
    }
    const Expression expression = generator.Condition(static_cast<int>(i % 5));
    const auto filter = Filter::Compile(expression.ours);
    ASSERT_THAT(filter, IsOk()) << expression.ours << " BARID_SEED=" << seed;
    const std::vector<Truth> expected = sqlite.Evaluate(Boolean(expression));
    ASSERT_EQ(expected.size(), rows.size());
    for (size_t row = 0; row < rows.size(); ++row) {
      std::vector<std::optional<absl::string_view>> values;
      for (const std::string& name : (*filter)->names()) {
        const std::optional<std::string>& value = rows[row][static_cast<size_t>(name[1] - '0')];
        values.push_back(value ? std::optional<absl::string_view>(*value) : std::nullopt);
      }
      const Truth found = (*filter)->Evaluate(values).truth;
      std::string shown;
      for (size_t k = 0; k < values.size(); ++k)
        absl::StrAppend(&shown, (*filter)->names()[k], "=", values[k].value_or("NULL"), " ");
      ASSERT_EQ(found, expected[row]) << expression.ours << "\n"
                                      << expression.sql << "\n"
                                      << shown << "BARID_SEED=" << seed;
      ++seen[static_cast<int>(found)];
    }
  }
  // Where everything is unknown nothing is compared.
  for (const int64_t count : seen) EXPECT_GT(count, expressions * kRows / 10);
  RecordProperty("evaluations", std::to_string(expressions * kRows));
}

}  // namespace
}  // namespace barid::filter
