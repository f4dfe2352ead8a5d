#ifndef BARID_BASE_SIMULATED_DISK_H_
#define BARID_BASE_SIMULATED_DISK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/simulated/disk_pages.h"

namespace barid {

// A file system in memory that loses what a real one may lose, and fails when told to. The same seed and the same calls
// give the same losses. Any thread.
//
// What survives a power cut:
//
// | made durable by        | otherwise, at the cut                                                               |
// |------------------------|-------------------------------------------------------------------------------------|
// | data: File::Sync       | each 512-byte sector by itself is as it was or as written last (or, if it was       |
// |                        | written several times, sometimes as written in between); a write of many tears      |
// | size: File::Sync       | the old, the new, or one in between (zeros where data did not arrive)               |
// | names: Env::SyncDir    | of each directory's creates, renames and removes, in their order, the first few     |
// |   of the parent        | stay; a rename happens wholly or not, also between directories                      |
//
// A file that was synced but whose name was not is lost. Removed files whose removal was not synced may come back.
//
// A failed Sync works as on Linux: what was written and not yet synced is from then on clean in the page cache, so
// reads show it and the next Sync succeeds, but the disk does not have it (nothing of it, or some sectors). Reading
// with OpenOptions::direct shows what the disk has.
//
// Outlives its files and locks.
class SimulatedDisk : public Env {
 public:
  explicit SimulatedDisk(uint64_t seed);
  ~SimulatedDisk() override;

  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path, const OpenOptions& options) override;
  absl::Status CreateDir(absl::string_view path) override;
  absl::Status SyncDir(absl::string_view path) override;
  absl::StatusOr<std::vector<std::string>> ListDir(absl::string_view path) override;
  absl::StatusOr<bool> Exists(absl::string_view path) override;
  absl::Status Remove(absl::string_view path) override;
  absl::Status RemoveDir(absl::string_view path) override;
  absl::Status Rename(absl::string_view from, absl::string_view to) override;
  absl::StatusOr<std::unique_ptr<DirLock>> LockDir(absl::string_view path) override;
  absl::StatusOr<std::unique_ptr<DirLock>> LockDirUnchanged(absl::string_view path) override;
  absl::StatusOr<Space> GetSpace(absl::string_view path) override;

  // --- Crashes. Files open at the time answer kUnavailable for ever after; locks are dropped. ---

  // The power goes and comes back: see the table above. The disk can be used at once.
  void CutPower();
  // Only the process dies: the page cache keeps everything, also what a failed sync left stale.
  void KillProcess();
  // The power goes during the n-th change from now (1: the next): that call may be done, in part or not at all, and it
  // and every later one answer kUnavailable until Restart. See changes(). 0: never mind.
  void CutPowerAtCall(int64_t n);
  void Restart();
  // False between the cut of CutPowerAtCall and Restart.
  bool powered() const;

  // A copy of everything, also of what is not durable, without open files, locks and planned failures. Shares memory
  // until one side writes: cheap enough to try every cut point (`disk.Clone(seed)->CutPower()`).
  std::unique_ptr<SimulatedDisk> Clone(uint64_t seed) const;

  // --- Failures. 1 is the next call; counted over calls(). 0: never mind. ---

  // That call fails: kUnavailable, or kDataLoss for Sync and SyncDir. A failed write may leave a part of its bytes.
  void FailCall(int64_t n);
  // That call and all after it.
  void FailCallsFrom(int64_t n);
  // The next File::Sync.
  void FailNextSync();
  // Flips one bit of a file, in the cache and on the disk. Bit 0 is the lowest of byte 0.
  void FlipBit(absl::string_view path, uint64_t bit);
  // Room for the contents of all files together. What does not fit is kResourceExhausted, and a write may be in part.
  void SetCapacity(uint64_t bytes);

  // --- What happened. ---

  enum class CallKind {
    kOpen,
    kRead,
    kWrite,
    kSync,
    kTruncate,
    kSize,
    kCreateDir,
    kSyncDir,
    kListDir,
    kExists,
    kRemove,
    kRemoveDir,
    kRename,
    kLockDir,
    kGetSpace
  };
  struct Call {
    CallKind kind;
    std::string path;
    bool is_change;  // Counts in changes().
  };
  // Told of each call before it happens, on the caller's thread and with no lock held: it may use this disk's controls
  // (Clone, FailCall, CutPowerAtCall, ...). Nullptr: nobody.
  using CallObserver = absl::AnyInvocable<void(const Call&)>;
  void SetCallObserver(CallObserver observer);

  int64_t calls() const;  // All.
  int64_t changes()
      const;  // Those that may change what is on the disk: writes, syncs, truncations, directory operations.
  int64_t writes() const;
  int64_t syncs() const;  // File::Sync only.

  // The paths of all files, sorted, as a running process sees them.
  std::vector<std::string> FileNames() const;

 private:
  class OpenFile;
  class Lock;
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  // A file or a directory.
  struct Node {
    bool is_dir = false;
    DiskPages pages;                         // Of a file.
    std::map<std::string, NodePtr> entries;  // Of a directory, as a running process sees it.
    std::map<std::string, NodePtr> durable;  // Of a directory, as the disk has it.
  };
  // One step of a directory operation: `name` in `dir` now means `node` (null: nothing).
  struct EntryChange {
    NodePtr dir;
    std::string name;
    NodePtr node;
  };
  // The changes of one call: all or none survive.
  using DirOperation = std::vector<EntryChange>;
  // What becomes of a call that comes through.
  enum class Fate { kRun, kFail, kCutPower };
  struct Found {
    NodePtr parent;  // Null for the root.
    std::string name;
    NodePtr node;  // Null if there is no such entry.
  };

  // Every call starts with Begin, which tells the observer, counts, and answers the error if it is to fail (writes and
  // syncs fail half done, so they get kFail), and ends with Finish, where the power may go.
  absl::StatusOr<Fate> Begin(CallKind kind, absl::string_view path, bool is_change);
  absl::Status Finish(Fate fate, absl::Status result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // kNotFound if a directory on the way is missing.
  absl::StatusOr<Found> Find(absl::string_view path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<NodePtr> FindDir(absl::string_view path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<NodePtr> OpenNode(absl::string_view path, OpenMode mode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status MakeDirs(absl::string_view path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Unlink(absl::string_view path, bool is_dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Move(absl::string_view from, absl::string_view to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TakeLock(const std::string& path, bool leaves_file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Does a directory operation, as a running process sees it.
  void Change(DirOperation operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void MakeDurable(const DirOperation& operation);
  // SyncDir: with everything that has to come before, which may be in other directories.
  void MakeEntriesDurable(const NodePtr& dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Cut() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CutTree(Node* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t UsedBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  SeededRandom random_ ABSL_GUARDED_BY(mu_);
  NodePtr root_ ABSL_GUARDED_BY(mu_);
  // Directory operations that are not durable, oldest first, of all directories.
  std::vector<DirOperation> pending_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> locked_dirs_ ABSL_GUARDED_BY(mu_);
  // Open files and locks of an earlier process are void.
  uint64_t process_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t capacity_bytes_ ABSL_GUARDED_BY(mu_) = uint64_t{1} << 40;

  bool powered_ ABSL_GUARDED_BY(mu_) = true;
  // In numbers of calls() and changes(); 0: none.
  int64_t fail_call_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t fail_calls_from_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t cut_at_change_ ABSL_GUARDED_BY(mu_) = 0;
  bool fail_next_sync_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<CallObserver> observer_ ABSL_GUARDED_BY(mu_);

  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t changes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t writes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t syncs_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace barid

#endif  // BARID_BASE_SIMULATED_DISK_H_
