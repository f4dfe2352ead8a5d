#include "edge/h2/loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid::edge::h2 {
namespace {

thread_local const Loop* current_loop = nullptr;

// Stands in the list of posts once it is closed.
class ClosedMark final : public Posted {
  void RunPosted() override {}
};
ClosedMark closed_mark;

// Deletes itself.
class PostedTask final : public Posted {
 public:
  explicit PostedTask(absl::AnyInvocable<void()> task) : task_(std::move(task)) {}
  void RunPosted() override {
    task_();
    delete this;
  }

 private:
  absl::AnyInvocable<void()> task_;
};

// Of one wake-up; more come with the next.
constexpr int kMostEvents = 256;

}  // namespace

Loop::Loop(Clock* clock)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      now_(clock_->SinceBoot()) {
  CHECK(epoll_ >= 0 && wake_ >= 0) << strerror(errno);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // The wake.
  CHECK_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event), 0) << strerror(errno);
}

Loop::~Loop() {
  close(wake_);
  close(epoll_);
}

void Loop::Run() {
  current_loop = this;
  epoll_event events[kMostEvents];
  while (true) {
    int timeout_ms = -1;
    if (!alarms_.empty()) {
      const absl::Duration left = alarms_.begin()->first - clock_->SinceBoot();
      // Up, so that the alarm is due when it wakes us.
      timeout_ms = static_cast<int>(
          std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))), 0, 60'000));
    }
    is_asleep_.store(true, std::memory_order_seq_cst);
    // Whoever posts after this load sees that we sleep.
    if (posts_.load(std::memory_order_seq_cst) != nullptr || must_close_.load(std::memory_order_seq_cst))
      timeout_ms = 0;
    const int count = epoll_wait(epoll_, events, kMostEvents, timeout_ms);
    is_asleep_.store(false, std::memory_order_relaxed);
    CHECK(count >= 0 || errno == EINTR) << strerror(errno);
    now_ = clock_->SinceBoot();
    for (int i = 0; i < count; ++i) {
      if (events[i].data.ptr == nullptr) {
        uint64_t wakes = 0;
        (void)!read(wake_, &wakes, sizeof(wakes));
        continue;
      }
      static_cast<Watched*>(events[i].data.ptr)->OnReady(events[i].events);
    }
    RunPosts();
    RunAlarms();
    // A flush may ask for another.
    for (size_t i = 0; i < flushes_.size(); ++i) {
      flushes_[i]->is_waiting_ = false;
      flushes_[i]->Flush();
    }
    flushes_.clear();
    std::exchange(retired_, {}).clear();
    if (!must_close_.load(std::memory_order_acquire)) continue;
    Posted* empty = nullptr;
    if (posts_.compare_exchange_strong(empty, &closed_mark, std::memory_order_acq_rel)) break;
  }
  current_loop = nullptr;
}

void Loop::Close() {
  must_close_.store(true, std::memory_order_seq_cst);
  const uint64_t one = 1;
  CHECK_EQ(write(wake_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one))) << strerror(errno);
}

bool Loop::IsCurrent() const { return current_loop == this; }

bool Loop::Post(Posted* posted) {
  Posted* last = posts_.load(std::memory_order_acquire);  // What a loop that has ended did is seen by who runs here.
  do {
    if (last == &closed_mark) return false;
    posted->next_ = last;
  } while (!posts_.compare_exchange_weak(last, posted, std::memory_order_seq_cst, std::memory_order_acquire));
  // Only the first of a batch, and only if the loop does not look at the list anyway before it sleeps. The eventfd is
  // there as long as the loop, which whoever posts holds.
  if (last == nullptr && is_asleep_.exchange(false, std::memory_order_seq_cst)) {
    const uint64_t one = 1;
    (void)!write(wake_, &one, sizeof(one));
  }
  return true;
}

void Loop::RunSoon(absl::AnyInvocable<void()> task) {
  auto* const posted = new PostedTask(std::move(task));
  if (!Post(posted)) posted->RunPosted();
}

void Loop::RunPosts() {
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
}

void Loop::RunAlarms() {
  while (!alarms_.empty() && alarms_.begin()->first <= now_) {
    Alarm* const alarm = alarms_.begin()->second;
    Unset(alarm);
    alarm->OnAlarm();
  }
}

void Loop::Watch(int fd, uint32_t events, Watched* watched) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = watched;
  CHECK_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), 0) << strerror(errno);
}

void Loop::Change(int fd, uint32_t events, Watched* watched) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = watched;
  CHECK_EQ(epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event), 0) << strerror(errno);
}

void Loop::Forget(int fd) { CHECK_EQ(epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr), 0) << strerror(errno); }

void Loop::Set(Alarm* alarm, absl::Duration at) {
  Unset(alarm);
  alarm->at_ = at;
  alarms_.insert({at, alarm});
}

void Loop::Unset(Alarm* alarm) {
  if (!alarm->is_set()) return;
  alarms_.erase({alarm->at_, alarm});
  alarm->at_ = absl::InfiniteDuration();
}

void Loop::FlushLater(Flushed* flushed) {
  if (std::exchange(flushed->is_waiting_, true)) return;
  flushes_.push_back(flushed);
}

LoopThreads::LoopThreads(int threads, Clock* clock) {
  for (int i = 0; i < threads; ++i) {
    loops_.push_back(std::make_shared<Loop>(clock));
    threads_.emplace_back([loop = loops_.back(), i] {
      pthread_setname_np(pthread_self(), absl::StrCat("edge-", i).c_str());
      loop->Run();
    });
  }
}

LoopThreads::~LoopThreads() {
  for (const auto& loop : loops_) loop->Close();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace barid::edge::h2
