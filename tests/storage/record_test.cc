#include "storage/record.h"

#include <string>

#include "base/random.h"
#include "storage/record_search.h"
#include "tests/storage/testing.h"

namespace barid::storage {
namespace {

constexpr uint64_t kLogId = 42;

RecordHeader Header(LogIndex index, LogIndex durable) {
  RecordHeader header;
  header.epoch = 3;
  header.type = 7;
  header.flags = 1;
  header.index = index;
  header.time_us = 1'000'000;
  header.prev_chain = 99;
  header.durable = durable;
  return header;
}

std::string Encode(const RecordHeader& header, const std::string& payload, uint64_t* chain = nullptr) {
  std::string bytes(kRecordHeaderBytes, '\0');
  const uint64_t behind = EncodeRecordHeader(kLogId, header, Bytes(payload), bytes.data());
  if (chain != nullptr) *chain = behind;
  bytes += payload;
  bytes.resize(RecordSize(payload.size()));
  return bytes;
}

TEST(RecordTest, ComesBackAsItWasWritten) {
  uint64_t chain = 0;
  const std::string bytes = Encode(Header(5, 4), "payload", &chain);
  const std::string with_more = bytes + "what follows";
  const absl::StatusOr<RecordView> view = DecodeRecord(kLogId, with_more);
  ASSERT_THAT(view, IsOk());
  EXPECT_EQ(view->payload, "payload");
  EXPECT_EQ(view->size(), bytes.size());
  EXPECT_EQ(view->header.index, 5u);
  EXPECT_EQ(view->header.durable, 4u);
  EXPECT_EQ(view->header.epoch, 3u);
  EXPECT_EQ(view->header.type, 7);
  EXPECT_EQ(view->header.flags, 1);
  EXPECT_EQ(view->header.time_us, 1'000'000);
  EXPECT_EQ(RecordChain(view->header, view->payload), chain);
}

TEST(RecordTest, HasTheBytesOfTheFormatPage) {
  std::string bytes = Encode(Header(5, 4), "payload");
  ASSERT_EQ(bytes.size(), 56u);
  EXPECT_EQ(bytes[0], 7);                                              // length
  EXPECT_EQ(bytes.substr(8, 4), std::string("\3\0\0\0", 4));           // epoch
  EXPECT_EQ(bytes.substr(12, 4), std::string("\7\0\1\0", 4));          // type, flags
  EXPECT_EQ(bytes.substr(16, 8), std::string("\5\0\0\0\0\0\0\0", 8));  // index
  EXPECT_EQ(bytes.substr(40, 8), std::string("\4\0\0\0\0\0\0\0", 8));  // durable
  EXPECT_EQ(bytes.substr(48), std::string("payload\0", 8));
}

TEST(RecordTest, EveryFlippedBitButThePaddingsIsSeen) {
  const std::string bytes = Encode(Header(5, 4), "payload");
  const size_t end = kRecordHeaderBytes + 7;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_EQ(DecodeRecord(kLogId, flipped).ok(), bit / 8 >= end) << "bit " << bit;
  }
}

TEST(RecordTest, OfAnotherLogIsNone) {
  const std::string bytes = Encode(Header(5, 4), "payload");
  EXPECT_THAT(DecodeRecord(kLogId + 1, bytes), Fails(absl::StatusCode::kDataLoss));
}

TEST(RecordTest, ItsLengthIsBelievedOnlyWithinTheBytes) {
  const std::string bytes = Encode(Header(5, 4), "payload");
  for (size_t size = 0; size < kRecordHeaderBytes + 7; ++size) {
    EXPECT_THAT(DecodeRecord(kLogId, absl::string_view(bytes).substr(0, size)), Fails(absl::StatusCode::kDataLoss));
  }
}

TEST(RecordTest, ZerosAreNone) {
  EXPECT_THAT(DecodeRecord(0, std::string(4096, '\0')), FailsWith(absl::StatusCode::kDataLoss, "zeros"));
}

TEST(RecordTest, ChainsDifferByContentAndNotByWhatIsLocal) {
  uint64_t chain = 0, other_payload = 0, other_header = 0, other_local = 0;
  Encode(Header(5, 4), "payload", &chain);
  Encode(Header(5, 4), "qayload", &other_payload);
  Encode(Header(6, 4), "payload", &other_header);
  Encode(Header(5, 3), "payload", &other_local);
  EXPECT_NE(chain, other_payload);
  EXPECT_NE(chain, other_header);
  EXPECT_EQ(chain, other_local);
}

TEST(RecordTest, PiecesMakeNoDifference) {
  Bytes parts(std::string("pay"));
  parts.Append(Buffer(std::string("load")));
  char in_parts[kRecordHeaderBytes], whole[kRecordHeaderBytes];
  EXPECT_EQ(EncodeRecordHeader(kLogId, Header(5, 4), parts, in_parts),
            EncodeRecordHeader(kLogId, Header(5, 4), Bytes(std::string("payload")), whole));
  EXPECT_EQ(absl::string_view(in_parts, sizeof(in_parts)), absl::string_view(whole, sizeof(whole)));
}

// --- The search for proof ---

std::string Noise(SeededRandom* random, size_t bytes) { return random->Bytes(bytes / 8 * 8); }

TEST(RecordSearchTest, FindsProofAmongNoiseHoweverItIsCutUp) {
  SeededRandom random(1);
  for (int round = 0; round < 50; ++round) {
    const std::string before = Noise(&random, random.Below(5000));
    const std::string all = before + Encode(Header(20, 10), random.Bytes(random.Below(3000))) + Noise(&random, 500);
    RecordSearch search(kLogId, 10);
    for (size_t at = 0; at < all.size();) {
      const size_t size = 1 + random.Below(700);
      search.Feed(absl::string_view(all).substr(at, size));
      at += size;
    }
    ASSERT_TRUE(search.proof().has_value()) << "round " << round;
    EXPECT_EQ(search.proof()->offset, before.size());
    EXPECT_EQ(search.proof()->index, 20u);
    EXPECT_EQ(search.proof()->durable, 10u);
  }
}

TEST(RecordSearchTest, RecordsWrittenBeforeTheBadOneWasDurableAreNoProof) {
  RecordSearch search(kLogId, 10);
  EXPECT_FALSE(search.Feed(Encode(Header(11, 9), "a") + Encode(Header(12, 9), "b")));
}

TEST(RecordSearchTest, RecordsOfAnotherLogAreNoProof) {
  RecordSearch search(kLogId + 1, 10);
  EXPECT_FALSE(search.Feed(Encode(Header(20, 15), "a")));
}

TEST(RecordSearchTest, FindsARecordInsideABadOnesPayload) {
  // The length of the bad record cannot be believed, nor that of any header in it.
  RecordHeader liar = Header(30, 25);
  std::string bytes = Encode(liar, std::string(64, 'x'));
  bytes[0] = 127;
  bytes += Encode(Header(20, 15), "");
  RecordSearch search(kLogId, 10);
  EXPECT_TRUE(search.Feed(bytes));
  EXPECT_EQ(search.proof()->index, 20u);
}

TEST(RecordSearchTest, IsOnePassOverBytesFullOfHeadersThatClaimMegabytes) {
  std::string forged;
  RecordHeader header = Header(20, 15);
  header.length = 4 << 20;
  std::string one(kRecordHeaderBytes, '\0');
  std::memcpy(one.data(), &header, sizeof(header));
  while (forged.size() < size_t{8} << 20) forged += one;  // 170,000 of them: 700 GB, checked one by one.
  RecordSearch search(kLogId, 10);
  EXPECT_FALSE(search.Feed(forged));
}

}  // namespace
}  // namespace barid::storage
