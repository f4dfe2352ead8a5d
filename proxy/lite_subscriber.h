#ifndef BARID_PROXY_LITE_SUBSCRIBER_H_
#define BARID_PROXY_LITE_SUBSCRIBER_H_

#include <optional>
#include <string>
#include <vector>

#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/router.h"

namespace barid::proxy {

// What a client says about the lite topics that it reads.
struct LiteSubscription {
  GroupId group;
  TopicId topic;
  std::string client_id;
  LiteSyncCall::Action action = LiteSyncCall::Action::kAdd;
  std::vector<std::string> lite_topics;  // Sorted.
  int64_t version = 0;
  std::optional<LiteStart> start;
};

// Tells each of `shards` all of it: a lite topic may have messages in the shard where it was before there were more of
// them, so a client's word is for every shard. `router` outlives the calls; `done` runs once, with the first failure of
// those that the shards answered. Any thread.
void SyncLite(Router* router, const Metadata& metadata, const std::vector<const ShardMetadata*>& shards,
              const LiteSubscription& subscription, int64_t quota, Callback<absl::Status> done);

}  // namespace barid::proxy

#endif  // BARID_PROXY_LITE_SUBSCRIBER_H_
