#include "proxy/recaller.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proxy/refusal.h"

namespace barid::proxy {

absl::StatusOr<RecallHandle> OpenRecallHandle(const Metadata& metadata, const ResourceName& topic,
                                              absl::string_view handle) {
  ASSIGN_OR_RETURN(RecallHandle opened, DecodeRecallHandle(handle, metadata.tables().signing_keys));
  const TopicMetadata* const its_topic = metadata.FindTopic(opened.topic);
  if (its_topic == nullptr) return absl::NotFoundError("the message's topic has been deleted, and the message with it");
  if (its_topic->name != topic) {
    return Refuse(Reason::kBadRequest, absl::StrCat("the recall handle is for the topic ", its_topic->name.ToString(),
                                                    ", the request names ", topic.ToString()));
  }
  return opened;
}

void Recall(Router* router, const RecallHandle& handle, Callback<RecallResult> done) {
  const absl::StatusOr<Target> target = router->ById(*router->Snapshot(), handle.shard);
  if (!target.ok()) return done({target.status()});
  const RecallCall call{handle.shard, handle.timer};
  target->broker->Recall(call, [router, call, target = *target, done = std::move(done)](RecallResult result) mutable {
    BrokerApi* const leader = result.status.ok() ? nullptr : router->SecondTry(result.status, target);
    if (leader == nullptr) return done(std::move(result));
    leader->Recall(call, std::move(done));
  });
}

}  // namespace barid::proxy
