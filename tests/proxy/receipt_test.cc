#include "proxy/receipt.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

Receipt SomeReceipt() {
  Receipt receipt;
  receipt.shard = ShardId(3);
  receipt.group = GroupId(11);
  receipt.queue = {DeadLetterTopicId(GroupId(5)), 7};
  receipt.offset = 1'000'000'000'000;
  receipt.attempt = 4;
  receipt.nonce = 99;
  receipt.auto_renew = true;
  return receipt;
}

class ReceiptTest : public ::testing::Test {
 protected:
  std::optional<Reason> WhyNot(const std::string& handle) {
    const auto receipt = DecodeReceipt(handle, keys_);
    return receipt.ok() ? std::nullopt : GetReason(receipt.status());
  }

  std::vector<SigningKey> keys_ = {{7, "old secret"}, {8, "new secret"}};
};

TEST_F(ReceiptTest, ComesBackAsItWent) {
  const std::string handle = EncodeReceipt(SomeReceipt(), keys_[1]);
  const auto receipt = DecodeReceipt(handle, keys_);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(*receipt, SomeReceipt());
  EXPECT_EQ(handle.size(), 96u);
}

TEST_F(ReceiptTest, TheNewestKeySignsAndAllVerify) {
  EXPECT_EQ(NewestKey(keys_)->id, 8u);
  EXPECT_EQ(NewestKey({}), nullptr);
  for (const SigningKey& key : keys_) EXPECT_TRUE(DecodeReceipt(EncodeReceipt(SomeReceipt(), key), keys_).ok());
}

TEST_F(ReceiptTest, AKeyThatWasRetiredVerifiesNoMore) {
  const std::string handle = EncodeReceipt(SomeReceipt(), keys_[0]);
  keys_.erase(keys_.begin());
  EXPECT_EQ(WhyNot(handle), Reason::kInvalidReceiptHandle);
}

TEST_F(ReceiptTest, AKeyOfAnotherClusterVerifiesNothing) {
  EXPECT_EQ(WhyNot(EncodeReceipt(SomeReceipt(), {8, "another secret"})), Reason::kInvalidReceiptHandle);
}

TEST_F(ReceiptTest, EveryChangedBitIsRefused) {
  const std::string handle = EncodeReceipt(SomeReceipt(), keys_[1]);
  for (size_t i = 0; i < handle.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string forged = handle;
      forged[i] = static_cast<char>(forged[i] ^ (1 << bit));
      EXPECT_EQ(WhyNot(forged), Reason::kInvalidReceiptHandle) << "character " << i << " bit " << bit;
    }
  }
}

TEST_F(ReceiptTest, EveryOtherLengthIsRefused) {
  const std::string handle = EncodeReceipt(SomeReceipt(), keys_[1]);
  for (size_t size = 0; size < handle.size(); ++size) {
    EXPECT_EQ(WhyNot(handle.substr(0, size)), Reason::kInvalidReceiptHandle) << size;
  }
  for (const char* tail : {" ", "=", "A", "\n", "AAAA"})
    EXPECT_EQ(WhyNot(handle + tail), Reason::kInvalidReceiptHandle);
  EXPECT_EQ(WhyNot(std::string(1 << 20, 'A')), Reason::kInvalidReceiptHandle);
}

}  // namespace
}  // namespace barid::proxy
