#ifndef BARID_BROKER_COMMITTER_H_
#define BARID_BROKER_COMMITTER_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/commit_log.h"
#include "storage/record.h"

namespace barid::broker {

// Makes records committed: durable on the whole in-sync set. The seam at which replication will stand; a shard does not
// know how many replicas there are. Belongs to the shard's executor, and calls the listener there.
class Committer {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // These records, behind those of the last call, are committed.
    virtual void OnCommit(absl::Span<const storage::CommitLog::Placed> records) = 0;
    // Nothing more will be committed: the log is poisoned, or another leads. What was appended and not committed may or
    // may not survive.
    virtual void OnLost(const absl::Status& why) = 0;
  };

  virtual ~Committer() = default;

  // Puts records behind the log. What arrives while a batch is on its way to the disk goes together in the next.
  virtual void Append(std::vector<storage::RecordDraft> batch) = 0;

  // Frees what lies wholly below `position`. In its own time; an error only means that the space is not free yet.
  virtual void TrimBelow(uint64_t position) = 0;

  // Reads one record. Any thread; blocks on the disk.
  virtual absl::StatusOr<storage::Record> Read(uint64_t position, size_t record_size_hint) const = 0;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_COMMITTER_H_
