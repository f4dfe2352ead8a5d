#ifndef BARID_BROKER_DISPATCHER_H_
#define BARID_BROKER_DISPATCHER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "base/broker_calls.h"
#include "broker/filter_scan.h"
#include "broker/lite_subscriptions.h"
#include "broker/shard_core.h"

namespace barid::broker {

// Hands messages to receives: picks what may be delivered, proposes Deliver, reads the bodies, answers. A receive that
// finds nothing waits in memory until a message is committed or becomes visible, or its time is over.
//
//   waiting --picked--> proposed --applied, some kept--> reading --> answered
//      ^                    |
//      +---- nothing kept --+
//
// Messages that are proposed and not yet applied are reserved, in memory only, and with them their message groups where
// the group is ordered. Belongs to the shard's executor.
class Dispatcher {
 public:
  // How dead letters are made: by visibility.h.
  using BuryFn = absl::AnyInvocable<void(const CursorKey&, QueueOffset, LogIndex nonce, absl::string_view reason)>;

  explicit Dispatcher(ShardCore* core)
      : core_(core), lite_(&core->state().lite()), filters_(core, [this](const Subscription& subscription) {
          Wake(subscription.first, subscription.second);
          ServeWoken();
        }) {}

  void SetBury(BuryFn bury) { bury_ = std::move(bury); }
  // Wakes the receives of groups that are not paused any more.
  void SetMetadata(std::shared_ptr<const Metadata> metadata);

  void Receive(uint64_t id, ReceiveCall call, Callback<ReceiveResult> done);
  void Cancel(uint64_t id);

  // There may be something new to give: a message came, or became visible.
  void Wake(const QueueKey& queue);
  void Wake(const CursorKey& key);
  void Wake(TopicId topic, GroupId group);
  // A cursor was opened, here or by somebody else's record.
  void OnOpened(const CursorKey& key);
  // A record is proposed that moves the cursor: until it is applied, or lost, nothing is picked there. So no delivery
  // is under way that knows nothing of it.
  void BeginSeek(const CursorKey& key) { ++seeking_[key]; }
  void EndSeek(const CursorKey& key);
  // The group's cursors in the topic are gone, and may come anew.
  void OnUnsubscribed(GroupId group, TopicId topic);
  // Whether a cursor in this queue is to be moved.
  bool IsSeeking(const QueueKey& queue) const;
  // Serves who was woken. After each run of applied records.
  void ServeWoken();

  // What a client of a LITE topic reads.
  absl::Status SyncLite(const LiteSyncCall& call);
  // The queues of those that the call adds to what its client reads. An error is what SyncLite would answer.
  absl::StatusOr<std::vector<QueueKey>> LiteQueuesBegunBy(const LiteSyncCall& call) const;
  void ForgetLite(const std::string& client) { lite_.Forget(client); }
  void ExpireLiteSubscriptions(int64_t now_us) { lite_.Expire(now_us); }
  int64_t lite_subscriptions() const { return lite_.subscriptions(); }

  // Ends receives whose time is over.
  void ExpireWaiting(int64_t now_us);
  // Writes down, by Skip, how far scans have run ahead without finding anything.
  void RecordScans();
  // The process is about to end: nobody waits any more, receives are answered at once with what there is.
  void Drain();
  // Receives that wait are answered with `why` (OK: nothing came): the term is over, or the process drains.
  void EndWaiting(const absl::Status& why);
  // All of them are, also those whose messages are being read: the shard goes.
  void EndAll(const absl::Status& why);

  int64_t waiting() const { return static_cast<int64_t>(receives_.size()); }
  // With what filters receives of the group wait for messages of the queue; kMostFilters of them. Linear in the group's
  // receives that wait for its topic.
  static constexpr size_t kMostFilters = 16;
  std::vector<WaitingFilter> FiltersAt(const CursorKey& key) const;

 private:
  using Subscription = std::pair<TopicId, GroupId>;

  struct Picked {
    QueueKey queue;
    QueueOffset offset = 0;
    IndexEntry entry;
    std::optional<Provenance> provenance;
    uint64_t message_group = 0;  // 0 in a group that is not ordered.
    int32_t attempt = 0;
    LogIndex nonce = 0;
  };
  struct Pending {
    ReceiveCall call;
    ReceiveLine line;
    Callback<ReceiveResult> done;
    std::vector<uint32_t> tag_hashes;
    std::shared_ptr<const filter::Filter> filter;  // None: no SQL.
    int64_t deadline_us = 0;
    int64_t invisible_until_us = 0;
    bool waiting = true;
    bool cancelled = false;
    bool repeated =
        false;          // The batch of its attempt id was proposed again: once is enough, also if it cannot be read.
    int proposals = 0;  // Deliver records under way for it.
    std::vector<Picked> kept;  // What they kept.
  };
  // What the leader knows of a cursor beyond the state: what is proposed and not applied.
  struct Reserved {
    QueueOffset next = 0;     // The scan position that the proposals lead to.
    QueueOffset scanned = 0;  // How far scans found nothing; >= next.
    int proposals = 0;        // Under way; at 0, next is the state's.
    absl::flat_hash_set<QueueOffset> again;
    // Message groups of which something is proposed to be delivered or parked, and by how many proposals: they are
    // locked, or have something parked, for whoever picks meanwhile.
    absl::flat_hash_map<uint64_t, int32_t> busy;
    int64_t parking = 0;           // Messages that are proposed to be parked,
    bool stopped_parking = false;  // and a scan stopped because of them: it goes on when they are.
  };
  // What a proposal reserves in an ordered cursor.
  struct Claim {
    std::vector<uint64_t> message_groups;  // Each once.
    int64_t parking = 0;
  };
  enum class Served { kYes, kNothing, kLater };
  class Picking;

  Served Serve(uint64_t id, Pending* receive);
  // The topic's queues in the order in which this receive looks at them. Of a PRIORITY topic `queues` has the highest
  // first.
  std::vector<QueueKey> InOrderOf(const Pending& receive, std::vector<QueueKey> queues);
  // Leader time of the first message that the group may be given of this queue; the largest int64 if there is none.
  int64_t OldestIn(GroupId group, const QueueKey& queue) const;
  // Picks from one queue into a Deliver. kLater: an index block is being read, and the receive will be woken.
  Served PickFrom(uint64_t id, Pending* receive, const QueueKey& queue, int32_t* messages_left, int64_t* bytes_left);
  // If its attempt id is that of deliveries that are still invisible, they are what it gets, and nothing else.
  // kNothing: it is not.
  Served RepeatAttempt(uint64_t id, Pending* receive, const std::vector<QueueKey>& queues);
  // The block, if it is in memory; else it is read, and the subscription woken.
  const IndexBlock* FindBlock(const Subscription& subscription, const BlockKey& key);
  // Writes down that the scan has come to `to`, with what it passed over.
  void ProposeSkip(const CursorKey& key, Reserved* reserved, QueueOffset to, const std::vector<QueueOffset>& parked,
                   Claim claim);
  void Hold(Reserved* reserved, const Claim& claim);
  void Release(const CursorKey& key, Reserved* reserved, const Claim& claim);
  void NoteTooManyParked(const CursorKey& key, int64_t parked);
  void OpenCursor(const CursorKey& key, const SubscriptionMetadata& subscription);
  void SettleUnwanted(const CursorKey& key, Reserved* reserved,
                      const std::vector<std::pair<QueueOffset, LogIndex>>& unwanted);
  // Parked messages that a filter leaves out.
  void SettleUnwantedParked(const CursorKey& key, Reserved* reserved, const std::vector<QueueOffset>& unwanted);
  // A Deliver or a Redeliver.
  void ProposeDelivery(uint64_t id, const CursorKey& key, Command command, std::vector<Picked> picked, Claim claim);
  void OnDelivered(uint64_t id, const CursorKey& key, std::vector<Picked> picked, const Claim& claim,
                   absl::StatusOr<Outcome> outcome);
  void Answer(uint64_t id);
  void Finish(uint64_t id, ReceiveResult result);
  void PutBack(uint64_t id, Pending* receive);
  void End(bool all, const absl::Status& why);
  Reserved* ReservedFor(const CursorKey& key, const Cursor& cursor);
  bool Matches(const Pending& receive, uint32_t tag_hash) const;
  std::vector<QueueKey> QueuesOf(TopicId topic) const;

  ReceiveLine LineOf(const ReceiveCall& call) const;
  // If anybody waits there.
  void WakeLine(const ReceiveLine& line);
  // The queues of a LITE topic in which there may be a batch to repeat.
  std::vector<QueueKey> LiteQueuesToRepeat(const Pending& receive) const;
  // Picks from what may have something for its client. Whether the receive will be woken.
  bool PickLite(uint64_t id, Pending* receive, int32_t* messages_left, int64_t* bytes_left);
  // Nothing is known of the cursor that the state does not say: then it takes no memory here.
  void ForgetIdle(const CursorKey& key);

  ShardCore* const core_;
  LiteSubscriptions lite_;
  FilterScan filters_;
  BuryFn bury_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  absl::flat_hash_map<uint64_t, std::unique_ptr<Pending>> receives_;
  absl::btree_map<ReceiveLine, std::deque<uint64_t>> lines_;  // Who waits, in order of arrival; may name the gone.
  absl::btree_set<std::pair<int64_t, uint64_t>> deadlines_;   // Of those that wait.
  absl::btree_set<ReceiveLine> woken_;
  absl::flat_hash_map<CursorKey, Reserved> reserved_;
  absl::flat_hash_set<CursorKey> opening_;
  absl::flat_hash_set<std::pair<BlockKey, Subscription>> awaited_;  // Index blocks on their way, and who is woken then.
  absl::flat_hash_map<CursorKey, int32_t> seeking_;                 // Records that are to move it.
  absl::flat_hash_set<CursorKey> scans_ahead_;                      // Cursors whose scans are not written down.
  bool draining_ = false;
  uint64_t turn_ = 0;  // Which queue of a topic is looked at first.
  absl::flat_hash_map<Subscription, int64_t>
      priority_turns_;                                        // Of PRIORITY topics: receives that were given something.
  absl::Duration parked_logged_ = -absl::InfiniteDuration();  // When NoteTooManyParked last did.
};

}  // namespace barid::broker

#endif  // BARID_BROKER_DISPATCHER_H_
