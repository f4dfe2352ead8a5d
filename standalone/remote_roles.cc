// The roles as processes of their own, which reach each other over gRPC.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/awaited.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status.h"
#include "broker/grpc/broker_service.h"
#include "controller/grpc/controller_service.h"
#include "edge/h2/h2_client.h"
#include "edge/h2/h2_server.h"
#include "proxy/grpc/remote_brokers.h"
#include "rpc/channel.h"
#include "rpc/controller_client.h"
#include "rpc/server.h"
#include "standalone/roles.h"

namespace barid {
namespace {

// How long streams between our processes may take to end when one of them drains.
constexpr absl::Duration kStreamGrace = absl::Seconds(3);

// The controller, from another process.
class RemoteController {
 public:
  explicit RemoteController(const Settings& settings) : executor_(NewThreadExecutor("barid-control")) {
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (const std::string& endpoint : settings.controller_endpoints) channels.push_back(rpc::OpenChannel(endpoint));
    client_ = std::make_unique<rpc::ControllerClient>(std::move(channels), executor_.get(), RealRandom(),
                                                      rpc::ControllerClientOptions());
  }
  ~RemoteController() { Close(); }

  ControllerApi* api() { return client_.get(); }
  // Answers every call that is left.
  void Close() { client_ = nullptr; }

  // Waits for the first snapshot. Blocks.
  absl::Status WaitForSnapshot(absl::Duration patience) {
    auto arrived = std::make_shared<Awaited<bool>>();
    client_->Watch([arrived](std::shared_ptr<const Metadata> metadata) {
      if (metadata->revision() > 0) arrived->Set(true);
    });
    if (!arrived->WaitFor(patience)) {
      return absl::UnavailableError(absl::StrCat("no controller answered within ", absl::FormatDuration(patience),
                                                 "; check controller.endpoints"));
    }
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<rpc::ControllerClient> client_;
};

absl::Status CheckEndpoints(const Settings& settings) {
  if (settings.controller_endpoints.empty()) {
    return absl::InvalidArgumentError("controller.endpoints is empty, expected is host:port of a controller");
  }
  for (const std::string& endpoint : settings.controller_endpoints) {
    RETURN_IF_ERROR(SplitAddress("controller.endpoints", endpoint).status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunController(Settings settings, TerminationSignals* signals) {
  ProcessMetrics metrics(Role::kController);
  RETURN_IF_ERROR(SplitAddress("controller.listen", settings.controller_listen).status());
  ASSIGN_OR_RETURN(const std::unique_ptr<ControllerPart> controller, ControllerPart::Start(settings));
  controller::ControllerService service(controller->api());
  rpc::ServerOptions options;
  options.address = settings.controller_listen;
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::Server> server, rpc::Server::Start(options, {&service}));
  ASSIGN_OR_RETURN(const std::unique_ptr<OperatorPorts> ports,
                   OperatorPorts::Start(settings, nullptr, &metrics, nullptr));
  ports->SetServing(true);
  RETURN_IF_ERROR(AnnounceReady(
      RealEnv(), settings.data_dir,
      {{"controller", server->address()}, {"admin", ports->admin_address()}, {"metrics", ports->metrics_address()}}));
  signals->Wait();

  ports->SetServing(false);
  service.Drain();
  server->Drain(kStreamGrace);
  ports->Drain();
  return absl::OkStatus();
}

absl::Status RunBroker(Settings settings, TerminationSignals* signals) {
  RETURN_IF_ERROR(CheckEndpoints(settings));
  RETURN_IF_ERROR(SplitAddress("broker.listen", settings.broker_listen).status());
  ProcessMetrics metrics(Role::kBroker);
  RemoteController controller(settings);
  // The port is open before the broker registers its address; until it has started, the broker answers kUnavailable.
  broker::Broker broker(
      RealEnv(), RealClock(), RealRandom(), NewThreadExecutor, controller.api(), BrokerOptionsFor(settings),
      [signals](const absl::Status& why) { signals->End(why); }, metrics.broker());
  broker::BrokerService service(&broker);
  edge::MethodTable table;
  service.AddTo(&table);
  edge::h2::H2ServerOptions options;
  options.address = settings.broker_listen;
  options.limits = broker::BrokerService::Limits();
  options.metrics = metrics.broker_port();
  options.loops = std::make_shared<edge::h2::LoopThreads>(1);
  ASSIGN_OR_RETURN(const std::unique_ptr<edge::Server> server, edge::h2::ServeH2(options, std::move(table)));
  ASSIGN_OR_RETURN(const std::unique_ptr<OperatorPorts> ports,
                   OperatorPorts::Start(settings, options.loops, &metrics, nullptr));

  absl::Status status = broker.Start(settings.broker_advertise.empty() ? server->address() : settings.broker_advertise,
                                     settings.controller_patience);
  if (status.ok()) {
    ports->SetServing(true);
    status = AnnounceReady(
        RealEnv(), settings.data_dir,
        {{"broker", server->address()}, {"admin", ports->admin_address()}, {"metrics", ports->metrics_address()}});
  }
  if (status.ok()) {
    signals->Wait();
    ports->SetServing(false);
    broker.Drain();
    service.Drain();
  }
  broker.Stop();
  server->Drain(kStreamGrace);
  ports->Drain();
  return status.ok() ? signals->why() : status;
}

absl::Status RunProxy(Settings settings, TerminationSignals* signals) {
  RETURN_IF_ERROR(CheckEndpoints(settings));
  RemoteController controller(settings);
  RETURN_IF_ERROR(controller.WaitForSnapshot(settings.controller_patience));
  ProcessMetrics metrics(Role::kProxy);
  const std::unique_ptr<Executor> hop = NewThreadExecutor("barid-hop");
  const auto loops = NewPublicLoops(settings);
  // What brokers answer comes home on the thread that answers clients.
  proxy::RemoteBrokers brokers(
      controller.api(),
      [loops](const std::string& endpoint) {
        return std::shared_ptr<edge::Channel>(edge::h2::NewH2Channel({.address = endpoint, .loops = loops}));
      },
      {RealClock(), RealRandom(), hop.get()});
  ASSIGN_OR_RETURN(std::unique_ptr<ProxyPart> proxy,
                   ProxyPart::Start(settings, controller.api(), &brokers, loops, &metrics));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<OperatorPorts> ports,
      OperatorPorts::Start(settings, loops, &metrics, [&](edge::MethodTable* table) { proxy->AddAdmin(table); }));
  ports->SetServing(true);
  RETURN_IF_ERROR(AnnounceReady(
      RealEnv(), settings.data_dir,
      {{"public", proxy->address()}, {"admin", ports->admin_address()}, {"metrics", ports->metrics_address()}}));
  signals->Wait();

  ports->SetServing(false);
  proxy->Drain(settings.drain_timeout);
  // No answer comes to the proxy after this.
  brokers.Close();
  ports->Drain();
  proxy->Stop();
  controller.Close();
  return absl::OkStatus();
}

}  // namespace barid
