#ifndef BARID_PROXY_GRPC_REMOTE_BROKER_H_
#define BARID_PROXY_GRPC_REMOTE_BROKER_H_

#include <memory>
#include <string>

#include "base/broker_calls.h"
#include "proxy/grpc/lane.h"

namespace barid::proxy {

class ExchangeLane;
class ReceiveLane;

// A broker, far away: the calls of this proxy go to it over two streams (docs/broker-hop.md), opened by the first call
// and again whenever they end. While there is no stream, calls are answered kUnavailable at once.
//
// What a broken stream leaves behind: sends and settles that may have arrived are kDeadlineExceeded (outcome unknown,
// as in base/status.h's table), everything else is kUnavailable.
//
// Any thread. Callbacks run on the transport's threads, on the executor, or inside the call. Destruction answers what
// is under way and waits until every callback has run: not from a callback, and nothing may be called meanwhile.
class RemoteBroker : public BrokerApi {
 public:
  // `name` is for messages. The channel should keep its connection alive, so that a silent peer is noticed, and accept
  // messages as large as they come. What is in `context` outlives this.
  RemoteBroker(std::string name, std::shared_ptr<edge::Channel> channel, const LaneContext& context,
               const RemoteBrokerOptions& options = {});
  ~RemoteBroker() override;

  // The broker has come back, as far as the caller knows: where there is no stream, one is tried for now and not after
  // the back-off.
  void RetryNow();
  // Ends what is under way soon and answers kUnavailable from now on. Does not wait.
  void Close();
  // After Close: waits until every callback has run. Not from a callback.
  void AwaitEnd();

  void Append(AppendCall call, Callback<AppendResult> done) override;
  void Recall(RecallCall call, Callback<RecallResult> done) override;
  void EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) override;
  void TakeChecks(ChecksCall call, Callback<ChecksResult> done) override;
  void ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) override;
  void Lookup(LookupCall call, Callback<LookupResult> done) override;
  void Redrive(RedriveCall call, Callback<RedriveResult> done) override;
  uint64_t Receive(ReceiveCall call, Callback<ReceiveResult> done) override;
  void CancelReceive(ShardId shard, uint64_t receive_id) override;
  void Settle(SettleCall call, Callback<SettleResult> done) override;
  void ReportSent(SentReport report) override;
  void ReportClients(const ClientReport& report) override;
  void Stats(StatsCall call, Callback<StatsResult> done) override;
  uint64_t Pull(PullCall call, Callback<PullResult> done) override;
  void QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) override;
  void GetOffset(GetOffsetCall call, Callback<OffsetResult> done) override;
  void UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) override;
  void SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) override;
  void ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) override;

 private:
  std::shared_ptr<ExchangeLane> exchange_;
  std::shared_ptr<ReceiveLane> receives_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_GRPC_REMOTE_BROKER_H_
