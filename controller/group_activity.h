#ifndef BARID_CONTROLLER_GROUP_ACTIVITY_H_
#define BARID_CONTROLLER_GROUP_ACTIVITY_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "base/controller_calls.h"
#include "controller/metadata_state.h"

namespace barid::controller {

// When a member of each group that expires was seen last, by what the proxies report; and which groups are due to go.
//
//   report: seen -> the group's time begins anew
//   due:    the time is over, and every proxy has reported since then: none of them has a member
//
// So a member that some proxy sees in each of its reports keeps its group, however short the group's time is, and a
// proxy that is silent for a while takes no group with it. One that is silent for kForgetProxy is taken for gone. Soft
// state: a new controller gives every group its whole time, from the first report on.
//
// Times are of one clock that only goes forward. A plain value.
class GroupActivity {
 public:
  static constexpr absl::Duration kForgetProxy = absl::Minutes(2);
  // In one answer of Due; the others are due at the next report.
  static constexpr size_t kMaxDue = 1000;

  void OnReport(const GroupReport& report, absl::Duration now);

  // Groups of `state` that are to be deleted, in the order of their names. None while no proxy is known: nobody looks
  // then. Forgets what is not in `state`. Linear in the number of groups.
  std::vector<GroupId> Due(const MetadataState& state, absl::Duration now);

 private:
  absl::flat_hash_map<GroupId, absl::Duration> seen_;
  absl::flat_hash_map<std::string, absl::Duration> reported_;  // By proxy.
};

}  // namespace barid::controller

#endif  // BARID_CONTROLLER_GROUP_ACTIVITY_H_
