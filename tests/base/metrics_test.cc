#include "base/metrics.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/metrics_server.h"
#include "tests/base/status_matchers.h"

namespace barid {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(MetricsTest, SeriesBeyondTheCapAreJoined) {
  Metrics metrics(/*max_series=*/2);
  Family<Counter>* family = metrics.AddCounters("barid_test_total", "A test.", {"topic"});
  Counter* first = family->With({"a"});
  family->With({"b"});
  Counter* other = family->With({"c"});
  EXPECT_EQ(family->With({"d"}), other);
  EXPECT_EQ(family->With({"a"}), first);
  other->Add(5);
  EXPECT_THAT(metrics.CollectText(),
              AllOf(HasSubstr("barid_test_total{topic=\"__other__\"} 5"),
                    HasSubstr("barid_metrics_series_dropped_total{metric=\"barid_test_total\"} 2")));
}

TEST(MetricsDeathTest, NamesThatMisleadAreABug) {
  Metrics metrics;
  EXPECT_DEATH(metrics.AddCounter("barid_sent", ""), "barid_sent");
  EXPECT_DEATH(metrics.AddGauge("barid_depth_total", ""), "barid_depth_total");
  EXPECT_DEATH(metrics.AddGauge("depth", ""), "depth");
  metrics.AddGauges("barid_depth", "", {"queue"});
  EXPECT_DEATH(metrics.AddGauge("barid_depth", ""), "barid_depth");
  EXPECT_DEATH(metrics.AddGauges("barid_depth", "", {"queue"})->With({"a", "b"}), "barid_depth");
}

TEST(MetricsTest, TheSameNameIsTheSameMetric) {
  Metrics metrics;
  EXPECT_EQ(metrics.AddCounter("barid_test_total", "A test."), metrics.AddCounter("barid_test_total", "A test."));
}

TEST(MetricsTest, LosesNoUpdateOfManyThreads) {
  Metrics metrics;
  Counter* counter = metrics.AddCounter("barid_test_total", "A test.");
  Gauge* gauge = metrics.AddGauge("barid_depth", "A test.");
  Histogram* histogram = metrics.AddHistogram("barid_size_bytes", "A test.", {1, 10});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) {
        counter->Add(2);
        gauge->Add(1);
        histogram->Observe(5);
        if (j % 100 == 0) metrics.CollectText();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter->Value(), 8000u);
  EXPECT_EQ(gauge->Value(), 4000);
  EXPECT_EQ(histogram->Read().sum, 20000);
}

TEST(MetricsTest, HistogramBoundsBelongToTheirRange) {
  Histogram histogram({1, 10});
  for (const double value : {0.5, 1.0, 1.5, 10.0, 11.0}) histogram.Observe(value);
  EXPECT_THAT(histogram.Read().counts, testing::ElementsAre(2, 2, 1));
  EXPECT_EQ(histogram.Read().sum, 24);
}

TEST(MetricsTest, WritesPrometheusText) {
  Metrics metrics;
  metrics.AddCounter("barid_sent_total", "Messages sent.")->Add(3);
  metrics.AddGauges("barid_depth", "Messages waiting.", {"queue", "shard"})->With({"q\"1", "s"})->Set(1.5);
  metrics.AddHistogram("barid_sync_seconds", "Time of a sync.", {0.001, 0.01})->Observe(absl::Milliseconds(5));
  EXPECT_THAT(metrics.CollectText(),
              AllOf(HasSubstr("# HELP barid_sent_total Messages sent.\n# TYPE barid_sent_total counter\n"
                              "barid_sent_total 3\n"),
                    HasSubstr("barid_depth{queue=\"q\\\"1\",shard=\"s\"} 1.5\n"),
                    HasSubstr("barid_sync_seconds_bucket{le=\"0.001\"} 0\n"),
                    HasSubstr("barid_sync_seconds_bucket{le=\"0.01\"} 1\n"),
                    HasSubstr("barid_sync_seconds_bucket{le=\"+Inf\"} 1\n"), HasSubstr("barid_sync_seconds_count 1\n"),
                    HasSubstr("barid_sync_seconds_sum 0.005\n")));
}

TEST(MetricsTest, RefreshesBeforeEachCollection) {
  Metrics metrics;
  Gauge* gauge = metrics.AddGauge("barid_depth", "A test.");
  metrics.BeforeCollect([gauge] { gauge->Add(1); });
  EXPECT_THAT(metrics.CollectText(), HasSubstr("barid_depth 1\n"));
  EXPECT_THAT(metrics.CollectText(), HasSubstr("barid_depth 2\n"));
}

TEST(MetricsTest, PrintsTheDocsPage) {
  Metrics metrics;
  metrics.AddGauges("barid_depth", "Messages waiting.", {"queue", "shard"});
  EXPECT_THAT(metrics.PrintMarkdown(), HasSubstr("| `barid_depth` | gauge | queue, shard | Messages waiting. |\n"));
  EXPECT_EQ(metrics.Catalogue().size(), 2u);  // And the dropped series.
}

// The answer to one HTTP request.
std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    char part[4096];
    for (ssize_t size; (size = read(fd, part, sizeof(part))) > 0;) answer.append(part, size);
  }
  close(fd);
  return answer;
}

TEST(MetricsServerTest, ATakenPortIsAnError) {
  Metrics metrics;
  const auto first = MetricsServer::Start(&metrics, "127.0.0.1", 0);
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(MetricsServer::Start(&metrics, "127.0.0.1", (*first)->port()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("127.0.0.1")));
}

TEST(MetricsServerTest, ServesTheMetrics) {
  Metrics metrics;
  metrics.AddCounter("barid_sent_total", "Messages sent.")->Add(3);
  const auto server = MetricsServer::Start(&metrics, "127.0.0.1", 0);
  ASSERT_THAT(server, IsOk());
  EXPECT_THAT(Get((*server)->port(), "/metrics"), AllOf(HasSubstr("200 OK"), HasSubstr("barid_sent_total 3")));
  EXPECT_THAT(Get((*server)->port(), "/other"), Not(HasSubstr("barid_sent_total")));
}

}  // namespace
}  // namespace barid
