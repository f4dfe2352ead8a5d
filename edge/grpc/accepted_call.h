#ifndef BARID_EDGE_GRPC_ACCEPTED_CALL_H_
#define BARID_EDGE_GRPC_ACCEPTED_CALL_H_

#include <grpc/grpc.h>

#include <string>

#include "absl/status/status.h"
#include "edge/call.h"
#include "edge/grpc/polling_queue.h"

namespace barid::edge {

// A call as it comes from grpc-core, before anyone has looked at it. Plain memory of whoever asked for the call.
struct AcceptedCall {
  grpc_call* call = nullptr;
  gpr_timespec deadline = {};
  grpc_metadata_array metadata = {};
  grpc_byte_buffer* payload = nullptr;  // The first message, of methods that ask for it.
};

// Fills all of `head` but the method. Reuses the memory that `head` has from an earlier call.
void FillHead(const AcceptedCall& accepted, CallHead* head);

// The status as a trailer. The message must live until the operation is over.
void SetStatusOp(const absl::Status& status, grpc_slice* message, grpc_op* op);

// Answers `call` with `status` on the queue's thread and forgets it.
void Refuse(grpc_call* call, const absl::Status& status);

}  // namespace barid::edge

#endif  // BARID_EDGE_GRPC_ACCEPTED_CALL_H_
