#ifndef BARID_BASE_METADATA_H_
#define BARID_BASE_METADATA_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ids.h"

// What the cluster is made of, as every role sees it: topics, groups, shards, keys. The controller owns it; the others
// hold immutable snapshots that follow its watch.
namespace barid {

// Numbers as on the wire (apache.rocketmq.v2.MessageType).
enum class MessageType : uint8_t {
  kUnspecified = 0,
  kNormal = 1,
  kFifo = 2,
  kDelay = 3,
  kTransaction = 4,
  kLite = 5,
  kPriority = 6
};
absl::string_view MessageTypeName(MessageType type);  // "normal", "fifo", ...
std::optional<MessageType> ParseMessageType(absl::string_view name);

// A topic's or group's name inside its namespace ("" is the default one).
struct ResourceName {
  std::string space;
  std::string name;

  friend auto operator<=>(const ResourceName&, const ResourceName&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ResourceName& n) {
    return H::combine(std::move(h), n.space, n.name);
  }
  std::string ToString() const { return space.empty() ? name : space + "/" + name; }
};

inline constexpr size_t kMaxTopicNameBytes = 127;
inline constexpr size_t kMaxGroupNameBytes = 120;
inline constexpr char kDeadLetterPrefix[] = "%DLQ%";
inline constexpr char kDiscardedPrefix[] = "%TXN_DISCARDED%";

// What a topic and a group may be set to. The controller refuses anything else; who asks it may say so before.
inline constexpr int32_t kMaxQueuesPerShard = 64;
inline constexpr int32_t kMaxFifoQueues = 1024;  // Of a FIFO topic, in all.
inline constexpr int32_t kPriorityLevels = 16;   // Queues of a PRIORITY topic in every shard, the highest last.
inline constexpr int64_t kMaxMessageBytes = int64_t{4} << 20;  // Of a body.
inline constexpr absl::Duration kMinRetentionAge = absl::Seconds(1);
inline constexpr absl::Duration kMaxRetentionAge = absl::Hours(24 * 3650);
inline constexpr int32_t kMaxAttempts = 1000;
inline constexpr size_t kMaxRetryDelays = 64;
inline constexpr absl::Duration kMaxRetryDelay = absl::Hours(24);
inline constexpr double kMaxRetryMultiplier = 100;
inline constexpr absl::Duration kMinGroupExpiry = absl::Seconds(1);
inline constexpr absl::Duration kMaxGroupExpiry = absl::Hours(24 * 3650);
inline constexpr absl::Duration kMaxTransactionRecovery = absl::Hours(24);

// kInvalidArgument, saying what was found and what is allowed: `^[%|a-zA-Z0-9_-]+$`, at most the bytes above (behind
// the prefix of a topic of discarded transactions).
absl::Status ValidateTopicName(absl::string_view name);
absl::Status ValidateGroupName(absl::string_view name);

struct Retention {
  absl::Duration age = absl::Hours(72);
  int64_t bytes = 0;            // Of one topic in one shard; 0: no limit.
  bool keep_unsettled = false;  // Nothing goes that some group has not settled.

  friend bool operator==(const Retention&, const Retention&) = default;
};

struct TopicMetadata {
  TopicId id;
  ResourceName name;
  MessageType type = MessageType::kNormal;
  int32_t queues_per_shard = 4;
  Retention retention;
  int64_t max_message_bytes = int64_t{4} << 20;  // Of the body.
  absl::Time created = absl::UnixEpoch();
  // Of a FIFO topic: its queues, each by its shard, fixed when the topic is made, so that a message group stays in its
  // queue for ever. The first queue of a shard in this list has the id 0 there, the next one 1. queues_per_shard is the
  // most that any has.
  std::vector<ShardId> placement = {};
  // A message that is sent again soon is answered as the first was, and not stored again (docs/delivery.md).
  bool idempotent = true;
  // Of a TRANSACTION topic: how long after it was prepared, and then again and again, a producer is asked about a
  // transaction whose message does not say it. Zero: as the broker is set.
  absl::Duration transaction_recovery = absl::ZeroDuration();

  // How many queues it has in a shard.
  int32_t QueuesIn(ShardId shard) const;
  struct Place {
    ShardId shard;
    int32_t queue = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  // Where messages of a message group go (MessageGroupHash). FIFO topics only; its placement is not empty.
  Place PlaceOf(uint64_t message_group) const;

  friend bool operator==(const TopicMetadata&, const TopicMetadata&) = default;
};

// When a message that was returned becomes visible again, and how often it is tried.
struct RetryPolicy {
  int32_t max_attempts = 17;  // Deliveries, the first included.
  // Delays after attempt 1, 2, ...; the last one repeats. Empty: exponential.
  std::vector<absl::Duration> delays;
  absl::Duration initial = absl::Seconds(5);
  absl::Duration max = absl::Hours(2);
  double multiplier = 2;

  // The delay after `attempt` failed (attempt >= 1).
  absl::Duration DelayAfter(int32_t attempt) const;

  friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};
// 1s 5s 10s 30s 1m 2m ... 2h, as RocketMQ's users know it.
std::vector<absl::Duration> DefaultRetryDelays();

enum class DeliveryOrder : uint8_t { kNone = 0, kFifo = 1 };

// Where a group starts in a topic that it reads for the first time.
struct StartFrom {
  enum class Kind : uint8_t { kFirst = 0, kLast = 1, kTime = 2 };
  Kind kind = Kind::kFirst;
  absl::Time time = absl::UnixEpoch();  // For kTime.

  friend bool operator==(const StartFrom&, const StartFrom&) = default;
};

// Who knows what a group has read: the server, by deliveries that members settle; or the group itself, which reads by
// offset and stores how far it came. Decided when the group is made, or by its first subscription or stored offset;
// from then on it stays.
enum class GroupKind : uint8_t { kUndecided = 0, kDelivery = 1, kOffset = 2 };

struct GroupMetadata {
  GroupId id;
  ResourceName name;
  DeliveryOrder order = DeliveryOrder::kNone;
  RetryPolicy retry;
  StartFrom start;
  absl::Time created = absl::UnixEpoch();
  GroupKind kind = GroupKind::kUndecided;
  // The controller deletes it when no proxy has seen a member of it for so long: a group that was made for one member.
  // Zero: never.
  absl::Duration expire_after = absl::ZeroDuration();
  // Its members are given nothing until an operator resumes it. What they hold already they may settle.
  bool paused = false;

  friend bool operator==(const GroupMetadata&, const GroupMetadata&) = default;
};

// A group's first subscription to a topic: from when on it is owed the topic's messages.
struct SubscriptionMetadata {
  GroupId group;
  TopicId topic;
  StartFrom start;  // kLast has become a time by now.
  absl::Time created = absl::UnixEpoch();

  friend bool operator==(const SubscriptionMetadata&, const SubscriptionMetadata&) = default;
};

struct BrokerMetadata {
  std::string id;        // "broker-0".
  std::string endpoint;  // host:port of its barid.broker.v1 service; empty in standalone.

  friend bool operator==(const BrokerMetadata&, const BrokerMetadata&) = default;
};

struct ShardMetadata {
  ShardId id;
  std::string name;    // Stable; what clients see as the broker's name.
  std::string leader;  // Broker id; empty: none.
  Epoch epoch = 0;

  friend bool operator==(const ShardMetadata&, const ShardMetadata&) = default;
};

// A key that signs receipts. The newest signs, all verify.
struct SigningKey {
  uint32_t id = 0;
  std::string secret;

  friend bool operator==(const SigningKey&, const SigningKey&) = default;
};

// One immutable state of the cluster.
class Metadata {
 public:
  struct Tables {
    int64_t revision = 0;
    std::string cluster;  // Cluster id.
    std::vector<TopicMetadata> topics;
    std::vector<GroupMetadata> groups;
    std::vector<SubscriptionMetadata> subscriptions;
    std::vector<BrokerMetadata> brokers;
    std::vector<ShardMetadata> shards;
    std::vector<SigningKey> signing_keys;
  };

  Metadata() : Metadata(Tables()) {}
  explicit Metadata(Tables tables);
  // Its look-up tables point into it.
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;
  Metadata(Metadata&&) = default;
  Metadata& operator=(Metadata&&) = default;

  int64_t revision() const { return tables_.revision; }
  const Tables& tables() const { return tables_; }
  // Whether any group expires: else nobody needs to look for their members.
  bool has_expiring_groups() const { return has_expiring_groups_; }
  bool IsPaused(GroupId group) const { return !paused_groups_.empty() && paused_groups_.contains(group); }
  // The groups that were paused in `before` and are not any more, or are gone.
  absl::flat_hash_set<GroupId> ResumedSince(const Metadata& before) const;

  // nullptr if there is none. A dead-letter topic (%DLQ%<group>) is found while its group exists, by name and by id; so
  // is the topic of what was discarded of a TRANSACTION topic (%TXN_DISCARDED%<topic>) while that exists.
  const TopicMetadata* FindTopic(const ResourceName& name) const;
  const TopicMetadata* FindTopic(TopicId id) const;
  const GroupMetadata* FindGroup(const ResourceName& name) const;
  const GroupMetadata* FindGroup(GroupId id) const;
  const SubscriptionMetadata* FindSubscription(GroupId group, TopicId topic) const;
  const BrokerMetadata* FindBroker(absl::string_view id) const;
  const ShardMetadata* FindShard(ShardId id) const;
  const ShardMetadata* FindShard(absl::string_view name) const;

 private:
  Tables tables_;
  bool has_expiring_groups_ = false;
  absl::flat_hash_set<GroupId> paused_groups_;
  std::vector<TopicMetadata> implicit_topics_;
  absl::flat_hash_map<ResourceName, const TopicMetadata*> topics_by_name_;
  absl::flat_hash_map<TopicId, const TopicMetadata*> topics_by_id_;
  absl::flat_hash_map<ResourceName, const GroupMetadata*> groups_by_name_;
  absl::flat_hash_map<GroupId, const GroupMetadata*> groups_by_id_;
  absl::flat_hash_map<std::pair<GroupId, TopicId>, const SubscriptionMetadata*> subscriptions_;
};

// Where the current snapshot comes from. Any thread.
class MetadataSource {
 public:
  virtual ~MetadataSource() = default;
  virtual std::shared_ptr<const Metadata> Current() const = 0;
};

}  // namespace barid

#endif  // BARID_BASE_METADATA_H_
