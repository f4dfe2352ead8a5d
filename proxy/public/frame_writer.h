#ifndef BARID_PROXY_PUBLIC_FRAME_WRITER_H_
#define BARID_PROXY_PUBLIC_FRAME_WRITER_H_

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/bytes.h"
#include "base/mutex.h"
#include "edge/call.h"
#include "proxy/call_metrics.h"

namespace barid::proxy {

// A frame that is one field of a message and nothing else: `field` is its number, `message` the encoded message in it,
// which is not copied.
Bytes FrameOf(int field, const Bytes& message);

// How many of `messages`, from the first on, have room in what the port may hold for the stream's peer. It is taken.
size_t ReserveFor(edge::Stream* stream, absl::Span<const Bytes> messages);
// For a stream that has room for none.
absl::Status NoRoomForAnswer();

// Frames of one stream that wait at their source until the peer can take them. Never blocks. Any thread.
class FrameWriter {
 public:
  // Of more than `max_frames` waiting ones the oldest is dropped; 0: no limit.
  FrameWriter(std::shared_ptr<edge::Stream> stream, size_t max_frames);

  void Push(Bytes frame);
  // Pushes these, then ends the stream with OK. False if it has ended already, or its end was pushed.
  bool PushLast(std::vector<Bytes> frames);
  // Ends the stream when all is written. The first call counts.
  void Finish(absl::Status status);

  // The transport's: the peer can take one more.
  void OnWritable();
  // The stream is over: what waits is dropped. Returns how many frames were written.
  size_t Close();

 private:
  // Writes the next frame or finishes, if it is time.
  void Advance();

  const size_t max_frames_;
  Mutex mu_;
  std::shared_ptr<edge::Stream> stream_ ABSL_GUARDED_BY(mu_);  // nullptr: over.
  std::deque<Bytes> frames_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> finish_ ABSL_GUARDED_BY(mu_);
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool writable_ ABSL_GUARDED_BY(mu_) = false;
  size_t written_ ABSL_GUARDED_BY(mu_) = 0;
  int writing_ ABSL_GUARDED_BY(mu_) = 0;  // Calls of Write that have not returned: the stream is not ended meanwhile.
};

// All that a call which waits for messages is answered with, and the code in the first frame.
struct StreamAnswer {
  std::vector<Bytes> frames;
  int code = kUsualCode;
};

// Ends the stream with the answer and, if there is somebody to ask, counts it; the first one of a stream.
void PushAnswer(StreamAnswer answer, FrameWriter* writer, MethodMetrics* metrics);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_FRAME_WRITER_H_
