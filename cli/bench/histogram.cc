#include "cli/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/log.h"

namespace barid::cli {
namespace {

constexpr int kSubBits = 6;
constexpr int64_t kSubBuckets = int64_t{1} << kSubBits;
constexpr size_t kBuckets = (63 - kSubBits) * kSubBuckets + kSubBuckets;

size_t BucketOf(int64_t value) {
  if (value < 2 * kSubBuckets) return static_cast<size_t>(value);
  const int shift = std::bit_width(static_cast<uint64_t>(value)) - kSubBits - 1;
  return static_cast<size_t>(shift * kSubBuckets + (value >> shift));
}

// The middle of what falls into it.
int64_t ValueOf(size_t bucket) {
  const auto i = static_cast<int64_t>(bucket);
  if (i < 2 * kSubBuckets) return i;
  const int64_t shift = i / kSubBuckets - 1;
  return ((kSubBuckets + i % kSubBuckets) << shift) + (int64_t{1} << shift) / 2;
}

}  // namespace

Histogram::Histogram() : buckets_(kBuckets, 0) {}

void Histogram::Record(absl::Duration value) {
  const int64_t nanos = std::max<int64_t>(0, absl::ToInt64Nanoseconds(value));
  ++buckets_[BucketOf(nanos)];
  ++count_;
  max_ = std::max(max_, nanos);
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

absl::Duration Histogram::Percentile(double fraction) const {
  CHECK(fraction > 0 && fraction <= 1) << fraction;
  const int64_t rank = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(fraction * static_cast<double>(count_))));
  int64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return absl::Nanoseconds(std::min(ValueOf(i), max_));
  }
  return absl::ZeroDuration();
}

}  // namespace barid::cli
