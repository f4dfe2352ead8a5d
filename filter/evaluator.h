#ifndef BARID_FILTER_EVALUATOR_H_
#define BARID_FILTER_EVALUATOR_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "filter/filter.h"
#include "filter/program.h"

namespace barid::filter {

inline constexpr int64_t kMaxEvaluationSteps = 262'144;

// Evaluates a program on one row. For filter.cc.
class Evaluator {
 public:
  // Both outlive it.
  Evaluator(const Program& program, absl::Span<const std::optional<absl::string_view>> values)
      : program_(program), values_(values) {}

  Evaluation Run();

 private:
  Truth Condition(int index);
  std::optional<Number> Numeric(int index);
  std::optional<absl::string_view> Text(int index);

  Truth CompareNumbers(const Node& node);
  Truth CompareTexts(const Node& node);
  Truth CompareBooleans(const Node& node);
  Truth In(const Node& node);
  Truth Search(const Node& node);
  bool IsNull(int index);
  std::optional<Number> Calculate(const Node& node);
  // False when the steps are used up.
  bool Charge(int64_t steps);
  void Note(Problem problem, int name = -1);

  const Program& program_;
  const absl::Span<const std::optional<absl::string_view>> values_;
  int64_t steps_ = kMaxEvaluationSteps;
  Evaluation result_;
};

}  // namespace barid::filter

#endif  // BARID_FILTER_EVALUATOR_H_
