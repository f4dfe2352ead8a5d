#include "rpc/channel.h"

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include "rpc/server.h"

namespace barid::rpc {
namespace {

TEST(RpcChannelTest, FailsAtOnceWhenNobodyListens) {
  grpc::GenericStub stub(OpenChannel("127.0.0.1:1"));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
  grpc::CompletionQueue cq;
  auto call = stub.PrepareUnaryCall(&context, "/t/Unary", grpc::ByteBuffer(), &cq);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag;
  bool ok;
  const absl::Time begin = absl::Now();
  cq.Next(&tag, &ok);
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
}

TEST(RpcChannelTest, ComesBackSoonAfterThePeer) {
  auto server = *Server::Start({.address = "127.0.0.1:0", .health = true}, {});
  const std::string address = server->address();
  const auto channel = OpenChannel(address);
  const auto connected = [&] { return channel->WaitForConnected(absl::ToChronoTime(absl::Now() + absl::Seconds(20))); };
  ASSERT_TRUE(connected());
  server = nullptr;
  while (channel->GetState(false) == GRPC_CHANNEL_READY) {
    channel->WaitForStateChange(GRPC_CHANNEL_READY, absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
  }
  server = *Server::Start({.address = address, .health = true}, {});
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(connected());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

}  // namespace
}  // namespace barid::rpc
