#include "broker/filter_scan.h"

#include <algorithm>

#include "base/log.h"
#include "base/stored_message.h"
#include "broker/mutation.h"
#include "broker/shard_metrics.h"

namespace barid::broker {
namespace {

// Of one slice. What is larger than all of it is a slice of its own.
constexpr size_t kSliceMessages = 1024;
constexpr int64_t kSliceBytes = int64_t{4} << 20;
// A slice whose filter is costly is cut here (a few milliseconds): others want the read executor too.
constexpr int64_t kSliceSteps = 2'000'000;
constexpr size_t kMaxRunning = 4;
// Many times what can be running, so that verdicts are used before they are forgotten; some 4 MiB.
constexpr size_t kMaxVerdicts = 1 << 16;
constexpr absl::Duration kLogEvery = absl::Seconds(10);

}  // namespace

bool FilterScan::Slice::Add(QueueOffset offset, const IndexEntry& entry) {
  if (entries_.size() == kSliceMessages || (!entries_.empty() && bytes_ + entry.bytes > kSliceBytes)) return false;
  offsets_.push_back(offset);
  entries_.push_back(entry);
  bytes_ += entry.bytes;
  return true;
}

FilterScan::Verdict FilterScan::Look(const filter::Filter* filter, const IndexEntry& entry) const {
  if (filter == nullptr) return Verdict::kMatches;
  const auto verdict = verdicts_.find(KeyOf(*filter, entry));
  if (verdict == verdicts_.end()) return Verdict::kNotKnown;
  return verdict->second ? Verdict::kMatches : Verdict::kFilteredOut;
}

void FilterScan::EvaluateFrom(const Subscription& subscription, std::shared_ptr<const filter::Filter> filter,
                              const QueueKey& queue, QueueOffset from, QueueOffset end,
                              absl::FunctionRef<bool(const IndexEntry&)> wanted) {
  Slice slice(queue);
  for (QueueOffset offset = from; offset < end;) {
    const IndexBlock* const block = core_->state().index().Resident(BlockOf(queue, offset));
    if (block == nullptr) break;
    const QueueOffset block_end = std::min<QueueOffset>(end, (offset / kBlockEntries + 1) * kBlockEntries);
    bool full = false;
    for (; offset < block_end && !full; ++offset) {
      const IndexEntry& entry = block->entries[static_cast<size_t>(offset % kBlockEntries)];
      if (wanted(entry) && Look(filter.get(), entry) == Verdict::kNotKnown) full = !slice.Add(offset, entry);
    }
    if (full) break;
  }
  CHECK(!slice.empty()) << "queue " << queue << " from " << from;
  Evaluate(subscription, std::move(filter), std::move(slice));
}

void FilterScan::Evaluate(const Subscription& subscription, std::shared_ptr<const filter::Filter> filter, Slice slice) {
  const Key key = KeyOf(*filter, slice.entries_.front());
  if (const auto same = running_.find(key); same != running_.end()) {
    same->second.waiting.insert(subscription);
    return;
  }
  if (running_.size() >= kMaxRunning) {
    if (is_wanting_.insert(subscription).second) wanting_.push_back(subscription);
    return;
  }
  std::vector<IndexEntry> entries = slice.entries_;
  running_.emplace(key, Running{filter, std::move(slice), {subscription}});
  core_->ReadBodies(std::move(entries), [this, key, filter = std::move(filter)](ShardCore::Bodies bodies) mutable {
    core_->context().read_executor->Post([key, filter = std::move(filter), bodies = std::move(bodies),
                                          home = core_->context().shard_executor,
                                          then = core_->IfAlive([this](const Key& key, std::vector<Judged> judged) {
                                            OnJudged(key, std::move(judged));
                                          })]() mutable {
      std::vector<Judged> judged = Judge(*filter, bodies);
      home->Post([key, judged = std::move(judged), then = std::move(then)]() mutable { then(key, std::move(judged)); });
    });
  });
}

std::vector<FilterScan::Judged> FilterScan::Judge(const filter::Filter& filter, const ShardCore::Bodies& bodies) {
  std::vector<Judged> all;
  all.reserve(bodies.size());
  int64_t steps = 0;
  for (const absl::StatusOr<Buffer>& body : bodies) {
    if (steps >= kSliceSteps) break;
    Judged& judged = all.emplace_back();
    const absl::StatusOr<StoredMessageView> message = body.ok() ? DecodeStoredMessage(body->view()) : body.status();
    if (!message.ok()) {
      judged.matches = true;
      continue;
    }
    const filter::Evaluation evaluation = filter.Evaluate(*message);
    judged.matches = evaluation.truth == filter::Truth::kTrue;
    if (BARID_MUTATION(kFilterDeliversAll)) judged.matches = true;
    if (BARID_MUTATION(kFilterLosesMatches)) judged.matches = false;
    judged.problem = evaluation.problem;
    judged.name = evaluation.name;
    steps += evaluation.steps;
  }
  return all;
}

void FilterScan::OnJudged(const Key& key, std::vector<Judged> judged) {
  const auto node = running_.extract(key);
  CHECK(!node.empty());
  const Running& done = node.mapped();
  for (size_t i = 0; i < judged.size(); ++i) {
    Remember(KeyOf(*done.filter, done.slice.entries_[i]), judged[i].matches);
    if (judged[i].problem != filter::Problem::kNone) NoteProblem(done, i, judged[i]);
  }
  evaluated_ += static_cast<int64_t>(judged.size());
  // First who found no place (who may want none any more); then those who waited for this slice, who may want the next.
  while (!wanting_.empty() && running_.size() < kMaxRunning) {
    const Subscription next = wanting_.front();
    wanting_.pop_front();
    is_wanting_.erase(next);
    on_ready_(next);
  }
  for (const Subscription& subscription : done.waiting) on_ready_(subscription);
}

void FilterScan::Remember(const Key& key, bool matches) {
  if (!verdicts_.emplace(key, matches).second) return;
  oldest_.push_back(key);
  if (oldest_.size() > kMaxVerdicts) {
    verdicts_.erase(oldest_.front());
    oldest_.pop_front();
  }
}

void FilterScan::NoteProblem(const Running& done, size_t place, const Judged& judged) {
  ++problems_;
  if (ShardMetrics* const metrics = core_->context().metrics) metrics->filter_problems->Add();
  const absl::Duration now = core_->context().clock->SinceBoot();
  if (now - last_logged_ < kLogEvery) return;
  last_logged_ = now;
  LOG(WARNING) << "a filter could not be wholly evaluated; such messages are delivered only if the rest of it is true"
               << KV("messages", problems_ - problems_logged_) << KV("group", done.waiting.begin()->second)
               << KV("queue", done.slice.queue_) << KV("offset", done.slice.offsets_[place])
               << KV("problem", filter::ProblemName(judged.problem))
               << KV("property", judged.name < 0 ? "" : done.filter->names()[static_cast<size_t>(judged.name)]);
  problems_logged_ = problems_;
}

}  // namespace barid::broker
