// What hostile peers cost our edge and gRPC C++ (grpc-core, as edge/grpc serves it), side by side: docs/security.md
// shows it.
//
//   hostile_bench [SECONDS [NAME]]     NAME: only the attacks that have it in their names
//
// For each attack and server: a fresh server process, with the default limits where the attack's name does not say
// otherwise, an attacker held to half a core, and a well-behaved client that makes a call every 5 ms. Prints a table in
// Markdown, with what the attacker saw of the server. Loopback only.
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "edge/grpc/grpc_server.h"
#include "edge/h2/h2_server.h"
#include "edge/h2/self_signed.h"
#include "standalone/memory.h"
#include "tests/bench/hostile_attacks.h"
#include "tests/bench/hostile_peer.h"
#include "tests/edge/h2/certificates.h"
#include "tests/edge/h2/dial.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/h2/server_process.h"
#include "tests/edge/h2/tls_client.h"

namespace barid::edge::h2 {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// --- The servers ---

struct ServerOptions {
  bool is_grpc = false;
  PortLimits limits = {};
  TlsFiles tls = {};
};

std::string ContentsOf(const std::string& path) {
  std::ifstream file(path);
  return path.empty() ? "" : std::string(std::istreambuf_iterator<char>(file), {});
}

// Answers 1 MiB in pieces, as they are asked for.
class Flood final : public StreamHandler {
 public:
  explicit Flood(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes message) override {}
  void OnHalfClose() override {}
  void OnWritable() override {
    stream_->Write(Bytes(std::string(65536, 'x')));
    if (++written_ == 16) stream_->Finish(absl::OkStatus());
  }
  void OnDone(bool delivered) override {}

 private:
  const std::shared_ptr<Stream> stream_;
  int written_ = 0;
};

// Serves until `stop` is closed. Tells its address on `tell`.
void ServeInChild(const ServerOptions& options, int tell, int stop) {
  Mutex mu;
  std::vector<std::unique_ptr<UnaryCall>> held;
  MethodTable table;
  table.unary["/t/Echo"] = [](std::unique_ptr<UnaryCall> call) { call->Answer(call->request()); };
  // As a long poll: answered when the next thousand have come.
  table.unary["/t/Hold"] = [&](std::unique_ptr<UnaryCall> call) {
    MutexLock lock(&mu);
    held.push_back(std::move(call));
    if (held.size() == 1000) held.clear();
  };
  table.streams["/t/Flood"] = [](std::shared_ptr<Stream> stream) { return std::make_shared<Flood>(std::move(stream)); };
  std::unique_ptr<Server> server;
  if (options.is_grpc) {
    server = *ServeGrpc({.address = "127.0.0.1:0",
                         .limits = options.limits,
                         .tls_certificate_chain = ContentsOf(options.tls.certificate_chain),
                         .tls_private_key = ContentsOf(options.tls.private_key)},
                        std::move(table));
  } else {
    server = *ServeH2({.address = "127.0.0.1:0", .limits = options.limits, .tls = options.tls}, std::move(table));
  }
  CHECK(write(tell, server->address().data(), server->address().size()) > 0);
  pollfd event = {stop, POLLIN, 0};
  while (poll(&event, 1, 500) == 0) GiveMemoryBack();  // As barid does.
  _exit(0);                                            // What is left of an attack needs no farewell.
}

// --- The attacker ---

absl::Duration CpuOfThread() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

// It comes back when the server closes a connection.
Answers RunAttack(const Attack& attack, const std::string& address, absl::Duration duration) {
  Answers answers;
  std::vector<std::unique_ptr<Peer>> peers(static_cast<size_t>(attack.connections));
  const absl::Time begin = absl::Now();
  const absl::Duration cpu_at_begin = CpuOfThread();
  while (absl::Now() - begin < duration) {
    bool has_done = false;
    for (auto& peer : peers) {
      if (peer == nullptr || peer->is_over()) {
        peer = std::make_unique<Peer>(address, attack.greeting, &answers);
        has_done = true;
      }
      for (int i = 0; i < 20 && !peer->is_over(); ++i) {
        const std::string bytes = attack.next(peer.get());
        if (bytes.empty()) {
          peer->Push();
          break;
        }
        has_done = true;
        if (!peer->Write(bytes)) {
          peer->Push();
          break;
        }
      }
      if (attack.reads) peer->Read();
    }
    const absl::Duration too_much = 2 * (CpuOfThread() - cpu_at_begin) - (absl::Now() - begin);
    if (too_much > absl::ZeroDuration()) absl::SleepFor(too_much);
    if (!has_done) absl::SleepFor(absl::Milliseconds(5));
  }
  for (auto& peer : peers) peer->Read();
  return answers;
}

// --- The well-behaved client ---

struct Served {
  std::vector<double> milliseconds;
  int failed = 0;
};

// Nullptr if TLS does not come about.
std::unique_ptr<FrameClient> ConnectHonestly(const std::string& address, bool tls) {
  if (!tls) return std::make_unique<FrameClient>(address);
  const int fd = Dial(address);
  if (fd < 0) return nullptr;
  if (SSL* const session = Handshake(fd)) return std::make_unique<FrameClient>(fd, session);
  close(fd);
  return nullptr;
}

Served CallUntil(const std::atomic<bool>& stop, const std::string& address, bool tls) {
  Served served;
  const std::unique_ptr<FrameClient> client = ConnectHonestly(address, tls);
  if (client == nullptr) return served;
  client->set_keeps_frames(false);
  client->Begin();
  while (!stop.load()) {
    const absl::Time begin = absl::Now();
    if (client->Echo("/t/Echo", "hello") != "hello") {
      ++served.failed;
      if (client->is_closed()) break;
    }
    served.milliseconds.push_back(absl::ToDoubleMilliseconds(absl::Now() - begin));
    absl::SleepFor(absl::Milliseconds(5));
  }
  return served;
}

// The three cells of one server.
std::string Measure(const Attack& attack, const ServerOptions& options, absl::Duration duration) {
  ServerProcess server([&](int tell, int stop) { ServeInChild(options, tell, stop); });
  const auto mebibytes = [&](absl::string_view name) { return static_cast<double>(server.Memory(name)) / kMiB; };
  std::atomic<bool> stop{false};
  Served served;
  // Some calls first, so that what the server allocates once is there.
  {
    const std::unique_ptr<FrameClient> warm = ConnectHonestly(server.address(), attack.tls);
    CHECK(warm != nullptr);
    warm->Begin();
    for (int i = 0; i < 100; ++i) (void)warm->Echo("/t/Echo", "hello");
  }
  const double before = mebibytes("VmRSS:");
  std::thread honest([&] { served = CallUntil(stop, server.address(), attack.tls); });
  const Answers answers = RunAttack(attack, server.address(), duration);
  stop = true;
  honest.join();
  absl::SleepFor(absl::Seconds(2));  // The attacker is gone.
  std::sort(served.milliseconds.begin(), served.milliseconds.end());
  const std::string p99 = served.milliseconds.empty()
                              ? "none answered"
                              : absl::StrFormat("%.1f", served.milliseconds[served.milliseconds.size() * 99 / 100]);
  const std::string failed = served.failed > 0 ? absl::StrCat(", ", served.failed, " failed") : "";
  return absl::StrFormat("%.0f / %.0f / %.0f | %s%s | %s", before, mebibytes("VmHWM:"), mebibytes("VmRSS:"), p99,
                         failed, TextOf(answers));
}

int Main(int argc, char** argv) {
  int seconds = 3;
  if (argc > 3 || (argc > 1 && (!absl::SimpleAtoi(argv[1], &seconds) || seconds < 1))) {
    std::fprintf(stderr, "usage: hostile_bench [SECONDS [NAME]]\n");
    return 2;
  }
  const absl::string_view wanted = argc > 2 ? argv[2] : "";
  signal(SIGPIPE, SIG_IGN);
  SetMinLogLevel(LogLevel::kError);
  const TestDir directory;
  const absl::StatusOr<TlsFiles> identity = SelfSignedIn(directory.path());
  CHECK_OK(identity.status());

  std::printf(
      "| attack, %d s | edge: memory before / peak / after, MiB | its client's p99, ms | what it answered | gRPC C++: "
      "memory | its client's p99, ms | what it answered |\n"
      "|---|---|---|---|---|---|---|\n",
      seconds);
  for (const Attack& attack : AllAttacks()) {
    if (!absl::StrContains(attack.name, wanted)) continue;
    std::string line = absl::StrCat("| ", attack.name, " |");
    for (const bool is_grpc : {false, true}) {
      const ServerOptions options = {
          .is_grpc = is_grpc, .limits = attack.limits, .tls = attack.tls ? *identity : TlsFiles()};
      absl::StrAppend(&line, " ", Measure(attack, options, absl::Seconds(seconds)), " |");
    }
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace barid::edge::h2

int main(int argc, char** argv) { return barid::edge::h2::Main(argc, argv); }
