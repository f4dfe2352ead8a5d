#include "standalone/roles.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status.h"
#include "base/version.h"
#include "controller/embedded_store.h"
#include "edge/h2/h2_server.h"
#include "edge/h2/self_signed.h"
#include "proxy/public/admin_service.h"
#include "proxy/public/messaging_service.h"
#include "proxy/public/reflection_handler.h"
#include "proxy/public/rocketmq_admin.h"
#include "standalone/cores.h"

namespace barid {

absl::StatusOr<std::pair<std::string, int>> SplitAddress(absl::string_view setting, absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || colon == 0 || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat(setting, " is \"", address, "\", expected is host:port with a port from 0 to 65535"));
  }
  return std::make_pair(std::string(address.substr(0, colon)), port);
}

absl::Status CheckListenAddress(absl::string_view setting, absl::string_view address) {
  if (absl::StartsWith(address, "unix:/")) return absl::OkStatus();
  const absl::Status status = SplitAddress(setting, address).status();
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(status.message(), ", or unix:/path"));
}

std::shared_ptr<edge::h2::LoopThreads> NewPublicLoops(const Settings& settings) {
  const int threads = settings.public_threads > 0 ? settings.public_threads : std::clamp(AvailableCores() / 2, 1, 64);
  return std::make_shared<edge::h2::LoopThreads>(threads, RealClock(), settings.public_gather);
}

absl::StatusOr<std::unique_ptr<ControllerPart>> ControllerPart::Start(const Settings& settings) {
  std::unique_ptr<ControllerPart> part(new ControllerPart);
  ASSIGN_OR_RETURN(part->store_,
                   controller::OpenLevelDbMetadataStore(RealEnv(), JoinPath(settings.data_dir, "metadata"), {}));
  part->executor_ = NewThreadExecutor("barid-control");
  ASSIGN_OR_RETURN(part->controller_, controller::Controller::Start(part->store_.get(), RealClock(), RealRandom(),
                                                                    part->executor_.get(), settings.controller));
  return part;
}

void ControllerPart::Close() {
  executor_ = nullptr;
  controller_ = nullptr;
}

absl::StatusOr<std::unique_ptr<ProxyPart>> ProxyPart::Start(const Settings& settings, ControllerApi* controller,
                                                            proxy::BrokerDirectory* brokers,
                                                            std::shared_ptr<edge::h2::LoopThreads> loops,
                                                            ProcessMetrics* metrics) {
  RETURN_IF_ERROR(CheckListenAddress("public.listen", settings.public_listen));
  std::unique_ptr<ProxyPart> part(new ProxyPart);
  part->executor_ = NewThreadExecutor("barid-proxy");
  part->proxy_ =
      std::make_unique<proxy::Proxy>(RealClock(), part->executor_.get(), controller, brokers, settings.proxy);

  part->proxy_->SetCallMetrics(metrics->calls());
  part->public_metrics_ = metrics->public_port();
  edge::MethodTable table;
  proxy::AddMessagingService(part->proxy_.get(), &table);
  if (settings.public_admin) part->AddAdmin(&table);
  if (settings.public_health) part->public_health_.AddTo(&table);
  if (settings.public_reflection) proxy::AddReflection(&table);
  edge::h2::H2ServerOptions options = settings.public_port;
  options.address = settings.public_listen;
  options.metrics = metrics->public_port();
  options.loops = std::move(loops);
  if (options.tls.certificate_chain.empty() && options.tls.private_key.empty() && settings.public_self_signed) {
    const std::string directory = JoinPath(settings.data_dir, "tls");
    RETURN_IF_ERROR(RealEnv()->CreateDir(directory));
    ASSIGN_OR_RETURN(const edge::h2::TlsFiles self_signed, edge::h2::SelfSignedIn(directory));
    options.tls.certificate_chain = self_signed.certificate_chain;
    options.tls.private_key = self_signed.private_key;
  }
  ASSIGN_OR_RETURN(part->server_, edge::h2::ServeH2(options, std::move(table)));
  part->proxy_->Start();
  part->public_health_.SetServing(true);
  return part;
}

void ProxyPart::Stop() {
  server_ = nullptr;
  executor_ = nullptr;
}

void ProxyPart::AddAdmin(edge::MethodTable* table) {
  proxy::AddAdminService(proxy_.get(), kVersion, table);
  proxy::AddRocketmqAdmin(
      proxy_.get(), {kVersion, [this] { return static_cast<int64_t>(public_metrics_->connections->Value()); }}, table);
}

void ProxyPart::Drain(absl::Duration grace) {
  public_health_.SetServing(false);
  proxy_->Drain();
  server_->Drain(grace);
}

absl::StatusOr<std::unique_ptr<OperatorPorts>> OperatorPorts::Start(
    const Settings& settings, std::shared_ptr<edge::h2::LoopThreads> loops, ProcessMetrics* metrics,
    const std::function<void(edge::MethodTable*)>& add) {
  RETURN_IF_ERROR(CheckListenAddress("admin.listen", settings.admin_listen));
  ASSIGN_OR_RETURN(const auto metrics_listen, SplitAddress("metrics.listen", settings.metrics_listen));
  std::unique_ptr<OperatorPorts> ports(new OperatorPorts);
  ASSIGN_OR_RETURN(ports->metrics_server_,
                   MetricsServer::Start(metrics->metrics(), metrics_listen.first, metrics_listen.second));
  ports->metrics_address_ = absl::StrCat(metrics_listen.first, ":", ports->metrics_server_->port());
  edge::MethodTable table;
  ports->health_.AddTo(&table);
  if (add) add(&table);
  proxy::AddReflection(&table);
  edge::h2::H2ServerOptions options;
  options.address = settings.admin_listen;
  options.metrics = metrics->admin_port();
  options.loops = std::move(loops);
  ASSIGN_OR_RETURN(ports->admin_, edge::h2::ServeH2(options, std::move(table)));
  return ports;
}

broker::BrokerOptions BrokerOptionsFor(const Settings& settings) {
  broker::BrokerOptions options = settings.broker;
  options.data_dir = settings.data_dir;
  // Trim and checkpoint need room too, or nothing could ever be freed.
  options.shard.disk_reserve_bytes = std::max<int64_t>(
      options.shard.disk_reserve_bytes, 2 * static_cast<int64_t>(options.shard.log.segment_bytes) + 64 * kMiB);
  return options;
}

absl::Status RunStandalone(Settings settings, TerminationSignals* signals) {
  ProcessMetrics metrics(Role::kStandalone);
  // One process has one of each: what the start waits for is itself.
  ASSIGN_OR_RETURN(const std::unique_ptr<ControllerPart> controller, ControllerPart::Start(settings));
  broker::Broker broker(
      RealEnv(), RealClock(), RealRandom(), NewThreadExecutor, controller->api(), BrokerOptionsFor(settings),
      [signals](const absl::Status& why) { signals->End(why); }, metrics.broker());
  RETURN_IF_ERROR(broker.Start("", absl::Seconds(30)));
  LocalBroker brokers(settings.broker.id, &broker);
  const auto loops = NewPublicLoops(settings);
  ASSIGN_OR_RETURN(const std::unique_ptr<ProxyPart> proxy,
                   ProxyPart::Start(settings, controller->api(), &brokers, loops, &metrics));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<OperatorPorts> ports,
      OperatorPorts::Start(settings, loops, &metrics, [&](edge::MethodTable* table) { proxy->AddAdmin(table); }));
  ports->SetServing(true);
  RETURN_IF_ERROR(AnnounceReady(
      RealEnv(), settings.data_dir,
      {{"public", proxy->address()}, {"admin", ports->admin_address()}, {"metrics", ports->metrics_address()}}));
  signals->Wait();

  ports->SetServing(false);
  broker.Drain();
  proxy->Drain(settings.drain_timeout);
  ports->Drain();
  broker.Stop();
  proxy->Stop();
  controller->Close();
  return signals->why();
}

}  // namespace barid
