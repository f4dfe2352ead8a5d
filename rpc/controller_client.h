#ifndef BARID_RPC_CONTROLLER_CLIENT_H_
#define BARID_RPC_CONTROLLER_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include <grpcpp/channel.h>

#include "absl/time/time.h"
#include "base/controller_calls.h"
#include "base/executor.h"
#include "base/random.h"

namespace barid::rpc {

struct ControllerClientOptions {
  // Of one call; a call that finds nobody is tried once more, then waits this long for a connection. Also how long an
  // answer waits for the watch to show its change.
  absl::Duration call_timeout = absl::Seconds(3);
  // Between two attempts to watch: doubled from first to max, each by chance up to a half shorter.
  absl::Duration first_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
};

// The controller, far away: one watch that keeps a snapshot, and calls to change it. While no controller can be reached
// the snapshot stays as it was, and calls fail after `call_timeout` with kUnavailable or kDeadlineExceeded.
//
// The watch goes to one of the controllers, calls go to the same; when it breaks, the next one's turn comes, and its
// first update replaces everything. A controller that is behind what was seen already, or that belongs to another
// cluster, is left alone: the snapshot's revision never goes back.
//
// A call's answer comes when the snapshot has the change. kDeadlineExceeded: the outcome is unknown. A change that was
// tried twice may answer kAlreadyExists or kNotFound by its own first try.
//
// Any thread calls; callbacks and observers run on the executor. Destroy it from a thread that is not the executor's,
// and the executor after it; calls that are not answered by then are answered with kUnavailable meanwhile.
class ControllerClient : public ControllerApi {
 public:
  // One channel per controller, at least one. They should keep connections alive (rpc/channel.h), so that a silent peer
  // is noticed. `executor` and `random` (used on the executor only) are borrowed.
  ControllerClient(std::vector<std::shared_ptr<grpc::Channel>> channels, Executor* executor, Random* random,
                   const ControllerClientOptions& options);
  ~ControllerClient() override;

  // Empty (revision 0) until the first controller was reached. Observers are told from then on.
  std::shared_ptr<const Metadata> Current() const override;

  void CreateTopic(TopicMetadata topic, Changed done) override;
  void UpdateTopic(TopicUpdate update, Changed done) override;
  void DeleteTopic(ResourceName name, Changed done) override;
  void CreateGroup(GroupMetadata group, Changed done) override;
  void UpdateGroup(GroupUpdate update, Changed done) override;
  void DeleteGroup(ResourceName name, Changed done) override;
  void Subscribe(GroupId group, TopicId topic, Changed done) override;
  void Unsubscribe(GroupId group, TopicId topic, Changed done) override;
  void ReportGroups(GroupReport report) override;
  void RegisterBroker(BrokerRegistration registration,
                      absl::AnyInvocable<void(absl::StatusOr<BrokerGrant>)> done) override;
  void RegisterReplica(std::string broker, BrokerRegistration::Replica replica, Changed done) override;
  void Watch(absl::AnyInvocable<void(std::shared_ptr<const Metadata>)> observer) override;

 private:
  class Core;
  const std::shared_ptr<Core> core_;
};

}  // namespace barid::rpc

#endif  // BARID_RPC_CONTROLLER_CLIENT_H_
