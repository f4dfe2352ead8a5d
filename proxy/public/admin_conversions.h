#ifndef BARID_PROXY_PUBLIC_ADMIN_CONVERSIONS_H_
#define BARID_PROXY_PUBLIC_ADMIN_CONVERSIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "barid/admin/v1/admin.pb.h"
#include "base/broker_calls.h"
#include "base/controller_calls.h"
#include "base/metadata.h"
#include "proxy/clients.h"

// Between the admin messages and our structs. What comes in is checked: kInvalidArgument names what is wrong.
namespace barid::proxy {

namespace admin = ::barid::admin::v1;

ResourceName FromProto(const admin::Name& name);

absl::StatusOr<TopicMetadata> FromProto(const admin::CreateTopicRequest& request);
absl::StatusOr<TopicUpdate> FromProto(const admin::UpdateTopicRequest& request);
absl::StatusOr<GroupMetadata> FromProto(const admin::CreateGroupRequest& request);
absl::StatusOr<GroupUpdate> FromProto(const admin::UpdateGroupRequest& request);

// What producers chose (ids, keys, properties) as text for the wire, which takes UTF-8 only: control characters are
// escaped, and of bytes that are no UTF-8 all that are not ASCII.
std::string Text(absl::string_view bytes);
// A sentence of ours that quotes such: as it is, but for control characters, which become spaces.
std::string SentenceText(std::string sentence);

void ToProto(const ResourceName& name, admin::Name* out);
void ToProto(const TopicMetadata& topic, admin::Topic* out);
void ToProto(const GroupMetadata& group, admin::Group* out);
void ToProto(const QueueStats& stats, const Metadata& metadata, admin::QueueStats* out);
void ToProto(const GroupCount& count, const Metadata& metadata, admin::GroupCount* out);
void ToProto(const TransactionInfo& transaction, const std::string& shard,
             admin::ListTransactionsResponse::Transaction* out);
void ToProto(const ResetOffsetResult::Entry& entry, const std::string& shard, admin::ResetOffsetResponse::Queue* out);
void ToProto(const ClientProfile& client, admin::Client* out);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ADMIN_CONVERSIONS_H_
