#include "proxy/public/lite_handler.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/lite_topic.h"
#include "base/status.h"
#include "proxy/lite_subscriber.h"
#include "proxy/public/exchange.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using SyncExchange = ExchangePtr<v2::SyncLiteSubscriptionRequest, v2::SyncLiteSubscriptionResponse>;

// nullopt: where the group was.
absl::StatusOr<std::optional<LiteStart>> StartOf(const v2::OffsetOption& option) {
  const auto from = [](absl::string_view what, int64_t count,
                       LiteStart::Kind kind) -> absl::StatusOr<std::optional<LiteStart>> {
    if (count < 0) {
      return Refuse(Reason::kBadRequest,
                    absl::StrCat("the offset option's ", what, " is ", count, ", expected 0 or more"));
    }
    if (kind == LiteStart::Kind::kTime) return LiteStart{kind, 0, absl::FromUnixMillis(count)};
    return LiteStart{kind, count, absl::UnixEpoch()};
  };
  switch (option.offset_type_case()) {
    case v2::OffsetOption::kPolicy:
      break;
    case v2::OffsetOption::kOffset:
      return from("offset", option.offset(), LiteStart::Kind::kOffset);
    case v2::OffsetOption::kTailN:
      return from("tail_n", option.tail_n(), LiteStart::Kind::kTail);
    case v2::OffsetOption::kTimestamp:
      return from("timestamp", option.timestamp(), LiteStart::Kind::kTime);
    case v2::OffsetOption::OFFSET_TYPE_NOT_SET:
      return std::optional<LiteStart>();
  }
  switch (option.policy()) {
    case v2::OffsetOption::LAST:
      return std::optional<LiteStart>();
    case v2::OffsetOption::MIN:
      return LiteStart{LiteStart::Kind::kOffset, 0, absl::UnixEpoch()};
    case v2::OffsetOption::MAX:
      return LiteStart{LiteStart::Kind::kTail, 0, absl::UnixEpoch()};
    default:
      return Refuse(Reason::kBadRequest,
                    absl::StrCat("the offset option's policy is ", static_cast<int>(option.policy()),
                                 ", expected LAST (0), MIN (1) or MAX (2)"));
  }
}

absl::StatusOr<LiteSubscription> SubscriptionOf(const SyncExchange& exchange) {
  const v2::SyncLiteSubscriptionRequest& request = exchange->request();
  LiteSubscription subscription;
  switch (request.action()) {
    case v2::PARTIAL_ADD:
      subscription.action = LiteSyncCall::Action::kAdd;
      break;
    case v2::PARTIAL_REMOVE:
      subscription.action = LiteSyncCall::Action::kRemove;
      break;
    case v2::COMPLETE_ADD:
      subscription.action = LiteSyncCall::Action::kSet;
      break;
    case v2::COMPLETE_REMOVE:
      subscription.action = LiteSyncCall::Action::kRemoveAll;
      break;
    default:
      return Refuse(
          Reason::kBadRequest,
          absl::StrCat("the action is ", static_cast<int>(request.action()),
                       ", expected PARTIAL_ADD (0), PARTIAL_REMOVE (1), COMPLETE_ADD (2) or COMPLETE_REMOVE (3)"));
  }
  subscription.client_id = std::string(exchange->caller().id);
  subscription.version = request.version();
  if (subscription.action == LiteSyncCall::Action::kRemoveAll) return subscription;
  ASSIGN_OR_RETURN(subscription.start, StartOf(request.offset_option()));
  std::vector<std::string>& names = subscription.lite_topics;
  names.assign(request.lite_topic_set().begin(), request.lite_topic_set().end());
  for (const std::string& name : names) {
    const absl::Status legal = ValidateLiteTopic(name);
    if (!legal.ok()) return Refuse(Reason::kIllegalLiteTopic, legal.message());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return subscription;
}

absl::Status TooMany(absl::string_view sentence) { return Refuse(Reason::kLiteSubscriptionQuotaExceeded, sentence); }

void SyncNow(SyncExchange exchange, Proxy* proxy, const Metadata& metadata, const LiteSubscription& subscription) {
  SyncLite(&proxy->router(), metadata, Router::Shards(metadata), subscription,
           proxy->options().limits.max_lite_subscriptions,
           [exchange = std::move(exchange), proxy, subscription](absl::Status status) {
             if (status.ok()) proxy->clients().NoteLite(subscription);
             // A shortage of another kind says when to come back.
             const bool is_quota = absl::IsResourceExhausted(status) && !GetRetryAfter(status);
             exchange->Answer(is_quota ? TooMany(status.message()) : status);
           });
}

void SyncLiteSubscription(SyncExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const ResourceName topic_name = NameOf(exchange->request().topic(), exchange->caller().space);
  const ResourceName group_name = NameOf(exchange->request().group(), exchange->caller().space);
  if (const absl::Status status = CheckTopic(topic_name); !status.ok()) return exchange->Answer(status);
  if (const absl::Status status = CheckGroup(group_name); !status.ok()) return exchange->Answer(status);
  absl::StatusOr<LiteSubscription> subscription = SubscriptionOf(exchange);
  if (!subscription.ok()) return exchange->Answer(subscription.status());
  const int64_t quota = proxy->options().limits.max_lite_subscriptions;
  const bool is_removal =
      subscription->action == LiteSyncCall::Action::kRemove || subscription->action == LiteSyncCall::Action::kRemoveAll;
  if (!is_removal && static_cast<int64_t>(subscription->lite_topics.size()) > quota) {
    return exchange->Answer(
        TooMany(absl::StrCat("the request names ", subscription->lite_topics.size(), " lite topics, at most ", quota,
                             " are allowed (setting proxy.max_lite_subscriptions)")));
  }
  const Snapshot metadata = proxy->router().Snapshot();
  const TopicMetadata* const topic = metadata->FindTopic(topic_name);
  if (topic == nullptr) {
    return exchange->Answer(Refuse(Reason::kTopicNotFound, absl::StrCat("there is no topic ", topic_name.ToString())));
  }
  if (topic->type != MessageType::kLite) {
    return exchange->Answer(
        Refuse(Reason::kPreconditionFailed,
               absl::StrCat("the topic ", topic_name.ToString(), " is of type ", MessageTypeName(topic->type),
                            ", lite topics are those of a topic of type lite")));
  }
  subscription->topic = topic->id;
  proxy->clients().Heard(exchange->caller().id);
  // From now on the group is owed what is sent to the topic.
  proxy->catalog().NeedGroup(group_name, [exchange = std::move(exchange), proxy, group_name,
                                          subscription =
                                              *std::move(subscription)](absl::StatusOr<Snapshot> found) mutable {
    if (!found.ok()) return exchange->Answer(found.status());
    const GroupMetadata* const group = (*found)->FindGroup(group_name);
    if (group == nullptr) return exchange->Answer(absl::UnavailableError("the group was deleted just now: try again"));
    proxy->members().Seen(**found, group_name);
    subscription.group = group->id;
    const TopicId topic = subscription.topic;
    proxy->catalog().NeedSubscription(subscription.group, topic,
                                      [exchange = std::move(exchange), proxy, subscription = std::move(subscription)](
                                          absl::StatusOr<Snapshot> metadata) mutable {
                                        if (!metadata.ok()) return exchange->Answer(metadata.status());
                                        SyncNow(std::move(exchange), proxy, **metadata, subscription);
                                      });
  });
}

}  // namespace

void AddLiteHandler(Proxy* proxy, edge::MethodTable* table) {
  AddUnary(table, "SyncLiteSubscription", proxy, SyncLiteSubscription);
}

}  // namespace barid::proxy
