#ifndef BARID_PROXY_PUBLIC_TRANSACTION_HANDLER_H_
#define BARID_PROXY_PUBLIC_TRANSACTION_HANDLER_H_

#include "edge/call.h"
#include "proxy/proxy.h"

namespace barid::proxy {

// EndTransaction. The transaction id alone counts: message id, source and trace context are not looked at. `proxy`
// outlives the table.
//
//   OK                      it is ended so, now or before; or no decision was sent (resolution UNSPECIFIED), and it
//   stays open INVALID_TRANSACTION_ID  the id is blank, forged, malformed, or for another topic PRECONDITION_FAILED it
//   had ended otherwise; a transaction that nobody ended in time counts as rolled back NOT_FOUND               it is
//   not known: it ended long ago, or its topic was deleted BAD_REQUEST             the resolution is none of the three
void AddTransactionHandler(Proxy* proxy, edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_TRANSACTION_HANDLER_H_
