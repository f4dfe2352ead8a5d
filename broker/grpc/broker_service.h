#ifndef BARID_BROKER_GRPC_BROKER_SERVICE_H_
#define BARID_BROKER_GRPC_BROKER_SERVICE_H_

#include <grpcpp/server_builder.h>

#include <memory>

#include "barid/broker/v1/broker.grpc.pb.h"
#include "base/broker_calls.h"
#include "base/executor.h"
#include "broker/grpc/frame_stream.h"

namespace barid::broker {

struct BrokerServiceOptions {
  // Of one proxy's sends and settles that are not answered; beyond it the proxy's stream is not read.
  int64_t max_bytes_under_way = int64_t{64} << 20;
  // Of answers to one proxy's receives that it has not taken; beyond it receives are answered kResourceExhausted.
  int64_t max_answer_bytes = int64_t{64} << 20;
};

// barid.broker.v1 in front of a broker, for any number of proxies (docs/broker-hop.md).
//
// To stop: Broker::Stop, which answers everything; Drain; Server::Shutdown with a deadline, which cancels the streams that
// are left. The service must outlive the server; the broker and the executor, the service and every answer that is owed.
class BrokerService final : public v1::Broker::CallbackService {
 public:
  // `executor` encodes and writes answers. It blocks on nothing; one serves all proxies.
  BrokerService(BrokerApi* broker, Executor* executor, const BrokerServiceOptions& options = {})
      : broker_(broker), executor_(executor), options_(options) {}

  // A frame with one large call must pass: gRPC's bound of 4 MiB is less than a message.
  static void ConfigureServer(grpc::ServerBuilder* builder) { builder->SetMaxReceiveMessageSize(kMaxFrameBytes); }
  static constexpr int kMaxFrameBytes = 64 << 20;

  // Tells every proxy to stop calling, ends waiting receives with nothing, accepts no new stream. Streams end when their
  // proxy has half-closed and has its answers. Any thread; more than once does no harm.
  void Drain() { open_streams_->Drain(); }

  grpc::ServerBidiReactor<v1::CallFrame, v1::AnswerFrame>* Exchange(grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<v1::ReceiveFrame, v1::DeliveryFrame>* Deliveries(grpc::CallbackServerContext* context) override;

 private:
  BrokerApi* const broker_;
  Executor* const executor_;
  const BrokerServiceOptions options_;
  const std::shared_ptr<OpenStreams> open_streams_ = std::make_shared<OpenStreams>();
};

}  // namespace barid::broker

#endif  // BARID_BROKER_GRPC_BROKER_SERVICE_H_
