// Groups that are paused, end to end within a shard: on a simulated disk, clock and executors.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/lite_topic.h"
#include "base/stored_message.h"
#include "gmock/gmock.h"
#include "tests/base/status_matchers.h"
#include "tests/broker/shard_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr TopicId kTopic{1};
constexpr TopicId kLite{2};
constexpr GroupId kGroup{1};
constexpr GroupId kOther{2};
constexpr GroupId kOrdered{3};

class PauseTest : public ShardFixture {
 protected:
  PauseTest() {
    for (const TopicId id : {kTopic, kLite}) {
      TopicMetadata& topic = tables_.topics.emplace_back();
      topic.id = id;
      topic.name = {"", absl::StrCat("topic-", id.value())};
      topic.type = id == kLite ? MessageType::kLite : MessageType::kNormal;
      topic.queues_per_shard = 1;
    }
    for (const GroupId id : {kGroup, kOther, kOrdered}) {
      GroupMetadata& group = tables_.groups.emplace_back();
      group.id = id;
      group.name = {"", absl::StrCat("group-", id.value())};
      group.order = id == kOrdered ? DeliveryOrder::kFifo : DeliveryOrder::kNone;
      group.retry.max_attempts = 3;
      for (const TopicId topic : {kTopic, kLite}) {
        SubscriptionMetadata& subscription = tables_.subscriptions.emplace_back();
        subscription.group = id;
        subscription.topic = topic;
      }
    }
    Start();
  }

  void Pause(GroupId id, bool paused = true) {
    for (GroupMetadata& group : tables_.groups) {
      if (group.id == id) group.paused = paused;
    }
    Tell();
  }
  void Resume(GroupId id) { Pause(id, false); }

  void Send(const std::vector<std::string>& ids, const std::string& lite_topic = "") {
    AppendCall call;
    call.shard = kShard;
    call.topic = lite_topic.empty() ? kTopic : kLite;
    call.lite_topic = lite_topic;
    for (const std::string& id : ids) {
      MessageDraft draft;
      draft.message_id = id;
      draft.tag = "even";
      draft.body = "body";
      call.messages.push_back({EncodeStoredMessage(draft), TagHash(*draft.tag)});
      call.messages.back().message_group = MessageGroupHash("one");
    }
    EXPECT_THAT(Ask(&Shard::Append, std::move(call)).status, IsOk());
  }
  static ReceiveCall CallOf(GroupId group, absl::Duration wait = absl::ZeroDuration()) {
    ReceiveCall call;
    call.shard = kShard;
    call.group = group;
    call.topic = kTopic;
    call.invisible = absl::Seconds(30);
    call.client_id = "ann";
    call.wait = wait;
    return call;
  }
  ReceiveResult Take(ReceiveCall call) {
    const auto receive = StartReceive(std::move(call));
    world_.RunUntil([&] { return receive->has_value(); }, absl::Minutes(1));
    CHECK(receive->has_value());
    EXPECT_THAT((*receive)->status, IsOk());
    return **receive;
  }
  ReceiveResult Take(GroupId group) { return Take(CallOf(group)); }
  absl::Status Settle(GroupId group, const Delivery& delivery, SettleKind kind, absl::Duration delay = {}) {
    SettleCall call;
    call.shard = kShard;
    call.entries.push_back({group, delivery.queue, delivery.offset, delivery.nonce, kind, delay, ""});
    return Ask(&Shard::Settle, std::move(call)).entries.at(0);
  }
  GroupCount Count(GroupId group, TopicId topic = kTopic) {
    std::optional<std::vector<GroupCount>> counts;
    world_.RunOn(shard_executor_.get(), [&] {
      shard_->Count({topic, group}, [&counts](std::vector<GroupCount> got) { counts = std::move(got); });
    });
    world_.RunUntil([&] { return counts.has_value(); }, absl::Seconds(1));
    EXPECT_THAT(*counts, SizeIs(1));
    return counts->empty() ? GroupCount() : counts->front();
  }
};

TEST_F(PauseTest, APausedGroupIsGivenNothingAndOthersAre) {
  Pause(kGroup);
  Send({"a", "b"});
  EXPECT_THAT(Ids(Take(kGroup)), IsEmpty());
  EXPECT_THAT(Ids(Take(kOther)), ElementsAre("a", "b"));
  // Nothing is settled in passing either.
  ReceiveCall picky = CallOf(kGroup);
  picky.tags = {"odd"};
  EXPECT_THAT(Ids(Take(picky)), IsEmpty());
  Resume(kGroup);
  EXPECT_THAT(Ids(Take(kGroup)), ElementsAre("a", "b"));
}

TEST_F(PauseTest, AReceiveWaitsForItsTimeAsIfNothingWereThere) {
  Send({"a"});
  Pause(kGroup);
  const auto receive = StartReceive(CallOf(kGroup, absl::Seconds(20)));
  world_.RunFor(absl::Seconds(19));
  Send({"b"});
  EXPECT_FALSE(receive->has_value());
  world_.RunFor(absl::Seconds(2));
  ASSERT_TRUE(receive->has_value());
  EXPECT_THAT((*receive)->status, IsOk());
  EXPECT_THAT(Ids(**receive), IsEmpty());
}

TEST_F(PauseTest, AReceiveThatWaitsGetsItsMessagesWhenTheGroupIsResumed) {
  Pause(kGroup);
  Pause(kOther);
  Send({"a"});
  const auto receive = StartReceive(CallOf(kGroup, absl::Seconds(20)));
  const auto other = StartReceive(CallOf(kOther, absl::Seconds(20)));
  world_.RunFor(absl::Seconds(5));
  Resume(kGroup);
  world_.RunFor(absl::Milliseconds(50));
  ASSERT_TRUE(receive->has_value());
  EXPECT_THAT(Ids(**receive), ElementsAre("a"));
  EXPECT_FALSE(other->has_value()) << "it is still paused";
}

TEST_F(PauseTest, AReceiveThatWaitsWhenThePauseBeginsIsGivenNothing) {
  const auto receive = StartReceive(CallOf(kGroup, absl::Seconds(20)));
  Pause(kGroup);
  Send({"a"});
  world_.RunFor(absl::Seconds(10));
  EXPECT_FALSE(receive->has_value());
  Resume(kGroup);
  world_.RunFor(absl::Milliseconds(50));
  ASSERT_TRUE(receive->has_value());
  EXPECT_THAT(Ids(**receive), ElementsAre("a"));
}

TEST_F(PauseTest, WhatIsInFlightMayBeSettledAndWhatComesBackWaits) {
  Send({"acked", "returned", "lapsed", "extended", "new"});
  ReceiveCall call = CallOf(kGroup);
  call.max_messages = 4;
  const std::vector<Delivery> held = Take(call).deliveries;
  ASSERT_THAT(held, SizeIs(4));
  Pause(kGroup);
  EXPECT_THAT(Settle(kGroup, held[0], SettleKind::kAck), IsOk());
  EXPECT_THAT(Settle(kGroup, held[1], SettleKind::kReturn), IsOk());
  EXPECT_THAT(Settle(kGroup, held[3], SettleKind::kExtend, absl::Hours(1)), IsOk());
  world_.RunFor(absl::Minutes(10));
  EXPECT_THAT(Ids(Take(kGroup)), IsEmpty());
  const GroupCount count = Count(kGroup);
  EXPECT_EQ(count.ready, 3) << "returned, lapsed, new";
  EXPECT_EQ(count.in_flight, 1);
  EXPECT_THAT(Settle(kGroup, held[2], SettleKind::kAck), IsOk()) << "late, and not delivered again meanwhile";
  Resume(kGroup);
  const ReceiveResult again = Take(kGroup);
  EXPECT_THAT(Ids(again), ElementsAre("returned", "new"));
  EXPECT_EQ(again.deliveries[0].attempt, 2);
  EXPECT_THAT(Settle(kGroup, held[3], SettleKind::kAck), IsOk());
}

TEST_F(PauseTest, AMessageWhoseAttemptsAreUsedUpIsADeadLetterAllTheSame) {
  Send({"a"});
  for (int attempt = 1; attempt < 3; ++attempt) {
    ASSERT_THAT(Ids(Take(kGroup)), ElementsAre("a"));
    world_.RunFor(absl::Seconds(31));
  }
  ASSERT_THAT(Ids(Take(kGroup)), ElementsAre("a"));
  Pause(kGroup);
  world_.RunFor(absl::Seconds(31));
  EXPECT_EQ(Count(kGroup).dead_lettered, 1);
}

TEST_F(PauseTest, ABatchIsNotRepeatedByItsAttemptIdUntilTheGroupIsResumed) {
  Send({"a", "b"});
  ReceiveCall call = CallOf(kOrdered);
  call.attempt_id = "try-1";
  ASSERT_THAT(Ids(Take(call)), ElementsAre("a", "b"));
  Pause(kOrdered);
  EXPECT_THAT(Ids(Take(call)), IsEmpty());
  EXPECT_EQ(Count(kOrdered).in_flight, 2);
  Resume(kOrdered);
  EXPECT_THAT(Ids(Take(call)), ElementsAre("a", "b"));
}

TEST_F(PauseTest, OrderHoldsOverAPause) {
  Send({"a", "b"});
  ReceiveCall call = CallOf(kOrdered);
  call.max_messages = 1;
  const Delivery first = Take(call).deliveries.at(0);
  EXPECT_THAT(Ids(Take(kOrdered)), IsEmpty()) << "and b is parked";
  world_.RunFor(absl::Milliseconds(10));  // Which is written down after the answer.
  Pause(kOrdered);
  EXPECT_EQ(Count(kOrdered).blocked, 1);
  EXPECT_THAT(Settle(kOrdered, first, SettleKind::kAck), IsOk());
  EXPECT_EQ(Count(kOrdered).ready, 1);
  EXPECT_THAT(Ids(Take(kOrdered)), IsEmpty());
  Resume(kOrdered);
  EXPECT_THAT(Ids(Take(kOrdered)), ElementsAre("b"));
}

TEST_F(PauseTest, OutlivesARestartOfTheShard) {
  Send({"a"});
  Pause(kGroup);
  Crash();
  EXPECT_THAT(Ids(Take(kGroup)), IsEmpty());
  Resume(kGroup);
  EXPECT_THAT(Ids(Take(kGroup)), ElementsAre("a"));
}

TEST_F(PauseTest, ReadersOfLiteTopicsWaitToo) {
  LiteSyncCall read;
  read.shard = kShard;
  read.topic = kLite;
  read.group = kGroup;
  read.client_id = "ann";
  read.action = LiteSyncCall::Action::kSet;
  read.lite_topics = {"session"};
  ASSERT_THAT(Ask(&Shard::SyncLite, read).status, IsOk());
  Pause(kGroup);
  Send({"a"}, "session");
  ReceiveCall call = CallOf(kGroup, absl::Seconds(20));
  call.topic = kLite;
  const auto receive = StartReceive(call);
  world_.RunFor(absl::Seconds(5));
  EXPECT_FALSE(receive->has_value());
  Resume(kGroup);
  world_.RunFor(absl::Milliseconds(50));
  ASSERT_TRUE(receive->has_value());
  EXPECT_THAT(Ids(**receive), ElementsAre("a"));
}

TEST_F(PauseTest, APullOfAPausedGroupWaits) {
  Send({"a", "b"});
  const auto pull = [this](GroupId group, absl::Duration wait) {
    PullCall call;
    call.shard = kShard;
    call.group = group;
    call.queue = {kTopic, 0};
    call.offset = 1;
    call.wait = wait;
    auto result = std::make_shared<std::optional<PullResult>>();
    world_.RunOn(shard_executor_.get(),
                 [&] { shard_->Pull(++next_call_, call, [result](PullResult got) { *result = std::move(got); }); });
    world_.RunFor(absl::Milliseconds(50));
    return result;
  };
  Pause(kGroup);
  const auto at_once = pull(kGroup, absl::ZeroDuration());
  ASSERT_TRUE(at_once->has_value());
  EXPECT_THAT((*at_once)->status, IsOk());
  EXPECT_THAT((*at_once)->deliveries, IsEmpty());
  EXPECT_EQ((*at_once)->next_offset, 1) << "it goes on where it is";
  EXPECT_THAT((**pull(kOther, absl::ZeroDuration())).deliveries, SizeIs(1));
  EXPECT_THAT((**pull(GroupId(), absl::ZeroDuration())).deliveries, SizeIs(1)) << "a group that is not there";

  const auto short_one = pull(kGroup, absl::Seconds(3));
  const auto waiting = pull(kGroup, absl::Seconds(20));
  Send({"c"});
  world_.RunFor(absl::Seconds(4));
  ASSERT_TRUE(short_one->has_value());
  EXPECT_THAT((*short_one)->deliveries, IsEmpty());
  EXPECT_FALSE(waiting->has_value());
  Resume(kGroup);
  world_.RunFor(absl::Milliseconds(50));
  ASSERT_TRUE(waiting->has_value());
  EXPECT_THAT(Ids((*waiting)->deliveries), ElementsAre("b", "c"));
}

}  // namespace
}  // namespace barid::broker
