#ifndef BARID_PROXY_PROXY_H_
#define BARID_PROXY_PROXY_H_

#include <memory>

#include "base/clock.h"
#include "base/controller_calls.h"
#include "base/executor.h"
#include "filter/filter_cache.h"
#include "proxy/call_metrics.h"
#include "proxy/catalog.h"
#include "proxy/client_questions.h"
#include "proxy/clients.h"
#include "proxy/members.h"
#include "proxy/options.h"
#include "proxy/ports.h"
#include "proxy/puller.h"
#include "proxy/receiver.h"
#include "proxy/router.h"
#include "proxy/sender.h"
#include "proxy/settler.h"
#include "proxy/throughput.h"
#include "proxy/transaction_checker.h"

namespace barid::proxy {

// The proxy role, without its public face (proxy/public/): it keeps nothing that cannot be lost.
//
// To end: drain the port, so that no call comes in; stop the brokers and the controller (or their clients), which
// answers what is under way; destroy `executor`; then the proxy.
class Proxy {
 public:
  // All outlive it, but for the executor.
  Proxy(Clock* clock, Executor* executor, ControllerApi* controller, BrokerDirectory* brokers, ProxyOptions options);

  // Begins to tell brokers which clients are alive and what they read of lite topics, the controller which groups have
  // members, clients which settings have changed, and to ask producers about transactions.
  void Start();

  // The process drains: receives and pulls that wait are answered with what there is. Then the port is to drain, which
  // ends the telemetry streams, so that clients look for another proxy.
  void Drain();

  // Before there is a table of methods; outlives it. Without, calls are not counted.
  void SetCallMetrics(CallMetrics* metrics) { call_metrics_ = metrics; }
  // While tables of methods are made. Null: none are kept.
  MethodMetrics* MetricsOf(absl::string_view method) {
    return call_metrics_ == nullptr ? nullptr : call_metrics_->Of(method);
  }
  MethodMetrics* MetricsOfWaiting(absl::string_view method) {
    return call_metrics_ == nullptr ? nullptr : call_metrics_->OfWaiting(method);
  }

  const ProxyOptions& options() const { return options_; }
  Clock* clock() { return clock_; }
  ControllerApi* controller() { return controller_; }
  Router& router() { return router_; }
  Catalog& catalog() { return catalog_; }
  Clients& clients() { return clients_; }
  ClientQuestions& questions() { return questions_; }
  Throughput& throughput() { return throughput_; }
  Sender& sender() { return sender_; }
  Members& members() { return members_; }
  Receiver& receiver() { return receiver_; }
  Puller& puller() { return puller_; }
  Settler& settler() { return settler_; }
  // Of SQL filters that were read before.
  filter::FilterCache& filters() { return filters_; }

 private:
  void Tick();
  void ReportGroups(const Metadata& metadata, const absl::flat_hash_set<ResourceName>& declared);
  void CheckTransactions();
  // What clients read of lite topics: a new leader has not heard it, and clients repeat it every 30 s only.
  void TellNewLeaders(const Metadata& metadata);

  Clock* const clock_;
  Executor* const executor_;
  ControllerApi* const controller_;
  const ProxyOptions options_;
  CallMetrics* call_metrics_ = nullptr;
  Router router_;
  Catalog catalog_;
  Clients clients_;
  ClientQuestions questions_;
  Throughput throughput_;
  Sender sender_;
  Members members_;
  Receiver receiver_;
  Puller puller_;
  Settler settler_;
  TransactionChecker transaction_checker_;
  filter::FilterCache filters_{size_t{8} << 20};
  // On the executor.
  int64_t refreshed_revision_ = 0;
  absl::flat_hash_map<ShardId, Epoch> told_;  // The leaders that know what clients read.
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_PROXY_H_
