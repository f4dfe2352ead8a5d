#include "broker/audit.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "broker/shard_metrics.h"

namespace barid::broker {
namespace {

constexpr int64_t kSliceEntries = 1000;
constexpr size_t kMaxLogged = 20;  // Of one run.

}  // namespace

struct Audit::Job {
  explicit Job(std::shared_ptr<storage::KeyValueStore> read) : store(std::move(read)), scan(store->Snapshot()) {}

  std::shared_ptr<storage::KeyValueStore> store;  // Outlives what was read from it.
  AuditScan scan;
  Executor* executor = nullptr;
  absl::Duration pause;
  std::shared_ptr<std::atomic<bool>> stopped;
  absl::AnyInvocable<void(absl::Status)> done;  // On `executor`.
};

void Audit::Tick(int64_t now_us) {
  const int64_t interval_us = absl::ToInt64Microseconds(core_->options().audit_interval);
  if (next_us_ == 0) next_us_ = now_us + interval_us;
  if (now_us < next_us_ || under_way_) return;
  next_us_ = now_us + interval_us;
  Run([](absl::Status) {});
}

void Audit::Run(absl::AnyInvocable<void(absl::Status)> done) {
  if (under_way_) return done(absl::AbortedError("an audit is under way"));
  under_way_ = true;
  const ShardContext& context = core_->context();
  auto job = std::make_shared<Job>(core_->store());
  job->executor = context.lookup_executor;
  job->pause = absl::Seconds(1) * kSliceEntries / core_->options().audit_entries_per_second;
  job->stopped = stopped_;
  job->done =
      [home = context.shard_executor, weak = std::weak_ptr<Job>(job),
       then = core_->IfAlive([this, done = std::move(done)](std::shared_ptr<Job> ended, absl::Status status) mutable {
         OnEnd(*ended, status);
         done(std::move(status));
       })](absl::Status status) mutable {
        home->Post([then = std::move(then), ended = weak.lock(), status = std::move(status)]() mutable {
          then(std::move(ended), std::move(status));
        });
      };
  context.lookup_executor->Post([job = std::move(job)] { RunSlice(job); });
}

void Audit::RunSlice(const std::shared_ptr<Job>& job) {
  if (*job->stopped) return;
  const absl::StatusOr<bool> complete = job->scan.Step(kSliceEntries);
  if (complete.ok() && !*complete) {
    return job->executor->PostAfter(job->pause, [job] { RunSlice(job); });
  }
  job->done(complete.status());
}

void Audit::OnEnd(const Job& job, const absl::Status& status) {
  under_way_ = false;
  if (absl::IsNotFound(status)) return;
  if (!status.ok()) {
    LOG(ERROR) << "the counts of a shard cannot be audited" << KV("dir", core_->dir()) << KV("error", status);
    return;
  }
  ++report_.runs;
  report_.counts += job.scan.counts();
  if (ShardMetrics* const metrics = core_->context().metrics) {
    metrics->audits->Add();
    metrics->audited_counts->Add(static_cast<uint64_t>(job.scan.counts()));
    metrics->audit_mismatches->Add(job.scan.mismatches().size());
  }
  const std::vector<CountMismatch>& mismatches = job.scan.mismatches();
  if (mismatches.empty()) return;
  report_.mismatches += static_cast<int64_t>(mismatches.size());
  report_.last_mismatches.clear();
  for (const CountMismatch& mismatch : mismatches) {
    report_.last_mismatches.push_back(Describe(mismatch));
    if (report_.last_mismatches.size() > kMaxLogged) break;
    const GroupMetadata* const group = metadata_->FindGroup(mismatch.group);
    const TopicMetadata* const topic = metadata_->FindTopic(mismatch.topic);
    LOG(ERROR) << "a count is wrong; a restart counts anew" << KV("count", mismatch.count)
               << KV("group", mismatch.group.value()) << KV("group_name", group == nullptr ? "" : group->name.name)
               << KV("topic", mismatch.topic.value())
               << KV("topic_name", topic == nullptr ? mismatch.origin : topic->name.name)
               << KV("counted", mismatch.counted) << KV("found", mismatch.found) << KV("mismatches", mismatches.size());
  }
}

std::string Audit::Describe(const CountMismatch& mismatch) {
  return absl::StrCat(mismatch.count, " of group ", mismatch.group.value(), " in topic ", mismatch.topic.value(), " ",
                      mismatch.origin, ": ", mismatch.counted, " counted, ", mismatch.found, " found");
}

}  // namespace barid::broker
