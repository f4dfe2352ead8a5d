#include "proxy/lite_subscriber.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "proxy/offsets.h"

namespace barid::proxy {
namespace {

// Waits for all shards.
struct Gathering {
  Mutex mu;
  absl::Status worst ABSL_GUARDED_BY(mu);
  size_t missing ABSL_GUARDED_BY(mu) = 0;
  Callback<absl::Status> done;

  void Arrived(const absl::Status& status) {
    absl::Status all;
    {
      MutexLock lock(&mu);
      if (worst.ok()) worst = status;
      if (--missing > 0) return;
      all = worst;
    }
    done(std::move(all));
  }
};

}  // namespace

void SyncLite(Router* router, const Metadata& metadata, const std::vector<const ShardMetadata*>& shards,
              const LiteSubscription& subscription, int64_t quota, Callback<absl::Status> done) {
  using Action = LiteSyncCall::Action;
  const bool is_change = subscription.action == Action::kAdd || subscription.action == Action::kRemove;
  if (is_change && subscription.lite_topics.empty()) return done(absl::OkStatus());
  if (shards.empty()) return done(absl::UnavailableError("the cluster has no shards yet: no broker has registered"));
  const auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  {
    MutexLock lock(&gathering->mu);
    gathering->missing = shards.size();
  }
  for (const ShardMetadata* const shard : shards) {
    const absl::StatusOr<Target> target = router->ById(metadata, shard->id);
    // The next full call makes up for it.
    if (!target.ok()) {
      gathering->Arrived(target.status());
      continue;
    }
    LiteSyncCall call;
    call.shard = shard->id;
    call.group = subscription.group;
    call.topic = subscription.topic;
    call.metadata_revision = metadata.revision();
    call.client_id = subscription.client_id;
    call.action = subscription.action;
    call.lite_topics = subscription.lite_topics;
    call.version = subscription.version;
    call.quota = quota;
    call.start = subscription.start;
    AskLeader<LiteSyncCall, LiteSyncResult>(router, *target, std::move(call), &BrokerApi::SyncLite,
                                            [gathering](LiteSyncResult result) { gathering->Arrived(result.status); });
  }
}

}  // namespace barid::proxy
