#include "controller/controller.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace barid::controller {
namespace {

constexpr int kMaxTries = 10;  // Of one change, as others write in between.
constexpr size_t kSecretBytes = 32;
constexpr size_t kClusterIdBytes = 8;

// Calls back once, whatever happens to the task that holds it.
template <typename Result>
class Answer {
 public:
  explicit Answer(absl::AnyInvocable<void(absl::StatusOr<Result>)> done) : done_(std::move(done)) {}
  Answer(Answer&& other) noexcept : done_(std::exchange(other.done_, nullptr)) {}
  Answer& operator=(Answer&&) = delete;
  ~Answer() {
    if (done_) done_(absl::UnavailableError("the controller is stopping"));
  }
  void operator()(absl::StatusOr<Result> result) { std::exchange(done_, nullptr)(std::move(result)); }

 private:
  absl::AnyInvocable<void(absl::StatusOr<Result>)> done_;
};

absl::StatusOr<MetadataState> Read(const MetadataStore& store) {
  absl::StatusOr<MetadataStore::Snapshot> snapshot = store.Range("", "");
  if (!snapshot.ok()) return Annotate(snapshot.status(), "reading the metadata store");
  return MetadataState::FromSnapshot(*snapshot);
}

struct Transaction {
  std::vector<MetadataStore::Compare> compares;
  std::vector<MetadataStore::Operation> operations;
};

// Commits only if every record of the plan, written or relied upon, is as `state` has it.
Transaction TransactionOf(const Plan& plan, const MetadataState& state, const MetadataStore::Compare& election) {
  Transaction txn;
  txn.compares.push_back(election);
  for (const Record& record : plan.puts) {
    std::string key = KeyOf(record);
    txn.compares.push_back({key, state.RevisionOf(key)});
    txn.operations.push_back({std::move(key), EncodeRecord(record), SessionId()});
  }
  for (const std::string& key : plan.deletes) {
    txn.compares.push_back({key, state.RevisionOf(key)});
    txn.operations.push_back({key, std::nullopt, SessionId()});
  }
  for (const std::string& key : plan.relies_on) txn.compares.push_back({key, state.RevisionOf(key)});
  return txn;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Controller>> Controller::Start(MetadataStore* store, Clock* clock, Random* random,
                                                              Executor* executor, const ControllerOptions& options) {
  ASSIGN_OR_RETURN(const Election election, Elect(store, options));
  std::string cluster = options.cluster;
  if (cluster.empty()) cluster = absl::BytesToHexString(random->Bytes(kClusterIdBytes));
  absl::StatusOr<MetadataState> state = Found(store, election, std::move(cluster), random->Bytes(kSecretBytes));
  if (!state.ok()) {
    // The caller may try again in this process, so the election must not stay taken.
    if (const absl::Status ended = store->EndSession(election.session); !ended.ok()) {
      LOG(WARNING) << "could not give the election up" << KV("status", ended);
    }
    return state.status();
  }
  const int64_t revision = state->revision();
  std::unique_ptr<Controller> controller(
      new Controller(store, clock, random, executor, options, election, *std::move(state)));
  absl::StatusOr<std::unique_ptr<MetadataStore::Watch>> watch =
      store->WatchFrom(revision, [controller = controller.get(), executor](const MetadataStore::Change& change) {
        executor->Post([controller, change] { controller->OnStoreChange(change); });
      });
  if (!watch.ok()) return Annotate(watch.status(), "watching the metadata store");
  controller->watch_ = *std::move(watch);
  return controller;
}

absl::StatusOr<Controller::Election> Controller::Elect(MetadataStore* store, const ControllerOptions& options) {
  Election election;
  ASSIGN_OR_RETURN(election.session, store->OpenSession(options.session_ttl));
  const absl::StatusOr<int64_t> elected =
      store->Txn({{kElectionKey, 0}}, {{kElectionKey, options.name, election.session}});
  if (elected.ok()) {
    election.key = {kElectionKey, *elected};
    return election;
  }
  if (!absl::IsAborted(elected.status())) return Annotate(elected.status(), "taking the controllers' election");
  const absl::StatusOr<MetadataStore::Entry> other = store->Get(kElectionKey);
  return absl::UnavailableError(absl::StrCat("the controller \"", other.ok() ? other->value : "?",
                                             "\" is elected: this one may follow when that has ended"));
}

absl::StatusOr<MetadataState> Controller::Found(MetadataStore* store, const Election& election, std::string cluster,
                                                std::string secret) {
  ASSIGN_OR_RETURN(MetadataState state, Read(*store));
  const Plan plan = PlanFoundation(state, cluster, secret);
  if (plan.empty()) return state;
  Transaction txn = TransactionOf(plan, state, election.key);
  const absl::StatusOr<int64_t> revision = store->Txn(txn.compares, std::move(txn.operations));
  RETURN_IF_ERROR(Annotate(revision.status(), "founding the cluster"));
  LOG(INFO) << "cluster founded" << KV("cluster", cluster);
  return Read(*store);
}

Controller::Controller(MetadataStore* store, Clock* clock, Random* random, Executor* executor,
                       const ControllerOptions& options, Election election, MetadataState state)
    : store_(store),
      clock_(clock),
      random_(random),
      executor_(executor),
      options_(options),
      election_(std::move(election)),
      state_(std::move(state)),
      current_(std::make_shared<const Metadata>(state_.ToTables())) {
  LOG(INFO) << "controller elected" << KV("name", options_.name) << KV("cluster", current_->tables().cluster)
            << KV("revision", state_.revision());
}

Controller::~Controller() {
  watch_.reset();
  // A session that has ended already, or a store that cannot write, leaves nothing to do here.
  if (const absl::Status ended = store_->EndSession(election_.session); !ended.ok()) {
    LOG(WARNING) << "could not give the election up" << KV("status", ended);
  }
}

std::shared_ptr<const Metadata> Controller::Current() const {
  MutexLock lock(&mu_);
  return current_;
}

void Controller::CreateTopic(TopicMetadata topic, Changed done) {
  Change(
      "topic created", [this, topic] { return PlanCreateTopic(state_, options_.limits, topic, clock_->Now()); },
      std::move(done));
}

void Controller::UpdateTopic(TopicUpdate update, Changed done) {
  Change(
      "topic changed", [this, update] { return PlanUpdateTopic(state_, update); }, std::move(done));
}

void Controller::DeleteTopic(ResourceName name, Changed done) {
  Change(
      "topic deleted", [this, name] { return PlanDeleteTopic(state_, name); }, std::move(done));
}

void Controller::CreateGroup(GroupMetadata group, Changed done) {
  Change(
      "group created", [this, group] { return PlanCreateGroup(state_, options_.limits, group, clock_->Now()); },
      std::move(done));
}

void Controller::UpdateGroup(GroupUpdate update, Changed done) {
  Change(
      "group changed", [this, update] { return PlanUpdateGroup(state_, update); }, std::move(done));
}

void Controller::DeleteGroup(ResourceName name, Changed done) {
  Change(
      "group deleted", [this, name] { return PlanDeleteGroup(state_, name); }, std::move(done));
}

void Controller::Subscribe(GroupId group, TopicId topic, Changed done) {
  Change(
      "group subscribed",
      [this, group, topic] { return PlanSubscribe(state_, options_.limits, group, topic, clock_->Now()); },
      std::move(done));
}

void Controller::Unsubscribe(GroupId group, TopicId topic, Changed done) {
  Change(
      "group unsubscribed", [this, group, topic] { return PlanUnsubscribe(state_, group, topic); }, std::move(done));
}

void Controller::ReportGroups(GroupReport report) {
  executor_->Post([this, report = std::move(report)] {
    activity_.OnReport(report, clock_->SinceBoot());
    const std::vector<GroupId> due = activity_.Due(state_, clock_->SinceBoot());
    if (due.empty()) return;
    // What fails is due again with the next report.
    const absl::Status status = Execute("groups expired", [&] { return PlanExpireGroups(state_, due); });
    if (!status.ok()) {
      LOG(WARNING) << "groups could not be expired" << KV("count", due.size()) << KV("status", status);
    }
  });
}

void Controller::RegisterReplica(std::string broker, BrokerRegistration::Replica replica, Changed done) {
  Change(
      "replica registered", [this, broker, replica] { return PlanRegisterReplica(state_, broker, replica); },
      std::move(done));
}

void Controller::RotateSigningKey(Changed done) {
  Change(
      "signing key rotated", [this] { return PlanRotateSigningKey(state_, random_->Bytes(kSecretBytes)); },
      std::move(done));
}

void Controller::Change(const char* event, std::function<absl::StatusOr<Plan>()> plan, Changed done) {
  using Snapshot = std::shared_ptr<const Metadata>;
  executor_->Post([this, event, plan = std::move(plan), answer = Answer<Snapshot>(std::move(done))]() mutable {
    const absl::Status status = Execute(event, plan);
    answer(status.ok() ? absl::StatusOr<Snapshot>(Current()) : status);
  });
}

void Controller::RegisterBroker(BrokerRegistration registration,
                                absl::AnyInvocable<void(absl::StatusOr<BrokerGrant>)> done) {
  executor_->Post(
      [this, registration = std::move(registration), answer = Answer<BrokerGrant>(std::move(done))]() mutable {
        BrokerGrant grant;
        const absl::Status status = Execute("broker registered", [&]() -> absl::StatusOr<Plan> {
          ASSIGN_OR_RETURN(BrokerPlan plan, PlanRegisterBroker(state_, options_.limits, registration, clock_->Now()));
          grant = std::move(plan.grant);
          return std::move(plan.plan);
        });
        if (!status.ok()) {
          LOG(WARNING) << "broker refused" << KV("broker", absl::CHexEscape(registration.id)) << KV("status", status);
          answer(status);
          return;
        }
        for (const ShardGrant& shard : grant.shards) {
          if (!shard.shard.leader.empty()) continue;
          LOG(ERROR) << "shard has no leader: its broker does not have the registered log"
                     << KV("shard", shard.shard.name) << KV("broker", registration.id) << KV("log_id", shard.log_id);
        }
        answer(std::move(grant));
      });
}

void Controller::Watch(absl::AnyInvocable<void(std::shared_ptr<const Metadata>)> observer) {
  executor_->Post([this, observer = std::move(observer)]() mutable {
    observer(Current());
    observers_.push_back(std::move(observer));
  });
}

absl::Status Controller::Execute(const char* event, Planner make_plan) {
  DCHECK(executor_->IsCurrent());
  for (int tries = 0; tries < kMaxTries; ++tries) {
    ASSIGN_OR_RETURN(const Plan plan, make_plan());
    if (plan.empty()) return absl::OkStatus();  // It is so already.
    const absl::StatusOr<int64_t> revision = Commit(plan);
    if (revision.ok()) {
      LOG(INFO) << event << KV("key", plan.puts.empty() ? plan.deletes.front() : KeyOf(plan.puts.back()))
                << KV("records", plan.puts.size() + plan.deletes.size()) << KV("revision", *revision);
      return absl::OkStatus();
    }
    if (!absl::IsAborted(revision.status())) return revision.status();

    // Somebody else wrote. If it was the election, nothing that we plan can be committed any more.
    const absl::StatusOr<MetadataStore::Entry> elected = store_->Get(kElectionKey);
    if (!elected.ok() && !absl::IsNotFound(elected.status())) return elected.status();
    if (!elected.ok() || elected->revision != election_.key.revision) {
      return absl::UnavailableError(absl::StrCat("this controller is no longer the elected one, \"",
                                                 elected.ok() ? elected->value : "", "\" is: ask there"));
    }
    RETURN_IF_ERROR(Reload());
  }
  return absl::UnavailableError(absl::StrCat("others wrote the same metadata ", kMaxTries, " times: try again later"));
}

absl::StatusOr<int64_t> Controller::Commit(const Plan& plan) {
  Transaction txn = TransactionOf(plan, state_, election_.key);
  ASSIGN_OR_RETURN(const int64_t revision, store_->Txn(txn.compares, txn.operations));
  if (revision == state_.revision() + 1) {
    OnStoreChange({revision, std::move(txn.operations)});
  } else {
    RETURN_IF_ERROR(Reload());  // Others wrote other records in between.
  }
  return revision;
}

absl::Status Controller::Reload() {
  absl::StatusOr<MetadataState> state = Read(*store_);
  RETURN_IF_ERROR(state.status());
  if (state->revision() <= state_.revision()) return absl::OkStatus();
  state_ = *std::move(state);
  Publish();
  return absl::OkStatus();
}

void Controller::OnStoreChange(const MetadataStore::Change& change) {
  DCHECK(executor_->IsCurrent());
  if (change.revision <= state_.revision()) return;  // Our own, or read meanwhile.
  // A record that does not decode was written by nobody we know; going on without it would show a cluster that is not.
  CHECK_OK(state_.Apply(change));
  Publish();
}

void Controller::Publish() {
  auto snapshot = std::make_shared<const Metadata>(state_.ToTables());
  {
    MutexLock lock(&mu_);
    current_ = snapshot;
  }
  for (auto& observer : observers_) observer(snapshot);
}

}  // namespace barid::controller
