#ifndef BARID_PROXY_OPTIONS_H_
#define BARID_PROXY_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace barid::proxy {

// What one request may ask for, and what all of them together may hold. They protect the process; a client that meets
// one is told which.
struct ProxyLimits {
  // Of one message's body, whatever its topic allows.
  int64_t max_body_bytes = int64_t{16} << 20;
  int max_batch_messages = 1024;                // In one SendMessage.
  int64_t max_batch_bytes = int64_t{16} << 20;  // Bodies in one SendMessage.
  int max_properties = 128;
  int64_t max_properties_bytes = int64_t{16} << 10;  // Names and values, with tag and keys.
  int max_filter_tags = 256;
  int max_receive_messages = 32;
  int64_t max_receive_bytes = int64_t{8} << 20;
  // Lite topics that one client reads; told to it in its settings, and held to for each shard.
  int32_t max_lite_subscriptions = 2000;
  int max_settle_entries = 1024;  // In one AckMessage.

  // Messages that were taken and are not answered yet; beyond it TOO_MANY_REQUESTS.
  int64_t max_inflight_send_bytes = int64_t{256} << 20;
  int max_waiting_receives_per_client = 1024;
  // Clients remembered. One more is served all the same, but its long deliveries are not renewed.
  size_t max_clients = 100'000;
  // Commands that wait for a client to read its telemetry stream; the oldest goes first.
  size_t max_telemetry_frames = 64;
};

struct ProxyOptions {
  std::string name = "proxy-0";  // In reports to brokers: unique in the cluster.

  // "host:port" for routes when the client does not say how it came here. Empty: such a client is refused.
  std::string advertised_address;

  // A topic or group nobody created is made when it is first used, as RocketMQ does by default.
  bool auto_create_topics = true;
  bool auto_create_groups = true;
  int32_t auto_create_queues = 4;  // Per shard.
  // A group whose name begins so is made when it is first used, also without auto_create_groups, for the one member
  // that names it: it starts with what is sent from now on, and goes when no member was seen for `member_group_expiry`.
  // Empty: no name means that.
  std::string member_group_prefix = "%MEMBER%";
  absl::Duration member_group_expiry = absl::Hours(1);
  // A topic takes messages of its own type only.
  bool enforce_message_types = true;

  // Of one receive. The answer leaves `poll_margin` before the call's deadline.
  absl::Duration max_poll = absl::Seconds(20);
  absl::Duration poll_margin = absl::Milliseconds(500);
  absl::Duration min_invisible = absl::Seconds(10);
  absl::Duration max_invisible = absl::Hours(12);
  // First deadline of a delivery that the server renews.
  absl::Duration auto_renew_invisible = absl::Seconds(60);

  // A client is forgotten when it was not heard of for so long and has no stream open.
  absl::Duration client_expiry = absl::Seconds(120);
  // How far ahead a message may be scheduled.
  absl::Duration max_delay = absl::Hours(40 * 24);

  // How long a producer may ask for before it is asked what became of its transaction.
  absl::Duration max_transaction_recovery = absl::Hours(1);
  // How often brokers are asked for transactions to check, while there are live producers of such topics.
  absl::Duration transaction_poll_interval = absl::Seconds(1);

  absl::Duration client_report_interval = absl::Seconds(5);

  ProxyLimits limits;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_OPTIONS_H_
