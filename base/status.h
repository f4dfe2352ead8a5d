#ifndef BARID_BASE_STATUS_H_
#define BARID_BASE_STATUS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// Returns from the enclosing function if `expr` is not OK. The spelling is upstream's, so that an upgrade deletes ours.
#define RETURN_IF_ERROR(expr)                                     \
  do {                                                            \
    if (absl::Status barid_status = (expr); !barid_status.ok()) { \
      return barid_status;                                        \
    }                                                             \
  } while (false)

#define BARID_CONCAT_INNER(a, b) a##b
#define BARID_CONCAT(a, b) BARID_CONCAT_INNER(a, b)

// `ASSIGN_OR_RETURN(auto x, F())`: declares x from the value of a StatusOr, or returns its error.
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_IMPL(BARID_CONCAT(barid_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                          \
  if (!tmp.ok()) {                            \
    return std::move(tmp).status();           \
  }                                           \
  lhs = *std::move(tmp)

namespace barid {

// The same status with `context` in front of its message ("while opening segment 3: no such file"). Payloads are kept.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// Error details that a caller acts on. They travel as payloads of absl::Status and, between processes, as gRPC details.

// Attached to kFailedPrecondition: this replica does not lead; ask `leader` (empty: unknown) at `epoch`.
struct NotLeader {
  std::string leader;
  uint32_t epoch = 0;
};
absl::Status NotLeaderError(const NotLeader& detail, absl::string_view message);
std::optional<NotLeader> GetNotLeader(const absl::Status& status);

// Attached to kOutOfRange: what offsets exist, [first, end).
struct OffsetRange {
  int64_t first = 0;
  int64_t end = 0;
};
absl::Status OffsetRangeError(const OffsetRange& detail, absl::string_view message);
std::optional<OffsetRange> GetOffsetRange(const absl::Status& status);

// Attached to kResourceExhausted: do not come back sooner.
absl::Status RetryAfterError(absl::Duration delay, absl::string_view message);
std::optional<absl::Duration> GetRetryAfter(const absl::Status& status);

// kAborted marks a receipt that no longer names a live delivery: the message was settled or delivered again.
absl::Status StaleReceiptError(absl::string_view message);
bool IsStaleReceipt(const absl::Status& status);

}  // namespace barid

#endif  // BARID_BASE_STATUS_H_
