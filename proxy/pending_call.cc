#include "proxy/pending_call.h"

#include <utility>

namespace barid::proxy {

void PendingCall::Cancel() {
  std::optional<Target> target;
  uint64_t id = 0;
  std::vector<std::shared_ptr<PendingCall>> children;
  {
    MutexLock lock(&mu_);
    cancelled_ = true;
    target = std::exchange(target_, std::nullopt);
    id = id_;
    children = std::exchange(children_, {});
  }
  if (target) target->broker->CancelReceive(target->shard, id);
  for (const std::shared_ptr<PendingCall>& child : children) child->Cancel();
}

bool PendingCall::is_cancelled() const {
  MutexLock lock(&mu_);
  return cancelled_;
}

void PendingCall::StopWaiting() {
  std::optional<Target> target;
  uint64_t id = 0;
  std::vector<std::shared_ptr<PendingCall>> children;
  {
    MutexLock lock(&mu_);
    target = target_;
    id = id_;
    children = children_;
  }
  if (target) target->broker->CancelReceive(target->shard, id);
  for (const std::shared_ptr<PendingCall>& child : children) child->StopWaiting();
}

void PendingCall::Adopt(std::vector<std::shared_ptr<PendingCall>> children) {
  {
    MutexLock lock(&mu_);
    if (!cancelled_) {
      children_ = std::move(children);
      return;
    }
  }
  for (const std::shared_ptr<PendingCall>& child : children) child->Cancel();
}

std::optional<int> PendingCall::BeginAsking() {
  MutexLock lock(&mu_);
  if (cancelled_) return std::nullopt;
  return calls_ended_;
}

void PendingCall::Asked(int begun, const Target& target, uint64_t id) {
  {
    MutexLock lock(&mu_);
    if (calls_ended_ != begun) return;
    if (!cancelled_) {
      target_ = target;
      id_ = id;
      return;
    }
  }
  target.broker->CancelReceive(target.shard, id);
}

void PendingCall::Answered() {
  MutexLock lock(&mu_);
  ++calls_ended_;
  target_.reset();
}

bool PendingCalls::Add(std::shared_ptr<PendingCall> call) {
  MutexLock lock(&mu_);
  calls_.insert(std::move(call));
  return !draining_;
}

void PendingCalls::Remove(const std::shared_ptr<PendingCall>& call) {
  MutexLock lock(&mu_);
  calls_.erase(call);
}

void PendingCalls::Drain() {
  absl::flat_hash_set<std::shared_ptr<PendingCall>> calls;
  {
    MutexLock lock(&mu_);
    draining_ = true;
    calls = calls_;
  }
  for (const std::shared_ptr<PendingCall>& call : calls) call->StopWaiting();
}

}  // namespace barid::proxy
