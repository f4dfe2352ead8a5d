#ifndef BARID_EDGE_GRPC_ACCEPTED_CALL_H_
#define BARID_EDGE_GRPC_ACCEPTED_CALL_H_

#include <grpc/grpc.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
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

// Metadata of an answer, as long as grpc-core needs them. It encodes "-bin" values by itself.
class SentMetadata {
 public:
  SentMetadata() = default;
  SentMetadata(const SentMetadata&) = delete;
  SentMetadata& operator=(const SentMetadata&) = delete;
  ~SentMetadata();

  bool AddInitial(absl::string_view key, absl::string_view value);
  bool AddTrailing(absl::string_view key, absl::string_view value);

  // Of GRPC_OP_SEND_INITIAL_METADATA, of GRPC_OP_SEND_STATUS_FROM_SERVER. Once each.
  void SetInitial(grpc_op* op);
  void SetTrailing(grpc_op* op);

 private:
  ResponseMetadata metadata_;
  std::vector<grpc_metadata> initial_;
  std::vector<grpc_metadata> trailing_;
};

// Answers `call` with `status` on the queue's thread and forgets it.
void Refuse(grpc_call* call, const absl::Status& status);

}  // namespace barid::edge

#endif  // BARID_EDGE_GRPC_ACCEPTED_CALL_H_
