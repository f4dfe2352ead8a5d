#include "tests/proxy/test_port.h"

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "edge/h2/h2_server.h"
#include "edge/memory_transport.h"
#include "tests/edge/h2/frame_client.h"

namespace barid::proxy {
namespace {

// ---- Over memory ----

class MemoryCarrier final : public Carrier {
 public:
  MemoryCarrier(edge::MethodTable table, edge::PortLimits limits) : transport_(std::move(table), limits) {}

  std::unique_ptr<CallEnd> Call(edge::CallHead head, std::string request) override {
    return std::make_unique<UnaryEnd>(transport_.Call(std::move(head), Bytes(std::move(request))));
  }
  std::unique_ptr<StreamEnd> Open(edge::CallHead head, bool reading) override {
    return std::make_unique<Stream>(transport_.Open(std::move(head), reading ? edge::MemoryTransport::kUnlimited : 0));
  }

 private:
  class UnaryEnd final : public CallEnd {
   public:
    explicit UnaryEnd(std::shared_ptr<edge::MemoryCall> call) : call_(std::move(call)) {}
    std::optional<absl::StatusOr<std::string>> Result() override {
      const auto result = call_->result();
      if (!result) return std::nullopt;
      if (!result->ok()) return result->status();
      return (*result)->ToString();
    }
    void NearDeadline() override { call_->NearDeadline(); }

   private:
    const std::shared_ptr<edge::MemoryCall> call_;
  };

  class Stream final : public StreamEnd {
   public:
    explicit Stream(edge::MemoryStream stream) : stream_(std::move(stream)) {}
    void Send(std::string message) override { stream_.Send(Bytes(std::move(message))); }
    void HalfClose() override { stream_.HalfClose(); }
    void Cancel() override { stream_.Cancel(); }
    std::optional<std::string> Next() override {
      const std::optional<Bytes> message = stream_.Read();
      return message ? std::optional(message->ToString()) : std::nullopt;
    }
    std::optional<absl::Status> Status() override { return stream_.status(); }
    void Grant(int messages) override { stream_.Grant(messages); }
    void NearDeadline() override { stream_.NearDeadline(); }
    void Drain() override { stream_.Drain(); }

   private:
    edge::MemoryStream stream_;
  };

  edge::MemoryTransport transport_;
};

// ---- Over sockets ----

constexpr size_t kPrefixBytes = 5;  // Of a message of gRPC.

// The port's one thread stands still but for the time that Settle takes.
class SocketCarrier final : public Carrier, public std::enable_shared_from_this<SocketCarrier> {
 public:
  SocketCarrier(edge::MethodTable table, const edge::PortLimits& limits)
      : server_(*edge::h2::ServeH2(
            {.address = "127.0.0.1:0", .loops = loops_, .limits = limits, .proxy_protocol = true}, std::move(table))),
        client_(server_->address()) {
    client_.Write("PROXY TCP4 192.0.2.7 192.0.2.1 4711 8081\r\n");
    client_.Begin();
    Halt();
  }
  ~SocketCarrier() override { Stop(); }

  std::unique_ptr<CallEnd> Call(edge::CallHead head, std::string request) override {
    const uint32_t id = next_id_;
    Settle(Headers(head) + Data(id, edge::h2::Message(request), NGHTTP2_FLAG_END_STREAM));
    return std::make_unique<UnaryEnd>(shared_from_this(), id);
  }
  std::unique_ptr<StreamEnd> Open(edge::CallHead head, bool reading) override {
    CHECK(reading) << "windows of a stream that does not read are the edge's tests' affair";
    const uint32_t id = next_id_;
    Settle(Headers(head));
    return std::make_unique<Stream>(shared_from_this(), id);
  }

  void Stop() override {
    if (server_ == nullptr) return;
    Go();
    server_ = nullptr;
    client_.ReadToEnd();
  }

 private:
  class UnaryEnd final : public CallEnd {
   public:
    UnaryEnd(std::shared_ptr<SocketCarrier> carrier, uint32_t id) : carrier_(std::move(carrier)), id_(id) {}
    std::optional<absl::StatusOr<std::string>> Result() override {
      const auto status = carrier_->StatusOf(id_);
      if (!status) return std::nullopt;
      if (!status->ok()) return *status;
      return carrier_->client_.answer(id_).body.substr(kPrefixBytes);
    }
    void NearDeadline() override {
      if (carrier_->server_ == nullptr) return;
      carrier_->Go();
      carrier_->client_.Await(id_);
      carrier_->Halt();
    }

   private:
    const std::shared_ptr<SocketCarrier> carrier_;
    const uint32_t id_;
  };

  class Stream final : public StreamEnd {
   public:
    Stream(std::shared_ptr<SocketCarrier> carrier, uint32_t id) : carrier_(std::move(carrier)), id_(id) {}
    ~Stream() override { Cancel(); }
    void Send(std::string message) override { Write(edge::h2::Message(message), 0); }
    void HalfClose() override { Write("", NGHTTP2_FLAG_END_STREAM); }
    void Cancel() override {
      if (is_cancelled_ || carrier_->StatusOf(id_)) return;
      is_cancelled_ = true;
      carrier_->Settle(edge::h2::Reset(id_, NGHTTP2_CANCEL));
    }
    std::optional<std::string> Next() override {
      if (!is_cancelled_) carrier_->Settle();
      const std::string& body = carrier_->client_.answer(id_).body;
      if (body.size() < read_ + kPrefixBytes) return std::nullopt;
      size_t size = 0;
      for (size_t i = 1; i < kPrefixBytes; ++i) size = size << 8 | static_cast<unsigned char>(body[read_ + i]);
      std::string message = body.substr(read_ + kPrefixBytes, size);
      if (message.size() < size) return std::nullopt;
      read_ += kPrefixBytes + size;
      return message;
    }
    std::optional<absl::Status> Status() override {
      if (is_cancelled_) return absl::CancelledError("cancelled by the client");
      return carrier_->StatusOf(id_);
    }
    void Grant(int) override { CHECK(false) << "not over sockets"; }
    void NearDeadline() override { CHECK(false) << "not over sockets"; }
    void Drain() override { CHECK(false) << "not over sockets"; }

   private:
    void Write(absl::string_view bytes, uint8_t flags) {
      if (!is_cancelled_) carrier_->Settle(Data(id_, bytes, flags));
    }

    const std::shared_ptr<SocketCarrier> carrier_;
    const uint32_t id_;
    size_t read_ = 0;
    bool is_cancelled_ = false;
  };

  // Of a new stream.
  std::string Headers(const edge::CallHead& head) {
    edge::h2::Headers more = head.metadata;
    if (head.deadline != absl::InfiniteFuture()) {
      const absl::Duration timeout = head.deadline - absl::Now();
      CHECK(timeout < absl::Seconds(100)) << "more than eight digits";
      more.emplace_back("grpc-timeout", absl::StrCat(absl::ToInt64Microseconds(timeout), "u"));
    }
    const uint32_t id = next_id_;
    next_id_ += 2;
    return edge::h2::FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id,
                                edge::h2::HeaderBlock(edge::h2::RequestHeaders(head.method, std::move(more))));
  }
  // In frames of the size that every peer takes.
  static std::string Data(uint32_t id, absl::string_view bytes, uint8_t flags) {
    constexpr size_t kMost = 16384;
    std::string frames;
    for (; bytes.size() > kMost; bytes.remove_prefix(kMost)) {
      absl::StrAppend(&frames, edge::h2::FrameBytes(NGHTTP2_DATA, 0, id, bytes.substr(0, kMost)));
    }
    return absl::StrCat(frames, edge::h2::FrameBytes(NGHTTP2_DATA, flags, id, bytes));
  }

  std::optional<absl::Status> StatusOf(uint32_t id) {
    Settle();
    const edge::h2::Answer& answer = client_.answer(id);
    int code = 0;
    if (absl::SimpleAtoi(answer.Header("grpc-status"), &code)) {
      return absl::Status(static_cast<absl::StatusCode>(code), answer.Header("grpc-message"));
    }
    if (answer.is_over() || client_.is_closed()) return absl::UnavailableError("ended without a status");
    return std::nullopt;
  }

  // `bytes` are sent and handled, and what they and what the test has done caused has come.
  void Settle(absl::string_view bytes = "") {
    if (server_ == nullptr) return;
    Go();
    client_.Write(bytes);
    client_.Settle();
    Halt();
  }
  void Go() {
    MutexLock lock(&mu_);
    halts_ = false;
    changed_.SignalAll();
  }
  void Halt() {
    {
      MutexLock lock(&mu_);
      halts_ = true;
    }
    loops_->loops()[0]->RunSoon([this] {
      MutexLock lock(&mu_);
      stands_ = true;
      changed_.SignalAll();
      while (halts_) changed_.Wait(&mu_);
      stands_ = false;
    });
    MutexLock lock(&mu_);
    while (!stands_) changed_.Wait(&mu_);
  }

  Mutex mu_;
  CondVar changed_;
  bool halts_ ABSL_GUARDED_BY(mu_) = false;
  bool stands_ ABSL_GUARDED_BY(mu_) = false;

  const std::shared_ptr<edge::h2::LoopThreads> loops_ = std::make_shared<edge::h2::LoopThreads>(1);
  std::unique_ptr<edge::Server> server_;
  edge::h2::FrameClient client_;
  uint32_t next_id_ = 1;
};

}  // namespace

std::shared_ptr<Carrier> CarryInMemory(edge::MethodTable table, edge::PortLimits limits) {
  return std::make_shared<MemoryCarrier>(std::move(table), limits);
}

std::shared_ptr<Carrier> CarryOverSockets(edge::MethodTable table, edge::PortLimits limits) {
  return std::make_shared<SocketCarrier>(std::move(table), limits);
}

bool TestPort::IsOverSockets() {
  const char* const port = std::getenv("BARID_TEST_PORT");
  if (port == nullptr) return false;
  CHECK_EQ(absl::string_view(port), "h2") << "of BARID_TEST_PORT";
  return true;
}

}  // namespace barid::proxy
