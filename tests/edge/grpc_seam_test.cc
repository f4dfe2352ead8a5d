#include "base/log.h"
#include "edge/grpc/grpc_server.h"
#include "edge/h2/h2_server.h"
#include "tests/edge/generic_client.h"
#include "tests/edge/seam_test.h"

namespace barid::edge {
namespace {

class GrpcPort : public TestPort {
 public:
  explicit GrpcPort(MethodTable table)
      : server_(*ServeGrpc({.address = "127.0.0.1:0"}, std::move(table))), client_(server_->address()) {}

  absl::StatusOr<std::string> Call(const std::string& method, std::string request, Headers headers,
                                   ResponseMetadata* told) override {
    return client_.Call(method, request, headers, absl::Now() + kPatience, told);
  }
  using TestPort::Call;

  std::unique_ptr<TestStream> Open(const std::string& method, Headers headers) override {
    return client_.Open(method, absl::Now() + kPatience, headers);
  }
  using TestPort::Open;

 private:
  const std::unique_ptr<Server> server_;
  GenericClient client_;
};

class H2Port : public TestPort {
 public:
  explicit H2Port(MethodTable table)
      : server_(*h2::ServeH2({.address = "127.0.0.1:0"}, std::move(table))), client_(server_->address()) {}

  absl::StatusOr<std::string> Call(const std::string& method, std::string request, Headers headers,
                                   ResponseMetadata* told) override {
    return client_.Call(method, request, headers, absl::Now() + kPatience, told);
  }
  using TestPort::Call;

  std::unique_ptr<TestStream> Open(const std::string& method, Headers headers) override {
    return client_.Open(method, absl::Now() + kPatience, headers);
  }
  using TestPort::Open;

 private:
  const std::unique_ptr<Server> server_;
  GenericClient client_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Grpc, SeamTest, GrpcPort);
INSTANTIATE_TYPED_TEST_SUITE_P(H2, SeamTest, H2Port);

}  // namespace
}  // namespace barid::edge
