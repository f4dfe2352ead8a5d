#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "proxy/cluster_stats.h"
#include "proxy/group_reset.h"
#include "proxy/message_finder.h"
#include "proxy/public/rocketmq_admin.h"
#include "proxy/public/rocketmq_admin_method.h"
#include "proxy/refusal.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

// --- How far a group has come ---

// The topics that a request names; none: all. TOPIC_NOT_FOUND for one that is not there.
absl::StatusOr<std::vector<TopicId>> TopicsOf(const Metadata& metadata,
                                              const google::protobuf::RepeatedPtrField<v2::Resource>& names,
                                              const Caller& caller) {
  std::vector<TopicId> topics;
  for (const v2::Resource& name : names) {
    ASSIGN_OR_RETURN(const TopicMetadata* const topic, FindTopic(metadata, name, caller));
    topics.push_back(topic->id);
  }
  return topics;
}

bool Has(const std::vector<TopicId>& topics, TopicId topic) {
  return topics.empty() || std::find(topics.begin(), topics.end(), topic) != topics.end();
}

using AccumulationExchange = ExchangePtr<v2::DescribeGroupAccumulationRequest, v2::DescribeGroupAccumulationResponse>;
using Accumulation = v2::DescribeGroupAccumulationResponse::GroupAccumulation;

void Add(const GroupCount& count, absl::Time now, Accumulation* sum) {
  sum->set_inflight_messages(sum->inflight_messages() + count.in_flight);
  sum->set_ready_messages(sum->ready_messages() + count.ready + count.blocked);
  sum->set_accumulation(sum->inflight_messages() + sum->ready_messages());
  if (!count.oldest) return;
  const absl::Duration waited = std::max(now - *count.oldest, absl::ZeroDuration());
  if (waited > FromProto(sum->deliver_delay_time())) ToProto(waited, sum->mutable_deliver_delay_time());
}

void DescribeGroupAccumulation(AccumulationExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::DescribeGroupAccumulationRequest& request = exchange->request();
  const Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<const GroupMetadata*> group = FindGroup(*metadata, request.group(), exchange->caller());
  if (!group.ok()) return exchange->Answer(group.status());
  if (request.has_lite_topic()) {
    return exchange->Answer(
        Refuse(Reason::kNotImplemented, "lite topics are counted together, expected a request without lite_topic"));
  }
  const absl::StatusOr<std::vector<TopicId>> topics = TopicsOf(*metadata, request.topics(), exchange->caller());
  if (!topics.ok()) return exchange->Answer(topics.status());
  StatsCall call;
  call.group = (*group)->id;
  AskStats(
      &proxy->router(), *metadata, call,
      [exchange = std::move(exchange), metadata, topics = *topics, id = call.group](const ClusterStats& stats) mutable {
        if (!stats.silent_brokers.empty()) return exchange->Answer(Silent(stats.silent_brokers));
        const absl::Time now = exchange->proxy()->clock()->Now();
        v2::DescribeGroupAccumulationResponse* const response = exchange->response();
        response->mutable_accumulation();
        for (const GroupCount& count : stats.counts) {
          const TopicMetadata* const topic = metadata->FindTopic(count.topic);
          if (count.group != id || topic == nullptr || !Has(topics, topic->id)) continue;
          Add(count, now, response->mutable_accumulation());
          Add(count, now, &(*response->mutable_topic_accumulation())[topic->name.name]);
        }
        exchange->Answer(absl::OkStatus());
      });
}

// --- When the messages of a group's queues were stored ---

using TimeSpanExchange = ExchangePtr<v2::QueryTimeSpanRequest, v2::QueryTimeSpanResponse>;

// Looks up one message after the other: those at the ends of queues and around a group's place.
struct Spanning {
  struct Wanted {
    ShardId shard;
    QueueKey queue;
    QueueOffset offset;
    std::function<void(absl::Time)> found;
  };
  TimeSpanExchange exchange;
  Snapshot metadata;
  std::vector<Wanted> wanted;
  size_t next = 0;

  void Fail(const absl::Status& status) {
    exchange->response()->clear_queue_time_span_list();  // A part is not to look like all.
    exchange->Answer(status);
  }
};

void SpanNext(std::shared_ptr<Spanning> spanning) {
  if (spanning->next == spanning->wanted.size()) return spanning->exchange->Answer(absl::OkStatus());
  const Spanning::Wanted& wanted = spanning->wanted[spanning->next];
  const absl::StatusOr<Target> target = spanning->exchange->proxy()->router().ById(*spanning->metadata, wanted.shard);
  if (!target.ok()) return spanning->Fail(target.status());
  LookupCall lookup;
  lookup.shard = wanted.shard;
  lookup.topic = wanted.queue.topic;
  lookup.kind = LookupCall::Kind::kOffset;
  lookup.queue = wanted.queue.queue;
  lookup.offset = wanted.offset;
  lookup.max_messages = 1;
  lookup.max_bytes = 1;
  target->broker->Lookup(std::move(lookup), [spanning](const LookupResult& result) {
    if (!result.status.ok()) return spanning->Fail(result.status);
    // It may have expired since.
    if (!result.messages.empty()) spanning->wanted[spanning->next].found(result.messages[0].entered);
    ++spanning->next;
    SpanNext(spanning);
  });
}

void WantTimes(const QueueStats& queue, const QueueStats::Group& place, absl::Time now,
               v2::QueryTimeSpanResponse::QueueTimeSpan* span, std::vector<Spanning::Wanted>* wanted) {
  const auto want = [&](QueueOffset offset, std::function<void(absl::Time)> found) {
    if (queue.first <= offset && offset < queue.end)
      wanted->push_back({queue.shard, queue.queue, offset, std::move(found)});
  };
  want(queue.first, [span](absl::Time time) { span->set_min_timestamp(absl::ToUnixMillis(time)); });
  want(queue.end - 1, [span](absl::Time time) { span->set_max_timestamp(absl::ToUnixMillis(time)); });
  want(place.floor - 1, [span](absl::Time time) { span->set_consume_timestamp(absl::ToUnixMillis(time)); });
  want(std::max(place.floor, queue.first), [span, now](absl::Time time) {
    span->set_delay_time_ms(std::max<int64_t>(absl::ToInt64Milliseconds(now - time), 0));
  });
}

void QueryTimeSpan(TimeSpanExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<const GroupMetadata*> group =
      FindGroup(*metadata, exchange->request().group(), exchange->caller());
  if (!group.ok()) return exchange->Answer(group.status());
  const absl::StatusOr<std::vector<TopicId>> topics =
      TopicsOf(*metadata, exchange->request().topics(), exchange->caller());
  if (!topics.ok()) return exchange->Answer(topics.status());
  StatsCall call;
  call.group = (*group)->id;
  AskStats(
      &proxy->router(), *metadata, call,
      [exchange = std::move(exchange), metadata, topics = *topics, id = call.group](const ClusterStats& stats) mutable {
        if (!stats.silent_brokers.empty()) return exchange->Answer(Silent(stats.silent_brokers));
        auto spanning = std::make_shared<Spanning>();
        const absl::Time now = exchange->proxy()->clock()->Now();
        for (const QueueStats& queue : stats.queues) {
          const TopicMetadata* const topic = metadata->FindTopic(queue.queue.topic);
          const ShardMetadata* const shard = metadata->FindShard(queue.shard);
          if (topic == nullptr || shard == nullptr || !Has(topics, topic->id)) continue;
          if (topic->type == MessageType::kLite) continue;  // Its lite topics are told together: no queue, and no span.
          for (const QueueStats::Group& place : queue.groups) {
            if (place.group != id) continue;
            v2::QueryTimeSpanResponse::QueueTimeSpan* const span = exchange->response()->add_queue_time_span_list();
            ToProto(topic->name, span->mutable_message_queue()->mutable_topic());
            span->mutable_message_queue()->set_id(queue.queue.queue);
            span->mutable_message_queue()->mutable_broker()->set_name(shard->name);
            WantTimes(queue, place, now, span, &spanning->wanted);
          }
        }
        spanning->exchange = std::move(exchange);
        spanning->metadata = metadata;
        SpanNext(std::move(spanning));
      });
}

// --- ResetGroupOffset ---

using ResetExchange = ExchangePtr<v2::ResetGroupOffsetRequest, v2::ResetGroupOffsetResponse>;

// The first that went wrong: the others may have moved.
absl::Status FirstFailure(const std::map<ShardId, ResetOffsetResult>& results) {
  for (const auto& [shard, result] : results) {
    RETURN_IF_ERROR(result.status);
    for (const ResetOffsetResult::Entry& entry : result.entries) RETURN_IF_ERROR(entry.status);
  }
  return absl::OkStatus();
}

void ResetGroupOffset(ResetExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  const v2::ResetGroupOffsetRequest& request = exchange->request();
  const Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<const TopicMetadata*> topic = FindTopic(*metadata, request.topic(), exchange->caller());
  if (!topic.ok()) return exchange->Answer(topic.status());
  const absl::StatusOr<const GroupMetadata*> group = FindGroup(*metadata, request.group(), exchange->caller());
  if (!group.ok()) return exchange->Answer(group.status());
  if (!request.has_reset_timestamp()) {
    return exchange->Answer(Refuse(Reason::kBadRequest, "the request has no reset_timestamp, expected where to go"));
  }
  absl::StatusOr<ResetOffsetCall> reset = ResetOf(*metadata, **group, **topic);
  if (!reset.ok()) return exchange->Answer(reset.status());
  reset->target = ResetOffsetCall::Target::kTime;
  reset->time = FromProto(request.reset_timestamp(), absl::UnixEpoch());
  ResetOffsets(&proxy->router(), *metadata, InAllShards(*metadata, **topic, *reset),
               [exchange = std::move(exchange)](const std::map<ShardId, ResetOffsetResult>& results) mutable {
                 exchange->Answer(FirstFailure(results));
               });
}

// --- QueryMessage ---

using QueryExchange = ExchangePtr<v2::ListMessageRequest, v2::ListMessageResponse>;

constexpr int32_t kDefaultPage = 32;
constexpr int32_t kMostMessages = 1000;
// Of one call: what was looked at, and what is answered, beyond which the caller is told where to go on. Clients take
// 4 MiB, if nobody told them otherwise. One message is answered, however large.
constexpr int32_t kMostExamined = 2000;
constexpr int64_t kMostBytesExamined = int64_t{64} << 20;
constexpr int64_t kMostBytes = int64_t{3} << 20;

// What a request asks for.
struct Query {
  Snapshot metadata;
  ResourceName topic;
  MessageSearch search;
  std::optional<int32_t> queue = {};
  std::vector<std::string> tags = {};
  std::string lite_topic = {};

  bool by_number = false;  // Of a page.
  int32_t page = kDefaultPage;
  int32_t left = std::numeric_limits<int32_t>::max();  // Messages of this and all later answers.
  int32_t skip = 0;  // Messages from where the search begins that earlier answers had.
};

std::string LiteTopicOf(const StoredMessageView& view) {
  v2::SystemProperties system;
  if (!system.ParseFromString(std::string(view.system_properties))) return "";
  return system.lite_topic();
}

bool IsKept(FoundMessage::State state) {
  using State = FoundMessage::State;
  return state != State::kGone && state != State::kRecalled && state != State::kRolledBack;
}

bool Matches(const FoundMessage& message, const StoredMessageView& view, const Query& query) {
  if (message.stored_at < query.search.lookup.from || message.stored_at >= query.search.lookup.to) return false;
  if (query.queue && message.queue.queue != *query.queue) return false;
  if (!query.lite_topic.empty() && LiteTopicOf(view) != query.lite_topic) return false;
  return query.tags.empty() ||
         (view.tag && std::find(query.tags.begin(), query.tags.end(), *view.tag) != query.tags.end());
}

absl::StatusOr<int32_t> Number(absl::string_view what, int32_t given, int32_t otherwise) {
  if (given == 0) return otherwise;
  if (given < 1 || given > kMostMessages) {
    return Refuse(Reason::kBadRequest, absl::StrCat(what, " is ", given, ", expected 1 to ", kMostMessages));
  }
  return given;
}

constexpr int32_t kMostSkipped = 1 << 20;  // No step of a search finds so many.

// "<how many are left>:<how many to skip>:<continuation of the search>".
std::string ScrollId(const Query& query) { return absl::StrCat(query.left, ":", query.skip, ":", query.search.resume); }
absl::Status ReadScroll(const std::string& scroll_id, Query* query) {
  const std::vector<std::string> parts = absl::StrSplit(scroll_id, absl::MaxSplits(':', 2));
  int32_t left = 0;
  if (parts.size() < 3 || !absl::SimpleAtoi(parts[0], &left) || left <= 0 ||
      !absl::SimpleAtoi(parts[1], &query->skip) || query->skip < 0 || query->skip > kMostSkipped) {
    return Refuse(Reason::kBadRequest, absl::StrCat("the scroll_id \"", scroll_id, "\" is not one of this method's"));
  }
  query->left = std::min(query->left, left);
  query->search.resume = parts[2];
  return absl::OkStatus();
}

absl::Status ReadPages(const v2::ListMessageRequest& request, Query* query) {
  ASSIGN_OR_RETURN(query->left, Number("max_message_nums", request.max_message_nums(), query->left));
  ASSIGN_OR_RETURN(query->page, Number("page_size", request.page_size(), kDefaultPage));
  query->by_number = request.has_page_num() && request.page_num() != 0;
  if (!query->by_number) return request.scroll_id().empty() ? absl::OkStatus() : ReadScroll(request.scroll_id(), query);
  if (!request.scroll_id().empty())
    return Refuse(Reason::kBadRequest, "the request has a page_num and a scroll_id, expected one of them");
  ASSIGN_OR_RETURN(const int32_t number, Number("page_num", request.page_num(), 1));
  const int64_t skip = int64_t{number - 1} * query->page;
  if (skip + query->page > kMostMessages) {
    return Refuse(Reason::kBadRequest,
                  absl::StrCat("page ", number, " of ", query->page, " messages is beyond message ", kMostMessages,
                               ", expected a scroll_id to go on so far"));
  }
  query->skip = static_cast<int32_t>(skip);
  query->left = std::max(query->left - query->skip, 0);
  return absl::OkStatus();
}

absl::StatusOr<Query> QueryOf(const v2::ListMessageRequest& request, const Caller& caller, const ProxyLimits& limits,
                              Snapshot metadata) {
  Query query;
  query.metadata = std::move(metadata);
  ASSIGN_OR_RETURN(const TopicMetadata* const topic, FindTopic(*query.metadata, request.topic(), caller));
  query.topic = topic->name;
  LookupCall& lookup = query.search.lookup;
  lookup.topic = topic->id;
  if (request.has_begin_timestamp()) lookup.from = FromProto(request.begin_timestamp(), absl::InfinitePast());
  if (request.has_end_timestamp()) lookup.to = FromProto(request.end_timestamp(), absl::InfiniteFuture());
  if (request.has_queue_id()) {
    if (!request.has_broker_name() || request.queue_id() < 0) {
      return Refuse(Reason::kBadRequest, absl::StrCat("the request has the queue_id ", request.queue_id(),
                                                      ", expected 0 or more together with a broker_name"));
    }
    query.queue = request.queue_id();
  }
  if (request.has_broker_name()) {
    if (query.metadata->FindShard(request.broker_name()) == nullptr)
      return absl::NotFoundError(absl::StrCat("there is no broker \"", request.broker_name(), "\" in routes"));
    query.search.only_shard = request.broker_name();
  }
  lookup.kind = LookupCall::Kind::kRange;
  switch (request.search_key_case()) {
    case v2::ListMessageRequest::kMessageId:
      lookup.kind = LookupCall::Kind::kId;
      lookup.text = request.message_id();
      break;
    case v2::ListMessageRequest::kMessageKey:
      lookup.kind = LookupCall::Kind::kKey;
      lookup.text = request.message_key();
      break;
    case v2::ListMessageRequest::kSubscription: {
      ASSIGN_OR_RETURN(query.tags, ParseTagExpression(request.subscription(), limits.max_filter_tags));
      break;
    }
    case v2::ListMessageRequest::kLiteTopic:
      query.lite_topic = request.lite_topic();
      break;
    case v2::ListMessageRequest::SEARCH_KEY_NOT_SET:
      break;
  }
  if (lookup.kind == LookupCall::Kind::kRange && query.queue) lookup.queue = *query.queue;
  lookup.max_bytes = kMostBytes;
  RETURN_IF_ERROR(ReadPages(request, &query));
  return query;
}

// Searches step by step. An answer that is full in the middle of a step names its beginning, and how many to skip from
// there.
struct Querying {
  QueryExchange exchange;
  Query query;
  int32_t examined = 0;
  int64_t bytes_examined = 0;
  int32_t unreadable = 0;
  int64_t bytes = 0;  // Of the answer, as stored.
};

void QueryNext(std::shared_ptr<Querying> querying);

void EndQuery(Querying* querying, bool goes_on) {
  Query& query = querying->query;
  v2::ListMessageResponse* const response = querying->exchange->response();
  query.left -= response->messages_size();
  if (goes_on && query.left > 0) response->set_scroll_id(ScrollId(query));
  v2::Status status;
  querying->exchange->WriteStatus(absl::OkStatus(), &status);
  if (querying->unreadable > 0) {
    status.set_message(absl::StrCat(querying->unreadable, " messages that cannot be read were passed over"));
  }
  querying->exchange->AnswerAs(status);
}

// The message as it is answered; nullopt: it is none of those that are asked for.
absl::StatusOr<std::optional<Bytes>> Wanted(const FoundMessage& message, Querying* querying) {
  ++querying->examined;
  querying->bytes_examined += static_cast<int64_t>(message.stored.size());
  if (!IsKept(message.state)) return std::nullopt;
  const Query& query = querying->query;
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(message.stored.view());
  if (!view.ok()) {
    ++querying->unreadable;
    return std::nullopt;
  }
  if (!Matches(message, *view, query)) return std::nullopt;
  return AsDelivered(message, query.topic);
}

void OnFound(const std::shared_ptr<Querying>& querying, const absl::StatusOr<MessagesFound>& found) {
  v2::ListMessageResponse* const response = querying->exchange->response();
  const auto refuse = [&](const absl::Status& status) {
    response->clear_messages();
    querying->exchange->Answer(status);
  };
  if (!found.ok()) return refuse(found.status());
  // What is missing is not to look like what is not there.
  if (!found->silent_brokers.empty()) return refuse(Silent(found->silent_brokers));
  Query& query = querying->query;
  const int32_t most = std::min(query.page, query.left);
  int32_t matched = 0;  // Of this step.
  for (const MessagesFound::Entry& entry : found->messages) {
    const absl::StatusOr<std::optional<Bytes>> wanted = Wanted(entry.message, querying.get());
    if (!wanted.ok()) return refuse(wanted.status());
    if (!*wanted) continue;
    if (matched < query.skip) {
      ++matched;
      continue;
    }
    const auto size = static_cast<int64_t>(entry.message.stored.size());
    const bool is_full = response->messages_size() == most;
    const bool has_room = response->messages_size() == 0 || querying->bytes + size <= kMostBytes;
    if (!is_full && !has_room && query.by_number) {
      return refuse(Refuse(
          Reason::kPayloadTooLarge,
          absl::StrCat("the page has more than ", kMostBytes, " bytes, expected a smaller page_size, or no page_num")));
    }
    if (is_full || !has_room) {
      query.skip = matched;
      return EndQuery(querying.get(), /*goes_on=*/true);
    }
    querying->bytes += size;
    ++matched;
    if (const absl::Status status = Parse(**wanted, response->add_messages()); !status.ok()) return refuse(status);
  }
  query.skip = std::max(query.skip - matched, 0);
  query.search.resume = found->resume;
  const bool goes_on = !found->resume.empty();
  const bool is_enough = response->messages_size() == most || querying->bytes >= kMostBytes ||
                         querying->examined >= kMostExamined || querying->bytes_examined >= kMostBytesExamined;
  if (!goes_on || is_enough) return EndQuery(querying.get(), goes_on);
  QueryNext(querying);
}

void QueryNext(std::shared_ptr<Querying> querying) {
  Query& query = querying->query;
  MessageSearch search = query.search;
  search.lookup.max_messages =
      query.skip + std::min(query.page, query.left) - querying->exchange->response()->messages_size();
  // So that a step seldom finds what has no room, and is read again.
  if (query.skip == 0) search.lookup.max_bytes = kMostBytes - querying->bytes;
  // A shard's thread reads and makes no answers.
  FindMessages(
      &querying->exchange->proxy()->router(), query.metadata, std::move(search),
      [querying](absl::StatusOr<MessagesFound> found) {
        querying->exchange->Resume([querying, found = std::move(found)]() mutable { OnFound(querying, found); });
      });
}

void QueryMessage(QueryExchange exchange) {
  Proxy* const proxy = exchange->proxy();
  absl::StatusOr<Query> query =
      QueryOf(exchange->request(), exchange->caller(), proxy->options().limits, proxy->router().Snapshot());
  if (!query.ok()) return exchange->Answer(query.status());
  auto querying = std::make_shared<Querying>(Querying{std::move(exchange), *std::move(query)});
  if (querying->query.left == 0) return EndQuery(querying.get(), /*goes_on=*/false);
  QueryNext(std::move(querying));
}

}  // namespace

void AddRocketmqAdminMessages(Proxy* proxy, edge::MethodTable* table) {
  AddRocketmqAdminMethod<v2::DescribeGroupAccumulationRequest, v2::DescribeGroupAccumulationResponse>(
      table, "DescribeGroupAccumulation", proxy, DescribeGroupAccumulation);
  AddRocketmqAdminMethod<v2::QueryTimeSpanRequest, v2::QueryTimeSpanResponse>(table, "QueryTimeSpan", proxy,
                                                                              QueryTimeSpan);
  AddRocketmqAdminMethod<v2::ResetGroupOffsetRequest, v2::ResetGroupOffsetResponse>(table, "ResetGroupOffset", proxy,
                                                                                    ResetGroupOffset);
  AddRocketmqAdminMethod<v2::ListMessageRequest, v2::ListMessageResponse>(table, "QueryMessage", proxy, QueryMessage);
}

}  // namespace barid::proxy
