#ifndef BARID_BROKER_GRPC_BROKER_CODEC_H_
#define BARID_BROKER_GRPC_BROKER_CODEC_H_

#include <memory>

#include "absl/status/statusor.h"
#include "barid/broker/v1/broker.pb.h"
#include "base/broker_calls.h"

// The broker's side of barid.broker.v1: calls are decoded, answers are encoded. The other side is
// proxy/grpc/broker_codec.h.
namespace barid::broker {

namespace broker_pb = ::barid::broker::v1;

// The messages share `owner`, which holds `in`: nothing is copied, and the frame lives as long as the last of them.
AppendCall Decode(const broker_pb::Append& in, const std::shared_ptr<const void>& owner);
ReceiveCall Decode(const broker_pb::Receive& in);
// kInvalidArgument for a kind that we do not know.
absl::StatusOr<SettleCall> Decode(const broker_pb::Settle& in);
SentReport Decode(const broker_pb::SentReport& in);
ClientReport Decode(const broker_pb::ClientReport& in);
StatsCall Decode(const broker_pb::Stats& in);

void Encode(const absl::Status& in, broker_pb::Status* out);
void Encode(const AppendResult& in, broker_pb::AppendAnswer* out);
void Encode(const SettleResult& in, broker_pb::SettleAnswer* out);
void Encode(const QueueStats& in, broker_pb::QueueStats* out);
// Everything but the message's bytes.
void EncodeHead(const Delivery& in, broker_pb::Delivery* out);

}  // namespace barid::broker

#endif  // BARID_BROKER_GRPC_BROKER_CODEC_H_
