#ifndef BARID_BASE_BROKER_CALLS_H_
#define BARID_BASE_BROKER_CALLS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/metadata.h"

// What a proxy asks of a broker, in plain structs. Implemented by the broker itself (direct calls, in standalone) and by
// a client over barid.broker.v1; the proxy does not know which.
namespace barid {

// Every callback runs exactly once, on any thread, also at shutdown (kUnavailable). It must not block.
template <typename T>
using Callback = absl::AnyInvocable<void(T)>;

struct AppendCall {
  ShardId shard;
  TopicId topic;
  // The broker must know the metadata at least up to here; it waits for its watch if it does not.
  int64_t metadata_revision = 0;
  // -1: the broker chooses one of the topic's queues: by the first message's message group, by its id_hash, or in turn.
  int32_t queue = -1;
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
  using Messages = absl::InlinedVector<Message, 1>;
  Messages messages;
  // Each message is a transaction: it enters its queue when that is committed. None has a delivery time.
  bool prepare = false;
};
struct AppendResult {
  absl::Status status;  // Of the call; OK if each entry has its own.
  struct Entry {
    absl::Status status;
    int32_t queue = 0;
    QueueOffset offset = 0;         // 0 for a message that has not entered its queue.
    std::optional<TimerKey> timer = std::nullopt;  // Of a message with a delivery time: what RecallCall takes.
    std::optional<TransactionKey> transaction = std::nullopt;  // Of a prepared message: what EndTransactionCall takes.
    ShardId shard = ShardId();  // Where it is; filled in by the proxy.
  };
  absl::InlinedVector<Entry, 1> entries;  // One per message, in order.
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
  struct Origin {  // Of a dead letter.
    TopicId topic;
    std::string topic_name;
    std::string message_id;
    int32_t attempts = 0;
    std::string reason;
  };
  std::optional<Origin> origin;
};
struct ReceiveResult {
  absl::Status status;
  std::vector<Delivery> deliveries;  // Empty with OK: nothing came while it waited.
};

enum class SettleKind : uint8_t {
  kAck = 0,           // Done with it.
  kReturn = 1,        // Failed: visible again after `delay`, or after the group's back-off if that is longer (push consumers).
  kExtend = 2,        // Invisible for `delay` from now on. 0: visible now.
  kUndelivered = 3,   // The answer surely did not leave: visible now, and the attempt does not count.
  kDeadLetter = 4,    // To the group's dead-letter topic, at once.
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
  absl::Status status;                 // Of the call.
  std::vector<absl::Status> entries;   // One per entry; StaleReceiptError if it names no live delivery.
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
  // Since the shard's leader began its term: messages that repeated an earlier one and were not stored again, and others
  // that had the id of an earlier one.
  int64_t repeated_sends = 0;
  int64_t reused_ids = 0;
  struct Group {
    GroupId group;
    QueueOffset floor = 0;     // Everything below is settled.
    QueueOffset next = 0;      // The next one never delivered.
    int64_t in_flight = 0;
    int64_t ready_again = 0;   // Returned or lapsed, waiting to be delivered again.
    int64_t parked = 0;        // Of an ordered group: passed over, because their message groups were locked.
  };
  std::vector<Group> groups;
};
struct StatsCall {
  TopicId topic;  // 0: all.
  GroupId group;  // 0: all.
};
struct StatsResult {
  absl::Status status;
  std::vector<QueueStats> queues;
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

  // Returns an id for CancelReceive.
  virtual uint64_t Receive(ReceiveCall call, Callback<ReceiveResult> done) = 0;
  // The answer is not wanted any more: a waiting receive ends at once with nothing, and takes no message after this. If
  // deliveries are on their way already, `done` gets them: give them back as kUndelivered.
  virtual void CancelReceive(ShardId shard, uint64_t receive_id) = 0;

  virtual void Settle(SettleCall call, Callback<SettleResult> done) = 0;
  virtual void ReportSent(SentReport report) = 0;
  virtual void ReportClients(const ClientReport& report) = 0;
  virtual void Stats(StatsCall call, Callback<StatsResult> done) = 0;
};

}  // namespace barid

#endif  // BARID_BASE_BROKER_CALLS_H_
