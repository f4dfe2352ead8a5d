#ifndef BARID_BROKER_FILTER_SCAN_H_
#define BARID_BROKER_FILTER_SCAN_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/shard_core.h"
#include "filter/filter.h"
#include "filter/filter_cache.h"

namespace barid::broker {

// Evaluates SQL filters for the dispatcher, off the shard's executor, before anything is proposed. Picking asks for the
// verdict on one entry after the other. Where it is not known yet, a slice of the messages from there on is read and
// evaluated; then the receive is woken and picks with what is known now:
//
//   pick --verdict not known--> bodies read --> evaluated on the read executor --> verdicts remembered --woken--> pick
//
// A verdict is about a message, not about a queue or a group: those who ask with the same filter share it. At most
// kMaxRunning slices are under way; who comes then is woken in turn. Belongs to the shard's executor.
class FilterScan {
 public:
  using Subscription = std::pair<TopicId, GroupId>;
  // There are verdicts, or a place: the subscription's receives should be served again.
  using OnReady = absl::AnyInvocable<void(const Subscription&)>;

  enum class Verdict { kMatches, kFilteredOut, kNotKnown };

  // A run of messages of one queue to evaluate at once.
  class Slice {
   public:
    explicit Slice(const QueueKey& queue) : queue_(queue) {}
    // False when it is full; then nothing was added.
    bool Add(QueueOffset offset, const IndexEntry& entry);
    bool empty() const { return entries_.empty(); }

   private:
    friend class FilterScan;
    QueueKey queue_;
    std::vector<QueueOffset> offsets_;
    std::vector<IndexEntry> entries_;
    int64_t bytes_ = 0;
  };

  // `core` outlives it.
  FilterScan(ShardCore* core, OnReady on_ready) : core_(core), on_ready_(std::move(on_ready)) {}

  // kInvalidArgument if the expression cannot be read. Those used last are kept compiled.
  absl::StatusOr<std::shared_ptr<const filter::Filter>> Compile(absl::string_view expression) {
    return compiled_.Get(expression);
  }

  // Whether the message at `entry` matches; everything does if there is no filter. A message that cannot be read
  // matches: whoever picks it finds out, says so, and it is not passed over in silence.
  Verdict Look(const filter::Filter* filter, const IndexEntry& entry) const;

  // Evaluates the slice, which is not empty, and then wakes `subscription`; never within this call.
  void Evaluate(const Subscription& subscription, std::shared_ptr<const filter::Filter> filter, Slice slice);
  // The slice that begins at `from`: entries in memory below `end` that are `wanted` and whose verdicts are not known.
  void EvaluateFrom(const Subscription& subscription, std::shared_ptr<const filter::Filter> filter,
                    const QueueKey& queue, QueueOffset from, QueueOffset end,
                    absl::FunctionRef<bool(const IndexEntry&)> wanted);

  // Messages of which a part of a filter could not be evaluated.
  int64_t problems() const { return problems_; }
  // Messages evaluated.
  int64_t evaluated() const { return evaluated_; }

  struct Judged {
    bool matches = false;
    filter::Problem problem = filter::Problem::kNone;
    int name = -1;  // Of the property that the problem is with, in filter.names().
  };
  // Evaluates messages, in order, until all are done or it has taken long enough: at least one. Any thread.
  static std::vector<Judged> Judge(const filter::Filter& filter, const ShardCore::Bodies& bodies);

 private:
  // A message under a filter: the filter's id, and where the message stands in the log.
  using Key = std::tuple<uint64_t, LogIndex, uint32_t>;
  struct Running {
    std::shared_ptr<const filter::Filter> filter;
    Slice slice;
    absl::btree_set<Subscription> waiting;  // To be woken when it is done.
  };

  static Key KeyOf(const filter::Filter& filter, const IndexEntry& entry) {
    return {filter.id(), entry.index, entry.offset};
  }
  void OnJudged(const Key& key, std::vector<Judged> judged);
  void Remember(const Key& key, bool matches);
  void NoteProblem(const Running& done, size_t place, const Judged& judged);

  ShardCore* const core_;
  OnReady on_ready_;
  filter::FilterCache compiled_{size_t{4} << 20};

  absl::flat_hash_map<Key, bool> verdicts_;    // Whether it matches.
  std::deque<Key> oldest_;                     // Of verdicts_, in the order in which they came.
  absl::flat_hash_map<Key, Running> running_;  // By the first message of the slice.
  std::deque<Subscription> wanting_;           // Found no place, in order,
  absl::btree_set<Subscription> is_wanting_;   // each once.

  int64_t evaluated_ = 0;
  int64_t problems_ = 0;
  int64_t problems_logged_ = 0;
  absl::Duration last_logged_ = -absl::InfiniteDuration();
};

}  // namespace barid::broker

#endif  // BARID_BROKER_FILTER_SCAN_H_
