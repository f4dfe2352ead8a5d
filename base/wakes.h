#ifndef BARID_BASE_WAKES_H_
#define BARID_BASE_WAKES_H_

#include <memory>

namespace barid {

// What a sleeping thread is woken by. Any thread; waking one that does not sleep does nothing.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void Wake() = 0;
};

// While one of these lives, what its thread would wake at once it may wake at the end of it.
//
// A thread that has several things for another wakes it with the first. The other then begins with that one alone (a
// shard: a batch of one, and a sync for it), often on the core that this thread works on. In a scope the other finds
// all of it when it wakes:
//
//   {
//     WakeScope together;
//     for (...) executor->Post(...);
//   }
//
// Scopes may be nested: the outermost counts. Nothing in a scope may wait for another thread. Wakers are kept alive.
class WakeScope {
 public:
  WakeScope();
  ~WakeScope();  // Wakes them.
  WakeScope(const WakeScope&) = delete;
  WakeScope& operator=(const WakeScope&) = delete;

  // Whether this thread is in a scope.
  static bool IsOpen();
  // Wakes it when the scope ends, once however often it is asked for in a row; at once if there is no scope.
  static void Wake(const std::shared_ptr<Waker>& waker);
};

}  // namespace barid

#endif  // BARID_BASE_WAKES_H_
