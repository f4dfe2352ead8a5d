#include "edge/h2/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid::edge::h2 {
namespace {

// So much is made ahead of what the kernel takes.
constexpr size_t kMostOut = size_t{256} << 10;
// So much is written before it is the next connection's turn.
constexpr uint64_t kMostOfATurn = uint64_t{1} << 20;
// One write.
constexpr int kMostParts = 64;
// So much is read of one connection before it is the next one's turn: with a hundred that send as fast as they can, a
// call of another waits for a hundred times this. One read of cleartext, eight records of TLS.
constexpr size_t kMostReadBytes = size_t{128} << 10;
constexpr size_t kFrameHeaderBytes = 9;
// For the peer to close what we have ended.
constexpr absl::Duration kLinger = absl::Seconds(1);

absl::string_view View(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

}  // namespace

// What libnghttp2 calls. Data of the session is the connection, data of a stream its call.
struct Connection::Callbacks {
  static Connection* Of(void* user_data) { return static_cast<Connection*>(user_data); }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    return Of(user_data)->OnBeginHeaders(*frame);
  }
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t flags, void* user_data) {
    return Of(user_data)->OnHeader(*frame, View(name, name_size), View(value, value_size));
  }
  // What RFC 9113 8.2.1 forbids in a field makes the request malformed; libnghttp2 by itself drops the field.
  static int OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
                             uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    return Of(user_data)->OnFrame(*frame);
  }
  static int OnDataChunk(nghttp2_session* session, uint8_t flags, int32_t id, const uint8_t* data, size_t size,
                         void* user_data) {
    if (H2Call* const call = CallOf(session, id)) call->OnData(View(data, size));
    return 0;
  }
  static int OnStreamClosed(nghttp2_session*, int32_t id, uint32_t error, void* user_data) {
    Of(user_data)->OnStreamClosed(id, error);
    return 0;
  }
  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    return Of(user_data)->OnFrameSent(*frame);
  }
  static ssize_t NextBytes(nghttp2_session*, int32_t id, uint8_t* to, size_t most, uint32_t* flags,
                           nghttp2_data_source* source, void* user_data) {
    return Of(user_data)->NextBytes(static_cast<H2Call*>(source->ptr), most, flags);
  }
  static int SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t size,
                      nghttp2_data_source* source, void* user_data) {
    Connection* const connection = Of(user_data);
    auto* const call = static_cast<H2Call*>(source->ptr);
    connection->out_.Append(View(header, kFrameHeaderBytes));
    call->MoveTo(&connection->out_, size);
    if (call->unsent_bytes() == 0 && !call->status_) connection->taken_.push_back(call);
    return 0;
  }
};

nghttp2_session_callbacks* Connection::AllCallbacks() {
  // Shared by all sessions.
  static nghttp2_session_callbacks* const all = [] {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, Callbacks::OnInvalidHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnDataChunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnStreamClosed);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::OnFrameSent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, Callbacks::SendData);
    return callbacks;
  }();
  return all;
}

Connection::Connection(std::shared_ptr<LoopShare> share, int fd, std::shared_ptr<TlsKeys> keys, std::string peer,
                       Keepalive keepalive)
    : peer_(std::move(peer)),
      socket_(fd, std::move(keys)),
      share_(std::move(share)),
      keepalive_(keepalive),
      out_(&share_->chunks) {
  read_at_ = written_at_ = idle_since_ = loop()->now();
}

Connection::~Connection() { nghttp2_session_del(session_); }

void Connection::Begin(uint32_t events) {
  watched_events_ = events;
  loop()->Watch(socket_.fd(), events, this);
}

void Connection::Close(absl::string_view why) {
  if (is_closed_) return;
  is_closed_ = true;
  LOG(DEBUG) << "connection closed" << KV("peer", peer_) << KV("why", why);
  loop()->Forget(socket_.fd());
  OnClosing(why);
  while (calls_ != nullptr) Over(calls_, false);
  for (const Leaving& leaving : std::exchange(leaving_, {})) leaving.call->OnOver(false);
  OnClosed();
}

void Connection::Look() {
  const absl::Duration now = loop()->now();
  if (lingers()) {
    if (now - lingering_since_ > kLinger) Close("it lingered");
    return;
  }
  if (!out_.empty() && now - written_at_ > keepalive_.time + keepalive_.timeout) return Close("the peer does not read");
  if (pinged_at_ != absl::InfiniteDuration()) {
    if (now - pinged_at_ > keepalive_.timeout) Close("no answer to a ping");
    return;
  }
  if (now - read_at_ > keepalive_.time) {
    pinged_at_ = now;
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    loop()->FlushLater(this);
  }
}

// --- In ---

void Connection::OnReady(uint32_t events) {
  if (is_closed_) return;
  if ((events & EPOLLOUT) != 0) loop()->FlushLater(this);
  if ((events & ~EPOLLOUT) != 0 || socket_.is_tls()) Read();
}

void Connection::Read() {
  size_t bytes = 0;
  while (bytes < kMostReadBytes && !is_closed_) {
    const Socket::Result result = socket_.Read(share_->read_buffer.data(), share_->read_buffer.size());
    if (result.bytes > 0) {
      bytes += result.bytes;
      read_at_ = loop()->now();
      pinged_at_ = absl::InfiniteDuration();
      if (!lingers() && !Feed({share_->read_buffer.data(), result.bytes})) return;
    }
    if (result.end == Socket::End::kClosed) return Close("by the peer");
    if (result.end == Socket::End::kBlocked) {
      reading_waits_to_write_ = result.waits_to_write;
      break;
    }
  }
  loop()->FlushLater(this);
}

bool Connection::Feed(absl::string_view bytes) {
  const ssize_t fed = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (fed >= 0) return true;
  // Not HTTP/2, or a peer that must calm down. It is told what there is to tell, if that is possible at once. Other
  // errors of the protocol are no errors here: the session answers them by GOAWAY and then wants nothing more.
  MakeBytes();
  Write();
  Close(nghttp2_strerror(static_cast<int>(fed)));
  return false;
}

// --- Calls ---

void Connection::Link(H2Call* call) {
  call->connection_ = this;
  call->previous_ = nullptr;
  call->next_ = calls_;
  if (calls_ != nullptr) calls_->previous_ = call;
  calls_ = call;
  ++call_count_;
}

void Connection::Over(H2Call* call, bool delivered) {
  (call->previous_ == nullptr ? calls_ : call->previous_->next_) = call->next_;
  if (call->next_ != nullptr) call->next_->previous_ = call->previous_;
  if (--call_count_ == 0) idle_since_ = loop()->now();
  call->ReturnAll();
  call->connection_ = nullptr;
  std::replace(taken_.begin(), taken_.end(), call, static_cast<H2Call*>(nullptr));
  if (delivered && !out_.empty()) {
    leaving_.push_back({out_.appended(), call, delivered});
    return;
  }
  call->OnOver(delivered);
}

void Connection::OnStreamClosed(int32_t id, uint32_t error) {
  H2Call* const call = CallOf(session_, id);
  if (call == nullptr || call->connection_ == nullptr) return;
  Over(call, call->has_status_out_ && call->status_->ok() && error == NGHTTP2_NO_ERROR);
}

void Connection::FinishLeaving() {
  size_t left = 0;
  while (left < leaving_.size() && leaving_[left].until <= out_.written()) ++left;
  if (left == 0) return;
  const std::vector<Leaving> finished(leaving_.begin(), leaving_.begin() + static_cast<ptrdiff_t>(left));
  leaving_.erase(leaving_.begin(), leaving_.begin() + static_cast<ptrdiff_t>(left));
  for (const Leaving& leaving : finished) leaving.call->OnOver(leaving.delivered);
}

// --- Out ---

void Connection::Send(H2Call* call) {
  if (!is_flushing_) loop()->FlushLater(this);
  if (!std::exchange(call->has_headers_out_, true)) return SendHead(call);
  if (std::exchange(call->is_deferred_, false)) nghttp2_session_resume_data(session_, call->id_);
}

void Connection::ResetStream(H2Call* call) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call->id_, NGHTTP2_CANCEL);
  loop()->FlushLater(this);
}

nghttp2_data_provider Connection::ProviderOf(H2Call* call) {
  nghttp2_data_provider provider = {};
  provider.source.ptr = call;
  provider.read_callback = Callbacks::NextBytes;
  return provider;
}

ssize_t Connection::NextBytes(H2Call* call, size_t most, uint32_t* flags) {
  const size_t size = std::min(most, call->unsent_bytes());
  if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (size == call->unsent_bytes() && call->status_) {
    SendEnd(call, flags);
    call->has_status_out_ = true;
  } else if (size == 0) {
    call->is_deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(size);
}

bool Connection::MakeBytes() {
  const uint8_t* bytes = nullptr;
  ssize_t size = 0;
  while (out_.size() < kMostOut && (size = nghttp2_session_mem_send(session_, &bytes)) > 0)
    out_.Append(View(bytes, size));
  return size >= 0;
}

void Connection::Flush() {
  if (is_closed_ || lingers()) return;
  const uint64_t turn_ends = out_.appended() + kMostOfATurn;
  while (true) {
    if (!MakeBytes()) return Close("libnghttp2 is out of memory");
    if (!taken_.empty() && out_.size() < kMostOut) {
      // Whose message is in frames gives the next. Handlers run here; what they write leaves with the same write.
      is_flushing_ = true;
      for (H2Call* const call : std::exchange(taken_, {})) {
        if (call == nullptr || call->is_over()) continue;
        call->message_.reset();
        call->sent_bytes_ = 0;
        call->OnTaken();
      }
      is_flushing_ = false;
      continue;
    }
    if (out_.empty()) {
      Watch(false);
      break;
    }
    Write();
    if (is_closed_) return;
    if (!out_.empty()) {
      // The rest waits for the peer. It may ask for more meanwhile, but not for ever.
      if (nghttp2_session_get_outbound_queue_size(session_) > most_waiting_frames_) {
        return Close("the peer does not read what it asks for");
      }
      break;
    }
    // Whose windows are large and who reads as fast as we write does not keep the others waiting.
    if (out_.appended() > turn_ends) {
      FinishLeaving();
      return Watch(/*to_write=*/true);
    }
  }
  FinishLeaving();
  if (!out_.empty()) return;
  if (IsDone()) return Linger();
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) Close("done");
}

void Connection::Linger() {
  lingering_since_ = loop()->now();
  socket_.EndWriting();
}

void Connection::Write() {
  while (!out_.empty()) {
    iovec parts[kMostParts];
    const int count = out_.Peek(parts, kMostParts);
    const Socket::Result result = socket_.Write(parts, count);
    if (result.bytes > 0) {
      out_.Pop(result.bytes);
      written_at_ = loop()->now();
    }
    if (result.end == Socket::End::kClosed) return Close(absl::StrCat("cannot write: ", strerror(errno)));
    if (result.end == Socket::End::kBlocked) return Watch(result.waits_to_write);
  }
  written_at_ = loop()->now();
  Watch(false);
}

void Connection::Watch(bool to_write) {
  const uint32_t events = EPOLLIN | (to_write || reading_waits_to_write_ ? EPOLLOUT : 0u);
  if (events == watched_events_) return;
  watched_events_ = events;
  loop()->Change(socket_.fd(), events, this);
}

}  // namespace barid::edge::h2
