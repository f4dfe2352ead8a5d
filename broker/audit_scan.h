#ifndef BARID_BROKER_AUDIT_SCAN_H_
#define BARID_BROKER_AUDIT_SCAN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "broker/counts.h"
#include "storage/key_value_store.h"

namespace barid::broker {

// A count that does not say what there is.
struct CountMismatch {
  std::string count;   // "ready", "in flight", "blocked", "delayed", "dead-lettered" or "empty offsets".
  GroupId group;       // 0: the count is of a topic only.
  TopicId topic;       // Of dead letters, that of the dead letters.
  std::string origin;  // Of dead letters: the name of the topic that they came from.
  int64_t counted = 0;
  int64_t found = 0;
};

// Counts everything anew in what one checkpoint wrote, from the entries themselves (docs/storage-format.md), and
// compares that with the counts that the same checkpoint wrote. Shares no code with State and Counts on purpose: what
// is wrong there must not be wrong here too. In slices, from one thread at a time.
//
// Memory: a number per message group of the cursor at hand, and per topic with timers.
class AuditScan {
 public:
  explicit AuditScan(std::unique_ptr<storage::KeyValueReader> checkpoint) : checkpoint_(std::move(checkpoint)) {}

  // Reads some `entries` of the checkpoint. True when all is read. kNotFound: the checkpoint has no counts, which is so
  // until this version has written one. kDataLoss: an entry does not parse.
  absl::StatusOr<bool> Step(int64_t entries);

  const std::vector<CountMismatch>& mismatches() const { return mismatches_; }
  int64_t counts() const { return counts_; }  // That were compared.

 private:
  enum class Phase { kStart, kCursors, kGroups, kTimers, kDelayed, kIndex, kDeadLetters, kEmpty, kDone };
  // Where in a cursor it is.
  enum class Part { kNone, kDeliveries, kParked, kAbove };
  using Visitor = absl::FunctionRef<absl::Status(absl::string_view key, absl::string_view value)>;

  // Visits entries of [position_, end) while the budget lasts. True: all are visited.
  absl::StatusOr<bool> Visit(const std::string& end, Visitor visit);
  // The value of an entry without its checksum; empty if there is none.
  absl::StatusOr<std::string> Read(const std::string& key);
  void Enter(Phase phase, std::string first);
  absl::Status Start();
  absl::Status ContinueCursors();
  absl::Status NextCursor();
  void CountCursor();
  absl::Status CompareGroup();
  absl::Status VisitBlock(absl::string_view key, absl::string_view value);
  // Offsets [first, end) of a queue.
  absl::Status ReadQueue(absl::string_view queue, int64_t* first, int64_t* end);
  void Compare(const char* count, GroupId group, TopicId topic, int64_t counted, int64_t found,
               absl::string_view origin = "");

  const std::unique_ptr<storage::KeyValueReader> checkpoint_;
  Phase phase_ = Phase::kStart;
  std::string position_;  // Where the next slice goes on.
  int64_t budget_ = 0;

  // The cursor at hand: bytes of its key behind the kind (group, topic, queue), and what it has.
  Part part_ = Part::kNone;
  std::string cursor_;
  std::string next_cursor_;  // Behind which key to look for the next one.
  int64_t next_ = 0;
  int64_t end_ = 0;
  int64_t empty_above_ = 0;
  int64_t invisible_ = 0;
  int64_t free_ = 0;  // Visible, of no message group.
  absl::flat_hash_set<uint64_t> locked_;
  absl::flat_hash_map<uint64_t, int64_t> waiting_;  // Visible or parked, by message group.
  // The group and topic whose cursors are read.
  std::string group_topic_;
  GroupFigures found_;

  absl::flat_hash_map<uint64_t, int64_t> delayed_;      // By topic.
  absl::btree_map<std::string, int64_t> dead_letters_;  // By the key of their count, behind the kind.
  std::string queue_;                                   // Of the index block before this one,
  int64_t queue_first_ = 0;                             // and its offsets.
  int64_t queue_end_ = 0;

  std::vector<CountMismatch> mismatches_;
  int64_t counts_ = 0;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_AUDIT_SCAN_H_
