#include "broker/grpc/broker_service.h"

#include "broker/grpc/deliveries_stream.h"
#include "broker/grpc/exchange_stream.h"

namespace barid::broker {

grpc::ServerBidiReactor<v1::CallFrame, v1::AnswerFrame>* BrokerService::Exchange(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<ExchangeStream>(broker_, executor_, open_streams_, options_.max_bytes_under_way);
  stream->Start();
  return stream.get();  // It holds itself until gRPC is done with it.
}

grpc::ServerBidiReactor<v1::ReceiveFrame, v1::DeliveryFrame>* BrokerService::Deliveries(
    grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<DeliveriesStream>(broker_, executor_, open_streams_, options_.max_answer_bytes);
  stream->Start();
  return stream.get();
}

}  // namespace barid::broker
