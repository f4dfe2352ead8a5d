#include "base/bytes.h"

#include <gtest/gtest.h>

namespace barid {
namespace {

TEST(BufferTest, ASliceKeepsTheBytesAlive) {
  Buffer slice;
  {
    const Buffer whole(std::string(1000, 'a') + "tail");
    slice = whole.Slice(1000, 4);
  }
  EXPECT_EQ(slice.view(), "tail");
}

TEST(BufferTest, CopiesShareTheBytes) {
  const Buffer a(std::string("some bytes"));
  const Buffer b = a;
  EXPECT_EQ(a.data(), b.data());
}

TEST(BufferTest, BorrowsFromAnyOwner) {
  auto owner = std::make_shared<const std::string>("owned elsewhere");
  const Buffer buffer(owner, absl::string_view(*owner).substr(6));
  EXPECT_EQ(owner.use_count(), 2);
  EXPECT_EQ(buffer.view(), "elsewhere");
}

TEST(BytesTest, IsEmptyAtFirstAndSkipsEmptyParts) {
  Bytes bytes;
  bytes.Append(Buffer());
  EXPECT_TRUE(bytes.empty());
  EXPECT_EQ(bytes.parts().size(), 0u);
  EXPECT_EQ(bytes.Flatten().view(), "");
}

TEST(BytesTest, JoinsPartsInOrder) {
  Bytes bytes(std::string("a"));
  bytes.Append(Buffer(std::string("bc")));
  Bytes all(std::string("-"));
  all.Append(bytes);
  EXPECT_EQ(all.size(), 4u);
  EXPECT_EQ(all.ToString(), "-abc");
  EXPECT_EQ(all.Flatten().view(), "-abc");
}

TEST(BytesTest, FlattenOfOnePartCopiesNothing) {
  const Buffer part(std::string("a part"));
  EXPECT_EQ(Bytes(part).Flatten().data(), part.data());
}

}  // namespace
}  // namespace barid
