#include "proxy/members.h"

#include <utility>

#include "base/log.h"

namespace barid::proxy {

void Members::SeenById(const GroupMetadata* group) {
  if (group == nullptr || group->expire_after == absl::ZeroDuration()) return;
  MutexLock lock(&mu_);
  seen_.insert(group->id);
}

bool Members::Begin(const Metadata& metadata, GroupId id) {
  if (!metadata.has_expiring_groups()) return false;
  const GroupMetadata* const group = metadata.FindGroup(id);
  if (group == nullptr || group->expire_after == absl::ZeroDuration()) return false;
  MutexLock lock(&mu_);
  ++waiting_[id];
  return true;
}

void Members::End(GroupId id) {
  MutexLock lock(&mu_);
  const auto it = waiting_.find(id);
  CHECK(it != waiting_.end()) << KV("group", id);
  if (--it->second == 0) waiting_.erase(it);
  seen_.insert(id);
}

absl::flat_hash_set<GroupId> Members::Take() {
  MutexLock lock(&mu_);
  absl::flat_hash_set<GroupId> groups = std::exchange(seen_, {});
  for (const auto& [id, count] : waiting_) groups.insert(id);
  return groups;
}

}  // namespace barid::proxy
