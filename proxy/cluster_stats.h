#ifndef BARID_PROXY_CLUSTER_STATS_H_
#define BARID_PROXY_CLUSTER_STATS_H_

#include <string>
#include <vector>

#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/router.h"

namespace barid::proxy {

// Stats of all brokers together.
struct ClusterStats {
  std::vector<QueueStats> queues;  // By topic, shard, queue.
  std::vector<GroupCount> counts;  // Of all shards together; by group, topic.
  std::vector<std::string> silent_brokers;
};

// Asks every broker. One that fails is named, the others' figures count all the same. `router` outlives the call.
void AskStats(Router* router, const Metadata& metadata, StatsCall call, Callback<ClusterStats> done);

}  // namespace barid::proxy

#endif  // BARID_PROXY_CLUSTER_STATS_H_
