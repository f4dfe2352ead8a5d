#ifndef BARID_PROXY_OFFSETS_H_
#define BARID_PROXY_OFFSETS_H_

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/router.h"

namespace barid::proxy {

// A queue as requests name it, and who leads its shard.
struct QueuePlace {
  QueueKey queue;
  Target target;
  int64_t metadata_revision = 0;  // In which it was found.
};

// TOPIC_NOT_FOUND, or BAD_REQUEST for a shard or a queue that the topic does not have; kUnavailable if its shard has no
// leader.
absl::StatusOr<QueuePlace> FindQueue(const Metadata& metadata, const Router& router, const ResourceName& topic,
                                     absl::string_view shard_name, int32_t queue);

// Asks the shard of `call`. If the broker says that it does not lead any more, the right one is asked, once. `router`
// outlives the call.
template <typename Call, typename Result>
void AskLeader(Router* router, const Target& target, Call call, void (BrokerApi::*ask)(Call, Callback<Result>),
               Callback<Result> done) {
  (target.broker->*ask)(call, [router, target, call, ask, done = std::move(done)](Result result) mutable {
    BrokerApi* const leader = result.status.ok() ? nullptr : router->SecondTry(result.status, target);
    if (leader == nullptr) return done(std::move(result));
    (leader->*ask)(std::move(call), std::move(done));
  });
}

}  // namespace barid::proxy

#endif  // BARID_PROXY_OFFSETS_H_
