// SQL filters end to end within a shard: on a simulated disk, clock and executors.
#include "broker/filter_scan.h"

#include <map>
#include <memory>
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
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr TopicId kTopic{1};
constexpr GroupId kGroup{1};
constexpr int kGroups = 40;

class FilterScanTest : public ShardFixture {
 protected:
  FilterScanTest() : ShardFixture(LogLevel::kError) {
    TopicMetadata& topic = tables_.topics.emplace_back();
    topic.id = kTopic;
    topic.name = {"", "orders"};
    topic.queues_per_shard = 1;
    for (int i = 1; i <= kGroups; ++i) {
      GroupMetadata& group = tables_.groups.emplace_back();
      group.id = GroupId(static_cast<uint64_t>(i));
      group.name = {"", absl::StrCat("group-", i)};
      SubscriptionMetadata& subscription = tables_.subscriptions.emplace_back();
      subscription.group = group.id;
      subscription.topic = kTopic;
    }
  }

  using Properties = std::map<std::string, std::string>;
  static Buffer Message(const std::string& id, const Properties& properties, size_t body_bytes = 4) {
    MessageDraft draft;
    const std::string body(body_bytes, 'b');
    draft.message_id = id;
    for (const auto& [key, value] : properties) draft.properties.emplace_back(key, value);
    draft.body = body;
    return EncodeStoredMessage(draft);
  }

  void Send(std::vector<Buffer> messages) {
    AppendCall call;
    call.shard = kShard;
    call.topic = kTopic;
    for (Buffer& message : messages) call.messages.push_back({std::move(message), 0});
    ASSERT_THAT(Ask(&Shard::Append, std::move(call)).status, IsOk());
  }
  void Send(const std::string& id, const Properties& properties) { Send({Message(id, properties)}); }

  using ShardFixture::StartReceive;
  std::shared_ptr<std::optional<ReceiveResult>> StartReceive(const std::string& sql, absl::Duration wait,
                                                             GroupId group = kGroup, int32_t max_messages = 32) {
    ReceiveCall call;
    call.shard = kShard;
    call.group = group;
    call.topic = kTopic;
    call.sql = sql;
    call.max_messages = max_messages;
    call.invisible = absl::Seconds(30);
    call.client_id = "client";
    call.wait = wait;
    return StartReceive(std::move(call));
  }
  ReceiveResult Take(const std::string& sql, absl::Duration wait = absl::Seconds(5), GroupId group = kGroup,
                     int32_t max_messages = 32) {
    const auto receive = StartReceive(sql, wait, group, max_messages);
    world_.RunUntil([&] { return receive->has_value(); }, wait + absl::Seconds(5));
    CHECK(receive->has_value());
    return **receive;
  }
  void Settle(const ReceiveResult& result, SettleKind kind, GroupId group = kGroup) {
    SettleCall call;
    call.shard = kShard;
    for (const Delivery& delivery : result.deliveries) {
      call.entries.push_back({group, delivery.queue, delivery.offset, delivery.nonce, kind, absl::ZeroDuration(), ""});
    }
    const SettleResult settled = Ask(&Shard::Settle, std::move(call));
    for (const absl::Status& entry : settled.entries) EXPECT_THAT(entry, IsOk());
  }

  QueueStats::Group Stats(GroupId group = kGroup) {
    world_.RunFor(absl::Seconds(2));  // Scans are written down by then.
    QueueStats::Group found;
    world_.RunOn(shard_executor_.get(), [&] {
      for (const QueueStats& queue : shard_->Stats(StatsCall())) {
        for (const QueueStats::Group& one : queue.groups) {
          if (one.group == group) found = one;
        }
      }
    });
    return found;
  }
};

TEST_F(FilterScanTest, DeliversWhatMatchesAndSettlesTheRestInPassing) {
  Start();
  for (int i = 0; i < 10; ++i) Send(absl::StrCat("m", i), {{"amount", absl::StrCat(i)}});
  Send("without", {});
  const ReceiveResult result = Take("amount >= 3 AND amount < 6");
  EXPECT_THAT(Ids(result), ElementsAre("m3", "m4", "m5"));
  Settle(result, SettleKind::kAck);
  EXPECT_THAT(Ids(Take("amount >= 0", absl::ZeroDuration())), IsEmpty());
  EXPECT_EQ(Stats().floor, 11);
}

TEST_F(FilterScanTest, TenThousandsThatDoNotMatchPassInOneReceive) {
  options_.tail_cache_bytes = 0;
  options_.max_clean_blocks = 4;
  Start();
  constexpr int kMany = 30'000;
  for (int i = 0; i < kMany; i += 1000) {
    std::vector<Buffer> messages;
    for (int k = 0; k < 1000; ++k) messages.push_back(Message("no", {{"region", "us"}, {"n", absl::StrCat(i + k)}}));
    Send(std::move(messages));
  }
  Send("yes", {{"region", "eu"}});
  const ReceiveResult result = Take("region = 'eu'");
  EXPECT_THAT(Ids(result), ElementsAre("yes"));
  EXPECT_EQ(result.deliveries[0].attempt, 1);
  Settle(result, SettleKind::kAck);
  EXPECT_EQ(Stats().floor, kMany + 1);
}

TEST_F(FilterScanTest, WhatMatchesIsNotHeldBackByWhatIsStillToBeEvaluated) {
  options_.tail_cache_bytes = 0;
  Start();
  for (int i = 0; i < 140; i += 20) {
    std::vector<Buffer> messages;
    for (int k = i; k < i + 20; ++k)
      messages.push_back(Message(absl::StrCat("m", k), {{"n", absl::StrCat(k)}}, 1 << 16));
    Send(std::move(messages));
  }
  // All of them are several slices of 4 MiB; taken in small steps nothing is lost, nothing comes twice.
  std::vector<std::string> got;
  while (true) {
    const ReceiveResult result = Take("n BETWEEN 1 AND 137", absl::ZeroDuration(), kGroup, /*max_messages=*/5);
    if (result.deliveries.empty()) break;
    for (const std::string& id : Ids(result)) got.push_back(id);
    Settle(result, SettleKind::kAck);
  }
  std::vector<std::string> expected;
  for (int i = 1; i <= 137; ++i) expected.push_back(absl::StrCat("m", i));
  EXPECT_EQ(got, expected);
}

TEST_F(FilterScanTest, AWaitingReceiveIsWokenByWhatMatchesOnly) {
  Start();
  const auto receive = StartReceive("region = 'eu'", absl::Seconds(60));
  Send("1", {{"region", "us"}});
  world_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(receive->has_value());
  Send("2", {{"region", "eu"}});
  world_.RunUntil([&] { return receive->has_value(); }, absl::Seconds(1));
  ASSERT_TRUE(receive->has_value());
  EXPECT_THAT(Ids(**receive), ElementsAre("2"));
}

TEST_F(FilterScanTest, AReceiveThatDoesNotWaitStillHasItsFilterEvaluated) {
  Start();
  Send("1", {{"a", "x"}});
  Send("2", {{"a", "y"}});
  EXPECT_THAT(Ids(Take("a = 'y'", absl::ZeroDuration())), ElementsAre("2"));
  EXPECT_THAT(Ids(Take("a = 'y'", absl::ZeroDuration())), IsEmpty());
}

TEST_F(FilterScanTest, AReturnedMessageThatMatchesComesAgain) {
  Start();
  Send("1", {{"a", "x"}});
  Settle(Take("a = 'x'"), SettleKind::kExtend);  // By zero: visible at once.
  const ReceiveResult again = Take("a LIKE 'x%'");
  ASSERT_THAT(Ids(again), ElementsAre("1"));
  EXPECT_EQ(again.deliveries[0].attempt, 2);
}

TEST_F(FilterScanTest, AReturnedMessageThatTheNextFilterLeavesOutIsSettled) {
  Start();
  for (int i = 0; i < 2000; i += 500) {
    std::vector<Buffer> messages;
    for (int k = 0; k < 500; ++k) messages.push_back(Message(absl::StrCat("m", i + k), {{"n", absl::StrCat(i + k)}}));
    Send(std::move(messages));
  }
  std::vector<ReceiveResult> results;
  for (int taken = 0; taken < 2000; taken += static_cast<int>(results.back().deliveries.size())) {
    results.push_back(Take("n >= 0"));
    ASSERT_THAT(results.back().deliveries, SizeIs(testing::Gt(0u)));
  }
  for (const ReceiveResult& result : results) Settle(result, SettleKind::kUndelivered);
  EXPECT_EQ(Stats().ready_again, 2000);

  // They are more than one slice. One of them matches.
  const ReceiveResult one = Take("n = 1500");
  ASSERT_THAT(Ids(one), ElementsAre("m1500"));
  EXPECT_EQ(one.deliveries[0].attempt, 1);
  Settle(one, SettleKind::kAck);
  EXPECT_THAT(Ids(Take("n >= 0", absl::ZeroDuration())), ElementsAre());
  const QueueStats::Group stats = Stats();
  EXPECT_EQ(stats.in_flight + stats.ready_again, 0);
  EXPECT_EQ(stats.floor, 2000);
}

TEST_F(FilterScanTest, ManyGroupsWithFiltersOfTheirOwnAllGetTheirs) {
  options_.tail_cache_bytes = 0;
  Start();
  std::vector<std::shared_ptr<std::optional<ReceiveResult>>> receives;
  for (int i = 1; i <= kGroups; ++i) {
    receives.push_back(StartReceive(absl::StrCat("n = ", i), absl::Seconds(60), GroupId(static_cast<uint64_t>(i))));
  }
  std::vector<Buffer> messages;
  for (int i = 0; i < 3000; ++i) messages.push_back(Message(absl::StrCat("m", i), {{"n", absl::StrCat(i % 1500)}}));
  Send(std::move(messages));
  for (int i = 1; i <= kGroups; ++i) {
    const auto& receive = receives[static_cast<size_t>(i - 1)];
    world_.RunUntil([&] { return receive->has_value(); }, absl::Seconds(5));
    ASSERT_TRUE(receive->has_value()) << i;
    EXPECT_THAT(Ids(**receive), testing::Contains(absl::StrCat("m", i))) << i;
  }
}

TEST_F(FilterScanTest, MembersOfOneGroupWithDifferentFiltersTakeFromEachOther) {
  Start();
  Send({Message("1", {{"a", "x"}}), Message("2", {{"a", "y"}})});
  EXPECT_THAT(Ids(Take("a = 'y'")), ElementsAre("2"));
  EXPECT_THAT(Ids(Take("a = 'x'", absl::ZeroDuration())), IsEmpty());
}

TEST_F(FilterScanTest, AnExpressionThatCannotBeReadIsRefused) {
  Start();
  EXPECT_THAT(Take("a =").status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("position 4: found the end")));
}

TEST_F(FilterScanTest, AMessageThatCannotBeReadIsNotPassedOver) {
  Start();
  Send({Buffer(std::string("no stored message"))});
  EXPECT_THAT(Take("FALSE", absl::ZeroDuration()).deliveries, SizeIs(1));
}

std::vector<std::string>* logged = nullptr;

TEST_F(FilterScanTest, WhatCannotBeEvaluatedIsLoggedOnceInAWhileAndNotDelivered) {
  Start();
  SetMinLogLevel(LogLevel::kWarning);
  std::vector<std::string> lines;
  logged = &lines;
  SetLogSink([](LogLevel, absl::string_view line) { logged->emplace_back(line); });
  for (int i = 0; i < 50; ++i) Send(absl::StrCat(i), {{"amount", "much"}});
  EXPECT_THAT(Ids(Take("amount > 5", absl::ZeroDuration())), IsEmpty());
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], HasSubstr("not a number"));
  EXPECT_THAT(lines[0], HasSubstr("property=amount"));
  EXPECT_THAT(lines[0], testing::Not(HasSubstr("much")));
  world_.RunFor(absl::Seconds(11));
  Send("last", {{"amount", "more"}});
  EXPECT_THAT(Ids(Take("amount > 5", absl::ZeroDuration())), IsEmpty());
  SetLogSink(nullptr);
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[1], HasSubstr("messages=50"));  // 49 that were not told yet, and this one.
  EXPECT_EQ(Stats().floor, 51);
}

TEST_F(FilterScanTest, AfterARestartNothingIsFilteredTwiceOrLost) {
  options_.tail_cache_bytes = 0;
  Start();
  for (int i = 0; i < 10; ++i) Send(absl::StrCat("m", i), {{"n", absl::StrCat(i)}});
  Settle(Take("n >= 8 OR n < 2", absl::Seconds(1), kGroup, 2), SettleKind::kAck);  // m0, m1
  Restart();
  EXPECT_THAT(Ids(Take("n >= 8 OR n < 2")), ElementsAre("m8", "m9"));
}

}  // namespace
}  // namespace barid::broker
