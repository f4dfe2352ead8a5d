#include "edge/h2/socket.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace barid::edge::h2 {
namespace {

constexpr unsigned char kTlsHandshake = 22;
// One TLS record's worth.
constexpr size_t kRecordBytes = size_t{16} << 10;

Socket::Result FromErrno() {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {0, Socket::End::kBlocked};
  return {0, Socket::End::kClosed};
}

}  // namespace

Socket::Socket(int fd, std::shared_ptr<TlsKeys> keys)
    : fd_(fd), keys_(std::move(keys)), state_(keys_ == nullptr ? State::kOpen : State::kUnknown) {}

Socket::~Socket() {
  if (ssl_ != nullptr) {
    // Tells the peer, if it can be told at once.
    ERR_clear_error();
    if (state_ == State::kOpen) (void)SSL_shutdown(ssl_);
    SSL_free(ssl_);
  }
  close(fd_);
}

void Socket::EndWriting() {
  if (ssl_ != nullptr && state_ == State::kOpen) {
    ERR_clear_error();
    (void)SSL_shutdown(ssl_);  // close_notify, if it can be said at once.
  }
  shutdown(fd_, SHUT_WR);
}

Socket::Result Socket::Begin() {
  if (state_ == State::kUnknown) {
    unsigned char first = 0;
    const ssize_t size = recv(fd_, &first, 1, MSG_PEEK);
    if (size < 0) return FromErrno();
    if (size == 0) return {0, End::kClosed};
    if (first != kTlsHandshake) {
      state_ = State::kOpen;
      return {};
    }
    ssl_ = SSL_new(keys_->context().get());
    if (ssl_ == nullptr || SSL_set_fd(ssl_, fd_) != 1) return {0, End::kClosed};
    state_ = State::kHandshake;
  }
  ERR_clear_error();
  const int result = SSL_accept(ssl_);
  if (result != 1) {
    const Result ended = FromSsl(result);
    return ended.end == End::kDone ? Result{0, End::kClosed} : ended;
  }
  state_ = State::kOpen;
  return {};
}

Socket::Result Socket::FromSsl(int result) {
  if (result > 0) return {static_cast<size_t>(result), End::kDone};
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return {0, End::kBlocked};
    case SSL_ERROR_WANT_WRITE:
      return {0, End::kBlocked, /*waits_to_write=*/true};
    default:
      ERR_clear_error();
      return {0, End::kClosed};
  }
}

Socket::Result Socket::Read(char* to, size_t size) {
  if (state_ != State::kOpen) {
    const Result begun = Begin();
    if (begun.end != End::kDone) return begun;
  }
  if (ssl_ != nullptr) {
    ERR_clear_error();
    return FromSsl(SSL_read(ssl_, to, static_cast<int>(size)));
  }
  const ssize_t read = recv(fd_, to, size, 0);
  if (read < 0) return FromErrno();
  if (read == 0) return {0, End::kClosed};
  // Less than there is room for: that was all.
  return {static_cast<size_t>(read), static_cast<size_t>(read) < size ? End::kBlocked : End::kDone};
}

Socket::Result Socket::Write(const iovec* parts, int count) {
  if (state_ != State::kOpen) return {0, End::kBlocked};
  if (ssl_ != nullptr) {
    const void* from = parts[0].iov_base;
    size_t size = parts[0].iov_len;
    // Copied together into one record, which costs less than a record each. A write that was blocked is tried again
    // with the same bytes and more, never with fewer: OpenSSL would end the connection. The last part may have grown
    // since.
    if (count > 1 && size < kRecordBytes) {
      together_.clear();
      for (int i = 0; i < count && together_.size() < kRecordBytes; ++i) {
        together_.append(static_cast<const char*>(parts[i].iov_base),
                         std::min(parts[i].iov_len, kRecordBytes - together_.size()));
      }
      from = together_.data();
      size = together_.size();
    }
    ERR_clear_error();
    return FromSsl(SSL_write(ssl_, from, static_cast<int>(std::min(size, kRecordBytes))));
  }
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = count;
  const ssize_t written = sendmsg(fd_, &message, MSG_NOSIGNAL);
  if (written < 0) {
    Result result = FromErrno();
    result.waits_to_write = result.end == End::kBlocked;
    return result;
  }
  return {static_cast<size_t>(written), End::kDone};
}

}  // namespace barid::edge::h2
