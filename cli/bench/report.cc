#include "cli/bench/report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/json.h"
#include "cli/table.h"

namespace barid::cli {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

void AddLatency(absl::string_view name, const Histogram& histogram, Figures* figures) {
  if (histogram.count() == 0) return;
  const auto add = [&](absl::string_view percentile, absl::Duration value) {
    figures->push_back({absl::StrCat(name, "_", percentile, "_us"), absl::ToDoubleMicroseconds(value)});
  };
  add("p50", histogram.Percentile(0.5));
  add("p99", histogram.Percentile(0.99));
  add("p99.9", histogram.Percentile(0.999));
  add("max", histogram.max());
}

// Four digits are more than a noisy machine gives.
std::string NumberText(double value) {
  if (!std::isfinite(value)) return "";
  return value >= 1000 ? absl::StrFormat("%.0f", value)
         : value >= 10 ? absl::StrFormat("%.1f", value)
                       : absl::StrFormat("%.2f", value);
}

// One figure's values over all rounds.
std::vector<double> Column(const std::vector<Figures>& rounds, absl::string_view name) {
  std::vector<double> values;
  for (const Figures& round : rounds) {
    const auto found =
        std::find_if(round.begin(), round.end(), [&](const Figure& figure) { return figure.name == name; });
    values.push_back(found == round.end() ? kUnknown : found->value);
  }
  return values;
}

std::vector<double> Ratios(const BenchReport& report, absl::string_view name) {
  std::vector<double> server = Column(report.server, name);
  const std::vector<double> echo = Column(report.echo, name);
  server.resize(std::min(server.size(), echo.size()));
  for (size_t i = 0; i < server.size(); ++i) server[i] /= echo[i];
  return server;
}

std::vector<std::string> NamesOf(const BenchReport& report) {
  std::vector<std::string> names;
  for (const std::vector<Figures>* rounds : {&report.server, &report.echo}) {
    for (const Figures& round : *rounds) {
      for (const Figure& figure : round) {
        if (std::find(names.begin(), names.end(), figure.name) == names.end()) names.push_back(figure.name);
      }
    }
  }
  return names;
}

void WriteRound(const Figures& figures, JsonWriter* json) {
  json->BeginObject();
  for (const Figure& figure : figures) json->Field(figure.name, figure.value);
  json->End();
}

void WriteSpread(const Spread& spread, JsonWriter* json) {
  json->BeginObject().Field("min", spread.min).Field("median", spread.median).Field("max", spread.max).End();
}

}  // namespace

Figures FiguresOf(const Round& round) {
  const double seconds = absl::ToDoubleSeconds(round.elapsed);
  const auto messages = static_cast<double>(round.messages());
  const auto cpu = [&](absl::Duration used) {
    return used < absl::ZeroDuration() || messages == 0 ? kUnknown : absl::ToDoubleMicroseconds(used) / messages;
  };
  Figures figures;
  figures.push_back({"messages_per_second", messages / seconds});
  figures.push_back({"calls_per_second", static_cast<double>(round.meter.calls) / seconds});
  figures.push_back({"megabytes_per_second", messages * static_cast<double>(round.body_bytes) / seconds / 1e6});
  figures.push_back({"server_cpu_us_per_message", cpu(round.server_cpu)});
  figures.push_back({"client_cpu_us_per_message", cpu(round.client_cpu)});
  AddLatency("send", round.meter.send, &figures);
  AddLatency("receive", round.meter.receive, &figures);
  AddLatency("ack", round.meter.ack, &figures);
  AddLatency("end_to_end", round.meter.end_to_end, &figures);
  figures.push_back({"errors", static_cast<double>(round.meter.errors)});
  return figures;
}

Spread SpreadOf(std::vector<double> values) {
  values.erase(std::remove_if(values.begin(), values.end(), [](double v) { return !std::isfinite(v); }), values.end());
  if (values.empty()) return {kUnknown, kUnknown, kUnknown};
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {values.front(), median, values.back()};
}

void PrintReport(const BenchReport& report, std::ostream& out) {
  out << "bench " << report.bench << ": " << report.description << ", " << report.server.size()
      << (report.server.size() == 1 ? " round" : " rounds") << "\n\n";
  const bool has_echo = !report.echo.empty();
  std::vector<std::string> headings = {"", "MIN", "MEDIAN", "MAX"};
  if (has_echo) {
    headings.insert(headings.end(), {"ECHO MIN", "MEDIAN", "MAX", "RATIO MIN", "MEDIAN", "MAX"});
  }
  Table table(headings);
  for (const std::string& name : NamesOf(report)) {
    std::vector<std::string> row = {name};
    const auto add = [&row](const Spread& spread) {
      for (const double value : {spread.min, spread.median, spread.max}) row.push_back(NumberText(value));
    };
    add(SpreadOf(Column(report.server, name)));
    if (has_echo) {
      add(SpreadOf(Column(report.echo, name)));
      add(SpreadOf(Ratios(report, name)));
    }
    table.AddRow(std::move(row));
  }
  table.Print(out);
}

void PrintReportJson(const BenchReport& report, std::ostream& out) {
  JsonWriter json;
  json.BeginObject().Field("bench", report.bench).Field("description", report.description);
  json.Key("rounds").BeginArray();
  for (size_t i = 0; i < report.server.size(); ++i) {
    json.BeginObject().Key("server");
    WriteRound(report.server[i], &json);
    if (i < report.echo.size()) {
      json.Key("echo");
      WriteRound(report.echo[i], &json);
    }
    json.End();
  }
  json.End().Key("summary").BeginObject();
  for (const std::string& name : NamesOf(report)) {
    json.Key(name).BeginObject().Key("server");
    WriteSpread(SpreadOf(Column(report.server, name)), &json);
    if (!report.echo.empty()) {
      json.Key("echo");
      WriteSpread(SpreadOf(Column(report.echo, name)), &json);
      json.Key("ratio");
      WriteSpread(SpreadOf(Ratios(report, name)), &json);
    }
    json.End();
  }
  out << json.End().End().text() << "\n";
}

}  // namespace barid::cli
