#ifndef BARID_CODEC_CONTROLLER_CODEC_H_
#define BARID_CODEC_CONTROLLER_CODEC_H_

#include "absl/status/statusor.h"
#include "barid/controller/v1/controller.pb.h"
#include "base/controller_calls.h"
#include "base/metadata.h"

// Metadata as messages of barid.controller.v1: on the wire between processes and as values of the metadata store.
// Decode is the inverse of Encode, down to microseconds, below which times and durations are cut.
//
// A decoded number that no version of ours wrote (an enumeration, an id in the wrong range) is kInvalidArgument, naming
// the field.
namespace barid {

namespace controller_pb = ::barid::controller::v1;

void Encode(const ResourceName& in, controller_pb::ResourceName* out);
void Encode(const StartFrom& in, controller_pb::StartFrom* out);
void Encode(const TopicMetadata& in, controller_pb::Topic* out);
void Encode(const RetryPolicy& in, controller_pb::RetryPolicy* out);
void Encode(const GroupMetadata& in, controller_pb::Group* out);
void Encode(const SubscriptionMetadata& in, controller_pb::Subscription* out);
void Encode(const BrokerMetadata& in, controller_pb::Broker* out);
void Encode(const ShardMetadata& in, controller_pb::Shard* out);
void Encode(const SigningKey& in, controller_pb::SigningKey* out);

ResourceName Decode(const controller_pb::ResourceName& in);
absl::StatusOr<StartFrom> Decode(const controller_pb::StartFrom& in);
absl::StatusOr<TopicMetadata> Decode(const controller_pb::Topic& in);
RetryPolicy Decode(const controller_pb::RetryPolicy& in);
absl::StatusOr<GroupMetadata> Decode(const controller_pb::Group& in);
absl::StatusOr<SubscriptionMetadata> Decode(const controller_pb::Subscription& in);
BrokerMetadata Decode(const controller_pb::Broker& in);
ShardMetadata Decode(const controller_pb::Shard& in);
SigningKey Decode(const controller_pb::SigningKey& in);

void Encode(const TopicUpdate& in, controller_pb::UpdateTopicRequest* out);
void Encode(const GroupUpdate& in, controller_pb::UpdateGroupRequest* out);
void Encode(const GroupReport& in, controller_pb::ReportGroupsRequest* out);
void Encode(const BrokerRegistration& in, controller_pb::RegisterBrokerRequest* out);
void Encode(const BrokerGrant& in, controller_pb::RegisterBrokerResponse* out);

TopicUpdate Decode(const controller_pb::UpdateTopicRequest& in);
GroupUpdate Decode(const controller_pb::UpdateGroupRequest& in);
GroupReport Decode(const controller_pb::ReportGroupsRequest& in);
BrokerRegistration Decode(const controller_pb::RegisterBrokerRequest& in);
BrokerGrant Decode(const controller_pb::RegisterBrokerResponse& in);

// The whole of `metadata`, as the first update of a watch.
void EncodeSnapshot(const Metadata& metadata, controller_pb::MetadataUpdate* out);

// What makes `to` out of `from`. Linear in the size of both, cheap per entry that did not change.
void EncodeDifference(const Metadata& from, const Metadata& to, controller_pb::MetadataUpdate* out);

// `base` with `update` on top; for a snapshot `base` does not matter. Tables come out sorted by id.
absl::StatusOr<Metadata::Tables> ApplyUpdate(const Metadata::Tables& base, const controller_pb::MetadataUpdate& update);

}  // namespace barid

#endif  // BARID_CODEC_CONTROLLER_CODEC_H_
