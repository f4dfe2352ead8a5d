#include "proxy/receiver.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "proxy/receive_journey.h"
#include "proxy/refusal.h"

namespace barid::proxy {

Receipt ReceiveOutcome::ReceiptOf(const Delivery& delivery) const {
  return {shard, group, delivery.queue, delivery.offset, delivery.attempt, delivery.nonce, auto_renew};
}

void Receiver::Start(ReceiveRequest request, std::shared_ptr<PendingCall> pending, Callback<ReceiveOutcome> done) {
  if (!under_way_.Add(pending)) request.wait = absl::ZeroDuration();
  done = [this, pending, done = std::move(done)](ReceiveOutcome outcome) mutable {
    under_way_.Remove(pending);
    done(std::move(outcome));
  };
  auto journey = std::make_unique<Journey>();
  journey->wait_until = clock_->SinceBoot() + request.wait;
  journey->request = std::move(request);
  journey->pending = std::move(pending);
  journey->done = std::move(done);

  // Topic, then group, then subscription; in the usual case all are there and nothing here waits.
  const ResourceName topic = journey->request.topic;
  catalog_->NeedTopic(topic, [this, journey = std::move(journey)](absl::StatusOr<Snapshot> found) mutable {
    if (!found.ok()) return journey->End(found.status());
    const ResourceName group = journey->request.group;
    catalog_->NeedGroup(group, [this, journey = std::move(journey)](absl::StatusOr<Snapshot> with_group) mutable {
      if (!with_group.ok()) return journey->End(with_group.status());
      Subscribe(std::move(journey), *std::move(with_group));
    });
  });
}

void Receiver::Subscribe(std::unique_ptr<Journey> journey, Snapshot metadata) {
  const TopicMetadata* const topic = metadata->FindTopic(journey->request.topic);
  const GroupMetadata* const group = metadata->FindGroup(journey->request.group);
  if (topic == nullptr || group == nullptr) {
    return journey->End(absl::UnavailableError("topic or group was deleted just now: try again"));
  }
  journey->topic = topic->id;
  journey->outcome.group = group->id;
  if (members_->Begin(*metadata, group->id)) journey->members = members_;
  catalog_->NeedSubscription(group->id, topic->id,
                             [this, journey = std::move(journey)](absl::StatusOr<Snapshot> found) mutable {
                               if (!found.ok()) return journey->End(found.status());
                               AskShard(std::move(journey), *std::move(found));
                             });
}

void Receiver::AskShard(std::unique_ptr<Journey> journey, Snapshot metadata) {
  journey->outcome.metadata = std::move(metadata);
  journey->outcome.auto_renew = journey->request.auto_renew;
  const Metadata& known = *journey->outcome.metadata;
  const TopicMetadata* const topic = known.FindTopic(journey->topic);
  const ShardMetadata* const shard = known.FindShard(journey->request.shard_name);
  if (shard == nullptr || (journey->request.everywhere && topic != nullptr && topic->type == MessageType::kLite)) {
    return AskEverywhere(std::move(journey));
  }
  const absl::StatusOr<Target> target = router_->ById(known, shard->id);
  if (!target.ok()) return journey->End(target.status());
  journey->outcome.shard = target->shard;
  Ask(std::move(journey), *target, /*tries=*/1);
}

ReceiveCall Receiver::MakeCall(const Journey& journey, ShardId shard, absl::Duration wait) {
  const ReceiveRequest& request = journey.request;
  ReceiveCall call;
  call.shard = shard;
  call.group = journey.outcome.group;
  call.topic = journey.topic;
  call.metadata_revision = journey.outcome.metadata->revision();
  call.tags = request.tags;
  call.sql = request.sql;
  call.max_messages = request.max_messages;
  call.max_bytes = request.max_bytes;
  call.invisible = request.invisible;
  call.auto_renew = request.auto_renew;
  call.client_id = request.client_id;
  call.attempt_id = request.attempt_id;
  call.wait = std::max(wait, absl::ZeroDuration());
  return call;
}

void Receiver::Ask(std::unique_ptr<Journey> journey, Target target, int tries) {
  ReceiveCall call = MakeCall(*journey, target.shard, journey->wait_until - clock_->SinceBoot());
  const std::shared_ptr<PendingCall> pending = journey->pending;
  const std::optional<int> begun = pending->BeginAsking();
  if (!begun) return journey->End(absl::CancelledError("the client cancelled the call"));

  const uint64_t id = target.broker->Receive(
      std::move(call), [this, journey = std::move(journey), target, tries](ReceiveResult result) mutable {
        journey->pending->Answered();
        BrokerApi* const leader = result.status.ok() || tries > 1 ? nullptr : router_->SecondTry(result.status, target);
        if (leader != nullptr) return Ask(std::move(journey), {target.shard, leader}, tries + 1);
        journey->outcome.deliveries = std::move(result.deliveries);
        journey->End(std::move(result.status));
      });
  pending->Asked(*begun, target, id);
}

void Receiver::GiveBack(const ReceiveOutcome& outcome, size_t first) {
  if (first >= outcome.deliveries.size()) return;
  const absl::StatusOr<Target> target = router_->ById(*router_->Snapshot(), outcome.shard);
  // Without a leader they come back when their invisible time is over.
  if (!target.ok()) return;
  SettleCall call;
  call.shard = outcome.shard;
  for (size_t i = first; i < outcome.deliveries.size(); ++i) {
    const Delivery& delivery = outcome.deliveries[i];
    SettleEntry& entry = call.entries.emplace_back();
    entry.group = outcome.group;
    entry.queue = delivery.queue;
    entry.offset = delivery.offset;
    entry.nonce = delivery.nonce;
    entry.kind = SettleKind::kUndelivered;
  }
  // Best effort for the same reason: a failure costs the invisible time, nothing is lost.
  target->broker->Settle(std::move(call), [](SettleResult) {});
}

void Receiver::ReportSent(const ReceiveOutcome& outcome) {
  if (!outcome.auto_renew || outcome.deliveries.empty()) return;
  const absl::StatusOr<Target> target = router_->ById(*router_->Snapshot(), outcome.shard);
  if (!target.ok()) return;  // Best effort, see base/broker_calls.h.
  SentReport report;
  report.shard = outcome.shard;
  for (const Delivery& delivery : outcome.deliveries) {
    report.entries.push_back({outcome.group, delivery.queue, delivery.offset, delivery.nonce});
  }
  target->broker->ReportSent(std::move(report));
}

}  // namespace barid::proxy
