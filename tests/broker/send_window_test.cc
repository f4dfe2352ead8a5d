// The window of sends by itself, and what repeated sends come to in a State.
#include "broker/send_window.h"

#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/broker/state_fixture.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

constexpr int64_t kMinute = 60 * kSecond;

// --- Alone ---

class SendWindowTest : public ::testing::Test {
 protected:
  SendWindowTest() { window_.SetBounds({10 * kMinute, 4}); }

  void Remember(uint64_t id, uint64_t content = 1) { window_.Remember(Id(id), content, now_us_, {++index_, 0, 0, 7}); }
  bool Knows(uint64_t id, uint64_t content = 1) { return window_.Find(Id(id), content, now_us_).first.has_value(); }
  void Restart() {
    ASSERT_EQ(store_->Write(Operations()), absl::OkStatus());
    window_ = SendWindow();
    ASSERT_EQ(window_.Load(*store_), absl::OkStatus());
    ASSERT_EQ(window_.Verify(), absl::OkStatus());
  }
  std::vector<storage::KeyValueStore::Operation> Operations() {
    std::vector<storage::KeyValueStore::Operation> operations;
    SendWindow::AppendOperations(window_.TakeChanges(), &operations);
    return operations;
  }
  static uint64_t Id(uint64_t id) { return StableHash({id}); }

  std::unique_ptr<storage::KeyValueStore> store_ = storage::NewMemoryStore();
  SendWindow window_;
  int64_t now_us_ = 1000 * kSecond;
  LogIndex index_ = 0;
};

TEST_F(SendWindowTest, KnowsNothingAtFirst) {
  EXPECT_FALSE(Knows(1));
  EXPECT_EQ(SendWindow().hash(), 0);
  EXPECT_THAT(Operations(), ::testing::SizeIs(1));  // The bounds.
  EXPECT_THAT(Operations(), IsEmpty());
}

TEST_F(SendWindowTest, SaysWhatBecameOfTheFirst) {
  window_.Remember(5, 6, now_us_, {70, 1, 2, 9});
  EXPECT_THAT(window_.Find(5, 6, now_us_).first, Optional(FirstSend{70, 1, 2, 9}));
  EXPECT_EQ(window_.Find(5, 7, now_us_).first, std::nullopt);
  EXPECT_EQ(window_.Find(5, 7, now_us_).contents, 1);
  EXPECT_EQ(window_.Find(6, 6, now_us_).contents, 0);
}

TEST_F(SendWindowTest, RemembersSoManyOfTheNewest) {
  for (uint64_t id = 1; id <= 4; ++id) Remember(id);
  EXPECT_TRUE(Knows(1));
  Remember(5);
  EXPECT_FALSE(Knows(1));
  EXPECT_TRUE(Knows(2));
  EXPECT_EQ(window_.size(), 4);
}

TEST_F(SendWindowTest, RemembersForSoLong) {
  Remember(1);
  now_us_ += 10 * kMinute - 1;
  EXPECT_TRUE(Knows(1));
  window_.Expire(now_us_);
  EXPECT_EQ(window_.size(), 1);
  now_us_ += 1;
  EXPECT_FALSE(Knows(1));
  window_.Expire(now_us_);
  EXPECT_EQ(window_.size(), 0);
}

TEST_F(SendWindowTest, ForgetsWhatNarrowerBoundsLeaveOut) {
  for (uint64_t id = 1; id <= 4; ++id) Remember(id);
  window_.SetBounds({10 * kMinute, 1});
  EXPECT_FALSE(Knows(3));
  EXPECT_TRUE(Knows(4));
  window_.SetBounds({0, 1});
  EXPECT_EQ(window_.size(), 0);
  Remember(9);
  EXPECT_EQ(window_.size(), 0);
}

TEST_F(SendWindowTest, ComesBackFromCheckpoints) {
  Restart();
  window_.SetBounds({10 * kMinute, 5000});
  for (uint64_t id = 1; id <= 3000; ++id) Remember(id);
  Restart();
  const uint64_t hash = window_.hash();
  EXPECT_EQ(window_.RecomputeHash(), hash);
  EXPECT_TRUE(Knows(1));
  EXPECT_TRUE(Knows(3000));
  for (uint64_t id = 3001; id <= 7500; ++id) Remember(id);
  Restart();
  EXPECT_FALSE(Knows(2500));
  EXPECT_TRUE(Knows(2501));
  EXPECT_TRUE(Knows(7500));
  EXPECT_EQ(window_.size(), 5000);
}

TEST_F(SendWindowTest, WritesOnlyWhatChanged) {
  window_.SetBounds({10 * kMinute, 100'000});
  for (uint64_t id = 1; id <= 5000; ++id) Remember(id);
  EXPECT_THAT(Operations(), ::testing::SizeIs(1 + 5));
  Remember(5001);
  EXPECT_THAT(Operations(), ::testing::SizeIs(1 + 1));
  now_us_ += kMinute * 20;
  for (int i = 0; i < 100; ++i) window_.Expire(now_us_);
  EXPECT_EQ(window_.size(), 0);
  EXPECT_THAT(Operations(), ::testing::SizeIs(1 + 4));  // Four chunks are deleted; of the last one more is to come.
}

TEST_F(SendWindowTest, RefusesWhatDoesNotFit) {
  window_.SetBounds({10 * kMinute, 100'000});
  for (uint64_t id = 1; id <= 3000; ++id) Remember(id);
  const auto operations = Operations();
  ASSERT_EQ(operations.size(), 4);  // The bounds, and three chunks.
  for (size_t lost = 0; lost < operations.size(); ++lost) {
    auto rest = operations;
    rest.erase(rest.begin() + static_cast<ptrdiff_t>(lost));
    const auto store = storage::NewMemoryStore();
    ASSERT_EQ(store->Write(std::move(rest)), absl::OkStatus());
    SendWindow loaded;
    EXPECT_EQ(loaded.Load(*store).code(), absl::StatusCode::kDataLoss) << "without " << lost;
  }
}

// A model that is slow and plain.
TEST_F(SendWindowTest, AgreesWithAModel) {
  const uint64_t seed = RealRandom()->Next();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  SeededRandom random(seed);
  window_.SetBounds({30 * kSecond, 200});
  struct Send {
    uint64_t id, content;
    int64_t time_us;
    LogIndex index;
  };
  std::deque<Send> model;
  for (int step = 0; step < 20'000; ++step) {
    now_us_ += static_cast<int64_t>(random.Below(random.OneIn(500) ? 40 * kSecond : kSecond / 2));
    // Ids whose places in the table are near each other.
    const uint64_t id = (random.Below(60) << 32 | random.Below(2)) * (random.OneIn(2) ? 1 : 64);
    const uint64_t content = random.Below(2);
    const SendWindow::Found found = window_.Find(id, content, now_us_);
    int contents = 0;
    std::optional<LogIndex> first;
    for (const Send& send : model) {
      if (send.id != id || now_us_ - send.time_us >= 30 * kSecond) continue;
      ++contents;
      if (send.content == content) first = send.index;
    }
    ASSERT_EQ(found.first.has_value(), first.has_value());
    if (first) {
      ASSERT_EQ(found.first->index, *first);
    } else {
      ASSERT_EQ(found.contents, contents);
      window_.Remember(id, content, now_us_, {++index_, 0, 0, 0});
      model.push_back({id, content, now_us_, index_});
      if (model.size() > 200) model.pop_front();
    }
    window_.Expire(now_us_);
    if (random.OneIn(300)) Restart();
    if (random.OneIn(100)) {
      ASSERT_EQ(window_.Verify(), absl::OkStatus());
      ASSERT_EQ(window_.RecomputeHash(), window_.hash());
    }
  }
}

TEST_F(SendWindowTest, CostsFewBytesForASendAndNothingWhenItIsEmpty) {
  window_.SetBounds({10 * kMinute, 1'000'000});
  for (uint64_t id = 1; id <= 1'000'000; ++id) Remember(id);
  EXPECT_LE(window_.bytes(), 66'000'000);
  RecordProperty("bytes_per_send", static_cast<int>(window_.bytes() / window_.size()));
  now_us_ += kMinute * 20;
  while (window_.size() > 0) window_.Expire(now_us_);
  EXPECT_LE(window_.bytes(), 100'000);
}

// --- In a state ---

class RepeatedSendTest : public StateTest {
 protected:
  RepeatedSendTest() {
    log::EpochStart start;
    start.set_send_window(10 * kMinute);
    start.set_send_window_ids(1000);
    Apply(start);
    Configure();
    Configure(kOtherQueue);
  }

  using Hashes = std::pair<uint64_t, uint64_t>;  // Of id and content.
  template <typename Command>
  Outcome ApplyWith(std::vector<Hashes> messages, QueueKey queue,
                    std::function<void(typename Command::Entry*)> finish) {
    Command command;
    SetKey(command.mutable_queue(), queue);
    for (const auto& [id, content] : messages) {
      typename Command::Entry* const entry = command.add_entries();
      entry->set_bytes(10);
      entry->set_id_hash(id);
      entry->set_content_hash(content);
      finish(entry);
    }
    return Apply(command);
  }
  Outcome SendHashed(std::vector<Hashes> messages, QueueKey queue = kQueue) {
    return ApplyWith<log::Append>(std::move(messages), queue, [](log::Append::Entry*) {});
  }
  Outcome ScheduleHashed(std::vector<Hashes> messages, int64_t deliver_at) {
    return ApplyWith<log::Schedule>(std::move(messages), kQueue,
                                    [=](auto* entry) { entry->set_deliver_at(deliver_at); });
  }
  Outcome PrepareHashed(std::vector<Hashes> messages) {
    return ApplyWith<log::Prepare>(std::move(messages), kQueue, [](log::Prepare::Entry*) {});
  }
  QueueOffset End(QueueKey queue = kQueue) { return state_->FindQueue(queue)->end; }
  static std::vector<std::pair<uint32_t, QueueOffset>> Repeats(const Outcome& outcome) {
    std::vector<std::pair<uint32_t, QueueOffset>> repeats;
    for (const Outcome::Repeat& repeat : outcome.repeats) repeats.emplace_back(repeat.place, repeat.first.offset);
    return repeats;
  }
};

TEST_F(RepeatedSendTest, IsStoredOnce) {
  SendHashed({{1, 1}, {2, 1}});
  const Outcome again = SendHashed({{2, 1}});
  EXPECT_EQ(End(), 2);
  EXPECT_THAT(Repeats(again), ElementsAre(std::pair(0u, 1)));
  EXPECT_EQ(again.reused_ids, 0);
}

TEST_F(RepeatedSendTest, IsAnsweredWithTheFirstPlaceWhateverTheQueue) {
  SendHashed({{1, 1}});
  const Outcome again = SendHashed({{1, 1}}, kOtherQueue);
  EXPECT_EQ(End(kOtherQueue), 0);
  ASSERT_THAT(Repeats(again), ElementsAre(std::pair(0u, 0)));
  EXPECT_EQ(again.repeats[0].first.queue, kQueue.queue);
}

TEST_F(RepeatedSendTest, LeavesEachOfABatchItsFate) {
  SendHashed({{1, 1}, {2, 1}, {3, 1}});
  const Outcome mixed = SendHashed({{4, 1}, {2, 1}, {5, 1}, {5, 1}, {1, 1}});
  EXPECT_EQ(mixed.first_offset, 3);
  EXPECT_EQ(End(), 5);
  EXPECT_THAT(Repeats(mixed), ElementsAre(std::pair(1u, 1), std::pair(3u, 4), std::pair(4u, 0)));
}

TEST_F(RepeatedSendTest, IsANewMessageWithAnotherContent) {
  SendHashed({{1, 1}});
  const Outcome other = SendHashed({{1, 2}});
  EXPECT_EQ(End(), 2);
  EXPECT_EQ(other.reused_ids, 1);
  EXPECT_THAT(Repeats(SendHashed({{1, 1}, {1, 2}})), ElementsAre(std::pair(0u, 0), std::pair(1u, 1)));
}

TEST_F(RepeatedSendTest, IsNotRememberedForAnIdOfEverything) {
  for (uint64_t content = 1; content <= 100; ++content) SendHashed({{1, content}});
  EXPECT_EQ(End(), 100);
  EXPECT_EQ(state_->sends().size(), SendWindow::kMaxContentsPerId);
  EXPECT_THAT(Repeats(SendHashed({{1, 16}})), ElementsAre(std::pair(0u, 15)));
  EXPECT_THAT(Repeats(SendHashed({{1, 17}})), IsEmpty());
}

TEST_F(RepeatedSendTest, IsNewWhenTheWindowIsOver) {
  SendHashed({{1, 1}});
  now_us_ += 10 * kMinute;
  EXPECT_THAT(Repeats(SendHashed({{1, 1}})), IsEmpty());
  EXPECT_EQ(End(), 2);
  EXPECT_THAT(Repeats(SendHashed({{1, 1}})), ElementsAre(std::pair(0u, 1)));
}

TEST_F(RepeatedSendTest, IsNothingWithoutHashes) {
  SendHashed({{0, 0}, {0, 0}});
  SendHashed({{0, 0}});
  EXPECT_EQ(End(), 3);
  EXPECT_EQ(state_->sends().size(), 0);
}

TEST_F(RepeatedSendTest, OfARefusedOneIsNew) {
  Delete(kOtherQueue);
  EXPECT_FALSE(SendHashed({{1, 1}}, kOtherQueue).status.ok());
  EXPECT_THAT(Repeats(SendHashed({{1, 1}})), IsEmpty());
  EXPECT_EQ(End(), 1);
}

TEST_F(RepeatedSendTest, KeepsItsTimer) {
  ScheduleHashed({{1, 1}, {2, 1}}, now_us_ + kMinute);
  const LogIndex first = state_->applied_index();
  const Outcome again = ScheduleHashed({{2, 1}}, now_us_ + kMinute);
  EXPECT_EQ(state_->FindQueue(kQueue)->delayed, 2);
  ASSERT_EQ(again.repeats.size(), 1);
  EXPECT_EQ(again.repeats[0].first, (FirstSend{first, 1, 0, -1}));
  EXPECT_THAT(again.entered, ElementsAre(std::nullopt));
}

TEST_F(RepeatedSendTest, KeepsTheOffsetOfWhatWasDueAtOnce) {
  ScheduleHashed({{1, 1}}, now_us_ - 1);
  const Outcome again = ScheduleHashed({{1, 1}}, now_us_ - 1);
  EXPECT_EQ(End(), 1);
  EXPECT_THAT(again.entered, ElementsAre(Optional(0)));
}

TEST_F(RepeatedSendTest, OpensNoSecondTransaction) {
  PrepareHashed({{1, 1}, {2, 1}});
  const LogIndex first = state_->applied_index();
  const Outcome again = PrepareHashed({{2, 1}, {3, 1}});
  EXPECT_EQ(state_->transactions().open().size(), 3);
  ASSERT_EQ(again.repeats.size(), 1);
  EXPECT_EQ(again.repeats[0].first, (FirstSend{first, 1, 0, -1}));
}

TEST_F(RepeatedSendTest, IsRememberedAcrossARestart) {
  SendHashed({{1, 1}, {2, 1}});
  WriteCheckpoint();
  ASSERT_EQ(Reload(), absl::OkStatus());
  EXPECT_THAT(Repeats(SendHashed({{2, 1}})), ElementsAre(std::pair(0u, 1)));
  EXPECT_EQ(End(), 2);
}

}  // namespace
}  // namespace barid::broker
