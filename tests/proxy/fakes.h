#ifndef BARID_TESTS_PROXY_FAKES_H_
#define BARID_TESTS_PROXY_FAKES_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/broker_calls.h"
#include "base/controller_calls.h"
#include "base/mutex.h"
#include "proxy/ports.h"

namespace barid::proxy {

// A controller in memory: changes take effect at once, unless answers are held back.
class FakeController : public ControllerApi {
 public:
  // Shards "shard-1".. of broker "broker-0".., in turn.
  FakeController(int brokers, int shards);

  std::shared_ptr<const Metadata> Current() const override;

  void CreateTopic(TopicMetadata topic, Changed done) override;
  void UpdateTopic(TopicUpdate update, Changed done) override;
  void DeleteTopic(ResourceName name, Changed done) override;
  void CreateGroup(GroupMetadata group, Changed done) override;
  void UpdateGroup(GroupUpdate update, Changed done) override;
  void DeleteGroup(ResourceName name, Changed done) override;
  void Subscribe(GroupId group, TopicId topic, Changed done) override;
  void Unsubscribe(GroupId group, TopicId topic, Changed done) override;
  void ReportGroups(GroupReport report) override { group_reports.push_back(std::move(report)); }
  void RegisterBroker(BrokerRegistration, absl::AnyInvocable<void(absl::StatusOr<BrokerGrant>)> done) override;
  void RegisterReplica(std::string, BrokerRegistration::Replica, Changed done) override;
  void Watch(absl::AnyInvocable<void(std::shared_ptr<const Metadata>)>) override {}

  // Changes the tables by hand; the revision goes up.
  void Edit(const std::function<void(Metadata::Tables*)>& edit);

  TopicId MakeTopic(const std::string& name, MessageType type = MessageType::kNormal, const std::string& space = "");
  GroupId MakeGroup(const std::string& name, DeliveryOrder order = DeliveryOrder::kNone, const std::string& space = "");

  // What happens to changes from now on: OK, or they fail with this.
  void FailChanges(absl::Status status) { failure_ = std::move(status); }
  // Creations and subscriptions wait for Release.
  void Hold() { hold_ = true; }
  void Release();

  std::vector<GroupReport> group_reports;
  int topics_created = 0;
  int groups_created = 0;
  int subscriptions_made = 0;

 private:
  void Answer(Changed done);

  Metadata::Tables tables_;
  std::shared_ptr<const Metadata> current_;
  uint64_t next_id_ = 1;
  absl::Status failure_;
  bool hold_ = false;
  std::vector<absl::AnyInvocable<void()>> held_;
};

// A broker in memory, with queues and deliveries. Single-threaded: answers come within the call, or when a test says
// so.
class FakeBroker : public BrokerApi {
 public:
  explicit FakeBroker(std::string id) : id_(std::move(id)) {}

  void Append(AppendCall call, Callback<AppendResult> done) override;
  void Recall(RecallCall call, Callback<RecallResult> done) override;
  void EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) override;
  void TakeChecks(ChecksCall call, Callback<ChecksResult> done) override;
  void ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) override;
  // Answer from lookup_results and redrive_results, one each; empty ones when there are none left.
  void Lookup(LookupCall call, Callback<LookupResult> done) override;
  void Redrive(RedriveCall call, Callback<RedriveResult> done) override;
  uint64_t Receive(ReceiveCall call, Callback<ReceiveResult> done) override;
  void CancelReceive(ShardId shard, uint64_t receive_id) override;
  void Settle(SettleCall call, Callback<SettleResult> done) override;
  void ReportSent(SentReport report) override { sent.push_back(std::move(report)); }
  void ReportClients(const ClientReport& report) override { reports.push_back(report); }
  void Stats(StatsCall call, Callback<StatsResult> done) override;
  uint64_t Pull(PullCall call, Callback<PullResult> done) override;
  void QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) override;
  void GetOffset(GetOffsetCall call, Callback<OffsetResult> done) override;
  void UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) override;
  void SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) override;
  void ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) override;

  // What Stats says of groups.
  std::vector<GroupCount> counts;

  // The next calls are refused so, one each.
  void RefuseNext(absl::Status status) { refusals_.push_back(std::move(status)); }
  // Fate of a message by its place in the call.
  std::function<absl::Status(size_t)> append_fate;
  // Answers to sends and settles wait for Release.
  bool hold = false;
  void Release();
  // Answers to receives that have messages wait for Release too.
  bool hold_deliveries = false;

  // The time of all waiting receives and pulls is over.
  void EndWaits();
  size_t waiting() const { return waiting_.size() + waiting_pulls_.size(); }
  // The deliveries in flight: (topic, queue, offset).
  size_t in_flight() const { return in_flight_.size(); }
  bool IsInFlight(QueueOffset offset) const;
  int32_t AttemptsOf(QueueOffset offset) const;
  // Rewrites what is stored, to see what happens to what cannot be read.
  void Corrupt(ShardId shard, TopicId topic, QueueOffset offset);

  std::vector<AppendCall> appends;
  std::vector<RecallCall> recalls;
  std::vector<EndTransactionCall> ends;
  std::vector<ChecksCall> check_calls;
  std::vector<TransactionsCall> lists;
  std::vector<LookupCall> lookups;
  std::vector<RedriveCall> redrives;
  std::deque<LookupResult> lookup_results;
  std::deque<RedriveResult> redrive_results;
  bool checks_due = false;  // All open transactions are; until somebody takes them.
  std::vector<ReceiveCall> receives;
  std::vector<PullCall> pulls;
  std::vector<QueryOffsetCall> queries;
  std::vector<ResetOffsetCall> resets;
  std::vector<LiteSyncCall> syncs;
  std::vector<SettleCall> settles;
  std::vector<SentReport> sent;
  std::vector<ClientReport> reports;

 private:
  struct Place {
    ShardId shard;
    GroupId group;
    TopicId topic;
    QueueOffset offset;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct InFlight {
    LogIndex nonce;
    int32_t attempt;
  };
  struct Waiting {
    uint64_t id;
    ReceiveCall call;
    Callback<ReceiveResult> done;
  };
  struct WaitingPull {
    uint64_t id;
    PullCall call;
    Callback<PullResult> done;
  };
  struct Stored {
    Buffer bytes;
    uint32_t tag_hash;
  };

  std::optional<absl::Status> TakeRefusal();
  std::vector<Delivery> Pick(const ReceiveCall& call);
  PullResult Read(const PullCall& call);
  void WakeWaiting();
  void Run(absl::AnyInvocable<void()> answer, bool held);

  const std::string id_;
  std::map<std::pair<ShardId, TopicId>, std::vector<Stored>> queues_;  // One queue a topic is enough here.
  std::map<Place, InFlight> in_flight_;
  std::map<Place, int32_t> attempts_;
  std::set<Place> settled_;
  std::set<std::pair<ShardId, TimerKey>> timers_;  // Scheduled messages are named, and never come.
  struct Transaction {
    TopicId topic;
    Buffer stored;
    std::optional<bool> committed;
    int32_t checks = 0;
  };
  std::map<std::pair<ShardId, TransactionKey>, Transaction> transactions_;
  std::map<std::pair<ShardId, std::pair<GroupId, QueueKey>>, QueueOffset> offsets_;
  std::vector<Waiting> waiting_;
  std::vector<WaitingPull> waiting_pulls_;
  std::vector<absl::Status> refusals_;
  std::vector<absl::AnyInvocable<void()>> held_;
  LogIndex next_nonce_ = 100;
  uint64_t next_receive_ = 1;
};

class FakeDirectory : public BrokerDirectory {
 public:
  BrokerApi* Find(absl::string_view id) override {
    const auto it = brokers.find(std::string(id));
    return it == brokers.end() ? nullptr : it->second.get();
  }
  std::map<std::string, std::unique_ptr<FakeBroker>> brokers;
};

}  // namespace barid::proxy

#endif  // BARID_TESTS_PROXY_FAKES_H_
