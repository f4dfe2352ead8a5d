#ifndef BARID_BROKER_GRPC_BROKER_SERVICE_H_
#define BARID_BROKER_GRPC_BROKER_SERVICE_H_

#include <memory>

#include "base/broker_calls.h"
#include "broker/grpc/frame_stream.h"
#include "edge/call.h"

namespace barid::broker {

struct BrokerServiceOptions {
  // Of one proxy's sends that are not answered; beyond it more are answered kResourceExhausted.
  int64_t max_bytes_under_way = int64_t{64} << 20;
  // Of answers to one proxy's receives that it has not taken; beyond it receives are answered kResourceExhausted.
  int64_t max_answer_bytes = int64_t{64} << 20;
};

// barid.broker.v1 in front of a broker, for any number of proxies (docs/broker-hop.md).
//
// To stop: Broker::Stop, which answers everything; Drain; the port's Drain with a grace, which cancels the streams that
// are left. The broker outlives every answer that is owed.
class BrokerService {
 public:
  explicit BrokerService(BrokerApi* broker, const BrokerServiceOptions& options = {})
      : broker_(broker), options_(options) {}

  // What a port must take: a frame with one large call.
  static edge::PortLimits Limits();

  void AddTo(edge::MethodTable* table) const;

  // Tells every proxy to stop calling, ends waiting receives with nothing, accepts no new stream. Streams end when
  // their proxy has half-closed and has its answers. Any thread; more than once does no harm.
  void Drain() { open_streams_->Drain(); }

 private:
  BrokerApi* const broker_;
  const BrokerServiceOptions options_;
  const std::shared_ptr<OpenStreams> open_streams_ = std::make_shared<OpenStreams>();
};

}  // namespace barid::broker

#endif  // BARID_BROKER_GRPC_BROKER_SERVICE_H_
