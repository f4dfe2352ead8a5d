#include "proxy/lite_subscriber.h"

#include <memory>
#include <utility>

#include "absl/container/btree_map.h"
#include "base/lite_topic.h"
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

void SyncLite(Router* router, const Metadata& metadata, const LiteSubscription& subscription, int64_t quota,
              Callback<absl::Status> done) {
  using Action = LiteSyncCall::Action;
  const bool to_all = subscription.action == Action::kSet || subscription.action == Action::kRemoveAll;
  absl::btree_map<ShardId, std::vector<std::string>> names;
  if (to_all) {
    for (const ShardMetadata* const shard : Router::Shards(metadata)) names[shard->id];
  }
  for (const std::string& name : subscription.lite_topics) {
    const ShardMetadata* const shard = Router::ShardOf(metadata, LiteTopicHash(subscription.topic, name));
    if (shard == nullptr)
      return done(absl::UnavailableError("the cluster has no shards yet: no broker has registered"));
    names[shard->id].push_back(name);
  }
  if (names.empty()) return done(absl::OkStatus());
  const auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  {
    MutexLock lock(&gathering->mu);
    gathering->missing = names.size();
  }
  for (auto& [shard, of_shard] : names) {
    const absl::StatusOr<Target> target = router->ById(metadata, shard);
    // The next full call makes up for it.
    if (!target.ok()) {
      gathering->Arrived(target.status());
      continue;
    }
    LiteSyncCall call;
    call.shard = shard;
    call.group = subscription.group;
    call.topic = subscription.topic;
    call.metadata_revision = metadata.revision();
    call.client_id = subscription.client_id;
    call.action = subscription.action;
    call.lite_topics = std::move(of_shard);
    call.version = subscription.version;
    call.quota = quota;
    AskLeader<LiteSyncCall, LiteSyncResult>(router, *target, std::move(call), &BrokerApi::SyncLite,
                                            [gathering](LiteSyncResult result) { gathering->Arrived(result.status); });
  }
}

}  // namespace barid::proxy
