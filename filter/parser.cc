#include "filter/parser.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "filter/lexer.h"

namespace barid::filter {
namespace {

constexpr absl::string_view kOperand = "a name, a literal, NOT, a sign or (";

absl::string_view TypeName(Type type) {
  switch (type) {
    case Type::kNull:
      return "NULL";
    case Type::kBoolean:
      return "a condition";
    case Type::kNumber:
      return "a number";
    case Type::kText:
      return "a text";
    case Type::kProperty:
      return "a property";
  }
  return "";
}

std::optional<Relation> RelationOf(TokenKind kind) {
  switch (kind) {
    case TokenKind::kEqual:
      return Relation::kEqual;
    case TokenKind::kNotEqual:
      return Relation::kNotEqual;
    case TokenKind::kLess:
      return Relation::kLess;
    case TokenKind::kLessOrEqual:
      return Relation::kLessOrEqual;
    case TokenKind::kGreater:
      return Relation::kGreater;
    case TokenKind::kGreaterOrEqual:
      return Relation::kGreaterOrEqual;
    default:
      return std::nullopt;
  }
}

bool IsEquality(Relation relation) { return relation == Relation::kEqual || relation == Relation::kNotEqual; }

// Recursive descent; a method per row of the table of operators, loosest first. Each returns the index of the node that
// it made, having read all tokens of it; token_ is the next.
class Parser {
 public:
  explicit Parser(absl::string_view expression) : lexer_(expression) {}

  absl::StatusOr<Program> Parse() {
    RETURN_IF_ERROR(Advance());
    if (token_.kind == TokenKind::kEnd) return Expected("a condition");
    ASSIGN_OR_RETURN(program_.root, Condition(&Parser::Disjunction));
    if (token_.kind != TokenKind::kEnd)
      return Expected(at_condition_end_ ? "AND, OR or the end" : "an operator or the end");
    return std::move(program_);
  }

 private:
  using Rule = absl::StatusOr<int> (Parser::*)();

  absl::Status Advance() {
    last_ = token_;
    ASSIGN_OR_RETURN(token_, lexer_.Next());
    return absl::OkStatus();
  }
  absl::Status Expected(absl::string_view what) const { return lexer_.Error(token_.begin, token_.end, what); }

  // Whether the next token is of this kind; if so it is read.
  absl::StatusOr<bool> Take(TokenKind kind) {
    if (token_.kind != kind) return false;
    RETURN_IF_ERROR(Advance());
    return true;
  }
  absl::Status Need(TokenKind kind, absl::string_view what) {
    if (token_.kind != kind) return Expected(what);
    return Advance();
  }

  absl::Status CountTerm() {
    if (++terms_ <= kMaxFilterTerms) return absl::OkStatus();
    return lexer_.Error(last_.begin, last_.end, absl::StrCat("an expression of at most ", kMaxFilterTerms, " terms"));
  }

  absl::StatusOr<int> Add(Node node) {
    RETURN_IF_ERROR(CountTerm());
    for (const int operand : node.operands)
      node.depth = std::max(node.depth, program_.nodes[static_cast<size_t>(operand)].depth + 1);
    if (node.depth > kMaxFilterDepth) return TooDeep();
    program_.nodes.push_back(std::move(node));
    return static_cast<int>(program_.nodes.size()) - 1;
  }
  absl::Status TooDeep() const {
    return lexer_.Error(token_.begin, token_.end, absl::StrCat("at most ", kMaxFilterDepth, " levels of nesting"));
  }
  absl::StatusOr<int> Add(Node::Op op, Type type, std::vector<int> operands) {
    Node node;
    node.op = op;
    node.type = type;
    node.operands = std::move(operands);
    return Add(std::move(node));
  }
  const Node& At(int index) const { return program_.nodes[static_cast<size_t>(index)]; }
  Type TypeOf(int index) const { return At(index).type; }

  // What `rule` reads must be usable as `type`.
  absl::StatusOr<int> Typed(Rule rule, Type type) {
    const size_t begin = token_.begin;
    ASSIGN_OR_RETURN(const int index, (this->*rule)());
    RETURN_IF_ERROR(CheckType(index, type, begin));
    return index;
  }
  absl::Status CheckType(int index, Type type, size_t begin) const {
    const Type found = TypeOf(index);
    if (found == type || found == Type::kProperty || found == Type::kNull) return absl::OkStatus();
    return lexer_.Error(begin, last_.end, absl::StrCat(TypeName(type), ", this is ", TypeName(found)));
  }
  absl::StatusOr<int> Condition(Rule rule) { return Typed(rule, Type::kBoolean); }

  // operand {separator operand}, of conditions.
  absl::StatusOr<int> Chain(TokenKind separator, Node::Op op, Rule rule) {
    const size_t begin = token_.begin;
    ASSIGN_OR_RETURN(const int first, (this->*rule)());
    if (token_.kind != separator) return first;
    RETURN_IF_ERROR(CheckType(first, Type::kBoolean, begin));
    std::vector<int> operands = {first};
    while (true) {
      ASSIGN_OR_RETURN(const bool more, Take(separator));
      if (!more) break;
      ASSIGN_OR_RETURN(const int next, Condition(rule));
      operands.push_back(next);
      RETURN_IF_ERROR(CountTerm());
    }
    return Add(op, Type::kBoolean, std::move(operands));
  }
  absl::StatusOr<int> Disjunction() { return Chain(TokenKind::kOr, Node::Op::kOr, &Parser::Conjunction); }
  absl::StatusOr<int> Conjunction() { return Chain(TokenKind::kAnd, Node::Op::kAnd, &Parser::Negation); }

  absl::StatusOr<int> Negation() {
    if (token_.kind != TokenKind::kNot) return Equality();
    if (++depth_ > kMaxFilterDepth) return TooDeep();
    RETURN_IF_ERROR(Advance());
    ASSIGN_OR_RETURN(const int operand, Condition(&Parser::Negation));
    --depth_;
    return Add(Node::Op::kNot, Type::kBoolean, {operand});
  }

  // comparison {(= | <>) comparison | IS [NOT] NULL}
  absl::StatusOr<int> Equality() {
    ASSIGN_OR_RETURN(int left, Comparison());
    while (true) {
      const std::optional<Relation> relation = RelationOf(token_.kind);
      if (relation && IsEquality(*relation)) {
        ASSIGN_OR_RETURN(left, RightOf(left, *relation, &Parser::Comparison));
        continue;
      }
      ASSIGN_OR_RETURN(const bool is, Take(TokenKind::kIs));
      if (!is) return left;
      ASSIGN_OR_RETURN(const bool negated, Take(TokenKind::kNot));
      RETURN_IF_ERROR(Need(TokenKind::kNull, negated ? "NULL" : "NULL or NOT NULL"));
      ASSIGN_OR_RETURN(left, Add(Node::Op::kIsNull, Type::kBoolean, {left}));
      at_condition_end_ = true;
      ASSIGN_OR_RETURN(left, NegatedIf(negated, left));
    }
  }

  // sum {relation sum | [NOT] BETWEEN, IN, LIKE, CONTAINS, STARTSWITH, ENDSWITH ...}
  absl::StatusOr<int> Comparison() {
    at_condition_end_ = false;
    const size_t begin = token_.begin;
    ASSIGN_OR_RETURN(int left, Sum());
    while (true) {
      const std::optional<Relation> relation = RelationOf(token_.kind);
      if (relation && !IsEquality(*relation)) {
        ASSIGN_OR_RETURN(left, RightOf(left, *relation, &Parser::Sum));
        continue;
      }
      ASSIGN_OR_RETURN(const bool negated, Take(TokenKind::kNot));
      const TokenKind kind = token_.kind;
      switch (kind) {
        case TokenKind::kBetween: {
          ASSIGN_OR_RETURN(left, Between(left));
          break;
        }
        case TokenKind::kIn: {
          ASSIGN_OR_RETURN(left, In(left, begin));
          break;
        }
        case TokenKind::kLike:
        case TokenKind::kContains:
        case TokenKind::kStartsWith:
        case TokenKind::kEndsWith: {
          RETURN_IF_ERROR(CheckType(left, Type::kText, begin));
          RETURN_IF_ERROR(Advance());
          ASSIGN_OR_RETURN(left, kind == TokenKind::kLike ? Like(left) : Search(kind, left));
          break;
        }
        default:
          if (negated) return Expected("BETWEEN, IN, LIKE, CONTAINS, STARTSWITH or ENDSWITH");
          return left;
      }
      at_condition_end_ = true;
      ASSIGN_OR_RETURN(left, NegatedIf(negated, left));
    }
  }

  absl::StatusOr<int> NegatedIf(bool negated, int operand) {
    if (!negated) return operand;
    return Add(Node::Op::kNot, Type::kBoolean, {operand});
  }

  absl::StatusOr<int> RightOf(int left, Relation relation, Rule rule) {
    RETURN_IF_ERROR(Advance());
    const size_t begin = token_.begin;
    ASSIGN_OR_RETURN(const int right, (this->*rule)());
    at_condition_end_ = true;
    return Compare(left, relation, right, begin);
  }

  // `begin`: where the right side begins.
  absl::StatusOr<int> Compare(int left, Relation relation, int right, size_t begin) {
    Type a = TypeOf(left);
    Type b = TypeOf(right);
    Node node;
    node.type = Type::kBoolean;
    node.relation = relation;
    node.operands = {left, right};
    if (a == Type::kNull || b == Type::kNull) {
      node.op = Node::Op::kNull;
      return Add(std::move(node));
    }
    if (a == Type::kProperty && b == Type::kProperty) {
      node.op = IsEquality(relation) ? Node::Op::kCompareTexts : Node::Op::kCompareNumbers;
      return Add(std::move(node));
    }
    if (a == Type::kProperty) a = b;
    if (b == Type::kProperty) b = a;
    if (a != b) {
      return lexer_.Error(begin, last_.end,
                          absl::StrCat(TypeName(a), " as on the left, or a property; this is ", TypeName(b)));
    }
    switch (a) {
      case Type::kNumber:
        node.op = Node::Op::kCompareNumbers;
        break;
      case Type::kText:
        node.op = Node::Op::kCompareTexts;
        break;
      default:
        if (!IsEquality(relation))
          return lexer_.Error(begin, last_.end, "a number or a text: conditions have no order");
        node.op = Node::Op::kCompareBooleans;
    }
    return Add(std::move(node));
  }

  absl::StatusOr<int> Between(int left) {
    RETURN_IF_ERROR(Advance());
    const size_t begin_low = token_.begin;
    ASSIGN_OR_RETURN(const int low, Sum());
    ASSIGN_OR_RETURN(const int above, Compare(left, Relation::kGreaterOrEqual, low, begin_low));
    RETURN_IF_ERROR(Need(TokenKind::kAnd, "AND and the upper bound"));
    const size_t begin_high = token_.begin;
    ASSIGN_OR_RETURN(const int high, Sum());
    ASSIGN_OR_RETURN(const int below, Compare(left, Relation::kLessOrEqual, high, begin_high));
    return Add(Node::Op::kAnd, Type::kBoolean, {above, below});
  }

  absl::StatusOr<int> In(int left, size_t begin_left) {
    Node node;
    node.type = Type::kBoolean;
    node.operands = {left};
    const size_t end_left = last_.end;
    RETURN_IF_ERROR(Advance());
    RETURN_IF_ERROR(Need(TokenKind::kOpen, "( and a list of literals"));
    do {
      RETURN_IF_ERROR(Entry(&node));
      RETURN_IF_ERROR(CountTerm());
      ASSIGN_OR_RETURN(const bool more, Take(TokenKind::kComma));
      if (!more) break;
    } while (true);
    RETURN_IF_ERROR(Need(TokenKind::kClose, ", or )"));
    if (TypeOf(left) == Type::kNull || (node.texts.empty() && node.numbers.empty())) {
      node.op = Node::Op::kNull;
    } else {
      node.op = node.texts.empty() ? Node::Op::kInNumbers : Node::Op::kInTexts;
      const Type wanted = node.texts.empty() ? Type::kNumber : Type::kText;
      if (TypeOf(left) != wanted && TypeOf(left) != Type::kProperty) {
        return lexer_.Error(begin_left, end_left, absl::StrCat(TypeName(wanted), " as in the list, or a property"));
      }
    }
    std::sort(node.texts.begin(), node.texts.end());
    std::sort(node.numbers.begin(), node.numbers.end(),
              [](const Number& a, const Number& b) { return filter::Compare(a, b) < 0; });
    return Add(std::move(node));
  }

  // One of a list: a text, a number with or without a sign, or NULL.
  absl::Status Entry(Node* node) {
    const size_t begin = token_.begin;
    if (token_.kind == TokenKind::kNull) {
      node->has_null = true;
      return Advance();
    }
    if (token_.kind == TokenKind::kText) {
      if (!node->numbers.empty()) return Expected("a number, as before in the list");
      node->texts.push_back(std::move(token_.text));
      return Advance();
    }
    bool negative = false;
    if (token_.kind == TokenKind::kMinus || token_.kind == TokenKind::kPlus) {
      negative = token_.kind == TokenKind::kMinus;
      RETURN_IF_ERROR(Advance());
    }
    if (token_.kind != TokenKind::kNumber) return Expected("a text, a number or NULL");
    if (!node->texts.empty()) return lexer_.Error(begin, token_.end, "a text, as before in the list");
    node->numbers.push_back(negative ? Negate(token_.number) : token_.number);
    return Advance();
  }

  absl::StatusOr<int> Like(int left) {
    if (token_.kind != TokenKind::kText) return Expected("a pattern, as a text");
    const Token pattern = token_;
    RETURN_IF_ERROR(Advance());
    std::string escape;
    ASSIGN_OR_RETURN(const bool escapes, Take(TokenKind::kEscape));
    if (escapes) {
      if (token_.kind != TokenKind::kText || token_.text.empty() || CharacterBytes(token_.text) != token_.text.size()) {
        return Expected("a text of one character");
      }
      escape = token_.text;
      RETURN_IF_ERROR(Advance());
    }
    Node node;
    node.op = Node::Op::kLike;
    node.type = Type::kBoolean;
    node.operands = {left};
    absl::string_view rest = pattern.text;
    while (!rest.empty()) {
      absl::string_view character = rest.substr(0, CharacterBytes(rest));
      rest.remove_prefix(character.size());
      if (character == escape) {
        character = rest.empty() ? rest : rest.substr(0, CharacterBytes(rest));
        rest.remove_prefix(character.size());
        if (character != "%" && character != "_" && character != escape) {
          return lexer_.Error(pattern.begin, pattern.end, absl::StrCat("%, _ or ", escape, " behind each ", escape));
        }
        node.pattern.AddText(character);
      } else if (character == "%") {
        node.pattern.AddAnyRun();
      } else if (character == "_") {
        node.pattern.AddAnyCharacter();
      } else {
        node.pattern.AddText(character);
      }
    }
    return Add(std::move(node));
  }

  absl::StatusOr<int> Search(TokenKind kind, int left) {
    if (token_.kind != TokenKind::kText) return Expected("a text");
    Node node;
    node.type = Type::kBoolean;
    node.operands = {left};
    if (kind == TokenKind::kContains) {
      node.op = Node::Op::kLike;
      node.pattern.AddAnyRun();
      node.pattern.AddText(token_.text);
      node.pattern.AddAnyRun();
    } else {
      node.op = kind == TokenKind::kStartsWith ? Node::Op::kStartsWith : Node::Op::kEndsWith;
      node.text = token_.text;
    }
    RETURN_IF_ERROR(Advance());
    return Add(std::move(node));
  }

  // operand {operator operand}, of numbers.
  absl::StatusOr<int> Calculation(Node::Op op, TokenKind one, TokenKind other, absl::string_view signs, Rule rule) {
    const size_t begin = token_.begin;
    ASSIGN_OR_RETURN(const int first, (this->*rule)());
    if (token_.kind != one && token_.kind != other) return first;
    RETURN_IF_ERROR(CheckType(first, Type::kNumber, begin));
    Node node;
    node.op = op;
    node.type = Type::kNumber;
    node.operands = {first};
    while (token_.kind == one || token_.kind == other) {
      node.operators += token_.kind == one ? signs[0] : signs[1];
      RETURN_IF_ERROR(Advance());
      ASSIGN_OR_RETURN(const int next, Typed(rule, Type::kNumber));
      node.operands.push_back(next);
      RETURN_IF_ERROR(CountTerm());
    }
    return Add(std::move(node));
  }
  absl::StatusOr<int> Sum() {
    return Calculation(Node::Op::kSum, TokenKind::kPlus, TokenKind::kMinus, "+-", &Parser::Product);
  }
  absl::StatusOr<int> Product() {
    return Calculation(Node::Op::kProduct, TokenKind::kTimes, TokenKind::kDivide, "*/", &Parser::Signed);
  }

  absl::StatusOr<int> Signed() {
    if (token_.kind != TokenKind::kMinus && token_.kind != TokenKind::kPlus) return Primary();
    const bool negative = token_.kind == TokenKind::kMinus;
    if (++depth_ > kMaxFilterDepth) return TooDeep();
    RETURN_IF_ERROR(Advance());
    ASSIGN_OR_RETURN(const int operand, Typed(&Parser::Signed, Type::kNumber));
    --depth_;
    if (!negative) {
      // Says of a property that it is a number.
      if (TypeOf(operand) == Type::kNumber) return operand;
      return Add(Node::Op::kSum, Type::kNumber, {operand});
    }
    return Add(Node::Op::kNegate, Type::kNumber, {operand});
  }

  absl::StatusOr<int> Primary() {
    Node node;
    switch (token_.kind) {
      case TokenKind::kOpen: {
        if (++depth_ > kMaxFilterDepth) return TooDeep();
        RETURN_IF_ERROR(Advance());
        ASSIGN_OR_RETURN(const int inner, Disjunction());
        RETURN_IF_ERROR(Need(TokenKind::kClose, at_condition_end_ ? "AND, OR or )" : "an operator or )"));
        --depth_;
        return inner;
      }
      case TokenKind::kIdentifier: {
        node.op = Node::Op::kProperty;
        node.type = Type::kProperty;
        const auto [slot, is_new] = slots_.emplace(token_.text, static_cast<int>(program_.names.size()));
        if (is_new) program_.names.push_back(token_.text);
        node.slot = slot->second;
        break;
      }
      case TokenKind::kText:
        node.op = Node::Op::kText;
        node.type = Type::kText;
        node.text = token_.text;
        break;
      case TokenKind::kNumber:
        node.op = Node::Op::kNumber;
        node.type = Type::kNumber;
        node.number = token_.number;
        break;
      case TokenKind::kTrue:
      case TokenKind::kFalse:
        node.op = Node::Op::kBoolean;
        node.type = Type::kBoolean;
        node.boolean = token_.kind == TokenKind::kTrue;
        break;
      case TokenKind::kNull:
        break;
      default:
        return Expected(kOperand);
    }
    RETURN_IF_ERROR(Advance());
    return Add(std::move(node));
  }

  Lexer lexer_;
  Token token_;                    // The next one,
  Token last_;                     // and the one before it.
  bool at_condition_end_ = false;  // What was read last is a condition: no operator of values can follow.
  int depth_ = 0;
  int terms_ = 0;
  absl::flat_hash_map<std::string, int> slots_;
  Program program_;
};

}  // namespace

absl::StatusOr<Program> Parse(absl::string_view expression) {
  if (expression.size() > kMaxFilterBytes) {
    return absl::InvalidArgumentError(absl::StrCat("position ", kMaxFilterBytes + 1, ": found an expression of ",
                                                   expression.size(), " bytes, expected at most ", kMaxFilterBytes));
  }
  return Parser(expression).Parse();
}

}  // namespace barid::filter
