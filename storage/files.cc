#include "storage/files.h"

#include <string>
#include <vector>

#include "base/status.h"

namespace barid::storage {
namespace {

// "/a/b" is in "/a", "/a" in "/", "a" in ".".
absl::string_view ParentPath(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

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

}  // namespace barid::storage
