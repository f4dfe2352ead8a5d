#ifndef BARID_EDGE_H2_PROXY_PROTOCOL_H_
#define BARID_EDGE_H2_PROXY_PROTOCOL_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barid::edge::h2 {

// What a load balancer says, in front of all else, of the connection that it forwards: the PROXY protocol, versions 1
// and 2 (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2). What version 2 adds behind the addresses is passed over.
struct ProxyHeader {
  size_t bytes = 0;  // Its length.
  // Empty if it names nobody ("UNKNOWN", LOCAL, addresses of no IP): then the peer of the socket is the peer.
  std::string peer;     // "ipv4:192.0.2.1:4711".
  std::string address;  // "192.0.2.1".
};

// Longer ones are refused: addresses take 232 bytes at most, what follows them is a certificate's name or the like.
inline constexpr size_t kMaxProxyHeaderBytes = 4096;

// The header that `bytes` begin with; nullopt if it is not whole yet. kInvalidArgument: they begin with none.
absl::StatusOr<std::optional<ProxyHeader>> ParseProxyHeader(absl::string_view bytes);

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_PROXY_PROTOCOL_H_
