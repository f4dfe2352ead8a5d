#ifndef BARID_TESTS_EDGE_H2_SESSION_CLIENT_H_
#define BARID_TESTS_EDGE_H2_SESSION_CLIENT_H_

#include <nghttp2/nghttp2.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {

// A gRPC client on libnghttp2: one connection and a thread for it, nothing that a sanitizer does not know. Calls block;
// any thread. Streams end before it.
class SessionClient {
 public:
  explicit SessionClient(const std::string& address);
  ~SessionClient();

  // The server's metadata go to `told`, if it is not null.
  absl::StatusOr<std::string> Call(const std::string& method, const std::string& request, const Headers& headers = {},
                                   ResponseMetadata* told = nullptr);
  std::unique_ptr<TestStream> Open(const std::string& method, const Headers& headers = {});

 private:
  // A stream of HTTP/2, as far as it came.
  struct Exchange {
    int32_t id = 0;
    std::string out = {};  // Not yet in frames.
    bool out_ends = false;
    bool is_deferred = false;
    std::string in = {};
    std::deque<std::string> messages = {};
    std::string http_status = {};
    std::string grpc_status = {};
    std::string grpc_message = {};
    ResponseMetadata told = {};
    bool is_cancelled = false;
    bool is_over = false;
  };
  class StreamEnd;
  struct Callbacks;

  std::shared_ptr<Exchange> Begin(const std::string& method, const Headers& headers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Send(Exchange* exchange, absl::string_view message, bool ends) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Waits for a message, or the end.
  std::optional<std::string> Next(Exchange* exchange);
  absl::Status StatusOf(const Exchange& exchange) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Wake();
  void Run();
  void Fail() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int fd_;
  const int wake_;
  Mutex mu_;
  CondVar changed_;
  nghttp2_session* session_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::map<int32_t, std::shared_ptr<Exchange>> exchanges_ ABSL_GUARDED_BY(mu_);
  bool is_lost_ ABSL_GUARDED_BY(mu_) = false;  // The connection.
  bool must_end_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_EDGE_H2_SESSION_CLIENT_H_
