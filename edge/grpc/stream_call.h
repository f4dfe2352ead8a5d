#ifndef BARID_EDGE_GRPC_STREAM_CALL_H_
#define BARID_EDGE_GRPC_STREAM_CALL_H_

#include <memory>
#include <string>

#include "edge/call.h"
#include "edge/grpc/accepted_call.h"
#include "edge/grpc/polling_queue.h"

namespace barid::edge {

// Makes a stream of `accepted`, runs the factory and opens the stream. The queue's thread only.
void BeginStream(const std::string& method, const StreamFactory& factory, const AcceptedCall& accepted,
                 std::shared_ptr<PollingQueue> queue);

}  // namespace barid::edge

#endif  // BARID_EDGE_GRPC_STREAM_CALL_H_
