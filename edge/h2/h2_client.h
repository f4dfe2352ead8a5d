#ifndef BARID_EDGE_H2_H2_CLIENT_H_
#define BARID_EDGE_H2_H2_CLIENT_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "edge/client.h"
#include "edge/h2/loop.h"

namespace barid::edge::h2 {

struct H2ClientOptions {
  std::string address = {};  // "host:port".
  // The connection lives on the first of these loops, which outlive the channel.
  std::shared_ptr<LoopThreads> loops = nullptr;
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(5);
  size_t max_message_bytes = size_t{64} << 20;
};

// gRPC streams over HTTP/2 in cleartext, on libnghttp2 and epoll. Nothing is opened before the first stream; a
// connection that has ended is followed by another with the next stream.
std::unique_ptr<Channel> NewH2Channel(const H2ClientOptions& options);

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_H2_CLIENT_H_
