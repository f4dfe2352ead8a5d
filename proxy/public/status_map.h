#ifndef BARID_PROXY_PUBLIC_STATUS_MAP_H_
#define BARID_PROXY_PUBLIC_STATUS_MAP_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "apache/rocketmq/v2/definition.pb.h"

namespace barid::proxy {

namespace v2 = ::apache::rocketmq::v2;

// Which call a status belongs to, where that makes a difference.
enum class StatusUse { kSend, kOther };

// The one table from statuses to codes of the public API:
//
//   a refusal (proxy/refusal.h)      its reason
//   kInvalidArgument                 BAD_REQUEST
//   kNotFound                        NOT_FOUND
//   kAborted (stale receipt)         INVALID_RECEIPT_HANDLE: ends the retries of push consumers
//   kFailedPrecondition + NotLeader  HA_NOT_AVAILABLE
//   kFailedPrecondition              PRECONDITION_FAILED
//   kOutOfRange                      ILLEGAL_OFFSET
//   kResourceExhausted               TOO_MANY_REQUESTS: clients back off
//   kUnavailable                     HA_NOT_AVAILABLE
//   kDeadlineExceeded                MASTER_PERSISTENCE_TIMEOUT for sends, else PROXY_TIMEOUT
//   kUnauthenticated                 UNAUTHORIZED
//   kPermissionDenied                FORBIDDEN
//   kUnimplemented                   NOT_IMPLEMENTED
//   all others                       INTERNAL_SERVER_ERROR
v2::Code PublicCode(const absl::Status& status, StatusUse use = StatusUse::kOther);

// The published Rust client (5.0.0) dies of codes that its protos of 2023 lack. One row for each of them, with the
// nearest that it knows (docs/status-codes.md shows the table).
struct ClassicCodeRow {
  v2::Code code;
  v2::Code nearest;
};
absl::Span<const ClassicCodeRow> ClassicCodes();

// The nearest code that such a client knows.
v2::Code ClassicCode(v2::Code code);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_STATUS_MAP_H_
