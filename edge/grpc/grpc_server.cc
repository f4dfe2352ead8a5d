#include "edge/grpc/grpc_server.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "base/mutex.h"
#include "edge/grpc/accepted_call.h"
#include "edge/grpc/message.h"
#include "edge/grpc/polling_queue.h"
#include "edge/grpc/stream_call.h"
#include "edge/grpc/unary_call.h"

namespace barid::edge {
namespace {

// How many calls of one method may arrive at one queue between two looks at it before grpc-core takes a slower path.
constexpr int kUnaryAcceptors = 32;
constexpr int kStreamAcceptors = 8;
constexpr int kUnknownAcceptors = 2;

// What connections need before they carry anything.
constexpr size_t kQuotaFloor = size_t{64} << 20;

// Waits for one call of `method` at a time, hands it to `begin`, and waits for the next. Null is a method that no one
// serves. The queue's thread only; deletes itself when the server is down.
class Acceptor final : public Event {
 public:
  using Begin = std::function<void(const AcceptedCall&)>;

  // `asking` is held while grpc-core is asked for a call (see GrpcServer::ShutDown).
  Acceptor(grpc_server* server, void* method, bool reads_payload, grpc_completion_queue* cq, Mutex* asking,
           const Begin* begin, const std::function<void()>* on_gone)
      : server_(server),
        method_(method),
        reads_payload_(reads_payload),
        cq_(cq),
        asking_(asking),
        begin_(begin),
        on_gone_(on_gone) {
    grpc_metadata_array_init(&accepted_.metadata);
    grpc_call_details_init(&details_);
    Accept();
  }
  ~Acceptor() {
    grpc_metadata_array_destroy(&accepted_.metadata);
    grpc_call_details_destroy(&details_);
    (*on_gone_)();
  }

  void Run(bool ok) override {
    if (!ok) {
      delete this;
      return;
    }
    if (method_ == nullptr) {
      Refuse(accepted_.call, absl::UnimplementedError(absl::StrCat("unknown method ", SliceView(details_.method))));
      grpc_call_details_destroy(&details_);
      grpc_call_details_init(&details_);
    } else {
      (*begin_)(accepted_);
    }
    Accept();
  }

 private:
  void Accept() {
    accepted_.payload = nullptr;
    accepted_.metadata.count = 0;
    const grpc_call_error error = Ask();
    if (error == GRPC_CALL_OK) return;
    CHECK(error == GRPC_CALL_ERROR_COMPLETION_QUEUE_SHUTDOWN) << error;
    delete this;
  }

  grpc_call_error Ask() {
    MutexLock lock(asking_);
    if (method_ == nullptr) {
      return grpc_server_request_call(server_, &accepted_.call, &details_, &accepted_.metadata, cq_, cq_,
                                      static_cast<Event*>(this));
    }
    return grpc_server_request_registered_call(server_, method_, &accepted_.call, &accepted_.deadline,
                                               &accepted_.metadata, reads_payload_ ? &accepted_.payload : nullptr, cq_,
                                               cq_, static_cast<Event*>(this));
  }

  grpc_server* const server_;
  void* const method_;
  const bool reads_payload_;
  grpc_completion_queue* const cq_;
  Mutex* const asking_;
  const Begin* const begin_;
  const std::function<void()>* const on_gone_;
  AcceptedCall accepted_;
  grpc_call_details details_;
};

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(duration), std::numeric_limits<int>::max()));
}

// Channel arguments by name; `pointer` arguments are borrowed until the server is made.
class ChannelArgs {
 public:
  void Set(const char* name, int64_t value) {
    grpc_arg arg = {};
    arg.type = GRPC_ARG_INTEGER;
    arg.key = const_cast<char*>(name);
    arg.value.integer = static_cast<int>(std::min<int64_t>(value, std::numeric_limits<int>::max()));
    args_.push_back(arg);
  }
  void Set(const char* name, void* pointer, const grpc_arg_pointer_vtable* vtable) {
    grpc_arg arg = {};
    arg.type = GRPC_ARG_POINTER;
    arg.key = const_cast<char*>(name);
    arg.value.pointer.p = pointer;
    arg.value.pointer.vtable = vtable;
    args_.push_back(arg);
  }
  grpc_channel_args Get() { return {args_.size(), args_.data()}; }

 private:
  std::vector<grpc_arg> args_;
};

grpc_server* CreateServer(const GrpcServerOptions& options) {
  const PortLimits& limits = options.limits;
  // What grpc-core reads, parses and keeps for calls and connections; past it, it stops reading and then cancels.
  grpc_resource_quota* quota = grpc_resource_quota_create("edge");
  grpc_resource_quota_resize(quota, kQuotaFloor + 4 * limits.max_inflight_request_bytes);

  ChannelArgs args;
  args.Set(GRPC_ARG_RESOURCE_QUOTA, quota, grpc_resource_quota_arg_vtable());
  args.Set(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, limits.max_request_bytes);
  args.Set(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1);
  args.Set(GRPC_ARG_MAX_METADATA_SIZE, limits.max_metadata_bytes);
  args.Set(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams_per_connection);
  args.Set(GRPC_ARG_ALLOW_REUSEPORT, 0);  // A port in use is an error, not a share of its clients.
  // Clients ping as they like (client contract, section 12.0).
  args.Set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  args.Set(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  args.Set(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.Set(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_time));
  args.Set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive_timeout));
  // What nobody looks at costs nothing.
  args.Set(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  args.Set(GRPC_ARG_ENABLE_CHANNELZ, 0);

  const grpc_channel_args channel_args = args.Get();
  grpc_server* server = grpc_server_create(&channel_args, nullptr);
  grpc_resource_quota_unref(quota);
  return server;
}

grpc_server_credentials* CreateCredentials(const GrpcServerOptions& options) {
  if (options.tls_certificate_chain.empty()) return grpc_insecure_server_credentials_create();
  grpc_ssl_pem_key_cert_pair pair = {options.tls_private_key.c_str(), options.tls_certificate_chain.c_str()};
  return grpc_ssl_server_credentials_create_ex(nullptr, &pair, 1, GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, nullptr);
}

class GrpcServer final : public Server {
 public:
  GrpcServer(const GrpcServerOptions& options, MethodTable table)
      : table_(std::move(table)), server_(CreateServer(options)) {}

  ~GrpcServer() override {
    if (started_) Drain(absl::ZeroDuration());
    grpc_server_destroy(server_);
    grpc_shutdown();
  }

  absl::Status Start(const GrpcServerOptions& options);

  const std::string& address() const override { return address_; }
  void Drain(absl::Duration grace) override;

 private:
  // This server's part in one queue. The queue's thread only, once it is made.
  struct Worker final : public Event {
    // The last of what the server has on the queue is gone: it is down there.
    void Gone() {
      if (--parts > 0) return;
      queue->Detach();
      on_down();
    }
    void Run(bool) override { Gone(); }  // The server is shut down.

    std::shared_ptr<PollingQueue> queue;
    Mutex asking;
    std::vector<std::unique_ptr<Acceptor::Begin>> begins;
    std::function<void()> on_down;
    std::function<void()> on_acceptor_gone = [this] { Gone(); };
    int parts = 1;  // The server and its acceptors.
  };
  struct RegisteredMethod {
    std::string name;
    void* handle = nullptr;
    const UnaryHandler* unary = nullptr;  // One of the two.
    const StreamFactory* stream = nullptr;
  };

  absl::Status Listen(const GrpcServerOptions& options);
  void StartWorker(Worker* worker, std::shared_ptr<ByteBudget> budget);
  void ShutDown();

  const MethodTable table_;
  grpc_server* const server_;
  std::vector<RegisteredMethod> methods_;
  std::shared_ptr<PollingThreads> polling_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::string address_;
  bool started_ = false;
  bool drained_ = false;

  Mutex mu_;
  CondVar down_changed_;
  size_t workers_down_ ABSL_GUARDED_BY(mu_) = 0;
};

absl::Status GrpcServer::Start(const GrpcServerOptions& options) {
  for (const auto& [name, handler] : table_.unary) {
    void* handle =
        grpc_server_register_method(server_, name.c_str(), nullptr, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    if (handle == nullptr) return absl::InvalidArgumentError(absl::StrCat("method name cannot be served: ", name));
    methods_.push_back({name, handle, &handler, nullptr});
  }
  for (const auto& [name, factory] : table_.streams) {
    void* handle = grpc_server_register_method(server_, name.c_str(), nullptr, GRPC_SRM_PAYLOAD_NONE, 0);
    if (handle == nullptr) return absl::InvalidArgumentError(absl::StrCat("method name cannot be served: ", name));
    methods_.push_back({name, handle, nullptr, &factory});
  }
  polling_ =
      options.polling != nullptr ? options.polling : std::make_shared<PollingThreads>(std::max(1, options.threads));
  for (const auto& queue : polling_->queues()) {
    CHECK(queue->Attach()) << "the polling threads have ended with their last server";
    auto worker = std::make_unique<Worker>();
    worker->queue = queue;
    worker->on_down = [this] {
      MutexLock lock(&mu_);
      ++workers_down_;
      down_changed_.SignalAll();
    };
    grpc_server_register_completion_queue(server_, queue->cq(), nullptr);
    workers_.push_back(std::move(worker));
  }
  const absl::Status listening = Listen(options);
  // Only a started server can be destroyed; one without a port is started and drained at once.
  grpc_server_start(server_);
  started_ = true;
  const auto budget = std::make_shared<ByteBudget>(options.limits.max_inflight_request_bytes);
  for (const auto& worker : workers_) StartWorker(worker.get(), budget);
  return listening;
}

absl::Status GrpcServer::Listen(const GrpcServerOptions& options) {
  const size_t colon = options.address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("listen address has no port: ", options.address));
  }
  if (options.tls_certificate_chain.empty() != options.tls_private_key.empty()) {
    return absl::InvalidArgumentError("TLS needs both a certificate chain and a private key");
  }
  grpc_server_credentials* credentials = CreateCredentials(options);
  if (credentials == nullptr) return absl::InvalidArgumentError("the TLS certificate or key cannot be used");
  const int port = grpc_server_add_http2_port(server_, options.address.c_str(), credentials);
  grpc_server_credentials_release(credentials);
  if (port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.address, "; is the port in use?"));
  }
  address_ = absl::StrCat(options.address.substr(0, colon), ":", port);
  return absl::OkStatus();
}

void GrpcServer::StartWorker(Worker* worker, std::shared_ptr<ByteBudget> budget) {
  const std::shared_ptr<PollingQueue> queue = worker->queue;
  // What the acceptors are told, before the queue's thread can hear of the first.
  struct Wanted {
    void* handle;
    bool reads_payload;
    int acceptors;
    const Acceptor::Begin* begin;
  };
  std::vector<Wanted> all;
  const auto accept = [&](void* handle, bool reads_payload, int acceptors, Acceptor::Begin begin) {
    worker->begins.push_back(std::make_unique<Acceptor::Begin>(std::move(begin)));
    worker->parts += acceptors;
    all.push_back({handle, reads_payload, acceptors, worker->begins.back().get()});
  };
  for (const RegisteredMethod& method : methods_) {
    if (method.unary != nullptr) {
      auto unary = std::make_shared<UnaryMethod>(method.name, method.unary, queue, budget);
      queue->Keep(unary);  // Calls may outlive the server.
      accept(method.handle, true, kUnaryAcceptors,
             [unary = unary.get()](const AcceptedCall& accepted) { unary->Begin(accepted); });
    } else {
      accept(method.handle, false, kStreamAcceptors, [&method, queue](const AcceptedCall& accepted) {
        BeginStream(method.name, *method.stream, accepted, queue);
      });
    }
  }
  accept(nullptr, false, kUnknownAcceptors, nullptr);
  for (const Wanted& wanted : all) {
    // They delete themselves at shutdown.
    for (int i = 0; i < wanted.acceptors; ++i) {
      new Acceptor(server_, wanted.handle, wanted.reads_payload, queue->cq(), &worker->asking, wanted.begin,
                   &worker->on_acceptor_gone);
    }
  }
}

// While no acceptor asks for a call: grpc-core 1.51 looks whether the server is shut down, and then puts the request
// into a list. One that is put there after the shutdown has emptied the list is never heard of again, and the server
// not down.
void GrpcServer::ShutDown() {
  std::vector<std::unique_ptr<MutexLock>> nobody_asks;
  for (const auto& worker : workers_) nobody_asks.push_back(std::make_unique<MutexLock>(&worker->asking));
  for (const auto& worker : workers_) {
    grpc_server_shutdown_and_notify(server_, worker->queue->cq(), static_cast<Event*>(worker.get()));
  }
}

void GrpcServer::Drain(absl::Duration grace) {
  if (drained_) return;
  drained_ = true;
  const absl::Time end = absl::Now() + grace;
  ShutDown();
  MutexLock lock(&mu_);
  while (workers_down_ < workers_.size()) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    down_changed_.WaitFor(&mu_, std::min(left, absl::Hours(1)));
  }
  if (workers_down_ == workers_.size()) return;
  grpc_server_cancel_all_calls(server_);
  while (workers_down_ < workers_.size()) down_changed_.Wait(&mu_);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> ServeGrpc(const GrpcServerOptions& options, MethodTable table) {
  // Debian builds Abseil with assertions, and so every lock inside gRPC is entered in a graph of the whole process to
  // look for cycles. That costs 5 % of an echo call on one thread, and one lock for all threads.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc_init();  // Balanced by ~GrpcServer.
  auto server = std::make_unique<GrpcServer>(options, std::move(table));
  if (absl::Status status = server->Start(options); !status.ok()) return status;
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace barid::edge
