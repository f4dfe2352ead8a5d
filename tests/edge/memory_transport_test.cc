#include "edge/memory_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/status_matchers.h"
#include "tests/edge/seam_test.h"

namespace barid::edge {
namespace {

using testing::ElementsAre;

class MemoryTransportTest : public testing::Test {
 protected:
  MemoryStream Open(int credits) {
    MemoryStream stream = transport_.Open({.method = "/t/Stream"}, credits);
    handler_ = *served_.stream.Wait();
    return stream;
  }
  void Write(const std::string& message) { handler_->stream()->Write(Bytes(message)); }

  Served served_;
  MemoryTransport transport_{served_.Table(), PortLimits{.max_request_bytes = 100}};
  std::shared_ptr<RecordingHandler> handler_;
};

TEST_F(MemoryTransportTest, AsksForAMessageOnlyWhenThePeerCanTakeIt) {
  MemoryStream stream = Open(0);
  EXPECT_THAT(handler_->story(), ElementsAre());
  stream.Grant(1);
  EXPECT_THAT(handler_->story(), ElementsAre("writable"));
  stream.Grant(1);
  EXPECT_THAT(handler_->story(), ElementsAre("writable"));  // One at a time.
  Write("one");
  EXPECT_THAT(handler_->story(), ElementsAre("writable", "writable"));
  Write("two");
  EXPECT_THAT(handler_->story(), ElementsAre("writable", "writable"));
  EXPECT_EQ(stream.Read()->ToString(), "one");
  EXPECT_EQ(stream.Read()->ToString(), "two");
  EXPECT_FALSE(stream.Read());
}

TEST_F(MemoryTransportTest, AUnaryCallHasNoResultUntilItIsAnswered) {
  const auto call = transport_.Call({.method = "/t/Unary"}, Bytes("hi"));
  EXPECT_FALSE(call->result());
  (*served_.call.Wait())->Answer(Bytes("there"));
  ASSERT_TRUE(call->result());
  EXPECT_EQ((*call->result())->ToString(), "there");
}

TEST_F(MemoryTransportTest, DropsAnAnswerThatComesAfterTheDeadline) {
  const auto call = transport_.Call({.method = "/t/Unary"}, Bytes("hi"));
  call->ExpireDeadline();
  (*served_.call.Wait())->Answer(Bytes("late"));
  EXPECT_THAT(*call->result(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(MemoryTransportTest, RefusesRequestsBeyondTheLimit) {
  const auto call = transport_.Call({.method = "/t/Echo"}, Bytes(std::string(101, 'x')));
  EXPECT_THAT(*call->result(), StatusIs(absl::StatusCode::kResourceExhausted));
  MemoryStream stream = Open(1);
  stream.Send(Bytes(std::string(101, 'x')));
  EXPECT_THAT(*stream.status(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(handler_->story(), ElementsAre("writable", "done:lost"));
}

TEST_F(MemoryTransportTest, MetadataThatComeTooLateAreABug) {
  const auto call = transport_.Call({.method = "/t/Unary"}, Bytes("hi"));
  const std::shared_ptr<UnaryCall> served = *served_.call.Wait();
  served->Answer(Bytes("there"));
  EXPECT_DEATH(served->AddInitial("key", "value"), "metadata after the answer: /t/Unary");
  EXPECT_DEATH(served->AddTrailing("key", "value"), "metadata after the answer: /t/Unary");
  MemoryStream stream = Open(1);
  EXPECT_DEATH(handler_->stream()->AddInitial("key", "value"), "initial metadata after the headers: /t/Stream");
}

TEST_F(MemoryTransportTest, AnAnswerInTimeTellsWhatWasAddedBeforeIt) {
  const auto call = transport_.Call({.method = "/t/Unary"}, Bytes("hi"));
  const std::shared_ptr<UnaryCall> served = *served_.call.Wait();
  served->AddTrailing("before", "1");
  served->AnswerInTime(Bytes("late"));
  served->AddTrailing("after", "1");
  call->NearDeadline();
  EXPECT_EQ((*call->result())->ToString(), "late");
  EXPECT_THAT(call->metadata().trailing, ElementsAre(testing::Pair("before", "1")));
}

TEST_F(MemoryTransportTest, CallsOutliveTheTransport) {
  std::shared_ptr<MemoryCall> call;
  Served served;
  {
    MemoryTransport transport(served.Table());
    call = transport.Call({.method = "/t/Unary"}, Bytes("hi"));
  }
  (*served.call.Wait())->Answer(Bytes("there"));
  EXPECT_EQ((*call->result())->ToString(), "there");
}

TEST_F(MemoryTransportTest, LettingGoOfAStreamCancelsIt) {
  { MemoryStream stream = Open(1); }
  EXPECT_THAT(handler_->story(), ElementsAre("writable", "done:lost"));
}

TEST_F(MemoryTransportTest, AHandlerMayEndTheStreamBeforeItIsOpen) {
  MethodTable table;
  table.streams["/t/Refuse"] = [](std::shared_ptr<Stream> stream) {
    stream->Finish(absl::UnauthenticatedError("who are you"));
    return std::make_shared<RecordingHandler>(stream);
  };
  MemoryTransport transport(std::move(table));
  MemoryStream stream = transport.Open({.method = "/t/Refuse"});
  EXPECT_THAT(*stream.status(), StatusIs(absl::StatusCode::kUnauthenticated));
}

}  // namespace
}  // namespace barid::edge
