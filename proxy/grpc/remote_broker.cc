#include "proxy/grpc/remote_broker.h"

#include <utility>

#include "barid/broker/v1/broker.grpc.pb.h"
#include "proxy/grpc/exchange_lane.h"
#include "proxy/grpc/receive_lane.h"

namespace barid::proxy {

RemoteBroker::RemoteBroker(std::string name, std::shared_ptr<grpc::Channel> channel, const LaneContext& context,
                           const RemoteBrokerOptions& options) {
  const std::shared_ptr<broker::v1::Broker::Stub> stub = broker::v1::Broker::NewStub(std::move(channel));
  exchange_ = std::make_shared<ExchangeLane>(
      name,
      [stub](grpc::ClientContext* call, ExchangeLane::Reactor* reactor) { stub->async()->Exchange(call, reactor); }, context,
      options);
  receives_ = std::make_shared<ReceiveLane>(
      name,
      [stub](grpc::ClientContext* call, ReceiveLane::Reactor* reactor) { stub->async()->Deliveries(call, reactor); },
      context, options,
      [exchange = exchange_](SettleCall call) {
        // Best effort: what is not given back comes back when its invisible time is over.
        exchange->Call(std::move(call), Callback<SettleResult>([](SettleResult) {}));
      });
}

RemoteBroker::~RemoteBroker() {
  Close();
  AwaitEnd();
}

void RemoteBroker::Close() {
  receives_->Close();
  exchange_->Close();
}

void RemoteBroker::AwaitEnd() {
  receives_->AwaitEnd();
  exchange_->AwaitEnd();
}

void RemoteBroker::Append(AppendCall call, Callback<AppendResult> done) { exchange_->Call(std::move(call), std::move(done)); }

void RemoteBroker::Recall(RecallCall call, Callback<RecallResult> done) { exchange_->Call(call, std::move(done)); }

uint64_t RemoteBroker::Receive(ReceiveCall call, Callback<ReceiveResult> done) {
  return receives_->Receive(std::move(call), std::move(done));
}

void RemoteBroker::CancelReceive(ShardId shard, uint64_t receive_id) { receives_->Cancel(receive_id); }

void RemoteBroker::Settle(SettleCall call, Callback<SettleResult> done) { exchange_->Call(std::move(call), std::move(done)); }

void RemoteBroker::ReportSent(SentReport report) { exchange_->Call(std::move(report), std::monostate()); }

void RemoteBroker::ReportClients(const ClientReport& report) { exchange_->Call(report, std::monostate()); }

void RemoteBroker::Stats(StatsCall call, Callback<StatsResult> done) { exchange_->Call(call, std::move(done)); }

}  // namespace barid::proxy
