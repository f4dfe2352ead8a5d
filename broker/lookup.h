#ifndef BARID_BROKER_LOOKUP_H_
#define BARID_BROKER_LOOKUP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "base/broker_calls.h"
#include "broker/dispatcher.h"
#include "broker/lookup_index.h"
#include "broker/lookup_keys.h"
#include "broker/shard_core.h"

namespace barid::broker {

// Finds messages for operators, and tells what became of one. Where a message stands is asked of the state, in steps
// that do not hold up the shard; what only the log says is read on the lookup executor:
//
//   by id or key    log: records with its hash --> log: what fired, recalled or ended it
//                   --> state: at which offset it is now
//   by place, time  state: index blocks --> bodies
//   explain         as by id --> log: records about (queue, offset) --> state: where it went from there, and so on
//                   --> state: standings, and the receives that wait --> bodies of what blocks it
//
// Belongs to the shard's executor.
class Lookup {
 public:
  // Both outlive it.
  Lookup(ShardCore* core, const Dispatcher* dispatcher);

  void SetMetadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }

  void Find(LookupCall call, Callback<LookupResult> done);

  // Makes files for segments that were sealed, removes those of segments that are gone. Now and then.
  void Maintain();

  // Answers whoever still waits: the shard goes.
  void EndAll(const absl::Status& why);

 private:
  // Where a message is, or was.
  struct Stay {
    QueueKey queue;
    QueueOffset offset = 0;

    friend bool operator==(const Stay&, const Stay&) = default;
  };
  // A message that a record of the log has.
  struct Candidate {
    storage::RecordHeader header;
    uint64_t position = 0;
    BulkMessage message;
    // The record that had it first, which may be this one: what names its timer or transaction, and what type that was.
    LogIndex origin = 0;
    uint16_t origin_type = 0;
    Buffer stored;
    // What became of it before it entered a queue, if it did not enter one at once.
    enum class Fate { kNone, kFired, kRecalled, kCommitted, kRolledBack, kDiscarded } fate = Fate::kNone;
    int64_t fate_time_us = 0;
    std::vector<LifeEvent> events;   // Of that.
    std::vector<Stay> dead_letters;  // Where it stood that was redriven.
  };
  struct Job {
    uint64_t id = 0;
    LookupCall call;
    LookupResult result;
    int64_t bytes_left = 0;
    // A walk through queues.
    std::vector<QueueKey> queues;  // Left to look at, the last one first.
    std::optional<QueueOffset> offset;
    // A search in the log.
    std::vector<Candidate> candidates;
    uint64_t resume_position = 0;
    uint64_t search_from = 0;
    uint64_t carries = 0;  // State::carries() when the search began.
    int restarts = 0;
    uint64_t story_from = 0;  // Where the first copy of the message that is explained stands.
    // An explanation.
    std::vector<Stay> stays;
    size_t next_stay = 0;
    std::vector<std::pair<size_t, GroupId>> standings;                         // To be told: of which stay, and whose.
    absl::flat_hash_map<std::pair<uint64_t, size_t>, std::string> settled_by;  // By group and stay.

    size_t messages_left() const {
      return static_cast<size_t>(call.max_messages) -
             std::min<size_t>(static_cast<size_t>(call.max_messages), result.messages.size());
    }
  };
  using JobPtr = std::shared_ptr<Job>;

  void End(const JobPtr& job, const absl::Status& status = absl::OkStatus());
  // Runs `then` on the shard's executor once the log was searched.
  void Search(LookupIndex::Query query, LookupIndex::Visit visit, absl::AnyInvocable<void(absl::Status)> then);

  // --- Through queues. ---
  void StartWalk(const JobPtr& job);
  void Walk(const JobPtr& job);
  void NextQueue(const JobPtr& job);
  void OnBlock(const JobPtr& job, const IndexBlock& block);

  // --- Through the log. ---
  void StartSearch(const JobPtr& job);
  static bool Collect(Job* job, const storage::Record& record);
  void SearchFates(const JobPtr& job);
  static bool NoteFates(Job* job, const storage::Record& record);
  // Asks the state about one candidate after the other, from `first` on.
  void Resolve(const JobPtr& job, size_t first);
  // Of several copies of one message only one is kept: the one that is where the state says, if there is one.
  static void DropCopies(Job* job);
  // The same for one that was carried while it stood in a queue.
  void ResolveCarried(const JobPtr& job, size_t place);
  void OnResolved(const JobPtr& job, size_t place, std::optional<QueueOffset> offset);

  // --- Explanations. ---
  void Explain(const JobPtr& job);
  void TellStay(const JobPtr& job);
  void TellStandings(const JobPtr& job);
  // Of the standing `place` and all behind it, one in a turn of the shard's executor.
  void TellStanding(const JobPtr& job, size_t place);
  GroupStanding StandingOf(const Job& job, size_t stay, GroupId group) const;
  // The hash of the candidate's message group; 0: it has none.
  uint64_t MessageGroupOf(const Candidate& candidate, const QueueKey& queue) const;
  // What of its message group is to be settled, or visible, before the message at `offset` may be given.
  static std::optional<GroupStanding::Blocker> BlockerOf(const Cursor& cursor, uint64_t message_group,
                                                         QueueOffset offset);
  // Reads the ids of the messages that block others, from that of the standing `place` on, and ends.
  void NameBlockers(const JobPtr& job, size_t place);
  void EndExplanation(const JobPtr& job);

  // --- In one queue. ---
  using FoundOffset = absl::AnyInvocable<void(absl::StatusOr<std::optional<QueueOffset>>)>;
  // The first offset that entered at `time_us` or later; the queue's end if there is none. nullopt: the queue is not
  // here.
  void FindTime(const QueueKey& queue, int64_t time_us, FoundOffset then);
  void SearchTime(const QueueKey& queue, int64_t time_us, int64_t low, int64_t high, FoundOffset then);
  // The offset of the entry that points to a message and entered at `time_us`; nullopt if it is not there (any more).
  void FindEntry(const QueueKey& queue, int64_t time_us, LogIndex index, uint32_t payload_offset, FoundOffset then);
  void MatchEntry(const QueueKey& queue, QueueOffset offset, int64_t time_us, LogIndex index, uint32_t payload_offset,
                  FoundOffset then);

  ShardCore* const core_;
  const Dispatcher* const dispatcher_;
  const std::shared_ptr<LookupIndex> index_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  absl::btree_map<uint64_t, Callback<LookupResult>> waiting_;
  uint64_t next_id_ = 1;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_LOOKUP_H_
