// What a million message groups cost in one queue of one shard: memory by what each has pending, and how long others
// wait while one of them is stuck with two million messages behind it.
//
//   message_groups_bench DIR [groups]
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

constexpr int64_t kStuck = 2'000'000;
constexpr QueueKey kQueue{TopicId(1), 0};
constexpr GroupId kGroup{1};

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t all = 0;
  int64_t resident = 0;
  statm >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// --- Memory: a State alone ---

class Groups {
 public:
  explicit Groups(int64_t count) : count_(count) {
    log::ConfigureQueue configure;
    SetKey(configure.mutable_queue(), kQueue);
    Apply(configure);
    log::OpenCursor open;
    open.set_group_id(kGroup.value());
    SetKey(open.mutable_queue(), kQueue);
    open.set_ordered(true);
    Apply(open);
  }

  // One message of each message group.
  void SendToEach() {
    Send([](int64_t i) { return i; });
  }
  // As many of the first.
  void SendToOne() {
    Send([](int64_t) { return 0; });
  }
  // Everything that was never looked at: handed out, or parked.
  void Deliver() {
    Pass([](log::Deliver* deliver, QueueOffset offset) { deliver->add_first_offsets(offset); });
  }
  void Park() {
    Pass([](log::Deliver* deliver, QueueOffset offset) { deliver->add_parked_offsets(offset); });
  }

 private:
  template <typename GroupOf>
  void Send(GroupOf group_of) {
    for (int64_t from = 0; from < count_; from += 1000) {
      log::Append append;
      SetKey(append.mutable_queue(), kQueue);
      for (int64_t i = from; i < std::min(from + 1000, count_); ++i) {
        log::Append::Entry* const entry = append.add_entries();
        entry->set_bytes(1024);
        entry->set_message_group(MessageGroupHash(absl::StrCat("message group ", group_of(i))));
      }
      Apply(append);
    }
  }
  template <typename Add>
  void Pass(Add add) {
    const QueueOffset end = state_.FindQueue(kQueue)->end;
    while (state_.FindCursor({kGroup, kQueue})->next < end) {
      const QueueOffset from = state_.FindCursor({kGroup, kQueue})->next;
      log::Deliver deliver;
      deliver.set_group_id(kGroup.value());
      SetKey(deliver.mutable_queue(), kQueue);
      deliver.set_from(from);
      deliver.set_to(std::min(from + 32, end));
      deliver.set_client_id("client");
      deliver.set_attempt_id_hash(static_cast<uint64_t>(from) + 1);
      deliver.set_invisible_until(int64_t{1} << 60);
      for (QueueOffset offset = from; offset < deliver.to(); ++offset) add(&deliver, offset);
      Apply(deliver);
    }
  }
  void Apply(const Command& command) {
    RecordInfo record = state_.applied();
    ++record.index;
    record.position = record.end_position;
    record.end_position += 64;
    CHECK_OK(state_.Apply(record, command).status());
  }

  const int64_t count_;
  State state_{nullptr, 1};
};

void MeasureMemory(int64_t count) {
  Groups groups(count);
  int64_t before = ResidentBytes();
  const auto each = [&](const char* what) {
    const int64_t now = ResidentBytes();
    std::printf("  %-46s %6.1f bytes each\n", what, static_cast<double>(now - before) / static_cast<double>(count));
    before = now;
  };
  groups.SendToEach();
  each("index entry of a message, evicted in a shard:");
  groups.Deliver();
  each("locked, one delivery in flight:");
  groups.SendToEach();
  before = ResidentBytes();
  groups.Park();
  each("and one message parked behind it:");
  groups.SendToOne();
  before = ResidentBytes();
  groups.Park();
  each("as many parked behind one:");
}

// --- Latency: a shard on a real disk ---

class Bench {
 public:
  Bench(const std::string& dir, const ShardOptions& options) {
    const ShardContext context{RealEnv(),
                               RealClock(),
                               shard_executor_.get(),
                               disk_executor_.get(),
                               read_executor_.get(),
                               checkpoint_executor_.get()};
    shard_ = Shard::Open(ShardId(1), dir, options, context).value();
    Metadata::Tables tables;
    TopicMetadata& topic = tables.topics.emplace_back();
    topic.id = kQueue.topic;
    topic.name = {"", "orders"};
    topic.type = MessageType::kFifo;
    topic.placement = {ShardId(1)};
    GroupMetadata& group = tables.groups.emplace_back();
    group.id = kGroup;
    group.name = {"", "group"};
    group.order = DeliveryOrder::kFifo;
    tables.subscriptions.push_back({kGroup, kQueue.topic, {}});
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

  void Send(int64_t first, int64_t count, const std::string& message_group) {
    constexpr int64_t kBatch = 1000;
    for (int64_t from = first; from < first + count; from += kBatch) {
      AppendCall call;
      call.shard = ShardId(1);
      call.topic = kQueue.topic;
      call.queue = 0;
      for (int64_t i = from; i < std::min(from + kBatch, first + count); ++i) {
        const std::string group = message_group.empty() ? absl::StrCat("message group ", i) : message_group;
        MessageDraft draft;
        draft.type = MessageType::kFifo;
        draft.message_id = "id";
        draft.message_group = group;
        draft.body = "body";
        call.messages.push_back({EncodeStoredMessage(draft), 0});
        call.messages.back().message_group = MessageGroupHash(group);
      }
      Call([&](absl::Notification* done) {
        shard_->Append(std::move(call), [done](AppendResult result) {
          CHECK_OK(result.status);
          done->Notify();
        });
      });
    }
  }
  std::vector<Delivery> Receive(int32_t most) {
    ReceiveCall call;
    call.shard = ShardId(1);
    call.group = kGroup;
    call.topic = kQueue.topic;
    call.max_messages = most;
    call.invisible = absl::Hours(1);
    call.client_id = "client";
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
    call.shard = ShardId(1);
    for (const Delivery& one : deliveries)
      call.entries.push_back({kGroup, one.queue, one.offset, one.nonce, SettleKind::kAck, {}, ""});
    Call([&](absl::Notification* done) { shard_->Settle(std::move(call), [done](SettleResult) { done->Notify(); }); });
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

// Receives of 32, each acknowledged, until nothing comes.
void MeasureLatency(const std::string& dir, int64_t groups, bool stuck) {
  ShardOptions options;
  options.log.log_id = 1;
  Bench bench(dir, options);
  if (stuck) {
    bench.Send(0, 1, "stuck");
    CHECK_EQ(bench.Receive(1).size(), 1u);  // And is never settled.
    bench.Send(0, kStuck, "stuck");
  }
  bench.Send(0, groups, "");
  std::vector<double> micros;
  int64_t received = 0;
  while (received < groups) {
    const absl::Duration start = RealClock()->SinceBoot();
    const std::vector<Delivery> deliveries = bench.Receive(32);
    micros.push_back(absl::ToDoubleMicroseconds(RealClock()->SinceBoot() - start));
    received += static_cast<int64_t>(deliveries.size());
    bench.Ack(deliveries);
  }
  std::sort(micros.begin(), micros.end());
  std::printf("  %lld groups, %s: receive of 32, p50 %.0f us, p99 %.0f us, longest %.0f us\n",
              static_cast<long long>(groups), stuck ? "one more stuck with 2,000,000 messages" : "none stuck",
              micros[micros.size() / 2], micros[micros.size() * 99 / 100], micros.back());
}

int Main(int argc, char** argv) {
  int64_t groups = 1'000'000;
  if (argc < 2 || (argc > 2 && !absl::SimpleAtoi(argv[2], &groups))) {
    std::fprintf(stderr, "usage: %s DIR [groups]\n", argv[0]);
    return 2;
  }
  SetMinLogLevel(LogLevel::kWarning);
  std::printf("memory, %lld message groups\n", static_cast<long long>(groups));
  MeasureMemory(groups);
  std::printf("latency\n");
  for (const bool stuck : {false, true})
    MeasureLatency(absl::StrCat(argv[1], stuck ? "/stuck" : "/free"), groups, stuck);
  return 0;
}

}  // namespace
}  // namespace barid::broker

int main(int argc, char** argv) { return barid::broker::Main(argc, argv); }
