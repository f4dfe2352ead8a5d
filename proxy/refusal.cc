#include "proxy/refusal.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace barid::proxy {
namespace {

constexpr char kReasonUrl[] = "barid/Reason";

absl::StatusCode CanonicalCode(Reason reason) {
  switch (reason) {
    case Reason::kForbidden:
      return absl::StatusCode::kPermissionDenied;
    case Reason::kTopicNotFound:
    case Reason::kConsumerGroupNotFound:
    case Reason::kOffsetNotFound:
      return absl::StatusCode::kNotFound;
    case Reason::kPreconditionFailed:
      return absl::StatusCode::kFailedPrecondition;
    case Reason::kTooManyRequests:
      return absl::StatusCode::kResourceExhausted;
    case Reason::kNotImplemented:
      return absl::StatusCode::kUnimplemented;
    default:
      return absl::StatusCode::kInvalidArgument;
  }
}

}  // namespace

absl::Status Refuse(Reason reason, absl::string_view sentence) {
  absl::Status status(CanonicalCode(reason), sentence);
  status.SetPayload(kReasonUrl, absl::Cord(absl::StrCat(static_cast<int>(reason))));
  return status;
}

std::optional<Reason> GetReason(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonUrl);
  int number = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &number)) return std::nullopt;
  return static_cast<Reason>(number);
}

}  // namespace barid::proxy
