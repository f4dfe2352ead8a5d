#include "filter/evaluator.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace barid::filter {
namespace {

constexpr int64_t kBytesPerStep = 16;  // Of comparing two texts.

Truth TruthOf(bool value) { return value ? Truth::kTrue : Truth::kFalse; }

bool Holds(Relation relation, int order) {
  switch (relation) {
    case Relation::kEqual:
      return order == 0;
    case Relation::kNotEqual:
      return order != 0;
    case Relation::kLess:
      return order < 0;
    case Relation::kLessOrEqual:
      return order <= 0;
    case Relation::kGreater:
      return order > 0;
    case Relation::kGreaterOrEqual:
      return order >= 0;
  }
  return false;
}

}  // namespace

Evaluation Evaluator::Run() {
  const Truth truth = Condition(program_.root);
  // Without the steps for all of it nothing is known of it.
  result_.truth = steps_ < 0 ? Truth::kUnknown : truth;
  result_.steps = kMaxEvaluationSteps - steps_;
  return result_;
}

void Evaluator::Note(Problem problem, int name) {
  if (result_.problem != Problem::kNone) return;
  result_.problem = problem;
  result_.name = name;
}

bool Evaluator::Charge(int64_t steps) {
  steps_ -= steps;
  if (steps_ >= 0) return true;
  // Whatever was met before: this is why there is no answer.
  result_.problem = Problem::kTooCostly;
  result_.name = -1;
  return false;
}

Truth Evaluator::Condition(int index) {
  if (!Charge(1)) return Truth::kUnknown;
  const Node& node = program_.nodes[static_cast<size_t>(index)];
  switch (node.op) {
    case Node::Op::kBoolean:
      return TruthOf(node.boolean);
    case Node::Op::kProperty: {
      const std::optional<absl::string_view>& value = values_[static_cast<size_t>(node.slot)];
      if (!value) return Truth::kUnknown;
      if (absl::EqualsIgnoreCase(*value, "true")) return Truth::kTrue;
      if (absl::EqualsIgnoreCase(*value, "false")) return Truth::kFalse;
      Note(Problem::kNotABoolean, node.slot);
      return Truth::kUnknown;
    }
    case Node::Op::kCompareNumbers:
      return CompareNumbers(node);
    case Node::Op::kCompareTexts:
      return CompareTexts(node);
    case Node::Op::kCompareBooleans:
      return CompareBooleans(node);
    case Node::Op::kInNumbers:
    case Node::Op::kInTexts:
      return In(node);
    case Node::Op::kLike:
    case Node::Op::kStartsWith:
    case Node::Op::kEndsWith:
      return Search(node);
    case Node::Op::kIsNull:
      return TruthOf(IsNull(node.operands[0]));
    case Node::Op::kNot: {
      const Truth operand = Condition(node.operands[0]);
      return operand == Truth::kUnknown ? operand : TruthOf(operand == Truth::kFalse);
    }
    case Node::Op::kAnd:
    case Node::Op::kOr: {
      const Truth decisive = TruthOf(node.op == Node::Op::kOr);
      Truth result = TruthOf(node.op == Node::Op::kAnd);
      for (const int operand : node.operands) {
        const Truth truth = Condition(operand);
        if (truth == decisive) return decisive;
        if (truth == Truth::kUnknown) result = Truth::kUnknown;
      }
      return result;
    }
    default:
      return Truth::kUnknown;  // NULL; the parser lets no number and no text be a condition.
  }
}

std::optional<Number> Evaluator::Numeric(int index) {
  if (!Charge(1)) return std::nullopt;
  const Node& node = program_.nodes[static_cast<size_t>(index)];
  switch (node.op) {
    case Node::Op::kNumber:
      return node.number;
    case Node::Op::kProperty: {
      const std::optional<absl::string_view>& value = values_[static_cast<size_t>(node.slot)];
      if (!value || !Charge(static_cast<int64_t>(std::min(value->size(), kMaxNumberBytes)) / kBytesPerStep))
        return std::nullopt;
      const std::optional<Number> number = ParseNumber(*value);
      if (!number) Note(Problem::kNotANumber, node.slot);
      return number;
    }
    case Node::Op::kNegate: {
      const std::optional<Number> operand = Numeric(node.operands[0]);
      if (!operand) return std::nullopt;
      return Negate(*operand);
    }
    case Node::Op::kSum:
    case Node::Op::kProduct:
      return Calculate(node);
    default:
      return std::nullopt;
  }
}

std::optional<Number> Evaluator::Calculate(const Node& node) {
  std::optional<Number> result = Numeric(node.operands[0]);
  for (size_t i = 1; i < node.operands.size() && result; ++i) {
    const std::optional<Number> operand = Numeric(node.operands[i]);
    if (!operand) return std::nullopt;
    switch (node.operators[i - 1]) {
      case '+':
        result = Add(*result, *operand);
        break;
      case '-':
        result = Subtract(*result, *operand);
        break;
      case '*':
        result = Multiply(*result, *operand);
        break;
      default:
        if (operand->AsDouble() == 0) {
          Note(Problem::kDivisionByZero);
          return std::nullopt;
        }
        result = Divide(*result, *operand);
    }
    if (!result) Note(Problem::kOutOfRange);
  }
  return result;
}

std::optional<absl::string_view> Evaluator::Text(int index) {
  const Node& node = program_.nodes[static_cast<size_t>(index)];
  if (node.op == Node::Op::kText) return node.text;
  if (node.op == Node::Op::kProperty) return values_[static_cast<size_t>(node.slot)];
  return std::nullopt;
}

Truth Evaluator::CompareNumbers(const Node& node) {
  const std::optional<Number> left = Numeric(node.operands[0]);
  if (!left) return Truth::kUnknown;
  const std::optional<Number> right = Numeric(node.operands[1]);
  if (!right) return Truth::kUnknown;
  return TruthOf(Holds(node.relation, Compare(*left, *right)));
}

Truth Evaluator::CompareTexts(const Node& node) {
  const std::optional<absl::string_view> left = Text(node.operands[0]);
  const std::optional<absl::string_view> right = Text(node.operands[1]);
  if (!left || !right) return Truth::kUnknown;
  if (!Charge(static_cast<int64_t>(std::min(left->size(), right->size())) / kBytesPerStep)) return Truth::kUnknown;
  return TruthOf(Holds(node.relation, left->compare(*right)));
}

Truth Evaluator::CompareBooleans(const Node& node) {
  const Truth left = Condition(node.operands[0]);
  if (left == Truth::kUnknown) return left;
  const Truth right = Condition(node.operands[1]);
  if (right == Truth::kUnknown) return right;
  return TruthOf((left == right) == (node.relation == Relation::kEqual));
}

Truth Evaluator::In(const Node& node) {
  bool found = false;
  if (node.op == Node::Op::kInNumbers) {
    const std::optional<Number> value = Numeric(node.operands[0]);
    if (!value) return Truth::kUnknown;
    found = std::binary_search(node.numbers.begin(), node.numbers.end(), *value,
                               [](const Number& a, const Number& b) { return Compare(a, b) < 0; });
  } else {
    const std::optional<absl::string_view> value = Text(node.operands[0]);
    if (!value || !Charge(static_cast<int64_t>(value->size()) / kBytesPerStep)) return Truth::kUnknown;
    const auto place =
        std::lower_bound(node.texts.begin(), node.texts.end(), *value,
                         [](const std::string& a, absl::string_view b) { return absl::string_view(a) < b; });
    found = place != node.texts.end() && *place == *value;
  }
  if (found) return Truth::kTrue;
  return node.has_null ? Truth::kUnknown : Truth::kFalse;
}

Truth Evaluator::Search(const Node& node) {
  const std::optional<absl::string_view> value = Text(node.operands[0]);
  if (!value) return Truth::kUnknown;
  if (node.op == Node::Op::kStartsWith) return TruthOf(absl::StartsWith(*value, node.text));
  if (node.op == Node::Op::kEndsWith) return TruthOf(absl::EndsWith(*value, node.text));
  const std::optional<bool> matches = node.pattern.Matches(*value, &steps_);
  if (!Charge(0) || !matches) return Truth::kUnknown;
  return TruthOf(*matches);
}

bool Evaluator::IsNull(int index) {
  const Node& node = program_.nodes[static_cast<size_t>(index)];
  switch (node.type) {
    case Type::kProperty:
      return !values_[static_cast<size_t>(node.slot)].has_value();
    case Type::kText:
      return false;
    case Type::kNumber:
      return !Numeric(index).has_value();
    case Type::kBoolean:
      return Condition(index) == Truth::kUnknown;
    case Type::kNull:
      return true;
  }
  return true;
}

}  // namespace barid::filter
