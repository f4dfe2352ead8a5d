#include "standalone/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

#include "base/version.h"

namespace barid {
namespace {

// Of this process, from /proc; 0 where there is none.
double ResidentBytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  long size = 0;
  long resident = 0;
  const int read = std::fscanf(file, "%ld %ld", &size, &resident);
  std::fclose(file);
  return read == 2 ? static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) : 0;
}

double CpuSeconds() {
  rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

ProcessMetrics::ProcessMetrics(Role role) : admin_port_(&metrics_, "admin") {
  Gauge* const resident = metrics_.AddGauge("barid_process_resident_bytes", "Memory that the process has.");
  Gauge* const cpu =
      metrics_.AddGauge("barid_process_cpu_seconds", "CPU time that the process has used, of all cores.");
  metrics_.AddGauges("barid_process_info", "1, with the version.", {"version"})->With({kVersion})->Set(1);
  metrics_.BeforeCollect([resident, cpu] {
    resident->Set(ResidentBytes());
    cpu->Set(CpuSeconds());
  });
  if (role == Role::kStandalone || role == Role::kBroker) broker_ = std::make_unique<broker::BrokerMetrics>(&metrics_);
  if (role == Role::kBroker) broker_port_ = std::make_unique<edge::PortMetrics>(&metrics_, "broker");
  if (role == Role::kStandalone || role == Role::kProxy) {
    calls_ = std::make_unique<proxy::CallMetrics>(&metrics_);
    public_port_ = std::make_unique<edge::PortMetrics>(&metrics_, "public");
  }
}

}  // namespace barid
