#ifndef BARID_TESTS_INTEROP_INTEROP_SERVICE_H_
#define BARID_TESTS_INTEROP_INTEROP_SERVICE_H_

#include "edge/call.h"

namespace barid::edge {

// The methods that clients of other languages call: README.md has the contract.
MethodTable InteropService();

}  // namespace barid::edge

#endif  // BARID_TESTS_INTEROP_INTEROP_SERVICE_H_
