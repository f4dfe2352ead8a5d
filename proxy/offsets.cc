#include "proxy/offsets.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proxy/refusal.h"

namespace barid::proxy {

absl::StatusOr<QueuePlace> FindQueue(const Metadata& metadata, const Router& router, const ResourceName& topic,
                                     absl::string_view shard_name, int32_t queue) {
  const TopicMetadata* const found = metadata.FindTopic(topic);
  if (found == nullptr) {
    return Refuse(Reason::kTopicNotFound, absl::StrCat("there is no topic ", topic.ToString(), ": create it first"));
  }
  const ShardMetadata* const shard = metadata.FindShard(shard_name);
  if (shard == nullptr) {
    return Refuse(Reason::kBadRequest, absl::StrCat("the queue's broker is \"", shard_name,
                                                    "\", expected one of those that the topic's route names"));
  }
  const int32_t queues = found->QueuesIn(shard->id);
  if (queue < 0 || queue >= queues) {
    return Refuse(Reason::kBadRequest, absl::StrCat("the queue's id is ", queue, ", the topic ", topic.ToString(),
                                                    " has ", queues, " queues at ", shard_name));
  }
  ASSIGN_OR_RETURN(const Target target, router.ById(metadata, shard->id));
  return QueuePlace{{found->id, queue}, target, metadata.revision()};
}

}  // namespace barid::proxy
