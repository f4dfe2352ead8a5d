#include "storage/files.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace barid::storage {
namespace {

constexpr uint64_t kMinWindowBytes = uint64_t{1} << 20;

// "/a/b" is in "/a", "/a" in "/", "a" in ".".
absl::string_view ParentPath(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

uint64_t RoundUp(uint64_t bytes) { return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment; }

bool IsTop(absl::string_view path) { return path == "/" || path == "."; }

}  // namespace

absl::Status CreateDirDurably(Env* env, absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  std::vector<absl::string_view> missing;  // The innermost first.
  absl::string_view dir = path;
  for (; !IsTop(dir); dir = ParentPath(dir)) {
    ASSIGN_OR_RETURN(const bool exists, env->Exists(dir));
    if (exists) break;
    missing.push_back(dir);
  }
  // One level at a time, each durable before the next: so of those that exist only the innermost may have been made by
  // a process that died before it synced the parent.
  if (!IsTop(dir)) RETURN_IF_ERROR(env->SyncDir(ParentPath(dir)));
  for (; !missing.empty(); missing.pop_back()) {
    RETURN_IF_ERROR(env->CreateDir(missing.back()));
    RETURN_IF_ERROR(env->SyncDir(ParentPath(missing.back())));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<DirectReader>> DirectReader::Open(Env* env, const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, env->Open(path, {.mode = OpenMode::kRead, .direct = true}));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  return std::unique_ptr<DirectReader>(new DirectReader(path, std::move(file), size));
}

DirectReader::DirectReader(std::string path, std::unique_ptr<File> file, uint64_t size)
    : path_(std::move(path)), file_(std::move(file)), size_(size) {}

absl::StatusOr<absl::string_view> DirectReader::Read(uint64_t offset, uint64_t size) {
  size = offset < size_ ? std::min(size, size_ - offset) : 0;
  if (offset < window_offset_ || offset + size > window_offset_ + window_bytes_) {
    RETURN_IF_ERROR(MoveWindow(offset, size));
  }
  // Fewer than Size said: somebody cut the file meanwhile. What is missing is then simply not there.
  const uint64_t skip = std::min(offset - window_offset_, window_bytes_);
  return absl::string_view(window_.get() + skip, std::min(size, window_bytes_ - skip));
}

absl::Status DirectReader::MoveWindow(uint64_t offset, uint64_t size) {
  window_offset_ = offset / kDirectAlignment * kDirectAlignment;
  window_bytes_ = 0;
  const uint64_t left = offset < size_ ? size_ - window_offset_ : 0;
  const uint64_t wanted = RoundUp(std::min(left, std::max(kMinWindowBytes, offset - window_offset_ + size)));
  if (wanted == 0) return absl::OkStatus();
  if (wanted > capacity_) {
    window_.reset(static_cast<char*>(std::aligned_alloc(kDirectAlignment, wanted)));
    CHECK(window_ != nullptr) << wanted << " bytes";
    capacity_ = wanted;
  }
  absl::StatusOr<size_t> read = file_->Read(window_offset_, wanted, window_.get());
  if (!read.ok()) return Annotate(read.status(), absl::StrCat("reading ", path_, " at offset ", window_offset_));
  window_bytes_ = *read;
  return absl::OkStatus();
}

}  // namespace barid::storage
