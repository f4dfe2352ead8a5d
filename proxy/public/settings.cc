#include "proxy/public/settings.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/lite_topic.h"
#include "proxy/public/conversions.h"

namespace barid::proxy {
namespace {

constexpr int32_t kProducerAttempts = 3;

bool IsLite(v2::ClientType type) { return type == v2::LITE_PUSH_CONSUMER || type == v2::LITE_SIMPLE_CONSUMER; }

void FillProducerBackoff(v2::RetryPolicy* policy) {
  policy->set_max_attempts(kProducerAttempts);
  v2::ExponentialBackoff* const backoff = policy->mutable_exponential_backoff();
  ToProto(absl::Milliseconds(10), backoff->mutable_initial());
  ToProto(absl::Seconds(1), backoff->mutable_max());
  backoff->set_multiplier(2);
}

// A list for all, because Python and C++ know nothing else; but Node knows only the formula. The server holds every
// client to the group's policy anyway (SettleKind::kReturn).
void FillConsumerBackoff(const RetryPolicy& retry, v2::Language language, v2::RetryPolicy* policy) {
  policy->set_max_attempts(retry.max_attempts);
  if (language == v2::NODE_JS) {
    v2::ExponentialBackoff* const backoff = policy->mutable_exponential_backoff();
    ToProto(retry.delays.empty() ? retry.initial : retry.delays.front(), backoff->mutable_initial());
    ToProto(retry.delays.empty() ? retry.max : retry.delays.back(), backoff->mutable_max());
    backoff->set_multiplier(static_cast<float>(retry.delays.empty() ? retry.multiplier : 2));
    return;
  }
  v2::CustomizedBackoff* const backoff = policy->mutable_customized_backoff();
  if (!retry.delays.empty()) {
    for (const absl::Duration delay : retry.delays) ToProto(delay, backoff->add_next());
    return;
  }
  // Up to where the formula stays at its maximum.
  for (int32_t attempt = 1; attempt <= std::max(retry.max_attempts - 1, 1); ++attempt) {
    const absl::Duration delay = retry.DelayAfter(attempt);
    ToProto(delay, backoff->add_next());
    if (delay >= retry.max || backoff->next_size() == 32) break;
  }
}

// Clients measure bodies against one number for all topics: the largest of those they name.
int64_t MaxBodyBytes(const v2::Publishing& publishing, absl::string_view caller_space, const Metadata& metadata,
                     const ProxyOptions& options) {
  int64_t bytes = 0;
  for (const v2::Resource& resource : publishing.topics()) {
    const TopicMetadata* const topic = metadata.FindTopic(NameOf(resource, caller_space));
    if (topic != nullptr) bytes = std::max(bytes, topic->max_message_bytes);
  }
  if (bytes == 0) bytes = TopicMetadata().max_message_bytes;
  return std::min(bytes, options.limits.max_body_bytes);
}

bool IsProducer(const v2::Settings& settings) {
  if (settings.has_publishing()) return true;
  return !settings.has_subscription() && settings.client_type() == v2::PRODUCER;
}

bool IsConsumer(const v2::Settings& settings) {
  return settings.has_subscription() || (settings.client_type() > v2::PRODUCER && !settings.has_publishing());
}

}  // namespace

v2::Settings AnswerSettings(const v2::Settings& asked, absl::string_view caller_space, const Metadata& metadata,
                            const ProxyOptions& options) {
  v2::Settings answer = asked;
  // No collector is served; with endpoints here the C++ client would start to export whatever `on` says.
  answer.mutable_metric()->set_on(false);
  answer.mutable_metric()->clear_endpoints();
  answer.clear_backoff_policy();

  if (IsProducer(asked)) {
    v2::Publishing* const publishing = answer.mutable_publishing();
    publishing->set_max_body_size(static_cast<int32_t>(MaxBodyBytes(*publishing, caller_space, metadata, options)));
    publishing->set_validate_message_type(options.enforce_message_types);
    FillProducerBackoff(answer.mutable_backoff_policy());
    return answer;
  }
  if (!IsConsumer(asked)) return answer;  // Says nothing of what it is: there is nothing to decide.

  v2::Subscription* const subscription = answer.mutable_subscription();
  GroupMetadata unknown;
  unknown.retry.delays = DefaultRetryDelays();
  const GroupMetadata* group = metadata.FindGroup(NameOf(subscription->group(), caller_space));
  if (group == nullptr) group = &unknown;
  subscription->set_fifo(group->order == DeliveryOrder::kFifo);
  subscription->set_receive_batch_size(options.limits.max_receive_messages);
  ToProto(options.max_poll, subscription->mutable_long_polling_timeout());
  if (IsLite(asked.client_type())) {
    // Lite clients wait until both are set.
    subscription->set_lite_subscription_quota(options.limits.max_lite_subscriptions);
    subscription->set_max_lite_topic_size(static_cast<int32_t>(kMaxLiteTopicBytes));
  }
  FillConsumerBackoff(group->retry, asked.user_agent().language(), answer.mutable_backoff_policy());
  return answer;
}

std::vector<std::pair<std::string, std::string>> PropertiesOf(const v2::Settings& settings) {
  std::vector<std::pair<std::string, std::string>> properties;
  const auto add = [&](absl::string_view name, std::string value) {
    properties.emplace_back(std::string(name), std::move(value));
  };
  const auto add_duration = [&](absl::string_view name, const google::protobuf::Duration& duration) {
    add(name, absl::FormatDuration(FromProto(duration)));
  };
  add("client_type", std::string(ClientTypeName(static_cast<ClientType>(settings.client_type()))));
  add("language", std::string(LanguageName(static_cast<Language>(settings.user_agent().language()))));
  add("version", settings.user_agent().version());
  add("platform", settings.user_agent().platform());
  add("hostname", settings.user_agent().hostname());
  if (settings.has_request_timeout()) add_duration("request_timeout", settings.request_timeout());
  if (settings.has_subscription()) {
    const v2::Subscription& subscription = settings.subscription();
    add("fifo", subscription.fifo() ? "true" : "false");
    if (subscription.has_receive_batch_size())
      add("receive_batch_size", absl::StrCat(subscription.receive_batch_size()));
    if (subscription.has_long_polling_timeout())
      add_duration("long_polling_timeout", subscription.long_polling_timeout());
  }
  for (const auto& [name, value] : settings.client_properties()) add(name, value);
  return properties;
}

ClientProfile ProfileOf(const v2::Settings& settings, absl::string_view id, absl::string_view caller_space) {
  ClientProfile profile;
  profile.id = std::string(id);
  profile.type = static_cast<ClientType>(settings.client_type());
  profile.language = static_cast<Language>(settings.user_agent().language());
  profile.version = settings.user_agent().version();
  profile.hostname = settings.user_agent().hostname();
  if (settings.has_subscription() && settings.subscription().has_group()) {
    profile.group = NameOf(settings.subscription().group(), caller_space);
  }
  return profile;
}

}  // namespace barid::proxy
