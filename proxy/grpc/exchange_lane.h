#ifndef BARID_PROXY_GRPC_EXCHANGE_LANE_H_
#define BARID_PROXY_GRPC_EXCHANGE_LANE_H_

#include <deque>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "barid/broker/v1/broker.pb.h"
#include "base/broker_calls.h"
#include "proxy/grpc/lane.h"

namespace barid::proxy {

// Sends, settles, reports and figures on their way to one broker.
class ExchangeLane : public Lane<broker::v1::CallFrame, broker::v1::AnswerFrame> {
 public:
  using Request = std::variant<AppendCall, RecallCall, EndTransactionCall, ChecksCall, TransactionsCall, LookupCall,
                               RedriveCall, SettleCall, SentReport, ClientReport, StatsCall, QueryOffsetCall,
                               GetOffsetCall, UpdateOffsetCall, ResetOffsetCall, LiteSyncCall>;
  // Of a call that changes nothing.
  struct LookUp {
    Callback<OffsetResult> done;
  };
  // Of a report: none.
  using Done =
      std::variant<std::monostate, Callback<AppendResult>, Callback<RecallResult>, Callback<EndTransactionResult>,
                   Callback<ChecksResult>, Callback<TransactionsResult>, Callback<LookupResult>,
                   Callback<RedriveResult>, Callback<SettleResult>, Callback<StatsResult>, LookUp,
                   Callback<OffsetResult>, Callback<ResetOffsetResult>, Callback<LiteSyncResult>>;

  ExchangeLane(std::string name, BeginCall begin_call, const LaneContext& context, const RemoteBrokerOptions& options)
      : Lane(std::move(name), std::move(begin_call), context, options) {}

  // Any thread.
  void Call(Request request, Done done);

 private:
  struct Sent {
    Done done;
    int64_t bytes = 0;
    size_t entries = 0;  // As many the answer must have.
    absl::Duration deadline;
    StatsResult stats;  // What has come of it.
  };
  struct Queued {
    uint64_t id = 0;
    Request request;
    Sent sent;  // As it will be noted.
  };

  bool Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override;
  void Encode(broker::v1::CallFrame* frame) override;
  absl::Status OnFrame(const std::shared_ptr<ArenaFrame<broker::v1::AnswerFrame>>& frame) override;
  void FailQueued(const absl::Status& why) override;
  void FailSent(const absl::Status& why) override;
  bool Expire(absl::Duration now) override;

  std::deque<Queued> queue_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, Sent> sent_ ABSL_GUARDED_BY(mu_);
  std::vector<Queued> collected_;  // The writer's; of these `sent` has moved to sent_.
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_GRPC_EXCHANGE_LANE_H_
