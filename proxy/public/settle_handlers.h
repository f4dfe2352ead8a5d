#ifndef BARID_PROXY_PUBLIC_SETTLE_HANDLERS_H_
#define BARID_PROXY_PUBLIC_SETTLE_HANDLERS_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// AckMessage, ChangeInvisibleDuration and ForwardMessageToDeadLetterQueue. A receipt handle is all that counts: it may
// come from any client, over any connection, to any proxy. One that names no live delivery is answered
// INVALID_RECEIPT_HANDLE, which ends the retries of push consumers.
void AddSettleHandlers(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_SETTLE_HANDLERS_H_
