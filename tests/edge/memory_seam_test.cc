#include "edge/memory_transport.h"
#include "tests/edge/seam_test.h"

namespace barid::edge {
namespace {

class MemoryPort : public TestPort {
 public:
  explicit MemoryPort(MethodTable table) : transport_(std::move(table)) {}

  absl::StatusOr<std::string> Call(const std::string& method, std::string request, Headers headers,
                                   ResponseMetadata* told) override {
    const auto call = transport_.Call({.method = method, .metadata = std::move(headers)}, Bytes(std::move(request)));
    const absl::StatusOr<Bytes> answer = call->Wait(kPatience);
    *told = call->metadata();
    if (!answer.ok()) return answer.status();
    return answer->ToString();
  }
  using TestPort::Call;

  std::unique_ptr<TestStream> Open(const std::string& method, Headers headers) override {
    class Adapter : public TestStream {
     public:
      explicit Adapter(MemoryStream stream) : stream_(std::move(stream)) {}
      void Send(std::string message) override { stream_.Send(Bytes(std::move(message))); }
      void HalfClose() override { stream_.HalfClose(); }
      void Cancel() override { stream_.Cancel(); }
      std::optional<std::string> Read() override {
        const std::optional<Bytes> message = stream_.WaitForMessage(kPatience);
        if (!message) return std::nullopt;
        return message->ToString();
      }
      absl::Status Status() override {
        return stream_.WaitForStatus(kPatience).value_or(absl::UnknownError("not ended"));
      }
      ResponseMetadata Told() override { return stream_.metadata(); }

     private:
      MemoryStream stream_;
    };
    return std::make_unique<Adapter>(transport_.Open({.method = method, .metadata = std::move(headers)}));
  }
  using TestPort::Open;

 private:
  MemoryTransport transport_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Memory, SeamTest, MemoryPort);

}  // namespace
}  // namespace barid::edge
