#ifndef BARID_PROXY_PORTS_H_
#define BARID_PROXY_PORTS_H_

#include "absl/strings/string_view.h"
#include "base/broker_calls.h"

// What the proxy needs from outside, besides the controller (base/controller_calls.h).
namespace barid::proxy {

// How a broker is reached: directly in standalone, over barid.broker.v1 in a cluster. Any thread.
class BrokerDirectory {
 public:
  virtual ~BrokerDirectory() = default;

  // nullptr if there is no way to it (yet). What is returned lives as long as the directory: a broker that left answers
  // kUnavailable.
  virtual BrokerApi* Find(absl::string_view broker_id) = 0;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_PORTS_H_
