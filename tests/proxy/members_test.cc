#include "proxy/members.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace barid::proxy {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class MembersTest : public ::testing::Test {
 protected:
  MembersTest() {
    Metadata::Tables tables;
    for (const auto& [id, name] : {std::pair(1, "mine"), std::pair(2, "theirs"), std::pair(3, "stays")}) {
      GroupMetadata& group = tables.groups.emplace_back();
      group.id = GroupId(id);
      group.name = {"", name};
      if (id < 3) group.expire_after = absl::Minutes(1);
    }
    metadata_ = std::make_unique<Metadata>(std::move(tables));
  }

  std::unique_ptr<Metadata> metadata_;
  Members members_;
};

TEST_F(MembersTest, NamesTheGroupsThatExpireAndWereSeen) {
  for (const char* name : {"mine", "stays", "unknown"}) members_.Seen(*metadata_, {"", name});
  EXPECT_THAT(members_.Take(), UnorderedElementsAre(GroupId(1)));
  EXPECT_THAT(members_.Take(), IsEmpty());
}

TEST_F(MembersTest, AReceiveThatWaitsIsAMemberUntilItsEnd) {
  EXPECT_FALSE(members_.Begin(*metadata_, GroupId(3)));
  ASSERT_TRUE(members_.Begin(*metadata_, GroupId(1)));
  ASSERT_TRUE(members_.Begin(*metadata_, GroupId(1)));
  members_.Seen(*metadata_, {"", "theirs"});
  EXPECT_THAT(members_.Take(), UnorderedElementsAre(GroupId(1), GroupId(2)));
  members_.End(GroupId(1));
  EXPECT_THAT(members_.Take(), UnorderedElementsAre(GroupId(1)));
  EXPECT_THAT(members_.Take(), UnorderedElementsAre(GroupId(1)));
  members_.End(GroupId(1));
  EXPECT_THAT(members_.Take(), UnorderedElementsAre(GroupId(1))) << "it was one until now";
  EXPECT_THAT(members_.Take(), IsEmpty());
}

}  // namespace
}  // namespace barid::proxy
