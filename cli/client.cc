#include "cli/client.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "cli/failure.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0) return "localhost";
  return name;
}

// As the public clients form theirs: 01, 6 bytes that tell machines apart, 2 bytes of the process, 4 of seconds since
// 2021; a counter of 4 bytes follows for each message. The first 6 are random, so nothing is given away.
std::string MessageIdPrefix() {
  const absl::Time epoch = absl::FromCivil(absl::CivilSecond(2021, 1, 1), absl::UTCTimeZone());
  return absl::StrFormat("01%s%04X%08X", absl::AsciiStrToUpper(absl::BytesToHexString(RealRandom()->Bytes(6))),
                         getpid() & 0xffff, static_cast<uint32_t>(absl::ToInt64Seconds(RealClock()->Now() - epoch)));
}

// The address as the public API writes it.
v2::Endpoints EndpointsOf(absl::string_view endpoint) {
  v2::Endpoints endpoints;
  const size_t colon = endpoint.rfind(':');
  absl::string_view host = endpoint.substr(0, colon);
  int port = 8081;
  if (colon != endpoint.npos) (void)absl::SimpleAtoi(endpoint.substr(colon + 1), &port);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const bool is_ipv4 = std::all_of(host.begin(), host.end(), [](char c) { return absl::ascii_isdigit(c) || c == '.'; });
  endpoints.set_scheme(absl::StrContains(host, ":") ? v2::IPv6 : is_ipv4 ? v2::IPv4 : v2::DOMAIN_NAME);
  endpoints.add_addresses()->set_host(std::string(host));
  endpoints.mutable_addresses(0)->set_port(port);
  return endpoints;
}

// gRPC's own text tells of subchannels and addresses; the errno in it is what a person looks for.
absl::Status NotConnected(const ClientOptions& options, bool is_tls) {
  if (is_tls) {
    return UnreachableError(
        absl::StrCat("nobody answers over TLS at ", options.endpoint, " within ", DurationText(options.timeout),
                     ", or with a certificate that is not trusted or names another host: --tls-authorities FILE and "
                     "--tls-server-name NAME say what to expect"));
  }
  return UnreachableError(absl::StrCat("nobody answers at ", options.endpoint, " within ",
                                       DurationText(options.timeout),
                                       ", start a server there or name another with --endpoint HOST:PORT"));
}

absl::Status CheckEndpoint(absl::string_view endpoint) {
  if (absl::StartsWith(endpoint, "unix:/")) return absl::OkStatus();
  const size_t colon = endpoint.rfind(':');
  int port = 0;
  if (colon == endpoint.npos || colon == 0 || !absl::SimpleAtoi(endpoint.substr(colon + 1), &port) || port <= 0 ||
      port > 65535) {
    return UsageError(absl::StrCat("--endpoint is \"", endpoint, "\", expected HOST:PORT or unix:/PATH"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  RETURN_IF_ERROR(CheckEndpoint(options.endpoint));
  ASSIGN_OR_RETURN(Dialer dialer, Dialer::Make(options.tls));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::shared_ptr<grpc::Channel> channel = dialer.Dial(options.endpoint, arguments);
  // A refused connection is reported at the first failure, not when the time is over.
  const std::chrono::system_clock::time_point deadline = absl::ToChronoTime(RealClock()->Now() + options.timeout);
  for (grpc_connectivity_state state = channel->GetState(true); state != GRPC_CHANNEL_READY;
       state = channel->GetState(true)) {
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) return NotConnected(options, dialer.is_tls());
    if (!channel->WaitForStateChange(state, deadline)) return NotConnected(options, dialer.is_tls());
  }
  return std::unique_ptr<Client>(new Client(options, std::move(dialer), std::move(channel)));
}

Client::Client(const ClientOptions& options, Dialer dialer, std::shared_ptr<grpc::Channel> channel)
    : options_(options),
      dialer_(std::move(dialer)),
      id_(absl::StrCat("baridctl@", HostName(), "@", getpid(), "@", absl::BytesToHexString(RealRandom()->Bytes(4)))),
      channel_(std::move(channel)),
      admin_(admin::Admin::NewStub(channel_)),
      messaging_(v2::MessagingService::NewStub(channel_)),
      message_id_prefix_(MessageIdPrefix()) {}

void Client::Prepare(absl::Duration timeout, grpc::ClientContext* context) const {
  const absl::Time now = RealClock()->Now();
  context->set_deadline(absl::ToChronoTime(now + timeout));
  context->AddMetadata("x-mq-client-id", id_);
  context->AddMetadata("x-mq-language", "CPP");
  context->AddMetadata("x-mq-protocol", "v2");
  context->AddMetadata("x-mq-client-version", kVersion);
  context->AddMetadata("x-mq-date-time", absl::FormatTime("%Y%m%dT%H%M%SZ", now, absl::UTCTimeZone()));
  if (!options_.space.empty()) context->AddMetadata("x-mq-namespace", options_.space);
}

absl::Status Client::Failure(const grpc::Status& status) const {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return UnreachableError(
          absl::StrCat(options_.endpoint, " cannot serve this now: ", status.error_message(), "; try again later"));
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return UnreachableError(absl::StrCat(options_.endpoint, " did not answer within ", DurationText(options_.timeout),
                                           ", so the outcome is not known; look at the state, or raise --timeout"));
    case grpc::StatusCode::UNIMPLEMENTED:
      return RefusedError(absl::StrCat(options_.endpoint, " does not serve this call (", status.error_message(),
                                       "); messages go to the public port, name it with --endpoint HOST:PORT"));
    default:
      return RefusedError(status.error_message().empty()
                              ? absl::StrCat("the server refused, code ", status.error_code())
                              : status.error_message());
  }
}

absl::StatusOr<std::vector<v2::MessageQueue>> Client::ShardsOf(absl::string_view topic) {
  v2::QueryRouteRequest request;
  *request.mutable_topic() = Resource(topic);
  *request.mutable_endpoints() = EndpointsOf(options_.endpoint);
  ASSIGN_OR_RETURN(const v2::QueryRouteResponse response, Call(&v2::MessagingService::Stub::QueryRoute, request));
  RETURN_IF_ERROR(OutcomeOf(response.status()));
  std::vector<v2::MessageQueue> shards;
  for (const v2::MessageQueue& queue : response.message_queues()) {
    const bool is_known = std::any_of(shards.begin(), shards.end(), [&](const v2::MessageQueue& other) {
      return other.broker().name() == queue.broker().name();
    });
    if (is_known) continue;
    shards.push_back(queue);
    shards.back().set_id(-1);
  }
  if (shards.empty()) return RefusedError(absl::StrCat("the topic ", topic, " has no queue, see baridctl status"));
  return shards;
}

absl::StatusOr<std::vector<v2::Message>> Client::Receive(const v2::ReceiveMessageRequest& request,
                                                         grpc::ClientContext* context) {
  Prepare(FromProto(request.long_polling_timeout()) + options_.timeout, context);
  const auto reader = messaging_->ReceiveMessage(context, request);
  std::vector<v2::Message> messages;
  v2::ReceiveMessageResponse frame;
  v2::Status outcome;
  while (reader->Read(&frame)) {
    if (frame.has_status()) outcome = frame.status();
    if (frame.has_message()) messages.push_back(std::move(*frame.mutable_message()));
  }
  const grpc::Status status = reader->Finish();
  if (status.error_code() == grpc::StatusCode::CANCELLED) return messages;
  if (!status.ok()) return Failure(status);
  if (outcome.code() != v2::MESSAGE_NOT_FOUND) RETURN_IF_ERROR(OutcomeOf(outcome));
  return messages;
}

absl::StatusOr<Client::Pulled> Client::Pull(const v2::PullMessageRequest& request) {
  grpc::ClientContext context;
  Prepare(FromProto(request.long_polling_timeout()) + options_.timeout, &context);
  const auto reader = messaging_->PullMessage(&context, request);
  Pulled pulled;
  pulled.next_offset = request.offset();
  v2::PullMessageResponse frame;
  v2::Status outcome;
  while (reader->Read(&frame)) {
    if (frame.has_status()) outcome = frame.status();
    if (frame.has_message()) pulled.messages.push_back(std::move(*frame.mutable_message()));
    if (frame.has_next_offset()) pulled.next_offset = frame.next_offset();
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return Failure(status);
  if (outcome.code() != v2::MESSAGE_NOT_FOUND) RETURN_IF_ERROR(OutcomeOf(outcome));
  return pulled;
}

absl::StatusOr<v2::SendResultEntry> Client::Send(v2::Message message) {
  v2::SendMessageRequest request;
  *request.add_messages() = std::move(message);
  v2::SystemProperties* const system = request.mutable_messages(0)->mutable_system_properties();
  system->set_message_id(NextMessageId());
  ToProto(RealClock()->Now(), system->mutable_born_timestamp());
  ASSIGN_OR_RETURN(const v2::SendMessageResponse response, Call(&v2::MessagingService::Stub::SendMessage, request));
  for (const v2::SendResultEntry& entry : response.entries()) RETURN_IF_ERROR(OutcomeOf(entry.status()));
  RETURN_IF_ERROR(OutcomeOf(response.status()));
  if (response.entries_size() != 1) return RefusedError("the server answered a send without saying what became of it");
  return response.entries(0);
}

absl::Status Client::Ack(absl::string_view topic, absl::string_view group, const std::vector<v2::Message>& messages) {
  if (messages.empty()) return absl::OkStatus();
  v2::AckMessageRequest request;
  *request.mutable_group() = Resource(group);
  *request.mutable_topic() = Resource(topic);
  for (const v2::Message& message : messages) {
    v2::AckMessageEntry* const entry = request.add_entries();
    entry->set_message_id(message.system_properties().message_id());
    entry->set_receipt_handle(message.system_properties().receipt_handle());
    if (message.system_properties().has_lite_topic()) entry->set_lite_topic(message.system_properties().lite_topic());
  }
  ASSIGN_OR_RETURN(const v2::AckMessageResponse response, Call(&v2::MessagingService::Stub::AckMessage, request));
  for (const v2::AckMessageResultEntry& entry : response.entries()) RETURN_IF_ERROR(OutcomeOf(entry.status()));
  return OutcomeOf(response.status());
}

absl::Status Client::SyncLite(absl::string_view topic, absl::string_view group, v2::LiteSubscriptionAction action,
                              const std::vector<std::string>& lite_topics) {
  v2::SyncLiteSubscriptionRequest request;
  request.set_action(action);
  *request.mutable_topic() = Resource(topic);
  *request.mutable_group() = Resource(group);
  for (const std::string& name : lite_topics) request.add_lite_topic_set(name);
  ASSIGN_OR_RETURN(const v2::SyncLiteSubscriptionResponse response,
                   Call(&v2::MessagingService::Stub::SyncLiteSubscription, request));
  return OutcomeOf(response.status());
}

v2::Resource Client::Resource(absl::string_view name) const {
  v2::Resource resource;
  resource.set_resource_namespace(options_.space);
  resource.set_name(std::string(name));
  return resource;
}

admin::Name Client::Name(absl::string_view name) const {
  admin::Name result;
  result.set_namespace_(options_.space);
  result.set_name(std::string(name));
  return result;
}

std::string Client::NextMessageId() { return absl::StrFormat("%s%08X", message_id_prefix_, next_message_++); }

absl::Status OutcomeOf(const v2::Status& status) {
  if (status.code() == v2::OK) return absl::OkStatus();
  const std::string name =
      v2::Code_IsValid(status.code()) ? v2::Code_Name(status.code()) : absl::StrCat("code ", status.code());
  return RefusedError(status.message().empty() ? absl::StrCat("the server answered ", name)
                                               : absl::StrCat(status.message(), " (", name, ")"));
}

}  // namespace barid::cli
