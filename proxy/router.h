#ifndef BARID_PROXY_ROUTER_H_
#define BARID_PROXY_ROUTER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/ports.h"

namespace barid::proxy {

// A shard and the broker that leads it.
struct Target {
  ShardId shard;
  BrokerApi* broker = nullptr;
};

// Which shard a request goes to, and who leads it. Every topic lives in every shard. Any thread; no locks.
class Router {
 public:
  // Both outlive it.
  Router(const MetadataSource* metadata, BrokerDirectory* brokers);

  std::shared_ptr<const Metadata> Snapshot() const { return metadata_->Current(); }
  BrokerDirectory* brokers() const { return brokers_; }

  // By id, so that clients always see the same order.
  static std::vector<const ShardMetadata*> Shards(const Metadata& metadata);

  // The shards that have a leader, in turn. kUnavailable if none has.
  absl::StatusOr<Target> Next(const Metadata& metadata);
  // Of the shards that have a leader, the one that this key belongs to (rendezvous hashing): always the same, while it
  // leads.
  absl::StatusOr<Target> ForKey(const Metadata& metadata, uint64_t key) const;
  // The one that this key belongs to of all shards, whoever leads; nullptr if there is none.
  static const ShardMetadata* ShardOf(const Metadata& metadata, uint64_t key);
  // Who leads it: lite topics stay where they are. kUnavailable while nobody does.
  absl::StatusOr<Target> OwnerOf(const Metadata& metadata, uint64_t key) const;
  // kUnavailable if it has no leader that can be reached now.
  absl::StatusOr<Target> ById(const Metadata& metadata, ShardId shard) const;

  // Where to try once more after `status` of a call to `failed`, or nullptr. Only for kFailedPrecondition with
  // NotLeader, which says that nothing happened: its hint counts, else the newest snapshot.
  BrokerApi* SecondTry(const absl::Status& status, const Target& failed) const;

 private:
  absl::StatusOr<Target> LeaderOf(const ShardMetadata& shard) const;

  const MetadataSource* const metadata_;
  BrokerDirectory* const brokers_;
  std::atomic<uint32_t> turn_ = 0;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_ROUTER_H_
