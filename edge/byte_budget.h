#ifndef BARID_EDGE_BYTE_BUDGET_H_
#define BARID_EDGE_BYTE_BUDGET_H_

#include <atomic>
#include <cstddef>

namespace barid::edge {

// How many bytes of messages a port may hold. Any thread.
class ByteBudget {
 public:
  explicit ByteBudget(size_t limit) : limit_(limit) {}

  bool Take(size_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit_) return true;
    Return(bytes);
    return false;
  }
  void Return(size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t left() const {
    const size_t now_used = used();
    return now_used < limit_ ? limit_ - now_used : 0;
  }

 private:
  const size_t limit_;
  std::atomic<size_t> used_{0};
};

}  // namespace barid::edge

#endif  // BARID_EDGE_BYTE_BUDGET_H_
