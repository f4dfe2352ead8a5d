#ifndef BARID_BROKER_BROKER_H_
#define BARID_BROKER_BROKER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/broker_calls.h"
#include "base/controller_calls.h"
#include "base/env.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/random.h"
#include "broker/shard.h"
#include "storage/identity.h"

namespace barid::broker {

struct BrokerOptions {
  std::string id = "broker-0";
  std::string data_dir;  // Shards live in <data_dir>/shards/<shard id>.
  ShardOptions shard;
};

// A broker: hosts replicas of shards, each on an executor of its own, and answers the calls of proxies. Any thread, but
// for Start and Stop.
class Broker : public BrokerApi {
 public:
  // A shard takes no part any more: its log is poisoned or damaged. Only a restart, which recovers, helps. On the
  // shard's executor; must not block.
  using OnHalt = std::function<void(const absl::Status&)>;
  using NewExecutor = std::function<std::unique_ptr<Executor>(absl::string_view name, ThreadPriority priority)>;

  // All outlive it. Without `metrics` none are kept.
  Broker(Env* env, Clock* clock, Random* random, NewExecutor new_executor, ControllerApi* controller,
         BrokerOptions options, OnHalt on_halt, BrokerMetrics* metrics = nullptr);
  ~Broker() override;

  // Registers with the address by which proxies reach it (empty in standalone), opens what the controller grants, and
  // leads it. Blocks until every shard serves or has failed; kDataLoss if one is damaged, kUnavailable if the
  // controller cannot be reached within `patience`. Calls before it has returned are answered kUnavailable.
  absl::Status Start(const std::string& endpoint, absl::Duration patience);

  // The process is about to end: receives that wait are answered with nothing, and none waits from now on. Everything
  // else goes on until Stop.
  void Drain();

  // Writes a last checkpoint and closes the shards. Calls from now on are answered kUnavailable. Blocks.
  void Stop();

  void Append(AppendCall call, Callback<AppendResult> done) override;
  void Recall(RecallCall call, Callback<RecallResult> done) override;
  void EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) override;
  void TakeChecks(ChecksCall call, Callback<ChecksResult> done) override;
  void ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) override;
  void Lookup(LookupCall call, Callback<LookupResult> done) override;
  void Redrive(RedriveCall call, Callback<RedriveResult> done) override;
  uint64_t Receive(ReceiveCall call, Callback<ReceiveResult> done) override;
  void CancelReceive(ShardId shard, uint64_t receive_id) override;
  void Settle(SettleCall call, Callback<SettleResult> done) override;
  void ReportSent(SentReport report) override;
  void ReportClients(const ClientReport& report) override;
  void Stats(StatsCall call, Callback<StatsResult> done) override;
  uint64_t Pull(PullCall call, Callback<PullResult> done) override;
  void QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) override;
  void GetOffset(GetOffsetCall call, Callback<OffsetResult> done) override;
  void UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) override;
  void SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) override;
  void ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) override;

 private:
  // A shard and what it runs on. Its members but `executor` belong to the executor.
  struct Hosted {
    ShardId id;
    std::unique_ptr<ShardMetrics> metrics;  // Null: nobody looks.
    std::unique_ptr<Shard> shard;           // Null once it is closed.
    int64_t metadata_revision = 0;
    // Calls that know of newer metadata than the shard does: run when it is there, or with why they are not.
    struct Waiting {
      int64_t revision = 0;
      uint64_t id = 0;
      absl::AnyInvocable<void(absl::Status)> task;
    };
    std::vector<Waiting> waiting;
    uint64_t next_waiting_id = 1;
    absl::flat_hash_set<uint64_t> cancelled;  // Receives cancelled while something waits.
    // Last: when it is destroyed its tasks have ended.
    std::unique_ptr<Executor> executor;
  };

  absl::StatusOr<BrokerRegistration> FindReplicas() const;
  absl::StatusOr<BrokerGrant> Register(BrokerRegistration registration, absl::Duration patience);
  absl::Status Host(const BrokerGrant& grant, const ShardGrant& shard);
  absl::StatusOr<storage::Identity> CheckIdentity(const BrokerGrant& grant, const ShardGrant& shard);
  absl::Status Lead(Hosted* hosted, Epoch epoch);
  // Writes a last checkpoint and closes the shard, if it is open. Blocks.
  static void Close(Hosted* hosted);
  // Posts metadata to the shard, which passes over what is older than it knows.
  static void Tell(Hosted* hosted, std::shared_ptr<const Metadata> metadata);
  void OnMetadata(std::shared_ptr<const Metadata> metadata);
  Hosted* Find(ShardId shard) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Runs `task` on the shard's executor once the shard knows metadata `revision`; with kUnavailable if it does not hear
  // of it in time: what is missing from old metadata would be taken for deleted.
  static void WhenKnown(Hosted* hosted, int64_t revision, absl::AnyInvocable<void(absl::Status)> task);
  // Runs `task` with the call on its shard's executor, once the shard knows the metadata that the call knows; else
  // `done` gets why not.
  template <typename Call, typename Result>
  void OnShard(Call call, Callback<Result> done, void (Shard::*task)(Call, Callback<Result>));
  std::string ShardDir(ShardId shard) const;

  Env* const env_;
  Clock* const clock_;
  Random* const random_;
  const NewExecutor new_executor_;
  ControllerApi* const controller_;
  const BrokerOptions options_;
  const OnHalt on_halt_;
  BrokerMetrics* const metrics_;
  std::unique_ptr<Executor> read_executor_;
  std::unique_ptr<Executor> checkpoint_executor_;
  std::unique_ptr<Executor> lookup_executor_;
  std::atomic<uint64_t> next_receive_id_{1};

  mutable Mutex mu_;  // Held while posting to a shard, so that Stop knows when nothing more comes.
  absl::btree_map<ShardId, std::unique_ptr<Hosted>> hosted_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const Metadata> metadata_ ABSL_GUARDED_BY(mu_);
  // The controller's watch may outlive the broker.
  struct Self {
    Mutex mu;
    Broker* broker ABSL_GUARDED_BY(mu) = nullptr;
  };
  const std::shared_ptr<Self> self_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_BROKER_H_
