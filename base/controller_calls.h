#ifndef BARID_BASE_CONTROLLER_CALLS_H_
#define BARID_BASE_CONTROLLER_CALLS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/metadata.h"

// What the other roles ask of the controller, in plain structs. Implemented by the controller itself (direct calls, in
// standalone) and by a client over barid.controller.v1.
namespace barid {

// Absent: left as it is.
struct TopicUpdate {
  ResourceName name;
  std::optional<absl::Duration> retention_age = std::nullopt;
  std::optional<int64_t> retention_bytes = std::nullopt;
  std::optional<bool> keep_unsettled = std::nullopt;
  std::optional<int64_t> max_message_bytes = std::nullopt;
  std::optional<int32_t> queues_per_shard = std::nullopt;  // Only upwards.
  std::optional<bool> idempotent = std::nullopt;
  std::optional<absl::Duration> transaction_recovery = std::nullopt;
};
struct GroupUpdate {
  ResourceName name;
  std::optional<RetryPolicy> retry = std::nullopt;
  std::optional<GroupKind> kind = std::nullopt;  // Decides it. kFailedPrecondition if it is decided otherwise.
  std::optional<absl::Duration> expire_after = std::nullopt;
  std::optional<bool> paused = std::nullopt;
};

// What a proxy saw of the groups that expire since its last report. While there are such groups each proxy reports
// every few seconds, also that it saw none of them: a group goes only after every proxy has said so
// (controller/group_activity.h).
struct GroupReport {
  std::string proxy;          // Its name, unique in the cluster.
  std::vector<GroupId> seen;  // That had a member.
};

// A broker that has started.
struct BrokerRegistration {
  std::string id;
  std::string endpoint;
  struct Replica {
    ShardId shard;
    std::string log_id;  // Hex, from the identity file.
  };
  std::vector<Replica> replicas;  // What it found in its data directory.
  std::string cluster = "";       // Of the identity files; empty: it found none. Another cluster's broker is refused.
};
struct ShardGrant {
  ShardMetadata shard;
  // The log that the shard must have here: a broker with another one, or none, halts the shard. Empty: a new shard, to
  // be created with a new log id that the broker registers in turn.
  std::string log_id;
};
struct BrokerGrant {
  std::string cluster;
  absl::Time now;  // The controller's clock: a broker far ahead of it does not lead.
  std::vector<ShardGrant> shards;
};

// Every callback runs exactly once, on any thread. Any thread calls.
class ControllerApi : public MetadataSource {
 public:
  // A snapshot that has the change; or kAlreadyExists, kNotFound, kInvalidArgument, kUnavailable, ...
  using Changed = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<const Metadata>>)>;

  // Ids and times in the argument are ignored; the controller gives them.
  virtual void CreateTopic(TopicMetadata topic, Changed done) = 0;
  virtual void UpdateTopic(TopicUpdate update, Changed done) = 0;
  virtual void DeleteTopic(ResourceName name, Changed done) = 0;
  virtual void CreateGroup(GroupMetadata group, Changed done) = 0;
  virtual void UpdateGroup(GroupUpdate update, Changed done) = 0;
  virtual void DeleteGroup(ResourceName name, Changed done) = 0;
  // Records that `group` reads `topic`, from the group's start position, which makes it a group that is delivered to.
  // OK if it is recorded already; kFailedPrecondition if the group is offset-based.
  virtual void Subscribe(GroupId group, TopicId topic, Changed done) = 0;
  // Forgets that `group` reads `topic`: brokers drop its places there. kNotFound if it does not. Who reads on
  // subscribes it anew, from its start position.
  virtual void Unsubscribe(GroupId group, TopicId topic, Changed done) = 0;

  // Best effort: one that is lost is as if the proxy had come later with the next.
  virtual void ReportGroups(GroupReport report) = 0;

  // Takes a new epoch for each shard that the broker is to lead. A new broker gets `shards_per_broker` new shards.
  virtual void RegisterBroker(BrokerRegistration registration,
                              absl::AnyInvocable<void(absl::StatusOr<BrokerGrant>)> done) = 0;
  // The broker made the log of a new shard.
  virtual void RegisterReplica(std::string broker, BrokerRegistration::Replica replica, Changed done) = 0;

  // `observer` is called with the current snapshot and then with each newer one (some may be passed over), in order, on
  // one thread at a time. Lives as long as this object.
  virtual void Watch(absl::AnyInvocable<void(std::shared_ptr<const Metadata>)> observer) = 0;
};

}  // namespace barid

#endif  // BARID_BASE_CONTROLLER_CALLS_H_
