#include "edge/h2/h2_client.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "edge/h2/connection.h"
#include "edge/h2/encodings.h"

namespace barid::edge::h2 {

constexpr absl::Duration kLookEvery = absl::Seconds(1);
constexpr int32_t kStreamWindow = 4 << 20;
constexpr int32_t kConnectionWindow = 16 << 20;

// A stream of a channel. `Write` and the others, called on other threads, leave what they carry in a post.
class H2ClientCall final : public H2Call, public ClientStream, public std::enable_shared_from_this<H2ClientCall> {
 public:
  H2ClientCall(std::shared_ptr<Loop> loop, size_t max_message_bytes, std::string method,
               std::shared_ptr<ClientStreamHandler> handler)
      : H2Call(std::move(loop), max_message_bytes), handler_(std::move(handler)) {
    head_.method = std::move(method);
  }

  void Write(Bytes message) override {
    if (loop_->IsCurrent()) return SendMessage(std::move(message));
    Resume(
        [self = shared_from_this(), message = std::move(message)]() mutable { self->SendMessage(std::move(message)); });
  }
  void HalfClose() override {
    if (loop_->IsCurrent()) return SendStatus(absl::OkStatus());
    Resume([self = shared_from_this()] { self->SendStatus(absl::OkStatus()); });
  }
  void Cancel() override {
    Resume([self = shared_from_this()] { self->CancelNow(); });
  }
  void Resume(absl::AnyInvocable<void()> task) override { loop_->RunSoon(std::move(task)); }

  // On the loop's thread.
  void OnHeader(absl::string_view name, absl::string_view value);
  // Why there is no connection, or no more.
  void Lose(absl::Status why) { lost_ = std::move(why); }
  // There never was one.
  void Fail(const absl::Status& why) { handler_->OnDone(why); }

 private:
  friend class ClientConnection;

  void CancelNow();
  void OnMessage(Bytes message) override {
    handler_->OnMessage(std::move(message));
    ReturnTaken();
  }
  void OnHalfClose() override {}  // The status says more.
  void OnTaken() override {
    if (!has_status()) handler_->OnWritable();
  }
  void OnOver(bool delivered) override;
  bool CanSendStatus() const override { return false; }
  bool ReadsOn() const override { return !has_status() || is_half_closed(); }

  const std::shared_ptr<ClientStreamHandler> handler_;
  std::shared_ptr<H2ClientCall> self_;  // Until it is over.
  bool is_opened_ = false;
  bool is_cancelled_ = false;
  int http_status_ = 0;
  std::optional<int> code_;  // grpc-status.
  std::string message_text_;
  absl::Status lost_ = absl::UnavailableError("the connection has ended");
};

// The connection of a channel.
class ClientConnection final : public Connection {
 public:
  ClientConnection(std::shared_ptr<LoopShare> share, int fd, const H2ClientOptions& options,
                   std::function<void()> on_closed)
      : Connection(std::move(share), fd, nullptr, options.address, {options.keepalive_time, options.keepalive_timeout}),
        options_(options),
        opened_at_(loop()->now()),
        on_closed_(std::move(on_closed)) {}

  void Open() {
    CHECK_EQ(nghttp2_session_client_new(&session_, AllCallbacks(), this), 0);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(kStreamWindow)},
    };
    CHECK_EQ(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)), 0);
    CHECK_EQ(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow), 0);
    Begin(EPOLLIN | EPOLLOUT);  // It can be written once it is connected.
  }

  void Start(const std::shared_ptr<H2ClientCall>& call) {
    call->self_ = call;
    Link(call.get());
    static_cast<H2Call*>(call.get())->reading_since_ = absl::InfiniteDuration();
    Send(call.get());
  }

  bool can_start() const { return !is_closed() && !is_going_; }

  void Look() override {
    if (is_closed()) return;
    if (!has_settings_ && loop()->now() - opened_at_ > options_.connect_timeout) return Close("no connection in time");
    Connection::Look();
  }

  bool TakeBytes(size_t bytes) override { return true; }
  void ReturnBytes(size_t bytes) override {}

  void OnReady(uint32_t events) override {
    if (!is_closed() && !has_settings_ && (events & (EPOLLERR | EPOLLHUP)) != 0) {
      int error = 0;
      socklen_t size = sizeof(error);
      getsockopt(socket_.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
      return Close(absl::StrCat("cannot connect to ", peer_, ": ", strerror(error)));
    }
    Connection::OnReady(events);
  }

 private:
  static H2ClientCall* Of(H2Call* call) { return static_cast<H2ClientCall*>(call); }

  int OnBeginHeaders(const nghttp2_frame& frame) override { return 0; }
  int OnHeader(const nghttp2_frame& frame, absl::string_view name, absl::string_view value) override {
    if (H2Call* const call = CallOf(session_, frame.hd.stream_id)) Of(call)->OnHeader(name, value);
    return 0;
  }
  int OnFrame(const nghttp2_frame& frame) override {
    if (frame.hd.type == NGHTTP2_SETTINGS) has_settings_ = true;
    if (frame.hd.type == NGHTTP2_GOAWAY) is_going_ = true;  // Its calls go on; others take a new connection.
    if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return 0;
    H2Call* const call = CallOf(session_, frame.hd.stream_id);
    if (call == nullptr || call->connection_ == nullptr) return 0;
    const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame.hd.type == NGHTTP2_HEADERS && !ends && frame.headers.cat == NGHTTP2_HCAT_RESPONSE &&
        !Of(call)->is_opened_) {
      Of(call)->is_opened_ = true;
      Of(call)->handler_->OnOpened();
      AskFor(call);
      loop()->FlushLater(this);
    }
    if (ends && !call->has_status_out_) {
      // The server has said how it ends; nobody reads what else we would send.
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }
  void SendHead(H2Call* call) override {
    const auto header = [](absl::string_view name, absl::string_view value) {
      return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                        NGHTTP2_NV_FLAG_NONE};
    };
    const nghttp2_nv headers[] = {header(":method", "POST"),
                                  header(":scheme", "http"),
                                  header(":path", Of(call)->head_.method),
                                  header(":authority", options_.address),
                                  header("te", "trailers"),
                                  header("content-type", "application/grpc")};
    const nghttp2_data_provider provider = ProviderOf(call);
    call->id_ = nghttp2_submit_request(session_, nullptr, headers, std::size(headers), &provider, call);
    CHECK(call->id_ > 0) << nghttp2_strerror(call->id_);
  }
  void SendEnd(H2Call* call, uint32_t* flags) override { *flags |= NGHTTP2_DATA_FLAG_EOF; }
  void OnClosing(absl::string_view why) override {
    for (H2Call* call = calls_; call != nullptr; call = call->next_) Of(call)->Lose(absl::UnavailableError(why));
  }
  void OnClosed() override { on_closed_(); }

  const H2ClientOptions options_;
  const absl::Duration opened_at_;
  const std::function<void()> on_closed_;
  bool has_settings_ = false;
  bool is_going_ = false;
};

void H2ClientCall::OnHeader(absl::string_view name, absl::string_view value) {
  if (name == ":status") (void)absl::SimpleAtoi(value, &http_status_);
  if (name == "grpc-status") {
    int code = static_cast<int>(absl::StatusCode::kUnknown);
    (void)absl::SimpleAtoi(value, &code);
    code_ = code;
  }
  if (name == "grpc-message") message_text_ = PercentDecode(value);
}

void H2ClientCall::CancelNow() {
  if (is_over() || std::exchange(is_cancelled_, true)) return;
  Abort(absl::CancelledError());
}

void H2ClientCall::OnOver(bool delivered) {
  const std::shared_ptr<H2ClientCall> self = std::move(self_);
  absl::Status status = lost_;
  if (is_cancelled_) {
    status = absl::CancelledError("cancelled");
  } else if (code_) {
    status = absl::Status(static_cast<absl::StatusCode>(*code_), message_text_);
  } else if (http_status_ != 0 && http_status_ != 200) {
    status = absl::UnavailableError(absl::StrCat("the server answers with HTTP status ", http_status_));
  }
  handler_->OnDone(status);
}

namespace {

struct ServerAddress {
  sockaddr_storage address = {};
  socklen_t size = 0;
};

// What a name stands for, in the order of preference.
absl::StatusOr<std::vector<ServerAddress>> Resolve(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return absl::InvalidArgumentError(absl::StrCat("address has no port: ", address));
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(absl::StrCat("cannot resolve ", address, ": ", gai_strerror(error)));
  std::vector<ServerAddress> all;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    ServerAddress& one = all.emplace_back();
    std::memcpy(&one.address, at->ai_addr, at->ai_addrlen);
    one.size = at->ai_addrlen;
  }
  freeaddrinfo(found);
  return all;
}

// The channel's part that lives on the loop.
class ChannelOnLoop final : public Alarm, public std::enable_shared_from_this<ChannelOnLoop> {
 public:
  // Does not hold the threads, or the last share in them might go on one of them.
  explicit ChannelOnLoop(H2ClientOptions options) : options_(std::move(options)) {
    share_->loop = options_.loops->loops().front();
    options_.loops = nullptr;
  }

  const std::shared_ptr<Loop>& loop() const { return share_->loop; }

  void Start(const std::shared_ptr<H2ClientCall>& call, const absl::StatusOr<std::vector<ServerAddress>>& addresses) {
    if (is_closed_) return call->Fail(absl::UnavailableError("the channel is closed"));
    if (connection_ == nullptr || !connection_->can_start()) {
      const absl::Status connected = addresses.ok() ? Connect(*addresses) : addresses.status();
      if (!connected.ok()) return call->Fail(connected);
    }
    connection_->Start(call);
  }

  void OnAlarm() override {
    // One that was told to go may still have calls.
    for (const auto& connection : std::vector<std::shared_ptr<ClientConnection>>(all_.begin(), all_.end()))
      connection->Look();
    if (!all_.empty()) loop()->Set(this, loop()->now() + kLookEvery);
  }

  void CloseAll() {
    is_closed_ = true;
    for (const auto& connection : std::vector<std::shared_ptr<ClientConnection>>(all_.begin(), all_.end())) {
      connection->Close("the channel is closed");
    }
    loop()->Unset(this);
  }

 private:
  // Begins to connect to the first that does not refuse at once; the others get their turn when the name resolves anew.
  absl::Status Connect(const std::vector<ServerAddress>& addresses) {
    absl::Status error = absl::UnavailableError(absl::StrCat(options_.address, " has no address"));
    for (const ServerAddress& to : addresses) {
      const int fd = socket(to.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (fd >= 0 &&
          (connect(fd, reinterpret_cast<const sockaddr*>(&to.address), to.size) == 0 || errno == EINPROGRESS)) {
        const int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        Open(fd);
        return absl::OkStatus();
      }
      error = absl::UnavailableError(absl::StrCat("cannot connect to ", options_.address, ": ", strerror(errno)));
      if (fd >= 0) close(fd);
    }
    return error;
  }
  void Open(int fd) {
    auto connection = std::make_shared<ClientConnection>(share_, fd, options_, [this, fd] { OnClosed(fd); });
    fds_.push_back(fd);
    all_.push_back(connection);
    connection_ = connection.get();
    connection->Open();
    if (!is_set()) loop()->Set(this, loop()->now() + kLookEvery);
  }
  void OnClosed(int fd) {
    for (size_t i = 0; i < fds_.size(); ++i) {
      if (fds_[i] != fd) continue;
      if (connection_ == all_[i].get()) connection_ = nullptr;
      loop()->Retire(std::move(all_[i]));
      all_.erase(all_.begin() + static_cast<ptrdiff_t>(i));
      fds_.erase(fds_.begin() + static_cast<ptrdiff_t>(i));
      return;
    }
  }

  H2ClientOptions options_;
  const std::shared_ptr<LoopShare> share_ = std::make_shared<LoopShare>();
  ClientConnection* connection_ = nullptr;  // The newest.
  std::vector<std::shared_ptr<ClientConnection>> all_;
  std::vector<int> fds_;  // Theirs.
  bool is_closed_ = false;
};

class H2Channel final : public Channel {
 public:
  explicit H2Channel(const H2ClientOptions& options)
      : options_(options), on_loop_(std::make_shared<ChannelOnLoop>(options)) {}
  // The loops outlive the channel.
  ~H2Channel() override {
    on_loop_->loop()->RunSoon([on_loop = on_loop_] { on_loop->CloseAll(); });
  }

  std::shared_ptr<ClientStream> Open(const std::string& method, std::shared_ptr<ClientStreamHandler> handler) override {
    auto call =
        std::make_shared<H2ClientCall>(on_loop_->loop(), options_.max_message_bytes, method, std::move(handler));
    on_loop_->loop()->RunSoon(
        [on_loop = on_loop_, call, addresses = Resolve(options_.address)] { on_loop->Start(call, addresses); });
    return call;
  }

 private:
  const H2ClientOptions options_;
  const std::shared_ptr<ChannelOnLoop> on_loop_;
};

}  // namespace

std::unique_ptr<Channel> NewH2Channel(const H2ClientOptions& options) { return std::make_unique<H2Channel>(options); }

}  // namespace barid::edge::h2
