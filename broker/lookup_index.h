#ifndef BARID_BROKER_LOOKUP_INDEX_H_
#define BARID_BROKER_LOOKUP_INDEX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/env.h"
#include "base/executor.h"
#include "storage/commit_log.h"
#include "storage/hash_file.h"

namespace barid::broker {

struct LookupOptions {
  int64_t memory_bytes =
      int64_t{16} << 20;  // Hashes in memory: of the newest segment, and of the one a file is made of.
  int64_t build_bytes_per_second = int64_t{64} << 20;  // Of the log, read to make files.
};

// Finds records of a shard's log by hashes of what they are about (lookup_keys.h). Sealed segments have a file of
// hashes each, in <shard>/lookup, made in the background; the newest segment's hashes are kept in memory from one
// search to the next, if that is soon, as many as the options allow. What has no file, or a damaged one, and what did
// not fit is scanned: files only make searches quick.
//
// Runs in slices on its executor, so that searches, files and whatever else runs there take turns. Its public methods
// may be called on any thread; it lives until its last task is done or dropped.
class LookupIndex : public std::enable_shared_from_this<LookupIndex> {
 public:
  LookupIndex(Env* env, std::string dir, std::shared_ptr<storage::CommitLog> log,
              const storage::CommitLogOptions& log_options, const LookupOptions& options, Executor* executor)
      : env_(env),
        dir_(std::move(dir)),
        log_(std::move(log)),
        log_id_(log_options.log_id),
        segment_bytes_(log_options.segment_bytes),
        options_(options),
        executor_(executor) {}

  struct Query {
    std::vector<uint64_t> hashes;
    uint64_t from = 0;  // Records that stand at this position or behind it,
    uint64_t end = 0;   // and below this one, where a committed record ends.
  };
  // Calls `visit`, on the executor, for each record that has one of the hashes, and rarely one that has not, in log
  // order, until it returns false; then `done`. What was trimmed meanwhile is left out. kDataLoss: the log is damaged.
  using Visit = absl::AnyInvocable<bool(const storage::Record&)>;
  using Done = absl::AnyInvocable<void(absl::Status)>;
  void Find(Query query, Visit visit, Done done);

  // Removes files of segments below `first_position`, and makes those that are missing of segments that lie wholly
  // below `end_position`, where a committed record ends. What fails is tried again at the next call. Cheap if there is
  // nothing to do.
  void Maintain(uint64_t first_position, uint64_t end_position);

 private:
  struct Search {
    Query query;
    Visit visit;
    Done done;
    absl::flat_hash_set<uint64_t> wanted;
    uint64_t segment = 0;
    enum class Mode { kBegin, kPlaces, kTail, kScan } mode = Mode::kBegin;
    std::vector<uint32_t> places;  // In the segment, ascending,
    size_t next_place = 0;         // and the next one to look at.
    storage::LogPlace scan;
  };
  enum class Progress { kMore, kDone };

  void Run(std::shared_ptr<Search> search);
  absl::StatusOr<Progress> Step(Search* search);
  // Decides how a segment is searched.
  void Begin(Search* search);
  absl::StatusOr<Progress> ReadPlaces(Search* search);
  // Takes the segment's hashes from memory, once they reach the end of the query, or as far as memory goes.
  absl::Status ReadTail(Search* search);
  absl::StatusOr<Progress> Scan(Search* search);
  // Reads a slice of a segment and adds its hashes.
  absl::StatusOr<storage::LogPlace> AddSlice(const storage::LogPlace& from, uint64_t end,
                                             std::vector<storage::HashPlace>* places, storage::HashFileInfo* info);
  bool IsBehind(const storage::LogPlace& place, uint64_t segment, uint64_t end) const {
    return place.position >= end || place.position / segment_bytes_ != segment;
  }
  size_t MaxPlaces() const { return static_cast<size_t>(options_.memory_bytes) / 2 / sizeof(storage::HashPlace); }

  absl::Status RemoveBelow(uint64_t segment);
  void BeginFile();
  void BuildSlice();
  absl::Status AddToFile();
  void EndFile(const absl::Status& status);

  Env* const env_;
  const std::string dir_;
  const std::shared_ptr<storage::CommitLog> log_;
  const uint64_t log_id_;
  const uint64_t segment_bytes_;
  const LookupOptions options_;
  Executor* const executor_;

  // --- The executor's. ---
  // Hashes of one segment up to a place: the newest one, as of the last search.
  struct Tail {
    uint64_t segment = UINT64_MAX;
    storage::LogPlace place;
    std::vector<storage::HashPlace> places;
  };
  Tail tail_;
  bool tail_is_used_ = false;  // Since the last Maintain.

  bool listed_ = false;
  absl::btree_set<uint64_t> files_;    // Segments that have one.
  absl::btree_set<uint64_t> refused_;  // Segments of which none can be made: their records do not verify.
  uint64_t first_segment_ = 0;
  uint64_t end_position_ = 0;
  // The file that is being made.
  struct Build {
    uint64_t segment = 0;
    storage::LogPlace place;
    std::vector<storage::HashPlace> places;
    storage::HashFileInfo info;
    std::unique_ptr<storage::HashFileWriter> writer;
  };
  std::unique_ptr<Build> build_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_LOOKUP_INDEX_H_
