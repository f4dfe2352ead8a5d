#ifndef BARID_EDGE_GRPC_UNARY_CALL_H_
#define BARID_EDGE_GRPC_UNARY_CALL_H_

#include <grpc/grpc.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "edge/call.h"
#include "edge/grpc/accepted_call.h"
#include "edge/grpc/polling_queue.h"

namespace barid::edge {

// The unary calls of one method on one queue. Keeps the memory of calls that are over for those to come: with it, a
// call of a client that sends the same headers every time allocates almost nothing. The queue's thread only.
class UnaryMethod {
 public:
  UnaryMethod(std::string name, const UnaryHandler* handler, std::shared_ptr<PollingQueue> queue,
              std::shared_ptr<ByteBudget> budget)
      : name_(std::move(name)), handler_(handler), queue_(std::move(queue)), budget_(std::move(budget)) {}
  ~UnaryMethod();
  UnaryMethod(const UnaryMethod&) = delete;
  UnaryMethod& operator=(const UnaryMethod&) = delete;

  // Takes the call and its payload and runs the handler.
  void Begin(const AcceptedCall& accepted);

 private:
  friend class GrpcUnaryCall;
  static constexpr size_t kMostSpares = 256;

  const std::string name_;
  const UnaryHandler* const handler_;
  const std::shared_ptr<PollingQueue> queue_;
  const std::shared_ptr<ByteBudget> budget_;  // Of the port.
  std::vector<class GrpcUnaryCall*> spares_;
};

}  // namespace barid::edge

#endif  // BARID_EDGE_GRPC_UNARY_CALL_H_
