#include "broker/broker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/awaited.h"
#include "base/log.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/log_scan.h"

namespace barid::broker {
namespace {

// A broker whose clock is this far ahead of the controller's does not lead: it would stamp records that a later leader
// could not follow.
constexpr absl::Duration kMaxClockAhead = absl::Seconds(10);
// How long a call waits for the shard to hear of a topic that the proxy knows already.
constexpr absl::Duration kMetadataPatience = absl::Seconds(2);

absl::Status Stopped() { return absl::UnavailableError("the broker does not host the shard (yet, or any more)"); }

std::string LogIdText(uint64_t log_id) { return absl::StrCat(absl::Hex(log_id, absl::kZeroPad16)); }

}  // namespace

Broker::Broker(Env* env, Clock* clock, Random* random, NewExecutor new_executor, ControllerApi* controller,
               BrokerOptions options, OnHalt on_halt, BrokerMetrics* metrics)
    : env_(env),
      clock_(clock),
      random_(random),
      new_executor_(std::move(new_executor)),
      controller_(controller),
      options_(std::move(options)),
      on_halt_(std::move(on_halt)),
      metrics_(metrics),
      read_executor_(new_executor_("barid-read", ThreadPriority::kNormal)),
      checkpoint_executor_(new_executor_("barid-checkpt", ThreadPriority::kNormal)),
      lookup_executor_(new_executor_("barid-lookup", ThreadPriority::kBackground)),
      self_(std::make_shared<Self>()) {
  MutexLock lock(&self_->mu);
  self_->broker = this;
}

Broker::~Broker() {
  {
    MutexLock lock(&self_->mu);
    self_->broker = nullptr;
  }
  Stop();
}

std::string Broker::ShardDir(ShardId shard) const {
  return JoinPath(JoinPath(options_.data_dir, "shards"), absl::StrCat(shard.value()));
}

absl::StatusOr<BrokerRegistration> Broker::FindReplicas() const {
  BrokerRegistration registration;
  registration.id = options_.id;
  const std::string dir = JoinPath(options_.data_dir, "shards");
  RETURN_IF_ERROR(storage::CreateDirDurably(env_, dir));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env_->ListDir(dir));
  for (const std::string& name : names) {
    uint64_t id = 0;
    if (!absl::SimpleAtoi(name, &id)) continue;
    const absl::StatusOr<storage::Identity> identity =
        storage::ReadIdentity(env_, JoinPath(ShardDir(ShardId(id)), "identity"));
    // A directory whose identity was never written has never held a record.
    if (absl::IsNotFound(identity.status())) continue;
    RETURN_IF_ERROR(identity.status());
    registration.cluster = identity->cluster;
    registration.replicas.push_back({identity->shard, LogIdText(identity->log_id)});
  }
  return registration;
}

absl::StatusOr<BrokerGrant> Broker::Register(BrokerRegistration registration, absl::Duration patience) {
  const absl::Duration give_up = clock_->SinceBoot() + patience;
  while (true) {
    auto answer = std::make_shared<Awaited<absl::StatusOr<BrokerGrant>>>();
    controller_->RegisterBroker(registration,
                                [answer](absl::StatusOr<BrokerGrant> grant) { answer->Set(std::move(grant)); });
    const absl::Duration left = give_up - clock_->SinceBoot();
    std::optional<absl::StatusOr<BrokerGrant>> grant = answer->WaitFor(std::max(left, absl::Milliseconds(1)));
    if (!grant)
      return absl::UnavailableError(
          absl::StrCat("the controller did not answer within ", absl::FormatDuration(patience)));
    if (!absl::IsUnavailable(grant->status()) || clock_->SinceBoot() >= give_up) return *std::move(grant);
    LOG(WARNING) << "the controller is not there yet" << KV("error", grant->status());
    Awaited<bool> pause;  // Nobody answers: this is the wait before the next try.
    pause.WaitFor(absl::Milliseconds(500));
  }
}

absl::Status Broker::Start(const std::string& endpoint, absl::Duration patience) {
  ASSIGN_OR_RETURN(BrokerRegistration registration, FindReplicas());
  registration.endpoint = endpoint;
  ASSIGN_OR_RETURN(const BrokerGrant grant, Register(std::move(registration), patience));
  const absl::Duration ahead = clock_->Now() - grant.now;
  if (ahead > kMaxClockAhead) {
    return absl::FailedPreconditionError(absl::StrCat("this machine's clock is ", absl::FormatDuration(ahead),
                                                      " ahead of the controller's; set it, then start again"));
  }
  // The shards hear of the metadata before anyone calls them.
  controller_->Watch([self = self_](std::shared_ptr<const Metadata> metadata) {
    MutexLock lock(&self->mu);
    if (self->broker != nullptr) self->broker->OnMetadata(std::move(metadata));
  });
  absl::Status first_error;
  for (const ShardGrant& shard : grant.shards) {
    const absl::Status hosted = Host(grant, shard);
    if (hosted.ok()) continue;
    LOG(ERROR) << "shard does not serve" << KV("shard", shard.shard.name) << KV("error", hosted);
    if (first_error.ok()) first_error = hosted;
  }
  return first_error;
}

// The log that the shard must have here. An empty one is never started in the place of another.
absl::StatusOr<storage::Identity> Broker::CheckIdentity(const BrokerGrant& grant, const ShardGrant& shard) {
  const std::string dir = ShardDir(shard.shard.id);
  const std::string path = JoinPath(dir, "identity");
  absl::StatusOr<storage::Identity> identity = storage::ReadIdentity(env_, path);
  if (absl::IsNotFound(identity.status()) && shard.log_id.empty()) {
    storage::Identity fresh;
    fresh.cluster = grant.cluster;
    fresh.shard = shard.shard.id;
    fresh.replica = options_.id;
    do {
      fresh.log_id = random_->Next();
    } while (fresh.log_id == 0);
    // The controller will know this log: from then on it must not go with its directory's name.
    RETURN_IF_ERROR(storage::CreateDirDurably(env_, dir));
    RETURN_IF_ERROR(storage::WriteIdentity(env_, path, fresh));
    identity = fresh;
  }
  if (absl::IsNotFound(identity.status())) {
    return absl::DataLossError(absl::StrCat("the controller knows log ", shard.log_id, " of shard ", shard.shard.name,
                                            ", and there is none in ", dir, "; is this the right data directory?"));
  }
  RETURN_IF_ERROR(identity.status());
  const std::string found = LogIdText(identity->log_id);
  if (identity->cluster != grant.cluster || identity->shard != shard.shard.id || identity->replica != options_.id ||
      (!shard.log_id.empty() && shard.log_id != found)) {
    return absl::DataLossError(absl::StrCat(
        path, " names log ", found, " of shard ", identity->shard.value(), ", broker ", identity->replica, ", cluster ",
        identity->cluster, "; the controller expects log ", shard.log_id.empty() ? "(any)" : shard.log_id, " of shard ",
        shard.shard.id.value(), ", broker ", options_.id, ", cluster ", grant.cluster));
  }
  if (shard.log_id.empty()) {
    // Before the first record: from now on only this log is the shard's.
    auto answer = std::make_shared<Awaited<absl::Status>>();
    controller_->RegisterReplica(options_.id, {shard.shard.id, found},
                                 [answer](auto metadata) { answer->Set(metadata.status()); });
    RETURN_IF_ERROR(
        answer->WaitFor(absl::Seconds(10)).value_or(absl::UnavailableError("the controller did not answer")));
  }
  if (identity->has_records) {
    // Looked at before anything is made in its place, so that what is left can be repaired.
    const std::string log_dir = JoinPath(dir, "log");
    ASSIGN_OR_RETURN(const bool exists, env_->Exists(log_dir));
    std::vector<uint64_t> segments;
    if (exists) {
      ASSIGN_OR_RETURN(segments, storage::ListSegments(env_, log_dir));
    }
    if (segments.empty()) {
      return absl::DataLossError(absl::StrCat(path, " says that log ", found, " of shard ", shard.shard.name,
                                              " has records, and there is none in ", log_dir,
                                              "; nothing was changed. Restore log and state from a backup."));
    }
  }
  return identity;
}

absl::Status Broker::Host(const BrokerGrant& grant, const ShardGrant& shard) {
  ASSIGN_OR_RETURN(storage::Identity identity, CheckIdentity(grant, shard));
  auto owner = std::make_unique<Hosted>();
  Hosted* const hosted = owner.get();
  hosted->id = shard.shard.id;
  hosted->executor = new_executor_(absl::StrCat("barid-shard-", shard.shard.id.value()), ThreadPriority::kNormal);
  ShardOptions options = options_.shard;
  options.log.log_id = identity.log_id;
  if (metrics_ != nullptr) hosted->metrics = std::make_unique<ShardMetrics>(metrics_, hosted->id);
  const ShardContext context{env_,
                             clock_,
                             hosted->executor.get(),
                             hosted->executor.get(),
                             read_executor_.get(),
                             checkpoint_executor_.get(),
                             lookup_executor_.get(),
                             hosted->metrics.get()};
  ASSIGN_OR_RETURN(hosted->shard, Shard::Open(shard.shard.id, ShardDir(shard.shard.id), options, context));
  absl::Status status;
  if (identity.has_records && hosted->shard->state().applied_index() == 0) {
    status = absl::DataLossError(absl::StrCat("log ", LogIdText(identity.log_id), " had records, and none is left in ",
                                              ShardDir(hosted->id), ". Restore log and state from a backup."));
  }
  if (status.ok()) status = Lead(hosted, shard.shard.epoch);
  if (status.ok() && !identity.has_records) {
    // Before the shard can be called: what it acknowledges is never missed in silence. A start that dies before this is
    // done has lost nothing, and the next one goes on from wherever it is.
    identity.has_records = true;
    status = storage::WriteIdentity(env_, JoinPath(ShardDir(hosted->id), "identity"), identity);
  }
  if (!status.ok()) Close(hosted);
  MutexLock lock(&mu_);
  hosted_[hosted->id] = std::move(owner);
  if (metadata_ != nullptr) Tell(hosted, metadata_);
  return status;
}

absl::Status Broker::Lead(Hosted* hosted, Epoch epoch) {
  {
    MutexLock lock(&mu_);
    if (metadata_ != nullptr) Tell(hosted, metadata_);
  }
  auto led = std::make_shared<Awaited<absl::Status>>();
  hosted->executor->Post([this, hosted, led, epoch] {
    hosted->shard->SetOnHalt([this](const absl::Status& why) { on_halt_(why); });
    hosted->shard->Lead(epoch, options_.id, [led](absl::Status status) { led->Set(std::move(status)); });
  });
  return led->WaitFor(absl::Minutes(1))
      .value_or(absl::DeadlineExceededError("the shard's first record was not durable within a minute"));
}

void Broker::Tell(Hosted* hosted, std::shared_ptr<const Metadata> metadata) {
  hosted->executor->Post([hosted, metadata = std::move(metadata)] {
    if (hosted->shard == nullptr || metadata->revision() < hosted->metadata_revision) return;
    hosted->metadata_revision = metadata->revision();
    hosted->shard->SetMetadata(metadata);
    for (Hosted::Waiting& waiting : std::exchange(hosted->waiting, {})) {
      if (waiting.revision <= hosted->metadata_revision) {
        waiting.task(absl::OkStatus());
      } else {
        hosted->waiting.push_back(std::move(waiting));
      }
    }
    if (hosted->waiting.empty()) hosted->cancelled.clear();
  });
}

void Broker::OnMetadata(std::shared_ptr<const Metadata> metadata) {
  MutexLock lock(&mu_);
  metadata_ = metadata;
  for (const auto& [id, owner] : hosted_) Tell(owner.get(), metadata);
}

void Broker::WhenKnown(Hosted* hosted, int64_t revision, absl::AnyInvocable<void(absl::Status)> task) {
  if (revision <= hosted->metadata_revision) return task(absl::OkStatus());
  const uint64_t id = hosted->next_waiting_id++;
  hosted->waiting.push_back({revision, id, std::move(task)});
  hosted->executor->PostAfter(kMetadataPatience, [hosted, id] {
    for (auto it = hosted->waiting.begin(); it != hosted->waiting.end(); ++it) {
      if (it->id != id) continue;
      auto late = std::move(it->task);
      const int64_t wanted = it->revision;
      hosted->waiting.erase(it);
      return late(absl::UnavailableError(absl::StrCat("the broker knows the metadata up to revision ",
                                                      hosted->metadata_revision, ", the call was made with revision ",
                                                      wanted, ": try again")));
    }
  });
}

Broker::Hosted* Broker::Find(ShardId shard) const {
  const auto it = hosted_.find(shard);
  return it == hosted_.end() ? nullptr : it->second.get();
}

void Broker::Append(AppendCall call, Callback<AppendResult> done) {
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, call = std::move(call), done = std::move(done)]() mutable {
        const int64_t revision = call.metadata_revision;
        const auto append = [hosted](AppendCall call, Callback<AppendResult> done) {
          if (hosted->shard == nullptr) return done(AppendResult{Stopped(), {}});
          hosted->shard->Append(std::move(call), std::move(done));
        };
        // The usual case takes no other callback.
        if (revision <= hosted->metadata_revision) return append(std::move(call), std::move(done));
        WhenKnown(hosted, revision,
                  [append, call = std::move(call), done = std::move(done)](absl::Status known) mutable {
                    if (!known.ok()) return done(AppendResult{std::move(known), {}});
                    append(std::move(call), std::move(done));
                  });
      });
      return;
    }
  }
  done(AppendResult{Stopped(), {}});
}

void Broker::Recall(RecallCall call, Callback<RecallResult> done) {
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, call, done = std::move(done)]() mutable {
        if (hosted->shard == nullptr) return done({Stopped()});
        hosted->shard->Recall(call, std::move(done));
      });
      return;
    }
  }
  done({Stopped()});
}

void Broker::EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) {
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, call = std::move(call), done = std::move(done)]() mutable {
        if (hosted->shard == nullptr) return done({Stopped()});
        hosted->shard->EndTransaction(std::move(call), std::move(done));
      });
      return;
    }
  }
  done({Stopped()});
}

void Broker::TakeChecks(ChecksCall call, Callback<ChecksResult> done) {
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, call = std::move(call), done = std::move(done)]() mutable {
        if (hosted->shard == nullptr) return done({Stopped(), {}});
        hosted->shard->TakeChecks(std::move(call), std::move(done));
      });
      return;
    }
  }
  done({Stopped(), {}});
}

void Broker::ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) {
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, call = std::move(call), done = std::move(done)]() mutable {
        if (hosted->shard == nullptr) return done({Stopped(), {}});
        hosted->shard->ListTransactions(std::move(call), std::move(done));
      });
      return;
    }
  }
  done({Stopped(), {}});
}

void Broker::Lookup(LookupCall call, Callback<LookupResult> done) {
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, call = std::move(call), done = std::move(done)]() mutable {
        LookupResult stopped;
        stopped.status = Stopped();
        if (hosted->shard == nullptr) return done(std::move(stopped));
        hosted->shard->Find(std::move(call), std::move(done));
      });
      return;
    }
  }
  LookupResult stopped;
  stopped.status = Stopped();
  done(std::move(stopped));
}

void Broker::Redrive(RedriveCall call, Callback<RedriveResult> done) {
  const auto fail = [](Callback<RedriveResult> done, absl::Status why) {
    RedriveResult result;
    result.status = std::move(why);
    done(std::move(result));
  };
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([fail, hosted, call = std::move(call), done = std::move(done)]() mutable {
        const int64_t revision = call.metadata_revision;
        WhenKnown(hosted, revision,
                  [fail, hosted, call = std::move(call), done = std::move(done)](absl::Status known) mutable {
                    if (!known.ok()) return fail(std::move(done), std::move(known));
                    if (hosted->shard == nullptr) return fail(std::move(done), Stopped());
                    hosted->shard->SendBack(std::move(call), std::move(done));
                  });
      });
      return;
    }
  }
  fail(std::move(done), Stopped());
}

uint64_t Broker::Receive(ReceiveCall call, Callback<ReceiveResult> done) {
  const uint64_t id = next_receive_id_++;
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, id, call = std::move(call), done = std::move(done)]() mutable {
        const int64_t revision = call.metadata_revision;
        WhenKnown(hosted, revision,
                  [hosted, id, call = std::move(call), done = std::move(done)](absl::Status known) mutable {
                    if (hosted->cancelled.erase(id) > 0) return done(ReceiveResult{});
                    if (!known.ok()) return done(ReceiveResult{std::move(known), {}});
                    if (hosted->shard == nullptr) return done(ReceiveResult{Stopped(), {}});
                    hosted->shard->Receive(id, std::move(call), std::move(done));
                  });
      });
      return id;
    }
  }
  done(ReceiveResult{Stopped(), {}});
  return id;
}

void Broker::CancelReceive(ShardId shard, uint64_t receive_id) {
  MutexLock lock(&mu_);
  Hosted* const hosted = Find(shard);
  if (hosted == nullptr) return;
  hosted->executor->Post([hosted, receive_id] {
    if (!hosted->waiting.empty()) hosted->cancelled.insert(receive_id);
    if (hosted->shard != nullptr) hosted->shard->CancelReceive(receive_id);
  });
}

void Broker::Settle(SettleCall call, Callback<SettleResult> done) {
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, call = std::move(call), done = std::move(done)]() mutable {
        if (hosted->shard == nullptr) return done(SettleResult{Stopped(), {}});
        hosted->shard->Settle(std::move(call), std::move(done));
      });
      return;
    }
  }
  done(SettleResult{Stopped(), {}});
}

void Broker::ReportSent(SentReport report) {
  MutexLock lock(&mu_);
  Hosted* const hosted = Find(report.shard);
  if (hosted == nullptr) return;
  hosted->executor->Post([hosted, report = std::move(report)] {
    if (hosted->shard != nullptr) hosted->shard->ReportSent(report);
  });
}

void Broker::ReportClients(const ClientReport& report) {
  MutexLock lock(&mu_);
  for (const auto& [id, owner] : hosted_) {
    owner->executor->Post([hosted = owner.get(), report] {
      if (hosted->shard != nullptr) hosted->shard->ReportClients(report);
    });
  }
}

void Broker::Stats(StatsCall call, Callback<StatsResult> done) {
  struct Gathering {
    Mutex mu;
    StatsResult result ABSL_GUARDED_BY(mu);
    size_t missing ABSL_GUARDED_BY(mu) = 0;
    Callback<StatsResult> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  {
    MutexLock lock(&gathering->mu);
    gathering->missing = 1;
  }
  const auto arrived = [gathering](std::vector<QueueStats> queues, std::vector<GroupCount> counts) {
    std::optional<StatsResult> complete;
    {
      MutexLock lock(&gathering->mu);
      for (QueueStats& stats : queues) gathering->result.queues.push_back(std::move(stats));
      for (GroupCount& count : counts) gathering->result.counts.push_back(std::move(count));
      if (--gathering->missing == 0) complete = std::move(gathering->result);
    }
    if (complete) gathering->done(*std::move(complete));
  };
  {
    MutexLock lock(&mu_);
    {
      MutexLock counting(&gathering->mu);
      gathering->missing += hosted_.size();
    }
    for (const auto& [id, owner] : hosted_) {
      owner->executor->Post([hosted = owner.get(), call, arrived] {
        if (hosted->shard == nullptr) return arrived({}, {});
        hosted->shard->Count(call,
                             [arrived, queues = hosted->shard->Stats(call)](std::vector<GroupCount> counts) mutable {
                               arrived(std::move(queues), std::move(counts));
                             });
      });
    }
  }
  arrived({}, {});
}

template <typename Call, typename Result>
void Broker::OnShard(Call call, Callback<Result> done, void (Shard::*task)(Call, Callback<Result>)) {
  const auto fail = [](Callback<Result> done, absl::Status why) {
    Result result;
    result.status = std::move(why);
    done(std::move(result));
  };
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, fail, task, call = std::move(call), done = std::move(done)]() mutable {
        const int64_t revision = call.metadata_revision;
        WhenKnown(hosted, revision,
                  [hosted, fail, task, call = std::move(call), done = std::move(done)](absl::Status known) mutable {
                    if (!known.ok()) return fail(std::move(done), std::move(known));
                    if (hosted->shard == nullptr) return fail(std::move(done), Stopped());
                    (hosted->shard.get()->*task)(std::move(call), std::move(done));
                  });
      });
      return;
    }
  }
  fail(std::move(done), Stopped());
}

void Broker::QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) {
  OnShard(std::move(call), std::move(done), &Shard::QueryOffset);
}

void Broker::GetOffset(GetOffsetCall call, Callback<OffsetResult> done) {
  OnShard(std::move(call), std::move(done), &Shard::GetOffset);
}

void Broker::UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) {
  OnShard(std::move(call), std::move(done), &Shard::UpdateOffset);
}

void Broker::SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) {
  OnShard(std::move(call), std::move(done), &Shard::SyncLite);
}

void Broker::ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) {
  OnShard(std::move(call), std::move(done), &Shard::ResetOffset);
}

uint64_t Broker::Pull(PullCall call, Callback<PullResult> done) {
  const uint64_t id = next_receive_id_++;
  {
    MutexLock lock(&mu_);
    if (Hosted* const hosted = Find(call.shard)) {
      hosted->executor->Post([hosted, id, call = std::move(call), done = std::move(done)]() mutable {
        const int64_t revision = call.metadata_revision;
        WhenKnown(hosted, revision,
                  [hosted, id, call = std::move(call), done = std::move(done)](absl::Status known) mutable {
                    if (hosted->cancelled.erase(id) > 0) return done({absl::OkStatus(), {}, call.offset});
                    if (!known.ok()) return done({std::move(known), {}, 0});
                    if (hosted->shard == nullptr) return done({Stopped(), {}, 0});
                    hosted->shard->Pull(id, std::move(call), std::move(done));
                  });
      });
      return id;
    }
  }
  done({Stopped(), {}, 0});
  return id;
}

void Broker::Drain() {
  MutexLock lock(&mu_);
  for (const auto& [id, owner] : hosted_) {
    owner->executor->Post([hosted = owner.get()] {
      if (hosted->shard != nullptr) hosted->shard->Drain();
    });
  }
}

void Broker::Stop() {
  // From here on nothing more is posted to a shard.
  absl::btree_map<ShardId, std::unique_ptr<Hosted>> hosted;
  {
    MutexLock lock(&mu_);
    hosted = std::exchange(hosted_, {});
  }
  for (const auto& [id, one] : hosted) Close(one.get());
  // Their tasks come home to the shards' executors, so they end before those do.
  read_executor_ = nullptr;
  checkpoint_executor_ = nullptr;
  lookup_executor_ = nullptr;
}

void Broker::Close(Hosted* hosted) {
  auto written = std::make_shared<Awaited<absl::Status>>();
  hosted->executor->Post([hosted, written] {
    if (hosted->shard == nullptr) return written->Set(absl::OkStatus());
    hosted->shard->Drain();
    hosted->shard->Checkpoint([written](absl::Status status) { written->Set(std::move(status)); });
  });
  const std::optional<absl::Status> status = written->WaitFor(absl::Seconds(30));
  if (!status || !status->ok()) {
    LOG(WARNING) << "no last checkpoint; the next start replays the log" << KV("shard", hosted->id)
                 << KV("error", status.value_or(absl::DeadlineExceededError("30 s")));
  }
  // What was posted before is answered by the shard or, behind this, by its absence.
  RunAndWait(hosted->executor.get(), [hosted] {
    hosted->shard = nullptr;
    for (Hosted::Waiting& waiting : std::exchange(hosted->waiting, {})) waiting.task(Stopped());
  });
}

}  // namespace barid::broker
