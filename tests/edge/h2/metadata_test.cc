// Metadata of the server, as they are on the wire. That clients see them, seam_test.h holds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "edge/h2/h2_server.h"
#include "tests/edge/h2/frame_client.h"

namespace barid::edge::h2 {
namespace {

using testing::ElementsAre;
using testing::Pair;

class MetadataTest : public testing::Test {
 protected:
  MetadataTest() {
    MethodTable table = served_.Table();
    table.unary["/t/Hold"] = [this](std::unique_ptr<UnaryCall> call) {
      TellBack(call.get());
      call->AnswerInTime(Bytes("late"));
      held_.Set(std::move(call));
    };
    // Ends before it begins.
    table.streams["/t/Over"] = [](std::shared_ptr<Stream> stream) {
      TellBack(stream.get());
      stream->Finish(absl::NotFoundError("nothing"));
      return std::make_shared<RecordingHandler>(std::move(stream));
    };
    server_ = *ServeH2({.address = "127.0.0.1:0"}, std::move(table));
    client_ = std::make_unique<FrameClient>(server_->address());
    client_->Begin();
  }
  ~MetadataTest() override {
    client_ = nullptr;
    server_ = nullptr;
  }

  // The whole of a call on the next stream.
  const Answer& Call(const std::string& path, Headers more) {
    Send(path, std::move(more));
    return client_->Await(stream_);
  }
  void Send(const std::string& path, Headers more, const std::string& message = "x") {
    stream_ += 2;
    client_->Write(
        FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream_, HeaderBlock(RequestHeaders(path, more))) +
        FrameBytes(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream_, Message(message)));
  }
  // Of the last call: "H" for headers, "D" for data, "." for the end of the stream.
  std::string Frames() {
    std::string all;
    for (const Frame& frame : client_->frames()) {
      if (frame.stream != stream_) continue;
      all += frame.type == NGHTTP2_HEADERS ? "H" : frame.type == NGHTTP2_DATA ? "D" : "?";
      if ((frame.flags & NGHTTP2_FLAG_END_STREAM) != 0) all += ".";
    }
    return all;
  }

  Served served_;
  Promise<std::shared_ptr<UnaryCall>> held_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<FrameClient> client_;
  uint32_t stream_ = static_cast<uint32_t>(-1);
};

TEST_F(MetadataTest, StandBesideWhatTheTransportSays) {
  EXPECT_THAT(Call("/t/Echo", {{"first-bin", "AP8"}, {"last-text", "z"}, {"last-bin", "/w=="}}).headers,
              ElementsAre(Pair(":status", "200"), Pair("content-type", "application/grpc"), Pair("first-bin", "AP8"),
                          Pair("grpc-status", "0"), Pair("last-text", "z"), Pair("last-bin", "/w")));
  EXPECT_EQ(Frames(), "HDH.");
}

// As much as every client takes, and no half of a character: here the 2,048th byte is the first half of one.
TEST_F(MetadataTest, OfALongStatusMessageTheBeginningArrives) {
  std::string message = "x";
  std::string arrives = "x";
  for (int i = 0; i < 1500; ++i) {
    message += "\u00e9";
    if (i < 1023) arrives += "%C3%A9";
  }
  Send("/t/Fail", {}, message);
  EXPECT_THAT(client_->Await(stream_).headers, testing::Contains(Pair("grpc-message", arrives)));
  EXPECT_EQ(Frames(), "H.");
}

TEST_F(MetadataTest, AreNotOfTheNextCall) {
  Call("/t/Echo", {{"first-text", "a"}, {"last-text", "z"}});
  EXPECT_THAT(Call("/t/Echo", {}).headers,
              ElementsAre(Pair(":status", "200"), Pair("content-type", "application/grpc"), Pair("grpc-status", "0")));
  EXPECT_EQ(Frames(), "HDH.");
}

TEST_F(MetadataTest, GoWithAnErrorInOneBlock) {
  EXPECT_THAT(Call("/t/Fail", {{"last-bin", "AP8"}}).headers,
              ElementsAre(Pair(":status", "200"), Pair("content-type", "application/grpc"), Pair("grpc-status", "10"),
                          Pair("grpc-message", "x"), Pair("last-bin", "AP8")));
  EXPECT_EQ(Frames(), "H.");
  EXPECT_THAT(Call("/t/Over", {{"last-bin", "AP8"}}).headers,
              ElementsAre(Pair(":status", "200"), Pair("content-type", "application/grpc"), Pair("grpc-status", "5"),
                          Pair("grpc-message", "nothing"), Pair("last-bin", "AP8")));
  EXPECT_EQ(Frames(), "H.");
}

TEST_F(MetadataTest, InitialOnesOfAnErrorHaveABlockOfTheirOwn) {
  const std::vector<std::string> paths = {"/t/Fail", "/t/Over"};
  for (const std::string& path : paths) {
    const Answer& answer = Call(path, {{"first-text", "a"}, {"last-text", "z"}});
    EXPECT_EQ(answer.Header("first-text"), "a");
    EXPECT_EQ(answer.Header("last-text"), "z");
    EXPECT_NE(answer.Header("grpc-status"), "0");
    EXPECT_EQ(answer.body, "");
    EXPECT_THAT(Frames(), testing::AnyOf("HH.", "HDH."));  // libnghttp2 may send no data as a frame.
  }
}

TEST_F(MetadataTest, GoWithTheDeadlineOfAStream) {
  const Answer& answer = Call("/t/Stream", {{"grpc-timeout", "50m"}, {"first-text", "a"}, {"last-text", "z"}});
  EXPECT_EQ(answer.Header("grpc-status"), "4");
  EXPECT_EQ(answer.Header("first-text"), "a");
  EXPECT_EQ(answer.Header("last-text"), "z");
}

TEST_F(MetadataTest, OfAnAnswerInTimeAreThoseAddedBeforeIt) {
  Send("/t/Hold", {{"grpc-timeout", "400m"}, {"first-text", "a"}, {"last-text", "z"}});
  const std::shared_ptr<UnaryCall> call = held_.Wait().value_or(nullptr);
  ASSERT_NE(call, nullptr);
  call->AddTrailing("after", "1");
  const Answer& answer = client_->Await(stream_);
  EXPECT_EQ(answer.body, Message("late"));
  EXPECT_EQ(answer.Header("first-text"), "a");
  EXPECT_EQ(answer.Header("last-text"), "z");
  EXPECT_EQ(answer.Header("after"), "");
  call->AddTrailing("too", "late");
  call->Answer(Bytes("at last"));
}

TEST_F(MetadataTest, OfTheHandlersAnswerAreAllOfThem) {
  Send("/t/Hold", {{"grpc-timeout", "1H"}, {"last-text", "z"}});
  const std::shared_ptr<UnaryCall> call = held_.Wait().value_or(nullptr);
  ASSERT_NE(call, nullptr);
  call->AddTrailing("after", "1");
  call->Answer(Bytes("soon"));
  const Answer& answer = client_->Await(stream_);
  EXPECT_EQ(answer.body, Message("soon"));
  EXPECT_EQ(answer.Header("last-text"), "z");
  EXPECT_EQ(answer.Header("after"), "1");
}

TEST_F(MetadataTest, AsManyAsThereMayBeArrive) {
  Send("/t/Hold", {});
  const std::shared_ptr<UnaryCall> call = held_.Wait().value_or(nullptr);
  ASSERT_NE(call, nullptr);
  int pairs = 0;
  while (call->AddInitial("a", "1") && call->AddTrailing("z-bin", "1")) ++pairs;
  EXPECT_GT(pairs, 200);
  call->Fail(absl::AbortedError(std::string(1000, '%')));
  const Answer& answer = client_->Await(stream_);
  EXPECT_EQ(answer.Header("grpc-status"), "10");
  EXPECT_GT(answer.headers.size(), static_cast<size_t>(2 * pairs));
}

}  // namespace
}  // namespace barid::edge::h2
