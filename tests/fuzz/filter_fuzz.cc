// Any text as a filter, any bytes as the values of its properties: it is refused with a position, or it can be
// evaluated, always to the same, in a message as in a row, and NOT of it to the opposite.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/stored_message.h"
#include "filter/filter.h"
#include "tests/fuzz/fuzz.h"

namespace barid::filter {
namespace {

Truth Opposite(Truth truth) {
  if (truth == Truth::kUnknown) return truth;
  return truth == Truth::kTrue ? Truth::kFalse : Truth::kTrue;
}

void CheckSame(const Evaluation& a, const Evaluation& b) {
  CHECK(a.truth == b.truth);
  CHECK(a.problem == b.problem);
  CHECK_EQ(a.name, b.name);
}

void Fuzz(absl::string_view expression, const std::vector<absl::string_view>& given) {
  const auto filter = Filter::Compile(expression);
  if (!filter.ok()) {
    CHECK(absl::IsInvalidArgument(filter.status()));
    CHECK(absl::StartsWith(filter.status().message(), "position ")) << filter.status();
    CHECK_LE(filter.status().message().size(), 1024u);
    return;
  }
  std::vector<std::optional<absl::string_view>> values;
  MessageDraft draft;
  draft.message_id = "01";
  bool has_names_of_the_message = false;
  for (const std::string& name : (*filter)->names()) {
    std::optional<absl::string_view>& value = values.emplace_back();
    if (values.size() <= given.size()) value = given[values.size() - 1];
    if (value) draft.properties.emplace_back(name, *value);
    for (const char* own :
         {"TAGS", "KEYS", "UNIQ_KEY", "__SHARDINGKEY", "BORN_TIMESTAMP", "TIMER_DELIVER_MS", "_SYS_MSG_PRIORITY_"}) {
      has_names_of_the_message |= name == own;
    }
  }
  const Evaluation evaluation = (*filter)->Evaluate(values);
  CheckSame(evaluation, (*filter)->Evaluate(values));

  const Buffer stored = EncodeStoredMessage(draft);
  const StoredMessageView view = DecodeStoredMessage(stored.view()).value();
  const Evaluation of_message = (*filter)->Evaluate(view);
  if (!has_names_of_the_message) CheckSame(evaluation, of_message);

  // A comment at the end would swallow the parenthesis.
  const auto negated = Filter::Compile(absl::StrCat("NOT (", expression, "\n)"));
  if (!negated.ok()) return;  // At a bound.
  const Evaluation opposite = (*negated)->Evaluate(values);
  if (evaluation.problem == Problem::kTooCostly || opposite.problem == Problem::kTooCostly) return;
  CHECK(opposite.truth == Opposite(evaluation.truth)) << expression;
  CHECK(opposite.problem == evaluation.problem);
}

}  // namespace
}  // namespace barid::filter

// The expression, then values in order of their names, with a zero byte between two.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<absl::string_view> parts =
      absl::StrSplit(absl::string_view(reinterpret_cast<const char*>(data), size), '\0');
  const absl::string_view expression = parts[0];
  parts.erase(parts.begin());
  barid::filter::Fuzz(expression, parts);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (const char* expression :
       {"a = 'x' AND b > 1.5 OR NOT c", "a BETWEEN 1 AND 10 AND b NOT BETWEEN 'a' AND 'b'",
        "a IN ('x', 'y', NULL) OR b NOT IN (1, -2.5e3)", "a LIKE '%x!_y_%' ESCAPE '!' AND b NOT LIKE 'q%'",
        "a CONTAINS 'x' AND b NOT STARTSWITH 'y' OR c ENDSWITH ''", "(a + b) * -c / 2 - +3 <= 4 = TRUE",
        "a IS NULL AND (b > 1) IS NOT NULL", "TAGS = 'paid' -- comment\n AND /* and */ KEYS <> \"x.y\"", "((((a))))",
        "a = 9223372036854775807 OR b = -9223372036854775808 OR c < 1e308"}) {
    for (const char* value : {"x", "1", "true", "-9223372036854775808", ""}) {
      std::string seed = expression;
      for (int i = 0; i < 3; ++i) {
        seed += '\0';
        seed += value;
      }
      seeds.push_back(std::move(seed));
    }
  }
  return seeds;
}
