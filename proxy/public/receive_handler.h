#ifndef BARID_PROXY_PUBLIC_RECEIVE_HANDLER_H_
#define BARID_PROXY_PUBLIC_RECEIVE_HANDLER_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// ReceiveMessage, served from the request alone: no earlier Settings or Heartbeat is needed. The stream carries
//
//   status OK, message..., delivery timestamp    with messages
//   status MESSAGE_NOT_FOUND                     when the poll is over without any, or the call's deadline is near
//   another status                               when it failed
//
// and ends with gRPC's OK. What did not leave is given back at once; what may have left stays invisible.
void AddReceiveHandler(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_RECEIVE_HANDLER_H_
