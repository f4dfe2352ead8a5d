#ifndef BARID_PROXY_PUBLIC_SEND_HANDLER_H_
#define BARID_PROXY_PUBLIC_SEND_HANDLER_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// SendMessage. OK in an entry means: durable on every in-sync replica. A call that is refused stored nothing; past
// that, each message has its own fate.
edge::UnaryHandler SendHandler(Proxy* proxy);
void AddSendHandler(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_SEND_HANDLER_H_
