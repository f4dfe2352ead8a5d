#include "edge/h2/server_connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "edge/h2/encodings.h"

namespace barid::edge::h2 {
namespace {

// Windows for what peers send: a stream's lets a message of 4 MiB pass at a gigabyte a second over a millisecond.
constexpr int32_t kStreamWindow = 1 << 20;
constexpr int32_t kConnectionWindow = 8 << 20;
// What may wait for a peer that does not read: for each of its streams so many, and for a hundred more.
constexpr size_t kWaitingFramesOfAStream = 8;
// A header counts for its text and so much more (RFC 9113 6.5.2).
constexpr size_t kHeaderCost = 32;
// A connection that holds less than that may have one answer that is larger than its share.
constexpr size_t kNextToNothing = size_t{64} << 10;
// Behind the first GOAWAY; a keepalive's is zeros.
constexpr uint8_t kDrainPing[8] = {'d', 'r', 'a', 'i', 'n', 0, 0, 0};
// For its answer. Looked at once a second.
constexpr absl::Duration kDrainPatience = absl::Seconds(1);
// Headers that have so many times what they may have are an attack.
constexpr size_t kFarTooLarge = 4;

nghttp2_nv Header(absl::string_view name, absl::string_view value, uint8_t flags = NGHTTP2_NV_FLAG_NO_COPY_NAME) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), flags};
}
nghttp2_nv Constant(absl::string_view name, absl::string_view value) {
  return Header(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

// A block of headers; nghttp2 copies what is not constant. Without metadata it needs no more room than this.
using Headers = absl::InlinedVector<nghttp2_nv, 5>;

void Append(const Metadata& metadata, Headers* headers) {
  for (const auto& [key, value] : metadata) headers->push_back(Header(key, value, NGHTTP2_NV_FLAG_NONE));
}

// The beginning of a status message that all clients take: most want no more than 8 KiB of headers, of which a
// character may take three. libnghttp2 sends nothing at all if a block is longer than 64 KiB.
constexpr size_t kMostStatusMessage = size_t{2} << 10;

absl::string_view Beginning(absl::string_view message) {
  if (message.size() <= kMostStatusMessage) return message;
  size_t end = kMostStatusMessage;
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) --end;  // Within a character of UTF-8.
  return message.substr(0, end);
}

// grpc-status and grpc-message.
struct StatusHeaders {
  explicit StatusHeaders(const absl::Status& status)
      : code(absl::StrCat(static_cast<int>(status.code()))), message(PercentEncode(Beginning(status.message()))) {}
  void AppendTo(Headers* headers) const {
    headers->push_back(Header("grpc-status", code));
    if (!message.empty()) headers->push_back(Header("grpc-message", message));
  }
  const std::string code;
  const std::string message;
};

// Also with a suffix or parameters; "application/grpc-web" is another protocol.
bool IsGrpc(absl::string_view content_type) {
  if (!absl::ConsumePrefix(&content_type, "application/grpc")) return false;
  return content_type.empty() || content_type[0] == '+' || content_type[0] == ';' || content_type[0] == ' ';
}

nghttp2_option* Options() {
  static nghttp2_option* const options = [] {
    nghttp2_option* made = nullptr;
    CHECK_EQ(nghttp2_option_new(&made), 0);
    nghttp2_option_set_no_closed_streams(made, 1);
    // Its own bound is lower than what honest clients do; ours counts them.
    nghttp2_option_set_stream_reset_rate_limit(made, uint64_t{1} << 40, uint64_t{1} << 40);
    return made;
  }();
  return options;
}

}  // namespace

ServerConnection::ServerConnection(std::shared_ptr<LoopPort> home, int fd, std::string address, std::string peer)
    : Connection(home, fd, home->port->keys, std::move(peer),
                 {home->port->options.keepalive_time, home->port->options.keepalive_timeout}),
      home_(std::move(home)),
      limits_(home_->port->options.limits),
      address_(std::move(address)),
      control_frames_(10.0 * limits_.max_control_frames, limits_.max_control_frames),
      resets_(10.0 * limits_.max_resets, limits_.max_resets) {
  const absl::Duration now = loop()->now();
  opened_at_ = now;
  most_waiting_frames_ = kWaitingFramesOfAStream * (static_cast<size_t>(limits_.max_streams_per_connection) + 100);
  const absl::Duration age = home_->port->options.max_age;
  // Some earlier, so that connections that were made together do not end together. Where the object lies is random
  // enough.
  const double early = static_cast<double>((reinterpret_cast<uintptr_t>(this) >> 6) % 1000) / 10000;
  expires_at_ = age == absl::InfiniteDuration() ? age : now + age * (1 - early);
}

ServerConnection::~ServerConnection() { home_->port->counts.Remove(address_); }

void ServerConnection::Open() {
  CHECK_EQ(nghttp2_session_server_new2(&session_, AllCallbacks(), this, Options()), 0);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<uint32_t>(limits_.max_streams_per_connection)},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(kStreamWindow)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits_.max_metadata_bytes)},
  };
  CHECK_EQ(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)), 0);
  CHECK_EQ(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow), 0);
  Begin(EPOLLIN);
}

void ServerConnection::OnClosed() {
  loop()->Unset(this);
  const auto place = home_->connections.find(this);
  loop()->Retire(std::move(place->second));
  home_->connections.erase(place);
  if (home_->connections.empty() && home_->on_empty) home_->on_empty();
}

// --- The clock ---

void ServerConnection::Look() {
  if (is_closed()) return;
  if (lingers()) return Connection::Look();
  const absl::Duration now = loop()->now();
  const H2ServerOptions& options = home_->port->options;
  if (!has_preface_) {
    if (now - opened_at_ > limits_.handshake_timeout) Close("no preface in time");
    return;
  }
  if (now - block_since_ > limits_.request_timeout) return Close("headers did not end in time");
  for (H2Call* call = calls_; call != nullptr;) {
    H2Call* const next = call->next_;
    if (!call->has_ended_ && now - call->reading_since_ > limits_.request_timeout) {
      call->Abort(absl::DeadlineExceededError("the request did not come in time"));
    }
    // If its window is open the socket takes nothing, which is looked after below.
    if (call->IsStuck(limits_.answer_timeout) &&
        (nghttp2_session_get_remote_window_size(session_) <= 0 ||
         nghttp2_session_get_stream_remote_window_size(session_, call->id_) <= 0)) {
      call->moved_at_ = absl::InfiniteDuration();
      ResetStream(call);
    }
    call = next;
  }
  if (drained_at_ != absl::InfiniteDuration()) {
    if (now - drained_at_ > kDrainPatience) TakeNoMore();
    if (now > ends_at_) return Close("it was told to go");
  } else if (now > expires_at_ || (call_count_ == 0 && now - idle_since_ > options.max_idle)) {
    ends_at_ = now + options.max_age_grace;
    Leave();
  }
  Connection::Look();
}

void ServerConnection::WatchDeadline(absl::Duration at) {
  if (at >= rings_at_) return;
  rings_at_ = at;
  loop()->Set(this, at);
}

void ServerConnection::OnAlarm() {
  rings_at_ = absl::InfiniteDuration();
  for (H2Call* call = calls_; call != nullptr; call = call->next_) WatchDeadline(call->OnDeadlineNotice());
}

void ServerConnection::Drain() {
  Leave();
  is_draining_ = true;
  ends_at_ = absl::InfiniteDuration();  // The drain has a grace of its own.
  for (H2Call* call = calls_; call != nullptr;) {
    H2Call* const next = call->next_;
    call->OnDrain();
    call = next;
  }
}

// First a GOAWAY that names no stream, and a ping behind it: what the peer had sent when it heard of that comes before
// the answer to the ping. A second one, because gRPC's core writes such answers ahead of the calls that it had begun.
// Then the GOAWAY that counts (RFC 9113 6.8).
void ServerConnection::Leave() {
  if (is_closed() || drained_at_ != absl::InfiniteDuration() || lingers()) return;
  drained_at_ = loop()->now();
  if (!has_preface_) return Close("it drains before it began");
  nghttp2_submit_shutdown_notice(session_);
  loop()->FlushLater(this);
}

void ServerConnection::TakeNoMore() {
  if (is_closed() || is_going_ || lingers()) return;
  is_going_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  loop()->FlushLater(this);
}

// --- In ---

int ServerConnection::OnBeginHeaders(const nghttp2_frame& frame) {
  block_since_ = loop()->now();
  reading_.id = frame.hd.stream_id;
  reading_.bytes = 0;
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  reading_.too_large = reading_.is_post = reading_.is_grpc = false;
  reading_.bad = absl::OkStatus();
  reading_.headers = 0;
  reading_.call.deadline = absl::InfiniteFuture();
  return 0;
}

int ServerConnection::OnHeader(const nghttp2_frame& frame, absl::string_view name, absl::string_view value) {
  if (frame.hd.stream_id != reading_.id) return 0;
  reading_.bytes += name.size() + value.size() + kHeaderCost;
  // Trailers, which say nothing to us.
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) {
    return reading_.bytes > limits_.max_metadata_bytes ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
  }
  if (reading_.bytes > limits_.max_metadata_bytes) {
    // Refused with a status when it ends. But a field costs libnghttp2 its length even if it is a byte that refers to a
    // table: far beyond the limit the stream is reset, and the rest of the block is decoded without being looked at.
    reading_.too_large = true;
    return reading_.bytes > kFarTooLarge * limits_.max_metadata_bytes ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
  }
  if (name[0] == ':') {
    if (name == ":path") reading_.call.method.assign(value.data(), value.size());
    if (name == ":method") reading_.is_post = value == "POST";
    return 0;
  }
  if (name == "content-type") {
    reading_.is_grpc = IsGrpc(value);
    return 0;
  }
  if (name == "te" || name == "grpc-accept-encoding") return 0;
  if (name == "grpc-timeout") {
    const std::optional<absl::Duration> timeout = ParseTimeout(value);
    if (timeout) {
      reading_.call.deadline = DeadlineAfter(absl::Now(), *timeout);
    } else {
      reading_.bad =
          absl::InternalError(absl::StrCat("grpc-timeout is \"", value, "\", expected up to 8 digits and a unit"));
    }
    return 0;
  }
  if (name == "grpc-encoding") {
    if (value != "identity") {
      reading_.bad = absl::UnimplementedError(absl::StrCat("grpc-encoding is ", value, ", only identity is supported"));
    }
    return 0;
  }
  if (!absl::EndsWith(name, "-bin")) {
    NextMetadata(name)->assign(value.data(), value.size());
    return 0;
  }
  // Several values may stand in one header, each encoded by itself.
  for (const absl::string_view one : absl::StrSplit(value, ',')) {
    if (one.data() != value.data()) reading_.bytes += name.size() + kHeaderCost;
    if (reading_.bytes > limits_.max_metadata_bytes) {
      reading_.too_large = true;
      return 0;
    }
    std::optional<std::string> decoded = DecodeBinaryHeader(absl::StripAsciiWhitespace(one));
    if (!decoded) reading_.bad = absl::InternalError(absl::StrCat("the header ", name, " is not base64"));
    *NextMetadata(name) = std::move(decoded).value_or("");
  }
  return 0;
}

std::string* ServerConnection::NextMetadata(absl::string_view name) {
  auto& metadata = reading_.call.metadata;
  if (reading_.headers == metadata.size()) metadata.emplace_back();
  auto& [key, text] = metadata[reading_.headers++];
  key.assign(name.data(), name.size());
  return &text;
}

int ServerConnection::OnFrame(const nghttp2_frame& frame) {
  const absl::Duration now = loop()->now();
  has_preface_ = true;
  const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      block_since_ = absl::InfiniteDuration();
      if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
        BeginCall(frame.hd.stream_id, ends);
        return 0;
      }
      reading_.id = 0;
      [[fallthrough]];
    case NGHTTP2_DATA:
      // Padding carries nothing either. nghttp2 counts the byte that tells its length as padding.
      if (!ends && frame.hd.length == (frame.hd.type == NGHTTP2_DATA ? frame.data.padlen : 0) &&
          !control_frames_.Take(now)) {
        return Calm("empty frames");
      }
      if (ends) {
        if (H2Call* const call = CallOf(session_, frame.hd.stream_id)) call->OnEndStream();
      }
      return 0;
    case NGHTTP2_RST_STREAM:
      return resets_.Take(now) ? 0 : Calm("resets");
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        if (drained_at_ != absl::InfiniteDuration() && !is_going_ &&
            std::equal(std::begin(kDrainPing), std::end(kDrainPing), frame.ping.opaque_data)) {
          if (--drain_pings_left_ > 0) return nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kDrainPing);
          TakeNoMore();
        }
        return 0;
      }
      return control_frames_.Take(now) ? 0 : Calm("pings");
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY:
      return control_frames_.Take(now) ? 0 : Calm("settings or priorities");
    default:
      return 0;
  }
}

int ServerConnection::Calm(absl::string_view what) {
  if (const std::optional<int> left_out = home_->warnings.Take(loop()->now())) {
    LOG(WARNING) << "a connection is closed for what it sends" << KV("peer", peer_) << KV("too_many", what)
                 << KV("lines_left_out", *left_out);
  }
  if (PortMetrics* const metrics = home_->port->options.metrics) metrics->closed_connections->Add();
  is_going_ = true;
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void ServerConnection::BeginCall(int32_t id, bool has_ended) {
  reading_.id = 0;
  loop()->CountCall();
  if (is_going_) {
    // libnghttp2 takes streams until the GOAWAY that does not name them has left, and then calls them unprocessed. So
    // they have to be: their clients try them again.
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return loop()->FlushLater(this);
  }
  if (reading_.too_large) {
    return RefuseStream(id, 200,
                        absl::ResourceExhaustedError(
                            absl::StrCat("the headers have more than ", limits_.max_metadata_bytes, " bytes")));
  }
  if (!reading_.is_post) return RefuseStream(id, 405, absl::InternalError("the method is not POST"));
  if (!reading_.is_grpc) return RefuseStream(id, 415, absl::InternalError("the content type is not application/grpc"));
  if (!reading_.bad.ok()) return RefuseStream(id, 200, reading_.bad);
  const MethodTable& table = home_->port->table;
  const auto unary = table.unary.find(reading_.call.method);
  const auto stream = unary == table.unary.end() ? table.streams.find(reading_.call.method) : table.streams.end();
  if (unary == table.unary.end() && stream == table.streams.end()) {
    return RefuseStream(id, 200, absl::UnimplementedError(absl::StrCat("unknown method ", reading_.call.method)));
  }
  reading_.call.metadata.resize(reading_.headers);

  const auto begin = [&](H2Call* call) {
    std::swap(call->head_, reading_.call);
    call->head_.peer.assign(peer_);
    call->id_ = id;
    call->has_ended_ = false;
    call->reading_since_ = loop()->now();
    nghttp2_session_set_stream_user_data(session_, id, call);
    Link(call);
  };
  if (unary != table.unary.end()) {
    H2UnaryCall* call = nullptr;
    if (home_->spare_calls.empty()) {
      call = new H2UnaryCall(home_);
    } else {
      call = home_->spare_calls.back().release();
      home_->spare_calls.pop_back();
    }
    begin(call);
    call->Begin(&unary->second);
    if (has_ended) static_cast<H2Call*>(call)->OnEndStream();
    return;
  }
  const auto call = std::make_shared<H2StreamCall>(*home_);
  begin(call.get());
  // It may wait for its next message as long as it likes.
  static_cast<H2Call*>(call.get())->reading_since_ = absl::InfiniteDuration();
  call->Begin(stream->second);
  // The headers leave at once; then it is asked for its first message.
  Send(call.get());
  AskFor(call.get());
  if (has_ended) static_cast<H2Call*>(call.get())->OnEndStream();
  if (is_draining_) static_cast<H2Call*>(call.get())->OnDrain();
}

void ServerConnection::RefuseStream(int32_t id, int http_status, const absl::Status& status) {
  const StatusHeaders ended(status);
  const std::string code = absl::StrCat(http_status);
  Headers headers = {Header(":status", code), Constant("content-type", "application/grpc")};
  if (status.code() == absl::StatusCode::kUnimplemented)
    headers.push_back(Constant("grpc-accept-encoding", "identity"));
  ended.AppendTo(&headers);
  nghttp2_submit_response(session_, id, headers.data(), headers.size(), nullptr);
  loop()->FlushLater(this);
}

// No connection holds more than what is left for all others: with N that take what they can, one more finds an (N +
// 1)th of the budget (Choudhury and Hahne, "Dynamic queue length thresholds", 1998).
bool ServerConnection::TakeBytes(size_t bytes) {
  ByteBudget& budget = home_->port->budget;
  const size_t left = budget.left();
  size_t most = std::min(limits_.max_connection_request_bytes, left);
  // Or else an answer that is larger than its share would never come.
  if (held_bytes_ < kNextToNothing) most = std::max(most, left / 2);
  if (held_bytes_ + bytes > most || !budget.Take(bytes)) {
    if (PortMetrics* const metrics = home_->port->options.metrics) metrics->refused_requests->Add();
    return false;
  }
  held_bytes_ += bytes;
  return true;
}

void ServerConnection::ReturnBytes(size_t bytes) {
  held_bytes_ -= bytes;
  home_->port->budget.Return(bytes);
}

void ServerConnection::OnStreamClosed(int32_t id, uint32_t error) {
  if (reading_.id == id) {
    reading_.id = 0;
    block_since_ = absl::InfiniteDuration();
  }
  Connection::OnStreamClosed(id, error);
}

// --- Out ---

void ServerConnection::SendHead(H2Call* call) {
  const ResponseMetadata* const metadata = call->metadata_.get();
  Headers headers = {Constant(":status", "200"), Constant("content-type", "application/grpc")};
  if (metadata != nullptr) Append(metadata->initial, &headers);
  const bool has_initial = headers.size() > 2;
  if (call->status_ && !call->message_ && !has_initial) {
    // Nothing but a status: one block of headers says it all. Clients take its metadata for trailing ones.
    const StatusHeaders ended(*call->status_);
    ended.AppendTo(&headers);
    if (metadata != nullptr) Append(metadata->trailing, &headers);
    call->has_status_out_ = true;
    nghttp2_submit_response(session_, call->id_, headers.data(), headers.size(), nullptr);
    return;
  }
  const nghttp2_data_provider provider = ProviderOf(call);
  nghttp2_submit_response(session_, call->id_, headers.data(), headers.size(), &provider);
}

void ServerConnection::SendEnd(H2Call* call, uint32_t* flags) {
  *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
  if (call->status_->ok() && call->metadata_ == nullptr) {
    const nghttp2_nv ok = Constant("grpc-status", "0");
    nghttp2_submit_trailer(session_, call->id_, &ok, 1);
    return;
  }
  const StatusHeaders ended(*call->status_);
  Headers trailers;
  ended.AppendTo(&trailers);
  if (call->metadata_ != nullptr) Append(call->metadata_->trailing, &trailers);
  nghttp2_submit_trailer(session_, call->id_, trailers.data(), trailers.size());
}

int ServerConnection::OnFrameSent(const nghttp2_frame& frame) {
  // Not before: libnghttp2 sends pings ahead of all else.
  if (frame.hd.type == NGHTTP2_GOAWAY && drained_at_ != absl::InfiniteDuration() && !is_going_) {
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kDrainPing);
  }
  if (frame.hd.type == NGHTTP2_RST_STREAM) {
    // What the peer makes us reset counts as if it had done so itself: its call was begun for nothing.
    const uint32_t code = frame.rst_stream.error_code;
    const bool is_ours = code == NGHTTP2_NO_ERROR || code == NGHTTP2_CANCEL;
    if (!is_ours && !resets_.Take(loop()->now()) && !is_going_) Calm("streams with errors");
    return 0;
  }
  if (frame.hd.type != NGHTTP2_HEADERS || (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  // The answer is whole. What the peer still sends has no reader: it is told (RFC 9113 8.1).
  if (nghttp2_session_get_stream_remote_close(session_, frame.hd.stream_id) == 0) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

bool ServerConnection::IsDone() { return call_count_ == 0 && is_going_ && nghttp2_session_want_write(session_) == 0; }

}  // namespace barid::edge::h2
