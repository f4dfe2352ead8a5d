#ifndef BARID_CODEC_BROKER_CODEC_H_
#define BARID_CODEC_BROKER_CODEC_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "barid/broker/v1/broker.pb.h"
#include "base/broker_calls.h"

// The calls of a broker and their answers as messages of barid.broker.v1. The proxy encodes calls and decodes answers,
// the broker does the reverse. Decode is the inverse of Encode, down to microseconds, below which times and durations
// are cut.
namespace barid {

namespace broker_pb = ::barid::broker::v1;

// Messages are copied, here and once more when protobuf writes the frame: about 0.1 us per KiB.
void Encode(const AppendCall& in, broker_pb::Append* out);
void Encode(const RecallCall& in, broker_pb::Recall* out);
void Encode(const EndTransactionCall& in, broker_pb::EndTransaction* out);
void Encode(const ChecksCall& in, broker_pb::TakeChecks* out);
void Encode(const TransactionsCall& in, broker_pb::ListTransactions* out);
void Encode(const LookupCall& in, broker_pb::Lookup* out);
void Encode(const RedriveCall& in, broker_pb::Redrive* out);
void Encode(const ReceiveCall& in, broker_pb::Receive* out);  // But for the id.
void Encode(const SettleCall& in, broker_pb::Settle* out);
void Encode(const SentReport& in, broker_pb::SentReport* out);
void Encode(const ClientReport& in, broker_pb::ClientReport* out);
void Encode(const StatsCall& in, broker_pb::Stats* out);
void Encode(const PullCall& in, broker_pb::Pull* out);  // But for the id.
void Encode(const QueryOffsetCall& in, broker_pb::QueryOffset* out);
void Encode(const GetOffsetCall& in, broker_pb::GetOffset* out);
void Encode(const UpdateOffsetCall& in, broker_pb::UpdateOffset* out);
void Encode(const ResetOffsetCall& in, broker_pb::ResetOffset* out);

// The messages share `owner`, which holds `in`: nothing is copied, and the frame lives as long as the last of them.
AppendCall Decode(const broker_pb::Append& in, const std::shared_ptr<const void>& owner);
RecallCall Decode(const broker_pb::Recall& in);
EndTransactionCall Decode(const broker_pb::EndTransaction& in);
ChecksCall Decode(const broker_pb::TakeChecks& in);
TransactionsCall Decode(const broker_pb::ListTransactions& in);
LookupCall Decode(const broker_pb::Lookup& in);
RedriveCall Decode(const broker_pb::Redrive& in);
ReceiveCall Decode(const broker_pb::Receive& in);
// kInvalidArgument for a kind that we do not know.
absl::StatusOr<SettleCall> Decode(const broker_pb::Settle& in);
SentReport Decode(const broker_pb::SentReport& in);
ClientReport Decode(const broker_pb::ClientReport& in);
StatsCall Decode(const broker_pb::Stats& in);
PullCall Decode(const broker_pb::Pull& in);
// kInvalidArgument for a policy or a target that we do not know.
absl::StatusOr<QueryOffsetCall> Decode(const broker_pb::QueryOffset& in);
GetOffsetCall Decode(const broker_pb::GetOffset& in);
UpdateOffsetCall Decode(const broker_pb::UpdateOffset& in);
absl::StatusOr<ResetOffsetCall> Decode(const broker_pb::ResetOffset& in);

void Encode(const absl::Status& in, broker_pb::Status* out);
void Encode(const AppendResult& in, broker_pb::AppendAnswer* out);
void Encode(const RecallResult& in, broker_pb::RecallAnswer* out);
void Encode(const EndTransactionResult& in, broker_pb::EndTransactionAnswer* out);
void Encode(const ChecksResult& in, broker_pb::TakeChecksAnswer* out);
void Encode(const TransactionsResult& in, broker_pb::ListTransactionsAnswer* out);
void Encode(const LookupResult& in, broker_pb::LookupAnswer* out);
void Encode(const RedriveResult& in, broker_pb::RedriveAnswer* out);
void Encode(const SettleResult& in, broker_pb::SettleAnswer* out);
void Encode(const QueueStats& in, broker_pb::QueueStats* out);
void Encode(const GroupCount& in, broker_pb::GroupCount* out);
void Encode(const LiteSyncCall& in, broker_pb::SyncLite* out);
void Encode(const LiteSyncResult& in, broker_pb::SyncLiteAnswer* out);
void Encode(const OffsetResult& in, broker_pb::OffsetAnswer* out);
void Encode(const ResetOffsetResult& in, broker_pb::ResetOffsetAnswer* out);
// Everything but the message's bytes.
void EncodeHead(const Delivery& in, broker_pb::Delivery* out);

absl::Status Decode(const broker_pb::Status& in);
AppendResult Decode(const broker_pb::AppendAnswer& in);
RecallResult Decode(const broker_pb::RecallAnswer& in);
EndTransactionResult Decode(const broker_pb::EndTransactionAnswer& in);
ChecksResult Decode(const broker_pb::TakeChecksAnswer& in);
TransactionsResult Decode(const broker_pb::ListTransactionsAnswer& in);
LookupResult Decode(const broker_pb::LookupAnswer& in);
RedriveResult Decode(const broker_pb::RedriveAnswer& in);
SettleResult Decode(const broker_pb::SettleAnswer& in);
QueueStats Decode(const broker_pb::QueueStats& in);
GroupCount Decode(const broker_pb::GroupCount& in);
absl::StatusOr<LiteSyncCall> Decode(const broker_pb::SyncLite& in);
LiteSyncResult Decode(const broker_pb::SyncLiteAnswer& in);
OffsetResult Decode(const broker_pb::OffsetAnswer& in);
ResetOffsetResult Decode(const broker_pb::ResetOffsetAnswer& in);
// Everything but the message's bytes.
Delivery DecodeHead(const broker_pb::Delivery& in);

}  // namespace barid

#endif  // BARID_CODEC_BROKER_CODEC_H_
