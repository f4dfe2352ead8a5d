#include "tests/bench/hostile_peer.h"

#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "tests/edge/h2/dial.h"
#include "tests/edge/h2/frames.h"
#include "tests/edge/h2/tls_client.h"

namespace barid::edge::h2 {
namespace {

constexpr absl::Duration kSlowPace = absl::Milliseconds(100);  // Between a byte and the next.

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

uint32_t NumberAt(absl::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<size_t>(i)]);
  return value;
}

std::string BytesIn(BIO* bio) {
  std::string bytes(BIO_ctrl_pending(bio), '\0');
  BIO_read(bio, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

}  // namespace

std::string TextOf(const Answers& answers) {
  const auto format = [](std::string* out, const auto& answer) {
    absl::StrAppend(out, NameOf(answer.first.first, answer.first.second));
    if (answer.second > 1) absl::StrAppend(out, " (", answer.second, ")");
  };
  return answers.empty() ? "nothing" : absl::StrJoin(answers, ", ", format);
}

std::string Greeting(absl::string_view settings) {
  return absl::StrCat(kMagic, FrameBytes(NGHTTP2_SETTINGS, 0, 0, settings));
}

std::string ClientHello() {
  SSL* const tls = NewTlsClient();
  SSL_set_bio(tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(tls);
  SSL_do_handshake(tls);
  std::string bytes = BytesIn(SSL_get_wbio(tls));
  SSL_free(tls);
  return bytes;
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
        if ((flags & NGHTTP2_FLAG_END_HEADERS) != 0) ReadHeaders();
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

// The client's end of a TLS connection, without a socket: handshakes over and over, as far as the server lets it.
class Renegotiation {
 public:
  // Borrowed for as long as it lives.
  explicit Renegotiation(AnswerReader* reader) : reader_(reader), tls_(NewTlsClient({.max_version = TLS1_2_VERSION})) {
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

Peer::Peer(const std::string& address, const std::string& greeting, Answers* answers)
    : fd_(Dial(address)), reader_(std::make_unique<AnswerReader>(answers)), is_closed_(fd_ < 0), out_(greeting) {
  if (fd_ < 0) {
    reader_->Note(Kind::kNoConnection);
  } else {
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
}

Peer::~Peer() {
  if (fd_ >= 0) close(fd_);
}

bool Peer::is_over() const { return is_closed_ || (tls_ != nullptr && tls_->is_over()); }

uint32_t Peer::OpenStream() const { return stream_ == 1 || reader_->last_ended() == stream_ - 2 ? 0 : stream_ - 2; }

bool Peer::IsDue() {
  const absl::Time now = absl::Now();
  if (now < due_) return false;
  due_ = now + kSlowPace;
  return true;
}

std::string Peer::Renegotiate() {
  if (tls_ == nullptr) tls_ = std::make_unique<Renegotiation>(reader_.get());
  return tls_->Next(Greeting());
}

bool Peer::Write(absl::string_view bytes) {
  if (out_.size() > 65536) return false;
  out_.append(bytes.data(), bytes.size());
  Push();
  return true;
}

void Peer::Push() {
  const ssize_t written = send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (written > 0) out_.erase(0, static_cast<size_t>(written));
  if (written >= 0 || errno == EAGAIN || errno == EWOULDBLOCK) return;
  Read();  // What the server said before it closed.
  Close();
}

void Peer::Read() {
  constexpr int kMostReads = 64;  // The server may write as fast as this reads.
  static char bytes[1 << 16];
  for (int i = 0; i < kMostReads && !is_closed_; ++i) {
    const ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (size <= 0) return Close();
    const absl::string_view came(bytes, static_cast<size_t>(size));
    tls_ == nullptr ? reader_->Read(came) : tls_->Read(came);
  }
}

void Peer::Close() {
  if (!std::exchange(is_closed_, true)) reader_->Note(Kind::kClosed);
}

}  // namespace barid::edge::h2
