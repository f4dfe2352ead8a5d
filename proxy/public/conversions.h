#ifndef BARID_PROXY_PUBLIC_CONVERSIONS_H_
#define BARID_PROXY_PUBLIC_CONVERSIONS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "apache/rocketmq/v2/definition.pb.h"
#include "base/bytes.h"
#include "base/metadata.h"
#include "edge/call.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message_lite.h"
#include "google/protobuf/timestamp.pb.h"
#include "proxy/public/status_map.h"

// Between the public messages and our structs.
namespace barid::proxy {

// Who calls, by the call's metadata. Views live as long as the head.
struct Caller {
  absl::string_view id;     // x-mq-client-id
  absl::string_view space;  // x-mq-namespace: for resources without one of their own.
  bool is_rust = false;     // x-mq-language
};
Caller CallerOf(const edge::CallHead& head);
// CLIENT_ID_REQUIRED for a caller without an id.
absl::Status CheckCaller(const Caller& caller);

// The resource's own namespace, else the caller's.
ResourceName NameOf(const v2::Resource& resource, absl::string_view caller_space);

absl::Duration FromProto(const google::protobuf::Duration& duration);
void ToProto(absl::Duration duration, google::protobuf::Duration* out);
// `otherwise` for a time outside the years 1 to 9999.
absl::Time FromProto(const google::protobuf::Timestamp& time, absl::Time otherwise);
void ToProto(absl::Time time, google::protobuf::Timestamp* out);

// "host:port"; the scheme follows from the host.
absl::StatusOr<v2::Endpoints> ParseEndpoints(absl::string_view address);
v2::AddressScheme SchemeOf(absl::string_view host);

// Fails with kInvalidArgument, naming the message's type. Flattens at most once.
absl::Status Parse(const Bytes& bytes, google::protobuf::MessageLite* message);
Bytes Serialize(const google::protobuf::MessageLite& message);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_CONVERSIONS_H_
