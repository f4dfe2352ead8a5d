#ifndef BARID_RPC_SERVER_H_
#define BARID_RPC_SERVER_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace barid::rpc {

// What probes ask the health service for.
inline constexpr char kLiveness[] = "liveness";
inline constexpr char kReadiness[] = "readiness";
inline constexpr char kStartup[] = "startup";

struct ServerOptions {
  // "host:port"; port 0 takes a free one.
  std::string address = {};
  // The gRPC health service, with liveness serving and readiness and startup not. For the admin port: gRPC registers
  // services per server, and probes must reach it while the other ports are drained.
  bool health = false;
  // Lets grpcurl and its like discover the services.
  bool reflection = false;
  // -1: no bound.
  int max_message_bytes = -1;
  // Threads of the synchronous services, if there are any.
  int max_sync_threads = 4;
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(5);
};

// A gRPC server for our own processes. Any thread, but Drain by one at a time.
class Server {
 public:
  // `services` are borrowed until the server is destroyed.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const std::vector<grpc::Service*>& services);
  ~Server();  // Stops at once.

  // "host:port" with the real port.
  const std::string& address() const { return address_; }

  // What the health service answers for `name` (kReadiness and so on, or a service's full name; "" is the whole).
  // Nothing happens without a health service.
  void SetServing(const std::string& name, bool serving);

  // Accepts no new connections and calls, waits for those that run until `grace` has passed, cancels the rest. Blocks.
  // Health answers NOT_SERVING for everything meanwhile.
  void Drain(absl::Duration grace);

 private:
  Server() = default;

  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace barid::rpc

#endif  // BARID_RPC_SERVER_H_
