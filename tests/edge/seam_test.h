#ifndef BARID_TESTS_EDGE_SEAM_TEST_H_
#define BARID_TESTS_EDGE_SEAM_TEST_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "edge/call.h"
#include "tests/base/status_matchers.h"

// The promises of edge/call.h as tests that run over every transport: a transport's test file declares a Port (see
// MemoryPort, GrpcPort) and instantiates SeamTest with it.
namespace barid::edge {

using Headers = std::vector<std::pair<std::string, std::string>>;

inline constexpr absl::Duration kPatience = absl::Seconds(20);

// The client's end of a stream, whatever the transport.
class TestStream {
 public:
  virtual ~TestStream() = default;
  virtual void Send(std::string message) = 0;
  virtual void HalfClose() = 0;
  virtual void Cancel() = 0;
  // The next message, or nullopt if the stream ended.
  virtual std::optional<std::string> Read() = 0;
  // Once Read has returned nullopt.
  virtual absl::Status Status() = 0;
};

// A served table and a client of it.
class TestPort {
 public:
  virtual ~TestPort() = default;
  virtual absl::StatusOr<std::string> Call(const std::string& method, std::string request, Headers headers) = 0;
  absl::StatusOr<std::string> Call(const std::string& method, std::string request) { return Call(method, request, {}); }
  virtual std::unique_ptr<TestStream> Open(const std::string& method) = 0;
};

// Something one thread waits for and another sets.
template <typename T>
class Promise {
 public:
  void Set(T value) {
    MutexLock lock(&mu_);
    value_ = std::move(value);
    changed_.SignalAll();
  }
  // nullopt if it does not come in time.
  std::optional<T> Wait(absl::Duration timeout = kPatience) {
    const absl::Time end = absl::Now() + timeout;
    MutexLock lock(&mu_);
    while (!value_ && absl::Now() < end) changed_.WaitFor(&mu_, end - absl::Now());
    return value_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::optional<T> value_;
};

// A handler that writes down what it is told, as text: "writable message:a half-close done:delivered".
class RecordingHandler : public StreamHandler {
 public:
  explicit RecordingHandler(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  void OnMessage(Bytes message) override { Note("message:" + message.ToString()); }
  void OnHalfClose() override { Note("half-close"); }
  void OnWritable() override { Note("writable"); }
  void OnDone(bool delivered) override { Note(delivered ? "done:delivered" : "done:lost"); }

  Stream* stream() { return stream_.get(); }
  std::vector<std::string> story() {
    MutexLock lock(&mu_);
    return story_;
  }
  // True once `event` was told `times` times.
  bool WaitFor(const std::string& event, int times = 1) {
    const absl::Time end = absl::Now() + kPatience;
    MutexLock lock(&mu_);
    while (std::count(story_.begin(), story_.end(), event) < times) {
      if (absl::Now() > end) return false;
      changed_.WaitFor(&mu_, absl::Seconds(1));
    }
    return true;
  }

 private:
  void Note(std::string event) {
    MutexLock lock(&mu_);
    story_.push_back(std::move(event));
    changed_.SignalAll();
  }

  const std::shared_ptr<Stream> stream_;
  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> story_ ABSL_GUARDED_BY(mu_);
};

// Sends back every message; ends when the client has.
class EchoHandler : public StreamHandler {
 public:
  explicit EchoHandler(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  void OnMessage(Bytes message) override {
    waiting_.push_back(std::move(message));
    Pump();
  }
  void OnHalfClose() override {
    half_closed_ = true;
    Pump();
  }
  void OnWritable() override {
    writable_ = true;
    Pump();
  }
  void OnDone(bool delivered) override {}

 private:
  void Pump() {
    if (writable_ && !waiting_.empty()) {
      writable_ = false;
      Bytes next = std::move(waiting_.front());
      waiting_.pop_front();
      stream_->Write(std::move(next));
    }
    if (half_closed_ && waiting_.empty()) stream_->Finish(absl::OkStatus());
  }

  const std::shared_ptr<Stream> stream_;
  std::deque<Bytes> waiting_;
  bool writable_ = false;
  bool half_closed_ = false;
};

// Answers "/t/Unary" by keeping the call for the test, "/t/Echo" at once, "/t/Drop" by dropping the call; "/t/Stream"
// by a RecordingHandler, "/t/EchoStream" by an EchoHandler.
struct Served {
  Promise<std::shared_ptr<RecordingHandler>> stream;
  Promise<std::shared_ptr<UnaryCall>> call;

  MethodTable Table() {
    MethodTable table;
    table.unary["/t/Echo"] = [](std::unique_ptr<UnaryCall> call) { call->Answer(call->request()); };
    table.unary["/t/Drop"] = [](std::unique_ptr<UnaryCall> call) {};
    table.unary["/t/Unary"] = [this](std::unique_ptr<UnaryCall> unary) { call.Set(std::move(unary)); };
    table.streams["/t/Stream"] = [this](std::shared_ptr<Stream> opened) {
      auto handler = std::make_shared<RecordingHandler>(std::move(opened));
      stream.Set(handler);
      return handler;
    };
    table.streams["/t/EchoStream"] = [](std::shared_ptr<Stream> opened) {
      return std::make_shared<EchoHandler>(std::move(opened));
    };
    return table;
  }
};

// `Port` is constructed from a MethodTable.
template <typename Port>
class SeamTest : public testing::Test {
 protected:
  // Opens "/t/Stream" and waits until the server has it.
  std::unique_ptr<TestStream> OpenRecorded() {
    auto client = port_.Open("/t/Stream");
    handler_ = served_.stream.Wait().value_or(nullptr);
    return client;
  }

  Served served_;
  Port port_{served_.Table()};
  std::shared_ptr<RecordingHandler> handler_;
};

TYPED_TEST_SUITE_P(SeamTest);

TYPED_TEST_P(SeamTest, AnswersOnTheThreadOfTheHandler) {
  EXPECT_THAT(this->port_.Call("/t/Echo", "hello"), IsOkAndHolds("hello"));
  EXPECT_THAT(this->port_.Call("/t/Echo", ""), IsOkAndHolds(""));
  const std::string large(3 << 20, 'x');
  EXPECT_TRUE(this->port_.Call("/t/Echo", large).value_or("") == large);
}

TYPED_TEST_P(SeamTest, ShowsTheHandlerTheHead) {
  const Headers headers = {{"x-mq-client-id", "a@b#1"}, {"twice", "1"}, {"twice", "2"}};
  std::thread client([&] { (void)this->port_.Call("/t/Unary", "hi", headers); });
  const std::shared_ptr<UnaryCall> call = this->served_.call.Wait().value_or(nullptr);
  ASSERT_NE(call, nullptr);
  EXPECT_EQ(call->head().method, "/t/Unary");
  ASSERT_NE(call->head().Find("x-mq-client-id"), nullptr);
  EXPECT_EQ(*call->head().Find("x-mq-client-id"), "a@b#1");
  EXPECT_EQ(*call->head().Find("twice"), "1");
  EXPECT_EQ(call->head().Find("absent"), nullptr);
  EXPECT_EQ(call->request().ToString(), "hi");
  call->Answer(Bytes());
  client.join();
}

TYPED_TEST_P(SeamTest, AnswersFromAnotherThread) {
  absl::StatusOr<std::string> answer;
  std::thread client([&] { answer = this->port_.Call("/t/Unary", "hi"); });
  const std::shared_ptr<UnaryCall> call = this->served_.call.Wait().value_or(nullptr);
  ASSERT_NE(call, nullptr);
  call->Answer(Bytes("from afar"));
  client.join();
  EXPECT_THAT(answer, IsOkAndHolds("from afar"));
  EXPECT_EQ(call->request().ToString(), "hi");  // It is the handler's until it lets go.
}

TYPED_TEST_P(SeamTest, FailsWithTheStatusOfTheHandler) {
  absl::StatusOr<std::string> answer;
  std::thread client([&] { answer = this->port_.Call("/t/Unary", "hi"); });
  const std::shared_ptr<UnaryCall> call = this->served_.call.Wait().value_or(nullptr);
  ASSERT_NE(call, nullptr);
  call->Fail(absl::PermissionDeniedError("not you"));
  client.join();
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kPermissionDenied, "not you"));
}

TYPED_TEST_P(SeamTest, FailsACallThatIsDropped) {
  EXPECT_THAT(this->port_.Call("/t/Drop", "hi"), StatusIs(absl::StatusCode::kInternal));
}

TYPED_TEST_P(SeamTest, DoesNotKnowOtherMethods) {
  EXPECT_THAT(this->port_.Call("/t/Other", "hi"), StatusIs(absl::StatusCode::kUnimplemented));
  const auto stream = this->port_.Open("/t/Other");
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status(), StatusIs(absl::StatusCode::kUnimplemented));
}

TYPED_TEST_P(SeamTest, EchoesAStreamUntilHalfClose) {
  const auto stream = this->port_.Open("/t/EchoStream");
  for (int i = 0; i < 50; ++i) {
    stream->Send(std::to_string(i));
    EXPECT_EQ(stream->Read(), std::to_string(i));
  }
  stream->HalfClose();
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status(), IsOk());
}

TYPED_TEST_P(SeamTest, TellsAStreamInOrder) {
  const auto client = this->OpenRecorded();
  ASSERT_TRUE(this->handler_->WaitFor("writable"));
  client->Send("a");
  client->Send("b");
  client->HalfClose();
  ASSERT_TRUE(this->handler_->WaitFor("half-close"));
  this->handler_->stream()->Write(Bytes("one"));
  ASSERT_TRUE(this->handler_->WaitFor("writable", 2));
  this->handler_->stream()->Write(Bytes("two"));
  this->handler_->stream()->Finish(absl::OkStatus());
  EXPECT_EQ(client->Read(), "one");
  EXPECT_EQ(client->Read(), "two");
  EXPECT_EQ(client->Read(), std::nullopt);
  EXPECT_THAT(client->Status(), IsOk());
  ASSERT_TRUE(this->handler_->WaitFor("done:delivered"));
  std::vector<std::string> story = this->handler_->story();
  EXPECT_EQ(story.front(), "writable");
  EXPECT_EQ(story.back(), "done:delivered");
  // Whether the last write was still answered by OnWritable is the transport's business.
  if (std::count(story.begin(), story.end(), "writable") == 3) story.erase(story.end() - 2);
  EXPECT_THAT(story,
              testing::ElementsAre("writable", "message:a", "message:b", "half-close", "writable", "done:delivered"));
}

TYPED_TEST_P(SeamTest, FinishesBeforeTheClientHasHalfClosed) {
  const auto client = this->OpenRecorded();
  ASSERT_TRUE(this->handler_->WaitFor("writable"));
  this->handler_->stream()->Finish(absl::OkStatus());
  EXPECT_EQ(client->Read(), std::nullopt);
  EXPECT_THAT(client->Status(), IsOk());
  EXPECT_TRUE(this->handler_->WaitFor("done:delivered"));
}

TYPED_TEST_P(SeamTest, FinishesAStreamWithAnError) {
  const auto client = this->OpenRecorded();
  ASSERT_TRUE(this->handler_->WaitFor("writable"));
  this->handler_->stream()->Write(Bytes("one"));
  this->handler_->stream()->Finish(absl::UnavailableError("moving"));
  EXPECT_EQ(client->Read(), "one");
  EXPECT_EQ(client->Read(), std::nullopt);
  EXPECT_THAT(client->Status(), StatusIs(absl::StatusCode::kUnavailable, "moving"));
  EXPECT_TRUE(this->handler_->WaitFor("done:lost"));
}

TYPED_TEST_P(SeamTest, TellsOfACancelAndThenNothing) {
  const auto client = this->OpenRecorded();
  ASSERT_TRUE(this->handler_->WaitFor("writable"));
  const absl::Time cancelled_at = absl::Now();
  client->Cancel();
  ASSERT_TRUE(this->handler_->WaitFor("done:lost"));
  EXPECT_LT(absl::Now() - cancelled_at, absl::Seconds(1));
  this->handler_->stream()->Write(Bytes("late"));
  this->handler_->stream()->Finish(absl::OkStatus());
  EXPECT_EQ(client->Read(), std::nullopt);
  EXPECT_THAT(client->Status(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(this->handler_->story().back(), "done:lost");
}

REGISTER_TYPED_TEST_SUITE_P(SeamTest, AnswersOnTheThreadOfTheHandler, ShowsTheHandlerTheHead, AnswersFromAnotherThread,
                            FailsWithTheStatusOfTheHandler, FailsACallThatIsDropped, DoesNotKnowOtherMethods,
                            EchoesAStreamUntilHalfClose, TellsAStreamInOrder, FinishesBeforeTheClientHasHalfClosed,
                            FinishesAStreamWithAnError, TellsOfACancelAndThenNothing);

}  // namespace barid::edge

#endif  // BARID_TESTS_EDGE_SEAM_TEST_H_
