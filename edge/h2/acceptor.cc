#include "edge/h2/acceptor.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace barid::edge::h2 {
namespace {

constexpr absl::string_view kUnixPrefix = "unix:";
constexpr int kBacklog = 1024;
// Connections of one wake-up; more come with the next.
constexpr int kMostAccepts = 64;
constexpr absl::Duration kLookEvery = absl::Seconds(1);
// Until the process may have descriptors again.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un local;
  sockaddr_storage room;
};

// "ipv4:127.0.0.1:4711", and the address alone.
std::pair<std::string, std::string> Describe(const SocketAddress& from) {
  char text[INET6_ADDRSTRLEN] = {};
  if (from.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &from.v4.sin_addr, text, sizeof(text));
    return {absl::StrCat("ipv4:", text, ":", ntohs(from.v4.sin_port)), text};
  }
  if (from.any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &from.v6.sin6_addr, text, sizeof(text));
    if (IN6_IS_ADDR_V4MAPPED(&from.v6.sin6_addr)) {
      const std::string v4(text + strlen("::ffff:"));
      return {absl::StrCat("ipv4:", v4, ":", ntohs(from.v6.sin6_port)), v4};
    }
    return {absl::StrCat("ipv6:[", text, "]:", ntohs(from.v6.sin6_port)), text};
  }
  return {"unix:", "unix"};
}

absl::Status ListenError(const std::string& address, absl::string_view step) {
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, " (", step, ": ", strerror(errno), "); is the port in use?"));
}

struct Resolved {
  SocketAddress address = {};
  socklen_t size = 0;
  std::string host;  // As it was written.
};

absl::StatusOr<Resolved> Resolve(const std::string& address) {
  Resolved resolved;
  if (absl::StartsWith(address, kUnixPrefix)) {
    const std::string path = address.substr(kUnixPrefix.size());
    if (path.empty() || path.size() >= sizeof(resolved.address.local.sun_path)) {
      return absl::InvalidArgumentError(absl::StrCat("listen address has a path that is empty or too long: ", address));
    }
    resolved.address.local = {};  // The union was made as its first member, which is shorter.
    resolved.address.local.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), resolved.address.local.sun_path);
    resolved.size = sizeof(sockaddr_un);
    return resolved;
  }
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("listen address has no port: ", address));
  }
  resolved.host = address.substr(0, colon);
  std::string host = resolved.host;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(host.empty() ? nullptr : host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address ", address, " cannot be resolved: ", gai_strerror(error)));
  }
  std::memcpy(&resolved.address, found->ai_addr, found->ai_addrlen);
  resolved.size = found->ai_addrlen;
  freeaddrinfo(found);
  return resolved;
}

// A server that was killed leaves its socket's file behind, and nobody listens there any more.
void RemoveLeftOverSocket(const SocketAddress& at, socklen_t size) {
  struct stat file;
  if (lstat(at.local.sun_path, &file) != 0 || !S_ISSOCK(file.st_mode)) return;
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connect(probe, &at.any, size) != 0 && errno == ECONNREFUSED) ::unlink(at.local.sun_path);
  close(probe);
}

// A socket that is bound, and listens if it is to.
absl::StatusOr<int> Bind(const std::string& name, const Resolved& to, bool shares_port, bool listens) {
  const int fd = socket(to.address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ListenError(name, "socket");
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (shares_port) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
  absl::string_view step = "bind";
  if (bind(fd, &to.address.any, to.size) == 0) {
    if (!listens) return fd;
    step = "listen";
    if (listen(fd, kBacklog) == 0) return fd;
  }
  const absl::Status error = ListenError(name, step);
  close(fd);
  return error;
}

}  // namespace

absl::StatusOr<Listening> ListenOn(const std::string& address, size_t sockets) {
  ASSIGN_OR_RETURN(Resolved to, Resolve(address));
  const bool is_unix = to.address.any.sa_family == AF_UNIX;
  if (is_unix) {
    sockets = 1;
    RemoveLeftOverSocket(to.address, to.size);
  }
  // A port that several sockets share would be shared with another process too. So one that shares nothing takes it
  // first.
  ASSIGN_OR_RETURN(const int first, Bind(address, to, /*shares_port=*/false, /*listens=*/sockets == 1));
  Listening listening = {.sockets = {first}, .address = address, .unix_path = {}};
  if (is_unix) {
    listening.unix_path = address.substr(kUnixPrefix.size());
    return listening;
  }
  SocketAddress bound = {};
  socklen_t size = sizeof(bound);
  getsockname(first, &bound.any, &size);
  const in_port_t port = bound.any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port;
  (to.address.any.sa_family == AF_INET ? to.address.v4.sin_port : to.address.v6.sin6_port) = port;
  listening.address = absl::StrCat(to.host, ":", ntohs(port));
  if (sockets == 1) return listening;
  close(first);
  listening.sockets.clear();
  for (size_t i = 0; i < sockets; ++i) {
    const absl::StatusOr<int> fd = Bind(address, to, /*shares_port=*/true, /*listens=*/true);
    if (!fd.ok()) {
      for (const int other : listening.sockets) close(other);
      return fd.status();
    }
    listening.sockets.push_back(*fd);
  }
  return listening;
}

Acceptor::Acceptor(std::shared_ptr<Loop> loop, std::shared_ptr<Port> port, int fd, std::function<void()> on_empty)
    : on_empty_(std::move(on_empty)), fd_(fd) {
  home_->loop = std::move(loop);
  home_->port = std::move(port);
}

Acceptor::~Acceptor() { CHECK_EQ(fd_, -1) << "the port still listens"; }

void Acceptor::Start() {
  Listen();
  home_->loop->Set(this, home_->loop->now() + kLookEvery);
}

void Acceptor::Drain() {
  Stop();
  GiveUpArrivals(home_->loop->now(), "the server stops");
  home_->on_empty = on_empty_;
  if (home_->connections.empty()) return on_empty_();
  for (const auto& connection : Connections()) connection->Drain();
}

void Acceptor::End() {
  Stop();
  GiveUpArrivals(home_->loop->now(), "the server stops");
  for (const auto& connection : Connections()) connection->Close("the server stops");
  home_->on_empty = nullptr;
  home_->loop->Unset(this);
}

void Acceptor::OnReady(uint32_t events) {
  for (int i = 0; i < kMostAccepts; ++i) {
    SocketAddress from = {};
    socklen_t size = sizeof(from);
    const int fd = accept4(fd_, &from.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        LOG(WARNING) << "cannot accept a connection" << KV("error", strerror(errno));
        home_->loop->Forget(fd_);
        is_paused_ = true;
        home_->loop->Set(this, home_->loop->now() + kAcceptPause);
        return;
      }
      continue;  // That one is gone.
    }
    if (from.any.sa_family != AF_UNIX) {
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    auto [peer, address] = Describe(from);
    Accept(fd, std::move(peer), std::move(address));
  }
}

void Acceptor::OnAlarm() {
  if (std::exchange(is_paused_, false)) Listen();
  for (const auto& connection : Connections()) connection->Look();
  GiveUpArrivals(home_->loop->now() - home_->port->options.limits.handshake_timeout, "no header in time");
  if (home_->port->keys != nullptr) home_->port->keys->ReloadIfChanged();
  home_->loop->Set(this, home_->loop->now() + kLookEvery);
}

void Acceptor::Listen() { home_->loop->Watch(fd_, EPOLLIN, this); }

void Acceptor::Stop() {
  if (fd_ == -1) return;
  if (!std::exchange(is_paused_, false)) home_->loop->Forget(fd_);
  close(std::exchange(fd_, -1));
}

void Acceptor::Accept(int fd, std::string peer, std::string address) {
  const bool has_header = home_->port->options.proxy_protocol;
  ConnectionCounts& all = home_->port->counts;
  if (!(has_header ? all.AddArrival() : all.Add(address))) {
    close(fd);
    return;
  }
  if (!has_header) return Admit(fd, std::move(peer), std::move(address));
  const auto on_arrived = [this, peer, address](Arrival* arrived, int arrived_fd, std::string told_peer,
                                                std::string told_address) {
    const auto place = arrivals_.find(arrived);
    home_->loop->Retire(std::move(place->second));
    arrivals_.erase(place);
    ConnectionCounts& counts = home_->port->counts;
    if (arrived_fd == -1) return counts.RemoveArrival();
    if (told_peer.empty()) {  // The header names nobody.
      told_peer = peer;
      told_address = address;
    }
    if (!counts.AddArrived(told_address)) {
      close(arrived_fd);
      return;
    }
    Admit(arrived_fd, std::move(told_peer), std::move(told_address));
  };
  auto arrival = std::make_shared<Arrival>(home_, fd, std::move(peer), on_arrived);
  arrivals_.emplace(arrival.get(), arrival);
}

void Acceptor::Admit(int fd, std::string peer, std::string address) {
  auto connection = std::make_shared<ServerConnection>(home_, fd, std::move(address), std::move(peer));
  ServerConnection* const raw = connection.get();
  home_->connections.emplace(raw, std::move(connection));
  raw->Open();
}

void Acceptor::GiveUpArrivals(absl::Duration time, absl::string_view why) {
  std::vector<std::shared_ptr<Arrival>> late;
  for (const auto& [raw, arrival] : arrivals_) {
    if (arrival->since() <= time) late.push_back(arrival);
  }
  for (const auto& arrival : late) arrival->GiveUp(why);
}

std::vector<std::shared_ptr<ServerConnection>> Acceptor::Connections() const {
  std::vector<std::shared_ptr<ServerConnection>> all;
  all.reserve(home_->connections.size());
  for (const auto& [raw, connection] : home_->connections) all.push_back(connection);
  return all;
}

}  // namespace barid::edge::h2
