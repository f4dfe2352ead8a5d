#include "proxy/public/settle_handlers.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proxy/public/exchange.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using AckExchange = ExchangePtr<v2::AckMessageRequest, v2::AckMessageResponse>;
using ChangeExchange = ExchangePtr<v2::ChangeInvisibleDurationRequest, v2::ChangeInvisibleDurationResponse>;
using ForwardExchange =
    ExchangePtr<v2::ForwardMessageToDeadLetterQueueRequest, v2::ForwardMessageToDeadLetterQueueResponse>;

// The request's topic and group, if they are well-formed.
struct Names {
  ResourceName topic;
  ResourceName group;
};
template <typename Request>
absl::StatusOr<Names> NamesOf(const Request& request, const Caller& caller) {
  Names names = {NameOf(request.topic(), caller.space), NameOf(request.group(), caller.space)};
  RETURN_IF_ERROR(CheckTopic(names.topic));
  RETURN_IF_ERROR(CheckGroup(names.group));
  return names;
}

void AnswerAck(AckExchange exchange, const std::vector<absl::Status>& statuses) {
  for (int i = 0; i < exchange->request().entries_size(); ++i) {
    v2::AckMessageResultEntry* const entry = exchange->response()->add_entries();
    entry->set_message_id(exchange->request().entries(i).message_id());
    entry->set_receipt_handle(exchange->request().entries(i).receipt_handle());
    exchange->WriteStatus(statuses[i], entry->mutable_status());
  }
  exchange->AnswerEntries();
}

void AckMessage(AckExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::AckMessageRequest& request = exchange->request();
  if (request.entries().empty()) {
    return exchange->Answer(Refuse(Reason::kBadRequest, "the request has no entries, expected at least one"));
  }
  const auto answer_all = [](AckExchange exchange, const absl::Status& status) {
    const std::vector<absl::Status> statuses(exchange->request().entries_size(), status);
    AnswerAck(std::move(exchange), statuses);
  };
  const int max_entries = proxy->options().limits.max_settle_entries;
  if (request.entries_size() > max_entries) {
    return answer_all(std::move(exchange), Refuse(Reason::kPayloadTooLarge,
                                                  absl::StrCat("the request has ", request.entries_size(),
                                                               " entries, at most ", max_entries, " are allowed")));
  }
  const absl::StatusOr<Names> names = NamesOf(request, exchange->caller());
  if (!names.ok()) return answer_all(std::move(exchange), names.status());

  proxy->clients().Heard(exchange->caller().id);
  const Snapshot metadata = proxy->router().Snapshot();
  proxy->members().Seen(*metadata, names->group);
  std::vector<Settlement> settlements(request.entries_size());
  for (int i = 0; i < request.entries_size(); ++i) {
    settlements[i].receipt = OpenReceipt(*metadata, names->topic, names->group, request.entries(i).receipt_handle());
    settlements[i].kind = SettleKind::kAck;
  }
  proxy->settler().Settle(
      std::move(settlements), [exchange = std::move(exchange)](std::vector<absl::Status> statuses) mutable {
        AckExchange::element_type::Continue(
            std::move(exchange),
            [statuses = std::move(statuses)](AckExchange exchange) { AnswerAck(std::move(exchange), statuses); });
      });
}

void ChangeInvisibleDuration(ChangeExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::ChangeInvisibleDurationRequest& request = exchange->request();
  // The handle stays as it is, also after an error: some clients keep what they find here without looking at the
  // status.
  exchange->response()->set_receipt_handle(request.receipt_handle());
  v2::ChangeInvisibleDurationResponse late;
  *late.mutable_status() = LateStatus(StatusUse::kOther);
  late.set_receipt_handle(request.receipt_handle());
  exchange->AnswerInTime(Serialize(late));
  const absl::StatusOr<Names> names = NamesOf(request, exchange->caller());
  if (!names.ok()) return exchange->Answer(names.status());
  const absl::Duration delay = FromProto(request.invisible_duration());
  if (const absl::Status status = CheckChangedInvisible(delay, proxy->options()); !status.ok())
    return exchange->Answer(status);

  proxy->clients().Heard(exchange->caller().id);
  const Snapshot metadata = proxy->router().Snapshot();
  proxy->members().Seen(*metadata, names->group);
  std::vector<Settlement> settlements(1);
  settlements[0].receipt = OpenReceipt(*metadata, names->topic, names->group, request.receipt_handle());
  if (!settlements[0].receipt.ok()) return exchange->Answer(settlements[0].receipt.status());
  settlements[0].kind = request.suspend()
                            ? SettleKind::kSuspend
                            : KindOfChange(proxy->clients().Find(exchange->caller().id), *settlements[0].receipt);
  settlements[0].delay = delay;
  proxy->settler().Settle(std::move(settlements), [exchange = std::move(exchange)](std::vector<absl::Status> statuses) {
    exchange->Answer(statuses[0]);
  });
}

// OK if the message is gone already: clients repeat this call until they hear OK.
void ForwardMessageToDeadLetterQueue(ForwardExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::ForwardMessageToDeadLetterQueueRequest& request = exchange->request();
  const absl::StatusOr<Names> names = NamesOf(request, exchange->caller());
  if (!names.ok()) return exchange->Answer(names.status());

  proxy->clients().Heard(exchange->caller().id);
  const Snapshot metadata = proxy->router().Snapshot();
  proxy->members().Seen(*metadata, names->group);
  std::vector<Settlement> settlements(1);
  settlements[0].receipt = OpenReceipt(*metadata, names->topic, names->group, request.receipt_handle());
  settlements[0].kind = SettleKind::kDeadLetter;
  settlements[0].reason = absl::StrCat("forwarded by the consumer after attempt ", request.delivery_attempt(), " of ",
                                       request.max_delivery_attempts());
  proxy->settler().Settle(std::move(settlements), [exchange = std::move(exchange)](std::vector<absl::Status> statuses) {
    exchange->Answer(IsStaleReceipt(statuses[0]) ? absl::OkStatus() : statuses[0]);
  });
}

}  // namespace

void AddSettleHandlers(Proxy* proxy, edge::MethodTable* table) {
  AddUnary(table, "AckMessage", proxy, AckMessage);
  AddUnary(table, "ChangeInvisibleDuration", proxy, ChangeInvisibleDuration);
  AddUnary(table, "ForwardMessageToDeadLetterQueue", proxy, ForwardMessageToDeadLetterQueue);
}

}  // namespace barid::proxy
