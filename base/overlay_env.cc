#include "base/overlay_env.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace barid {
namespace {

// "/a//b/" as "/a/b".
std::string Normal(absl::string_view path) {
  return absl::StrCat(absl::StartsWith(path, "/") ? "/" : "",
                      absl::StrJoin(absl::StrSplit(path, '/', absl::SkipEmpty()), "/"));
}

absl::Status Missing(absl::string_view path) {
  return absl::NotFoundError(absl::StrCat(path, ": no such file or directory"));
}

}  // namespace

// A file that was written to. It has no need to be aligned.
class OverlayEnv::MemoryFile : public File {
 public:
  explicit MemoryFile(std::shared_ptr<Content> content) : content_(std::move(content)) {}

  using File::Write;
  absl::Status Write(uint64_t offset, absl::Span<const absl::string_view> pieces) override {
    MutexLock lock(&content_->mu);
    for (const absl::string_view piece : pieces) {
      if (content_->bytes.size() < offset + piece.size()) content_->bytes.resize(offset + piece.size());
      std::copy(piece.begin(), piece.end(), content_->bytes.begin() + static_cast<int64_t>(offset));
      offset += piece.size();
    }
    return absl::OkStatus();
  }
  absl::StatusOr<size_t> Read(uint64_t offset, size_t size, char* out) const override {
    MutexLock lock(&content_->mu);
    if (offset >= content_->bytes.size()) return 0;
    return content_->bytes.copy(out, size, offset);
  }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Truncate(uint64_t size) override {
    MutexLock lock(&content_->mu);
    content_->bytes.resize(size);
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> Size() const override {
    MutexLock lock(&content_->mu);
    return content_->bytes.size();
  }

 private:
  const std::shared_ptr<Content> content_;
};

absl::StatusOr<std::unique_ptr<File>> OverlayEnv::Open(absl::string_view path_view, const OpenOptions& options) {
  const std::string path = Normal(path_view);
  MutexLock lock(&mu_);
  if (options.mode == OpenMode::kRead && changed_.count(path) == 0) return below_->Open(path, options);
  absl::StatusOr<std::shared_ptr<Content>> content = TakeUp(path);
  const bool may_create = options.mode != OpenMode::kRead && options.mode != OpenMode::kReadWrite;
  if (absl::IsNotFound(content.status()) && may_create) {
    const size_t slash = path.rfind('/');
    if (slash != std::string::npos && slash > 0) {
      ASSIGN_OR_RETURN(const bool has_parent, IsThere(path.substr(0, slash)));
      if (!has_parent) return Missing(path);
    }
    content = std::make_shared<Content>();
    changed_[path] = {Entry::kFile, *content};
  } else if (content.ok() && options.mode == OpenMode::kCreate) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": is there already"));
  }
  RETURN_IF_ERROR(content.status());
  if (options.mode == OpenMode::kTruncate) {
    MutexLock content_lock(&(*content)->mu);
    (*content)->bytes.clear();
  }
  return std::make_unique<MemoryFile>(*std::move(content));
}

absl::StatusOr<std::shared_ptr<OverlayEnv::Content>> OverlayEnv::TakeUp(const std::string& path) {
  if (const auto it = changed_.find(path); it != changed_.end()) {
    if (it->second.kind == Entry::kFile) return it->second.content;
    if (it->second.kind == Entry::kGone) return Missing(path);
    return absl::UnavailableError(absl::StrCat(path, ": is a directory"));
  }
  ASSIGN_OR_RETURN(std::string bytes, ReadFile(below_, path));
  auto content = std::make_shared<Content>();
  {
    MutexLock lock(&content->mu);
    content->bytes = std::move(bytes);
  }
  changed_[path] = {Entry::kFile, content};
  return content;
}

absl::StatusOr<bool> OverlayEnv::IsThere(const std::string& path) {
  const auto it = changed_.find(path);
  return it == changed_.end() ? below_->Exists(path) : absl::StatusOr<bool>(it->second.kind != Entry::kGone);
}

absl::StatusOr<bool> OverlayEnv::Exists(absl::string_view path) {
  MutexLock lock(&mu_);
  return IsThere(Normal(path));
}

absl::Status OverlayEnv::CreateDir(absl::string_view path_view) {
  const std::string path = Normal(path_view);
  MutexLock lock(&mu_);
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string dir = path.substr(0, end);
    ASSIGN_OR_RETURN(const bool exists, IsThere(dir));
    if (!exists) changed_[dir] = {Entry::kDir, nullptr};
    if (end == std::string::npos) return absl::OkStatus();
  }
}

absl::Status OverlayEnv::SyncDir(absl::string_view path) {
  ASSIGN_OR_RETURN(const bool exists, Exists(path));
  return exists ? absl::OkStatus() : Missing(path);
}

absl::StatusOr<std::vector<std::string>> OverlayEnv::ListDir(absl::string_view path) {
  MutexLock lock(&mu_);
  return List(Normal(path));
}

absl::StatusOr<std::vector<std::string>> OverlayEnv::List(const std::string& dir) {
  std::set<std::string> names;
  const auto it = changed_.find(dir);
  if (it == changed_.end()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> below, below_->ListDir(dir));
    names.insert(below.begin(), below.end());
  } else if (it->second.kind != Entry::kDir) {
    return Missing(dir);
  }
  const std::string prefix = dir == "/" ? dir : absl::StrCat(dir, "/");
  for (const auto& [path, entry] : changed_) {
    if (!absl::StartsWith(path, prefix)) continue;
    const std::string name = path.substr(prefix.size());
    if (absl::StrContains(name, '/')) continue;
    if (entry.kind == Entry::kGone) {
      names.erase(name);
    } else {
      names.insert(name);
    }
  }
  return std::vector<std::string>(names.begin(), names.end());
}

absl::Status OverlayEnv::Remove(absl::string_view path_view) {
  const std::string path = Normal(path_view);
  MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(const bool exists, IsThere(path));
  if (!exists) return Missing(path);
  changed_[path] = Entry();
  return absl::OkStatus();
}

absl::Status OverlayEnv::RemoveDir(absl::string_view path_view) {
  const std::string path = Normal(path_view);
  MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, List(path));
  if (!names.empty()) return absl::UnavailableError(absl::StrCat("remove directory ", path, ": not empty"));
  changed_[path] = Entry();
  return absl::OkStatus();
}

absl::Status OverlayEnv::Rename(absl::string_view from, absl::string_view to) {
  MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(std::shared_ptr<Content> content, TakeUp(Normal(from)));
  changed_[Normal(from)] = Entry();
  changed_[Normal(to)] = {Entry::kFile, std::move(content)};
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<DirLock>> OverlayEnv::LockDir(absl::string_view path) {
  return below_->LockDirUnchanged(path);
}

absl::StatusOr<std::unique_ptr<DirLock>> OverlayEnv::LockDirUnchanged(absl::string_view path) {
  return below_->LockDirUnchanged(path);
}

absl::StatusOr<Env::Space> OverlayEnv::GetSpace(absl::string_view path) { return below_->GetSpace(path); }

}  // namespace barid
