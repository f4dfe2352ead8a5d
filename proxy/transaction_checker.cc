#include "proxy/transaction_checker.h"

#include <utility>

#include "absl/time/time.h"
#include "base/log.h"
#include "base/status.h"
#include "proxy/signature.h"
#include "proxy/transaction_id.h"

namespace barid::proxy {

void TransactionChecker::Poll() {
  const std::shared_ptr<const Metadata> metadata = router_->Snapshot();
  std::vector<const TopicMetadata*> transactional;
  for (const TopicMetadata& topic : metadata->tables().topics) {
    if (topic.type == MessageType::kTransaction) transactional.push_back(&topic);
  }
  if (transactional.empty() || NewestKey(metadata->tables().signing_keys) == nullptr) return;
  const Clients::Producers producers = clients_->LiveProducers();
  std::vector<TopicId> topics;
  for (const TopicMetadata* const topic : transactional) {
    if (producers.contains(topic->name)) topics.push_back(topic->id);
  }
  if (topics.empty()) return;
  for (const ShardMetadata* const shard : Router::Shards(*metadata)) PollShard(*metadata, shard->id, topics);
}

void TransactionChecker::PollShard(const Metadata& metadata, ShardId shard, std::vector<TopicId> topics) {
  const absl::StatusOr<Target> target = router_->ById(metadata, shard);
  if (!target.ok()) return;  // Its leader will know what is due.
  {
    MutexLock lock(&mu_);
    if (!polling_.insert(shard).second) return;
  }
  ChecksCall call;
  call.shard = shard;
  call.proxy = options_->name;
  call.topics = std::move(topics);
  target->broker->TakeChecks(std::move(call), [this, shard](ChecksResult result) {
    {
      MutexLock lock(&mu_);
      polling_.erase(shard);
    }
    if (result.status.ok()) return OnChecks(shard, result);
    // A broker that goes away, or one that is older.
    LOG(DEBUG) << "no transactions to check from a shard" << KV("shard", shard) << KV("error", result.status);
  });
}

void TransactionChecker::OnChecks(ShardId shard, const ChecksResult& result) {
  if (result.checks.empty()) return;
  const std::shared_ptr<const Metadata> metadata = router_->Snapshot();
  const SigningKey* const key = NewestKey(metadata->tables().signing_keys);
  if (key == nullptr) return;
  const Clients::Producers producers = clients_->LiveProducers();
  for (const TransactionCheck& check : result.checks) {
    const TopicMetadata* const topic = metadata->FindTopic(check.queue.topic);
    if (topic == nullptr) continue;
    const auto live = producers.find(topic->name);
    if (live == producers.end()) continue;  // It went meanwhile; the next check will find another.
    const size_t turn = static_cast<size_t>(check.check) + check.transaction.index + check.transaction.entry;
    OrphanedTransaction orphan;
    orphan.id = EncodeTransactionId({shard, topic->id, check.transaction}, *key);
    orphan.topic = topic->name;
    orphan.queue = check.queue.queue;
    orphan.stored = check.stored;
    orphan.prepared = check.prepared;
    live->second[turn % live->second.size()]->Recover(orphan);
  }
}

}  // namespace barid::proxy
