#include "tests/edge/h2/session_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/log.h"
#include "edge/h2/encodings.h"
#include "tests/edge/h2/dial.h"
#include "tests/edge/h2/frame_client.h"

namespace barid::edge::h2 {

// What libnghttp2 calls, with the lock held.
struct SessionClient::Callbacks {
  static Exchange* Of(SessionClient* client, int32_t id) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto it = client->exchanges_.find(id);
    return it == client->exchanges_.end() ? nullptr : it->second.get();
  }
  static SessionClient* Client(void* user_data) { return static_cast<SessionClient*>(user_data); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user_data) {
    Exchange* const exchange = Of(Client(user_data), frame->hd.stream_id);
    if (exchange == nullptr) return 0;
    const absl::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":status") exchange->http_status = text;
    if (key == "grpc-status") exchange->grpc_status = text;
    if (key == "grpc-message") exchange->grpc_message = text;
    if (key[0] == ':' || key == "content-type" || absl::StartsWith(key, "grpc-")) return 0;
    // Of a single block they are trailing ones, like its status.
    const bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const std::optional<std::string> bytes = absl::EndsWith(key, "-bin") ? DecodeBinaryHeader(text) : text;
    (is_last ? exchange->told.trailing : exchange->told.initial)
        .emplace_back(std::string(key), bytes.value_or("not base64: " + text));
    return 0;
  }
  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user_data) {
    Exchange* const exchange = Of(Client(user_data), id);
    if (exchange == nullptr) return 0;
    std::string& in = exchange->in;
    in.append(reinterpret_cast<const char*>(data), size);
    while (in.size() >= 5) {
      size_t length = 0;
      for (int i = 1; i < 5; ++i) length = length << 8 | static_cast<unsigned char>(in[i]);
      if (in.size() < 5 + length) break;
      exchange->messages.push_back(in.substr(5, length));
      in.erase(0, 5 + length);
    }
    Client(user_data)->changed_.SignalAll();
    return 0;
  }
  static int OnClose(nghttp2_session*, int32_t id, uint32_t, void* user_data) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (Exchange* const exchange = Of(Client(user_data), id)) exchange->is_over = true;
    Client(user_data)->exchanges_.erase(id);
    Client(user_data)->changed_.SignalAll();
    return 0;
  }
  static ssize_t NextBytes(nghttp2_session*, int32_t id, uint8_t* to, size_t most, uint32_t* flags,
                           nghttp2_data_source*, void* user_data) {
    Exchange* const exchange = Of(Client(user_data), id);
    CHECK(exchange != nullptr);
    const size_t size = std::min(most, exchange->out.size());
    memcpy(to, exchange->out.data(), size);
    exchange->out.erase(0, size);
    if (exchange->out.empty() && exchange->out_ends) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (size == 0) {
      exchange->is_deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(size);
  }
};

SessionClient::SessionClient(const std::string& address)
    : fd_(Dial(address)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);

  MutexLock lock(&mu_);
  is_lost_ = fd_ < 0;
  nghttp2_session_callbacks* callbacks = nullptr;
  CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnClose);
  CHECK_EQ(nghttp2_session_client_new(&session_, callbacks, this), 0);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}};
  CHECK_EQ(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 1), 0);
  CHECK_EQ(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 8 << 20), 0);
  thread_ = std::thread([this] { Run(); });
}

SessionClient::~SessionClient() {
  {
    MutexLock lock(&mu_);
    must_end_ = true;
  }
  Wake();
  thread_.join();
  nghttp2_session_del(session_);
  close(wake_);
  close(fd_);
}

void SessionClient::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof(one));
}

void SessionClient::Run() {
  std::string out;
  while (true) {
    {
      MutexLock lock(&mu_);
      if (must_end_) return;
      const uint8_t* bytes = nullptr;
      ssize_t size = 0;
      while (!is_lost_ && out.size() < (256 << 10) && (size = nghttp2_session_mem_send(session_, &bytes)) > 0) {
        out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
      }
      if (is_lost_) Fail();
    }
    if (!out.empty()) {
      const ssize_t written = send(fd_, out.data(), out.size(), MSG_NOSIGNAL);
      if (written > 0) out.erase(0, static_cast<size_t>(written));
      if (written > 0 && out.empty()) continue;         // There may be more to send.
      if (written < 0 && errno != EAGAIN) out.clear();  // What has come is still read.
    }
    pollfd events[2] = {{wake_, POLLIN, 0}, {fd_, static_cast<short>(POLLIN | (out.empty() ? 0 : POLLOUT)), 0}};
    {
      MutexLock lock(&mu_);
      if (is_lost_) events[1].fd = -1;
    }
    poll(events, 2, -1);
    uint64_t wakes = 0;
    (void)!read(wake_, &wakes, sizeof(wakes));
    if ((events[1].revents & ~POLLOUT) == 0) continue;
    char bytes[65536];
    const ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    MutexLock lock(&mu_);
    if (size <= 0 ||
        nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes), static_cast<size_t>(size)) < 0) {
      is_lost_ = true;
    }
  }
}

void SessionClient::Fail() {
  for (auto& [id, exchange] : exchanges_) exchange->is_over = true;
  exchanges_.clear();
  changed_.SignalAll();
}

std::shared_ptr<SessionClient::Exchange> SessionClient::Begin(const std::string& method, const Headers& headers) {
  auto exchange = std::make_shared<Exchange>();
  exchange->is_over = true;
  if (is_lost_) return exchange;
  Headers all = RequestHeaders(method, headers);
  for (auto& [name, value] : all) {
    if (absl::EndsWith(name, "-bin")) value = EncodeBinaryHeader(value);
  }
  std::vector<nghttp2_nv> block;
  for (const auto& [name, value] : all) {
    block.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                     reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), 0});
  }
  nghttp2_data_provider provider = {};
  provider.read_callback = Callbacks::NextBytes;
  const int32_t id = nghttp2_submit_request(session_, nullptr, block.data(), block.size(), &provider, nullptr);
  if (id < 0) return exchange;  // The server has said GOAWAY.
  exchange->id = id;
  exchange->is_over = false;
  exchanges_[id] = exchange;
  return exchange;
}

void SessionClient::Send(Exchange* exchange, absl::string_view message, bool ends) {
  exchange->out.append(message.data(), message.size());
  exchange->out_ends |= ends;
  if (!exchange->is_over && std::exchange(exchange->is_deferred, false))
    nghttp2_session_resume_data(session_, exchange->id);
}

std::optional<std::string> SessionClient::Next(Exchange* exchange) {
  const absl::Time end = absl::Now() + kPatience;
  MutexLock lock(&mu_);
  while (exchange->messages.empty() && !exchange->is_over && absl::Now() < end)
    changed_.WaitFor(&mu_, end - absl::Now());
  if (exchange->messages.empty()) return std::nullopt;
  std::string message = std::move(exchange->messages.front());
  exchange->messages.pop_front();
  return message;
}

absl::Status SessionClient::StatusOf(const Exchange& exchange) {
  if (!exchange.is_over) return absl::UnknownError("not ended");
  int code = 0;
  if (exchange.is_cancelled) return absl::CancelledError("by the client");
  if (!absl::SimpleAtoi(exchange.grpc_status, &code)) {
    return is_lost_ ? absl::UnavailableError("the connection is lost")
                    : absl::CancelledError("reset, without a status");
  }
  return absl::Status(static_cast<absl::StatusCode>(code), exchange.grpc_message);
}

absl::StatusOr<std::string> SessionClient::Call(const std::string& method, const std::string& request,
                                                const Headers& headers, ResponseMetadata* told) {
  std::shared_ptr<Exchange> exchange;
  {
    MutexLock lock(&mu_);
    exchange = Begin(method, headers);
    Send(exchange.get(), Message(request), /*ends=*/true);
  }
  Wake();
  std::optional<std::string> answer = Next(exchange.get());
  if (answer) Next(exchange.get());  // Its end.
  MutexLock lock(&mu_);
  if (told != nullptr) *told = exchange->told;
  const absl::Status status = StatusOf(*exchange);
  if (!status.ok()) return status;
  if (!answer) return absl::InternalError("no message, but OK");
  return *std::move(answer);
}

class SessionClient::StreamEnd final : public TestStream {
 public:
  StreamEnd(SessionClient* client, std::shared_ptr<Exchange> exchange)
      : client_(client), exchange_(std::move(exchange)) {}
  ~StreamEnd() override { Cancel(); }

  void Send(std::string message) override { SendBytes(Message(message), /*ends=*/false); }
  void HalfClose() override { SendBytes("", /*ends=*/true); }
  void Cancel() override {
    {
      MutexLock lock(&client_->mu_);
      if (exchange_->is_over) return;
      exchange_->is_cancelled = true;
      nghttp2_submit_rst_stream(client_->session_, NGHTTP2_FLAG_NONE, exchange_->id, NGHTTP2_CANCEL);
    }
    client_->Wake();
  }
  std::optional<std::string> Read() override { return client_->Next(exchange_.get()); }
  absl::Status Status() override {
    MutexLock lock(&client_->mu_);
    return client_->StatusOf(*exchange_);
  }
  ResponseMetadata Told() override {
    MutexLock lock(&client_->mu_);
    return exchange_->told;
  }

 private:
  void SendBytes(absl::string_view bytes, bool ends) {
    {
      MutexLock lock(&client_->mu_);
      client_->Send(exchange_.get(), bytes, ends);
    }
    client_->Wake();
  }

  SessionClient* const client_;
  const std::shared_ptr<Exchange> exchange_;
};

std::unique_ptr<TestStream> SessionClient::Open(const std::string& method, const Headers& headers) {
  std::shared_ptr<Exchange> exchange;
  {
    MutexLock lock(&mu_);
    exchange = Begin(method, headers);
  }
  Wake();
  return std::make_unique<StreamEnd>(this, std::move(exchange));
}

}  // namespace barid::edge::h2
