#include "filter/lexer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "filter/pattern.h"

namespace barid::filter {
namespace {

constexpr size_t kMaxQuotedCharacters = 32;

constexpr std::pair<absl::string_view, TokenKind> kKeywords[] = {
    {"AND", TokenKind::kAnd},
    {"OR", TokenKind::kOr},
    {"NOT", TokenKind::kNot},
    {"BETWEEN", TokenKind::kBetween},
    {"IN", TokenKind::kIn},
    {"LIKE", TokenKind::kLike},
    {"ESCAPE", TokenKind::kEscape},
    {"CONTAINS", TokenKind::kContains},
    {"STARTSWITH", TokenKind::kStartsWith},
    {"ENDSWITH", TokenKind::kEndsWith},
    {"IS", TokenKind::kIs},
    {"NULL", TokenKind::kNull},
    {"TRUE", TokenKind::kTrue},
    {"FALSE", TokenKind::kFalse},
};

bool BeginsName(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$'; }
bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }
bool IsName(char c) { return BeginsName(c) || IsDigit(c); }

size_t CountCharacters(absl::string_view text) {
  size_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(CharacterBytes(text));
  return count;
}

std::string Quote(absl::string_view text) {
  size_t bytes = 0;
  for (size_t i = 0; i < kMaxQuotedCharacters && bytes < text.size(); ++i) bytes += CharacterBytes(text.substr(bytes));
  // One "character" of bytes that are no UTF-8 has no bound of its own.
  bytes = std::min(bytes, 4 * kMaxQuotedCharacters);
  // Quotes within are plain to see.
  const std::string escaped =
      absl::StrReplaceAll(absl::Utf8SafeCHexEscape(text.substr(0, bytes)), {{"\\'", "'"}, {"\\\"", "\""}});
  return absl::StrCat("\"", escaped, bytes < text.size() ? "...\"" : "\"");
}

}  // namespace

absl::Status Lexer::Error(size_t begin, size_t end, absl::string_view expected) const {
  const std::string found = begin == end ? "the end" : Quote(expression_.substr(begin, end - begin));
  return absl::InvalidArgumentError(absl::StrCat("position ", CountCharacters(expression_.substr(0, begin)) + 1,
                                                 ": found ", found, ", expected ", expected));
}

absl::Status Lexer::SkipSpace() {
  while (at_ < expression_.size()) {
    const absl::string_view rest = expression_.substr(at_);
    if (absl::ascii_isspace(static_cast<unsigned char>(rest[0]))) {
      ++at_;
    } else if (absl::StartsWith(rest, "--")) {
      at_ = std::min(expression_.find_first_of("\r\n", at_), expression_.size());
    } else if (absl::StartsWith(rest, "/*")) {
      const size_t end = expression_.find("*/", at_ + 2);
      if (end == absl::string_view::npos) return Error(at_, expression_.size(), "*/ at the end of the comment");
      at_ = end + 2;
    } else {
      break;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Token> Lexer::Quoted(char quote) {
  Token token;
  token.kind = quote == '\'' ? TokenKind::kText : TokenKind::kIdentifier;
  token.begin = at_++;
  while (true) {
    const size_t close = expression_.find(quote, at_);
    if (close == absl::string_view::npos) {
      return Error(token.begin, expression_.size(), absl::StrCat("a closing ", std::string(1, quote)));
    }
    const absl::string_view piece = expression_.substr(at_, close - at_);
    token.text.append(piece.data(), piece.size());
    at_ = close + 1;
    if (at_ == expression_.size() || expression_[at_] != quote) break;
    token.text += quote;
    ++at_;
  }
  token.end = at_;
  if (token.kind == TokenKind::kIdentifier && token.text.empty())
    return Error(token.begin, token.end, "a name between the quotes");
  return token;
}

absl::StatusOr<Token> Lexer::Numeric() {
  Token token;
  token.kind = TokenKind::kNumber;
  token.begin = at_;
  const auto skip_digits = [this] {
    const size_t first = at_;
    while (at_ < expression_.size() && IsDigit(expression_[at_])) ++at_;
    return at_ > first;
  };
  const auto skip = [this](absl::string_view any) {
    if (at_ == expression_.size() || !absl::StrContains(any, expression_[at_])) return false;
    ++at_;
    return true;
  };
  skip_digits();
  const bool has_point = skip(".");
  if (has_point) skip_digits();
  size_t end = at_;
  if (skip("eE")) {
    skip("+-");
    if (skip_digits()) end = at_;
    at_ = end;
  } else if (!has_point && skip("lL")) {
    token.end = at_;
  }
  token.end = at_;
  if (at_ < expression_.size() && (IsName(expression_[at_]) || expression_[at_] == '.')) {
    while (at_ < expression_.size() && (IsName(expression_[at_]) || expression_[at_] == '.')) ++at_;
    return Error(token.begin, at_, "a number, or a space or an operator behind it");
  }
  const absl::string_view digits = expression_.substr(token.begin, end - token.begin);
  const std::optional<Number> number = ParseNumber(digits);
  if (!number) {
    return Error(token.begin, token.end,
                 absl::StrCat("a number of at most ", kMaxNumberBytes, " digits, within the range of a double"));
  }
  token.number = *number;
  return token;
}

Token Lexer::Word() {
  Token token;
  token.kind = TokenKind::kIdentifier;
  token.begin = at_;
  while (at_ < expression_.size() && IsName(expression_[at_])) ++at_;
  token.end = at_;
  const absl::string_view word = expression_.substr(token.begin, token.end - token.begin);
  for (const auto& [keyword, kind] : kKeywords) {
    if (absl::EqualsIgnoreCase(word, keyword)) token.kind = kind;
  }
  if (token.kind == TokenKind::kIdentifier) token.text = std::string(word);
  return token;
}

absl::StatusOr<Token> Lexer::Next() {
  if (const absl::Status skipped = SkipSpace(); !skipped.ok()) return skipped;
  Token token;
  token.begin = token.end = at_;
  if (at_ == expression_.size()) return token;
  const absl::string_view rest = expression_.substr(at_);
  const char c = rest[0];
  if (c == '\'' || c == '"') return Quoted(c);
  if (IsDigit(c) || (c == '.' && rest.size() > 1 && IsDigit(rest[1]))) return Numeric();
  if (BeginsName(c)) return Word();

  static constexpr std::pair<absl::string_view, TokenKind> kSymbols[] = {
      {"<>", TokenKind::kNotEqual}, {"<=", TokenKind::kLessOrEqual}, {">=", TokenKind::kGreaterOrEqual},
      {"=", TokenKind::kEqual},     {"<", TokenKind::kLess},         {">", TokenKind::kGreater},
      {"+", TokenKind::kPlus},      {"-", TokenKind::kMinus},        {"*", TokenKind::kTimes},
      {"/", TokenKind::kDivide},    {"(", TokenKind::kOpen},         {")", TokenKind::kClose},
      {",", TokenKind::kComma},
  };
  for (const auto& [symbol, kind] : kSymbols) {
    if (!absl::StartsWith(rest, symbol)) continue;
    token.kind = kind;
    at_ += symbol.size();
    token.end = at_;
    return token;
  }
  if (absl::StartsWith(rest, "!=")) return Error(at_, at_ + 2, "<>");
  return Error(at_, at_ + std::min<size_t>(CharacterBytes(rest), 4), "a name, a literal or an operator");
}

}  // namespace barid::filter
