// A receive that is answered by whatever shard has something: for clients that name no shard, or always the same.
#include <algorithm>
#include <utility>

#include "base/mutex.h"
#include "proxy/receive_journey.h"

namespace barid::proxy {

// The shards that a receive waits at.
struct Receiver::Race {
  Mutex mu;
  std::unique_ptr<Journey> journey ABSL_GUARDED_BY(mu);  // Gone when it has been answered.
  size_t running ABSL_GUARDED_BY(mu) = 0;
  // Not changed after the start.
  std::vector<std::shared_ptr<PendingCall>> calls;
  GroupId group;
};

void Receiver::AskEverywhere(std::unique_ptr<Journey> journey) {
  const Metadata& metadata = *journey->outcome.metadata;
  absl::Status failure = absl::UnavailableError("the cluster has no shards yet: no broker has registered");
  for (const ShardMetadata* const shard : Router::Shards(metadata)) {
    const absl::StatusOr<Target> target = router_->ById(metadata, shard->id);
    if (target.ok()) {
      journey->targets.push_back(*target);
    } else {
      failure = target.status();
    }
  }
  std::vector<Target>& targets = journey->targets;
  if (targets.empty()) return journey->End(std::move(failure));
  // Each in its turn, so that none starves behind another.
  const size_t first = turn_.fetch_add(1, std::memory_order_relaxed) % targets.size();
  std::rotate(targets.begin(), targets.begin() + static_cast<ptrdiff_t>(first), targets.end());
  if (targets.size() == 1) {
    journey->outcome.shard = targets[0].shard;
    const Target target = targets[0];
    return Ask(std::move(journey), target, /*tries=*/1);
  }
  AskNext(std::move(journey));
}

void Receiver::AskNext(std::unique_ptr<Journey> journey) {
  if (journey->asked == journey->targets.size()) {
    if (journey->failures == journey->targets.size()) {
      absl::Status failure = std::move(journey->failure);
      return journey->End(std::move(failure));
    }
    if (journey->wait_until <= clock_->SinceBoot()) return journey->End(absl::OkStatus());
    return WaitEverywhere(std::move(journey));
  }
  const Target target = journey->targets[journey->asked++];
  const std::shared_ptr<PendingCall> pending = journey->pending;
  const std::optional<int> begun = pending->BeginAsking();
  if (!begun) return journey->End(absl::CancelledError("the client cancelled the call"));
  ReceiveCall call = MakeCall(*journey, target.shard, absl::ZeroDuration());
  const uint64_t id = target.broker->Receive(
      std::move(call), [this, journey = std::move(journey), shard = target.shard](ReceiveResult result) mutable {
        journey->pending->Answered();
        if (!result.deliveries.empty()) {
          journey->outcome.shard = shard;
          journey->outcome.deliveries = std::move(result.deliveries);
          return journey->End(absl::OkStatus());
        }
        if (!result.status.ok()) {
          journey->failure = std::move(result.status);
          ++journey->failures;
        }
        AskNext(std::move(journey));
      });
  pending->Asked(*begun, target, id);
}

void Receiver::WaitEverywhere(std::unique_ptr<Journey> journey) {
  const auto race = std::make_shared<Race>();
  const std::vector<Target> targets = journey->targets;
  for (size_t i = 0; i < targets.size(); ++i) race->calls.push_back(std::make_shared<PendingCall>());
  race->group = journey->outcome.group;
  std::vector<ReceiveCall> calls;
  for (const Target& target : targets)
    calls.push_back(MakeCall(*journey, target.shard, journey->wait_until - clock_->SinceBoot()));
  const std::shared_ptr<PendingCall> parent = journey->pending;
  {
    MutexLock lock(&race->mu);
    race->running = targets.size();
    race->journey = std::move(journey);
  }
  parent->Adopt(race->calls);
  for (size_t i = 0; i < targets.size(); ++i) {
    const std::shared_ptr<PendingCall>& pending = race->calls[i];
    const std::optional<int> begun = pending->BeginAsking();
    if (!begun) {
      OnRaced(race, targets[i].shard, {});
      continue;
    }
    const uint64_t id = targets[i].broker->Receive(
        std::move(calls[i]), [this, race, pending, shard = targets[i].shard](ReceiveResult result) {
          pending->Answered();
          OnRaced(race, shard, std::move(result));
        });
    pending->Asked(*begun, targets[i], id);
  }
}

void Receiver::OnRaced(const std::shared_ptr<Race>& race, ShardId shard, ReceiveResult result) {
  std::unique_ptr<Journey> journey;
  bool was_over = false;
  {
    MutexLock lock(&race->mu);
    --race->running;
    was_over = race->journey == nullptr;
    // A shard that fails is as one that has nothing: the others go on.
    if (!result.deliveries.empty() || race->running == 0) journey = std::move(race->journey);
  }
  if (journey == nullptr) {
    if (!was_over || result.deliveries.empty()) return;
    ReceiveOutcome surplus;
    surplus.shard = shard;
    surplus.group = race->group;
    surplus.deliveries = std::move(result.deliveries);
    return GiveBack(surplus);
  }
  for (const std::shared_ptr<PendingCall>& call : race->calls) call->Cancel();
  journey->outcome.shard = shard;
  journey->outcome.deliveries = std::move(result.deliveries);
  journey->End(absl::OkStatus());
}

}  // namespace barid::proxy
