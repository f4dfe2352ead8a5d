#ifndef BARID_PROXY_PUBLIC_ROUTE_HANDLERS_H_
#define BARID_PROXY_PUBLIC_ROUTE_HANDLERS_H_

#include "absl/status/status.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

namespace v2 = ::apache::rocketmq::v2;

// What QueryRoute answers of the topic. kUnavailable without shards; BAD_REQUEST without endpoints, neither asked by
// nor advertised.
absl::Status FillRoute(const v2::QueryRouteRequest& request, const TopicMetadata& topic, const Metadata& metadata,
                       const ProxyOptions& options, v2::QueryRouteResponse* response);

// QueryRoute and QueryAssignment: what there is, always in the same order. Every node serves every call for every
// queue, so a route names the address by which the client came.
void AddRouteHandlers(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ROUTE_HANDLERS_H_
