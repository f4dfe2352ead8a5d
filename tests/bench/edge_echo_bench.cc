// What a call costs that does nothing: an echo in a child process, over grpc-core or our own edge, driven by a gRPC C++
// client.
//
//   edge_echo_bench [--h2] [--tls] [--outstanding=64] [--bytes=1024] [--seconds=5] [--threads=1] [--connections=1]
//                   [--headers=8]
//                   [--elsewhere]      answer from another thread than the handler's
//                   [--stream]         calls whose answer is a stream of 32 messages
//                   [--serve]          serve only, until stdin ends: prints address, process and certificate, for other
//                   clients
//                   [--at=HOST:PORT --pid=N --method=M --request=FILE [--header=NAME:VALUE]... [--trust=FILE]]
//                                      call M of a server that is there, which is process N, with the message in FILE;
//                                      in place of the made-up headers those, and over TLS with that certificate
//
// Prints calls per second and the server's CPU per call. edge_figures.py makes the tables of docs/benchmarks.md with
// it.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "edge/grpc/grpc_server.h"
#include "edge/h2/h2_server.h"
#include "edge/h2/self_signed.h"

namespace barid::edge {
namespace {

struct Options {
  int outstanding = 64;
  int bytes = 1024;
  int seconds = 5;
  int threads = 1;
  int connections = 1;
  int headers = 8;
  bool elsewhere = false;
  bool serve = false;
  bool h2 = false;
  bool tls = false;
  bool stream = false;
  std::string at, method, request, trust;
  int pid = 0;
  std::vector<std::pair<std::string, std::string>> metadata;
};

constexpr char kEcho[] = "/bench/Echo";
constexpr char kStream[] = "/bench/Stream";
// What a publish is compared with: it answers as briefly.
constexpr char kSend[] = "/apache.rocketmq.v2.MessagingService/SendMessage";
constexpr size_t kSendAnswerBytes = 100;
constexpr int kStreamMessages = 32;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A certificate for localhost, made once and shared by server and client.
struct Certificate {
  Certificate() {
    char name[] = "/tmp/barid-echo-XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    directory = name;
    files = *h2::SelfSignedIn(directory);
  }
  ~Certificate() { std::filesystem::remove_all(directory); }
  std::string directory;
  h2::TlsFiles files;
};

// Answers a message with as many as a receive gives.
class Copies : public StreamHandler {
 public:
  explicit Copies(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  void OnMessage(Bytes message) override {
    message_ = std::move(message);
    if (is_writable_) OnWritable();
  }
  void OnHalfClose() override {}
  void OnWritable() override {
    is_writable_ = true;
    if (message_.empty() || written_ == kStreamMessages) return;
    is_writable_ = false;
    stream_->Write(message_);
    if (++written_ == kStreamMessages) stream_->Finish(absl::OkStatus());
  }
  void OnDone(bool delivered) override {}

 private:
  const std::shared_ptr<Stream> stream_;
  Bytes message_;
  bool is_writable_ = false;
  int written_ = 0;
};

// Serves until it is killed; tells its address through `to_parent`.
[[noreturn]] void Serve(const Options& options, const Certificate& certificate, int to_parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::unique_ptr<Executor> executor = NewThreadExecutor("answers");
  MethodTable table;
  if (options.elsewhere) {
    table.unary[kEcho] = [&](std::unique_ptr<UnaryCall> call) {
      executor->Post([call = std::move(call)]() mutable { call->Answer(call->request()); });
    };
  } else {
    table.unary[kEcho] = [](std::unique_ptr<UnaryCall> call) { call->Answer(call->request()); };
  }
  table.unary[kSend] = [answer = Bytes(std::string(kSendAnswerBytes, 'x'))](std::unique_ptr<UnaryCall> call) {
    call->Answer(answer);
  };
  table.streams[kStream] = [](std::shared_ptr<Stream> stream) { return std::make_shared<Copies>(std::move(stream)); };
  absl::StatusOr<std::unique_ptr<Server>> server;
  if (options.h2) {
    h2::H2ServerOptions ours;
    ours.address = "127.0.0.1:0";
    ours.threads = options.threads;
    if (options.tls) ours.tls = certificate.files;
    server = h2::ServeH2(ours, std::move(table));
  } else {
    GrpcServerOptions theirs;
    theirs.address = "127.0.0.1:0";
    theirs.threads = options.threads;
    if (options.tls) {
      theirs.tls_certificate_chain = ReadFile(certificate.files.certificate_chain);
      theirs.tls_private_key = ReadFile(certificate.files.private_key);
    }
    server = ServeGrpc(theirs, std::move(table));
  }
  CHECK(server.ok()) << server.status();
  const std::string address = (*server)->address() + "\n";
  CHECK(write(to_parent, address.data(), address.size()) == static_cast<ssize_t>(address.size()));
  while (true) pause();
}

double CpuSeconds(clockid_t clock) {
  timespec now;
  CHECK(clock_gettime(clock, &now) == 0);
  return static_cast<double>(now.tv_sec) + now.tv_nsec * 1e-9;
}

// One call after the other on one of the channels.
class Lane {
 public:
  Lane(grpc::GenericStub* stub, const Options& options, const std::string& request, grpc::CompletionQueue* cq)
      : stub_(stub), options_(options), cq_(cq), slice_(request) {}

  void Next() {
    context_.emplace();
    for (const auto& [name, value] : options_.metadata) context_->AddMetadata(name, value);
    context_->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    const grpc::ByteBuffer request(&slice_, 1);
    if (options_.stream) {
      messages_ = 0;
      stream_ = stub_->PrepareCall(&*context_, options_.method, cq_);
      stream_->StartCall(this);
      step_ = Step::kStarted;
      return;
    }
    call_ = stub_->PrepareUnaryCall(&*context_, options_.method, request, cq_);
    call_->StartCall();
    call_->Finish(&answer_, &status_, this);
  }

  // The completion queue's word for this lane. True if the call is over.
  bool Advance(bool ok) {
    if (!options_.stream) return true;
    switch (step_) {
      case Step::kStarted:
        step_ = Step::kWritten;
        stream_->WriteLast(grpc::ByteBuffer(&slice_, 1), grpc::WriteOptions(), this);
        return false;
      case Step::kWritten:
        step_ = Step::kReading;
        stream_->Read(&answer_, this);
        return false;
      case Step::kReading:
        if (ok) {
          ++messages_;
          stream_->Read(&answer_, this);
        } else {
          step_ = Step::kOver;
          stream_->Finish(&status_, this);
        }
        return false;
      case Step::kOver:
        return true;
    }
    return true;
  }

  void Check() const {
    CHECK(status_.ok()) << status_.error_message();
    CHECK(!options_.stream || messages_ == kStreamMessages) << messages_;
    CHECK_GT(answer_.Length(), 0u);
  }

 private:
  enum class Step { kStarted, kWritten, kReading, kOver };

  grpc::GenericStub* const stub_;
  const Options& options_;
  grpc::CompletionQueue* const cq_;
  const grpc::Slice slice_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  Step step_ = Step::kOver;
  int messages_ = 0;
  grpc::ByteBuffer answer_;
  grpc::Status status_;
};

std::shared_ptr<grpc::ChannelCredentials> Credentials(const Options& options, const Certificate& certificate) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials(
      {ReadFile(options.trust.empty() ? certificate.files.certificate_chain : options.trust), "", ""});
}

void Drive(const Options& options, const Certificate& certificate, const std::string& address, pid_t server) {
  clockid_t clock;
  CHECK(clock_getcpuclockid(server, &clock) == 0);
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (int i = 0; i < options.connections; ++i) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    args.SetString(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, "localhost");
    stubs.push_back(std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(address, Credentials(options, certificate), args)));
  }
  const std::string request = options.request.empty() ? std::string(options.bytes, 'x') : ReadFile(options.request);
  grpc::CompletionQueue cq;
  std::vector<std::unique_ptr<Lane>> lanes;
  for (int i = 0; i < options.outstanding; ++i) {
    lanes.push_back(std::make_unique<Lane>(stubs[i % stubs.size()].get(), options, request, &cq));
    lanes.back()->Next();
  }
  const absl::Time warm = absl::Now() + absl::Seconds(1);
  const absl::Time end = warm + absl::Seconds(options.seconds);
  int64_t calls = 0;
  int running = options.outstanding;
  double cpu = 0, own = 0;
  absl::Time now = absl::Now();
  while (running > 0) {
    void* tag;
    bool ok;
    CHECK(cq.Next(&tag, &ok));
    Lane* lane = static_cast<Lane*>(tag);
    if (!lane->Advance(ok)) continue;
    lane->Check();
    const bool was_warm = now >= warm;
    now = absl::Now();
    if (!was_warm && now >= warm) {
      cpu = CpuSeconds(clock);
      own = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID);
      calls = 0;
    }
    ++calls;
    if (now < end) {
      lane->Next();
    } else {
      --running;
    }
  }
  cpu = CpuSeconds(clock) - cpu;
  own = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - own;
  const double seconds = absl::ToDoubleSeconds(now - warm);
  std::printf(
      "outstanding=%d bytes=%d threads=%d connections=%d%s: %.0f calls/s, server %.2f us CPU per call, client %.2f "
      "us\n",
      options.outstanding, options.bytes, options.threads, options.connections, options.elsewhere ? " elsewhere" : "",
      calls / seconds, cpu / calls * 1e6, own / calls * 1e6);
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto number = [&arg](const char* name, int* value) {
      const std::string prefix = std::string("--") + name + "=";
      return absl::StartsWith(arg, prefix) && absl::SimpleAtoi(arg.substr(prefix.size()), value);
    };
    const auto text = [&arg](const char* name, std::string* value) {
      const std::string prefix = std::string("--") + name + "=";
      if (!absl::StartsWith(arg, prefix)) return false;
      *value = arg.substr(prefix.size());
      return true;
    };
    std::string header;
    if (arg == "--elsewhere" || arg == "--serve" || arg == "--h2" || arg == "--tls" || arg == "--stream") {
      (arg == "--elsewhere" ? options.elsewhere
       : arg == "--serve"   ? options.serve
       : arg == "--h2"      ? options.h2
       : arg == "--stream"  ? options.stream
                            : options.tls) = true;
    } else if (text("header", &header)) {
      options.metadata.emplace_back(absl::StrSplit(header, absl::MaxSplits(':', 1)));
    } else if (!number("outstanding", &options.outstanding) && !number("bytes", &options.bytes) &&
               !number("seconds", &options.seconds) && !number("threads", &options.threads) &&
               !number("connections", &options.connections) && !number("headers", &options.headers) &&
               !number("pid", &options.pid) && !text("at", &options.at) && !text("method", &options.method) &&
               !text("request", &options.request) && !text("trust", &options.trust)) {
      std::fprintf(stderr, "unknown argument %s; see the top of edge_echo_bench.cc\n", arg.c_str());
      return 2;
    }
  }
  for (int i = 0; options.metadata.empty() && i < options.headers; ++i) {
    options.metadata.emplace_back(absl::StrCat("x-mq-header-", i), absl::StrCat("value-", i, "-of-some-length"));
  }
  if (options.method.empty()) options.method = options.stream ? kStream : kEcho;
  const Certificate certificate;
  if (!options.at.empty()) {
    Drive(options, certificate, options.at, options.pid);
    return 0;
  }
  int fds[2];
  CHECK(pipe(fds) == 0);
  const pid_t server = fork();  // Before gRPC starts threads.
  CHECK(server >= 0);
  if (server == 0) Serve(options, certificate, fds[1]);
  std::string address;
  for (char c; read(fds[0], &c, 1) == 1 && c != '\n';) address += c;
  if (options.serve) {
    std::printf("%s %d %s\n", address.c_str(), server, certificate.files.certificate_chain.c_str());
    std::fflush(stdout);
    for (char c; read(STDIN_FILENO, &c, 1) == 1;) {
    }
  } else {
    Drive(options, certificate, address, server);
  }
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
  return 0;
}

}  // namespace
}  // namespace barid::edge

int main(int argc, char** argv) { return barid::edge::Main(argc, argv); }
