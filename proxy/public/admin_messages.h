#ifndef BARID_PROXY_PUBLIC_ADMIN_MESSAGES_H_
#define BARID_PROXY_PUBLIC_ADMIN_MESSAGES_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// The methods of barid.admin.v1.Admin that are about messages: finding and explaining them, sending dead letters back.
// Each asks one shard after the other. `proxy` outlives the port that serves the table.
void AddMessageMethods(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ADMIN_MESSAGES_H_
