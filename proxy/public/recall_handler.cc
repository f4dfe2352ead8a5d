#include "proxy/public/recall_handler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/public/exchange.h"
#include "proxy/recaller.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using RecallExchange = ExchangePtr<v2::RecallMessageRequest, v2::RecallMessageResponse>;

void RecallMessage(RecallExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::RecallMessageRequest& request = exchange->request();
  const ResourceName topic = NameOf(request.topic(), exchange->caller().space);
  if (const absl::Status status = CheckTopic(topic); !status.ok()) return exchange->Answer(status);
  const Snapshot metadata = proxy->router().Snapshot();
  if (metadata->FindTopic(topic) == nullptr) {
    return exchange->Answer(Refuse(Reason::kTopicNotFound, absl::StrCat("there is no topic ", topic.ToString())));
  }
  const absl::StatusOr<RecallHandle> handle = OpenRecallHandle(*metadata, topic, request.recall_handle());
  if (!handle.ok()) return exchange->Answer(handle.status());
  exchange->response()->set_message_id(handle->message_id);
  Recall(&proxy->router(), *handle,
         [exchange = std::move(exchange)](RecallResult result) { exchange->Answer(result.status); });
}

}  // namespace

void AddRecallHandler(Proxy* proxy, edge::MethodTable* table) {
  AddUnary(table, "RecallMessage", proxy, RecallMessage);
}

}  // namespace barid::proxy
