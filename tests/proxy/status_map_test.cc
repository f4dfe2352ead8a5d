#include "proxy/public/status_map.h"

#include <iterator>
#include <set>

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

// All that stands in the enum of the crate rocketmq 5.0.0 (src/pb/apache.rocketmq.v2.rs).
constexpr int kCodesOfRust[] = {
    20000, 30000, 40000, 40001, 40002, 40003, 40004, 40005, 40006, 40007, 40008, 40009, 40010, 40011, 40012, 40013,
    40014, 40015, 40016, 40017, 40018, 40100, 40200, 40300, 40400, 40401, 40402, 40403, 40800, 41300, 41301, 42800,
    42900, 43100, 43101, 50000, 50001, 50002, 50100, 50400, 50401, 50402, 50500, 50501, 50502, 60000,
};

TEST(StatusMapTest, ARustClientGetsEveryCodeThatItKnowsAndAKnownOneForEveryOther) {
  const std::set<int> known(std::begin(kCodesOfRust), std::end(kCodesOfRust));
  for (int i = 0; i < v2::Code_descriptor()->value_count(); ++i) {
    const auto code = static_cast<v2::Code>(v2::Code_descriptor()->value(i)->number());
    if (code == v2::CODE_UNSPECIFIED) continue;
    EXPECT_TRUE(known.contains(ClassicCode(code))) << v2::Code_Name(code);
    EXPECT_EQ(ClassicCode(code) == code, known.contains(code)) << v2::Code_Name(code);
    // The nearest one says no more and no less of whose fault it is.
    EXPECT_EQ(ClassicCode(code) / 10000, code / 10000) << v2::Code_Name(code);
  }
}

}  // namespace
}  // namespace barid::proxy
