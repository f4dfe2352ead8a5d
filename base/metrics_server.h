#ifndef BARID_BASE_METRICS_SERVER_H_
#define BARID_BASE_METRICS_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/metrics.h"

namespace barid {

// Answers GET /metrics over HTTP, from threads of its own, until destruction.
class MetricsServer {
 public:
  // Listens at once. `host` is an address ("0.0.0.0", "::1"); port 0 takes a free one. `metrics` outlives the server.
  // kUnavailable if the address cannot be had.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const Metrics* metrics, absl::string_view host, int port);

  virtual ~MetricsServer() = default;
  virtual int port() const = 0;
};

}  // namespace barid

#endif  // BARID_BASE_METRICS_SERVER_H_
