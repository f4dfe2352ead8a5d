#include "proxy/call_metrics.h"

namespace barid::proxy {

void MethodMetrics::CountOther(int code, CodeName name) {
  MutexLock lock(&mu_);
  Counter*& counter = counters_[code];
  if (counter == nullptr) counter = calls_->With({method_, name(code)});
  counter->Add();
  if (code != kUsualCode || owned_ != nullptr) return;
  owned_ = std::make_unique<Common>(Common{code, counter});
  common_.store(owned_.get(), std::memory_order_release);
}

CallMetrics::CallMetrics(Metrics* metrics)
    : calls_(metrics->AddCounters("barid_public_calls_total",
                                  "Calls of the public API that were answered, by code; without Telemetry.",
                                  {"method", "code"})),
      seconds_(metrics->AddHistograms(
          "barid_public_call_seconds",
          "From the arrival of a whole request to its answer; without calls that wait for messages.", {"method"},
          LatencyBuckets())) {}

MethodMetrics* CallMetrics::Of(absl::string_view method, Family<Histogram>* seconds) {
  std::unique_ptr<MethodMetrics>& metrics = methods_[method];
  if (metrics == nullptr) {
    metrics = std::make_unique<MethodMetrics>(std::string(method), calls_,
                                              seconds == nullptr ? nullptr : seconds->With({method}));
  }
  return metrics.get();
}

}  // namespace barid::proxy
