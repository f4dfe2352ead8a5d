#include "proxy/public/route_handlers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status.h"
#include "proxy/public/exchange.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using RouteExchange = ExchangePtr<v2::QueryRouteRequest, v2::QueryRouteResponse>;
using AssignmentExchange = ExchangePtr<v2::QueryAssignmentRequest, v2::QueryAssignmentResponse>;

// Where the client shall go: where it came from. One address, because not every client can dial several.
absl::StatusOr<v2::Endpoints> EndpointsFor(const v2::Endpoints& asked, const ProxyOptions& options) {
  if (asked.addresses().empty()) {
    if (!options.advertised_address.empty()) return ParseEndpoints(options.advertised_address);
    return Refuse(Reason::kBadRequest,
                  "the request has no endpoints, expected the address by which the client reaches this server");
  }
  v2::Endpoints endpoints;
  *endpoints.add_addresses() = asked.addresses(0);
  const bool has_scheme = asked.scheme() == v2::IPv4 || asked.scheme() == v2::IPv6 || asked.scheme() == v2::DOMAIN_NAME;
  endpoints.set_scheme(has_scheme ? asked.scheme() : SchemeOf(asked.addresses(0).host()));
  return endpoints;
}

void FillQueue(const v2::Resource& topic, const TopicMetadata& metadata, const ShardMetadata& shard, int32_t id,
               const v2::Endpoints& endpoints, bool enforce_types, v2::MessageQueue* queue) {
  *queue->mutable_topic() = topic;  // As the client writes it, with or without the namespace.
  queue->set_id(id);
  queue->set_permission(v2::READ_WRITE);
  queue->mutable_broker()->set_name(shard.name);
  *queue->mutable_broker()->mutable_endpoints() = endpoints;
  for (const MessageType type : TakenTypes(metadata.type, enforce_types)) {
    queue->add_accept_message_types(static_cast<v2::MessageType>(type));
  }
}

absl::Status NoShards() { return absl::UnavailableError("the cluster has no shards yet: no broker has registered"); }

}  // namespace

absl::Status FillRoute(const v2::QueryRouteRequest& request, const TopicMetadata& topic, const Metadata& metadata,
                       const ProxyOptions& options, v2::QueryRouteResponse* response) {
  ASSIGN_OR_RETURN(const v2::Endpoints endpoints, EndpointsFor(request.endpoints(), options));
  // The shards by turns: simple consumers go through the queues as they stand here, and each of their receives is for
  // all queues of its shard.
  const std::vector<const ShardMetadata*> shards = Router::Shards(metadata);
  int32_t most_queues = 0;
  for (const ShardMetadata* shard : shards) most_queues = std::max(most_queues, topic.QueuesIn(shard->id));
  for (int32_t id = 0; id < most_queues; ++id) {
    for (const ShardMetadata* shard : shards) {
      if (id >= topic.QueuesIn(shard->id)) continue;
      FillQueue(request.topic(), topic, *shard, id, endpoints, options.enforce_message_types,
                response->add_message_queues());
    }
  }
  return response->message_queues().empty() ? NoShards() : absl::OkStatus();
}

namespace {

void AnswerRoute(RouteExchange exchange, const ResourceName& name, absl::StatusOr<Snapshot> found) {
  if (!found.ok()) return exchange->Answer(found.status());
  exchange->Answer(FillRoute(exchange->request(), *(*found)->FindTopic(name), **found, exchange->proxy()->options(),
                             exchange->response()));
}

void QueryRoute(RouteExchange exchange) {
  const ResourceName topic = NameOf(exchange->request().topic(), exchange->caller().space);
  if (const absl::Status status = CheckTopic(topic); !status.ok()) return exchange->Answer(status);
  exchange->proxy()->clients().Heard(exchange->caller().id);
  Catalog& catalog = exchange->proxy()->catalog();
  catalog.NeedTopic(topic, [exchange = std::move(exchange), topic](absl::StatusOr<Snapshot> found) mutable {
    AnswerRoute(std::move(exchange), topic, std::move(found));
  });
}

// One assignment a shard, for all its queues (id -1): members share a queue's messages, so all get the same set.
void AnswerAssignment(AssignmentExchange exchange, const ResourceName& name, absl::StatusOr<Snapshot> found) {
  if (!found.ok()) return exchange->Answer(found.status());
  const absl::StatusOr<v2::Endpoints> endpoints =
      EndpointsFor(exchange->request().endpoints(), exchange->proxy()->options());
  if (!endpoints.ok()) return exchange->Answer(endpoints.status());
  const TopicMetadata& topic = *(*found)->FindTopic(name);
  const bool enforce_types = exchange->proxy()->options().enforce_message_types;
  for (const ShardMetadata* shard : Router::Shards(**found)) {
    if (topic.QueuesIn(shard->id) == 0) continue;
    FillQueue(exchange->request().topic(), topic, *shard, -1, *endpoints, enforce_types,
              exchange->response()->add_assignments()->mutable_message_queue());
  }
  exchange->Answer(exchange->response()->assignments().empty() ? NoShards() : absl::OkStatus());
}

void QueryAssignment(AssignmentExchange exchange) {
  const ResourceName topic = NameOf(exchange->request().topic(), exchange->caller().space);
  const ResourceName group = NameOf(exchange->request().group(), exchange->caller().space);
  if (const absl::Status status = CheckTopic(topic); !status.ok()) return exchange->Answer(status);
  if (const absl::Status status = CheckGroup(group); !status.ok()) return exchange->Answer(status);
  exchange->proxy()->clients().Heard(exchange->caller().id);
  Catalog& catalog = exchange->proxy()->catalog();
  // Only ReceiveMessage insists on the group; here it is just as well to make it early.
  catalog.NeedGroup(group, [](absl::StatusOr<Snapshot>) {});
  catalog.NeedTopic(topic, [exchange = std::move(exchange), topic](absl::StatusOr<Snapshot> found) mutable {
    AnswerAssignment(std::move(exchange), topic, std::move(found));
  });
}

}  // namespace

void AddRouteHandlers(Proxy* proxy, edge::MethodTable* table) {
  AddUnary(table, "QueryRoute", proxy, QueryRoute);
  AddUnary(table, "QueryAssignment", proxy, QueryAssignment);
}

}  // namespace barid::proxy
