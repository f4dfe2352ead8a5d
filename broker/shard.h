#ifndef BARID_BROKER_SHARD_H_
#define BARID_BROKER_SHARD_H_

#include <functional>
#include <memory>
#include <string>

#include "base/broker_calls.h"
#include "broker/audit.h"
#include "broker/carrier.h"
#include "broker/dispatcher.h"
#include "broker/lookup.h"
#include "broker/positions.h"
#include "broker/puller.h"
#include "broker/redrive.h"
#include "broker/retention.h"
#include "broker/shard_core.h"
#include "broker/shard_metrics.h"
#include "broker/timers.h"
#include "broker/transactions.h"
#include "broker/visibility.h"

namespace barid::broker {

// One replica of a shard: the calls of base/broker_calls.h on its log and state. All methods but Open belong to the
// shard's executor, and so does destruction.
class Shard {
 public:
  // Recovers the shard in `dir`. Blocks on the disk.
  static absl::StatusOr<std::unique_ptr<Shard>> Open(ShardId id, absl::string_view dir, const ShardOptions& options,
                                                     const ShardContext& context);
  ~Shard();

  // Begins a term. `done` runs when the shard serves, or cannot.
  void Lead(Epoch epoch, const std::string& leader, absl::AnyInvocable<void(absl::Status)> done);
  void Follow();
  void SetMetadata(std::shared_ptr<const Metadata> metadata);
  // Called once if the shard halts: damage or a failed sync.
  void SetOnHalt(std::function<void(const absl::Status&)> on_halt) { on_halt_ = std::move(on_halt); }

  void Append(AppendCall call, Callback<AppendResult> done);
  void Recall(RecallCall call, Callback<RecallResult> done) { timers_.Recall(call.timer, std::move(done)); }
  void EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) {
    transactions_.End(call, std::move(done));
  }
  void TakeChecks(ChecksCall call, Callback<ChecksResult> done) {
    transactions_.TakeChecks(std::move(call), std::move(done));
  }
  void ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) {
    transactions_.List(call, std::move(done));
  }
  void Find(LookupCall call, Callback<LookupResult> done) { lookup_.Find(std::move(call), std::move(done)); }
  void SendBack(RedriveCall call, Callback<RedriveResult> done) { redrive_.Run(std::move(call), std::move(done)); }
  void Receive(uint64_t id, ReceiveCall call, Callback<ReceiveResult> done) {
    if (ShardMetrics* const metrics = core_->context().metrics) {
      done = [metrics, topic = call.topic, group = call.group, done = std::move(done)](ReceiveResult result) mutable {
        metrics->OnReceived(topic, group, result);
        done(std::move(result));
      };
    }
    dispatcher_.Receive(id, std::move(call), std::move(done));
    EndIdle();
    ArmTick();
  }
  void Pull(uint64_t id, PullCall call, Callback<PullResult> done) {
    puller_.Pull(id, std::move(call), std::move(done));
    EndIdle();
    ArmTick();
  }
  // Of a receive or a pull; their ids are one.
  void CancelReceive(uint64_t id) {
    dispatcher_.Cancel(id);
    puller_.Cancel(id);
  }
  void QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) { positions_.Query(call, std::move(done)); }
  void GetOffset(GetOffsetCall call, Callback<OffsetResult> done) { positions_.Get(call, std::move(done)); }
  void UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done);
  void ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) {
    EnsureQueues(call.topic);
    positions_.Reset(std::move(call), std::move(done));
  }
  // With a start the group's place is moved first: in those lite topics that the client does not read yet.
  void SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done);
  void Settle(SettleCall call, Callback<SettleResult> done) { visibility_.Settle(std::move(call), std::move(done)); }
  void ReportSent(const SentReport& report) { visibility_.ReportSent(report); }
  void ReportClients(const ClientReport& report) {
    visibility_.ReportClients(report);
    for (const std::string& client : report.gone) dispatcher_.ForgetLite(client);
  }
  std::vector<QueueStats> Stats(const StatsCall& call) const;
  // What the shard counts, with the age of the oldest message, for which index blocks may have to be read.
  void Count(const StatsCall& call, Callback<std::vector<GroupCount>> done);
  // Recounts now; broker/audit.h.
  void RunAudit(absl::AnyInvocable<void(absl::Status)> done) { audit_.Run(std::move(done)); }
  const Audit::Report& audit() const { return audit_.report(); }

  // The process is about to end: no receive waits any more, and what was reported as sent is held at once.
  void Drain() {
    visibility_.Drain();
    dispatcher_.Drain();
    puller_.Drain();
  }
  // Carries forward whatever points below this log index, also where that is not worth it.
  void CarryBelow(LogIndex below) { carrier_.CarryBelow(below); }
  int64_t carried() const { return carrier_.carried(); }
  bool is_carrying() const { return carrier_.is_busy(); }
  // Writes a last checkpoint, so that the next start replays nothing.
  void Checkpoint(absl::AnyInvocable<void(absl::Status)> done) { core_->Checkpoint(std::move(done)); }

  ShardId id() const { return id_; }
  bool leading() const { return core_->leading() && serving_; }
  const absl::Status& halted() const { return core_->halted(); }
  const State& state() const { return core_->state(); }

 private:
  Shard(ShardId id, std::unique_ptr<ShardCore> core);

  // Which queue the next message of a topic goes to; makes the topic's queues if they are not here yet.
  absl::StatusOr<QueueKey> ChooseQueue(const AppendCall& call);
  void EnsureQueues(const TopicMetadata& topic);
  // If there is such a topic.
  void EnsureQueues(TopicId topic);
  // Moves the group's place in one after the other, and then takes the call.
  void BeginLite(LiteSyncCall call, std::vector<QueueKey> left, Callback<LiteSyncResult> done);
  // Continues with the queue of the call's lite topic, which is made if it is not there.
  void MakeLiteTopic(AppendCall call, Callback<AppendResult> done);
  // All lite topics of a topic together; of one group, or all that read it.
  QueueStats LiteStats(TopicId topic, GroupId only) const;
  // Whether so many bytes of messages may go into the log now.
  absl::Status CheckSize(size_t bulk_bytes);
  // The same as Append for messages of which some have a delivery time.
  void Schedule(AppendCall call, Callback<AppendResult> done);
  // The same for messages of transactions.
  void Prepare(AppendCall call, Callback<AppendResult> done);
  // Wakes the receives that may find something new.
  void OnApplied(const Command& command, const Outcome& outcome);
  void WakeReaders(const QueueKey& queue);
  // The same for a command about one cursor that may have unlocked message groups, or parked what is locked no more.
  void WakeIfOffered(uint64_t group_id, const log::Queue& queue);
  void ArmTick();
  void Tick();
  // Nothing has happened for a while, and nothing that time causes is near.
  bool IsIdle();
  // Something has happened: the next tick comes as soon as it does in a busy shard.
  void EndIdle();
  void CheckDisk();
  // Sets the gauges.
  void ShowMetrics();
  // Counts what the outcome says of repeats.
  void CountRepeats(const Outcome& outcome);

  const ShardId id_;
  const std::unique_ptr<ShardCore> core_;
  Dispatcher dispatcher_;
  Visibility visibility_;
  Timers timers_;
  Transactions transactions_;
  Puller puller_;
  Positions positions_;
  Lookup lookup_;
  Redrive redrive_;
  Retention retention_;
  Audit audit_;
  Carrier carrier_;
  std::function<void(const absl::Status&)> on_halt_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  bool serving_ = false;
  bool low_disk_ = false;
  int64_t appended_since_disk_check_ = 0;
  absl::flat_hash_map<TopicId, uint32_t> next_queue_;  // In turn.
  absl::flat_hash_map<TopicId, int32_t> configured_;   // Queues proposed, per topic.
  // Since this object leads.
  struct SendCounts {
    int64_t repeated = 0;
    int64_t reused_ids = 0;
  };
  absl::flat_hash_map<QueueKey, SendCounts> send_counts_;
  bool is_counting_ = false;  // For the metrics.
  int64_t next_reuse_warning_us_ = 0;
  bool tick_armed_ = false;
  bool tick_is_slow_ = false;
  uint64_t tick_ = 0;  // The newest; an older one does nothing.
  int64_t next_scan_record_us_ = 0;
  int64_t next_retention_us_ = 0;
  int64_t next_metrics_us_ = 0;
  absl::Duration tick_due_;  // Since boot.
};

}  // namespace barid::broker

#endif  // BARID_BROKER_SHARD_H_
