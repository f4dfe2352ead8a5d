#include "proxy/public/conversions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

// What google.protobuf.Timestamp allows: the years 1 to 9999.
constexpr int64_t kFirstSecond = -62'135'596'800;
constexpr int64_t kLastSecond = 253'402'300'799;

}  // namespace

Caller CallerOf(const edge::CallHead& head) {
  Caller caller;
  for (const auto& [key, value] : head.metadata) {
    if (!absl::StartsWith(key, "x-mq-")) continue;
    const absl::string_view name = absl::string_view(key).substr(5);
    if (name == "client-id" && caller.id.empty()) {
      caller.id = absl::StripAsciiWhitespace(value);
    } else if (name == "namespace" && caller.space.empty()) {
      caller.space = value;
    } else if (name == "language") {
      caller.is_rust = absl::EqualsIgnoreCase(value, "RUST");
    }
  }
  return caller;
}

absl::Status CheckCaller(const Caller& caller) {
  if (!caller.id.empty()) return absl::OkStatus();
  return Refuse(Reason::kClientIdRequired, "the metadata x-mq-client-id is missing or blank, expected the client's id");
}

ResourceName NameOf(const v2::Resource& resource, absl::string_view caller_space) {
  return {resource.resource_namespace().empty() ? std::string(caller_space) : resource.resource_namespace(),
          resource.name()};
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

void ToProto(absl::Duration duration, google::protobuf::Duration* out) {
  const int64_t seconds = absl::IDivDuration(duration, absl::Seconds(1), &duration);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
}

absl::Time FromProto(const google::protobuf::Timestamp& time, absl::Time otherwise) {
  if (time.seconds() < kFirstSecond || time.seconds() > kLastSecond) return otherwise;
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(std::clamp(time.nanos(), 0, 999'999'999));
}

void ToProto(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

v2::AddressScheme SchemeOf(absl::string_view host) {
  if (absl::StrContains(host, ":")) return v2::IPv6;
  const bool is_number = !host.empty() && host.find_first_not_of("0123456789.") == absl::string_view::npos;
  return is_number ? v2::IPv4 : v2::DOMAIN_NAME;
}

absl::StatusOr<v2::Endpoints> ParseEndpoints(absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || colon == 0 || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 1 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("the address is \"", address, "\", expected host:port"));
  }
  absl::string_view host = address.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  v2::Endpoints endpoints;
  endpoints.set_scheme(SchemeOf(host));
  v2::Address* const first = endpoints.add_addresses();
  first->set_host(std::string(host));
  first->set_port(port);
  return endpoints;
}

absl::Status Parse(const Bytes& bytes, google::protobuf::MessageLite* message) {
  // A transport's message is one part, so this copies nothing. Parsing does: protobuf has no views for `bytes`, so a
  // body goes to a string of the request's, from where EncodeStoredMessage takes it.
  const Buffer flat = bytes.Flatten();
  if (message->ParseFromArray(flat.data(), static_cast<int>(flat.size()))) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the request's ", bytes.size(), " bytes are not a valid ", message->GetTypeName()));
}

Bytes Serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  CHECK(message.SerializeToString(&bytes)) << message.GetTypeName();
  return Bytes(std::move(bytes));
}

}  // namespace barid::proxy
