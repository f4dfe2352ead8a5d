#include "proxy/proxy.h"

#include <utility>

namespace barid::proxy {

Proxy::Proxy(Clock* clock, Executor* executor, ControllerApi* controller, BrokerDirectory* brokers,
             ProxyOptions options)
    : clock_(clock),
      executor_(executor),
      controller_(controller),
      options_(std::move(options)),
      router_(controller, brokers),
      catalog_(controller, options_),
      clients_(clock, options_.limits.max_clients, options_.client_expiry,
               options_.limits.max_waiting_receives_per_client),
      questions_(executor),
      sender_(&router_, options_.limits.max_inflight_send_bytes),
      receiver_(clock, &catalog_, &router_, &members_),
      puller_(clock, &router_),
      settler_(&router_),
      transaction_checker_(&clients_, &router_, &options_) {}

void Proxy::Start() {
  throughput_.Sample(clock_->SinceBoot());
  executor_->Post([this] { refreshed_revision_ = router_.Snapshot()->revision(); });
  executor_->PostAfter(options_.client_report_interval, [this] { Tick(); });
  executor_->PostAfter(options_.transaction_poll_interval, [this] { CheckTransactions(); });
}

void Proxy::CheckTransactions() {
  transaction_checker_.Poll();
  executor_->PostAfter(options_.transaction_poll_interval, [this] { CheckTransactions(); });
}

void Proxy::Drain() {
  receiver_.Drain();
  puller_.Drain();
}

// Also that there were none: a group goes only after every proxy has said so.
void Proxy::ReportGroups(const Metadata& metadata, const absl::flat_hash_set<ResourceName>& declared) {
  absl::flat_hash_set<GroupId> seen = members_.Take();
  if (!metadata.has_expiring_groups()) return;
  for (const ResourceName& name : declared) {
    if (const GroupMetadata* const group = metadata.FindGroup(name)) seen.insert(group->id);
  }
  GroupReport report;
  report.proxy = options_.name;
  for (const GroupId id : seen) {
    const GroupMetadata* const group = metadata.FindGroup(id);
    if (group != nullptr && group->expire_after > absl::ZeroDuration()) report.seen.push_back(id);
  }
  controller_->ReportGroups(std::move(report));
}

void Proxy::TellNewLeaders(const Metadata& metadata) {
  std::vector<const ShardMetadata*> shards;
  for (const ShardMetadata* const shard : Router::Shards(metadata)) {
    if (std::exchange(told_[shard->id], shard->epoch) != shard->epoch) shards.push_back(shard);
  }
  if (shards.empty()) return;
  for (const LiteSubscription& reads : clients_.LiteReaders()) {
    SyncLite(&router_, metadata, shards, reads, options_.limits.max_lite_subscriptions, [this](absl::Status status) {
      // The next look tells everyone again.
      if (absl::IsUnavailable(status)) executor_->Post([this] { told_.clear(); });
    });
  }
}

void Proxy::Tick() {
  throughput_.Sample(clock_->SinceBoot());
  const Snapshot metadata = router_.Snapshot();
  absl::flat_hash_set<ResourceName> declared;
  const ClientReport report = clients_.TakeReport(options_.name, &declared);
  for (const BrokerMetadata& broker : metadata->tables().brokers) {
    // One that cannot be reached keeps everyone alive until it hears otherwise (docs/delivery.md).
    if (BrokerApi* const api = router_.brokers()->Find(broker.id)) api->ReportClients(report);
  }
  ReportGroups(*metadata, declared);
  TellNewLeaders(*metadata);
  if (metadata->revision() != refreshed_revision_) {
    refreshed_revision_ = metadata->revision();
    for (const std::shared_ptr<ClientSession>& session : clients_.Sessions()) session->Refresh(*metadata);
  }
  executor_->PostAfter(options_.client_report_interval, [this] { Tick(); });
}

}  // namespace barid::proxy
