// Threads that answer, cancel, drain and end at the same time. What is shown is that nothing is lost, told twice, or
// touched by two at once: the sanitizers look on. BARID_ROUNDS=n goes n times as far.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/executor.h"
#include "base/log.h"
#include "edge/h2/h2_server.h"
#include "tests/base/status_matchers.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/h2/session_client.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {
namespace {

using testing::AnyOf;
using testing::ElementsAre;

int Times(int rounds) {
  int factor = 1;
  if (const char* given = std::getenv("BARID_ROUNDS")) CHECK(absl::SimpleAtoi(given, &factor));
  return rounds * factor;
}

// What a test's peers do is no attack.
PortLimits Generous() {
  PortLimits limits;
  limits.max_resets = 10'000'000;
  return limits;
}

class H2RaceTest : public testing::Test {
 protected:
  void Serve(MethodTable table, int threads = 2) {
    server_ = *ServeH2({.address = "127.0.0.1:0", .threads = threads, .limits = Generous()}, std::move(table));
  }
  // "/t/Later" is answered on one of two threads.
  MethodTable Later() {
    MethodTable table;
    table.unary["/t/Later"] = [this](std::unique_ptr<UnaryCall> call) {
      Executor* const executor = executors_[next_++ % 2].get();
      executor->Post([this, call = std::move(call)]() mutable {
        call->Answer(call->request());
        ++answered_;
      });
    };
    return table;
  }

  std::unique_ptr<Executor> executors_[2] = {NewThreadExecutor("answers-0"), NewThreadExecutor("answers-1")};
  std::atomic<unsigned> next_{0};
  std::atomic<int> answered_{0};
  Served served_;
  std::unique_ptr<Server> server_;
};

TEST_F(H2RaceTest, ServesManyAtOnceFromOtherThreads) {
  const int calls = Times(400);
  Serve(Later());
  SessionClient clients[3] = {SessionClient(server_->address()), SessionClient(server_->address()),
                              SessionClient(server_->address())};
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 12; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < calls; ++j) {
        const std::string request = absl::StrCat(i * calls + j, std::string(j % 100 * 70, 'x'));
        const auto answer = clients[i % 3].Call("/t/Later", request, {{"x-mq-client-id", absl::StrCat(i)}});
        if (answer.ok() && *answer == request) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 12 * calls);
}

TEST_F(H2RaceTest, AnswersOnTheTransportsThreadByResume) {
  MethodTable table;
  table.unary["/t/Resumed"] = [this](std::unique_ptr<UnaryCall> call) {
    executors_[next_++ % 2]->Post([call = std::move(call)]() mutable {
      UnaryCall* const raw = call.get();
      raw->Resume([call = std::move(call)] { call->Answer(call->request()); });
    });
  };
  Serve(std::move(table));
  for (int round = 0; round < Times(60); ++round) {
    FrameClient client(server_->address());
    client.Begin();
    std::string requests;
    for (uint32_t stream = 1; stream < 100; stream += 2)
      requests += Request(stream, "/t/Resumed", absl::StrCat(stream));
    client.Write(requests);
    if (round % 2 == 0) continue;  // Gone before the answers.
    for (uint32_t stream = 1; stream < 100; stream += 2) {
      ASSERT_EQ(client.Await(stream).body, Message(absl::StrCat(stream)));
    }
  }
  server_.reset();
}

TEST_F(H2RaceTest, CancelsRaceWithAnswers) {
  constexpr uint32_t kCalls = 200;
  Serve(Later());
  FrameClient client(server_->address());
  client.set_keeps_frames(false);
  client.Begin();
  uint32_t stream = 1;
  for (int round = 0; round < Times(100); ++round) {
    const uint32_t first = stream;
    std::string requests;
    for (uint32_t i = 0; i < kCalls; ++i, stream += 2) requests += Request(stream, "/t/Later", absl::StrCat(stream));
    client.Write(requests);
    std::string cancels;
    for (uint32_t id = first; id < stream; id += 4) cancels += Reset(id, NGHTTP2_CANCEL);
    client.Write(cancels);
    for (uint32_t id = first + 2; id < stream; id += 4) ASSERT_EQ(client.Await(id).body, Message(absl::StrCat(id)));
  }
  EXPECT_FALSE(client.goaway());
  server_.reset();
}

TEST_F(H2RaceTest, PeersThatGoRaceWithAnswers) {
  Serve(Later());
  for (int round = 0; round < Times(100); ++round) {
    FrameClient client(server_->address());
    client.Begin();
    std::string requests;
    for (uint32_t stream = 1; stream < 40; stream += 2) requests += Request(stream, "/t/Later", "x");
    client.Write(requests);
    if (round % 2 == 0) client.Await(1);
  }
  server_.reset();
}

TEST_F(H2RaceTest, TheEndRacesWithAnswers) {
  for (int round = 0; round < Times(100); ++round) {
    answered_ = 0;
    Serve(Later());
    SessionClient client(server_->address());
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        while (client.Call("/t/Later", "x").ok()) {
        }
      });
    }
    while (answered_ < 10) std::this_thread::yield();
    server_.reset();
    for (std::thread& thread : threads) thread.join();
  }
}

// Writes numbers from another thread until `total` or the end, and finishes then.
class Counter final : public StreamHandler {
 public:
  // Or, if it `resumes`, has the transport's thread write them.
  Counter(std::shared_ptr<Stream> stream, Executor* executor, int total, bool resumes, std::atomic<int>* alive)
      : stream_(std::move(stream)), executor_(executor), total_(total), resumes_(resumes), alive_(alive) {
    ++*alive_;
  }
  ~Counter() override { --*alive_; }
  void OnMessage(Bytes message) override { EXPECT_FALSE(is_done_); }
  void OnHalfClose() override { EXPECT_FALSE(is_done_); }
  void OnWritable() override {
    EXPECT_FALSE(is_done_);
    auto write = [stream = stream_, n = next_++, total = total_] {
      if (n < total) stream->Write(Bytes(absl::StrCat(n)));
      if (n == total - 1) stream->Finish(absl::OkStatus());
    };
    executor_->Post([stream = stream_, write, resumes = resumes_] { resumes ? stream->Resume(write) : write(); });
  }
  void OnDone(bool delivered) override {
    EXPECT_FALSE(is_done_);
    is_done_ = true;
  }

 private:
  const std::shared_ptr<Stream> stream_;
  Executor* const executor_;
  const int total_;
  const bool resumes_;
  std::atomic<int>* const alive_;
  int next_ = 0;
  bool is_done_ = false;
};

class H2StreamRaceTest : public H2RaceTest {
 protected:
  MethodTable Count() {
    MethodTable table;
    table.streams["/t/Count"] = [this](std::shared_ptr<Stream> stream) {
      const unsigned n = next_++;
      return std::make_shared<Counter>(std::move(stream), executors_[n % 2].get(), kTotal, n % 4 < 2, &alive_);
    };
    return table;
  }

  static constexpr int kTotal = 30;
  std::atomic<int> alive_{0};
};

TEST_F(H2StreamRaceTest, WritesFromOtherThreadsArriveInOrder) {
  Serve(Count());
  SessionClient client(server_->address());
  for (int round = 0; round < Times(100); ++round) {
    const auto stream = client.Open("/t/Count");
    for (int i = 0; i < kTotal; ++i) ASSERT_EQ(stream->Read(), absl::StrCat(i));
    EXPECT_EQ(stream->Read(), std::nullopt);
    EXPECT_THAT(stream->Status(), IsOk());
  }
}

TEST_F(H2StreamRaceTest, ADeadlineIsToldBeforeItPasses) {
  edge::Served served;
  Serve(served.Table());
  FrameClient client(server_->address());
  client.Begin();
  client.Write(FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1,
                          HeaderBlock(RequestHeaders("/t/Stream", {{"grpc-timeout", "100m"}}))));
  const auto handler = *served.stream.Wait();
  ASSERT_TRUE(handler->WaitFor("done:lost"));
  EXPECT_THAT(handler->story(), ElementsAre("writable", "deadline-near", "done:lost"));
  EXPECT_EQ(client.Await(1).Header("grpc-status"), "4");
  server_.reset();
}

TEST_F(H2StreamRaceTest, CancelsAndDeadlinesRaceWithWrites) {
  Serve(Count());
  for (int round = 0; round < Times(120); ++round) {
    FrameClient client(server_->address());
    client.Begin();
    std::string bytes;
    for (uint32_t stream = 1; stream < 60; stream += 2) {
      Headers more;
      if (stream % 4 == 1) more = {{"grpc-timeout", absl::StrCat(stream * 50, "u")}};
      bytes +=
          FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, HeaderBlock(RequestHeaders("/t/Count", more)));
      if (stream % 8 == 3) bytes += FrameBytes(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Message("x"));
    }
    client.Write(bytes);
    client.ReadFrame();
    bytes.clear();
    for (uint32_t stream = 7; stream < 60; stream += 8) bytes += Reset(stream, NGHTTP2_CANCEL);
    client.Write(bytes);
    for (uint32_t stream = 3; stream < 60; stream += 8) {
      EXPECT_EQ(client.Await(stream).Header("grpc-status"), "0");
    }
  }
  server_.reset();
  for (auto& executor : executors_) executor.reset();
  EXPECT_EQ(alive_, 0);
}

TEST_F(H2StreamRaceTest, TheEndRacesWithWrites) {
  for (int round = 0; round < Times(100); ++round) {
    Serve(Count());
    FrameClient client(server_->address());
    client.Begin();
    std::string bytes;
    for (uint32_t stream = 1; stream < 60; stream += 2) {
      bytes += FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, HeaderBlock(RequestHeaders("/t/Count")));
    }
    client.Write(bytes);
    client.ReadFrame();
    if (round % 2 == 0) server_->Drain(absl::Milliseconds(1));
    server_.reset();
    EXPECT_TRUE(client.ReadToEnd());
  }
  for (auto& executor : executors_) executor.reset();
  EXPECT_EQ(alive_, 0);
}

// --- Threads ---

TEST_F(H2RaceTest, ConnectionsAreSharedOutAmongThreads) {
  MethodTable table;
  table.unary["/t/Thread"] = [](std::unique_ptr<UnaryCall> call) { call->Answer(Bytes(absl::StrCat(gettid()))); };
  Serve(std::move(table), /*threads=*/4);
  std::set<std::string> threads;
  for (int i = 0; i < 64; ++i) {
    SessionClient client(server_->address());
    threads.insert(*client.Call("/t/Thread", ""));
  }
  EXPECT_GT(threads.size(), 1u);
  EXPECT_LE(threads.size(), 4u);
}

// --- Drain ---

class H2DrainTest : public H2RaceTest {};

TEST_F(H2DrainTest, WaitsForCallsInFlight) {
  Serve(served_.Table());
  SessionClient client(server_->address());
  absl::StatusOr<std::string> answer;
  std::thread caller([&] { answer = client.Call("/t/Unary", "hi"); });
  const std::shared_ptr<UnaryCall> call = *served_.call.Wait();
  std::thread drain([&] { server_->Drain(kPatience); });
  // New connections are refused once the drain has begun; what runs goes on.
  while (SessionClient(server_->address()).Call("/t/Echo", "hi").ok()) {
  }
  call->Answer(Bytes("there"));
  caller.join();
  drain.join();
  EXPECT_THAT(answer, IsOkAndHolds("there"));
}

TEST_F(H2DrainTest, CancelsWhatOutlastsTheGrace) {
  Serve(served_.Table());
  SessionClient client(server_->address());
  const auto stream = client.Open("/t/Stream");
  const auto handler = *served_.stream.Wait();
  const absl::Time begin = absl::Now();
  server_->Drain(absl::Milliseconds(100));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_EQ(handler->story().back(), "done:lost");
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status().code(), AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kCancelled));
}

TEST_F(H2DrainTest, EndsAtOnceWhenNothingRuns) {
  Serve(served_.Table());
  SessionClient client(server_->address());
  EXPECT_THAT(client.Call("/t/Echo", "hi"), IsOk());
  const absl::Time begin = absl::Now();
  server_->Drain(absl::Seconds(60));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

// What the peer has sent and nobody reads must not cost it what it has yet to read.
TEST_F(H2DrainTest, WhatLeftLastIsReadThoughThePeerSendsOn) {
  Serve(served_.Table(), /*threads=*/1);
  FrameClient client(server_->address());
  client.Begin();
  client.Write(FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, HeaderBlock(RequestHeaders("/t/EchoStream"))));
  client.Settle();
  std::thread drain([&] { server_->Drain(kPatience); });
  ASSERT_TRUE(client.ReadUntil([&] { return client.goaway().has_value(); }));
  client.Write(FrameBytes(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, Message("last")));
  // The server has written its last; now more comes that it does not read.
  EXPECT_EQ(client.Await(1).body, Message("last"));
  for (int i = 0; i < 10; ++i) client.WriteNow(FrameBytes(NGHTTP2_PING, 0, 0, "12345678"));
  EXPECT_TRUE(client.ReadToEnd());
  char byte = 0;
  EXPECT_EQ(recv(client.fd(), &byte, 1, 0), 0) << "the connection was reset";
  client.HalfClose();
  drain.join();
}

TEST_F(H2DrainTest, TellsThePeerFirstAndTakesWhatIsOnItsWay) {
  Serve(served_.Table(), /*threads=*/1);
  FrameClient client(server_->address());
  client.Begin();
  client.Write(FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, HeaderBlock(RequestHeaders("/t/EchoStream"))));
  client.Settle();
  client.set_answers_drain(false);
  std::thread drain([&] { server_->Drain(kPatience); });
  ASSERT_TRUE(client.ReadUntil([&] { return client.goaway().has_value(); }));
  EXPECT_EQ(*client.goaway(), NGHTTP2_NO_ERROR);
  EXPECT_EQ(client.last_stream(), 0x7fffffff);
  // Sent before the peer knew.
  client.Write(Request(3, "/t/Echo", "on its way"));
  client.AnswerPings();
  EXPECT_EQ(client.Await(3).body, Message("on its way"));
  // The GOAWAY that counts.
  client.set_answers_drain(true);
  client.AnswerPings();
  ASSERT_TRUE(client.ReadUntil([&] { return client.last_stream() == 3; }));
  client.Write(Request(5, "/t/Echo", "too late"));
  client.Write(FrameBytes(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, Message("last")));
  EXPECT_EQ(client.Await(1).body, Message("last"));
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.answer(5).body, "");
  drain.join();
}

TEST_F(H2DrainTest, StreamsAreToldAlsoThoseOnTheirWay) {
  Serve(served_.Table(), /*threads=*/1);
  FrameClient client(server_->address());
  client.Begin();
  const auto open = [&](uint32_t stream) {
    client.Write(
        FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, HeaderBlock(RequestHeaders("/t/Stream"))));
  };
  open(1);
  const std::shared_ptr<RecordingHandler> first = *served_.stream.Wait();
  client.set_answers_drain(false);
  std::thread drain([&] { server_->Drain(kPatience); });
  EXPECT_TRUE(first->WaitFor("drain"));
  ASSERT_TRUE(client.ReadUntil([&] { return client.goaway().has_value(); }));
  open(3);
  client.Settle();
  const std::shared_ptr<RecordingHandler> second = *served_.stream.Wait();
  ASSERT_NE(first, second);
  EXPECT_TRUE(second->WaitFor("drain"));
  first->stream()->Finish(absl::OkStatus());
  second->stream()->Finish(absl::OkStatus());
  client.set_answers_drain(true);
  client.AnswerPings();
  EXPECT_TRUE(client.ReadToEnd());
  drain.join();
  EXPECT_THAT(first->story(), ElementsAre("writable", "drain", "done:delivered"));
}

TEST_F(H2DrainTest, LateAnswersAreDropped) {
  Serve(served_.Table());
  SessionClient client(server_->address());
  absl::StatusOr<std::string> answer;
  std::thread caller([&] { answer = client.Call("/t/Unary", "hi"); });
  std::shared_ptr<UnaryCall> call = *served_.call.Wait();
  served_.call.Set(nullptr);
  const auto stream = client.Open("/t/Stream");
  const auto handler = *served_.stream.Wait();
  server_.reset();
  caller.join();
  EXPECT_THAT(answer.status().code(), AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kCancelled));
  EXPECT_EQ(call->request().ToString(), "hi");
  call->Answer(Bytes("late"));
  call.reset();
  EXPECT_EQ(handler->story().back(), "done:lost");
  handler->stream()->Write(Bytes("late"));
  handler->stream()->Finish(absl::OkStatus());
  EXPECT_THAT(handler->story(), testing::Not(testing::Contains("done:delivered")));
}

}  // namespace
}  // namespace barid::edge::h2
