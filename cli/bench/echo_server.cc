#include "cli/bench/echo_server.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "base/env.h"
#include "base/status.h"
#include "edge/grpc/grpc_server.h"
#include "edge/h2/self_signed.h"
#include "google/protobuf/arena.h"

extern char** environ;

namespace barid::cli {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr char kService[] = "/apache.rocketmq.v2.MessagingService/";

// An answer that is made once and shared by all.
Bytes Prepared(const google::protobuf::MessageLite& message) { return Bytes(message.SerializeAsString()); }

template <typename Request>
const Request* Parse(const edge::UnaryCall& call, google::protobuf::Arena* arena) {
  auto* const request = google::protobuf::Arena::CreateMessage<Request>(arena);
  const Buffer bytes = call.request().Flatten();
  return request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ? request : nullptr;
}

Bytes SendAnswer() {
  v2::SendMessageResponse response;
  response.mutable_status()->set_code(v2::OK);
  v2::SendResultEntry* const entry = response.add_entries();
  entry->mutable_status()->set_code(v2::OK);
  entry->set_message_id(std::string(20, '0'));
  entry->set_offset(1);
  return Prepared(response);
}

Bytes AckAnswer(int entries) {
  v2::AckMessageResponse response;
  response.mutable_status()->set_code(v2::OK);
  for (int i = 0; i < entries; ++i) {
    v2::AckMessageResultEntry* const entry = response.add_entries();
    entry->set_message_id(std::string(20, '0'));
    entry->set_receipt_handle(std::string(100, 'r'));
    entry->mutable_status()->set_code(v2::OK);
  }
  return Prepared(response);
}

// The frames of one receive: as much in each as a real delivery has.
std::vector<Bytes> ReceiveFrames(const EchoOptions& options) {
  std::vector<Bytes> frames;
  v2::ReceiveMessageResponse frame;
  frame.mutable_status()->set_code(v2::OK);
  frames.push_back(Prepared(frame));
  v2::Message* const message = frame.mutable_message();
  message->mutable_topic()->set_name("bench-00000000");
  message->set_body(std::string(options.body_bytes, 'b'));
  v2::SystemProperties* const system = message->mutable_system_properties();
  system->set_message_id(std::string(20, '0'));
  system->mutable_body_digest()->set_type(v2::SHA1);
  system->mutable_body_digest()->set_checksum(std::string(40, 'A'));
  system->set_body_encoding(v2::IDENTITY);
  system->set_message_type(v2::NORMAL);
  system->mutable_born_timestamp()->set_seconds(1'700'000'000);
  system->mutable_store_timestamp()->set_seconds(1'700'000'000);
  system->set_born_host("127.0.0.1");
  system->set_receipt_handle(std::string(100, 'r'));
  system->set_queue_offset(1'000'000);
  system->set_delivery_attempt(1);
  system->mutable_invisible_duration()->set_seconds(60);
  for (int i = 0; i < options.batch; ++i) frames.push_back(Prepared(frame));
  frame.mutable_delivery_timestamp()->set_seconds(1'700'000'000);
  frames.push_back(Prepared(frame));
  return frames;
}

// Writes the frames as the peer takes them.
class EchoReceive : public edge::StreamHandler {
 public:
  EchoReceive(std::shared_ptr<edge::Stream> stream, std::shared_ptr<const std::vector<Bytes>> frames)
      : stream_(std::move(stream)), frames_(std::move(frames)) {}

  void OnMessage(Bytes) override {
    has_request_ = true;
    WriteNext();
  }
  void OnHalfClose() override {}
  void OnWritable() override {
    is_writable_ = true;
    WriteNext();
  }
  void OnDone(bool) override {}

 private:
  void WriteNext() {
    if (!has_request_ || !is_writable_ || next_ > frames_->size()) return;
    is_writable_ = false;
    if (next_ < frames_->size()) stream_->Write((*frames_)[next_]);
    // The last one and the end go together.
    if (++next_ >= frames_->size()) {
      next_ = frames_->size() + 1;
      stream_->Finish(absl::OkStatus());
    }
  }

  const std::shared_ptr<edge::Stream> stream_;
  const std::shared_ptr<const std::vector<Bytes>> frames_;
  bool has_request_ = false;
  bool is_writable_ = false;
  size_t next_ = 0;
};

// Gone with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() = default;
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  absl::Status Make() {
    std::string name = (std::filesystem::temp_directory_path() / "baridctl-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      return absl::InternalError(absl::StrCat("cannot make the directory ", name, ": ", strerror(errno)));
    }
    path_ = std::move(name);
    return absl::OkStatus();
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

edge::MethodTable EchoMethods(const EchoOptions& options) {
  edge::MethodTable table;
  table.unary[absl::StrCat(kService, "SendMessage")] = [answer = SendAnswer()](std::unique_ptr<edge::UnaryCall> call) {
    google::protobuf::ArenaOptions arena_options;
    arena_options.start_block_size = 4096;
    google::protobuf::Arena arena(arena_options);
    if (Parse<v2::SendMessageRequest>(*call, &arena) == nullptr) {
      return call->Fail(absl::InvalidArgumentError("the request cannot be parsed"));
    }
    call->Answer(answer);
  };
  table.unary[absl::StrCat(kService, "AckMessage")] =
      [one = AckAnswer(1), batch = AckAnswer(options.batch)](std::unique_ptr<edge::UnaryCall> call) {
        google::protobuf::Arena arena;
        const auto* const request = Parse<v2::AckMessageRequest>(*call, &arena);
        if (request == nullptr) return call->Fail(absl::InvalidArgumentError("the request cannot be parsed"));
        call->Answer(request->entries_size() == 1 ? one : batch);
      };
  table.streams[absl::StrCat(kService, "ReceiveMessage")] =
      [frames = std::make_shared<const std::vector<Bytes>>(ReceiveFrames(options))](
          std::shared_ptr<edge::Stream> stream) { return std::make_shared<EchoReceive>(std::move(stream), frames); };
  return table;
}

absl::Status RunEchoServer(const EchoOptions& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  edge::GrpcServerOptions server_options;
  server_options.address = absl::StrCat("127.0.0.1:", options.port);
  server_options.threads = options.threads;
  if (!options.certificate_directory.empty()) {
    ASSIGN_OR_RETURN(const edge::h2::TlsFiles files, edge::h2::SelfSignedIn(options.certificate_directory));
    ASSIGN_OR_RETURN(server_options.tls_certificate_chain, ReadFile(RealEnv(), files.certificate_chain));
    ASSIGN_OR_RETURN(server_options.tls_private_key, ReadFile(RealEnv(), files.private_key));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<edge::Server> server, edge::ServeGrpc(server_options, EchoMethods(options)));
  const std::string& address = server->address();
  printf("%s\n", address.substr(address.rfind(':') + 1).c_str());
  fflush(stdout);
  const pid_t parent = getppid();
  while (getppid() == parent) absl::SleepFor(absl::Seconds(1));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<EchoProcess>> EchoProcess::Start(const std::string& executable,
                                                                const EchoOptions& options) {
  std::vector<std::string> words = {executable, "echo-server", absl::StrCat("--size=", options.body_bytes),
                                    absl::StrCat("--batch=", options.batch),
                                    absl::StrCat("--threads=", options.threads)};
  TemporaryDirectory certificates;
  if (options.tls) {
    RETURN_IF_ERROR(certificates.Make());
    words.push_back(absl::StrCat("--certificate-directory=", certificates.path()));
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::InternalError(absl::StrCat("cannot make a pipe: ", strerror(errno)));
  // Unlike fork, posix_spawn leaves gRPC's locks alone.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, executable.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string line;
  char c = 0;
  while (error == 0 && read(ends[0], &c, 1) == 1 && c != '\n') line += c;
  close(ends[0]);
  if (error != 0) return absl::InternalError(absl::StrCat("cannot start ", executable, ": ", strerror(error)));
  int port = 0;
  std::unique_ptr<EchoProcess> process(new EchoProcess(pid, absl::StrCat("127.0.0.1:", line)));
  if (!absl::SimpleAtoi(line, &port)) {
    return absl::InternalError(absl::StrCat("the echo server did not tell its port but \"", line, "\""));
  }
  if (options.tls) {
    ASSIGN_OR_RETURN(const edge::h2::TlsFiles files, edge::h2::SelfSignedIn(certificates.path()));
    ASSIGN_OR_RETURN(const std::string certificate, ReadFile(RealEnv(), files.certificate_chain));
    process->dialer_ = Dialer(certificate, "localhost");
  }
  return process;
}

EchoProcess::~EchoProcess() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::string OwnExecutable() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  return size > 0 ? std::string(path, size) : "baridctl";
}

}  // namespace barid::cli
