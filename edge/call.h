#ifndef BARID_EDGE_CALL_H_
#define BARID_EDGE_CALL_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/bytes.h"

// The seam between a port and what is served on it: calls and bytes, nothing of messaging, no type of any transport. A
// server is a table of methods; a transport (HTTP/2 in edge/h2/, memory in edge/memory_transport.h, grpc-core in
// edge/grpc/) serves the table.
namespace barid::edge {

// Keys in lower case, in order; a key may come several times. A value is text, or any bytes if its key ends in "-bin".
using Metadata = std::vector<std::pair<std::string, std::string>>;

// What is known of a call before its first message.
struct CallHead {
  std::string method;      // "/package.Service/Method".
  Metadata metadata = {};  // Of the request, in order of arrival.
  absl::Time deadline = absl::InfiniteFuture();
  std::string peer = {};  // "ipv4:127.0.0.1:4711".

  // The first value of `key`, or nullptr.
  const std::string* Find(absl::string_view key) const;
};

// What a handler tells the peer beside its messages.
struct ResponseMetadata {
  Metadata initial = {};   // With the headers.
  Metadata trailing = {};  // With the status.
};

// What each of the two may have, counted as HTTP/2 does: 32 bytes for each pair come on top. Most clients take no more.
constexpr size_t kMostResponseMetadata = size_t{8} << 10;

// The rules of AddInitial and AddTrailing, for transports. False, and not added, if the peer could not be sent it:
// `value` is not printable ASCII, or has spaces at its ends, and `key` does not end in "-bin"; or there is no room. A
// key that is not of [0-9a-z_.-], or that HTTP/2 or gRPC keeps for itself, is a bug of the handler and crashes.
bool AddMetadata(absl::string_view key, std::string value, Metadata* metadata);

// How long before the deadline of a call its client is told what there is to tell; of a call that has less than twice
// that, half of its time.
constexpr absl::Duration kDeadlineNotice = absl::Milliseconds(250);

// A call with one request and one answer.
//
// Answered exactly once, by Answer or Fail, from any thread; both hand over to the transport and do no I/O themselves.
// An answer after the peer has gone is dropped. Destroying a call that was not answered fails it with kInternal.
class UnaryCall {
 public:
  virtual ~UnaryCall() = default;

  virtual const CallHead& head() const = 0;
  virtual const Bytes& request() const = 0;

  // Tell the peer more than the answer does, whichever that will be. Before it, from any thread. False: not possible
  // with this value (see AddMetadata).
  virtual bool AddInitial(absl::string_view key, absl::string_view value) = 0;
  virtual bool AddTrailing(absl::string_view key, absl::string_view value) = 0;

  virtual void Answer(Bytes response) = 0;
  // Ends the call with a gRPC status. Errors of the public API are answers, not failures.
  virtual void Fail(const absl::Status& status) = 0;

  // What the transport is to answer by itself, with the metadata added so far, if there is no answer when the deadline
  // is near (kDeadlineNotice): a client that waits until then knows nothing. What the handler answers later is dropped.
  // In the handler, before it returns. grpc-core's transport and calls without a deadline never use it.
  virtual void AnswerInTime(Bytes response) = 0;

  // Runs `task` once on a thread of the transport, soon: for an answer whose result comes from a thread that should not
  // make it. `task` may own this call. At most once at a time, and not after the answer. If the transport has ended, it
  // runs here.
  virtual void Resume(absl::AnyInvocable<void()> task) = 0;
};

// Called on a thread of the transport; must not block.
using UnaryHandler = std::function<void(std::unique_ptr<UnaryCall>)>;

// The transport's side of a streaming call (server streaming or bidirectional). Any thread.
class Stream {
 public:
  virtual ~Stream() = default;

  virtual const CallHead& head() const = 0;

  // As of a UnaryCall. The headers leave as soon as the stream is open: so initial metadata are added by the factory,
  // before it returns; trailing ones before Finish, in the factory, a method of the handler or a resumed task. They go
  // with whatever status ends the call, of the transport's (a deadline) too.
  virtual bool AddInitial(absl::string_view key, absl::string_view value) = 0;
  virtual bool AddTrailing(absl::string_view key, absl::string_view value) = 0;

  // Sends one message. Only in answer to OnWritable, once for each: the transport asks for the next when the peer can
  // take it, so what waits, waits at its source.
  virtual void Write(Bytes message) = 0;

  // Takes room for messages that wait at their source until the peer can take them, in what the port may hold for this
  // peer and for all; it is given back when the call is over. False: there is no room for `bytes` more. In a method of
  // the handler or a resumed task.
  virtual bool Reserve(size_t bytes) = 0;

  // Ends the call with a gRPC status. At most once; messages written before are sent first.
  virtual void Finish(const absl::Status& status) = 0;

  // Runs `task` once on a thread of the transport, soon, whether or not the call is over by then: for what the thread
  // that has the result should not do. One at a time. If the transport has ended, it runs here.
  virtual void Resume(absl::AnyInvocable<void()> task) = 0;
};

// The server's side of a streaming call. The transport calls one method at a time; they must not block.
//
//   OnMessage*  OnHalfClose?  OnDeadlineNear?  OnDrain?  interleaved with  OnWritable (Write OnWritable)*
//   and at last  OnDone
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;

  // A message of the peer. The next is read when this has returned.
  virtual void OnMessage(Bytes message) = 0;
  // The peer sends no more.
  virtual void OnHalfClose() = 0;
  // The peer can take a message: call Write once, now or later. Called first when the stream is open.
  virtual void OnWritable() = 0;
  // The deadline of the call is kDeadlineNotice away: what the peer is to hear it must be told now, before the
  // transport ends the call. At most once. grpc-core's tells nothing.
  virtual void OnDeadlineNear() {}
  // The server drains: a call that goes on for as long as the peer likes is to end now. At most once; also of a call
  // that was on its way then. grpc-core's tells nothing.
  virtual void OnDrain() {}
  // The call is over; nothing is called after it. `delivered` is true if the server finished it with OK and all that
  // was written left for the peer on a stream that ended cleanly; false if the peer cancelled, died or let its deadline
  // pass, so that what was written may or may not have arrived.
  virtual void OnDone(bool delivered) = 0;
};

// Makes the handler of one call. The handler may keep the stream; after OnDone its methods do nothing.
using StreamFactory = std::function<std::shared_ptr<StreamHandler>(std::shared_ptr<Stream>)>;

// What a port serves, by full method name. Unknown methods are answered UNIMPLEMENTED. Immutable once served.
struct MethodTable {
  absl::flat_hash_map<std::string, UnaryHandler> unary;
  absl::flat_hash_map<std::string, StreamFactory> streams;
};

// Limits of a port; each is a setting (docs/edge.md, "Limits"). edge/h2/ keeps them all; what the others do not keep,
// their headers say.
struct PortLimits {
  size_t max_request_bytes = size_t{20} << 20;
  size_t max_metadata_bytes = size_t{16} << 10;
  int max_connections = 10000;
  int max_connections_per_address = 0;  // 0: as many as in all.
  int max_streams_per_connection = 1000;
  // Requests in flight, and answers that wait for their peers, of the port and of one connection. What is beyond it is
  // refused with kResourceExhausted, or, of a streaming call, as its handler does it (Stream::Reserve).
  size_t max_inflight_request_bytes = size_t{256} << 20;
  size_t max_connection_request_bytes = size_t{64} << 20;
  // For a connection to become one: TLS handshake and preface.
  absl::Duration handshake_timeout = absl::Seconds(10);
  // For the headers of a request, each message of it from its first byte on, and the end of a unary one.
  absl::Duration request_timeout = absl::Seconds(60);
  // For the peer to take what the call has for it, without any progress. Then the call is reset.
  absl::Duration answer_timeout = absl::Seconds(60);
  // A second, of one connection; ten times as many at once. PING, SETTINGS, PRIORITY, and frames that carry nothing.
  // Clients that estimate bandwidth ping as often as data comes.
  int max_control_frames = 10000;
  // The same, calls that the peer cancels or has reset by its errors. Clients may cancel all their long polls together.
  int max_resets = 200;
};

// A port that is being served.
class Server {
 public:
  virtual ~Server() = default;  // Stops at once.

  // "host:port" that clients reach, with the real port where 0 was asked for.
  virtual const std::string& address() const = 0;

  // Accepts no new connections and calls, tells those that run (OnDrain), waits for them until `grace` has passed,
  // cancels the rest. Blocks.
  virtual void Drain(absl::Duration grace) = 0;
};

}  // namespace barid::edge

#endif  // BARID_EDGE_CALL_H_
