#include "tests/proxy/fakes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "filter/filter.h"

namespace barid::proxy {

FakeController::FakeController(int brokers, int shards) {
  tables_.revision = 1;
  tables_.cluster = "test-cluster";
  tables_.signing_keys = {{1, "the-first-secret"}, {2, "the-second-secret"}};
  for (int i = 0; i < brokers; ++i)
    tables_.brokers.push_back({absl::StrCat("broker-", i), absl::StrCat("10.0.0.", i, ":8082")});
  for (int i = 0; i < shards; ++i) {
    tables_.shards.push_back({ShardId(i + 1), absl::StrCat("shard-", i + 1), absl::StrCat("broker-", i % brokers), 1});
  }
  current_ = std::make_shared<const Metadata>(tables_);
}

std::shared_ptr<const Metadata> FakeController::Current() const { return current_; }

void FakeController::Edit(const std::function<void(Metadata::Tables*)>& edit) {
  edit(&tables_);
  ++tables_.revision;
  current_ = std::make_shared<const Metadata>(tables_);
}

void FakeController::Answer(Changed done) {
  if (failure_.ok()) {
    done(current_);
  } else {
    done(failure_);
  }
}

void FakeController::Release() {
  hold_ = false;
  auto held = std::move(held_);
  held_.clear();
  for (auto& answer : held) answer();
}

void FakeController::CreateTopic(TopicMetadata topic, Changed done) {
  if (hold_) {
    return held_.push_back([this, topic = std::move(topic), done = std::move(done)]() mutable {
      CreateTopic(std::move(topic), std::move(done));
    });
  }
  ++topics_created;
  if (!failure_.ok()) return Answer(std::move(done));
  if (current_->FindTopic(topic.name) != nullptr) return done(absl::AlreadyExistsError("topic exists"));
  Edit([&](Metadata::Tables* tables) {
    topic.id = TopicId(next_id_++);
    tables->topics.push_back(topic);
  });
  Answer(std::move(done));
}

void FakeController::UpdateTopic(TopicUpdate update, Changed done) {
  if (current_->FindTopic(update.name) == nullptr) return done(absl::NotFoundError("no such topic"));
  Edit([&](Metadata::Tables* tables) {
    for (TopicMetadata& topic : tables->topics) {
      if (topic.name != update.name) continue;
      if (update.retention_age) topic.retention.age = *update.retention_age;
      if (update.retention_bytes) topic.retention.bytes = *update.retention_bytes;
      if (update.keep_unsettled) topic.retention.keep_unsettled = *update.keep_unsettled;
      if (update.max_message_bytes) topic.max_message_bytes = *update.max_message_bytes;
      if (update.queues_per_shard) topic.queues_per_shard = *update.queues_per_shard;
      if (update.idempotent) topic.idempotent = *update.idempotent;
      if (update.transaction_recovery) topic.transaction_recovery = *update.transaction_recovery;
    }
  });
  Answer(std::move(done));
}

void FakeController::DeleteTopic(ResourceName name, Changed done) {
  if (current_->FindTopic(name) == nullptr) return done(absl::NotFoundError("no such topic"));
  Edit([&](Metadata::Tables* tables) { std::erase_if(tables->topics, [&](const auto& t) { return t.name == name; }); });
  Answer(std::move(done));
}

void FakeController::CreateGroup(GroupMetadata group, Changed done) {
  if (hold_) {
    return held_.push_back([this, group = std::move(group), done = std::move(done)]() mutable {
      CreateGroup(std::move(group), std::move(done));
    });
  }
  ++groups_created;
  if (!failure_.ok()) return Answer(std::move(done));
  if (current_->FindGroup(group.name) != nullptr) return done(absl::AlreadyExistsError("group exists"));
  Edit([&](Metadata::Tables* tables) {
    group.id = GroupId(next_id_++);
    tables->groups.push_back(group);
  });
  Answer(std::move(done));
}

void FakeController::UpdateGroup(GroupUpdate update, Changed done) {
  if (current_->FindGroup(update.name) == nullptr) return done(absl::NotFoundError("no such group"));
  Edit([&](Metadata::Tables* tables) {
    for (GroupMetadata& group : tables->groups) {
      if (group.name != update.name) continue;
      if (update.retry) group.retry = *update.retry;
      if (update.expire_after) group.expire_after = *update.expire_after;
      if (update.paused) group.paused = *update.paused;
      if (update.kind && group.kind == GroupKind::kUndecided && failure_.ok()) group.kind = *update.kind;
    }
  });
  if (update.kind && current_->FindGroup(update.name)->kind != *update.kind && failure_.ok()) {
    return done(absl::FailedPreconditionError("the group is of another kind"));
  }
  Answer(std::move(done));
}

void FakeController::DeleteGroup(ResourceName name, Changed done) {
  if (current_->FindGroup(name) == nullptr) return done(absl::NotFoundError("no such group"));
  Edit([&](Metadata::Tables* tables) { std::erase_if(tables->groups, [&](const auto& g) { return g.name == name; }); });
  Answer(std::move(done));
}

void FakeController::Subscribe(GroupId group, TopicId topic, Changed done) {
  if (hold_) {
    return held_.push_back(
        [this, group, topic, done = std::move(done)]() mutable { Subscribe(group, topic, std::move(done)); });
  }
  ++subscriptions_made;
  const GroupMetadata* const subscriber = current_->FindGroup(group);
  if (subscriber != nullptr && subscriber->kind == GroupKind::kOffset) {
    return done(absl::FailedPreconditionError("the group is offset-based"));
  }
  if (failure_.ok() && current_->FindSubscription(group, topic) == nullptr) {
    Edit([&](Metadata::Tables* tables) {
      tables->subscriptions.push_back({group, topic, {}, absl::UnixEpoch()});
      for (GroupMetadata& one : tables->groups) {
        if (one.id == group) one.kind = GroupKind::kDelivery;
      }
    });
  }
  Answer(std::move(done));
}

void FakeController::Unsubscribe(GroupId group, TopicId topic, Changed done) {
  if (current_->FindSubscription(group, topic) == nullptr) return done(absl::NotFoundError("not subscribed"));
  if (failure_.ok()) {
    Edit([&](Metadata::Tables* tables) {
      std::erase_if(tables->subscriptions, [&](const auto& s) { return s.group == group && s.topic == topic; });
    });
  }
  Answer(std::move(done));
}

void FakeController::RegisterBroker(BrokerRegistration, absl::AnyInvocable<void(absl::StatusOr<BrokerGrant>)> done) {
  done(absl::UnimplementedError("not in this fake"));
}
void FakeController::RegisterReplica(std::string, BrokerRegistration::Replica, Changed done) {
  done(absl::UnimplementedError("not in this fake"));
}

TopicId FakeController::MakeTopic(const std::string& name, MessageType type, const std::string& space) {
  const TopicId id(next_id_++);
  Edit([&](Metadata::Tables* tables) {
    TopicMetadata& topic = tables->topics.emplace_back();
    topic.id = id;
    topic.name = {space, name};
    topic.type = type;
    topic.queues_per_shard = 2;
    if (type != MessageType::kFifo) return;
    for (int32_t queue = 0; queue < topic.queues_per_shard; ++queue) {
      for (const ShardMetadata& shard : tables->shards) topic.placement.push_back(shard.id);
    }
  });
  return id;
}

GroupId FakeController::MakeGroup(const std::string& name, DeliveryOrder order, const std::string& space) {
  const GroupId id(next_id_++);
  Edit([&](Metadata::Tables* tables) {
    GroupMetadata& group = tables->groups.emplace_back();
    group.id = id;
    group.name = {space, name};
    group.order = order;
    group.retry.delays = DefaultRetryDelays();
  });
  return id;
}

std::optional<absl::Status> FakeBroker::TakeRefusal() {
  if (refusals_.empty()) return std::nullopt;
  const absl::Status refusal = refusals_.front();
  refusals_.erase(refusals_.begin());
  return refusal;
}

void FakeBroker::Run(absl::AnyInvocable<void()> answer, bool held) {
  if (held) {
    held_.push_back(std::move(answer));
  } else {
    answer();
  }
}

void FakeBroker::Release() {
  hold = false;
  hold_deliveries = false;
  auto held = std::move(held_);
  held_.clear();
  for (auto& answer : held) answer();
}

void FakeBroker::Append(AppendCall call, Callback<AppendResult> done) {
  appends.push_back(call);
  AppendResult result;
  if (const auto refusal = TakeRefusal()) {
    result.status = *refusal;
  } else {
    auto& queue = queues_[{call.shard, call.topic}];
    for (size_t i = 0; i < call.messages.size(); ++i) {
      AppendResult::Entry entry;
      if (append_fate) entry.status = append_fate(i);
      if (entry.status.ok() && call.messages[i].deliver_at) {
        entry.timer = {absl::ToUnixMicros(*call.messages[i].deliver_at), next_nonce_++, static_cast<uint32_t>(i)};
        timers_.insert({call.shard, *entry.timer});
      } else if (entry.status.ok() && call.prepare) {
        entry.transaction = {next_nonce_++, static_cast<uint32_t>(i)};
        transactions_[{call.shard, *entry.transaction}] = {call.topic, call.messages[i].stored, std::nullopt};
      } else if (entry.status.ok()) {
        entry.offset = static_cast<QueueOffset>(queue.size());
        queue.push_back({call.messages[i].stored, call.messages[i].tag_hash});
      }
      result.entries.push_back(entry);
    }
  }
  Run([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); }, hold);
  WakeWaiting();
}

void FakeBroker::Recall(RecallCall call, Callback<RecallResult> done) {
  recalls.push_back(call);
  if (const auto refusal = TakeRefusal()) return done({*refusal});
  done({timers_.erase({call.shard, call.timer}) > 0 ? absl::OkStatus()
                                                    : absl::NotFoundError("delivered or recalled already")});
}

void FakeBroker::EndTransaction(EndTransactionCall call, Callback<EndTransactionResult> done) {
  ends.push_back(call);
  if (const auto refusal = TakeRefusal()) return done({*refusal});
  const auto it = transactions_.find({call.shard, call.transaction});
  if (it == transactions_.end()) return done({absl::NotFoundError("not known")});
  if (it->second.committed.value_or(call.commit) != call.commit)
    return done({absl::AlreadyExistsError("ended otherwise already")});
  if (!it->second.committed && call.commit) queues_[{call.shard, it->second.topic}].push_back({it->second.stored, 0});
  it->second.committed = call.commit;
  done({absl::OkStatus()});
}

void FakeBroker::TakeChecks(ChecksCall call, Callback<ChecksResult> done) {
  check_calls.push_back(call);
  if (const auto refusal = TakeRefusal()) return done({*refusal, {}});
  ChecksResult result;
  for (auto& [key, transaction] : transactions_) {
    const bool wanted = std::find(call.topics.begin(), call.topics.end(), transaction.topic) != call.topics.end();
    if (key.first != call.shard || !wanted || transaction.committed || !checks_due) continue;
    result.checks.push_back(
        {key.second, {transaction.topic, 1}, transaction.stored, absl::FromUnixSeconds(1234), ++transaction.checks});
  }
  if (!result.checks.empty()) checks_due = false;
  done(std::move(result));
}

void FakeBroker::ListTransactions(TransactionsCall call, Callback<TransactionsResult> done) {
  lists.push_back(call);
  if (const auto refusal = TakeRefusal()) return done({*refusal, {}});
  TransactionsResult result;
  for (const auto& [key, transaction] : transactions_) {
    if (key.first != call.shard || transaction.topic != call.topic || transaction.committed) continue;
    TransactionInfo& info = result.transactions.emplace_back();
    info.shard = call.shard;
    info.message_id = std::string(DecodeStoredMessage(transaction.stored.view())->message_id);
    info.checks = transaction.checks;
  }
  done(std::move(result));
}

void FakeBroker::Lookup(LookupCall call, Callback<LookupResult> done) {
  lookups.push_back(std::move(call));
  LookupResult result;
  if (const auto refusal = TakeRefusal()) {
    result.status = *refusal;
  } else if (!lookup_results.empty()) {
    result = std::move(lookup_results.front());
    lookup_results.pop_front();
  }
  done(std::move(result));
}

void FakeBroker::Redrive(RedriveCall call, Callback<RedriveResult> done) {
  redrives.push_back(std::move(call));
  RedriveResult result;
  if (const auto refusal = TakeRefusal()) {
    result.status = *refusal;
  } else if (!redrive_results.empty()) {
    result = std::move(redrive_results.front());
    redrive_results.pop_front();
  }
  done(std::move(result));
}

std::vector<Delivery> FakeBroker::Pick(const ReceiveCall& call) {
  std::vector<Delivery> picked;
  auto& queue = queues_[{call.shard, call.topic}];
  for (size_t i = 0; i < queue.size() && static_cast<int>(picked.size()) < call.max_messages; ++i) {
    const Place place{call.shard, call.group, call.topic, static_cast<QueueOffset>(i)};
    if (in_flight_.contains(place) || settled_.contains(place)) continue;
    const auto matches = [&](const std::string& tag) { return TagHash(tag) == queue[i].tag_hash; };
    if (!call.tags.empty() && std::none_of(call.tags.begin(), call.tags.end(), matches)) continue;
    if (!call.sql.empty()) {
      const auto filter = filter::Filter::Compile(call.sql);
      CHECK_OK(filter.status());
      const auto message = DecodeStoredMessage(queue[i].bytes.view());
      CHECK_OK(message.status());
      if ((*filter)->Evaluate(*message).truth != filter::Truth::kTrue) continue;
    }
    Delivery& delivery = picked.emplace_back();
    delivery.stored = queue[i].bytes;
    delivery.queue = {call.topic, 0};
    delivery.offset = place.offset;
    delivery.attempt = ++attempts_[place];
    delivery.nonce = next_nonce_++;
    delivery.store_time = absl::FromUnixSeconds(1'893'456'000);
    delivery.invisible = call.invisible;
    in_flight_[place] = {delivery.nonce, delivery.attempt};
  }
  return picked;
}

uint64_t FakeBroker::Receive(ReceiveCall call, Callback<ReceiveResult> done) {
  const uint64_t id = next_receive_++;
  receives.push_back(call);
  if (const auto refusal = TakeRefusal()) {
    done({*refusal, {}});
    return id;
  }
  std::vector<Delivery> picked = Pick(call);
  if (picked.empty() && call.wait > absl::ZeroDuration()) {
    waiting_.push_back({id, std::move(call), std::move(done)});
  } else {
    Run(
        [done = std::move(done), picked = std::move(picked)]() mutable {
          done({absl::OkStatus(), std::move(picked)});
        },
        hold_deliveries);
  }
  return id;
}

void FakeBroker::WakeWaiting() {
  for (WaitingPull& pull : std::exchange(waiting_pulls_, {})) {
    PullResult result = Read(pull.call);
    if (result.deliveries.empty()) {
      waiting_pulls_.push_back(std::move(pull));
    } else {
      pull.done(std::move(result));
    }
  }
  std::vector<Waiting> waiting = std::move(waiting_);
  waiting_.clear();
  for (Waiting& receive : waiting) {
    std::vector<Delivery> picked = Pick(receive.call);
    if (picked.empty()) {
      waiting_.push_back(std::move(receive));
    } else {
      Run(
          [done = std::move(receive.done), picked = std::move(picked)]() mutable {
            done({absl::OkStatus(), std::move(picked)});
          },
          hold_deliveries);
    }
  }
}

PullResult FakeBroker::Read(const PullCall& call) {
  const auto& queue = queues_[{call.shard, call.queue.topic}];
  const auto end = static_cast<QueueOffset>(queue.size());
  if (call.offset < 0 || call.offset > end) return {OffsetRangeError({0, end}, "no such offset"), {}, 0};
  PullResult result;
  result.next_offset = call.offset;
  for (; result.next_offset < end && static_cast<int>(result.deliveries.size()) < call.max_messages;
       ++result.next_offset) {
    const Stored& stored = queue[static_cast<size_t>(result.next_offset)];
    const auto matches = [&](const std::string& tag) { return TagHash(tag) == stored.tag_hash; };
    if (!call.tags.empty() && std::none_of(call.tags.begin(), call.tags.end(), matches)) continue;
    Delivery& delivery = result.deliveries.emplace_back();
    delivery.stored = stored.bytes;
    delivery.queue = call.queue;
    delivery.offset = result.next_offset;
    delivery.attempt = 0;
    delivery.store_time = absl::FromUnixSeconds(1'893'456'000);
  }
  return result;
}

uint64_t FakeBroker::Pull(PullCall call, Callback<PullResult> done) {
  const uint64_t id = next_receive_++;
  pulls.push_back(call);
  if (const auto refusal = TakeRefusal()) {
    done({*refusal, {}, 0});
    return id;
  }
  PullResult result = Read(call);
  if (result.status.ok() && result.deliveries.empty() && call.wait > absl::ZeroDuration()) {
    waiting_pulls_.push_back({id, std::move(call), std::move(done)});
  } else {
    done(std::move(result));
  }
  return id;
}

void FakeBroker::QueryOffset(QueryOffsetCall call, Callback<OffsetResult> done) {
  queries.push_back(call);
  if (const auto refusal = TakeRefusal()) return done({*refusal});
  const auto end = static_cast<QueueOffset>(queues_[{call.shard, call.queue.topic}].size());
  done({absl::OkStatus(), call.policy == QueryOffsetCall::Policy::kEnd ? end : 0});
}

void FakeBroker::GetOffset(GetOffsetCall call, Callback<OffsetResult> done) {
  if (const auto refusal = TakeRefusal()) return done({*refusal});
  const auto it = offsets_.find({call.shard, {call.group, call.queue}});
  done({absl::OkStatus(), it == offsets_.end() ? std::nullopt : std::optional<QueueOffset>(it->second)});
}

void FakeBroker::UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) {
  if (const auto refusal = TakeRefusal()) return done({*refusal});
  const auto end = static_cast<QueueOffset>(queues_[{call.shard, call.queue.topic}].size());
  if (call.offset > end) return done({OffsetRangeError({0, end}, "beyond the end")});
  offsets_[{call.shard, {call.group, call.queue}}] = call.offset;
  done({absl::OkStatus(), call.offset});
}

void FakeBroker::SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) {
  syncs.push_back(std::move(call));
  if (const auto refusal = TakeRefusal()) return done({*refusal});
  done({absl::OkStatus()});
}

void FakeBroker::ResetOffset(ResetOffsetCall call, Callback<ResetOffsetResult> done) {
  resets.push_back(call);
  if (const auto refusal = TakeRefusal()) return done({*refusal, {}});
  ResetOffsetResult result;
  ResetOffsetResult::Entry& entry = result.entries.emplace_back();
  entry.queue = {call.topic, 0};
  entry.end = static_cast<QueueOffset>(queues_[{call.shard, call.topic}].size());
  entry.to = call.target == ResetOffsetCall::Target::kLatest ? entry.end : call.offset;
  for (const auto& [place, flight] : in_flight_) {
    if (place.shard == call.shard && place.group == call.group && place.topic == call.topic) ++entry.in_flight;
  }
  if (entry.in_flight > 0) entry.from = 0;
  done(std::move(result));
}

void FakeBroker::EndWaits() {
  std::vector<WaitingPull> pulls_over = std::move(waiting_pulls_);
  waiting_pulls_.clear();
  for (WaitingPull& pull : pulls_over) pull.done({absl::OkStatus(), {}, pull.call.offset});
  std::vector<Waiting> waiting = std::move(waiting_);
  waiting_.clear();
  for (Waiting& receive : waiting) receive.done({absl::OkStatus(), {}});
}

void FakeBroker::CancelReceive(ShardId shard, uint64_t receive_id) {
  for (auto it = waiting_pulls_.begin(); it != waiting_pulls_.end(); ++it) {
    if (it->id != receive_id || it->call.shard != shard) continue;
    WaitingPull pull = std::move(*it);
    waiting_pulls_.erase(it);
    return pull.done({absl::OkStatus(), {}, pull.call.offset});
  }
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    if (it->id != receive_id || it->call.shard != shard) continue;
    Waiting receive = std::move(*it);
    waiting_.erase(it);
    return receive.done({absl::OkStatus(), {}});
  }
}

void FakeBroker::Settle(SettleCall call, Callback<SettleResult> done) {
  settles.push_back(call);
  SettleResult result;
  if (const auto refusal = TakeRefusal()) {
    result.status = *refusal;
  } else {
    for (const SettleEntry& entry : call.entries) {
      const Place place{call.shard, entry.group, entry.queue.topic, entry.offset};
      const auto it = in_flight_.find(place);
      if (it == in_flight_.end() || it->second.nonce != entry.nonce) {
        result.entries.push_back(StaleReceiptError("settled or delivered again"));
        continue;
      }
      result.entries.push_back(absl::OkStatus());
      if (entry.kind == SettleKind::kExtend && entry.delay > absl::ZeroDuration()) continue;
      in_flight_.erase(it);
      if (entry.kind == SettleKind::kAck || entry.kind == SettleKind::kDeadLetter) settled_.insert(place);
      if (entry.kind == SettleKind::kUndelivered) --attempts_[place];
    }
  }
  Run([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); }, hold);
}

void FakeBroker::Stats(StatsCall call, Callback<StatsResult> done) {
  StatsResult result;
  if (const auto refusal = TakeRefusal()) {
    result.status = *refusal;
    return done(std::move(result));
  }
  for (const auto& [key, queue] : queues_) {
    if (call.topic != TopicId() && call.topic != key.second) continue;
    QueueStats& stats = result.queues.emplace_back();
    stats.shard = key.first;
    stats.queue = {key.second, 0};
    stats.end = static_cast<QueueOffset>(queue.size());
    std::set<GroupId> groups;
    for (const auto& [place, flight] : in_flight_) {
      if (place.shard == key.first && place.topic == key.second) groups.insert(place.group);
    }
    for (const GroupId group : groups) {
      QueueStats::Group& at = stats.groups.emplace_back();
      at.group = group;
      for (const auto& [place, flight] : in_flight_) {
        if (place.shard != key.first || place.topic != key.second || place.group != group) continue;
        ++at.in_flight;
        at.next = std::max(at.next, place.offset + 1);
      }
    }
  }
  for (const GroupCount& count : counts) {
    if (call.topic == TopicId() || call.topic == count.topic) result.counts.push_back(count);
  }
  done(std::move(result));
}

bool FakeBroker::IsInFlight(QueueOffset offset) const {
  return std::any_of(in_flight_.begin(), in_flight_.end(), [&](const auto& e) { return e.first.offset == offset; });
}

int32_t FakeBroker::AttemptsOf(QueueOffset offset) const {
  for (const auto& [place, attempts] : attempts_) {
    if (place.offset == offset) return attempts;
  }
  return 0;
}

void FakeBroker::Corrupt(ShardId shard, TopicId topic, QueueOffset offset) {
  queues_[{shard, topic}][offset].bytes = Buffer(std::string("not a stored message"));
}

}  // namespace barid::proxy
