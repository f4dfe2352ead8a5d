#include "tests/simulation/lite_world.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/stored_message.h"

namespace barid::broker {
namespace {

constexpr ShardId kShard{1};
constexpr absl::Duration kLongestHold = absl::Seconds(10);

}  // namespace

void LiteWorld::AddTo(Metadata::Tables* tables, bool ordered) {
  ordered_ = ordered;
  TopicMetadata& topic = tables->topics.emplace_back();
  topic.id = kTopic;
  topic.name = {"", "sessions"};
  topic.type = MessageType::kLite;
  topic.queues_per_shard = 1;
  topic.retention.age = absl::Hours(10'000);
  GroupMetadata& group = tables->groups.emplace_back();
  group.id = kGroup;
  group.name = {"", "lite"};
  group.retry.max_attempts = 100'000;
  if (ordered) group.order = DeliveryOrder::kFifo;
  SubscriptionMetadata& subscription = tables->subscriptions.emplace_back();
  subscription.group = kGroup;
  subscription.topic = kTopic;
}

void LiteWorld::Step() {
  const size_t client = random_.Below(clients_.size());
  switch (random_.Below(6)) {
    case 0:
    case 1:
      return Send();
    case 2: {
      const auto action = static_cast<LiteSyncCall::Action>(random_.Below(3));
      std::set<std::string> names;
      for (uint64_t count = 1 + random_.Below(3); count > 0; --count) names.insert(AnyName());
      return Sync(client, action, names);
    }
    case 3:
      if (random_.OneIn(4)) return Sync(client, LiteSyncCall::Action::kRemoveAll, {});
      return Sync(client, LiteSyncCall::Action::kSet, {AnyName(), AnyName(), AnyName()});
    default:
      return Receive(client, random_.OneIn(2) ? absl::Seconds(random_.Below(10)) : absl::ZeroDuration());
  }
}

void LiteWorld::Send() {
  // Now and then two at once, to one that may be new.
  const std::string name = AnyName();
  for (uint64_t calls = random_.OneIn(3) ? 2 : 1; calls > 0; --calls) {
    AppendCall call;
    call.shard = kShard;
    call.topic = kTopic;
    call.lite_topic = name;
    std::vector<size_t> numbers;
    for (uint64_t count = 1 + random_.Below(3); count > 0; --count) {
      numbers.push_back(messages_.size());
      messages_.push_back({name, Message::Sent::kPending});
      MessageDraft draft;
      const std::string id = absl::StrCat("l", numbers.back());
      draft.type = MessageType::kLite;
      draft.message_id = id;
      draft.lite_topic = name;
      draft.body = "body";
      call.messages.push_back({EncodeStoredMessage(draft), 0});
    }
    port_.post([this, call = std::move(call), numbers, generation = generation_](Shard* shard) mutable {
      shard->Append(std::move(call), [this, numbers, generation](AppendResult result) {
        if (generation != generation_) return;
        for (const size_t number : numbers) {
          messages_[number].sent = result.status.ok() ? Message::Sent::kStored : Message::Sent::kUnknown;
        }
      });
    });
  }
}

void LiteWorld::Sync(size_t client, LiteSyncCall::Action action, const std::set<std::string>& names) {
  LiteSyncCall call;
  call.shard = kShard;
  call.group = kGroup;
  call.topic = kTopic;
  call.client_id = clients_[client].id;
  call.action = action;
  call.lite_topics.assign(names.begin(), names.end());
  absl::Status answer = absl::UnknownError("no answer");
  // Before the shard may act on it.
  const bool adds = action == LiteSyncCall::Action::kAdd || action == LiteSyncCall::Action::kSet;
  for (auto& [number, receiving] : receiving_) {
    if (adds && receiving.client == client) receiving.allowed.insert(names.begin(), names.end());
  }
  port_.now([&](Shard* shard) {
    shard->SyncLite(std::move(call), [&answer](LiteSyncResult result) { answer = result.status; });
  });
  if (!answer.ok()) return;  // It does not lead, and knows of nobody.
  std::set<std::string>& reads = clients_[client].reads;
  if (action == LiteSyncCall::Action::kSet || action == LiteSyncCall::Action::kRemoveAll) reads.clear();
  for (const std::string& name : names) {
    if (adds) reads.insert(name);
    if (action == LiteSyncCall::Action::kRemove) reads.erase(name);
  }
}

void LiteWorld::Receive(size_t client, absl::Duration wait) {
  ReceiveCall call;
  call.shard = kShard;
  call.group = kGroup;
  call.topic = kTopic;
  call.max_messages = draining_ ? 32 : 1 + static_cast<int32_t>(random_.Below(8));
  call.invisible = draining_ ? kLongestHold : absl::Milliseconds(100 + random_.Below(9'000));
  call.client_id = clients_[client].id;
  call.wait = wait;
  const uint64_t number = next_receiving_++;
  receiving_[number] = {client, clients_[client].reads};
  port_.post([this, call = std::move(call), number, id = port_.next_receive(),
              generation = generation_](Shard* shard) mutable {
    shard->Receive(id, std::move(call), [this, number, generation](ReceiveResult result) {
      if (generation == generation_) OnReceived(number, result);
    });
  });
}

bool LiteWorld::KeepsOrder(const Delivery& delivery, const std::set<QueueOffset>& before) const {
  const auto queue = places_.find(delivery.queue);
  if (queue == places_.end()) return true;
  const bool is_first = !queue->second.contains(delivery.offset);
  for (const auto& [offset, other] : queue->second) {
    if (offset > delivery.offset) return !is_first;  // It was delivered before this one ever was.
    const Message& message = messages_[other];
    const bool may_be_settled = message.settled || message.maybe_settled || settling_.contains(other);
    if (offset < delivery.offset && !may_be_settled && !before.contains(offset)) return false;
  }
  return true;
}

void LiteWorld::OnReceived(uint64_t number, const ReceiveResult& result) {
  const Receiving receiving = receiving_.at(number);
  receiving_.erase(number);
  std::map<QueueKey, std::set<QueueOffset>> before;
  for (const Delivery& delivery : result.deliveries) {
    const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(delivery.stored.view());
    size_t message = 0;
    if (!view.ok() || !absl::SimpleAtoi(view->message_id.substr(1), &message) || message >= messages_.size()) {
      return port_.violate("a lite topic gives what was never sent to it");
    }
    const std::string what = absl::StrCat("lite message ", message, " of ", messages_[message].lite_topic, " came to ",
                                          clients_[receiving.client].id);
    if (!receiving.allowed.contains(messages_[message].lite_topic))
      return port_.violate(absl::StrCat(what, ", which does not read it"));
    if (messages_[message].settled) return port_.violate(absl::StrCat(what, " after it had been settled"));
    if (ordered_ && !KeepsOrder(delivery, before[delivery.queue]))
      return port_.violate(absl::StrCat(what, " while an earlier one of its lite topic was not settled"));
    before[delivery.queue].insert(delivery.offset);
    places_[delivery.queue][delivery.offset] = message;
    ++came_;
    if (draining_ || !random_.OneIn(3)) Ack(message, delivery);
  }
}

void LiteWorld::Ack(size_t message, const Delivery& delivery) {
  SettleCall call;
  call.shard = kShard;
  call.entries.push_back(
      {kGroup, delivery.queue, delivery.offset, delivery.nonce, SettleKind::kAck, absl::ZeroDuration(), ""});
  settling_.insert(message);
  port_.post([this, call = std::move(call), message, generation = generation_](Shard* shard) mutable {
    shard->Settle(std::move(call), [this, message, generation](SettleResult result) {
      if (generation != generation_) return;
      settling_.erase(message);
      const absl::Status status = result.status.ok() ? result.entries.at(0) : result.status;
      if (status.ok()) {
        messages_[message].settled = true;
        ++settled_;
      } else if (absl::IsDeadlineExceeded(status)) {
        messages_[message].maybe_settled = true;
      }
    });
  });
}

void LiteWorld::OnCrash() {
  ++generation_;
  receiving_.clear();
  for (Message& message : messages_) {
    if (message.sent == Message::Sent::kPending) message.sent = Message::Sent::kUnknown;
  }
  for (const size_t message : settling_) messages_[message].maybe_settled = true;
  settling_.clear();
  for (Client& client : clients_) client.reads.clear();
}

void LiteWorld::BeginDrain() { draining_ = true; }

void LiteWorld::Drain() {
  for (size_t client = 0; client < clients_.size(); ++client) {
    Sync(client, LiteSyncCall::Action::kSet, {"s0", "s1", "s2", "s3", "s4", "s5"});
    Receive(client, absl::ZeroDuration());
  }
}

void LiteWorld::CheckNothingIsOwed() {
  for (size_t i = 0; i < messages_.size(); ++i) {
    const Message& message = messages_[i];
    if (message.sent != Message::Sent::kStored || message.settled || message.maybe_settled) continue;
    return port_.violate(
        absl::StrCat("lite message ", i, " of ", message.lite_topic, " was acknowledged and never settled"));
  }
}

}  // namespace barid::broker
