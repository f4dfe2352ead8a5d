#ifndef BARID_PROXY_RECALLER_H_
#define BARID_PROXY_RECALLER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/recall_handle.h"
#include "proxy/router.h"

namespace barid::proxy {

// The handle if it is for a message of `topic`; else BAD_REQUEST. kNotFound for a genuine one whose topic has been
// deleted.
absl::StatusOr<RecallHandle> OpenRecallHandle(const Metadata& metadata, const ResourceName& topic,
                                              absl::string_view handle);

// Withdraws the message at its shard. If the broker says it does not lead any more, the right one is asked, once.
// `router` outlives the call. Any thread.
void Recall(Router* router, const RecallHandle& handle, Callback<RecallResult> done);

}  // namespace barid::proxy

#endif  // BARID_PROXY_RECALLER_H_
