#include "proxy/explanation.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr GroupId kGroup{1};
constexpr TopicId kTopic{1};

class ExplanationTest : public ::testing::Test {
 protected:
  ExplanationTest() {
    MessageDraft draft;
    draft.message_id = "m";
    draft.tag = "paid";
    draft.properties = {{"region", "eu"}};
    draft.body = "body";
    stored_ = EncodeStoredMessage(draft);
    GroupMetadata& group = tables_.groups.emplace_back();
    group.id = kGroup;
    group.name = {"blue", "billing"};
    TopicMetadata& topic = tables_.topics.emplace_back();
    topic.id = kTopic;
    topic.name = {"blue", "orders"};
  }

  // Of the message, which stands so for the group. A receive waits that takes everything, unless the standing says
  // else.
  std::vector<std::string> ReasonsOf(GroupStanding standing, bool somebody_waits = true) {
    standing.group = kGroup;
    standing.queue = {kTopic, 0};
    if (somebody_waits && standing.waiting.empty()) standing.waiting.push_back({{}, "", 1});
    const Explanation explanation(std::make_shared<const Metadata>(tables_), reads_, &cache_, /*max_tags=*/16);
    const StoredMessageView message = DecodeStoredMessage(stored_.view()).value();
    return explanation.ReasonsOf(standing, can_read_ ? &message : nullptr);
  }
  static GroupStanding Standing(const std::string& word, const std::string& detail = "") {
    GroupStanding standing;
    standing.standing = word;
    standing.detail = detail;
    return standing;
  }
  static GroupStanding Waiting(const std::vector<WaitingFilter>& filters, const std::string& word = "ready_again") {
    GroupStanding standing = Standing(word);
    standing.waiting = filters;
    return standing;
  }

  Metadata::Tables tables_;
  std::vector<ClientRead> reads_;
  filter::FilterCache cache_{1 << 20};
  Buffer stored_;
  bool can_read_ = true;
};

TEST_F(ExplanationTest, SaysNothingOfWhatIsDoneOrInFlight) {
  tables_.groups[0].paused = true;
  EXPECT_THAT(ReasonsOf(Standing("settled", "acknowledged"), false), IsEmpty());
  EXPECT_THAT(ReasonsOf(Standing("gone"), false), IsEmpty());
  EXPECT_THAT(ReasonsOf(Standing("in_flight"), false), IsEmpty());
}

TEST_F(ExplanationTest, SaysNothingIfNothingIsInTheWay) {
  EXPECT_THAT(ReasonsOf(Standing("ready_again")), IsEmpty());
  EXPECT_THAT(ReasonsOf(Waiting({{{"new", "paid"}, "", 1}, {{}, "region = 'eu'", 1}})), IsEmpty());
}

TEST_F(ExplanationTest, SaysThatTheGroupIsPaused) {
  tables_.groups[0].paused = true;
  EXPECT_THAT(ReasonsOf(Standing("not_reached")), ElementsAre(HasSubstr("the group is paused")));
}

TEST_F(ExplanationTest, NamesTheMessageThatIsWaitedFor) {
  GroupStanding standing = Standing("parked");
  standing.blocked_by = GroupStanding::Blocker{7, "first", "ann", 2, absl::FromUnixSeconds(1'800'000'000)};
  EXPECT_THAT(ReasonsOf(standing),
              ElementsAre("it waits for the message first of its message group, at offset 7, which is in flight: last "
                          "delivered to ann, attempt 2, invisible until 2027-01-15T08:00:00.000Z"));
  standing.blocked_by->until = absl::InfinitePast();
  EXPECT_THAT(ReasonsOf(standing), ElementsAre(HasSubstr("came back from ann")));
  standing.blocked_by = GroupStanding::Blocker();
  standing.blocked_by->offset = 7;
  EXPECT_THAT(ReasonsOf(standing),
              ElementsAre(HasSubstr("(unreadable) of its message group, at offset 7, which is to")));
}

TEST_F(ExplanationTest, SaysUntilWhenItIsDelayed) {
  GroupStanding standing = Standing("delayed");
  standing.until = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_THAT(ReasonsOf(standing), ElementsAre(HasSubstr("to come again at 2027-01-15T08:00:00.000Z")));
}

TEST_F(ExplanationTest, NamesTheFiltersThatDoNotTakeIt) {
  EXPECT_THAT(ReasonsOf(Waiting({{{"new", "old"}, "", 3}})),
              ElementsAre("the group's current filter \"new || old\" does not take it"));
  EXPECT_THAT(ReasonsOf(Waiting({{{}, "region = 'us'", 1}})),
              ElementsAre("the group's current filter \"region = 'us'\" does not take it"));
  EXPECT_THAT(ReasonsOf(Waiting({{{}, "region > 5", 1}})), ElementsAre(HasSubstr("region > 5\" does not take it (")));
  EXPECT_THAT(ReasonsOf(Waiting({{{"new"}, "", 1}, {{}, "region = 'eu'", 1}})),
              ElementsAre(HasSubstr("\"new\" does not take it, but another of its filters does")));
  // Also of one that was filtered out, which is all that can be said of it.
  GroupStanding passed_over = Waiting({{{"new"}, "", 1}}, "settled");
  passed_over.detail = "filtered_out";
  EXPECT_THAT(ReasonsOf(passed_over), ElementsAre(HasSubstr("\"new\" does not take it")));
  can_read_ = false;
  EXPECT_THAT(ReasonsOf(passed_over), IsEmpty());
}

TEST_F(ExplanationTest, CountsWhatItDoesNotShow) {
  for (int i = 10; i < 50; ++i) {
    reads_.push_back({{"blue", "billing"}, {"blue", "orders"}, false, absl::StrCat("tag", i)});
  }
  const std::vector<std::string> reasons = ReasonsOf(Standing("not_reached"), /*somebody_waits=*/false);
  ASSERT_THAT(reasons, SizeIs(18));
  EXPECT_THAT(reasons[15], HasSubstr("\"tag25\" does not take it"));
  EXPECT_EQ(reasons[16], "and 24 more of its filters do not take it");
  EXPECT_THAT(reasons[17], HasSubstr("though 40 of its clients say that they read"));
}

TEST_F(ExplanationTest, ClientsSayTheirFiltersInTheirSettings) {
  reads_ = {{{"blue", "billing"}, {"blue", "orders"}, false, "old||new"},
            {{"blue", "billing"}, {"blue", "orders"}, true, "region = 'us'"},
            {{"blue", "billing"}, {"blue", "orders"}, true, "no (condition"},
            {{"blue", "billing"}, {"blue", "others"}, false, "other"},
            {{"", "billing"}, {"blue", "orders"}, false, "another"}};
  // The same filter of a receive is not told twice.
  EXPECT_THAT(ReasonsOf(Waiting({{{"old", "new"}, "", 1}})),
              ElementsAre(HasSubstr("\"new || old\""), HasSubstr("\"region = 'us'\"")));
}

TEST_F(ExplanationTest, SaysThatNobodySubscribes) {
  EXPECT_THAT(ReasonsOf(Standing("not_begun"), false), ElementsAre(HasSubstr("or there are none")));
  reads_ = {{{"blue", "billing"}, {"blue", "orders"}, false, "*"}};
  EXPECT_THAT(ReasonsOf(Standing("not_reached"), false),
              ElementsAre(HasSubstr("though 1 of its clients says that it reads the topic")));
}

}  // namespace
}  // namespace barid::proxy
