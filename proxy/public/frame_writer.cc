#include "proxy/public/frame_writer.h"

#include <string>
#include <utility>

#include "base/coding.h"
#include "proxy/public/exchange.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

constexpr int kLengthDelimited = 2;  // The wire type of messages.

}  // namespace

Bytes FrameOf(int field, const Bytes& message) {
  std::string head;
  PutVarint(&head, static_cast<uint64_t>(field << 3 | kLengthDelimited));
  PutVarint(&head, message.size());
  Bytes frame{Buffer(std::move(head))};
  frame.Append(message);
  return frame;
}

size_t ReserveFor(edge::Stream* stream, absl::Span<const Bytes> messages) {
  size_t bytes = 0;
  for (const Bytes& message : messages) bytes += message.size();
  if (stream->Reserve(bytes)) return messages.size();
  size_t count = 0;
  while (count < messages.size() && stream->Reserve(messages[count].size())) ++count;
  return count;
}

absl::Status NoRoomForAnswer() {
  return Refuse(Reason::kTooManyRequests,
                "the server holds too many bytes of answers that this connection, or all of them, have not read yet; "
                "read them, or ask for fewer messages at once");
}

FrameWriter::FrameWriter(std::shared_ptr<edge::Stream> stream, size_t max_frames)
    : max_frames_(max_frames), stream_(std::move(stream)) {}

void FrameWriter::Push(Bytes frame) {
  {
    MutexLock lock(&mu_);
    if (stream_ == nullptr || finish_) return;
    if (max_frames_ > 0 && frames_.size() == max_frames_) frames_.pop_front();
    frames_.push_back(std::move(frame));
  }
  Advance();
}

bool FrameWriter::PushLast(std::vector<Bytes> frames) {
  {
    MutexLock lock(&mu_);
    if (stream_ == nullptr || finish_) return false;
    for (Bytes& frame : frames) frames_.push_back(std::move(frame));
    finish_ = absl::OkStatus();
  }
  Advance();
  return true;
}

void FrameWriter::Finish(absl::Status status) {
  {
    MutexLock lock(&mu_);
    if (stream_ == nullptr || finish_) return;
    finish_ = std::move(status);
  }
  Advance();
}

void FrameWriter::OnWritable() {
  {
    MutexLock lock(&mu_);
    writable_ = true;
  }
  Advance();
}

void FrameWriter::Advance() {
  std::shared_ptr<edge::Stream> stream;
  std::optional<Bytes> frame;
  std::optional<absl::Status> finish;
  {
    MutexLock lock(&mu_);
    if (stream_ == nullptr || finished_) return;
    stream = stream_;
    if (!frames_.empty() && writable_) {
      frame = std::move(frames_.front());
      frames_.pop_front();
      writable_ = false;
      ++written_;
      ++writing_;
    } else if (frames_.empty() && finish_ && writing_ == 0) {
      finish = finish_;
      finished_ = true;
    } else {
      return;
    }
  }
  if (finish) return stream->Finish(*finish);
  stream->Write(*std::move(frame));
  {
    MutexLock lock(&mu_);
    --writing_;
  }
  // The transport asks for the next frame; the end needs no asking.
  Advance();
}

size_t FrameWriter::Close() {
  std::deque<Bytes> dropped;
  MutexLock lock(&mu_);
  stream_ = nullptr;
  dropped.swap(frames_);
  return written_;
}

void PushAnswer(StreamAnswer answer, FrameWriter* writer, MethodMetrics* metrics) {
  if (writer->PushLast(std::move(answer.frames)) && metrics != nullptr) metrics->Count(answer.code, &CodeName);
}

}  // namespace barid::proxy
