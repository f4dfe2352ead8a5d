#include "edge/grpc/polling_queue.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid::edge {
namespace {

thread_local const PollingQueue* current_queue = nullptr;

// Stands in the list of posts once it is closed.
class ClosedMark final : public Posted {
  void RunPosted() override {}
};
ClosedMark closed_mark;

grpc_completion_queue* CreateQueue() {
  grpc_init();
  return grpc_completion_queue_create_for_next(nullptr);
}

}  // namespace

PollingQueue::PollingQueue() : cq_(CreateQueue()) {}

PollingQueue::~PollingQueue() {
  grpc_completion_queue_destroy(cq_);
  grpc_shutdown();
}

void PollingQueue::Poll() {
  current_queue = this;
  while (true) {
    const grpc_event event = grpc_completion_queue_next(cq_, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr);
    if (event.type == GRPC_QUEUE_SHUTDOWN) break;
    CHECK(event.type == GRPC_OP_COMPLETE) << event.type;
    static_cast<Event*>(event.tag)->Run(event.success != 0);
  }
  current_queue = nullptr;
  MutexLock lock(&mu_);
  kept_.clear();
}

bool PollingQueue::IsCurrent() const { return current_queue == this; }

bool PollingQueue::Post(Posted* posted, grpc_call* call) {
  Posted* last = posts_.load(std::memory_order_relaxed);
  do {
    if (last == &closed_mark) return false;
    posted->next_ = last;
  } while (!posts_.compare_exchange_weak(last, posted, std::memory_order_acq_rel, std::memory_order_relaxed));
  if (last == nullptr) {
    // A batch of no operations is complete at once. Until its event has run, nobody takes `posted` from the list, so
    // `call` still exists.
    const grpc_call_error error = grpc_call_start_batch(call, nullptr, 0, static_cast<Event*>(&wake_), nullptr);
    CHECK(error == GRPC_CALL_OK) << error;
  }
  return true;
}

void PollingQueue::RunPosts(bool ok) {
  Posted* last = posts_.exchange(nullptr, std::memory_order_acquire);
  Posted* first = nullptr;
  while (last != nullptr) {
    Posted* const before = last->next_;
    last->next_ = first;
    first = last;
    last = before;
  }
  while (first != nullptr) {
    Posted* const next = first->next_;  // Once it has run, it may be posted again, or gone.
    first->RunPosted();
    first = next;
  }
  for (auto& [owner, flushed] : std::exchange(flushes_, {})) flushed->Flush();
  if (must_close_) CloseIfEmpty();
}

bool PollingQueue::Attach() {
  MutexLock lock(&mu_);
  if (closing_) return false;
  ++servers_;
  return true;
}

void PollingQueue::Detach() {
  {
    MutexLock lock(&mu_);
    CHECK_GT(servers_, 0);
    if (--servers_ > 0) return;
    closing_ = true;
  }
  must_close_ = true;
  CloseIfEmpty();
}

void PollingQueue::CloseUnused() {
  MutexLock lock(&mu_);
  if (closing_) return;
  CHECK_EQ(servers_, 0);
  closing_ = true;
  grpc_completion_queue_shutdown(cq_);
}

void PollingQueue::Keep(std::shared_ptr<void> part) {
  MutexLock lock(&mu_);
  kept_.push_back(std::move(part));
}

void PollingQueue::CloseIfEmpty() {
  Posted* empty = nullptr;
  if (!posts_.compare_exchange_strong(empty, &closed_mark, std::memory_order_acq_rel)) return;  // A wake is on its way.
  open_ = false;
  grpc_completion_queue_shutdown(cq_);
}

PollingThreads::PollingThreads(int threads) {
  for (int i = 0; i < threads; ++i) {
    queues_.push_back(std::make_shared<PollingQueue>());
    threads_.emplace_back([queue = queues_.back(), i] {
      pthread_setname_np(pthread_self(), absl::StrCat("edge-", i).c_str());
      queue->Poll();
    });
  }
}

PollingThreads::~PollingThreads() {
  for (const auto& queue : queues_) queue->CloseUnused();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace barid::edge
