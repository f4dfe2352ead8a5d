#ifndef BARID_PROXY_THROUGHPUT_H_
#define BARID_PROXY_THROUGHPUT_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/time/time.h"
#include "base/metrics.h"
#include "base/mutex.h"

namespace barid::proxy {

// How many messages pass through this proxy. Any thread; counting takes no lock.
class Throughput {
 public:
  void Sent(size_t messages) { sent_.Add(messages); }            // Taken from producers, and stored.
  void Delivered(size_t messages) { delivered_.Add(messages); }  // Given to consumers.

  // Remembers how many there were by `now` (since boot). Every few seconds.
  void Sample(absl::Duration now);

  struct Rates {
    double sent = 0;  // A second.
    double delivered = 0;
  };
  // Since the oldest sample that is remembered: of the last minute.
  Rates Lately(absl::Duration now);

 private:
  struct Taken {
    absl::Duration at;
    uint64_t sent;
    uint64_t delivered;
  };

  Counter sent_;
  Counter delivered_;
  Mutex mu_;
  std::deque<Taken> samples_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_THROUGHPUT_H_
