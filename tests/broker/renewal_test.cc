// Auto-renewal, end to end within a shard: what proxies report, what the leader makes of it, and what the next leader
// does. What the records do is tested in state_test.cc.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/base/status_matchers.h"
#include "tests/broker/shard_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr TopicId kTopic{1};
constexpr GroupId kGroup{1};
// The leader's clock is steered by up to 1 %, and a client is looked for every 5 s.
constexpr absl::Duration kSoon = absl::Seconds(10);

class RenewalTest : public ShardFixture {
 protected:
  RenewalTest() {
    TopicMetadata& topic = tables_.topics.emplace_back();
    topic.id = kTopic;
    topic.name = {"", "orders"};
    topic.queues_per_shard = 1;
    GroupMetadata& group = tables_.groups.emplace_back();
    group.id = kGroup;
    group.name = {"", "group"};
    group.retry.max_attempts = 3;
    SubscriptionMetadata& subscription = tables_.subscriptions.emplace_back();
    subscription.group = kGroup;
    subscription.topic = kTopic;
    Start();
  }

  void Send(const std::vector<std::string>& ids) {
    AppendCall call;
    call.shard = kShard;
    call.topic = kTopic;
    for (const std::string& id : ids) {
      MessageDraft draft;
      draft.message_id = id;
      draft.body = "body";
      call.messages.push_back({EncodeStoredMessage(draft), 0});
    }
    EXPECT_THAT(Ask(&Shard::Append, std::move(call)).status, IsOk());
  }
  std::vector<Delivery> Receive(const std::string& client = "ann") {
    ReceiveCall call;
    call.shard = kShard;
    call.group = kGroup;
    call.topic = kTopic;
    call.max_messages = 32;
    call.auto_renew = true;
    call.client_id = client;
    const auto receive = StartReceive(std::move(call));
    world_.RunUntil([&] { return receive->has_value(); }, absl::Seconds(10));
    CHECK(receive->has_value());
    EXPECT_THAT((*receive)->status, IsOk());
    return (*receive)->deliveries;
  }
  // An answer left wholly.
  void ReportSent(const std::vector<Delivery>& deliveries) {
    SentReport report;
    report.shard = kShard;
    for (const Delivery& one : deliveries) report.entries.push_back({kGroup, one.queue, one.offset, one.nonce});
    world_.RunOn(shard_executor_.get(), [&] { shard_->ReportSent(report); });
  }
  void Report(const std::vector<std::string>& alive, const std::vector<std::string>& gone = {}) {
    world_.RunOn(shard_executor_.get(), [&] { shard_->ReportClients({"proxy", alive, gone}); });
  }
  void SettleAll(const std::vector<Delivery>& deliveries) {
    SettleCall call;
    call.shard = kShard;
    for (const Delivery& one : deliveries) {
      call.entries.push_back({kGroup, one.queue, one.offset, one.nonce, SettleKind::kAck, absl::ZeroDuration(), ""});
    }
    for (const absl::Status& status : Ask(&Shard::Settle, std::move(call)).entries) EXPECT_THAT(status, IsOk());
  }
  // Time passes, and a proxy tells every 5 s that the client lives.
  void LetLive(const std::string& client, absl::Duration duration) {
    for (; duration > absl::ZeroDuration(); duration -= absl::Seconds(5)) {
      Report({client});
      world_.RunFor(std::min(duration, absl::Seconds(5)));
    }
  }
  int64_t held() const {
    int64_t held = 0;
    for (const auto& [client, count] : shard_->state().holders()) held += count;
    return held;
  }
};

TEST_F(RenewalTest, WhatIsReportedIsHeldWhileItsClientLives) {
  Send({"a", "b"});
  const std::vector<Delivery> got = Receive();
  ASSERT_THAT(Ids(got), ElementsAre("a", "b"));
  ReportSent(got);
  LetLive("ann", absl::Minutes(30));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  EXPECT_EQ(held(), 2);
  SettleAll(got);
  EXPECT_EQ(held(), 0);
}

TEST_F(RenewalTest, WhatIsNotReportedComesBackAfterItsFirstDeadline) {
  Send({"a"});
  Receive();
  LetLive("ann", absl::Seconds(55));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  LetLive("ann", kSoon);
  EXPECT_THAT(Ids(Receive("bob")), ElementsAre("a"));
}

// Renewing is one record for all that came together, and then none, however long the client lives.
TEST_F(RenewalTest, NothingIsWrittenPerRenewal) {
  Send({"a", "b", "c"});
  const std::vector<Delivery> got = Receive();
  const LogIndex before = shard_->state().applied_index();
  ReportSent(got);
  LetLive("ann", absl::Seconds(5));
  EXPECT_EQ(held(), 3);
  EXPECT_EQ(shard_->state().applied_index(), before + 1);
  LetLive("ann", absl::Hours(2));
  EXPECT_EQ(held(), 3);
  EXPECT_EQ(shard_->state().applied_index(), before + 1);
}

TEST_F(RenewalTest, WhatIsSettledSoonIsNeverHeld) {
  Send({"a"});
  const std::vector<Delivery> got = Receive();
  ReportSent(got);
  SettleAll(got);
  const LogIndex before = shard_->state().applied_index();
  LetLive("ann", absl::Minutes(3));
  EXPECT_EQ(shard_->state().applied_index(), before);
}

TEST_F(RenewalTest, NobodyHoldsForLongerThanTheCap) {
  Send({"a"});
  ReportSent(Receive());
  LetLive("ann", absl::Hours(3) - absl::Minutes(3));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  LetLive("ann", absl::Minutes(6));
  EXPECT_THAT(Ids(Receive("bob")), ElementsAre("a"));
}

// The proxy that served the receive is dead; the client speaks to another one. So it goes through a restart of the
// leader, and then the client dies, too.
TEST_F(RenewalTest, OutlivesTheProxyAndTheLeaderButNotTheClient) {
  Send({"a"});
  const std::vector<Delivery> got = Receive();
  ReportSent(got);
  LetLive("ann", absl::Minutes(2));
  world_.RunFor(absl::Seconds(60));  // Nobody speaks for her, for less than the silence that is allowed.
  for (int i = 0; i < 3; ++i) {
    LetLive("ann", absl::Minutes(3));
    EXPECT_THAT(Receive("bob"), IsEmpty());
    Crash();
    EXPECT_EQ(held(), 1);
  }
  LetLive("ann", absl::Minutes(3));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  // From here on she is silent: gone after 120 s, and it comes 30 s later.
  world_.RunFor(absl::Seconds(140));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  world_.RunFor(kSoon + kSoon);
  const std::vector<Delivery> again = Receive("bob");
  ASSERT_THAT(Ids(again), ElementsAre("a"));
  EXPECT_EQ(again[0].attempt, 2);
}

// The new leader has heard nobody: it first grants everyone the full time.
TEST_F(RenewalTest, ANewLeaderTakesNobodyForGoneAtOnce) {
  Send({"a"});
  ReportSent(Receive());
  LetLive("ann", absl::Minutes(3));
  Crash();
  world_.RunFor(absl::Seconds(115));
  LetLive("ann", absl::Minutes(3));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  EXPECT_EQ(held(), 1);
}

TEST_F(RenewalTest, AGoodbyeEndsItWithinTheGrace) {
  Send({"a"});
  ReportSent(Receive());
  LetLive("ann", absl::Minutes(3));
  Report({}, {"ann"});
  world_.RunFor(absl::Seconds(28));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  world_.RunFor(absl::Seconds(3));
  EXPECT_THAT(Ids(Receive("bob")), ElementsAre("a"));
}

TEST_F(RenewalTest, WhoSaysGoodbyeBeforeTheHoldIsNotHeldFor) {
  Send({"a"});
  ReportSent(Receive());
  Report({}, {"ann"});
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(held(), 0);
  world_.RunFor(absl::Seconds(50));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  world_.RunFor(kSoon + kSoon);
  EXPECT_THAT(Ids(Receive("bob")), ElementsAre("a"));
}

// A goodbye may come late, when the client is back already.
TEST_F(RenewalTest, WhoComesBackAfterAGoodbyeIsHeldForAgain) {
  Send({"a"});
  ReportSent(Receive());
  Report({}, {"ann"});
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(held(), 0);
  LetLive("ann", absl::Minutes(3));
  EXPECT_EQ(held(), 1);
  EXPECT_THAT(Receive("bob"), IsEmpty());
  // Both in one report: it is there.
  Report({"ann"}, {"ann"});
  Send({"b"});
  ReportSent(Receive());
  LetLive("ann", absl::Minutes(3));
  EXPECT_EQ(held(), 1) << "the new one; the old one was given back";
}

// The answer left when its first deadline had nearly come: there is no second to wait for.
TEST_F(RenewalTest, WhatIsReportedAtTheLastMomentIsHeldAtOnce) {
  Send({"a"});
  const std::vector<Delivery> got = Receive();
  world_.RunFor(absl::Seconds(59.5));
  ReportSent(got);
  LetLive("ann", absl::Minutes(3));
  EXPECT_EQ(held(), 1);
  EXPECT_THAT(Receive("bob"), IsEmpty());
}

// Its first answer comes before any proxy has told of it, from a leader that leads for long.
TEST_F(RenewalTest, AnUnknownClientIsNotGoneWhenItIsServed) {
  world_.RunFor(absl::Minutes(10));
  Send({"a"});
  ReportSent(Receive("new"));
  world_.RunFor(absl::Seconds(14));
  LetLive("new", absl::Minutes(3));
  EXPECT_THAT(Receive("bob"), IsEmpty());
}

// When the process goes on, deadlines have passed, and everyone was silent for long.
TEST_F(RenewalTest, APauseOfTheLeaderEndsNothing) {
  Send({"a"});
  ReportSent(Receive());
  world_.clock()->Advance(absl::Minutes(10));
  LetLive("ann", absl::Minutes(3));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  world_.clock()->Advance(absl::Minutes(10));
  world_.RunFor(absl::Seconds(5));  // It goes on before any proxy does.
  LetLive("ann", absl::Minutes(3));
  EXPECT_THAT(Receive("bob"), IsEmpty());
  EXPECT_EQ(held(), 1);
}

// The last attempt is no exception: it would go to the dead letters instead.
TEST_F(RenewalTest, APauseBuriesNothing) {
  Send({"a"});
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Receive(), SizeIs(1));
    world_.RunFor(absl::Seconds(60) + kSoon);
  }
  const std::vector<Delivery> last = Receive();
  ASSERT_THAT(last, SizeIs(1));
  EXPECT_EQ(last[0].attempt, 3);
  ReportSent(last);
  world_.clock()->Advance(absl::Minutes(10));
  LetLive("ann", absl::Minutes(3));
  EXPECT_EQ(held(), 1);
  SettleAll(last);
}

// A leader that ends in good order leaves no reports behind that nobody will repeat.
TEST_F(RenewalTest, AnOrderlyEndHoldsWhatWasReportedJustNow) {
  Send({"a", "b"});
  const std::vector<Delivery> got = Receive();
  ReportSent({got[0]});
  world_.RunOn(shard_executor_.get(), [&] { shard_->Drain(); });
  world_.RunUntilIdle();  // No tick.
  EXPECT_EQ(held(), 1);
  ReportSent({got[1]});
  world_.RunUntilIdle();
  EXPECT_EQ(held(), 2);
  Restart();
  EXPECT_EQ(held(), 2);
  LetLive("ann", absl::Minutes(3));
  EXPECT_THAT(Receive("bob"), IsEmpty());
}

// Nobody knows whether the answer had left, so the client may be alive and without the message: it must not wait for
// the cap.
TEST_F(RenewalTest, WhatACrashedLeaderWasToldJustBeforeComesBackAfterItsFirstDeadline) {
  Send({"a"});
  ReportSent(Receive());
  world_.RunFor(absl::Milliseconds(500));
  Crash();
  LetLive("ann", absl::Seconds(60) + kSoon);
  EXPECT_THAT(Ids(Receive("bob")), ElementsAre("a"));
}

}  // namespace
}  // namespace barid::broker
