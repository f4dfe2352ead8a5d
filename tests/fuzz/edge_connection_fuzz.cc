// A connection of the public port from its first byte on: whatever comes, what goes out is frames, every call that
// began is told its end once, and nothing is held afterwards.
//
// The first byte of an input says how the rest is read: bit 0, a preface stands before it; bit 1, it is a list of
// frames in short, so that mutations rarely break the framing: | type u8 | flags u8 | stream u8 | length u16 | payload
// |; the rest, how the bytes are cut.
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "edge/h2/h2_server.h"
#include "edge/h2/loop.h"
#include "edge/h2/port.h"
#include "edge/h2/server_connection.h"
#include "tests/edge/h2/frames.h"
#include "tests/fuzz/fuzz.h"

namespace barid::edge::h2 {
namespace {

constexpr uint8_t kHasPreface = 1;
constexpr uint8_t kIsShort = 2;

// What the handlers of one input were told.
struct Told {
  int begun = 0;
  int done = 0;
  std::vector<std::unique_ptr<UnaryCall>> held;
};

// Sends back what comes.
class Echo final : public StreamHandler {
 public:
  Echo(std::shared_ptr<Stream> stream, Told* told) : stream_(std::move(stream)), told_(told) { ++told_->begun; }
  void OnMessage(Bytes message) override {
    CHECK(!is_done_ && !half_closed_);
    waiting_.push_back(std::move(message));
    Pump();
  }
  void OnHalfClose() override {
    CHECK(!is_done_ && !half_closed_);
    half_closed_ = true;
    Pump();
  }
  void OnWritable() override {
    CHECK(!is_done_ && !writable_);
    writable_ = true;
    Pump();
  }
  void OnDone(bool delivered) override {
    CHECK(!is_done_);
    is_done_ = true;
    ++told_->done;
  }

 private:
  void Pump() {
    if (writable_ && next_ < waiting_.size()) {
      writable_ = false;
      stream_->Write(std::move(waiting_[next_++]));
    }
    if (half_closed_ && next_ == waiting_.size()) stream_->Finish(absl::OkStatus());
  }

  const std::shared_ptr<Stream> stream_;
  Told* const told_;
  std::vector<Bytes> waiting_;
  size_t next_ = 0;
  bool writable_ = false;
  bool half_closed_ = false;
  bool is_done_ = false;
};

MethodTable Methods(Told* told) {
  MethodTable table;
  table.unary["/t/Echo"] = [](std::unique_ptr<UnaryCall> call) { call->Answer(call->request()); };
  table.unary["/t/Hold"] = [told](std::unique_ptr<UnaryCall> call) { told->held.push_back(std::move(call)); };
  table.streams["/t/EchoStream"] = [told](std::shared_ptr<Stream> stream) {
    return std::make_shared<Echo>(std::move(stream), told);
  };
  return table;
}

std::string Unfold(absl::string_view in, uint8_t how) {
  std::string bytes;
  if ((how & kHasPreface) != 0) bytes = absl::StrCat(kMagic, FrameBytes(NGHTTP2_SETTINGS, 0, 0, ""));
  if ((how & kIsShort) == 0) return absl::StrCat(bytes, in);
  while (in.size() >= 5) {
    const size_t length = static_cast<uint8_t>(in[3]) << 8 | static_cast<uint8_t>(in[4]);
    const absl::string_view payload = in.substr(5, length);
    bytes += FrameBytes(static_cast<uint8_t>(in[0]), static_cast<uint8_t>(in[1]), static_cast<uint8_t>(in[2]), payload);
    in.remove_prefix(5 + payload.size());
  }
  return bytes;
}

// Says its bytes piece by piece, one in each wake-up of the loop, and then no more.
class Peer final : public Posted {
 public:
  Peer(Loop* loop, int fd, std::string bytes, size_t piece)
      : loop_(loop), fd_(fd), bytes_(std::move(bytes)), piece_(piece) {}

  void RunPosted() override {
    Drain();
    if (at_ < bytes_.size()) {
      const size_t size = std::min(piece_, bytes_.size() - at_);
      const ssize_t written = send(fd_, bytes_.data() + at_, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      at_ = written > 0 ? at_ + static_cast<size_t>(written) : bytes_.size();  // Or the server has closed.
    } else {
      shutdown(fd_, SHUT_WR);
      return;
    }
    loop_->Post(this);
  }

  const std::string& Drain() {
    char bytes[16384];
    ssize_t size = 0;
    while ((size = recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) came_.append(bytes, static_cast<size_t>(size));
    return came_;
  }

 private:
  Loop* const loop_;
  const int fd_;
  const std::string bytes_;
  const size_t piece_;
  size_t at_ = 0;
  std::string came_;
};

// Whole frames, the settings first, headers that can be read, nothing on a stream after its end.
void CheckAnswers(absl::string_view came) {
  nghttp2_hd_inflater* inflater = nullptr;
  CHECK_EQ(nghttp2_hd_inflate_new(&inflater), 0);
  std::map<uint32_t, bool> ended;
  bool is_first = true;
  while (came.size() >= 9) {
    const size_t size =
        static_cast<uint8_t>(came[0]) << 16 | static_cast<uint8_t>(came[1]) << 8 | static_cast<uint8_t>(came[2]);
    const auto type = static_cast<uint8_t>(came[3]);
    const auto flags = static_cast<uint8_t>(came[4]);
    uint32_t stream = 0;
    for (int i = 5; i < 9; ++i) stream = stream << 8 | static_cast<uint8_t>(came[i]);
    if (came.size() < 9 + size) break;  // Closed in the middle.
    absl::string_view payload = came.substr(9, size);
    came.remove_prefix(9 + size);
    CHECK(type <= NGHTTP2_CONTINUATION) << int{type};
    // Before settings there may be a word on what was wrong.
    if (std::exchange(is_first, false)) CHECK(type == NGHTTP2_SETTINGS || type == NGHTTP2_GOAWAY) << int{type};
    if (type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) {
      CHECK(!ended[stream]) << "stream " << stream << " goes on after its end";
      ended[stream] = (flags & NGHTTP2_FLAG_END_STREAM) != 0;
    }
    if (type != NGHTTP2_HEADERS) continue;
    CHECK((flags & NGHTTP2_FLAG_END_HEADERS) != 0);
    int inflated = 0;
    while ((inflated & NGHTTP2_HD_INFLATE_FINAL) == 0) {
      nghttp2_nv header = {};
      const ssize_t used = nghttp2_hd_inflate_hd2(inflater, &header, &inflated,
                                                  reinterpret_cast<const uint8_t*>(payload.data()), payload.size(), 1);
      CHECK(used >= 0) << nghttp2_strerror(static_cast<int>(used));
      payload.remove_prefix(static_cast<size_t>(used));
    }
    nghttp2_hd_inflate_end_headers(inflater);
  }
  nghttp2_hd_inflate_del(inflater);
}

void FuzzConnection(absl::string_view input) {
  if (input.empty()) return;
  const auto how = static_cast<uint8_t>(input[0]);
  const size_t piece = size_t{1} << (how >> 2) % 17;
  std::string bytes = Unfold(input.substr(1), how);
  if (bytes.size() > piece * 2000) bytes.resize(piece * 2000);  // A wake-up each.

  Told told;
  H2ServerOptions options;
  options.limits.max_request_bytes = 1000;
  options.limits.max_connection_request_bytes = 2000;
  options.limits.max_streams_per_connection = 20;
  options.limits.max_resets = 5;
  options.limits.max_control_frames = 20;
  auto home = std::make_shared<LoopPort>();
  home->loop = std::make_shared<Loop>();
  home->port = std::make_shared<Port>(options, Methods(&told));
  home->on_empty = [loop = home->loop.get()] { loop->Close(); };
  int ends[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  CHECK(home->port->counts.Add("unix"));
  {
    auto connection = std::make_shared<ServerConnection>(home, ends[0], "unix", "unix:");
    ServerConnection* const raw = connection.get();
    home->connections.emplace(raw, std::move(connection));
    raw->Open();
  }
  Peer peer(home->loop.get(), ends[1], std::move(bytes), piece);
  home->loop->Post(&peer);
  home->loop->Run();

  CheckAnswers(peer.Drain());
  close(ends[1]);
  CHECK_EQ(told.begun, told.done);
  CHECK_EQ(home->port->budget.used(), size_t{0});
  CHECK(home->connections.empty());
  for (const auto& call : told.held) call->Answer(Bytes());  // Nobody is there any more.
}

}  // namespace
}  // namespace barid::edge::h2

std::vector<std::string> FuzzSeeds() {
  using namespace barid::edge::h2;
  constexpr uint8_t kEnd = NGHTTP2_FLAG_END_STREAM;
  const auto head = [](uint32_t stream, const std::string& path, uint8_t flags = 0) {
    return FrameBytes(
        NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, stream,
        HeaderBlock(RequestHeaders(path, {{"grpc-timeout", "10S"}, {"x-bin", "AAEC"}, {"x-mq-client-id", "a"}})));
  };
  const std::vector<std::string> frames = {
      Request(1, "/t/Echo", "hello") + Request(3, "/t/Hold", "hello") + Request(5, "/t/Nothing", "hello"),
      head(1, "/t/EchoStream") + FrameBytes(NGHTTP2_DATA, 0, 1, Message("a") + Message("bc").substr(0, 6)) +
          FrameBytes(NGHTTP2_DATA, kEnd, 1, "c" + Message("d")),
      head(1, "/t/EchoStream") + FrameBytes(NGHTTP2_DATA, 0, 1, Message(std::string(900, 'x'))) +
          Reset(1, NGHTTP2_CANCEL) + Request(3, "/t/Echo", std::string(1001, 'x')),
      head(1, "/t/Echo") + FrameBytes(NGHTTP2_DATA, 0, 1, Message("x")) +
          FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | kEnd, 1, HeaderBlock({{"x", "y"}})),
      FrameBytes(NGHTTP2_SETTINGS, 0, 0, SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 3)) +
          Request(1, "/t/Echo", "hello") + WindowUpdate(1, 4) + Ping("12345678") + WindowUpdate(0, 100) +
          WindowUpdate(1, 100) + FrameBytes(NGHTTP2_PRIORITY, 0, 1, Number(0, 5)) +
          FrameBytes(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, ""),
      head(1, "/t/EchoStream") + FrameBytes(NGHTTP2_GOAWAY, 0, 0, Number(0, 8)) +
          FrameBytes(NGHTTP2_DATA, kEnd, 1, Message("x")),
  };
  std::vector<std::string> seeds;
  for (const std::string& list : frames) {
    // As they are, in whole and in small pieces.
    seeds.push_back(Number(kHasPreface | 16 << 2, 1) + list);
    seeds.push_back(Number(kHasPreface | 3 << 2, 1) + list);
    // And in short.
    std::string brief = Number(kHasPreface | kIsShort | 16 << 2, 1);
    for (absl::string_view left = list; !left.empty();) {
      const size_t size = static_cast<uint8_t>(left[1]) << 8 | static_cast<uint8_t>(left[2]);
      absl::StrAppend(&brief, left.substr(3, 2), left.substr(8, 1), left.substr(1, 2), left.substr(9, size));
      left.remove_prefix(9 + size);
    }
    seeds.push_back(std::move(brief));
  }
  seeds.push_back(absl::StrCat(Number(16 << 2, 1), kMagic, FrameBytes(NGHTTP2_SETTINGS, 0, 0, ""), frames[0]));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool is_quiet = [] {
    barid::SetMinLogLevel(barid::LogLevel::kError);
    return true;
  }();
  (void)is_quiet;
  barid::edge::h2::FuzzConnection({reinterpret_cast<const char*>(data), size});
  return 0;
}
