#ifndef BARID_TESTS_SIMULATION_CHECKER_H_
#define BARID_TESTS_SIMULATION_CHECKER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "broker/counts.h"
#include "broker/cursor_key.h"

namespace barid::broker {

// What the checker knows of one transaction.
struct TransactionFate {
  absl::Duration check_after;
  std::optional<bool> committed;  // How it ended, if that is known.
  bool may_be_committed = false;  // Somebody asked for it,
  bool may_be_rolled_back = false;
  bool discarded = false;
  int32_t checks = 0;       // That were seen; the last of them
  int32_t last_check = 0;   // had this number,
  absl::Duration asked_at;  // and was asked for then.
};

// What a shard owes its clients, kept by somebody who sees only calls and answers. Each answer is compared at once;
// what is left to prove is proved by Drained, when all groups have consumed until nothing came any more.
//
//   - Every acknowledged message is delivered, to each group that is owed it, until it is settled; so is whatever was
//     delivered to anyone.
//   - Nothing is delivered that was not sent, or twice stored, or altered, or whose send was refused.
//   - A message that is sent again while it is remembered is stored once, whatever became of the first send, and is
//     answered as the first was; one with the same id and another content is a message of its own.
//   - An acknowledged settlement never comes back; a stale receipt settles nothing, a live one does.
//   - Attempts count up; what one member holds is given to nobody else before its time.
//   - What a client was given by a receive that asked for renewal, and was reported to have, is given to nobody else
//     while it lives, up to the cap. Who is silent for the allowed time, or says goodbye, has lost it soon after, and
//     not before; a leader that begins grants the full time. What the state of a leader that died held is held on.
//   - A dead letter leaves its group and is in the dead-letter queue, once.
//   - Retention takes nothing before its time, and nothing unsettled where that is asked for. A scheduled message's
//     time begins when it is due.
//   - A scheduled message is not delivered before it is due by the leader's time, is delivered then, and enters its
//     queue once. One whose recall was acknowledged is never delivered; one that was delivered is not recalled; one
//     that is not due can be.
//   - The message of a transaction is delivered if that was committed, from then on and as any other, and enters its
//     queue once; if it was rolled back, or nobody ended it, never. The first end decides: it may be repeated, and any
//     other is refused.
//   - Producers are asked about open transactions only, not before their time, one check at a time, and so often as is
//     allowed. What nobody ends is then discarded, and kept where an operator can look; nothing else is.
//   - In an ordered group no message is delivered while an earlier one of its message group is unsettled, but in one
//     run with it and behind it; nor while somebody else holds any of the message group. A repeated attempt gives the
//     same batch and does not count. A message group that is stuck stops no other.
//
//   - In an answer the messages of one priority stand together; where no receive begins with the oldest, the higher
//     come first. (What is left behind a receive is looked at in priorities.cc.)
//   - A message with the id and the content of one that is not remembered any more is a message of its own.
//   - An offset that a group stored is what is found, until another is stored.
//   - After a reset of a group's place to an offset, everything from there on is delivered (again), once more from the
//     first attempt, and nothing before it; receipts from before it name nothing.
//   - A pull gives what stands at its offsets, and everything that does.
//
// What was under way when the process died may have happened or not.
//
// Times are since boot. One violation is kept: the first.
class Checker {
 public:
  using Number = int64_t;  // Of a message.

  struct Topic {
    TopicId id;
    ::barid::Retention retention;
    bool is_priority = false;
  };
  struct Group {
    GroupId id;
    TopicId topic;  // Or the dead letters of `mourned`.
    std::vector<std::string> tags;
    int32_t max_attempts = 17;
    RetryPolicy policy;
    bool auto_renew = false;
    bool ordered = false;
    std::optional<absl::Time> start;
    absl::Duration since = -absl::InfiniteDuration();  // When it was made: what had expired by then it never sees.
    LogIndex since_index = 0;  // Of one that was subscribed again: nothing later is delivered to who asked before.
    std::optional<GroupId> mourned;
  };
  // How a client knows a delivery.
  struct Receipt {
    GroupId group;
    TopicId topic;
    Number number = 0;
    QueueKey queue;
    QueueOffset offset = 0;
    LogIndex nonce = 0;
    int32_t attempt = 0;
    bool auto_renew = false;
    std::string client;
  };

  const std::string& violation() const { return violation_; }
  void Violate(std::string what) {
    if (violation_.empty()) violation_ = std::move(what);
  }

  // --- The world ---

  void AddTopic(const Topic& topic) { topics_[topic.id] = topic; }
  void AddGroup(const Group& group) { groups_[group.id] = {group, 0}; }
  // Nothing is owed of it any more; it may come back, empty.
  void VoidTopic(TopicId topic);
  void DropGroup(GroupId group);
  // The leader's time may have jumped ahead: what was invisible may be visible.
  void ForgetDeadlines();
  // The leader's time is not the clients': whether something is due is not known to the second.
  void ExpectInexactTime() { exact_time_ = false; }

  void ExpectNobodyIsOldest() { oldest_first_ = false; }

  // How long clients keep what they have.
  struct Renewal {
    absl::Duration hold_after;
    absl::Duration cap;
    absl::Duration silence;
    absl::Duration grace;
  };
  void ExpectRenewal(const Renewal& renewal) { renewal_ = renewal; }

  // --- Calls and answers. Each call has a number, given back with its answer. ---

  Number next_number() const { return static_cast<Number>(sent_.size()); }
  // A message that is to be delivered at a time, and how far ahead that is.
  struct Due {
    absl::Time at;
    absl::Duration delay;
  };
  Number OnSend(TopicId topic, const std::string& tag, const std::string& message_group,
                const std::string& stored_bytes, std::optional<Due> due, absl::Duration now);
  void OnSendAnswer(const std::vector<Number>& numbers, TopicId topic, const AppendResult& result);
  // The message is sent again, and is remembered if the first send was stored.
  void OnRepeat(Number number);
  bool IsVoid(Number number) const { return sent_[static_cast<size_t>(number)].is_void; }

  // How transactions are checked.
  struct Checks {
    absl::Duration interval;
    int32_t most = 0;
    absl::Duration max_age;
    bool ends_are_remembered = true;  // All of them; else an end may be forgotten.
  };
  void ExpectChecks(const Checks& checks) { checks_ = checks; }
  // These are the messages of transactions, of which producers may be asked after so long.
  void OnPrepare(Number number, absl::Duration check_after);
  uint64_t OnEnd(Number number, bool commit, absl::Duration now);
  void OnEndAnswer(uint64_t id, const absl::Status& status);
  // `asked_at`: when the proxy asked for checks.
  void OnCheck(const TransactionCheck& check, absl::Duration asked_at, absl::Duration now);
  void OnDiscarded(TopicId topic, const std::string& message_id, absl::Duration now);
  // No transaction is open any more, and everything that was discarded was seen.
  void CheckNoTransactionIsLost();

  uint64_t OnRecall(Number number);
  void OnRecallAnswer(uint64_t id, const absl::Status& status, absl::Duration now);

  uint64_t OnReceive(const ReceiveCall& call, absl::Duration now);
  int64_t PendingReceivesOf(GroupId group, TopicId topic) const;
  // The receipts of what was delivered. `powered`: while the disk works, everything that was delivered is answered.
  std::vector<Receipt> OnReceiveAnswer(uint64_t id, const ReceiveResult& result, absl::Duration now, bool powered);

  // The leader is told that the client has it.
  void OnSent(const Receipt& receipt, absl::Duration now);
  // That these clients were heard from, or said goodbye.
  void OnClients(const ClientReport& report, absl::Duration now);
  void OnLead(absl::Duration now);

  uint64_t OnSettle(const Receipt& receipt, SettleKind kind, absl::Duration delay, absl::Duration now);
  void OnSettleAnswer(uint64_t id, const absl::Status& status, absl::Duration now);

  // A group and a queue in which it stores an offset, or is delivered to.
  using Place = std::pair<GroupId, QueueKey>;
  uint64_t OnUpdateOffset(const Place& place, QueueOffset offset);
  void OnUpdateOffsetAnswer(uint64_t id, const absl::Status& status);
  void OnGetOffsetAnswer(const Place& place, const OffsetResult& result);

  uint64_t OnReset(const Place& place, QueueOffset to);
  // `index`: of the record that moved it, if one did.
  void OnResetAnswer(uint64_t id, const ResetOffsetResult& result, LogIndex index, absl::Duration now);
  int64_t resets() const { return resets_done_; }

  void OnPullAnswer(const PullCall& call, const PullResult& result);

  void OnStats(const std::vector<QueueStats>& stats, absl::Duration now);

  // The process is gone, and the answers with it. `held`: by offset and nonce, what was held in its state.
  using Held = std::set<std::tuple<CursorKey, QueueOffset, LogIndex>>;
  void OnCrash(const Held& held);

  // One message group of a group, for a while.
  struct Stuck {
    GroupId group;
    std::string message_group;
  };
  // Somebody holds the first messages of one message group, and all groups have consumed what else came.
  void OthersPassed(const Stuck& stuck, absl::Duration now) { CheckNothingIsOwed(&stuck, now); }
  // All groups have consumed until nothing came.
  void Drained(const std::vector<QueueStats>& stats, absl::Duration now);
  // The same for what the shard counts: nothing is left but dead letters, and of these what was seen.
  void DrainedCounts(const Counts& counts);

  // Calls without an answer.
  size_t pending() const {
    return receives_.size() + settles_.size() + pending_sends_.size() + recalls_.size() + ends_.size() +
           updates_.size() + resets_.size();
  }
  int64_t delivered() const { return delivered_; }
  int64_t renewed() const { return renewed_; }    // Deliveries that had to be held.
  int64_t repeated() const { return repeated_; }  // Deliveries again by attempt id.
  bool IsOrdered(GroupId group) const {
    const auto found = groups_.find(group);
    return found != groups_.end() && found->second.group.ordered;
  }
  const std::string& MessageGroupOf(Number number) const { return sent_[static_cast<size_t>(number)].message_group; }
  const std::map<TopicId, Topic>& topics() const { return topics_; }

 private:
  enum class SendState { kPending, kUnknown, kRefused, kStored };
  enum class RecallState { kNot, kMaybe, kRecalled };
  struct Sent {
    std::optional<TransactionFate> transaction;
    TopicId topic;
    std::string tag;
    std::string message_group;
    std::string bytes;
    absl::Duration at;
    std::optional<absl::Time> due;
    absl::Duration enters;  // Not before this.
    SendState state = SendState::kPending;
    RecallState recall = RecallState::kNot;
    std::optional<std::pair<int32_t, QueueOffset>> place;
    bool is_repeated = false;       // It was sent again.
    std::optional<TimerKey> timer;  // As it was answered.
    std::optional<TransactionKey> transaction_key;
    bool is_void = false;
  };
  enum class Fate { kOwed, kSettled, kMaybeSettled, kMoved, kMaybeMoved };
  // A message on its way through a group.
  struct Progress {
    Fate fate = Fate::kOwed;
    int32_t min_attempt = 1;  // Of the next delivery, as far as is known,
    int32_t max_attempt = 1;  // plus what was delivered and never answered.
    int64_t silent_seen = 0;
    LogIndex nonce = 0;            // Of the last delivery that was answered.
    bool receipt_is_dead = false;  // Given back as undelivered, or perhaps.
    absl::Duration invisible_until = -absl::InfiniteDuration();
    absl::Duration held_since =
        -absl::InfiniteDuration();  // When a settlement said so last; before that, since its Deliver.
    std::string attempt_id;         // Of the receive that got it last,
    std::string client;             // and whose that was.
    bool may_be_renewed = false;    // As that asked for, and nobody said otherwise since.
    bool is_renewed = false;        // The leader knows that the client has it: invisible_until is the cap,
    absl::Duration first_deadline = -absl::InfiniteDuration();  // and this what it was before.
  };
  struct GroupState {
    Group group;
    int64_t silent = 0;  // Receives that may have delivered and were not answered.
  };
  struct PendingReceive {
    ReceiveCall call;
    absl::Duration at;
    std::map<QueueKey, QueueOffset> first;
    bool is_void = false;  // Of a group that was dropped since.
  };
  struct PendingSettle {
    Receipt receipt;
    SettleKind kind = SettleKind::kAck;
    absl::Duration delay;
    absl::Duration at;
    bool must_be_stale = false;
    bool is_void = false;
  };
  struct PendingEnd {
    Number number = 0;
    bool commit = false;
  };
  using Key = std::tuple<GroupId, TopicId, Number>;
  struct PendingUpdate {
    Place place;
    QueueOffset offset = 0;
    bool is_void = false;
  };
  // What a group may have stored; what is under way comes on top. None: anything.
  using Offsets = std::set<std::optional<QueueOffset>>;
  using Stored = std::optional<Offsets>;
  struct PendingReset {
    Place place;
    QueueOffset to = 0;
    bool is_void = false;
  };
  // The last reset of a place that was acknowledged,
  struct Moved {
    LogIndex index = 0;
    QueueOffset to = 0;
    absl::Duration at;
    bool in_doubt = false;  // and whether another may have happened since: then nothing is known of the place.
  };

  std::optional<Number> NumberOf(absl::string_view message_id) const;
  Stored& StoredAt(const Place& place);
  // nullptr: it was never reset.
  const Moved* MovedAt(GroupId group, const QueueKey& queue) const;
  bool IsInDoubt(GroupId group, const QueueKey& queue) const;
  bool WasMoved(GroupId group) const;
  // A reset may have passed over the message, or nobody knows.
  bool MayBePassedOver(GroupId group, const Sent& sent) const;
  bool IsResetting(const Place& place) const;
  bool IsVoid(const Receipt& receipt) const;
  // It is known how the transaction ended.
  void SetCommitted(Number number, bool committed, absl::string_view what);
  bool MayHaveExpired(const Sent& sent, TopicId topic, absl::Duration now) const;
  bool MayHaveAged(const Sent& sent, TopicId topic, absl::Duration now) const;
  bool Matches(const Group& group, const Sent& sent) const;
  void CheckPriorities(const ReceiveResult& result);
  std::string Name(const Receipt& receipt) const;
  void CheckDelivery(const PendingReceive& receive, const Delivery& delivery, Number number, absl::Duration now);
  // Until when nobody else may be given it.
  absl::Duration InvisibleUntil(const Progress& progress) const;
  // The client may have lost it; its first deadline still counts.
  static void EndRenewal(Progress* progress);
  absl::Duration LastSign(const std::string& client) const;
  // What an ordered group may be given of a message group.
  void CheckOrder(const GroupState& state, const PendingReceive& receive, const Delivery& delivery, Number number,
                  const std::string& name, absl::Duration now);
  // True if it is one, and counts for nothing else.
  bool IsRepeat(const PendingReceive& receive, const Delivery& delivery, const std::string& name, Progress* progress);
  void CheckNothingIsOwed(const Stuck* stuck, absl::Duration now);
  void CheckSameAnswer(Number number, const AppendResult::Entry& entry, Sent* sent);
  void CheckPlace(TopicId topic, int32_t queue, QueueOffset offset, Number number);
  void CheckExpired(const QueueKey& queue, QueueOffset offset, absl::Duration now);
  // Whether the attempts of the message may be used up, so that it may be moved at any time.
  bool MayBeExhausted(const GroupState& group, const Progress& progress) const;

  std::string violation_;
  Renewal renewal_;
  std::map<std::string, absl::Duration> heard_;  // Of clients, by the leader.
  absl::Duration leading_since_;
  int64_t renewed_ = 0;
  std::map<TopicId, Topic> topics_;
  std::map<GroupId, GroupState> groups_;
  std::vector<Sent> sent_;
  std::multiset<Number> pending_sends_;
  std::map<std::tuple<TopicId, int32_t, QueueOffset>, Number> places_;
  std::map<std::pair<TopicId, std::string>, std::map<QueueOffset, Number>> order_;      // Of each message group.
  std::map<std::pair<TopicId, Number>, std::pair<int32_t, QueueOffset>> dead_letters_;  // Where they were seen.
  std::map<Key, Progress> progress_;
  std::map<QueueKey, QueueOffset> first_;  // Of what still exists, as Stats said.
  std::set<TopicId> voided_;               // Their queues may have begun anew.
  std::map<uint64_t, PendingReceive> receives_;
  std::map<uint64_t, PendingSettle> settles_;
  std::map<uint64_t, Number> recalls_;
  std::map<uint64_t, PendingEnd> ends_;
  std::map<uint64_t, PendingUpdate> updates_;
  std::map<Place, Stored> stored_;
  std::map<uint64_t, PendingReset> resets_;
  std::map<Place, Moved> moved_;
  int64_t resets_done_ = 0;
  Checks checks_;
  bool exact_time_ = true;
  bool oldest_first_ = true;  // Some receives of PRIORITY topics begin with the oldest.
  uint64_t next_id_ = 1;
  int64_t delivered_ = 0;
  int64_t repeated_ = 0;
};

}  // namespace barid::broker

#endif  // BARID_TESTS_SIMULATION_CHECKER_H_
