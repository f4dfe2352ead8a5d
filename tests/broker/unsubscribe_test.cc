// Groups that read a topic no more, and may read it again.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
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

class UnsubscribeTest : public ShardFixture {
 protected:
  UnsubscribeTest() {
    for (const TopicId id : {kTopic, kLite}) {
      TopicMetadata& topic = tables_.topics.emplace_back();
      topic.id = id;
      topic.name = {"", absl::StrCat("topic-", id.value())};
      topic.type = id == kLite ? MessageType::kLite : MessageType::kNormal;
      topic.queues_per_shard = 1;
    }
    for (const GroupId id : {kGroup, kOther}) {
      GroupMetadata& group = tables_.groups.emplace_back();
      group.id = id;
      group.name = {"", absl::StrCat("group-", id.value())};
      for (const TopicId topic : {kTopic, kLite}) tables_.subscriptions.push_back({id, topic, {}});
    }
    Start();
  }

  void Unsubscribe(GroupId group, TopicId topic = kTopic) {
    std::erase_if(tables_.subscriptions, [&](const auto& s) { return s.group == group && s.topic == topic; });
    Tell();
    world_.RunUntilIdle();
  }
  void Subscribe(GroupId group, TopicId topic = kTopic) {
    tables_.subscriptions.push_back({group, topic, {}});
    Tell();
  }

  void Send(const std::string& id, const std::string& lite_topic = "") {
    AppendCall call;
    call.shard = kShard;
    call.topic = lite_topic.empty() ? kTopic : kLite;
    call.lite_topic = lite_topic;
    MessageDraft draft;
    draft.message_id = id;
    draft.body = "body";
    call.messages.push_back({EncodeStoredMessage(draft), 0});
    EXPECT_THAT(Ask(&Shard::Append, std::move(call)).status, IsOk());
  }
  static ReceiveCall CallOf(GroupId group, TopicId topic = kTopic, absl::Duration wait = absl::ZeroDuration()) {
    ReceiveCall call;
    call.shard = kShard;
    call.group = group;
    call.topic = topic;
    call.invisible = absl::Seconds(30);
    call.client_id = "ann";
    call.wait = wait;
    return call;
  }
  ReceiveResult Take(ReceiveCall call) {
    const auto receive = StartReceive(std::move(call));
    world_.RunUntil([&] { return receive->has_value(); }, absl::Minutes(1));
    CHECK(receive->has_value());
    return **receive;
  }
  absl::Status Ack(GroupId group, const Delivery& delivery) {
    SettleCall call;
    call.shard = kShard;
    call.entries.push_back(
        {group, delivery.queue, delivery.offset, delivery.nonce, SettleKind::kAck, absl::ZeroDuration(), ""});
    return Ask(&Shard::Settle, std::move(call)).entries.at(0);
  }
};

TEST_F(UnsubscribeTest, ItsPlaceGoesAndWithItWhatItHolds) {
  Send("a");
  Send("b");
  const ReceiveResult both = Take(CallOf(kGroup));
  EXPECT_THAT(Ack(kGroup, both.deliveries.at(0)), IsOk());
  EXPECT_THAT(Ids(Take(CallOf(kOther))), ElementsAre("a", "b"));
  Unsubscribe(kGroup);
  EXPECT_THAT(shard_->state().cursors(), SizeIs(1)) << "the other group's";
  EXPECT_TRUE(absl::IsAborted(Ack(kGroup, both.deliveries.at(1))));

  Subscribe(kGroup);
  const ReceiveResult again = Take(CallOf(kGroup));
  EXPECT_THAT(Ids(again), ElementsAre("a", "b"));
  EXPECT_EQ(again.deliveries.at(1).attempt, 1);
  EXPECT_THAT(Ids(Take(CallOf(kOther))), IsEmpty());
}

// A group that begins at the last message would miss what is sent while its members wait for nothing.
TEST_F(UnsubscribeTest, WhoWaitsIsToldToAskAgain) {
  const auto waits = StartReceive(CallOf(kGroup, kTopic, absl::Seconds(20)));
  const auto other = StartReceive(CallOf(kOther, kTopic, absl::Seconds(20)));
  world_.RunFor(absl::Seconds(1));
  Unsubscribe(kGroup);
  ASSERT_TRUE(waits->has_value());
  EXPECT_THAT((*waits)->status, IsOk());
  EXPECT_THAT((*waits)->deliveries, IsEmpty());
  EXPECT_FALSE(other->has_value());

  // Its proxy does not know yet.
  EXPECT_TRUE(absl::IsUnavailable(Take(CallOf(kGroup, kTopic, absl::Seconds(20))).status));
  Send("a");
  EXPECT_THAT(shard_->state().cursors(), SizeIs(1)) << "nobody opens one for it";
  Subscribe(kGroup);
  EXPECT_THAT(Ids(Take(CallOf(kGroup))), ElementsAre("a"));
}

// Not one that is under way either: what it was to be given is gone.
TEST_F(UnsubscribeTest, WhoIsAboutToBeServedIsToldToAskAgain) {
  Send("a");
  EXPECT_THAT(Ack(kGroup, Take(CallOf(kGroup)).deliveries.at(0)), IsOk());
  const auto waits = StartReceive(CallOf(kGroup, kTopic, absl::Seconds(20)));
  AppendCall call;
  call.shard = kShard;
  call.topic = kTopic;
  MessageDraft draft;
  draft.message_id = "b";
  call.messages.push_back({EncodeStoredMessage(draft), 0});
  bool is_sent = false;
  world_.RunOn(shard_executor_.get(),
               [&] { shard_->Append(std::move(call), [&is_sent](const AppendResult&) { is_sent = true; }); });
  std::erase_if(tables_.subscriptions, [](const auto& s) { return s.group == kGroup && s.topic == kTopic; });
  Tell();
  world_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(is_sent);
  ASSERT_TRUE(waits->has_value());
  EXPECT_THAT((*waits)->deliveries, IsEmpty());
}

// What was scanned before is about a place that is gone.
TEST_F(UnsubscribeTest, AFilterLooksAtAllOfItAnew) {
  for (const char* id : {"a", "b", "c"}) Send(id);
  ReceiveCall picky = CallOf(kGroup);
  picky.tags = {"none"};
  EXPECT_THAT(Ids(Take(picky)), IsEmpty());
  world_.RunFor(absl::Seconds(1));
  Unsubscribe(kGroup);
  Subscribe(kGroup);
  EXPECT_THAT(Ids(Take(CallOf(kGroup))), ElementsAre("a", "b", "c"));
}

TEST_F(UnsubscribeTest, LiteTopicsAreGivenAgainWithoutAnyNewMessage) {
  LiteSyncCall reads;
  reads.shard = kShard;
  reads.group = kGroup;
  reads.topic = kLite;
  reads.client_id = "ann";
  reads.action = LiteSyncCall::Action::kSet;
  reads.lite_topics = {"s-1"};
  reads.quota = 10;
  EXPECT_THAT(Ask(&Shard::SyncLite, std::move(reads)).status, IsOk());
  Send("a", "s-1");
  Send("b", "s-1");
  EXPECT_THAT(Ids(Take(CallOf(kGroup, kLite))), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(Take(CallOf(kGroup, kLite))), IsEmpty());
  Unsubscribe(kGroup, kLite);
  Subscribe(kGroup, kLite);
  EXPECT_THAT(Ids(Take(CallOf(kGroup, kLite))), ElementsAre("a", "b"));
}

TEST_F(UnsubscribeTest, TheLifeOfAMessageTellsIt) {
  Send("a");
  EXPECT_THAT(Ack(kGroup, Take(CallOf(kGroup)).deliveries.at(0)), IsOk());
  Unsubscribe(kGroup);
  Subscribe(kGroup);
  EXPECT_THAT(Ids(Take(CallOf(kGroup))), ElementsAre("a"));
  LookupCall call;
  call.topic = kTopic;
  call.kind = LookupCall::Kind::kExplain;
  call.text = "a";
  const LookupResult result = Ask(&Shard::Find, std::move(call));
  EXPECT_THAT(result.status, IsOk());
  std::vector<std::string> told;
  for (const LifeEvent& event : result.events) told.push_back(event.what);
  EXPECT_THAT(told, ElementsAre("written", "delivered", "acknowledged", "unsubscribed", "delivered"));
}

}  // namespace
}  // namespace barid::broker
