#ifndef BARID_PROXY_GRPC_REMOTE_BROKERS_H_
#define BARID_PROXY_GRPC_REMOTE_BROKERS_H_

#include <functional>
#include <memory>
#include <string>

#include "base/controller_calls.h"
#include "proxy/grpc/remote_broker.h"
#include "proxy/ports.h"

namespace barid::proxy {

// The brokers of the metadata, one RemoteBroker for each that has an endpoint. One whose endpoint changes is replaced;
// one that leaves is closed; one that begins a new term of a shard has just started, and is tried at once. Nothing is
// connected before the first call.
//
// Any thread. Destruction closes it: no caller may be left.
class RemoteBrokers : public BrokerDirectory {
 public:
  // A channel to "host:port" (edge/h2/h2_client.h); see RemoteBroker for what it should do.
  using NewChannel = std::function<std::shared_ptr<edge::Channel>(const std::string& endpoint)>;

  // What is in `context` outlives this; the controller may go before it.
  RemoteBrokers(ControllerApi* controller, NewChannel new_channel, const LaneContext& context,
                const RemoteBrokerOptions& options = {});
  ~RemoteBrokers() override;

  // Ends what is under way and waits until every callback has run; what is called after that is answered kUnavailable.
  // For shutdown, while what the callbacks refer to is still there. Not from a callback.
  void Close();

  BrokerApi* Find(absl::string_view broker_id) override;

 private:
  class Table;
  const std::shared_ptr<Table> table_;  // The controller's watch may outlive the directory.
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_GRPC_REMOTE_BROKERS_H_
