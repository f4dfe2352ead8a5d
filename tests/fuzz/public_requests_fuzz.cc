// Any bytes as the request of any method of the public port, or as messages of a stream: the handlers answer a response
// of their type with a status in it, or fail the call, or let it wait until the peer goes; and nothing else happens.
// Over the in-memory transport, to a proxy with brokers in memory.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "apache/rocketmq/v2/admin.pb.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "barid/admin/v1/admin.pb.h"
#include "base/log.h"
#include "base/simulated/executor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/stubs/logging.h"
#include "proxy/proxy.h"
#include "proxy/public/admin_service.h"
#include "proxy/public/messaging_service.h"
#include "proxy/public/rocketmq_admin.h"
#include "tests/fuzz/fill_message.h"
#include "tests/fuzz/fuzz.h"
#include "tests/proxy/fakes.h"
#include "tests/proxy/test_port.h"

namespace barid::proxy {
namespace {

namespace v2 = apache::rocketmq::v2;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr size_t kMaxStreamMessages = 4;
constexpr absl::string_view kSeparator = "\xfe\xfe\xfe\xfe";

// Topic "orders" and group "workers" are there; each input finds them as they were.
struct Cluster {
  Cluster() {
    controller.MakeTopic("orders");
    controller.MakeGroup("workers");
    for (const char* id : {"broker-0", "broker-1"}) directory.brokers[id] = std::make_unique<FakeBroker>(id);
    executor = world.NewExecutor("proxy");
    ProxyOptions options;
    options.auto_create_topics = false;  // Each would be logged.
    options.auto_create_groups = false;
    proxy = std::make_unique<Proxy>(world.clock(), executor.get(), &controller, &directory, options);
    proxy->Start();
    edge::MethodTable table;
    AddMessagingService(proxy.get(), &table);
    AddAdminService(proxy.get(), "1.2.3", &table);
    AddRocketmqAdmin(proxy.get(), {"1.2.3", [] { return 7; }}, &table);
    port.Serve(std::move(table));
    world.RunUntilIdle();
  }
  ~Cluster() { executor.reset(); }

  SimulatedWorld world{7};
  FakeController controller{/*brokers=*/2, /*shards=*/2};
  FakeDirectory directory;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Proxy> proxy;
  TestPort port;
};

// All methods of the port, in one order.
const std::vector<std::string>& Methods() {
  static const auto* const methods = [] {
    Cluster cluster;
    std::set<std::string> names;
    for (const auto& [name, handler] : cluster.port.table().unary) names.insert(name);
    for (const auto& [name, factory] : cluster.port.table().streams) names.insert(name);
    return new std::vector<std::string>(names.begin(), names.end());
  }();
  return *methods;
}

// "/package.Service/Method"
const MethodDescriptor* Describe(const std::string& method) {
  std::string name = method.substr(1);
  std::replace(name.begin(), name.end(), '/', '.');
  const MethodDescriptor* const found = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  CHECK(found != nullptr) << method;
  return found;
}

std::unique_ptr<Message> NewMessage(const Descriptor* type) {
  return std::unique_ptr<Message>(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

// Answers of the public API say in their status what became of the request.
void CheckResponse(const std::string& method, absl::string_view bytes) {
  const std::unique_ptr<Message> response = NewMessage(Describe(method)->output_type());
  CHECK(response->ParseFromString(std::string(bytes))) << method;
  const FieldDescriptor* const field = response->GetDescriptor()->FindFieldByName("status");
  if (field == nullptr || field->message_type() != v2::Status::descriptor() ||
      !response->GetReflection()->HasField(*response, field))
    return;
  const auto& status = static_cast<const v2::Status&>(response->GetReflection()->GetMessage(*response, field));
  CHECK_NE(status.code(), v2::CODE_UNSPECIFIED) << method;
  // Of a request, whatever is in it, that is never right to say.
  CHECK_NE(status.code(), v2::INTERNAL_ERROR) << method << ": " << status.message();
}

void FuzzUnary(Cluster* cluster, const std::string& method, absl::string_view bytes) {
  const auto call = cluster->port.StartBytes(method, std::string(bytes));
  cluster->world.RunUntilIdle();
  if (call->failed()) {
    CHECK(!absl::IsInternal(call->failure())) << method << ": " << call->failure();
  } else if (call->answered()) {
    CheckResponse(method, call->bytes());
  }
}

// One message, or, where the peer may send several, the pieces between separators.
void FuzzStream(Cluster* cluster, const std::string& method, absl::string_view bytes) {
  const auto stream = cluster->port.Open(method);
  const size_t most = Describe(method)->client_streaming() ? kMaxStreamMessages : 1;
  for (size_t i = 0; i < most; ++i) {
    const size_t end = most == 1 ? absl::string_view::npos : bytes.find(kSeparator);
    stream->SendBytes(std::string(bytes.substr(0, end)));
    cluster->world.RunUntilIdle();
    if (end == absl::string_view::npos || stream->finished()) break;
    bytes.remove_prefix(end + kSeparator.size());
  }
  stream->HalfClose();
  cluster->world.RunUntilIdle();
  for (const std::string& frame : stream->raw_frames()) CheckResponse(method, frame);
  if (stream->finished()) {
    CHECK(!absl::IsInternal(*stream->finished())) << method << ": " << *stream->finished();
  } else {
    stream->Cancel();
  }
}

void Fuzz(absl::string_view bytes) {
  if (bytes.empty()) return;
  const google::protobuf::LogSilencer silencer;  // Of text that is not UTF-8.
  const std::string& method = Methods()[static_cast<uint8_t>(bytes[0]) % Methods().size()];
  bytes.remove_prefix(1);
  Cluster cluster;
  if (cluster.port.table().unary.contains(method)) {
    FuzzUnary(&cluster, method, bytes);
  } else {
    FuzzStream(&cluster, method, bytes);
  }
  cluster.world.RunUntilIdle();
}

// Something plausible: names that are there, small numbers. Of a oneof, alternative `choice`.
FillOptions Plausible(int choice) {
  FillOptions options;
  options.text = [](const FieldDescriptor* parent, const FieldDescriptor& field) {
    const std::string& name = field.name();
    if (name == "name") return parent != nullptr && parent->name() == "group" ? "workers" : "orders";
    if (name == "resource_namespace" || name == "namespace") return "";
    return name == "expression" ? "a || b" : "x";
  };
  options.large = 30;
  options.alternative = choice;
  return options;
}

}  // namespace
}  // namespace barid::proxy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  barid::proxy::Fuzz(absl::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  using namespace barid::proxy;
  std::vector<std::string> seeds;
  for (size_t i = 0; i < Methods().size(); ++i) {
    for (int choice = 0; choice < 3; ++choice) {
      const std::unique_ptr<Message> request = NewMessage(Describe(Methods()[i])->input_type());
      FillMessage(Plausible(choice), request.get());
      seeds.push_back(std::string(1, static_cast<char>(i)) + request->SerializeAsString());
      if (Describe(Methods()[i])->client_streaming()) {
        seeds.back() += std::string(kSeparator) + request->SerializeAsString();
      }
    }
  }
  // A send and a receive that are right, with the id and type that FillMessage does not guess.
  v2::SendMessageRequest send;
  v2::Message* const message = send.add_messages();
  message->mutable_topic()->set_name("orders");
  message->set_body("body");
  message->mutable_system_properties()->set_message_id("01ID");
  message->mutable_system_properties()->set_message_type(v2::NORMAL);
  message->mutable_system_properties()->set_body_encoding(v2::IDENTITY);
  v2::ReceiveMessageRequest receive;
  receive.mutable_group()->set_name("workers");
  receive.mutable_message_queue()->mutable_topic()->set_name("orders");
  receive.mutable_message_queue()->mutable_broker()->set_name("shard-1");
  receive.mutable_message_queue()->set_id(-1);
  receive.mutable_filter_expression()->set_type(v2::SQL);
  receive.mutable_filter_expression()->set_expression("a > 1 AND TAGS = 'x'");
  receive.set_batch_size(32);
  receive.mutable_invisible_duration()->set_seconds(30);
  for (size_t i = 0; i < Methods().size(); ++i) {
    const std::string prefix(1, static_cast<char>(i));
    if (Methods()[i] == "/apache.rocketmq.v2.MessagingService/SendMessage")
      seeds.push_back(prefix + send.SerializeAsString());
    if (Methods()[i] == "/apache.rocketmq.v2.MessagingService/ReceiveMessage")
      seeds.push_back(prefix + receive.SerializeAsString());
  }
  return seeds;
}
