#ifndef BARID_PROXY_CALL_METRICS_H_
#define BARID_PROXY_CALL_METRICS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/metrics.h"
#include "base/mutex.h"

namespace barid::proxy {

// OK, in the public API: which most calls are answered with.
inline constexpr int kUsualCode = 20000;

// How calls of one method end. Any thread; the usual code costs no lock.
class MethodMetrics {
 public:
  // The name of a code.
  using CodeName = const std::string& (*)(int code);

  // `seconds` is nullptr for a method that waits for messages.
  MethodMetrics(std::string method, Family<Counter>* calls, Histogram* seconds)
      : method_(std::move(method)), calls_(calls), seconds_(seconds) {}

  void Answered(int code, CodeName name, absl::Duration took) {
    seconds_->Observe(took);
    Count(code, name);
  }
  // Of a call that waits for messages: its time says nothing.
  void Count(int code, CodeName name) {
    if (const Common* const common = common_.load(std::memory_order_acquire);
        common != nullptr && common->code == code) {
      common->counter->Add();
    } else {
      CountOther(code, name);
    }
  }

 private:
  struct Common {
    int code;
    Counter* counter;
  };
  void CountOther(int code, CodeName name);

  const std::string method_;
  Family<Counter>* const calls_;
  Histogram* const seconds_;
  std::atomic<const Common*> common_{nullptr};  // Of the usual code, once it was answered.
  Mutex mu_;
  std::unique_ptr<const Common> owned_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<int, Counter*> counters_ ABSL_GUARDED_BY(mu_);
};

// Of all methods of the public API.
class CallMetrics {
 public:
  explicit CallMetrics(Metrics* metrics);

  // Live as long as this. While tables of methods are made, from one thread.
  MethodMetrics* Of(absl::string_view method) { return Of(method, seconds_); }
  // Of a method that waits for messages, whose answers are only counted.
  MethodMetrics* OfWaiting(absl::string_view method) { return Of(method, nullptr); }

 private:
  MethodMetrics* Of(absl::string_view method, Family<Histogram>* seconds);

  Family<Counter>* const calls_;
  Family<Histogram>* const seconds_;
  absl::flat_hash_map<std::string, std::unique_ptr<MethodMetrics>> methods_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_CALL_METRICS_H_
