#include "proxy/public/status_map.h"

#include "base/status.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

constexpr bool Same(Reason reason, v2::Code code) { return static_cast<int>(reason) == static_cast<int>(code); }

static_assert(Same(Reason::kBadRequest, v2::BAD_REQUEST));
static_assert(Same(Reason::kIllegalTopic, v2::ILLEGAL_TOPIC));
static_assert(Same(Reason::kIllegalConsumerGroup, v2::ILLEGAL_CONSUMER_GROUP));
static_assert(Same(Reason::kIllegalMessageTag, v2::ILLEGAL_MESSAGE_TAG));
static_assert(Same(Reason::kIllegalMessageKey, v2::ILLEGAL_MESSAGE_KEY));
static_assert(Same(Reason::kIllegalMessageGroup, v2::ILLEGAL_MESSAGE_GROUP));
static_assert(Same(Reason::kIllegalMessagePropertyKey, v2::ILLEGAL_MESSAGE_PROPERTY_KEY));
static_assert(Same(Reason::kInvalidTransactionId, v2::INVALID_TRANSACTION_ID));
static_assert(Same(Reason::kIllegalMessageId, v2::ILLEGAL_MESSAGE_ID));
static_assert(Same(Reason::kIllegalFilterExpression, v2::ILLEGAL_FILTER_EXPRESSION));
static_assert(Same(Reason::kIllegalInvisibleTime, v2::ILLEGAL_INVISIBLE_TIME));
static_assert(Same(Reason::kIllegalDeliveryTime, v2::ILLEGAL_DELIVERY_TIME));
static_assert(Same(Reason::kInvalidReceiptHandle, v2::INVALID_RECEIPT_HANDLE));
static_assert(Same(Reason::kMessagePropertyConflictWithType, v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE));
static_assert(Same(Reason::kMessageCorrupted, v2::MESSAGE_CORRUPTED));
static_assert(Same(Reason::kClientIdRequired, v2::CLIENT_ID_REQUIRED));
static_assert(Same(Reason::kIllegalLiteTopic, v2::ILLEGAL_LITE_TOPIC));
static_assert(Same(Reason::kLiteTopicQuotaExceeded, v2::LITE_TOPIC_QUOTA_EXCEEDED));
static_assert(Same(Reason::kLiteSubscriptionQuotaExceeded, v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED));
static_assert(Same(Reason::kForbidden, v2::FORBIDDEN));
static_assert(Same(Reason::kTopicNotFound, v2::TOPIC_NOT_FOUND));
static_assert(Same(Reason::kConsumerGroupNotFound, v2::CONSUMER_GROUP_NOT_FOUND));
static_assert(Same(Reason::kOffsetNotFound, v2::OFFSET_NOT_FOUND));
static_assert(Same(Reason::kPreconditionFailed, v2::PRECONDITION_FAILED));
static_assert(Same(Reason::kPayloadTooLarge, v2::PAYLOAD_TOO_LARGE));
static_assert(Same(Reason::kMessageBodyTooLarge, v2::MESSAGE_BODY_TOO_LARGE));
static_assert(Same(Reason::kMessageBodyEmpty, v2::MESSAGE_BODY_EMPTY));
static_assert(Same(Reason::kTooManyRequests, v2::TOO_MANY_REQUESTS));
static_assert(Same(Reason::kMessagePropertiesTooLarge, v2::MESSAGE_PROPERTIES_TOO_LARGE));
static_assert(Same(Reason::kNotImplemented, v2::NOT_IMPLEMENTED));

}  // namespace

v2::Code PublicCode(const absl::Status& status, StatusUse use) {
  if (status.ok()) return v2::OK;
  if (const std::optional<Reason> reason = GetReason(status)) return static_cast<v2::Code>(*reason);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return v2::BAD_REQUEST;
    case absl::StatusCode::kNotFound:
      return v2::NOT_FOUND;
    case absl::StatusCode::kAborted:
      return v2::INVALID_RECEIPT_HANDLE;
    case absl::StatusCode::kAlreadyExists:  // A transaction that has ended otherwise.
      return v2::PRECONDITION_FAILED;
    case absl::StatusCode::kFailedPrecondition:
      return GetNotLeader(status) ? v2::HA_NOT_AVAILABLE : v2::PRECONDITION_FAILED;
    case absl::StatusCode::kOutOfRange:
      return v2::ILLEGAL_OFFSET;
    case absl::StatusCode::kResourceExhausted:
      return v2::TOO_MANY_REQUESTS;
    case absl::StatusCode::kUnavailable:
      return v2::HA_NOT_AVAILABLE;
    case absl::StatusCode::kDeadlineExceeded:
      return use == StatusUse::kSend ? v2::MASTER_PERSISTENCE_TIMEOUT : v2::PROXY_TIMEOUT;
    case absl::StatusCode::kUnauthenticated:
      return v2::UNAUTHORIZED;
    case absl::StatusCode::kPermissionDenied:
      return v2::FORBIDDEN;
    case absl::StatusCode::kUnimplemented:
      return v2::NOT_IMPLEMENTED;
    default:
      return v2::INTERNAL_SERVER_ERROR;
  }
}

absl::Span<const ClassicCodeRow> ClassicCodes() {
  static constexpr ClassicCodeRow kRows[] = {
      {v2::ILLEGAL_OFFSET, v2::BAD_REQUEST},
      {v2::ILLEGAL_LITE_TOPIC, v2::BAD_REQUEST},
      {v2::INVALID_CLIENT_PROPERTIES, v2::BAD_REQUEST},
      {v2::OFFSET_NOT_FOUND, v2::NOT_FOUND},
      {v2::MESSAGE_BODY_EMPTY, v2::BAD_REQUEST},
      {v2::LITE_TOPIC_QUOTA_EXCEEDED, v2::TOO_MANY_REQUESTS},
      {v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED, v2::TOO_MANY_REQUESTS},
  };
  return kRows;
}

v2::Code ClassicCode(v2::Code code) {
  for (const ClassicCodeRow& row : ClassicCodes()) {
    if (row.code == code) return row.nearest;
  }
  return code;
}

}  // namespace barid::proxy
