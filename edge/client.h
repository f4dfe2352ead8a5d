#ifndef BARID_EDGE_CLIENT_H_
#define BARID_EDGE_CLIENT_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/bytes.h"

// The other side of edge/call.h: streams to a server, for our own processes.
namespace barid::edge {

// The transport's side of a stream. Any thread.
class ClientStream {
 public:
  virtual ~ClientStream() = default;

  // Sends one message. Only in answer to OnWritable, once for each.
  virtual void Write(Bytes message) = 0;
  // Sends no more. At most once, and never while OnWritable is unanswered but in answer to it.
  virtual void HalfClose() = 0;
  // Ends the stream soon, with kCancelled. Any number of times.
  virtual void Cancel() = 0;
  // Runs `task` once on a thread of the transport, soon but not within this call, whether or not the stream is over: in
  // the same wake-up if this is that thread, so that what others do in it can go together. If the transport has ended,
  // it runs here.
  virtual void Resume(absl::AnyInvocable<void()> task) = 0;
};

// The caller's side. The transport calls one method at a time, on a thread of its own; they must not block.
class ClientStreamHandler {
 public:
  virtual ~ClientStreamHandler() = default;

  // The server has accepted the stream. Before this nothing is asked for, so what failed before it surely did nothing.
  virtual void OnOpened() = 0;
  virtual void OnMessage(Bytes message) = 0;
  // The server can take a message: call Write or HalfClose, now or later.
  virtual void OnWritable() = 0;
  // The stream is over; nothing is called after it.
  virtual void OnDone(const absl::Status& status) = 0;
};

// A way to one server: one connection, opened when it is needed. Any thread.
class Channel {
 public:
  virtual ~Channel() = default;  // Its streams end with kUnavailable.

  // "/package.Service/Method". The result is never null; what goes wrong is told by OnDone. May block to resolve a
  // name.
  virtual std::shared_ptr<ClientStream> Open(const std::string& method,
                                             std::shared_ptr<ClientStreamHandler> handler) = 0;
};

}  // namespace barid::edge

#endif  // BARID_EDGE_CLIENT_H_
