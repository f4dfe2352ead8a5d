#include "tests/bench/hostile_attacks.h"

#include <nghttp2/nghttp2.h>
#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/random.h"
#include "tests/edge/h2/frames.h"

namespace barid::edge::h2 {
namespace {

constexpr uint8_t kEnd = NGHTTP2_FLAG_END_STREAM;
constexpr uint8_t kEndHeaders = NGHTTP2_FLAG_END_HEADERS;
constexpr size_t kMiB = size_t{1} << 20;
constexpr int kConnectionsOfAHerd = 100;
constexpr int kSlowConnections = 1000;
constexpr int kIdleConnections = 4000;
constexpr int kSpareDescriptors = 200;

std::string Nothing(Peer*) { return ""; }

std::string Head(uint32_t stream, const std::string& path, uint8_t flags = 0) {
  return FrameBytes(NGHTTP2_HEADERS, kEndHeaders | flags, stream, HeaderBlock(RequestHeaders(path)));
}
std::string Data(uint32_t stream, absl::string_view bytes) { return FrameBytes(NGHTTP2_DATA, 0, stream, bytes); }
// The prefix of a message.
std::string Length(uint64_t bytes) { return Number(0, 1) + Number(bytes, 4); }

// Fewer than kIdleConnections only if descriptors run short. The server has as many of its own.
int IdleConnections() {
  rlimit limit = {};
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  return static_cast<int>(std::min<rlim_t>(kIdleConnections, limit.rlim_cur - kSpareDescriptors));
}

// Attacks on calls, headers and bodies.
std::vector<Attack> AttacksByCalls() {
  PortLimits hasty;
  hasty.request_timeout = absl::Seconds(1);
  const std::string headers = FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEnd, 1,
                                         HeaderBlock(RequestHeaders("/t/Echo", {{"x", std::string(10000, 'x')}})));
  return {
      {.name = "rapid reset",
       .next =
           [](Peer* peer) {
             const uint32_t stream = peer->NextStream();
             return Request(stream, "/t/Hold", "x") + Reset(stream, NGHTTP2_CANCEL);
           }},
      {.name = "calls whose window overflows (MadeYouReset)",
       .next =
           [](Peer* peer) {
             const uint32_t stream = peer->NextStream();
             return Request(stream, "/t/Hold", "x") + WindowUpdate(stream, 0x7fffffff);
           }},
      {.name = "CONTINUATION flood",
       .next =
           [](Peer* peer) {
             static const std::string part =
                 FrameBytes(NGHTTP2_CONTINUATION, 0, 1, HeaderBlock({{"x", std::string(16000, 'x')}}));
             return peer->Turn() > 0 ? part : FrameBytes(NGHTTP2_HEADERS, 0, 1, HeaderBlock(RequestHeaders("/t/Echo")));
           }},
      {.name = "headers that name one large entry 16,000 times (HPACK bomb)",
       .next =
           [](Peer* peer) {
             const std::string more = peer->Turn() > 0 ? std::string(16000, kLargeEntryAgain) : LargeEntry();
             return FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEnd, peer->NextStream(),
                               HeaderBlock(RequestHeaders("/t/Echo")) + more);
           }},
      {.name = "the same in trailers",
       .next =
           [](Peer* peer) {
             const uint32_t stream = peer->NextStream();
             const std::string more = peer->Turn() > 0 ? std::string(16000, kLargeEntryAgain) : LargeEntry();
             return FrameBytes(NGHTTP2_HEADERS, kEndHeaders, stream, HeaderBlock(RequestHeaders("/t/Echo"))) +
                    Data(stream, Message("x")) + FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEnd, stream, more);
           }},
      {.name = "1,000 connections, each with headers of which a byte comes every 100 ms (request_timeout 1 s)",
       .next =
           [headers](Peer* peer) {
             if (!peer->IsDue()) return std::string();
             const auto turn = static_cast<size_t>(peer->Turn());
             return turn == 0 ? headers.substr(0, 100) : headers.substr(99 + turn, 1);
           },
       .connections = kSlowConnections,
       .limits = hasty},
      {.name = "1,000 connections, each with a body of which a byte comes every 100 ms (request_timeout 1 s)",
       .next =
           [](Peer* peer) {
             if (!peer->IsDue()) return std::string();
             if (const uint32_t stream = peer->OpenStream()) return Data(stream, "x");
             const uint32_t stream = peer->NextStream();
             return Head(stream, "/t/Echo") + Data(stream, Length(kMiB));
           },
       .connections = kSlowConnections,
       .limits = hasty},
      {.name = "100 connections, each with 1,000 calls that have only begun",
       .next = [](Peer* peer) { return peer->Turn() < 1000 ? Head(peer->NextStream(), "/t/Echo") : std::string(); },
       .connections = kConnectionsOfAHerd},
      {.name = "100 connections, each with 200 calls of which 16 KiB of 4 MiB came",
       .next =
           [](Peer* peer) {
             if (peer->Turn() >= 200) return std::string();
             static const std::string part = Message(std::string(4 * kMiB, 'x')).substr(0, 16384);
             const uint32_t stream = peer->NextStream();
             return Head(stream, "/t/Echo") + Data(stream, part);
           },
       .connections = kConnectionsOfAHerd},
      {.name = "100 connections, each with 1,000 calls that announce 20 MiB and send a byte",
       .next =
           [](Peer* peer) {
             if (peer->Turn() >= 1000) return std::string();
             const uint32_t stream = peer->NextStream();
             return Head(stream, "/t/Echo") + Data(stream, Length(20 * kMiB) + "x");
           },
       .connections = kConnectionsOfAHerd},
      {.name = "calls that announce 2 GiB",
       .next =
           [](Peer* peer) {
             const uint32_t stream = peer->NextStream();
             return Head(stream, "/t/Echo") + Data(stream, Length(0x80000000));
           }},
      {.name = "calls of a method that is not served, refusals not read",
       .next = [](Peer* peer) { return Head(peer->NextStream(), "/t/Other", kEnd); },
       .reads = false},
  };
}

// Attacks by frames that carry nothing, and by answers that are not taken.
std::vector<Attack> AttacksByFrames() {
  const auto ping = [](Peer*) { return Ping("12345678"); };
  const auto settings = [](Peer*) { return FrameBytes(NGHTTP2_SETTINGS, 0, 0, ""); };
  const auto flood_once = [](Peer* peer) {
    if (peer->Turn() > 0) return std::string();
    std::string bytes = WindowUpdate(0, 0x7fffffff - 65535);
    for (int i = 0; i < 200; ++i) bytes += Head(peer->NextStream(), "/t/Flood", kEnd);
    return bytes;
  };
  return {
      {.name = "pings", .next = ping},
      {.name = "pings, acknowledgements not read", .next = ping, .reads = false},
      {.name = "settings", .next = settings},
      {.name = "settings, acknowledgements not read", .next = settings, .reads = false},
      {.name = "empty DATA", .next = [](Peer* peer) { return peer->Turn() == 0 ? Head(1, "/t/Flood") : Data(1, ""); }},
      {.name = "window updates by the byte", .next = [](Peer*) { return WindowUpdate(0, 1); }},
      {.name = "window updates that overflow the connection's window",
       .next = [](Peer*) { return WindowUpdate(0, 0x7fffffff); }},
      {.name = "200 answers of 1 MiB, not read",
       .next = flood_once,
       .reads = false,
       .greeting = Greeting(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff))},
      {.name = "200 answers of 1 MiB into windows of zero",
       .next = flood_once,
       .greeting = Greeting(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0))},
  };
}

// Attacks by connections: idle, no HTTP/2, half-open.
std::vector<Attack> AttacksByConnections() {
  PortLimits hasty;
  hasty.handshake_timeout = absl::Seconds(1);
  const std::string hello = ClientHello();
  const auto random_bytes = [](Peer*) {
    static SeededRandom random(7);
    return random.Bytes(1000);
  };
  const int idle = IdleConnections();
  return {
      {.name = absl::StrCat(idle, " idle connections"), .next = Nothing, .connections = idle},
      {.name = "100 connections with a preface whose last byte is wrong",
       .next = Nothing,
       .connections = kConnectionsOfAHerd,
       .greeting = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"},
      {.name = "100 connections with a request of HTTP/1.1",
       .next = Nothing,
       .connections = kConnectionsOfAHerd,
       .greeting = "GET / HTTP/1.1\r\nHost: t\r\n\r\n"},
      {.name = "100 connections with random bytes",
       .next = random_bytes,
       .connections = kConnectionsOfAHerd,
       .greeting = ""},
      {.name = "100 connections with random bytes behind the preface",
       .next = random_bytes,
       .connections = kConnectionsOfAHerd},
      {.name = "1,000 TLS handshakes that stop inside the ClientHello (handshake_timeout 1 s)",
       .next = Nothing,
       .connections = kSlowConnections,
       .greeting = hello.substr(0, hello.size() / 2),
       .limits = hasty,
       .tls = true},
      {.name = "1,000 TLS handshakes that stop after the ClientHello (handshake_timeout 1 s)",
       .next = Nothing,
       .connections = kSlowConnections,
       .greeting = hello,
       .limits = hasty,
       .tls = true},
      {.name = "100 connections that ask for TLS renegotiation",
       .next = [](Peer* peer) { return peer->Renegotiate(); },
       .connections = kConnectionsOfAHerd,
       .greeting = "",
       .tls = true},
  };
}

}  // namespace

std::vector<Attack> AllAttacks() {
  std::vector<Attack> attacks = {{.name = "none", .next = Nothing}};
  for (auto& some : {AttacksByCalls(), AttacksByFrames(), AttacksByConnections()}) {
    attacks.insert(attacks.end(), some.begin(), some.end());
  }
  return attacks;
}

}  // namespace barid::edge::h2
