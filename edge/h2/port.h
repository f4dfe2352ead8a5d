#ifndef BARID_EDGE_H2_PORT_H_
#define BARID_EDGE_H2_PORT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/mutex.h"
#include "edge/byte_budget.h"
#include "edge/call.h"
#include "edge/h2/h2_server.h"
#include "edge/h2/loop.h"
#include "edge/h2/out_queue.h"
#include "edge/h2/rate_limit.h"
#include "edge/h2/tls.h"

namespace barid::edge::h2 {

// How many connections there are, in all and of each address. Any thread.
class ConnectionCounts {
 public:
  ConnectionCounts(int max, int max_per_address, PortMetrics* metrics)
      : max_(max), max_per_address_(max_per_address), metrics_(metrics) {}

  // False: too many. `address` without port.
  bool Add(const std::string& address) {
    MutexLock lock(&mu_);
    return AddLocked(address);
  }
  // Of one whose address is not known yet.
  bool AddArrival() {
    MutexLock lock(&mu_);
    if (total_ >= max_) return Refuse();
    ++total_;
    return true;
  }
  void RemoveArrival() {
    MutexLock lock(&mu_);
    --total_;
  }
  // It becomes a connection of this address, unless that has too many: then it is removed.
  bool AddArrived(const std::string& address) {
    MutexLock lock(&mu_);
    --total_;
    return AddLocked(address);
  }
  void Remove(const std::string& address) {
    MutexLock lock(&mu_);
    --total_;
    if (metrics_ != nullptr) metrics_->connections->Add(-1);
    const auto it = by_address_.find(address);
    if (--it->second == 0) by_address_.erase(it);
  }

 private:
  bool AddLocked(const std::string& address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (total_ >= max_) return Refuse();
    int& count = by_address_[address];
    if (max_per_address_ > 0 && count >= max_per_address_) return Refuse();
    ++count;
    ++total_;
    if (metrics_ != nullptr) metrics_->connections->Add(1);
    return true;
  }
  bool Refuse() {
    if (metrics_ != nullptr) metrics_->refused_connections->Add();
    return false;
  }

  const int max_;
  const int max_per_address_;
  PortMetrics* const metrics_;
  Mutex mu_;
  int total_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<std::string, int> by_address_ ABSL_GUARDED_BY(mu_);
};

// What all connections of a port share.
struct Port {
  Port(const H2ServerOptions& opened, MethodTable methods)
      : options(opened),
        table(std::move(methods)),
        budget(opened.limits.max_inflight_request_bytes),
        counts(opened.limits.max_connections, opened.limits.max_connections_per_address, opened.metrics) {}

  const H2ServerOptions options;
  const MethodTable table;
  ByteBudget budget;
  ConnectionCounts counts;
  std::shared_ptr<TlsKeys> keys;
};

// What connections on one loop share. The loop's thread only.
struct LoopShare {
  std::shared_ptr<Loop> loop;
  ChunkPool chunks;
  std::vector<char> read_buffer = std::vector<char>(size_t{128} << 10);
};

// And what those of one port do besides.
struct LoopPort : LoopShare {
  std::shared_ptr<Port> port;
  // Unary calls that were answered because their deadline was near, while their handlers still work.
  int calls_in_time = 0;
  // Unary calls that are over, with their memory: a call of a client that sends the same headers every time allocates
  // almost nothing.
  std::vector<std::unique_ptr<class H2UnaryCall>> spare_calls;
  absl::flat_hash_map<class ServerConnection*, std::shared_ptr<class ServerConnection>> connections;
  std::function<void()> on_empty;  // When the last connection has closed.
  WarningLimit warnings;           // About peers.

  ~LoopPort();
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_PORT_H_
