#ifndef BARID_TESTS_EDGE_GENERIC_CLIENT_H_
#define BARID_TESTS_EDGE_GENERIC_CLIENT_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/edge/seam_test.h"

namespace barid::edge {

// A gRPC client of any method, with messages as strings. Calls block; any thread.
class GenericClient {
 public:
  explicit GenericClient(const std::string& address, bool own_connection = true);

  // The server's metadata go to `told`, if it is not null.
  absl::StatusOr<std::string> Call(const std::string& method, const std::string& request, const Headers& headers = {},
                                   absl::Time deadline = absl::Now() + kPatience, ResponseMetadata* told = nullptr);
  std::unique_ptr<TestStream> Open(const std::string& method, absl::Time deadline = absl::Now() + kPatience,
                                   const Headers& headers = {});

  grpc::Channel* channel() { return channel_.get(); }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
};

}  // namespace barid::edge

#endif  // BARID_TESTS_EDGE_GENERIC_CLIENT_H_
