#include "broker/single_replica_committer.h"

#include <utility>

#include "base/log.h"
#include "broker/mutation.h"

namespace barid::broker {
namespace {

// Between slices of trimmed files, so that the file system's journal is free for others.
constexpr absl::Duration kFreePause = absl::Milliseconds(10);

absl::StatusOr<std::vector<storage::CommitLog::Placed>> AppendAndSync(storage::CommitLog* log,
                                                                      const std::vector<storage::RecordDraft>& batch) {
  auto placed = log->Append(batch);
  if (!placed.ok()) return placed;
  if (BARID_MUTATION(kSkipSync)) return placed;
  const absl::Status synced = log->Sync();
  if (!synced.ok() && !BARID_MUTATION(kIgnoreSyncFailure)) return synced;
  return placed;
}

// A slice now, the others later.
void FreeTrimmed(const std::shared_ptr<storage::CommitLog>& log, Executor* executor) {
  const absl::StatusOr<bool> more = log->FreeTrimmed();
  if (!more.ok()) LOG(WARNING) << "cannot free log segments" << KV("error", more.status());
  if (more.ok() && *more) executor->PostAfter(kFreePause, [log, executor] { FreeTrimmed(log, executor); });
}

// Zeros go ahead of the tail between batches, a slice at a time. A failure poisons the log: the next batch says so.
void ZeroAhead(storage::CommitLog* log) {
  const absl::StatusOr<bool> more = log->ZeroAhead();
  if (!more.ok()) LOG(ERROR) << "cannot prepare the log's tail" << KV("error", more.status());
}

}  // namespace

SingleReplicaCommitter::SingleReplicaCommitter(std::shared_ptr<storage::CommitLog> log, Executor* shard_executor,
                                               Executor* disk_executor, Executor* cleanup_executor, Listener* listener,
                                               Clock* clock, Histogram* write_seconds)
    : log_(std::move(log)),
      shard_executor_(shard_executor),
      disk_executor_(disk_executor),
      cleanup_executor_(cleanup_executor),
      listener_(listener),
      clock_(clock),
      write_seconds_(write_seconds),
      self_(std::make_shared<SingleReplicaCommitter*>(this)) {}

SingleReplicaCommitter::~SingleReplicaCommitter() { *self_ = nullptr; }

void SingleReplicaCommitter::Append(std::vector<storage::RecordDraft> batch) {
  if (lost_) return;
  if (collecting_.empty()) {
    collecting_ = std::move(batch);
  } else {
    for (storage::RecordDraft& draft : batch) collecting_.push_back(std::move(draft));
  }
  if (!writing_) Write();
}

void SingleReplicaCommitter::Write() {
  writing_ = true;
  disk_executor_->Post([log = log_, batch = std::exchange(collecting_, {}), home = shard_executor_, self = self_,
                        clock = clock_, disk = disk_executor_, write_seconds = write_seconds_]() mutable {
    const absl::Duration begin = write_seconds == nullptr ? absl::ZeroDuration() : clock->SinceBoot();
    Written written = AppendAndSync(log.get(), batch);
    if (write_seconds != nullptr) write_seconds->Observe(clock->SinceBoot() - begin);
    const bool healthy = written.ok();
    home->Post([self, written = std::move(written)]() mutable {
      if (*self != nullptr) (*self)->OnWritten(std::move(written));
    });
    if (healthy) disk->Post([log = std::move(log)] { ZeroAhead(log.get()); });
  });
}

void SingleReplicaCommitter::OnWritten(Written written) {
  writing_ = false;
  if (!written.ok()) {
    lost_ = true;
    collecting_.clear();
    listener_->OnLost(written.status());
    return;
  }
  // The disk gets its next batch before this one is applied and answered.
  if (!collecting_.empty()) Write();
  listener_->OnCommit(*written);
}

void SingleReplicaCommitter::TrimBelow(uint64_t position) {
  disk_executor_->Post([log = log_, cleanup = cleanup_executor_, position] {
    // The log is poisoned: then nothing is freed any more.
    if (!log->TrimBelow(position).ok()) return;
    cleanup->Post([log, cleanup] { FreeTrimmed(log, cleanup); });
  });
}

absl::StatusOr<storage::Record> SingleReplicaCommitter::Read(uint64_t position, size_t record_size_hint) const {
  return log_->Read(position, record_size_hint);
}

}  // namespace barid::broker
