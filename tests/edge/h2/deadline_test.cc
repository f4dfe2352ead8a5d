// What a unary call is answered when nobody has answered it and its deadline is near.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "edge/h2/h2_server.h"
#include "tests/edge/h2/frame_client.h"

namespace barid::edge::h2 {
namespace {

constexpr uint8_t kEndHeaders = NGHTTP2_FLAG_END_HEADERS;

class DeadlineTest : public testing::Test {
 protected:
  DeadlineTest() {
    MethodTable table;
    table.unary["/t/Hold"] = [this](std::unique_ptr<UnaryCall> call) {
      call->AnswerInTime(Bytes("late"));
      MutexLock lock(&mu_);
      held_.push_back(std::move(call));
    };
    table.unary["/t/Answer"] = [](std::unique_ptr<UnaryCall> call) {
      call->AnswerInTime(Bytes("late"));
      call->Answer(Bytes("in time"));
    };
    table.unary["/t/Large"] = [](std::unique_ptr<UnaryCall> call) {
      call->Answer(Bytes(std::string(size_t{1} << 20, 'x')));
    };
    server_ = *ServeH2({.address = "127.0.0.1:0"}, std::move(table));
    client_ = std::make_unique<FrameClient>(server_->address());
    client_->Begin();
  }
  ~DeadlineTest() override {
    client_ = nullptr;
    server_ = nullptr;
  }

  void Call(uint32_t stream, const std::string& path, const std::string& timeout = "") {
    Headers more;
    if (!timeout.empty()) more = {{"grpc-timeout", timeout}};
    client_->Write(FrameBytes(NGHTTP2_HEADERS, kEndHeaders, stream, HeaderBlock(RequestHeaders(path, more))) +
                   FrameBytes(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Message("x")));
  }
  void ExpectAnswer(uint32_t stream, absl::string_view text) {
    const Answer& answer = client_->Await(stream);
    EXPECT_EQ(answer.body, Message(text)) << stream;
    EXPECT_EQ(answer.Header("grpc-status"), "0") << stream;
  }
  std::vector<std::unique_ptr<UnaryCall>> TakeHeld() {
    MutexLock lock(&mu_);
    return std::exchange(held_, {});
  }

  Mutex mu_;
  std::vector<std::unique_ptr<UnaryCall>> held_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Server> server_;
  std::unique_ptr<FrameClient> client_;
};

TEST_F(DeadlineTest, WhatIsNotAnsweredIsAnsweredInTime) {
  Call(1, "/t/Hold", "1H");
  Call(3, "/t/Hold", "400m");  // Rings before the first,
  Call(5, "/t/Hold", "100m");  // and this one before both.
  Call(7, "/t/Hold");
  ExpectAnswer(5, "late");
  ExpectAnswer(3, "late");
  EXPECT_FALSE(client_->answer(1).is_over());
  EXPECT_FALSE(client_->answer(7).is_over());
  // What comes afterwards is for those who have heard nothing.
  std::vector<std::unique_ptr<UnaryCall>> held = TakeHeld();
  ASSERT_EQ(held.size(), 4u);
  for (const auto& call : held) call->Answer(Bytes("at last"));
  held.clear();
  ExpectAnswer(1, "at last");
  ExpectAnswer(7, "at last");
  ExpectAnswer(3, "late");
  // Calls are used again, with nothing of their first life.
  for (uint32_t stream = 9; stream < 17; stream += 2) Call(stream, "/t/Hold", stream < 13 ? "100m" : "");
  for (uint32_t stream = 9; stream < 13; stream += 2) ExpectAnswer(stream, "late");
  EXPECT_FALSE(client_->answer(13).is_over());
  EXPECT_FALSE(client_->answer(15).is_over());
}

TEST_F(DeadlineTest, WhatIsAnsweredIsNotAnsweredAgain) {
  Call(1, "/t/Answer", "100m");
  ExpectAnswer(1, "in time");
  Call(3, "/t/Hold", "200m");  // Its answer comes when the first one's time has come, too.
  ExpectAnswer(3, "late");
  ExpectAnswer(1, "in time");
}

TEST_F(DeadlineTest, ACallThatWasTakenBackIsForgotten) {
  Call(1, "/t/Hold", "100m");
  client_->Write(Reset(1, NGHTTP2_CANCEL));
  Call(3, "/t/Hold", "200m");
  ExpectAnswer(3, "late");
  EXPECT_TRUE(client_->answer(1).headers.empty());
  TakeHeld().clear();  // Nobody hears of it.
}

// The late answer waits in the server for a peer that does not read, while the handler answers and lets go.
TEST_F(DeadlineTest, TheHandlerMayAnswerWhileTheLateAnswerHasYetToLeave) {
  for (const bool closes : {false, true}) {
    FrameClient client(server_->address());
    client.set_opens_windows(false);
    client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff));
    client.Write(WindowUpdate(0, 0x7fffffff - 65535));
    // Fills the socket in both directions, and more; but not the 64 MiB that a connection may hold, if none has left
    // yet.
    uint32_t stream = 1;
    for (; stream < 97; stream += 2) client.Write(Request(stream, "/t/Large", "x"));
    client.Write(FrameBytes(NGHTTP2_HEADERS, kEndHeaders, stream,
                            HeaderBlock(RequestHeaders("/t/Hold", {{"grpc-timeout", "100m"}}))) +
                 FrameBytes(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Message("x")));
    std::vector<std::unique_ptr<UnaryCall>> held;
    while (held.empty()) held = TakeHeld();
    // Another connection's late answer comes when this one's is in frames.
    Call(closes ? 3 : 1, "/t/Hold", "300m");
    ExpectAnswer(closes ? 3 : 1, "late");
    held[0]->Answer(Bytes("at last"));
    held.clear();
    for (const auto& call : TakeHeld()) call->Answer(Bytes("at last"));
    if (closes) continue;
    client.set_keeps_frames(false);
    EXPECT_EQ(client.Await(stream).body, Message("late"));
  }
}

TEST_F(DeadlineTest, TheConnectionMayGoBefore) {
  Call(1, "/t/Hold", "200m");
  client_->Settle();
  client_ = std::make_unique<FrameClient>(server_->address());
  client_->Begin();
  Call(1, "/t/Hold", "300m");
  ExpectAnswer(1, "late");
}

}  // namespace
}  // namespace barid::edge::h2
