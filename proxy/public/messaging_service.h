#ifndef BARID_PROXY_PUBLIC_MESSAGING_SERVICE_H_
#define BARID_PROXY_PUBLIC_MESSAGING_SERVICE_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// Everything of apache.rocketmq.v2 (MessagingService and Admin). `proxy` outlives the port that serves the table.
void AddMessagingService(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_MESSAGING_SERVICE_H_
