// gRPC C++ against the interop service. ../README.md has the cases.
//
//   interop_cpp --endpoint HOST:PORT [--certificate FILE]
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/status.h"
#include "tests/edge/grpc_text.h"

namespace barid::interop {
namespace {

using edge::ToAbsl;
using edge::ToBuffer;
using edge::ToText;

constexpr absl::string_view kService = "/barid.interop.Interop/";
constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr size_t kRequestSizes[] = {27182, 8, 1828, 45904};
constexpr size_t kAnswerSizes[] = {31415, 9, 2653, 58979};
constexpr absl::string_view kSpecialMessage =
    "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n";
constexpr absl::string_view kMetadataAnswer =
    "interop-data-bin=abab00ff01\n"
    "interop-text=746573742076616c7565\n"
    "interop-twice=61\n"
    "interop-twice=62";
constexpr char kEchoInitial[] = "x-grpc-test-echo-initial";
constexpr char kEchoTrailing[] = "x-grpc-test-echo-trailing-bin";
constexpr char kInitial[] = "test_initial_metadata_value";
constexpr char kTrailing[] = "\xab\xab\xab";

// --- Calls ---

// A completion queue on which one thing happens at a time.
class Queue {
 public:
  ~Queue() {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  grpc::CompletionQueue* get() { return &queue_; }
  // Until what was begun is done; whether it succeeded.
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    CHECK(queue_.Next(&tag, &ok));
    return ok;
  }

 private:
  grpc::CompletionQueue queue_;
};

// Of any kind: gRPC's core takes each for a bidirectional one. Blocks.
class Stream {
 public:
  Stream(grpc::GenericStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context)
      : context_(std::move(context)), stream_(stub->PrepareCall(context_.get(), method, queue_.get())) {
    stream_->StartCall(nullptr);
    queue_.Wait();
  }
  ~Stream() {
    context_->TryCancel();
    if (!status_) (void)Finish();
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void Send(const std::string& message) {
    stream_->Write(ToBuffer(message), nullptr);
    queue_.Wait();
  }
  void HalfClose() {
    stream_->WritesDone(nullptr);
    queue_.Wait();
  }
  void Cancel() { context_->TryCancel(); }
  // nullopt at the end, if that is OK.
  absl::StatusOr<std::optional<std::string>> Read() {
    grpc::ByteBuffer message;
    stream_->Read(&message, nullptr);
    if (queue_.Wait()) return ToText(message);
    RETURN_IF_ERROR(Finish());
    return std::nullopt;
  }
  const grpc::ClientContext& context() const { return *context_; }

 private:
  absl::Status Finish() {
    if (!status_) {
      status_.emplace();
      stream_->Finish(&*status_, nullptr);
      queue_.Wait();
    }
    return ToAbsl(*status_);
  }

  Queue queue_;
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  std::optional<grpc::Status> status_;
};

std::unique_ptr<grpc::ClientContext> Within(absl::Duration duration) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(absl::Now() + duration));
  return context;
}

class Client {
 public:
  explicit Client(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {}

  // With a full name.
  absl::StatusOr<std::string> CallNamed(const std::string& method, const std::string& request,
                                        grpc::ClientContext* context) {
    Queue queue;
    const auto call = stub_.PrepareUnaryCall(context, method, ToBuffer(request), queue.get());
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    queue.Wait();
    RETURN_IF_ERROR(ToAbsl(status));
    return ToText(answer);
  }
  absl::StatusOr<std::string> Call(absl::string_view method, const std::string& request,
                                   std::unique_ptr<grpc::ClientContext> context = Within(kPatience)) {
    return CallNamed(absl::StrCat(kService, method), request, context.get());
  }
  std::unique_ptr<Stream> Open(absl::string_view method,
                               std::unique_ptr<grpc::ClientContext> context = Within(kPatience)) {
    return std::make_unique<Stream>(&stub_, absl::StrCat(kService, method), std::move(context));
  }

 private:
  grpc::GenericStub stub_;
};

// --- What is sent and expected ---

std::string Pattern(size_t size) {
  constexpr size_t kPeriod = 251;
  std::string pattern(size, '\0');
  for (size_t i = 0; i < size; ++i) pattern[i] = static_cast<char>(i % kPeriod);
  return pattern;
}

// A request of `size` bytes.
std::string Ask(const std::vector<size_t>& answer_sizes, size_t size) {
  const std::string line = absl::StrCat(absl::StrJoin(answer_sizes, ","), "\n");
  return line + Pattern(size - line.size());
}

std::string Short(absl::string_view data) {
  return absl::StrCat(data.size(), " bytes \"", absl::CHexEscape(data.substr(0, 60)), "\"");
}

std::string Text(const absl::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(status.code()), " \"", absl::CHexEscape(status.message()), "\"");
}

absl::Status Wrong(absl::string_view found, absl::string_view wanted) {
  return absl::InternalError(absl::StrCat("found ", found, ", expected ", wanted));
}

absl::Status ExpectAnswer(const absl::StatusOr<std::string>& found, absl::string_view wanted) {
  if (!found.ok()) return Wrong(Text(found.status()), Short(wanted));
  return *found == wanted ? absl::OkStatus() : Wrong(Short(*found), Short(wanted));
}

absl::Status ExpectMessage(Stream* stream, absl::string_view wanted) {
  absl::StatusOr<std::optional<std::string>> found = stream->Read();
  RETURN_IF_ERROR(found.status());
  return *found ? ExpectAnswer(**found, wanted) : Wrong("the end", Short(wanted));
}

absl::Status ExpectEnd(Stream* stream) {
  const absl::StatusOr<std::optional<std::string>> found = stream->Read();
  RETURN_IF_ERROR(found.status());
  return *found ? Wrong(Short(**found), "the end") : absl::OkStatus();
}

absl::Status ExpectCode(const absl::Status& found, absl::StatusCode code) {
  return found.code() == code ? absl::OkStatus() : Wrong(Text(found), absl::StatusCodeToString(code));
}

absl::Status ExpectStatus(const absl::Status& found, const absl::Status& wanted) {
  return found == wanted ? absl::OkStatus() : Wrong(Text(found), Text(wanted));
}

// --- The cases ---

absl::Status EmptyUnary(Client* client) { return ExpectAnswer(client->Call("Empty", ""), ""); }

absl::Status LargeUnary(Client* client) {
  return ExpectAnswer(client->Call("Answer", Ask({314159}, 271828)), Pattern(314159));
}

absl::Status ClientStreaming(Client* client) {
  const auto stream = client->Open("Sum");
  for (const size_t size : kRequestSizes) stream->Send(Pattern(size));
  stream->HalfClose();
  RETURN_IF_ERROR(ExpectMessage(stream.get(), "74922"));
  return ExpectEnd(stream.get());
}

absl::Status ServerStreaming(Client* client) {
  const auto stream = client->Open("Answers");
  stream->Send(Ask({std::begin(kAnswerSizes), std::end(kAnswerSizes)}, 100));
  stream->HalfClose();
  for (const size_t size : kAnswerSizes) RETURN_IF_ERROR(ExpectMessage(stream.get(), Pattern(size)));
  return ExpectEnd(stream.get());
}

absl::Status PingPong(Client* client) {
  const auto stream = client->Open("PingPong");
  for (size_t i = 0; i < std::size(kRequestSizes); ++i) {
    stream->Send(Ask({kAnswerSizes[i]}, kRequestSizes[i]));
    RETURN_IF_ERROR(ExpectMessage(stream.get(), Pattern(kAnswerSizes[i])));
  }
  stream->HalfClose();
  return ExpectEnd(stream.get());
}

absl::Status EmptyStream(Client* client) {
  const auto stream = client->Open("PingPong");
  stream->HalfClose();
  return ExpectEnd(stream.get());
}

absl::Status CancelAfterBegin(Client* client) {
  const auto stream = client->Open("Sleep");
  stream->Cancel();
  return ExpectCode(stream->Read().status(), absl::StatusCode::kCancelled);
}

absl::Status CancelAfterFirstResponse(Client* client) {
  const std::string name = absl::StrCat(absl::Hex(absl::ToUnixNanos(absl::Now())), "-", getpid());
  auto context = Within(kPatience);
  context->AddMetadata("interop-call", name);
  const auto stream = client->Open("Sleep", std::move(context));
  stream->Send(Ask({31415}, 27182));
  RETURN_IF_ERROR(ExpectMessage(stream.get(), Pattern(31415)));
  stream->Cancel();
  RETURN_IF_ERROR(ExpectCode(stream->Read().status(), absl::StatusCode::kCancelled));
  return ExpectAnswer(client->Call("Ending", name), "lost");
}

absl::Status TimeoutOnSleepingServer(Client* client) {
  const auto stream = client->Open("Sleep", Within(absl::Milliseconds(500)));
  return ExpectCode(stream->Read().status(), absl::StatusCode::kDeadlineExceeded);
}

absl::Status DeadlineIsTold(Client* client) {
  const absl::StatusOr<std::string> answer = client->Call("Deadline", "", Within(absl::Minutes(1)));
  RETURN_IF_ERROR(answer.status());
  int left_ms = 0;
  if (!absl::SimpleAtoi(*answer, &left_ms) || left_ms <= 30'000 || left_ms > 65'000) {
    return Wrong(Short(*answer), "about 60000 ms");
  }
  return ExpectAnswer(client->Call("Deadline", "", std::make_unique<grpc::ClientContext>()), "none");
}

// Both a unary call and a stream fail with it.
absl::Status FailsWith(Client* client, absl::string_view message) {
  const absl::Status wanted = absl::UnknownError(message);
  const std::string request = absl::StrCat(wanted.raw_code(), "\n", message);
  RETURN_IF_ERROR(ExpectStatus(client->Call("Fail", request).status(), wanted));
  const auto stream = client->Open("FailStream");
  stream->Send(request);
  return ExpectStatus(stream->Read().status(), wanted);
}

absl::Status StatusCodeAndMessage(Client* client) { return FailsWith(client, "test status message"); }

absl::Status SpecialStatusMessage(Client* client) { return FailsWith(client, kSpecialMessage); }

std::unique_ptr<grpc::ClientContext> AsksForMetadata() {
  auto context = Within(kPatience);
  context->AddMetadata(kEchoInitial, kInitial);
  context->AddMetadata(kEchoTrailing, kTrailing);
  return context;
}

absl::Status ExpectPair(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata, const char* key,
                        absl::string_view value) {
  if (metadata.count(key) != 1) return Wrong(absl::StrCat(metadata.count(key), " values of ", key), "one");
  const grpc::string_ref found = metadata.find(key)->second;
  return ExpectAnswer(std::string(found.data(), found.size()), value);
}

// Once the call is over.
absl::Status ExpectMetadata(const grpc::ClientContext& context) {
  RETURN_IF_ERROR(ExpectPair(context.GetServerInitialMetadata(), kEchoInitial, kInitial));
  return ExpectPair(context.GetServerTrailingMetadata(), kEchoTrailing, kTrailing);
}

absl::Status CustomMetadata(Client* client) {
  auto context = Within(kPatience);
  context->AddMetadata("interop-data-bin", std::string("\xab\xab\x00\xff\x01", 5));
  context->AddMetadata("interop-text", "test value");
  context->AddMetadata("interop-twice", "a");
  context->AddMetadata("interop-twice", "b");
  RETURN_IF_ERROR(ExpectAnswer(client->Call("Metadata", "", std::move(context)), kMetadataAnswer));

  const std::string request = Ask({314159}, 271828);
  context = AsksForMetadata();
  RETURN_IF_ERROR(
      ExpectAnswer(client->CallNamed(absl::StrCat(kService, "Answer"), request, context.get()), Pattern(314159)));
  RETURN_IF_ERROR(ExpectMetadata(*context));

  context = AsksForMetadata();
  RETURN_IF_ERROR(ExpectCode(client->CallNamed(absl::StrCat(kService, "Fail"), "10\nas asked", context.get()).status(),
                             absl::StatusCode::kAborted));
  RETURN_IF_ERROR(ExpectMetadata(*context));

  context = Within(kPatience);  // All in one block.
  context->AddMetadata(kEchoTrailing, kTrailing);
  RETURN_IF_ERROR(ExpectCode(client->CallNamed(absl::StrCat(kService, "Fail"), "10\nas asked", context.get()).status(),
                             absl::StatusCode::kAborted));
  RETURN_IF_ERROR(ExpectPair(context->GetServerTrailingMetadata(), kEchoTrailing, kTrailing));

  const auto stream = client->Open("PingPong", AsksForMetadata());
  stream->Send(request);
  RETURN_IF_ERROR(ExpectMessage(stream.get(), Pattern(314159)));
  stream->HalfClose();
  RETURN_IF_ERROR(ExpectEnd(stream.get()));
  return ExpectMetadata(stream->context());
}

absl::Status UnimplementedMethod(Client* client) {
  return ExpectCode(client->Call("Unknown", "").status(), absl::StatusCode::kUnimplemented);
}

absl::Status UnimplementedService(Client* client) {
  return ExpectCode(client->CallNamed("/barid.interop.Nothing/Empty", "", Within(kPatience).get()).status(),
                    absl::StatusCode::kUnimplemented);
}

absl::Status CompressedIsRefused(Client* client) {
  const std::string request = Ask({10}, 1000);
  auto context = Within(kPatience);
  context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  RETURN_IF_ERROR(ExpectStatus(client->Call("Answer", request, std::move(context)).status(),
                               absl::UnimplementedError("grpc-encoding is gzip, only identity is supported")));
  return ExpectAnswer(client->Call("Answer", request), Pattern(10));
}

constexpr std::pair<const char*, absl::Status (*)(Client*)> kCases[] = {
    {"empty_unary", EmptyUnary},
    {"large_unary", LargeUnary},
    {"client_streaming", ClientStreaming},
    {"server_streaming", ServerStreaming},
    {"ping_pong", PingPong},
    {"empty_stream", EmptyStream},
    {"cancel_after_begin", CancelAfterBegin},
    {"cancel_after_first_response", CancelAfterFirstResponse},
    {"timeout_on_sleeping_server", TimeoutOnSleepingServer},
    {"deadline_is_told", DeadlineIsTold},
    {"status_code_and_message", StatusCodeAndMessage},
    {"special_status_message", SpecialStatusMessage},
    {"custom_metadata", CustomMetadata},
    {"unimplemented_method", UnimplementedMethod},
    {"unimplemented_service", UnimplementedService},
    {"compressed_is_refused", CompressedIsRefused},
};

void Print(const std::string& name, const absl::Status& result) {
  google::protobuf::Struct line;
  auto& fields = *line.mutable_fields();
  fields["case"].set_string_value(name);
  fields["passed"].set_bool_value(result.ok());
  fields["detail"].set_string_value(std::string(result.message()));
  std::string json;
  CHECK(google::protobuf::util::MessageToJsonString(line, &json).ok());
  std::printf("%s\n", json.c_str());
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  std::string endpoint;
  std::string certificate;
  bool is_understood = argc % 2 == 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const absl::string_view option = argv[i];
    if (option == "--endpoint") {
      endpoint = argv[i + 1];
    } else if (option == "--certificate") {
      certificate = argv[i + 1];
    } else {
      is_understood = false;
    }
  }
  if (!is_understood || endpoint.empty()) {
    std::fprintf(stderr, "usage: interop_cpp --endpoint HOST:PORT [--certificate FILE]\n");
    return 2;
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!certificate.empty()) {
    std::ifstream file(certificate);
    grpc::SslCredentialsOptions options;
    options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
    credentials = grpc::SslCredentials(options);
  }
  Client client(grpc::CreateChannel(endpoint, credentials));
  for (const auto& [name, run] : kCases) Print(name, run(&client));
  return 0;
}

}  // namespace
}  // namespace barid::interop

int main(int argc, char** argv) { return barid::interop::Main(argc, argv); }
