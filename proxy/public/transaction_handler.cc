#include "proxy/public/transaction_handler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proxy/public/exchange.h"
#include "proxy/refusal.h"
#include "proxy/transaction_id.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using EndExchange = ExchangePtr<v2::EndTransactionRequest, v2::EndTransactionResponse>;

// The id if it is for a transaction of `topic`.
absl::StatusOr<TransactionId> OpenId(const Metadata& metadata, const ResourceName& topic, absl::string_view id) {
  ASSIGN_OR_RETURN(TransactionId opened, DecodeTransactionId(id, metadata.tables().signing_keys));
  const TopicMetadata* const its_topic = metadata.FindTopic(opened.topic);
  if (its_topic == nullptr)
    return absl::NotFoundError("the transaction's topic has been deleted, and the transaction with it");
  if (its_topic->name != topic) {
    return Refuse(Reason::kInvalidTransactionId,
                  absl::StrCat("the transaction id is for the topic ", its_topic->name.ToString(),
                               ", the request names ", topic.ToString()));
  }
  return opened;
}

// If the broker says it does not lead any more, the right one is asked, once.
void End(Router* router, const EndTransactionCall& call, Callback<EndTransactionResult> done) {
  const absl::StatusOr<Target> target = router->ById(*router->Snapshot(), call.shard);
  if (!target.ok()) return done({target.status()});
  target->broker->EndTransaction(
      call, [router, call, target = *target, done = std::move(done)](EndTransactionResult result) mutable {
        BrokerApi* const leader = result.status.ok() ? nullptr : router->SecondTry(result.status, target);
        if (leader == nullptr) return done(std::move(result));
        leader->EndTransaction(call, std::move(done));
      });
}

void EndTransaction(EndExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::EndTransactionRequest& request = exchange->request();
  const ResourceName topic = NameOf(request.topic(), exchange->caller().space);
  if (const absl::Status status = CheckTopic(topic); !status.ok()) return exchange->Answer(status);
  const Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<TransactionId> id = OpenId(*metadata, topic, request.transaction_id());
  if (!id.ok()) return exchange->Answer(id.status());
  proxy->clients().Produces(exchange->caller().id, {topic});
  switch (request.resolution()) {
    case v2::TRANSACTION_RESOLUTION_UNSPECIFIED:
      return exchange->Answer(absl::OkStatus());  // It is asked about again.
    case v2::COMMIT:
    case v2::ROLLBACK:
      break;
    default:
      return exchange->Answer(
          Refuse(Reason::kBadRequest, absl::StrCat("the resolution is ", static_cast<int>(request.resolution()),
                                                   ", expected COMMIT (1), ROLLBACK (2) or none (0)")));
  }
  End(&proxy->router(), {id->shard, id->transaction, request.resolution() == v2::COMMIT},
      [exchange = std::move(exchange)](EndTransactionResult result) { exchange->Answer(result.status); });
}

}  // namespace

void AddTransactionHandler(Proxy* proxy, edge::MethodTable* table) {
  AddUnary(table, "EndTransaction", proxy, EndTransaction);
}

}  // namespace barid::proxy
