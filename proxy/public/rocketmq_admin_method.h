#ifndef BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_METHOD_H_
#define BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_METHOD_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "apache/rocketmq/v2/admin.pb.h"
#include "base/broker_calls.h"
#include "edge/call.h"
#include "proxy/public/exchange.h"

namespace barid::proxy {

inline constexpr char kRocketmqAdmin[] = "/apache.rocketmq.v2.Admin/";

// NOT_FOUND for a deployment that is not this cluster.
absl::Status CheckDeployment(const std::string& asked, const Metadata& metadata);

// Serves `name` with `handler`, which gets a parsed request for this deployment.
template <typename Request, typename Response, typename Handler>
void AddRocketmqAdminMethod(edge::MethodTable* table, absl::string_view name, Proxy* proxy, Handler handler) {
  table->unary[absl::StrCat(kRocketmqAdmin, name)] =
      [proxy, handler, late = LateAnswer<Request, Response>()](std::unique_ptr<edge::UnaryCall> call) {
        auto exchange = std::make_unique<Exchange<Request, Response>>(proxy, std::move(call), /*metrics=*/nullptr);
        absl::Status status = exchange->Read();
        if constexpr (requires(const Request& request) { request.has_deployment_name(); }) {
          if (status.ok() && exchange->request().has_deployment_name())
            status = CheckDeployment(exchange->request().deployment_name(), *proxy->router().Snapshot());
        }
        if (!status.ok()) return exchange->Answer(status);
        exchange->AnswerInTime(late);
        handler(std::move(exchange));
      };
}

// What a request names. TOPIC_NOT_FOUND and CONSUMER_GROUP_NOT_FOUND; they make nothing.
absl::StatusOr<const TopicMetadata*> FindTopic(const Metadata& metadata, const v2::Resource& resource,
                                               const Caller& caller);
absl::StatusOr<const GroupMetadata*> FindGroup(const Metadata& metadata, const v2::Resource& resource,
                                               const Caller& caller);

// Not all brokers have answered; there is at least one such.
absl::Status Silent(const std::vector<std::string>& brokers);

// A message that was looked up, as it would be delivered, but nobody's.
absl::StatusOr<Bytes> AsDelivered(const FoundMessage& message, const ResourceName& topic);

void ToProto(const ResourceName& name, v2::Resource* out);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_METHOD_H_
