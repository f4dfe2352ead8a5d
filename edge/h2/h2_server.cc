#include "edge/h2/h2_server.h"

#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "edge/h2/acceptor.h"
#include "edge/h2/port.h"

namespace barid::edge::h2 {
namespace {

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
  if (options.tls.certificate_chain.empty() && !options.tls.client_authorities.empty()) {
    return absl::InvalidArgumentError(
        "authorities of clients are of use with TLS only, and there is no certificate chain");
  }
  if (options.tls.requires_client_certificate && options.tls.client_authorities.empty()) {
    return absl::InvalidArgumentError("clients need a certificate, and there are no authorities to check it by");
  }
  if (!options.tls.certificate_chain.empty()) {
    ASSIGN_OR_RETURN(port_->keys, TlsKeys::Load(options.tls));
    // OpenSSL writes with write(2).
    static const bool ignores_pipes = signal(SIGPIPE, SIG_IGN) != SIG_ERR;
    (void)ignores_pipes;
  }
  ASSIGN_OR_RETURN(Listening listening, ListenOn(options.address, loops_->loops().size()));
  address_ = std::move(listening.address);
  unix_path_ = std::move(listening.unix_path);
  for (size_t i = 0; i < listening.sockets.size(); ++i) {
    acceptors_.push_back(std::make_unique<Acceptor>(loops_->loops()[i], port_, listening.sockets[i], [this] {
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
