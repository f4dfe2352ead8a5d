#ifndef BARID_BROKER_SINGLE_REPLICA_COMMITTER_H_
#define BARID_BROKER_SINGLE_REPLICA_COMMITTER_H_

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/metrics.h"
#include "broker/committer.h"

namespace barid::broker {

// With one replica, committed means fsynced here. The log is written on the disk executor: one batch is being written
// and synced while the next collects. What was trimmed is freed on the cleanup executor.
class SingleReplicaCommitter : public Committer {
 public:
  // All outlive the committer, but the log: the executors may hold it until their last task is done. `write_seconds`,
  // if there is one, hears how long each write and sync took.
  SingleReplicaCommitter(std::shared_ptr<storage::CommitLog> log, Executor* shard_executor, Executor* disk_executor,
                         Executor* cleanup_executor, Listener* listener, Clock* clock, Histogram* write_seconds);
  ~SingleReplicaCommitter() override;

  void Append(std::vector<storage::RecordDraft> batch) override;
  void TrimBelow(uint64_t position) override;
  absl::StatusOr<storage::Record> Read(uint64_t position, size_t record_size_hint) const override;

 private:
  using Written = absl::StatusOr<std::vector<storage::CommitLog::Placed>>;

  void Write();
  void OnWritten(Written written);

  const std::shared_ptr<storage::CommitLog> log_;
  Executor* const shard_executor_;
  Executor* const disk_executor_;
  Executor* const cleanup_executor_;
  Listener* const listener_;
  Clock* const clock_;
  Histogram* const write_seconds_;
  std::vector<storage::RecordDraft> collecting_;
  bool writing_ = false;
  bool lost_ = false;
  // Tasks on their way home find out here that the committer is gone.
  std::shared_ptr<SingleReplicaCommitter*> self_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_SINGLE_REPLICA_COMMITTER_H_
