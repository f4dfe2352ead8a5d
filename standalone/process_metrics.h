#ifndef BARID_STANDALONE_PROCESS_METRICS_H_
#define BARID_STANDALONE_PROCESS_METRICS_H_

#include <memory>

#include "base/metrics.h"
#include "broker/shard_metrics.h"
#include "edge/port_metrics.h"
#include "proxy/call_metrics.h"
#include "standalone/settings.h"

namespace barid {

// All metrics of a process: made before its parts, which are handed what is theirs, and outlives them. What a role has
// stands on docs/metrics.md, which `barid ROLE --print-metrics` prints.
class ProcessMetrics {
 public:
  explicit ProcessMetrics(Role role);

  Metrics* metrics() { return &metrics_; }
  // Null where the role has no such part.
  broker::BrokerMetrics* broker() { return broker_.get(); }
  proxy::CallMetrics* calls() { return calls_.get(); }
  edge::PortMetrics* public_port() { return public_port_.get(); }
  edge::PortMetrics* broker_port() { return broker_port_.get(); }
  edge::PortMetrics* admin_port() { return &admin_port_; }

 private:
  Metrics metrics_;
  edge::PortMetrics admin_port_;
  std::unique_ptr<broker::BrokerMetrics> broker_;
  std::unique_ptr<proxy::CallMetrics> calls_;
  std::unique_ptr<edge::PortMetrics> public_port_;
  std::unique_ptr<edge::PortMetrics> broker_port_;
};

}  // namespace barid

#endif  // BARID_STANDALONE_PROCESS_METRICS_H_
