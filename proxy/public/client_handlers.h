#ifndef BARID_PROXY_PUBLIC_CLIENT_HANDLERS_H_
#define BARID_PROXY_PUBLIC_CLIENT_HANDLERS_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// Heartbeat and NotifyClientTermination.
void AddClientHandlers(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_CLIENT_HANDLERS_H_
