#ifndef BARID_BROKER_GRPC_FRAME_STREAM_H_
#define BARID_BROKER_GRPC_FRAME_STREAM_H_

#include <google/protobuf/arena.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/mutex.h"

namespace barid::broker {

// A message on an arena of its own. What refers to its fields shares it.
template <typename Message>
struct ArenaFrame {
  google::protobuf::Arena arena;
  Message* const message = google::protobuf::Arena::CreateMessage<Message>(&arena);
};

// About how large a frame of answers becomes.
inline constexpr int64_t kFrameBytes = 256 << 10;

// What the service wants of any stream.
class DrainableStream {
 public:
  virtual ~DrainableStream() = default;
  virtual void Drain() = 0;  // Any thread.
};

// The streams that are open. Shared with them, so that they may end after the service.
class OpenStreams {
 public:
  // False: the broker drains, no stream may begin.
  bool Add(std::shared_ptr<DrainableStream> stream) {
    MutexLock lock(&mu_);
    if (is_draining_) return false;
    streams_.insert(std::move(stream));
    return true;
  }
  void Remove(const std::shared_ptr<DrainableStream>& stream) {
    MutexLock lock(&mu_);
    streams_.erase(stream);
  }
  void Drain() {
    std::set<std::shared_ptr<DrainableStream>> streams;
    {
      MutexLock lock(&mu_);
      is_draining_ = true;
      streams = streams_;
    }
    for (const auto& stream : streams) stream->Drain();
  }

 private:
  Mutex mu_;
  bool is_draining_ ABSL_GUARDED_BY(mu_) = false;
  std::set<std::shared_ptr<DrainableStream>> streams_ ABSL_GUARDED_BY(mu_);
};

// The broker's end of one stream of frames: reads a frame, hands its calls on, reads the next; writes whatever answers have
// collected while the last frame was in flight.
//
//     frames in --OnReadDone--> Handle --> BrokerApi --> answers --Flush, OnWriteDone--> frames out
//
// After a pause it is the executor that writes, so that no shard's thread pays for the socket and the answers of one commit
// leave together. The stream ends with OK when the peer has half-closed and everything is answered; at once when it breaks.
// Whoever owes it an answer keeps it alive (shared_ptr), and may find it ended.
template <typename In, typename Out>
class FrameStream : public grpc::ServerBidiReactor<In, Out>,
                    public DrainableStream,
                    public std::enable_shared_from_this<FrameStream<In, Out>> {
 public:
  // Once. gRPC holds it until OnDone.
  void Start() {
    self_ = this->shared_from_this();
    if (open_streams_->Add(self_)) {
      // At once: the proxy sends nothing before it has it. The writer's claim was ours until here.
      this->StartSendInitialMetadata();
      ReadNext();
      return WriteNext();
    }
    {
      MutexLock lock(&mu_);
      is_reading_ = false;
      is_writing_ = false;
    }
    Break(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the broker drains"));
  }

  void Drain() override {
    {
      MutexLock lock(&mu_);
      must_tell_draining_ = true;
    }
    OnDrain();
    FlushSoon();
  }

  void OnReadDone(bool ok) override {
    absl::Status handled;
    if (ok) {
      const std::shared_ptr<ArenaFrame<In>> frame = std::move(frame_in_);
      handled = Handle(frame);
    }
    bool reads_on = false;
    {
      MutexLock lock(&mu_);
      has_read_all_ = !ok;
      reads_on = ok && handled.ok() && !is_broken_ && bytes_under_way_ <= max_bytes_under_way_;
      is_reading_ = reads_on;
    }
    if (reads_on) return ReadNext();
    if (handled.ok()) return MaybeFinish();  // The end, or a pause.
    LOG(ERROR) << "a proxy broke the rules of the stream" << KV("error", handled);
    Break(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, std::string(handled.message())));
  }

  void OnWriteDone(bool ok) override {
    if (ok) return WriteNext();
    {
      MutexLock lock(&mu_);
      is_writing_ = false;
    }
    Break(grpc::Status(grpc::StatusCode::CANCELLED, "the proxy is gone"));
  }

  void OnCancel() override { Break(grpc::Status(grpc::StatusCode::CANCELLED, "the proxy is gone")); }

  void OnDone() override {
    open_streams_->Remove(self_);
    self_.reset();  // Perhaps the end of it.
  }

 protected:
  // It pauses reading while more than `max_bytes_under_way` of calls are. `executor` outlives all that owe it answers.
  FrameStream(Executor* executor, std::shared_ptr<OpenStreams> open_streams, int64_t max_bytes_under_way)
      : executor_(executor), open_streams_(std::move(open_streams)), max_bytes_under_way_(max_bytes_under_way) {}

  // Starts the calls of a frame. An error breaks the stream.
  virtual absl::Status Handle(const std::shared_ptr<ArenaFrame<In>>& frame) = 0;
  // Makes the answers that have collected the writer's. Whether the writer has any.
  virtual bool Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // Writes answers of the writer's to `frame`, about kFrameBytes. No lock is held; no other writer runs.
  virtual void Encode(Out* frame) = 0;
  virtual void OnDrain() {}
  // The peer is gone: nobody wants what is under way. Once.
  virtual void OnBroken() {}
  // Nothing will be written any more. Once, with no writer.
  virtual void OnFinish() {}

  // An answer has come: write it soon.
  void FlushSoon() {
    {
      MutexLock lock(&mu_);
      if (is_flush_posted_ || is_finished_) return;
      if (is_writing_ && !MayReadOn()) return;  // The writer finds it.
      is_flush_posted_ = true;
    }
    executor_->Post([self = this->shared_from_this()] { self->Flush(); });
  }

  mutable Mutex mu_;
  bool is_broken_ ABSL_GUARDED_BY(mu_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mu_) = false;
  // What was asked and is not answered.
  int64_t calls_under_way_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t bytes_under_way_ ABSL_GUARDED_BY(mu_) = 0;

 private:
  bool MayReadOn() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !is_reading_ && !has_read_all_ && !is_broken_ && bytes_under_way_ <= max_bytes_under_way_ / 2;
  }

  void Flush() {
    bool reads_on = false;
    bool writes = false;
    {
      MutexLock lock(&mu_);
      is_flush_posted_ = false;
      if (is_finished_) return;
      reads_on = MayReadOn();
      if (reads_on) is_reading_ = true;
      writes = !is_writing_ && !is_broken_;
      if (writes) is_writing_ = true;
    }
    if (reads_on) ReadNext();
    if (writes) WriteNext();
  }

  // is_reading_ is the caller's claim.
  void ReadNext() {
    frame_in_ = std::make_shared<ArenaFrame<In>>();
    this->StartRead(frame_in_->message);
  }

  // is_writing_ is the caller's claim.
  void WriteNext() {
    bool tells_draining = false;
    bool has_frame = false;
    {
      MutexLock lock(&mu_);
      const bool has_answers = Collect();
      has_frame = !is_broken_ && (has_answers || must_tell_draining_);
      if (has_frame) tells_draining = std::exchange(must_tell_draining_, false);
      is_writing_ = has_frame;
    }
    if (!has_frame) return MaybeFinish();
    arena_.Reset();
    Out* const frame = google::protobuf::Arena::CreateMessage<Out>(&arena_);
    Encode(frame);
    frame->set_draining(tells_draining);
    this->StartWrite(frame);
  }

  void Break(grpc::Status why) {
    bool is_first = false;
    {
      MutexLock lock(&mu_);
      is_first = !is_broken_ && !is_finished_;
      if (is_first) {
        is_broken_ = true;
        end_ = std::move(why);
      }
    }
    if (is_first) OnBroken();
    MaybeFinish();
  }

  void MaybeFinish() {
    grpc::Status end;
    {
      MutexLock lock(&mu_);
      if (is_finished_ || is_reading_ || is_writing_) return;
      const bool is_complete = has_read_all_ && calls_under_way_ == 0 && !Collect();
      if (!is_broken_ && !is_complete) return;
      is_finished_ = true;
      end = end_;
    }
    OnFinish();
    this->Finish(std::move(end));
  }

  Executor* const executor_;
  const std::shared_ptr<OpenStreams> open_streams_;
  const int64_t max_bytes_under_way_;
  std::shared_ptr<FrameStream> self_;          // Until OnDone.
  std::shared_ptr<ArenaFrame<In>> frame_in_;   // The reader's.
  google::protobuf::Arena arena_;              // The writer's.

  // Claims: who sets one to true starts the operation; the stream does not finish before it is over.
  bool is_reading_ ABSL_GUARDED_BY(mu_) = true;
  bool is_writing_ ABSL_GUARDED_BY(mu_) = true;
  bool has_read_all_ ABSL_GUARDED_BY(mu_) = false;
  bool is_flush_posted_ ABSL_GUARDED_BY(mu_) = false;
  bool must_tell_draining_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status end_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::broker

#endif  // BARID_BROKER_GRPC_FRAME_STREAM_H_
