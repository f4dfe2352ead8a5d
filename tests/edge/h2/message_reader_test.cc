#include "edge/h2/message_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/status_matchers.h"
#include "tests/edge/h2/frame_client.h"

namespace barid::edge::h2 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// All messages in `pieces`.
std::vector<std::string> ReadAll(MessageReader* reader, const std::vector<std::string>& pieces) {
  std::vector<std::string> messages;
  for (const std::string& piece : pieces) {
    absl::string_view left = piece;
    while (true) {
      const absl::StatusOr<bool> whole = reader->Read(&left);
      EXPECT_THAT(whole, IsOk());
      if (!whole.ok()) return messages;
      if (!*whole) break;
      messages.push_back(reader->Take().ToString());
      if (left.empty()) break;
    }
    EXPECT_TRUE(left.empty());
  }
  return messages;
}

TEST(MessageReaderTest, PutsTogetherWhatIsCutAnywhere) {
  const std::string bytes = Message("first") + Message("") + Message("second one");
  for (size_t a = 0; a <= bytes.size(); ++a) {
    for (size_t b = a; b <= bytes.size(); ++b) {
      MessageReader reader(100);
      const std::vector<std::string> pieces = {bytes.substr(0, a), bytes.substr(a, b - a), bytes.substr(b)};
      std::vector<std::string> there;
      for (const std::string& piece : pieces) {
        if (!piece.empty()) there.push_back(piece);  // The connection is told of no empty pieces.
      }
      EXPECT_THAT(ReadAll(&reader, there), ElementsAre("first", "", "second one")) << a << " " << b;
      EXPECT_TRUE(reader.is_empty());
    }
  }
}

TEST(MessageReaderTest, TakesOneByteAtATime) {
  MessageReader reader(100);
  std::vector<std::string> pieces;
  for (const char byte : Message("abc") + Message("d")) pieces.emplace_back(1, byte);
  EXPECT_THAT(ReadAll(&reader, pieces), ElementsAre("abc", "d"));
}

TEST(MessageReaderTest, KnowsWhetherItStandsBetweenMessages) {
  MessageReader reader(100);
  EXPECT_TRUE(reader.is_empty());
  absl::string_view one("\0", 1);
  EXPECT_THAT(reader.Read(&one), IsOkAndHolds(false));
  EXPECT_FALSE(reader.is_empty());
  reader.Reset();
  EXPECT_TRUE(reader.is_empty());
  EXPECT_THAT(ReadAll(&reader, {Message("x")}), ElementsAre("x"));
}

TEST(MessageReaderTest, TakesTheLargestAndRefusesOneByteMore) {
  MessageReader fits(10);
  EXPECT_THAT(ReadAll(&fits, {Message("0123456789")}), ElementsAre("0123456789"));
  MessageReader refuses(10);
  const std::string prefix = Message("0123456789a").substr(0, 5);
  absl::string_view left = prefix;
  EXPECT_THAT(refuses.Read(&left),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("larger than max (11 vs. 10)")));
}

TEST(MessageReaderTest, RefusesTheLargestLengthThereIs) {
  MessageReader reader(size_t{20} << 20);
  absl::string_view left("\0\xff\xff\xff\xff", 5);
  EXPECT_THAT(reader.Read(&left), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(MessageReaderTest, RefusesCompressedMessages) {
  for (const char flag : {'\x01', '\x02', '\xff'}) {
    MessageReader reader(100);
    std::string bytes = Message("abc");
    bytes[0] = flag;
    absl::string_view left = bytes;
    EXPECT_THAT(reader.Read(&left), StatusIs(absl::StatusCode::kInternal, HasSubstr("compressed")));
  }
}

}  // namespace
}  // namespace barid::edge::h2
