#include "proxy/grpc/remote_broker.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/grpc/exchange_lane.h"
#include "proxy/grpc/receive_lane.h"

namespace barid::proxy {

RemoteBroker::RemoteBroker(std::string name, std::shared_ptr<edge::Channel> channel, const LaneContext& context,
                           const RemoteBrokerOptions& options) {
  const auto begin = [&channel](absl::string_view method) {
    return [channel, name = absl::StrCat("/barid.broker.v1.Broker/", method)](
               std::shared_ptr<edge::ClientStreamHandler> handler) { return channel->Open(name, std::move(handler)); };
  };
  exchange_ = std::make_shared<ExchangeLane>(name, begin("Exchange"), context, options);
  receives_ = std::make_shared<ReceiveLane>(
      name, begin("Deliveries"), context, options, [exchange = exchange_](SettleCall call) {
        // Best effort: what is not given back comes back when its invisible time is over.
        exchange->Call(std::move(call), Callback<SettleResult>([](SettleResult) {}));
      });
}

RemoteBroker::~RemoteBroker() {
  Close();
  AwaitEnd();
}

void RemoteBroker::RetryNow() {
  receives_->RetryNow();
  exchange_->RetryNow();
}

void RemoteBroker::Close() {
  receives_->Close();
  exchange_->Close();
}

void RemoteBroker::AwaitEnd() {
  receives_->AwaitEnd();
  exchange_->AwaitEnd();
}

void RemoteBroker::Append(AppendCall call, Callback<AppendResult> done) {
  exchange_->Call(std::move(call), std::move(done));
}

void RemoteBroker::Recall(RecallCall call, Callback<RecallResult> done) { exchange_->Call(call, std::move(done)); }

void RemoteBroker::EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) {
  exchange_->Call(call, std::move(done));
}

void RemoteBroker::TakeChecks(ChecksCall call, Callback<ChecksResult> done) {
  exchange_->Call(std::move(call), std::move(done));
}

void RemoteBroker::ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) {
  exchange_->Call(call, std::move(done));
}

void RemoteBroker::Lookup(LookupCall call, Callback<LookupResult> done) {
  exchange_->Call(std::move(call), std::move(done));
}

void RemoteBroker::Redrive(RedriveCall call, Callback<RedriveResult> done) {
  exchange_->Call(std::move(call), std::move(done));
}

uint64_t RemoteBroker::Receive(ReceiveCall call, Callback<ReceiveResult> done) {
  return receives_->Receive(std::move(call), std::move(done));
}

void RemoteBroker::CancelReceive(ShardId shard, uint64_t receive_id) { receives_->Cancel(receive_id); }

void RemoteBroker::Settle(SettleCall call, Callback<SettleResult> done) {
  exchange_->Call(std::move(call), std::move(done));
}

void RemoteBroker::ReportSent(SentReport report) { exchange_->Call(std::move(report), std::monostate()); }

void RemoteBroker::ReportClients(const ClientReport& report) { exchange_->Call(report, std::monostate()); }

void RemoteBroker::Stats(StatsCall call, Callback<StatsResult> done) { exchange_->Call(call, std::move(done)); }

uint64_t RemoteBroker::Pull(PullCall call, Callback<PullResult> done) {
  return receives_->Pull(std::move(call), std::move(done));
}

void RemoteBroker::QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) {
  exchange_->Call(call, ExchangeLane::LookUp{std::move(done)});
}

void RemoteBroker::GetOffset(GetOffsetCall call, Callback<OffsetResult> done) {
  exchange_->Call(call, ExchangeLane::LookUp{std::move(done)});
}

void RemoteBroker::UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) {
  exchange_->Call(call, std::move(done));
}

void RemoteBroker::SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) {
  exchange_->Call(std::move(call), std::move(done));
}

void RemoteBroker::ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) {
  // A dry run changes nothing either, but is rare enough to be answered as if it did.
  exchange_->Call(std::move(call), std::move(done));
}

}  // namespace barid::proxy
