#include "cli/bench/calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace barid::cli {
namespace {

// Long enough for any answer; a call without would keep a run from ending.
constexpr absl::Duration kCallTimeout = absl::Seconds(30);

}  // namespace

void Meter::Fail(absl::string_view error) {
  if (errors++ == 0) first_error = std::string(error);
}

void Meter::Merge(const Meter& other) {
  sent += other.sent;
  settled += other.settled;
  calls += other.calls;
  errors += other.errors;
  if (first_error.empty()) first_error = other.first_error;
  send.Merge(other.send);
  receive.Merge(other.receive);
  ack.Merge(other.ack);
  end_to_end.Merge(other.end_to_end);
}

Lane::Lane(const LaneOptions& options, const std::atomic<Phase>* phase) : options_(options), phase_(phase) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // Or all channels would share one connection.
  for (int i = 0; i < options.channels; ++i) {
    stubs_.push_back(std::make_unique<grpc::GenericStub>(options.dialer.Dial(options.endpoint, arguments)));
  }
  thread_ = std::thread([this] { Serve(); });
}

Lane::~Lane() {
  queue_.Shutdown();
  thread_.join();
}

void Lane::Serve() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) static_cast<Event*>(tag)->Complete(ok);
}

void Lane::Prepare(grpc::ClientContext* context) const {
  context->set_deadline(absl::ToChronoTime(RealClock()->Now() + kCallTimeout));
  context->AddMetadata("x-mq-client-id", options_.client_id);
  context->AddMetadata("x-mq-language", "CPP");
  if (!options_.space.empty()) context->AddMetadata("x-mq-namespace", options_.space);
}

void RawUnaryCall::Start(Lane* lane, const std::string& method, const grpc::ByteBuffer& request) {
  reader_.reset();  // It lives in memory that belongs to its context.
  context_.emplace();
  lane->Prepare(&*context_);
  response_.Clear();
  reader_ = lane->NextStub()->PrepareUnaryCall(&*context_, method, request, lane->queue());
  reader_->StartCall();
  reader_->Finish(&response_, &status_, static_cast<Event*>(this));
}

grpc::ByteBuffer Serialized(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

bool ParseFrom(grpc::ByteBuffer* bytes, google::protobuf::MessageLite* message) {
  grpc::Slice slice;
  if (!bytes->TrySingleSlice(&slice).ok() && !bytes->DumpToSingleSlice(&slice).ok()) return false;
  return message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

}  // namespace barid::cli
