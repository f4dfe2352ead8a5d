#ifndef BARID_RPC_CHANNEL_H_
#define BARID_RPC_CHANNEL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace barid::rpc {

struct ChannelOptions {
  // A peer that does not answer a ping is gone: its calls fail with kUnavailable within the sum of the two.
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(5);
  // Between two attempts to connect. While there is no connection, calls fail at once with kUnavailable.
  absl::Duration first_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(1);
  // -1: no bound.
  int max_message_bytes = -1;
  // Channels to the same address share a connection unless they ask for their own.
  bool own_connection = false;
};

// A channel to one of our processes, "host:port", in cleartext. It connects at the first call and then stays connected.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address, const ChannelOptions& options = {});

}  // namespace barid::rpc

#endif  // BARID_RPC_CHANNEL_H_
