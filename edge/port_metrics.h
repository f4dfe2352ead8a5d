#ifndef BARID_EDGE_PORT_METRICS_H_
#define BARID_EDGE_PORT_METRICS_H_

#include "absl/strings/string_view.h"
#include "base/metrics.h"

namespace barid::edge {

// How a port is used, and which of its limits are hit. Any thread.
struct PortMetrics {
  // `port` is its name: "public", "admin", "broker". Several ports of a process share the names of metrics.
  PortMetrics(Metrics* metrics, absl::string_view port)
      : connections(metrics->AddGauges("barid_edge_connections", "Open connections.", {"port"})->With({port})),
        refused_connections(metrics
                                ->AddCounters("barid_edge_refused_connections_total",
                                              "Connections that were closed at once, because there are too many.",
                                              {"port"})
                                ->With({port})),
        closed_connections(
            metrics
                ->AddCounters("barid_edge_closed_connections_total",
                              "Connections that were closed for what they send: too many pings, resets, empty frames.",
                              {"port"})
                ->With({port})),
        refused_requests(metrics
                             ->AddCounters("barid_edge_refused_requests_total",
                                           "Requests and answers for which there was no room in the budgets of bytes.",
                                           {"port"})
                             ->With({port})) {}

  Gauge* const connections;
  Counter* const refused_connections;
  Counter* const closed_connections;
  Counter* const refused_requests;
};

}  // namespace barid::edge

#endif  // BARID_EDGE_PORT_METRICS_H_
