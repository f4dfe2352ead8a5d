#ifndef BARID_EDGE_H2_RATE_LIMIT_H_
#define BARID_EDGE_H2_RATE_LIMIT_H_

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/time/time.h"

namespace barid::edge::h2 {

// How often something may happen: `burst` times at once, then `per_second`. One thread.
class RateLimit {
 public:
  RateLimit(double burst, double per_second) : burst_(burst), per_second_(per_second), left_(burst) {}
  bool Take(absl::Duration now) {
    left_ = std::min(burst_, left_ + per_second_ * absl::ToDoubleSeconds(now - last_));
    last_ = now;
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  const double burst_;
  const double per_second_;
  double left_;
  absl::Duration last_;
};

// For log lines that peers can cause: ten at once, then one a second. One thread.
class WarningLimit {
 public:
  // How many were left out since the last line, or nullopt: this one is left out too.
  std::optional<int> Take(absl::Duration now) {
    if (limit_.Take(now)) return std::exchange(left_out_, 0);
    ++left_out_;
    return std::nullopt;
  }

 private:
  RateLimit limit_{10, 1};
  int left_out_ = 0;
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_RATE_LIMIT_H_
