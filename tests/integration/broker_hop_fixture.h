#ifndef BARID_TESTS_INTEGRATION_BROKER_HOP_FIXTURE_H_
#define BARID_TESTS_INTEGRATION_BROKER_HOP_FIXTURE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/random.h"
#include "broker/grpc/broker_service.h"
#include "edge/h2/h2_client.h"
#include "edge/h2/h2_server.h"
#include "proxy/grpc/remote_broker.h"

namespace barid {

constexpr absl::Duration kPatience = absl::Seconds(20);

// Whether the call, made again and again, is OK in time.
inline bool Succeeds(const std::function<absl::Status()>& call) {
  const absl::Duration give_up = RealClock()->SinceBoot() + kPatience;
  while (RealClock()->SinceBoot() < give_up) {
    if (call().ok()) return true;
    std::this_thread::yield();
  }
  return false;
}

// Something that tests wait for.
class Changes {
 public:
  // Runs `change` and wakes who waits.
  void Make(const std::function<void()>& change) {
    MutexLock lock(&mu_);
    change();
    cv_.SignalAll();
  }
  // Whether `fact` came true in time. It is asked under the lock of Make.
  [[nodiscard]] bool Await(const std::function<bool()>& fact, absl::Duration patience = kPatience) {
    const absl::Duration give_up = RealClock()->SinceBoot() + patience;
    MutexLock lock(&mu_);
    while (!fact()) {
      const absl::Duration left = give_up - RealClock()->SinceBoot();
      if (left <= absl::ZeroDuration()) return false;
      cv_.WaitFor(&mu_, left);
    }
    return true;
  }

 private:
  Mutex mu_;
  CondVar cv_;
};

// What a callback was called with. Fails the test if it was called twice.
template <typename T>
class Outcome {
 public:
  Callback<T> Taker() {
    return [state = state_](T value) {
      state->changes.Make([&] {
        ++state->calls;
        state->value = std::move(value);
      });
    };
  }
  bool has_come() const {
    return state_->changes.Await([&] { return state_->calls > 0; }, absl::ZeroDuration());
  }
  T Get() const {
    const bool came = state_->changes.Await([&] { return state_->calls > 0; });
    EXPECT_TRUE(came) << "no answer";
    EXPECT_LE(state_->calls, 1);
    return came ? state_->value : T();
  }

 private:
  struct State {
    Changes changes;
    int calls = 0;
    T value;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// A broker with behaviour: messages get offsets in turn, receives wait until they are served or cancelled, settles are
// remembered. Answers come from a thread of its own, as a shard's do. While it `holds`, sends and settles wait.
class FakeBroker : public BrokerApi {
 public:
  void Append(AppendCall call, Callback<AppendResult> done) override {
    changes.Make([&] {
      last_append = call;
      ++appends;
      auto answer = [this, call, done = std::move(done)]() mutable {
        AppendResult result;
        result.status = append_status;
        if (result.status.ok()) {
          for (const AppendCall::Message& message : call.messages) {
            AppendResult::Entry& entry = result.entries.emplace_back();
            entry.queue = call.queue;
            entry.offset = static_cast<QueueOffset>(message.tag_hash);
            if (message.deliver_at) entry.timer = {absl::ToUnixMicros(*message.deliver_at), 77, 3};
            if (message.stored.view() == "refuse me") entry.status = absl::InvalidArgumentError("refused");
          }
        }
        done(std::move(result));
      };
      Answer(std::move(answer));
    });
  }

  void Recall(RecallCall call, Callback<RecallResult> done) override {
    changes.Make([&] {
      last_recall = call;
      Answer([this, done = std::move(done)]() mutable { done({recall_status}); });
    });
  }

  void EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) override {
    changes.Make([&] {
      last_end = call;
      Answer([this, done = std::move(done)]() mutable { done({end_status}); });
    });
  }
  void TakeChecks(ChecksCall call, Callback<ChecksResult> done) override {
    changes.Make([&] {
      last_checks = call;
      Answer([this, done = std::move(done)]() mutable { done(checks_result); });
    });
  }
  void ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) override {
    changes.Make([&] {
      last_list = call;
      Answer([this, done = std::move(done)]() mutable { done(list_result); });
    });
  }
  void Lookup(LookupCall call, Callback<LookupResult> done) override {
    changes.Make([&] {
      last_lookup = call;
      Answer([this, done = std::move(done)]() mutable { done(lookup_result); });
    });
  }
  void Redrive(RedriveCall call, Callback<RedriveResult> done) override {
    changes.Make([&] {
      last_redrive = call;
      Answer([this, done = std::move(done)]() mutable { done(redrive_result); });
    });
  }

  uint64_t Receive(ReceiveCall call, Callback<ReceiveResult> done) override {
    uint64_t id = 0;
    std::optional<ReceiveResult> at_once;
    changes.Make([&] {
      id = next_id++;
      last_receive = call;
      ++receives;
      if (serve) {
        at_once = serve(call);
        thread->Post([done = std::move(done), result = *std::move(at_once)]() mutable { done(std::move(result)); });
      } else {
        waiting[id] = std::move(done);
      }
    });
    return id;
  }
  uint64_t Pull(PullCall call, Callback<PullResult> done) override {
    uint64_t id = 0;
    changes.Make([&] {
      id = next_id++;
      last_pull = call;
      if (pull_result) {
        thread->Post([done = std::move(done), result = *pull_result]() mutable { done(std::move(result)); });
      } else {
        waiting_pulls[id] = std::move(done);
      }
    });
    return id;
  }
  void QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) override {
    changes.Make([&] {
      last_query = call;
      Answer([this, done = std::move(done)]() mutable { done(offset_result); });
    });
  }
  void GetOffset(GetOffsetCall call, Callback<OffsetResult> done) override {
    changes.Make([&] {
      last_get = call;
      Answer([this, done = std::move(done)]() mutable { done(offset_result); });
    });
  }
  void UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) override {
    changes.Make([&] {
      last_update = call;
      Answer([this, done = std::move(done)]() mutable { done(offset_result); });
    });
  }
  void SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) override {
    changes.Make([&] {
      last_sync = call;
      Answer([this, done = std::move(done)]() mutable { done(sync_result); });
    });
  }
  void ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) override {
    changes.Make([&] {
      last_reset = call;
      Answer([this, done = std::move(done)]() mutable { done(reset_result); });
    });
  }
  void CancelReceive(ShardId shard, uint64_t receive_id) override {
    Callback<PullResult> pull;
    changes.Make([&] {
      const auto it = waiting_pulls.find(receive_id);
      if (it == waiting_pulls.end() || deaf_to_cancels) return;
      pull = std::move(it->second);
      waiting_pulls.erase(it);
    });
    if (pull) thread->Post([pull = std::move(pull)]() mutable { pull({absl::OkStatus(), {}, 0}); });
    Callback<ReceiveResult> done;
    changes.Make([&] {
      ++cancels;
      if (deaf_to_cancels) return;
      const auto it = waiting.find(receive_id);
      if (it == waiting.end()) return;
      done = std::move(it->second);
      waiting.erase(it);
    });
    if (done) thread->Post([done = std::move(done)]() mutable { done({absl::OkStatus(), {}}); });
  }
  // Answers one that waits.
  void Serve(ReceiveResult result) {
    Callback<ReceiveResult> done;
    changes.Make([&] {
      CHECK(!waiting.empty());
      done = std::move(waiting.begin()->second);
      waiting.erase(waiting.begin());
    });
    done(std::move(result));
  }

  void Settle(SettleCall call, Callback<SettleResult> done) override {
    changes.Make([&] {
      settles.push_back(call);
      auto answer = [this, call, done = std::move(done)]() mutable {
        SettleResult result = settle_result.value_or(SettleResult());
        if (!settle_result) result.entries.resize(call.entries.size());
        done(std::move(result));
      };
      Answer(std::move(answer));
    });
  }
  void ReportSent(SentReport report) override {
    changes.Make([&] { sent_reports.push_back(std::move(report)); });
  }
  void ReportClients(const ClientReport& report) override {
    changes.Make([&] { client_reports.push_back(report); });
  }
  void Stats(StatsCall call, Callback<StatsResult> done) override {
    changes.Make([&] { last_stats = call; });
    done(stats_result);  // On the caller's thread, which is allowed too.
  }

  void Hold() {
    changes.Make([&] { holds = true; });
  }
  void Release() {
    std::vector<Executor::Task> answers;
    changes.Make([&] {
      holds = false;
      answers = std::exchange(held, {});
    });
    for (Executor::Task& answer : answers) thread->Post(std::move(answer));
  }

  Changes changes;
  int appends = 0;
  int receives = 0;
  int cancels = 0;
  AppendCall last_append;
  RecallCall last_recall;
  EndTransactionCall last_end;
  ChecksCall last_checks;
  TransactionsCall last_list;
  LookupCall last_lookup;
  RedriveCall last_redrive;
  ReceiveCall last_receive;
  PullCall last_pull;
  QueryOffsetCall last_query;
  GetOffsetCall last_get;
  UpdateOffsetCall last_update;
  LiteSyncCall last_sync;
  ResetOffsetCall last_reset;
  StatsCall last_stats;
  std::vector<SettleCall> settles;
  std::vector<SentReport> sent_reports;
  std::vector<ClientReport> client_reports;
  std::map<uint64_t, Callback<ReceiveResult>> waiting;
  std::map<uint64_t, Callback<PullResult>> waiting_pulls;
  std::vector<Executor::Task> held;
  bool holds = false;
  uint64_t next_id = 1000;

  // Set before calling.
  absl::Status append_status;
  absl::Status recall_status;
  absl::Status end_status;
  ChecksResult checks_result;
  TransactionsResult list_result;
  LookupResult lookup_result;
  RedriveResult redrive_result;
  std::optional<SettleResult> settle_result;
  StatsResult stats_result;
  OffsetResult offset_result;
  ResetOffsetResult reset_result;
  LiteSyncResult sync_result;
  std::optional<PullResult> pull_result;  // None: pulls wait.
  std::function<ReceiveResult(const ReceiveCall&)> serve;
  bool deaf_to_cancels = false;

 private:
  void Answer(Executor::Task answer) {
    if (holds) {
      held.push_back(std::move(answer));
    } else {
      thread->Post(std::move(answer));
    }
  }

  std::unique_ptr<Executor> thread = NewThreadExecutor("fake-shard");
};

// Channels to brokers, as a proxy's process opens them.
inline std::shared_ptr<edge::Channel> OpenChannel(const std::string& address,
                                                  const std::shared_ptr<edge::h2::LoopThreads>& loops) {
  return edge::h2::NewH2Channel({.address = address, .loops = loops});
}

// A broker's process: its service on a port, which is free to choose or given.
class BrokerProcess {
 public:
  explicit BrokerProcess(BrokerApi* broker, const std::string& address = "127.0.0.1:0",
                         const broker::BrokerServiceOptions& options = {})
      : service_(broker, options) {
    edge::h2::H2ServerOptions server_options;
    server_options.address = address;
    server_options.limits = broker::BrokerService::Limits();
    edge::MethodTable table;
    service_.AddTo(&table);
    auto server = edge::h2::ServeH2(server_options, std::move(table));
    CHECK_OK(server.status());
    server_ = *std::move(server);
  }
  ~BrokerProcess() { Kill(); }

  const std::string& address() const { return server_->address(); }
  void Drain() { service_.Drain(); }
  void Kill() { server_->Drain(absl::ZeroDuration()); }
  // As main ends: what proxies still have is answered first.
  void ShutDown() {
    service_.Drain();
    server_->Drain(kPatience);
  }

 private:
  broker::BrokerService service_;
  std::unique_ptr<edge::Server> server_;
};

inline AppendCall Send(absl::string_view stored, uint32_t tag_hash = 7) {
  AppendCall call;
  call.shard = ShardId(1);
  call.topic = TopicId(2);
  call.messages.push_back({Buffer(std::string(stored)), tag_hash});
  return call;
}

inline Delivery SomeDelivery(QueueOffset offset, std::string stored) {
  Delivery delivery;
  delivery.stored = Buffer(std::move(stored));
  delivery.queue = {TopicId(2), 3};
  delivery.offset = offset;
  delivery.nonce = static_cast<LogIndex>(offset) + 100;
  return delivery;
}

inline ReceiveCall Ask() {
  ReceiveCall call;
  call.shard = ShardId(1);
  call.group = GroupId(5);
  call.topic = TopicId(2);
  call.wait = absl::Seconds(30);
  return call;
}

}  // namespace barid

#endif  // BARID_TESTS_INTEGRATION_BROKER_HOP_FIXTURE_H_
