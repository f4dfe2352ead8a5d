#ifndef BARID_CONTROLLER_RECORDS_H_
#define BARID_CONTROLLER_RECORDS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "base/metadata.h"

// The entries of the metadata store: a key as text, a value as a message of barid.controller.v1 (docs/controller.md).
//
//   cluster                               Cluster: its id, and the next ids to give
//   topic/<namespace>/<name>              Topic
//   group/<namespace>/<name>              Group
//   subscription/<group id>/<topic id>    Subscription; ids are 16 hex digits
//   broker/<broker id>                    Broker
//   shard/<shard id>                      Shard
//   replica/<shard id>/<broker id>        Replica
//   signing_key/<key id>                  SigningKey; 8 hex digits
//   controller                            the elected controller's name, as text
//
// Names hold no "/", so no two entries share a key.
namespace barid::controller {

inline constexpr char kElectionKey[] = "controller";

// What names the cluster. A number that was taken from here is never given again, so an id means one thing for ever.
struct ClusterRecord {
  std::string id;
  uint64_t next_topic_id = 1;
  uint64_t next_group_id = 1;
  uint64_t next_shard_id = 1;
  uint32_t next_signing_key_id = 1;

  friend bool operator==(const ClusterRecord&, const ClusterRecord&) = default;
};

// One broker's copy of a shard.
struct ReplicaRecord {
  ShardId shard;
  std::string broker;
  std::string log_id;  // Hex; empty: granted, but its log is not registered yet.

  friend bool operator==(const ReplicaRecord&, const ReplicaRecord&) = default;
};

using Record = std::variant<ClusterRecord, TopicMetadata, GroupMetadata, SubscriptionMetadata, BrokerMetadata,
                            ShardMetadata, ReplicaRecord, SigningKey>;

std::string ClusterKey();
std::string TopicKey(const ResourceName& name);
std::string GroupKey(const ResourceName& name);
std::string SubscriptionKey(GroupId group, TopicId topic);
std::string BrokerKey(absl::string_view id);
std::string ShardKey(ShardId id);
std::string ReplicaKey(ShardId shard, absl::string_view broker);
std::string SigningKeyKey(uint32_t id);
std::string KeyOf(const Record& record);

std::string EncodeRecord(const Record& record);

// kDataLoss, naming the key, if `value` is not what EncodeRecord gave for it; kNotFound if the key is no record's (a
// later version's, or the election's).
absl::StatusOr<Record> DecodeRecord(absl::string_view key, absl::string_view value);

}  // namespace barid::controller

#endif  // BARID_CONTROLLER_RECORDS_H_
