#include "tests/edge/h2/frame_client.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "tests/edge/h2/dial.h"

namespace barid::edge::h2 {
namespace {

constexpr size_t kHeaderBytes = 9;

uint32_t NumberAt(absl::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

}  // namespace

std::string Answer::Header(const std::string& name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

FrameClient::FrameClient(const std::string& address) : FrameClient(Dial(address), nullptr) {}

FrameClient::FrameClient(int fd, SSL* tls) : fd_(fd), tls_(tls), is_closed_(fd < 0) {
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
  CHECK_EQ(nghttp2_hd_inflate_new(&inflater_), 0);
}

FrameClient::~FrameClient() {
  nghttp2_hd_inflate_del(inflater_);
  SSL_free(tls_);
  close(fd_);
}

size_t FrameClient::WriteNow(absl::string_view bytes) {
  if (bytes.empty()) return 0;
  if (tls_ != nullptr) {
    ERR_clear_error();
    const int written = SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()));
    return written > 0 ? static_cast<size_t>(written) : 0;
  }
  const ssize_t written = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return written > 0 ? static_cast<size_t>(written) : 0;
}

bool FrameClient::Write(absl::string_view bytes) {
  if (fd_ < 0) return false;
  while (!bytes.empty()) {
    const size_t written = WriteNow(bytes);
    bytes.remove_prefix(written);
    if (written > 0) continue;
    pollfd event = {fd_, POLLOUT, 0};
    const int ready = poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience)));
    if (ready <= 0 || (event.revents & (POLLERR | POLLHUP)) != 0) return false;
  }
  return true;
}

void FrameClient::HalfClose() { shutdown(fd_, SHUT_WR); }

void FrameClient::Begin(absl::string_view settings) {
  Write(absl::StrCat(kMagic, FrameBytes(NGHTTP2_SETTINGS, 0, 0, settings)));
  CHECK(ReadUntil([this] { return has_settings_; })) << "the server sent no SETTINGS";
}

bool FrameClient::Fill(absl::Time end) {
  while (!is_closed_) {
    char bytes[16384];
    ssize_t size;
    if (tls_ != nullptr) {
      ERR_clear_error();
      size = SSL_read(tls_, bytes, sizeof(bytes));
      const int error = size > 0 ? 0 : SSL_get_error(tls_, static_cast<int>(size));
      if (size <= 0 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) is_closed_ = true;
    } else {
      size = recv(fd_, bytes, sizeof(bytes), 0);
      if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) is_closed_ = true;
    }
    if (size > 0) {
      in_.append(bytes, static_cast<size_t>(size));
      return true;
    }
    const int64_t left = absl::ToInt64Milliseconds(absl::Ceil(end - absl::Now(), absl::Milliseconds(1)));
    if (is_closed_ || left <= 0) return false;
    pollfd event = {fd_, POLLIN, 0};
    poll(&event, 1, static_cast<int>(left));
  }
  return false;
}

bool FrameClient::ReadFrame(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  while (in_.size() < kHeaderBytes || in_.size() < kHeaderBytes + NumberAt(in_, 0, 3)) {
    if (!Fill(end)) return false;
  }
  Frame frame = {static_cast<uint8_t>(in_[3]), static_cast<uint8_t>(in_[4]), NumberAt(in_, 5, 4)};
  const size_t size = NumberAt(in_, 0, 3);
  frame.payload = in_.substr(kHeaderBytes, size);
  in_.erase(0, kHeaderBytes + size);
  Note(std::move(frame));
  return true;
}

void FrameClient::Note(Frame frame) {
  ++frame_count_;
  const bool ends = (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.type) {
    case NGHTTP2_DATA: {
      Answer& answer = answers_[frame.stream];
      answer.body += frame.payload;
      answer.has_ended |= ends;
      if (opens_windows_ && !frame.payload.empty()) {
        const auto size = static_cast<uint32_t>(frame.payload.size());
        Write(WindowUpdate(0, size) + (ends ? "" : WindowUpdate(frame.stream, size)));
      }
      break;
    }
    case NGHTTP2_HEADERS:
      block_ = frame;
      if ((frame.flags & NGHTTP2_FLAG_END_HEADERS) != 0) NoteHeaders(block_, block_.payload);
      break;
    case NGHTTP2_CONTINUATION:
      block_.payload += frame.payload;
      if ((frame.flags & NGHTTP2_FLAG_END_HEADERS) != 0) NoteHeaders(block_, block_.payload);
      break;
    case NGHTTP2_RST_STREAM:
      answers_[frame.stream].reset = NumberAt(frame.payload, 0, 4);
      break;
    case NGHTTP2_SETTINGS:
      if ((frame.flags & NGHTTP2_FLAG_ACK) != 0) {
        ++setting_acks_;
        break;
      }
      has_settings_ = true;
      for (size_t at = 0; at + 6 <= frame.payload.size(); at += 6) {
        settings_[static_cast<uint16_t>(NumberAt(frame.payload, at, 2))] = NumberAt(frame.payload, at + 2, 4);
      }
      if (acks_settings_) Write(FrameBytes(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, ""));
      break;
    case NGHTTP2_PING:
      if ((frame.flags & NGHTTP2_FLAG_ACK) != 0) {
        ++acks_;
        last_ack_ = frame.payload;
      } else {
        pings_.push_back(frame.payload);
        if (answers_drain_ || !goaway_) AnswerPings();
      }
      break;
    case NGHTTP2_GOAWAY:
      last_stream_ = NumberAt(frame.payload, 0, 4);
      goaway_ = NumberAt(frame.payload, 4, 4);
      break;
    default:
      break;
  }
  if (keeps_frames_) frames_.push_back(std::move(frame));
}

void FrameClient::AnswerPings() {
  for (const std::string& ping : std::exchange(pings_, {})) {
    Write(FrameBytes(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping));
  }
}

void FrameClient::NoteHeaders(const Frame& frame, absl::string_view block) {
  Answer& answer = answers_[frame.stream];
  answer.has_ended |= (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  while (true) {
    nghttp2_nv header = {};
    int flags = 0;
    const ssize_t used = nghttp2_hd_inflate_hd2(inflater_, &header, &flags,
                                                reinterpret_cast<const uint8_t*>(block.data()), block.size(), 1);
    CHECK(used >= 0) << nghttp2_strerror(static_cast<int>(used));
    block.remove_prefix(static_cast<size_t>(used));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      answer.headers.emplace_back(std::string(reinterpret_cast<char*>(header.name), header.namelen),
                                  std::string(reinterpret_cast<char*>(header.value), header.valuelen));
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
  }
  CHECK_EQ(nghttp2_hd_inflate_end_headers(inflater_), 0);
}

bool FrameClient::ReadUntil(const std::function<bool()>& is_there) {
  const absl::Time end = absl::Now() + kPatience;
  while (!is_there()) {
    if (!ReadFrame(end - absl::Now())) return is_there();
  }
  return true;
}

void FrameClient::Settle() {
  for (int i = 0; i < 2 && !is_closed_; ++i) {
    const std::string mark = Number(++settles_, 8);
    // If it does not want it, it closes, and that is read too.
    Write(Ping(mark));
    ReadUntil([&] { return last_ack_ == mark; });
  }
}

bool FrameClient::ReadToEnd() {
  ReadUntil([] { return false; });
  return is_closed_;
}

const Answer& FrameClient::Await(uint32_t stream) {
  ReadUntil([&] { return answers_[stream].is_over(); });
  return answers_[stream];
}

std::string FrameClient::Echo(const std::string& path, absl::string_view text) {
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  Write(Request(stream, path, text));
  const Answer& answer = Await(stream);
  if (answer.has_ended && answer.body.size() >= 5) return answer.body.substr(5);
  return absl::StrCat("no answer; closed: ", is_closed_, ", goaway: ", goaway_.value_or(999),
                      ", reset: ", answer.reset.value_or(999), ", status: ", answer.Header("grpc-status"));
}

uint32_t FrameClient::setting(uint16_t id) const {
  const auto it = settings_.find(id);
  return it == settings_.end() ? 0 : it->second;
}

}  // namespace barid::edge::h2
