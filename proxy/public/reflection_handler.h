#ifndef BARID_PROXY_PUBLIC_REFLECTION_HANDLER_H_
#define BARID_PROXY_PUBLIC_REFLECTION_HANDLER_H_

#include "edge/call.h"

namespace barid::proxy {

// grpc.reflection.v1 (and v1alpha, which is the same under another name) for the services that `table` serves now, and
// itself: so call it last. Of our contracts it shows those of these services and what they import, nothing else.
void AddReflection(edge::MethodTable* table);

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_REFLECTION_HANDLER_H_
