#ifndef BARID_PROXY_PENDING_CALL_H_
#define BARID_PROXY_PENDING_CALL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "base/mutex.h"
#include "proxy/router.h"

namespace barid::proxy {

// A receive or a pull that waits at a broker, as seen by whoever may lose interest in it. Any thread.
class PendingCall {
 public:
  // Nobody wants the answer any more. The callback still runs; what a receive gets is to be given back.
  void Cancel();
  bool is_cancelled() const;
  // Waits no longer: ends with what there is.
  void StopWaiting();
  // From now on these fare as this one does: it waits at several places at once.
  void Adopt(std::vector<std::shared_ptr<PendingCall>> children);

  // --- For who makes the call: at first, and again after a leader has moved. ---
  // Before the broker is asked. nullopt: it was cancelled, do not ask. Else what Asked wants.
  std::optional<int> BeginAsking();
  // The broker has given the call this id. Its answer or a cancellation may have come before.
  void Asked(int begun, const Target& target, uint64_t id);
  // The broker has answered.
  void Answered();

 private:
  mutable Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  // The broker's call, while it can be cancelled.
  std::optional<Target> target_ ABSL_GUARDED_BY(mu_);
  uint64_t id_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::shared_ptr<PendingCall>> children_ ABSL_GUARDED_BY(mu_);
  // Calls of a broker that have ended, so that an id that comes back late is not kept.
  int calls_ended_ ABSL_GUARDED_BY(mu_) = 0;
};

// All of a kind that are under way. Any thread.
class PendingCalls {
 public:
  // False: the process drains, the call must not wait.
  bool Add(std::shared_ptr<PendingCall> call);
  void Remove(const std::shared_ptr<PendingCall>& call);
  // Those that wait end with nothing, and none may wait from now on.
  void Drain();

 private:
  Mutex mu_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<std::shared_ptr<PendingCall>> calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_PENDING_CALL_H_
