#include "proxy/group_reset.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "proxy/offsets.h"

namespace barid::proxy {

absl::StatusOr<ResetOffsetCall> ResetOf(const Metadata& metadata, const GroupMetadata& group,
                                        const TopicMetadata& topic) {
  ResetOffsetCall reset;
  reset.group = group.id;
  reset.topic = topic.id;
  reset.metadata_revision = metadata.revision();
  reset.stored = group.kind == GroupKind::kOffset;
  if (!reset.stored && metadata.FindSubscription(group.id, topic.id) == nullptr) {
    if (group.kind == GroupKind::kUndecided) {
      return absl::FailedPreconditionError(
          absl::StrCat("the group ", group.name.ToString(),
                       " has neither received a message nor stored an offset yet: it has no place"));
    }
    return absl::NotFoundError(
        absl::StrCat("the group ", group.name.ToString(), " has not read the topic ", topic.name.ToString(), " yet"));
  }
  return reset;
}

std::map<ShardId, ResetOffsetCall> InAllShards(const Metadata& metadata, const TopicMetadata& topic,
                                               const ResetOffsetCall& reset) {
  std::map<ShardId, ResetOffsetCall> resets;
  for (const ShardMetadata* const shard : Router::Shards(metadata)) {
    if (topic.QueuesIn(shard->id) == 0) continue;
    resets.emplace(shard->id, reset).first->second.shard = shard->id;
  }
  return resets;
}

void ResetOffsets(Router* router, const Metadata& metadata, const std::map<ShardId, ResetOffsetCall>& resets,
                  Callback<std::map<ShardId, ResetOffsetResult>> done) {
  struct Gathering {
    Mutex mu;
    std::map<ShardId, ResetOffsetResult> results ABSL_GUARDED_BY(mu);
    size_t left ABSL_GUARDED_BY(mu) = 1;  // One for the loop below.
    Callback<std::map<ShardId, ResetOffsetResult>> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  const auto gather = [gathering](ShardId shard, ResetOffsetResult result) {
    std::map<ShardId, ResetOffsetResult> results;
    {
      MutexLock lock(&gathering->mu);
      if (shard != ShardId()) gathering->results[shard] = std::move(result);
      if (--gathering->left > 0) return;
      results = std::move(gathering->results);
    }
    gathering->done(std::move(results));
  };
  for (const auto& [shard, reset] : resets) {
    {
      MutexLock lock(&gathering->mu);
      ++gathering->left;
    }
    const absl::StatusOr<Target> target = router->ById(metadata, shard);
    if (!target.ok()) {
      gather(shard, {target.status(), {}});
      continue;
    }
    AskLeader<ResetOffsetCall, ResetOffsetResult>(
        router, *target, reset, &BrokerApi::ResetOffset,
        [gather, shard = shard](ResetOffsetResult result) { gather(shard, std::move(result)); });
  }
  gather(ShardId(), {});
}

}  // namespace barid::proxy
