#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proxy/cluster_stats.h"
#include "proxy/message_finder.h"
#include "proxy/public/admin_conversions.h"
#include "proxy/public/rocketmq_admin.h"
#include "proxy/public/rocketmq_admin_method.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

// A client that this proxy knows, and what it reads as a member of its group.
struct Reader {
  ClientProfile profile;
  std::shared_ptr<ClientSession> session;  // nullptr: no stream is open.
  std::vector<ClientRead> reads;
};

// By id.
std::vector<Reader> ReadersOf(Proxy* proxy) {
  std::vector<Reader> readers;
  for (ClientProfile& profile : proxy->clients().All()) {
    Reader& reader = readers.emplace_back();
    reader.profile = std::move(profile);
    reader.session = proxy->clients().SessionOf(reader.profile.id);
    if (reader.session != nullptr) reader.reads = reader.session->Reads();
  }
  std::sort(readers.begin(), readers.end(),
            [](const Reader& a, const Reader& b) { return a.profile.id < b.profile.id; });
  return readers;
}

v2::MessageModel ModelOf(ClientType type) {
  const bool is_lite = type == ClientType::kLitePushConsumer || type == ClientType::kLiteSimpleConsumer;
  return is_lite ? v2::LITE_SELECTIVE : v2::CLUSTERING;
}

// "ipv4:192.0.2.7:4711" -> "192.0.2.7"; what is no address stays as it is.
std::string AddressOf(absl::string_view peer) {
  const size_t scheme = peer.find(':');
  if (scheme == absl::string_view::npos || !absl::StartsWith(peer, "ipv")) return std::string(peer);
  peer.remove_prefix(scheme + 1);
  return std::string(peer.substr(0, peer.rfind(':')));
}

void FillClient(const ClientProfile& client, v2::ClientInfo* out) {
  out->set_client_id(Text(client.id));  // It came in a header.
  out->set_version(client.version);
  out->set_language(v2::Language_Name(static_cast<v2::Language>(client.language)));
  out->set_hostname(client.hostname);
  out->set_egress_ip(AddressOf(client.peer));
  out->set_message_model(ModelOf(client.type));
}

void FillFilter(const ClientRead& read, v2::FilterExpression* out) {
  out->set_type(read.is_sql ? v2::SQL : v2::TAG);
  out->set_expression(read.expression);
}

// --- Subscriptions ---

// What a request asks for: with one of both that is all that it has.
struct Wanted {
  std::optional<ResourceName> topic;
  std::optional<ResourceName> group;

  bool Has(const ResourceName& of_topic, const ResourceName& of_group) const {
    return (!topic || *topic == of_topic) && (!group || *group == of_group);
  }
};

template <typename Request>
absl::StatusOr<Wanted> WantedBy(const Request& request, const Caller& caller) {
  Wanted wanted;
  if (request.has_topic()) wanted.topic = NameOf(request.topic(), caller.space);
  if (request.has_group()) wanted.group = NameOf(request.group(), caller.space);
  if (!wanted.topic && !wanted.group)
    return Refuse(Reason::kBadRequest, "the request names neither a topic nor a group, expected one of them or both");
  return wanted;
}

struct Subscription {
  std::vector<const Reader*> online;
  std::vector<const ClientRead*> reads;  // Of each of these.
  absl::Time since = absl::UnixEpoch();  // Of one that is recorded.
};
using Subscriptions = std::map<std::pair<ResourceName, ResourceName>, Subscription>;  // By group, then topic.

// Those that are recorded, and what clients say that they read. `readers` stays as it is.
Subscriptions SubscriptionsOf(const Metadata& metadata, const std::vector<Reader>& readers, const Wanted& wanted) {
  Subscriptions found;
  for (const SubscriptionMetadata& recorded : metadata.tables().subscriptions) {
    const TopicMetadata* const topic = metadata.FindTopic(recorded.topic);
    const GroupMetadata* const group = metadata.FindGroup(recorded.group);
    if (topic == nullptr || group == nullptr || !wanted.Has(topic->name, group->name)) continue;
    found[{group->name, topic->name}].since = recorded.created;
  }
  for (const Reader& reader : readers) {
    for (const ClientRead& read : reader.reads) {
      if (!wanted.Has(read.topic, read.group)) continue;
      Subscription& subscription = found[{read.group, read.topic}];
      subscription.online.push_back(&reader);
      subscription.reads.push_back(&read);
    }
  }
  return found;
}

void FillInfo(const std::pair<ResourceName, ResourceName>& names, const Subscription& subscription,
              const Metadata& metadata, v2::SubscriptionInfo* out) {
  ToProto(names.first, out->mutable_group());
  ToProto(names.second, out->mutable_topic());
  out->set_online(!subscription.online.empty());
  out->set_subscription_consistency(true);
  for (const ClientRead* const read : subscription.reads) {
    const ClientRead& first = *subscription.reads.front();
    if (read->is_sql != first.is_sql || read->expression != first.expression) out->set_subscription_consistency(false);
  }
  if (!subscription.reads.empty()) FillFilter(*subscription.reads.back(), out->mutable_expression());
  if (subscription.since != absl::UnixEpoch()) ToProto(subscription.since, out->mutable_last_update_timestamp());
  const TopicMetadata* const topic = metadata.FindTopic(names.second);
  out->set_message_model(topic != nullptr && topic->type == MessageType::kLite ? v2::LITE_SELECTIVE : v2::CLUSTERING);
}

using ListExchange = ExchangePtr<v2::ListSubscriptionRequest, v2::ListSubscriptionResponse>;
using DescribeExchange = ExchangePtr<v2::DescribeSubscriptionRequest, v2::DescribeSubscriptionResponse>;

void ListSubscription(ListExchange exchange) {
  const absl::StatusOr<Wanted> wanted = WantedBy(exchange->request(), exchange->caller());
  if (!wanted.ok()) return exchange->Answer(wanted.status());
  const Snapshot metadata = exchange->proxy()->router().Snapshot();
  const std::vector<Reader> readers = ReadersOf(exchange->proxy());
  for (const auto& [names, subscription] : SubscriptionsOf(*metadata, readers, *wanted))
    FillInfo(names, subscription, *metadata, exchange->response()->add_subscription_info());
  exchange->Answer(absl::OkStatus());
}

void DescribeSubscription(DescribeExchange exchange) {
  const absl::StatusOr<Wanted> wanted = WantedBy(exchange->request(), exchange->caller());
  if (!wanted.ok()) return exchange->Answer(wanted.status());
  const Snapshot metadata = exchange->proxy()->router().Snapshot();
  const std::vector<Reader> readers = ReadersOf(exchange->proxy());
  for (const auto& [names, subscription] : SubscriptionsOf(*metadata, readers, *wanted)) {
    v2::SubscriptionInfo info;
    FillInfo(names, subscription, *metadata, &info);
    for (size_t i = 0; i < subscription.online.size(); ++i) {
      auto* const one = exchange->response()->add_client_subscription_info();
      FillClient(subscription.online[i]->profile, one->mutable_client_info());
      *one->mutable_subscription_info() = info;
      FillFilter(*subscription.reads[i], one->mutable_subscription_info()->mutable_expression());
    }
  }
  exchange->Answer(absl::OkStatus());
}

using DeleteExchange = ExchangePtr<v2::DeleteSubscriptionRequest, v2::DeleteSubscriptionResponse>;

void DeleteSubscription(DeleteExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::DeleteSubscriptionRequest& request = exchange->request();
  const Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<const TopicMetadata*> topic = FindTopic(*metadata, request.topic(), exchange->caller());
  if (!topic.ok()) return exchange->Answer(topic.status());
  const absl::StatusOr<const GroupMetadata*> group = FindGroup(*metadata, request.group(), exchange->caller());
  if (!group.ok()) return exchange->Answer(group.status());
  if (request.has_expression()) {
    const std::vector<Reader> readers = ReadersOf(proxy);
    const Subscriptions found = SubscriptionsOf(*metadata, readers, {(*topic)->name, (*group)->name});
    v2::SubscriptionInfo info;
    for (const auto& [names, subscription] : found) FillInfo(names, subscription, *metadata, &info);
    if (!info.has_expression() || info.expression().type() != request.expression().type() ||
        info.expression().expression() != request.expression().expression()) {
      return exchange->Answer(
          Refuse(Reason::kPreconditionFailed,
                 absl::StrCat("the filter is ",
                              info.has_expression() ? absl::StrCat("\"", info.expression().expression(), "\"")
                                                    : "not known to this proxy",
                              ", expected \"", request.expression().expression(), "\"")));
    }
  }
  proxy->controller()->Unsubscribe((*group)->id, (*topic)->id,
                                   [exchange = std::move(exchange)](absl::StatusOr<Snapshot> changed) mutable {
                                     exchange->Answer(changed.status());
                                   });
}

// --- Clients ---

using ConnectionsExchange = ExchangePtr<v2::ListConsumerConnectionRequest, v2::ListConsumerConnectionResponse>;
using RunningExchange = ExchangePtr<v2::GetConsumerRunningInfoRequest, v2::GetConsumerRunningInfoResponse>;

void ListConsumerConnection(ConnectionsExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::ListConsumerConnectionRequest& request = exchange->request();
  const Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<const GroupMetadata*> group = FindGroup(*metadata, request.group(), exchange->caller());
  if (!group.ok()) return exchange->Answer(group.status());
  const ResourceName topic = NameOf(request.topic(), exchange->caller().space);
  const TopicMetadata* const known = metadata->FindTopic(topic);
  std::vector<LiteSubscription> lite;
  if (request.has_litetopic()) lite = proxy->clients().LiteReaders();
  for (const Reader& reader : ReadersOf(proxy)) {
    if (reader.profile.group != (*group)->name) continue;
    const auto reads_it = [&](const ClientRead& read) { return read.topic == topic; };
    if (request.has_topic() && std::none_of(reader.reads.begin(), reader.reads.end(), reads_it)) continue;
    const auto reads_lite = [&](const LiteSubscription& one) {
      return one.client_id == reader.profile.id && one.group == (*group)->id &&
             (!request.has_topic() || (known != nullptr && one.topic == known->id)) &&
             std::binary_search(one.lite_topics.begin(), one.lite_topics.end(), request.litetopic());
    };
    if (request.has_litetopic() && std::none_of(lite.begin(), lite.end(), reads_lite)) continue;
    FillClient(reader.profile, exchange->response()->add_client_info());
  }
  exchange->Answer(absl::OkStatus());
}

// The client of the group, with a stream open. NOT_FOUND also if another proxy has it.
absl::StatusOr<std::shared_ptr<ClientSession>> SessionOf(Proxy* proxy, const std::string& client_id,
                                                         const v2::Resource& group, const Caller& caller) {
  const std::optional<ClientProfile> profile = proxy->clients().Find(client_id);
  const std::shared_ptr<ClientSession> session = proxy->clients().SessionOf(client_id);
  if (!profile || session == nullptr)
    return absl::NotFoundError(absl::StrCat("no client \"", client_id, "\" has a Telemetry stream to this proxy"));
  const ResourceName wanted = NameOf(group, caller.space);
  if (!wanted.name.empty() && profile->group != wanted) {
    return absl::NotFoundError(
        absl::StrCat("the client \"", client_id, "\" is ",
                     profile->group ? absl::StrCat("of the group ", profile->group->ToString()) : "of no group",
                     ", not of ", wanted.ToString()));
  }
  return session;
}

void GetConsumerRunningInfo(RunningExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<const GroupMetadata*> group =
      FindGroup(*metadata, exchange->request().group(), exchange->caller());
  if (!group.ok()) return exchange->Answer(group.status());
  const absl::StatusOr<std::shared_ptr<ClientSession>> session =
      SessionOf(proxy, exchange->request().client_id(), exchange->request().group(), exchange->caller());
  if (!session.ok()) return exchange->Answer(session.status());
  v2::ConsumerRunningInfo* const info = exchange->response()->mutable_consumer_running_info();
  for (const auto& [name, value] : (*session)->Properties()) (*info->mutable_properties())[name] = value;
  const std::vector<ClientRead> reads = (*session)->Reads();
  for (const ClientRead& read : reads) FillFilter(read, &(*info->mutable_subscriptions())[read.topic.name]);
  AskStats(
      &proxy->router(), *metadata, {TopicId(), (*group)->id},
      [exchange = std::move(exchange), info, metadata, reads, id = (*group)->id](const ClusterStats& stats) mutable {
        for (const QueueStats& queue : stats.queues) {
          const TopicMetadata* const topic = metadata->FindTopic(queue.queue.topic);
          const ShardMetadata* const shard = metadata->FindShard(queue.shard);
          // Lite topics are told together: no queue.
          if (shard == nullptr || topic == nullptr || topic->type == MessageType::kLite) continue;
          const auto is_its = [&](const ClientRead& read) { return read.topic == topic->name; };
          if (std::none_of(reads.begin(), reads.end(), is_its)) continue;
          for (const QueueStats::Group& place : queue.groups) {
            if (place.group != id) continue;
            v2::MessageQueueItem* const item = info->add_message_queue_table();
            ToProto(topic->name, item->mutable_message_queue()->mutable_topic());
            item->mutable_message_queue()->set_id(queue.queue.queue);
            item->mutable_message_queue()->mutable_broker()->set_name(shard->name);
            item->mutable_process_queue_info()->set_commit_offset(place.floor);
          }
        }
        if (!stats.silent_brokers.empty() && info->message_queue_table().empty())
          return exchange->Answer(Silent(stats.silent_brokers));
        exchange->Answer(absl::OkStatus());
      });
}

// --- What a client is asked ---

using ThreadsExchange = ExchangePtr<v2::PrintThreadStackTraceRequest, v2::PrintThreadStackTraceResponse>;
using VerifyExchange = ExchangePtr<v2::VerifyMessageRequest, v2::VerifyMessageResponse>;

// As the client said. Some say nothing where all is well.
v2::Status StatusOf(const ClientAnswer& answer) {
  v2::Status status;
  status.set_code(answer.code == 0 ? v2::OK : static_cast<v2::Code>(answer.code));
  status.set_message(answer.sentence);
  return status;
}

void PrintThreadStackTrace(ThreadsExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const std::string client = exchange->request().client_id();
  const absl::StatusOr<std::shared_ptr<ClientSession>> session =
      SessionOf(proxy, client, exchange->request().group(), exchange->caller());
  if (!session.ok()) return exchange->Answer(session.status());
  const std::optional<std::string> nonce =
      proxy->questions().Begin(client, [exchange = std::move(exchange)](absl::StatusOr<ClientAnswer> answer) mutable {
        if (!answer.ok()) return exchange->Answer(answer.status());
        if (answer->text) exchange->response()->set_thread_stack_trace(*std::move(answer->text));
        exchange->AnswerAs(StatusOf(*answer));
      });
  if (nonce) (*session)->PrintThreads(*nonce);
}

constexpr int32_t kMostOfOneId = 1000;

// The newest of those that groups are given; nullptr if there is none.
const MessagesFound::Entry* Newest(const MessagesFound& found) {
  const MessagesFound::Entry* newest = nullptr;
  for (const MessagesFound::Entry& entry : found.messages) {
    if (entry.message.state != FoundMessage::State::kQueued) continue;
    if (newest == nullptr || entry.message.stored_at > newest->message.stored_at) newest = &entry;
  }
  return newest;
}

void Verify(VerifyExchange exchange, const std::shared_ptr<ClientSession>& session, const ResourceName& topic,
            const absl::StatusOr<MessagesFound>& found) {
  if (!found.ok()) return exchange->Answer(found.status());
  const MessagesFound::Entry* const newest = Newest(*found);
  if (newest == nullptr) {
    if (!found->silent_brokers.empty()) return exchange->Answer(Silent(found->silent_brokers));
    v2::Status none;
    none.set_code(v2::MESSAGE_NOT_FOUND);
    none.set_message(absl::StrCat("the topic ", topic.ToString(), " keeps no message with the id \"",
                                  exchange->request().message_id(), "\""));
    return exchange->AnswerAs(none);
  }
  const absl::StatusOr<Bytes> message = AsDelivered(newest->message, topic);
  if (!message.ok()) return exchange->Answer(message.status());
  Proxy* const proxy = exchange->proxy();
  const std::string client = exchange->request().client_id();
  const std::optional<std::string> nonce =
      proxy->questions().Begin(client, [exchange = std::move(exchange)](absl::StatusOr<ClientAnswer> answer) mutable {
        if (!answer.ok()) return exchange->Answer(answer.status());
        exchange->AnswerAs(StatusOf(*answer));
      });
  if (nonce) session->Verify(*nonce, *message);
}

void VerifyMessage(VerifyExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<const TopicMetadata*> topic =
      FindTopic(*metadata, exchange->request().topic(), exchange->caller());
  if (!topic.ok()) return exchange->Answer(topic.status());
  absl::StatusOr<std::shared_ptr<ClientSession>> session =
      SessionOf(proxy, exchange->request().client_id(), exchange->request().group(), exchange->caller());
  if (!session.ok()) return exchange->Answer(session.status());
  MessageSearch search;
  search.lookup.topic = (*topic)->id;
  search.lookup.kind = LookupCall::Kind::kId;
  search.lookup.text = exchange->request().message_id();
  search.lookup.max_messages = kMostOfOneId;
  search.lookup.max_bytes = proxy->options().limits.max_receive_bytes;
  FindMessages(
      &proxy->router(), metadata, std::move(search),
      [exchange = std::move(exchange), session = *std::move(session), topic = (*topic)->name](
          const absl::StatusOr<MessagesFound>& found) mutable { Verify(std::move(exchange), session, topic, found); });
}

}  // namespace

void AddRocketmqAdminClients(Proxy* proxy, edge::MethodTable* table) {
  AddRocketmqAdminMethod<v2::ListSubscriptionRequest, v2::ListSubscriptionResponse>(table, "ListSubscription", proxy,
                                                                                    ListSubscription);
  AddRocketmqAdminMethod<v2::DescribeSubscriptionRequest, v2::DescribeSubscriptionResponse>(
      table, "DescribeSubscription", proxy, DescribeSubscription);
  AddRocketmqAdminMethod<v2::DeleteSubscriptionRequest, v2::DeleteSubscriptionResponse>(table, "DeleteSubscription",
                                                                                        proxy, DeleteSubscription);
  AddRocketmqAdminMethod<v2::ListConsumerConnectionRequest, v2::ListConsumerConnectionResponse>(
      table, "ListConsumerConnection", proxy, ListConsumerConnection);
  AddRocketmqAdminMethod<v2::GetConsumerRunningInfoRequest, v2::GetConsumerRunningInfoResponse>(
      table, "GetConsumerRunningInfo", proxy, GetConsumerRunningInfo);
  AddRocketmqAdminMethod<v2::PrintThreadStackTraceRequest, v2::PrintThreadStackTraceResponse>(
      table, "PrintThreadStackTrace", proxy, PrintThreadStackTrace);
  AddRocketmqAdminMethod<v2::VerifyMessageRequest, v2::VerifyMessageResponse>(table, "VerifyMessage", proxy,
                                                                              VerifyMessage);
}

}  // namespace barid::proxy
