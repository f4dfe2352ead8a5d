#ifndef BARID_PROXY_PUBLIC_UNIMPLEMENTED_HANDLERS_H_
#define BARID_PROXY_PUBLIC_UNIMPLEMENTED_HANDLERS_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// The RPCs of the public API that this version does not serve, each answered NOT_IMPLEMENTED in a response of its own
// type (docs/clients.md lists them): all of apache.rocketmq.v2.Admin.
void AddUnimplementedHandlers(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_UNIMPLEMENTED_HANDLERS_H_
