#ifndef BARID_PROXY_PUBLIC_TELEMETRY_HANDLER_H_
#define BARID_PROXY_PUBLIC_TELEMETRY_HANDLER_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// Telemetry: each Settings is answered at once, and sent again when the group's policy changes. The stream stays open
// until the client ends it; nothing else depends on it. Commands wait in a bounded queue: a client that does not read
// loses the oldest, and holds up nobody. When the client closes its half, or the stream dies, the client stays
// registered.
void AddTelemetryHandler(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_TELEMETRY_HANDLER_H_
