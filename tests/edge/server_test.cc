// What a port with real sockets promises, over each transport, with a gRPC client.
#include "edge/grpc/grpc_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/executor.h"
#include "edge/h2/h2_server.h"
#include "tests/edge/generic_client.h"
#include "tests/edge/seam_test.h"

namespace barid::edge {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

using Serve = absl::StatusOr<std::unique_ptr<Server>> (*)(const std::string& address, PortLimits limits,
                                                          MethodTable table);

absl::StatusOr<std::unique_ptr<Server>> OverGrpc(const std::string& address, PortLimits limits, MethodTable table) {
  return ServeGrpc({.address = address, .threads = 2, .limits = limits}, std::move(table));
}
absl::StatusOr<std::unique_ptr<Server>> OverH2(const std::string& address, PortLimits limits, MethodTable table) {
  return h2::ServeH2({.address = address, .threads = 2, .limits = limits}, std::move(table));
}

class ServerTest : public testing::TestWithParam<std::pair<const char*, Serve>> {
 protected:
  absl::StatusOr<std::unique_ptr<Server>> ServeAt(const std::string& address, MethodTable table) {
    return GetParam().second(address, {}, std::move(table));
  }
  void Serve(MethodTable table, PortLimits limits = {}) {
    server_ = *GetParam().second("127.0.0.1:0", limits, std::move(table));
    client_.emplace(server_->address());
  }
  void Serve() { Serve(served_.Table()); }

  Served served_;
  std::unique_ptr<Server> server_;
  std::optional<GenericClient> client_;
};

INSTANTIATE_TEST_SUITE_P(Transports, ServerTest,
                         testing::Values(std::make_pair("Grpc", OverGrpc), std::make_pair("H2", OverH2)),
                         [](const auto& info) { return info.param.first; });

TEST_P(ServerTest, TellsTheRealPort) {
  Serve();
  EXPECT_THAT(server_->address(), StartsWith("127.0.0.1:"));
  EXPECT_THAT(server_->address(), testing::Not(testing::EndsWith(":0")));
}

TEST_P(ServerTest, DoesNotShareAPortThatIsInUse) {
  Serve();
  const auto second = ServeAt(server_->address(), MethodTable());
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot listen")));
}

TEST_P(ServerTest, RefusesAnAddressWithoutPort) {
  EXPECT_THAT(ServeAt("localhost", MethodTable()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(H2AddressTest, ServesOnIpv6) {
  Served served;
  const auto server = *h2::ServeH2({.address = "[::1]:0"}, served.Table());
  EXPECT_THAT(server->address(), StartsWith("[::1]:"));
  EXPECT_THAT(GenericClient(server->address()).Call("/t/Echo", "hello"), IsOkAndHolds("hello"));
}

TEST(H2AddressTest, ServesOnAUnixSocketAlsoAfterItWasKilled) {
  Served served;
  const std::string path = absl::StrCat(testing::TempDir(), "/barid-edge-", getpid(), ".sock");
  const std::string address = absl::StrCat("unix:", path);
  {
    // What a killed server leaves behind: bound, and nobody listens.
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un at = {};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof(at.sun_path) - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    close(fd);
  }
  auto server = h2::ServeH2({.address = address}, served.Table());
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->address(), address);
  EXPECT_THAT(GenericClient(address).Call("/t/Echo", "hello"), IsOkAndHolds("hello"));
  // But nobody's socket is taken from him, nor a file that is none.
  EXPECT_THAT(h2::ServeH2({.address = address}, served.Table()).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot listen")));
  EXPECT_THAT(GenericClient(address).Call("/t/Echo", "still there"), IsOkAndHolds("still there"));
  *server = nullptr;
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "the socket's file is left";
  std::ofstream(path) << "a file";
  EXPECT_THAT(h2::ServeH2({.address = address}, served.Table()).status(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(unlink(path.c_str()), 0);
}

TEST_P(ServerTest, TakesFourMebibytesAndRefusesTwentyOne) {
  Serve();
  const std::string four(4 << 20, 'x');
  EXPECT_TRUE(client_->Call("/t/Echo", four).value_or("") == four);
  EXPECT_THAT(client_->Call("/t/Echo", std::string(21 << 20, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("larger than max")));
  EXPECT_THAT(client_->Call("/t/Echo", "still there"), IsOkAndHolds("still there"));
}

TEST_P(ServerTest, RefusesRequestsBeyondTheBytesInFlight) {
  Serve(served_.Table(), PortLimits{.max_inflight_request_bytes = 1000});
  EXPECT_THAT(client_->Call("/t/Echo", std::string(1001, 'x')), StatusIs(absl::StatusCode::kResourceExhausted));
  for (int i = 0; i < 10; ++i) EXPECT_THAT(client_->Call("/t/Echo", std::string(900, 'x')), IsOk());
}

TEST_P(ServerTest, GivesTheDeadlineAndSaturatesLongOnes) {
  std::atomic<int64_t> left_seconds{0};
  MethodTable table;
  table.unary["/t/Deadline"] = [&](std::unique_ptr<UnaryCall> call) {
    const absl::Time deadline = call->head().deadline;
    left_seconds = deadline == absl::InfiniteFuture() ? -1 : absl::ToInt64Seconds(deadline - absl::Now());
    call->Answer(Bytes());
  };
  Serve(std::move(table));
  EXPECT_THAT(client_->Call("/t/Deadline", "", {}, absl::Now() + absl::Seconds(100)), IsOk());
  EXPECT_THAT(left_seconds.load(), testing::AllOf(testing::Gt(90), testing::Le(100)));
  EXPECT_THAT(client_->Call("/t/Deadline", "", {}, absl::Now() + absl::Hours(24 * 365 * 60)), IsOk());
  EXPECT_EQ(left_seconds.load(), -1);
  EXPECT_THAT(client_->Call("/t/Deadline", "", {}, absl::InfiniteFuture()), IsOk());
  EXPECT_EQ(left_seconds.load(), -1);
}

TEST_P(ServerTest, CarriesAnyMessageOfAStatus) {
  const std::string message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n 100 %25";
  MethodTable table = served_.Table();
  table.unary["/t/Fail"] = [&](std::unique_ptr<UnaryCall> call) { call->Fail(absl::UnknownError(message)); };
  Serve(std::move(table));
  EXPECT_THAT(client_->Call("/t/Fail", ""), StatusIs(absl::StatusCode::kUnknown, message));
  const auto stream = client_->Open("/t/Stream");
  const auto handler = *served_.stream.Wait();
  ASSERT_TRUE(handler->WaitFor("writable"));
  handler->stream()->Finish(absl::UnknownError(message));
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status(), StatusIs(absl::StatusCode::kUnknown, message));
}

TEST_P(ServerTest, CarriesMetadataOfAnyBytes) {
  const std::string bytes("\xab\xab\x00\xff\x01", 5);
  MethodTable table;
  table.unary["/t/Metadata"] = [](std::unique_ptr<UnaryCall> call) {
    const std::string* value = call->head().Find("data-bin");
    call->Answer(Bytes(value == nullptr ? "none" : *value));
  };
  Serve(std::move(table));
  EXPECT_THAT(client_->Call("/t/Metadata", "", {{"data-bin", bytes}}), IsOkAndHolds(bytes));
}

TEST_P(ServerTest, EndsAnEmptyStream) {
  Serve();
  const auto stream = client_->Open("/t/EchoStream");
  stream->HalfClose();
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status(), IsOk());
}

TEST_P(ServerTest, TellsOfACancelAfterAnAnswer) {
  Serve();
  const auto stream = client_->Open("/t/Stream");
  const auto handler = *served_.stream.Wait();
  ASSERT_TRUE(handler->WaitFor("writable"));
  handler->stream()->Write(Bytes("one"));
  EXPECT_EQ(stream->Read(), "one");
  stream->Cancel();
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(handler->WaitFor("done:lost"));
}

TEST_P(ServerTest, DoesNotKnowOtherServices) {
  Serve();
  EXPECT_THAT(client_->Call("/u/Echo", "hi"), StatusIs(absl::StatusCode::kUnimplemented));
}

// Of our own transport only: gRPC C++ decompresses.
TEST(H2ServerTest, RefusesCompressedRequests) {
  Served served;
  const auto server = *OverH2("127.0.0.1:0", {}, served.Table());
  GenericClient client(server->address());
  // What ClientContext::set_compression_algorithm adds.
  EXPECT_THAT(client.Call("/t/Echo", std::string(1000, 'x'), {{"grpc-internal-encoding-request", "gzip"}}),
              StatusIs(absl::StatusCode::kUnimplemented, "grpc-encoding is gzip, only identity is supported"));
  EXPECT_THAT(client.Call("/t/Echo", "plain"), IsOkAndHolds("plain"));
}

TEST_P(ServerTest, TellsWhoCalls) {
  MethodTable table;
  table.unary["/t/Peer"] = [](std::unique_ptr<UnaryCall> call) { call->Answer(Bytes(call->head().peer)); };
  Serve(std::move(table));
  EXPECT_THAT(*client_->Call("/t/Peer", ""), StartsWith("ipv4:127.0.0.1:"));
}

TEST_P(ServerTest, AnAnswerAfterTheDeadlineIsDropped) {
  Serve();
  EXPECT_THAT(client_->Call("/t/Unary", "hi", {}, absl::Now() + absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  (*served_.call.Wait())->Answer(Bytes("late"));
  EXPECT_THAT(client_->Call("/t/Echo", "next"), IsOkAndHolds("next"));
}

TEST_P(ServerTest, AStreamEndsAtItsDeadline) {
  Serve();
  const auto stream = client_->Open("/t/Stream", absl::Now() + absl::Milliseconds(100));
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE((*served_.stream.Wait())->WaitFor("done:lost"));
}

// Writes as many messages as the peer takes, up to `total`, then finishes.
class Flood : public StreamHandler {
 public:
  Flood(std::shared_ptr<Stream> stream, int total, std::atomic<int>* written, Promise<bool>* done)
      : stream_(std::move(stream)), total_(total), written_(written), done_(done) {}
  void OnMessage(Bytes message) override {}
  void OnHalfClose() override {}
  void OnWritable() override {
    stream_->Write(Bytes(std::string(64 << 10, 'x')));
    if (++*written_ == total_) stream_->Finish(absl::OkStatus());
  }
  void OnDone(bool delivered) override { done_->Set(delivered); }

 private:
  const std::shared_ptr<Stream> stream_;
  const int total_;
  std::atomic<int>* const written_;
  Promise<bool>* const done_;
};

TEST_P(ServerTest, AStreamWaitsForAPeerThatDoesNotRead) {
  constexpr int kTotal = 1000;
  std::atomic<int> written{0};
  Promise<bool> done;
  MethodTable table;
  table.streams["/t/Flood"] = [&](std::shared_ptr<Stream> stream) {
    return std::make_shared<Flood>(std::move(stream), kTotal, &written, &done);
  };
  Serve(std::move(table));
  const auto stream = client_->Open("/t/Flood");
  ASSERT_TRUE(stream->Read());
  int before = -1;
  while (before != written) {
    before = written;
    EXPECT_FALSE(done.Wait(absl::Milliseconds(200)));
  }
  EXPECT_LT(written, kTotal / 2);  // 64 MiB do not fit into anyone's window.
  int read = 1;
  while (stream->Read()) ++read;
  EXPECT_EQ(read, kTotal);
  EXPECT_THAT(stream->Status(), IsOk());
  EXPECT_EQ(done.Wait(), true);
}

TEST_P(ServerTest, ServesManyAtOnceFromAnotherThread) {
  constexpr int kClients = 64;
  constexpr int kCalls = 1000;
  std::unique_ptr<Executor> executor = NewThreadExecutor("answers");
  MethodTable table;
  table.unary["/t/Later"] = [&](std::unique_ptr<UnaryCall> call) {
    executor->Post([call = std::move(call)]() mutable { call->Answer(call->request()); });
  };
  Serve(std::move(table));
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] {
      GenericClient client(server_->address(), /*own_connection=*/i % 8 == 0);
      for (int j = 0; j < kCalls; ++j) {
        const std::string request = std::to_string(i * kCalls + j) + std::string(j * 7, 'x');
        const auto answer = client.Call("/t/Later", request, {{"x-mq-client-id", std::to_string(i)}});
        if (answer.ok() && *answer == request) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, kClients * kCalls);
  server_.reset();
}

TEST_P(ServerTest, WritesAStreamFromAnotherThread) {
  std::unique_ptr<Executor> executor = NewThreadExecutor("writes");
  class Writer : public StreamHandler {
   public:
    Writer(std::shared_ptr<Stream> stream, Executor* executor) : stream_(std::move(stream)), executor_(executor) {}
    void OnMessage(Bytes message) override {}
    void OnHalfClose() override {}
    void OnWritable() override {
      executor_->Post([stream = stream_, n = next_++] {
        stream->Write(Bytes(std::to_string(n)));
        if (n == 99) stream->Finish(absl::OkStatus());
      });
    }
    void OnDone(bool delivered) override {}

   private:
    const std::shared_ptr<Stream> stream_;
    Executor* const executor_;
    int next_ = 0;
  };
  MethodTable table;
  table.streams["/t/Count"] = [&](std::shared_ptr<Stream> stream) {
    return std::make_shared<Writer>(std::move(stream), executor.get());
  };
  Serve(std::move(table));
  for (int round = 0; round < 20; ++round) {
    const auto stream = client_->Open("/t/Count");
    for (int i = 0; i < 100; ++i) ASSERT_EQ(stream->Read(), std::to_string(i));
    EXPECT_EQ(stream->Read(), std::nullopt);
    EXPECT_THAT(stream->Status(), IsOk());
  }
  server_.reset();
}

TEST_P(ServerTest, DrainWaitsForCallsInFlight) {
  Serve();
  absl::StatusOr<std::string> answer;
  std::thread caller([&] { answer = client_->Call("/t/Unary", "hi"); });
  const std::shared_ptr<UnaryCall> call = *served_.call.Wait();
  std::thread drain([&] { server_->Drain(kPatience); });
  // New connections are refused once the drain has begun; what runs goes on.
  while (GenericClient(server_->address()).Call("/t/Echo", "hi").ok()) {
  }
  call->Answer(Bytes("there"));
  caller.join();
  drain.join();
  EXPECT_THAT(answer, IsOkAndHolds("there"));
}

TEST_P(ServerTest, DrainCancelsWhatOutlastsTheGrace) {
  Serve();
  const auto stream = client_->Open("/t/Stream");
  const auto handler = *served_.stream.Wait();
  const absl::Time begin = absl::Now();
  server_->Drain(absl::Milliseconds(200));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_EQ(handler->story().back(), "done:lost");
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status().code(), AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kCancelled));
}

TEST_P(ServerTest, DrainsAtOnceWhenNothingRuns) {
  Serve();
  EXPECT_THAT(client_->Call("/t/Echo", "hi"), IsOk());
  const absl::Time begin = absl::Now();
  server_->Drain(absl::Seconds(60));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

TEST_P(ServerTest, LateAnswersAreDropped) {
  Serve();
  absl::StatusOr<std::string> answer;
  std::thread caller([&] { answer = client_->Call("/t/Unary", "hi"); });
  std::shared_ptr<UnaryCall> call = *served_.call.Wait();
  served_.call.Set(nullptr);
  const auto stream = client_->Open("/t/Stream");
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

TEST_P(ServerTest, SurvivesAnswersThatRaceWithItsEnd) {
  for (int round = 0; round < 30; ++round) {
    std::unique_ptr<Executor> executor = NewThreadExecutor("answers");
    MethodTable table;
    table.unary["/t/Later"] = [&](std::unique_ptr<UnaryCall> call) {
      executor->Post([call = std::move(call)]() mutable { call->Answer(call->request()); });
    };
    Serve(std::move(table));
    std::vector<std::thread> threads;
    std::atomic<int> answered{0};
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        while (client_->Call("/t/Later", "x").ok()) ++answered;
      });
    }
    while (answered < 20) std::this_thread::yield();
    server_.reset();
    for (std::thread& thread : threads) thread.join();
  }
}

}  // namespace
}  // namespace barid::edge
