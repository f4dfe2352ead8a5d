#ifndef BARID_PROXY_PULLER_H_
#define BARID_PROXY_PULLER_H_

#include <memory>

#include "base/broker_calls.h"
#include "base/clock.h"
#include "proxy/pending_call.h"
#include "proxy/router.h"

namespace barid::proxy {

// Asks the shards for messages by offset. Any thread.
class Puller {
 public:
  // Both outlive it and the pulls that it started.
  Puller(Clock* clock, Router* router) : clock_(clock), router_(router) {}

  // Waits at the shard of `call`, of which `target` says who leads it; if it does not any more, the right one is asked,
  // once. `done` runs exactly once; if `pending` is cancelled, as if its time were over.
  void Start(PullCall call, const Target& target, std::shared_ptr<PendingCall> pending, Callback<PullResult> done);

  // The process drains: pulls that wait end with nothing, and none waits from now on.
  void Drain() { under_way_.Drain(); }

 private:
  struct Journey;
  void Ask(std::unique_ptr<Journey> journey, Target target, int tries);

  Clock* const clock_;
  Router* const router_;
  PendingCalls under_way_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_PULLER_H_
