#ifndef BARID_BROKER_CARRIER_H_
#define BARID_BROKER_CARRIER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "broker/shard_core.h"

namespace barid::broker {

// What a message costs in a Carry record beside its bytes, at least: so that messages that were carried are never taken
// for mostly dead.
inline constexpr int64_t kCarriedOverheadBytes = 64;

// Up to where a log is worth carrying: the log index below which everything is to be carried, or 0.
//
// Space is freed from the log's beginning on, whole segments at a time. So for each range of log indexes that begins in
// front of the segment that is written, what stands before it would have to be carried, and the segments wholly before
// it would be freed. Of those where that is at most `live_percent` of what is freed, the one with the lowest share is
// taken. When none is left, the sealed part of the log is at most 100 / live_percent of what is live in it, whatever
// the order in which things died.
struct CarryGoal {
  LogIndex below = 0;
  int64_t pointers = 0;  // To be moved,
  int64_t bytes = 0;     // with so many bytes of messages.
  uint64_t freed_bytes = 0;
};
//
// What is dead already is not gained by carrying: freed is counted from the first thing that is live.
CarryGoal ChooseCarryGoal(const std::vector<LiveRange>& ranges, uint64_t first_position, uint64_t end_position,
                          uint64_t segment_bytes, int64_t live_percent);

// The beginning of a goal, which is carried first: an eighth of what the goal frees, at least a segment. So what is
// freed follows what is copied, and a part and its copy are never there together for long.
CarryGoal FirstStepOf(LogIndex below, const std::vector<LiveRange>& ranges, uint64_t first_position,
                      uint64_t segment_bytes);

// Carries forward what still points into an old, mostly dead part of the log, by Carry records, so that Trim can free
// it. One pass goes over all queues of the shard, its timers and its open transactions; what it finds is read and
// proposed in slices, no faster than the options allow, and never while much waits for the disk. What changes behind
// its back is dropped at apply, and what it does not see is found by the next pass. Belongs to the shard's executor;
// leaders only.
class Carrier {
 public:
  explicit Carrier(ShardCore* core) : core_(core) {}

  // Called after each pass, so that what it freed is trimmed.
  void SetOnDone(std::function<void()> on_done) { on_done_ = std::move(on_done); }

  // How many bytes the disk takes before even records that give something back are in danger. A pass ends when it has
  // used them up.
  void SetRoom(int64_t bytes) { room_ = bytes; }

  // Begins a pass if one is worth it and none is under way.
  void Run();
  // The same whether it is worth it or not.
  void CarryBelow(LogIndex below);

  bool is_busy() const { return below_ != 0; }
  // Messages moved by this object.
  int64_t carried() const { return carried_; }

 private:
  // Something that points below the goal.
  struct Pointer {
    log::Carry::Entry entry;
    uint64_t position = 0;  // Of the record that it points at.
  };
  enum class Stage { kQueues, kTimers, kTransactions };

  // Goes on looking; copies what was found once it is a slice.
  void Step();
  void LookAtQueue();
  void LookAtTimers();
  void LookAtTransactions();
  void AddOf(const QueueKey& queue, const IndexBlock& block);
  void AddTimer(const TimerKey& key, const Timer& timer);
  bool IsFull() const;
  void PostStep();

  // Reads the bodies of what was found, elsewhere.
  void Copy();
  // A record and the messages in it: neighbours are often of one.
  struct Source;
  // The message's bytes, and where they came from, which goes into `pointer`. `source` is the record read last.
  static absl::StatusOr<Buffer> ReadOne(const storage::CommitLog& log, Pointer* pointer, Source* source);
  void Propose(std::vector<Pointer> pointers, std::vector<absl::StatusOr<Buffer>> bodies);
  void End();

  ShardCore* const core_;
  std::function<void()> on_done_ = [] {};

  LogIndex goal_ = 0;   // Passes go on, a step each, until nothing below it is live; 0: there is none.
  LogIndex below_ = 0;  // Of the pass that is under way; 0: none is.
  Stage stage_ = Stage::kQueues;
  QueueKey queue_;  // Where it goes on: in this queue or the next one,
  QueueOffset offset_ = 0;
  TimerKey timer_{0, 0, 0};
  TransactionKey transaction_{0, 0};
  std::vector<Pointer> found_;
  int64_t found_bytes_ = 0;
  int64_t carried_ = 0;
  int64_t moved_ = 0;        // In this pass,
  int64_t moved_bytes_ = 0;  // with so many bytes.
  int64_t room_ = std::numeric_limits<int64_t>::max();
  // What cannot be read stays where it is: the next pass is put off, longer each time that none moved anything.
  bool failed_ = false;  // In this pass.
  int failures_ = 0;     // Passes in a row.
  int64_t next_try_us_ = 0;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_CARRIER_H_
