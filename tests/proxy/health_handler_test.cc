#include "proxy/public/health_handler.h"

#include "gmock/gmock.h"
#include "grpc/health/v1/health.pb.h"
#include "gtest/gtest.h"
#include "tests/proxy/test_port.h"

namespace barid::proxy {
namespace {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using ::testing::ElementsAre;

class HealthHandlerTest : public ::testing::Test {
 protected:
  HealthHandlerTest() {
    edge::MethodTable table;
    health_.AddTo(&table);
    port_.Serve(std::move(table));
  }

  static HealthCheckRequest Asking(const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    return request;
  }
  HealthCheckResponse::ServingStatus Check(const std::string& service = "") {
    return port_.Call<HealthCheckResponse>("/grpc.health.v1.Health/Check", Asking(service)).status();
  }
  std::shared_ptr<TestStream> Watch(const std::string& service = "", bool reading = true) {
    const auto stream = port_.Open("/grpc.health.v1.Health/Watch", reading);
    stream->Send(Asking(service));
    return stream;
  }
  static std::vector<HealthCheckResponse::ServingStatus> Seen(TestStream& stream) {
    std::vector<HealthCheckResponse::ServingStatus> seen;
    for (const auto& response : stream.As<HealthCheckResponse>()) seen.push_back(response.status());
    return seen;
  }

  TestPort port_;
  HealthService health_;
};

TEST_F(HealthHandlerTest, ServesWhenToldTo) {
  EXPECT_EQ(Check(), HealthCheckResponse::NOT_SERVING);
  health_.SetServing(true);
  EXPECT_EQ(Check(), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check("apache.rocketmq.v2.MessagingService"), HealthCheckResponse::SERVING);
  health_.SetServing(false);
  EXPECT_EQ(Check("barid.admin.v1.Admin"), HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthHandlerTest, AnUnknownServiceIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(port_.Start("/grpc.health.v1.Health/Check", Asking("no.such.Service"))->failure()));
  EXPECT_THAT(Seen(*Watch("no.such.Service")), ElementsAre(HealthCheckResponse::SERVICE_UNKNOWN));
}

TEST_F(HealthHandlerTest, WatchersHearTheStateAndItsChanges) {
  const auto watcher = Watch();
  health_.SetServing(true);
  health_.SetServing(true);
  health_.SetServing(false);
  EXPECT_THAT(Seen(*watcher), ElementsAre(HealthCheckResponse::NOT_SERVING, HealthCheckResponse::SERVING,
                                          HealthCheckResponse::NOT_SERVING));
  watcher->Cancel();
  health_.SetServing(true);
  EXPECT_EQ(watcher->frames(), 3u);
}

TEST_F(HealthHandlerTest, AWatchEndsWhenTheServerDrains) {
  health_.SetServing(true);
  const auto watcher = Watch();
  const auto silent = port_.Open("/grpc.health.v1.Health/Watch");
  health_.SetServing(false);
  watcher->Drain();
  silent->Drain();
  EXPECT_THAT(Seen(*watcher), ElementsAre(HealthCheckResponse::SERVING, HealthCheckResponse::NOT_SERVING));
  EXPECT_TRUE(absl::IsUnavailable(*watcher->finished()));
  EXPECT_TRUE(absl::IsUnavailable(*silent->finished()));
}

TEST_F(HealthHandlerTest, AWatcherThatDoesNotReadKeepsTheNewest) {
  const auto watcher = Watch("", /*reading=*/false);
  for (int i = 0; i < 101; ++i) health_.SetServing(i % 2 == 0);
  watcher->Read(100);
  EXPECT_LE(watcher->frames(), 4u);
  EXPECT_EQ(Seen(*watcher).back(), HealthCheckResponse::SERVING);
}

}  // namespace
}  // namespace barid::proxy
