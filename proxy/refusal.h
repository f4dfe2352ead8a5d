#ifndef BARID_PROXY_REFUSAL_H_
#define BARID_PROXY_REFUSAL_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace barid::proxy {

// Why a request is refused, as finely as the public API tells it. Numbers of apache.rocketmq.v2.Code (proxy/public/
// status_map.cc proves it).
enum class Reason : int {
  kBadRequest = 40000,
  kIllegalTopic = 40002,
  kIllegalConsumerGroup = 40003,
  kIllegalMessageTag = 40004,
  kIllegalMessageKey = 40005,
  kIllegalMessageGroup = 40006,
  kIllegalMessagePropertyKey = 40007,
  kInvalidTransactionId = 40008,
  kIllegalMessageId = 40009,
  kIllegalFilterExpression = 40010,
  kIllegalInvisibleTime = 40011,
  kIllegalDeliveryTime = 40012,
  kInvalidReceiptHandle = 40013,
  kMessagePropertyConflictWithType = 40014,
  kMessageCorrupted = 40016,
  kClientIdRequired = 40017,
  kIllegalLiteTopic = 40020,
  kForbidden = 40300,
  kTopicNotFound = 40402,
  kConsumerGroupNotFound = 40403,
  kOffsetNotFound = 40404,
  kPayloadTooLarge = 41300,
  kMessageBodyTooLarge = 41301,
  kMessageBodyEmpty = 41302,
  kPreconditionFailed = 42800,
  kTooManyRequests = 42900,
  kLiteTopicQuotaExceeded = 42901,
  kLiteSubscriptionQuotaExceeded = 42902,
  kMessagePropertiesTooLarge = 43101,
  kNotImplemented = 50100,
};

// A status with the reason attached. The sentence names what was found and what was expected.
absl::Status Refuse(Reason reason, absl::string_view sentence);

std::optional<Reason> GetReason(const absl::Status& status);

}  // namespace barid::proxy

#endif  // BARID_PROXY_REFUSAL_H_
