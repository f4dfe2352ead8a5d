#include "filter/filter.h"

#include <atomic>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "filter/evaluator.h"
#include "filter/parser.h"

namespace barid::filter {
namespace {

constexpr size_t kUsualNames = 8;

uint64_t NextId() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

absl::string_view ProblemName(Problem problem) {
  switch (problem) {
    case Problem::kNone:
      return "none";
    case Problem::kNotANumber:
      return "not a number";
    case Problem::kNotABoolean:
      return "not a boolean";
    case Problem::kDivisionByZero:
      return "division by zero";
    case Problem::kOutOfRange:
      return "a result beyond a double";
    case Problem::kTooCostly:
      return "too costly";
  }
  return "";
}

Filter::Source Filter::SourceOf(absl::string_view name) {
  if (name == "TAGS") return Source::kTag;
  if (name == "KEYS") return Source::kKeys;
  if (name == "UNIQ_KEY") return Source::kMessageId;
  if (name == "__SHARDINGKEY") return Source::kMessageGroup;
  if (name == "BORN_TIMESTAMP") return Source::kBornTime;
  if (name == "TIMER_DELIVER_MS") return Source::kDeliveryTime;
  if (name == "_SYS_MSG_PRIORITY_") return Source::kPriority;
  return Source::kUser;
}

absl::StatusOr<std::shared_ptr<const Filter>> Filter::Compile(absl::string_view expression) {
  ASSIGN_OR_RETURN(Program program, Parse(expression));
  return std::shared_ptr<const Filter>(new Filter(std::move(program)));
}

Filter::Filter(Program program) : program_(std::move(program)), id_(NextId()) {
  for (const std::string& name : program_.names) {
    sources_.push_back(SourceOf(name));
    reads_user_properties_ |= sources_.back() == Source::kUser;
    memory_bytes_ += sizeof(std::string) + name.capacity();
  }
  for (const Node& node : program_.nodes) {
    memory_bytes_ += sizeof(Node) + node.text.capacity() + node.operators.capacity() +
                     node.operands.capacity() * sizeof(int) + node.numbers.capacity() * sizeof(Number) +
                     node.texts.capacity() * sizeof(std::string) + node.pattern.memory_bytes();
    for (const std::string& text : node.texts) memory_bytes_ += text.capacity();
  }
}

Evaluation Filter::Evaluate(absl::Span<const std::optional<absl::string_view>> values) const {
  return Evaluator(program_, values).Run();
}

Evaluation Filter::Evaluate(const StoredMessageView& message) const {
  absl::InlinedVector<std::optional<absl::string_view>, kUsualNames> values(names().size());
  absl::InlinedVector<std::string, kUsualNames> made;  // Those that are not in the message as they are.
  made.reserve(names().size());                        // Views into them stay.
  const auto keep = [&made](std::string text) -> absl::string_view { return made.emplace_back(std::move(text)); };
  for (size_t i = 0; i < sources_.size(); ++i) {
    switch (sources_[i]) {
      case Source::kUser:
        break;
      case Source::kTag:
        values[i] = message.tag;
        break;
      case Source::kKeys:
        if (!message.keys.empty()) values[i] = keep(absl::StrJoin(message.keys, " "));
        break;
      case Source::kMessageId:
        values[i] = message.message_id;
        break;
      case Source::kMessageGroup:
        values[i] = message.message_group;
        break;
      case Source::kBornTime:
        values[i] = keep(absl::StrCat(absl::ToUnixMillis(message.born_time)));
        break;
      case Source::kDeliveryTime:
        if (message.delivery_time) values[i] = keep(absl::StrCat(absl::ToUnixMillis(*message.delivery_time)));
        break;
      case Source::kPriority:
        if (message.type == MessageType::kPriority) values[i] = keep(absl::StrCat(message.priority));
        break;
    }
  }
  if (reads_user_properties_) {
    PropertyReader properties(message.user_properties);
    absl::string_view key;
    absl::string_view value;
    while (properties.Next(&key, &value)) {
      // Names are few. Of two of the same name the last counts, as in a map.
      for (size_t i = 0; i < sources_.size(); ++i) {
        if (sources_[i] == Source::kUser && key == program_.names[i]) values[i] = value;
      }
    }
  }
  return Evaluate(values);
}

}  // namespace barid::filter
