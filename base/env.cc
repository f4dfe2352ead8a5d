#include "base/env.h"

#include "base/status.h"

namespace barid {
namespace {

absl::string_view ParentDir(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteNewFile(Env* env, absl::string_view path, absl::string_view content) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, env->Open(path, {OpenMode::kTruncate}));
  RETURN_IF_ERROR(file->Write(0, content));
  return file->Sync();
}

}  // namespace

std::string JoinPath(absl::string_view dir, absl::string_view name) {
  if (dir.empty()) return std::string(name);
  return absl::StrCat(dir, dir.back() == '/' ? "" : "/", name);
}

absl::StatusOr<std::string> ReadFile(Env* env, absl::string_view path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, env->Open(path, {OpenMode::kRead}));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  std::string content(size, '\0');
  ASSIGN_OR_RETURN(const size_t read, file->Read(0, content.size(), content.data()));
  content.resize(read);
  return content;
}

absl::Status WriteFileDurably(Env* env, absl::string_view path, absl::string_view content) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  absl::Status status = WriteNewFile(env, temporary, content);
  if (status.ok()) status = env->Rename(temporary, path);
  if (!status.ok()) {
    // Best effort: a leftover is replaced by the next attempt.
    env->Remove(temporary).IgnoreError();
    return status;
  }
  return env->SyncDir(ParentDir(path));
}

}  // namespace barid
