#include "edge/call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace barid::edge {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(AddMetadataTest, TakesTextAndBytes) {
  Metadata metadata;
  EXPECT_TRUE(AddMetadata("a_b-c.d9", "~ !,", &metadata));
  EXPECT_TRUE(AddMetadata("a", "", &metadata));
  EXPECT_TRUE(AddMetadata("a-bin", " \xff\n", &metadata));
  EXPECT_THAT(metadata, ElementsAre(Pair("a_b-c.d9", "~ !,"), Pair("a", ""), Pair("a-bin", " \xff\n")));
}

TEST(AddMetadataTest, RefusesWhatIsNoText) {
  Metadata metadata;
  for (const std::string value : {" a", "a ", " ", "a\nb", "a\tb", "\x7f", "\x80", "\xc3\xa9"}) {
    EXPECT_FALSE(AddMetadata("key", value, &metadata)) << value;
  }
  EXPECT_FALSE(AddMetadata("key", std::string(1, '\0'), &metadata));
  EXPECT_TRUE(metadata.empty());
}

TEST(AddMetadataTest, RefusesWhatIsTooMuch) {
  Metadata metadata;
  const size_t cost = 32 + 3;
  EXPECT_FALSE(AddMetadata("key", std::string(kMostResponseMetadata - cost + 1, 'x'), &metadata));
  EXPECT_TRUE(AddMetadata("key", std::string(kMostResponseMetadata - 2 * cost, 'x'), &metadata));
  EXPECT_FALSE(AddMetadata("key", "x", &metadata));
  EXPECT_TRUE(AddMetadata("key", "", &metadata));
  EXPECT_EQ(metadata.size(), 2u);
}

TEST(AddMetadataTest, RichErrorsAreTheServices) {
  Metadata metadata;
  EXPECT_TRUE(AddMetadata("grpc-status-details-bin", "any", &metadata));
  EXPECT_EQ(metadata.size(), 1u);
}

TEST(AddMetadataDeathTest, KeysOfOthersAreABug) {
  Metadata metadata;
  for (const char* key : {"", "Key", "a b", "a:b", ":status", "caf\xc3\xa9"}) {
    EXPECT_DEATH(AddMetadata(key, "value", &metadata), "metadata with the key \"") << key;
  }
  for (const char* key : {"grpc-status", "grpc-", "content-type", "te", "connection", "transfer-encoding"}) {
    EXPECT_DEATH(AddMetadata(key, "value", &metadata), "which is the transport's") << key;
  }
}

}  // namespace
}  // namespace barid::edge
