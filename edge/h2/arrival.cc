#include "edge/h2/arrival.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/log.h"
#include "edge/h2/proxy_protocol.h"

namespace barid::edge::h2 {

Arrival::Arrival(std::shared_ptr<LoopPort> home, int fd, std::string peer, OnArrived on_arrived)
    : home_(std::move(home)),
      peer_(std::move(peer)),
      on_arrived_(std::move(on_arrived)),
      since_(home_->loop->now()),
      fd_(fd) {
  // What is not whole is left in the socket, so only news must wake us.
  home_->loop->Watch(fd_, EPOLLIN | EPOLLET, this);
}

Arrival::~Arrival() {
  if (fd_ != -1) close(fd_);
}

void Arrival::OnReady(uint32_t events) {
  if (fd_ == -1) return;
  char bytes[kMaxProxyHeaderBytes];
  const ssize_t size = recv(fd_, bytes, sizeof(bytes), MSG_PEEK);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (size <= 0) return GiveUp("the peer went");
  absl::StatusOr<std::optional<ProxyHeader>> header = ParseProxyHeader({bytes, static_cast<size_t>(size)});
  if (!header.ok()) return GiveUp(header.status().message());
  if (!header->has_value()) return;
  if (recv(fd_, bytes, (*header)->bytes, 0) != static_cast<ssize_t>((*header)->bytes)) return GiveUp("the peer went");
  home_->loop->Forget(fd_);
  on_arrived_(this, std::exchange(fd_, -1), std::move((*header)->peer), std::move((*header)->address));
}

void Arrival::GiveUp(absl::string_view why) {
  if (fd_ == -1) return;
  if (const std::optional<int> left_out = home_->warnings.Take(home_->loop->now())) {
    LOG(WARNING) << "a connection is closed before its PROXY header came" << KV("peer", peer_) << KV("why", why)
                 << KV("lines_left_out", *left_out);
  }
  home_->loop->Forget(fd_);
  close(std::exchange(fd_, -1));
  on_arrived_(this, -1, "", "");
}

}  // namespace barid::edge::h2
