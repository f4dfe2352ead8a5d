#include "proxy/public/offset_handlers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proxy/offsets.h"
#include "proxy/public/exchange.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using QueryExchange = ExchangePtr<v2::QueryOffsetRequest, v2::QueryOffsetResponse>;
using GetExchange = ExchangePtr<v2::GetOffsetRequest, v2::GetOffsetResponse>;
using UpdateExchange = ExchangePtr<v2::UpdateOffsetRequest, v2::UpdateOffsetResponse>;

absl::StatusOr<QueuePlace> PlaceOf(const v2::MessageQueue& queue, const Metadata& metadata, const Caller& caller,
                                   Proxy* proxy) {
  const ResourceName topic = NameOf(queue.topic(), caller.space);
  RETURN_IF_ERROR(CheckTopic(topic));
  return FindQueue(metadata, proxy->router(), topic, queue.broker().name(), queue.id());
}

// A broker that has no such queue says so when the topic was deleted just now.
absl::Status WithoutQueue(const absl::Status& status) {
  return absl::IsNotFound(status) ? Refuse(Reason::kTopicNotFound, status.message()) : status;
}

absl::StatusOr<QueryOffsetCall> QueryOf(const v2::QueryOffsetRequest& request, const QueuePlace& place) {
  QueryOffsetCall call;
  call.shard = place.target.shard;
  call.queue = place.queue;
  call.metadata_revision = place.metadata_revision;
  switch (request.query_offset_policy()) {
    case v2::BEGINNING:
      call.policy = QueryOffsetCall::Policy::kBeginning;
      return call;
    case v2::END:
      call.policy = QueryOffsetCall::Policy::kEnd;
      return call;
    case v2::TIMESTAMP:
      call.policy = QueryOffsetCall::Policy::kTime;
      if (!request.has_timestamp())
        return Refuse(Reason::kBadRequest, "the policy is TIMESTAMP, and there is no timestamp");
      call.time = FromProto(request.timestamp(), absl::UnixEpoch());
      return call;
    default:
      return Refuse(Reason::kBadRequest, absl::StrCat("the policy is ", static_cast<int>(request.query_offset_policy()),
                                                      ", expected BEGINNING (0), END (1) or TIMESTAMP (2)"));
  }
}

void QueryOffset(QueryExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::QueryOffsetRequest& request = exchange->request();
  const absl::StatusOr<QueuePlace> place =
      PlaceOf(request.message_queue(), *proxy->router().Snapshot(), exchange->caller(), proxy);
  if (!place.ok()) return exchange->Answer(place.status());
  const absl::StatusOr<QueryOffsetCall> call = QueryOf(request, *place);
  if (!call.ok()) return exchange->Answer(call.status());
  AskLeader<QueryOffsetCall, OffsetResult>(&proxy->router(), place->target, *call, &BrokerApi::QueryOffset,
                                           [exchange = std::move(exchange)](OffsetResult result) {
                                             exchange->response()->set_offset(result.offset.value_or(0));
                                             exchange->Answer(WithoutQueue(result.status));
                                           });
}

void GetOffset(GetExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::GetOffsetRequest& request = exchange->request();
  const ResourceName name = NameOf(request.group(), exchange->caller().space);
  if (const absl::Status status = CheckGroup(name); !status.ok()) return exchange->Answer(status);
  const Snapshot metadata = proxy->router().Snapshot();
  proxy->members().Seen(*metadata, name);
  const absl::StatusOr<QueuePlace> place = PlaceOf(request.message_queue(), *metadata, exchange->caller(), proxy);
  if (!place.ok()) return exchange->Answer(place.status());
  const absl::StatusOr<const GroupMetadata*> group = Catalog::FindStoringGroup(*metadata, name);
  if (!group.ok()) return exchange->Answer(group.status());
  const GetOffsetCall call{place->target.shard, (*group)->id, place->queue, place->metadata_revision};
  AskLeader<GetOffsetCall, OffsetResult>(
      &proxy->router(), place->target, call, &BrokerApi::GetOffset,
      [exchange = std::move(exchange), name](OffsetResult result) {
        if (!result.status.ok()) return exchange->Answer(WithoutQueue(result.status));
        if (!result.offset) {
          return exchange->Answer(
              Refuse(Reason::kOffsetNotFound,
                     absl::StrCat("the group ", name.ToString(), " has stored no offset for this queue")));
        }
        exchange->response()->set_offset(*result.offset);
        exchange->Answer(absl::OkStatus());
      });
}

void UpdateOffset(UpdateExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const ResourceName name = NameOf(exchange->request().group(), exchange->caller().space);
  if (const absl::Status status = CheckGroup(name); !status.ok()) return exchange->Answer(status);
  if (exchange->request().offset() < 0) {
    return exchange->Answer(
        absl::OutOfRangeError(absl::StrCat("the offset is ", exchange->request().offset(), ", expected at least 0")));
  }
  // Nothing is made for a queue that is not there.
  const absl::StatusOr<QueuePlace> place =
      PlaceOf(exchange->request().message_queue(), *proxy->router().Snapshot(), exchange->caller(), proxy);
  if (!place.ok()) return exchange->Answer(place.status());
  proxy->clients().Heard(exchange->caller().id);
  proxy->catalog().NeedStoringGroup(
      name, [exchange = std::move(exchange), name, place = *place, proxy](absl::StatusOr<Snapshot> metadata) mutable {
        if (!metadata.ok()) return exchange->Answer(metadata.status());
        proxy->members().Seen(**metadata, name);
        const GroupMetadata* const group = (*metadata)->FindGroup(name);
        if (group == nullptr)
          return exchange->Answer(absl::UnavailableError("the group was deleted just now: try again"));
        const UpdateOffsetCall call{place.target.shard, group->id, place.queue, (*metadata)->revision(),
                                    exchange->request().offset()};
        AskLeader<UpdateOffsetCall, OffsetResult>(
            &proxy->router(), place.target, call, &BrokerApi::UpdateOffset,
            [exchange = std::move(exchange)](OffsetResult result) { exchange->Answer(WithoutQueue(result.status)); });
      });
}

}  // namespace

void AddOffsetHandlers(Proxy* proxy, edge::MethodTable* table) {
  AddUnary(table, "QueryOffset", proxy, QueryOffset);
  AddUnary(table, "GetOffset", proxy, GetOffset);
  AddUnary(table, "UpdateOffset", proxy, UpdateOffset);
}

}  // namespace barid::proxy
