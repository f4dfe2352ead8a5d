#ifndef BARID_BROKER_REDRIVE_H_
#define BARID_BROKER_REDRIVE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "base/broker_calls.h"
#include "broker/shard_core.h"
#include "filter/filter.h"

namespace barid::broker {

// Sends dead letters back, a block of the dead-letter queue at a time: they are read and filtered on the lookup
// executor, then one Redrive record moves those that are wanted. Belongs to the shard's executor.
class Redrive {
 public:
  Redrive(ShardId shard, ShardCore* core) : shard_(shard), core_(core) {}

  void SetMetadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }
  // Makes the queues of a topic in this shard, if they are not here yet.
  void SetEnsureQueues(std::function<void(const TopicMetadata&)> ensure_queues) {
    ensure_queues_ = std::move(ensure_queues);
  }

  void Run(RedriveCall call, Callback<RedriveResult> done);

  // Answers whoever still waits: the shard goes.
  void EndAll(const absl::Status& why);

 private:
  struct Letter {
    QueueOffset offset = 0;
    IndexEntry entry;
    std::string topic;  // That it came from, as it was called then; may be empty.
    // What its record says.
    absl::Status read;
    QueueKey queue;  // That it was sent to first.
    bool wanted = false;
  };
  struct Job {
    uint64_t id = 0;
    RedriveCall call;
    std::shared_ptr<const filter::Filter> filter;
    std::vector<Letter> letters;
    uint64_t reading_from = 0;
    RedriveResult result;
  };
  using JobPtr = std::shared_ptr<Job>;

  void End(const JobPtr& job, const absl::Status& status = absl::OkStatus());
  void OnBlock(const JobPtr& job, const IndexBlock& block);
  static void Read(Job* job, const storage::CommitLog& log);
  void OnRead(const JobPtr& job);
  // What was carried forward meanwhile is proposed again.
  void Propose(const JobPtr& job, log::Redrive command);
  // The dead letter's pointer, if it is still there and points elsewhere than `entry` says.
  const IndexEntry* FindMoved(const Job& job, const log::Redrive::Entry& entry);
  // Where a letter goes, or why it cannot.
  absl::StatusOr<QueueKey> TargetOf(const Job& job, const Letter& letter);
  static void CountFailure(Job* job, const absl::Status& why);

  const ShardId shard_;
  ShardCore* const core_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  std::function<void(const TopicMetadata&)> ensure_queues_;
  absl::btree_map<uint64_t, Callback<RedriveResult>> waiting_;
  uint64_t next_id_ = 1;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_REDRIVE_H_
