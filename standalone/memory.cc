#include "standalone/memory.h"

#include <gperftools/malloc_extension.h>

#include <algorithm>
#include <cstddef>

#include "absl/time/time.h"

namespace barid {
namespace {

constexpr absl::Duration kLookEvery = absl::Seconds(5);

// Whole pages that are free and not yet the system's.
size_t FreeBytes() {
  size_t bytes = 0;
  MallocExtension::instance()->GetNumericProperty("tcmalloc.pageheap_free_bytes", &bytes);
  return bytes;
}

void GiveBack(size_t bytes) {
  if (bytes > kKeptFreeBytes) MallocExtension::instance()->ReleaseToSystem(bytes - kKeptFreeBytes);
}

void Look(Executor* executor, size_t free_before) {
  const size_t free = FreeBytes();
  // What is free between two calls of a busy process is not: it would only have to be taken again.
  GiveBack(std::min(free, free_before));
  executor->PostAfter(kLookEvery, [executor, free] { Look(executor, free); });
}

}  // namespace

void GiveMemoryBack() { GiveBack(FreeBytes()); }

void KeepGivingMemoryBack(Executor* executor) {
  executor->Post([executor] { Look(executor, 0); });
}

}  // namespace barid
