#include "apache/rocketmq/v2/admin.pb.h"
#include "google/protobuf/descriptor.h"
#include "tests/proxy/proxy_fixture.h"

namespace barid::proxy {
namespace {

using ::testing::HasSubstr;

class UnimplementedHandlersTest : public ProxyFixture {};

TEST_F(UnimplementedHandlersTest, EveryMethodOfThePublicApiIsServed) {
  for (const char* name : {"apache.rocketmq.v2.MessagingService", "apache.rocketmq.v2.Admin", "barid.admin.v1.Admin"}) {
    const auto* const service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    ASSERT_NE(service, nullptr) << name;
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* const method = service->method(i);
      const std::string path = absl::StrCat("/", name, "/", method->name());
      EXPECT_EQ(port_.table().streams.contains(path), method->server_streaming()) << path;
      EXPECT_EQ(port_.table().unary.contains(path), !method->server_streaming()) << path;
    }
  }
}

TEST_F(UnimplementedHandlersTest, WhatIsNotServedSaysSoInItsOwnResponse) {
  const auto stats = port_.Call<v2::GetProxyRuntimeStatsResponse>("/apache.rocketmq.v2.Admin/GetProxyRuntimeStats",
                                                                  v2::GetProxyRuntimeStatsRequest());
  EXPECT_EQ(stats.status().code(), v2::NOT_IMPLEMENTED);
  EXPECT_THAT(stats.status().message(), HasSubstr("GetProxyRuntimeStats is not served"));
  const auto call = port_.Start("/apache.rocketmq.v2.Admin/ChangeLogLevel", v2::ChangeLogLevelRequest());
  ASSERT_TRUE(call->failed());
  EXPECT_TRUE(absl::IsUnimplemented(call->failure()));
}

}  // namespace
}  // namespace barid::proxy
