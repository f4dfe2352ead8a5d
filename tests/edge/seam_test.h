#ifndef BARID_TESTS_EDGE_SEAM_TEST_H_
#define BARID_TESTS_EDGE_SEAM_TEST_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "edge/call.h"
#include "tests/base/status_matchers.h"
#include "tests/edge/served.h"

// The promises of edge/call.h as tests that run over every transport: a transport's test file declares a Port (see
// MemoryPort, GrpcPort) and instantiates SeamTest with it.
namespace barid::edge {

// `Port` is constructed from a MethodTable.
template <typename Port>
class SeamTest : public testing::Test {
 protected:
  // Opens "/t/Stream" and waits until the server has it.
  std::unique_ptr<TestStream> OpenRecorded(Headers headers = {}) {
    auto client = port_.Open("/t/Stream", std::move(headers));
    handler_ = served_.stream.Wait().value_or(nullptr);
    return client;
  }

  Served served_;
  Port port_{served_.Table()};
  std::shared_ptr<RecordingHandler> handler_;
};

TYPED_TEST_SUITE_P(SeamTest);

// For TellBack: text and any bytes, several of a key.
inline Headers AllToTell() {
  const std::string bytes("\0\xff\x80,", 4);
  return {{"first-text", "~ !,"}, {"first-bin", bytes}, {"first-bin", "x"}, {"first-text", ""},
          {"last-0_9.z", "one"},  {"last-bin", ""},     {"last-bin", bytes}};
}

// By their keys in one or the other part. Clients keep the order within a key only.
inline void ExpectTold(const ResponseMetadata& told, const Headers& headers) {
  Headers parts[2];
  for (const auto& header : headers) parts[header.first.rfind("first-", 0) == 0 ? 0 : 1].push_back(header);
  const auto by_key = [](Headers all) {
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    return all;
  };
  EXPECT_EQ(by_key(told.initial), by_key(parts[0]));
  EXPECT_EQ(by_key(told.trailing), by_key(parts[1]));
}

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
  EXPECT_TRUE(this->handler_->stream()->AddTrailing("late", "too"));  // Nobody hears it.
}

TYPED_TEST_P(SeamTest, TellsMetadataWithAnAnswer) {
  ResponseMetadata told;
  EXPECT_THAT(this->port_.Call("/t/Echo", "hi", AllToTell(), &told), IsOkAndHolds("hi"));
  ExpectTold(told, AllToTell());
  EXPECT_THAT(this->port_.Call("/t/Echo", "hi", {{"last-one", "1"}}, &told), IsOkAndHolds("hi"));
  ExpectTold(told, {{"last-one", "1"}});
  EXPECT_THAT(this->port_.Call("/t/Echo", "hi", {{"first-one", "1"}}, &told), IsOkAndHolds("hi"));
  ExpectTold(told, {{"first-one", "1"}});
  EXPECT_THAT(this->port_.Call("/t/Echo", "hi", {}, &told), IsOkAndHolds("hi"));
  ExpectTold(told, {});
}

TYPED_TEST_P(SeamTest, TellsMetadataWithAFailure) {
  ResponseMetadata told;
  EXPECT_THAT(this->port_.Call("/t/Fail", "as asked", AllToTell(), &told),
              StatusIs(absl::StatusCode::kAborted, "as asked"));
  ExpectTold(told, AllToTell());
  EXPECT_THAT(this->port_.Call("/t/Fail", "as asked", {{"last-bin", "\xff"}}, &told),
              StatusIs(absl::StatusCode::kAborted, "as asked"));
  ExpectTold(told, {{"last-bin", "\xff"}});
}

TYPED_TEST_P(SeamTest, TellsMetadataFromAnotherThread) {
  ResponseMetadata told;
  std::thread client([&] { (void)this->port_.Call("/t/Unary", "hi", {}, &told); });
  const std::shared_ptr<UnaryCall> call = this->served_.call.Wait().value_or(nullptr);
  ASSERT_NE(call, nullptr);
  EXPECT_TRUE(call->AddTrailing("last-one", "1"));
  EXPECT_TRUE(call->AddInitial("first-one", "1"));
  EXPECT_FALSE(call->AddInitial("first-two", "a\r\nb: c"));
  EXPECT_FALSE(call->AddTrailing("last-bin", std::string(kMostResponseMetadata, 'x')));
  call->Answer(Bytes());
  client.join();
  ExpectTold(told, {{"last-one", "1"}, {"first-one", "1"}});
}

TYPED_TEST_P(SeamTest, TellsMetadataOfAStream) {
  const auto stream = this->port_.Open("/t/EchoStream", AllToTell());
  stream->Send("hi");
  EXPECT_EQ(stream->Read(), "hi");
  stream->HalfClose();
  EXPECT_EQ(stream->Read(), std::nullopt);
  EXPECT_THAT(stream->Status(), IsOk());
  ExpectTold(stream->Told(), AllToTell());
}

TYPED_TEST_P(SeamTest, TellsMetadataWithTheEndOfAStream) {
  const auto client = this->OpenRecorded({{"first-one", "1"}});
  ASSERT_TRUE(this->handler_->WaitFor("writable"));
  this->handler_->stream()->Resume([handler = this->handler_] {
    EXPECT_TRUE(handler->stream()->AddTrailing("last-one", "1"));
    EXPECT_FALSE(handler->stream()->AddTrailing("last-two", "\x80"));
    handler->stream()->Finish(absl::UnavailableError("moving"));
  });
  EXPECT_EQ(client->Read(), std::nullopt);
  EXPECT_THAT(client->Status(), StatusIs(absl::StatusCode::kUnavailable, "moving"));
  ExpectTold(client->Told(), {{"first-one", "1"}, {"last-one", "1"}});
}

REGISTER_TYPED_TEST_SUITE_P(SeamTest, AnswersOnTheThreadOfTheHandler, ShowsTheHandlerTheHead, AnswersFromAnotherThread,
                            FailsWithTheStatusOfTheHandler, FailsACallThatIsDropped, DoesNotKnowOtherMethods,
                            EchoesAStreamUntilHalfClose, TellsAStreamInOrder, FinishesBeforeTheClientHasHalfClosed,
                            FinishesAStreamWithAnError, TellsOfACancelAndThenNothing, TellsMetadataWithAnAnswer,
                            TellsMetadataWithAFailure, TellsMetadataFromAnotherThread, TellsMetadataOfAStream,
                            TellsMetadataWithTheEndOfAStream);

}  // namespace barid::edge

#endif  // BARID_TESTS_EDGE_SEAM_TEST_H_
