#include "rpc/server.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include "rpc/channel.h"
#include "tests/base/status_matchers.h"

namespace barid::rpc {
namespace {

// grpc.health.v1.HealthCheckResponse {1: status}, as the service sends it.
const char kServing[] = "\x08\x01";
const char kNotServing[] = "\x08\x02";

class RpcServerTest : public testing::Test {
 protected:
  void Serve(ServerOptions options) {
    options.address = "127.0.0.1:0";
    server_ = *Server::Start(options, {});
    channel_ = OpenChannel(server_->address());
  }

  // Calls a method with a message as bytes; an error's code as text.
  std::string Call(const std::string& method, const std::string& request) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    const grpc::Slice slice(request);
    grpc::CompletionQueue cq;
    auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &cq);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag;
    bool ok;
    cq.Next(&tag, &ok);
    if (!status.ok()) return "code " + std::to_string(status.error_code());
    grpc::Slice whole;
    EXPECT_TRUE(answer.DumpToSingleSlice(&whole).ok());
    return std::string(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  std::string Health(const std::string& name) {
    std::string request;
    if (!name.empty()) request = std::string("\x0a") + static_cast<char>(name.size()) + name;
    return Call("/grpc.health.v1.Health/Check", request);
  }

  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(RpcServerTest, AnswersProbes) {
  Serve({.health = true});
  EXPECT_EQ(Health(""), kServing);
  EXPECT_EQ(Health(kLiveness), kServing);
  EXPECT_EQ(Health(kReadiness), kNotServing);
  EXPECT_EQ(Health(kStartup), kNotServing);
  server_->SetServing(kReadiness, true);
  EXPECT_EQ(Health(kReadiness), kServing);
  server_->SetServing(kReadiness, false);
  EXPECT_EQ(Health(kReadiness), kNotServing);
  EXPECT_EQ(Health("unheard.of"), "code 5");
}

TEST_F(RpcServerTest, HasNoHealthServiceUnlessAskedFor) {
  Serve({.health = false, .reflection = true});
  EXPECT_EQ(Health(""), "code 12");
  server_->SetServing(kReadiness, true);  // Nothing happens.
}

TEST_F(RpcServerTest, DoesNotShareAPortThatIsInUse) {
  Serve({.health = true});
  EXPECT_THAT(Server::Start({.address = server_->address(), .health = true}, {}),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(RpcServerTest, RefusesCallsAfterTheDrain) {
  Serve({.health = true});
  EXPECT_EQ(Health(""), kServing);
  server_->Drain(absl::Seconds(20));
  EXPECT_EQ(Health(""), "code 14");
}

}  // namespace
}  // namespace barid::rpc
