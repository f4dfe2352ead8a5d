#include "proxy/public/rocketmq_admin.h"

#include <atomic>
#include <memory>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "google/protobuf/util/json_util.h"
#include "proxy/public/rocketmq_admin_method.h"
#include "proxy/public/route_handlers.h"
#include "proxy/public/send_handler.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {

absl::Status CheckDeployment(const std::string& asked, const Metadata& metadata) {
  const std::string& own = metadata.tables().cluster;
  if (asked == own) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("there is no deployment \"", asked, "\" here, this is \"", own, "\""));
}

absl::StatusOr<const TopicMetadata*> FindTopic(const Metadata& metadata, const v2::Resource& resource,
                                               const Caller& caller) {
  const ResourceName name = NameOf(resource, caller.space);
  const TopicMetadata* const topic = metadata.FindTopic(name);
  if (topic == nullptr) return Refuse(Reason::kTopicNotFound, absl::StrCat("there is no topic ", name.ToString()));
  return topic;
}

absl::StatusOr<const GroupMetadata*> FindGroup(const Metadata& metadata, const v2::Resource& resource,
                                               const Caller& caller) {
  const ResourceName name = NameOf(resource, caller.space);
  const GroupMetadata* const group = metadata.FindGroup(name);
  if (group == nullptr)
    return Refuse(Reason::kConsumerGroupNotFound, absl::StrCat("there is no group ", name.ToString()));
  return group;
}

absl::Status Silent(const std::vector<std::string>& brokers) {
  return absl::UnavailableError(absl::StrCat("the broker ", brokers[0], " does not answer, and has a part of it"));
}

absl::StatusOr<Bytes> AsDelivered(const FoundMessage& message, const ResourceName& topic) {
  DeliveryFields fields;
  fields.topic = topic;
  fields.queue_id = message.queue.queue;
  fields.queue_offset = message.offset;
  fields.store_time = message.stored_at;
  if (message.origin) fields.dead_letter_origin = {message.origin->topic_name, message.origin->message_id};
  return SpliceDelivery(message.stored, fields);
}

void ToProto(const ResourceName& name, v2::Resource* out) {
  out->set_resource_namespace(name.space);
  out->set_name(name.name);
}

namespace {

// --- Topics ---

using StatusExchange = ExchangePtr<v2::DescribeTopicStatusRequest, v2::DescribeTopicStatusResponse>;
using TopicRouteExchange = ExchangePtr<v2::GetTopicRouteRequest, v2::GetTopicRouteResponse>;

void DescribeTopicStatus(StatusExchange exchange) {
  const Snapshot metadata = exchange->proxy()->router().Snapshot();
  const absl::StatusOr<const TopicMetadata*> topic =
      FindTopic(*metadata, exchange->request().topic(), exchange->caller());
  if (!topic.ok()) return exchange->Answer(topic.status());
  exchange->response()->set_topic_message_type(static_cast<v2::MessageType>((*topic)->type));
  ToProto((*topic)->created, exchange->response()->mutable_create_timestamp());
  exchange->Answer(absl::OkStatus());
}

void GetTopicRoute(TopicRouteExchange exchange) {
  const v2::GetTopicRouteRequest& request = exchange->request();
  const Snapshot metadata = exchange->proxy()->router().Snapshot();
  const absl::StatusOr<const TopicMetadata*> topic = FindTopic(*metadata, request.topic(), exchange->caller());
  if (!topic.ok()) return exchange->Answer(topic.status());
  v2::QueryRouteRequest asked;
  *asked.mutable_topic() = request.topic();
  if (!request.client_address().empty()) {
    absl::StatusOr<v2::Endpoints> endpoints = ParseEndpoints(request.client_address());
    if (!endpoints.ok()) return exchange->Answer(endpoints.status());
    *asked.mutable_endpoints() = *std::move(endpoints);
  }
  v2::QueryRouteResponse route;
  const absl::Status status = FillRoute(asked, **topic, *metadata, exchange->proxy()->options(), &route);
  if (!status.ok()) return exchange->Answer(status);
  exchange->WriteStatus(absl::OkStatus(), route.mutable_status());
  const auto json =
      google::protobuf::util::MessageToJsonString(route, exchange->response()->mutable_topic_route_data());
  if (!json.ok()) return exchange->Answer(absl::InternalError(absl::StrCat("the route is no JSON: ", json.ToString())));
  exchange->Answer(absl::OkStatus());
}

// --- The process ---

absl::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    default:
      return "error";
  }
}

using StatsExchange = ExchangePtr<v2::GetProxyRuntimeStatsRequest, v2::GetProxyRuntimeStatsResponse>;

void GetProxyRuntimeStats(const ProcessFacts& process, StatsExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  v2::GetProxyRuntimeStatsResponse* const response = exchange->response();
  response->set_proxy_name(proxy->options().name);
  response->set_version(process.version);
  const Throughput::Rates rates = proxy->throughput().Lately(proxy->clock()->SinceBoot());
  response->set_in_tps(rates.sent);
  response->set_out_tps(rates.delivered);
  response->set_connections(process.connections());
  for (const ClientProfile& client : proxy->clients().All()) {
    if (client.type == ClientType::kProducer) {
      response->set_producers(response->producers() + 1);
    } else if (client.type != ClientType::kUnspecified) {
      response->set_consumers(response->consumers() + 1);
    }
  }
  exchange->Answer(absl::OkStatus());
}

// Its response has no status.
void ChangeLogLevel(std::unique_ptr<edge::UnaryCall> call) {
  v2::ChangeLogLevelRequest request;
  if (const absl::Status status = Parse(call->request(), &request); !status.ok()) return call->Fail(status);
  const LogLevel before = MinLogLevel();
  LogLevel level = LogLevel::kInfo;
  switch (request.level()) {
    case v2::ChangeLogLevelRequest::TRACE:
    case v2::ChangeLogLevelRequest::DEBUG:
      level = LogLevel::kDebug;
      break;
    case v2::ChangeLogLevelRequest::INFO:
      break;
    case v2::ChangeLogLevelRequest::WARN:
      level = LogLevel::kWarning;
      break;
    case v2::ChangeLogLevelRequest::ERROR:
      level = LogLevel::kError;
      break;
    default:
      return call->Fail(absl::InvalidArgumentError(
          absl::StrCat("there is no level ", static_cast<int>(request.level()), ", expected TRACE (0) to ERROR (4)")));
  }
  if (level != before) {
    LOG(INFO) << "an operator changes the log level" << KV("from", LogLevelName(before))
              << KV("to", LogLevelName(level)) << KV("peer", call->head().peer);
  }
  SetMinLogLevel(level);
  v2::ChangeLogLevelResponse response;
  response.set_remark(absl::StrCat("the log level is ", LogLevelName(level), ", it was ", LogLevelName(before)));
  call->Answer(Serialize(response));
}

// --- AdminSendMessage ---

using AdminSendExchange = ExchangePtr<v2::AdminSendMessageRequest, v2::AdminSendMessageResponse>;

// As the clients make them: 01, where, when in seconds since 2021, which; hexadecimal.
class MessageIds {
 public:
  MessageIds(absl::string_view proxy_name, absl::Time start)
      : where_(absl::HashOf(proxy_name, absl::ToUnixMicros(start))) {}

  std::string Next(absl::Time now) {
    static const absl::Time kEpoch = absl::FromUnixSeconds(1'609'459'200);
    return absl::StrFormat("01%016X%08X%08X", where_, static_cast<uint32_t>(absl::ToInt64Seconds(now - kEpoch)),
                           next_.fetch_add(1, std::memory_order_relaxed));
  }

 private:
  const uint64_t where_;
  std::atomic<uint32_t> next_{0};
};

// The send that an operator's call causes: it goes the way of every other.
class SendForAdmin final : public edge::UnaryCall {
 public:
  SendForAdmin(const v2::SendMessageRequest& request, AdminSendExchange exchange)
      : head_(exchange->head()), request_(Serialize(request)), exchange_(std::move(exchange)) {
    if (CheckCaller(exchange_->caller()).ok()) return;
    std::erase_if(head_.metadata, [](const auto& pair) { return pair.first == "x-mq-client-id"; });
    head_.metadata.emplace_back("x-mq-client-id", "admin");
  }

  const edge::CallHead& head() const override { return head_; }
  const Bytes& request() const override { return request_; }
  bool AddInitial(absl::string_view, absl::string_view) override { return false; }
  bool AddTrailing(absl::string_view, absl::string_view) override { return false; }
  void AnswerInTime(Bytes bytes) override {
    v2::SendMessageResponse late;
    v2::AdminSendMessageResponse response;
    CHECK(Parse(bytes, &late).ok());
    *response.mutable_status() = late.status();
    exchange_->AnswerInTime(Serialize(response));
  }

  void Answer(Bytes bytes) override {
    v2::SendMessageResponse sent;
    const absl::Status status = Parse(bytes, &sent);
    if (!status.ok()) return Fail(status);
    if (sent.entries_size() == 1) exchange_->response()->set_message_id(sent.entries(0).message_id());
    exchange_->AnswerAs(sent.status());
  }
  void Fail(const absl::Status& status) override { exchange_->Answer(status); }
  void Resume(absl::AnyInvocable<void()> task) override { exchange_->Resume(std::move(task)); }

 private:
  edge::CallHead head_;
  const Bytes request_;
  const AdminSendExchange exchange_;
};

v2::Message MessageOf(const v2::AdminSendMessageRequest& request) {
  v2::Message message;
  *message.mutable_topic() = request.topic();
  message.set_body(request.body());
  *message.mutable_user_properties() = request.user_properties();
  v2::SystemProperties* const system = message.mutable_system_properties();
  *system = request.system_properties();
  if (request.has_tag()) system->set_tag(request.tag());
  if (request.has_key()) system->add_keys(request.key());
  if (system->body_encoding() == v2::ENCODING_UNSPECIFIED) system->set_body_encoding(v2::IDENTITY);
  return message;
}

void AdminSendMessage(const std::shared_ptr<MessageIds>& ids, const edge::UnaryHandler& send,
                      AdminSendExchange exchange) {
  // It makes no topics: a name that is not there is a slip.
  const Snapshot metadata = exchange->proxy()->router().Snapshot();
  const absl::StatusOr<const TopicMetadata*> topic =
      FindTopic(*metadata, exchange->request().topic(), exchange->caller());
  if (!topic.ok()) return exchange->Answer(topic.status());
  if ((*topic)->type == MessageType::kTransaction) {
    return exchange->Answer(Refuse(
        Reason::kMessagePropertyConflictWithType,
        absl::StrCat("the topic ", (*topic)->name.ToString(),
                     " is of type transaction: its messages need a producer that is asked what became of them")));
  }
  v2::SendMessageRequest request;
  *request.add_messages() = MessageOf(exchange->request());
  v2::SystemProperties* const system = request.mutable_messages(0)->mutable_system_properties();
  if (system->message_id().empty()) system->set_message_id(ids->Next(exchange->proxy()->clock()->Now()));
  send(std::make_unique<SendForAdmin>(request, std::move(exchange)));
}

}  // namespace

void AddRocketmqAdmin(Proxy* proxy, ProcessFacts process, edge::MethodTable* table) {
  AddRocketmqAdminMethod<v2::DescribeTopicStatusRequest, v2::DescribeTopicStatusResponse>(table, "DescribeTopicStatus",
                                                                                          proxy, DescribeTopicStatus);
  AddRocketmqAdminMethod<v2::GetTopicRouteRequest, v2::GetTopicRouteResponse>(table, "GetTopicRoute", proxy,
                                                                              GetTopicRoute);
  AddRocketmqAdminMethod<v2::GetProxyRuntimeStatsRequest, v2::GetProxyRuntimeStatsResponse>(
      table, "GetProxyRuntimeStats", proxy,
      [process = std::move(process)](StatsExchange exchange) { GetProxyRuntimeStats(process, std::move(exchange)); });
  table->unary[absl::StrCat(kRocketmqAdmin, "ChangeLogLevel")] = ChangeLogLevel;
  AddRocketmqAdminMethod<v2::AdminSendMessageRequest, v2::AdminSendMessageResponse>(
      table, "AdminSendMessage", proxy,
      [send = SendHandler(proxy), ids = std::make_shared<MessageIds>(proxy->options().name, proxy->clock()->Now())](
          AdminSendExchange exchange) { AdminSendMessage(ids, send, std::move(exchange)); });
  AddRocketmqAdminClients(proxy, table);
  AddRocketmqAdminMessages(proxy, table);
}

}  // namespace barid::proxy
