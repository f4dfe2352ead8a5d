#ifndef BARID_PROXY_GROUP_RESET_H_
#define BARID_PROXY_GROUP_RESET_H_

#include <map>

#include "absl/status/statusor.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/router.h"

namespace barid::proxy {

// Moves the group's place in the topic; to where, and in which shard, is for the caller to say. kFailedPrecondition for
// a group whose kind is not decided, kNotFound for one that is delivered to and has not read the topic.
absl::StatusOr<ResetOffsetCall> ResetOf(const Metadata& metadata, const GroupMetadata& group,
                                        const TopicMetadata& topic);
// The same in each shard that has a queue of the topic.
std::map<ShardId, ResetOffsetCall> InAllShards(const Metadata& metadata, const TopicMetadata& topic,
                                               const ResetOffsetCall& reset);

// Asks the leader of each of these shards. One whose result is not OK may have moved the group, or not. `router`
// outlives the call.
void ResetOffsets(Router* router, const Metadata& metadata, const std::map<ShardId, ResetOffsetCall>& resets,
                  Callback<std::map<ShardId, ResetOffsetResult>> done);

}  // namespace barid::proxy

#endif  // BARID_PROXY_GROUP_RESET_H_
