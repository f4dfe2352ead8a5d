#ifndef BARID_EDGE_H2_H2_SERVER_H_
#define BARID_EDGE_H2_H2_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "edge/call.h"
#include "edge/h2/loop.h"
#include "edge/h2/tls.h"
#include "edge/port_metrics.h"

namespace barid::edge::h2 {

struct H2ServerOptions {
  // "host:port" or "[v6]:port" to listen on, or "unix:/path". Port 0 takes a free one; see Server::address().
  std::string address = {};
  // Each has a listening socket of its own and runs the handlers of the connections that it accepted.
  int threads = 1;
  // Threads that several ports of the process share; without them the port has `threads` of its own.
  std::shared_ptr<LoopThreads> loops = nullptr;
  PortLimits limits = {};

  // With a certificate the port speaks TLS and cleartext, told apart by the first byte.
  TlsFiles tls = {};

  // Every connection begins with a PROXY header (proxy_protocol.h), as load balancers write it: calls and limits by
  // address see the peer that it names. What begins otherwise is closed. For ports that only load balancers reach:
  // anyone can write one.
  bool proxy_protocol = false;

  // A connection that is silent so long is pinged, and closed when it does not answer.
  absl::Duration keepalive_time = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  // A connection is told to go when it has had no calls for max_idle, and at max_age (by chance up to a tenth earlier);
  // it is closed max_age_grace later. Infinite: never.
  absl::Duration max_idle = absl::InfiniteDuration();
  absl::Duration max_age = absl::InfiniteDuration();
  absl::Duration max_age_grace = absl::Minutes(5);

  // Outlives the server; nullptr: nothing is counted.
  PortMetrics* metrics = nullptr;
};

// Serves `table` as gRPC over HTTP/2, on libnghttp2 and epoll (docs/edge.md).
//
// A connection lives on the thread that accepted it, and handlers of its calls run there. Answers made by other threads
// come home through a list per thread, one wake per batch; what one wake-up brings is handled together, and leaves in
// one write per connection. Calls and streams may outlive the server: what they answer then is dropped.
absl::StatusOr<std::unique_ptr<Server>> ServeH2(const H2ServerOptions& options, MethodTable table);

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_H2_SERVER_H_
