#include "controller/group_activity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "controller/metadata_logic.h"
#include "tests/controller/testing.h"

namespace barid::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

// Groups without a controller: "g" expires after 10 s, "stays" never.
class GroupActivityTest : public ::testing::Test {
 protected:
  GroupActivityTest() {
    Carry(PlanFoundation(state_, "cafe", "secret"));
    g_ = Create("g", absl::Seconds(10));
    Create("stays", absl::ZeroDuration());
  }

  void Carry(const Plan& plan) {
    MetadataStore::Change change;
    change.revision = state_.revision() + 1;
    for (const Record& record : plan.puts) change.operations.push_back({KeyOf(record), EncodeRecord(record), {}});
    for (const std::string& key : plan.deletes) change.operations.push_back({key, std::nullopt, {}});
    ASSERT_THAT(state_.Apply(change), IsOk());
  }
  GroupId Create(const std::string& name, absl::Duration expire_after) {
    GroupMetadata group = Group(name);
    group.expire_after = expire_after;
    Carry(PlanCreateGroup(state_, {}, group, kNow).value());
    return state_.Find<GroupMetadata>(GroupKey({"", name}))->id;
  }

  // The proxy reports at a time, in seconds, and what is due then.
  std::vector<GroupId> At(int seconds, const std::string& proxy, std::vector<GroupId> seen = {}) {
    activity_.OnReport({proxy, std::move(seen)}, absl::Seconds(seconds));
    return activity_.Due(state_, absl::Seconds(seconds));
  }

  MetadataState state_;
  GroupActivity activity_;
  GroupId g_;
};

TEST_F(GroupActivityTest, AGroupGoesWhenNoMemberWasSeenForItsTime) {
  EXPECT_THAT(At(0, "p"), IsEmpty());
  EXPECT_THAT(At(5, "p", {g_}), IsEmpty());
  EXPECT_THAT(At(14, "p"), IsEmpty());
  EXPECT_THAT(At(15, "p"), ElementsAre(g_));
}

TEST_F(GroupActivityTest, OneThatWasNeverUsedGoesToo) {
  EXPECT_THAT(At(100, "p"), IsEmpty()) << "its time begins when it is first looked at";
  EXPECT_THAT(At(109, "p"), IsEmpty());
  EXPECT_THAT(At(110, "p"), ElementsAre(g_));
}

TEST_F(GroupActivityTest, AMemberInEveryReportKeepsIt) {
  const GroupId quick = Create("quick", absl::Seconds(1));
  for (int seconds = 0; seconds < 100; seconds += 5) EXPECT_THAT(At(seconds, "p", {g_, quick}), IsEmpty());
}

TEST_F(GroupActivityTest, NoProxyTakesAGroupWhoseMemberIsAtAnother) {
  const GroupId quick = Create("quick", absl::Seconds(1));
  for (int seconds = 0; seconds < 100; seconds += 5) {
    EXPECT_THAT(At(seconds, "a", {g_, quick}), IsEmpty());
    EXPECT_THAT(At(seconds + 3, "b"), IsEmpty()) << "a has not said yet that the member is gone";
  }
}

TEST_F(GroupActivityTest, ASilentProxyHoldsUpEverythingUntilItIsForgotten) {
  At(0, "a", {g_});
  At(0, "b");
  const int forgotten = static_cast<int>(absl::ToInt64Seconds(GroupActivity::kForgetProxy)) + 1;
  for (int seconds = 5; seconds < forgotten; seconds += 5) EXPECT_THAT(At(seconds, "b"), IsEmpty());
  EXPECT_THAT(At(forgotten, "b"), ElementsAre(g_));
}

TEST_F(GroupActivityTest, WithoutAnyProxyNothingGoes) {
  EXPECT_THAT(activity_.Due(state_, absl::Hours(1)), IsEmpty());
  At(0, "p");
  EXPECT_THAT(activity_.Due(state_, absl::Hours(1)), IsEmpty()) << "the only proxy is long forgotten";
}

TEST_F(GroupActivityTest, ANewTimeCountsAtOnce) {
  At(0, "p");
  Carry(PlanUpdateGroup(state_, {{"", "g"}, std::nullopt, std::nullopt, absl::Seconds(60)}).value());
  EXPECT_THAT(At(59, "p"), IsEmpty());
  EXPECT_THAT(At(60, "p"), ElementsAre(g_));
  Carry(PlanUpdateGroup(state_, {{"", "g"}, std::nullopt, std::nullopt, absl::ZeroDuration()}).value());
  EXPECT_THAT(At(600, "p"), IsEmpty());
}

TEST_F(GroupActivityTest, ExpiringTakesItsSubscriptionsAndNothingElse) {
  Carry(PlanCreateTopic(state_, {}, Topic("t"), kNow).value());
  const GroupId other = Create("other", absl::ZeroDuration());
  for (const GroupId group : {g_, other}) {
    Carry(PlanSubscribe(state_, {}, group, TopicId(1), kNow).value());
    Carry(PlanSubscribe(state_, {}, group, DeadLetterTopicId(g_), kNow).value());
  }
  ASSERT_EQ(state_.subscription_count(), 4);
  Carry(PlanExpireGroups(state_, {g_, other, GroupId(99)}));  // One that does not expire, one that is gone.
  EXPECT_EQ(state_.FindGroup(g_), nullptr);
  EXPECT_NE(state_.FindGroup(other), nullptr);
  EXPECT_EQ(state_.subscription_count(), 1);
  EXPECT_TRUE(PlanExpireGroups(state_, {g_}).empty());
}

}  // namespace
}  // namespace barid::controller
