// What lite topics cost in one shard: memory of an idle one, by what was done with it, and how long a send to one and a
// receive take among so many.
//
//   lite_topics_bench DIR [lite topics]
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/stored_message.h"
#include "broker/shard.h"

namespace barid::broker {
namespace {

constexpr ShardId kShard{1};
constexpr TopicId kParent{1};
constexpr GroupId kGroup{1};

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t all = 0;
  int64_t resident = 0;
  statm >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class Bench {
 public:
  explicit Bench(const std::string& dir) {
    ShardOptions options;
    options.log.log_id = 1;
    options.checkpoint_interval = absl::Milliseconds(500);
    // What is kept of anything, up to a bound, is not the cost of a lite topic.
    options.tail_cache_bytes = 0;
    options.max_clean_blocks = 64;
    const ShardContext context{RealEnv(),
                               RealClock(),
                               shard_executor_.get(),
                               disk_executor_.get(),
                               read_executor_.get(),
                               checkpoint_executor_.get()};
    shard_ = Shard::Open(kShard, dir, options, context).value();
    Metadata::Tables tables;
    TopicMetadata& topic = tables.topics.emplace_back();
    topic.id = kParent;
    topic.name = {"", "sessions"};
    topic.type = MessageType::kLite;
    topic.queues_per_shard = 1;
    GroupMetadata& group = tables.groups.emplace_back();
    group.id = kGroup;
    group.name = {"", "group"};
    tables.subscriptions.push_back({kGroup, kParent, {}});
    Call([&](absl::Notification* done) {
      shard_->SetMetadata(std::make_shared<const Metadata>(std::move(tables)));
      shard_->Lead(1, "broker", [done](absl::Status status) {
        CHECK_OK(status);
        done->Notify();
      });
    });
  }
  ~Bench() {
    Call([&](absl::Notification* done) {
      shard_ = nullptr;
      done->Notify();
    });
  }

  static std::string NameOf(int64_t i) { return absl::StrCat("session-", 1'000'000'000 + i); }

  // A message to each of [first, first + count), many at a time.
  void Send(int64_t first, int64_t count) {
    Call([&](absl::Notification* done) {
      auto left = std::make_shared<int64_t>(count);
      for (int64_t i = first; i < first + count; ++i) {
        AppendCall call;
        call.shard = kShard;
        call.topic = kParent;
        call.lite_topic = NameOf(i);
        MessageDraft draft;
        draft.type = MessageType::kLite;
        draft.message_id = "id";
        draft.lite_topic = call.lite_topic;
        draft.body = "body";
        call.messages.push_back({EncodeStoredMessage(draft), 0});
        shard_->Append(std::move(call), [left, done](AppendResult result) {
          CHECK_OK(result.status);
          if (--*left == 0) done->Notify();
        });
      }
    });
  }
  void Read(const std::string& client, int64_t first, int64_t count) {
    LiteSyncCall call;
    call.shard = kShard;
    call.group = kGroup;
    call.topic = kParent;
    call.client_id = client;
    call.action = LiteSyncCall::Action::kSet;
    for (int64_t i = first; i < first + count; ++i) call.lite_topics.push_back(NameOf(i));
    Call([&](absl::Notification* done) {
      shard_->SyncLite(std::move(call), [done](LiteSyncResult result) {
        CHECK_OK(result.status);
        done->Notify();
      });
    });
  }
  std::vector<Delivery> Receive(const std::string& client) {
    ReceiveCall call;
    call.shard = kShard;
    call.group = kGroup;
    call.topic = kParent;
    call.invisible = absl::Hours(1);
    call.client_id = client;
    call.wait = absl::Seconds(1);
    std::vector<Delivery> deliveries;
    Call([&](absl::Notification* done) {
      shard_->Receive(next_id_++, std::move(call), [&, done](ReceiveResult result) {
        CHECK_OK(result.status);
        deliveries = std::move(result.deliveries);
        done->Notify();
      });
    });
    return deliveries;
  }
  void Ack(const std::vector<Delivery>& deliveries) {
    SettleCall call;
    call.shard = kShard;
    for (const Delivery& one : deliveries)
      call.entries.push_back({kGroup, one.queue, one.offset, one.nonce, SettleKind::kAck, {}, ""});
    Call([&](absl::Notification* done) { shard_->Settle(std::move(call), [done](SettleResult) { done->Notify(); }); });
  }
  void Checkpoint() {
    Call([&](absl::Notification* done) {
      shard_->Checkpoint([done](absl::Status status) {
        CHECK_OK(status);
        done->Notify();
      });
    });
  }

 private:
  template <typename F>
  void Call(F call) {
    absl::Notification done;
    shard_executor_->Post([&] { call(&done); });
    done.WaitForNotification();
  }

  std::unique_ptr<Executor> shard_executor_ = NewThreadExecutor("shard");
  std::unique_ptr<Executor> disk_executor_ = NewThreadExecutor("disk");
  std::unique_ptr<Executor> read_executor_ = NewThreadExecutor("read");
  std::unique_ptr<Executor> checkpoint_executor_ = NewThreadExecutor("checkpt");
  std::unique_ptr<Shard> shard_;
  uint64_t next_id_ = 1;
};

int Main(int argc, char** argv) {
  int64_t count = 100'000;
  if (argc < 2 || (argc > 2 && !absl::SimpleAtoi(argv[2], &count))) {
    std::fprintf(stderr, "usage: %s DIR [lite topics]\n", argv[0]);
    return 2;
  }
  SetMinLogLevel(LogLevel::kWarning);
  constexpr int64_t kBatch = 1000;
  Bench bench(argv[1]);
  // What the first messages bring along is not theirs.
  bench.Send(0, kBatch);
  bench.Checkpoint();
  const int64_t before = ResidentBytes();
  const auto report = [&](const char* what) {
    bench.Checkpoint();
    std::printf("  %-46s %6.0f bytes of memory each\n", what,
                static_cast<double>(ResidentBytes() - before) / static_cast<double>(count));
  };
  absl::Duration start = RealClock()->SinceBoot();
  for (int64_t i = kBatch; i < kBatch + count; i += kBatch) bench.Send(i, kBatch);
  std::printf("%lld lite topics, made by a first message each, %lld sends at a time: %.0f a second\n",
              static_cast<long long>(count), static_cast<long long>(kBatch),
              static_cast<double>(count) / absl::ToDoubleSeconds(RealClock()->SinceBoot() - start));
  report("idle, one message that nobody read:");
  // A hundred clients read them all, one after the other.
  std::vector<double> micros;
  int64_t received = 0;
  for (int64_t i = kBatch; i < kBatch + count; i += kBatch) {
    const std::string client = absl::StrCat("client-", i / kBatch % 100);
    bench.Read(client, i, kBatch);
    for (int64_t left = kBatch; left > 0;) {
      start = RealClock()->SinceBoot();
      const std::vector<Delivery> deliveries = bench.Receive(client);
      micros.push_back(absl::ToDoubleMicroseconds(RealClock()->SinceBoot() - start));
      CHECK(!deliveries.empty());
      bench.Ack(deliveries);
      left -= static_cast<int64_t>(deliveries.size());
      received += static_cast<int64_t>(deliveries.size());
    }
    bench.Read(client, 0, 0);
  }
  CHECK_EQ(received, count);
  std::sort(micros.begin(), micros.end());
  report("idle, one message, settled by one group:");
  std::printf("  receive of 32 from 1,000 with a message each: p50 %.0f us, p99 %.0f us\n", micros[micros.size() / 2],
              micros[micros.size() * 99 / 100]);
  return 0;
}

}  // namespace
}  // namespace barid::broker

int main(int argc, char** argv) { return barid::broker::Main(argc, argv); }
