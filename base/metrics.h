#ifndef BARID_BASE_METRICS_H_
#define BARID_BASE_METRICS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace prometheus {
struct MetricFamily;
}

// What one would graph: counters, gauges and histograms, exposed for Prometheus. Updating one is a few nanoseconds,
// from any thread, without a lock: so ask for the handle once and keep it. Handles live as long as their Metrics.
//
//   appended_ = metrics->AddCounter("barid_storage_append_bytes_total", "Bytes appended to the logs.");
//   appended_->Add(bytes);
namespace barid {

namespace metrics_internal {

// Each thread writes to one of a few cells, so that threads seldom write to the same cache line.
inline constexpr size_t kCells = 8;
size_t ThisCell();

}  // namespace metrics_internal

// Only goes up.
class Counter {
 public:
  void Add(uint64_t count = 1) {
    cells_[metrics_internal::ThisCell()].value.fetch_add(count, std::memory_order_relaxed);
  }
  uint64_t Value() const;

 private:
  struct alignas(64) Cell {
    std::atomic<uint64_t> value{0};
  };
  Cell cells_[metrics_internal::kCells];
};

// Goes up and down.
class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double change) { value_.fetch_add(change, std::memory_order_relaxed); }
  double Value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// How often a value fell into each of fixed ranges.
class Histogram {
 public:
  // `upper_bounds` rises. A value belongs to the first bound that is not below it, else to the last, infinite one.
  explicit Histogram(std::vector<double> upper_bounds);

  void Observe(double value);
  void Observe(absl::Duration duration) { Observe(absl::ToDoubleSeconds(duration)); }

  struct Snapshot {
    std::vector<uint64_t> counts;  // One per bound, then those above all bounds. Not cumulative.
    double sum = 0;
  };
  Snapshot Read() const;
  const std::vector<double>& upper_bounds() const { return upper_bounds_; }

 private:
  struct alignas(64) Cell {
    std::unique_ptr<std::atomic<uint64_t>[]> counts;
    std::atomic<double> sum{0};
  };
  const std::vector<double> upper_bounds_;
  Cell cells_[metrics_internal::kCells];
};

// Seconds, from 50 us to a minute.
std::vector<double> LatencyBuckets();
// Bytes, from 64 to 16 MiB in steps of four.
std::vector<double> SizeBuckets();
// Numbers of things handled together, 1 to 4096 in powers of two.
std::vector<double> CountBuckets();

struct MetricInfo {
  std::string name;
  std::string type;  // "counter", "gauge", "histogram"
  std::string help;
  std::vector<std::string> labels;
};

// What Metrics knows of one name, whatever its type.
class FamilyBase {
 public:
  explicit FamilyBase(MetricInfo info) : info_(std::move(info)) {}
  virtual ~FamilyBase() = default;
  const MetricInfo& info() const { return info_; }
  virtual void Collect(prometheus::MetricFamily* out) const = 0;

 private:
  const MetricInfo info_;
};

// One metric for each combination of label values. Any thread.
template <typename T>
class Family : public FamilyBase {
 public:
  using Factory = std::function<std::unique_ptr<T>()>;
  Family(MetricInfo info, Factory factory, size_t max_series, Counter* dropped);

  // The metric with these label values, in the order of the labels' names. Takes a lock and a look-up: keep the answer.
  // When there are too many series already, a new one becomes part of a common one whose values are all `__other__`.
  T* With(std::initializer_list<absl::string_view> values);

  void Collect(prometheus::MetricFamily* out) const override;

 private:
  struct Series {
    std::vector<std::string> values;
    std::unique_ptr<T> metric;
  };
  T* FindOrAdd(const std::vector<std::string>& values) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Factory factory_;
  const size_t max_series_;
  Counter* const dropped_;  // Null: unlimited.

  mutable Mutex mu_;
  std::vector<Series> series_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::vector<std::string>, size_t> index_ ABSL_GUARDED_BY(mu_);
};

// All metrics of a process. Asking for a name a second time answers the same metric; CHECKs that its type and labels
// are the same too. Any thread.
class Metrics {
 public:
  // Series beyond this number, per name, are joined in `__other__` and counted in barid_metrics_series_dropped_total.
  explicit Metrics(size_t max_series = 2000);
  ~Metrics();

  // Names are [a-z0-9_], begin with "barid_" or "rocketmq_", have their unit in them; counters end in "_total".
  Counter* AddCounter(absl::string_view name, absl::string_view help);
  Gauge* AddGauge(absl::string_view name, absl::string_view help);
  Histogram* AddHistogram(absl::string_view name, absl::string_view help, std::vector<double> upper_bounds);

  Family<Counter>* AddCounters(absl::string_view name, absl::string_view help, std::vector<std::string> labels);
  Family<Gauge>* AddGauges(absl::string_view name, absl::string_view help, std::vector<std::string> labels);
  Family<Histogram>* AddHistograms(absl::string_view name, absl::string_view help, std::vector<std::string> labels,
                                   std::vector<double> upper_bounds);

  // `refresh` runs before each collection, to set gauges that nobody else keeps up to date. Lives as long as this.
  void BeforeCollect(std::function<void()> refresh);

  std::vector<prometheus::MetricFamily> Collect() const;
  // The text that Prometheus reads.
  std::string CollectText() const;

  // What there is, sorted by name, and the same as the docs page's table.
  std::vector<MetricInfo> Catalogue() const;
  std::string PrintMarkdown() const;

 private:
  template <typename T>
  Family<T>* Add(MetricInfo info, typename Family<T>::Factory factory);
  std::vector<FamilyBase*> Families() const;

  const size_t max_series_;
  Family<Counter>* series_dropped_ = nullptr;

  mutable Mutex mu_;
  std::vector<std::unique_ptr<FamilyBase>> families_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<std::function<void()>>> refreshes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid

#endif  // BARID_BASE_METRICS_H_
