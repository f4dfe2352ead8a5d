#ifndef BARID_EDGE_H2_H2_CALL_H_
#define BARID_EDGE_H2_H2_CALL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "edge/call.h"
#include "edge/h2/loop.h"
#include "edge/h2/message_reader.h"
#include "edge/h2/out_queue.h"
#include "edge/h2/port.h"

namespace barid::edge::h2 {

class Connection;

// A stream of HTTP/2 that carries a call. Belongs to its connection until OnOver, on the loop's thread.
//
//   in:    OnData* OnEndStream  ->  OnMessage* OnHalfClose
//   out:   headers, (message, OnTaken)*, status; what there is, the connection asks for: NextBytes, CopyTo
//   over:  the stream is closed and, if we have closed it, all of it is handed to the kernel -> OnOver
class H2Call {
 public:
  int32_t id() const { return id_; }

 protected:
  H2Call(std::shared_ptr<Loop> loop, size_t max_message_bytes) : loop_(std::move(loop)), reader_(max_message_bytes) {}
  virtual ~H2Call() = default;

  virtual void OnMessage(Bytes message) = 0;
  virtual void OnHalfClose() = 0;
  // The message is in frames: there is room for the next.
  virtual void OnTaken() = 0;
  // Nothing is called after it. `delivered`: we finished with OK, and all that we sent has left on a stream that ended
  // cleanly.
  virtual void OnOver(bool delivered) = 0;
  // Looks whether there is something to do before the deadline; when to look again, or never.
  virtual absl::Duration OnDeadlineNotice() { return absl::InfiniteDuration(); }
  // The server drains.
  virtual void OnDrain() {}
  // Whether our side can end with an error that the peer can read.
  virtual bool CanSendStatus() const { return true; }
  // Whether what comes is of interest. A server that has finished reads no more.
  virtual bool ReadsOn() const { return !status_; }

  // Leave with the next flush. Nothing happens once the call is over. One message at a time, until OnTaken.
  void SendMessage(Bytes message);
  void SendStatus(absl::Status status);
  // The call ends with this error now, whatever waits to be sent.
  void Abort(absl::Status status);

  // The peer has request_timeout for what is to come now.
  void AwaitMore() { reading_since_ = loop_->now(); }
  // The bytes of messages so far are nobody's any more.
  void ReturnTaken();
  // Room in the budgets for messages that are to be sent, until the call is over. False: there is none.
  bool Reserve(size_t bytes);
  // The same, and room in the budgets for an answer, until the call is over. False: there is none.
  bool TakeAnswer(size_t bytes);

  // OnDeadlineNotice is called then, or earlier.
  void WatchDeadline(absl::Duration at);

  bool is_over() const { return connection_ == nullptr; }
  bool has_status() const { return status_.has_value(); }
  bool is_half_closed() const { return status_ && status_->ok(); }
  bool has_headers_out() const { return has_headers_out_; }
  // For another call.
  void Reset();

  // Adds to `*metadata`, which is made if it is null, as the wire has it.
  static bool AddMetadata(Metadata ResponseMetadata::*part, absl::string_view key, absl::string_view value,
                          std::unique_ptr<ResponseMetadata>* metadata);

  const std::shared_ptr<Loop> loop_;
  CallHead head_;
  std::unique_ptr<ResponseMetadata> metadata_;  // What goes with the headers and the status; null: nothing.

 private:
  friend class Connection;
  friend class ServerConnection;
  friend class ClientConnection;

  // From the connection.
  void OnData(absl::string_view data);
  void OnEndStream();
  // Bytes of the current message that are in no frame yet.
  size_t unsent_bytes() const { return message_ ? kPrefixBytes + message_->size() - sent_bytes_ : 0; }
  // Moves the next `size` of them.
  void MoveTo(OutQueue* out, size_t size);
  // Nothing of what it has for the peer has left for so long.
  bool IsStuck(absl::Duration timeout) const {
    // libnghttp2 does not ask for what follows the last byte either while the peer's window is zero.
    const bool has_more = unsent_bytes() > 0 || (status_ && !has_status_out_);
    return has_more && loop_->now() - moved_at_ > timeout;
  }
  // All that it has of the budgets.
  void ReturnAll();

  static constexpr size_t kPrefixBytes = 5;

  Connection* connection_ = nullptr;  // Null once it is over.
  int32_t id_ = 0;
  H2Call* previous_ = nullptr;  // In the connection's list.
  H2Call* next_ = nullptr;

  MessageReader reader_;
  size_t taken_bytes_ = 0;        // Of the budgets.
  size_t reserved_bytes_ = 0;     // The same, for messages to be sent.
  absl::Duration reading_since_;  // What the peer has begun and must end; infinite: nothing.
  bool has_ended_ = false;        // The peer sends no more.

  bool has_headers_out_ = false;
  bool is_deferred_ = false;  // nghttp2 waits to be told that there is more.
  bool has_status_out_ = false;
  std::optional<Bytes> message_;
  size_t sent_bytes_ = 0;
  absl::Duration moved_at_;  // When bytes of message_ went into a frame, or it or the status came.
  size_t part_ = 0;          // Where in message_ they end.
  size_t part_bytes_ = 0;
  std::optional<absl::Status> status_;
};

// A call with one request and one answer. Held by two: the connection, until the stream is over and the answer has
// come, and the handler, through its handle. Whoever lets go last frees it, or keeps it for another call.
class H2UnaryCall final : public H2Call, public Posted {
 public:
  explicit H2UnaryCall(const std::shared_ptr<LoopPort>& home)
      : H2Call(home->loop, home->port->options.limits.max_request_bytes), home_(home) {}

  // The request is complete once the peer half-closes: then `handler` is called.
  void Begin(const UnaryHandler* handler);

 private:
  class Handle;

  void OnMessage(Bytes message) override;
  void OnHalfClose() override;
  void OnTaken() override {}
  void OnOver(bool delivered) override;
  absl::Duration OnDeadlineNotice() override;

  bool Add(Metadata ResponseMetadata::*part, absl::string_view key, absl::string_view value);
  void AnswerInTime(Bytes response);
  void End(absl::Status status);
  void Resume(absl::AnyInvocable<void()> task);
  void RunPosted() override;
  void Finish();
  bool LetGo() { return holds_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  const std::weak_ptr<LoopPort> home_;
  const UnaryHandler* handler_ = nullptr;  // Null once it was called.
  std::optional<Bytes> request_;

  bool answered_ = false;               // The handler's side only.
  absl::AnyInvocable<void()> resumed_;  // While it is posted.
  Bytes response_;
  std::unique_ptr<ResponseMetadata> added_;  // By the handler.
  absl::Status end_;
  bool is_finished_ = false;  // The answer has come home.
  // The loop's thread only.
  bool has_left_ = false;                                // OnOver was called.
  bool is_in_time_ = false;                              // It was answered before its handler did.
  absl::Duration notice_at_ = absl::InfiniteDuration();  // Then the answer is this:
  Bytes in_time_;
  std::atomic<int> holds_{0};
};

// A streaming call. Write and Finish, called on other threads, leave what they carry in a post of their own; each is
// posted at most once at a time, because Write answers OnWritable and Finish is called once.
class H2StreamCall final : public H2Call,
                           public Stream,
                           public Alarm,
                           public std::enable_shared_from_this<H2StreamCall> {
 public:
  explicit H2StreamCall(const LoopPort& home) : H2Call(home.loop, home.port->options.limits.max_request_bytes) {}

  void Begin(const StreamFactory& factory);

  // Stream:
  const CallHead& head() const override { return head_; }
  bool AddInitial(absl::string_view key, absl::string_view value) override;
  bool AddTrailing(absl::string_view key, absl::string_view value) override;
  void Write(Bytes message) override;
  bool Reserve(size_t bytes) override { return H2Call::Reserve(bytes); }
  void Finish(const absl::Status& status) override;
  void Resume(absl::AnyInvocable<void()> task) override;

 private:
  using Task = absl::AnyInvocable<void()>;

  void OnMessage(Bytes message) override;
  void OnHalfClose() override;
  void OnTaken() override;
  void OnOver(bool delivered) override;
  void OnDrain() override;
  void OnAlarm() override;  // The deadline is near, then it is here.

  void TakeMessage(Bytes message);
  void TakeStatus(absl::Status status);
  void TakeTask(Task task) { task(); }

  // A message, the status or a task on its way from another thread. Holds the stream meanwhile.
  template <typename T, void (H2StreamCall::*take)(T)>
  class Post final : public Posted {
   public:
    void Send(H2StreamCall* stream, T value);
    void RunPosted() override;

   private:
    std::atomic<bool> is_busy_{false};
    T value_;
    std::shared_ptr<H2StreamCall> stream_;
  };

  Post<Bytes, &H2StreamCall::TakeMessage> message_post_;
  Post<absl::Status, &H2StreamCall::TakeStatus> status_post_;
  Post<Task, &H2StreamCall::TakeTask> task_post_;

  // The loop's thread only.
  std::shared_ptr<H2StreamCall> self_;      // Until it is over.
  std::shared_ptr<StreamHandler> handler_;  // The same.
  bool is_asked_ = false;                   // OnWritable was called and Write has not answered it.
  bool is_finished_ = false;                // By the handler.
  absl::Duration deadline_;                 // By Loop::now; set if there is one.
  bool is_deadline_near_ = false;           // The handler has been told.
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_H2_CALL_H_
