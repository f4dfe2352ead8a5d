#ifndef BARID_TESTS_PROXY_PROXY_FIXTURE_H_
#define BARID_TESTS_PROXY_PROXY_FIXTURE_H_

#include <memory>
#include <string>
#include <vector>

#include "apache/rocketmq/v2/service.pb.h"
#include "base/metrics.h"
#include "base/simulated/executor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/call_metrics.h"
#include "proxy/proxy.h"
#include "proxy/public/admin_service.h"
#include "proxy/public/conversions.h"
#include "proxy/public/messaging_service.h"
#include "proxy/public/rocketmq_admin.h"
#include "tests/proxy/fakes.h"
#include "tests/proxy/test_port.h"

namespace barid::proxy {

// A proxy with fakes around it: topic "orders" and group "workers" are there; two brokers lead two shards.
class ProxyFixture : public ::testing::Test {
 protected:
  static constexpr char kService[] = "/apache.rocketmq.v2.MessagingService/";

  ProxyFixture() {
    // Sockets have the real time, and deadlines are read by both.
    if (TestPort::IsOverSockets()) {
      const absl::Time now = absl::FromUnixMicros(absl::ToUnixMicros(absl::Now()));
      world_.clock()->StepWallClock(now - world_.clock()->Now());
    }
    orders_ = controller_.MakeTopic("orders");
    workers_ = controller_.MakeGroup("workers");
    for (const char* id : {"broker-0", "broker-1"}) directory_.brokers[id] = std::make_unique<FakeBroker>(id);
    Restart(ProxyOptions());
  }
  ~ProxyFixture() override {
    port_.Stop();
    executor_.reset();
  }

  // Another proxy with these options, in the same cluster.
  void Restart(ProxyOptions options) {
    port_.Stop();
    executor_ = world_.NewExecutor("proxy");
    proxy_ = std::make_unique<Proxy>(world_.clock(), executor_.get(), &controller_, &directory_, options);
    proxy_->SetCallMetrics(&call_metrics_);
    proxy_->Start();
    edge::MethodTable table;
    AddMessagingService(proxy_.get(), &table);
    AddAdminService(proxy_.get(), "1.2.3", &table);
    AddRocketmqAdmin(proxy_.get(), {"1.2.3", [] { return 7; }}, &table);
    port_.Serve(std::move(table));
    world_.RunUntilIdle();
  }

  FakeBroker& broker(int i) { return *directory_.brokers[absl::StrCat("broker-", i)]; }
  // Only this broker and its one shard stay, so that tests know where messages go.
  void UseOneShard() {
    controller_.Edit([](Metadata::Tables* tables) {
      tables->shards.resize(1);
      tables->brokers.resize(1);
    });
  }
  // Messages go to the shards of each topic in turn, and not where their ids put them.
  void PlaceInTurn() {
    controller_.Edit([](Metadata::Tables* tables) {
      for (TopicMetadata& topic : tables->topics) topic.idempotent = false;
    });
  }
  void SetHeader(const std::string& key, const std::string& value) {
    for (auto& [name, old] : port_.metadata) {
      if (name == key) {
        old = value;
        return;
      }
    }
    port_.metadata.emplace_back(key, value);
  }

  template <typename Response>
  Response Call(const std::string& method, const google::protobuf::MessageLite& request) {
    return port_.Call<Response>(kService + method, request);
  }

  static v2::Resource Named(const std::string& name, const std::string& space = "") {
    v2::Resource resource;
    resource.set_name(name);
    resource.set_resource_namespace(space);
    return resource;
  }

  static v2::Message MessageOf(const std::string& topic, const std::string& body, const std::string& id = "01ID") {
    v2::Message message;
    *message.mutable_topic() = Named(topic);
    message.set_body(body);
    message.mutable_system_properties()->set_message_id(id);
    message.mutable_system_properties()->set_message_type(v2::NORMAL);
    message.mutable_system_properties()->set_body_encoding(v2::IDENTITY);
    return message;
  }
  v2::SendMessageResponse Send(const v2::Message& message) {
    v2::SendMessageRequest request;
    *request.add_messages() = message;
    return Call<v2::SendMessageResponse>("SendMessage", request);
  }
  v2::SendMessageResponse Send(const std::string& body, const std::string& topic = "orders") {
    return Send(MessageOf(topic, body));
  }
  v2::SendMessageResponse SendTagged(const std::string& body, const std::string& tag) {
    v2::Message message = MessageOf("orders", body);
    message.mutable_system_properties()->set_tag(tag);
    return Send(message);
  }

  // A receive as a simple consumer makes it, without waiting.
  static v2::ReceiveMessageRequest ReceiveRequestOf(const std::string& group = "workers",
                                                    const std::string& topic = "orders") {
    v2::ReceiveMessageRequest request;
    *request.mutable_group() = Named(group);
    *request.mutable_message_queue()->mutable_topic() = Named(topic);
    request.mutable_message_queue()->mutable_broker()->set_name("shard-1");
    request.mutable_message_queue()->set_id(-1);
    request.mutable_filter_expression()->set_type(v2::TAG);
    request.mutable_filter_expression()->set_expression("*");
    request.set_batch_size(32);
    request.mutable_invisible_duration()->set_seconds(30);
    request.mutable_long_polling_timeout()->set_seconds(0);
    return request;
  }
  static v2::ReceiveMessageRequest AutoRenewRequest() {
    v2::ReceiveMessageRequest request = ReceiveRequestOf();
    request.clear_invisible_duration();
    request.set_auto_renew(true);
    return request;
  }
  std::shared_ptr<TestStream> StartReceive(const v2::ReceiveMessageRequest& request, bool reading = true) {
    auto stream = port_.Open(std::string(kService) + "ReceiveMessage", reading);
    stream->Send(request);
    return stream;
  }
  std::vector<v2::ReceiveMessageResponse> Receive(const v2::ReceiveMessageRequest& request) {
    const auto stream = StartReceive(request);
    EXPECT_TRUE(stream->finished().has_value());
    EXPECT_TRUE(stream->finished().value_or(absl::UnknownError("not finished")).ok());
    return stream->As<v2::ReceiveMessageResponse>();
  }
  v2::Code ReceiveCode(const v2::ReceiveMessageRequest& request) { return Receive(request).at(0).status().code(); }
  // The messages of a receive that must succeed.
  std::vector<v2::Message> ReceiveMessages(const v2::ReceiveMessageRequest& request = ReceiveRequestOf()) {
    std::vector<v2::Message> messages;
    const auto frames = Receive(request);
    EXPECT_EQ(frames.at(0).status().code(), v2::OK) << frames.at(0).status().message();
    for (const auto& frame : frames) {
      if (frame.has_message()) messages.push_back(frame.message());
    }
    return messages;
  }
  std::string ReceiveHandle(const v2::ReceiveMessageRequest& request = ReceiveRequestOf()) {
    return ReceiveMessages(request).at(0).system_properties().receipt_handle();
  }

  v2::AckMessageResponse Ack(const std::vector<std::string>& handles, const std::string& group = "workers",
                             const std::string& topic = "orders") {
    v2::AckMessageRequest request;
    *request.mutable_group() = Named(group);
    *request.mutable_topic() = Named(topic);
    for (const std::string& handle : handles) {
      request.add_entries()->set_receipt_handle(handle);
      request.mutable_entries(request.entries_size() - 1)->set_message_id("01ID");
    }
    return Call<v2::AckMessageResponse>("AckMessage", request);
  }
  v2::ChangeInvisibleDurationResponse Change(const std::string& handle, absl::Duration delay) {
    v2::ChangeInvisibleDurationRequest request;
    *request.mutable_group() = Named("workers");
    *request.mutable_topic() = Named("orders");
    request.set_receipt_handle(handle);
    ToProto(delay, request.mutable_invisible_duration());
    return Call<v2::ChangeInvisibleDurationResponse>("ChangeInvisibleDuration", request);
  }
  v2::ForwardMessageToDeadLetterQueueResponse Forward(const std::string& handle) {
    v2::ForwardMessageToDeadLetterQueueRequest request;
    *request.mutable_group() = Named("workers");
    *request.mutable_topic() = Named("orders");
    request.set_receipt_handle(handle);
    request.set_delivery_attempt(3);
    request.set_max_delivery_attempts(3);
    return Call<v2::ForwardMessageToDeadLetterQueueResponse>("ForwardMessageToDeadLetterQueue", request);
  }
  v2::HeartbeatResponse Heartbeat(v2::ClientType type, const std::string& group = "workers") {
    v2::HeartbeatRequest request;
    request.set_client_type(type);
    if (!group.empty()) *request.mutable_group() = Named(group);
    return Call<v2::HeartbeatResponse>("Heartbeat", request);
  }

  void SayGoodbye() {
    v2::NotifyClientTerminationRequest request;
    *request.mutable_group() = Named("workers");
    EXPECT_EQ(Call<v2::NotifyClientTerminationResponse>("NotifyClientTermination", request).status().code(), v2::OK);
  }

  static v2::Settings ConsumerSettings(v2::Language language, v2::ClientType type = v2::PUSH_CONSUMER,
                                       const std::string& group = "workers") {
    v2::Settings settings;
    settings.set_client_type(type);
    settings.mutable_user_agent()->set_language(language);
    settings.mutable_user_agent()->set_version("5.9.9");
    *settings.mutable_subscription()->mutable_group() = Named(group);
    v2::SubscriptionEntry* const entry = settings.mutable_subscription()->add_subscriptions();
    *entry->mutable_topic() = Named("orders");
    entry->mutable_expression()->set_expression("*");
    return settings;
  }
  static v2::Settings ProducerSettings(v2::Language language) {
    v2::Settings settings;
    settings.set_client_type(v2::PRODUCER);
    settings.mutable_user_agent()->set_language(language);
    *settings.mutable_publishing()->add_topics() = Named("orders");
    return settings;
  }
  std::shared_ptr<TestStream> OpenTelemetry(bool reading = true) {
    return port_.Open(std::string(kService) + "Telemetry", reading);
  }
  static void SendSettings(TestStream& stream, const v2::Settings& settings) {
    v2::TelemetryCommand command;
    *command.mutable_settings() = settings;
    stream.Send(command);
  }

  SimulatedWorld world_{7};
  FakeController controller_{/*brokers=*/2, /*shards=*/2};
  FakeDirectory directory_;
  TopicId orders_;
  GroupId workers_;
  Metrics metrics_;
  CallMetrics call_metrics_{&metrics_};
  std::unique_ptr<Proxy> proxy_;
  std::unique_ptr<Executor> executor_;
  TestPort port_;
};

}  // namespace barid::proxy

#endif  // BARID_TESTS_PROXY_PROXY_FIXTURE_H_
