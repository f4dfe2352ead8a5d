#ifndef BARID_PROXY_PUBLIC_OFFSET_HANDLERS_H_
#define BARID_PROXY_PUBLIC_OFFSET_HANDLERS_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// QueryOffset, GetOffset, UpdateOffset. A queue is named by its topic, its id and its broker's name, as in the route.
// `proxy` outlives the table.
//
//   TOPIC_NOT_FOUND           no such topic; these calls make none
//   BAD_REQUEST               no such broker or queue of the topic; TIMESTAMP without a timestamp, an unknown policy
//   ILLEGAL_OFFSET            UpdateOffset beyond the end of the queue, or below 0
//   CONSUMER_GROUP_NOT_FOUND  no such group; UpdateOffset makes it, if groups are made on first use
//   OFFSET_NOT_FOUND          GetOffset, and the group has stored none for the queue
//   PROXY_TIMEOUT             UpdateOffset, and it may have been stored: store it again
void AddOffsetHandlers(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_OFFSET_HANDLERS_H_
