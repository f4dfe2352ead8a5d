#ifndef BARID_PROXY_TRANSACTION_CHECKER_H_
#define BARID_PROXY_TRANSACTION_CHECKER_H_

#include <memory>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "base/broker_calls.h"
#include "base/mutex.h"
#include "proxy/clients.h"
#include "proxy/options.h"
#include "proxy/router.h"

namespace barid::proxy {

// Asks producers what became of their transactions: takes what is due from the brokers, for those topics that a
// producer with an open telemetry stream has named or sent to, and hands each to one of them. The next check of a
// transaction goes to the next producer, so one that is silent holds up nobody. Keeps nothing: what is lost on the way
// is taken again when the next check is due, by whichever proxy comes first. Any thread.
class TransactionChecker {
 public:
  // All outlive it.
  TransactionChecker(Clients* clients, Router* router, const ProxyOptions* options)
      : clients_(clients), router_(router), options_(options) {}

  // Once, every options.transaction_poll_interval. A shard that has not answered the last poll is left alone.
  void Poll();

 private:
  void PollShard(const Metadata& metadata, ShardId shard, std::vector<TopicId> topics);
  void OnChecks(ShardId shard, const ChecksResult& result);

  Clients* const clients_;
  Router* const router_;
  const ProxyOptions* const options_;
  Mutex mu_;
  absl::flat_hash_set<ShardId> polling_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_TRANSACTION_CHECKER_H_
