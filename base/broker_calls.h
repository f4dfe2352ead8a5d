#ifndef BARID_BASE_BROKER_CALLS_H_
#define BARID_BASE_BROKER_CALLS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/metadata.h"

// What a proxy asks of a broker, in plain structs. Implemented by the broker itself (direct calls, in standalone) and
// by a client over barid.broker.v1; the proxy does not know which.
namespace barid {

// Every callback runs exactly once, on any thread, also at shutdown (kUnavailable). It must not block.
template <typename T>
using Callback = absl::AnyInvocable<void(T)>;

// Where a dead letter, or a discarded message, came from.
struct MessageOrigin {
  TopicId topic;
  std::string topic_name;
  std::string message_id;
  int32_t attempts = 0;
  std::string reason;
};

struct AppendCall {
  ShardId shard;
  TopicId topic;
  // The broker must know the metadata at least up to here; it waits for its watch if it does not.
  int64_t metadata_revision = 0;
  // -1: the broker chooses one of the topic's queues: by the first message's message group, by its id_hash, or in turn.
  int32_t queue = -1;
  // Of messages of a LITE topic: the lite topic of all of them, which is made if it is not there. `queue` says nothing
  // then.
  std::string lite_topic = {};
  struct Message {
    Buffer stored;  // base/stored_message.h
    uint32_t tag_hash = 0;
    // When it is to enter its queue, in whole microseconds; at once if that is over, or not given.
    std::optional<absl::Time> deliver_at = std::nullopt;
    // Of a prepared one: how long its producer may take before it is asked. Not given: the broker's setting.
    std::optional<absl::Duration> check_after = std::nullopt;
    uint64_t message_group = 0;  // MessageGroupHash; 0: none.
    // Of topic and message id, and of what makes two messages with one id the same (proxy/fingerprint.h). While a shard
    // remembers both, a message with both is answered as the first was, and not stored again. 0: not remembered.
    uint64_t id_hash = 0;
    uint64_t content_hash = 0;
  };
  using Messages = std::vector<Message>;
  Messages messages;
  // Each message is a transaction: it enters its queue when that is committed. None has a delivery time.
  bool prepare = false;
};
struct AppendResult {
  // Of the call; OK if each entry has its own. kResourceExhausted without RetryAfter: the topic has as many lite topics
  // as it may.
  absl::Status status;
  struct Entry {
    absl::Status status;
    int32_t queue = 0;
    QueueOffset offset = 0;                        // 0 for a message that has not entered its queue.
    std::optional<TimerKey> timer = std::nullopt;  // Of a message with a delivery time: what RecallCall takes.
    std::optional<TransactionKey> transaction = std::nullopt;  // Of a prepared message: what EndTransactionCall takes.
    ShardId shard = ShardId();                                 // Where it is; filled in by the proxy.
  };
  std::vector<Entry> entries;  // One per message, in order.
};

// Withdraws a scheduled message: from then on it is never delivered.
struct RecallCall {
  ShardId shard;
  TimerKey timer;
};
struct RecallResult {
  absl::Status status;  // kNotFound: it has been delivered or recalled already, or its topic was deleted.
};

// Ends a transaction, for ever: its message enters its queue, or never does.
struct EndTransactionCall {
  ShardId shard;
  TransactionKey transaction;
  bool commit = false;
};
struct EndTransactionResult {
  // OK: it is ended so, by this call or an earlier one. kAlreadyExists: it had ended otherwise. kNotFound: it is not
  // known, since it ended long ago, or its topic was deleted.
  absl::Status status;
};

// Takes transactions whose producers are to be asked what became of them. Each counts as asked: the proxy asks one
// producer, and the broker gives the transaction out again when the next check is due, if nobody has ended it.
struct ChecksCall {
  ShardId shard;
  std::string proxy;            // Who asks: the next check of a transaction goes to another proxy, if there is one.
  std::vector<TopicId> topics;  // Those that it has live producers of.
  int32_t max_checks = 16;
  int64_t max_bytes = int64_t{256} << 10;  // At least one message is given, however large.
};
struct TransactionCheck {
  TransactionKey transaction;
  QueueKey queue;
  Buffer stored;
  absl::Time prepared;
  int32_t check = 1;  // The first, the second, ...
};
struct ChecksResult {
  absl::Status status;
  std::vector<TransactionCheck> checks;
};

// Transactions of one topic in one shard, for operators: the open ones, oldest first, or the newest of those that were
// discarded.
struct TransactionsCall {
  ShardId shard;
  TopicId topic;
  bool discarded = false;
  int32_t limit = 100;
};
struct TransactionInfo {
  ShardId shard;
  std::string message_id;  // Empty if the message cannot be read.
  absl::Time since;        // When it was prepared, or discarded.
  int32_t checks = 0;
  absl::Time next_check;  // Of an open one.
  std::string reason;     // Of a discarded one.
};
struct TransactionsResult {
  absl::Status status;
  std::vector<TransactionInfo> transactions;
};

// Looks for messages of one topic in one shard, for operators. Changes nothing. In a dead-letter topic, or one of
// discarded transactions, ids are those of the messages that went there.
struct LookupCall {
  enum class Kind : uint8_t {
    kId = 0,      // Those with the message id `text`, wherever they stand: in a queue, scheduled, in a transaction.
    kKey = 1,     // Those with the key `text`.
    kOffset = 2,  // The one at `offset` in `queue`.
    kRange =
        3,  // Those that entered their queues in [from, to), by queue, then offset; of one queue if `queue` is not -1.
    kExplain = 4,  // The life of the one with the message id `text`; of several the newest.
  };
  ShardId shard;
  TopicId topic;
  Kind kind = Kind::kId;
  std::string text;
  int32_t queue = -1;
  QueueOffset offset = 0;
  absl::Time from = absl::InfinitePast();
  absl::Time to = absl::InfiniteFuture();
  int32_t max_messages = 32;
  int64_t max_bytes = int64_t{1} << 20;  // Of messages; one is given, however large.
  std::string resume;                    // What the answer before this one said.
};
struct FoundMessage {
  enum class State : uint8_t {
    kQueued = 0,     // In a queue, at an offset.
    kScheduled = 1,  // Enters its queue at `due`.
    kRecalled = 2,
    kPrepared = 3,  // Its transaction is open.
    kRolledBack = 4,
    kDiscarded = 5,  // Nobody ended its transaction: in the queue of what was discarded.
    kGone = 6,  // It was in its queue, or was to be, and is not there any more: expired, redriven, or its topic was
                // deleted.
  };
  State state = State::kQueued;
  QueueKey queue;
  QueueOffset offset = 0;     // Of a queued or discarded one.
  absl::Time entered;         // The same: when it entered its queue.
  absl::Time stored_at;       // When it was written; as entered if its record was not looked at.
  absl::Time due;             // Of one that is or was scheduled.
  LogIndex log_index = 0;     // The record that has its bytes,
  uint64_t log_position = 0;  // and where that stands in the shard's log.
  Buffer stored;
  std::optional<MessageOrigin> origin;
};
// One thing that happened to a message, as a record of the log says.
struct LifeEvent {
  absl::Time time;
  LogIndex log_index = 0;
  std::string what;  // A word: docs/operations.md lists them.
  GroupId group;     // 0: not about a group.
  QueueKey queue;    // Where the message was then,
  QueueOffset offset = 0;
  std::string client;
  int32_t attempt = 0;                      // 0: not about a delivery.
  absl::Time until = absl::InfinitePast();  // If it set a time.
  std::string detail;
};
// What receives that wait let through.
struct WaitingFilter {
  std::vector<std::string> tags;  // As in ReceiveCall.
  std::string sql;
  int64_t receives = 0;  // That wait with it.
};
// Where a message stands for one group.
struct GroupStanding {
  GroupId group;
  QueueKey queue;
  QueueOffset offset = 0;
  std::string standing;  // A word, as above.
  std::string client;
  int32_t attempt = 0;
  absl::Time until = absl::InfinitePast();
  std::string detail;
  // The message of its message group for which it waits.
  struct Blocker {
    QueueOffset offset = 0;
    std::string message_id;                   // Empty: it cannot be read.
    std::string client;                       // Who has it, or had it last. Empty: it was not delivered yet.
    int32_t attempt = 0;                      // 0: the same.
    absl::Time until = absl::InfinitePast();  // If it is invisible: until when, at most.
  };
  std::optional<Blocker> blocked_by;
  // Of the group's receives that wait at the shard for messages of this queue, by filter, each once.
  std::vector<WaitingFilter> waiting;
};
struct LookupResult {
  absl::Status status;
  std::vector<FoundMessage> messages;
  std::string resume;  // Not empty: there may be more.
  // Of an explanation, in log order.
  std::vector<LifeEvent> events;
  std::vector<GroupStanding> standings;
  absl::Time log_from = absl::InfinitePast();  // The oldest record that the log has.
};

// Sends dead letters of a group back: each enters its queue anew and leaves the dead-letter topic, in one step.
struct RedriveCall {
  ShardId shard;
  GroupId group;
  int64_t metadata_revision = 0;
  TopicId topic;                  // To this one; 0: each to the one that it came from.
  std::vector<std::string> tags;  // Only with any of these; empty: all.
  std::string sql;                // And those that match this; empty: all.
  QueueOffset from = 0;           // Dead letters from this offset on.
  QueueOffset to = INT64_MAX;
  int32_t max_messages = 32;  // To send back; as many are looked at as the broker thinks right for one call.
  bool dry_run = false;       // Changes nothing, answers as if it had.
};
struct RedriveResult {
  absl::Status status;
  int64_t redriven = 0;
  int64_t filtered_out = 0;
  int64_t failed = 0;    // They stay where they are.
  std::string failure;   // Why the first of them.
  QueueOffset next = 0;  // Where to go on.
  QueueOffset end = 0;   // Of the dead-letter queue: while `next` is below there may be more.
};

struct ReceiveCall {
  ShardId shard;
  GroupId group;
  TopicId topic;
  int64_t metadata_revision = 0;
  std::vector<std::string> tags;  // Any of these; empty: all messages.
  std::string sql;                // And those that match this (docs/filters.md); empty: all.
  int32_t max_messages = 32;
  int64_t max_bytes = int64_t{8} << 20;  // At least one message is given, however large.
  absl::Duration invisible;
  // The broker keeps the messages invisible while the client lives; `invisible` is only the first deadline.
  bool auto_renew = false;
  std::string client_id;
  std::string attempt_id;
  absl::Duration wait;  // With nothing to give, how long to wait for a message.
};
struct Delivery {
  Buffer stored;
  QueueKey queue;
  QueueOffset offset = 0;
  int32_t attempt = 1;
  LogIndex nonce = 0;  // The log index of the record that delivered it: names this delivery and no other.
  absl::Time store_time;
  absl::Duration invisible;
  using Origin = MessageOrigin;
  std::optional<Origin> origin;
};
struct ReceiveResult {
  absl::Status status;
  std::vector<Delivery> deliveries;  // Empty with OK: nothing came while it waited.
};

// Where a group goes on in a lite topic.
struct LiteStart {
  enum class Kind : uint8_t {
    kOffset = 0,  // At the offset `count`, brought into what the lite topic has.
    kTail = 1,    // `count` messages before the end.
    kTime = 2,    // At the first message that entered it at `time` or later.
  };
  Kind kind = Kind::kOffset;
  int64_t count = 0;
  absl::Time time = absl::UnixEpoch();
};

// Says which lite topics of a LITE topic a client reads; those of one shard. Receives of the client are given messages
// of these and no others. Soft state of the shard's leader: it is forgotten some minutes after the last call, and with
// the leader.
struct LiteSyncCall {
  enum class Action : uint8_t { kAdd = 0, kRemove = 1, kSet = 2, kRemoveAll = 3 };
  ShardId shard;
  GroupId group;
  TopicId topic;
  int64_t metadata_revision = 0;
  std::string client_id;
  Action action = Action::kAdd;
  std::vector<std::string> lite_topics;  // kSet: all of them, in this shard.
  int64_t version = 0;                   // Not 0: ignored if it is below that of an earlier call.
  int64_t quota = 2000;                  // How many the client may read in this shard.
  // In those that the client did not read before; where the group was without it. What it had in flight there is
  // dropped.
  std::optional<LiteStart> start;
};
struct LiteSyncResult {
  absl::Status status;  // kResourceExhausted: more than its quota; nothing was changed.
};

// Reads a queue from an offset on, for nobody in particular: nothing changes by it.
struct PullCall {
  ShardId shard;
  GroupId group;  // Of the reader; 0: there is no such group. Nothing but a pause depends on it.
  QueueKey queue;
  int64_t metadata_revision = 0;
  QueueOffset offset = 0;         // Of the first message wanted.
  std::vector<std::string> tags;  // As in ReceiveCall.
  std::string sql;
  int32_t max_messages = 32;
  int64_t max_bytes = int64_t{8} << 20;  // At least one message is given, however large.
  absl::Duration wait;                   // With nothing to give, how long to wait for a message.
};
struct PullResult {
  // kOutOfRange + OffsetRange: the offset is not in [first, end] of the queue. kNotFound: there is no such queue.
  absl::Status status;
  std::vector<Delivery>
      deliveries;  // Without attempt, nonce and invisible time. Empty with OK: nothing came while it waited.
  QueueOffset next_offset = 0;  // With OK: behind all that was given or filtered out.
};

// Looks for an offset of a queue; nothing changes by it.
struct QueryOffsetCall {
  ShardId shard;
  QueueKey queue;
  int64_t metadata_revision = 0;
  enum class Policy : uint8_t {
    kBeginning = 0,  // The oldest message that is still kept.
    kEnd = 1,        // Behind the newest.
    kTime = 2,       // The first that entered the queue at `time` or later; the end if there is none.
  };
  Policy policy = Policy::kBeginning;
  absl::Time time = absl::UnixEpoch();
};
// The offset that a group has stored for a queue.
struct GetOffsetCall {
  ShardId shard;
  GroupId group;
  QueueKey queue;
  int64_t metadata_revision = 0;
};
// Stores one. From then on it is what GetOffsetCall finds, until another is stored.
struct UpdateOffsetCall {
  ShardId shard;
  GroupId group;
  QueueKey queue;
  int64_t metadata_revision = 0;
  QueueOffset offset = 0;
};
struct OffsetResult {
  // kNotFound: there is no such queue. kOutOfRange + OffsetRange: an offset to be stored is beyond the end of the
  // queue.
  absl::Status status;
  std::optional<QueueOffset> offset = std::nullopt;  // With OK: what was found or stored; none if none is stored.
};

// Moves a group's place in the queues of a topic in one shard: where the group's deliveries go on, or the offset that
// it has stored.
struct ResetOffsetCall {
  ShardId shard;
  GroupId group;
  TopicId topic;
  int64_t metadata_revision = 0;
  std::vector<int32_t> queues;  // None: all that the topic has here.
  enum class Target : uint8_t {
    kOffset = 0,  // Brought into what each queue has.
    kTime = 1,    // The first message that entered the queue at `time` or later.
    kLatest = 2,  // The end.
  };
  Target target = Target::kOffset;
  QueueOffset offset = 0;
  absl::Time time = absl::UnixEpoch();
  bool stored = false;   // The group is offset-based: its stored offset is what moves.
  bool dry_run = false;  // Says what would happen, and does nothing.
};
struct ResetOffsetResult {
  absl::Status status;  // Of the call; OK if each entry has its own. kNotFound: the topic has no such queue here.
  struct Entry {
    absl::Status status;  // kDeadlineExceeded: it may have happened or not.
    QueueKey queue;
    std::optional<QueueOffset>
        from;  // Where it stood: the first offset that is not settled, or the stored one. None: it had not begun.
    QueueOffset to = 0;   // Where it stands now, or would.
    QueueOffset end = 0;  // Of the queue.
    // Of a group that is delivered to: what is dropped, so that its receipts name nothing any more.
    int64_t in_flight = 0;
    int64_t parked = 0;
  };
  std::vector<Entry> entries;  // In the order of queues.
};

enum class SettleKind : uint8_t {
  kAck = 0,  // Done with it.
  kReturn =
      1,  // Failed: visible again after `delay`, or after the group's back-off if that is longer (push consumers).
  kExtend = 2,       // Invisible for `delay` from now on. 0: visible now.
  kUndelivered = 3,  // The answer surely did not leave: visible now, and the attempt does not count.
  kDeadLetter = 4,   // To the group's dead-letter topic, at once.
  kSuspend = 5,  // Put off without having been tried: invisible for `delay` from now on, the attempt does not count,
                 // and the receipt is spent.
};
struct SettleEntry {
  GroupId group;
  QueueKey queue;
  QueueOffset offset = 0;
  LogIndex nonce = 0;
  SettleKind kind = SettleKind::kAck;
  absl::Duration delay;
  std::string reason;  // For kDeadLetter.
};
struct SettleCall {
  ShardId shard;
  std::vector<SettleEntry> entries;
};
struct SettleResult {
  absl::Status status;                // Of the call.
  std::vector<absl::Status> entries;  // One per entry; StaleReceiptError if it names no live delivery.
};

// The answers to auto-renewed receives that left wholly, on streams that ended cleanly: from now on the client holds
// the messages. Best effort; what is not reported comes back after its first deadline.
struct SentReport {
  ShardId shard;
  struct Entry {
    GroupId group;
    QueueKey queue;
    QueueOffset offset = 0;
    LogIndex nonce = 0;
  };
  std::vector<Entry> entries;
};

// Which clients a proxy heard from since its last report (every 5 s), and which said goodbye.
struct ClientReport {
  std::string proxy;
  std::vector<std::string> alive;
  std::vector<std::string> gone;
};

// Figures of one queue, or of a group's place in it, for operators.
struct QueueStats {
  ShardId shard;
  QueueKey queue;
  QueueOffset first = 0;
  QueueOffset end = 0;
  int64_t bytes = 0;
  int64_t delayed = 0;  // Scheduled messages that have not entered it.
  // Since the shard's leader began its term: messages that repeated an earlier one and were not stored again, and
  // others that had the id of an earlier one.
  int64_t repeated_sends = 0;
  int64_t reused_ids = 0;
  // Not 0: this is about so many lite topics together, those that the topic has in this shard. `first`, `end` and each
  // group's offsets count messages then.
  int64_t lite_topics = 0;
  struct Group {
    GroupId group;
    QueueOffset floor = 0;  // Everything below is settled.
    QueueOffset next = 0;   // The next one never delivered.
    int64_t in_flight = 0;
    int64_t ready_again = 0;  // Returned or lapsed, waiting to be delivered again.
    int64_t parked = 0;       // Of an ordered group: passed over, because their message groups were locked.
  };
  std::vector<Group> groups;
};
// What a shard counts of a group in a topic. Every message that the group has not settled is in one of ready, in flight
// and blocked. Without a group: what is the topic's own, which is how many are delayed.
struct GroupCount {
  ShardId shard;
  GroupId group;
  TopicId topic;
  int64_t ready = 0;          // May be delivered now, but for filters: nobody has looked at it, or it came back.
  int64_t in_flight = 0;      // Delivered and not settled, and invisible.
  int64_t blocked = 0;        // Waits for a message of its message group that is in flight.
  int64_t delayed = 0;        // Without a group only: scheduled messages that have not entered their queues.
  int64_t dead_lettered = 0;  // Came from this topic and are among the group's dead letters.
  std::optional<absl::Time> oldest = std::nullopt;  // When the oldest that is not settled entered its queue.
};
struct StatsCall {
  TopicId topic;             // 0: all.
  GroupId group;             // 0: all.
  bool counts_only = false;  // No queues, and no times of the oldest: costs nothing.
};
struct StatsResult {
  absl::Status status;
  std::vector<QueueStats> queues;
  std::vector<GroupCount> counts = {};
};

// Any thread.
class BrokerApi {
 public:
  virtual ~BrokerApi() = default;

  virtual void Append(AppendCall call, Callback<AppendResult> done) = 0;
  virtual void Recall(RecallCall call, Callback<RecallResult> done) = 0;

  virtual void EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) = 0;
  virtual void TakeChecks(ChecksCall call, Callback<ChecksResult> done) = 0;
  virtual void ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) = 0;

  virtual void Lookup(LookupCall call, Callback<LookupResult> done) = 0;
  virtual void Redrive(RedriveCall call, Callback<RedriveResult> done) = 0;

  // Returns an id for CancelReceive.
  virtual uint64_t Receive(ReceiveCall call, Callback<ReceiveResult> done) = 0;
  // Returns an id for CancelReceive, too.
  virtual uint64_t Pull(PullCall call, Callback<PullResult> done) = 0;
  // The answer is not wanted any more: a waiting receive (or pull) ends at once with nothing, and takes no message
  // after this. If deliveries are on their way already, `done` gets them: give them back as kUndelivered.
  virtual void CancelReceive(ShardId shard, uint64_t receive_id) = 0;

  virtual void Settle(SettleCall call, Callback<SettleResult> done) = 0;
  virtual void ReportSent(SentReport report) = 0;
  virtual void ReportClients(const ClientReport& report) = 0;
  virtual void Stats(StatsCall call, Callback<StatsResult> done) = 0;

  virtual void QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) = 0;
  virtual void GetOffset(GetOffsetCall call, Callback<OffsetResult> done) = 0;
  virtual void UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) = 0;
  virtual void ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) = 0;

  virtual void SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) = 0;
};

}  // namespace barid

#endif  // BARID_BASE_BROKER_CALLS_H_
