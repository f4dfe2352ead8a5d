// What hours do to a connection: age, idleness, keepalive. The loop's clock is the test's: it stands until it is moved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/simulated/executor.h"
#include "edge/h2/h2_server.h"
#include "edge/h2/loop.h"
#include "tests/edge/h2/certificates.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The server looks at its connections so often.
constexpr absl::Duration kLook = absl::Seconds(1);
// Named by the first GOAWAY, which refuses nothing yet.
constexpr uint32_t kAnyStream = 0x7fffffff;

// The streams that GOAWAYs have named, in order.
std::vector<uint32_t> Goaways(const FrameClient& client) {
  std::vector<uint32_t> streams;
  for (const Frame& frame : client.frames()) {
    if (frame.type != NGHTTP2_GOAWAY) continue;
    uint32_t stream = 0;
    for (int i = 0; i < 4; ++i) stream = stream << 8 | static_cast<unsigned char>(frame.payload[i]);
    streams.push_back(stream);
  }
  return streams;
}

// By the server.
int Pings(const FrameClient& client) {
  return static_cast<int>(std::count_if(client.frames().begin(), client.frames().end(), [](const Frame& frame) {
    return frame.type == NGHTTP2_PING && (frame.flags & NGHTTP2_FLAG_ACK) == 0;
  }));
}

// Whether the server has closed, whatever there is left to read.
bool IsHungUp(const FrameClient& client) {
  pollfd event = {client.fd(), POLLRDHUP, 0};
  return poll(&event, 1, 0) == 1;
}

class AgeTest : public testing::Test {
 protected:
  // On a Unix socket: what one side has written is there for the other at once.
  void Serve(H2ServerOptions options) {
    options.address = absl::StrCat("unix:", path_);
    options.loops = loops_;
    server_ = *ServeH2(options, served_.Table());
  }

  FrameClient* Connect() {
    sockaddr_un to = {};
    to.sun_family = AF_UNIX;
    CHECK(path_.size() < sizeof(to.sun_path)) << path_;
    std::copy(path_.begin(), path_.end(), to.sun_path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0) << strerror(errno);
    clients_.push_back(std::make_unique<FrameClient>(fd, nullptr));
    clients_.back()->Begin();
    CatchUp();
    return clients_.back().get();
  }

  std::shared_ptr<RecordingHandler> OpenStream(FrameClient* client, uint32_t stream) {
    client->Write(
        FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, HeaderBlock(RequestHeaders("/t/Stream"))));
    return *served_.stream.Wait();
  }

  // Until the server has done what is due by its clock, and what all that was written to it asks for.
  void CatchUp() {
    // The wake-up that runs the first may have begun before the clock was moved. The one that runs the second has not,
    // and is over when the third runs.
    Promise<bool> is_done;
    Loop* const loop = loops_->loops()[0].get();
    loop->RunSoon([&] { loop->RunSoon([&] { loop->RunSoon([&] { is_done.Set(true); }); }); });
    CHECK(is_done.Wait()) << "the loop stands";
  }

  // Time passes, a step at a time. At each the server does what is due, and the clients read and answer what it says.
  void Pass(absl::Duration duration, absl::Duration step = kLook) {
    const absl::Duration end = Elapsed() + duration;
    while (Elapsed() < end) {
      clock_.Advance(std::min(step, end - Elapsed()));
      CatchUp();
      if (clients_read_) Read();
    }
  }
  // The clients read what there is and answer it, until nobody has anything to say.
  void Read() {
    bool has_read = true;
    while (std::exchange(has_read, false)) {
      for (const auto& client : clients_) {
        while (client->ReadFrame(absl::ZeroDuration())) has_read = true;
      }
      CatchUp();
    }
  }
  // The same, while `is_so` does not hold. False: it does not within `most`.
  bool PassUntil(const std::function<bool()>& is_so, absl::Duration most) {
    const absl::Duration end = Elapsed() + most;
    while (!is_so() && Elapsed() < end) Pass(kLook);
    return is_so();
  }
  absl::Duration Elapsed() { return clock_.SinceBoot() - start_; }

  SimulatedClock clock_;
  const absl::Duration start_ = clock_.SinceBoot();
  const std::shared_ptr<LoopThreads> loops_ = std::make_shared<LoopThreads>(1, &clock_);
  const TestDir dir_;
  const std::string path_ = dir_.path() + "/port";
  Served served_;
  std::unique_ptr<Server> server_;
  std::vector<std::unique_ptr<FrameClient>> clients_;
  bool clients_read_ = true;
};

TEST_F(AgeTest, AtItsAgeItIsToldToGoAndEndsItsCalls) {
  Serve({.max_age = absl::Hours(1), .max_age_grace = absl::Minutes(5)});
  FrameClient* const client = Connect();
  const auto handler = OpenStream(client, 1);
  Pass(absl::Minutes(54), absl::Seconds(10));
  EXPECT_THAT(Goaways(*client), IsEmpty());
  client->set_answers_drain(false);
  ASSERT_TRUE(PassUntil([&] { return client->goaway().has_value(); }, absl::Minutes(6) + kLook));
  EXPECT_EQ(client->goaway(), NGHTTP2_NO_ERROR);
  EXPECT_THAT(Goaways(*client), ElementsAre(kAnyStream));
  // Sent before the client knew.
  client->Write(Request(3, "/t/Echo", "on its way"));
  EXPECT_EQ(client->Await(3).body, Message("on its way"));

  Pass(2 * kLook);
  EXPECT_EQ(client->goaway(), NGHTTP2_NO_ERROR);
  EXPECT_THAT(Goaways(*client), ElementsAre(kAnyStream, 3)) << "without an answer to its ping, too";
  client->set_answers_drain(true);
  client->AnswerPings();
  client->Write(Request(5, "/t/Echo", "too late"));
  Pass(absl::Minutes(4), absl::Seconds(10));
  EXPECT_FALSE(client->answer(5).is_over());
  EXPECT_FALSE(client->is_closed());
  handler->stream()->Finish(absl::OkStatus());
  EXPECT_EQ(client->Await(1).Header("grpc-status"), "0");
  EXPECT_TRUE(client->ReadToEnd());
  EXPECT_TRUE(handler->WaitFor("done:delivered"));
}

// Also where no call runs: the server knows only by the answer to its ping that nothing is on its way.
TEST_F(AgeTest, AnIdleConnectionTakesWhatIsOnItsWay) {
  Serve({.max_age = absl::Hours(1)});
  FrameClient* const client = Connect();
  Pass(absl::Minutes(54), absl::Seconds(10));
  client->set_answers_drain(false);
  ASSERT_TRUE(PassUntil([&] { return client->goaway().has_value(); }, absl::Minutes(6) + kLook));
  client->Write(Request(1, "/t/Echo", "on its way"));
  client->AnswerPings();
  EXPECT_EQ(client->Await(1).body, Message("on its way"));
  // gRPC's core writes the answers to pings first, then the calls that it had begun.
  client->Write(Request(3, "/t/Echo", "just behind"));
  EXPECT_EQ(client->Await(3).body, Message("just behind"));
  client->AnswerPings();
  CatchUp();
  Read();
  EXPECT_THAT(Goaways(*client), ElementsAre(kAnyStream, 3));
  EXPECT_TRUE(client->is_closed());
}

// They are told to be unprocessed, so they have to be.
TEST_F(AgeTest, CallsBehindTheLastAnswerAreNotBegun) {
  Serve({.max_age = absl::Hours(1)});
  FrameClient* const client = Connect();
  Pass(absl::Minutes(54), absl::Seconds(10));
  client->set_answers_drain(false);
  ASSERT_TRUE(PassUntil([&] { return client->goaway().has_value(); }, absl::Minutes(6) + kLook));
  const std::string answer = FrameBytes(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, std::string("drain\0\0\0", 8));
  client->Write(answer + answer + Request(1, "/t/Unary", "behind it"));
  CatchUp();
  Read();
  EXPECT_THAT(Goaways(*client), ElementsAre(kAnyStream, 0));
  EXPECT_TRUE(client->is_closed());
  EXPECT_FALSE(served_.call.Wait(absl::ZeroDuration()).has_value()) << "its client tries it again";
}

TEST_F(AgeTest, WhatOutlastsTheGraceIsCut) {
  Serve({.max_age = absl::Hours(1), .max_age_grace = absl::Minutes(5)});
  FrameClient* const client = Connect();
  const auto handler = OpenStream(client, 1);
  ASSERT_TRUE(PassUntil([&] { return client->goaway().has_value(); }, absl::Hours(1) + kLook));
  Pass(absl::Minutes(5));
  EXPECT_FALSE(client->is_closed());
  EXPECT_THAT(handler->story(), ElementsAre("writable"));
  Pass(kLook);
  EXPECT_TRUE(client->is_closed());
  EXPECT_FALSE(client->answer(1).has_ended);
  EXPECT_THAT(handler->story(), ElementsAre("writable", "done:lost"));
}

// The grace of its age is no limit for a server that drains, also if the connection was told to go before.
TEST_F(AgeTest, ADrainHasAGraceOfItsOwn) {
  Serve({.max_age = absl::Hours(1), .max_age_grace = absl::Seconds(5)});
  FrameClient* const client = Connect();
  const auto handler = OpenStream(client, 1);
  ASSERT_TRUE(PassUntil([&] { return client->goaway().has_value(); }, absl::Hours(1) + kLook));
  std::thread drain([&] { server_->Drain(absl::Minutes(5)); });
  EXPECT_TRUE(handler->WaitFor("drain"));
  Pass(absl::Minutes(1));
  EXPECT_THAT(handler->story(), ElementsAre("writable", "drain"));
  handler->stream()->Finish(absl::OkStatus());
  EXPECT_EQ(client->Await(1).Header("grpc-status"), "0");
  EXPECT_TRUE(client->ReadToEnd());
  client->HalfClose();
  drain.join();
}

TEST_F(AgeTest, ConnectionsThatBeganTogetherDoNotEndTogether) {
  constexpr int kConnections = 100;
  Serve({.max_age = absl::Hours(1)});
  for (int i = 0; i < kConnections; ++i) Connect();
  const auto told = [&] {
    return std::count_if(clients_.begin(), clients_.end(), [](const auto& c) { return c->goaway().has_value(); });
  };
  Pass(absl::Minutes(54), absl::Seconds(10));
  EXPECT_EQ(told(), 0);
  int64_t most_at_once = 0;
  while (Elapsed() < absl::Hours(1) + kLook) {
    const int64_t before = told();
    Pass(kLook);
    most_at_once = std::max(most_at_once, told() - before);
  }
  EXPECT_EQ(told(), kConnections);
  EXPECT_LE(most_at_once, kConnections / 5);
}

TEST_F(AgeTest, WithoutCallsItIsToldToGoWhenItHasIdledEnough) {
  Serve({.max_idle = absl::Minutes(10)});
  FrameClient* const idle = Connect();
  FrameClient* const used = Connect();
  FrameClient* const busy = Connect();
  const auto handler = OpenStream(busy, 1);
  Pass(absl::Minutes(5));
  used->Write(Request(1, "/t/Echo", "x"));
  EXPECT_EQ(used->Await(1).body, Message("x"));
  // Pings are no use: all three answer those of the server all the time.
  Pass(absl::Minutes(5));
  EXPECT_GT(Pings(*idle), 5);
  EXPECT_THAT(Goaways(*idle), IsEmpty());
  Pass(kLook);
  EXPECT_THAT(Goaways(*idle), ElementsAre(kAnyStream, 0));
  EXPECT_EQ(idle->goaway(), NGHTTP2_NO_ERROR);
  EXPECT_TRUE(idle->is_closed());

  Pass(absl::Minutes(5) - kLook);
  EXPECT_THAT(Goaways(*used), IsEmpty());
  Pass(kLook);
  EXPECT_THAT(Goaways(*used), ElementsAre(kAnyStream, 1));
  EXPECT_TRUE(used->is_closed());

  Pass(absl::Hours(2), absl::Seconds(10));
  EXPECT_THAT(Goaways(*busy), IsEmpty());
  handler->stream()->Finish(absl::OkStatus());
  EXPECT_EQ(busy->Await(1).Header("grpc-status"), "0");
  Pass(absl::Minutes(10));
  EXPECT_THAT(Goaways(*busy), IsEmpty());
  Pass(kLook);
  EXPECT_THAT(Goaways(*busy), ElementsAre(kAnyStream, 1));
}

TEST_F(AgeTest, ASilentPeerIsPingedForHoursWhileItAnswers) {
  Serve({.keepalive_time = absl::Seconds(60), .keepalive_timeout = absl::Seconds(20)});
  FrameClient* const client = Connect();
  // With steps of five seconds a minute of silence is over after 65 s.
  Pass(absl::Hours(8), absl::Seconds(5));
  const int pings = Pings(*client);
  EXPECT_EQ(pings, absl::Hours(8) / absl::Seconds(65));
  EXPECT_EQ(client->goaway(), std::nullopt);
  client->Settle();
  EXPECT_FALSE(client->is_closed());

  // Pinged after 61 s; 21 s later it is too late.
  clients_read_ = false;
  Pass(absl::Seconds(81));
  EXPECT_FALSE(IsHungUp(*client));
  Pass(kLook);
  EXPECT_TRUE(IsHungUp(*client));
  EXPECT_TRUE(client->ReadToEnd());
  EXPECT_EQ(Pings(*client), pings + 1);
}

// As gRPC C++ does that is told to keep connections alive without calls.
TEST_F(AgeTest, AClientThatPingsForHoursWithoutCallsIsAnswered) {
  Serve({.limits = {.max_control_frames = 10}});  // The fewest that can be set.
  FrameClient* const client = Connect();
  for (int minute = 1; minute <= 8 * 60; ++minute) {
    client->Write(Ping(Number(static_cast<uint64_t>(minute), 8)));
    Pass(absl::Minutes(1), absl::Seconds(20));
    ASSERT_EQ(client->acks(), minute);
    ASSERT_EQ(client->frames().back().payload, Number(static_cast<uint64_t>(minute), 8));
  }
  EXPECT_EQ(client->goaway(), std::nullopt);
  EXPECT_EQ(Pings(*client), 0);
  EXPECT_EQ(client->Echo("/t/Echo", "still there"), "still there");
}

}  // namespace
}  // namespace barid::edge::h2
