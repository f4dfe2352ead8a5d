#include "proxy/cluster_stats.h"

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/mutex.h"

namespace barid::proxy {
namespace {

// Also says how many of its topic are delayed for each.
std::vector<GroupCount> SumOfShards(std::vector<GroupCount> counts) {
  std::sort(counts.begin(), counts.end(), [](const GroupCount& a, const GroupCount& b) {
    return std::tie(a.group, a.topic, a.shard) < std::tie(b.group, b.topic, b.shard);
  });
  std::vector<GroupCount> sums;
  for (const GroupCount& count : counts) {
    if (sums.empty() || sums.back().group != count.group || sums.back().topic != count.topic) {
      sums.push_back(count);
      continue;
    }
    GroupCount& sum = sums.back();
    sum.ready += count.ready;
    sum.in_flight += count.in_flight;
    sum.blocked += count.blocked;
    sum.delayed += count.delayed;
    sum.dead_lettered += count.dead_lettered;
    if (count.oldest) sum.oldest = sum.oldest ? std::min(*sum.oldest, *count.oldest) : *count.oldest;
  }
  // Those of topics come first.
  absl::flat_hash_map<TopicId, int64_t> delayed;
  for (GroupCount& sum : sums) {
    if (sum.group == GroupId()) {
      delayed[sum.topic] = sum.delayed;
    } else if (const auto found = delayed.find(sum.topic); found != delayed.end()) {
      sum.delayed = found->second;
    }
  }
  return sums;
}

}  // namespace

void AskStats(Router* router, const Metadata& metadata, StatsCall call, Callback<ClusterStats> done) {
  struct Gathering {
    Mutex mu;
    ClusterStats stats ABSL_GUARDED_BY(mu);
    size_t left ABSL_GUARDED_BY(mu) = 1;  // One for the loop below.
    Callback<ClusterStats> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  const auto gather = [gathering](const std::string& broker, StatsResult result) {
    ClusterStats stats;
    {
      MutexLock lock(&gathering->mu);
      if (!result.status.ok()) gathering->stats.silent_brokers.push_back(broker);
      for (QueueStats& queue : result.queues) gathering->stats.queues.push_back(std::move(queue));
      for (GroupCount& count : result.counts) gathering->stats.counts.push_back(std::move(count));
      if (--gathering->left > 0) return;
      stats = std::move(gathering->stats);
    }
    std::sort(stats.queues.begin(), stats.queues.end(), [](const QueueStats& a, const QueueStats& b) {
      return std::tie(a.queue.topic, a.shard, a.queue.queue) < std::tie(b.queue.topic, b.shard, b.queue.queue);
    });
    stats.counts = SumOfShards(std::move(stats.counts));
    std::sort(stats.silent_brokers.begin(), stats.silent_brokers.end());
    gathering->done(std::move(stats));
  };
  for (const BrokerMetadata& broker : metadata.tables().brokers) {
    {
      MutexLock lock(&gathering->mu);
      ++gathering->left;
    }
    BrokerApi* const api = router->brokers()->Find(broker.id);
    if (api == nullptr) {
      gather(broker.id, {absl::UnavailableError("cannot be reached"), {}, {}});
    } else {
      api->Stats(call, [gather, id = broker.id](StatsResult result) { gather(id, std::move(result)); });
    }
  }
  gather("", StatsResult());
}

}  // namespace barid::proxy
