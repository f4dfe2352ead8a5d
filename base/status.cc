#include "base/status.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace barid {
namespace {

constexpr char kNotLeaderUrl[] = "barid/NotLeader";
constexpr char kOffsetRangeUrl[] = "barid/OffsetRange";
constexpr char kRetryAfterUrl[] = "barid/RetryAfter";

// Payloads are "number number ... text": small, printable in a log line, and the same in every process.
std::optional<std::string> Payload(const absl::Status& status, absl::string_view url) {
  std::optional<std::string> result;
  if (auto cord = status.GetPayload(url)) result = std::string(*cord);
  return result;
}

}  // namespace

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status result(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&result](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

absl::Status NotLeaderError(const NotLeader& detail, absl::string_view message) {
  absl::Status status = absl::FailedPreconditionError(message);
  status.SetPayload(kNotLeaderUrl, absl::Cord(absl::StrCat(detail.epoch, " ", detail.leader)));
  return status;
}

std::optional<NotLeader> GetNotLeader(const absl::Status& status) {
  const std::optional<std::string> payload = Payload(status, kNotLeaderUrl);
  if (!payload) return std::nullopt;
  const std::pair<std::string, std::string> parts = absl::StrSplit(*payload, absl::MaxSplits(' ', 1));
  NotLeader detail;
  if (!absl::SimpleAtoi(parts.first, &detail.epoch)) return std::nullopt;
  detail.leader = parts.second;
  return detail;
}

absl::Status OffsetRangeError(const OffsetRange& detail, absl::string_view message) {
  absl::Status status = absl::OutOfRangeError(message);
  status.SetPayload(kOffsetRangeUrl, absl::Cord(absl::StrCat(detail.first, " ", detail.end)));
  return status;
}

std::optional<OffsetRange> GetOffsetRange(const absl::Status& status) {
  const std::optional<std::string> payload = Payload(status, kOffsetRangeUrl);
  if (!payload) return std::nullopt;
  const std::pair<std::string, std::string> parts = absl::StrSplit(*payload, absl::MaxSplits(' ', 1));
  OffsetRange detail;
  if (!absl::SimpleAtoi(parts.first, &detail.first)) return std::nullopt;
  if (!absl::SimpleAtoi(parts.second, &detail.end)) return std::nullopt;
  return detail;
}

absl::Status RetryAfterError(absl::Duration delay, absl::string_view message) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(kRetryAfterUrl, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
  return status;
}

std::optional<absl::Duration> GetRetryAfter(const absl::Status& status) {
  const std::optional<std::string> payload = Payload(status, kRetryAfterUrl);
  int64_t milliseconds = 0;
  if (!payload || !absl::SimpleAtoi(*payload, &milliseconds)) return std::nullopt;
  return absl::Milliseconds(milliseconds);
}

absl::Status StaleReceiptError(absl::string_view message) { return absl::AbortedError(message); }

bool IsStaleReceipt(const absl::Status& status) { return absl::IsAborted(status); }

}  // namespace barid
