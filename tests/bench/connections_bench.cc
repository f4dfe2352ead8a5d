// What a client that waits costs a server: N connections, each with a telemetry stream and a long poll open.
//
//   connections_bench HOST:PORT TOPIC GROUP PID [N]
//
// The topic is empty, the group exists, PID is the server's (for its memory). Raw HTTP/2, so that the clients fit
// beside it.
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "base/log.h"
#include "tests/edge/h2/dial.h"
#include "tests/edge/h2/frames.h"

namespace barid::edge::h2 {
namespace {

namespace rmq = ::apache::rocketmq::v2;

constexpr uint8_t kEndHeaders = NGHTTP2_FLAG_END_HEADERS;
constexpr absl::Duration kPatience = absl::Seconds(10);

double Mebibytes(const std::string& pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  std::string word;
  while (status >> word) {
    if (word != "VmRSS:") continue;
    double kib = 0;
    status >> kib;
    return kib / 1024;
  }
  return 0;
}

std::string Call(uint32_t stream, const std::string& method, const std::string& client, const std::string& request,
                 bool ends) {
  const Headers headers = RequestHeaders(
      absl::StrCat("/apache.rocketmq.v2.MessagingService/", method),
      {{"x-mq-client-id", client}, {"x-mq-language", "CPP"}, {"x-mq-protocol", "v2"}, {"grpc-timeout", "60S"}});
  return FrameBytes(NGHTTP2_HEADERS, kEndHeaders, stream, HeaderBlock(headers)) +
         FrameBytes(NGHTTP2_DATA, ends ? NGHTTP2_FLAG_END_STREAM : 0, stream, Message(request));
}

// Whether the server has said something and has not closed.
bool Answered(int fd) {
  pollfd event = {fd, POLLIN, 0};
  if (poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))) <= 0) return false;
  char bytes[4096];
  ssize_t size = recv(fd, bytes, sizeof(bytes), 0);
  if (size <= 0) return false;
  while ((size = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
  }
  return size != 0;
}

int Main(int argc, char** argv) {
  int count = 10000;
  if (argc < 5 || argc > 6 || (argc == 6 && !absl::SimpleAtoi(argv[5], &count))) {
    std::fprintf(stderr, "usage: connections_bench HOST:PORT TOPIC GROUP PID [N]\n");
    return 2;
  }
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);

  rmq::TelemetryCommand telemetry;
  rmq::Settings* const settings = telemetry.mutable_settings();
  settings->set_client_type(rmq::SIMPLE_CONSUMER);
  settings->mutable_subscription()->mutable_group()->set_name(argv[3]);
  rmq::SubscriptionEntry* const entry = settings->mutable_subscription()->add_subscriptions();
  entry->mutable_topic()->set_name(argv[2]);
  entry->mutable_expression()->set_type(rmq::TAG);
  entry->mutable_expression()->set_expression("*");
  rmq::ReceiveMessageRequest receive;
  receive.mutable_group()->set_name(argv[3]);
  receive.mutable_message_queue()->mutable_topic()->set_name(argv[2]);
  receive.mutable_message_queue()->set_id(-1);
  *receive.mutable_filter_expression() = entry->expression();
  receive.set_batch_size(32);
  receive.mutable_invisible_duration()->set_seconds(30);
  receive.mutable_long_polling_timeout()->set_seconds(20);

  const double before = Mebibytes(argv[4]);
  const absl::Time begin = absl::Now();
  std::vector<int> sockets;
  for (int i = 0; i < count; ++i) {
    const int fd = Dial(argv[1]);
    CHECK(fd >= 0) << "after " << i << " connections";
    const std::string client = absl::StrCat("bench@", i);
    const std::string bytes = absl::StrCat(kMagic, FrameBytes(NGHTTP2_SETTINGS, 0, 0, ""),
                                           Call(1, "Telemetry", client, telemetry.SerializeAsString(), false),
                                           Call(3, "ReceiveMessage", client, receive.SerializeAsString(), true));
    CHECK_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    sockets.push_back(fd);
  }
  int answered = 0;
  for (const int fd : sockets) answered += Answered(fd) ? 1 : 0;
  const absl::Duration took = absl::Now() - begin;
  const double after = Mebibytes(argv[4]);
  std::printf("%d connections in %.1f s, %d of them answered: %.0f -> %.0f MiB, %.1f KiB each\n", count,
              absl::ToDoubleSeconds(took), answered, before, after, (after - before) * 1024 / count);
  for (const int fd : sockets) close(fd);
  return answered == count ? 0 : 1;
}

}  // namespace
}  // namespace barid::edge::h2

int main(int argc, char** argv) { return barid::edge::h2::Main(argc, argv); }
