#ifndef BARID_PROXY_PUBLIC_PULL_HANDLER_H_
#define BARID_PROXY_PUBLIC_PULL_HANDLER_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// PullMessage: reads a queue by offset and changes nothing, whoever asks; so messages have neither receipt nor attempt.
// The stream carries
//
//   status OK, message..., next offset      with messages
//   status MESSAGE_NOT_FOUND, next offset   when the waiting time is over, or the scan of a filter took too long
//   another status                          when it failed: ILLEGAL_OFFSET outside of what the queue holds (its end
//                                           is inside), and those of offset_handlers.h
//
// and ends with gRPC's OK. `proxy` outlives the table.
void AddPullHandler(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_PULL_HANDLER_H_
