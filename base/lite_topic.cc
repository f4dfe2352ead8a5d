#include "base/lite_topic.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/hash.h"

namespace barid {

absl::Status ValidateLiteTopic(absl::string_view name) {
  if (name.empty() || name.size() > kMaxLiteTopicBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a lite topic's name has ", name.size(), " bytes, expected 1 to ", kMaxLiteTopicBytes));
  }
  if (std::any_of(name.begin(), name.end(),
                  [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
    return absl::InvalidArgumentError("a lite topic's name has a control character, expected none");
  }
  if (absl::StripAsciiWhitespace(name).empty()) {
    return absl::InvalidArgumentError("a lite topic's name has nothing but spaces, expected something else too");
  }
  return absl::OkStatus();
}

uint64_t LiteTopicHash(TopicId parent, absl::string_view name) {
  return StableHash({parent.value(), StableHash(name)});
}

}  // namespace barid
