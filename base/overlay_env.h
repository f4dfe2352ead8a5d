#ifndef BARID_BASE_OVERLAY_ENV_H_
#define BARID_BASE_OVERLAY_ENV_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/env.h"
#include "base/mutex.h"

namespace barid {

// Another Env as it would be after some changes, which are kept in memory and never reach it: for looking at a
// directory with code that would tidy it up. Nothing below is changed, not even by LockDir; it may be read-only. Files
// are read from below until somebody opens them for writing, which takes a copy, so this is for few and small changes.
//
// Whoever changes what is below meanwhile is not seen, or seen in part: hold its lock. Paths are taken as they are
// spelled, but for doubled slashes. Any thread. `below` outlives it; it outlives its files.
class OverlayEnv : public Env {
 public:
  explicit OverlayEnv(Env* below) : below_(below) {}

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

 private:
  class MemoryFile;
  // What was written to a file.
  struct Content {
    Mutex mu;
    std::string bytes ABSL_GUARDED_BY(mu);
  };
  // What became of a path: a file with its content, a directory (no content), or nothing any more.
  struct Entry {
    enum Kind { kFile, kDir, kGone } kind = kGone;
    std::shared_ptr<Content> content;
  };

  // The file at `path`, copied from below if it is only there. kNotFound.
  absl::StatusOr<std::shared_ptr<Content>> TakeUp(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<bool> IsThere(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::vector<std::string>> List(const std::string& dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Env* const below_;
  Mutex mu_;  // Held while reading from below: that is slow only for a copy.
  std::map<std::string, Entry> changed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid

#endif  // BARID_BASE_OVERLAY_ENV_H_
