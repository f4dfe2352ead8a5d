// What hostile peers cost our edge and gRPC C++ (grpc-core, as edge/grpc serves it), side by side: docs/security.md
// shows it.
//
//   hostile_bench [SECONDS [NAME]]     NAME: only the attacks that have it in their names
//
// For each attack and server: a fresh server process, with the default limits where the attack's name does not say
// otherwise, an attacker held to half a core, and a well-behaved client that makes a call every 5 ms. Prints a table in
// Markdown, with what the attacker saw of the server. Loopback only.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/random.h"
#include "edge/grpc/grpc_server.h"
#include "edge/h2/h2_server.h"
#include "edge/h2/self_signed.h"
#include "standalone/memory.h"
#include "tests/edge/h2/certificates.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/h2/frames.h"
#include "tests/edge/h2/server_process.h"

namespace barid::edge::h2 {
namespace {

constexpr uint8_t kEnd = NGHTTP2_FLAG_END_STREAM;
constexpr uint8_t kEndHeaders = NGHTTP2_FLAG_END_HEADERS;
constexpr size_t kMiB = size_t{1} << 20;
constexpr int kConnectionsOfAHerd = 100;
constexpr int kSlowConnections = 1000;
constexpr absl::Duration kSlowPace = absl::Milliseconds(100);  // Between a byte and the next.
constexpr int kIdleConnections = 4000;
constexpr int kSpareDescriptors = 200;
constexpr absl::string_view kH2("\x02h2", 3);  // For ALPN.

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

// --- What the attacker sees ---

enum class Kind {
  kGoaway,  // With the code of HTTP/2,
  kReset,   // as this one.
  kStatus,  // With gRPC's code.
  kHttpStatus,
  kData,
  kPingAck,
  kSettingsAck,  // But for the first, which each connection begins with.
  kHttp1,        // With its status.
  kHandshake,
  kRenegotiated,
  kAlert,  // With the code of TLS.
  kNoHttp,
  kClosed,
  kNoConnection,
};

// What came how often over all connections of an attack.
using Answers = std::map<std::pair<Kind, uint32_t>, int64_t>;

std::string NameOf(Kind kind, uint32_t code) {
  switch (kind) {
    case Kind::kGoaway:
      return absl::StrCat("GOAWAY ", nghttp2_http2_strerror(code));
    case Kind::kReset:
      return absl::StrCat("RST_STREAM ", nghttp2_http2_strerror(code));
    case Kind::kStatus:
      return absl::StrCat("grpc-status ", absl::StatusCodeToString(static_cast<absl::StatusCode>(code)));
    case Kind::kHttpStatus:
      return absl::StrCat(":status ", code);
    case Kind::kData:
      return "DATA";
    case Kind::kPingAck:
      return "PING ACK";
    case Kind::kSettingsAck:
      return "SETTINGS ACK";
    case Kind::kHttp1:
      return absl::StrCat("HTTP/1.1 ", code);
    case Kind::kHandshake:
      return "TLS handshake";
    case Kind::kRenegotiated:
      return "TLS renegotiated";
    case Kind::kAlert:
      return absl::StrCat("TLS alert ", SSL_alert_desc_string_long(static_cast<int>(code)));
    case Kind::kNoHttp:
      return "bytes that are no HTTP/2";
    case Kind::kClosed:
      return "closed";
    case Kind::kNoConnection:
      return "no connection";
  }
  return "";
}

std::string TextOf(const Answers& answers) {
  const auto format = [](std::string* out, const auto& answer) {
    absl::StrAppend(out, NameOf(answer.first.first, answer.first.second));
    if (answer.second > 1) absl::StrAppend(out, " (", answer.second, ")");
  };
  return answers.empty() ? "nothing" : absl::StrJoin(answers, ", ", format);
}

uint32_t NumberAt(absl::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<size_t>(i)]);
  return value;
}

// Notes in `answers`, which outlives it, what the server says on one connection.
class AnswerReader {
 public:
  explicit AnswerReader(Answers* answers) : answers_(answers) {}

  void Note(Kind kind, uint32_t code = 0) { ++(*answers_)[{kind, code}]; }
  // What came next.
  void Read(absl::string_view bytes) {
    in_.append(bytes.data(), bytes.size());
    if (in_.empty() || is_no_http2_) return;
    if (in_[0] != 0) return ReadNoHttp2();  // No frame is as long as that.
    constexpr size_t kHeaderBytes = 9;
    size_t at = 0;
    while (in_.size() - at >= kHeaderBytes) {
      const size_t size = NumberAt(in_, at, 3);
      if (in_.size() - at < kHeaderBytes + size) break;
      ReadFrame(static_cast<uint8_t>(in_[at + 3]), static_cast<uint8_t>(in_[at + 4]), NumberAt(in_, at + 5, 4),
                absl::string_view(in_).substr(at + kHeaderBytes, size));
      at += kHeaderBytes + size;
    }
    in_.erase(0, at);
  }
  // The stream that the server ended last; 0 before.
  uint32_t last_ended() const { return last_ended_; }

 private:
  void ReadNoHttp2() {
    constexpr char kTlsAlert = 21;
    constexpr char kTlsHandshake = 22;
    constexpr absl::string_view kHttp1 = "HTTP/1.";
    is_no_http2_ = true;
    uint32_t code = 0;
    if (in_[0] == kTlsHandshake) return Note(Kind::kHandshake);
    if (in_[0] == kTlsAlert && in_.size() >= 7) return Note(Kind::kAlert, NumberAt(in_, 6, 1));
    if (absl::StartsWith(in_, kHttp1) && in_.size() >= 12 &&
        absl::SimpleAtoi(absl::string_view(in_).substr(kHttp1.size() + 2, 3), &code)) {
      return Note(Kind::kHttp1, code);
    }
    Note(Kind::kNoHttp);
  }

  void ReadFrame(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload) {
    const bool is_ack = (flags & NGHTTP2_FLAG_ACK) != 0;
    if (type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) {
      if ((flags & NGHTTP2_FLAG_END_STREAM) != 0) last_ended_ = stream;
    }
    switch (type) {
      case NGHTTP2_DATA:
        return Note(Kind::kData);
      case NGHTTP2_HEADERS:
        block_.clear();
        [[fallthrough]];
      case NGHTTP2_CONTINUATION:
        block_.append(payload.data(), payload.size());
        if ((flags & kEndHeaders) != 0) ReadHeaders();
        return;
      case NGHTTP2_RST_STREAM:
        last_ended_ = stream;
        return Note(Kind::kReset, NumberAt(payload, 0, 4));
      case NGHTTP2_GOAWAY:
        return Note(Kind::kGoaway, NumberAt(payload, 4, 4));
      case NGHTTP2_PING:
        if (is_ack) Note(Kind::kPingAck);
        return;
      case NGHTTP2_SETTINGS:
        if (is_ack && std::exchange(is_acknowledged_, true)) Note(Kind::kSettingsAck);
        return;
      default:
        return;
    }
  }

  void ReadHeaders() {
    if (inflater_ == nullptr) {
      nghttp2_hd_inflater* inflater = nullptr;
      CHECK_EQ(nghttp2_hd_inflate_new(&inflater), 0);
      inflater_.reset(inflater);
    }
    absl::string_view left = block_;
    int flags = 0;
    while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
      nghttp2_nv header = {};
      const ssize_t used = nghttp2_hd_inflate_hd2(inflater_.get(), &header, &flags,
                                                  reinterpret_cast<const uint8_t*>(left.data()), left.size(), 1);
      CHECK(used >= 0) << nghttp2_strerror(static_cast<int>(used));
      left.remove_prefix(static_cast<size_t>(used));
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0) continue;
      const absl::string_view name(reinterpret_cast<const char*>(header.name), header.namelen);
      const absl::string_view value(reinterpret_cast<const char*>(header.value), header.valuelen);
      uint32_t code = 0;
      if (!absl::SimpleAtoi(value, &code)) continue;
      if (name == "grpc-status") Note(Kind::kStatus, code);
      if (name == ":status" && code != 200) Note(Kind::kHttpStatus, code);
    }
    CHECK_EQ(nghttp2_hd_inflate_end_headers(inflater_.get()), 0);
  }

  struct DeleteInflater {
    void operator()(nghttp2_hd_inflater* inflater) const { nghttp2_hd_inflate_del(inflater); }
  };

  Answers* const answers_;
  std::string in_;     // What is no whole frame yet.
  std::string block_;  // Of headers, as far as it came.
  std::unique_ptr<nghttp2_hd_inflater, DeleteInflater> inflater_;
  bool is_no_http2_ = false;
  bool is_acknowledged_ = false;
  uint32_t last_ended_ = 0;
};

// --- The attacker ---

SSL* NewTlsClient(int max_version) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, max_version);
  SSL* const tls = SSL_new(context);
  SSL_CTX_free(context);
  SSL_set_alpn_protos(tls, reinterpret_cast<const unsigned char*>(kH2.data()), static_cast<unsigned>(kH2.size()));
  return tls;
}

std::string BytesIn(BIO* bio) {
  std::string bytes(BIO_ctrl_pending(bio), '\0');
  BIO_read(bio, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

// The client's end of a TLS connection, without a socket: handshakes over and over, as far as the server lets it.
class Renegotiation {
 public:
  // Borrowed for as long as it lives.
  explicit Renegotiation(AnswerReader* reader) : reader_(reader), tls_(NewTlsClient(TLS1_2_VERSION)) {
    SSL_set_bio(tls_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(tls_);
    SSL_set_app_data(tls_, this);
    SSL_set_info_callback(tls_, &Renegotiation::OnInfo);
    SSL_do_handshake(tls_);
  }
  ~Renegotiation() { SSL_free(tls_); }
  Renegotiation(const Renegotiation&) = delete;
  Renegotiation& operator=(const Renegotiation&) = delete;

  // The server has refused it, for good.
  bool is_over() const { return is_over_; }
  void Read(absl::string_view bytes) {
    BIO_write(SSL_get_rbio(tls_), bytes.data(), static_cast<int>(bytes.size()));
    char clear[16384];
    int size = 0;
    ERR_clear_error();
    while ((size = SSL_read(tls_, clear, sizeof(clear))) > 0) {
      has_settings_ = true;
      reader_->Read(absl::string_view(clear, static_cast<size_t>(size)));
    }
    is_over_ |= SSL_get_error(tls_, size) != SSL_ERROR_WANT_READ;
  }
  // What is to be sent now.
  std::string Next(absl::string_view greeting) {
    ERR_clear_error();
    if (SSL_is_init_finished(tls_) == 1 && !is_over_) {
      if (!std::exchange(has_greeted_, true)) {
        SSL_write(tls_, greeting.data(), static_cast<int>(greeting.size()));
      } else if (has_settings_) {
        SSL_renegotiate(tls_);
        SSL_do_handshake(tls_);
      }
    }
    return BytesIn(SSL_get_wbio(tls_));
  }

 private:
  static void OnInfo(const SSL* tls, int where, int value) {
    auto* const self = static_cast<Renegotiation*>(SSL_get_app_data(tls));
    if (where == SSL_CB_READ_ALERT) self->reader_->Note(Kind::kAlert, static_cast<uint32_t>(value & 0xff));
    if (where == SSL_CB_HANDSHAKE_DONE) {
      self->reader_->Note(self->handshakes_++ == 0 ? Kind::kHandshake : Kind::kRenegotiated);
    }
  }

  AnswerReader* const reader_;
  SSL* const tls_;
  int handshakes_ = 0;
  bool has_greeted_ = false;
  bool has_settings_ = false;  // The server's.
  bool is_over_ = false;
};

// -1: there is no connection to be had.
int Dial(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  CHECK(absl::SimpleAtoi(address.substr(colon + 1), &port));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) return fd;
  close(fd);
  return -1;
}

std::string Greeting(absl::string_view settings = "") {
  return absl::StrCat(kMagic, FrameBytes(NGHTTP2_SETTINGS, 0, 0, settings));
}

// A connection that writes what it likes and reads if it likes, and never waits.
class Peer {
 public:
  Peer(const std::string& address, const std::string& greeting, Answers* answers)
      : fd_(Dial(address)), reader_(answers), is_closed_(fd_ < 0), out_(greeting) {
    if (fd_ < 0) {
      reader_.Note(Kind::kNoConnection);
    } else {
      fcntl(fd_, F_SETFL, O_NONBLOCK);
    }
  }
  ~Peer() {
    if (fd_ >= 0) close(fd_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // There is nothing more to be had from it.
  bool is_over() const { return is_closed_ || (tls_ != nullptr && tls_->is_over()); }
  // The number of the stream that it opens next.
  uint32_t NextStream() { return std::exchange(stream_, stream_ + 2); }
  // The call that it began last, or 0 if there is none or the server has ended it.
  uint32_t OpenStream() const { return stream_ == 1 || reader_.last_ended() == stream_ - 2 ? 0 : stream_ - 2; }
  int Turn() { return turn_++; }
  // Whether it is time for the next byte of who is slow.
  bool IsDue() {
    const absl::Time now = absl::Now();
    if (now < due_) return false;
    due_ = now + kSlowPace;
    return true;
  }
  // What makes TLS of it, and then asks for one handshake after another.
  std::string Renegotiate() {
    if (tls_ == nullptr) tls_ = std::make_unique<Renegotiation>(&reader_);
    return tls_->Next(Greeting());
  }
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
    if (written >= 0 || errno == EAGAIN || errno == EWOULDBLOCK) return;
    Read();  // What the server said before it closed.
    Close();
  }
  // What is there.
  void Read() {
    constexpr int kMostReads = 64;  // The server may write as fast as this reads.
    static char bytes[1 << 16];
    for (int i = 0; i < kMostReads && !is_closed_; ++i) {
      const ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
      if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (size <= 0) return Close();
      const absl::string_view came(bytes, static_cast<size_t>(size));
      tls_ == nullptr ? reader_.Read(came) : tls_->Read(came);
    }
  }

 private:
  void Close() {
    if (!std::exchange(is_closed_, true)) reader_.Note(Kind::kClosed);
  }

  const int fd_;
  AnswerReader reader_;
  std::unique_ptr<Renegotiation> tls_;
  bool is_closed_;  // By the server.
  uint32_t stream_ = 1;
  int turn_ = 0;
  absl::Time due_ = absl::InfinitePast();
  std::string out_;
};

struct Attack {
  std::string name;
  // What it sends each time; "" if it has nothing to say.
  std::function<std::string(Peer*)> next;
  bool reads = true;
  int connections = 1;
  std::string greeting = Greeting();
  PortLimits limits = {};
  bool tls = false;  // The server has a certificate.
};

std::string Nothing(Peer*) { return ""; }

std::string Head(uint32_t stream, const std::string& path, uint8_t flags = 0) {
  return FrameBytes(NGHTTP2_HEADERS, kEndHeaders | flags, stream, HeaderBlock(RequestHeaders(path)));
}
std::string Data(uint32_t stream, absl::string_view bytes) { return FrameBytes(NGHTTP2_DATA, 0, stream, bytes); }
// The prefix of a message.
std::string Length(uint64_t bytes) { return Number(0, 1) + Number(bytes, 4); }

std::string ClientHello() {
  SSL* const tls = NewTlsClient(TLS1_3_VERSION);
  SSL_set_bio(tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(tls);
  SSL_do_handshake(tls);
  std::string bytes = BytesIn(SSL_get_wbio(tls));
  SSL_free(tls);
  return bytes;
}

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
             static const std::string entry =
                 std::string("\x40\x01x", 3) + "\x7f" + std::string("\xa1\x1e", 2) + std::string(4000, 'v');
             const std::string more = peer->Turn() > 0 ? std::string(16000, '\xbe') : entry;
             return FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEnd, peer->NextStream(),
                               HeaderBlock(RequestHeaders("/t/Echo")) + more);
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
  const timeval patience = {20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  SSL* const session = NewTlsClient(TLS1_3_VERSION);
  SSL_set_fd(session, fd);
  if (SSL_connect(session) == 1) return std::make_unique<FrameClient>(fd, session);
  SSL_free(session);
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

  std::vector<Attack> attacks = {{.name = "none", .next = Nothing}};
  for (auto& some : {AttacksByCalls(), AttacksByFrames(), AttacksByConnections()}) {
    attacks.insert(attacks.end(), some.begin(), some.end());
  }
  std::printf(
      "| attack, %d s | edge: memory before / peak / after, MiB | its client's p99, ms | what it answered | gRPC C++: "
      "memory | its client's p99, ms | what it answered |\n"
      "|---|---|---|---|---|---|---|\n",
      seconds);
  for (const Attack& attack : attacks) {
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
