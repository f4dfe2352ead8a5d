#include "proxy/public/status_map.h"

#include "base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

TEST(StatusMapTest, EveryStatusHasACode) {
  const std::pair<absl::Status, v2::Code> cases[] = {
      {absl::OkStatus(), v2::OK},
      {Refuse(Reason::kIllegalTopic, "x"), v2::ILLEGAL_TOPIC},
      {Refuse(Reason::kTopicNotFound, "x"), v2::TOPIC_NOT_FOUND},
      {Annotate(Refuse(Reason::kTopicNotFound, "x"), "while"), v2::TOPIC_NOT_FOUND},
      {absl::InvalidArgumentError("x"), v2::BAD_REQUEST},
      {absl::NotFoundError("x"), v2::NOT_FOUND},
      {StaleReceiptError("x"), v2::INVALID_RECEIPT_HANDLE},
      {NotLeaderError({"b", 1}, "x"), v2::HA_NOT_AVAILABLE},
      {absl::FailedPreconditionError("x"), v2::PRECONDITION_FAILED},
      {OffsetRangeError({1, 2}, "x"), v2::ILLEGAL_OFFSET},
      {RetryAfterError(absl::Seconds(1), "x"), v2::TOO_MANY_REQUESTS},
      {absl::UnavailableError("x"), v2::HA_NOT_AVAILABLE},
      {absl::DeadlineExceededError("x"), v2::PROXY_TIMEOUT},
      {absl::UnauthenticatedError("x"), v2::UNAUTHORIZED},
      {absl::PermissionDeniedError("x"), v2::FORBIDDEN},
      {absl::UnimplementedError("x"), v2::NOT_IMPLEMENTED},
      {absl::DataLossError("x"), v2::INTERNAL_SERVER_ERROR},
      {absl::InternalError("x"), v2::INTERNAL_SERVER_ERROR},
      {absl::CancelledError("x"), v2::INTERNAL_SERVER_ERROR},
  };
  for (const auto& [status, code] : cases) EXPECT_EQ(PublicCode(status), code) << status;
  EXPECT_EQ(PublicCode(absl::DeadlineExceededError("x"), StatusUse::kSend), v2::MASTER_PERSISTENCE_TIMEOUT);
}

TEST(StatusMapTest, ClassicCodesAreThoseOf2023) {
  const std::pair<v2::Code, v2::Code> cases[] = {
      {v2::ILLEGAL_OFFSET, v2::BAD_REQUEST},
      {v2::ILLEGAL_LITE_TOPIC, v2::BAD_REQUEST},
      {v2::INVALID_CLIENT_PROPERTIES, v2::BAD_REQUEST},
      {v2::MESSAGE_BODY_EMPTY, v2::BAD_REQUEST},
      {v2::OFFSET_NOT_FOUND, v2::NOT_FOUND},
      {v2::LITE_TOPIC_QUOTA_EXCEEDED, v2::TOO_MANY_REQUESTS},
      {v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED, v2::TOO_MANY_REQUESTS},
      {v2::OK, v2::OK},
      {v2::INVALID_RECEIPT_HANDLE, v2::INVALID_RECEIPT_HANDLE},
      {v2::TOPIC_NOT_FOUND, v2::TOPIC_NOT_FOUND},
  };
  for (const auto& [code, classic] : cases) EXPECT_EQ(ClassicCode(code), classic);
}

}  // namespace
}  // namespace barid::proxy
