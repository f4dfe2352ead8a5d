#ifndef BARID_BROKER_GRPC_FRAME_STREAM_H_
#define BARID_BROKER_GRPC_FRAME_STREAM_H_

#include <google/protobuf/arena.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/mutex.h"
#include "edge/call.h"

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

// The broker's end of one stream of frames: hands the calls of a frame on; writes whatever answers have collected while
// the last frame was in flight.
//
//     frames in --OnMessage--> Handle --> BrokerApi --> answers --FlushSoon, OnWritable--> frames out
//
// Answers are encoded and written on the transport's thread, so that no shard's thread pays for it and the answers of
// one commit leave together. The stream ends with OK when the peer has half-closed and everything is answered; at once
// when it breaks. Whoever owes it an answer keeps it alive (shared_ptr), and may find it ended.
template <typename In, typename Out>
class FrameStream : public edge::StreamHandler,
                    public DrainableStream,
                    public std::enable_shared_from_this<FrameStream<In, Out>> {
 public:
  // Once, after construction.
  void Start() {
    if (open_streams_->Add(this->shared_from_this())) return;
    Break(absl::UnavailableError("the broker drains"));
  }

  void Drain() override {
    {
      MutexLock lock(&mu_);
      must_tell_draining_ = true;
    }
    OnServiceDrain();
    FlushSoon();
  }

  void OnMessage(Bytes message) override {
    const auto frame = std::make_shared<ArenaFrame<In>>();
    const Buffer flat = message.Flatten();  // One part, as a transport gives it: nothing is copied.
    absl::Status handled;
    if (!frame->message->ParseFromArray(flat.data(), static_cast<int>(flat.size()))) {
      handled = absl::InvalidArgumentError("a frame cannot be parsed");
    } else {
      handled = Handle(frame);
    }
    if (handled.ok()) return;
    LOG(ERROR) << "a proxy broke the rules of the stream" << KV("error", handled);
    Break(absl::InvalidArgumentError(handled.message()));
  }

  void OnHalfClose() override {
    {
      MutexLock lock(&mu_);
      has_read_all_ = true;
    }
    MaybeFinish();
  }

  void OnWritable() override {
    {
      MutexLock lock(&mu_);
      is_writable_ = true;
    }
    WriteNext();
  }

  void OnDone(bool delivered) override {
    bool is_news = false;
    {
      MutexLock lock(&mu_);
      is_news = !is_broken_ && !is_finished_;
      is_broken_ = is_finished_ = true;
    }
    if (is_news) OnBroken();
    OnEnd();
    open_streams_->Remove(this->shared_from_this());
  }

 protected:
  FrameStream(std::shared_ptr<edge::Stream> stream, std::shared_ptr<OpenStreams> open_streams)
      : stream_(std::move(stream)), open_streams_(std::move(open_streams)) {}

  // Starts the calls of a frame. An error breaks the stream.
  virtual absl::Status Handle(const std::shared_ptr<ArenaFrame<In>>& frame) = 0;
  // Makes the answers that have collected the writer's. Whether the writer has any.
  virtual bool Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // Writes answers of the writer's to `frame`, about kFrameBytes. No lock is held; no other writer runs.
  virtual void Encode(Out* frame) = 0;
  virtual void OnServiceDrain() {}
  // The peer is gone: nobody wants what is under way. Once at most.
  virtual void OnBroken() {}
  // Nothing will be written any more. Once, with no writer.
  virtual void OnEnd() {}

  // An answer has come, or the last that was owed: write it soon, or end. Any thread.
  void FlushSoon() {
    {
      MutexLock lock(&mu_);
      if (!is_writable_ || is_flush_posted_ || is_finished_) return;  // A frame in flight: its end finds it.
      is_flush_posted_ = true;
    }
    stream_->Resume([self = this->shared_from_this()] {
      {
        MutexLock lock(&self->mu_);
        self->is_flush_posted_ = false;
      }
      self->WriteNext();
    });
  }

  mutable Mutex mu_;
  bool is_broken_ ABSL_GUARDED_BY(mu_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mu_) = false;
  // What was asked and is not answered.
  int64_t calls_under_way_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t bytes_under_way_ ABSL_GUARDED_BY(mu_) = 0;

 private:
  // On the transport's thread, which is the one writer.
  void WriteNext() {
    bool tells_draining = false;
    bool has_frame = false;
    {
      MutexLock lock(&mu_);
      if (!is_writable_) return;
      const bool has_answers = Collect();
      has_frame = !is_finished_ && (has_answers || must_tell_draining_);
      if (has_frame) {
        tells_draining = std::exchange(must_tell_draining_, false);
        is_writable_ = false;
      }
    }
    if (!has_frame) return MaybeFinish();
    arena_.Reset();
    Out* const frame = google::protobuf::Arena::CreateMessage<Out>(&arena_);
    Encode(frame);
    frame->set_draining(tells_draining);
    // The second copy of what the frame carries; codec/broker_codec.h says what it costs.
    stream_->Write(Bytes(frame->SerializeAsString()));
  }

  void Break(const absl::Status& why) {
    {
      MutexLock lock(&mu_);
      if (is_broken_ || is_finished_) return;
      is_broken_ = is_finished_ = true;
    }
    OnBroken();
    stream_->Finish(why);
  }

  void MaybeFinish() {
    {
      MutexLock lock(&mu_);
      if (is_finished_ || !is_writable_ || !has_read_all_ || calls_under_way_ > 0 || Collect()) return;
      is_finished_ = true;
    }
    stream_->Finish(absl::OkStatus());
  }

  const std::shared_ptr<edge::Stream> stream_;
  const std::shared_ptr<OpenStreams> open_streams_;
  google::protobuf::Arena arena_;  // The writer's.

  bool is_writable_ ABSL_GUARDED_BY(mu_) = false;
  bool has_read_all_ ABSL_GUARDED_BY(mu_) = false;
  bool is_flush_posted_ ABSL_GUARDED_BY(mu_) = false;
  bool must_tell_draining_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_GRPC_FRAME_STREAM_H_
