#ifndef BARID_STANDALONE_SETTINGS_H_
#define BARID_STANDALONE_SETTINGS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/log.h"
#include "base/settings.h"
#include "broker/broker.h"
#include "controller/controller.h"
#include "edge/h2/h2_server.h"
#include "proxy/options.h"

namespace barid {

// What a process of `barid` is.
enum class Role { kStandalone, kController, kBroker, kProxy };

// Everything that can be set for it: docs/settings.md is printed from the table.
struct Settings {
  std::string data_dir;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  absl::Duration drain_timeout;

  std::string public_listen;
  bool public_admin = false;
  bool public_health = true;
  bool public_reflection = false;
  int32_t public_threads = 0;  // 0: by the cores; see NewPublicLoops.
  absl::Duration public_gather = edge::h2::kGather;
  edge::h2::H2ServerOptions public_port;  // But for its address and threads.
  bool public_self_signed = false;
  std::string admin_listen;
  std::string metrics_listen;
  std::string broker_listen;
  std::string broker_advertise;
  std::string controller_listen;
  std::vector<std::string> controller_endpoints;
  absl::Duration controller_patience;

  broker::BrokerOptions broker;
  controller::ControllerOptions controller;
  proxy::ProxyOptions proxy;
};

// Adds the rows that `role` has, with its defaults. `settings` outlives the table.
void AddSettings(Role role, Settings* settings, SettingsTable* table);

}  // namespace barid

#endif  // BARID_STANDALONE_SETTINGS_H_
