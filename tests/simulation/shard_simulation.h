#ifndef BARID_TESTS_SIMULATION_SHARD_SIMULATION_H_
#define BARID_TESTS_SIMULATION_SHARD_SIMULATION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/simulated/disk.h"
#include "base/simulated/executor.h"
#include "broker/shard.h"
#include "tests/simulation/checker.h"
#include "tests/simulation/lite_world.h"

namespace barid::broker {

// One shard on a simulated disk, clock and executors; clients that send, receive and settle at random; crashes, failing
// syncs, time jumps, deletions. At the end everything heals and all groups consume until nothing comes. What is proved
// is said in checker.h.
//
// A run follows from its seed: nothing depends on addresses, on the order of hash maps, or on another thread.
class ShardSimulation {
 public:
  struct Counts {
    int64_t events = 0;   // Tasks of executors.
    absl::Duration time;  // That passed in the simulated world.
    int64_t delivered = 0;
    int64_t crashes = 0;
    int64_t checkpoint_starts = 0;  // Starts that found a checkpoint.
    int64_t trims = 0;              // Starts and ends that found the log trimmed.
    int64_t carry_passes = 0;       // Begun by the simulation.
    int64_t carried = 0;            // Messages, by whom it may be.
    int64_t records = 0;
    int64_t scheduled = 0;
    int64_t recalled = 0;   // Acknowledged recalls.
    int64_t committed = 0;  // Acknowledged ends of transactions, repeated ones included.
    int64_t rolled_back = 0;
    int64_t checked = 0;  // Checks given out.
    int64_t discarded = 0;
    int64_t repeated = 0;           // Deliveries again by attempt id.
    int64_t renewed = 0;            // Deliveries that clients were to keep.
    int64_t stored_offsets = 0;     // Acknowledged.
    int64_t resets = 0;             // Acknowledged resets of places.
    int64_t pulled = 0;             // Messages.
    int64_t redriven = 0;           // Dead letters sent back.
    int64_t found = 0;              // Messages looked up by id.
    int64_t sent_again = 0;         // Messages,
    int64_t last_in_window = 0;     // and those of them that were the oldest to be remembered.
    int64_t sent_after_window = 0;  // With the id and content of one that is not remembered any more.
    int64_t reused_ids = 0;
    int64_t subscribed_again = 0;
    int64_t by_priority = 0;   // Receives of PRIORITY topics of which it was known what they were to give,
    int64_t oldest_first = 0;  // and those of them that gave what no order by priority does.
    int64_t audited = 0;       // Counts that an audit compared.
    int64_t lite_settled = 0;  // Messages of lite topics.
    int64_t paused = 0;        // Receives of paused groups that were answered with nothing.
    int64_t stuck = 0;         // Runs in which a message group was stuck, and others had to pass.
  };

  enum class Watch {
    kNothing,
    kDigest,  // Of every call and answer, too, not of the world alone.
    kPrint,   // The same, and every call and answer goes to stderr.
  };
  explicit ShardSimulation(uint64_t seed, Watch watch = Watch::kNothing);
  ~ShardSimulation();

  // The first violation; empty: none.
  std::string Run();

  const Counts& counts() const { return counts_; }
  // Of all that has happened: two runs with the same digest were the same.
  uint64_t digest() const { return digest_; }

 private:
  // Drawn once per run: what makes this world different from others.
  struct Character {
    int steps = 0;
    bool storms = false;  // Thousands of records that change nothing, so that the log is trimmed.
    bool steps_wall_clock = false;
    bool keeps_unsettled = false;
    bool clients_stay = false;  // To the end; else they fall silent, and what they hold must come back.
    bool dead_letters = false;
    bool ordered = false;       // Only topics with few message groups, and ordered groups.
    bool priorities = false;    // There is a PRIORITY topic.
    bool lite_ordered = false;  // Its group is an ordered one.
    bool lite = false;          // There is a topic with lite topics; what waits in them holds the log.
    bool resets =
        false;  // Places of groups are reset; then nothing goes to the dead letters, from where nothing comes back.
    bool far_timers = false;  // An hour and more ahead.
    uint64_t crash_one_in = 0;
    uint64_t fault_one_in = 0;
    uint64_t delete_one_in = 0;
  };
  // A topic and the groups that read it.
  struct Stream {
    Checker::Topic topic;
    int32_t queues = 1;
    int message_groups = 0;  // 0: its messages have none.
    bool idempotent = true;
    bool is_priority = false;            // Then a message's queue is its priority.
    std::vector<Checker::Group> groups;  // With those that read their dead letters.
    GroupId reader;                      // Stores offsets, and is not delivered to.
  };

  // --- The process ---
  void Start();
  void Crash();
  bool Restart();                                          // Opens and leads; false if the power went meanwhile.
  void OnShard(absl::AnyInvocable<void(Shard*)> task);     // Posts; the world decides when.
  void NowOnShard(absl::AnyInvocable<void(Shard*)> task);  // Runs the world until it is done.
  void PublishMetadata();
  bool IsDown() const;

  // --- Clients ---
  void Step();
  void Send() { SendTo(streams_[random_.Below(streams_.size())]); }
  void SendTo(const Stream& stream);
  int32_t RandomPriority();
  // `sent`: the number of the call among sent_calls_, if it is there.
  void Post(AppendCall call, const std::vector<Checker::Number>& numbers, std::optional<uint64_t> sent);
  void Remember(const AppendCall& call, const std::vector<Checker::Number>& numbers);
  // Some messages of an earlier send, while they are remembered for sure.
  void SendAgain();
  // A message with the id and content of one that is forgotten for sure, which is a new one.
  void SendAfterWindow();
  // Of one queue of the stream.
  std::string RandomMessageGroup(const Stream& stream, int32_t queue);
  static int32_t QueueOf(const Stream& stream, const std::string& message_group);
  void Receive(const Stream& stream, const Checker::Group& group, absl::Duration wait);
  void ReceiveSomewhere();
  std::optional<Checker::Due> RandomDue();
  void RecallSomething();
  void EndSomething();
  // A proxy asks for checks; of some, its producer ends the transaction.
  void TakeChecks();
  void End(Checker::Number number, const TransactionKey& transaction, bool commit);
  void LookAtDiscarded();
  // Undecided transactions are checked as often as is allowed, and then discarded.
  void WaitForDiscards();
  void StoreOrGetOffset();
  void ResetSomething();
  void PullSomething();
  QueueKey AnyQueue(const Stream& stream);
  // As the shard knows it now.
  QueueOffset EndOf(const QueueKey& queue) const;
  void SettleSomething();
  void Settle(const Checker::Receipt& receipt, SettleKind kind, absl::Duration delay);
  void ExtendWhileReceiving();
  void ReportSent(const Checker::Receipt& receipt);
  void ReportClients();
  void TellClients(const ClientReport& report);
  void SayGoodbye();
  void StaySilent();
  void TellOften();
  void CarrySomething();
  void Storm();
  void OutlastTheLog();
  // The group is unsubscribed; false if the shard goes down, does not forget it in time, or has dead letters of it.
  bool HasForgotten(GroupId group, TopicId topic);
  void DeleteSomething();
  void Flap();
  void LookAtStats();
  // The counts are those that the last checkpoint's entries come to, by the shard's own audit.
  void AuditCounts();
  // They are what the state has, and no audit found otherwise.
  void LookAtCounts(const Shard& shard);
  // What is due fires soon, and not only after the next start.
  void LookAtTimers();
  void LetTimePass();

  // --- The end ---
  void Drain();
  // One member keeps the first messages of a message group for minutes; everything else is consumed.
  void DrainOthers();
  void ConsumeUntilNothingComes();
  void DrainLite();
  bool ConsumeAll();  // True if anything came.
  void LookForTheGone(absl::Duration silent_since);

  // --- For operators (operators.cc) ---
  // Pauses a group for a while, in which it asks and is given nothing.
  void PauseSomething();
  // --- The same, at the end ---
  // Sends all dead letters to a topic that nobody reads; each is there afterwards, or still a dead letter, once.
  void SendDeadLettersBack();
  // Messages are found by id where they stand.
  void LookMessagesUp();
  // Asks the shard until it is answered; false if it went down.
  template <typename Result, typename Call>
  bool Ask(void (Shard::*method)(Call, Callback<Result>), const Call& call, Result* result);
  // All messages of a topic that are in its queues; false if the shard went down.
  bool List(TopicId topic, std::vector<FoundMessage>* messages);

  // --- Priorities (priorities.cc) ---
  // One member reads some messages of a PRIORITY topic, call after call, while nobody else does.
  void ReceiveByPriority();
  // What a receive that begins now is to give.
  struct Offers {
    bool known = true;  // Nothing has to be opened or read first.
    std::vector<std::pair<int32_t, QueueOffset>> by_priority;
    std::vector<std::pair<int32_t, QueueOffset>> by_age;  // Where it begins with the oldest.
  };
  Offers OffersOf(const Shard& shard, const Checker::Group& group, size_t most) const;

  Checker::Group NewGroup(const Stream& stream, int number);
  void AddGroup(Stream* stream, Checker::Group group);
  void AddStream(int number);
  std::string RandomClient() { return absl::StrCat("c", random_.Below(4)); }
  absl::Duration Now() { return world_.clock()->SinceBoot(); }
  absl::Duration RandomDuration(absl::Duration most) {
    return absl::Milliseconds(random_.Below(static_cast<uint64_t>(absl::ToInt64Milliseconds(most)) + 1));
  }
  template <typename... T>
  void Trace(const T&... what) {
    if (watch_ != Watch::kNothing) TraceLine(absl::StrCat(what...));
  }
  void TraceLine(const std::string& line);
  // Adds the world to the digest: the shard's state, the calls to the disk, the time, and what is drawn next.
  void DigestWorld();

  const Watch watch_;
  uint64_t digest_ = 0;
  SimulatedWorld world_;
  Random& random_;
  SimulatedDisk disk_;
  Checker checker_;
  LiteWorld lite_;
  Counts counts_;
  Character character_;
  ShardOptions options_;

  std::vector<Stream> streams_;
  uint64_t next_id_ = 1;  // Of topics and groups.
  int64_t revision_ = 0;
  TopicId hidden_;                     // Missing from the metadata for a moment.
  std::vector<GroupId> unsubscribed_;  // They live, and read nothing.
  std::optional<GroupId> paused_;
  uint64_t pauses_ = 0;

  // The process, while it lives. Callbacks of an earlier one are ignored: their answers never left.
  struct Process {
    std::unique_ptr<Executor> shard_executor, disk_executor, read_executor, checkpoint_executor;
    std::unique_ptr<Shard> shard;
    bool faulty = false;  // A fault was injected: it may halt.
    bool halted = false;
  };
  std::unique_ptr<Process> process_;
  uint64_t generation_ = 0;
  bool sync_fails_ = false;  // One is going to, and has not been noticed yet.
  Epoch epoch_ = 0;
  absl::Duration last_report_;  // Of clients,
  int64_t sent_reports_ = 0;    // and how often one was reported to have what it was given.

  // What was sent, to be sent again.
  struct SentCall {
    uint64_t number = 0;
    AppendCall call;
    std::vector<Checker::Number> numbers;
    std::vector<uint64_t> issues;  // How many messages had been sent before each, repeated ones included.
    absl::Duration at;
    bool is_replaced = false;      // A later one has its id and content.
    int under_way = 0;             // Sends of it without an answer,
    absl::Duration known_by = at;  // and when it was last known what became of one.
  };
  std::deque<SentCall> sent_calls_;
  uint64_t next_sent_call_ = 0;
  uint64_t issued_ = 0;

  std::vector<Checker::Receipt> receipts_;
  std::vector<std::pair<Checker::Number, TimerKey>> scheduled_;  // What may be recalled.
  struct Transaction {
    Checker::Number number = 0;
    TransactionKey key;
  };
  std::vector<Transaction> transactions_;  // What may be ended.
  std::set<std::string> discarded_seen_;   // Message ids.
  bool producers_answer_ = true;           // A check may end its transaction.
  absl::Time last_due_ = absl::UnixEpoch();
  std::vector<uint64_t> waiting_;  // Ids of receives, some of them answered.
  uint64_t next_receive_ = 1;
  // What a receive asked with, to be asked again.
  struct Attempt {
    GroupId group;
    std::string client;
    std::string id;
  };
  std::vector<Attempt> attempts_;
  bool draining_ = false;
  bool outlasts_ = false;  // What is prepared is asked about late:
  absl::Duration longest_check_ = absl::Seconds(30);
  bool may_get_stuck_ = false;  // Draining: the first message group that comes is kept.
  std::optional<Checker::Stuck> stuck_;
  std::vector<Checker::Receipt> kept_;  // Of it.
  int64_t came_ = 0;                    // Messages that came while draining.
};

}  // namespace barid::broker

#endif  // BARID_TESTS_SIMULATION_SHARD_SIMULATION_H_
