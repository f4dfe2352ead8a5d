// Peers that mean harm, against a server in a process of its own. For each: what the server does, that its memory stays
// below what the settings allow, and that an honest client on another connection is served meanwhile.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/random.h"
#include "edge/h2/h2_server.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/h2/server_process.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMeasuresMemory = false;  // It would be the sanitizer's.
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kMeasuresMemory = false;
#else
constexpr bool kMeasuresMemory = true;
#endif
#else
constexpr bool kMeasuresMemory = true;
#endif

constexpr uint8_t kEndStream = NGHTTP2_FLAG_END_STREAM;
constexpr uint8_t kEndHeaders = NGHTTP2_FLAG_END_HEADERS;
constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;
// What is no attacker's: pools, buffers and the allocator's slack.
constexpr size_t kSlack = 6 * kMiB;

constexpr size_t kLargeAnswer = kMiB;
constexpr int kFloodMessages = 16;
constexpr size_t kFloodMessageBytes = 64 * kKiB;

// Answers 1 MiB in pieces, as they are asked for.
class Flood final : public StreamHandler {
 public:
  explicit Flood(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes message) override {}
  void OnHalfClose() override {}
  void OnWritable() override {
    stream_->Write(Bytes(std::string(kFloodMessageBytes, 'x')));
    if (++written_ == kFloodMessages) stream_->Finish(absl::OkStatus());
  }
  void OnDone(bool delivered) override {}

 private:
  const std::shared_ptr<Stream> stream_;
  int written_ = 0;
};

// Has many messages of 64 KiB at once, as a receive has, if the port has room for them.
class Hoard final : public StreamHandler {
 public:
  explicit Hoard(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes message) override {}
  void OnHalfClose() override {
    if (!stream_->Reserve(kFloodMessages * kFloodMessageBytes)) {
      return stream_->Finish(absl::ResourceExhaustedError("no room"));
    }
    for (int i = 0; i < kFloodMessages; ++i) waiting_.emplace_back(std::string(kFloodMessageBytes, 'x'));
    WriteNext();
  }
  void OnWritable() override {
    is_writable_ = true;
    WriteNext();
  }
  void OnDone(bool delivered) override { waiting_.clear(); }

 private:
  void WriteNext() {
    if (waiting_.empty() || !std::exchange(is_writable_, false)) return;
    Bytes next = std::move(waiting_.back());
    waiting_.pop_back();
    stream_->Write(std::move(next));
    if (waiting_.empty()) stream_->Finish(absl::OkStatus());
  }

  const std::shared_ptr<Stream> stream_;
  std::vector<Bytes> waiting_;
  bool is_writable_ = false;
};

// Never runs out, of messages so small that they are made more slowly than they are read.
class Endless final : public StreamHandler {
 public:
  explicit Endless(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes message) override {}
  void OnHalfClose() override {}
  void OnWritable() override { stream_->Write(Bytes(message_)); }
  void OnDone(bool delivered) override {}

 private:
  const std::shared_ptr<Stream> stream_;
  const Buffer message_{std::string(100, 'x')};
};

// Has nothing but an error.
class Refusing final : public StreamHandler {
 public:
  explicit Refusing(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes message) override {}
  void OnHalfClose() override { stream_->Finish(absl::InternalError("refused")); }
  void OnWritable() override {}
  void OnDone(bool delivered) override {}

 private:
  const std::shared_ptr<Stream> stream_;
};

// Opens and waits.
class Silent final : public StreamHandler {
 public:
  explicit Silent(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes message) override {}
  void OnHalfClose() override {}
  void OnWritable() override {}
  void OnDone(bool delivered) override {}

 private:
  const std::shared_ptr<Stream> stream_;
};

// Serves until `stop` is closed. Tells its address on `tell`.
void ServeInChild(const H2ServerOptions& options, int tell, int stop) {
  std::atomic<int> begun{0};
  Mutex mu;
  std::vector<std::unique_ptr<UnaryCall>> held;
  MethodTable table;
  table.unary["/t/Echo"] = [](std::unique_ptr<UnaryCall> call) { call->Answer(call->request()); };
  table.unary["/t/Large"] = [](std::unique_ptr<UnaryCall> call) {
    call->Answer(Bytes(std::string(kLargeAnswer, 'x')));
  };
  // Never answered.
  table.unary["/t/Hold"] = [&](std::unique_ptr<UnaryCall> call) {
    ++begun;
    MutexLock lock(&mu);
    held.push_back(std::move(call));
  };
  table.unary["/t/Begun"] = [&](std::unique_ptr<UnaryCall> call) { call->Answer(Bytes(absl::StrCat(begun.load()))); };
  table.streams["/t/Flood"] = [](std::shared_ptr<Stream> stream) { return std::make_shared<Flood>(std::move(stream)); };
  table.streams["/t/Hoard"] = [](std::shared_ptr<Stream> stream) { return std::make_shared<Hoard>(std::move(stream)); };
  table.streams["/t/Refuse"] = [](std::shared_ptr<Stream> stream) {
    return std::make_shared<Refusing>(std::move(stream));
  };
  table.streams["/t/Endless"] = [](std::shared_ptr<Stream> stream) {
    return std::make_shared<Endless>(std::move(stream));
  };
  table.streams["/t/Silent"] = [](std::shared_ptr<Stream> stream) {
    return std::make_shared<Silent>(std::move(stream));
  };
  const auto server = *ServeH2(options, std::move(table));
  CHECK(write(tell, server->address().data(), server->address().size()) > 0);
  char byte = 0;
  (void)!read(stop, &byte, 1);
}

class HostileTest : public testing::Test {
 protected:
  ~HostileTest() override {
    honest_.reset();
    if (server_ != nullptr) {
      EXPECT_TRUE(server_->End()) << "the server did not end well";
    }
  }

  void Serve(PortLimits limits = {}) { Serve({.address = "127.0.0.1:0", .limits = limits}); }
  void Serve(const H2ServerOptions& options) {
    server_ = std::make_unique<ServerProcess>([&](int tell, int stop) { ServeInChild(options, tell, stop); });
    address_ = server_->address();
    honest_ = std::make_unique<FrameClient>(address_);
    honest_->Begin();
    for (int i = 0; i < 20; ++i) ExpectServed();
    memory_before_ = server_->Memory("VmRSS:");
  }

  void ExpectServed() { ASSERT_EQ(honest_->Echo("/t/Echo", "hello"), "hello"); }
  int Begun() {
    int begun = -1;
    EXPECT_TRUE(absl::SimpleAtoi(honest_->Echo("/t/Begun", ""), &begun));
    return begun;
  }

  // Since Serve, at the worst.
  void ExpectPeakBelow(size_t bytes) {
    const size_t peak = server_->Memory("VmHWM:") - memory_before_;
    RecordProperty("peak_kib", static_cast<int>(peak / kKiB));
    if (!kMeasuresMemory) return;
    EXPECT_LT(peak / kKiB, bytes / kKiB) << "KiB";
  }
  // Writes until the server has closed, at most `times`; serves the honest one meanwhile. How often.
  int Repeat(FrameClient* client, int times, const std::function<std::string(int)>& bytes) {
    int i = 0;
    for (; i < times; ++i) {
      if (!client->Write(bytes(i))) break;
      if (i % (times / 10 + 1) == 0) ExpectServed();
    }
    ExpectServed();
    return i;
  }
  void ExpectCalmed(FrameClient* client) {
    EXPECT_TRUE(client->ReadToEnd());
    EXPECT_EQ(client->goaway(), std::optional<uint32_t>(NGHTTP2_ENHANCE_YOUR_CALM));
  }

  std::string address_;
  std::unique_ptr<FrameClient> honest_;

 private:
  std::unique_ptr<ServerProcess> server_;
  size_t memory_before_ = 0;
};

std::string Head(uint32_t stream, const std::string& path, uint8_t flags = 0) {
  return FrameBytes(NGHTTP2_HEADERS, kEndHeaders | flags, stream, HeaderBlock(RequestHeaders(path)));
}
std::string Data(uint32_t stream, absl::string_view bytes, uint8_t flags = 0) {
  return FrameBytes(NGHTTP2_DATA, flags, stream, bytes);
}
std::string Settings(absl::string_view bytes) { return FrameBytes(NGHTTP2_SETTINGS, 0, 0, bytes); }
uint32_t Odd(int i) { return 2 * static_cast<uint32_t>(i) + 1; }

// --- Calls that are begun and taken back ---

TEST_F(HostileTest, ARapidResetIsStopped) {
  Serve({.max_resets = 20});
  FrameClient client(address_);
  client.Begin();
  Repeat(&client, 20000, [](int i) { return Request(Odd(i), "/t/Hold", "x") + Reset(Odd(i), NGHTTP2_CANCEL); });
  ExpectCalmed(&client);
  EXPECT_LE(Begun(), 10 * 20 + 30);
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, AnHonestClientMayCancelHundredsOfCalls) {
  Serve();
  for (int i = 0; i < 3; ++i) {
    std::string calls;
    std::string cancels;
    for (int j = i * 500; j < (i + 1) * 500; ++j) {
      calls += Request(Odd(j), "/t/Hold", "x");
      cancels += Reset(Odd(j), NGHTTP2_CANCEL);
    }
    honest_->Write(calls + cancels);
  }
  ExpectServed();
}

// The server is made to reset by what is wrong with a stream ("MadeYouReset").
TEST_F(HostileTest, MakingTheServerResetIsStopped) {
  Serve({.max_resets = 20});
  const std::vector<std::function<std::string(uint32_t)>> wrongs = {
      [](uint32_t stream) { return WindowUpdate(stream, 0); },
      [](uint32_t stream) { return WindowUpdate(stream, 0x7fffffff); },
      [](uint32_t stream) { return FrameBytes(NGHTTP2_PRIORITY, 0, stream, "1234"); },
      [](uint32_t stream) { return Data(stream, "after the end"); },
  };
  int begun = 0;
  for (const auto& wrong : wrongs) {
    FrameClient client(address_);
    client.Begin();
    Repeat(&client, 20000, [&](int i) { return Request(Odd(i), "/t/Hold", "x") + wrong(Odd(i)); });
    EXPECT_TRUE(client.ReadToEnd());
    EXPECT_TRUE(client.goaway());
    const int before = std::exchange(begun, Begun());
    EXPECT_LE(begun - before, 10 * 20 + 1100);  // And those of one read.
  }
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, StreamsThatAreRefusedAndNeverReadAreBounded) {
  Serve();
  FrameClient client(address_);
  client.set_acks_settings(false);  // So that the limit of streams is not yet agreed.
  client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff));
  // What the kernel holds for a peer that does not read is full.
  client.Write(WindowUpdate(0, 0x7fffffff - 65535));
  for (int i = 0; i < 20; ++i) client.Write(Head(Odd(i), "/t/Flood", kEndStream));
  for (int i = 0; i < 5; ++i) ExpectServed();
  const std::string block = HeaderBlock(RequestHeaders("/t/Hold"));
  Repeat(&client, 20000, [&](int i) {
    std::string bytes;
    for (int j = 0; j < 20; ++j) bytes += FrameBytes(NGHTTP2_HEADERS, kEndHeaders, Odd(20 * (i + 1) + j), block);
    return bytes;
  });
  ExpectPeakBelow(kSlack + 12 * kMiB);
}

TEST_F(HostileTest, RefusalsThatAreNeverReadAreBounded) {
  Serve();
  FrameClient client(address_);
  client.Begin();
  client.Write(FrameBytes(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, ""));
  const std::string block = HeaderBlock(RequestHeaders("/t/Other"));
  Repeat(&client, 20000, [&](int i) {
    std::string bytes;
    for (int j = 0; j < 20; ++j) bytes += FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEndStream, Odd(20 * i + j), block);
    return bytes;
  });
  ExpectPeakBelow(kSlack + 8 * kMiB);
}

// --- Headers ---

TEST_F(HostileTest, AContinuationFloodIsStopped) {
  Serve();
  for (const std::string& part : {std::string(), HeaderBlock({{"x", std::string(16000, 'x')}})}) {
    FrameClient client(address_);
    client.Begin();
    client.Write(FrameBytes(NGHTTP2_HEADERS, 0, 1, HeaderBlock(RequestHeaders("/t/Echo"))));
    EXPECT_LT(Repeat(&client, 5000, [&](int) { return FrameBytes(NGHTTP2_CONTINUATION, 0, 1, part); }), 5000);
    EXPECT_TRUE(client.ReadToEnd());
  }
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, HpackBombsAreRefused) {
  Serve({.max_resets = 2});
  FrameClient client(address_);
  client.Begin();
  // An entry that fills the table, and 16,000 references to it: 64 MB of headers a frame.
  client.Write(
      FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEndStream, 1, HeaderBlock(RequestHeaders("/t/Echo")) + LargeEntry()));
  // A little too much is refused with a reason,
  client.Write(FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEndStream, 3,
                          HeaderBlock(RequestHeaders("/t/Echo")) + std::string(10, kLargeEntryAgain)));
  EXPECT_EQ(client.Await(3).Header("grpc-status"), "8");
  // far too much without; and who goes on is sent away.
  const std::string bomb = HeaderBlock(RequestHeaders("/t/Echo")) + std::string(16000, kLargeEntryAgain);
  Repeat(&client, 1000, [&](int i) { return FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEndStream, Odd(2 + i), bomb); });
  ExpectCalmed(&client);
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, HpackBombsInTrailersAreRefused) {
  Serve({.max_resets = 2});
  FrameClient client(address_);
  client.Begin();
  const auto call = [](uint32_t stream, const std::string& trailers) {
    return Head(stream, "/t/Silent") + Data(stream, Message("x")) +
           FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEndStream, stream, trailers);
  };
  // What a peer may say is taken.
  client.Write(Head(1, "/t/Echo") + Data(1, Message("x")) +
               FrameBytes(NGHTTP2_HEADERS, kEndHeaders | kEndStream, 1, HeaderBlock({{"x-after", "1"}})));
  EXPECT_EQ(client.Await(1).Header("grpc-status"), "0");
  client.Write(call(3, LargeEntry()));
  client.Write(call(5, std::string(16000, kLargeEntryAgain)));
  EXPECT_TRUE(client.Await(5).reset.has_value());
  Repeat(&client, 1000, [&](int i) { return call(Odd(3 + i), std::string(16000, kLargeEntryAgain)); });
  ExpectCalmed(&client);
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, HeadersThatDoNotEndAreNotWaitedFor) {
  Serve({.request_timeout = absl::Milliseconds(100)});
  FrameClient headers(address_);
  headers.Begin();
  headers.Write(FrameBytes(NGHTTP2_HEADERS, 0, 1, HeaderBlock(RequestHeaders("/t/Echo"))));
  FrameClient trailers(address_);
  trailers.Begin();
  trailers.Write(Head(1, "/t/Silent") + Data(1, Message("x")) +
                 FrameBytes(NGHTTP2_HEADERS, kEndStream, 1, HeaderBlock({{"x", "1"}})));
  EXPECT_TRUE(headers.ReadToEnd());
  EXPECT_TRUE(trailers.ReadToEnd());
  ExpectServed();
}

// --- Bodies ---

TEST_F(HostileTest, OpenStreamsWithHeadersOnlyAreBounded) {
  Serve();
  std::vector<std::unique_ptr<FrameClient>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<FrameClient>(address_));
    clients.back()->Begin();
    std::string bytes;
    for (int j = 0; j < 1000; ++j) bytes += Head(Odd(j), "/t/Echo");
    clients.back()->Write(bytes);
    clients.back()->Settle();
    EXPECT_FALSE(clients.back()->is_closed());
    ExpectServed();
  }
  ExpectPeakBelow(kSlack + 10 * 1000 * 3 * kKiB);
}

TEST_F(HostileTest, LengthsThatAreOnlyAnnouncedCostNothing) {
  Serve();
  std::vector<std::unique_ptr<FrameClient>> clients;
  const std::string part = Message(std::string(4 * kMiB, 'x')).substr(0, 6);
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<FrameClient>(address_));
    clients.back()->Begin();
    std::string bytes;
    for (int j = 0; j < 1000; ++j) bytes += Head(Odd(j), "/t/Echo") + Data(Odd(j), part);
    clients.back()->Write(bytes);
    clients.back()->Settle();
    EXPECT_FALSE(clients.back()->is_closed());
    ExpectServed();
  }
  ExpectPeakBelow(kSlack + 10 * 1000 * 3 * kKiB);
}

TEST_F(HostileTest, PartialBodiesStayWithinTheBudgets) {
  Serve({.max_inflight_request_bytes = 8 * kMiB, .max_connection_request_bytes = 2 * kMiB});
  std::vector<std::unique_ptr<FrameClient>> clients;
  const std::string part = Message(std::string(4 * kMiB, 'x')).substr(0, 16384);
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<FrameClient>(address_));
    FrameClient& client = *clients.back();
    client.Begin();
    for (int j = 0; j < 200; ++j) client.Write(Head(Odd(j), "/t/Echo") + Data(Odd(j), part));
    client.Settle();
    int of_this = 0;
    for (const auto& [stream, answer] : client.answers()) of_this += answer.Header("grpc-status") == "8" ? 1 : 0;
    EXPECT_GE(of_this, 200 - static_cast<int>(2 * kMiB / part.size()));
    refused += of_this;
    ExpectServed();  // However many they are, they cannot take all.
  }
  EXPECT_GE(refused, 2000 - static_cast<int>(8 * kMiB / part.size()));
  EXPECT_LT(refused, 2000 - static_cast<int>(4 * kMiB / part.size()));  // And the budget is there to be used.
  // What is held is counted; what it is held in may be twice as large.
  ExpectPeakBelow(kSlack + 2 * 8 * kMiB);
  // All of it is given back, as soon as the server has seen them go.
  clients.clear();
  const absl::Time end = absl::Now() + kPatience;
  while (honest_->Echo("/t/Echo", "hello") != "hello" && absl::Now() < end) {
  }
  ExpectServed();
}

TEST_F(HostileTest, LyingLengthsReserveNothing) {
  Serve();
  FrameClient client(address_);
  client.Begin();
  std::string bytes;
  for (int i = 0; i < 1000; ++i)
    bytes += Head(Odd(i), "/t/Echo") + Data(Odd(i), Number(0, 1) + Number(20 * kMiB, 4) + "x");
  client.Write(bytes);
  client.Settle();
  ExpectServed();
  ExpectPeakBelow(kSlack + 1000 * 8 * kKiB);
}

TEST_F(HostileTest, OversizeMessagesAreRefusedBeforeTheirBytes) {
  Serve({.max_request_bytes = 1000});
  FrameClient client(address_);
  client.Begin();
  client.Write(Head(1, "/t/Echo") + Data(1, Number(0, 1) + Number(1001, 4)));
  EXPECT_EQ(client.Await(1).Header("grpc-status"), "8");
  client.Write(Head(3, "/t/Silent") + Data(3, Message(std::string(1000, 'x'))) +
               Data(3, Number(0, 1) + Number(0x80000000, 4)));
  EXPECT_EQ(client.Await(3).Header("grpc-status"), "8");
  ExpectServed();
}

TEST_F(HostileTest, BodiesThatDoNotEndAreNotWaitedFor) {
  Serve({.request_timeout = absl::Milliseconds(100)});
  FrameClient client(address_);
  client.Begin();
  client.Write(Head(1, "/t/Echo"));                                         // No body,
  client.Write(Head(3, "/t/Echo") + Data(3, Message("x")));                 // no end,
  client.Write(Head(5, "/t/Silent") + Data(5, Number(0, 3)));               // no whole prefix,
  client.Write(Head(7, "/t/Silent") + Data(7, Message("x").substr(0, 5)));  // no message; and
  client.Write(Head(9, "/t/Silent") + Data(9, Message("x")));               // a stream that may take its time.
  const std::string byte = Data(1, Message(std::string(100000, 'x')).substr(0, 6));
  client.Write(byte);
  while (!client.is_closed() && !client.answer(1).is_over()) {
    client.Write(Data(1, "x"));  // One byte at a time makes it no younger.
    client.ReadFrame(absl::Milliseconds(5));
  }
  for (const uint32_t stream : {1, 3, 5, 7}) EXPECT_EQ(client.Await(stream).Header("grpc-status"), "4") << stream;
  client.Settle();
  EXPECT_FALSE(client.answer(9).is_over());
  EXPECT_FALSE(client.is_closed());
}

// --- Floods of control frames ---

TEST_F(HostileTest, APingFloodIsStopped) {
  Serve({.max_control_frames = 100});
  FrameClient client(address_);
  client.set_keeps_frames(false);
  client.Begin();
  Repeat(&client, 100000, [&](int i) {
    if (i % 100 == 0) client.ReadFrame(absl::ZeroDuration());
    return Ping("12345678");
  });
  ExpectCalmed(&client);
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, AnHonestClientMayPingAMinuteLong) {
  Serve();
  for (int i = 0; i < 5000; ++i) {
    honest_->Write(Ping("estimate"));
    ASSERT_TRUE(honest_->ReadUntil([&] { return honest_->acks() > i; }));
  }
  ExpectServed();
}

// The C++ client pings once a minute, also without calls, and gives the connection up when the answer takes 3 s. A day
// of it, here as fast as it goes.
TEST_F(HostileTest, ACppClientThatPingsEachMinuteIsAnswered) {
  Serve();
  FrameClient client(address_);
  client.Begin();
  for (int minute = 0; minute < 24 * 60; ++minute) {
    client.Write(Ping("keepaliv"));
    const absl::Time asked = absl::Now();
    ASSERT_TRUE(client.ReadUntil([&] { return client.acks() > minute; }));
    ASSERT_LT(absl::Now() - asked, absl::Seconds(3));
    // Most of the time there is a poll; a server may not count pings that come while it waits.
    if (minute == 12 * 60) client.Write(Head(1, "/t/Silent"));
  }
  EXPECT_EQ(client.goaway(), std::nullopt);
  EXPECT_EQ(client.Echo("/t/Echo", "hello"), "hello");
}

TEST_F(HostileTest, APingFloodThatNeverReadsIsBounded) {
  Serve();
  FrameClient client(address_);
  client.Begin();
  std::string pings;
  for (int i = 0; i < 100; ++i) pings += Ping("12345678");
  EXPECT_LT(Repeat(&client, 20000, [&](int) { return pings; }), 20000);
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, ASettingsFloodIsStopped) {
  Serve({.max_control_frames = 100});
  for (const std::string& settings : {std::string(), SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 5)}) {
    FrameClient client(address_);
    client.set_keeps_frames(false);
    client.Begin();
    Repeat(&client, 100000, [&](int) { return Settings(settings); });
    EXPECT_TRUE(client.ReadToEnd());
  }
  // As many settings as fit into a frame.
  FrameClient client(address_);
  client.Begin();
  std::string many;
  while (many.size() + 6 <= 16384) many += SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 5);
  client.Write(Settings(many));
  EXPECT_TRUE(client.ReadToEnd());
  ExpectServed();
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, ATableSizeFloodIsBounded) {
  Serve();
  FrameClient client(address_);
  client.set_keeps_frames(false);
  client.Begin(SettingBytes(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0xffffffff));
  Repeat(&client, 3000, [&](int i) {
    return Settings(SettingBytes(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, i % 2 == 0 ? 0 : 0xffffffff)) +
           Head(Odd(i), absl::StrCat("/t/Other", i), kEndStream);
  });
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, EmptyFramesAndPrioritiesAreStopped) {
  Serve({.max_control_frames = 100});
  for (const std::string& frame :
       {Data(1, ""), FrameBytes(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, Number(9, 1) + std::string(9, '\0')),
        FrameBytes(NGHTTP2_PRIORITY, 0, 1, Number(0, 5)), FrameBytes(NGHTTP2_PRIORITY, 0, 999, Number(0, 5))}) {
    FrameClient client(address_);
    client.Begin();
    client.Write(Head(1, "/t/Silent"));
    Repeat(&client, 100000, [&](int) { return frame; });
    ExpectCalmed(&client);
  }
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, WindowUpdatesByTheByteAndUnknownFramesDoNoHarm) {
  Serve();
  FrameClient client(address_);
  client.Begin();
  client.Write(Head(1, "/t/Silent"));
  Repeat(&client, 100000, [&](int i) { return WindowUpdate(i % 2, 1) + FrameBytes(0x77, 0, 0, "unknown"); });
  client.Settle();
  ExpectPeakBelow(kSlack);
}

// --- Those that do not read ---

TEST_F(HostileTest, ZeroWindowsHoldOneMessageEach) {
  constexpr int kStreams = 200;
  Serve();
  FrameClient client(address_);
  client.set_opens_windows(false);
  client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0));
  for (int i = 0; i < kStreams; ++i) client.Write(Head(Odd(i), "/t/Flood", kEndStream));
  client.Settle();
  ExpectServed();
  ExpectPeakBelow(kSlack + kStreams * (kFloodMessageBytes + 8 * kKiB));
}

TEST_F(HostileTest, LargeAnswersThatAreNeverReadHoldOneMessageEach) {
  constexpr int kStreams = 200;
  Serve();
  FrameClient client(address_);
  client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff));
  client.Write(WindowUpdate(0, 0x7fffffff - 65535));
  for (int i = 0; i < kStreams; ++i) client.Write(Head(Odd(i), "/t/Flood", kEndStream));
  for (int i = 0; i < 20; ++i) ExpectServed();
  // 200 MiB are asked for.
  ExpectPeakBelow(kSlack + kStreams * (kFloodMessageBytes + 8 * kKiB));
  // And it was nothing but slow.
  client.set_keeps_frames(false);
  client.set_opens_windows(false);
  for (int i = 0; i < kStreams; ++i) {
    EXPECT_EQ(client.Await(Odd(i)).body.size(), kFloodMessages * (5 + kFloodMessageBytes));
  }
}

TEST_F(HostileTest, AnswersThatWaitAtTheirHandlersStayWithinTheBudget) {
  constexpr int kStreams = 200;
  Serve({.max_connection_request_bytes = 16 * kMiB});
  FrameClient client(address_);
  client.set_opens_windows(false);
  client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1));
  for (int i = 0; i < kStreams; ++i) client.Write(Head(Odd(i), "/t/Hoard", kEndStream));
  client.Settle();
  for (int i = 0; i < 20; ++i) ExpectServed();
  // 200 MiB are there for it.
  ExpectPeakBelow(kSlack + 16 * kMiB + 4 * kMiB);
  int refused = 0;
  for (const auto& [stream, answer] : client.answers()) refused += answer.Header("grpc-status") == "8" ? 1 : 0;
  EXPECT_EQ(refused, kStreams - 16);
  // What it takes back makes room.
  for (int i = 0; i < kStreams; ++i) client.Write(Reset(Odd(i), NGHTTP2_CANCEL));
  client.Write(Head(Odd(kStreams), "/t/Hoard", kEndStream));
  client.Settle();
  EXPECT_EQ(client.answers().at(Odd(kStreams)).Header("grpc-status"), "");
}

TEST_F(HostileTest, WhoTakesNothingOfAnAnswerLosesTheCall) {
  Serve({.answer_timeout = absl::Milliseconds(100)});
  FrameClient client(address_);
  client.set_opens_windows(false);
  client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0));
  client.Write(Head(1, "/t/Flood", kEndStream));  // In the middle of an answer,
  client.Write(WindowUpdate(1, 1000));
  client.Write(Head(3, "/t/Hoard", kEndStream));   // before its first byte,
  client.Write(Request(5, "/t/Large", "x"));       // one that has ended,
  client.Write(Head(7, "/t/Refuse", kEndStream));  // and one that has nothing but an error to say.
  for (const uint32_t stream : {1, 3, 5, 7}) {
    EXPECT_EQ(client.Await(stream).reset, std::optional<uint32_t>(NGHTTP2_CANCEL)) << stream;
  }
  // Nothing is wrong with the connection, nor with calls that have nothing to say.
  client.Write(Head(9, "/t/Silent"));
  EXPECT_FALSE(client.is_closed());
  ExpectServed();
}

TEST_F(HostileTest, LargeUnaryAnswersThatAreNeverReadStayWithinTheBudget) {
  constexpr int kCalls = 1000;
  Serve({.max_connection_request_bytes = 16 * kMiB});
  FrameClient client(address_);
  client.Begin();
  for (int i = 0; i < kCalls; ++i) client.Write(Request(Odd(i), "/t/Large", "x"));
  for (int i = 0; i < 20; ++i) ExpectServed();
  ExpectPeakBelow(kSlack + 16 * kMiB + 4 * kMiB);
  // Who could not be answered is told so.
  client.set_keeps_frames(false);
  int refused = 0;
  for (int i = 0; i < kCalls; ++i) {
    const Answer& answer = client.Await(Odd(i));
    if (answer.Header("grpc-status") == "8") {
      ++refused;
    } else {
      EXPECT_EQ(answer.body.size(), 5 + kLargeAnswer);
    }
  }
  EXPECT_GE(refused, kCalls - 100);
  EXPECT_LE(refused, kCalls - 15);
}

// Reads as fast as the server writes, so that there is always something to write.
TEST_F(HostileTest, AGreedyReaderLeavesTheOthersTheirTurn) {
  Serve();
  const pid_t reader = fork();
  ASSERT_GE(reader, 0);
  if (reader == 0) {
    FrameClient client(address_);
    client.set_keeps_frames(false);
    client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff));
    client.Write(WindowUpdate(0, 0x7fffffff - 65535));
    client.Write(Head(1, "/t/Endless", kEndStream) + Head(3, "/t/Endless", kEndStream));
    static char bytes[1 << 20];
    fcntl(client.fd(), F_SETFL, 0);  // It blocks until there is more.
    while (read(client.fd(), bytes, sizeof(bytes)) > 0) {
    }
    _exit(0);
  }
  for (int i = 0; i < 50; ++i) ExpectServed();
  kill(reader, SIGKILL);
  waitpid(reader, nullptr, 0);
}

TEST_F(HostileTest, APeerThatDoesNotReadIsGivenUp) {
  Serve({.address = "127.0.0.1:0",
         .keepalive_time = absl::Milliseconds(100),
         .keepalive_timeout = absl::Milliseconds(100)});
  FrameClient client(address_);
  client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff));
  client.Write(WindowUpdate(0, 0x7fffffff - 65535));
  for (int i = 0; i < 50; ++i) client.Write(Head(Odd(i), "/t/Flood", kEndStream));
  // It goes on to talk, so that it is not silent.
  while (client.Write(WindowUpdate(0, 1))) {
  }
  EXPECT_TRUE(client.ReadToEnd());
}

TEST_F(HostileTest, ASilentPeerIsPingedAndGivenUp) {
  Serve({.address = "127.0.0.1:0",
         .keepalive_time = absl::Milliseconds(100),
         .keepalive_timeout = absl::Milliseconds(100)});
  FrameClient client(address_);
  client.Begin();
  client.Write(Head(1, "/t/Silent"));
  // It reads by hand, so as to answer nothing.
  std::string came;
  char bytes[4096];
  const absl::Time end = absl::Now() + kPatience;
  ssize_t size = 1;
  while (size != 0 && absl::Now() < end) {
    size = read(client.fd(), bytes, sizeof(bytes));
    if (size > 0) came.append(bytes, static_cast<size_t>(size));
  }
  EXPECT_EQ(size, 0);
  EXPECT_THAT(came, testing::HasSubstr(FrameBytes(NGHTTP2_PING, 0, 0, std::string(8, '\0'))));
}

// --- What is no HTTP/2, and too many ---

TEST_F(HostileTest, WhatIsNoHttpIsClosed) {
  Serve();
  SeededRandom random(7);
  for (int i = 0; i < 200; ++i) {
    FrameClient client(address_);
    std::string bytes = random.Bytes(1 + random.Below(3000));
    bytes[0] = 'G';
    if (i % 4 == 0) bytes = absl::StrCat(kMagic, Settings(""), bytes);
    client.Write(bytes);
    client.HalfClose();
    EXPECT_TRUE(client.ReadToEnd());
  }
  for (const absl::string_view text :
       {"GET / HTTP/1.1\r\n\r\n", "\r\n\r\n", "\x16\x03\x01\x02", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"}) {
    FrameClient client(address_);
    client.Write(text);
    client.Write(std::string(24, '\n'));
    EXPECT_TRUE(client.ReadToEnd()) << text;
  }
  ExpectServed();
  ExpectPeakBelow(kSlack);
}

TEST_F(HostileTest, MoreConnectionsThanAllowedAreClosed) {
  Serve({.max_connections = 10});
  std::vector<std::unique_ptr<FrameClient>> clients;
  for (int i = 0; i < 9; ++i) {
    clients.push_back(std::make_unique<FrameClient>(address_));
    clients.back()->Begin();
  }
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(FrameClient(address_).ReadToEnd());
  ExpectServed();
  // One goes, one may come, as soon as the server has seen it go.
  clients.pop_back();
  std::string answer;
  const absl::Time end = absl::Now() + kPatience;
  while (answer != "hello" && absl::Now() < end) {
    FrameClient client(address_);
    client.Write(absl::StrCat(kMagic, Settings("")));
    if (client.ReadFrame()) answer = client.Echo("/t/Echo", "hello");
  }
  EXPECT_EQ(answer, "hello");
}

TEST_F(HostileTest, MoreConnectionsOfOneAddressThanAllowedAreClosed) {
  Serve({.max_connections_per_address = 2});
  FrameClient second(address_);
  second.Begin();
  EXPECT_TRUE(FrameClient(address_).ReadToEnd());
  ExpectServed();
}

TEST_F(HostileTest, IdleConnectionsCostLittle) {
  constexpr int kConnections = 2000;
  Serve();
  std::vector<std::unique_ptr<FrameClient>> clients;
  for (int i = 0; i < kConnections; ++i) {
    clients.push_back(std::make_unique<FrameClient>(address_));
    clients.back()->Begin();
    clients.back()->Write(Head(1, "/t/Silent"));
    if (i % 100 == 0) ExpectServed();
  }
  ExpectServed();
  ExpectPeakBelow(kSlack + kConnections * 40 * kKiB);
}

}  // namespace
}  // namespace barid::edge::h2
