#ifndef BARID_EDGE_GRPC_POLLING_QUEUE_H_
#define BARID_EDGE_GRPC_POLLING_QUEUE_H_

#include <grpc/grpc.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "edge/byte_budget.h"

namespace barid::edge {

// What grpc-core reports when an operation is over. On the queue's thread.
class Event {
 public:
  virtual void Run(bool ok) = 0;

 protected:
  ~Event() = default;
};

// An event that calls a method of its owner.
template <typename T, void (T::*method)(bool ok)>
class EventOf final : public Event {
 public:
  explicit EventOf(T* owner) : owner_(owner) {}
  void Run(bool ok) override { (owner_->*method)(ok); }

 private:
  T* const owner_;
};

// Something another thread has left for the queue's thread.
class Posted {
 public:
  virtual void RunPosted() = 0;

 protected:
  ~Posted() = default;

 private:
  friend class PollingQueue;
  Posted* next_ = nullptr;
};

// Something to be done once the batch of posts that is being run is through.
class Flushed {
 public:
  virtual void Flush() = 0;

 protected:
  ~Flushed() = default;
};

// A completion queue, polled by one thread, and the posts of other threads to it. Servers share it, and so do their
// calls: it outlives both.
//
//   posting:   a lock-free list. Whoever finds it empty wakes the queue with an empty batch on its call; the wake's
//   event
//              takes the whole list. So a list that is not empty has exactly one wake on its way, and a batch costs
//              one.
//   closing:   once the last server is down, the list is closed when it is empty (then no wake is on its way either),
//              and the queue is shut down. From then on nobody starts an operation.
class PollingQueue {
 public:
  PollingQueue();
  ~PollingQueue();
  PollingQueue(const PollingQueue&) = delete;
  PollingQueue& operator=(const PollingQueue&) = delete;

  grpc_completion_queue* cq() const { return cq_; }

  // Runs the events of the queue until it is closed and has nothing left. One thread, once.
  void Poll();

  // Another server puts its calls here. False once the queue is closing. Any thread.
  bool Attach();
  // That server is down. Only on the thread that polls.
  void Detach();
  // Closes a queue that no server is attached to. Any thread but the one that polls.
  void CloseUnused();

  // Kept until the queue has nothing left: calls that outlive their server use it. Any thread.
  void Keep(std::shared_ptr<void> part);

  // True on the thread that polls.
  bool IsCurrent() const;
  // Only on the thread that polls: false once no operation may be started.
  bool open() const { return open_; }

  // Runs `posted` on the queue's thread, soon. False if the queue is closed: it never runs. `call` is one whose queue
  // this is. Any thread; no I/O beyond waking the thread.
  bool Post(Posted* posted, grpc_call* call);

  // Only from RunPosted: flushes when the batch is through. `owner` keeps `flushed` until then.
  void FlushLater(std::shared_ptr<void> owner, Flushed* flushed) { flushes_.emplace_back(std::move(owner), flushed); }

 private:
  void RunPosts(bool ok);
  void CloseIfEmpty();

  grpc_completion_queue* const cq_;
  std::atomic<Posted*> posts_{nullptr};  // Last first.

  Mutex mu_;
  int servers_ ABSL_GUARDED_BY(mu_) = 0;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::shared_ptr<void>> kept_ ABSL_GUARDED_BY(mu_);

  // The queue's thread only.
  std::vector<std::pair<std::shared_ptr<void>, Flushed*>> flushes_;
  bool must_close_ = false;
  bool open_ = true;
  EventOf<PollingQueue, &PollingQueue::RunPosts> wake_{this};
};

// Threads that poll, each a queue of its own. The ports of a process share them: grpc-core lets one thread at a time
// watch all sockets of the process, and hands that over with a switch per read, so each further polling thread makes
// every call dearer, also one of a port that nobody calls (docs/edge.md, "Figures").
//
// They end when their last server is down.
class PollingThreads {
 public:
  explicit PollingThreads(int threads);
  // No server is up. Waits for the threads.
  ~PollingThreads();

  const std::vector<std::shared_ptr<PollingQueue>>& queues() const { return queues_; }

 private:
  std::vector<std::shared_ptr<PollingQueue>> queues_;
  std::vector<std::thread> threads_;
};

}  // namespace barid::edge

#endif  // BARID_EDGE_GRPC_POLLING_QUEUE_H_
