#include "base/metrics_server.h"

#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include <exception>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace barid {
namespace {

class MetricsCollectable : public prometheus::Collectable {
 public:
  explicit MetricsCollectable(const Metrics* metrics) : metrics_(metrics) {}
  std::vector<prometheus::MetricFamily> Collect() const override { return metrics_->Collect(); }

 private:
  const Metrics* const metrics_;
};

class ExposerServer : public MetricsServer {
 public:
  // May throw what the exposer throws.
  ExposerServer(const Metrics* metrics, const std::string& address)
      : collectable_(std::make_shared<MetricsCollectable>(metrics)), exposer_(address, /*num_threads=*/2) {
    exposer_.RegisterCollectable(collectable_);
    const std::vector<int> ports = exposer_.GetListeningPorts();
    if (!ports.empty()) port_ = ports[0];
  }

  int port() const override { return port_; }

 private:
  const std::shared_ptr<MetricsCollectable> collectable_;  // The exposer keeps a weak pointer only.
  prometheus::Exposer exposer_;
  int port_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const Metrics* metrics, absl::string_view host,
                                                                    int port) {
  const bool is_ipv6 = absl::StrContains(host, ':');
  const std::string address = absl::StrCat(is_ipv6 ? "[" : "", host, is_ipv6 ? "]:" : ":", port);
  try {
    return std::make_unique<ExposerServer>(metrics, address);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("metrics cannot listen on ", address, ": ", error.what()));
  }
}

}  // namespace barid
