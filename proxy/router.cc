#include "proxy/router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "base/status.h"

namespace barid::proxy {
namespace {

absl::Status NoShards() { return absl::UnavailableError("the cluster has no shards yet: no broker has registered"); }

absl::Status NoLeaders(size_t shards) {
  return absl::UnavailableError(absl::StrCat("none of the ", shards, " shards has a leader that can be reached now"));
}

}  // namespace

Router::Router(const MetadataSource* metadata, BrokerDirectory* brokers) : metadata_(metadata), brokers_(brokers) {}

std::vector<const ShardMetadata*> Router::Shards(const Metadata& metadata) {
  std::vector<const ShardMetadata*> shards;
  shards.reserve(metadata.tables().shards.size());
  for (const ShardMetadata& shard : metadata.tables().shards) shards.push_back(&shard);
  std::sort(shards.begin(), shards.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  return shards;
}

absl::StatusOr<Target> Router::LeaderOf(const ShardMetadata& shard) const {
  if (shard.leader.empty()) return absl::UnavailableError(absl::StrCat("the shard ", shard.name, " has no leader now"));
  BrokerApi* const broker = brokers_->Find(shard.leader);
  if (broker == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("the broker ", shard.leader, ", which leads the shard ", shard.name, ", cannot be reached now"));
  }
  return Target{shard.id, broker};
}

absl::StatusOr<Target> Router::Next(const Metadata& metadata) {
  const std::vector<ShardMetadata>& shards = metadata.tables().shards;
  if (shards.empty()) return NoShards();
  const uint32_t first = turn_.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 0; i < shards.size(); ++i) {
    absl::StatusOr<Target> target = LeaderOf(shards[(first + i) % shards.size()]);
    if (target.ok()) return target;
  }
  return NoLeaders(shards.size());
}

const ShardMetadata* Router::ShardOf(const Metadata& metadata, uint64_t key) {
  const std::vector<ShardMetadata>& shards = metadata.tables().shards;
  const auto weigh = [key](const ShardMetadata& shard) { return RendezvousWeight(key, shard.id.value()); };
  const auto first =
      std::max_element(shards.begin(), shards.end(), [&](const auto& a, const auto& b) { return weigh(a) < weigh(b); });
  return first == shards.end() ? nullptr : &*first;
}

absl::StatusOr<Target> Router::OwnerOf(const Metadata& metadata, uint64_t key) const {
  const ShardMetadata* const shard = ShardOf(metadata, key);
  if (shard == nullptr) return NoShards();
  return LeaderOf(*shard);
}

absl::StatusOr<Target> Router::ForKey(const Metadata& metadata, uint64_t key) const {
  const std::vector<ShardMetadata>& shards = metadata.tables().shards;
  if (shards.empty()) return NoShards();
  const auto weigh = [key](const ShardMetadata& shard) { return RendezvousWeight(key, shard.id.value()); };
  const ShardMetadata* first = nullptr;
  uint64_t highest = 0;
  for (const ShardMetadata& shard : shards) {
    const uint64_t weight = weigh(shard);
    if (first != nullptr && weight <= highest) continue;
    first = &shard;
    highest = weight;
  }
  absl::StatusOr<Target> target = LeaderOf(*first);
  if (target.ok() || shards.size() == 1) return target;
  // The next in the order of the weights takes its place.
  std::vector<std::pair<uint64_t, const ShardMetadata*>> order;
  order.reserve(shards.size());
  for (const ShardMetadata& shard : shards) order.emplace_back(weigh(shard), &shard);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [weight, shard] : order) {
    target = LeaderOf(*shard);
    if (target.ok()) return target;
  }
  return NoLeaders(shards.size());
}

absl::StatusOr<Target> Router::ById(const Metadata& metadata, ShardId id) const {
  const ShardMetadata* const shard = metadata.FindShard(id);
  if (shard == nullptr) return absl::UnavailableError(absl::StrCat("the shard ", id.value(), " is not known here yet"));
  return LeaderOf(*shard);
}

BrokerApi* Router::SecondTry(const absl::Status& status, const Target& failed) const {
  const std::optional<NotLeader> detail = GetNotLeader(status);
  if (!detail) return nullptr;
  if (!detail->leader.empty()) {
    BrokerApi* const hinted = brokers_->Find(detail->leader);
    if (hinted != nullptr && hinted != failed.broker) return hinted;
  }
  const absl::StatusOr<Target> fresh = ById(*Snapshot(), failed.shard);
  return fresh.ok() ? fresh->broker : nullptr;
}

}  // namespace barid::proxy
