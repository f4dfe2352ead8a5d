#ifndef BARID_PROXY_RECEIVE_JOURNEY_H_
#define BARID_PROXY_RECEIVE_JOURNEY_H_

#include <memory>
#include <utility>
#include <vector>

#include "proxy/receiver.h"

namespace barid::proxy {

struct Receiver::Journey {
  ReceiveRequest request;
  std::shared_ptr<PendingCall> pending;
  Callback<ReceiveOutcome> done;
  absl::Duration wait_until;  // By Clock::SinceBoot.
  ReceiveOutcome outcome;     // Filled on the way.
  TopicId topic;
  // Of one that asks all shards: those, in its order, how many it has asked, and what was wrong with them.
  std::vector<Target> targets;
  size_t asked = 0;
  absl::Status failure;
  size_t failures = 0;
  Members* members = nullptr;  // Of whose group this receive is a member, from the moment the group is known.

  void End(absl::Status status) {
    outcome.status = std::move(status);
    if (members != nullptr) members->End(outcome.group);
    std::move(done)(std::move(outcome));
  }
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_RECEIVE_JOURNEY_H_
