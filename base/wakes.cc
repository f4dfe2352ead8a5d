#include "base/wakes.h"

#include <vector>

namespace barid {
namespace {

thread_local int depth = 0;
thread_local std::vector<std::shared_ptr<Waker>> put_off;

}  // namespace

WakeScope::WakeScope() { ++depth; }

WakeScope::~WakeScope() {
  if (--depth > 0) return;
  for (const std::shared_ptr<Waker>& waker : put_off) waker->Wake();
  put_off.clear();
}

bool WakeScope::IsOpen() { return depth > 0; }

void WakeScope::Wake(const std::shared_ptr<Waker>& waker) {
  if (depth == 0) return waker->Wake();
  if (put_off.empty() || put_off.back() != waker) put_off.push_back(waker);
}

}  // namespace barid
