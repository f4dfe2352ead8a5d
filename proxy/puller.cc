#include "proxy/puller.h"

#include <algorithm>
#include <utility>

namespace barid::proxy {

struct Puller::Journey {
  PullCall call;
  std::shared_ptr<PendingCall> pending;
  Callback<PullResult> done;
  absl::Duration wait_until;  // By Clock::SinceBoot.
};

void Puller::Start(PullCall call, const Target& target, std::shared_ptr<PendingCall> pending,
                   Callback<PullResult> done) {
  if (!under_way_.Add(pending)) call.wait = absl::ZeroDuration();
  auto journey = std::make_unique<Journey>();
  journey->wait_until = clock_->SinceBoot() + call.wait;
  journey->call = std::move(call);
  journey->pending = pending;
  journey->done = [this, pending = std::move(pending), done = std::move(done)](PullResult result) mutable {
    under_way_.Remove(pending);
    done(std::move(result));
  };
  Ask(std::move(journey), target, /*tries=*/1);
}

void Puller::Ask(std::unique_ptr<Journey> journey, Target target, int tries) {
  const std::shared_ptr<PendingCall> pending = journey->pending;
  const std::optional<int> begun = pending->BeginAsking();
  if (!begun) return journey->done({absl::OkStatus(), {}, journey->call.offset});
  PullCall call = journey->call;
  call.wait = std::max(journey->wait_until - clock_->SinceBoot(), absl::ZeroDuration());
  const uint64_t id = target.broker->Pull(
      std::move(call), [this, journey = std::move(journey), target, tries](PullResult result) mutable {
        journey->pending->Answered();
        BrokerApi* const leader = result.status.ok() || tries > 1 ? nullptr : router_->SecondTry(result.status, target);
        if (leader != nullptr) return Ask(std::move(journey), {target.shard, leader}, tries + 1);
        journey->done(std::move(result));
      });
  pending->Asked(*begun, target, id);
}

}  // namespace barid::proxy
