#include "proxy/transaction_id.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/recall_handle.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

TransactionId SomeId() { return {ShardId(3), TopicId(11), {LogIndex{1} << 40, 7}}; }

class TransactionIdTest : public ::testing::Test {
 protected:
  std::optional<Reason> WhyNot(const std::string& id) {
    const auto decoded = DecodeTransactionId(id, keys_);
    return decoded.ok() ? std::nullopt : GetReason(decoded.status());
  }

  std::vector<SigningKey> keys_ = {{7, "old secret"}, {8, "new secret"}};
};

TEST_F(TransactionIdTest, ComesBackAsItWentWithAnyValidKey) {
  for (const SigningKey& key : keys_) {
    const auto id = DecodeTransactionId(EncodeTransactionId(SomeId(), key), keys_);
    ASSERT_TRUE(id.ok()) << id.status();
    EXPECT_EQ(*id, SomeId());
  }
}

TEST_F(TransactionIdTest, NoOtherKeyVerifies) {
  EXPECT_EQ(WhyNot(EncodeTransactionId(SomeId(), {8, "another secret"})), Reason::kInvalidTransactionId);
  EXPECT_EQ(WhyNot(EncodeTransactionId(SomeId(), {9, "retired"})), Reason::kInvalidTransactionId);
}

TEST_F(TransactionIdTest, EveryChangedBitIsRefused) {
  const std::string id = EncodeTransactionId(SomeId(), keys_[1]);
  for (size_t i = 0; i < id.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string forged = id;
      forged[i] = static_cast<char>(forged[i] ^ (1 << bit));
      EXPECT_EQ(WhyNot(forged), Reason::kInvalidTransactionId) << "character " << i << " bit " << bit;
    }
  }
}

TEST_F(TransactionIdTest, EveryOtherLengthIsRefusedAndWhatIsBlank) {
  const std::string id = EncodeTransactionId(SomeId(), keys_[1]);
  for (size_t size = 0; size < id.size(); ++size)
    EXPECT_EQ(WhyNot(id.substr(0, size)), Reason::kInvalidTransactionId) << size;
  for (const char* tail : {" ", "=", "==", "A", "\n", "AAAA"})
    EXPECT_EQ(WhyNot(id + tail), Reason::kInvalidTransactionId);
  for (const char* blank : {"", " ", "\t\n"}) EXPECT_EQ(WhyNot(blank), Reason::kInvalidTransactionId);
  EXPECT_EQ(WhyNot(std::string(1 << 20, 'A')), Reason::kInvalidTransactionId);
}

TEST_F(TransactionIdTest, ARecallHandleIsNoTransactionIdNorTheOtherWayRound) {
  const RecallHandle handle{ShardId(3), TopicId(11), {1, 2, 3}, ""};
  EXPECT_EQ(WhyNot(EncodeRecallHandle(handle, keys_[1])), Reason::kInvalidTransactionId);
  EXPECT_EQ(GetReason(DecodeRecallHandle(EncodeTransactionId(SomeId(), keys_[1]), keys_).status()),
            Reason::kBadRequest);
}

}  // namespace
}  // namespace barid::proxy
