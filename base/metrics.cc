#include "base/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/log.h"

namespace barid {
namespace {

constexpr char kOther[] = "__other__";

std::vector<double> Powers(double first, double factor, int count) {
  std::vector<double> bounds;
  for (int i = 0; i < count; ++i, first *= factor) bounds.push_back(first);
  return bounds;
}

bool IsMetricName(const MetricInfo& info) {
  const bool has_prefix = absl::StartsWith(info.name, "barid_") || absl::StartsWith(info.name, "rocketmq_");
  const bool has_total = absl::EndsWith(info.name, "_total");
  return has_prefix && has_total == (info.type == "counter") &&
         std::all_of(info.name.begin(), info.name.end(),
                     [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_'; });
}

prometheus::MetricType TypeOf(const MetricInfo& info) {
  if (info.type == "counter") return prometheus::MetricType::Counter;
  return info.type == "gauge" ? prometheus::MetricType::Gauge : prometheus::MetricType::Histogram;
}

void Fill(const Counter& counter, prometheus::ClientMetric* out) {
  out->counter.value = static_cast<double>(counter.Value());
}

void Fill(const Gauge& gauge, prometheus::ClientMetric* out) { out->gauge.value = gauge.Value(); }

void Fill(const Histogram& histogram, prometheus::ClientMetric* out) {
  const Histogram::Snapshot snapshot = histogram.Read();
  uint64_t total = 0;
  for (size_t i = 0; i < snapshot.counts.size(); ++i) {
    total += snapshot.counts[i];
    const bool is_last = i == histogram.upper_bounds().size();
    out->histogram.bucket.push_back(
        {total, is_last ? std::numeric_limits<double>::infinity() : histogram.upper_bounds()[i]});
  }
  out->histogram.sample_count = total;
  out->histogram.sample_sum = snapshot.sum;
}

}  // namespace

namespace metrics_internal {

size_t ThisCell() {
  static std::atomic<size_t> next_thread{0};
  thread_local const size_t cell = next_thread.fetch_add(1, std::memory_order_relaxed) % kCells;
  return cell;
}

}  // namespace metrics_internal

uint64_t Counter::Value() const {
  uint64_t sum = 0;
  for (const Cell& cell : cells_) sum += cell.value.load(std::memory_order_relaxed);
  return sum;
}

Histogram::Histogram(std::vector<double> upper_bounds) : upper_bounds_(std::move(upper_bounds)) {
  CHECK(std::is_sorted(upper_bounds_.begin(), upper_bounds_.end()));
  for (Cell& cell : cells_) cell.counts = std::make_unique<std::atomic<uint64_t>[]>(upper_bounds_.size() + 1);
}

void Histogram::Observe(double value) {
  const auto bound = std::lower_bound(upper_bounds_.begin(), upper_bounds_.end(), value);
  Cell& cell = cells_[metrics_internal::ThisCell()];
  cell.counts[bound - upper_bounds_.begin()].fetch_add(1, std::memory_order_relaxed);
  cell.sum.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::Read() const {
  Snapshot snapshot;
  snapshot.counts.resize(upper_bounds_.size() + 1);
  for (const Cell& cell : cells_) {
    for (size_t i = 0; i < snapshot.counts.size(); ++i) {
      snapshot.counts[i] += cell.counts[i].load(std::memory_order_relaxed);
    }
    snapshot.sum += cell.sum.load(std::memory_order_relaxed);
  }
  return snapshot;
}

std::vector<double> LatencyBuckets() {
  return {0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60};
}
std::vector<double> SizeBuckets() { return Powers(64, 4, 10); }
std::vector<double> CountBuckets() { return Powers(1, 2, 13); }

template <typename T>
Family<T>::Family(MetricInfo info, Factory factory, size_t max_series, Counter* dropped)
    : FamilyBase(std::move(info)), factory_(std::move(factory)), max_series_(max_series), dropped_(dropped) {}

template <typename T>
T* Family<T>::With(std::initializer_list<absl::string_view> values) {
  CHECK_EQ(values.size(), info().labels.size()) << info().name;
  const std::vector<std::string> key(values.begin(), values.end());
  MutexLock lock(&mu_);
  const bool is_full = dropped_ != nullptr && series_.size() >= max_series_;
  if (!is_full || index_.contains(key)) return FindOrAdd(key);
  dropped_->Add();
  return FindOrAdd(std::vector<std::string>(key.size(), kOther));
}

template <typename T>
T* Family<T>::FindOrAdd(const std::vector<std::string>& values) {
  const auto [entry, is_new] = index_.try_emplace(values, series_.size());
  if (is_new) series_.push_back({values, factory_()});
  return series_[entry->second].metric.get();
}

template <typename T>
void Family<T>::Collect(prometheus::MetricFamily* out) const {
  out->name = info().name;
  out->help = info().help;
  out->type = TypeOf(info());
  MutexLock lock(&mu_);
  for (const Series& series : series_) {
    prometheus::ClientMetric& metric = out->metric.emplace_back();
    for (size_t i = 0; i < series.values.size(); ++i) metric.label.push_back({info().labels[i], series.values[i]});
    Fill(*series.metric, &metric);
  }
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

Metrics::Metrics(size_t max_series) : max_series_(max_series) {
  series_dropped_ =
      AddCounters("barid_metrics_series_dropped_total",
                  "Look-ups of new label values that went to __other__ because the metric had too many.", {"metric"});
}

Metrics::~Metrics() = default;

template <typename T>
Family<T>* Metrics::Add(MetricInfo info, typename Family<T>::Factory factory) {
  CHECK(IsMetricName(info)) << info.name;
  // The first of all is the counter of dropped series itself; its values are names of metrics, so it is bounded.
  const bool is_limited = series_dropped_ != nullptr && !info.labels.empty();
  Counter* dropped = is_limited ? series_dropped_->With({info.name}) : nullptr;
  MutexLock lock(&mu_);
  for (const std::unique_ptr<FamilyBase>& family : families_) {
    if (family->info().name != info.name) continue;
    CHECK_EQ(family->info().type, info.type) << info.name;
    CHECK(family->info().labels == info.labels) << info.name;
    return static_cast<Family<T>*>(family.get());
  }
  families_.push_back(std::make_unique<Family<T>>(std::move(info), std::move(factory), max_series_, dropped));
  return static_cast<Family<T>*>(families_.back().get());
}

Counter* Metrics::AddCounter(absl::string_view name, absl::string_view help) {
  return AddCounters(name, help, {})->With({});
}
Gauge* Metrics::AddGauge(absl::string_view name, absl::string_view help) { return AddGauges(name, help, {})->With({}); }
Histogram* Metrics::AddHistogram(absl::string_view name, absl::string_view help, std::vector<double> upper_bounds) {
  return AddHistograms(name, help, {}, std::move(upper_bounds))->With({});
}

Family<Counter>* Metrics::AddCounters(absl::string_view name, absl::string_view help, std::vector<std::string> labels) {
  return Add<Counter>({std::string(name), "counter", std::string(help), std::move(labels)},
                      [] { return std::make_unique<Counter>(); });
}
Family<Gauge>* Metrics::AddGauges(absl::string_view name, absl::string_view help, std::vector<std::string> labels) {
  return Add<Gauge>({std::string(name), "gauge", std::string(help), std::move(labels)},
                    [] { return std::make_unique<Gauge>(); });
}
Family<Histogram>* Metrics::AddHistograms(absl::string_view name, absl::string_view help,
                                          std::vector<std::string> labels, std::vector<double> upper_bounds) {
  return Add<Histogram>({std::string(name), "histogram", std::string(help), std::move(labels)},
                        [upper_bounds = std::move(upper_bounds)] { return std::make_unique<Histogram>(upper_bounds); });
}

void Metrics::BeforeCollect(std::function<void()> refresh) {
  auto shared = std::make_shared<std::function<void()>>(std::move(refresh));
  MutexLock lock(&mu_);
  refreshes_.push_back(std::move(shared));
}

std::vector<FamilyBase*> Metrics::Families() const {
  std::vector<FamilyBase*> families;
  {
    MutexLock lock(&mu_);
    for (const std::unique_ptr<FamilyBase>& family : families_) families.push_back(family.get());
  }
  std::sort(families.begin(), families.end(),
            [](const FamilyBase* a, const FamilyBase* b) { return a->info().name < b->info().name; });
  return families;
}

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  std::vector<std::shared_ptr<std::function<void()>>> refreshes;
  {
    MutexLock lock(&mu_);
    refreshes = refreshes_;
  }
  for (const auto& refresh : refreshes) (*refresh)();
  std::vector<prometheus::MetricFamily> result;
  for (const FamilyBase* family : Families()) family->Collect(&result.emplace_back());
  return result;
}

std::string Metrics::CollectText() const {
  return static_cast<const prometheus::Serializer&>(prometheus::TextSerializer()).Serialize(Collect());
}

std::vector<MetricInfo> Metrics::Catalogue() const {
  std::vector<MetricInfo> infos;
  for (const FamilyBase* family : Families()) infos.push_back(family->info());
  return infos;
}

std::string Metrics::PrintMarkdown() const {
  std::string out =
      "| metric | type | labels | what it says |\n"
      "|---|---|---|---|\n";
  for (const MetricInfo& info : Catalogue()) {
    absl::StrAppend(&out, "| `", info.name, "` | ", info.type, " | ", absl::StrJoin(info.labels, ", "), " | ",
                    absl::StrReplaceAll(info.help, {{"|", "\\|"}}), " |\n");
  }
  return out;
}

}  // namespace barid
