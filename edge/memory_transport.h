#ifndef BARID_EDGE_MEMORY_TRANSPORT_H_
#define BARID_EDGE_MEMORY_TRANSPORT_H_

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/mutex.h"
#include "edge/call.h"

namespace barid::edge {

// The client's side of a unary call over MemoryTransport. Any thread.
class MemoryCall {
 public:
  // The result once there is one.
  std::optional<absl::StatusOr<Bytes>> result() const;

  // What came with the result, by then.
  ResponseMetadata metadata() const;

  // Waits in real time, for tests with threads. kDeadlineExceeded, made here, if `timeout` passes first.
  absl::StatusOr<Bytes> Wait(absl::Duration timeout) const;

  // Ends the call as a client that gives up (kCancelled) or whose deadline passes (kDeadlineExceeded). A later answer
  // is dropped.
  void Cancel() { End(absl::CancelledError("cancelled by the client")); }
  void ExpireDeadline() { End(absl::DeadlineExceededError("deadline passed")); }
  // The transport answers what it is to answer in time, if the handler has said so and has not answered.
  void NearDeadline();

 private:
  friend class MemoryTransport;
  friend class MemoryUnaryCall;

  void End(absl::StatusOr<Bytes> result, ResponseMetadata metadata = {});

  mutable Mutex mu_;
  mutable CondVar ended_;
  std::optional<absl::StatusOr<Bytes>> result_ ABSL_GUARDED_BY(mu_);
  ResponseMetadata metadata_ ABSL_GUARDED_BY(mu_);  // With the result.
  std::optional<std::pair<Bytes, ResponseMetadata>> in_time_ ABSL_GUARDED_BY(mu_);
};

// The client's side of a stream over MemoryTransport. The server may write as many messages as were granted, so a test
// decides what the peer "can take". Any thread; destroying it cancels the stream.
class MemoryStream {
 public:
  class Core;  // Shared with the server's side.

  explicit MemoryStream(std::shared_ptr<Core> core);
  MemoryStream(MemoryStream&&) = default;
  ~MemoryStream();

  void Send(Bytes message);
  void HalfClose();
  void Cancel();
  void NearDeadline();
  void ExpireDeadline();
  // The server drains.
  void Drain();
  // Lets the server write `messages` more.
  void Grant(int messages);

  // The next message if one is there. Reading grants nothing.
  std::optional<Bytes> Read();
  // The same, waiting in real time; nullopt also if the stream ends first.
  std::optional<Bytes> WaitForMessage(absl::Duration timeout);

  // What came so far: initial once the stream is open, trailing once the server has ended it.
  ResponseMetadata metadata() const;

  // How the stream ended. The messages written before are still there to read.
  std::optional<absl::Status> status() const;
  std::optional<absl::Status> WaitForStatus(absl::Duration timeout);

 private:
  std::shared_ptr<Core> core_;
};

// Serves a MethodTable to callers in the same process: what a test uses in place of sockets. It has no thread: a
// handler runs on the thread that calls, sends, grants or answers, and on one thread the order of events is fixed. The
// limits on message sizes are kept, and each stream may reserve what a connection may; deadlines are not (a test lets
// them pass with NearDeadline and ExpireDeadline).
//
// Calls and streams may outlive the transport.
class MemoryTransport {
 public:
  static constexpr int kUnlimited = 1 << 30;

  explicit MemoryTransport(MethodTable table, PortLimits limits = {}) : table_(std::move(table)), limits_(limits) {}

  std::shared_ptr<MemoryCall> Call(CallHead head, Bytes request) const;
  // The stream is open when this returns; the server may write `credits` messages before the next Grant.
  MemoryStream Open(CallHead head, int credits = kUnlimited) const;

 private:
  const MethodTable table_;
  const PortLimits limits_;
};

}  // namespace barid::edge

#endif  // BARID_EDGE_MEMORY_TRANSPORT_H_
