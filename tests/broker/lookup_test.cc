// Finding and explaining messages, and sending dead letters back, end to end within a shard: on a simulated disk, clock
// and executors.
#include "broker/lookup.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/stored_message.h"
#include "gmock/gmock.h"
#include "tests/base/status_matchers.h"
#include "tests/broker/shard_fixture.h"

namespace barid::broker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr TopicId kTopic{1};
constexpr TopicId kOther{2};
constexpr GroupId kGroup{1};
constexpr GroupId kIdle{2};  // Subscribed, and never receives.

class LookupTest : public ShardFixture {
 protected:
  using State = FoundMessage::State;
  using Kind = LookupCall::Kind;

  LookupTest() {
    options_.log.segment_bytes = 16384;
    options_.log.zero_ahead_bytes = 8192;
    options_.log.zero_slice_bytes = 4096;
    options_.lookup.memory_bytes = 4096;
    for (const auto& [id, name] : {std::pair(kTopic, "orders"), std::pair(kOther, "others")}) {
      TopicMetadata& topic = tables_.topics.emplace_back();
      topic.id = id;
      topic.name = {"", name};
      topic.queues_per_shard = 1;
      topic.retention.age = absl::Hours(1);
    }
    for (const auto& [id, name] : {std::pair(kGroup, "readers"), std::pair(kIdle, "idle")}) {
      GroupMetadata& group = tables_.groups.emplace_back();
      group.id = id;
      group.name = {"", name};
      SubscriptionMetadata& subscription = tables_.subscriptions.emplace_back();
      subscription.group = id;
      subscription.topic = kTopic;
    }
    tables_.subscriptions.push_back({kIdle, DeadLetterTopicId(kGroup), {}});
    Start();
  }

  static AppendCall::Message Message(const std::string& id, const std::string& key = "", const std::string& tag = "",
                                     size_t body_bytes = 100) {
    MessageDraft draft;
    const std::string body(body_bytes, 'b');
    draft.message_id = id;
    if (!key.empty()) draft.keys.push_back(key);
    if (!tag.empty()) draft.tag = tag;
    draft.body = body;
    return {EncodeStoredMessage(draft), TagHash(tag)};
  }
  AppendResult Send(std::vector<AppendCall::Message> messages, bool prepare = false, TopicId topic = kTopic) {
    AppendCall call;
    call.shard = kShard;
    call.topic = topic;
    call.prepare = prepare;
    for (AppendCall::Message& message : messages) call.messages.push_back(std::move(message));
    AppendResult result = Ask(&Shard::Append, std::move(call));
    EXPECT_THAT(result.status, IsOk());
    return result;
  }
  // "<prefix>0" and so on, each in a record of its own.
  void SendMany(const std::string& prefix, int count, size_t body_bytes = 100) {
    for (int i = 0; i < count; ++i)
      Send({Message(absl::StrCat(prefix, i), absl::StrCat("key-", i % 3), "", body_bytes)});
  }

  ReceiveResult Receive(int32_t max = 1, TopicId topic = kTopic, GroupId group = kGroup) {
    ReceiveCall call;
    call.shard = kShard;
    call.group = group;
    call.topic = topic;
    call.max_messages = max;
    call.invisible = absl::Seconds(30);
    call.client_id = "ann";
    call.wait = absl::Seconds(1);
    const auto answer = StartReceive(std::move(call));
    world_.RunUntil([&] { return answer->has_value(); }, absl::Seconds(10));
    EXPECT_TRUE(answer->has_value());
    return answer->has_value() ? **answer : ReceiveResult();
  }
  void Settle(const Delivery& delivery, SettleKind kind, absl::Duration delay = absl::ZeroDuration()) {
    SettleCall call;
    call.shard = kShard;
    call.entries.push_back({kGroup, delivery.queue, delivery.offset, delivery.nonce, kind, delay, "no good"});
    const SettleResult result = Ask(&Shard::Settle, std::move(call));
    ASSERT_THAT(result.status, IsOk());
    ASSERT_THAT(result.entries.at(0), IsOk());
  }
  // Messages of the topic that are received and die, all of them that come.
  void LetDie(int count) {
    while (count > 0) {
      const ReceiveResult got = Receive(count);
      ASSERT_THAT(got.deliveries, Not(IsEmpty()));
      for (const Delivery& delivery : got.deliveries) Settle(delivery, SettleKind::kDeadLetter);
      count -= static_cast<int>(got.deliveries.size());
    }
  }

  static LookupCall CallOf(Kind kind, const std::string& text, TopicId topic = kTopic) {
    LookupCall call;
    call.shard = kShard;
    call.topic = topic;
    call.kind = kind;
    call.text = text;
    return call;
  }
  LookupResult Find(LookupCall call) {
    LookupResult result = Ask(&Shard::Find, std::move(call));
    EXPECT_THAT(result.status, IsOk());
    return result;
  }
  // The one with this id.
  FoundMessage Get(const std::string& id, TopicId topic = kTopic) {
    const LookupResult result = Find(CallOf(Kind::kId, id, topic));
    EXPECT_THAT(result.messages, SizeIs(1)) << id;
    return result.messages.size() == 1 ? result.messages[0] : FoundMessage();
  }
  static std::string IdOf(const FoundMessage& message) {
    return std::string(DecodeStoredMessage(message.stored.view())->message_id);
  }
  // All pages.
  std::vector<std::string> Ids(LookupCall call) {
    std::vector<std::string> ids;
    for (int pages = 0; pages < 1000; ++pages) {
      const LookupResult result = Find(call);
      for (const FoundMessage& message : result.messages) ids.push_back(IdOf(message));
      if (result.resume.empty()) break;
      call.resume = result.resume;
    }
    return ids;
  }
  std::vector<std::string> Words(const LookupResult& result) {
    std::vector<std::string> words;
    for (const LifeEvent& event : result.events) words.push_back(event.what);
    return words;
  }
  const GroupStanding* StandingOf(const LookupResult& result, GroupId group) {
    for (const GroupStanding& standing : result.standings) {
      if (standing.group == group) return &standing;
    }
    return nullptr;
  }
  size_t Files() {
    const auto names = disk_.ListDir("/shard/lookup");
    return names.ok() ? names->size() : 0;
  }
  // Files are made of everything that is sealed.
  void WaitForFiles() {
    world_.RunUntil([&] { return Files() + 1 >= shard_->state().applied().end_position / options_.log.segment_bytes; },
                    absl::Minutes(1));
  }
  // Goes on until the newest record is in another segment.
  void Seal() {
    const uint64_t segment = shard_->state().applied().end_position / options_.log.segment_bytes;
    while (shard_->state().applied().end_position / options_.log.segment_bytes == segment) {
      Send({Message("filler", "", "", 3000)}, false, kOther);
    }
    world_.RunFor(options_.retention_interval + absl::Seconds(1));
  }
};

// --- By id, in every state ---

TEST_F(LookupTest, FindsAMessageInItsQueueWhereverItsRecordIs) {
  SendMany("a", 60);
  Send({Message("b0"), Message("b1", "", "", 10), Message("b2")});
  for (const char* when : {"in the newest segment", "in sealed segments"}) {
    SCOPED_TRACE(when);
    const FoundMessage first = Get("a0");
    EXPECT_EQ(first.state, State::kQueued);
    EXPECT_EQ(first.queue, (QueueKey{kTopic, 0}));
    EXPECT_EQ(first.offset, 0);
    EXPECT_EQ(IdOf(first), "a0");
    EXPECT_EQ(Get("a59").offset, 59);
    EXPECT_EQ(Get("b1").offset, 61);
    EXPECT_THAT(Find(CallOf(Kind::kId, "nobody")).messages, IsEmpty());
    EXPECT_THAT(Find(CallOf(Kind::kId, "a0", kOther)).messages, IsEmpty()) << "it was sent to another topic";
    Seal();
    Seal();
    WaitForFiles();
  }
  EXPECT_GE(Files(), 2u);
  Restart();
  EXPECT_EQ(Get("a7").offset, 7);
}

TEST_F(LookupTest, FindsScheduledMessagesAndWhatBecameOfThem) {
  const auto at = [&](const std::string& id, absl::Duration delay) {
    AppendCall::Message message = Message(id);
    message.deliver_at = world_.clock()->Now() + delay;
    return message;
  };
  const AppendResult sent = Send({at("soon", absl::Seconds(5)), at("late", absl::Hours(2)), at("never", absl::Hours(3)),
                                  at("now", -absl::Seconds(1))});
  EXPECT_EQ(Get("now").state, State::kQueued);
  EXPECT_EQ(Get("soon").state, State::kScheduled);
  EXPECT_EQ(absl::ToUnixMicros(Get("late").due), sent.entries[1].timer->deliver_at_us);
  EXPECT_THAT(Ask(&Shard::Recall, {kShard, *sent.entries[2].timer}).status, IsOk());
  world_.RunFor(absl::Seconds(10));
  const FoundMessage soon = Get("soon");
  EXPECT_EQ(soon.state, State::kQueued);
  EXPECT_EQ(soon.offset, 1);
  EXPECT_GT(soon.entered, soon.stored_at);
  EXPECT_EQ(Get("late").state, State::kScheduled);
  EXPECT_EQ(Get("never").state, State::kRecalled);
  EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "never"))), ElementsAre("scheduled", "recalled"));
  EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "soon"))), ElementsAre("scheduled", "fired"));
}

TEST_F(LookupTest, FindsMessagesOfTransactionsAndHowTheyEnded) {
  options_.max_transaction_age = absl::Seconds(30);
  Restart();
  const AppendResult sent = Send({Message("yes"), Message("no"), Message("open"), Message("lost")}, /*prepare=*/true);
  const auto end = [&](size_t place, bool commit) {
    EXPECT_THAT(Ask(&Shard::EndTransaction, {kShard, *sent.entries[place].transaction, commit}).status, IsOk());
  };
  end(0, true);
  end(1, false);
  EXPECT_EQ(Get("yes").state, State::kQueued);
  EXPECT_EQ(Get("no").state, State::kRolledBack);
  EXPECT_EQ(Get("open").state, State::kPrepared);
  EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "yes"))), ElementsAre("prepared", "transaction_committed"));
  EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "no"))), ElementsAre("prepared", "transaction_rolled_back"));
  EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "open"))), ElementsAre("prepared"));
}

// Of a topic that says when its producers are asked, they are asked then, and again after the same time.
TEST_F(LookupTest, ATopicSaysWhenItsProducersAreAsked) {
  tables_.topics[0].type = MessageType::kTransaction;
  tables_.topics[0].transaction_recovery = absl::Seconds(90);
  tables_.topics[1].type = MessageType::kTransaction;
  Tell();
  std::vector<AppendCall::Message> messages = {Message("by-topic"), Message("by-message")};
  messages[1].check_after = absl::Seconds(300);
  Send(std::move(messages), /*prepare=*/true);
  Send({Message("by-broker")}, /*prepare=*/true, kOther);
  const auto checked = [&](absl::Duration later) {
    world_.RunFor(later);
    ChecksCall call;
    call.shard = kShard;
    call.proxy = "p";
    call.topics = {kTopic, kOther};
    std::vector<std::string> ids;
    for (const TransactionCheck& check : Ask(&Shard::TakeChecks, std::move(call)).checks)
      ids.emplace_back(DecodeStoredMessage(check.stored.view())->message_id);
    return ids;
  };
  EXPECT_THAT(checked(absl::Seconds(89)), ElementsAre("by-broker"));
  EXPECT_THAT(checked(absl::Seconds(2)), Contains("by-topic"));
  EXPECT_THAT(checked(absl::Seconds(88)), testing::Not(Contains("by-topic")));
  EXPECT_THAT(checked(absl::Seconds(3)), Contains("by-topic"));
  EXPECT_THAT(checked(absl::Seconds(120)), Contains("by-message"));
}

TEST_F(LookupTest, SaysThatAMessageHasExpired) {
  Send({Message("old")});
  Seal();
  world_.clock()->Advance(absl::Hours(2));
  world_.RunFor(options_.retention_interval + absl::Seconds(1));
  Send({Message("new")});
  const LookupResult result = Find(CallOf(Kind::kId, "old"));
  // Its bytes may be there still, its place is not.
  if (!result.messages.empty()) {
    EXPECT_EQ(result.messages[0].state, State::kGone);
  }
  EXPECT_EQ(Get("new").state, State::kQueued);
}

// What was at the log's beginning is at its end now, and the beginning is gone.
TEST_F(LookupTest, FindsAndExplainsWhatWasCarriedForward) {
  Send({Message("a", "k"), Message("b", "k")});
  AppendCall::Message later = Message("later");
  later.deliver_at = world_.clock()->Now() + absl::Hours(5);
  AppendCall::Message never = Message("never");
  never.deliver_at = later.deliver_at;
  const AppendResult scheduled = Send({later, never});
  const AppendResult prepared = Send({Message("yes"), Message("open")}, /*prepare=*/true);
  Send({Message("dead")}, false, kOther);
  SendMany("filler", 4200);
  for (const char* when : {"while the original is there", "when it is gone"}) {
    SCOPED_TRACE(when);
    world_.RunOn(shard_executor_.get(), [&] { shard_->CarryBelow(shard_->state().applied_index() + 1); });
    // Both copies are in the log until it is trimmed.
    EXPECT_EQ(Get("a").state, State::kQueued);
    EXPECT_TRUE(world_.RunUntil([&] { return !shard_->is_carrying(); }, absl::Minutes(1)));
    EXPECT_EQ(Get("b").offset, 1);
    EXPECT_EQ(Get("b").log_index > 4096, true);
    EXPECT_EQ(Get("later").state, State::kScheduled);
    EXPECT_EQ(Get("open").state, State::kPrepared);
    EXPECT_THAT(Ids(CallOf(Kind::kKey, "k")), ElementsAre("a", "b"));
    EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "b"))), ElementsAre("written"));
    EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "later"))), ElementsAre("scheduled"));
    world_.RunFor(absl::Seconds(10));
  }
  EXPECT_GT(shard_->state().log_start(), 4000u);
  // Names from before are good.
  EXPECT_THAT(Ask(&Shard::Recall, {kShard, *scheduled.entries[1].timer}).status, IsOk());
  EXPECT_THAT(Ask(&Shard::EndTransaction, {kShard, *prepared.entries[0].transaction, true}).status, IsOk());
  EXPECT_EQ(Get("never").state, State::kRecalled);
  const FoundMessage committed = Get("yes");
  EXPECT_EQ(committed.state, State::kQueued);
  EXPECT_EQ(committed.offset, 4202);
  EXPECT_GT(committed.entered, committed.stored_at);
  EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "yes"))), ElementsAre("prepared", "transaction_committed"));
}

// The copy of the dead letter has the same origin, and stands behind the other; what says that it was due is trimmed.
TEST_F(LookupTest, FindsAScheduledMessageThatWasCarriedWithItsDeadLetter) {
  AppendCall::Message message = Message("soon");
  message.deliver_at = world_.clock()->Now() + absl::Seconds(5);
  Send({message});
  world_.RunFor(absl::Seconds(6));
  LetDie(1);
  Seal();
  world_.RunOn(shard_executor_.get(), [&] { shard_->CarryBelow(shard_->state().applied_index() + 1); });
  ASSERT_TRUE(world_.RunUntil([&] { return shard_->carried() > 1 && !shard_->is_carrying(); }, absl::Minutes(1)));
  Seal();
  EXPECT_GT(shard_->state().log_start(), 10u);
  const FoundMessage found = Get("soon");
  EXPECT_EQ(found.state, State::kQueued);
  EXPECT_EQ(found.offset, 0);
  EXPECT_EQ(Get("soon", DeadLetterTopicId(kGroup)).state, State::kQueued);
}

// --- By key, place and time ---

TEST_F(LookupTest, FindsMessagesByKeyPageByPage) {
  SendMany("a", 30);
  Send({Message("b", "key-1")}, false, kOther);
  Seal();
  SendMany("c", 6);
  LookupCall call = CallOf(Kind::kKey, "key-1");
  const std::vector<std::string> all = Ids(call);
  EXPECT_THAT(all, SizeIs(12));
  EXPECT_EQ(all.front(), "a1");
  EXPECT_EQ(all.back(), "c4");
  call.max_messages = 5;
  EXPECT_EQ(Ids(call), all);
  call.max_bytes = 1;
  EXPECT_EQ(Ids(call), all);
  EXPECT_THAT(Ids(CallOf(Kind::kKey, "key-1", kOther)), ElementsAre("b"));
  call.resume = "nonsense";
  EXPECT_THAT(Ask(&Shard::Find, call).status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(LookupTest, ListsMessagesByTheTimeAtWhichTheyEntered) {
  SendMany("a", 300, 10);
  world_.RunFor(absl::Seconds(10));
  const absl::Time from = world_.clock()->Now();
  world_.RunFor(absl::Seconds(1));
  SendMany("b", 300, 10);
  world_.RunFor(absl::Seconds(1));
  const absl::Time to = world_.clock()->Now();
  world_.RunFor(absl::Seconds(10));
  SendMany("c", 3);
  LookupCall call = CallOf(Kind::kRange, "");
  call.max_messages = 77;
  EXPECT_THAT(Ids(call), SizeIs(603));
  call.from = from;
  call.to = to;
  const std::vector<std::string> ids = Ids(call);
  ASSERT_THAT(ids, SizeIs(300));
  EXPECT_EQ(ids.front(), "b0");
  EXPECT_EQ(ids.back(), "b299");
  call.queue = 1;
  EXPECT_THAT(Ids(call), IsEmpty());

  call = CallOf(Kind::kOffset, "");
  call.queue = 0;
  call.offset = 301;
  EXPECT_THAT(Ids(call), ElementsAre("b1"));
  call.offset = 603;
  EXPECT_THAT(Ids(call), IsEmpty());
}

// --- The files ---

TEST_F(LookupTest, AFileThatCannotBeWrittenOnlyMeansAScan) {
  // A directory stands where the unfinished file would.
  ASSERT_THAT(disk_.CreateDir("/shard/lookup/00000000000000000000.hashes.new"), IsOk());
  SendMany("a", 60);
  Seal();
  EXPECT_FALSE(disk_.Exists(storage::HashFilePath("/shard/lookup", 0)).value());
  EXPECT_EQ(Get("a3").offset, 3);
  EXPECT_THAT(Ids(CallOf(Kind::kKey, "key-2")), SizeIs(20));
  // Once that is mended the file is made.
  ASSERT_THAT(disk_.RemoveDir("/shard/lookup/00000000000000000000.hashes.new"), IsOk());
  world_.RunFor(options_.retention_interval + absl::Seconds(5));
  EXPECT_TRUE(disk_.Exists(storage::HashFilePath("/shard/lookup", 0)).value());
  EXPECT_EQ(Get("a3").offset, 3);
}

TEST_F(LookupTest, AFailedSyncOfAFileDoesNotConcernTheShard) {
  SendMany("a", 60);
  Send({Message("filler", "", "", 3000)}, false, kOther);
  bool failed = false;
  // Between the log's own syncs.
  world_.RunOn(lookup_executor_.get(), [&] {
    disk_.FailNextSync();
    auto writer = storage::HashFileWriter::Create(&disk_, "/shard", options_.log.log_id, 0);
    failed = writer.ok() && !(*writer)->Finish({}).ok();
  });
  EXPECT_TRUE(failed);
  Seal();
  EXPECT_THAT(shard_->halted(), IsOk());
  EXPECT_EQ(Get("a3").offset, 3);
}

TEST_F(LookupTest, ADamagedOrMissingFileIsMadeAgain) {
  SendMany("a", 60);
  Seal();
  WaitForFiles();
  ASSERT_THAT(disk_.ListDir("/shard/lookup").value(), Not(IsEmpty()));
  const std::string path = storage::HashFilePath("/shard/lookup", 0);
  const std::string good = ReadFile(&disk_, path).value();
  std::string bad = good;
  bad[8] ^= 1;
  ASSERT_THAT(WriteFileDurably(&disk_, path, bad), IsOk());
  EXPECT_EQ(Get("a3").offset, 3) << "found by a scan";
  world_.RunFor(options_.retention_interval + absl::Seconds(5));
  EXPECT_EQ(ReadFile(&disk_, path).value(), good) << "made again";

  Stop();
  ASSERT_THAT(disk_.Remove(path), IsOk());
  ASSERT_THAT(disk_.SyncDir("/shard/lookup"), IsOk());
  Start();
  EXPECT_EQ(Get("a3").offset, 3);
  world_.RunFor(options_.retention_interval + absl::Seconds(5));
  EXPECT_EQ(ReadFile(&disk_, path).value(), good);
}

TEST_F(LookupTest, FilesGoWithTheirSegments) {
  options_.retention_interval = absl::Seconds(1);
  Restart();
  for (int i = 0; i < 4; ++i) {
    SendMany(absl::StrCat("s", i), 20);
    Seal();
  }
  WaitForFiles();
  ASSERT_THAT(disk_.Exists(storage::HashFilePath("/shard/lookup", 0)).value(), true);
  world_.clock()->Advance(absl::Hours(2));
  // Trimming goes by ranges of 4,096 records.
  for (int i = 0; i < 90; ++i) {
    for (int j = 0; j < 50; ++j) {
      SettleCall call;
      call.shard = kShard;
      call.entries.push_back({GroupId(999), {kTopic, 0}, 1, 1, SettleKind::kAck, absl::ZeroDuration(), ""});
      world_.RunOn(shard_executor_.get(), [&] { shard_->Settle(call, [](SettleResult) {}); });
    }
    world_.RunFor(absl::Milliseconds(30));
  }
  world_.RunFor(absl::Seconds(20));
  ASSERT_GT(shard_->state().log_start(), 1u);
  EXPECT_THAT(disk_.Exists(storage::HashFilePath("/shard/lookup", 0)).value(), false);
  EXPECT_THAT(Find(CallOf(Kind::kId, "s00")).messages, IsEmpty());
}

// --- Explanations ---

TEST_F(LookupTest, TellsTheLifeOfAMessage) {
  Send({Message("m")});
  EXPECT_EQ(StandingOf(Find(CallOf(Kind::kExplain, "m")), kGroup)->standing, "not_reached");
  Delivery delivery = Receive().deliveries.at(0);
  LookupResult life = Find(CallOf(Kind::kExplain, "m"));
  EXPECT_THAT(Words(life), ElementsAre("written", "delivered"));
  EXPECT_EQ(life.events[1].client, "ann");
  EXPECT_EQ(life.events[1].attempt, 1);
  EXPECT_EQ(StandingOf(life, kGroup)->standing, "in_flight");
  EXPECT_EQ(StandingOf(life, kGroup)->client, "ann");
  EXPECT_EQ(StandingOf(life, kIdle)->standing, "not_reached");
  EXPECT_GT(life.log_from, absl::UnixEpoch());

  Settle(delivery, SettleKind::kExtend, absl::Seconds(5));
  EXPECT_EQ(StandingOf(Find(CallOf(Kind::kExplain, "m")), kGroup)->standing, "delayed");
  world_.RunFor(absl::Seconds(7));
  EXPECT_EQ(StandingOf(Find(CallOf(Kind::kExplain, "m")), kGroup)->standing, "ready_again");
  delivery = Receive().deliveries.at(0);
  Settle(delivery, SettleKind::kUndelivered);
  delivery = Receive().deliveries.at(0);
  Settle(delivery, SettleKind::kAck);
  life = Find(CallOf(Kind::kExplain, "m"));
  EXPECT_THAT(Words(life), ElementsAre("written", "delivered", "returned", "lapsed", "delivered", "undelivered",
                                       "delivered", "acknowledged"));
  EXPECT_EQ(life.events[6].attempt, 2);
  EXPECT_EQ(StandingOf(life, kGroup)->standing, "settled");
  EXPECT_EQ(StandingOf(life, kGroup)->detail, "acknowledged");

  Seal();
  WaitForFiles();
  EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "m"))), SizeIs(8)) << "from files as from memory";
  EXPECT_THAT(Find(CallOf(Kind::kExplain, "nobody")).messages, IsEmpty());
}

TEST_F(LookupTest, TellsWhatAFilterPassedOver) {
  Send({Message("a", "", "x"), Message("b", "", "y")});
  ReceiveCall call;
  call.shard = kShard;
  call.group = kGroup;
  call.topic = kTopic;
  call.tags = {"y"};
  call.max_messages = 5;
  call.invisible = absl::Seconds(30);
  call.client_id = "ann";
  call.wait = absl::Seconds(1);
  bool answered = false;
  world_.RunOn(shard_executor_.get(), [&] { shard_->Receive(99, call, [&](ReceiveResult) { answered = true; }); });
  world_.RunUntil([&] { return answered; }, absl::Seconds(10));
  const LookupResult life = Find(CallOf(Kind::kExplain, "a"));
  EXPECT_THAT(Words(life), ElementsAre("written", "filtered_out"));
  EXPECT_EQ(StandingOf(life, kGroup)->detail, "filtered_out");
  EXPECT_EQ(StandingOf(Find(CallOf(Kind::kExplain, "b")), kGroup)->standing, "in_flight");
}

TEST_F(LookupTest, TellsWithWhatFiltersReceivesWait) {
  Send({Message("a", "", "x")});
  ReceiveCall call;
  call.shard = kShard;
  call.group = kGroup;
  call.topic = kTopic;
  call.tags = {"y"};
  call.client_id = "ann";
  call.wait = absl::Seconds(30);
  const auto first = StartReceive(call);
  const auto second = StartReceive(call);
  call.tags.clear();
  call.sql = "KEYS = 'other'";
  const auto third = StartReceive(call);
  world_.RunFor(absl::Seconds(1));
  const LookupResult life = Find(CallOf(Kind::kExplain, "a"));
  const GroupStanding* const standing = StandingOf(life, kGroup);
  ASSERT_THAT(standing->waiting, SizeIs(2));
  EXPECT_THAT(standing->waiting[0].tags, ElementsAre("y"));
  EXPECT_EQ(standing->waiting[0].receives, 2);
  EXPECT_EQ(standing->waiting[1].sql, "KEYS = 'other'");
  EXPECT_THAT(StandingOf(life, kIdle)->waiting, IsEmpty());
  EXPECT_FALSE(standing->blocked_by.has_value());
}

TEST_F(LookupTest, TellsThatTheGroupHoldsAsManyAsItMay) {
  options_.max_in_flight = 1;
  Restart();
  Send({Message("a"), Message("b")});
  EXPECT_THAT(Receive().deliveries, SizeIs(1));
  EXPECT_THAT(StandingOf(Find(CallOf(Kind::kExplain, "b")), kGroup)->detail, HasSubstr("broker.max_in_flight"));
}

// --- Dead letters ---

TEST_F(LookupTest, DeadLettersAreListedAndSentBack) {
  SendMany("a", 5);
  LetDie(5);
  const TopicId letters = DeadLetterTopicId(kGroup);
  LookupCall list = CallOf(Kind::kRange, "", letters);
  const LookupResult listed = Find(list);
  ASSERT_THAT(listed.messages, SizeIs(5));
  ASSERT_TRUE(listed.messages[0].origin.has_value());
  EXPECT_EQ(listed.messages[0].origin->topic_name, "orders");
  EXPECT_EQ(listed.messages[0].origin->reason, "no good");
  EXPECT_EQ(listed.messages[0].origin->attempts, 1);
  EXPECT_EQ(Get("a3", letters).offset, 3);

  RedriveCall redrive;
  redrive.shard = kShard;
  redrive.group = kGroup;
  redrive.sql = "KEYS = 'key-1'";
  redrive.dry_run = true;
  RedriveResult result = Ask(&Shard::SendBack, redrive);
  EXPECT_EQ(result.redriven, 2);
  EXPECT_EQ(result.filtered_out, 3);
  EXPECT_THAT(Ids(list), SizeIs(5)) << "nothing was changed";
  redrive.dry_run = false;
  // By their times the old place of a message is told from its new one.
  world_.RunFor(absl::Milliseconds(1));
  result = Ask(&Shard::SendBack, redrive);
  EXPECT_EQ(result.redriven, 2) << result.failure;
  EXPECT_THAT(Ids(list), ElementsAre("a0", "a2", "a3"));
  ReceiveResult got = Receive(10);
  ASSERT_THAT(got.deliveries, SizeIs(2));
  EXPECT_EQ(got.deliveries[0].attempt, 1);
  EXPECT_EQ(DecodeStoredMessage(got.deliveries[0].stored.view())->message_id, "a1");
  EXPECT_FALSE(got.deliveries[0].origin.has_value());
  for (const Delivery& delivery : got.deliveries) Settle(delivery, SettleKind::kAck);

  redrive.sql.clear();
  redrive.topic = kOther;
  redrive.max_messages = 2;
  result = Ask(&Shard::SendBack, redrive);
  EXPECT_EQ(result.redriven, 2);
  EXPECT_LT(result.next, result.end);
  redrive.from = result.next;
  result = Ask(&Shard::SendBack, redrive);
  EXPECT_EQ(result.redriven, 1);
  EXPECT_EQ(result.next, result.end);
  EXPECT_THAT(Ids(list), IsEmpty());
  EXPECT_THAT(Ids(CallOf(Kind::kRange, "", kOther)), ElementsAre("a0", "a2", "a3"));

  // What was sent back is explained over all its places.
  EXPECT_THAT(Words(Find(CallOf(Kind::kExplain, "a1"))),
              ElementsAre("written", "delivered", "dead_lettered", "redriven", "delivered", "acknowledged"));
  redrive.sql = "no (condition";
  EXPECT_THAT(Ask(&Shard::SendBack, redrive).status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(LookupTest, DeadLettersThatWentBackAreNotReadAnyMore) {
  SendMany("a", 3);
  LetDie(3);
  RedriveCall redrive;
  redrive.shard = kShard;
  redrive.group = kGroup;
  redrive.from = 1;
  redrive.to = 2;
  EXPECT_EQ(Ask(&Shard::SendBack, redrive).redriven, 1);
  Restart();
  std::vector<std::string> ids;
  for (const Delivery& delivery : Receive(10, DeadLetterTopicId(kGroup), kIdle).deliveries) {
    ids.push_back(std::string(DecodeStoredMessage(delivery.stored.view())->message_id));
  }
  EXPECT_THAT(ids, ElementsAre("a0", "a2"));
}

}  // namespace
}  // namespace barid::broker
