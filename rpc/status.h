#ifndef BARID_RPC_STATUS_H_
#define BARID_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

// absl::Status between processes. The codes are the same; payloads (base/status.h) travel as google.rpc.Status in the
// trailer grpc-status-details-bin, so that other tools can read them.
namespace barid::rpc {

grpc::Status ToGrpcStatus(const absl::Status& status);

// Details that cannot be read are left out: the code and the message are what counts.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace barid::rpc

#endif  // BARID_RPC_STATUS_H_
