#ifndef BARID_PROXY_CATALOG_H_
#define BARID_PROXY_CATALOG_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/controller_calls.h"
#include "base/metadata.h"
#include "base/mutex.h"
#include "proxy/options.h"

namespace barid::proxy {

// A snapshot that has what was asked for: pointers into it live as long as it does.
using Snapshot = std::shared_ptr<const Metadata>;

// Finds topics and groups by name, and makes what is missing if the options allow. Many callers that miss the same name
// share one call to the controller. Any thread.
class Catalog {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Snapshot>)>;

  // The controller outlives it, and answers all its calls before it is destroyed.
  Catalog(ControllerApi* controller, const ProxyOptions& options);

  // `done` gets a snapshot in which FindTopic finds `name`, or TOPIC_NOT_FOUND. On this thread if it is there already.
  void NeedTopic(const ResourceName& name, Done done);
  // The same for a group; CONSUMER_GROUP_NOT_FOUND.
  void NeedGroup(const ResourceName& name, Done done);
  // A snapshot in which `group` is subscribed to `topic`.
  void NeedSubscription(GroupId group, TopicId topic, Done done);

  // A snapshot in which the group is offset-based; it is made, or decided, if that can be. PRECONDITION_FAILED for one
  // that is delivered to. The controller decides, and what is decided stays: so an old snapshot that says so is as good
  // as a new one, and two shards never disagree.
  void NeedStoringGroup(const ResourceName& name, Done done);
  // The group, if it may have stored offsets; changes nothing.
  static absl::StatusOr<const GroupMetadata*> FindStoringGroup(const Metadata& metadata, const ResourceName& name);

 private:
  enum class Kind { kTopic, kGroup };
  // Creations under way, and who waits for each.
  using Creations = absl::flat_hash_map<std::pair<Kind, ResourceName>, std::vector<Done>>;

  // Whether the name says that the group is made for one member.
  bool IsForAMember(const ResourceName& group) const;
  void Create(Kind kind, const ResourceName& name, Done done);
  void OnCreated(Kind kind, const ResourceName& name, absl::StatusOr<Snapshot> result);

  ControllerApi* const controller_;
  const ProxyOptions options_;
  Mutex mu_;
  Creations creations_ ABSL_GUARDED_BY(mu_);
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_CATALOG_H_
