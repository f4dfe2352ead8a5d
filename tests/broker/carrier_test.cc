// Carrying forward end to end within a shard: on a simulated disk, clock and executors.
#include "broker/carrier.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/stored_message.h"
#include "gmock/gmock.h"
#include "tests/base/status_matchers.h"
#include "tests/broker/shard_fixture.h"

namespace barid::broker {
namespace {

constexpr TopicId kYear{1};     // Kept for a year.
constexpr TopicId kPassing{2};  // Kept for six hours.
constexpr TopicId kSlow{3};     // Kept until its group, which never comes, has settled it.
constexpr TopicId kLater{4};    // Scheduled days ahead.
constexpr GroupId kGroup{1};

class CarrierTest : public ShardFixture {
 protected:
  CarrierTest() {
    options_.log.segment_bytes = uint64_t{2} << 20;
    options_.log.zero_ahead_bytes = 65536;
    options_.log.zero_slice_bytes = 65536;
    options_.retention_interval = absl::Milliseconds(500);
    options_.tail_cache_bytes = 1 << 20;
    for (const TopicId id : {kYear, kPassing, kSlow, kLater}) {
      TopicMetadata& topic = tables_.topics.emplace_back();
      topic.id = id;
      topic.name = {"", absl::StrCat("topic-", id.value())};
      topic.queues_per_shard = 1;
      topic.retention.age = id == kYear ? absl::Hours(24 * 365) : id == kLater ? absl::Hours(1) : absl::Hours(6);
      topic.retention.keep_unsettled = id == kSlow;
    }
    GroupMetadata& group = tables_.groups.emplace_back();
    group.id = kGroup;
    group.name = {"", "slow"};
    SubscriptionMetadata& subscription = tables_.subscriptions.emplace_back();
    subscription.group = kGroup;
    subscription.topic = kSlow;
    Start();
  }

  void DeleteTopic(TopicId id) {
    std::erase_if(tables_.topics, [id](const TopicMetadata& topic) { return topic.id == id; });
    Tell();
  }

  // A message with body_bytes_.
  AppendCall Call(TopicId topic, uint64_t number, std::optional<absl::Time> deliver_at = std::nullopt) {
    MessageDraft draft;
    const std::string id = absl::StrCat(topic.value(), "-", number);
    const std::string body =
        absl::StrCat(id, std::string(body_bytes_ - id.size(), static_cast<char>('a' + number % 26)));
    draft.message_id = id;
    draft.body = body;
    AppendCall call;
    call.shard = kShard;
    call.topic = topic;
    call.messages.push_back({EncodeStoredMessage(draft), 0});
    call.messages.back().deliver_at = deliver_at;
    return call;
  }
  // So many messages, of which `choose` says the topic, in one batch.
  void SendBatch(std::vector<AppendCall> calls) {
    size_t answered = 0;
    const size_t count = calls.size();
    world_.RunOn(shard_executor_.get(), [&] {
      for (AppendCall& call : calls) {
        shard_->Append(std::move(call), [&answered](AppendResult result) {
          EXPECT_THAT(result.status, IsOk());
          ++answered;
        });
      }
    });
    ASSERT_TRUE(world_.RunUntil([&] { return answered == count; }, absl::Seconds(60)));
  }
  void SendMany(TopicId topic, uint64_t count) {
    for (uint64_t sent = 0; sent < count;) {
      std::vector<AppendCall> calls;
      for (; sent < count && calls.size() < 64; ++sent) calls.push_back(Call(topic, sent));
      SendBatch(std::move(calls));
    }
  }
  void CarryBelow(LogIndex below) {
    world_.RunOn(shard_executor_.get(), [&] { shard_->CarryBelow(below); });
    ASSERT_TRUE(world_.RunUntil([&] { return !shard_->is_carrying(); }, absl::Minutes(10)));
  }

  // Numbers of the messages of a topic that are in its queue; each body is looked at.
  std::vector<uint64_t> Numbers(TopicId topic) {
    std::vector<uint64_t> numbers;
    LookupCall call;
    call.shard = kShard;
    call.topic = topic;
    call.kind = LookupCall::Kind::kRange;
    call.from = absl::InfinitePast();
    call.to = absl::InfiniteFuture();
    call.max_messages = 1000;
    call.max_bytes = 16 << 20;
    do {
      const LookupResult answer = Ask(&Shard::Find, call);
      EXPECT_THAT(answer.status, IsOk());
      if (!answer.status.ok()) break;
      for (const FoundMessage& found : answer.messages) {
        const auto view = DecodeStoredMessage(found.stored.view());
        if (!view.ok()) {
          ADD_FAILURE() << view.status();
          continue;
        }
        const std::vector<std::string> parts = absl::StrSplit(std::string(view->message_id), '-');
        EXPECT_EQ(parts.at(0), absl::StrCat(topic.value()));
        const uint64_t number = std::stoull(parts.at(1));
        EXPECT_EQ(found.stored.view(), EncodedOf(topic, number));
        numbers.push_back(number);
      }
      call.resume = answer.resume;
    } while (!call.resume.empty());
    return numbers;
  }
  std::string EncodedOf(TopicId topic, uint64_t number) {
    return std::string(Call(topic, number).messages[0].stored.view());
  }

  int64_t LiveBytes() const {
    int64_t bytes = 0;
    for (const LiveRange& range : shard_->state().live_ranges()) bytes += range.bytes;
    return bytes;
  }
  // Whole files, also the one that is written.
  int64_t LogBytes() { return static_cast<int64_t>(disk_.ListDir("/shard/log")->size() * options_.log.segment_bytes); }

  // Everything that the shard has: log, index and state, files of hashes.
  int64_t DiskBytes() {
    const Env::Space space = *disk_.GetSpace("/shard");
    return static_cast<int64_t>(space.capacity_bytes - space.available_bytes);
  }

  size_t body_bytes_ = 1024;
};

// Of two topics, whose messages stand side by side in every segment.
TEST_F(CarrierTest, ADeletedTopicsSpaceComesBack) {
  for (uint64_t batch = 0; batch < 160; ++batch) {
    std::vector<AppendCall> calls;
    for (uint64_t i = 0; i < 64; ++i)
      calls.push_back(i % 8 == 0 ? Call(kYear, batch * 8 + i / 8) : Call(kPassing, batch * 64 + i));
    SendBatch(std::move(calls));
  }
  const int64_t before = LogBytes();
  EXPECT_GE(before, 5 * static_cast<int64_t>(options_.log.segment_bytes));
  DeleteTopic(kPassing);
  world_.RunFor(absl::Seconds(20));
  // What is left is an eighth, and what was written since the last range of 4,096 records began.
  EXPECT_LE(LogBytes(), before / 2 + static_cast<int64_t>(options_.log.segment_bytes));
  EXPECT_GT(shard_->state().log_start(), 4096u);
  Crash();
  const std::vector<uint64_t> numbers = Numbers(kYear);
  ASSERT_EQ(numbers.size(), 160u * 8);
  for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], i);
}

TEST_F(CarrierTest, NothingIsCarriedIfTheSettingSaysSo) {
  options_.carry_live_percent = 0;
  Crash();
  SendMany(kYear, 100);
  SendMany(kPassing, 10000);
  DeleteTopic(kPassing);
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(shard_->carried(), 0);
  EXPECT_EQ(shard_->state().log_start(), 1u);
}

TEST_F(CarrierTest, IsPaced) {
  options_.carry_bytes_per_second = 100'000;
  options_.carry_live_percent = 0;
  Crash();
  SendMany(kYear, 1000);
  const absl::Time start = world_.clock()->Now();
  CarryBelow(shard_->state().applied_index() + 1);
  EXPECT_EQ(shard_->carried(), 1000);
  EXPECT_GT(world_.clock()->Now() - start, absl::Seconds(10));
  EXPECT_LT(world_.clock()->Now() - start, absl::Seconds(13));
}

// The measure of docs/benchmarks.md: seven days of messages that pass within hours, beside some that are kept for a
// year, some that a slow group leaves, and some that are scheduled. The disk holds half as much again as what is live.
class CarrierWeekTest : public CarrierTest {
 protected:
  void Live(int batches, uint64_t batch_messages) {
    const absl::Duration batch_time = absl::Hours(24 * 7) / batches;
    double sum = 0;
    double disk_sum = 0;
    for (int batch = 0; batch < batches; ++batch) {
      std::vector<AppendCall> calls;
      for (uint64_t i = 0; i < batch_messages; ++i) {
        if (i % 4 == 0) {
          calls.push_back(Call(kYear, year_++));
        } else if (i % 16 == 1) {
          calls.push_back(Call(kSlow, slow_++));
        } else if (i % 16 == 2) {
          calls.push_back(
              Call(kLater, later_, world_.clock()->Now() + absl::Hours(1) * static_cast<int64_t>(1 + later_ % 200)));
          ++later_;
        } else {
          calls.push_back(Call(kPassing, static_cast<uint64_t>(batch) * batch_messages + i));
        }
      }
      sent_ += calls.size();
      SendBatch(std::move(calls));
      world_.clock()->Advance(batch_time);
      world_.RunFor(absl::Milliseconds(1100));
      if (LiveBytes() < 15 * static_cast<int64_t>(options_.log.segment_bytes)) continue;
      const double now = static_cast<double>(LogBytes()) / static_cast<double>(LiveBytes());
      worst_ = std::max(worst_, now);
      sum += now;
      const double all = static_cast<double>(DiskBytes()) / static_cast<double>(LiveBytes());
      worst_disk_ = std::max(worst_disk_, all);
      disk_sum += all;
      ++samples_;
    }
    mean_ = sum / samples_;
    mean_disk_ = disk_sum / samples_;
    std::printf(
        "sent %.0f MB, live %.1f MB, log %.1f MB; mean %.2f, at worst %.2f of %d; with all other files %.1f MB, mean "
        "%.2f, at worst %.2f; %lld messages carried\n",
        static_cast<double>(sent_ * body_bytes_) / 1e6, static_cast<double>(LiveBytes()) / 1e6,
        static_cast<double>(LogBytes()) / 1e6, mean_, worst_, samples_, static_cast<double>(DiskBytes()) / 1e6,
        mean_disk_, worst_disk_, static_cast<long long>(shard_->carried()));
    EXPECT_GT(LiveBytes(), 15 * static_cast<int64_t>(options_.log.segment_bytes));
  }
  void ExpectAllIsThere() {
    Crash();
    EXPECT_EQ(Numbers(kYear).size(), year_);
    EXPECT_EQ(Numbers(kSlow).size(), slow_);
  }

  uint64_t sent_ = 0;
  uint64_t year_ = 0;
  uint64_t slow_ = 0;
  uint64_t later_ = 0;
  double mean_ = 0;  // Bytes of the log for each that is live, while segments enough are.
  double worst_ = 0;
  double mean_disk_ = 0;  // The same of all files.
  double worst_disk_ = 0;
  int samples_ = 0;
};

TEST_F(CarrierWeekTest, AWeekOfTrafficTakesHalfAsMuchAgainAsWhatIsLive) {
  Live(/*batches=*/1500, /*batch_messages=*/64);
  EXPECT_GT(samples_, 100);
  EXPECT_LE(mean_, 1.4);
  EXPECT_LE(mean_disk_, 1.5);
  // While a step is under way, what it copies is there twice.
  EXPECT_LE(worst_, 1.55);
  ExpectAllIsThere();
}

// As with messages of a megabyte in segments of 16.
TEST_F(CarrierWeekTest, LargeMessagesTakeNoMore) {
  body_bytes_ = 65536;
  options_.log.segment_bytes = 1 << 20;
  Crash();
  Live(/*batches=*/100, /*batch_messages=*/16);
  EXPECT_GT(samples_, 40);
  EXPECT_LE(mean_, 1.4);
  EXPECT_LE(mean_disk_, 1.5);
  EXPECT_LE(worst_, 1.55);
  ExpectAllIsThere();
}

}  // namespace
}  // namespace barid::broker
