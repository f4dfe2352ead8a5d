// Pulls, stored offsets and resets end to end within a shard: on a simulated disk, clock and executors.
#include "broker/positions.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "gmock/gmock.h"
#include "tests/base/status_matchers.h"
#include "tests/broker/shard_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr QueueKey kQueue{TopicId(1), 0};
constexpr QueueKey kOtherQueue{TopicId(1), 1};
constexpr GroupId kGroup{1};
constexpr GroupId kFifoGroup{2};

class PositionsTest : public ShardFixture {
 protected:
  PositionsTest() {
    options_.max_clean_blocks = 1;
    options_.tail_cache_bytes = 0;
    TopicMetadata& topic = tables_.topics.emplace_back();
    topic.id = kQueue.topic;
    topic.name = {"", "orders"};
    topic.queues_per_shard = 2;
    for (const GroupId id : {kGroup, kFifoGroup}) {
      GroupMetadata& group = tables_.groups.emplace_back();
      group.id = id;
      group.name = {"", absl::StrCat("group-", id.value())};
      group.order = id == kFifoGroup ? DeliveryOrder::kFifo : DeliveryOrder::kNone;
    }
    Start();
  }

  void Send(const std::vector<std::string>& ids, const std::string& tag = "", const std::string& message_group = "") {
    AppendCall call;
    call.shard = kShard;
    call.topic = kQueue.topic;
    call.queue = kQueue.queue;
    for (const std::string& id : ids) {
      MessageDraft draft;
      draft.message_id = id;
      if (!tag.empty()) draft.tag = tag;
      draft.properties = {{"id", id}};
      draft.body = "body";
      call.messages.push_back({EncodeStoredMessage(draft), tag.empty() ? 0 : TagHash(tag)});
      if (!message_group.empty()) call.messages.back().message_group = MessageGroupHash(message_group);
    }
    ASSERT_THAT(Ask(&Shard::Append, std::move(call)).status, IsOk());
  }
  void SendMany(int count, const std::string& tag = "") {
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) ids.push_back(absl::StrCat(i));
    Send(ids, tag);
  }

  static PullCall From(QueueOffset offset, int32_t most = 32) {
    PullCall call;
    call.shard = kShard;
    call.queue = kQueue;
    call.offset = offset;
    call.max_messages = most;
    return call;
  }
  std::shared_ptr<std::optional<PullResult>> StartPull(PullCall call, absl::Duration wait) {
    call.wait = wait;
    auto result = std::make_shared<std::optional<PullResult>>();
    world_.RunOn(shard_executor_.get(), [&] {
      shard_->Pull(++next_call_, std::move(call), [result](PullResult got) { *result = std::move(got); });
    });
    return result;
  }
  PullResult Pull(PullCall call) {
    const auto result = StartPull(std::move(call), absl::ZeroDuration());
    world_.RunUntil([&] { return result->has_value(); }, absl::Seconds(10));
    CHECK(result->has_value());
    return **result;
  }

  std::vector<Delivery> Receive(GroupId group = kGroup, int32_t most = 32) {
    const auto is_it = [&](const SubscriptionMetadata& one) { return one.group == group; };
    if (std::none_of(tables_.subscriptions.begin(), tables_.subscriptions.end(), is_it)) {
      tables_.subscriptions.push_back({group, kQueue.topic, {}});
      Tell();
    }
    ReceiveCall call;
    call.shard = kShard;
    call.group = group;
    call.topic = kQueue.topic;
    call.max_messages = most;
    call.invisible = absl::Minutes(10);
    call.client_id = "client";
    call.wait = absl::Seconds(1);
    const auto result = StartReceive(std::move(call));
    world_.RunUntil([&] { return result->has_value(); }, absl::Seconds(10));
    return (**result).deliveries;
  }
  absl::Status Ack(const Delivery& delivery, GroupId group = kGroup) {
    SettleCall call;
    call.shard = kShard;
    call.entries.push_back(
        {group, delivery.queue, delivery.offset, delivery.nonce, SettleKind::kAck, absl::ZeroDuration(), ""});
    return Ask(&Shard::Settle, std::move(call)).entries.at(0);
  }

  OffsetResult Get(QueueKey queue = kQueue) { return Ask(&Shard::GetOffset, GetOffsetCall{kShard, kGroup, queue, 0}); }
  OffsetResult Update(QueueOffset offset, QueueKey queue = kQueue) {
    return Ask(&Shard::UpdateOffset, UpdateOffsetCall{kShard, kGroup, queue, 0, offset});
  }
  OffsetResult Query(QueryOffsetCall::Policy policy, absl::Time time = absl::UnixEpoch()) {
    return Ask(&Shard::QueryOffset, QueryOffsetCall{kShard, kQueue, 0, policy, time});
  }
  ResetOffsetCall To(QueueOffset offset, GroupId group = kGroup) {
    ResetOffsetCall call;
    call.shard = kShard;
    call.group = group;
    call.topic = kQueue.topic;
    call.queues = {0};
    call.offset = offset;
    return call;
  }
  ResetOffsetResult::Entry Reset(ResetOffsetCall call) {
    const ResetOffsetResult result = Ask(&Shard::ResetOffset, std::move(call));
    EXPECT_THAT(result.status, IsOk());
    EXPECT_THAT(result.entries, SizeIs(1));
    EXPECT_THAT(result.entries.at(0).status, IsOk());
    return result.entries.at(0);
  }
};

// --- Pulls ---

TEST_F(PositionsTest, APullReadsFromItsOffsetOnAndChangesNothing) {
  SendMany(10);
  const LogIndex before = shard_->state().applied_index();
  const PullResult result = Pull(From(4, 3));
  EXPECT_THAT(result.status, IsOk());
  EXPECT_THAT(Ids(result.deliveries), ElementsAre("4", "5", "6"));
  EXPECT_EQ(result.deliveries[0].offset, 4);
  EXPECT_EQ(result.deliveries[0].attempt, 0);
  EXPECT_EQ(result.next_offset, 7);
  EXPECT_EQ(shard_->state().applied_index(), before);
  EXPECT_THAT(shard_->state().cursors(), IsEmpty());
}

TEST_F(PositionsTest, APullOutsideOfTheQueueSaysWhatThereIs) {
  SendMany(10);
  for (const QueueOffset offset : {QueueOffset{-1}, QueueOffset{11}}) {
    const absl::Status status = Pull(From(offset)).status;
    ASSERT_THAT(status, StatusIs(absl::StatusCode::kOutOfRange));
    EXPECT_EQ(GetOffsetRange(status)->end, 10);
  }
  EXPECT_THAT(Pull(From(10)).status, IsOk()) << "the end";
  PullCall elsewhere = From(0);
  elsewhere.queue.queue = 2;
  EXPECT_THAT(Pull(elsewhere).status, StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PositionsTest, AQueueToWhichNothingWasSentYetIsEmpty) {
  PullCall call = From(0);
  call.queue = kOtherQueue;
  const PullResult result = Pull(call);
  EXPECT_THAT(result.status, IsOk());
  EXPECT_THAT(result.deliveries, IsEmpty());
  EXPECT_EQ(Query(QueryOffsetCall::Policy::kEnd).offset, 0);
}

TEST_F(PositionsTest, APullWaitsForTheNextMessage) {
  SendMany(2);
  const auto waiting = StartPull(From(2), absl::Seconds(20));
  world_.RunFor(absl::Seconds(5));
  EXPECT_FALSE(waiting->has_value());
  Send({"late"});
  world_.RunFor(absl::Milliseconds(10));
  ASSERT_TRUE(waiting->has_value());
  EXPECT_THAT(Ids((**waiting).deliveries), ElementsAre("late"));
}

TEST_F(PositionsTest, APullThatWaitsEndsWithItsTimeItsCallerOrItsTopic) {
  const auto over = StartPull(From(0), absl::Seconds(3));
  const auto cancelled = StartPull(From(0), absl::Seconds(30));
  const auto deleted = StartPull(From(0), absl::Seconds(30));
  world_.RunOn(shard_executor_.get(), [&] { shard_->CancelReceive(next_call_ - 1); });
  EXPECT_TRUE(cancelled->has_value());
  world_.RunFor(absl::Seconds(4));
  ASSERT_TRUE(over->has_value());
  EXPECT_THAT((**over).status, IsOk());
  EXPECT_EQ((**over).next_offset, 0);
  EXPECT_FALSE(deleted->has_value());
  Update(0);  // Makes the queue.
  tables_.topics.clear();
  Tell();
  world_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(deleted->has_value());
  EXPECT_THAT((**deleted).status, StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PositionsTest, DrainingEndsPullsThatWait) {
  const auto waiting = StartPull(From(0), absl::Seconds(30));
  world_.RunOn(shard_executor_.get(), [&] { shard_->Drain(); });
  EXPECT_TRUE(waiting->has_value());
  const auto late = StartPull(From(0), absl::Seconds(30));
  world_.RunFor(absl::Milliseconds(10));
  EXPECT_TRUE(late->has_value());
}

TEST_F(PositionsTest, PullsPassOverWhatTheirFilterLeavesOut) {
  for (int i = 0; i < 20; ++i) SendMany(250, "red");
  Send({"green"}, "green");
  // Blocks of the index and bodies come from the disk.
  world_.RunOn(shard_executor_.get(), [&] { shard_->Checkpoint([](absl::Status) {}); });
  world_.RunFor(absl::Seconds(1));
  PullCall call = From(0);
  call.tags = {"green"};
  PullResult result = Pull(call);
  EXPECT_THAT(Ids(result.deliveries), ElementsAre("green"));
  EXPECT_EQ(result.next_offset, 5001);
  call.tags = {};
  call.sql = "TAGS = 'green'";
  result = Pull(call);
  EXPECT_THAT(Ids(result.deliveries), ElementsAre("green"));
  EXPECT_EQ(result.next_offset, 5001);
  call.sql = "TAGS = 'blue'";
  result = Pull(call);
  EXPECT_THAT(result.deliveries, IsEmpty());
  EXPECT_EQ(result.next_offset, 5001) << "no need to look at them again";
  call.sql = "id IN ('3', '5')";
  call.max_messages = 3;
  result = Pull(call);
  EXPECT_THAT(Ids(result.deliveries), ElementsAre("3", "5", "3"));
  EXPECT_EQ(Pull(From(result.next_offset, 1)).deliveries.at(0).offset, result.next_offset);
  call.sql = "TAGS = ";
  EXPECT_THAT(Pull(call).status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PositionsTest, APullIsBoundedInBytes) {
  SendMany(10);
  PullCall call = From(0);
  call.max_bytes = 1;
  EXPECT_THAT(Pull(call).deliveries, SizeIs(1));
  EXPECT_EQ(Pull(call).next_offset, 1);
}

// --- Queries and stored offsets ---

TEST_F(PositionsTest, QueriesFindOffsetsByTime) {
  std::vector<absl::Time> times;
  for (int i = 0; i < 600; ++i) {
    world_.RunFor(absl::Milliseconds(30));
    Send({absl::StrCat(i)});
    times.push_back(Pull(From(i, 1)).deliveries.at(0).store_time);
  }
  for (const int i : {0, 1, 255, 256, 400, 599}) {
    EXPECT_EQ(Query(QueryOffsetCall::Policy::kTime, times[static_cast<size_t>(i)]).offset, i);
    EXPECT_EQ(Query(QueryOffsetCall::Policy::kTime, times[static_cast<size_t>(i)] + absl::Microseconds(1)).offset,
              i + 1);
  }
  EXPECT_EQ(Query(QueryOffsetCall::Policy::kBeginning).offset, 0);
  EXPECT_EQ(Query(QueryOffsetCall::Policy::kEnd).offset, 600);
}

TEST_F(PositionsTest, AStoredOffsetSurvivesARestart) {
  SendMany(10);
  EXPECT_EQ(Get().offset, std::nullopt);
  EXPECT_THAT(Update(7).status, IsOk());
  EXPECT_THAT(Update(11).status, StatusIs(absl::StatusCode::kOutOfRange));
  Restart();
  EXPECT_EQ(Get().offset, 7);
  EXPECT_THAT(Update(0, kOtherQueue).status, IsOk()) << "before the first message";
  EXPECT_EQ(Get(kOtherQueue).offset, 0);
}

TEST_F(PositionsTest, AStoredOffsetGoesWithItsGroup) {
  SendMany(1);
  Update(1);
  tables_.groups.erase(tables_.groups.begin());
  Tell();
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(shard_->state().offsets().all(), IsEmpty());
}

// --- Resets ---

TEST_F(PositionsTest, AResetDeliversAgainAndSaysWhatItDropped) {
  SendMany(10);
  const std::vector<Delivery> first = Receive(kGroup, 6);
  ASSERT_THAT(first, SizeIs(6));
  EXPECT_THAT(Ack(first[0]), IsOk());
  EXPECT_THAT(Ack(first[1]), IsOk());

  ResetOffsetCall dry = To(1);
  dry.dry_run = true;
  ResetOffsetResult::Entry entry = Reset(dry);
  EXPECT_EQ(entry.from, 2);
  EXPECT_EQ(entry.to, 1);
  EXPECT_EQ(entry.end, 10);
  EXPECT_EQ(entry.in_flight, 4);
  EXPECT_THAT(Ack(first[2]), IsOk()) << "a dry run does nothing";

  entry = Reset(To(1));
  EXPECT_EQ(entry.from, 3);
  EXPECT_EQ(entry.in_flight, 3);
  EXPECT_TRUE(IsStaleReceipt(Ack(first[4])));
  const std::vector<Delivery> again = Receive();
  EXPECT_THAT(Ids(again), ElementsAre("1", "2", "3", "4", "5", "6", "7", "8", "9"));
  EXPECT_EQ(again[0].attempt, 1);
  EXPECT_TRUE(IsStaleReceipt(Ack(first[4])));
  EXPECT_THAT(Ack(again[0]), IsOk());
}

TEST_F(PositionsTest, AResetToTheLatestPassesOverWhatIsThere) {
  SendMany(10);
  Receive(kGroup, 2);
  ResetOffsetCall call = To(0);
  call.target = ResetOffsetCall::Target::kLatest;
  EXPECT_EQ(Reset(call).to, 10);
  EXPECT_THAT(Receive(), IsEmpty());
  Send({"new"});
  EXPECT_THAT(Ids(Receive()), ElementsAre("new"));
}

TEST_F(PositionsTest, AResetToATimeGoesToTheFirstMessageFromThenOn) {
  SendMany(3);
  world_.RunFor(absl::Seconds(10));
  Send({"late"});
  const absl::Time late = Pull(From(3)).deliveries.at(0).store_time;
  for (const Delivery& delivery : Receive()) EXPECT_THAT(Ack(delivery), IsOk());
  ResetOffsetCall call = To(0);
  call.target = ResetOffsetCall::Target::kTime;
  call.time = late;
  EXPECT_EQ(Reset(call).to, 3);
  EXPECT_THAT(Ids(Receive()), ElementsAre("late"));
}

TEST_F(PositionsTest, AResetReleasesMessageGroupsAndKeepsTheirOrder) {
  Send({"a1", "a2", "a3"}, "", "a");
  ASSERT_THAT(Ids(Receive(kFifoGroup, 1)), ElementsAre("a1"));
  EXPECT_THAT(Receive(kFifoGroup), IsEmpty()) << "a is locked, and a2 and a3 are parked";
  const ResetOffsetResult::Entry entry = Reset(To(0, kFifoGroup));
  EXPECT_EQ(entry.in_flight, 1);
  EXPECT_EQ(entry.parked, 2);
  EXPECT_THAT(Ids(Receive(kFifoGroup)), ElementsAre("a1", "a2", "a3"));
}

TEST_F(PositionsTest, AReceiveThatWaitsGetsWhatAResetBringsBack) {
  SendMany(3);
  for (const Delivery& delivery : Receive()) EXPECT_THAT(Ack(delivery), IsOk());
  ReceiveCall call;
  call.shard = kShard;
  call.group = kGroup;
  call.topic = kQueue.topic;
  call.invisible = absl::Minutes(1);
  call.client_id = "client";
  call.wait = absl::Seconds(30);
  const auto result = StartReceive(call);
  Reset(To(1));
  world_.RunFor(absl::Milliseconds(50));
  ASSERT_TRUE(result->has_value());
  EXPECT_THAT(Ids(**result), ElementsAre("1", "2"));
}

TEST_F(PositionsTest, AResetBeforeTheFirstReceiveIsWhereItBegins) {
  SendMany(5);
  const ResetOffsetResult::Entry entry = Reset(To(3));
  EXPECT_EQ(entry.from, std::nullopt);
  EXPECT_EQ(entry.to, 3);
  EXPECT_THAT(Ids(Receive()), ElementsAre("3", "4"));
}

TEST_F(PositionsTest, AResetOfAStoredOffsetMovesThat) {
  SendMany(5);
  Update(4);
  ResetOffsetCall call = To(2);
  call.stored = true;
  const ResetOffsetResult::Entry entry = Reset(call);
  EXPECT_EQ(entry.from, 4);
  EXPECT_EQ(entry.to, 2);
  EXPECT_EQ(Get().offset, 2);
  EXPECT_THAT(shard_->state().cursors(), IsEmpty());
}

TEST_F(PositionsTest, AResetIsOfAllQueuesIfNoneAreNamed) {
  SendMany(5);
  ResetOffsetCall call = To(2);
  call.queues = {};
  const ResetOffsetResult result = Ask(&Shard::ResetOffset, call);
  ASSERT_THAT(result.entries, SizeIs(2));
  EXPECT_EQ(result.entries[0].to, 2);
  EXPECT_EQ(result.entries[1].to, 0) << "it has no more";
  call.queues = {0, 2};
  EXPECT_THAT(Ask(&Shard::ResetOffset, call).status, StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace barid::broker
