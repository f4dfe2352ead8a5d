#ifndef BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_H_
#define BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_H_

#include <cstdint>
#include <functional>
#include <string>

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// What the proxy does not know of the process that it is in.
struct ProcessFacts {
  std::string version;
  std::function<int64_t()> connections;  // Open ones, of the public port.
};

// apache.rocketmq.v2.Admin: how the RocketMQ world looks at topics, groups and clients, by the names of its API. What
// it says of clients is what this proxy heard of them. Errors are statuses of the answers, as of MessagingService;
// callers need no client id. `proxy` outlives the table.
void AddRocketmqAdmin(Proxy* proxy, ProcessFacts process, edge::MethodTable* table);

// Its parts: clients and what they read; messages, and how far groups have come.
void AddRocketmqAdminClients(Proxy* proxy, edge::MethodTable* table);
void AddRocketmqAdminMessages(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_H_
