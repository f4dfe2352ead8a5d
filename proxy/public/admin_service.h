#ifndef BARID_PROXY_PUBLIC_ADMIN_SERVICE_H_
#define BARID_PROXY_PUBLIC_ADMIN_SERVICE_H_

#include <string>

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// barid.admin.v1.Admin: topics, groups and the cluster, for operators. Errors are gRPC statuses. `version` is this
// process's. `proxy` outlives the port that serves the table.
void AddAdminService(Proxy* proxy, std::string version, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ADMIN_SERVICE_H_
