#include "proxy/public/admin_messages.h"

#include <limits>
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
#include "proxy/explanation.h"
#include "proxy/message_finder.h"
#include "proxy/public/admin_conversions.h"
#include "proxy/public/admin_method.h"
#include "proxy/public/conversions.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

using Snapshot = std::shared_ptr<const Metadata>;

constexpr int32_t kDefaultMessages = 100;
constexpr int32_t kMostMessages = 1000;
constexpr int32_t kMostRedriven = 256;

absl::Status NoTopic(const ResourceName& name) {
  return absl::NotFoundError(absl::StrCat("there is no topic ", name.ToString()));
}

void NameTopic(TopicId id, const Metadata& metadata, admin::Name* out) {
  if (const TopicMetadata* const topic = metadata.FindTopic(id)) {
    ToProto(topic->name, out);
  } else {
    out->set_name(absl::StrCat("topic ", id.value()));
  }
}

void NameGroup(GroupId id, const Metadata& metadata, admin::Name* out) {
  if (const GroupMetadata* const group = metadata.FindGroup(id)) {
    ToProto(group->name, out);
  } else {
    out->set_name(absl::StrCat("group ", id.value()));
  }
}

static_assert(static_cast<int>(FoundMessage::State::kQueued) + 1 == admin::QUEUED);
static_assert(static_cast<int>(FoundMessage::State::kGone) + 1 == admin::GONE);

void ToProto(const FoundMessage& message, const Metadata& metadata, const std::string& shard, bool with_body,
             admin::StoredMessage* out) {
  out->set_state(static_cast<admin::MessageState>(static_cast<int>(message.state) + 1));
  NameTopic(message.queue.topic, metadata, out->mutable_topic());
  out->set_shard(shard);
  out->set_queue(message.queue.queue);
  out->set_offset(message.offset);
  barid::proxy::ToProto(message.stored_at, out->mutable_stored());
  if (message.entered != absl::Time()) barid::proxy::ToProto(message.entered, out->mutable_entered());
  if (message.due != absl::Time()) barid::proxy::ToProto(message.due, out->mutable_due());
  out->set_log_index(message.log_index);
  out->set_log_position(message.log_position);
  if (message.origin) {
    out->mutable_origin()->set_topic(Text(message.origin->topic_name));
    out->mutable_origin()->set_message_id(Text(message.origin->message_id));
    out->mutable_origin()->set_attempts(message.origin->attempts);
    out->mutable_origin()->set_reason(Text(message.origin->reason));
  }
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(message.stored.view());
  if (!view.ok()) return;
  out->set_message_id(Text(view->message_id));
  if (view->tag) out->set_tag(Text(*view->tag));
  for (const absl::string_view key : view->keys) out->add_keys(Text(key));
  if (view->message_group) out->set_message_group(Text(*view->message_group));
  for (const auto& [name, value] : view->Properties()) {
    admin::StoredMessage::Property* const property = out->add_properties();
    property->set_name(Text(name));
    property->set_value(Text(value));
  }
  barid::proxy::ToProto(view->born_time, out->mutable_born());
  out->set_body_bytes(view->body_bytes);
  if (with_body) out->set_body(view->Body().data(), view->Body().size());
}

// --- FindMessages ---

absl::Status ReadRequest(const admin::FindMessagesRequest& request, const Metadata& metadata, MessageSearch* search) {
  LookupCall& lookup = search->lookup;
  switch (request.by_case()) {
    case admin::FindMessagesRequest::kMessageId:
      lookup.kind = LookupCall::Kind::kId;
      lookup.text = request.message_id();
      break;
    case admin::FindMessagesRequest::kKey:
      lookup.kind = LookupCall::Kind::kKey;
      lookup.text = request.key();
      break;
    case admin::FindMessagesRequest::kPlace:
      lookup.kind = LookupCall::Kind::kOffset;
      lookup.queue = request.place().queue();
      lookup.offset = request.place().offset();
      search->only_shard = request.place().shard();
      if (!search->only_shard.empty() && metadata.FindShard(search->only_shard) == nullptr) {
        return absl::NotFoundError(absl::StrCat("there is no shard ", search->only_shard));
      }
      break;
    case admin::FindMessagesRequest::kRange: {
      lookup.kind = LookupCall::Kind::kRange;
      const admin::FindMessagesRequest::Range& range = request.range();
      if (range.has_from()) lookup.from = FromProto(range.from(), absl::InfinitePast());
      if (range.has_to()) lookup.to = FromProto(range.to(), absl::InfiniteFuture());
      if (range.has_queue()) lookup.queue = range.queue();
      break;
    }
    case admin::FindMessagesRequest::BY_NOT_SET:
      return absl::InvalidArgumentError("nothing says which messages, expected message_id, key, place or range");
  }
  if (request.max_messages() < 0 || request.max_messages() > kMostMessages) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_messages is ", request.max_messages(), ", expected 0 to ", kMostMessages));
  }
  lookup.max_messages = request.max_messages() == 0 ? kDefaultMessages : request.max_messages();
  search->resume = request.resume();
  return absl::OkStatus();
}

void FindMessages(Proxy* proxy, CallPtr call, const admin::FindMessagesRequest& request) {
  Snapshot metadata = proxy->router().Snapshot();
  const ResourceName name = FromProto(request.topic());
  const TopicMetadata* const topic = metadata->FindTopic(name);
  if (topic == nullptr) return call->Fail(NoTopic(name));
  MessageSearch search;
  search.lookup.topic = topic->id;
  if (const absl::Status status = ReadRequest(request, *metadata, &search); !status.ok()) return call->Fail(status);
  FindMessages(
      &proxy->router(), metadata, std::move(search),
      [call = std::move(call), metadata, with_body = request.with_body()](absl::StatusOr<MessagesFound> found) mutable {
        if (!found.ok()) return call->Fail(found.status());
        admin::FindMessagesResponse response;
        for (const MessagesFound::Entry& entry : found->messages) {
          ToProto(entry.message, *metadata, entry.shard->name, with_body, response.add_messages());
        }
        response.set_resume(found->resume);
        for (const std::string& broker : found->silent_brokers) response.add_silent_brokers(broker);
        call->Answer(Serialize(response));
      });
}

// --- ExplainMessage ---

// A call of an operator that asks the shards one after the other.
struct Tour : ShardTour {
  Proxy* proxy = nullptr;
  CallPtr call;
};

struct Explaining : Tour {
  LookupCall lookup;
  std::unique_ptr<Explanation> explanation;
  std::string name;
  admin::ExplainMessageResponse response;
};

void ToProto(const LookupResult& result, const Metadata& metadata, const std::string& shard,
             const Explanation& explanation, admin::ExplainMessageResponse::Life* out) {
  ToProto(result.messages.back(), metadata, shard, /*with_body=*/false, out->mutable_message());
  for (const LifeEvent& event : result.events) {
    admin::ExplainMessageResponse::Life::Event* const to = out->add_events();
    barid::proxy::ToProto(event.time, to->mutable_time());
    to->set_log_index(event.log_index);
    to->set_what(Text(event.what));
    if (event.group != GroupId()) NameGroup(event.group, metadata, to->mutable_group());
    to->set_client(Text(event.client));
    to->set_attempt(event.attempt);
    if (event.until != absl::InfinitePast()) barid::proxy::ToProto(event.until, to->mutable_until());
    to->set_detail(Text(event.detail));
    NameTopic(event.queue.topic, metadata, to->mutable_topic());
    to->set_queue(event.queue.queue);
    to->set_offset(event.offset);
  }
  const absl::StatusOr<StoredMessageView> message = DecodeStoredMessage(result.messages.back().stored.view());
  for (const GroupStanding& standing : result.standings) {
    admin::ExplainMessageResponse::Life::Standing* const to = out->add_standings();
    NameGroup(standing.group, metadata, to->mutable_group());
    to->set_standing(Text(standing.standing));
    to->set_client(Text(standing.client));
    to->set_attempt(standing.attempt);
    if (standing.until != absl::InfinitePast()) barid::proxy::ToProto(standing.until, to->mutable_until());
    to->set_detail(Text(standing.detail));
    NameTopic(standing.queue.topic, metadata, to->mutable_topic());
    to->set_queue(standing.queue.queue);
    to->set_offset(standing.offset);
    for (std::string& reason : explanation.ReasonsOf(standing, message.ok() ? &*message : nullptr)) {
      to->add_reasons(SentenceText(std::move(reason)));
    }
    if (!standing.blocked_by) continue;
    admin::ExplainMessageResponse::Life::Standing::Blocker* const blocker = to->mutable_blocked_by();
    blocker->set_message_id(Text(standing.blocked_by->message_id));
    blocker->set_offset(standing.blocked_by->offset);
    blocker->set_client(Text(standing.blocked_by->client));
    blocker->set_attempt(standing.blocked_by->attempt);
    if (standing.blocked_by->until != absl::InfinitePast()) {
      barid::proxy::ToProto(standing.blocked_by->until, blocker->mutable_until());
    }
  }
  if (result.log_from != absl::InfinitePast()) barid::proxy::ToProto(result.log_from, out->mutable_log_from());
}

void ExplainNext(std::shared_ptr<Explaining> explaining) {
  if (explaining->has_ended()) {
    // Where somebody is silent nobody knows.
    if (explaining->response.lives().empty() && explaining->response.silent_brokers().empty()) {
      return explaining->call->Fail(absl::NotFoundError(absl::StrCat(
          "there is no message ", Text(explaining->lookup.text), " of topic ", explaining->name, " in the log")));
    }
    return explaining->call->Answer(Serialize(explaining->response));
  }
  const ShardMetadata& shard = explaining->shard();
  const auto answered = [explaining, &shard](const LookupResult& result) {
    if (!result.status.ok()) {
      explaining->response.add_silent_brokers(absl::StrCat(shard.leader, " (", result.status.message(), ")"));
    } else if (!result.messages.empty()) {
      ToProto(result, *explaining->metadata, shard.name, *explaining->explanation, explaining->response.add_lives());
    }
    explaining->Advance();
    ExplainNext(explaining);
  };
  const absl::StatusOr<Target> target = explaining->proxy->router().ById(*explaining->metadata, shard.id);
  if (!target.ok()) {
    LookupResult failed;
    failed.status = target.status();
    return answered(failed);
  }
  LookupCall lookup = explaining->lookup;
  lookup.shard = shard.id;
  target->broker->Lookup(std::move(lookup), answered);
}

void ExplainMessage(Proxy* proxy, CallPtr call, const admin::ExplainMessageRequest& request) {
  auto explaining = std::make_shared<Explaining>();
  explaining->proxy = proxy;
  explaining->metadata = proxy->router().Snapshot();
  const ResourceName name = FromProto(request.topic());
  const TopicMetadata* const topic = explaining->metadata->FindTopic(name);
  if (topic == nullptr) return call->Fail(NoTopic(name));
  if (IsDeadLetterTopic(topic->id) || IsDiscardedTopic(topic->id)) {
    return call->Fail(absl::InvalidArgumentError(absl::StrCat(
        "the messages of ", name.ToString(), " were sent to other topics, name the one that it was sent to")));
  }
  explaining->lookup.topic = topic->id;
  explaining->lookup.kind = LookupCall::Kind::kExplain;
  explaining->lookup.text = request.message_id();
  explaining->name = name.ToString();
  std::vector<ClientRead> reads;
  for (const std::shared_ptr<ClientSession>& session : proxy->clients().Sessions()) {
    for (ClientRead& read : session->Reads()) reads.push_back(std::move(read));
  }
  explaining->explanation = std::make_unique<Explanation>(explaining->metadata, std::move(reads), &proxy->filters(),
                                                          proxy->options().limits.max_filter_tags);
  if (const absl::Status status = explaining->Begin(""); !status.ok()) return call->Fail(status);
  explaining->call = std::move(call);
  ExplainNext(std::move(explaining));
}

// --- RedriveDeadLetters ---

struct Redriving : Tour {
  RedriveCall redrive;
  admin::RedriveDeadLettersResponse response;
};

void RedriveNext(std::shared_ptr<Redriving> redriving);

void OnRedriven(const std::shared_ptr<Redriving>& redriving, const RedriveResult& result) {
  admin::RedriveDeadLettersResponse& response = redriving->response;
  if (!result.status.ok()) {
    const bool is_refusal = absl::IsInvalidArgument(result.status) || absl::IsNotFound(result.status);
    if (is_refusal && response.redriven() == 0) return redriving->call->Fail(result.status);
    response.add_silent_brokers(absl::StrCat(redriving->shard().leader, " (", result.status.message(), ")"));
    redriving->Advance();
    return RedriveNext(redriving);
  }
  response.set_redriven(response.redriven() + result.redriven);
  response.set_filtered_out(response.filtered_out() + result.filtered_out);
  if (response.failed() == 0) response.set_failure(Text(result.failure));
  response.set_failed(response.failed() + result.failed);
  redriving->redrive.max_messages -= static_cast<int32_t>(result.redriven);
  const QueueOffset end = std::min(redriving->redrive.to, result.end);
  if (result.next < end) {
    // One step of a shard is enough for a call: whoever asks can pace, and show how far it is.
    response.set_resume(redriving->Token(absl::StrCat(result.next, ":", end)));
    return redriving->call->Answer(Serialize(response));
  }
  redriving->Advance();
  if (!redriving->has_ended() && redriving->redrive.max_messages <= 0) {
    response.set_resume(redriving->Token(""));
    return redriving->call->Answer(Serialize(response));
  }
  RedriveNext(redriving);
}

void RedriveNext(std::shared_ptr<Redriving> redriving) {
  if (redriving->has_ended()) return redriving->call->Answer(Serialize(redriving->response));
  RedriveCall& redrive = redriving->redrive;
  redrive.shard = redriving->shard().id;
  redrive.from = 0;
  redrive.to = std::numeric_limits<QueueOffset>::max();
  const std::pair<absl::string_view, absl::string_view> range =
      absl::StrSplit(redriving->resume, absl::MaxSplits(':', 1));
  if (!redriving->resume.empty() &&
      (!absl::SimpleAtoi(range.first, &redrive.from) || !absl::SimpleAtoi(range.second, &redrive.to))) {
    return redriving->call->Fail(absl::InvalidArgumentError("the continuation is not one of this method's"));
  }
  const absl::StatusOr<Target> target = redriving->proxy->router().ById(*redriving->metadata, redrive.shard);
  if (!target.ok()) {
    RedriveResult failed;
    failed.status = target.status();
    return OnRedriven(redriving, failed);
  }
  target->broker->Redrive(redrive, [redriving](const RedriveResult& result) { OnRedriven(redriving, result); });
}

absl::Status ReadRequest(const admin::RedriveDeadLettersRequest& request, const ProxyLimits& limits,
                         Redriving* redriving) {
  RedriveCall& redrive = redriving->redrive;
  const ResourceName name = FromProto(request.group());
  const GroupMetadata* const group = redriving->metadata->FindGroup(name);
  if (group == nullptr) return absl::NotFoundError(absl::StrCat("there is no group ", name.ToString()));
  redrive.group = group->id;
  redrive.metadata_revision = redriving->metadata->revision();
  if (request.has_topic()) {
    const ResourceName topic_name = FromProto(request.topic());
    const TopicMetadata* const topic = redriving->metadata->FindTopic(topic_name);
    if (topic == nullptr) return NoTopic(topic_name);
    if (topic->type != MessageType::kNormal && topic->type != MessageType::kFifo) {
      return absl::InvalidArgumentError(absl::StrCat("the topic ", topic_name.ToString(), " is of type ",
                                                     MessageTypeName(topic->type), ", expected normal or fifo"));
    }
    if (IsDeadLetterTopic(topic->id) || IsDiscardedTopic(topic->id)) {
      return absl::InvalidArgumentError(absl::StrCat("the topic ", topic_name.ToString(), " takes no messages"));
    }
    redrive.topic = topic->id;
  }
  ASSIGN_OR_RETURN(redrive.tags, ParseTagExpression(request.tags(), limits.max_filter_tags));
  redrive.sql = request.sql();
  if (request.max_messages() < 0 || request.max_messages() > kMostRedriven) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_messages is ", request.max_messages(), ", expected 0 to ", kMostRedriven));
  }
  redrive.max_messages = request.max_messages() == 0 ? kMostRedriven : request.max_messages();
  redrive.dry_run = request.dry_run();
  return redriving->Begin(request.resume());
}

void RedriveDeadLetters(Proxy* proxy, CallPtr call, const admin::RedriveDeadLettersRequest& request) {
  auto redriving = std::make_shared<Redriving>();
  redriving->proxy = proxy;
  redriving->metadata = proxy->router().Snapshot();
  const absl::Status status = ReadRequest(request, proxy->options().limits, redriving.get());
  if (!status.ok()) return call->Fail(status);
  redriving->call = std::move(call);
  RedriveNext(std::move(redriving));
}

}  // namespace

void AddMessageMethods(Proxy* proxy, edge::MethodTable* table) {
  AddAdminMethod<admin::FindMessagesRequest>(table, "FindMessages",
                                             [proxy](CallPtr call, const admin::FindMessagesRequest& request) {
                                               FindMessages(proxy, std::move(call), request);
                                             });
  AddAdminMethod<admin::ExplainMessageRequest>(table, "ExplainMessage",
                                               [proxy](CallPtr call, const admin::ExplainMessageRequest& request) {
                                                 ExplainMessage(proxy, std::move(call), request);
                                               });
  AddAdminMethod<admin::RedriveDeadLettersRequest>(
      table, "RedriveDeadLetters", [proxy](CallPtr call, const admin::RedriveDeadLettersRequest& request) {
        RedriveDeadLetters(proxy, std::move(call), request);
      });
}

}  // namespace barid::proxy
