#ifndef BARID_STORAGE_FILES_H_
#define BARID_STORAGE_FILES_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"

namespace barid::storage {

// Creates `path` and its parents where they are missing, so that they are still there after a power cut.
absl::Status CreateDirDurably(Env* env, absl::string_view path);

// A file read past the page cache (what the disk has of it; after a failed sync the cache may show more), through one
// aligned window that moves with the reader. Not thread-safe.
class DirectReader {
 public:
  static absl::StatusOr<std::unique_ptr<DirectReader>> Open(Env* env, const std::string& path);

  const std::string& path() const { return path_; }
  // When it was opened.
  uint64_t size() const { return size_; }

  // Up to `size` bytes from `offset`: fewer only at the end of the file. Valid until the next call.
  absl::StatusOr<absl::string_view> Read(uint64_t offset, uint64_t size);

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };

  DirectReader(std::string path, std::unique_ptr<File> file, uint64_t size);

  absl::Status MoveWindow(uint64_t offset, uint64_t size);

  const std::string path_;
  const std::unique_ptr<File> file_;
  const uint64_t size_;
  std::unique_ptr<char[], Free> window_;
  uint64_t capacity_ = 0;
  uint64_t window_offset_ = 0;
  uint64_t window_bytes_ = 0;
};

}  // namespace barid::storage

#endif  // BARID_STORAGE_FILES_H_
