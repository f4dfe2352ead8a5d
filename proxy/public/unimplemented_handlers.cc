#include "proxy/public/unimplemented_handlers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "apache/rocketmq/v2/admin.pb.h"
#include "proxy/public/exchange.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

constexpr char kAdminService[] = "/apache.rocketmq.v2.Admin/";

template <typename Response>
Bytes NotImplemented(absl::string_view method, Proxy* proxy, const edge::CallHead& head) {
  Response response;
  WriteStatus(Refuse(Reason::kNotImplemented, absl::StrCat(method, " is not served by this version")),
              StatusUse::kOther, CallerOf(head), proxy, response.mutable_status());
  return Serialize(response);
}

template <typename Response>
void AddUnaryStub(edge::MethodTable* table, absl::string_view service, absl::string_view name, Proxy* proxy) {
  table->unary[absl::StrCat(service, name)] = [proxy, name](std::unique_ptr<edge::UnaryCall> call) {
    call->Answer(NotImplemented<Response>(name, proxy, call->head()));
  };
}

}  // namespace

void AddUnimplementedHandlers(Proxy* proxy, edge::MethodTable* table) {
  AddUnaryStub<v2::DescribeTopicStatusResponse>(table, kAdminService, "DescribeTopicStatus", proxy);
  AddUnaryStub<v2::ListSubscriptionResponse>(table, kAdminService, "ListSubscription", proxy);
  AddUnaryStub<v2::DescribeSubscriptionResponse>(table, kAdminService, "DescribeSubscription", proxy);
  AddUnaryStub<v2::DeleteSubscriptionResponse>(table, kAdminService, "DeleteSubscription", proxy);
  AddUnaryStub<v2::DescribeGroupAccumulationResponse>(table, kAdminService, "DescribeGroupAccumulation", proxy);
  AddUnaryStub<v2::ListConsumerConnectionResponse>(table, kAdminService, "ListConsumerConnection", proxy);
  AddUnaryStub<v2::ResetGroupOffsetResponse>(table, kAdminService, "ResetGroupOffset", proxy);
  AddUnaryStub<v2::ListMessageResponse>(table, kAdminService, "QueryMessage", proxy);
  AddUnaryStub<v2::PrintThreadStackTraceResponse>(table, kAdminService, "PrintThreadStackTrace", proxy);
  AddUnaryStub<v2::VerifyMessageResponse>(table, kAdminService, "VerifyMessage", proxy);
  AddUnaryStub<v2::AdminSendMessageResponse>(table, kAdminService, "AdminSendMessage", proxy);
  AddUnaryStub<v2::GetConsumerRunningInfoResponse>(table, kAdminService, "GetConsumerRunningInfo", proxy);
  AddUnaryStub<v2::GetTopicRouteResponse>(table, kAdminService, "GetTopicRoute", proxy);
  AddUnaryStub<v2::QueryTimeSpanResponse>(table, kAdminService, "QueryTimeSpan", proxy);
  AddUnaryStub<v2::GetProxyRuntimeStatsResponse>(table, kAdminService, "GetProxyRuntimeStats", proxy);
  // Its response has no status to say it in.
  table->unary[absl::StrCat(kAdminService, "ChangeLogLevel")] = [](std::unique_ptr<edge::UnaryCall> call) {
    call->Fail(absl::UnimplementedError("ChangeLogLevel is not served by this version"));
  };
}

}  // namespace barid::proxy
