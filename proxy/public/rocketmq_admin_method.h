#ifndef BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_METHOD_H_
#define BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_METHOD_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "apache/rocketmq/v2/admin.pb.h"
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

// TOPIC_NOT_FOUND and CONSUMER_GROUP_NOT_FOUND; they make nothing.
absl::StatusOr<const TopicMetadata*> FindTopic(const Metadata& metadata, const ResourceName& name);
absl::StatusOr<const GroupMetadata*> FindGroup(const Metadata& metadata, const ResourceName& name);

void ToProto(const ResourceName& name, v2::Resource* out);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ROCKETMQ_ADMIN_METHOD_H_
