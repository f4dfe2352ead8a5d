#include "proxy/throughput.h"

namespace barid::proxy {
namespace {

constexpr absl::Duration kRemembered = absl::Minutes(1);

}  // namespace

void Throughput::Sample(absl::Duration now) {
  MutexLock lock(&mu_);
  samples_.push_back({now, sent_.Value(), delivered_.Value()});
  while (samples_.size() > 1 && now - samples_.front().at > kRemembered) samples_.pop_front();
}

Throughput::Rates Throughput::Lately(absl::Duration now) {
  MutexLock lock(&mu_);
  if (samples_.empty() || samples_.front().at >= now) return {};
  const Taken& then = samples_.front();
  const double seconds = absl::ToDoubleSeconds(now - then.at);
  return {static_cast<double>(sent_.Value() - then.sent) / seconds,
          static_cast<double>(delivered_.Value() - then.delivered) / seconds};
}

}  // namespace barid::proxy
