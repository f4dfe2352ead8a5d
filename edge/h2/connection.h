#ifndef BARID_EDGE_H2_CONNECTION_H_
#define BARID_EDGE_H2_CONNECTION_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "edge/h2/h2_call.h"
#include "edge/h2/out_queue.h"
#include "edge/h2/port.h"
#include "edge/h2/socket.h"

namespace barid::edge::h2 {

// When a peer is taken for dead.
struct Keepalive {
  absl::Duration time = absl::Seconds(60);     // Of silence, after which it is pinged,
  absl::Duration timeout = absl::Seconds(20);  // and after which more the connection is closed.
};

// One connection: a socket, libnghttp2's session, and the calls on it. Lives and dies on its loop. What servers and
// clients have in common; server_connection.h and h2_client.cc have the rest.
//
//   socket -> bytes -> session -> callbacks -> calls -> handlers
//   calls -> session (asks a call for bytes when the peer can take them) -> out_ -> socket
//
// At most kMostOut bytes are made ahead of what the kernel takes; what does not fit waits in the calls, one message
// each.
class Connection : public Watched, public Flushed {
 public:
  virtual ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Looks at the clock: who is too slow or silent. Every second or so.
  virtual void Look();

  // At once: its calls are over. Not from a callback of a call.
  void Close(absl::string_view why);
  bool is_closed() const { return is_closed_; }

  // Of its calls: there is something to send.
  void Send(H2Call* call);
  // Ends the stream with CANCEL.
  void ResetStream(H2Call* call);
  // Room in the budgets for bytes that are read. False: there is none.
  virtual bool TakeBytes(size_t bytes) = 0;
  virtual void ReturnBytes(size_t bytes) = 0;
  // Calls H2Call::OnDeadlineNotice of its calls at `at`, or earlier.
  virtual void WatchDeadline(absl::Duration at) {}

  // Watched:
  void OnReady(uint32_t events) override;
  // Flushed:
  void Flush() override;

 protected:
  Connection(std::shared_ptr<LoopShare> share, int fd, std::shared_ptr<TlsKeys> keys, std::string peer,
             Keepalive keepalive);

  static nghttp2_session_callbacks* AllCallbacks();

  // --- What servers and clients do each in their way. ---
  // From the session; 0, or NGHTTP2_ERR_CALLBACK_FAILURE to end the connection. OnHeader also
  // NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE, to reset the stream.
  virtual int OnBeginHeaders(const nghttp2_frame& frame) = 0;
  virtual int OnHeader(const nghttp2_frame& frame, absl::string_view name, absl::string_view value) = 0;
  virtual int OnFrame(const nghttp2_frame& frame) = 0;
  virtual int OnFrameSent(const nghttp2_frame& frame) { return 0; }
  virtual void OnStreamClosed(int32_t id, uint32_t error);
  // The headers of a call's own side.
  virtual void SendHead(H2Call* call) = 0;
  // The call's side ends behind the bytes that NextBytes has given: says how in the flags of nghttp2_data_flag.
  virtual void SendEnd(H2Call* call, uint32_t* flags) = 0;
  // All that there was is written. Whether the connection has no more to do: then it ends, but so that the peer can
  // still read what left last.
  virtual bool IsDone() { return false; }
  // Once each: at the beginning of Close, while the calls are there, and at its end, when whoever holds it lets go.
  virtual void OnClosing(absl::string_view why) {}
  virtual void OnClosed() = 0;

  static H2Call* CallOf(nghttp2_session* session, int32_t id) {
    return static_cast<H2Call*>(nghttp2_session_get_stream_user_data(session, id));
  }
  // libnghttp2 asks `call` for its bytes by this.
  nghttp2_data_provider ProviderOf(H2Call* call);
  // Begins to watch the socket for `events`. Once.
  void Begin(uint32_t events);
  void Link(H2Call* call);
  void Over(H2Call* call, bool delivered);
  // The call is asked for its next message with the next flush.
  void AskFor(H2Call* call) { taken_.push_back(call); }

  Loop* loop() const { return share_->loop.get(); }
  bool lingers() const { return lingering_since_ != absl::InfiniteDuration(); }

  const std::string peer_;
  nghttp2_session* session_ = nullptr;  // The derived class makes it.
  H2Call* calls_ = nullptr;             // A list.
  int call_count_ = 0;
  absl::Duration idle_since_;                                        // While there are no calls.
  size_t most_waiting_frames_ = std::numeric_limits<size_t>::max();  // For a peer that does not read.
  Socket socket_;

 private:
  struct Callbacks;  // libnghttp2's.

  // A stream that is over but whose last bytes are in out_.
  struct Leaving {
    uint64_t until = 0;
    H2Call* call = nullptr;
    bool delivered = false;
  };

  void Read();
  bool Feed(absl::string_view bytes);
  // Moves what the session has to send to out_, as far as there is room.
  bool MakeBytes();
  void Write();
  // Writes no more, and waits a moment for the peer to close: what it has sent and nobody reads would make the kernel
  // throw away what it has yet to read.
  void Linger();
  void Watch(bool to_write);
  ssize_t NextBytes(H2Call* call, size_t most, uint32_t* flags);
  void FinishLeaving();

  const std::shared_ptr<LoopShare> share_;
  const Keepalive keepalive_;
  uint32_t watched_events_ = 0;
  bool reading_waits_to_write_ = false;  // TLS.
  bool is_closed_ = false;
  absl::Duration lingering_since_ = absl::InfiniteDuration();
  bool is_flushing_ = false;  // Flush asks its calls for more, and sends what they give.

  std::vector<H2Call*> taken_;  // Whose message is in frames, and who are told so.
  std::vector<Leaving> leaving_;
  OutQueue out_;

  absl::Duration read_at_;     // The last time something came,
  absl::Duration written_at_;  // or left, or there was nothing to write.
  absl::Duration pinged_at_ = absl::InfiniteDuration();
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_CONNECTION_H_
