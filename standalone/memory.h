#ifndef BARID_STANDALONE_MEMORY_H_
#define BARID_STANDALONE_MEMORY_H_

#include <cstddef>

#include "base/executor.h"

namespace barid {

// Free memory that the process keeps for the next burst.
inline constexpr size_t kKeptFreeBytes = size_t{16} << 20;

// Gives to the system what tcmalloc has free beyond kKeptFreeBytes. Any thread.
void GiveMemoryBack();

// Looks every few seconds, as long as `executor` lives, and gives back what was free at this look and at the one
// before: by itself tcmalloc gives back little once nothing is freed any more (docs/decisions/tcmalloc.md).
void KeepGivingMemoryBack(Executor* executor);

}  // namespace barid

#endif  // BARID_STANDALONE_MEMORY_H_
