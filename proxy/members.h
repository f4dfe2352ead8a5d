#ifndef BARID_PROXY_MEMBERS_H_
#define BARID_PROXY_MEMBERS_H_

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/metadata.h"
#include "base/mutex.h"

namespace barid::proxy {

// Which of the groups that expire had a member here lately. Groups that do not expire cost a comparison. Any thread.
class Members {
 public:
  // A member of this group made a call.
  void Seen(const Metadata& metadata, const ResourceName& group) {
    if (metadata.has_expiring_groups()) SeenById(metadata.FindGroup(group));
  }

  // A receive of this group waits: it has a member until the end. True if that counts; then it needs one End.
  bool Begin(const Metadata& metadata, GroupId group);
  void End(GroupId group);

  // Those seen since the last Take, and those that have a receive waiting.
  absl::flat_hash_set<GroupId> Take();

 private:
  void SeenById(const GroupMetadata* group);

  Mutex mu_;
  absl::flat_hash_set<GroupId> seen_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<GroupId, int> waiting_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_MEMBERS_H_
