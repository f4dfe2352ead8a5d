#ifndef BARID_CLI_BENCH_REPORT_H_
#define BARID_CLI_BENCH_REPORT_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/bench/calls.h"

namespace barid::cli {

// One number of one round. NaN: not known.
struct Figure {
  std::string name;  // "messages_per_second"; the unit is in it.
  double value;
};
using Figures = std::vector<Figure>;

// What a round measured, as figures.
struct Round {
  Meter meter;
  int64_t body_bytes = 0;  // Of one message.
  absl::Duration elapsed;
  absl::Duration client_cpu;
  absl::Duration server_cpu = -absl::InfiniteDuration();  // Below zero: not known.

  // What the round is about: messages received and settled, or, if it only sends, sent.
  int64_t messages() const { return meter.settled > 0 ? meter.settled : meter.sent; }
};
// The figures of a latency are there if something was recorded.
Figures FiguresOf(const Round& round);

// All rounds of a bench. Those of the echo are empty without a baseline.
struct BenchReport {
  std::string bench;        // "send"
  std::string description;  // "1024 bytes, 64 outstanding"
  std::vector<Figures> server;
  std::vector<Figures> echo;
};

struct Spread {
  double min;
  double median;
  double max;
};
Spread SpreadOf(std::vector<double> values);

// For each figure minimum, median and maximum over the rounds. The ratio is server to echo, round by round, so that
// what disturbed both counts for neither.
void PrintReport(const BenchReport& report, std::ostream& out);
void PrintReportJson(const BenchReport& report, std::ostream& out);

}  // namespace barid::cli

#endif  // BARID_CLI_BENCH_REPORT_H_
