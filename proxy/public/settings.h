#ifndef BARID_PROXY_PUBLIC_SETTINGS_H_
#define BARID_PROXY_PUBLIC_SETTINGS_H_

#include "absl/strings/string_view.h"
#include "apache/rocketmq/v2/definition.pb.h"
#include "base/metadata.h"
#include "proxy/clients.h"
#include "proxy/options.h"
#include "proxy/public/status_map.h"

namespace barid::proxy {

// What the server answers to a client's settings: the client's own with the server's decisions written over them.
// Complete and sound for a group that nobody created as well, because clients of some languages do not start without.
v2::Settings AnswerSettings(const v2::Settings& asked, absl::string_view caller_space, const Metadata& metadata,
                            const ProxyOptions& options);

// What the settings say of the client `id`: as text, by name; and what is remembered of it.
std::vector<std::pair<std::string, std::string>> PropertiesOf(const v2::Settings& settings);
ClientProfile ProfileOf(const v2::Settings& settings, absl::string_view id, absl::string_view caller_space);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_SETTINGS_H_
