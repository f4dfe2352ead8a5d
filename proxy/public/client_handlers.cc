#include "proxy/public/client_handlers.h"

#include <string>
#include <utility>

#include "proxy/public/exchange.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using HeartbeatExchange = ExchangePtr<v2::HeartbeatRequest, v2::HeartbeatResponse>;
using TerminationExchange = ExchangePtr<v2::NotifyClientTerminationRequest, v2::NotifyClientTerminationResponse>;

// OK also for a client that nobody has seen: its first heartbeat may come before its settings.
void Heartbeat(HeartbeatExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  ClientProfile profile;
  profile.id = std::string(exchange->caller().id);
  profile.type = static_cast<ClientType>(exchange->request().client_type());
  // Some producers send a blank group.
  if (exchange->request().has_group() && !exchange->request().group().name().empty()) {
    profile.group = NameOf(exchange->request().group(), exchange->caller().space);
    if (const absl::Status status = CheckGroup(*profile.group); !status.ok()) return exchange->Answer(status);
  }
  proxy->clients().Declare(profile);
  if (profile.group && profile.type != ClientType::kProducer) {
    proxy->catalog().NeedGroup(*profile.group, [](absl::StatusOr<Snapshot>) {});
  }
  exchange->Answer(absl::OkStatus());
}

void NotifyClientTermination(TerminationExchange exchange) {
  exchange->proxy()->clients().Gone(exchange->caller().id);
  exchange->Answer(absl::OkStatus());
}

}  // namespace

void AddClientHandlers(Proxy* proxy, edge::MethodTable* table) {
  AddUnary(table, "Heartbeat", proxy, Heartbeat);
  AddUnary(table, "NotifyClientTermination", proxy, NotifyClientTermination);
}

}  // namespace barid::proxy
