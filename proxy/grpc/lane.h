#ifndef BARID_PROXY_GRPC_LANE_H_
#define BARID_PROXY_GRPC_LANE_H_

#include <google/protobuf/arena.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/status.h"
#include "edge/client.h"

namespace barid::proxy {

struct RemoteBrokerOptions {
  // Of calls under way on one stream; what would exceed it is answered kResourceExhausted. One call is always allowed.
  int64_t max_bytes_in_flight = int64_t{64} << 20;
  // A broker that is connected but does not answer: then calls end with kDeadlineExceeded, receives (this long after
  // their own wait) with kUnavailable.
  absl::Duration call_timeout = absl::Seconds(20);
  // A stream that the broker has not accepted by then is given up.
  absl::Duration open_timeout = absl::Seconds(5);
  // Between attempts to open a stream again: doubled from first to max, each by chance up to a half shorter.
  absl::Duration first_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
};

// Borrowed, and they outlive the lanes.
struct LaneContext {
  Clock* clock = nullptr;
  Random* random = nullptr;      // Used on the executor.
  Executor* executor = nullptr;  // For timers only.
};

// About how large a frame of calls becomes, unless one call is larger.
inline constexpr int64_t kFrameBytes = 256 << 10;

// A message on an arena of its own. What refers to its fields shares it.
template <typename Message>
struct ArenaFrame {
  google::protobuf::Arena arena;
  Message* const message = google::protobuf::Arena::CreateMessage<Message>(&arena);
};

// The proxy's end of one stream of frames to one broker, and of the next one when that has ended. At most one is open.
//
//             first call           accepted            ended
//     kIdle ------------> kOpening ----------> kOpen ---------> kDown --+   a new attempt after each back-off;
//                             |                  ^    draining    |     |   calls fail at once meanwhile
//                             +------------------|----------------+ <---+
//                             ended, too late    +---- accepted ----+
//
//     Close(), from any state: kClosed.
//
// Calls that come while a frame is in flight, or in one wake-up of the transport, go together in the next one. A lane
// is held by its owner and by what the transport and the executor still owe it.
template <typename Out, typename In>
class Lane : public std::enable_shared_from_this<Lane<Out, In>> {
 public:
  // Starts the method on the broker's channel.
  using BeginCall = std::function<std::shared_ptr<edge::ClientStream>(std::shared_ptr<edge::ClientStreamHandler>)>;

  virtual ~Lane() = default;

  // Nothing is called from now on; what is under way ends soon. Any thread, at once.
  void Close() {
    const absl::Status down = absl::UnavailableError(absl::StrCat("the proxy has let go of broker ", name_));
    std::shared_ptr<edge::ClientStream> stream;
    BeginCall begin_call;  // The way to the broker goes with it.
    {
      MutexLock lock(&mu_);
      state_ = State::kClosed;
      down_ = down;
      stream = stream_;
      begin_call = std::exchange(begin_call_, nullptr);
    }
    FailQueued(down);
    if (stream != nullptr) stream->Cancel();
  }

  // There is reason to believe that a broker that was gone is back: a lane that is down makes its next attempt now, and
  // the ones after it soon. Any thread, at once.
  void RetryNow() {
    executor_->Post([weak = this->weak_from_this()] {
      const std::shared_ptr<Lane> lane = weak.lock();
      if (lane == nullptr) return;
      uint64_t attempt = 0;
      {
        MutexLock lock(&lane->mu_);
        lane->backoff_ = lane->options_.first_backoff;
        attempt = lane->attempt_;
      }
      lane->Reopen(attempt);
    });
  }

  // Waits, after Close, until every callback has run. Not from a callback.
  void AwaitEnd() {
    MutexLock lock(&mu_);
    while (streams_ > 0) ended_.Wait(&mu_);
  }

 protected:
  enum class State { kIdle, kOpening, kOpen, kDown, kClosed };
  // What follows from a change under the lock, to be done after it: Do(NextStep()).
  enum class Step { kNothing, kOpen, kWrite };

  Lane(std::string name, BeginCall begin_call, const LaneContext& context, const RemoteBrokerOptions& options)
      : options_(options),
        clock_(context.clock),
        name_(std::move(name)),
        executor_(context.executor),
        random_(context.random),
        begin_call_(std::move(begin_call)),
        backoff_(options.first_backoff) {}

  // Moves queued calls to the writer's, about kFrameBytes, and notes them as sent. Whether there are any.
  virtual bool Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // Writes what was collected. No lock is held; no other writer runs.
  virtual void Encode(Out* frame) = 0;
  // Answers calls. An error breaks the stream.
  virtual absl::Status OnFrame(const std::shared_ptr<ArenaFrame<In>>& frame) = 0;
  // Ends the calls that no frame has taken, or those that one has.
  virtual void FailQueued(const absl::Status& why) = 0;
  virtual void FailSent(const absl::Status& why) = 0;
  // Ends calls whose time is over. Whether there are others.
  virtual bool Expire(absl::Duration now) = 0;

  // Whether a call of this size may come now. If OK it is counted; EndCall takes it off.
  absl::Status BeginCallOf(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (state_ == State::kDown || state_ == State::kClosed) return down_;
    if (bytes_in_flight_ > 0 && bytes_in_flight_ + bytes > options_.max_bytes_in_flight) {
      return RetryAfterError(absl::Milliseconds(100),
                             absl::StrCat(bytes_in_flight_, " bytes are on their way to broker ", name_, "; at most ",
                                          options_.max_bytes_in_flight, " may be"));
    }
    bytes_in_flight_ += bytes;
    return absl::OkStatus();
  }
  void EndCall(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { bytes_in_flight_ -= bytes; }

  Step NextStep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (state_ == State::kIdle) {
      state_ = State::kOpening;
      return Step::kOpen;
    }
    if (state_ != State::kOpen || !is_writable_ || stream_ == nullptr) return Step::kNothing;
    is_writable_ = false;
    return Step::kWrite;
  }
  void Do(Step step) {
    if (step == Step::kOpen) {
      // A name may have to be resolved.
      executor_->Post([weak = this->weak_from_this()] {
        if (const std::shared_ptr<Lane> lane = weak.lock()) lane->Open();
      });
    }
    if (step != Step::kWrite) return;
    std::shared_ptr<edge::ClientStream> stream;
    uint64_t attempt = 0;
    {
      MutexLock lock(&mu_);
      stream = stream_;
      attempt = attempt_;
    }
    if (stream != nullptr) stream->Resume([self = this->shared_from_this(), attempt] { self->WriteNext(attempt); });
  }

  // After a call was begun: whoever gets true calls WatchTimeouts without the lock.
  bool MustWatchTimeouts() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !std::exchange(watches_timeouts_, true); }
  void WatchTimeouts() {
    const absl::Duration interval = std::min(absl::Seconds(1), options_.call_timeout / 4);
    executor_->PostAfter(interval, [weak = this->weak_from_this()] {
      const std::shared_ptr<Lane> lane = weak.lock();
      if (lane == nullptr) return;
      {
        MutexLock lock(&lane->mu_);
        lane->watches_timeouts_ = false;
      }
      if (!lane->Expire(lane->clock_->SinceBoot())) return;
      bool must_watch = false;
      {
        MutexLock lock(&lane->mu_);
        must_watch = lane->MustWatchTimeouts();
      }
      if (must_watch) lane->WatchTimeouts();
    });
  }

  const RemoteBrokerOptions options_;
  Clock* const clock_;
  const std::string name_;
  mutable Mutex mu_;
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;

 private:
  // One stream.
  class Handler : public edge::ClientStreamHandler {
   public:
    Handler(std::shared_ptr<Lane> lane, uint64_t attempt) : lane_(std::move(lane)), attempt_(attempt) {}

    void OnOpened() override { lane_->OnOpened(); }
    void OnMessage(Bytes message) override {
      const auto frame = std::make_shared<ArenaFrame<In>>();
      const Buffer flat = message.Flatten();  // One part, as a transport gives it: nothing is copied.
      absl::Status status;
      if (!frame->message->ParseFromArray(flat.data(), static_cast<int>(flat.size()))) {
        status = absl::InternalError("a frame cannot be parsed");
      } else {
        status = lane_->OnFrame(frame);
      }
      if (!status.ok()) {
        LOG(ERROR) << "a broker broke the rules of the stream" << KV("broker", lane_->name_) << KV("error", status);
        lane_->CancelStream();
      }
      if (frame->message->draining()) lane_->OnDraining();
    }
    void OnWritable() override { lane_->WriteNext(attempt_); }
    void OnDone(const absl::Status& status) override { lane_->OnEnd(status); }

   private:
    const std::shared_ptr<Lane> lane_;
    const uint64_t attempt_;
  };

  // On the executor.
  void Open() {
    uint64_t attempt = 0;
    BeginCall begin_call;
    {
      MutexLock lock(&mu_);
      CHECK(stream_ == nullptr);
      if (state_ == State::kClosed) return;
      ++streams_;
      attempt = ++attempt_;
      is_writable_ = false;
      must_half_close_ = false;
      is_accepted_ = false;
      begin_call = begin_call_;
    }
    const std::shared_ptr<edge::ClientStream> stream =
        begin_call(std::make_shared<Handler>(this->shared_from_this(), attempt));
    bool is_late = false;
    bool must_write = false;
    {
      MutexLock lock(&mu_);
      // It may have ended already, or have asked for a frame.
      if (ended_attempt_ < attempt) {
        stream_ = stream;
        must_write = std::exchange(is_writable_, false);
      }
      is_late = state_ == State::kClosed;
    }
    if (is_late) return stream->Cancel();
    if (must_write) stream->Resume([self = this->shared_from_this(), attempt] { self->WriteNext(attempt); });
    executor_->PostAfter(options_.open_timeout, [weak = this->weak_from_this(), attempt] {
      if (const std::shared_ptr<Lane> lane = weak.lock()) lane->OnOpenTimeout(attempt);
    });
  }

  void OnOpenTimeout(uint64_t attempt) {
    {
      MutexLock lock(&mu_);
      if (attempt != attempt_ || is_accepted_) return;
    }
    CancelStream();
  }

  void CancelStream() {
    std::shared_ptr<edge::ClientStream> stream;
    {
      MutexLock lock(&mu_);
      stream = stream_;
    }
    if (stream != nullptr) stream->Cancel();
  }

  // The transport asks for the first frame next.
  void OnOpened() {
    {
      MutexLock lock(&mu_);
      is_accepted_ = true;
      backoff_ = options_.first_backoff;
      if (state_ == State::kClosed || must_half_close_) return;
      state_ = State::kOpen;
    }
    LOG(INFO) << "stream to broker is open" << KV("broker", name_);
  }

  // On the transport's thread. The claim to write on the stream of `attempt` is the caller's.
  void WriteNext(uint64_t attempt) {
    std::shared_ptr<edge::ClientStream> stream;
    bool has_frame = false;
    bool half_closes = false;
    {
      MutexLock lock(&mu_);
      if (attempt != attempt_ || attempt == ended_attempt_) return;
      stream = stream_;
      if (stream == nullptr) {
        is_writable_ = true;  // Open() has it soon, and takes the claim.
        return;
      }
      has_frame = state_ == State::kOpen && Collect();
      half_closes = !has_frame && must_half_close_;
      is_writable_ = !has_frame && !half_closes;
    }
    if (half_closes) return stream->HalfClose();
    if (!has_frame) return;
    arena_.Reset();
    Out* const frame = google::protobuf::Arena::CreateMessage<Out>(&arena_);
    Encode(frame);
    // The second copy of what the frame carries; codec/broker_codec.h says what it costs.
    stream->Write(Bytes(frame->SerializeAsString()));
  }

  void OnDraining() {
    std::shared_ptr<edge::ClientStream> half_closed;
    {
      MutexLock lock(&mu_);
      if (state_ == State::kClosed || must_half_close_) return;
      must_half_close_ = true;
      if (stream_ != nullptr && std::exchange(is_writable_, false)) half_closed = stream_;
      state_ = State::kDown;
      down_ = absl::UnavailableError(absl::StrCat("broker ", name_, " drains"));
    }
    LOG(INFO) << "broker drains" << KV("broker", name_);
    FailQueued(absl::UnavailableError(absl::StrCat("broker ", name_, " drains")));
    if (half_closed != nullptr) half_closed->HalfClose();
  }

  void OnEnd(const absl::Status& status) {
    absl::Status down;
    bool is_news = false;  // Neither our wish nor one more attempt that failed.
    {
      MutexLock lock(&mu_);
      stream_ = nullptr;
      ended_attempt_ = attempt_;
      is_writable_ = false;
      is_news = state_ == State::kOpening || state_ == State::kOpen;
      if (state_ != State::kClosed) {
        state_ = State::kDown;
        down_ = absl::UnavailableError(absl::StrCat("broker ", name_, " cannot be reached: ", status.message()));
      }
      down = down_;
    }
    if (is_news) LOG(WARNING) << "no stream to broker" << KV("broker", name_) << KV("error", status);
    FailQueued(down);
    FailSent(down);
    executor_->Post([weak = this->weak_from_this()] {
      if (const std::shared_ptr<Lane> lane = weak.lock()) lane->ReopenLater();
    });
    MutexLock lock(&mu_);
    if (--streams_ == 0) ended_.SignalAll();
  }

  // On the executor.
  void ReopenLater() {
    absl::Duration delay;
    uint64_t attempt = 0;
    {
      MutexLock lock(&mu_);
      if (state_ != State::kDown) return;
      delay = backoff_;
      backoff_ = std::min(2 * backoff_, options_.max_backoff);
      attempt = attempt_;
      waits_to_reopen_ = true;
    }
    delay -= delay / 2 * (static_cast<double>(random_->Below(1000)) / 1000);
    executor_->PostAfter(delay, [weak = this->weak_from_this(), attempt] {
      if (const std::shared_ptr<Lane> lane = weak.lock()) lane->Reopen(attempt);
    });
  }

  // On the executor. Ends the wait after `attempt`, unless that is over.
  void Reopen(uint64_t attempt) {
    {
      MutexLock lock(&mu_);
      if (attempt != attempt_ || !std::exchange(waits_to_reopen_, false)) return;
    }
    Open();
  }

  Executor* const executor_;
  Random* const random_;
  CondVar ended_;

  State state_ ABSL_GUARDED_BY(mu_) = State::kIdle;
  BeginCall begin_call_ ABSL_GUARDED_BY(mu_);
  absl::Status down_ ABSL_GUARDED_BY(mu_);  // What calls are answered in kDown and kClosed.
  absl::Duration backoff_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  bool watches_timeouts_ ABSL_GUARDED_BY(mu_) = false;
  int streams_ ABSL_GUARDED_BY(mu_) = 0;  // That the transport is not done with.

  // Of the stream that is open, or being opened.
  std::shared_ptr<edge::ClientStream> stream_ ABSL_GUARDED_BY(mu_);
  uint64_t attempt_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t ended_attempt_ ABSL_GUARDED_BY(mu_) = 0;
  bool waits_to_reopen_ ABSL_GUARDED_BY(mu_) = false;  // For the back-off after attempt_.
  bool is_accepted_ ABSL_GUARDED_BY(mu_) = false;
  bool is_writable_ ABSL_GUARDED_BY(mu_) = false;  // A claim: who sets it to false writes or half-closes.
  bool must_half_close_ ABSL_GUARDED_BY(mu_) = false;
  google::protobuf::Arena arena_;  // Of the frame that is written.
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_GRPC_LANE_H_
