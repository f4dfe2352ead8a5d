#ifndef BARID_PROXY_RECEIVER_H_
#define BARID_PROXY_RECEIVER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/broker_calls.h"
#include "base/clock.h"
#include "base/metadata.h"
#include "proxy/catalog.h"
#include "proxy/members.h"
#include "proxy/pending_call.h"
#include "proxy/receipt.h"
#include "proxy/router.h"

namespace barid::proxy {

// A receive, validated.
struct ReceiveRequest {
  ResourceName topic;
  ResourceName group;
  std::string shard_name;  // As in the route; an unknown one, or none: what any shard has.
  // From a LITE topic: what any shard has, whatever the name, since the client asks no other one.
  bool everywhere = false;
  std::vector<std::string> tags;
  std::string sql;
  int32_t max_messages = 32;
  int64_t max_bytes = int64_t{8} << 20;
  absl::Duration invisible;
  bool auto_renew = false;
  std::string client_id;
  std::string attempt_id;
  absl::Duration wait;
};

struct ReceiveOutcome {
  absl::Status status;
  std::vector<Delivery> deliveries;  // Empty with OK: nothing came in time.
  // What receipts need.
  Snapshot metadata;
  ShardId shard;
  GroupId group;
  bool auto_renew = false;

  Receipt ReceiptOf(const Delivery& delivery) const;
};

// Asks the shards for messages. Any thread.
class Receiver {
 public:
  // All outlive it and the receives that it started.
  Receiver(Clock* clock, Catalog* catalog, Router* router, Members* members)
      : clock_(clock), catalog_(catalog), router_(router), members_(members) {}

  // Finds or makes topic, group and subscription, then waits at the shard, unless `pending` is cancelled. `done` runs
  // exactly once.
  void Start(ReceiveRequest request, std::shared_ptr<PendingCall> pending, Callback<ReceiveOutcome> done);

  // The process drains: receives that wait end with nothing, and none waits from now on.
  void Drain() { under_way_.Drain(); }

  // The answer surely did not leave: deliveries [first, end) become visible at once and the attempt does not count.
  void GiveBack(const ReceiveOutcome& outcome, size_t first = 0);
  // The answer left wholly: from now on the client holds what is to be renewed.
  void ReportSent(const ReceiveOutcome& outcome);

 private:
  // What a receive carries from step to step.
  struct Journey;
  void Subscribe(std::unique_ptr<Journey> journey, Snapshot metadata);
  void AskShard(std::unique_ptr<Journey> journey, Snapshot metadata);
  void Ask(std::unique_ptr<Journey> journey, Target target, int tries);
  static ReceiveCall MakeCall(const Journey& journey, ShardId shard, absl::Duration wait);

  // --- Of a receive that asks all shards (receive_everywhere.cc): first one after the other, each only for what it
  // has; then, if there is time left, all at once. The first that has something answers, and what others give too goes
  // back.
  struct Race;
  void AskEverywhere(std::unique_ptr<Journey> journey);
  void AskNext(std::unique_ptr<Journey> journey);
  void WaitEverywhere(std::unique_ptr<Journey> journey);
  void OnRaced(const std::shared_ptr<Race>& race, ShardId shard, ReceiveResult result);

  Clock* const clock_;
  Catalog* const catalog_;
  Router* const router_;
  Members* const members_;
  PendingCalls under_way_;
  std::atomic<size_t> turn_ = 0;  // Which shard is asked first.
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_RECEIVER_H_
