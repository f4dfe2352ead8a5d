#ifndef BARID_EDGE_H2_LOOP_H_
#define BARID_EDGE_H2_LOOP_H_

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "edge/h2/gathering.h"

namespace barid::edge::h2 {

// How long loops gather that are not told otherwise.
constexpr absl::Duration kGather = absl::Microseconds(100);

// A file descriptor's owner: told when something can be done with it. On the loop's thread.
class Watched {
 public:
  virtual void OnReady(uint32_t events) = 0;  // EPOLLIN and so on.

 protected:
  ~Watched() = default;
};

// Something that another thread has left for the loop's thread.
class Posted {
 public:
  virtual void RunPosted() = 0;

 protected:
  ~Posted() = default;

 private:
  friend class Loop;
  Posted* next_ = nullptr;
};

// Something to be done once everything of this wake-up is handled.
class Flushed {
 public:
  virtual void Flush() = 0;

 protected:
  ~Flushed() = default;

 private:
  friend class Loop;
  bool is_waiting_ = false;
};

// Rings once, at or after a time. On the loop's thread.
class Alarm {
 public:
  virtual void OnAlarm() = 0;
  bool is_set() const { return at_ != absl::InfiniteDuration(); }

 protected:
  ~Alarm() = default;

 private:
  friend class Loop;
  absl::Duration at_ = absl::InfiniteDuration();
};

// One thread that waits for sockets, alarms and the posts of other threads, and handles all that one wake-up brings
// together:
//
//   wait -> (gather) -> what is ready -> posts -> alarms -> flushes -> what was retired is freed -> wait
//
// Under load it gathers when a socket has woken it (gathering.h), until something is posted or the time is over. A busy
// loop wakes the threads that it hands things to when it has handled several sockets (base/wakes.h).
//
// A post wakes the loop only if it sleeps, so a batch of posts costs one wake at most. Posts go through a lock-free
// list; once the loop has ended it takes no more.
//
// The clock is read on the loop's thread. It does not wake the loop when it is moved: a test posts something then.
class Loop {
 public:
  // `clock` outlives it. It gathers for `gather`, of real time; zero: never.
  explicit Loop(Clock* clock = RealClock(), absl::Duration gather = kGather);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Until Close. One thread, once.
  void Run();
  // The loop ends soon; what was posted before still runs. Any thread.
  void Close();

  // Runs `posted` on the loop's thread, soon. False if the loop has ended: it never runs. Any thread.
  bool Post(Posted* posted);
  // The same for any task, at the price of an allocation. If the loop has ended, it runs here.
  void RunSoon(absl::AnyInvocable<void()> task);
  bool IsCurrent() const;

  // The rest on the loop's thread only, or while it does not run.

  // Time since boot as of this wake-up.
  absl::Duration now() const { return now_; }

  // Each event is told once, so EPOLLET will do. `watched` lives until it is forgotten and what it retired itself with
  // is freed.
  void Watch(int fd, uint32_t events, Watched* watched);
  void Change(int fd, uint32_t events, Watched* watched);
  void Forget(int fd);

  // Moves the alarm if it is set.
  void Set(Alarm* alarm, absl::Duration at);
  void Unset(Alarm* alarm);

  // At the end of this wake-up, once however often it is asked for. `flushed` is there until then.
  void FlushLater(Flushed* flushed);
  // A call has begun.
  void CountCall() { ++new_calls_; }
  // Freed at the end of this wake-up, when nothing refers to it any more.
  void Retire(std::shared_ptr<void> part) { retired_.push_back(std::move(part)); }

 private:
  struct Bed;

  // Sleeps until there is something to do, and gathers. How many of events_ are set.
  int Wait();
  void Gather();
  // Adds what has become ready since to the first `ready` of events_. How many are set now.
  int AddReady(int ready);
  void RunPosts();
  void RunAlarms();

  Clock* const clock_;
  const int epoll_;
  const std::shared_ptr<Bed> bed_;
  std::atomic<Posted*> posts_{nullptr};  // Last first.
  std::atomic<bool> must_close_{false};

  // The loop's thread only.
  std::vector<epoll_event> events_;
  absl::Duration now_;
  Gathering gathering_;
  int new_calls_ = 0;  // In this wake-up.
  absl::btree_set<std::pair<absl::Duration, Alarm*>> alarms_;
  std::vector<Flushed*> flushes_;
  std::vector<std::shared_ptr<void>> retired_;
};

// Threads, each with a loop of its own. The ports of a process share them.
class LoopThreads {
 public:
  // `clock` outlives them; `gather` as of a Loop.
  explicit LoopThreads(int threads, Clock* clock = RealClock(), absl::Duration gather = kGather);
  // No server is up. Waits for the threads.
  ~LoopThreads();

  const std::vector<std::shared_ptr<Loop>>& loops() const { return loops_; }

 private:
  std::vector<std::shared_ptr<Loop>> loops_;
  std::vector<std::thread> threads_;
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_LOOP_H_
