#ifndef BARID_BASE_ENV_H_
#define BARID_BASE_ENV_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace barid {

// An open file, read and written by position. Not thread-safe, except that Read may run beside anything else.
// Destruction closes it, without sync.
class File {
 public:
  virtual ~File() = default;

  // Writes `pieces` one behind the other from `offset`. Durable only after Sync. On an error any part may be written.
  virtual absl::Status Write(uint64_t offset, absl::Span<const absl::string_view> pieces) = 0;
  absl::Status Write(uint64_t offset, absl::string_view piece) { return Write(offset, absl::MakeSpan(&piece, 1)); }

  // Reads up to `size` bytes into `out` and returns how many there were: fewer only at the end of the file.
  virtual absl::StatusOr<size_t> Read(uint64_t offset, size_t size, char* out) const = 0;

  // Makes what was written durable, with the file's size (fdatasync). An error is final: the page cache may now show
  // bytes that the disk does not have, and a later Sync may report success. Never try again.
  virtual absl::Status Sync() = 0;

  // Sets the size; new bytes read as zeros. Durable after Sync.
  virtual absl::Status Truncate(uint64_t size) = 0;

  virtual absl::StatusOr<uint64_t> Size() const = 0;
};

// A lock on a directory, held until destruction or the end of the process.
class DirLock {
 public:
  virtual ~DirLock() = default;
};

// | mode        | missing file | existing file      |
// |-------------|--------------|--------------------|
// | kRead       | kNotFound    | opened             |
// | kReadWrite  | kNotFound    | opened, not cut    |
// | kCreate     | created      | kAlreadyExists     |
// | kTruncate   | created      | opened, cut to 0   |
// | kAppend     | created      | opened, not cut    |
enum class OpenMode { kRead, kReadWrite, kCreate, kTruncate, kAppend };

struct OpenOptions {
  OpenMode mode = OpenMode::kRead;
  // Past the page cache (O_DIRECT): offsets, sizes and memory are multiples of kDirectAlignment. Recovery reads so,
  // because after a failed sync the cache may show what the disk does not have.
  bool direct = false;
};
inline constexpr size_t kDirectAlignment = 4096;

// The file system. Any thread. Errors carry the path; kNotFound, kAlreadyExists and kResourceExhausted (disk full) have
// their own codes, everything else is kUnavailable, a failed sync kDataLoss.
class Env {
 public:
  virtual ~Env() = default;

  virtual absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path, const OpenOptions& options) = 0;

  // Creates `path` and its parents. Each new entry is durable only once its parent directory was synced.
  virtual absl::Status CreateDir(absl::string_view path) = 0;
  // Makes the entries of a directory durable: files created, renamed or removed in it.
  virtual absl::Status SyncDir(absl::string_view path) = 0;
  // The names in a directory, sorted, without "." and "..".
  virtual absl::StatusOr<std::vector<std::string>> ListDir(absl::string_view path) = 0;

  virtual absl::StatusOr<bool> Exists(absl::string_view path) = 0;
  virtual absl::Status Remove(absl::string_view path) = 0;
  virtual absl::Status RemoveDir(absl::string_view path) = 0;
  // Replaces `to` in one step, durable with SyncDir of the directory.
  virtual absl::Status Rename(absl::string_view from, absl::string_view to) = 0;

  // kFailedPrecondition, naming the holder where it is known, if another process or holder has it.
  virtual absl::StatusOr<std::unique_ptr<DirLock>> LockDir(absl::string_view path) = 0;
  // The same for one who only looks: it changes nothing, needs no right to write, and leaves the name of the holder
  // before in place. Where nobody ever took the lock there is nothing to hold; then whoever comes meanwhile is not kept
  // out.
  virtual absl::StatusOr<std::unique_ptr<DirLock>> LockDirUnchanged(absl::string_view path) = 0;

  struct Space {
    uint64_t available_bytes = 0;
    uint64_t capacity_bytes = 0;
  };
  virtual absl::StatusOr<Space> GetSpace(absl::string_view path) = 0;
};

// The machine's file system. Lives for the whole process.
Env* RealEnv();

// "a" + "b" = "a/b".
std::string JoinPath(absl::string_view dir, absl::string_view name);

// Reads a whole file.
absl::StatusOr<std::string> ReadFile(Env* env, absl::string_view path);

// Replaces a file in one durable step: a temporary file, sync, rename, sync of the directory.
absl::Status WriteFileDurably(Env* env, absl::string_view path, absl::string_view content);

}  // namespace barid

#endif  // BARID_BASE_ENV_H_
