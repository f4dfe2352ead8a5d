#ifndef BARID_CONTROLLER_CONTROLLER_H_
#define BARID_CONTROLLER_CONTROLLER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/controller_calls.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/random.h"
#include "controller/group_activity.h"
#include "controller/metadata_logic.h"
#include "controller/metadata_state.h"
#include "controller/metadata_store.h"

namespace barid::controller {

struct ControllerOptions {
  std::string name = "controller";  // In the election and in logs.
  std::string cluster = "";         // The cluster's id, given at its first start; empty: a random one.
  MetadataLimits limits = {};
  absl::Duration session_ttl = absl::Seconds(10);  // How soon another controller may follow a dead one.
};

// The elected controller: it turns calls into transactions of the store, one at a time, and shows everyone the result.
//
//   call --> executor: plan over the state --> store Txn --> state --> snapshot --> observers, then the call's answer
//                            ^                    | kAborted: somebody else wrote
//                            +---- read again <---+
//
// A change is durable before any snapshot shows it and before its call is answered. Every transaction compares the
// election's key too, so a controller that was followed by another can write nothing.
//
// Calls are taken from any thread; all work, and every callback and observer, is on the executor. What is still queued
// there when it is destroyed is answered with kUnavailable on the destroying thread.
class Controller : public ControllerApi {
 public:
  // Takes the election, makes the cluster if the store is empty (its id and the first signing key), and reads
  // everything. kUnavailable, with its name, if another controller is elected. May block as the store may.
  //
  // The four are borrowed. The executor is destroyed before the controller (or nothing is posted or waiting there by
  // then), the others after it.
  static absl::StatusOr<std::unique_ptr<Controller>> Start(MetadataStore* store, Clock* clock, Random* random,
                                                           Executor* executor, const ControllerOptions& options);
  // Gives the election up.
  ~Controller() override;

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

  // A new key signs receipts; the one before it stays valid.
  void RotateSigningKey(Changed done);

 private:
  struct Election {
    SessionId session;
    MetadataStore::Compare key;  // Holds as long as we are the elected one.
  };
  using Planner = absl::FunctionRef<absl::StatusOr<Plan>()>;

  Controller(MetadataStore* store, Clock* clock, Random* random, Executor* executor, const ControllerOptions& options,
             Election election, MetadataState state);

  static absl::StatusOr<Election> Elect(MetadataStore* store, const ControllerOptions& options);
  static absl::StatusOr<MetadataState> Found(MetadataStore* store, const Election& election, std::string cluster,
                                             std::string secret);

  // Posts a call: `plan` decides over the state, its plan is committed, and `done` gets a snapshot that has it. `event`
  // is what the log says of it.
  void Change(const char* event, std::function<absl::StatusOr<Plan>()> plan, Changed done);

  // On the executor.
  absl::Status Execute(const char* event, Planner plan);
  absl::StatusOr<int64_t> Commit(const Plan& plan);
  absl::Status Reload();
  void OnStoreChange(const MetadataStore::Change& change);
  void Publish();

  MetadataStore* const store_;
  Clock* const clock_;
  Random* const random_;
  Executor* const executor_;
  const ControllerOptions options_;
  const Election election_;

  // On the executor.
  MetadataState state_;
  GroupActivity activity_;
  std::vector<absl::AnyInvocable<void(std::shared_ptr<const Metadata>)>> observers_;
  std::unique_ptr<MetadataStore::Watch> watch_;

  mutable Mutex mu_;
  std::shared_ptr<const Metadata> current_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::controller

#endif  // BARID_CONTROLLER_CONTROLLER_H_
