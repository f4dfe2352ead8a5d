#include "edge/h2/h2_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status.h"
#include "edge/h2/arrival.h"
#include "edge/h2/port.h"
#include "edge/h2/server_connection.h"

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

// One port on one loop: its listening socket, and the clock for its connections.
class Acceptor final : public Watched, public Alarm {
 public:
  Acceptor(std::shared_ptr<Loop> loop, std::shared_ptr<Port> port, int fd, std::function<void()> on_empty) : fd_(fd) {
    home_->loop = std::move(loop);
    home_->port = std::move(port);
    on_empty_ = std::move(on_empty);
  }
  ~Acceptor() { CHECK_EQ(fd_, -1) << "the port still listens"; }

  // The rest on the loop's thread.
  void Start() {
    Listen();
    home_->loop->Set(this, home_->loop->now() + kLookEvery);
  }
  void Drain() {
    Stop();
    GiveUpArrivals(home_->loop->now(), "the server stops");
    home_->on_empty = on_empty_;
    if (home_->connections.empty()) return on_empty_();
    for (const auto& connection : Connections()) connection->Drain();
  }
  void CloseAll() {
    for (const auto& connection : Connections()) connection->Close("the server stops");
  }
  // Nothing of it is on the loop any more.
  void End() {
    Stop();
    GiveUpArrivals(home_->loop->now(), "the server stops");
    CloseAll();
    home_->on_empty = nullptr;
    home_->loop->Unset(this);
  }

  void OnReady(uint32_t events) override {
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
      Accept(fd, from);
    }
  }

  void OnAlarm() override {
    if (std::exchange(is_paused_, false)) Listen();
    for (const auto& connection : Connections()) connection->Look();
    GiveUpArrivals(home_->loop->now() - home_->port->options.limits.handshake_timeout, "no header in time");
    if (home_->port->keys != nullptr) home_->port->keys->ReloadIfChanged();
    home_->loop->Set(this, home_->loop->now() + kLookEvery);
  }

 private:
  void Listen() { home_->loop->Watch(fd_, EPOLLIN, this); }
  void Stop() {
    if (fd_ == -1) return;
    if (!std::exchange(is_paused_, false)) home_->loop->Forget(fd_);
    close(std::exchange(fd_, -1));
  }

  void Accept(int fd, const SocketAddress& from) {
    auto [peer, address] = Describe(from);
    const int one = 1;
    if (from.any.sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (!home_->port->options.proxy_protocol) return Admit(fd, std::move(peer), std::move(address));
    if (arrivals_.size() >= static_cast<size_t>(home_->port->options.limits.max_connections)) {
      close(fd);
      return;
    }
    auto arrival = std::make_shared<Arrival>(
        home_, fd, peer,
        [this, peer = peer, address = address](Arrival* arrived, int arrived_fd, std::string told_peer,
                                               std::string told_address) {
          const auto place = arrivals_.find(arrived);
          home_->loop->Retire(std::move(place->second));
          arrivals_.erase(place);
          if (arrived_fd == -1) return;
          if (told_peer.empty()) return Admit(arrived_fd, peer, address);
          Admit(arrived_fd, std::move(told_peer), std::move(told_address));
        });
    arrivals_.emplace(arrival.get(), arrival);
  }

  // Makes a connection of `fd`. `address` is the peer's without port.
  void Admit(int fd, std::string peer, std::string address) {
    if (!home_->port->counts.Add(address)) {
      close(fd);
      return;
    }
    auto connection = std::make_shared<ServerConnection>(home_, fd, std::move(address), std::move(peer));
    ServerConnection* const raw = connection.get();
    home_->connections.emplace(raw, std::move(connection));
    raw->Open();
  }

  // Those that began to arrive before `time` never will.
  void GiveUpArrivals(absl::Duration time, absl::string_view why) {
    std::vector<std::shared_ptr<Arrival>> late;
    for (const auto& [raw, arrival] : arrivals_) {
      if (arrival->since() <= time) late.push_back(arrival);
    }
    for (const auto& arrival : late) arrival->GiveUp(why);
  }

  // A copy: they go while one looks at them.
  std::vector<std::shared_ptr<ServerConnection>> Connections() const {
    std::vector<std::shared_ptr<ServerConnection>> all;
    all.reserve(home_->connections.size());
    for (const auto& [raw, connection] : home_->connections) all.push_back(connection);
    return all;
  }

  const std::shared_ptr<LoopPort> home_ = std::make_shared<LoopPort>();
  absl::flat_hash_map<Arrival*, std::shared_ptr<Arrival>> arrivals_;
  std::function<void()> on_empty_;
  int fd_;
  bool is_paused_ = false;
};

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

class H2Server final : public Server {
 public:
  H2Server(const H2ServerOptions& options, MethodTable table)
      : loops_(options.loops != nullptr ? options.loops : std::make_shared<LoopThreads>(std::max(1, options.threads))),
        port_(std::make_shared<Port>(options, std::move(table))) {}
  ~H2Server() override { Drain(absl::ZeroDuration()); }

  absl::Status Start();
  const std::string& address() const override { return address_; }
  void Drain(absl::Duration grace) override;

 private:
  // On every loop; waits for it.
  void RunOnAll(const std::function<void(Acceptor*)>& task);

  const std::shared_ptr<LoopThreads> loops_;
  const std::shared_ptr<Port> port_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::string address_;
  std::string unix_path_;

  Mutex mu_;
  CondVar changed_;
  size_t empty_ ABSL_GUARDED_BY(mu_) = 0;  // Loops that have no connections left, once it drains.
};

absl::Status H2Server::Start() {
  const H2ServerOptions& options = port_->options;
  if (options.tls.certificate_chain.empty() != options.tls.private_key.empty()) {
    return absl::InvalidArgumentError("TLS needs a certificate chain and its private key; one of them is missing");
  }
  if (!options.tls.certificate_chain.empty()) {
    ASSIGN_OR_RETURN(port_->keys, TlsKeys::Load(options.tls));
    // OpenSSL writes with write(2).
    static const bool ignores_pipes = signal(SIGPIPE, SIG_IGN) != SIG_ERR;
    (void)ignores_pipes;
  }
  ASSIGN_OR_RETURN(Resolved to, Resolve(options.address));
  const bool is_unix = to.address.any.sa_family == AF_UNIX;
  const size_t loops = is_unix ? 1 : loops_->loops().size();
  if (is_unix) RemoveLeftOverSocket(to.address, to.size);
  // A port that several sockets share would be shared with another process too. So one that shares nothing takes it
  // first.
  ASSIGN_OR_RETURN(const int first, Bind(options.address, to, /*shares_port=*/false, /*listens=*/loops == 1));
  std::vector<int> sockets = {first};
  SocketAddress bound = {};
  socklen_t size = sizeof(bound);
  getsockname(first, &bound.any, &size);
  if (is_unix) {
    address_ = options.address;
    unix_path_ = options.address.substr(kUnixPrefix.size());
  } else {
    (to.address.any.sa_family == AF_INET ? to.address.v4.sin_port : to.address.v6.sin6_port) =
        bound.any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port;
    address_ =
        absl::StrCat(to.host, ":", ntohs(to.address.any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port));
  }
  if (loops > 1) {
    close(first);
    sockets.clear();
    for (size_t i = 0; i < loops; ++i) {
      const absl::StatusOr<int> fd = Bind(options.address, to, /*shares_port=*/true, /*listens=*/true);
      if (!fd.ok()) {
        for (const int other : sockets) close(other);
        return fd.status();
      }
      sockets.push_back(*fd);
    }
  }
  for (size_t i = 0; i < loops; ++i) {
    acceptors_.push_back(std::make_unique<Acceptor>(loops_->loops()[i], port_, sockets[i], [this] {
      MutexLock lock(&mu_);
      ++empty_;
      changed_.SignalAll();
    }));
  }
  RunOnAll([](Acceptor* acceptor) { acceptor->Start(); });
  return absl::OkStatus();
}

void H2Server::RunOnAll(const std::function<void(Acceptor*)>& task) {
  size_t left = acceptors_.size();
  Mutex mu;
  CondVar done;
  for (size_t i = 0; i < acceptors_.size(); ++i) {
    // The loops end after their last server.
    loops_->loops()[i]->RunSoon([&, i] {
      task(acceptors_[i].get());
      MutexLock lock(&mu);
      --left;
      done.SignalAll();
    });
  }
  MutexLock lock(&mu);
  while (left > 0) done.Wait(&mu);
}

void H2Server::Drain(absl::Duration grace) {
  if (acceptors_.empty()) return;
  const absl::Time end = absl::Now() + grace;
  // While it still listens: later the file may be a successor's.
  if (const std::string path = std::exchange(unix_path_, {}); !path.empty()) ::unlink(path.c_str());
  RunOnAll([](Acceptor* acceptor) { acceptor->Drain(); });
  {
    MutexLock lock(&mu_);
    while (empty_ < acceptors_.size()) {
      const absl::Duration left = end - absl::Now();
      if (left <= absl::ZeroDuration()) break;
      changed_.WaitFor(&mu_, std::min(left, absl::Hours(1)));
    }
  }
  RunOnAll([](Acceptor* acceptor) { acceptor->End(); });
  acceptors_.clear();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> ServeH2(const H2ServerOptions& options, MethodTable table) {
  auto server = std::make_unique<H2Server>(options, std::move(table));
  if (absl::Status status = server->Start(); !status.ok()) return status;
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace barid::edge::h2
