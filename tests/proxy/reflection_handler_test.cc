#include "proxy/public/reflection_handler.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "gtest/gtest.h"
#include "proxy/public/health_handler.h"
#include "tests/proxy/test_port.h"

namespace barid::proxy {
namespace {

using ::grpc::reflection::v1::ServerReflectionRequest;
using ::grpc::reflection::v1::ServerReflectionResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kMethod[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
constexpr char kMethodOfOldTools[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

class ReflectionTest : public ::testing::Test {
 protected:
  ReflectionTest() {
    edge::MethodTable table;
    health_.AddTo(&table);
    // Enough of a service to be one.
    table.unary["/apache.rocketmq.v2.MessagingService/SendMessage"] = [](std::unique_ptr<edge::UnaryCall> call) {};
    AddReflection(&table);
    port_.Serve(std::move(table));
  }

  static ServerReflectionRequest Services() {
    ServerReflectionRequest request;
    request.set_list_services("*");
    return request;
  }
  static ServerReflectionRequest Symbol(const std::string& name) {
    ServerReflectionRequest request;
    request.set_file_containing_symbol(name);
    return request;
  }
  ServerReflectionResponse Ask(const ServerReflectionRequest& request, const std::string& method = kMethod) {
    const auto stream = port_.Open(method);
    stream->Send(request);
    const auto answers = stream->As<ServerReflectionResponse>();
    CHECK_EQ(answers.size(), 1u);
    return answers[0];
  }
  static std::vector<std::string> Names(const ServerReflectionResponse& response) {
    std::vector<std::string> names;
    for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
    return names;
  }

  TestPort port_;
  HealthService health_;
};

TEST_F(ReflectionTest, ListsWhatIsServed) {
  for (const std::string method : {kMethod, kMethodOfOldTools}) {
    EXPECT_THAT(Names(Ask(Services(), method)),
                ElementsAre("apache.rocketmq.v2.MessagingService", "grpc.health.v1.Health",
                            "grpc.reflection.v1.ServerReflection"));
  }
}

TEST_F(ReflectionTest, ItsFilesMakeTheServiceAgain) {
  for (const std::string symbol :
       {"apache.rocketmq.v2.MessagingService", "apache.rocketmq.v2.MessagingService.SendMessage",
        "apache.rocketmq.v2.SendMessageRequest"}) {
    const ServerReflectionResponse answer = Ask(Symbol(symbol));
    EXPECT_EQ(answer.original_request().file_containing_symbol(), symbol);
    // As a tool does that knows nothing before.
    google::protobuf::DescriptorPool pool;
    const auto& files = answer.file_descriptor_response().file_descriptor_proto();
    ASSERT_GT(files.size(), 0);
    for (int i = files.size() - 1; i >= 0; --i) {
      google::protobuf::FileDescriptorProto file;
      ASSERT_TRUE(file.ParseFromString(files[i]));
      ASSERT_NE(pool.BuildFile(file), nullptr) << file.name();
    }
    const auto* const service = pool.FindServiceByName("apache.rocketmq.v2.MessagingService");
    ASSERT_NE(service, nullptr);
    EXPECT_EQ(service->FindMethodByName("SendMessage")->input_type()->full_name(),
              "apache.rocketmq.v2.SendMessageRequest");
  }
}

TEST_F(ReflectionTest, FindsFilesByName) {
  ServerReflectionRequest request;
  request.set_file_by_filename("grpc/health/v1/health.proto");
  request.set_host("here");
  const ServerReflectionResponse answer = Ask(request);
  EXPECT_EQ(answer.file_descriptor_response().file_descriptor_proto_size(), 1);
  EXPECT_EQ(answer.valid_host(), "here");
}

TEST_F(ReflectionTest, ShowsNothingElseOfTheProgram) {
  // Linked into it, but of no service that is served here.
  EXPECT_EQ(Ask(Symbol("barid.admin.v1.Admin")).error_response().error_code(), 5);
  EXPECT_EQ(Ask(Symbol("no.such.Thing")).error_response().error_code(), 5);
  ServerReflectionRequest request;
  request.set_file_by_filename("barid/admin/v1/admin.proto");
  EXPECT_THAT(Ask(request).error_response().error_message(), HasSubstr("barid/admin/v1/admin.proto"));
  request.set_all_extension_numbers_of_type("barid.admin.v1.StatusRequest");
  EXPECT_EQ(Ask(request).error_response().error_code(), 5);
  request.set_all_extension_numbers_of_type("apache.rocketmq.v2.Message");
  EXPECT_EQ(Ask(request).all_extension_numbers_response().base_type_name(), "apache.rocketmq.v2.Message");
  request.mutable_file_containing_extension()->set_containing_type("apache.rocketmq.v2.Message");
  EXPECT_EQ(Ask(request).error_response().error_code(), 5);
  EXPECT_EQ(Ask(ServerReflectionRequest()).error_response().error_code(), 3);
}

TEST_F(ReflectionTest, AnswersInOrderAndEndsWithThePeer) {
  const auto stream = port_.Open(kMethod, /*reading=*/false);
  stream->Send(Services());
  stream->Send(Symbol("no.such.Thing"));
  stream->HalfClose();
  EXPECT_FALSE(stream->finished());
  stream->Read(10);
  const auto answers = stream->As<ServerReflectionResponse>();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_TRUE(answers[0].has_list_services_response());
  EXPECT_TRUE(answers[1].has_error_response());
  EXPECT_TRUE(stream->finished()->ok());
}

TEST_F(ReflectionTest, ADrainEndsItBehindWhatWasAsked) {
  const auto idle = port_.Open(kMethod);
  idle->Drain();
  EXPECT_TRUE(absl::IsUnavailable(*idle->finished()));
  const auto stream = port_.Open(kMethod, /*reading=*/false);
  stream->Send(Services());
  stream->Drain();
  stream->Send(Services());
  EXPECT_FALSE(stream->finished());
  stream->Read(2);
  EXPECT_EQ(stream->frames(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(*stream->finished()));
}

TEST_F(ReflectionTest, APeerThatDoesNotReadIsEnded) {
  const auto stream = port_.Open(kMethod, /*reading=*/false);
  for (int i = 0; i < 65; ++i) stream->Send(Services());
  stream->Read(1000);
  EXPECT_LE(stream->frames(), 65u);
  ASSERT_TRUE(stream->finished());
  EXPECT_TRUE(absl::IsResourceExhausted(*stream->finished()));
}

TEST_F(ReflectionTest, RefusesWhatIsNoRequest) {
  const auto garbage = port_.Open(kMethod);
  garbage->SendBytes("\xff\xff\xff");
  EXPECT_FALSE(garbage->finished()->ok());
  const auto large = port_.Open(kMethod);
  large->Send(Symbol(std::string(5000, 'x')));
  EXPECT_TRUE(absl::IsInvalidArgument(*large->finished()));
}

}  // namespace
}  // namespace barid::proxy
