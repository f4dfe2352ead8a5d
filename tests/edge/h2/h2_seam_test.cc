#include "base/log.h"
#include "edge/h2/h2_server.h"
#include "tests/edge/h2/session_client.h"
#include "tests/edge/seam_test.h"

namespace barid::edge::h2 {
namespace {

// What grpc_seam_test.cc runs with a gRPC client, with one that the sanitizers know.
class SessionPort : public TestPort {
 public:
  explicit SessionPort(MethodTable table)
      : server_(*ServeH2({.address = "127.0.0.1:0", .threads = 2}, std::move(table))), client_(server_->address()) {}

  absl::StatusOr<std::string> Call(const std::string& method, std::string request, Headers headers,
                                   ResponseMetadata* told) override {
    return client_.Call(method, request, headers, told);
  }
  using TestPort::Call;

  std::unique_ptr<TestStream> Open(const std::string& method, Headers headers) override {
    return client_.Open(method, headers);
  }
  using TestPort::Open;

 private:
  const std::unique_ptr<Server> server_;
  SessionClient client_;
};

}  // namespace
}  // namespace barid::edge::h2

namespace barid::edge {
INSTANTIATE_TYPED_TEST_SUITE_P(H2, SeamTest, h2::SessionPort);
}  // namespace barid::edge
