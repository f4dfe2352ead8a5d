// A proxy's RemoteBroker in front of a broker's service, over loopback.
#include <atomic>
#include <limits>
#include <thread>

#include "base/status.h"
#include "tests/base/status_matchers.h"
#include "tests/integration/broker_hop_fixture.h"

namespace barid {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class BrokerHopTest : public testing::Test {
 protected:
  // Ends what is under way, so that fakes and outcomes are not needed any more.
  ~BrokerHopTest() override {
    remote_ = nullptr;
    broker_.Release();
    process_ = nullptr;
  }

  void Start(const broker::BrokerServiceOptions& options = {}) {
    process_ = std::make_unique<BrokerProcess>(&broker_, address_.empty() ? "127.0.0.1:0" : address_, options);
    address_ = process_->address();
  }
  void Connect(const proxy::RemoteBrokerOptions& options = {}) {
    remote_ =
        std::make_unique<proxy::RemoteBroker>("broker-0", OpenChannel(address_, loops_),
                                              proxy::LaneContext{RealClock(), RealRandom(), timers_.get()}, options);
  }
  void StartAndConnect() {
    Start();
    Connect();
  }
  void KillBroker() {
    process_->Kill();
    process_ = nullptr;
  }

  AppendResult SendAndWait(const AppendCall& call) {
    Outcome<AppendResult> outcome;
    remote_->Append(call, outcome.Taker());
    return outcome.Get();
  }
  ReceiveResult ReceiveAndWait(const ReceiveCall& call) {
    Outcome<ReceiveResult> outcome;
    remote_->Receive(call, outcome.Taker());
    return outcome.Get();
  }
  // Calls, again and again, until one gets through.
  bool SendsAgain() {
    return Succeeds([this] { return SendAndWait(Send("again")).status; });
  }
  bool GetsAgain() {
    return Succeeds([this] { return ReceiveAndWait(Ask()).status; });
  }

  const std::shared_ptr<edge::h2::LoopThreads> loops_ = std::make_shared<edge::h2::LoopThreads>(1);
  FakeBroker broker_;
  std::unique_ptr<Executor> timers_ = NewThreadExecutor("barid-hop");
  std::string address_;
  std::unique_ptr<BrokerProcess> process_;
  std::unique_ptr<proxy::RemoteBroker> remote_;
};

TEST_F(BrokerHopTest, NoBrokerIsUnavailableAndNotInDoubt) {
  Start();
  KillBroker();
  Connect();
  EXPECT_THAT(SendAndWait(Send("a")).status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(ReceiveAndWait(Ask()).status, StatusIs(absl::StatusCode::kUnavailable));
  // Down is known by now: the answer comes inside the call.
  Outcome<AppendResult> outcome;
  remote_->Append(Send("b"), outcome.Taker());
  EXPECT_TRUE(outcome.has_come());
  EXPECT_THAT(outcome.Get().status, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(BrokerHopTest, ABrokenStreamLeavesSendsInDoubtAndEndsReceives) {
  StartAndConnect();
  broker_.Hold();
  Outcome<AppendResult> send;
  Outcome<SettleResult> settle;
  Outcome<ReceiveResult> receive;
  remote_->Append(Send("a"), send.Taker());
  remote_->Settle({ShardId(1), {SettleEntry()}}, settle.Taker());
  remote_->Receive(Ask(), receive.Taker());
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.held.size() == 2 && broker_.waiting.size() == 1; }));
  KillBroker();
  EXPECT_THAT(send.Get().status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(settle.Get().status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(receive.Get().status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(broker_.changes.Await([&] { return broker_.waiting.empty(); })) << "the receive was not cancelled";
}

TEST_F(BrokerHopTest, ConnectsAgain) {
  StartAndConnect();
  EXPECT_THAT(SendAndWait(Send("a")).status, IsOk());
  for (int i = 0; i < 3; ++i) {
    KillBroker();
    Start();
    EXPECT_TRUE(SendsAgain());
  }
}

TEST_F(BrokerHopTest, DeliveriesForABrokenStreamAreGivenBack) {
  StartAndConnect();
  broker_.deaf_to_cancels = true;
  Outcome<ReceiveResult> receive;
  remote_->Receive(Ask(), receive.Taker());
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.waiting.size() == 1; }));
  remote_ = nullptr;
  EXPECT_THAT(receive.Get().status, StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.cancels == 1; }));
  // The deliveries were on their way when the cancellation came.
  broker_.Serve({absl::OkStatus(), {SomeDelivery(11, "a"), SomeDelivery(12, "b")}});
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.settles.size() == 1; }));
  const SettleCall& settle = broker_.settles[0];
  EXPECT_EQ(settle.shard, ShardId(1));
  ASSERT_THAT(settle.entries, SizeIs(2));
  EXPECT_EQ(settle.entries[1].kind, SettleKind::kUndelivered);
  EXPECT_EQ(settle.entries[1].group, GroupId(5));
  EXPECT_EQ(settle.entries[1].queue, (QueueKey{TopicId(2), 3}));
  EXPECT_EQ(settle.entries[1].offset, 12);
  EXPECT_EQ(settle.entries[1].nonce, 112u);
}

TEST_F(BrokerHopTest, AHungBrokerEndsCallsInTime) {
  Start();
  proxy::RemoteBrokerOptions options;
  options.call_timeout = absl::Milliseconds(300);
  Connect(options);
  // Both streams are open before it hangs: a call that found none in time would not be in doubt.
  ASSERT_TRUE(SendsAgain());
  broker_.serve = [](const ReceiveCall&) { return ReceiveResult(); };
  ASSERT_TRUE(GetsAgain());
  broker_.serve = nullptr;
  broker_.Hold();
  broker_.deaf_to_cancels = true;
  ReceiveCall ask = Ask();
  ask.wait = absl::Milliseconds(10);
  EXPECT_THAT(SendAndWait(Send("a")).status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(ReceiveAndWait(ask).status, StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.cancels == 1; }));
  // What comes for it after all is given back.
  broker_.Serve({absl::OkStatus(), {SomeDelivery(11, "a")}});
  EXPECT_TRUE(broker_.changes.Await([&] { return broker_.settles.size() == 1; }));
}

TEST_F(BrokerHopTest, RefusesMoreBytesThanItsBound) {
  Start();
  proxy::RemoteBrokerOptions options;
  options.max_bytes_in_flight = 10000;
  Connect(options);
  broker_.Hold();
  Outcome<AppendResult> first;
  remote_->Append(Send(std::string(20000, 'x')), first.Taker());  // One is always allowed.
  const AppendResult second = SendAndWait(Send("a"));
  EXPECT_THAT(second.status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_TRUE(GetRetryAfter(second.status).has_value());
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.held.size() == 1; }));
  broker_.Release();
  EXPECT_THAT(first.Get().status, IsOk());
  EXPECT_THAT(SendAndWait(Send("a")).status, IsOk());
}

TEST_F(BrokerHopTest, TheBrokerRefusesReceivesWhileTheProxyDoesNotTakeAnswers) {
  broker::BrokerServiceOptions options;
  options.max_answer_bytes = -1;  // Even nothing is too much.
  Start(options);
  Connect();
  const ReceiveResult result = ReceiveAndWait(Ask());
  EXPECT_THAT(result.status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_TRUE(GetRetryAfter(result.status).has_value());
}

TEST_F(BrokerHopTest, TheBrokerRefusesSendsBeyondItsBytes) {
  broker::BrokerServiceOptions options;
  options.max_bytes_under_way = 10000;
  Start(options);
  Connect();
  broker_.Hold();
  std::vector<Outcome<AppendResult>> sends(200);
  for (auto& send : sends) remote_->Append(Send(std::string(50000, 'x')), send.Taker());
  ASSERT_TRUE(broker_.changes.Await([&] { return !broker_.held.empty(); }));
  // One is always allowed; the others say when to come again.
  for (size_t i = 1; i < sends.size(); ++i) {
    const AppendResult& refused = sends[i].Get();
    EXPECT_THAT(refused.status, StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_TRUE(GetRetryAfter(refused.status).has_value());
  }
  broker_.Release();
  EXPECT_THAT(sends[0].Get().status, IsOk());
  EXPECT_THAT(SendAndWait(Send("a")).status, IsOk());
}

TEST_F(BrokerHopTest, SendsCarryEveryField) {
  StartAndConnect();
  AppendCall call;
  call.shard = ShardId(1);
  call.topic = TopicId(kDeadLetterBit | 2);
  call.metadata_revision = 3;
  call.queue = -1;
  const std::string binary("\0\xff\x80stored", 9);
  call.messages = {{Buffer(binary), 0xffffffff}, {Buffer(), 0}, {Buffer(std::string("refuse me")), 1}};
  call.messages[1].deliver_at = absl::FromUnixMicros(1'700'000'000'123'456);
  const AppendResult result = SendAndWait(call);

  const AppendCall& seen = broker_.last_append;
  EXPECT_EQ(seen.shard, call.shard);
  EXPECT_EQ(seen.topic, call.topic);
  EXPECT_EQ(seen.metadata_revision, 3);
  EXPECT_EQ(seen.queue, -1);
  ASSERT_THAT(seen.messages, SizeIs(3));
  EXPECT_EQ(seen.messages[0].stored.view(), binary);
  EXPECT_EQ(seen.messages[0].tag_hash, 0xffffffff);
  EXPECT_TRUE(seen.messages[1].stored.empty());
  EXPECT_FALSE(seen.messages[0].deliver_at.has_value());
  EXPECT_EQ(seen.messages[1].deliver_at, call.messages[1].deliver_at);

  EXPECT_THAT(result.status, IsOk());
  ASSERT_THAT(result.entries, SizeIs(3));
  EXPECT_THAT(result.entries[0].status, IsOk());
  EXPECT_EQ(result.entries[0].queue, -1);
  EXPECT_EQ(result.entries[0].offset, 0xffffffff);
  EXPECT_FALSE(result.entries[0].timer.has_value());
  EXPECT_EQ(result.entries[1].timer, (TimerKey{1'700'000'000'123'456, 77, 3}));
  EXPECT_THAT(result.entries[2].status, StatusIs(absl::StatusCode::kInvalidArgument, "refused"));
}

TEST_F(BrokerHopTest, RecallsCarryEveryField) {
  StartAndConnect();
  const RecallCall call{ShardId(9), {1'700'000'000'123'456, LogIndex{1} << 60, 0xffffffff}};
  Outcome<RecallResult> recalled;
  remote_->Recall(call, recalled.Taker());
  EXPECT_THAT(recalled.Get().status, IsOk());
  EXPECT_EQ(broker_.last_recall.shard, call.shard);
  EXPECT_EQ(broker_.last_recall.timer, call.timer);

  broker_.recall_status = absl::NotFoundError("delivered already \xff");
  Outcome<RecallResult> refused;
  remote_->Recall(call, refused.Taker());
  EXPECT_EQ(refused.Get().status, broker_.recall_status);
}

TEST_F(BrokerHopTest, EndsOfTransactionsCarryEveryField) {
  StartAndConnect();
  const EndTransactionCall call{ShardId(9), {LogIndex{1} << 60, 0xffffffff}, /*commit=*/true};
  Outcome<EndTransactionResult> ended;
  remote_->EndTransaction(call, ended.Taker());
  EXPECT_THAT(ended.Get().status, IsOk());
  EXPECT_EQ(broker_.last_end.shard, call.shard);
  EXPECT_EQ(broker_.last_end.transaction, call.transaction);
  EXPECT_TRUE(broker_.last_end.commit);

  broker_.end_status = absl::AlreadyExistsError("rolled back already");
  Outcome<EndTransactionResult> refused;
  remote_->EndTransaction(call, refused.Taker());
  EXPECT_EQ(refused.Get().status, broker_.end_status);
}

TEST_F(BrokerHopTest, ChecksCarryTheirMessagesHoweverLarge) {
  StartAndConnect();
  const std::string large(size_t{4} << 20, 'x');
  broker_.checks_result.checks.push_back(
      {{7, 1}, {TopicId(5), 2}, Buffer(std::string("small\xff")), absl::FromUnixMicros(99), 3});
  broker_.checks_result.checks.push_back({{8, 0}, {TopicId(5), 0}, Buffer(large), absl::FromUnixMicros(100), 1});
  ChecksCall call;
  call.shard = ShardId(9);
  call.proxy = "proxy-7";
  call.topics = {TopicId(5), TopicId(6)};
  Outcome<ChecksResult> taken;
  remote_->TakeChecks(call, taken.Taker());
  const ChecksResult& result = taken.Get();
  ASSERT_THAT(result.status, IsOk());
  ASSERT_EQ(result.checks.size(), 2u);
  EXPECT_EQ(result.checks[0].stored.view(), "small\xff");
  EXPECT_EQ(result.checks[0].transaction, (TransactionKey{7, 1}));
  EXPECT_EQ(result.checks[0].check, 3);
  EXPECT_EQ(result.checks[1].stored.view(), large);
  EXPECT_EQ(broker_.last_checks.proxy, "proxy-7");
  EXPECT_EQ(broker_.last_checks.topics, call.topics);

  broker_.list_result.transactions.push_back(
      {ShardId(9), "id\xff", absl::FromUnixMicros(5), 2, absl::FromUnixMicros(6), "why"});
  Outcome<TransactionsResult> listed;
  remote_->ListTransactions({ShardId(9), TopicId(5), true, 7}, listed.Taker());
  ASSERT_EQ(listed.Get().transactions.size(), 1u);
  EXPECT_EQ(listed.Get().transactions[0].message_id, "id\xff");
  EXPECT_EQ(broker_.last_list.limit, 7);
}

TEST_F(BrokerHopTest, WhatOperatorsAskIsCarried) {
  StartAndConnect();
  FoundMessage found;
  found.offset = 4711;
  found.stored = Buffer(std::string(100'000, 's'));
  found.origin = MessageOrigin{TopicId(77), "old", "0A\xff", 16, "too often"};
  broker_.lookup_result.messages.push_back(found);
  broker_.lookup_result.events.emplace_back().client = "ann\xff";
  broker_.lookup_result.resume = "0:4712";
  LookupCall call;
  call.shard = ShardId(9);
  call.kind = LookupCall::Kind::kKey;
  call.text = "key\xff";
  Outcome<LookupResult> looked_up;
  remote_->Lookup(call, looked_up.Taker());
  const LookupResult& result = looked_up.Get();
  ASSERT_THAT(result.status, IsOk());
  ASSERT_EQ(result.messages.size(), 1u);
  EXPECT_EQ(result.messages[0].stored.view(), found.stored.view());
  EXPECT_EQ(result.messages[0].origin->message_id, "0A\xff");
  EXPECT_EQ(result.events.at(0).client, "ann\xff");
  EXPECT_EQ(result.resume, "0:4712");
  EXPECT_EQ(broker_.last_lookup.kind, LookupCall::Kind::kKey);
  EXPECT_EQ(broker_.last_lookup.text, "key\xff");
  EXPECT_EQ(broker_.last_lookup.to, absl::InfiniteFuture());

  broker_.redrive_result.redriven = 3;
  broker_.redrive_result.end = 8;
  RedriveCall redrive;
  redrive.group = GroupId(4);
  redrive.tags = {"a\xff"};
  Outcome<RedriveResult> redriven;
  remote_->Redrive(redrive, redriven.Taker());
  EXPECT_EQ(redriven.Get().redriven, 3);
  EXPECT_EQ(redriven.Get().end, 8);
  EXPECT_EQ(broker_.last_redrive.tags, redrive.tags);
}

TEST_F(BrokerHopTest, StatusesKeepTheirPayloads) {
  StartAndConnect();
  broker_.append_status = NotLeaderError({"broker-7", 42}, "not I \xff");
  const absl::Status status = SendAndWait(Send("a")).status;
  EXPECT_EQ(status, broker_.append_status);
  ASSERT_TRUE(GetNotLeader(status).has_value());
  EXPECT_EQ(GetNotLeader(status)->leader, "broker-7");
  EXPECT_EQ(GetNotLeader(status)->epoch, 42u);
  broker_.serve = [](const ReceiveCall&) { return ReceiveResult{OffsetRangeError({3, 9}, "moved"), {}}; };
  EXPECT_EQ(GetOffsetRange(ReceiveAndWait(Ask()).status)->end, 9);
}

TEST_F(BrokerHopTest, SettlesCarryEveryField) {
  StartAndConnect();
  SettleCall call;
  call.shard = ShardId(9);
  for (const SettleKind kind : {SettleKind::kAck, SettleKind::kReturn, SettleKind::kExtend, SettleKind::kUndelivered,
                                SettleKind::kDeadLetter, SettleKind::kSuspend}) {
    call.entries.push_back(
        {GroupId(5), {TopicId(6), 7}, 1'000'000'000'000, 8, kind, absl::Milliseconds(1500), "why \xfe"});
  }
  broker_.settle_result = SettleResult{absl::OkStatus(), std::vector<absl::Status>(6)};
  broker_.settle_result->entries[1] = StaleReceiptError("late");
  broker_.settle_result->entries[4] = RetryAfterError(absl::Seconds(2), "full");
  Outcome<SettleResult> outcome;
  remote_->Settle(call, outcome.Taker());
  const SettleResult result = outcome.Get();

  ASSERT_THAT(broker_.settles, SizeIs(1));
  const SettleCall& seen = broker_.settles[0];
  EXPECT_EQ(seen.shard, ShardId(9));
  ASSERT_THAT(seen.entries, SizeIs(6));
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(seen.entries[i].group, GroupId(5));
    EXPECT_EQ(seen.entries[i].queue, (QueueKey{TopicId(6), 7}));
    EXPECT_EQ(seen.entries[i].offset, 1'000'000'000'000);
    EXPECT_EQ(seen.entries[i].nonce, 8u);
    EXPECT_EQ(seen.entries[i].kind, call.entries[i].kind);
    EXPECT_EQ(seen.entries[i].delay, absl::Milliseconds(1500));
    EXPECT_EQ(seen.entries[i].reason, "why \xfe");
  }
  EXPECT_THAT(result.status, IsOk());
  ASSERT_THAT(result.entries, SizeIs(6));
  EXPECT_THAT(result.entries[0], IsOk());
  EXPECT_TRUE(IsStaleReceipt(result.entries[1]));
  EXPECT_EQ(GetRetryAfter(result.entries[4]), absl::Seconds(2));
}

TEST_F(BrokerHopTest, ReceivesCarryEveryField) {
  StartAndConnect();
  Delivery plain = SomeDelivery(1, "plain");
  Delivery dead = SomeDelivery(2, std::string(1'000'000, 'd'));  // More than a frame.
  dead.attempt = 4;
  dead.store_time = absl::FromUnixMicros(1'700'000'000'123'456);
  dead.invisible = absl::InfiniteDuration();
  dead.origin = Delivery::Origin{TopicId(77), "old", "0A\xff", 16, "too often"};
  Delivery empty = SomeDelivery(3, "");
  broker_.serve = [&](const ReceiveCall&) { return ReceiveResult{absl::OkStatus(), {plain, dead, empty}}; };
  ReceiveCall call = Ask();
  call.metadata_revision = 12;
  call.tags = {"a", "\xff"};
  call.sql = "a = '\xff'";
  call.max_messages = 3;
  call.max_bytes = 99;
  call.invisible = absl::Seconds(15);
  call.auto_renew = true;
  call.client_id = "client\x80";
  call.attempt_id = "attempt";
  call.wait = absl::Milliseconds(250);
  const ReceiveResult result = ReceiveAndWait(call);

  const ReceiveCall& seen = broker_.last_receive;
  EXPECT_EQ(seen.shard, call.shard);
  EXPECT_EQ(seen.group, call.group);
  EXPECT_EQ(seen.topic, call.topic);
  EXPECT_EQ(seen.metadata_revision, 12);
  EXPECT_EQ(seen.tags, call.tags);
  EXPECT_EQ(seen.sql, call.sql);
  EXPECT_EQ(seen.max_messages, 3);
  EXPECT_EQ(seen.max_bytes, 99);
  EXPECT_EQ(seen.invisible, absl::Seconds(15));
  EXPECT_TRUE(seen.auto_renew);
  EXPECT_EQ(seen.client_id, call.client_id);
  EXPECT_EQ(seen.attempt_id, "attempt");
  EXPECT_EQ(seen.wait, absl::Milliseconds(250));

  EXPECT_THAT(result.status, IsOk());
  ASSERT_THAT(result.deliveries, SizeIs(3));
  EXPECT_EQ(result.deliveries[0].stored.view(), "plain");
  EXPECT_FALSE(result.deliveries[0].origin.has_value());
  const Delivery& got = result.deliveries[1];
  EXPECT_EQ(got.stored.view(), dead.stored.view());
  EXPECT_EQ(got.queue, dead.queue);
  EXPECT_EQ(got.offset, 2);
  EXPECT_EQ(got.attempt, 4);
  EXPECT_EQ(got.nonce, 102u);
  EXPECT_EQ(got.store_time, dead.store_time);
  EXPECT_EQ(got.invisible, absl::InfiniteDuration());
  ASSERT_TRUE(got.origin.has_value());
  EXPECT_EQ(got.origin->topic, TopicId(77));
  EXPECT_EQ(got.origin->topic_name, "old");
  EXPECT_EQ(got.origin->message_id, "0A\xff");
  EXPECT_EQ(got.origin->attempts, 16);
  EXPECT_EQ(got.origin->reason, "too often");
  EXPECT_TRUE(result.deliveries[2].stored.empty());
}

TEST_F(BrokerHopTest, ReportsCarryEveryField) {
  StartAndConnect();
  remote_->ReportSent({ShardId(1), {{GroupId(2), {TopicId(3), 4}, 5, 6}}});
  remote_->ReportClients({"proxy-0", {"a", "\xff"}, {"c"}});
  ASSERT_TRUE(
      broker_.changes.Await([&] { return broker_.sent_reports.size() == 1 && broker_.client_reports.size() == 1; }));
  const SentReport& sent = broker_.sent_reports[0];
  EXPECT_EQ(sent.shard, ShardId(1));
  ASSERT_THAT(sent.entries, SizeIs(1));
  EXPECT_EQ(sent.entries[0].group, GroupId(2));
  EXPECT_EQ(sent.entries[0].queue, (QueueKey{TopicId(3), 4}));
  EXPECT_EQ(sent.entries[0].offset, 5);
  EXPECT_EQ(sent.entries[0].nonce, 6u);
  const ClientReport& clients = broker_.client_reports[0];
  EXPECT_EQ(clients.proxy, "proxy-0");
  EXPECT_THAT(clients.alive, ElementsAre("a", "\xff"));
  EXPECT_THAT(clients.gone, ElementsAre("c"));
}

TEST_F(BrokerHopTest, FiguresOfManyQueuesComeInParts) {
  StartAndConnect();
  for (int32_t i = 0; i < 10'000; ++i) {
    QueueStats& queue = broker_.stats_result.queues.emplace_back();
    queue.shard = ShardId(1);
    queue.queue = {TopicId(2), i};
    queue.first = 3;
    queue.end = 4;
    queue.bytes = 5;
    queue.delayed = 11;
    queue.groups = {{GroupId(6), 7, 8, 9, 10}};
    broker_.stats_result.counts.push_back({ShardId(1), GroupId(6), TopicId(1 + static_cast<uint64_t>(i)), 12, 13, 14});
  }
  Outcome<StatsResult> outcome;
  remote_->Stats({TopicId(2), GroupId(6)}, outcome.Taker());
  const StatsResult result = outcome.Get();
  EXPECT_EQ(broker_.last_stats.topic, TopicId(2));
  EXPECT_EQ(broker_.last_stats.group, GroupId(6));
  EXPECT_THAT(result.status, IsOk());
  ASSERT_THAT(result.queues, SizeIs(10'000));
  for (int32_t i = 0; i < 10'000; ++i) ASSERT_EQ(result.queues[i].queue, (QueueKey{TopicId(2), i}));
  ASSERT_THAT(result.counts, SizeIs(10'000));
  EXPECT_EQ(result.counts.back().topic, TopicId(10'000));
  EXPECT_EQ(result.counts.back().blocked, 14);
  const QueueStats& last = result.queues.back();
  EXPECT_EQ(last.shard, ShardId(1));
  EXPECT_EQ(last.first, 3);
  EXPECT_EQ(last.end, 4);
  EXPECT_EQ(last.bytes, 5);
  EXPECT_EQ(last.delayed, 11);
  ASSERT_THAT(last.groups, SizeIs(1));
  EXPECT_EQ(last.groups[0].group, GroupId(6));
  EXPECT_EQ(last.groups[0].floor, 7);
  EXPECT_EQ(last.groups[0].next, 8);
  EXPECT_EQ(last.groups[0].in_flight, 9);
  EXPECT_EQ(last.groups[0].ready_again, 10);
}

TEST_F(BrokerHopTest, TenThousandSendsAtOnceGetTheirOwnAnswers) {
  StartAndConnect();
  constexpr uint32_t kThreads = 4;
  constexpr uint32_t kSends = 2500;
  Changes changes;
  uint32_t right = 0;
  uint32_t answers = 0;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < kSends; ++i) {
        const uint32_t number = t * kSends + i;
        remote_->Append(Send(std::string(200, 'x'), number), [&, number](AppendResult result) {
          changes.Make([&] {
            ++answers;
            if (result.status.ok() && result.entries.size() == 1 && result.entries[0].offset == number) ++right;
          });
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(changes.Await([&] { return answers == kThreads * kSends; }));
  EXPECT_EQ(right, kThreads * kSends);
}

TEST_F(BrokerHopTest, CancelledReceivesEndWithNothing) {
  StartAndConnect();
  // Before the stream is there, or after: both end.
  for (int i = 0; i < 50; ++i) {
    Outcome<ReceiveResult> receive;
    const uint64_t id = remote_->Receive(Ask(), receive.Taker());
    if (i % 2 == 1) {
      ASSERT_TRUE(broker_.changes.Await([&] { return !broker_.waiting.empty(); }));
    }
    remote_->CancelReceive(ShardId(1), id);
    const ReceiveResult result = receive.Get();
    EXPECT_THAT(result.status, IsOk());
    EXPECT_THAT(result.deliveries, IsEmpty());
    remote_->CancelReceive(ShardId(1), id);  // Too late, and harmless.
  }
  EXPECT_THAT(broker_.settles, IsEmpty());
}

TEST_F(BrokerHopTest, ACancelledReceiveGetsWhatWasOnItsWay) {
  StartAndConnect();
  broker_.deaf_to_cancels = true;
  Outcome<ReceiveResult> receive;
  const uint64_t id = remote_->Receive(Ask(), receive.Taker());
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.waiting.size() == 1; }));
  remote_->CancelReceive(ShardId(1), id);
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.cancels == 1; }));
  broker_.Serve({absl::OkStatus(), {SomeDelivery(1, "a")}});
  EXPECT_THAT(receive.Get().deliveries, SizeIs(1));
}

TEST_F(BrokerHopTest, LargeAnswersArriveWholeBesideSmallSends) {
  StartAndConnect();
  std::vector<std::string> bodies;
  for (int i = 0; i < 8; ++i)
    bodies.push_back(std::string(i == 0 ? 5'000'000 : 400'000 + i, static_cast<char>('a' + i)));
  broker_.serve = [&](const ReceiveCall& call) {
    ReceiveResult result;
    if (call.max_messages == 1) {
      result.deliveries.push_back(SomeDelivery(0, "small"));
    } else {
      for (size_t i = 0; i < bodies.size(); ++i)
        result.deliveries.push_back(SomeDelivery(static_cast<QueueOffset>(i), bodies[i]));
    }
    return result;
  };
  std::vector<Outcome<ReceiveResult>> large(4);
  for (auto& outcome : large) remote_->Receive(Ask(), outcome.Taker());
  for (int i = 0; i < 200; ++i) ASSERT_THAT(SendAndWait(Send("small")).status, IsOk());
  ReceiveCall one = Ask();
  one.max_messages = 1;
  EXPECT_EQ(ReceiveAndWait(one).deliveries[0].stored.view(), "small");
  for (auto& outcome : large) {
    const ReceiveResult result = outcome.Get();
    ASSERT_THAT(result.status, IsOk());
    ASSERT_THAT(result.deliveries, SizeIs(bodies.size()));
    for (size_t i = 0; i < bodies.size(); ++i) ASSERT_TRUE(result.deliveries[i].stored.view() == bodies[i]) << i;
  }
}

TEST_F(BrokerHopTest, ASendLargerThanAFrameGetsThrough) {
  StartAndConnect();
  const std::string large(9'000'000, 'l');
  EXPECT_THAT(SendAndWait(Send(large)).status, IsOk());
  EXPECT_TRUE(broker_.last_append.messages[0].stored.view() == large);
  EXPECT_THAT(SendAndWait(Send(std::string(61 << 20, 'x'))).status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BrokerHopTest, DrainingLeavesNothingInDoubt) {
  StartAndConnect();
  broker_.Hold();
  Outcome<AppendResult> send;
  Outcome<ReceiveResult> receive;
  remote_->Append(Send("a"), send.Taker());
  remote_->Receive(Ask(), receive.Taker());
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.held.size() == 1 && broker_.waiting.size() == 1; }));
  process_->Drain();
  const ReceiveResult ended = receive.Get();
  EXPECT_THAT(ended.status, IsOk());
  EXPECT_THAT(ended.deliveries, IsEmpty());
  // The proxy hears of it and stops; what it sent before is answered in the end.
  std::vector<Outcome<AppendResult>> sends;
  const absl::Duration give_up = RealClock()->SinceBoot() + kPatience;
  bool is_refused = false;
  while (!is_refused && RealClock()->SinceBoot() < give_up) {
    remote_->Append(Send("b"), sends.emplace_back().Taker());
    is_refused = sends.back().has_come() && absl::IsUnavailable(sends.back().Get().status);
  }
  EXPECT_TRUE(is_refused);
  broker_.Release();
  process_->ShutDown();
  EXPECT_THAT(send.Get().status, IsOk());
  for (auto& one : sends) EXPECT_THAT(one.Get().status, AnyOf(IsOk(), StatusIs(absl::StatusCode::kUnavailable)));
  process_ = nullptr;
  Start();
  EXPECT_TRUE(SendsAgain());
}

TEST_F(BrokerHopTest, DestructionAnswersWhatIsUnderWay) {
  StartAndConnect();
  broker_.Hold();
  std::vector<Outcome<AppendResult>> sends(100);
  std::vector<Outcome<ReceiveResult>> receives(100);
  for (int i = 0; i < 100; ++i) {
    remote_->Append(Send("a"), sends[i].Taker());
    remote_->Receive(Ask(), receives[i].Taker());
  }
  remote_ = nullptr;
  for (auto& send : sends) {
    EXPECT_TRUE(send.has_come());
    EXPECT_THAT(send.Get().status,
                AnyOf(StatusIs(absl::StatusCode::kUnavailable), StatusIs(absl::StatusCode::kDeadlineExceeded)));
  }
  for (auto& receive : receives) {
    EXPECT_TRUE(receive.has_come());
    EXPECT_THAT(receive.Get().status, StatusIs(absl::StatusCode::kUnavailable));
  }
}

TEST_F(BrokerHopTest, AfterCloseCallsAreRefused) {
  StartAndConnect();
  EXPECT_THAT(SendAndWait(Send("a")).status, IsOk());
  remote_->Close();
  EXPECT_THAT(SendAndWait(Send("a")).status, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(BrokerHopTest, EveryCallIsAnsweredOnceWhileTheBrokerComesAndGoes) {
  StartAndConnect();
  broker_.serve = [](const ReceiveCall&) {
    return ReceiveResult{absl::OkStatus(), {SomeDelivery(1, std::string(100'000, 'x'))}};
  };
  std::atomic<bool> is_over{false};
  std::atomic<int64_t> calls{0};
  Changes changes;
  int64_t answers = 0;
  int64_t successes = 0;
  const auto answered = [&](const absl::Status& status) {
    changes.Make([&] {
      ++answers;
      if (status.ok()) ++successes;
    });
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!is_over) {
        // At most a few hundred at a time, so that the machine does other things too.
        if (!changes.Await([&] { return calls - answers < 300; })) return;
        calls += 3;
        remote_->Append(Send("a"), [&](AppendResult result) { answered(result.status); });
        remote_->Settle({ShardId(1), {SettleEntry()}}, [&](SettleResult result) { answered(result.status); });
        const uint64_t id = remote_->Receive(Ask(), [&](ReceiveResult result) { answered(result.status); });
        if (calls % 2 == 0) remote_->CancelReceive(ShardId(1), id);
      }
    });
  }
  for (int i = 0; i < 8; ++i) {
    int64_t before = 0;
    changes.Make([&] { before = successes; });
    EXPECT_TRUE(changes.Await([&] { return successes > before + 300; }));
    if (i % 2 == 0) {
      KillBroker();
    } else {
      process_->ShutDown();
      process_ = nullptr;
    }
    Start();
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  remote_ = nullptr;
  EXPECT_TRUE(changes.Await([&] { return answers == calls; }));
}

TEST_F(BrokerHopTest, APullGoesThereAndBack) {
  broker_.pull_result =
      PullResult{absl::OkStatus(), {SomeDelivery(5, "a"), SomeDelivery(6, std::string(300'000, 'b'))}, 9};
  StartAndConnect();
  PullCall call;
  call.shard = ShardId(1);
  call.queue = {TopicId(2), 3};
  call.offset = 5;
  call.tags = {"red"};
  Outcome<PullResult> outcome;
  remote_->Pull(call, outcome.Taker());
  const PullResult result = outcome.Get();
  EXPECT_THAT(result.status, IsOk());
  EXPECT_EQ(result.next_offset, 9);
  ASSERT_THAT(result.deliveries, SizeIs(2));
  EXPECT_EQ(result.deliveries[1].stored.size(), 300'000u);
  EXPECT_EQ(broker_.last_pull.offset, 5);
  EXPECT_THAT(broker_.last_pull.tags, ElementsAre("red"));
  broker_.pull_result = PullResult{OffsetRangeError({3, 4}, "no such offset"), {}, 0};
  Outcome<PullResult> refused;
  remote_->Pull(call, refused.Taker());
  ASSERT_TRUE(GetOffsetRange(refused.Get().status).has_value());
  EXPECT_EQ(GetOffsetRange(refused.Get().status)->end, 4);
}

TEST_F(BrokerHopTest, AWaitingPullIsCancelledAndEndsWithItsStream) {
  StartAndConnect();
  PullCall call;
  call.shard = ShardId(1);
  call.wait = absl::Seconds(30);
  Outcome<PullResult> cancelled;
  const uint64_t id = remote_->Pull(call, cancelled.Taker());
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.waiting_pulls.size() == 1; }));
  remote_->CancelReceive(ShardId(1), id);
  EXPECT_THAT(cancelled.Get().status, IsOk());
  Outcome<PullResult> broken;
  remote_->Pull(call, broken.Taker());
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.waiting_pulls.size() == 1; }));
  KillBroker();
  EXPECT_THAT(broken.Get().status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(broker_.changes.Await([&] { return broker_.waiting_pulls.empty(); })) << "the pull was not cancelled";
  EXPECT_THAT(broker_.settles, IsEmpty()) << "what was pulled is nobody's";
}

TEST_F(BrokerHopTest, OffsetsGoThereAndBack) {
  broker_.offset_result = {absl::OkStatus(), 7};
  StartAndConnect();
  Outcome<OffsetResult> query;
  remote_->QueryOffset({ShardId(1), {TopicId(2), 3}, 0, QueryOffsetCall::Policy::kTime, absl::FromUnixSeconds(5)},
                       query.Taker());
  EXPECT_EQ(query.Get().offset, 7);
  EXPECT_EQ(broker_.last_query.time, absl::FromUnixSeconds(5));
  Outcome<OffsetResult> update;
  remote_->UpdateOffset({ShardId(1), GroupId(4), {TopicId(2), 3}, 0, 7}, update.Taker());
  EXPECT_THAT(update.Get().status, IsOk());
  EXPECT_EQ(broker_.last_update.group, GroupId(4));
  broker_.offset_result = {absl::OkStatus(), std::nullopt};
  Outcome<OffsetResult> get;
  remote_->GetOffset({ShardId(1), GroupId(4), {TopicId(2), 3}, 0}, get.Taker());
  EXPECT_EQ(get.Get().offset, std::nullopt);
  broker_.reset_result.entries.resize(1);
  broker_.reset_result.entries[0].in_flight = 3;
  ResetOffsetCall call;
  call.shard = ShardId(1);
  call.target = ResetOffsetCall::Target::kLatest;
  Outcome<ResetOffsetResult> reset;
  remote_->ResetOffset(call, reset.Taker());
  ASSERT_THAT(reset.Get().entries, SizeIs(1));
  EXPECT_EQ(reset.Get().entries[0].in_flight, 3);
  EXPECT_EQ(broker_.last_reset.target, ResetOffsetCall::Target::kLatest);
}

TEST_F(BrokerHopTest, ALiteSubscriptionGoesThereAndBack) {
  broker_.sync_result = {absl::ResourceExhaustedError("too many")};
  StartAndConnect();
  LiteSyncCall call;
  call.shard = ShardId(1);
  call.client_id = "ann";
  call.action = LiteSyncCall::Action::kSet;
  call.lite_topics = {"a", "b"};
  Outcome<LiteSyncResult> sync;
  remote_->SyncLite(call, sync.Taker());
  EXPECT_THAT(sync.Get().status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(broker_.last_sync.client_id, "ann");
  EXPECT_THAT(broker_.last_sync.lite_topics, ElementsAre("a", "b"));
}

TEST_F(BrokerHopTest, ABrokenStreamLeavesStoredOffsetsInDoubtAndLookUpsNot) {
  StartAndConnect();
  broker_.Hold();
  Outcome<OffsetResult> get;
  Outcome<OffsetResult> update;
  Outcome<ResetOffsetResult> reset;
  remote_->GetOffset({ShardId(1), GroupId(4), {TopicId(2), 3}, 0}, get.Taker());
  remote_->UpdateOffset({ShardId(1), GroupId(4), {TopicId(2), 3}, 0, 7}, update.Taker());
  remote_->ResetOffset(ResetOffsetCall(), reset.Taker());
  ASSERT_TRUE(broker_.changes.Await([&] { return broker_.held.size() == 3; }));
  KillBroker();
  EXPECT_THAT(get.Get().status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(update.Get().status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(reset.Get().status, StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace barid
