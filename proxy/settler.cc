#include "proxy/settler.h"

#include <atomic>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

SettleCall MakeCall(ShardId shard, const std::vector<size_t>& indexes, const std::vector<Settlement>& settlements) {
  SettleCall call;
  call.shard = shard;
  call.entries.reserve(indexes.size());
  for (const size_t i : indexes) {
    const Settlement& settlement = settlements[i];
    const Receipt& receipt = *settlement.receipt;
    call.entries.push_back({receipt.group, receipt.queue, receipt.offset, receipt.nonce, settlement.kind,
                            settlement.delay, settlement.reason});
  }
  return call;
}

}  // namespace

absl::StatusOr<Receipt> OpenReceipt(const Metadata& metadata, const ResourceName& topic, const ResourceName& group,
                                    absl::string_view handle) {
  ASSIGN_OR_RETURN(const Receipt receipt, DecodeReceipt(handle, metadata.tables().signing_keys));
  const TopicMetadata* const its_topic = metadata.FindTopic(receipt.queue.topic);
  const GroupMetadata* const its_group = metadata.FindGroup(receipt.group);
  if (its_topic == nullptr || its_group == nullptr) {
    return StaleReceiptError("the receipt's topic or group has been deleted");
  }
  if (its_topic->name != topic) {
    return Refuse(Reason::kInvalidReceiptHandle,
                  absl::StrCat("the receipt handle is for the topic ", its_topic->name.ToString(),
                               ", the request names ", topic.ToString()));
  }
  if (its_group->name != group) {
    return Refuse(Reason::kInvalidReceiptHandle,
                  absl::StrCat("the receipt handle is for the group ", its_group->name.ToString(),
                               ", the request names ", group.ToString()));
  }
  return receipt;
}

SettleKind KindOfChange(const std::optional<ClientProfile>& client, const Receipt& receipt) {
  switch (client ? client->type : ClientType::kUnspecified) {
    case ClientType::kPushConsumer:
    case ClientType::kLitePushConsumer:
      return SettleKind::kReturn;
    case ClientType::kSimpleConsumer:
    case ClientType::kLiteSimpleConsumer:
      return SettleKind::kExtend;
    default:
      return receipt.auto_renew ? SettleKind::kReturn : SettleKind::kExtend;
  }
}

// Shared by the shards' calls; each writes statuses of its own, the last to end answers.
struct Settler::Batch {
  std::vector<Settlement> settlements;
  std::vector<absl::Status> statuses;
  std::atomic<size_t> shards_left = 0;
  Callback<std::vector<absl::Status>> done;
};

void Settler::Settle(std::vector<Settlement> settlements, Callback<std::vector<absl::Status>> done) {
  auto batch = std::make_shared<Batch>();
  batch->statuses.resize(settlements.size());
  absl::btree_map<ShardId, std::vector<size_t>> by_shard;
  for (size_t i = 0; i < settlements.size(); ++i) {
    if (settlements[i].receipt.ok()) {
      by_shard[settlements[i].receipt->shard].push_back(i);
    } else {
      batch->statuses[i] = settlements[i].receipt.status();
    }
  }
  if (by_shard.empty()) return done(std::move(batch->statuses));
  batch->settlements = std::move(settlements);
  batch->done = std::move(done);
  batch->shards_left = by_shard.size();
  for (auto& [shard, indexes] : by_shard) SettleAt(shard, std::move(indexes), batch);
}

void Settler::SettleAt(ShardId shard, std::vector<size_t> indexes, std::shared_ptr<Batch> batch) {
  const absl::StatusOr<Target> target = router_->ById(*router_->Snapshot(), shard);
  if (!target.ok()) return Finish(indexes, {target.status(), {}}, batch.get());
  SettleCall call = MakeCall(shard, indexes, batch->settlements);
  target->broker->Settle(std::move(call), [this, target = *target, indexes = std::move(indexes),
                                           batch = std::move(batch)](SettleResult result) mutable {
    BrokerApi* const leader = result.status.ok() ? nullptr : router_->SecondTry(result.status, target);
    if (leader == nullptr) return Finish(indexes, std::move(result), batch.get());
    SettleCall again = MakeCall(target.shard, indexes, batch->settlements);
    leader->Settle(std::move(again), [indexes = std::move(indexes), batch = std::move(batch)](SettleResult second) {
      Finish(indexes, std::move(second), batch.get());
    });
  });
}

void Settler::Finish(const std::vector<size_t>& indexes, SettleResult result, Batch* batch) {
  if (result.status.ok() && result.entries.size() != indexes.size()) {
    result.status = absl::InternalError(
        absl::StrCat("the broker answered ", result.entries.size(), " entries, asked were ", indexes.size()));
  }
  for (size_t i = 0; i < indexes.size(); ++i) {
    batch->statuses[indexes[i]] = result.status.ok() ? std::move(result.entries[i]) : result.status;
  }
  if (batch->shards_left.fetch_sub(1, std::memory_order_acq_rel) == 1) batch->done(std::move(batch->statuses));
}

}  // namespace barid::proxy
