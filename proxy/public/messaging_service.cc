#include "proxy/public/messaging_service.h"

#include "proxy/public/client_handlers.h"
#include "proxy/public/lite_handler.h"
#include "proxy/public/offset_handlers.h"
#include "proxy/public/pull_handler.h"
#include "proxy/public/recall_handler.h"
#include "proxy/public/receive_handler.h"
#include "proxy/public/route_handlers.h"
#include "proxy/public/send_handler.h"
#include "proxy/public/settle_handlers.h"
#include "proxy/public/telemetry_handler.h"
#include "proxy/public/transaction_handler.h"

namespace barid::proxy {

void AddMessagingService(Proxy* proxy, edge::MethodTable* table) {
  AddRouteHandlers(proxy, table);
  AddSendHandler(proxy, table);
  AddRecallHandler(proxy, table);
  AddTransactionHandler(proxy, table);
  AddReceiveHandler(proxy, table);
  AddPullHandler(proxy, table);
  AddOffsetHandlers(proxy, table);
  AddLiteHandler(proxy, table);
  AddSettleHandlers(proxy, table);
  AddTelemetryHandler(proxy, table);
  AddClientHandlers(proxy, table);
}

}  // namespace barid::proxy
