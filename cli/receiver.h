#ifndef BARID_CLI_RECEIVER_H_
#define BARID_CLI_RECEIVER_H_

#include <atomic>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "cli/client.h"

namespace barid::cli {

struct ReceiverOptions {
  std::string topic;
  std::string group;
  std::string tags = "*";  // A tag expression.
  std::string sql;         // An SQL filter in place of it, if not empty.
  absl::Duration invisible = absl::Seconds(30);
};

// Receives messages of a topic from all its shards. One thread calls Receive; any thread, and a signal's, may Stop.
class Receiver {
 public:
  Receiver(Client* client, const ReceiverOptions& options) : client_(client), options_(options) {}

  // Up to `max` messages, of one shard: the next call may find more. If there are none it waits for the first up to
  // `wait`; empty when that is over or at Stop.
  absl::StatusOr<std::vector<v2::Message>> Receive(int max, absl::Duration wait);

  // Ends a Receive that waits, and lets later ones return at once. What had been delivered to it becomes visible again.
  void Stop();
  bool stopped() const { return stopped_; }

 private:
  absl::StatusOr<std::vector<v2::Message>> Ask(int max, absl::Duration wait);

  Client* const client_;
  const ReceiverOptions options_;
  std::atomic<bool> stopped_ = false;

  Mutex mu_;
  grpc::ClientContext* running_ ABSL_GUARDED_BY(mu_) = nullptr;
};

}  // namespace barid::cli

#endif  // BARID_CLI_RECEIVER_H_
