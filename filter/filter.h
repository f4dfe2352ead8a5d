#ifndef BARID_FILTER_FILTER_H_
#define BARID_FILTER_FILTER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/stored_message.h"
#include "filter/program.h"

namespace barid::filter {

enum class Truth : uint8_t { kFalse, kTrue, kUnknown };

// Why a part of an expression could not be evaluated.
enum class Problem : uint8_t { kNone, kNotANumber, kNotABoolean, kDivisionByZero, kOutOfRange, kTooCostly };
absl::string_view ProblemName(Problem problem);

struct Evaluation {
  Truth truth = Truth::kUnknown;
  // The first problem that was met, whatever came of it, and the property it is about (-1: none), an index into
  // names().
  Problem problem = Problem::kNone;
  int name = -1;
  int64_t steps = 0;  // What it cost.
};

// An SQL filter, compiled (docs/filters.md). Immutable: any thread.
class Filter {
 public:
  // kInvalidArgument: "position N: found X, expected Y".
  static absl::StatusOr<std::shared_ptr<const Filter>> Compile(absl::string_view expression);

  // Of a message: looks at the properties that the expression names, without copying. Takes bounded time and no memory
  // that depends on the message but for its own names.
  Evaluation Evaluate(const StoredMessageView& message) const;
  // Of a row, one value per name; none is NULL.
  Evaluation Evaluate(absl::Span<const std::optional<absl::string_view>> values) const;

  const std::vector<std::string>& names() const { return program_.names; }
  // No other filter of this process has the same, not even one that is compiled from the same text.
  uint64_t id() const { return id_; }
  // Roughly what it costs to keep.
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  // What a name stands for.
  enum class Source : uint8_t { kUser, kTag, kKeys, kMessageId, kMessageGroup, kBornTime, kDeliveryTime, kPriority };
  static Source SourceOf(absl::string_view name);

  explicit Filter(Program program);

  Program program_;
  std::vector<Source> sources_;  // One per name.
  bool reads_user_properties_ = false;
  uint64_t id_ = 0;
  size_t memory_bytes_ = 0;
};

}  // namespace barid::filter

#endif  // BARID_FILTER_FILTER_H_
