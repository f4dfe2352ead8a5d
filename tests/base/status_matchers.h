#ifndef BARID_TESTS_BASE_STATUS_MATCHERS_H_
#define BARID_TESTS_BASE_STATUS_MATCHERS_H_

#include <gmock/gmock.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Matchers for absl::Status and absl::StatusOr, spelled as upstream's absl/status/status_matchers.h.
namespace barid {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P(StatusIs, code, "has status code " + absl::StatusCodeToString(code)) {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

// And its message, as a std::string, matches.
MATCHER_P2(StatusIs, code, message,
           "has status code " + absl::StatusCodeToString(code) + " and a message that " +
               testing::DescribeMatcher<std::string>(message, negation)) {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code &&
         testing::Matches(testing::SafeMatcherCast<std::string>(message))(std::string(StatusOf(arg).message()));
}

MATCHER_P(IsOkAndHolds, value, "") {
  *result_listener << StatusOf(arg).ToString();
  if (!arg.ok()) return false;
  return testing::ExplainMatchResult(value, *arg, result_listener);
}

}  // namespace barid

#endif  // BARID_TESTS_BASE_STATUS_MATCHERS_H_
