#include "proxy/grpc/broker_codec.h"

#include <limits>

#include "absl/strings/cord.h"

namespace barid::proxy {
namespace {

QueueKey DecodeQueue(const broker_pb::Queue& in) { return {TopicId(in.topic()), in.queue()}; }

void EncodeQueue(const QueueKey& in, broker_pb::Queue* out) {
  out->set_topic(in.topic.value());
  out->set_queue(in.queue);
}

absl::Duration DecodeDuration(int64_t micros) {
  return micros == std::numeric_limits<int64_t>::max() ? absl::InfiniteDuration() : absl::Microseconds(micros);
}

static_assert(static_cast<int>(SettleKind::kAck) == broker_pb::SETTLE_KIND_ACK);
static_assert(static_cast<int>(SettleKind::kReturn) == broker_pb::SETTLE_KIND_RETURN);
static_assert(static_cast<int>(SettleKind::kExtend) == broker_pb::SETTLE_KIND_EXTEND);
static_assert(static_cast<int>(SettleKind::kUndelivered) == broker_pb::SETTLE_KIND_UNDELIVERED);
static_assert(static_cast<int>(SettleKind::kDeadLetter) == broker_pb::SETTLE_KIND_DEAD_LETTER);

}  // namespace

void Encode(const AppendCall& in, broker_pb::Append* out) {
  out->set_shard(in.shard.value());
  out->set_topic(in.topic.value());
  out->set_metadata_revision(in.metadata_revision);
  out->set_queue(in.queue);
  for (const AppendCall::Message& message : in.messages) {
    broker_pb::Append::Message* const to = out->add_messages();
    to->set_stored(message.stored.data(), message.stored.size());
    to->set_tag_hash(message.tag_hash);
  }
}

void Encode(const ReceiveCall& in, broker_pb::Receive* out) {
  out->set_shard(in.shard.value());
  out->set_group(in.group.value());
  out->set_topic(in.topic.value());
  out->set_metadata_revision(in.metadata_revision);
  for (const std::string& tag : in.tags) out->add_tags(tag);
  out->set_max_messages(in.max_messages);
  out->set_max_bytes(in.max_bytes);
  out->set_invisible_us(absl::ToInt64Microseconds(in.invisible));
  out->set_auto_renew(in.auto_renew);
  out->set_client_id(in.client_id);
  out->set_attempt_id(in.attempt_id);
  out->set_wait_us(absl::ToInt64Microseconds(in.wait));
}

void Encode(const SettleCall& in, broker_pb::Settle* out) {
  out->set_shard(in.shard.value());
  for (const SettleEntry& entry : in.entries) {
    broker_pb::Settle::Entry* const to = out->add_entries();
    to->set_group(entry.group.value());
    EncodeQueue(entry.queue, to->mutable_queue());
    to->set_offset(entry.offset);
    to->set_nonce(entry.nonce);
    to->set_kind(static_cast<broker_pb::SettleKind>(entry.kind));
    to->set_delay_us(absl::ToInt64Microseconds(entry.delay));
    to->set_reason(entry.reason);
  }
}

void Encode(const SentReport& in, broker_pb::SentReport* out) {
  out->set_shard(in.shard.value());
  for (const SentReport::Entry& entry : in.entries) {
    broker_pb::SentReport::Entry* const to = out->add_entries();
    to->set_group(entry.group.value());
    EncodeQueue(entry.queue, to->mutable_queue());
    to->set_offset(entry.offset);
    to->set_nonce(entry.nonce);
  }
}

void Encode(const ClientReport& in, broker_pb::ClientReport* out) {
  out->set_proxy(in.proxy);
  for (const std::string& client : in.alive) out->add_alive(client);
  for (const std::string& client : in.gone) out->add_gone(client);
}

void Encode(const StatsCall& in, broker_pb::Stats* out) {
  out->set_topic(in.topic.value());
  out->set_group(in.group.value());
}

absl::Status Decode(const broker_pb::Status& in) {
  if (in.code() == 0) return absl::OkStatus();
  absl::Status out(static_cast<absl::StatusCode>(in.code()), in.message());
  for (const broker_pb::Status::Payload& payload : in.payloads()) out.SetPayload(payload.url(), absl::Cord(payload.value()));
  return out;
}

AppendResult Decode(const broker_pb::AppendAnswer& in) {
  AppendResult out;
  out.status = Decode(in.status());
  out.entries.reserve(in.entries_size());
  for (const broker_pb::AppendAnswer::Entry& entry : in.entries()) {
    out.entries.push_back({Decode(entry.status()), entry.queue(), entry.offset()});
  }
  return out;
}

SettleResult Decode(const broker_pb::SettleAnswer& in) {
  SettleResult out;
  out.status = Decode(in.status());
  out.entries.reserve(in.entries_size());
  for (const broker_pb::Status& entry : in.entries()) out.entries.push_back(Decode(entry));
  return out;
}

QueueStats Decode(const broker_pb::QueueStats& in) {
  QueueStats out;
  out.shard = ShardId(in.shard());
  out.queue = DecodeQueue(in.queue());
  out.first = in.first();
  out.end = in.end();
  out.bytes = in.bytes();
  for (const broker_pb::QueueStats::Group& group : in.groups()) {
    out.groups.push_back({GroupId(group.group()), group.floor(), group.next(), group.in_flight(), group.ready_again()});
  }
  return out;
}

Delivery DecodeHead(const broker_pb::Delivery& in) {
  Delivery out;
  out.queue = DecodeQueue(in.queue());
  out.offset = in.offset();
  out.attempt = in.attempt();
  out.nonce = in.nonce();
  out.store_time = absl::FromUnixMicros(in.store_time_us());
  out.invisible = DecodeDuration(in.invisible_us());
  if (in.has_origin()) {
    const broker_pb::Delivery::Origin& origin = in.origin();
    out.origin = Delivery::Origin{TopicId(origin.topic()), origin.topic_name(), origin.message_id(), origin.attempts(),
                                  origin.reason()};
  }
  return out;
}

}  // namespace barid::proxy
