#include "broker/shard.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "base/lite_topic.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "broker/mutation.h"

namespace barid::broker {
namespace {

// How late a lapse, a long poll's end or a checkpoint may be.
constexpr absl::Duration kTick = absl::Milliseconds(20);
// While a shard is idle: it wakes for the rest (retention, checkpoints) only.
constexpr absl::Duration kIdleTick = absl::Milliseconds(200);
constexpr int64_t kIdleAfterMicros = 1'000'000;
constexpr int64_t kRecordScansMicros = 1'000'000;
constexpr int64_t kReuseWarningMicros = 60'000'000;
// At least as many as one record takes out of parking.
constexpr int64_t kMaxReceived = 1024;

// 0 for a message without a delivery time: due at once.
int64_t DeliverAt(const AppendCall::Message& message) {
  return message.deliver_at ? std::max<int64_t>(absl::ToUnixMicros(*message.deliver_at), 0) : 0;
}

// The record says what the proxy computed.
template <typename Entry>
void SetHashes(const AppendCall::Message& message, Entry* entry) {
  if (message.id_hash == 0) return;
  entry->set_id_hash(message.id_hash);
  entry->set_content_hash(message.content_hash);
}

// Each message of an Append: of those that are new one offset after the other, of a repeat what it had.
void SetOffsets(const Outcome& outcome, AppendResult* result) {
  QueueOffset next = outcome.first_offset;
  auto repeat = outcome.repeats.begin();
  for (size_t i = 0; i < result->entries.size(); ++i) {
    AppendResult::Entry& entry = result->entries[i];
    if (repeat != outcome.repeats.end() && repeat->place == i && !BARID_MUTATION(kRepeatAnswersAnew)) {
      entry.queue = repeat->first.queue;
      entry.offset = std::max<QueueOffset>(repeat->first.offset, 0);
      ++repeat;
    } else {
      entry.queue = outcome.queue.queue;
      entry.offset = next++;
    }
  }
}

bool IsScheduled(const AppendCall& call) {
  return std::any_of(call.messages.begin(), call.messages.end(),
                     [](const auto& message) { return message.deliver_at; });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Shard>> Shard::Open(ShardId id, absl::string_view dir, const ShardOptions& options,
                                                   const ShardContext& context) {
  ASSIGN_OR_RETURN(std::unique_ptr<ShardCore> core, ShardCore::Open(dir, options, context));
  return std::unique_ptr<Shard>(new Shard(id, std::move(core)));
}

Shard::Shard(ShardId id, std::unique_ptr<ShardCore> core)
    : id_(id),
      core_(std::move(core)),
      dispatcher_(core_.get()),
      visibility_(core_.get()),
      timers_(core_.get()),
      transactions_(id, core_.get()),
      puller_(id, core_.get()),
      positions_(id, core_.get(), &dispatcher_),
      lookup_(core_.get(), &dispatcher_),
      redrive_(id, core_.get()),
      retention_(core_.get()),
      audit_(core_.get()),
      carrier_(core_.get()) {
  dispatcher_.SetBury([this](const CursorKey& key, QueueOffset offset, LogIndex nonce, absl::string_view reason) {
    visibility_.Bury(key, offset, nonce, reason, nullptr);
  });
  retention_.SetIsMoving([this](const QueueKey& queue) { return dispatcher_.IsSeeking(queue); });
  carrier_.SetOnDone([this] { retention_.ProposeTrim(); });
  redrive_.SetEnsureQueues([this](const TopicMetadata& topic) { EnsureQueues(topic); });
  ShardCore::Hooks hooks;
  hooks.on_applied = [this](const Command& command, const Outcome& outcome) { OnApplied(command, outcome); };
  hooks.on_progress = [this] {
    dispatcher_.ServeWoken();
    puller_.ServeWoken();
  };
  hooks.on_halt = [this](const absl::Status& why) {
    serving_ = false;
    dispatcher_.EndWaiting(why);
    puller_.EndWaiting(why);
    if (on_halt_) on_halt_(why);
  };
  core_->SetHooks(std::move(hooks));
}

Shard::~Shard() {
  core_->Follow();
  const absl::Status gone = absl::UnavailableError("the broker is shutting down");
  dispatcher_.EndAll(gone);
  visibility_.EndAll(gone);
  timers_.EndAll(gone);
  transactions_.EndAll(gone);
  puller_.EndAll(gone);
  positions_.EndAll(gone);
  lookup_.EndAll(gone);
  redrive_.EndAll(gone);
}

void Shard::Lead(Epoch epoch, const std::string& leader, absl::AnyInvocable<void(absl::Status)> done) {
  core_->Lead(epoch, leader, [this, done = std::move(done)](absl::StatusOr<Outcome> outcome) mutable {
    if (!outcome.ok()) return done(outcome.status());
    visibility_.OnLead();
    timers_.OnLead();
    transactions_.OnLead();
    serving_ = true;
    CheckDisk();
    ArmTick();
    done(absl::OkStatus());
  });
}

void Shard::Follow() {
  serving_ = false;
  core_->Follow();
  const absl::Status why = NotLeaderError({}, "this broker does not lead the shard any more");
  dispatcher_.EndWaiting(why);
  puller_.EndWaiting(why);
}

void Shard::SetMetadata(std::shared_ptr<const Metadata> metadata) {
  metadata_ = std::move(metadata);
  dispatcher_.SetMetadata(metadata_);
  visibility_.SetMetadata(metadata_);
  transactions_.SetMetadata(metadata_);
  puller_.SetMetadata(metadata_);
  positions_.SetMetadata(metadata_);
  lookup_.SetMetadata(metadata_);
  redrive_.SetMetadata(metadata_);
  retention_.SetMetadata(metadata_);
  audit_.SetMetadata(metadata_);
  if (core_->context().metrics != nullptr) core_->context().metrics->SetMetadata(metadata_);
  // Who waited for a group that was paused.
  dispatcher_.ServeWoken();
  puller_.ServeWoken();
}

void Shard::EnsureQueues(const TopicMetadata& topic) {
  if (topic.type == MessageType::kLite) return;  // Its queues are made by what is sent to them.
  int32_t& configured = configured_[topic.id];
  for (; configured < topic.QueuesIn(id_); ++configured) {
    const QueueKey key{topic.id, configured};
    if (core_->state().FindQueue(key) != nullptr) continue;
    log::ConfigureQueue command;
    SetKey(command.mutable_queue(), key);
    core_->Propose(Command(std::move(command)), Bytes(), [](absl::StatusOr<Outcome>) {});
    // Whoever reads the topic already reads a new queue from its first message, whatever the clocks say.
    for (const SubscriptionMetadata& subscription : metadata_->tables().subscriptions) {
      const bool from_later =
          subscription.start.kind == StartFrom::Kind::kTime && subscription.start.time > subscription.created;
      if (subscription.topic != topic.id || from_later) continue;
      log::OpenCursor open;
      open.set_group_id(subscription.group.value());
      SetKey(open.mutable_queue(), key);
      const GroupMetadata* const group = metadata_->FindGroup(subscription.group);
      open.set_ordered(group != nullptr && group->order == DeliveryOrder::kFifo);
      core_->Propose(Command(std::move(open)), Bytes(), [](absl::StatusOr<Outcome>) {});
    }
  }
}

void Shard::EnsureQueues(TopicId id) {
  const TopicMetadata* const topic = leading() ? metadata_->FindTopic(id) : nullptr;
  if (topic != nullptr) EnsureQueues(*topic);
}

void Shard::UpdateOffset(UpdateOffsetCall call, Callback<OffsetResult> done) {
  // An offset may be stored before the first message is sent.
  EnsureQueues(call.queue.topic);
  positions_.Update(call, std::move(done));
}

absl::StatusOr<QueueKey> Shard::ChooseQueue(const AppendCall& call) {
  const TopicMetadata* const topic = metadata_->FindTopic(call.topic);
  if (topic == nullptr) return absl::NotFoundError(absl::StrCat("no topic with id ", call.topic.value()));
  if (IsDeadLetterTopic(call.topic)) {
    return absl::InvalidArgumentError("messages enter a dead-letter topic only by failing in their group");
  }
  if (IsDiscardedTopic(call.topic)) {
    return absl::InvalidArgumentError("messages enter a topic of discarded transactions only by being discarded");
  }
  if ((topic->type == MessageType::kLite) != !call.lite_topic.empty()) {
    return absl::InvalidArgumentError("messages of a LITE topic have a lite topic, others have none");
  }
  if (!call.lite_topic.empty()) {
    const std::optional<QueueKey> lite = core_->state().lite().Find(call.topic, call.lite_topic);
    if (!lite) return absl::NotFoundError("the lite topic is not here");
    return *lite;
  }
  const int32_t queues = topic->QueuesIn(id_);
  if (call.queue >= queues) {
    return absl::InvalidArgumentError(
        absl::StrCat("queue ", call.queue, " was asked for, the topic has ", queues, " in this shard"));
  }
  if (topic->type == MessageType::kFifo && call.queue < 0) {
    return absl::InvalidArgumentError(
        "a message of a FIFO topic goes to the queue of its message group, and none was named");
  }
  EnsureQueues(*topic);
  if (call.queue >= 0) return QueueKey{call.topic, call.queue};
  uint64_t place_key = 0;
  if (!call.messages.empty()) {
    const AppendCall::Message& first = call.messages.front();
    place_key = first.message_group != 0 ? first.message_group : first.id_hash;
  }
  const uint32_t queue = place_key != 0 ? RendezvousPlace(place_key, static_cast<uint32_t>(queues))
                                        : next_queue_[call.topic]++ % static_cast<uint32_t>(queues);
  return QueueKey{call.topic, static_cast<int32_t>(queue)};
}

absl::Status Shard::CheckSize(size_t bulk_bytes) {
  const uint64_t most = core_->options().log.segment_bytes / 2;
  if (bulk_bytes > most) {
    return absl::InvalidArgumentError(absl::StrCat("the messages of one call have ", bulk_bytes, " bytes, at most ",
                                                   most, " fit into the log at once"));
  }
  // Between two ticks a fast disk takes gigabytes.
  appended_since_disk_check_ += static_cast<int64_t>(bulk_bytes);
  if (appended_since_disk_check_ > core_->options().disk_reserve_bytes / 8) CheckDisk();
  return absl::OkStatus();
}

void Shard::Append(AppendCall call, Callback<AppendResult> done) {
  const auto refuse = [&done](absl::Status why) { done(AppendResult{std::move(why), {}}); };
  if (!leading()) {
    return refuse(halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : halted());
  }
  if (low_disk_) {
    return refuse(RetryAfterError(
        absl::Seconds(1),
        absl::StrCat("the disk has less than ", core_->options().disk_reserve_bytes,
                     " bytes left (setting broker.disk_reserve); messages are kept and can be received")));
  }
  if (core_->pending_bytes() > core_->options().max_pending_bytes) {
    return refuse(RetryAfterError(absl::Milliseconds(100), "too many bytes wait for the disk"));
  }
  if (!call.lite_topic.empty() && !core_->state().lite().Find(call.topic, call.lite_topic)) {
    return MakeLiteTopic(std::move(call), std::move(done));
  }
  if (call.prepare) return Prepare(std::move(call), std::move(done));
  if (IsScheduled(call)) return Schedule(std::move(call), std::move(done));
  // Of a lite topic, to send again: shares the bytes.
  std::optional<AppendCall> again;
  if (!call.lite_topic.empty()) again = call;
  // A lite topic is one message group: ordered groups get its messages one after the other.
  const bool is_group = !call.lite_topic.empty() && !BARID_MUTATION(kLiteHasNoOrder);
  const uint64_t lite_group = is_group ? MessageGroupHash(call.lite_topic) : 0;
  log::Append append;
  Bytes bulk;
  for (AppendCall::Message& message : call.messages) {
    log::Append::Entry* const entry = append.add_entries();
    entry->set_bytes(static_cast<uint32_t>(message.stored.size()));
    entry->set_tag_hash(message.tag_hash);
    entry->set_message_group(lite_group != 0 ? lite_group : message.message_group);
    SetHashes(message, entry);
    bulk.Append(std::move(message.stored));
  }
  if (absl::Status status = CheckSize(bulk.size()); !status.ok()) return refuse(std::move(status));
  const absl::StatusOr<QueueKey> queue = ChooseQueue(call);
  if (!queue.ok()) return refuse(queue.status());
  SetKey(append.mutable_queue(), *queue);

  const size_t count = call.messages.size();
  if (BARID_MUTATION(kAnswerBeforeCommit)) {
    AppendResult early;
    early.entries.resize(count);
    for (AppendResult::Entry& entry : early.entries) entry.queue = queue->queue;
    done(std::move(early));
    done = [](AppendResult) {};
  }
  core_->Propose(
      Command(std::move(append)), std::move(bulk),
      [this, count, again = std::move(again), done = std::move(done)](absl::StatusOr<Outcome> outcome) mutable {
        const bool went = again && outcome.ok() && absl::IsNotFound(outcome->status);
        // The lite topic went before this record was applied: it is made anew, or its parent is gone.
        if (went && metadata_->FindTopic(again->topic) != nullptr) return Append(*std::move(again), std::move(done));
        AppendResult result;
        if (!outcome.ok() || !outcome->status.ok()) {
          result.status = outcome.ok() ? outcome->status : outcome.status();
          return done(std::move(result));
        }
        result.entries.resize(count);
        SetOffsets(*outcome, &result);
        done(std::move(result));
      });
}

void Shard::MakeLiteTopic(AppendCall call, Callback<AppendResult> done) {
  const TopicMetadata* const topic = metadata_->FindTopic(call.topic);
  if (topic == nullptr || topic->type != MessageType::kLite) {
    return done({absl::NotFoundError(absl::StrCat("no topic of type LITE with id ", call.topic.value())), {}});
  }
  // Those that are proposed and not yet applied are not counted: a quota may be passed by as many.
  const int64_t most = core_->options().max_lite_topics;
  if (core_->state().lite().CountOf(call.topic) >= most) {
    return done({absl::ResourceExhaustedError(
                     absl::StrCat("the topic has ", most,
                                  " lite topics in this shard, no more are allowed (setting "
                                  "broker.max_lite_topics); those that nothing is sent to go after a while")),
                 {}});
  }
  log::ConfigureQueue command;
  command.mutable_queue()->set_topic_id(call.topic.value());
  command.set_lite_topic(call.lite_topic);
  core_->Propose(Command(std::move(command)), Bytes(),
                 [this, call = std::move(call), done = std::move(done)](absl::StatusOr<Outcome> outcome) mutable {
                   // Somebody else may have made it first.
                   if (!outcome.ok()) return done({outcome.status(), {}});
                   Append(std::move(call), std::move(done));
                 });
}

void Shard::SyncLite(LiteSyncCall call, Callback<LiteSyncResult> done) {
  if (!leading()) return done({halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : halted()});
  if (!call.start) return done({dispatcher_.SyncLite(call)});
  absl::StatusOr<std::vector<QueueKey>> begun = dispatcher_.LiteQueuesBegunBy(call);
  if (!begun.ok()) return done({begun.status()});
  BeginLite(std::move(call), *std::move(begun), std::move(done));
}

void Shard::BeginLite(LiteSyncCall call, std::vector<QueueKey> left, Callback<LiteSyncResult> done) {
  // Only now, so that nothing is given from where the group was before.
  if (left.empty()) return done({dispatcher_.SyncLite(call)});
  const QueueKey key = left.back();
  left.pop_back();
  const Queue* const queue = core_->state().FindQueue(key);
  ResetOffsetCall reset;
  reset.group = call.group;
  reset.topic = key.topic;
  reset.queues = {key.queue};
  switch (call.start->kind) {
    case LiteStart::Kind::kOffset:
      reset.offset = call.start->count;
      break;
    case LiteStart::Kind::kTail:
      reset.offset = queue == nullptr ? 0 : std::max(queue->end - call.start->count, queue->first);
      break;
    case LiteStart::Kind::kTime:
      reset.target = ResetOffsetCall::Target::kTime;
      reset.time = call.start->time;
      break;
  }
  positions_.Reset(std::move(reset), [this, call = std::move(call), left = std::move(left),
                                      done = std::move(done)](ResetOffsetResult result) mutable {
    absl::Status status = std::move(result.status);
    for (ResetOffsetResult::Entry& entry : result.entries) status.Update(entry.status);
    // It has gone meanwhile: there is nothing to begin at.
    if (!status.ok() && !absl::IsNotFound(status)) return done({std::move(status)});
    BeginLite(std::move(call), std::move(left), std::move(done));
  });
}

void Shard::Schedule(AppendCall call, Callback<AppendResult> done) {
  log::Schedule schedule;
  Bytes bulk;
  std::vector<std::optional<int64_t>> deliver_at;  // Of each message, if it has a delivery time.
  for (AppendCall::Message& message : call.messages) {
    log::Schedule::Entry* const entry = schedule.add_entries();
    entry->set_bytes(static_cast<uint32_t>(message.stored.size()));
    entry->set_tag_hash(message.tag_hash);
    entry->set_deliver_at(DeliverAt(message));
    SetHashes(message, entry);
    deliver_at.push_back(message.deliver_at ? std::optional<int64_t>(entry->deliver_at()) : std::nullopt);
    bulk.Append(std::move(message.stored));
  }
  if (absl::Status status = CheckSize(bulk.size()); !status.ok()) return done({std::move(status), {}});
  const absl::StatusOr<QueueKey> queue = ChooseQueue(call);
  if (!queue.ok()) return done({queue.status(), {}});
  SetKey(schedule.mutable_queue(), *queue);
  core_->Propose(
      Command(std::move(schedule)), std::move(bulk),
      [this, deliver_at = std::move(deliver_at), done = std::move(done)](absl::StatusOr<Outcome> outcome) mutable {
        AppendResult result;
        if (!outcome.ok() || !outcome->status.ok()) {
          result.status = outcome.ok() ? outcome->status : outcome.status();
          return done(std::move(result));
        }
        result.entries.resize(deliver_at.size());
        auto repeat = outcome->repeats.begin();
        for (size_t i = 0; i < deliver_at.size(); ++i) {
          FirstSend send{core_->state().applied_index(), static_cast<uint32_t>(i), outcome->queue.queue};
          if (repeat != outcome->repeats.end() && repeat->place == i) send = (repeat++)->first;
          AppendResult::Entry& entry = result.entries[i];
          entry.queue = send.queue;
          entry.offset = outcome->entered[i].value_or(0);
          // What repeats a message has its delivery time.
          if (deliver_at[i]) entry.timer = {*deliver_at[i], send.index, send.entry};
        }
        done(std::move(result));
      });
}

void Shard::Prepare(AppendCall call, Callback<AppendResult> done) {
  const auto count = static_cast<int64_t>(call.messages.size());
  if (absl::Status room = transactions_.CheckRoom(count); !room.ok()) return done({std::move(room), {}});
  const int64_t now_us = core_->NowMicros();
  log::Prepare prepare;
  Bytes bulk;
  for (AppendCall::Message& message : call.messages) {
    log::Prepare::Entry* const entry = prepare.add_entries();
    entry->set_bytes(static_cast<uint32_t>(message.stored.size()));
    entry->set_tag_hash(message.tag_hash);
    const absl::Duration after = message.check_after.value_or(transactions_.FirstCheckAfter(call.topic));
    entry->set_check_at(now_us + absl::ToInt64Microseconds(after));
    SetHashes(message, entry);
    bulk.Append(std::move(message.stored));
  }
  if (absl::Status status = CheckSize(bulk.size()); !status.ok()) return done({std::move(status), {}});
  const absl::StatusOr<QueueKey> queue = ChooseQueue(call);
  if (!queue.ok()) return done({queue.status(), {}});
  SetKey(prepare.mutable_queue(), *queue);
  transactions_.OnPrepare(count);
  core_->Propose(Command(std::move(prepare)), std::move(bulk),
                 [this, count, done = std::move(done)](absl::StatusOr<Outcome> outcome) mutable {
                   transactions_.OnPrepare(-count);
                   AppendResult result;
                   if (!outcome.ok() || !outcome->status.ok()) {
                     result.status = outcome.ok() ? outcome->status : outcome.status();
                     return done(std::move(result));
                   }
                   result.entries.resize(static_cast<size_t>(count));
                   auto repeat = outcome->repeats.begin();
                   for (size_t i = 0; i < result.entries.size(); ++i) {
                     FirstSend send{core_->state().applied_index(), static_cast<uint32_t>(i), outcome->queue.queue};
                     if (repeat != outcome->repeats.end() && repeat->place == i) send = (repeat++)->first;
                     result.entries[i].queue = send.queue;
                     result.entries[i].transaction = {send.index, send.entry};
                   }
                   done(std::move(result));
                 });
}

QueueStats Shard::LiteStats(TopicId topic, GroupId only) const {
  QueueStats stats;
  stats.shard = id_;
  stats.queue = {topic, 0};
  absl::btree_map<GroupId, QueueStats::Group> groups;
  for (const SubscriptionMetadata& subscription : metadata_->tables().subscriptions) {
    if (subscription.topic == topic && (only == GroupId() || subscription.group == only))
      groups[subscription.group].group = subscription.group;
  }
  const LiteTable::All& all = core_->state().lite().all();
  for (auto it = all.lower_bound({topic, 0}); it != all.end() && it->first.topic == topic; ++it) {
    const Queue& queue = *core_->state().FindQueue(it->first);
    ++stats.lite_topics;
    stats.end += queue.end - queue.first;
    stats.bytes += queue.bytes;
    stats.delayed += queue.delayed;
    for (auto& [id, group] : groups) {
      const Cursor* const cursor = core_->state().FindCursor({id, it->first});
      if (cursor == nullptr) continue;
      group.floor += std::max<QueueOffset>(cursor->floor() - queue.first, 0);
      group.next += std::max<QueueOffset>(cursor->next - queue.first, 0);
      group.in_flight += cursor->invisible;
      group.ready_again += static_cast<int64_t>(cursor->in_flight.size()) - cursor->invisible;
      group.parked += cursor->parked.size();
    }
  }
  for (auto& [id, group] : groups) stats.groups.push_back(group);
  return stats;
}

std::vector<QueueStats> Shard::Stats(const StatsCall& call) const {
  std::vector<QueueStats> all;
  if (call.counts_only) return all;
  for (const TopicMetadata& topic : metadata_->tables().topics) {
    if (topic.type == MessageType::kLite && (call.topic == TopicId() || call.topic == topic.id))
      all.push_back(LiteStats(topic.id, call.group));
  }
  const State& state = core_->state();
  auto it = call.topic == TopicId() ? state.queues().begin() : state.queues().lower_bound({call.topic, 0});
  for (; it != state.queues().end(); ++it) {
    const auto& [key, queue] = *it;
    if (call.topic != TopicId() && key.topic != call.topic) break;
    if (queue.deleted || key.queue >= kFirstLiteQueue) continue;
    QueueStats& stats = all.emplace_back();
    stats.shard = id_;
    stats.queue = key;
    stats.first = queue.first;
    stats.end = queue.end;
    stats.bytes = queue.bytes;
    stats.delayed = queue.delayed;
    if (const auto counts = send_counts_.find(key); counts != send_counts_.end()) {
      stats.repeated_sends = counts->second.repeated;
      stats.reused_ids = counts->second.reused_ids;
    }
    for (const Counts::Reader& reader : state.counts().ReadersOf(key)) {
      if (call.group != GroupId() && reader.group != call.group) continue;
      const Cursor& cursor = *state.FindCursor({reader.group, key});
      QueueStats::Group& group = stats.groups.emplace_back();
      group.group = reader.group;
      group.floor = cursor.floor();
      group.next = cursor.next;
      group.in_flight = cursor.invisible;
      group.ready_again = static_cast<int64_t>(cursor.in_flight.size()) - cursor.invisible;
      group.parked = cursor.parked.size();
    }
    std::sort(stats.groups.begin(), stats.groups.end(),
              [](const QueueStats::Group& a, const QueueStats::Group& b) { return a.group < b.group; });
  }
  return all;
}

void Shard::Count(const StatsCall& call, Callback<std::vector<GroupCount>> done) {
  struct Gathering {
    std::vector<GroupCount> counts;
    size_t missing = 1;  // Ages, and one for the loop below.
    Callback<std::vector<GroupCount>> done;
    // Also when the shard closes, and some blocks never come.
    ~Gathering() {
      if (done) done(std::move(counts));
    }
    void Arrived() {
      if (--missing == 0) std::exchange(done, nullptr)(std::move(counts));
    }
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  const State& state = core_->state();
  // What is dead has no place in a topic any more: it is counted by the topic's name.
  const auto add = [&](const GroupTopic& key) -> GroupCount& {
    GroupCount& count = gathering->counts.emplace_back();
    count.shard = id_;
    count.group = key.group;
    count.topic = key.topic;
    return count;
  };
  const auto wanted = [&call](const GroupTopic& key) {
    return (call.group == GroupId() || key.group == call.group) && (call.topic == TopicId() || key.topic == call.topic);
  };
  absl::btree_map<GroupTopic, size_t> places;
  const auto& groups = state.counts().groups();
  for (auto it = groups.lower_bound({call.group, TopicId()}); it != groups.end(); ++it) {
    if (call.group != GroupId() && it->first.group != call.group) break;
    if (!wanted(it->first)) continue;
    places[it->first] = gathering->counts.size();
    GroupCount& count = add(it->first);
    const GroupFigures& figures = it->second->figures();
    count.ready = figures.ready;
    count.in_flight = figures.in_flight;
    count.blocked = figures.blocked;
  }
  const auto& dead_letters = state.counts().dead_letters();
  for (auto it = dead_letters.lower_bound({call.group, ""}); it != dead_letters.end(); ++it) {
    const auto& [group_id, origin] = it->first;
    if (call.group != GroupId() && group_id != call.group) break;
    const GroupMetadata* const group = metadata_->FindGroup(group_id);
    const TopicMetadata* const topic =
        group == nullptr ? nullptr : metadata_->FindTopic(ResourceName{group->name.space, origin});
    if (topic == nullptr || !wanted({group_id, topic->id})) continue;
    const auto [place, is_new] = places.try_emplace(GroupTopic{group_id, topic->id}, gathering->counts.size());
    GroupCount& count = is_new ? add(place->first) : gathering->counts[place->second];
    count.dead_lettered += it->second;
  }
  const auto& delayed = state.counts().delayed();
  for (auto it = delayed.lower_bound(call.topic); it != delayed.end(); ++it) {
    if (call.topic != TopicId() && it->first != call.topic) break;
    add({GroupId(), it->first}).delayed = it->second;
  }
  if (call.counts_only) places.clear();
  for (const auto& [key, place] : places) {
    // The oldest message of each of the topic's queues.
    const auto& cursors = state.cursors();
    for (auto it = cursors.lower_bound({key.group, {key.topic, 0}});
         it != cursors.end() && it->first.group == key.group && it->first.queue.topic == key.topic; ++it) {
      const QueueKey& queue = it->first.queue;
      const QueueOffset oldest = state.counts().SkipEmpty(queue, it->second.floor());
      if (oldest >= state.FindQueue(queue)->end) continue;
      ++gathering->missing;
      core_->WithBlock(BlockOf(queue, oldest),
                       [gathering, place = place, oldest](absl::StatusOr<const IndexBlock*> block) {
                         const auto entry = static_cast<size_t>(oldest % kBlockEntries);
                         if (block.ok() && entry < (*block)->entries.size()) {
                           const absl::Time since = absl::FromUnixMicros((*block)->entries[entry].time_us);
                           std::optional<absl::Time>& so_far = gathering->counts[place].oldest;
                           so_far = so_far ? std::min(*so_far, since) : since;
                         }
                         gathering->Arrived();
                       });
    }
  }
  gathering->Arrived();
}

void Shard::CountRepeats(const Outcome& outcome) {
  SendCounts& counts = send_counts_[outcome.queue];
  counts.repeated += static_cast<int64_t>(outcome.repeats.size());
  counts.reused_ids += outcome.reused_ids;
  const int64_t now_us = core_->state().applied().time_us;
  if (outcome.reused_ids == 0 || now_us < next_reuse_warning_us_) return;
  next_reuse_warning_us_ = now_us + kReuseWarningMicros;
  LOG(WARNING) << "a message id was used for another message; baridctl topic describe counts them"
               << KV("topic", outcome.queue.topic.value()) << KV("queue", outcome.queue.queue);
}

void Shard::OnApplied(const Command& command, const Outcome& outcome) {
  EndIdle();
  if (core_->context().metrics != nullptr) core_->context().metrics->OnApplied(command, outcome);
  if (!outcome.repeats.empty() || outcome.reused_ids > 0) CountRepeats(outcome);
  const auto wake = [this](const log::DeliveryRef& ref) {
    dispatcher_.Wake(CursorKey{GroupId(ref.group_id()), KeyOf(ref.queue())});
  };
  if (const auto* open = std::get_if<log::OpenCursor>(&command)) {
    if (outcome.status.ok()) dispatcher_.OnOpened({GroupId(open->group_id()), KeyOf(open->queue())});
  } else if (const auto* closed = std::get_if<log::CloseSubscription>(&command)) {
    if (outcome.status.ok()) dispatcher_.OnUnsubscribed(GroupId(closed->group_id()), TopicId(closed->topic_id()));
  } else if (std::holds_alternative<log::Append>(command)) {
    if (outcome.status.ok()) WakeReaders(outcome.queue);
  } else if (const auto* move = std::get_if<log::Move>(&command)) {
    if (outcome.status.ok()) WakeReaders(outcome.queue);
    WakeIfOffered(move->delivery().group_id(), move->delivery().queue());
  } else if (const auto* deliver = std::get_if<log::Deliver>(&command)) {
    WakeIfOffered(deliver->group_id(), deliver->queue());
  } else if (const auto* skip = std::get_if<log::Skip>(&command)) {
    WakeIfOffered(skip->group_id(), skip->queue());
  } else if (const auto* expire = std::get_if<log::Expire>(&command)) {
    if (outcome.status.ok()) dispatcher_.Wake(KeyOf(expire->queue()));
  } else if (std::holds_alternative<log::Schedule>(command)) {
    if (outcome.status.ok()) WakeReaders(outcome.queue);
  } else if (const auto* configure = std::get_if<log::ConfigureQueue>(&command)) {
    if (configure->deleted()) puller_.Wake(KeyOf(configure->queue()));
  } else if (std::holds_alternative<log::FireTimer>(command) || std::holds_alternative<log::EndTransaction>(command) ||
             std::holds_alternative<log::Redrive>(command)) {
    for (const QueueKey& queue : outcome.queues) WakeReaders(queue);
  } else if (const auto* visible = std::get_if<log::MakeVisible>(&command)) {
    for (const log::DeliveryRef& ref : visible->deliveries()) wake(ref);
  } else if (const auto* settle = std::get_if<log::Settle>(&command)) {
    for (const log::Settle::Entry& entry : settle->entries()) {
      // An acknowledgement makes room for those who wait because too much was in flight.
      const Cursor* const cursor =
          core_->state().FindCursor({GroupId(entry.delivery().group_id()), KeyOf(entry.delivery().queue())});
      const bool was_full =
          cursor != nullptr &&
          static_cast<int64_t>(cursor->in_flight.size()) + settle->entries_size() >= core_->options().max_in_flight;
      if (entry.action() != log::Settle::Entry::ACK || was_full) {
        wake(entry.delivery());
      } else {
        WakeIfOffered(entry.delivery().group_id(), entry.delivery().queue());
      }
    }
  }
}

void Shard::WakeReaders(const QueueKey& queue) {
  dispatcher_.Wake(queue);
  puller_.Wake(queue);
}

void Shard::WakeIfOffered(uint64_t group_id, const log::Queue& queue) {
  const CursorKey key{GroupId(group_id), KeyOf(queue)};
  const Cursor* const cursor = core_->state().FindCursor(key);
  if (cursor == nullptr || !cursor->ordered) return;
  // Where too many were parked the scan goes on when there are fewer.
  const bool had_stopped =
      cursor->parked.bytes() + kMaxReceived * ParkedMessages::kMostBytes >= core_->options().max_parked_bytes;
  if (cursor->offers_any() || had_stopped) dispatcher_.Wake(key);
}

void Shard::ArmTick() {
  if (tick_armed_ || !leading()) return;
  tick_armed_ = true;
  tick_is_slow_ = IsIdle();
  tick_due_ = core_->context().clock->SinceBoot() + (tick_is_slow_ ? kIdleTick : kTick);
  core_->context().shard_executor->PostAfter(tick_is_slow_ ? kIdleTick : kTick, core_->IfAlive([this, tick = ++tick_] {
    if (tick == tick_) Tick();
  }));
}

bool Shard::IsIdle() {
  const State& state = core_->state();
  return core_->NowMicros() - state.applied().time_us > kIdleAfterMicros && state.deadlines().empty() &&
         state.timers().resident() == 0 && state.timers().horizon() == kNoTimerBefore &&
         state.transactions().open().empty() && dispatcher_.waiting() == 0 && puller_.under_way() == 0;
}

void Shard::EndIdle() {
  if (!tick_is_slow_) return;
  tick_is_slow_ = false;
  tick_armed_ = false;
  ArmTick();
}

void Shard::Tick() {
  tick_armed_ = false;
  if (!leading()) return;
  if (ShardMetrics* const metrics = core_->context().metrics) {
    metrics->lateness_seconds->Observe(std::max(core_->context().clock->SinceBoot() - tick_due_, absl::ZeroDuration()));
  }
  const int64_t now = core_->NowMicros();
  visibility_.Tick(now);
  timers_.Tick(now);
  transactions_.Tick(now);
  dispatcher_.ExpireWaiting(now);
  puller_.ExpireWaiting(now);
  if (now >= next_scan_record_us_) {
    next_scan_record_us_ = now + kRecordScansMicros;
    dispatcher_.RecordScans();
  }
  if (now >= next_retention_us_) {
    next_retention_us_ = now + absl::ToInt64Microseconds(core_->options().retention_interval);
    retention_.Run();
    dispatcher_.ExpireLiteSubscriptions(now);
    carrier_.Run();
    timers_.CancelOfDeletedQueues();
    if (!low_disk_) lookup_.Maintain();
    CheckDisk();
  }
  core_->MaybeCheckpoint();
  audit_.Tick(now);
  if (core_->context().metrics != nullptr && now >= next_metrics_us_) {
    next_metrics_us_ = now + absl::ToInt64Microseconds(core_->options().metrics_interval);
    ShowMetrics();
  }
  ArmTick();
}

void Shard::ShowMetrics() {
  ShardMetrics* const metrics = core_->context().metrics;
  const State& state = core_->state();
  int64_t timers = 0;
  for (const auto& [topic, delayed] : state.counts().delayed()) timers += delayed;
  metrics->timers_pending->Set(static_cast<double>(timers));
  metrics->transactions_open->Set(static_cast<double>(state.transactions().open().size()));
  metrics->waiting_receives->Set(static_cast<double>(dispatcher_.waiting()));
  metrics->proposals->Set(static_cast<double>(core_->pending_bytes()));
  metrics->log_size_bytes->Set(static_cast<double>(state.applied().end_position - core_->log_first_position()));
  metrics->disk_reserve_bytes->Set(static_cast<double>(core_->options().disk_reserve_bytes));
  if (std::exchange(is_counting_, true)) return;
  Count(StatsCall(), [alive = core_->IfAlive([this, now_us = core_->NowMicros()](std::vector<GroupCount> counts) {
          is_counting_ = false;
          core_->context().metrics->Show(counts, absl::FromUnixMicros(now_us));
        })](std::vector<GroupCount> counts) mutable { alive(std::move(counts)); });
}

void Shard::CheckDisk() {
  appended_since_disk_check_ = 0;
  const ShardContext& context = core_->context();
  context.read_executor->Post([env = context.env, dir = core_->dir(), reserve = core_->options().disk_reserve_bytes,
                               home = context.shard_executor,
                               then = core_->IfAlive([this](bool low, uint64_t available) {
                                 if (low != low_disk_) {
                                   if (low) {
                                     LOG(ERROR) << "disk nearly full; sends are refused" << KV("available", available);
                                   } else {
                                     LOG(INFO) << "disk has space again; sends are taken" << KV("available", available);
                                   }
                                 }
                                 low_disk_ = low;
                                 carrier_.SetRoom(static_cast<int64_t>(available) -
                                                  core_->options().disk_reserve_bytes / 2);
                                 if (ShardMetrics* const metrics = core_->context().metrics) {
                                   metrics->disk_available_bytes->Set(static_cast<double>(available));
                                 }
                               })]() mutable {
    const absl::StatusOr<Env::Space> space = env->GetSpace(dir);
    if (!space.ok()) return;
    const bool low = space->available_bytes < static_cast<uint64_t>(reserve);
    home->Post([then = std::move(then), low, available = space->available_bytes]() mutable { then(low, available); });
  });
}

}  // namespace barid::broker
