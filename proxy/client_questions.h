#ifndef BARID_PROXY_CLIENT_QUESTIONS_H_
#define BARID_PROXY_CLIENT_QUESTIONS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "base/mutex.h"

namespace barid::proxy {

// What a client said when it was asked something over its telemetry stream.
struct ClientAnswer {
  int code = 0;  // Of apache.rocketmq.v2.Code.
  std::string sentence;
  std::optional<std::string> text;
};

// Questions to clients that are not answered yet, by their nonces. A client answers in its own time, or never. Any
// thread.
class ClientQuestions {
 public:
  // How long an operator waits for a client.
  static constexpr absl::Duration kPatience = absl::Seconds(5);
  // More are refused.
  static constexpr size_t kMost = 1000;

  using Done = absl::AnyInvocable<void(absl::StatusOr<ClientAnswer>)>;

  // `executor` outlives all calls; what waits when it ends is dropped with this.
  explicit ClientQuestions(Executor* executor) : executor_(executor) {}

  // The nonce of a new question to `client`; nullopt if too many wait, then `done` has heard so. `done` hears once,
  // from Answer or, after kPatience, kDeadlineExceeded.
  std::optional<std::string> Begin(absl::string_view client, Done done);

  // `client` has answered. What nobody waits for, or another client was asked, is passed over.
  void Answer(absl::string_view client, const std::string& nonce, ClientAnswer answer);

 private:
  struct Question {
    std::string client;
    Done done;
  };

  void Expire(const std::string& nonce);

  Executor* const executor_;
  Mutex mu_;
  uint64_t next_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<std::string, Question> questions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_CLIENT_QUESTIONS_H_
