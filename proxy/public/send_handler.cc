#include "proxy/public/send_handler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "proxy/fingerprint.h"
#include "proxy/public/exchange.h"
#include "proxy/recall_handle.h"
#include "proxy/refusal.h"
#include "proxy/signature.h"
#include "proxy/transaction_id.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using SendExchange = ExchangePtr<v2::SendMessageRequest, v2::SendMessageResponse>;

// All messages share one fate. Only with kSend did a shard see them.
void AnswerAll(SendExchange exchange, const absl::Status& status, StatusUse use = StatusUse::kOther) {
  if (exchange->request().messages().empty()) return exchange->Answer(status, use);
  for (const v2::Message& message : exchange->request().messages()) {
    v2::SendResultEntry* const entry = exchange->response()->add_entries();
    exchange->WriteStatus(status, entry->mutable_status(), use);
    entry->set_message_id(message.system_properties().message_id());
  }
  exchange->AnswerEntries();
}

// Any of the messages is scheduled: each of them gets what recalls it.
void SetRecallHandles(const AppendResult& result, TopicId topic, const Metadata& metadata,
                      v2::SendMessageResponse* response) {
  const SigningKey* const key = NewestKey(metadata.tables().signing_keys);
  if (key == nullptr) return;  // Sent all the same.
  for (size_t i = 0; i < result.entries.size(); ++i) {
    if (!result.entries[i].timer) continue;
    v2::SendResultEntry* const entry = response->mutable_entries(static_cast<int>(i));
    entry->set_recall_handle(
        EncodeRecallHandle({result.entries[i].shard, topic, *result.entries[i].timer, entry->message_id()}, *key));
  }
}

// Each of the messages is a transaction, and gets what ends it.
void SetTransactionIds(const AppendResult& result, TopicId topic, const Metadata& metadata,
                       v2::SendMessageResponse* response) {
  const SigningKey* const key = NewestKey(metadata.tables().signing_keys);
  CHECK(key != nullptr);  // It was there before the send: keys are only ever replaced.
  for (size_t i = 0; i < result.entries.size(); ++i) {
    if (!result.entries[i].transaction) continue;
    response->mutable_entries(static_cast<int>(i))
        ->set_transaction_id(
            EncodeTransactionId({result.entries[i].shard, topic, *result.entries[i].transaction}, *key));
  }
}

// A shard has no more room for lite topics; other shortages say when to come back.
absl::Status LiteQuota(const v2::Message& message, const absl::Status& status) {
  if (!message.system_properties().has_lite_topic() || !absl::IsResourceExhausted(status) || GetRetryAfter(status))
    return status;
  return Refuse(Reason::kLiteTopicQuotaExceeded, status.message());
}

void AnswerResult(SendExchange exchange, TopicId topic, AppendResult result) {
  const int messages = exchange->request().messages_size();
  if (result.status.ok() && static_cast<int>(result.entries.size()) != messages) {
    result.status = absl::InternalError(
        absl::StrCat("the broker answered ", result.entries.size(), " entries to ", messages, " messages"));
  }
  if (!result.status.ok()) {
    const absl::Status status = LiteQuota(exchange->request().messages(0), result.status);
    return AnswerAll(std::move(exchange), status, StatusUse::kSend);
  }
  for (int i = 0; i < messages; ++i) {
    v2::SendResultEntry* const entry = exchange->response()->add_entries();
    exchange->WriteStatus(LiteQuota(exchange->request().messages(i), result.entries[i].status), entry->mutable_status(),
                          StatusUse::kSend);
    entry->set_message_id(exchange->request().messages(i).system_properties().message_id());
    if (result.entries[i].status.ok()) entry->set_offset(result.entries[i].offset);
  }
  size_t stored = 0;
  for (const AppendResult::Entry& entry : result.entries) stored += entry.status.ok() ? 1 : 0;
  exchange->proxy()->throughput().Sent(stored);
  const auto is_scheduled = [](const AppendResult::Entry& entry) { return entry.timer.has_value(); };
  if (std::any_of(result.entries.begin(), result.entries.end(), is_scheduled)) {
    SetRecallHandles(result, topic, *exchange->proxy()->router().Snapshot(), exchange->response());
  }
  const auto is_prepared = [](const AppendResult::Entry& entry) { return entry.transaction.has_value(); };
  if (std::any_of(result.entries.begin(), result.entries.end(), is_prepared)) {
    SetTransactionIds(result, topic, *exchange->proxy()->router().Snapshot(), exchange->response());
  }
  exchange->AnswerEntries();
}

// Old clients leave the type open and mean what the properties say.
MessageType TypeOf(const v2::SystemProperties& properties) {
  if (properties.message_type() != v2::MESSAGE_TYPE_UNSPECIFIED)
    return static_cast<MessageType>(properties.message_type());
  if (properties.has_delivery_timestamp()) return MessageType::kDelay;
  if (properties.has_message_group()) return MessageType::kFifo;
  if (properties.has_lite_topic()) return MessageType::kLite;
  if (properties.has_priority()) return MessageType::kPriority;
  return MessageType::kNormal;
}

// To the microsecond, and never earlier than it says.
absl::Time DeliveryTimeOf(const google::protobuf::Timestamp& proto) {
  const absl::Time time = FromProto(proto, proto.seconds() < 0 ? absl::UnixEpoch() : absl::InfiniteFuture());
  if (time == absl::InfiniteFuture()) return time;
  const absl::Time micros = absl::FromUnixMicros(absl::ToUnixMicros(time));
  return micros < time ? micros + absl::Microseconds(1) : micros;
}

// Views into the request.
MessageDraft DraftOf(const v2::Message& message, absl::string_view peer, absl::Time now) {
  const v2::SystemProperties& system = message.system_properties();
  MessageDraft draft;
  draft.type = TypeOf(system);
  draft.message_id = system.message_id();
  if (system.has_tag()) draft.tag = system.tag();
  draft.keys.assign(system.keys().begin(), system.keys().end());
  if (system.has_message_group()) draft.message_group = system.message_group();
  if (system.has_trace_context()) draft.trace_context = system.trace_context();
  if (system.has_lite_topic()) draft.lite_topic = system.lite_topic();
  if (system.has_priority()) draft.priority = system.priority();
  draft.properties.reserve(message.user_properties().size());
  for (const auto& [name, value] : message.user_properties()) draft.properties.emplace_back(name, value);
  draft.body_encoding = system.body_encoding();
  draft.body = message.body();
  draft.born_time = system.has_born_timestamp() ? FromProto(system.born_timestamp(), now) : now;
  draft.born_host = system.born_host().empty() ? peer : absl::string_view(system.born_host());
  if (system.has_delivery_timestamp()) draft.delivery_time = DeliveryTimeOf(system.delivery_timestamp());
  return draft;
}

absl::Status CheckBatch(const v2::SendMessageRequest& request, const ProxyLimits& limits) {
  if (request.messages().empty()) {
    return Refuse(Reason::kMessageCorrupted, "the request has no messages, expected at least one");
  }
  if (request.messages_size() > limits.max_batch_messages) {
    return Refuse(Reason::kPayloadTooLarge,
                  absl::StrCat("the request has ", request.messages_size(), " messages, at most ",
                               limits.max_batch_messages, " are allowed"));
  }
  const v2::Resource& topic = request.messages(0).topic();
  int64_t bytes = 0;
  for (const v2::Message& message : request.messages()) {
    if (message.topic().name() != topic.name() || message.topic().resource_namespace() != topic.resource_namespace()) {
      return Refuse(Reason::kMessageCorrupted, absl::StrCat("the request has messages for the topics ", topic.name(),
                                                            " and ", message.topic().name(), ", expected one topic"));
    }
    bytes += static_cast<int64_t>(message.body().size());
  }
  // One message is measured against its topic's limit.
  if (request.messages_size() > 1 && bytes > limits.max_batch_bytes) {
    return Refuse(Reason::kPayloadTooLarge,
                  absl::StrCat("the request's bodies have ", bytes, " bytes together, at most ", limits.max_batch_bytes,
                               " are allowed"));
  }
  return absl::OkStatus();
}

// Checks and encodes every message.
absl::StatusOr<OutgoingMessages> Encode(const v2::SendMessageRequest& request, const TopicMetadata& topic,
                                        absl::string_view client_id, absl::string_view peer, absl::Time now,
                                        const ProxyOptions& options) {
  OutgoingMessages encoded;
  encoded.reserve(request.messages_size());
  for (int i = 0; i < request.messages_size(); ++i) {
    const MessageDraft draft = DraftOf(request.messages(i), peer, now);
    RETURN_IF_ERROR(CheckMessage(draft, i, options.limits));
    RETURN_IF_ERROR(CheckMessageAgainstTopic(draft, i, topic, options));
    RETURN_IF_ERROR(CheckDeliveryTime(draft, i, now, options.max_delay));
    OutgoingMessage& outgoing = encoded.emplace_back();
    outgoing.type = draft.type;
    outgoing.priority = draft.priority.value_or(0);
    if (draft.lite_topic) outgoing.lite_topic = std::string(*draft.lite_topic);
    AppendCall::Message& message = outgoing.message;
    message.stored = EncodeStoredMessage(draft);
    if (draft.tag) message.tag_hash = TagHash(*draft.tag);
    message.deliver_at = draft.delivery_time;
    if (draft.message_group) message.message_group = MessageGroupHash(*draft.message_group);
    const v2::SystemProperties& system = request.messages(i).system_properties();
    if (topic.idempotent) {
      const Fingerprint fingerprint = FingerprintOf(draft, topic.id, {client_id, system.born_host()});
      message.id_hash = fingerprint.id;
      message.content_hash = fingerprint.content;
    }
    if (!system.has_orphaned_transaction_recovery_duration()) continue;
    message.check_after = FromProto(system.orphaned_transaction_recovery_duration());
    RETURN_IF_ERROR(CheckRecovery(draft, i, *message.check_after, options.max_transaction_recovery));
  }
  return encoded;
}

void SendTo(SendExchange exchange, const Metadata& metadata, const TopicMetadata& topic) {
  Proxy* const proxy = exchange->proxy();
  absl::StatusOr<InflightBytes::Share> share =
      proxy->sender().inflight()->Take(static_cast<int64_t>(exchange->request_bytes()));
  if (!share.ok()) return AnswerAll(std::move(exchange), share.status());
  absl::StatusOr<OutgoingMessages> messages = Encode(exchange->request(), topic, exchange->caller().id,
                                                     exchange->head().peer, proxy->clock()->Now(), proxy->options());
  if (!messages.ok()) return AnswerAll(std::move(exchange), messages.status());
  const bool prepare = topic.type == MessageType::kTransaction;
  if (prepare) {
    if (NewestKey(metadata.tables().signing_keys) == nullptr) {
      return AnswerAll(std::move(exchange),
                       absl::UnavailableError("the cluster has no key to sign transaction ids with yet"));
    }
    proxy->clients().Produces(exchange->caller().id, {topic.name});
  }
  proxy->sender().Send(
      metadata, topic, *std::move(messages),
      [exchange = std::move(exchange), share = *std::move(share), topic = topic.id](AppendResult result) mutable {
        SendExchange::element_type::Continue(std::move(exchange),
                                             [topic, result = std::move(result)](SendExchange exchange) mutable {
                                               AnswerResult(std::move(exchange), topic, std::move(result));
                                             });
      });
}

void SendMessage(SendExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  if (const absl::Status status = CheckBatch(exchange->request(), proxy->options().limits); !status.ok()) {
    return AnswerAll(std::move(exchange), status);
  }
  const ResourceName name = NameOf(exchange->request().messages(0).topic(), exchange->caller().space);
  const Snapshot metadata = proxy->router().Snapshot();
  if (const TopicMetadata* const topic = metadata->FindTopic(name))
    return SendTo(std::move(exchange), *metadata, *topic);

  if (const absl::Status status = CheckTopic(name); !status.ok()) return AnswerAll(std::move(exchange), status);
  proxy->catalog().NeedTopic(name, [exchange = std::move(exchange), name](absl::StatusOr<Snapshot> found) mutable {
    if (!found.ok()) return AnswerAll(std::move(exchange), found.status());
    SendTo(std::move(exchange), **found, *(*found)->FindTopic(name));
  });
}

}  // namespace

edge::UnaryHandler SendHandler(Proxy* proxy) { return HandlerOf("SendMessage", proxy, SendMessage); }

void AddSendHandler(Proxy* proxy, edge::MethodTable* table) {
  table->unary[absl::StrCat(kMessagingService, "SendMessage")] = SendHandler(proxy);
}

}  // namespace barid::proxy
