#include "tests/proxy/status_codes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace barid::proxy {
namespace {

// Not a proto of any kind: a tag of wire type 7.
const char kNoProto[] = "\x0f\x0f";

std::string Long(size_t bytes) { return std::string(bytes, 'x'); }

}  // namespace

StatusWorld::StatusWorld() {
  controller_.MakeTopic("later", MessageType::kDelay);
  controller_.MakeTopic("deals", MessageType::kTransaction);
  UseOneShard();
  controller_.MakeTopic("steps", MessageType::kFifo);
  controller_.MakeTopic("alarms", MessageType::kPriority);
  controller_.MakeTopic("sessions", MessageType::kLite);
}

v2::Status StatusWorld::AskBytes(const std::string& rpc, std::string request) {
  const auto* const service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName("apache.rocketmq.v2.MessagingService");
  const auto* const method = service->FindMethodByName(rpc);
  CHECK(method != nullptr) << rpc;
  std::string answer;
  if (method->server_streaming()) {
    const auto stream = port_.Open(kService + rpc);
    stream->SendBytes(std::move(request));
    struct Raw {  // What TestStream::As wants.
      std::string bytes;
      bool ParseFromString(const std::string& frame) {
        bytes = frame;
        return true;
      }
    };
    const std::vector<Raw> frames = stream->As<Raw>();
    CHECK(!frames.empty()) << rpc << " wrote nothing";
    answer = frames[0].bytes;
  } else {
    const auto call = port_.StartBytes(kService + rpc, std::move(request));
    struct Raw {
      std::string bytes;
      bool ParseFromString(const std::string& whole) {
        bytes = whole;
        return true;
      }
    };
    answer = call->As<Raw>().bytes;
  }
  const std::unique_ptr<google::protobuf::Message> response(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(method->output_type())->New());
  CHECK(response->ParseFromString(answer)) << rpc;
  const auto* const field = method->output_type()->FindFieldByName("status");
  v2::Status status;
  status.CopyFrom(response->GetReflection()->GetMessage(*response, field));
  return status;
}

void StatusWorld::MakeNothing() {
  ProxyOptions options;
  options.auto_create_topics = false;
  options.auto_create_groups = false;
  Restart(options);
}

void StatusWorld::Depose() {
  controller_.Edit([](Metadata::Tables* tables) { tables->shards[0].leader = ""; });
}

v2::QueryRouteRequest StatusWorld::Route(const std::string& topic) {
  v2::QueryRouteRequest request;
  *request.mutable_topic() = Named(topic);
  request.mutable_endpoints()->add_addresses()->set_host("192.0.2.1");
  request.mutable_endpoints()->mutable_addresses(0)->set_port(8081);
  return request;
}

v2::QueryAssignmentRequest StatusWorld::Assignment(const std::string& topic, const std::string& group) {
  v2::QueryAssignmentRequest request;
  *request.mutable_topic() = Named(topic);
  *request.mutable_group() = Named(group);
  *request.mutable_endpoints() = Route().endpoints();
  return request;
}

v2::Status StatusWorld::SendWith(void (*change)(v2::SystemProperties*)) {
  v2::Message message = MessageOf("orders", "hello");
  change(message.mutable_system_properties());
  return Send(message).status();
}

v2::Status StatusWorld::SendUntilItsDeadline() {
  broker(0).hold = true;
  v2::SendMessageRequest request;
  *request.add_messages() = MessageOf("orders", "hello");
  port_.deadline = In(absl::Milliseconds(300));
  const auto call = port_.Start(std::string(kService) + "SendMessage", request);
  call->NearDeadline();
  broker(0).Release();
  return call->As<v2::SendMessageResponse>().status();
}

v2::Message StatusWorld::Scheduled(absl::Duration ahead) {
  v2::Message message = MessageOf("later", "hello");
  message.mutable_system_properties()->set_message_type(v2::DELAY);
  ToProto(In(ahead), message.mutable_system_properties()->mutable_delivery_timestamp());
  return message;
}

v2::Message StatusWorld::Prepared() {
  v2::Message message = MessageOf("deals", "hello");
  message.mutable_system_properties()->set_message_type(v2::TRANSACTION);
  return message;
}

v2::Message StatusWorld::Urgent(int32_t priority) {
  v2::Message message = MessageOf("alarms", "hello");
  message.mutable_system_properties()->set_message_type(v2::PRIORITY);
  message.mutable_system_properties()->set_priority(priority);
  return message;
}

v2::Message StatusWorld::Lite(const std::string& lite_topic) {
  v2::Message message = MessageOf("sessions", "hello");
  message.mutable_system_properties()->set_message_type(v2::LITE);
  message.mutable_system_properties()->set_lite_topic(lite_topic);
  return message;
}

v2::SyncLiteSubscriptionRequest StatusWorld::Reads(const std::vector<std::string>& lite_topics,
                                                   const std::string& topic, const std::string& group) {
  v2::SyncLiteSubscriptionRequest request;
  request.set_action(v2::COMPLETE_ADD);
  *request.mutable_topic() = Named(topic);
  *request.mutable_group() = Named(group);
  for (const std::string& name : lite_topics) request.add_lite_topic_set(name);
  return request;
}

v2::MessageQueue StatusWorld::Queue(const std::string& topic) {
  v2::MessageQueue queue;
  *queue.mutable_topic() = Named(topic);
  queue.mutable_broker()->set_name("shard-1");
  return queue;
}

v2::PullMessageRequest StatusWorld::PullOf(int64_t offset) {
  v2::PullMessageRequest request;
  *request.mutable_group() = Named("workers");
  *request.mutable_message_queue() = Queue();
  request.set_offset(offset);
  request.set_batch_size(32);
  return request;
}

v2::UpdateOffsetRequest StatusWorld::UpdateOf(int64_t offset, const std::string& group) {
  v2::UpdateOffsetRequest request;
  *request.mutable_group() = Named(group);
  *request.mutable_message_queue() = Queue();
  request.set_offset(offset);
  return request;
}

v2::GetOffsetRequest StatusWorld::GetOf(const std::string& group) {
  v2::GetOffsetRequest request;
  *request.mutable_group() = Named(group);
  *request.mutable_message_queue() = Queue();
  return request;
}

v2::QueryOffsetRequest StatusWorld::QueryOf(v2::QueryOffsetPolicy policy) {
  v2::QueryOffsetRequest request;
  *request.mutable_message_queue() = Queue();
  request.set_query_offset_policy(policy);
  return request;
}

v2::EndTransactionRequest StatusWorld::End(v2::TransactionResolution resolution, const std::string& topic) {
  v2::EndTransactionRequest request;
  *request.mutable_topic() = Named(topic);
  request.set_transaction_id(Send(Prepared()).entries(0).transaction_id());
  request.set_resolution(resolution);
  return request;
}

v2::RecallMessageRequest StatusWorld::RecallOf(const std::string& handle, const std::string& topic) {
  v2::RecallMessageRequest request;
  *request.mutable_topic() = Named(topic);
  request.set_recall_handle(handle);
  return request;
}

std::string StatusWorld::Delivered() {
  Send("hello");
  return ReceiveHandle();
}

// ---- The table ----

using W = StatusWorld;

// Each is where its call keeps it: QueryRoute, then Heartbeat, and so on as in service.proto.
const std::vector<StatusCase>& StatusCases() {
  static const auto* const kCases = new std::vector<StatusCase>({
      // --- QueryRoute ---
      {"QueryRoute", v2::OK, "the topic is there, or was made for this call",
       [](W& w) { return w.Ask("QueryRoute", w.Route()); }},
      {"QueryRoute", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("QueryRoute", kNoProto); }},
      {"QueryRoute", v2::BAD_REQUEST, "it names no endpoints and `public.advertise` is not set",
       [](W& w) {
         v2::QueryRouteRequest request = w.Route();
         request.clear_endpoints();
         return w.Ask("QueryRoute", request);
       }},
      {"QueryRoute", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) { return w.Ask("QueryRoute", w.Route("no.dots")); }},
      {"QueryRoute", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("QueryRoute", w.Route());
       }},
      {"QueryRoute", v2::TOPIC_NOT_FOUND, "there is no such topic and topics are not made on first use",
       [](W& w) {
         w.MakeNothing();
         return w.Ask("QueryRoute", w.Route("unknown"));
       }},
      {"QueryRoute", v2::TOO_MANY_REQUESTS, "the controller refuses to make one more topic",
       [](W& w) {
         w.controller().FailChanges(absl::ResourceExhaustedError("there are 1000 topics, that many are allowed"));
         return w.Ask("QueryRoute", w.Route("unknown"));
       }},
      {"QueryRoute", v2::INTERNAL_SERVER_ERROR, "making the topic fails for no reason that a client can mend",
       [](W& w) {
         w.controller().FailChanges(absl::InternalError("the metadata store failed"));
         return w.Ask("QueryRoute", w.Route("unknown"));
       }},
      {"QueryRoute", v2::HA_NOT_AVAILABLE, "no broker has registered yet",
       [](W& w) {
         w.controller().Edit([](Metadata::Tables* tables) { tables->shards.clear(); });
         return w.Ask("QueryRoute", w.Route());
       }},
      {"QueryRoute", v2::PROXY_TIMEOUT, "the controller does not answer in time while a topic is made",
       [](W& w) {
         w.controller().FailChanges(absl::DeadlineExceededError("the controller did not answer within 5s"));
         return w.Ask("QueryRoute", w.Route("unknown"));
       }},

      // --- Heartbeat ---
      {"Heartbeat", v2::OK, "the client has an id, whether anybody has seen it before or not",
       [](W& w) { return w.Heartbeat(v2::PUSH_CONSUMER).status(); }},
      {"Heartbeat", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("Heartbeat", kNoProto); }},
      {"Heartbeat", v2::ILLEGAL_CONSUMER_GROUP, "the group's name has a character that is not allowed",
       [](W& w) { return w.Heartbeat(v2::PUSH_CONSUMER, "no.dots").status(); }},
      {"Heartbeat", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Heartbeat(v2::PUSH_CONSUMER).status();
       }},

      // --- SendMessage ---
      {"SendMessage", v2::OK, "all messages are stored and synced", [](W& w) { return w.Send("hello").status(); }},
      {"SendMessage", v2::MULTIPLE_RESULTS, "some messages of the call are stored and others are not",
       [](W& w) {
         w.broker(0).append_fate = [](size_t i) {
           return i == 0 ? absl::OkStatus() : absl::ResourceExhaustedError("full");
         };
         v2::SendMessageRequest request;
         *request.add_messages() = w.MessageOf("orders", "first", "01");
         *request.add_messages() = w.MessageOf("orders", "second", "02");
         return w.Ask("SendMessage", request);
       }},
      {"SendMessage", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("SendMessage", kNoProto); }},
      {"SendMessage", v2::BAD_REQUEST, "the recovery duration of a transaction is longer than "
       "`proxy.max_transaction_recovery`",
       [](W& w) {
         v2::Message message = w.Prepared();
         message.mutable_system_properties()->mutable_orphaned_transaction_recovery_duration()->set_seconds(3601);
         return w.Send(message).status();
       }},
      {"SendMessage", v2::BAD_REQUEST, "a priority is negative",
       [](W& w) { return w.Send(w.Urgent(-1)).status(); }},
      {"SendMessage", v2::ILLEGAL_TOPIC, "the topic's name is blank",
       [](W& w) { return w.Send("hello", "").status(); }},
      {"SendMessage", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) { return w.Send("hello", "no.dots").status(); }},
      {"SendMessage", v2::ILLEGAL_TOPIC, "the topic's name has more than 127 bytes",
       [](W& w) { return w.Send("hello", Long(128)).status(); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_TAG, "a tag is blank",
       [](W& w) { return w.SendWith([](auto* system) { system->set_tag(" "); }); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_TAG, "a tag has a `|` or a control character",
       [](W& w) { return w.SendWith([](auto* system) { system->set_tag("a|b"); }); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_KEY, "a key is blank",
       [](W& w) { return w.SendWith([](auto* system) { system->add_keys(""); }); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_KEY, "a key has a control character",
       [](W& w) { return w.SendWith([](auto* system) { system->add_keys("a\nb"); }); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_GROUP, "a message group is blank",
       [](W& w) { return w.SendWith([](auto* system) { system->set_message_group(" "); }); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_GROUP, "a message group has 64 bytes or more",
       [](W& w) { return w.SendWith([](auto* system) { system->set_message_group(Long(64)); }); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_GROUP, "a message group has a control character",
       [](W& w) { return w.SendWith([](auto* system) { system->set_message_group("a\tb"); }); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_GROUP, "a FIFO message has no message group",
       [](W& w) {
         v2::Message message = w.MessageOf("steps", "hello");
         message.mutable_system_properties()->set_message_type(v2::FIFO);
         return w.Send(message).status();
       }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_PROPERTY_KEY, "a user property has a reserved name",
       [](W& w) {
         v2::Message message = w.MessageOf("orders", "hello");
         (*message.mutable_user_properties())["KEYS"] = "a";
         return w.Send(message).status();
       }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_PROPERTY_KEY, "a user property has a control character in its name or value",
       [](W& w) {
         v2::Message message = w.MessageOf("orders", "hello");
         (*message.mutable_user_properties())["colour"] = "a\nb";
         return w.Send(message).status();
       }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_ID, "a message id is blank",
       [](W& w) { return w.SendWith([](auto* system) { system->set_message_id(" "); }); }},
      {"SendMessage", v2::ILLEGAL_MESSAGE_ID, "a message id has more than 255 bytes",
       [](W& w) { return w.SendWith([](auto* system) { system->set_message_id(Long(256)); }); }},
      {"SendMessage", v2::ILLEGAL_DELIVERY_TIME, "a delivery time is farther ahead than `proxy.max_delay`",
       [](W& w) { return w.Send(w.Scheduled(absl::Hours(24 * 40 + 1))).status(); }},
      {"SendMessage", v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "a message is not of its topic's type",
       [](W& w) { return w.SendWith([](auto* system) { system->set_message_type(v2::TRANSACTION); }); }},
      {"SendMessage", v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "a message is of a type that its topic does not take "
       "even if `proxy.enforce_message_types` is off",
       [](W& w) {
         ProxyOptions options;
         options.enforce_message_types = false;
         w.Restart(options);
         return w.SendWith([](auto* system) { system->set_message_type(v2::TRANSACTION); });
       }},
      {"SendMessage", v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "a message has a property that is for another type",
       [](W& w) { return w.SendWith([](auto* system) { system->set_message_group("a"); }); }},
      {"SendMessage", v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "a message lacks what its type needs: a delivery time "
       "or a priority",
       [](W& w) {
         v2::Message message = w.Urgent(1);
         message.mutable_system_properties()->clear_priority();
         return w.Send(message).status();
       }},
      {"SendMessage", v2::ILLEGAL_LITE_TOPIC, "a LITE message has no lite topic",
       [](W& w) {
         v2::Message message = w.Lite("");
         message.mutable_system_properties()->clear_lite_topic();
         return w.Send(message).status();
       }},
      {"SendMessage", v2::ILLEGAL_LITE_TOPIC, "a lite topic is blank, has more than 64 bytes or a control character",
       [](W& w) { return w.Send(w.Lite(Long(65))).status(); }},
      {"SendMessage", v2::LITE_TOPIC_QUOTA_EXCEEDED, "a new lite topic, and the topic has `broker.max_lite_topics` in its shard",
       [](W& w) {
         w.Refuse(absl::ResourceExhaustedError("the topic has 1000000 lite topics in this shard"));
         return w.Send(w.Lite("session-1")).status();
       }},
      {"SendMessage", v2::MESSAGE_CORRUPTED, "the call has no message",
       [](W& w) { return w.Ask("SendMessage", v2::SendMessageRequest()); }},
      {"SendMessage", v2::MESSAGE_CORRUPTED, "the call has messages of different topics",
       [](W& w) {
         v2::SendMessageRequest request;
         *request.add_messages() = w.MessageOf("orders", "first", "01");
         *request.add_messages() = w.MessageOf("later", "second", "02");
         return w.Ask("SendMessage", request);
       }},
      {"SendMessage", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("SendMessage", v2::SendMessageRequest());
       }},
      {"SendMessage", v2::FORBIDDEN, "the topic is one that only the server adds to",
       [](W& w) { return w.Send("hello", "%DLQ%workers").status(); }},
      {"SendMessage", v2::NOT_FOUND, "the topic was deleted while the message was on its way to the shard",
       [](W& w) {
         w.Refuse(absl::NotFoundError("no topic with id 7"));
         return w.Send("hello").status();
       }},
      {"SendMessage", v2::TOPIC_NOT_FOUND, "there is no such topic and topics are not made on first use",
       [](W& w) {
         w.MakeNothing();
         return w.Send("hello", "unknown").status();
       }},
      {"SendMessage", v2::PAYLOAD_TOO_LARGE, "the call has more messages than `proxy.max_batch_messages`",
       [](W& w) {
         v2::SendMessageRequest request;
         for (int i = 0; i < 1025; ++i) *request.add_messages() = w.MessageOf("orders", "hello");
         return w.Ask("SendMessage", request);
       }},
      {"SendMessage", v2::MESSAGE_BODY_TOO_LARGE, "a body is larger than its topic takes",
       [](W& w) { return w.Send(Long((4 << 20) + 1)).status(); }},
      {"SendMessage", v2::MESSAGE_BODY_EMPTY, "a body is empty", [](W& w) { return w.Send("").status(); }},
      {"SendMessage", v2::TOO_MANY_REQUESTS, "this proxy holds more unanswered bytes than `proxy.max_inflight_sends`",
       [](W& w) {
         ProxyOptions options;
         options.limits.max_inflight_send_bytes = 10;
         w.Restart(options);
         return w.Send("hello").status();
       }},
      {"SendMessage", v2::TOO_MANY_REQUESTS, "the shard has too much to write, or its disk is nearly full",
       [](W& w) {
         w.Refuse(RetryAfterError(absl::Seconds(1), "the disk is nearly full"));
         return w.Send("hello").status();
       }},
      {"SendMessage", v2::MESSAGE_PROPERTIES_TOO_LARGE, "a message has more than 128 user properties",
       [](W& w) {
         v2::Message message = w.MessageOf("orders", "hello");
         for (int i = 0; i < 129; ++i) (*message.mutable_user_properties())[absl::StrCat("p", i)] = "v";
         return w.Send(message).status();
       }},
      {"SendMessage", v2::MESSAGE_PROPERTIES_TOO_LARGE, "properties, tag and keys have more than 16 KiB",
       [](W& w) { return w.SendWith([](auto* system) { system->add_keys(Long(16385)); }); }},
      {"SendMessage", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Send("hello").status();
       }},
      {"SendMessage", v2::HA_NOT_AVAILABLE, "no shard has a leader that can be reached",
       [](W& w) {
         w.Depose();
         return w.Send("hello").status();
       }},
      {"SendMessage", v2::PROXY_TIMEOUT, "the controller does not answer in time while the topic is made; nothing was "
       "stored",
       [](W& w) {
         w.controller().FailChanges(absl::DeadlineExceededError("the controller did not answer within 5s"));
         return w.Send("hello", "unknown").status();
       }},
      {"SendMessage", v2::MASTER_PERSISTENCE_TIMEOUT, "the outcome is unknown: the messages reached the shard and no "
       "answer came back",
       [](W& w) {
         w.Refuse(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
         return w.Send("hello").status();
       }},
      {"SendMessage", v2::MASTER_PERSISTENCE_TIMEOUT, "the outcome is unknown: the deadline of the call comes before the "
       "shard's answer",
       [](W& w) { return w.SendUntilItsDeadline(); }},

      // --- QueryAssignment ---
      {"QueryAssignment", v2::OK, "the topic is there, or was made for this call",
       [](W& w) { return w.Ask("QueryAssignment", w.Assignment()); }},
      {"QueryAssignment", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("QueryAssignment", kNoProto); }},
      {"QueryAssignment", v2::BAD_REQUEST, "it names no endpoints and `public.advertise` is not set",
       [](W& w) {
         v2::QueryAssignmentRequest request = w.Assignment();
         request.clear_endpoints();
         return w.Ask("QueryAssignment", request);
       }},
      {"QueryAssignment", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) { return w.Ask("QueryAssignment", w.Assignment("no.dots")); }},
      {"QueryAssignment", v2::ILLEGAL_CONSUMER_GROUP, "the group's name has a character that is not allowed",
       [](W& w) { return w.Ask("QueryAssignment", w.Assignment("orders", "no.dots")); }},
      {"QueryAssignment", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("QueryAssignment", w.Assignment());
       }},
      {"QueryAssignment", v2::TOPIC_NOT_FOUND, "there is no such topic and topics are not made on first use",
       [](W& w) {
         w.MakeNothing();
         return w.Ask("QueryAssignment", w.Assignment("unknown"));
       }},
      {"QueryAssignment", v2::TOO_MANY_REQUESTS, "the controller refuses to make one more topic",
       [](W& w) {
         w.controller().FailChanges(absl::ResourceExhaustedError("there are 1000 topics, that many are allowed"));
         return w.Ask("QueryAssignment", w.Assignment("unknown"));
       }},
      {"QueryAssignment", v2::INTERNAL_SERVER_ERROR, "making the topic fails for no reason that a client can mend",
       [](W& w) {
         w.controller().FailChanges(absl::InternalError("the metadata store failed"));
         return w.Ask("QueryAssignment", w.Assignment("unknown"));
       }},
      {"QueryAssignment", v2::HA_NOT_AVAILABLE, "no broker has registered yet",
       [](W& w) {
         w.controller().Edit([](Metadata::Tables* tables) { tables->shards.clear(); });
         return w.Ask("QueryAssignment", w.Assignment());
       }},
      {"QueryAssignment", v2::PROXY_TIMEOUT, "the controller does not answer in time while a topic is made",
       [](W& w) {
         w.controller().FailChanges(absl::DeadlineExceededError("the controller did not answer within 5s"));
         return w.Ask("QueryAssignment", w.Assignment("unknown"));
       }},

      // --- ReceiveMessage ---
      {"ReceiveMessage", v2::OK, "there are messages for the group",
       [](W& w) {
         w.Send("hello");
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf());
       }},
      {"ReceiveMessage", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("ReceiveMessage", kNoProto); }},
      {"ReceiveMessage", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) { return w.Ask("ReceiveMessage", w.ReceiveRequestOf("workers", "no.dots")); }},
      {"ReceiveMessage", v2::ILLEGAL_CONSUMER_GROUP, "the group's name has a character that is not allowed",
       [](W& w) { return w.Ask("ReceiveMessage", w.ReceiveRequestOf("no.dots")); }},
      {"ReceiveMessage", v2::ILLEGAL_FILTER_EXPRESSION, "the tag expression has an empty tag",
       [](W& w) {
         v2::ReceiveMessageRequest request = w.ReceiveRequestOf();
         request.mutable_filter_expression()->set_expression("a || ");
         return w.Ask("ReceiveMessage", request);
       }},
      {"ReceiveMessage", v2::ILLEGAL_FILTER_EXPRESSION, "the SQL filter cannot be read",
       [](W& w) {
         v2::ReceiveMessageRequest request = w.ReceiveRequestOf();
         request.mutable_filter_expression()->set_type(v2::SQL);
         request.mutable_filter_expression()->set_expression("price >");
         return w.Ask("ReceiveMessage", request);
       }},
      {"ReceiveMessage", v2::ILLEGAL_INVISIBLE_TIME, "the invisible duration is shorter than 10 s or longer than 12 h",
       [](W& w) {
         v2::ReceiveMessageRequest request = w.ReceiveRequestOf();
         request.mutable_invisible_duration()->set_seconds(1);
         return w.Ask("ReceiveMessage", request);
       }},
      {"ReceiveMessage", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf());
       }},
      {"ReceiveMessage", v2::MESSAGE_NOT_FOUND, "no message came while the receive waited",
       [](W& w) { return w.Ask("ReceiveMessage", w.ReceiveRequestOf()); }},
      {"ReceiveMessage", v2::TOPIC_NOT_FOUND, "there is no such topic and topics are not made on first use",
       [](W& w) {
         w.MakeNothing();
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf("workers", "unknown"));
       }},
      {"ReceiveMessage", v2::CONSUMER_GROUP_NOT_FOUND, "there is no such group and groups are not made on first use",
       [](W& w) {
         w.MakeNothing();
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf("unknown"));
       }},
      {"ReceiveMessage", v2::PRECONDITION_FAILED, "the group stores offsets, and is not delivered to",
       [](W& w) {
         w.Ask("UpdateOffset", w.UpdateOf(0));
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf());
       }},
      {"ReceiveMessage", v2::TOO_MANY_REQUESTS, "the client has more receives waiting than "
       "`proxy.max_waiting_receives`",
       [](W& w) {
         ProxyOptions options;
         options.limits.max_waiting_receives_per_client = 1;
         w.Restart(options);
         v2::ReceiveMessageRequest request = w.ReceiveRequestOf();
         request.mutable_long_polling_timeout()->set_seconds(10);
         const auto first = w.StartReceive(request);
         return w.Ask("ReceiveMessage", request);
       }},
      {"ReceiveMessage", v2::TOO_MANY_REQUESTS, "the connection has more answers to read than "
       "`public.max_connection_inflight`",
       [](W& w) {
         w.Send(Long(2000));
         w.LeaveRoomFor(1000);
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf());
       }},
      {"ReceiveMessage", v2::TOO_MANY_REQUESTS, "the shard has more receives waiting than it takes",
       [](W& w) {
         w.Refuse(RetryAfterError(absl::Seconds(1), "more than 100000 receives wait"));
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf());
       }},
      {"ReceiveMessage", v2::INTERNAL_SERVER_ERROR, "what is stored cannot be read",
       [](W& w) {
         w.Refuse(absl::DataLossError("the index points to a record that is not there"));
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf());
       }},
      {"ReceiveMessage", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         w.Depose();
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf());
       }},
      {"ReceiveMessage", v2::PROXY_TIMEOUT, "the shard lost its leader while messages were being handed out",
       [](W& w) {
         w.Refuse(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
         return w.Ask("ReceiveMessage", w.ReceiveRequestOf());
       }},

      // --- AckMessage ---
      {"AckMessage", v2::OK, "all deliveries are acknowledged", [](W& w) { return w.Ack({w.Delivered()}).status(); }},
      {"AckMessage", v2::MULTIPLE_RESULTS, "some entries are acknowledged and others are not",
       [](W& w) { return w.Ack({w.Delivered(), "forged"}).status(); }},
      {"AckMessage", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("AckMessage", kNoProto); }},
      {"AckMessage", v2::BAD_REQUEST, "the call has no entry", [](W& w) { return w.Ack({}).status(); }},
      {"AckMessage", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) { return w.Ack({"x"}, "workers", "no.dots").status(); }},
      {"AckMessage", v2::ILLEGAL_CONSUMER_GROUP, "the group's name has a character that is not allowed",
       [](W& w) { return w.Ack({"x"}, "no.dots").status(); }},
      {"AckMessage", v2::INVALID_RECEIPT_HANDLE, "the handle is forged, cut off or empty",
       [](W& w) { return w.Ack({"forged"}).status(); }},
      {"AckMessage", v2::INVALID_RECEIPT_HANDLE, "the handle is for another topic or group",
       [](W& w) { return w.Ack({w.Delivered()}, "others").status(); }},
      {"AckMessage", v2::INVALID_RECEIPT_HANDLE, "the message was settled, or delivered again",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Ack({handle});
         return w.Ack({handle}).status();
       }},
      {"AckMessage", v2::INVALID_RECEIPT_HANDLE, "the topic or the group has been deleted",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.controller().Edit([](Metadata::Tables* tables) { tables->groups.clear(); });
         return w.Ack({handle}).status();
       }},
      {"AckMessage", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ack({"x"}).status();
       }},
      {"AckMessage", v2::PAYLOAD_TOO_LARGE, "the call has more than 1024 entries",
       [](W& w) { return w.Ack(std::vector<std::string>(1025, "x")).status(); }},
      {"AckMessage", v2::TOO_MANY_REQUESTS, "the shard has too much to write",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(RetryAfterError(absl::Milliseconds(100), "too many bytes wait for the disk"));
         return w.Ack({handle}).status();
       }},
      {"AckMessage", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Ack({handle}).status();
       }},
      {"AckMessage", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Depose();
         return w.Ack({handle}).status();
       }},
      {"AckMessage", v2::PROXY_TIMEOUT, "the outcome is unknown: the shard was asked and no answer came back",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
         return w.Ack({handle}).status();
       }},

      // --- ForwardMessageToDeadLetterQueue ---
      {"ForwardMessageToDeadLetterQueue", v2::OK, "the message is a dead letter now",
       [](W& w) { return w.Forward(w.Delivered()).status(); }},
      {"ForwardMessageToDeadLetterQueue", v2::OK, "the delivery is over already: clients repeat this call until they "
       "hear OK",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Ack({handle});
         return w.Forward(handle).status();
       }},
      {"ForwardMessageToDeadLetterQueue", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("ForwardMessageToDeadLetterQueue", kNoProto); }},
      {"ForwardMessageToDeadLetterQueue", v2::ILLEGAL_TOPIC, "the topic's name is not a topic's",
       [](W& w) { return w.Ask("ForwardMessageToDeadLetterQueue", v2::ForwardMessageToDeadLetterQueueRequest()); }},
      {"ForwardMessageToDeadLetterQueue", v2::ILLEGAL_CONSUMER_GROUP, "the group's name is not a group's",
       [](W& w) {
         v2::ForwardMessageToDeadLetterQueueRequest request;
         *request.mutable_topic() = w.Named("orders");
         return w.Ask("ForwardMessageToDeadLetterQueue", request);
       }},
      {"ForwardMessageToDeadLetterQueue", v2::INVALID_RECEIPT_HANDLE, "the handle is forged, cut off or empty",
       [](W& w) { return w.Forward("forged").status(); }},
      {"ForwardMessageToDeadLetterQueue", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Forward("x").status();
       }},
      {"ForwardMessageToDeadLetterQueue", v2::TOO_MANY_REQUESTS, "the shard has too much to write",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(RetryAfterError(absl::Milliseconds(100), "too many bytes wait for the disk"));
         return w.Forward(handle).status();
       }},
      {"ForwardMessageToDeadLetterQueue", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Forward(handle).status();
       }},
      {"ForwardMessageToDeadLetterQueue", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Depose();
         return w.Forward(handle).status();
       }},
      {"ForwardMessageToDeadLetterQueue", v2::PROXY_TIMEOUT, "the outcome is unknown: the shard was asked and no "
       "answer came back",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
         return w.Forward(handle).status();
       }},

      // --- PullMessage ---
      {"PullMessage", v2::OK, "there are messages from the offset on",
       [](W& w) {
         w.Send("hello");
         return w.Ask("PullMessage", w.PullOf(0));
       }},
      {"PullMessage", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("PullMessage", kNoProto); }},
      {"PullMessage", v2::BAD_REQUEST, "the queue's broker is none of the route's: offsets are of one queue",
       [](W& w) {
         v2::PullMessageRequest request = w.PullOf(0);
         request.mutable_message_queue()->clear_broker();
         return w.Ask("PullMessage", request);
       }},
      {"PullMessage", v2::BAD_REQUEST, "the topic has no such queue there",
       [](W& w) {
         v2::PullMessageRequest request = w.PullOf(0);
         request.mutable_message_queue()->set_id(2);
         return w.Ask("PullMessage", request);
       }},
      {"PullMessage", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) {
         v2::PullMessageRequest request = w.PullOf(0);
         *request.mutable_message_queue() = w.Queue("no.dots");
         return w.Ask("PullMessage", request);
       }},
      {"PullMessage", v2::ILLEGAL_CONSUMER_GROUP, "the group's name has a character that is not allowed",
       [](W& w) {
         v2::PullMessageRequest request = w.PullOf(0);
         *request.mutable_group() = w.Named("no.dots");
         return w.Ask("PullMessage", request);
       }},
      {"PullMessage", v2::ILLEGAL_FILTER_EXPRESSION, "the tag expression has an empty tag",
       [](W& w) {
         v2::PullMessageRequest request = w.PullOf(0);
         request.mutable_filter_expression()->set_expression("a || ");
         return w.Ask("PullMessage", request);
       }},
      {"PullMessage", v2::ILLEGAL_FILTER_EXPRESSION, "the SQL filter cannot be read",
       [](W& w) {
         v2::PullMessageRequest request = w.PullOf(0);
         request.mutable_filter_expression()->set_type(v2::SQL);
         request.mutable_filter_expression()->set_expression("price >");
         return w.Ask("PullMessage", request);
       }},
      {"PullMessage", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("PullMessage", w.PullOf(0));
       }},
      {"PullMessage", v2::ILLEGAL_OFFSET, "the offset is negative, not kept any more, or beyond the queue's end",
       [](W& w) { return w.Ask("PullMessage", w.PullOf(1)); }},
      {"PullMessage", v2::MESSAGE_NOT_FOUND, "no message that the filter leaves came while the pull waited",
       [](W& w) { return w.Ask("PullMessage", w.PullOf(0)); }},
      {"PullMessage", v2::TOPIC_NOT_FOUND, "there is no such topic; a pull makes none",
       [](W& w) {
         v2::PullMessageRequest request = w.PullOf(0);
         *request.mutable_message_queue() = w.Queue("unknown");
         return w.Ask("PullMessage", request);
       }},
      {"PullMessage", v2::TOPIC_NOT_FOUND, "the topic was deleted while the pull was on its way to the shard",
       [](W& w) {
         w.Refuse(absl::NotFoundError("no topic with id 7"));
         return w.Ask("PullMessage", w.PullOf(0));
       }},
      {"PullMessage", v2::TOO_MANY_REQUESTS, "the client has more receives and pulls waiting than "
       "`proxy.max_waiting_receives`",
       [](W& w) {
         ProxyOptions options;
         options.limits.max_waiting_receives_per_client = 1;
         w.Restart(options);
         v2::ReceiveMessageRequest request = w.ReceiveRequestOf();
         request.mutable_long_polling_timeout()->set_seconds(10);
         const auto first = w.StartReceive(request);
         return w.Ask("PullMessage", w.PullOf(0));
       }},
      {"PullMessage", v2::TOO_MANY_REQUESTS, "the connection has more answers to read than "
       "`public.max_connection_inflight`",
       [](W& w) {
         w.Send(Long(2000));
         w.LeaveRoomFor(1000);
         return w.Ask("PullMessage", w.PullOf(0));
       }},
      {"PullMessage", v2::TOO_MANY_REQUESTS, "the shard has more pulls waiting than it takes",
       [](W& w) {
         w.Refuse(RetryAfterError(absl::Seconds(1), "more than 100000 pulls wait on this shard"));
         return w.Ask("PullMessage", w.PullOf(0));
       }},
      {"PullMessage", v2::INTERNAL_SERVER_ERROR, "what is stored at the offset cannot be read",
       [](W& w) {
         w.Refuse(absl::DataLossError("the index points to a record that is not there"));
         return w.Ask("PullMessage", w.PullOf(0));
       }},
      {"PullMessage", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         w.Depose();
         return w.Ask("PullMessage", w.PullOf(0));
       }},
      {"PullMessage", v2::PROXY_TIMEOUT, "the shard was asked and no answer came back",
       [](W& w) {
         w.Refuse(absl::DeadlineExceededError("the shard did not answer in time"));
         return w.Ask("PullMessage", w.PullOf(0));
       }},

      // --- UpdateOffset ---
      {"UpdateOffset", v2::OK, "the offset is stored; the group is made, or stores offsets from now on",
       [](W& w) { return w.Ask("UpdateOffset", w.UpdateOf(0)); }},
      {"UpdateOffset", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("UpdateOffset", kNoProto); }},
      {"UpdateOffset", v2::BAD_REQUEST, "the queue's broker is none of the route's: offsets are of one queue",
       [](W& w) {
         v2::UpdateOffsetRequest request = w.UpdateOf(0);
         request.mutable_message_queue()->clear_broker();
         return w.Ask("UpdateOffset", request);
       }},
      {"UpdateOffset", v2::BAD_REQUEST, "the topic has no such queue there",
       [](W& w) {
         v2::UpdateOffsetRequest request = w.UpdateOf(0);
         request.mutable_message_queue()->set_id(-1);
         return w.Ask("UpdateOffset", request);
       }},
      {"UpdateOffset", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) {
         v2::UpdateOffsetRequest request = w.UpdateOf(0);
         *request.mutable_message_queue() = w.Queue("no.dots");
         return w.Ask("UpdateOffset", request);
       }},
      {"UpdateOffset", v2::ILLEGAL_CONSUMER_GROUP, "the group's name has a character that is not allowed",
       [](W& w) {
         v2::UpdateOffsetRequest request = w.UpdateOf(0);
         *request.mutable_group() = w.Named("no.dots");
         return w.Ask("UpdateOffset", request);
       }},
      {"UpdateOffset", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("UpdateOffset", w.UpdateOf(0));
       }},
      {"UpdateOffset", v2::ILLEGAL_OFFSET, "the offset is negative",
       [](W& w) { return w.Ask("UpdateOffset", w.UpdateOf(-1)); }},
      {"UpdateOffset", v2::ILLEGAL_OFFSET, "the offset is beyond the queue's end",
       [](W& w) { return w.Ask("UpdateOffset", w.UpdateOf(1)); }},
      {"UpdateOffset", v2::TOPIC_NOT_FOUND, "there is no such topic; the call makes none",
       [](W& w) {
         v2::UpdateOffsetRequest request = w.UpdateOf(0);
         *request.mutable_message_queue() = w.Queue("unknown");
         return w.Ask("UpdateOffset", request);
       }},
      {"UpdateOffset", v2::TOPIC_NOT_FOUND, "the topic was deleted while the call was on its way to the shard",
       [](W& w) {
         w.Refuse(absl::NotFoundError("no topic with id 7"));
         return w.Ask("UpdateOffset", w.UpdateOf(0));
       }},
      {"UpdateOffset", v2::CONSUMER_GROUP_NOT_FOUND, "there is no such group and groups are not made on first use",
       [](W& w) {
         w.MakeNothing();
         return w.Ask("UpdateOffset", w.UpdateOf(0, "unknown"));
       }},
      {"UpdateOffset", v2::PRECONDITION_FAILED, "the group is one that messages are delivered to",
       [](W& w) {
         w.Delivered();
         return w.Ask("UpdateOffset", w.UpdateOf(0));
       }},
      {"UpdateOffset", v2::TOO_MANY_REQUESTS, "the controller refuses to make one more group",
       [](W& w) {
         w.controller().FailChanges(absl::ResourceExhaustedError("there are 1000 groups, that many are allowed"));
         return w.Ask("UpdateOffset", w.UpdateOf(0, "unknown"));
       }},
      {"UpdateOffset", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Ask("UpdateOffset", w.UpdateOf(0));
       }},
      {"UpdateOffset", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         w.Depose();
         return w.Ask("UpdateOffset", w.UpdateOf(0));
       }},
      {"UpdateOffset", v2::PROXY_TIMEOUT, "the controller does not answer in time while the group is made or decided",
       [](W& w) {
         w.controller().FailChanges(absl::DeadlineExceededError("the controller did not answer within 5s"));
         return w.Ask("UpdateOffset", w.UpdateOf(0));
       }},
      {"UpdateOffset", v2::PROXY_TIMEOUT, "the outcome is unknown: the shard was asked and no answer came back",
       [](W& w) {
         w.Refuse(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
         return w.Ask("UpdateOffset", w.UpdateOf(0));
       }},

      // --- GetOffset ---
      {"GetOffset", v2::OK, "the group has stored an offset for the queue",
       [](W& w) {
         w.Ask("UpdateOffset", w.UpdateOf(0));
         return w.Ask("GetOffset", w.GetOf());
       }},
      {"GetOffset", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("GetOffset", kNoProto); }},
      {"GetOffset", v2::BAD_REQUEST, "the queue's broker is none of the route's: offsets are of one queue",
       [](W& w) {
         v2::GetOffsetRequest request = w.GetOf();
         request.mutable_message_queue()->clear_broker();
         return w.Ask("GetOffset", request);
       }},
      {"GetOffset", v2::BAD_REQUEST, "the topic has no such queue there",
       [](W& w) {
         v2::GetOffsetRequest request = w.GetOf();
         request.mutable_message_queue()->set_id(-1);
         return w.Ask("GetOffset", request);
       }},
      {"GetOffset", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) {
         v2::GetOffsetRequest request = w.GetOf();
         *request.mutable_message_queue() = w.Queue("no.dots");
         return w.Ask("GetOffset", request);
       }},
      {"GetOffset", v2::ILLEGAL_CONSUMER_GROUP, "the group's name has a character that is not allowed",
       [](W& w) {
         v2::GetOffsetRequest request = w.GetOf();
         *request.mutable_group() = w.Named("no.dots");
         return w.Ask("GetOffset", request);
       }},
      {"GetOffset", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("GetOffset", w.GetOf());
       }},
      {"GetOffset", v2::TOPIC_NOT_FOUND, "there is no such topic; the call makes none",
       [](W& w) {
         v2::GetOffsetRequest request = w.GetOf();
         *request.mutable_message_queue() = w.Queue("unknown");
         return w.Ask("GetOffset", request);
       }},
      {"GetOffset", v2::TOPIC_NOT_FOUND, "the topic was deleted while the call was on its way to the shard",
       [](W& w) {
         w.Refuse(absl::NotFoundError("no topic with id 7"));
         return w.Ask("GetOffset", w.GetOf());
       }},
      {"GetOffset", v2::CONSUMER_GROUP_NOT_FOUND, "there is no such group; the call makes none",
       [](W& w) { return w.Ask("GetOffset", w.GetOf("unknown")); }},
      {"GetOffset", v2::OFFSET_NOT_FOUND, "the group has stored none for the queue",
       [](W& w) { return w.Ask("GetOffset", w.GetOf()); }},
      {"GetOffset", v2::PRECONDITION_FAILED, "the group is one that messages are delivered to",
       [](W& w) {
         w.Delivered();
         return w.Ask("GetOffset", w.GetOf());
       }},
      {"GetOffset", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Ask("GetOffset", w.GetOf());
       }},
      {"GetOffset", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         w.Depose();
         return w.Ask("GetOffset", w.GetOf());
       }},
      {"GetOffset", v2::PROXY_TIMEOUT, "the shard was asked and no answer came back",
       [](W& w) {
         w.Refuse(absl::DeadlineExceededError("the shard did not answer in time"));
         return w.Ask("GetOffset", w.GetOf());
       }},

      // --- QueryOffset ---
      {"QueryOffset", v2::OK, "the topic has the queue, with messages or without",
       [](W& w) { return w.Ask("QueryOffset", w.QueryOf()); }},
      {"QueryOffset", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("QueryOffset", kNoProto); }},
      {"QueryOffset", v2::BAD_REQUEST, "the queue's broker is none of the route's: offsets are of one queue",
       [](W& w) {
         v2::QueryOffsetRequest request = w.QueryOf();
         request.mutable_message_queue()->clear_broker();
         return w.Ask("QueryOffset", request);
       }},
      {"QueryOffset", v2::BAD_REQUEST, "the topic has no such queue there",
       [](W& w) {
         v2::QueryOffsetRequest request = w.QueryOf();
         request.mutable_message_queue()->set_id(-1);
         return w.Ask("QueryOffset", request);
       }},
      {"QueryOffset", v2::BAD_REQUEST, "the policy is TIMESTAMP and there is no timestamp",
       [](W& w) { return w.Ask("QueryOffset", w.QueryOf(v2::TIMESTAMP)); }},
      {"QueryOffset", v2::BAD_REQUEST, "the policy is none of the three",
       [](W& w) { return w.Ask("QueryOffset", w.QueryOf(static_cast<v2::QueryOffsetPolicy>(3))); }},
      {"QueryOffset", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) {
         v2::QueryOffsetRequest request = w.QueryOf();
         *request.mutable_message_queue() = w.Queue("no.dots");
         return w.Ask("QueryOffset", request);
       }},
      {"QueryOffset", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("QueryOffset", w.QueryOf());
       }},
      {"QueryOffset", v2::TOPIC_NOT_FOUND, "there is no such topic; the call makes none",
       [](W& w) {
         v2::QueryOffsetRequest request = w.QueryOf();
         *request.mutable_message_queue() = w.Queue("unknown");
         return w.Ask("QueryOffset", request);
       }},
      {"QueryOffset", v2::TOPIC_NOT_FOUND, "the topic was deleted while the call was on its way to the shard",
       [](W& w) {
         w.Refuse(absl::NotFoundError("no topic with id 7"));
         return w.Ask("QueryOffset", w.QueryOf());
       }},
      {"QueryOffset", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Ask("QueryOffset", w.QueryOf());
       }},
      {"QueryOffset", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         w.Depose();
         return w.Ask("QueryOffset", w.QueryOf());
       }},
      {"QueryOffset", v2::PROXY_TIMEOUT, "the shard was asked and no answer came back",
       [](W& w) {
         w.Refuse(absl::DeadlineExceededError("the shard did not answer in time"));
         return w.Ask("QueryOffset", w.QueryOf());
       }},

      // --- EndTransaction ---
      {"EndTransaction", v2::OK, "the transaction ends so, or did before",
       [](W& w) { return w.Ask("EndTransaction", w.End(v2::COMMIT)); }},
      {"EndTransaction", v2::OK, "the resolution is open: the producer is asked again later",
       [](W& w) { return w.Ask("EndTransaction", w.End(v2::TRANSACTION_RESOLUTION_UNSPECIFIED)); }},
      {"EndTransaction", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("EndTransaction", kNoProto); }},
      {"EndTransaction", v2::BAD_REQUEST, "the resolution is none of the three",
       [](W& w) { return w.Ask("EndTransaction", w.End(static_cast<v2::TransactionResolution>(7))); }},
      {"EndTransaction", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) { return w.Ask("EndTransaction", w.End(v2::COMMIT, "no.dots")); }},
      {"EndTransaction", v2::INVALID_TRANSACTION_ID, "the transaction id is blank",
       [](W& w) {
         v2::EndTransactionRequest request = w.End(v2::COMMIT);
         request.clear_transaction_id();
         return w.Ask("EndTransaction", request);
       }},
      {"EndTransaction", v2::INVALID_TRANSACTION_ID, "the transaction id is forged",
       [](W& w) {
         v2::EndTransactionRequest request = w.End(v2::COMMIT);
         request.set_transaction_id("forged");
         return w.Ask("EndTransaction", request);
       }},
      {"EndTransaction", v2::INVALID_TRANSACTION_ID, "the transaction is of another topic",
       [](W& w) { return w.Ask("EndTransaction", w.End(v2::COMMIT, "orders")); }},
      {"EndTransaction", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("EndTransaction", v2::EndTransactionRequest());
       }},
      {"EndTransaction", v2::NOT_FOUND, "the transaction ended long ago, or its topic was deleted",
       [](W& w) {
         const v2::EndTransactionRequest request = w.End(v2::COMMIT);
         w.Refuse(absl::NotFoundError("the transaction is not known: it ended long ago, or its topic was deleted"));
         return w.Ask("EndTransaction", request);
       }},
      {"EndTransaction", v2::PRECONDITION_FAILED, "the transaction has ended the other way",
       [](W& w) {
         v2::EndTransactionRequest request = w.End(v2::COMMIT);
         w.Ask("EndTransaction", request);
         request.set_resolution(v2::ROLLBACK);
         return w.Ask("EndTransaction", request);
       }},
      {"EndTransaction", v2::TOO_MANY_REQUESTS, "the shard has too much to write",
       [](W& w) {
         const v2::EndTransactionRequest request = w.End(v2::COMMIT);
         w.Refuse(RetryAfterError(absl::Milliseconds(100), "too many bytes wait for the disk"));
         return w.Ask("EndTransaction", request);
       }},
      {"EndTransaction", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         const v2::EndTransactionRequest request = w.End(v2::COMMIT);
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Ask("EndTransaction", request);
       }},
      {"EndTransaction", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         const v2::EndTransactionRequest request = w.End(v2::COMMIT);
         w.Depose();
         return w.Ask("EndTransaction", request);
       }},
      {"EndTransaction", v2::PROXY_TIMEOUT, "the outcome is unknown: the shard was asked and no answer came back",
       [](W& w) {
         const v2::EndTransactionRequest request = w.End(v2::COMMIT);
         w.Refuse(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
         return w.Ask("EndTransaction", request);
       }},

      // --- Telemetry ---
      {"Telemetry", v2::OK, "the client sent its settings: the server's come back",
       [](W& w) {
         v2::TelemetryCommand command;
         *command.mutable_settings() = w.ConsumerSettings(v2::JAVA);
         return w.Ask("Telemetry", command);
       }},
      {"Telemetry", v2::BAD_REQUEST, "the bytes are no command; the stream ends",
       [](W& w) { return w.AskBytes("Telemetry", kNoProto); }},
      {"Telemetry", v2::CLIENT_ID_REQUIRED, "the stream has no client id; it ends",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("Telemetry", v2::TelemetryCommand());
       }},

      // --- NotifyClientTermination ---
      {"NotifyClientTermination", v2::OK, "the client has an id, whether anybody has seen it before or not",
       [](W& w) { return w.Ask("NotifyClientTermination", v2::NotifyClientTerminationRequest()); }},
      {"NotifyClientTermination", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("NotifyClientTermination", kNoProto); }},
      {"NotifyClientTermination", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("NotifyClientTermination", v2::NotifyClientTerminationRequest());
       }},

      // --- ChangeInvisibleDuration ---
      {"ChangeInvisibleDuration", v2::OK, "the delivery has its new time; the handle stays the same",
       [](W& w) { return w.Change(w.Delivered(), absl::Seconds(10)).status(); }},
      {"ChangeInvisibleDuration", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("ChangeInvisibleDuration", kNoProto); }},
      {"ChangeInvisibleDuration", v2::ILLEGAL_TOPIC, "the topic's name is not a topic's",
       [](W& w) { return w.Ask("ChangeInvisibleDuration", v2::ChangeInvisibleDurationRequest()); }},
      {"ChangeInvisibleDuration", v2::ILLEGAL_CONSUMER_GROUP, "the group's name is not a group's",
       [](W& w) {
         v2::ChangeInvisibleDurationRequest request;
         *request.mutable_topic() = w.Named("orders");
         return w.Ask("ChangeInvisibleDuration", request);
       }},
      {"ChangeInvisibleDuration", v2::ILLEGAL_INVISIBLE_TIME, "the duration is negative or longer than 12 h",
       [](W& w) { return w.Change("x", absl::Hours(13)).status(); }},
      {"ChangeInvisibleDuration", v2::INVALID_RECEIPT_HANDLE, "the handle is forged, cut off or empty",
       [](W& w) { return w.Change("forged", absl::Seconds(10)).status(); }},
      {"ChangeInvisibleDuration", v2::INVALID_RECEIPT_HANDLE, "the message was settled, or delivered again",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Ack({handle});
         return w.Change(handle, absl::Seconds(10)).status();
       }},
      {"ChangeInvisibleDuration", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Change("x", absl::Seconds(10)).status();
       }},
      {"ChangeInvisibleDuration", v2::TOO_MANY_REQUESTS, "the shard has too much to write",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(RetryAfterError(absl::Milliseconds(100), "too many bytes wait for the disk"));
         return w.Change(handle, absl::Seconds(10)).status();
       }},
      {"ChangeInvisibleDuration", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Change(handle, absl::Seconds(10)).status();
       }},
      {"ChangeInvisibleDuration", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Depose();
         return w.Change(handle, absl::Seconds(10)).status();
       }},
      {"ChangeInvisibleDuration", v2::PROXY_TIMEOUT, "the outcome is unknown: the shard was asked and no answer came "
       "back",
       [](W& w) {
         const std::string handle = w.Delivered();
         w.Refuse(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
         return w.Change(handle, absl::Seconds(10)).status();
       }},

      // --- RecallMessage ---
      {"RecallMessage", v2::OK, "the message will not be delivered",
       [](W& w) { return w.Ask("RecallMessage", w.RecallOf(w.RecallHandle())); }},
      {"RecallMessage", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("RecallMessage", kNoProto); }},
      {"RecallMessage", v2::BAD_REQUEST, "the handle is forged, cut off or empty",
       [](W& w) { return w.Ask("RecallMessage", w.RecallOf("forged")); }},
      {"RecallMessage", v2::BAD_REQUEST, "the handle is for another topic",
       [](W& w) { return w.Ask("RecallMessage", w.RecallOf(w.RecallHandle(), "orders")); }},
      {"RecallMessage", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) { return w.Ask("RecallMessage", w.RecallOf("x", "no.dots")); }},
      {"RecallMessage", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("RecallMessage", v2::RecallMessageRequest());
       }},
      {"RecallMessage", v2::NOT_FOUND, "the message has been delivered or recalled already",
       [](W& w) {
         const v2::RecallMessageRequest request = w.RecallOf(w.RecallHandle());
         w.Ask("RecallMessage", request);
         return w.Ask("RecallMessage", request);
       }},
      {"RecallMessage", v2::TOPIC_NOT_FOUND, "there is no such topic",
       [](W& w) { return w.Ask("RecallMessage", w.RecallOf("x", "unknown")); }},
      {"RecallMessage", v2::TOO_MANY_REQUESTS, "the shard has too much to write",
       [](W& w) {
         const v2::RecallMessageRequest request = w.RecallOf(w.RecallHandle());
         w.Refuse(RetryAfterError(absl::Milliseconds(100), "too many bytes wait for the disk"));
         return w.Ask("RecallMessage", request);
       }},
      {"RecallMessage", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         const v2::RecallMessageRequest request = w.RecallOf(w.RecallHandle());
         w.Refuse(absl::DataLossError("the log failed to sync and takes nothing any more"));
         return w.Ask("RecallMessage", request);
       }},
      {"RecallMessage", v2::HA_NOT_AVAILABLE, "the shard has no leader that can be reached",
       [](W& w) {
         const v2::RecallMessageRequest request = w.RecallOf(w.RecallHandle());
         w.Depose();
         return w.Ask("RecallMessage", request);
       }},
      {"RecallMessage", v2::PROXY_TIMEOUT, "the outcome is unknown: the shard was asked and no answer came back",
       [](W& w) {
         const v2::RecallMessageRequest request = w.RecallOf(w.RecallHandle());
         w.Refuse(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
         return w.Ask("RecallMessage", request);
       }},

      // --- SyncLiteSubscription ---
      {"SyncLiteSubscription", v2::OK, "the client reads these lite topics from now on",
       [](W& w) { return w.Ask("SyncLiteSubscription", w.Reads({"session-1", "session-2"})); }},
      {"SyncLiteSubscription", v2::BAD_REQUEST, "the bytes are no such request",
       [](W& w) { return w.AskBytes("SyncLiteSubscription", kNoProto); }},
      {"SyncLiteSubscription", v2::BAD_REQUEST, "the action is none of the four",
       [](W& w) {
         v2::SyncLiteSubscriptionRequest request = w.Reads({"session-1"});
         request.set_action(static_cast<v2::LiteSubscriptionAction>(9));
         return w.Ask("SyncLiteSubscription", request);
       }},
      {"SyncLiteSubscription", v2::BAD_REQUEST, "the offset option's number is negative, or its policy unknown",
       [](W& w) {
         v2::SyncLiteSubscriptionRequest request = w.Reads({"session-1"});
         request.mutable_offset_option()->set_tail_n(-1);
         return w.Ask("SyncLiteSubscription", request);
       }},
      {"SyncLiteSubscription", v2::ILLEGAL_TOPIC, "the topic's name has a character that is not allowed",
       [](W& w) { return w.Ask("SyncLiteSubscription", w.Reads({}, "no.dots")); }},
      {"SyncLiteSubscription", v2::ILLEGAL_CONSUMER_GROUP, "the group's name has a character that is not allowed",
       [](W& w) { return w.Ask("SyncLiteSubscription", w.Reads({}, "sessions", "no.dots")); }},
      {"SyncLiteSubscription", v2::CLIENT_ID_REQUIRED, "the call has no client id",
       [](W& w) {
         w.SetHeader("x-mq-client-id", "");
         return w.Ask("SyncLiteSubscription", w.Reads({"session-1"}));
       }},
      {"SyncLiteSubscription", v2::ILLEGAL_LITE_TOPIC, "a lite topic is blank, has more than 64 bytes or a control character",
       [](W& w) { return w.Ask("SyncLiteSubscription", w.Reads({"session\n1"})); }},
      {"SyncLiteSubscription", v2::TOPIC_NOT_FOUND, "there is no such topic; the call makes none",
       [](W& w) { return w.Ask("SyncLiteSubscription", w.Reads({"session-1"}, "unknown")); }},
      {"SyncLiteSubscription", v2::CONSUMER_GROUP_NOT_FOUND, "there is no such group and groups are not made on first use",
       [](W& w) {
         w.MakeNothing();
         return w.Ask("SyncLiteSubscription", w.Reads({"session-1"}, "sessions", "unknown"));
       }},
      {"SyncLiteSubscription", v2::PRECONDITION_FAILED, "the topic is of another type than LITE",
       [](W& w) { return w.Ask("SyncLiteSubscription", w.Reads({"session-1"}, "orders")); }},
      {"SyncLiteSubscription", v2::TOO_MANY_REQUESTS, "the controller refuses to make one more group",
       [](W& w) {
         w.controller().FailChanges(absl::ResourceExhaustedError("there are 1000 groups, that many are allowed"));
         return w.Ask("SyncLiteSubscription", w.Reads({"session-1"}, "sessions", "unknown"));
       }},
      {"SyncLiteSubscription", v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED, "the client would read more than `proxy.max_lite_subscriptions`",
       [](W& w) {
         ProxyOptions options;
         options.limits.max_lite_subscriptions = 1;
         w.Restart(options);
         return w.Ask("SyncLiteSubscription", w.Reads({"session-1", "session-2"}));
       }},
      {"SyncLiteSubscription", v2::INTERNAL_SERVER_ERROR, "the shard's log has failed",
       [](W& w) {
         w.Refuse(absl::DataLossError("the log is poisoned: a sync failed"));
         return w.Ask("SyncLiteSubscription", w.Reads({"session-1"}));
       }},
      {"SyncLiteSubscription", v2::HA_NOT_AVAILABLE, "a shard has no leader that can be reached; the others have taken it",
       [](W& w) {
         w.Depose();
         return w.Ask("SyncLiteSubscription", w.Reads({"session-1"}));
       }},
      {"SyncLiteSubscription", v2::PROXY_TIMEOUT, "the controller does not answer in time while the group is made",
       [](W& w) {
         w.controller().FailChanges(absl::DeadlineExceededError("the controller did not answer within 5s"));
         return w.Ask("SyncLiteSubscription", w.Reads({"session-1"}, "sessions", "unknown"));
       }},
  });
  return *kCases;
}

const std::vector<StatusReason>& StatusReasons() {
  static const auto* const kReasons = new std::vector<StatusReason>({
      // --- Codes that are for some calls only ---
      {{"QueryRoute", "Heartbeat", "QueryAssignment", "ReceiveMessage", "ForwardMessageToDeadLetterQueue",
        "PullMessage", "UpdateOffset", "GetOffset", "QueryOffset", "EndTransaction", "Telemetry",
        "NotifyClientTermination", "ChangeInvisibleDuration", "RecallMessage", "SyncLiteSubscription"},
       {v2::MULTIPLE_RESULTS},
       "the call is about one thing; only SendMessage and AckMessage have entries of which each has its own fate"},
      {{},
       {v2::ILLEGAL_MESSAGE_TAG, v2::ILLEGAL_MESSAGE_KEY, v2::ILLEGAL_MESSAGE_GROUP, v2::ILLEGAL_MESSAGE_PROPERTY_KEY,
        v2::ILLEGAL_MESSAGE_ID, v2::ILLEGAL_DELIVERY_TIME, v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
        v2::MESSAGE_CORRUPTED, v2::MESSAGE_BODY_TOO_LARGE, v2::MESSAGE_BODY_EMPTY, v2::MESSAGE_PROPERTIES_TOO_LARGE,
        v2::MASTER_PERSISTENCE_TIMEOUT},
       "it is about messages that are being sent, and only SendMessage sends"},
      {{}, {v2::INVALID_TRANSACTION_ID}, "only EndTransaction names a transaction"},
      {{},
       {v2::ILLEGAL_FILTER_EXPRESSION},
       "the filters that count are those of ReceiveMessage and PullMessage; the "
       "one in Settings is not looked at"},
      {{}, {v2::ILLEGAL_OFFSET}, "only PullMessage and UpdateOffset name an offset"},
      {{}, {v2::OFFSET_NOT_FOUND}, "only GetOffset asks for what was stored"},
      {{}, {v2::ILLEGAL_INVISIBLE_TIME}, "only ReceiveMessage and ChangeInvisibleDuration ask for an invisible time"},
      {{}, {v2::INVALID_RECEIPT_HANDLE}, "only the calls that settle a delivery name a receipt"},
      {{},
       {v2::MESSAGE_NOT_FOUND},
       "it means an empty poll, to some clients for any call; so only ReceiveMessage "
       "and PullMessage say it"},
      {{},
       {v2::PAYLOAD_TOO_LARGE},
       "only SendMessage and AckMessage carry lists; of any call, more bytes than the "
       "port takes end it by gRPC's RESOURCE_EXHAUSTED"},
      {{},
       {v2::CONSUMER_GROUP_NOT_FOUND},
       "only ReceiveMessage, UpdateOffset, GetOffset and SyncLiteSubscription need the group to be "
       "there; a receipt of a deleted one is INVALID_RECEIPT_HANDLE, which ends the retries of clients"},
      {{"AckMessage", "ForwardMessageToDeadLetterQueue", "ChangeInvisibleDuration"},
       {v2::TOPIC_NOT_FOUND},
       "a receipt of a topic that is gone is INVALID_RECEIPT_HANDLE, which ends the retries of clients"},
      {{"EndTransaction"},
       {v2::TOPIC_NOT_FOUND},
       "the transaction id tells: INVALID_TRANSACTION_ID if it is for "
       "another topic, NOT_FOUND if its topic was deleted"},
      {{"QueryRoute", "QueryAssignment", "ReceiveMessage", "AckMessage", "ForwardMessageToDeadLetterQueue",
        "PullMessage", "UpdateOffset", "GetOffset", "QueryOffset", "ChangeInvisibleDuration", "SyncLiteSubscription"},
       {v2::NOT_FOUND},
       "what can be missing has a code of its own here: topic, group, message, offset or receipt"},
      {{"QueryRoute", "SendMessage", "QueryAssignment", "AckMessage", "ForwardMessageToDeadLetterQueue",
        "ChangeInvisibleDuration", "RecallMessage"},
       {v2::PRECONDITION_FAILED},
       "nothing has to be in a state before the call; of what is over, another code tells"},
      {{"PullMessage", "QueryOffset"}, {v2::PRECONDITION_FAILED}, "a queue may be read whatever a group does with it"},
      {{"GetOffset", "QueryOffset"}, {v2::TOO_MANY_REQUESTS}, "nothing is written, made or waited for"},
      {{"QueryRoute", "SendMessage", "QueryOffset", "EndTransaction", "RecallMessage"},
       {v2::ILLEGAL_CONSUMER_GROUP},
       "the "
       "call names no group"},

      // --- Calls that only tell the server something ---
      {{"Heartbeat", "NotifyClientTermination"},
       {v2::ILLEGAL_TOPIC, v2::TOPIC_NOT_FOUND, v2::NOT_FOUND},
       "the call names no topic"},
      {{"Telemetry"},
       {v2::ILLEGAL_TOPIC, v2::ILLEGAL_CONSUMER_GROUP, v2::TOPIC_NOT_FOUND, v2::NOT_FOUND},
       "clients wait for the settings in their start, some for ever: they get them whatever they named, and hear of "
       "it in the call that uses the name"},
      {{"NotifyClientTermination"},
       {v2::ILLEGAL_CONSUMER_GROUP},
       "the client is told by its id; the group that it "
       "names is not looked at"},
      {{"Heartbeat", "Telemetry", "NotifyClientTermination"},
       {v2::PRECONDITION_FAILED, v2::TOO_MANY_REQUESTS, v2::INTERNAL_SERVER_ERROR, v2::HA_NOT_AVAILABLE,
        v2::PROXY_TIMEOUT},
       "the proxy answers alone, from memory: neither a shard nor the controller is asked"},
      {{"QueryRoute", "QueryAssignment", "Heartbeat", "ReceiveMessage", "AckMessage", "ForwardMessageToDeadLetterQueue",
        "PullMessage", "UpdateOffset", "GetOffset", "QueryOffset", "EndTransaction", "Telemetry",
        "NotifyClientTermination", "ChangeInvisibleDuration", "RecallMessage", "SyncLiteSubscription"},
       {v2::FORBIDDEN},
       "rights of users are not built yet, and every queue may be read"},
      {{}, {v2::NOT_IMPLEMENTED}, "the call is served"},

      // --- Codes that nobody is answered ---
      {{}, {v2::ILLEGAL_ACCESS_POINT}, "any endpoints are taken: routes name the address by which the client came"},
      {{}, {v2::UNRECOGNIZED_CLIENT_TYPE}, "every type of client is served, also one younger than this server"},
      {{},
       {v2::ILLEGAL_POLLING_TIME},
       "a poll that is too long is cut to what the deadline leaves, a short one is "
       "taken as it is"},
      {{}, {v2::ILLEGAL_LITE_TOPIC}, "only SendMessage and SyncLiteSubscription name lite topics that may be new"},
      {{}, {v2::LITE_TOPIC_QUOTA_EXCEEDED}, "only SendMessage makes lite topics"},
      {{}, {v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED}, "only SyncLiteSubscription subscribes to lite topics"},
      {{}, {v2::INVALID_CLIENT_PROPERTIES}, "Settings are answered whatever stands in them, see Telemetry"},
      {{}, {v2::UNAUTHORIZED}, "callers are not authenticated yet: any signature is taken"},
      {{}, {v2::PAYMENT_REQUIRED}, "Barid does not charge"},
      {{}, {v2::REQUEST_TIMEOUT}, "not every client knows it: PROXY_TIMEOUT is said instead"},
      {{},
       {v2::REQUEST_HEADER_FIELDS_TOO_LARGE},
       "metadata that is too large is refused by HTTP/2, before there is a "
       "call"},
      {{}, {v2::INTERNAL_ERROR}, "one code is enough for what nobody expected: INTERNAL_SERVER_ERROR"},
      {{}, {v2::SLAVE_PERSISTENCE_TIMEOUT}, "a shard has one replica in this version"},
      {{},
       {v2::UNSUPPORTED, v2::VERSION_UNSUPPORTED},
       "no protocol version is refused; what a call cannot do, a more "
       "exact code says"},
      {{},
       {v2::VERIFY_FIFO_MESSAGE_UNSUPPORTED, v2::FAILED_TO_CONSUME_MESSAGE},
       "clients say it to the server, not "
       "the server to clients"},
  });
  return *kReasons;
}

const std::vector<NamedCode>& NamedCodes() {
  static const auto* const kNamed = new std::vector<NamedCode>({
      // What the reference server checks of a message that is sent.
      {"SendMessage", v2::MESSAGE_CORRUPTED},
      {"SendMessage", v2::ILLEGAL_TOPIC},
      {"SendMessage", v2::ILLEGAL_MESSAGE_ID},
      {"SendMessage", v2::ILLEGAL_MESSAGE_TAG},
      {"SendMessage", v2::ILLEGAL_MESSAGE_KEY},
      {"SendMessage", v2::ILLEGAL_MESSAGE_GROUP},
      {"SendMessage", v2::ILLEGAL_MESSAGE_PROPERTY_KEY},
      {"SendMessage", v2::MESSAGE_PROPERTIES_TOO_LARGE},
      {"SendMessage", v2::MESSAGE_BODY_TOO_LARGE},
      {"SendMessage", v2::MESSAGE_BODY_EMPTY},
      {"SendMessage", v2::ILLEGAL_DELIVERY_TIME},
      {"SendMessage", v2::BAD_REQUEST},
      {"SendMessage", v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE},
      // What clients make of codes, by call.
      {"SendMessage", v2::MULTIPLE_RESULTS},
      {"AckMessage", v2::MULTIPLE_RESULTS},
      {"SendMessage", v2::FORBIDDEN},
      {"SendMessage", v2::NOT_FOUND},
      {"SendMessage", v2::PAYLOAD_TOO_LARGE},
      {"SendMessage", v2::TOO_MANY_REQUESTS},
      {"SendMessage", v2::MASTER_PERSISTENCE_TIMEOUT},
      {"SendMessage", v2::HA_NOT_AVAILABLE},
      {"SendMessage", v2::INTERNAL_SERVER_ERROR},
      {"EndTransaction", v2::INVALID_TRANSACTION_ID},
      {"ReceiveMessage", v2::ILLEGAL_FILTER_EXPRESSION},
      {"ReceiveMessage", v2::ILLEGAL_INVISIBLE_TIME},
      {"ChangeInvisibleDuration", v2::ILLEGAL_INVISIBLE_TIME},
      {"AckMessage", v2::INVALID_RECEIPT_HANDLE},
      {"ChangeInvisibleDuration", v2::INVALID_RECEIPT_HANDLE},
      {"ForwardMessageToDeadLetterQueue", v2::INVALID_RECEIPT_HANDLE},
      {"ReceiveMessage", v2::MESSAGE_NOT_FOUND},
      {"ReceiveMessage", v2::TOO_MANY_REQUESTS},
      {"PullMessage", v2::MESSAGE_NOT_FOUND},
      {"PullMessage", v2::ILLEGAL_OFFSET},
      {"GetOffset", v2::OFFSET_NOT_FOUND},
      {"QueryRoute", v2::TOPIC_NOT_FOUND},
      {"SendMessage", v2::TOPIC_NOT_FOUND},
      {"ReceiveMessage", v2::CONSUMER_GROUP_NOT_FOUND},
      {"Heartbeat", v2::CLIENT_ID_REQUIRED},
      {"SendMessage", v2::CLIENT_ID_REQUIRED},
      {"Telemetry", v2::CLIENT_ID_REQUIRED},
      {"RecallMessage", v2::NOT_FOUND},
      {"SendMessage", v2::ILLEGAL_LITE_TOPIC},
      {"SendMessage", v2::LITE_TOPIC_QUOTA_EXCEEDED},
      {"SyncLiteSubscription", v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED},
  });
  return *kNamed;
}

}  // namespace barid::proxy
