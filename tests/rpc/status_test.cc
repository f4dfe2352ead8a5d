#include "rpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "tests/base/status_matchers.h"

namespace barid::rpc {
namespace {

absl::Status RoundTrip(const absl::Status& status) { return FromGrpcStatus(ToGrpcStatus(status)); }

TEST(RpcStatusTest, KeepsOk) { EXPECT_THAT(RoundTrip(absl::OkStatus()), IsOk()); }

TEST(RpcStatusTest, KeepsCodeAndMessage) {
  EXPECT_THAT(RoundTrip(absl::NotFoundError("no topic t")), StatusIs(absl::StatusCode::kNotFound, "no topic t"));
  EXPECT_TRUE(ToGrpcStatus(absl::NotFoundError("no topic t")).error_details().empty());
}

TEST(RpcStatusTest, KeepsWhatTheCallerActsOn) {
  const auto not_leader = GetNotLeader(RoundTrip(NotLeaderError({.leader = "b-2:9000", .epoch = 7}, "moved")));
  ASSERT_TRUE(not_leader);
  EXPECT_EQ(not_leader->leader, "b-2:9000");
  EXPECT_EQ(not_leader->epoch, 7u);
  EXPECT_EQ(GetOffsetRange(RoundTrip(OffsetRangeError({.first = -1, .end = 300}, "trimmed")))->end, 300);
  EXPECT_EQ(GetRetryAfter(RoundTrip(RetryAfterError(absl::Seconds(2), "full"))), absl::Seconds(2));
}

TEST(RpcStatusTest, LeavesOutDetailsItCannotRead) {
  for (const std::string details : {"\x1a", "\x1a\xff", "\x1a\x02\x0a\x05", "garbage"}) {
    EXPECT_THAT(FromGrpcStatus(grpc::Status(grpc::ABORTED, "stale", details)),
                StatusIs(absl::StatusCode::kAborted, "stale"));
  }
}

}  // namespace
}  // namespace barid::rpc
