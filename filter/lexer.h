#ifndef BARID_FILTER_LEXER_H_
#define BARID_FILTER_LEXER_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "filter/number.h"

namespace barid::filter {

enum class TokenKind {
  kEnd,
  kIdentifier,  // `text` is the name.
  kText,        // `text` is the string itself.
  kNumber,
  kEqual,
  kNotEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kPlus,
  kMinus,
  kTimes,
  kDivide,
  kOpen,
  kClose,
  kComma,
  kAnd,
  kOr,
  kNot,
  kBetween,
  kIn,
  kLike,
  kEscape,
  kContains,
  kStartsWith,
  kEndsWith,
  kIs,
  kNull,
  kTrue,
  kFalse,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  size_t begin = 0;  // Bytes [begin, end) of the expression.
  size_t end = 0;
  std::string text;
  Number number;
};

// Cuts an expression into tokens, leaving out space and comments (docs/filters.md).
class Lexer {
 public:
  // The expression outlives it.
  explicit Lexer(absl::string_view expression) : expression_(expression) {}

  // The next one; kEnd at the end, again and again.
  absl::StatusOr<Token> Next();

  // `position N: found X, expected Y`: what is found is bytes [begin, end), the end of the expression if there are
  // none.
  absl::Status Error(size_t begin, size_t end, absl::string_view expected) const;

 private:
  absl::Status SkipSpace();
  absl::StatusOr<Token> Quoted(char quote);
  absl::StatusOr<Token> Numeric();
  Token Word();

  const absl::string_view expression_;
  size_t at_ = 0;
};

}  // namespace barid::filter

#endif  // BARID_FILTER_LEXER_H_
