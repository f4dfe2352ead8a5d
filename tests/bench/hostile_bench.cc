// What hostile peers cost our edge and gRPC C++ (grpc-core, as edge/grpc serves it), side by side: docs/security.md
// shows it.
//
//   hostile_bench [SECONDS]
//
// For each attack and server: a fresh server process with the default limits, an attacker held to half a core, and a
// well-behaved client that makes a call every 5 ms. Prints a table in Markdown. Loopback only.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "edge/grpc/grpc_server.h"
#include "edge/h2/h2_server.h"
#include "standalone/memory.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/h2/frames.h"
#include "tests/edge/h2/server_process.h"

namespace barid::edge::h2 {
namespace {

constexpr uint8_t kEnd = NGHTTP2_FLAG_END_STREAM;
constexpr uint8_t kEndHeaders = NGHTTP2_FLAG_END_HEADERS;
constexpr size_t kMiB = size_t{1} << 20;
constexpr int kConnectionsOfAHerd = 100;

// --- The servers ---

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
void ServeInChild(bool is_grpc, int tell, int stop) {
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
  if (is_grpc) {
    server = *ServeGrpc({.address = "127.0.0.1:0"}, std::move(table));
  } else {
    server = *ServeH2({.address = "127.0.0.1:0"}, std::move(table));
  }
  CHECK(write(tell, server->address().data(), server->address().size()) > 0);
  pollfd event = {stop, POLLIN, 0};
  while (poll(&event, 1, 500) == 0) GiveMemoryBack();  // As barid does.
  _exit(0);                                            // What is left of an attack needs no farewell.
}

// --- The attacker ---

// A connection that writes what it likes and reads if it likes, and never waits.
class Peer {
 public:
  Peer(const std::string& address, absl::string_view settings) {
    const size_t colon = address.rfind(':');
    int port = 0;
    CHECK(absl::SimpleAtoi(address.substr(colon + 1), &port));
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd_ >= 0);
    is_closed_ = connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0;
    fcntl(fd_, F_SETFL, O_NONBLOCK);
    out_ = absl::StrCat(kMagic, FrameBytes(NGHTTP2_SETTINGS, 0, 0, settings));
  }
  ~Peer() { close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool is_closed() const { return is_closed_; }
  // The number of the stream that it opens next.
  uint32_t NextStream() { return std::exchange(stream_, stream_ + 2); }
  int Turn() { return turn_++; }
  // False: the kernel has not taken what was written before.
  bool Write(absl::string_view bytes) {
    if (out_.size() > 65536) return false;
    out_.append(bytes.data(), bytes.size());
    Push();
    return true;
  }
  void Push() {
    const ssize_t written = send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written > 0) out_.erase(0, static_cast<size_t>(written));
    if (written < 0 && errno != EAGAIN && errno != EWOULDBLOCK) is_closed_ = true;
  }
  void Read() {
    static char bytes[1 << 16];
    ssize_t size = 0;
    while ((size = recv(fd_, bytes, sizeof(bytes), 0)) > 0) {
    }
    if (size == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) is_closed_ = true;
  }

 private:
  int fd_ = -1;
  bool is_closed_ = false;
  uint32_t stream_ = 1;
  int turn_ = 0;
  std::string out_;
};

struct Attack {
  std::string name;
  // What it sends each time; "" once it has said all.
  std::function<std::string(Peer*)> next;
  bool reads = true;
  int connections = 1;
  std::string settings = {};
};

std::string Head(uint32_t stream, const std::string& path, uint8_t flags = 0) {
  return FrameBytes(NGHTTP2_HEADERS, kEndHeaders | flags, stream, HeaderBlock(RequestHeaders(path)));
}

std::vector<Attack> Attacks() {
  const std::string wide = SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff);
  const auto flood_once = [](Peer* peer) {
    if (peer->Turn() > 0) return std::string();
    std::string bytes = WindowUpdate(0, 0x7fffffff - 65535);
    for (int i = 0; i < 200; ++i) bytes += Head(peer->NextStream(), "/t/Flood", kEnd);
    return bytes;
  };
  return {
      {"none", [](Peer*) { return std::string(); }},
      {"rapid reset",
       [](Peer* peer) {
         const uint32_t stream = peer->NextStream();
         return Request(stream, "/t/Hold", "x") + Reset(stream, NGHTTP2_CANCEL);
       }},
      {"CONTINUATION flood",
       [](Peer* peer) {
         static const std::string part =
             FrameBytes(NGHTTP2_CONTINUATION, 0, 1, HeaderBlock({{"x", std::string(16000, 'x')}}));
         return peer->Turn() > 0 ? part : FrameBytes(NGHTTP2_HEADERS, 0, 1, HeaderBlock(RequestHeaders("/t/Echo")));
       }},
      {"headers that name one large entry 16,000 times (HPACK bomb)",
       [](Peer* peer) {
         static const std::string entry =
             std::string("\x40\x01x", 3) + "\x7f" + std::string("\xa1\x1e", 2) + std::string(4000, 'v');
         const std::string more = peer->Turn() > 0 ? std::string(16000, '\xbe') : entry;
         return FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEnd, peer->NextStream(),
                           HeaderBlock(RequestHeaders("/t/Echo")) + more);
       }},
      {"100 connections, each with 1,000 calls that have only begun",
       [](Peer* peer) { return peer->Turn() < 1000 ? Head(peer->NextStream(), "/t/Echo") : std::string(); }, true,
       kConnectionsOfAHerd},
      {"100 connections, each with 200 calls of which 16 KiB of 4 MiB came",
       [](Peer* peer) {
         if (peer->Turn() >= 200) return std::string();
         static const std::string part = Message(std::string(4 * kMiB, 'x')).substr(0, 16384);
         const uint32_t stream = peer->NextStream();
         return Head(stream, "/t/Echo") + FrameBytes(NGHTTP2_DATA, 0, stream, part);
       },
       true, kConnectionsOfAHerd},
      {"pings", [](Peer*) { return Ping("12345678"); }},
      {"pings, acknowledgements not read", [](Peer*) { return Ping("12345678"); }, false},
      {"settings", [](Peer*) { return FrameBytes(NGHTTP2_SETTINGS, 0, 0, ""); }},
      {"settings, acknowledgements not read", [](Peer*) { return FrameBytes(NGHTTP2_SETTINGS, 0, 0, ""); }, false},
      {"empty DATA",
       [](Peer* peer) { return peer->Turn() == 0 ? Head(1, "/t/Flood") : FrameBytes(NGHTTP2_DATA, 0, 1, ""); }},
      {"window updates by the byte", [](Peer*) { return WindowUpdate(0, 1); }},
      {"calls of a method that is not served, refusals not read",
       [](Peer* peer) { return Head(peer->NextStream(), "/t/Other", kEnd); }, false},
      {"200 answers of 1 MiB, not read", flood_once, false, 1, wide},
      {"200 answers of 1 MiB into windows of zero", flood_once, true, 1,
       SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0)},
      {"1,000 idle connections", [](Peer*) { return std::string(); }, true, 1000},
  };
}

absl::Duration CpuOfThread() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

// How many connections it took: more than it wants at a time if the server closes them.
int RunAttack(const Attack& attack, const std::string& address, absl::Duration duration) {
  std::vector<std::unique_ptr<Peer>> peers(static_cast<size_t>(attack.connections));
  int opened = 0;
  const absl::Time begin = absl::Now();
  const absl::Duration cpu_at_begin = CpuOfThread();
  while (absl::Now() - begin < duration) {
    bool has_done = false;
    for (auto& peer : peers) {
      if (peer == nullptr || peer->is_closed()) {
        peer = std::make_unique<Peer>(address, attack.settings);
        ++opened;
        has_done = true;
      }
      for (int i = 0; i < 20 && !peer->is_closed(); ++i) {
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
  return opened;
}

// --- The well-behaved client ---

struct Served {
  std::vector<double> milliseconds;
  int failed = 0;
};

Served CallUntil(const std::atomic<bool>& stop, const std::string& address) {
  Served served;
  FrameClient client(address);
  client.set_keeps_frames(false);
  client.Begin();
  while (!stop.load()) {
    const absl::Time begin = absl::Now();
    if (client.Echo("/t/Echo", "hello") != "hello") {
      ++served.failed;
      if (client.is_closed()) break;
    }
    served.milliseconds.push_back(absl::ToDoubleMilliseconds(absl::Now() - begin));
    absl::SleepFor(absl::Milliseconds(5));
  }
  return served;
}

std::string Measure(const Attack& attack, bool is_grpc, absl::Duration duration) {
  ServerProcess server([&](int tell, int stop) { ServeInChild(is_grpc, tell, stop); });
  const auto mebibytes = [&](absl::string_view name) { return static_cast<double>(server.Memory(name)) / kMiB; };
  std::atomic<bool> stop{false};
  Served served;
  // Some calls first, so that what the server allocates once is there.
  {
    FrameClient warm(server.address());
    warm.Begin();
    for (int i = 0; i < 100; ++i) (void)warm.Echo("/t/Echo", "hello");
  }
  const double before = mebibytes("VmRSS:");
  std::thread honest([&] { served = CallUntil(stop, server.address()); });
  const int opened = RunAttack(attack, server.address(), duration);
  stop = true;
  honest.join();
  absl::SleepFor(absl::Seconds(2));  // The attacker is gone.
  std::sort(served.milliseconds.begin(), served.milliseconds.end());
  const std::string p99 = served.milliseconds.empty()
                              ? "none answered"
                              : absl::StrFormat("%.1f", served.milliseconds[served.milliseconds.size() * 99 / 100]);
  std::string closed = opened > attack.connections ? absl::StrFormat(", closed %d", opened - attack.connections) : "";
  if (served.failed > 0) absl::StrAppend(&closed, ", ", served.failed, " calls of the client failed");
  return absl::StrFormat("%.0f / %.0f / %.0f | %s%s", before, mebibytes("VmHWM:"), mebibytes("VmRSS:"), p99, closed);
}

int Main(int argc, char** argv) {
  int seconds = 3;
  if (argc > 2 || (argc == 2 && (!absl::SimpleAtoi(argv[1], &seconds) || seconds < 1))) {
    std::fprintf(stderr, "usage: hostile_bench [SECONDS]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  SetMinLogLevel(LogLevel::kError);
  std::printf(
      "| attack, %d s | edge: memory before / peak / after, MiB | its client's p99, ms | gRPC C++: memory | its "
      "client's p99, ms |\n"
      "|---|---|---|---|---|\n",
      seconds);
  for (const Attack& attack : Attacks()) {
    const std::string ours = Measure(attack, /*is_grpc=*/false, absl::Seconds(seconds));
    const std::string theirs = Measure(attack, /*is_grpc=*/true, absl::Seconds(seconds));
    std::printf("| %s | %s | %s |\n", attack.name.c_str(), ours.c_str(), theirs.c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace barid::edge::h2

int main(int argc, char** argv) { return barid::edge::h2::Main(argc, argv); }
