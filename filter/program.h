#ifndef BARID_FILTER_PROGRAM_H_
#define BARID_FILTER_PROGRAM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "filter/number.h"
#include "filter/pattern.h"

namespace barid::filter {

// What an expression is, as far as the text tells. A property is text that becomes whatever it is compared as.
enum class Type : uint8_t { kNull, kBoolean, kNumber, kText, kProperty };

enum class Relation : uint8_t { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };

// One operation on others of its program. Which fields count is said by `op`.
struct Node {
  enum class Op : uint8_t {
    kNull,
    kBoolean,         // boolean
    kNumber,          // number
    kText,            // text
    kProperty,        // slot
    kNegate,          // -operands[0]
    kSum,             // operands, with '+' or '-' of `operators` before each but the first
    kProduct,         // with '*' or '/'
    kCompareNumbers,  // operands[0] relation operands[1]
    kCompareTexts,
    kCompareBooleans,  // equal or not
    kInNumbers,        // operands[0] in numbers
    kInTexts,          // in texts
    kLike,             // operands[0] is pattern
    kStartsWith,       // with text
    kEndsWith,
    kIsNull,
    kNot,
    kAnd,  // operands
    kOr,
  };

  Op op = Op::kNull;
  Type type = Type::kNull;
  Relation relation = Relation::kEqual;
  bool boolean = false;
  bool has_null = false;  // The list of kIn... has NULL in it.
  int depth = 1;
  int slot = 0;
  Number number;
  std::string text;
  std::string operators;
  std::vector<int> operands;       // Indexes of nodes that stand before this one.
  std::vector<Number> numbers;     // Sorted.
  std::vector<std::string> texts;  // Sorted.
  Pattern pattern;
};

// A compiled expression: types checked, conversions chosen.
struct Program {
  std::vector<Node> nodes;
  int root = 0;
  std::vector<std::string> names;  // Of the properties that it reads, each once. A slot is an index in here.
};

}  // namespace barid::filter

#endif  // BARID_FILTER_PROGRAM_H_
