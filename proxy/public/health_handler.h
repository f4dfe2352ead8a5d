#ifndef BARID_PROXY_PUBLIC_HEALTH_HANDLER_H_
#define BARID_PROXY_PUBLIC_HEALTH_HANDLER_H_

#include <memory>

#include "edge/call.h"

namespace barid::proxy {

class HealthState;

// grpc.health.v1.Health for a port: the server as a whole (service "") and the services served on it share one state.
class HealthService {
 public:
  HealthService();

  // May outlive this object; then it says what was set last.
  void AddTo(edge::MethodTable* table);

  // NOT_SERVING until it is first called. Watchers are told. Any thread.
  void SetServing(bool serving);

 private:
  const std::shared_ptr<HealthState> state_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_HEALTH_HANDLER_H_
