#ifndef BARID_PROXY_PUBLIC_LITE_HANDLER_H_
#define BARID_PROXY_PUBLIC_LITE_HANDLER_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// SyncLiteSubscription: which lite topics of a topic of type LITE a client reads. Clients send the whole set every 30
// s, and what they change at once. `proxy` outlives the table.
//
//   ILLEGAL_LITE_TOPIC                a name that no lite topic may have
//   TOPIC_NOT_FOUND                   no such topic; the call makes none
//   PRECONDITION_FAILED               the topic is not of type LITE
//   LITE_SUBSCRIPTION_QUOTA_EXCEEDED  the client would read more than proxy.max_lite_subscriptions
//   HA_NOT_AVAILABLE                  a shard has no leader; the others have taken it
void AddLiteHandler(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_LITE_HANDLER_H_
