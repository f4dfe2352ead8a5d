#ifndef BARID_STANDALONE_ROLES_H_
#define BARID_STANDALONE_ROLES_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/controller_calls.h"
#include "base/executor.h"
#include "base/metrics_server.h"
#include "broker/broker.h"
#include "controller/controller.h"
#include "controller/metadata_store.h"
#include "edge/call.h"
#include "edge/h2/loop.h"
#include "proxy/ports.h"
#include "proxy/proxy.h"
#include "proxy/public/health_handler.h"
#include "standalone/process.h"
#include "standalone/process_metrics.h"
#include "standalone/settings.h"

// The parts that processes are put together from. Each starts in its constructor or Start, and ends in reverse.
namespace barid {

// Threads of the public port, and of what else the process serves. By themselves half of the cores: shards and the
// kernel take the rest.
std::shared_ptr<edge::h2::LoopThreads> NewPublicLoops(const Settings& settings);

// The controller over its embedded store, in <data_dir>/metadata.
class ControllerPart {
 public:
  static absl::StatusOr<std::unique_ptr<ControllerPart>> Start(const Settings& settings);
  ~ControllerPart() { Close(); }
  ControllerApi* api() { return controller_.get(); }
  // Answers every call that is left. Nobody calls it any more, but answers may still be wanted by whoever lives.
  void Close();

 private:
  ControllerPart() = default;
  std::unique_ptr<controller::MetadataStore> store_;
  std::unique_ptr<controller::Controller> controller_;
  std::unique_ptr<Executor> executor_;  // Ends before what its tasks use.
};

// The one broker of a standalone process, for its proxy.
class LocalBroker : public proxy::BrokerDirectory {
 public:
  LocalBroker(std::string id, BrokerApi* broker) : id_(std::move(id)), broker_(broker) {}
  BrokerApi* Find(absl::string_view id) override { return id == id_ ? broker_ : nullptr; }

 private:
  const std::string id_;
  BrokerApi* const broker_;
};

// The proxy and its public port.
class ProxyPart {
 public:
  static absl::StatusOr<std::unique_ptr<ProxyPart>> Start(const Settings& settings, ControllerApi* controller,
                                                          proxy::BrokerDirectory* brokers,
                                                          std::shared_ptr<edge::h2::LoopThreads> loops,
                                                          ProcessMetrics* metrics);
  ~ProxyPart() { Stop(); }

  const std::string& address() const { return server_->address(); }
  // barid.admin.v1 and apache.rocketmq.v2.Admin, for the admin port.
  void AddAdmin(edge::MethodTable* table);
  // Receives that wait are answered, telemetry streams ended, new calls refused; those that run may take `grace`.
  void Drain(absl::Duration grace);
  // Closes the port and calls nobody any more; answers that come are taken until destruction.
  void Stop();

 private:
  ProxyPart() = default;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::unique_ptr<Executor> executor_;  // Ends before the proxy.
  proxy::HealthService public_health_;
  const edge::PortMetrics* public_metrics_ = nullptr;
  std::unique_ptr<edge::Server> server_;
};

// What every process has: the admin port with health, and the metrics port.
class OperatorPorts {
 public:
  // `add` adds what the admin port serves beside health. `loops` has the public port's threads, or is null. `metrics`
  // outlives it.
  static absl::StatusOr<std::unique_ptr<OperatorPorts>> Start(const Settings& settings,
                                                              std::shared_ptr<edge::h2::LoopThreads> loops,
                                                              ProcessMetrics* metrics,
                                                              const std::function<void(edge::MethodTable*)>& add);

  const std::string& admin_address() const { return admin_->address(); }
  const std::string& metrics_address() const { return metrics_address_; }
  void SetServing(bool serving) { health_.SetServing(serving); }
  void Drain() { admin_->Drain(absl::Seconds(1)); }

 private:
  OperatorPorts() = default;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::string metrics_address_;
  proxy::HealthService health_;
  std::unique_ptr<edge::Server> admin_;
};

// "host:port", "[::1]:port". kInvalidArgument, naming the setting.
absl::StatusOr<std::pair<std::string, int>> SplitAddress(absl::string_view setting, absl::string_view address);

// What a broker runs on besides.
broker::BrokerOptions BrokerOptionsFor(const Settings& settings);

// One process of each kind: starts, says that it is ready, serves until SIGTERM, drains. Called with the data directory
// locked. The error says what could not start.
absl::Status RunStandalone(Settings settings, TerminationSignals* signals);
absl::Status RunController(Settings settings, TerminationSignals* signals);
absl::Status RunBroker(Settings settings, TerminationSignals* signals);
absl::Status RunProxy(Settings settings, TerminationSignals* signals);

}  // namespace barid

#endif  // BARID_STANDALONE_ROLES_H_
