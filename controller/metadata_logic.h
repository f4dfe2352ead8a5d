#ifndef BARID_CONTROLLER_METADATA_LOGIC_H_
#define BARID_CONTROLLER_METADATA_LOGIC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/controller_calls.h"
#include "base/metadata.h"
#include "controller/metadata_state.h"
#include "controller/records.h"

// What the controller decides, as pure functions of (state, event): the records to write, or why not. An error says
// what was found and what is allowed. The caller commits a plan on the condition that every record it names is
// unchanged.
namespace barid::controller {

struct MetadataLimits {
  int64_t max_topics = 10000;
  int64_t max_groups = 10000;
  int64_t max_subscriptions = 100000;
  int32_t shards_per_broker = 4;  // That a new broker gets.
  int32_t fifo_queues = 16;       // Of a FIFO topic, in all, if nothing else was asked for.
};

inline constexpr char kRetryPrefix[] = "%RETRY%";
inline constexpr size_t kMaxNamespaceBytes = 64;
inline constexpr size_t kMaxBrokerIdBytes = 64;
inline constexpr size_t kMaxEndpointBytes = 262;  // The longest DNS name, and ":65535" with room for brackets.
inline constexpr size_t kMaxLogIdBytes = 64;
// So much before it was made begins a group that expires and starts at the last message: clocks differ a little.
inline constexpr absl::Duration kMemberHeadStart = absl::Seconds(2);
inline constexpr size_t kSigningKeys = 2;  // Valid at once: a receipt outlives one rotation.

struct Plan {
  std::vector<Record> puts;
  std::vector<std::string> deletes;
  std::vector<std::string> relies_on;  // Keys that are not written, but must not change meanwhile.

  bool empty() const { return puts.empty() && deletes.empty(); }
};

// kInvalidArgument. The rules by themselves, for whoever wants to refuse early.
absl::Status ValidateTopic(const TopicMetadata& topic);
absl::Status ValidateRetryPolicy(const RetryPolicy& retry);

// The first start: a cluster with this id and one signing key. Empty if there is one.
Plan PlanFoundation(const MetadataState& state, const std::string& cluster, const std::string& secret);

// A FIFO topic's queues are placed on the shards that there are; kUnavailable if there are none yet.
absl::StatusOr<Plan> PlanCreateTopic(const MetadataState& state, const MetadataLimits& limits, TopicMetadata topic,
                                     absl::Time now);
absl::StatusOr<Plan> PlanUpdateTopic(const MetadataState& state, const TopicUpdate& update);
absl::StatusOr<Plan> PlanDeleteTopic(const MetadataState& state, const ResourceName& name);

absl::StatusOr<Plan> PlanCreateGroup(const MetadataState& state, const MetadataLimits& limits, GroupMetadata group,
                                     absl::Time now);
// kFailedPrecondition if the group is of another kind than it is to be.
absl::StatusOr<Plan> PlanUpdateGroup(const MetadataState& state, const GroupUpdate& update);
// Its subscriptions go too, and those of other groups to its dead-letter topic.
absl::StatusOr<Plan> PlanDeleteGroup(const MetadataState& state, const ResourceName& name);
// The same for those of `due` (controller/group_activity.h) that are there and still expire.
Plan PlanExpireGroups(const MetadataState& state, const std::vector<GroupId>& due);

// Empty if the subscription is there. A group that starts at the last message starts at `now`. One whose kind is
// undecided is delivered to from then on; kFailedPrecondition for one that is offset-based.
absl::StatusOr<Plan> PlanSubscribe(const MetadataState& state, const MetadataLimits& limits, GroupId group,
                                   TopicId topic, absl::Time now);

absl::StatusOr<Plan> PlanUnsubscribe(const MetadataState& state, GroupId group, TopicId topic);

// The grant holds once the plan is committed. Each of the broker's shards takes the next epoch. The broker leads it,
// unless the log that it found is not the registered one: then nobody does, until the broker returns with the right
// log.
//
// A log that was found where none is registered is taken over: the broker made it and stopped before it said so.
struct BrokerPlan {
  Plan plan;
  BrokerGrant grant;
};
absl::StatusOr<BrokerPlan> PlanRegisterBroker(const MetadataState& state, const MetadataLimits& limits,
                                              const BrokerRegistration& registration, absl::Time now);
absl::StatusOr<Plan> PlanRegisterReplica(const MetadataState& state, const std::string& broker,
                                         const BrokerRegistration::Replica& replica);

// A new key signs from now on; of the older ones only the newest stays.
Plan PlanRotateSigningKey(const MetadataState& state, const std::string& secret);

}  // namespace barid::controller

#endif  // BARID_CONTROLLER_METADATA_LOGIC_H_
