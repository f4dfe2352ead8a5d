#include "proxy/grpc/remote_brokers.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/log.h"
#include "base/mutex.h"

namespace barid::proxy {

class RemoteBrokers::Table {
 public:
  Table(NewChannel new_channel, const LaneContext& context, const RemoteBrokerOptions& options)
      : new_channel_(std::move(new_channel)), context_(context), options_(options) {}

  BrokerApi* Find(absl::string_view broker_id) {
    MutexLock lock(&mu_);
    const auto it = brokers_.find(broker_id);
    return it == brokers_.end() ? nullptr : it->second.remote.get();
  }

  // Brings the table in line with `metadata`. One thread at a time.
  void Follow(const Metadata& metadata) {
    std::vector<RemoteBroker*> left;
    std::vector<RemoteBroker*> started;
    std::vector<BrokerMetadata> come;
    {
      MutexLock lock(&mu_);
      if (is_closed_ || metadata.revision() < revision_) return;
      revision_ = metadata.revision();
      absl::flat_hash_set<std::string> new_leaders;
      for (const ShardMetadata& shard : metadata.tables().shards) {
        if (std::exchange(epochs_[shard.id], shard.epoch) != shard.epoch) new_leaders.insert(shard.leader);
      }
      for (auto it = brokers_.begin(); it != brokers_.end();) {
        const auto known = it++;
        const BrokerMetadata* const broker = metadata.FindBroker(known->first);
        if (broker != nullptr && broker->endpoint == known->second.endpoint) {
          if (new_leaders.contains(known->first)) started.push_back(known->second.remote.get());
          continue;
        }
        left.push_back(known->second.remote.get());
        left_.push_back(std::move(known->second.remote));
        brokers_.erase(known);
      }
      for (const BrokerMetadata& broker : metadata.tables().brokers) {
        if (!broker.endpoint.empty() && !brokers_.contains(broker.id)) come.push_back(broker);
      }
    }
    for (RemoteBroker* broker : left) broker->Close();
    for (RemoteBroker* broker : started) broker->RetryNow();
    for (const BrokerMetadata& broker : come) {
      LOG(INFO) << "broker is known" << KV("broker", broker.id) << KV("endpoint", broker.endpoint);
      auto remote = std::make_unique<RemoteBroker>(broker.id, new_channel_(broker.endpoint), context_, options_);
      MutexLock lock(&mu_);
      if (!is_closed_) brokers_[broker.id] = {broker.endpoint, std::move(remote)};
    }
  }

  void Close() {
    std::vector<RemoteBroker*> remotes;
    {
      MutexLock lock(&mu_);
      is_closed_ = true;
      for (const auto& [id, known] : brokers_) remotes.push_back(known.remote.get());
      for (const auto& remote : left_) remotes.push_back(remote.get());
    }
    for (RemoteBroker* remote : remotes) remote->Close();
    for (RemoteBroker* remote : remotes) remote->AwaitEnd();
  }

 private:
  struct Known {
    std::string endpoint;
    std::unique_ptr<RemoteBroker> remote;
  };

  const NewChannel new_channel_;
  const LaneContext context_;
  const RemoteBrokerOptions options_;
  Mutex mu_;
  bool is_closed_ ABSL_GUARDED_BY(mu_) = false;
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<ShardId, Epoch> epochs_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Known> brokers_ ABSL_GUARDED_BY(mu_);
  // Kept because callers may hold them: closed, without their channels, some hundred bytes each.
  std::vector<std::unique_ptr<RemoteBroker>> left_ ABSL_GUARDED_BY(mu_);
};

RemoteBrokers::RemoteBrokers(ControllerApi* controller, NewChannel new_channel, const LaneContext& context,
                             const RemoteBrokerOptions& options)
    : table_(std::make_shared<Table>(std::move(new_channel), context, options)) {
  controller->Watch([weak = std::weak_ptr<Table>(table_)](std::shared_ptr<const Metadata> metadata) {
    if (const std::shared_ptr<Table> table = weak.lock()) table->Follow(*metadata);
  });
}

RemoteBrokers::~RemoteBrokers() { Close(); }

void RemoteBrokers::Close() { table_->Close(); }

BrokerApi* RemoteBrokers::Find(absl::string_view broker_id) { return table_->Find(broker_id); }

}  // namespace barid::proxy
