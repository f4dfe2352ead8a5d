#include "proxy/recall_handle.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/receipt.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

RecallHandle SomeHandle(const std::string& message_id = "01ABCDEF") {
  return {ShardId(3), TopicId(11), {1'800'000'000'123'456, LogIndex{1} << 40, 7}, message_id};
}

class RecallHandleTest : public ::testing::Test {
 protected:
  std::optional<Reason> WhyNot(const std::string& handle) {
    const auto decoded = DecodeRecallHandle(handle, keys_);
    return decoded.ok() ? std::nullopt : GetReason(decoded.status());
  }

  std::vector<SigningKey> keys_ = {{7, "old secret"}, {8, "new secret"}};
};

TEST_F(RecallHandleTest, ComesBackAsItWentWhateverTheMessagesId) {
  for (const std::string& id :
       {std::string(), std::string("1"), std::string("12"), std::string("\0\xff", 2), std::string(255, 'x')}) {
    const auto handle = DecodeRecallHandle(EncodeRecallHandle(SomeHandle(id), keys_[1]), keys_);
    ASSERT_TRUE(handle.ok()) << handle.status();
    EXPECT_EQ(*handle, SomeHandle(id));
  }
}

TEST_F(RecallHandleTest, AnyValidKeyVerifiesAndNoOther) {
  for (const SigningKey& key : keys_) EXPECT_EQ(WhyNot(EncodeRecallHandle(SomeHandle(), key)), std::nullopt);
  EXPECT_EQ(WhyNot(EncodeRecallHandle(SomeHandle(), {8, "another secret"})), Reason::kBadRequest);
  EXPECT_EQ(WhyNot(EncodeRecallHandle(SomeHandle(), {9, "retired"})), Reason::kBadRequest);
}

TEST_F(RecallHandleTest, EveryChangedBitIsRefused) {
  for (const char* id : {"1", "12", "123"}) {
    const std::string handle = EncodeRecallHandle(SomeHandle(id), keys_[1]);
    for (size_t i = 0; i < handle.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string forged = handle;
        forged[i] = static_cast<char>(forged[i] ^ (1 << bit));
        EXPECT_EQ(WhyNot(forged), Reason::kBadRequest) << "character " << i << " bit " << bit;
      }
    }
  }
}

TEST_F(RecallHandleTest, EveryOtherLengthIsRefused) {
  const std::string handle = EncodeRecallHandle(SomeHandle(), keys_[1]);
  for (size_t size = 0; size < handle.size(); ++size)
    EXPECT_EQ(WhyNot(handle.substr(0, size)), Reason::kBadRequest) << size;
  for (const char* tail : {" ", "=", "==", "A", "\n", "AAAA"}) EXPECT_EQ(WhyNot(handle + tail), Reason::kBadRequest);
  EXPECT_EQ(WhyNot(std::string(1 << 20, 'A')), Reason::kBadRequest);
}

TEST_F(RecallHandleTest, AReceiptIsNoRecallHandleNorTheOtherWayRound) {
  EXPECT_EQ(WhyNot(EncodeReceipt(Receipt(), keys_[1])), Reason::kBadRequest);
  // As long as a receipt.
  const std::string handle = EncodeRecallHandle(SomeHandle("0123456789abc"), keys_[1]);
  ASSERT_EQ(handle.size(), 96u);
  EXPECT_EQ(GetReason(DecodeReceipt(handle, keys_).status()), Reason::kInvalidReceiptHandle);
}

}  // namespace
}  // namespace barid::proxy
