#include "tests/edge/generic_client.h"

#include <map>
#include <utility>

#include "base/log.h"
#include "tests/edge/grpc_text.h"

namespace barid::edge {
namespace {

std::shared_ptr<grpc::Channel> Connect(const std::string& address, bool own_connection) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, own_connection ? 1 : 0);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

// Once the call is over: until then there may be no initial ones.
ResponseMetadata ToldOf(const grpc::ClientContext& context) {
  const auto all = [](const std::multimap<grpc::string_ref, grpc::string_ref>& from) {
    Metadata to;
    for (const auto& [key, value] : from) {
      to.emplace_back(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
    }
    return to;
  };
  return {all(context.GetServerInitialMetadata()), all(context.GetServerTrailingMetadata())};
}

class GenericStream : public TestStream {
 public:
  GenericStream(grpc::GenericStub* stub, const std::string& method, absl::Time deadline, const Headers& headers) {
    context_.set_deadline(absl::ToChronoTime(deadline));
    for (const auto& [key, value] : headers) context_.AddMetadata(key, value);
    stream_ = stub->PrepareCall(&context_, method, &cq_);
    stream_->StartCall(nullptr);
    Wait();
  }
  ~GenericStream() override {
    if (!finished_) {
      context_.TryCancel();
      (void)Status();
    }
    cq_.Shutdown();
    void* tag;
    bool ok;
    while (cq_.Next(&tag, &ok)) {
    }
  }
  void Send(std::string message) override {
    stream_->Write(ToBuffer(message), nullptr);
    Wait();
  }
  void HalfClose() override {
    stream_->WritesDone(nullptr);
    Wait();
  }
  void Cancel() override { context_.TryCancel(); }
  std::optional<std::string> Read() override {
    grpc::ByteBuffer message;
    stream_->Read(&message, nullptr);
    if (!Wait()) return std::nullopt;
    return ToText(message);
  }
  absl::Status Status() override {
    grpc::Status status;
    stream_->Finish(&status, nullptr);
    Wait();
    finished_ = true;
    return ToAbsl(status);
  }
  ResponseMetadata Told() override { return ToldOf(context_); }

 private:
  bool Wait() {
    void* tag;
    bool ok = false;
    CHECK(cq_.Next(&tag, &ok));
    return ok;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue cq_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  bool finished_ = false;
};

}  // namespace

GenericClient::GenericClient(const std::string& address, bool own_connection)
    : channel_(Connect(address, own_connection)), stub_(channel_) {}

absl::StatusOr<std::string> GenericClient::Call(const std::string& method, const std::string& request,
                                                const Headers& headers, absl::Time deadline, ResponseMetadata* told) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(deadline));
  for (const auto& [key, value] : headers) context.AddMetadata(key, value);
  grpc::CompletionQueue cq;
  auto call = stub_.PrepareUnaryCall(&context, method, ToBuffer(request), &cq);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag;
  bool ok = false;
  CHECK(cq.Next(&tag, &ok));
  cq.Shutdown();
  while (cq.Next(&tag, &ok)) {
  }
  if (told != nullptr) *told = ToldOf(context);
  if (!status.ok()) return ToAbsl(status);
  return ToText(answer);
}

std::unique_ptr<TestStream> GenericClient::Open(const std::string& method, absl::Time deadline,
                                                const Headers& headers) {
  return std::make_unique<GenericStream>(&stub_, method, deadline, headers);
}

}  // namespace barid::edge
