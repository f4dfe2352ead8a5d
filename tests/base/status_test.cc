#include "base/status.h"

#include <gtest/gtest.h>

#include "tests/base/status_matchers.h"

namespace barid {
namespace {

TEST(StatusTest, DetailsAreAbsentFromOtherErrors) {
  const absl::Status plain = absl::FailedPreconditionError("no details");
  EXPECT_FALSE(GetNotLeader(plain).has_value());
  EXPECT_FALSE(GetOffsetRange(plain).has_value());
  EXPECT_FALSE(GetRetryAfter(plain).has_value());
  EXPECT_FALSE(GetNotLeader(absl::OkStatus()).has_value());
}

TEST(StatusTest, MalformedDetailsAreIgnored) {
  absl::Status status = absl::FailedPreconditionError("from a newer version");
  status.SetPayload("barid/NotLeader", absl::Cord("not a number"));
  status.SetPayload("barid/OffsetRange", absl::Cord("5"));
  status.SetPayload("barid/RetryAfter", absl::Cord(""));
  EXPECT_FALSE(GetNotLeader(status).has_value());
  EXPECT_FALSE(GetOffsetRange(status).has_value());
  EXPECT_FALSE(GetRetryAfter(status).has_value());
}

TEST(StatusTest, NotLeaderNamesTheLeaderAndItsEpoch) {
  const absl::Status status = NotLeaderError({"broker-1:8081", 7}, "not the leader");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_TRUE(GetNotLeader(status).has_value());
  EXPECT_EQ(GetNotLeader(status)->leader, "broker-1:8081");
  EXPECT_EQ(GetNotLeader(status)->epoch, 7u);
}

TEST(StatusTest, AnUnknownLeaderIsEmpty) {
  ASSERT_TRUE(GetNotLeader(NotLeaderError({"", 3}, "nobody leads")).has_value());
  EXPECT_EQ(GetNotLeader(NotLeaderError({"", 3}, "nobody leads"))->leader, "");
}

TEST(StatusTest, OffsetRangeAndRetryAfterComeBack) {
  const absl::Status range = OffsetRangeError({10, 20}, "trimmed");
  EXPECT_THAT(range, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(GetOffsetRange(range)->first, 10);
  EXPECT_EQ(GetOffsetRange(range)->end, 20);
  const absl::Status busy = RetryAfterError(absl::Milliseconds(1500), "busy");
  EXPECT_THAT(busy, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(GetRetryAfter(busy), absl::Milliseconds(1500));
}

TEST(StatusTest, AnnotateKeepsCodeAndDetails) {
  const absl::Status status = Annotate(NotLeaderError({"b", 2}, "not the leader"), "sending");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "sending: not the leader"));
  EXPECT_EQ(GetNotLeader(status)->epoch, 2u);
  EXPECT_THAT(Annotate(absl::OkStatus(), "sending"), IsOk());
}

TEST(StatusTest, StaleReceiptsAreTold) {
  EXPECT_TRUE(IsStaleReceipt(StaleReceiptError("settled already")));
  EXPECT_FALSE(IsStaleReceipt(absl::NotFoundError("")));
}

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) return absl::InvalidArgumentError("odd");
  return number / 2;
}
absl::StatusOr<int> Quarter(int number) {
  ASSIGN_OR_RETURN(const int half, Half(number));
  RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST(StatusTest, MacrosReturnTheFirstError) {
  EXPECT_THAT(Quarter(3), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Quarter(2), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Quarter(8), IsOkAndHolds(2));
}

}  // namespace
}  // namespace barid
