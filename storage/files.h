#ifndef BARID_STORAGE_FILES_H_
#define BARID_STORAGE_FILES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/env.h"

namespace barid::storage {

// Creates `path` and its parents where they are missing, so that they are still there after a power cut.
absl::Status CreateDirDurably(Env* env, absl::string_view path);

}  // namespace barid::storage

#endif  // BARID_STORAGE_FILES_H_
