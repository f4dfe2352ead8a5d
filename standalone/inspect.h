#ifndef BARID_STANDALONE_INSPECT_H_
#define BARID_STANDALONE_INSPECT_H_

#include <string>
#include <vector>

namespace barid {

// `barid inspect DIR`: prints what a stopped data directory holds and verifies it end to end: checksums and running
// hash of every record, every checkpoint entry and index block, the state's hash and counts. Returns an exit code.
// Changes no byte of the directory, which may be read-only.
int RunInspect(const std::vector<std::string>& arguments);

}  // namespace barid

#endif  // BARID_STANDALONE_INSPECT_H_
