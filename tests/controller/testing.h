#ifndef BARID_TESTS_CONTROLLER_TESTING_H_
#define BARID_TESTS_CONTROLLER_TESTING_H_

#include <gmock/gmock.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/metadata.h"

// What the controller's tests say.
namespace barid::controller {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << "which is " << StatusOf(arg);
  return StatusOf(arg).ok();
}
MATCHER_P(Fails, code, std::string("fails with ") + absl::StatusCodeToString(code)) {
  *result_listener << "which is " << StatusOf(arg);
  return StatusOf(arg).code() == code;
}
// The message says at least this.
MATCHER_P2(FailsWith, code, text, std::string("fails with ") + absl::StatusCodeToString(code) + ": " + text) {
  *result_listener << "which is " << StatusOf(arg);
  return StatusOf(arg).code() == code && StatusOf(arg).message().find(text) != absl::string_view::npos;
}

inline TopicMetadata Topic(const std::string& name) {
  TopicMetadata topic;
  topic.name.name = name;
  return topic;
}
inline GroupMetadata Group(const std::string& name) {
  GroupMetadata group;
  group.name.name = name;
  return group;
}

}  // namespace barid::controller

#endif  // BARID_TESTS_CONTROLLER_TESTING_H_
