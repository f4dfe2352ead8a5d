#ifndef BARID_EDGE_GRPC_GRPC_SERVER_H_
#define BARID_EDGE_GRPC_GRPC_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "edge/call.h"
#include "edge/grpc/polling_queue.h"

namespace barid::edge {

struct GrpcServerOptions {
  // "host:port" to listen on. Port 0 takes a free one; see Server::address().
  std::string address = {};
  // Each polls a completion queue of its own and runs the handlers of the connections that belong to it. One is
  // cheapest: grpc-core lets one thread at a time watch all sockets, and with more of them handing that over costs a
  // switch per read (docs/edge.md, "Figures"). More pay where handlers need more than one core.
  int threads = 1;
  // Threads that several ports of the process share; without them the port has `threads` of its own.
  std::shared_ptr<PollingThreads> polling = nullptr;
  PortLimits limits = {};

  // PEM. With both the port speaks TLS only, without them cleartext only: grpc-core cannot do both on one port.
  std::string tls_certificate_chain = {};
  std::string tls_private_key = {};

  absl::Duration keepalive_time = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);
};

// Serves `table` over gRPC by grpc-core's asynchronous completion queues and raw byte buffers.
//
// Handlers run on the polling threads. An answer made there leaves at once; answers made by other threads are collected
// per queue, and the first of a batch wakes the polling thread, which does all the I/O (docs/edge.md). Calls and
// streams may outlive the server: what they answer then is dropped.
//
// Of PortLimits, grpc-core keeps those of a request, of metadata, of the calls of a connection and of bytes in flight
// in the port; none of connections, times and rates. It serves benchmarks, not clients.
absl::StatusOr<std::unique_ptr<Server>> ServeGrpc(const GrpcServerOptions& options, MethodTable table);

}  // namespace barid::edge

#endif  // BARID_EDGE_GRPC_GRPC_SERVER_H_
