#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "base/random.h"
#include "cli/bench/echo_server.h"
#include "cli/bench/histogram.h"
#include "cli/bench/process_cpu.h"
#include "cli/bench/report.h"
#include "cli/bench/send_load.h"
#include "tests/cli/fake_server.h"

namespace barid::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(HistogramTest, IsEmptyAtFirst) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.Percentile(0.5), absl::ZeroDuration());
  EXPECT_EQ(histogram.max(), absl::ZeroDuration());
}

TEST(HistogramTest, SmallValuesAreExact) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Record(absl::Nanoseconds(i));
  EXPECT_EQ(histogram.Percentile(0.5), absl::Nanoseconds(50));
  EXPECT_EQ(histogram.Percentile(0.99), absl::Nanoseconds(99));
  EXPECT_EQ(histogram.Percentile(1), absl::Nanoseconds(100));
}

TEST(HistogramTest, TheMaximumIsExactAndNothingIsAboveIt) {
  Histogram histogram;
  histogram.Record(absl::Hours(24 * 365 * 200));
  histogram.Record(absl::Nanoseconds(123456789));
  EXPECT_EQ(histogram.max(), absl::Hours(24 * 365 * 200));
  EXPECT_LE(histogram.Percentile(1), histogram.max());
}

// Against sorting, over values of all magnitudes.
TEST(HistogramTest, PercentilesAreWithinOnePercent) {
  SeededRandom random(20260817);
  Histogram first;
  Histogram second;
  std::vector<double> values;
  for (int i = 0; i < 20000; ++i) {
    const int64_t value = static_cast<int64_t>(random.Next() >> (8 + random.Below(55)));
    values.push_back(static_cast<double>(value));
    (i % 2 == 0 ? first : second).Record(absl::Nanoseconds(value));
  }
  first.Merge(second);
  std::sort(values.begin(), values.end());
  EXPECT_EQ(first.count(), 20000);
  for (const double fraction : {0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0}) {
    const double exact = values[static_cast<size_t>(std::ceil(fraction * 20000)) - 1];
    EXPECT_NEAR(absl::ToDoubleNanoseconds(first.Percentile(fraction)), exact, exact * 0.01) << fraction;
  }
}

TEST(SendRequestsTest, AreAlikeButForTheId) {
  v2::Message message;
  message.mutable_topic()->set_name("t");
  message.set_body(std::string(100, '?'));
  const SendRequests requests(message, 0xabcdef01);
  for (const uint64_t number : {uint64_t{0}, uint64_t{0x123456789abc}}) {
    grpc::ByteBuffer bytes = requests.Make(number);
    v2::SendMessageRequest request;
    ASSERT_TRUE(ParseFrom(&bytes, &request));
    const std::string& id = request.messages(0).system_properties().message_id();
    EXPECT_EQ(requests.NumberOf(id), static_cast<int64_t>(number)) << id;
    EXPECT_EQ(request.messages(0).body(), message.body());
  }
  EXPECT_EQ(requests.NumberOf("01AB"), -1);
  EXPECT_EQ(requests.NumberOf("00000000000000000000"), -1) << "of another run";
}

TEST(SendRequestsTest, VaryAsTheyAreTold) {
  v2::Message message;
  message.set_body("body");
  const SendRequests requests(message, 7, [](uint64_t number, v2::Message* varied) {
    varied->mutable_system_properties()->set_message_group(absl::StrCat("g", number));
  });
  grpc::ByteBuffer bytes = requests.Make(3, 2);
  v2::SendMessageRequest request;
  ASSERT_TRUE(ParseFrom(&bytes, &request));
  ASSERT_EQ(request.messages_size(), 2);
  EXPECT_EQ(request.messages(1).body(), "body");
  EXPECT_EQ(request.messages(1).system_properties().message_group(), "g4");
  EXPECT_EQ(request.messages(1).system_properties().message_id(), SendRequests::IdOf(7, 4));
  EXPECT_EQ(requests.NumberOf(SendRequests::IdOf(7, 4)), 4);
}

TEST(ReportTest, SpreadLeavesOutWhatIsNotKnown) {
  const Spread spread = SpreadOf({3, NAN, 1, 2});
  EXPECT_EQ(spread.min, 1);
  EXPECT_EQ(spread.median, 2);
  EXPECT_EQ(spread.max, 3);
  EXPECT_TRUE(std::isnan(SpreadOf({}).median));
  EXPECT_EQ(SpreadOf({1, 2}).median, 1.5);
}

TEST(ReportTest, RatiosAreOfTheSameRound) {
  BenchReport report;
  report.bench = "send";
  report.description = "1KiB bodies";
  report.server = {{{"messages_per_second", 900}}, {{"messages_per_second", 500}}};
  report.echo = {{{"messages_per_second", 1000}}, {{"messages_per_second", 500}}};
  std::ostringstream out;
  PrintReport(report, out);
  EXPECT_EQ(out.str(),
            "bench send: 1KiB bodies, 2 rounds\n\n"
            "                       MIN  MEDIAN    MAX  ECHO MIN  MEDIAN   MAX  RATIO MIN  MEDIAN   MAX\n"
            "messages_per_second  500.0   700.0  900.0     500.0   750.0  1000       0.90    0.95  1.00\n");
  std::ostringstream json;
  PrintReportJson(report, json);
  EXPECT_THAT(json.str(), HasSubstr(R"("ratio":{"min":0.9,"median":0.95,"max":1})"));
}

TEST(ReportTest, FiguresAreByMessage) {
  Round round;
  round.meter.sent = 1000;
  round.meter.calls = 1000;
  round.body_bytes = 2000;
  round.elapsed = absl::Seconds(2);
  round.server_cpu = absl::Milliseconds(20);
  const Figures figures = FiguresOf(round);
  const auto value = [&](absl::string_view name) {
    return std::find_if(figures.begin(), figures.end(), [&](const Figure& f) { return f.name == name; })->value;
  };
  EXPECT_EQ(value("messages_per_second"), 500);
  EXPECT_EQ(value("megabytes_per_second"), 1);
  EXPECT_EQ(value("server_cpu_us_per_message"), 20);
}

TEST(ProcessCpuTest, MeasuresThisProcess) {
  const absl::Duration own_before = OwnCpuTime();
  volatile int64_t work = 0;
  while (OwnCpuTime() - own_before < absl::Milliseconds(50)) work = work + 1;
  const absl::StatusOr<absl::Duration> cpu = CpuTime(getpid());
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  EXPECT_GE(*cpu, absl::Milliseconds(30));
  EXPECT_FALSE(CpuTime(0).ok());
}

TEST(ProcessCpuTest, FindsWhoListens) {
  const FakeServer server;
  EXPECT_THAT(ListenersOf(server.endpoint()), ElementsAre(getpid()));
  EXPECT_THAT(ListenersOf("192.0.2.1:8081"), testing::IsEmpty());
}

// Short runs of the real program against the fake server: all of it works together. Nothing is said about speed.
class BenchTest : public testing::TestWithParam<const char*> {};

std::string Output(const std::string& command) {
  std::string out;
  FILE* const pipe = popen(command.c_str(), "r");
  char buffer[4096];
  for (size_t size = 0; (size = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) out.append(buffer, size);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return out;
}

TEST_P(BenchTest, MeasuresAndLeavesNothing) {
  FakeServer server(2);
  const std::string out = Output(absl::StrCat(BARIDCTL, " bench ", GetParam(), " --endpoint ", server.endpoint(),
                                              " --duration 300ms --warm-up 100ms --channels 2 -o json"));
  EXPECT_THAT(out, HasSubstr("\"messages_per_second\":{\"server\":{\"min\":")) << out;
  EXPECT_THAT(out, HasSubstr("\"errors\":0")) << out;
  EXPECT_THAT(out, testing::Not(HasSubstr("\"errors\":1"))) << out;
  EXPECT_THAT(out, testing::Not(HasSubstr("\"server_cpu_us_per_message\":null"))) << out;
  if (absl::StrContains(GetParam(), "baseline")) {
    EXPECT_THAT(out, HasSubstr("\"ratio\":"));
  }
  if (absl::StrContains(GetParam(), "e2e")) {
    EXPECT_THAT(out, HasSubstr("\"end_to_end_p50_us\":"));
  }
  EXPECT_THAT(server.topics(), testing::IsEmpty());
  EXPECT_THAT(server.groups(), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(All, BenchTest,
                         testing::Values("send --outstanding 4", "send --rate 200 --threads 2",
                                         "send --baseline --rounds 2", "receive --backlog 2000",
                                         "receive --backlog 500 --ack single --baseline --rounds 1", "e2e --rate 200"));

}  // namespace
}  // namespace barid::cli
