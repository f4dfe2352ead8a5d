#include "edge/h2/loop.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/wakes.h"

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
// Sockets of a busy loop for which others are woken together.
constexpr int kWokenTogether = 16;

}  // namespace

// What the loop sleeps on. Who is about to wake it keeps it.
struct Loop::Bed final : Waker {
  Bed() : fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { CHECK(fd >= 0) << strerror(errno); }
  ~Bed() override { close(fd); }
  void Wake() override {
    if (!is_taken.exchange(false, std::memory_order_seq_cst)) return;
    const uint64_t one = 1;
    (void)!write(fd, &one, sizeof(one));
  }
  void Leave() const {
    uint64_t wakes = 0;
    (void)!read(fd, &wakes, sizeof(wakes));
  }
  const int fd;                       // An eventfd.
  std::atomic<bool> is_taken{false};  // The loop sleeps, or is about to, and nobody has woken it.
};

Loop::Loop(Clock* clock, absl::Duration gather)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      bed_(std::make_shared<Bed>()),
      events_(kMostEvents),
      now_(clock_->SinceBoot()),
      gathering_(gather) {
  CHECK(epoll_ >= 0) << strerror(errno);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // The wake.
  CHECK_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, bed_->fd, &event), 0) << strerror(errno);
}

Loop::~Loop() { close(epoll_); }

int Loop::Wait() {
  const absl::Duration since = clock_->SinceBoot();
  int timeout_ms = -1;
  if (!alarms_.empty()) {
    // Up, so that the alarm is due when it wakes us.
    timeout_ms = static_cast<int>(std::clamp<int64_t>(
        absl::ToInt64Milliseconds(absl::Ceil(alarms_.begin()->first - since, absl::Milliseconds(1))), 0, 60'000));
  }
  bed_->is_taken.store(true, std::memory_order_seq_cst);
  // Whoever posts after this load sees that we sleep.
  const bool has_posts = posts_.load(std::memory_order_seq_cst) != nullptr;
  if (has_posts || must_close_.load(std::memory_order_seq_cst)) timeout_ms = 0;
  const int ready = epoll_wait(epoll_, events_.data(), kMostEvents, timeout_ms);
  bed_->is_taken.store(false, std::memory_order_relaxed);
  CHECK(ready >= 0 || errno == EINTR) << strerror(errno);
  now_ = clock_->SinceBoot();

  const auto is_wake = [](const epoll_event& event) { return event.data.ptr == nullptr; };
  const bool by_others = has_posts || ready <= 0 || std::any_of(events_.begin(), events_.begin() + ready, is_wake);
  if (!gathering_.Begin({now_, now_ - since, std::exchange(new_calls_, 0), by_others})) return ready;
  Gather();
  now_ = clock_->SinceBoot();
  return AddReady(ready);
}

void Loop::Gather() {
  bed_->is_taken.store(true, std::memory_order_seq_cst);
  if (posts_.load(std::memory_order_seq_cst) == nullptr && !must_close_.load(std::memory_order_seq_cst)) {
    const timespec time = absl::ToTimespec(gathering_.time());
    pollfd wake = {bed_->fd, POLLIN, 0};
    (void)ppoll(&wake, 1, &time, nullptr);
  }
  bed_->is_taken.store(false, std::memory_order_relaxed);
}

int Loop::AddReady(int ready) {
  if (ready == kMostEvents) return ready;
  const int more = epoll_wait(epoll_, events_.data() + ready, kMostEvents - ready, 0);
  CHECK(more >= 0 || errno == EINTR) << strerror(errno);
  const auto known_end = events_.begin() + ready;
  auto end = known_end;
  for (int i = 0; i < more; ++i) {
    const epoll_event event = known_end[i];
    const auto known = std::find_if(events_.begin(), known_end,
                                    [&event](const epoll_event& other) { return other.data.ptr == event.data.ptr; });
    if (known == known_end) {
      *end++ = event;
    } else {
      known->events |= event.events;
    }
  }
  return static_cast<int>(end - events_.begin());
}

void Loop::Run() {
  current_loop = this;
  // The kernel may let a thread's timers be late by 50 us; gathering would take half as long again.
  if (gathering_.time() > absl::ZeroDuration()) prctl(PR_SET_TIMERSLACK, 1);
  while (true) {
    const int ready = Wait();
    std::optional<WakeScope> together;
    for (int i = 0; i < ready; ++i) {
      if (gathering_.is_busy() && i % kWokenTogether == 0) together.emplace();
      if (events_[i].data.ptr == nullptr) {
        bed_->Leave();
        continue;
      }
      static_cast<Watched*>(events_[i].data.ptr)->OnReady(events_[i].events);
    }
    RunPosts();
    RunAlarms();
    together.reset();
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
  bed_->Wake();
}

bool Loop::IsCurrent() const { return current_loop == this; }

bool Loop::Post(Posted* posted) {
  Posted* last = posts_.load(std::memory_order_acquire);  // What a loop that has ended did is seen by who runs here.
  do {
    if (last == &closed_mark) return false;
    posted->next_ = last;
  } while (!posts_.compare_exchange_weak(last, posted, std::memory_order_seq_cst, std::memory_order_acquire));
  // Only if the loop does not look at the list anyway before it sleeps.
  if (bed_->is_taken.load(std::memory_order_seq_cst)) WakeScope::Wake(bed_);
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

LoopThreads::LoopThreads(int threads, Clock* clock, absl::Duration gather) {
  for (int i = 0; i < threads; ++i) {
    loops_.push_back(std::make_shared<Loop>(clock, gather));
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
