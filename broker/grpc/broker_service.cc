#include "broker/grpc/broker_service.h"

#include "broker/grpc/deliveries_stream.h"
#include "broker/grpc/exchange_stream.h"

namespace barid::broker {
namespace {

constexpr size_t kMaxFrameBytes = size_t{64} << 20;

}  // namespace

edge::PortLimits BrokerService::Limits() {
  edge::PortLimits limits;
  limits.max_request_bytes = kMaxFrameBytes;
  limits.max_connection_request_bytes = 2 * kMaxFrameBytes;
  limits.max_inflight_request_bytes = size_t{1} << 30;
  return limits;
}

void BrokerService::AddTo(edge::MethodTable* table) const {
  table->streams["/barid.broker.v1.Broker/Exchange"] =
      [broker = broker_, open = open_streams_,
       bytes = options_.max_bytes_under_way](std::shared_ptr<edge::Stream> stream) {
        auto handler = std::make_shared<ExchangeStream>(broker, std::move(stream), open, bytes);
        handler->Start();
        return handler;
      };
  table->streams["/barid.broker.v1.Broker/Deliveries"] =
      [broker = broker_, open = open_streams_,
       bytes = options_.max_answer_bytes](std::shared_ptr<edge::Stream> stream) {
        auto handler = std::make_shared<DeliveriesStream>(broker, std::move(stream), open, bytes);
        handler->Start();
        return handler;
      };
}

}  // namespace barid::broker
