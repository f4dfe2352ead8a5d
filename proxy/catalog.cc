#include "proxy/catalog.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

absl::Status TopicNotFound(const ResourceName& name) {
  return Refuse(Reason::kTopicNotFound, absl::StrCat("there is no topic ", name.ToString(), ": create it first"));
}

absl::Status GroupNotFound(const ResourceName& name) {
  return Refuse(Reason::kConsumerGroupNotFound,
                absl::StrCat("there is no consumer group ", name.ToString(), ": create it first"));
}

}  // namespace

Catalog::Catalog(ControllerApi* controller, const ProxyOptions& options) : controller_(controller), options_(options) {}

void Catalog::NeedTopic(const ResourceName& name, Done done) {
  Snapshot snapshot = controller_->Current();
  if (snapshot->FindTopic(name) != nullptr) return done(std::move(snapshot));
  // Those are there with what they belong to and cannot be made.
  const bool is_implicit =
      absl::StartsWith(name.name, kDeadLetterPrefix) || absl::StartsWith(name.name, kDiscardedPrefix);
  if (!options_.auto_create_topics || is_implicit) return done(TopicNotFound(name));
  Create(Kind::kTopic, name, std::move(done));
}

void Catalog::NeedGroup(const ResourceName& name, Done done) {
  Snapshot snapshot = controller_->Current();
  if (snapshot->FindGroup(name) != nullptr) return done(std::move(snapshot));
  if (!options_.auto_create_groups && !IsForAMember(name)) return done(GroupNotFound(name));
  Create(Kind::kGroup, name, std::move(done));
}

bool Catalog::IsForAMember(const ResourceName& group) const {
  return !options_.member_group_prefix.empty() && absl::StartsWith(group.name, options_.member_group_prefix);
}

void Catalog::NeedSubscription(GroupId group, TopicId topic, Done done) {
  Snapshot snapshot = controller_->Current();
  if (snapshot->FindSubscription(group, topic) != nullptr) return done(std::move(snapshot));
  controller_->Subscribe(group, topic, std::move(done));
}

absl::StatusOr<const GroupMetadata*> Catalog::FindStoringGroup(const Metadata& metadata, const ResourceName& name) {
  const GroupMetadata* const group = metadata.FindGroup(name);
  if (group == nullptr) return GroupNotFound(name);
  if (group->kind == GroupKind::kDelivery) {
    return Refuse(Reason::kPreconditionFailed,
                  absl::StrCat("the group ", name.ToString(),
                               " is delivered to, it receives and settles messages and stores no offsets: "
                               "use another group to store offsets"));
  }
  return group;
}

void Catalog::NeedStoringGroup(const ResourceName& name, Done done) {
  NeedGroup(name, [this, name, done = std::move(done)](absl::StatusOr<Snapshot> found) mutable {
    if (!found.ok()) return done(std::move(found));
    const absl::StatusOr<const GroupMetadata*> group = FindStoringGroup(**found, name);
    if (!group.ok()) return done(group.status());
    if ((*group)->kind == GroupKind::kOffset) return done(std::move(found));
    controller_->UpdateGroup({name, std::nullopt, GroupKind::kOffset}, std::move(done));
  });
}

void Catalog::Create(Kind kind, const ResourceName& name, Done done) {
  {
    MutexLock lock(&mu_);
    std::vector<Done>& waiting = creations_[{kind, name}];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) return;
  }
  LOG(INFO) << "creating on first use" << KV("kind", kind == Kind::kTopic ? "topic" : "group")
            << KV("name", name.ToString());
  auto created = [this, kind, name](absl::StatusOr<Snapshot> result) { OnCreated(kind, name, std::move(result)); };
  if (kind == Kind::kTopic) {
    TopicMetadata topic;
    topic.name = name;
    topic.queues_per_shard = options_.auto_create_queues;
    controller_->CreateTopic(std::move(topic), std::move(created));
  } else {
    GroupMetadata group;
    group.name = name;
    group.retry.delays = DefaultRetryDelays();
    if (IsForAMember(name)) {
      group.start.kind = StartFrom::Kind::kLast;
      group.expire_after = options_.member_group_expiry;
    }
    controller_->CreateGroup(std::move(group), std::move(created));
  }
}

void Catalog::OnCreated(Kind kind, const ResourceName& name, absl::StatusOr<Snapshot> result) {
  // Another proxy may have been first; then the watch brings it, if it has not yet.
  if (absl::IsAlreadyExists(result.status())) result = controller_->Current();
  if (result.ok()) {
    const bool found =
        kind == Kind::kTopic ? (*result)->FindTopic(name) != nullptr : (*result)->FindGroup(name) != nullptr;
    if (!found) result = absl::UnavailableError(absl::StrCat(name.ToString(), " is being created: try again"));
  } else {
    result = Annotate(result.status(), absl::StrCat("creating ", name.ToString(), " on first use"));
  }
  std::vector<Done> waiting;
  {
    MutexLock lock(&mu_);
    const auto it = creations_.find({kind, name});
    waiting = std::move(it->second);
    creations_.erase(it);
  }
  for (Done& done : waiting) done(result);
}

}  // namespace barid::proxy
