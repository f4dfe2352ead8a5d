#ifndef BARID_PROXY_PUBLIC_ROUTE_HANDLERS_H_
#define BARID_PROXY_PUBLIC_ROUTE_HANDLERS_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// QueryRoute and QueryAssignment: what there is, always in the same order. Every node serves every call for every
// queue, so a route names the address by which the client came.
void AddRouteHandlers(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ROUTE_HANDLERS_H_
