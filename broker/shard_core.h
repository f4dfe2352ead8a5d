#ifndef BARID_BROKER_SHARD_CORE_H_
#define BARID_BROKER_SHARD_CORE_H_

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/executor.h"
#include "base/metadata.h"
#include "broker/committer.h"
#include "broker/leader_clock.h"
#include "broker/lookup_index.h"
#include "broker/state.h"
#include "broker/tail_cache.h"
#include "storage/commit_log.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// Each is a setting (docs/settings.md).
struct ShardOptions {
  storage::CommitLogOptions log;
  storage::KeyValueStoreOptions store;
  size_t max_clean_blocks = 2048;                    // Index blocks in memory beyond those not yet checkpointed.
  int64_t max_near_timers = 65'536;                  // Scheduled messages in memory: the first ones due.
  int64_t checkpoint_log_bytes = int64_t{64} << 20;  // A checkpoint at least this often: bounds the replay.
  absl::Duration checkpoint_interval = absl::Seconds(5);
  int64_t tail_cache_bytes = int64_t{32} << 20;    // Newest messages, served from memory.
  int64_t max_pending_bytes = int64_t{128} << 20;  // Sends that wait for the disk; more are refused.
  int64_t max_open_transactions = 100'000;         // In one shard; more are refused.
  int64_t remembered_transactions = 65'536;        // Ends: how far back ending twice is told from ending otherwise.
  // Sends that are remembered, to tell a repeat: those of so long, and no more than the newest so many.
  absl::Duration idempotence_window = absl::Minutes(10);
  int64_t idempotence_ids = 1'000'000;
  absl::Duration transaction_first_check = absl::Seconds(6);  // Unless the message says,
  absl::Duration transaction_check_interval = absl::Seconds(30);
  int64_t max_transaction_checks = 15;                   // Then it is discarded,
  absl::Duration max_transaction_age = absl::Hours(72);  // and at this age, also if there is no producer to ask.
  int64_t max_waiting_receives = 100'000;
  int64_t max_in_flight = 100'000;               // Deliveries of one group in one queue.
  int64_t priority_oldest_every = 10;            // Of so many receives of a PRIORITY topic, one begins with the oldest.
  int64_t max_parked_bytes = int64_t{64} << 20;  // Of memory, for what of a queue waits for locked message groups.
  int64_t max_lite_topics = 1'000'000;           // Of one topic in one shard; messages for more are refused.
  absl::Duration lite_topic_expiry = absl::Hours(24);  // A lite topic goes so long after its last message, 0: never.
  absl::Duration lite_subscription_ttl = absl::Minutes(3);  // Clients repeat what they read every 30 s.
  int64_t disk_reserve_bytes = int64_t{1} << 30;            // Below this, sends are refused.
  absl::Duration retention_interval = absl::Seconds(10);
  // An old part of the log of which at most so much is still needed is carried forward; 0: none ever is.
  int64_t carry_live_percent = 72;
  int64_t carry_bytes_per_second = int64_t{16} << 20;
  absl::Duration auto_renew_first = absl::Seconds(60);  // First deadline of an auto-renewed delivery,
  // and when it is held, if it is not settled by then. What a leader was told that dies sooner is lost with it.
  absl::Duration auto_renew_hold_after = absl::Seconds(1);
  absl::Duration auto_renew_cap = absl::Hours(3);       // How long it may be held in all.
  absl::Duration client_silence = absl::Seconds(120);   // Without a sign of life a client is gone,
  absl::Duration client_grace = absl::Seconds(30);      // and what it holds is visible this much later.
  absl::Duration metrics_interval = absl::Seconds(10);  // How old the counts of messages may be that metrics show.
  absl::Duration audit_interval = absl::Minutes(10);    // Between two recounts of what is counted,
  int64_t audit_entries_per_second = 50'000;            // and how much of a checkpoint one reads.
  LookupOptions lookup;
};

class ShardMetrics;

// What a shard runs on. All outlive it.
struct ShardContext {
  Env* env = nullptr;
  Clock* clock = nullptr;
  Executor* shard_executor = nullptr;       // Owns the state.
  Executor* disk_executor = nullptr;        // Writes and syncs the log; may be the same.
  Executor* read_executor = nullptr;        // Reads index blocks and older messages.
  Executor* checkpoint_executor = nullptr;  // Writes checkpoints.
  Executor* lookup_executor =
      nullptr;                      // Reads the log for operators, makes files of hashes; nullptr: as read_executor.
  ShardMetrics* metrics = nullptr;  // nullptr: nobody looks.
};

// The loop of a shard: propose -> append -> durable -> commit -> apply -> answer; with checkpoints, and the index
// blocks that are read for it. What to propose is decided by the parts built on it (dispatcher.h, visibility.h,
// retention.h).
//
// Belongs to the shard's executor, but for Open.
class ShardCore : private Committer::Listener {
 public:
  // What a proposal came to: the outcome of its command, or why there is none. kDeadlineExceeded: it may or may not be
  // in the log.
  using Applied = absl::AnyInvocable<void(absl::StatusOr<Outcome>)>;

  struct Hooks {
    // After each applied record, before its proposer hears of it.
    std::function<void(const Command&, const Outcome&)> on_applied;
    // After each run of applied records.
    std::function<void()> on_progress;
    // The shard takes no part any more: damage, a failed sync. Once.
    std::function<void(const absl::Status&)> on_halt;
  };

  // Recovers the shard in `dir`: reads its checkpoint, replays the log behind it. Blocks on the disk. kDataLoss:
  // damage.
  static absl::StatusOr<std::unique_ptr<ShardCore>> Open(absl::string_view dir, const ShardOptions& options,
                                                         const ShardContext& context);
  ~ShardCore() override;

  void SetHooks(Hooks hooks) { hooks_ = std::move(hooks); }

  // Begins term `epoch`, higher than any in the log: leading once EpochStart is applied.
  void Lead(Epoch epoch, const std::string& leader, Applied done);
  // Proposes nothing more. Proposals under way are answered as lost.
  void Follow();
  bool leading() const { return leading_; }
  const absl::Status& halted() const { return halted_; }  // OK while it is not.

  // Puts a command behind the log. `done` runs when it is applied, or lost. Leaders only.
  void Propose(Command command, Bytes bulk, Applied done);
  int64_t pending_bytes() const { return pending_bytes_; }

  // Calls `then` with the block, at once if it is in memory. The pointer is good until `then` returns.
  void WithBlock(const BlockKey& key, absl::AnyInvocable<void(absl::StatusOr<const IndexBlock*>)> then);

  // Messages by their entries, from memory if they are new, else from the log. kDataLoss for one that does not verify.
  using Bodies = std::vector<absl::StatusOr<Buffer>>;
  // What they point at is not freed while it is read.
  void ReadBodies(std::vector<IndexEntry> entries, absl::AnyInvocable<void(Bodies)> then);

  // Between the two calls nothing at this log position or behind it is freed: for readers of the log whose places may
  // be carried forward and trimmed meanwhile.
  void BeginReading(uint64_t position) { reading_.insert(position); }
  // Nothing below this log position is needed any more, by what is durable.
  uint64_t trim_to() const { return trim_to_; }
  void EndReading(uint64_t position);

  // Writes a checkpoint now, if anything changed since the last. `done` runs when it is durable.
  void Checkpoint(absl::AnyInvocable<void(absl::Status)> done);
  // Writes one if it is time to. Called by the shard's tick.
  void MaybeCheckpoint();

  // Leader time. Only while leading.
  int64_t NowMicros() { return clock_.NowMicros(); }

  State& state() { return state_; }
  const State& state() const { return state_; }
  const ShardOptions& options() const { return options_; }
  const ShardContext& context() const { return context_; }
  const std::string& dir() const { return dir_; }
  // The checkpoint store, to be read on context().read_executor.
  const std::shared_ptr<storage::KeyValueStore>& store() const { return store_; }
  uint64_t log_first_position() const { return log_->first_position(); }
  // To be read on context().lookup_executor.
  const std::shared_ptr<storage::CommitLog>& log() const { return log_; }

  // Wraps a task so that it does nothing once this object is gone.
  template <typename F>
  auto IfAlive(F task) {
    return [self = self_, task = std::move(task)](auto&&... args) mutable {
      if (*self != nullptr) task(std::forward<decltype(args)>(args)...);
    };
  }

 private:
  struct Proposal {
    storage::RecordDraft draft;  // Moved out when flushed, but for index, type, epoch and time.
    Command command;
    Bytes payload;
    uint32_t bulk_offset = 0;
    int64_t bytes = 0;
    Applied done;
  };

  ShardCore(absl::string_view dir, const ShardOptions& options, const ShardContext& context,
            std::unique_ptr<storage::KeyValueStore> store);

  absl::Status Recover();
  absl::Status Replay(const storage::Record& record);
  void Flush();
  void OnCommit(absl::Span<const storage::CommitLog::Placed> records) override;
  void OnLost(const absl::Status& why) override;
  void LoseProposals(const absl::Status& why);
  void Halt(const absl::Status& why);
  // For whoever waits in loading_.
  void ReadBlock(const BlockKey& key);
  void MaybeProposeStateHash();
  // Frees what no checkpoint needs any more, but for what is being read.
  void TrimLog();

  const std::string dir_;
  const ShardOptions options_;
  const ShardContext context_;
  const std::shared_ptr<storage::KeyValueStore> store_;
  std::shared_ptr<storage::CommitLog> log_;
  std::unique_ptr<Committer> committer_;
  State state_;
  LeaderClock clock_;
  Hooks hooks_;

  bool leading_ = false;
  Epoch epoch_ = 0;
  absl::Status halted_;

  std::deque<Proposal> proposals_;  // In log order; the first ones are at the committer.
  size_t unflushed_ = 0;            // The last ones, which are not yet.
  bool flush_posted_ = false;
  int64_t pending_bytes_ = 0;

  TailCache tail_;
  absl::flat_hash_map<BlockKey, std::vector<absl::AnyInvocable<void(absl::StatusOr<const IndexBlock*>)>>> loading_;

  std::multiset<uint64_t> reading_;  // The lowest log position of each reading of bodies that is under way.
  uint64_t trim_to_ = 0;             // Nothing below this position is needed.

  bool checkpointing_ = false;
  uint64_t checkpoint_position_ = 0;  // Log position that the last checkpoint covers.
  absl::Duration checkpoint_time_;    // Since boot.
  std::vector<absl::AnyInvocable<void(absl::Status)>> checkpoint_waiters_;
  LogIndex hashed_index_ = 0;  // The last that a StateHash was proposed for.

  std::shared_ptr<ShardCore*> self_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_SHARD_CORE_H_
