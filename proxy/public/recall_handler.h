#ifndef BARID_PROXY_PUBLIC_RECALL_HANDLER_H_
#define BARID_PROXY_PUBLIC_RECALL_HANDLER_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// RecallMessage. `proxy` outlives the table.
//
//   OK              the message will never be delivered; its id is in the answer
//   NOT_FOUND       it was delivered or recalled already, or its topic was deleted
//   BAD_REQUEST     the handle is forged, malformed, or for another topic
void AddRecallHandler(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_RECALL_HANDLER_H_
