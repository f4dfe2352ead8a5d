#include "controller/group_activity.h"

#include <algorithm>
#include <utility>

namespace barid::controller {

void GroupActivity::OnReport(const GroupReport& report, absl::Duration now) {
  reported_[report.proxy] = now;
  for (const GroupId group : report.seen) seen_[group] = now;
}

std::vector<GroupId> GroupActivity::Due(const MetadataState& state, absl::Duration now) {
  absl::erase_if(reported_, [now](const auto& proxy) { return now - proxy.second > kForgetProxy; });
  std::vector<GroupId> due;
  if (reported_.empty()) return due;
  absl::Duration all_reported = now;
  for (const auto& [proxy, at] : reported_) all_reported = std::min(all_reported, at);

  absl::flat_hash_map<GroupId, absl::Duration> still;
  state.ForEach<GroupMetadata>("group/", [&](const GroupMetadata& group) {
    if (group.expire_after == absl::ZeroDuration()) return;
    const auto known = seen_.find(group.id);
    const absl::Duration seen = known == seen_.end() ? now : known->second;
    still[group.id] = seen;
    if (seen + group.expire_after <= all_reported && due.size() < kMaxDue) due.push_back(group.id);
  });
  seen_ = std::move(still);
  return due;
}

}  // namespace barid::controller
