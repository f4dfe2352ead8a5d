#include "broker/retention.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/lite_topic.h"
#include "base/log.h"

namespace barid::broker {

void Retention::SetMetadata(std::shared_ptr<const Metadata> metadata) {
  metadata_ = std::move(metadata);
  has_metadata_ = metadata_->revision() > 0;
  if (has_metadata_ && core_->leading()) DropDeleted();
}

void Retention::Run() {
  if (!core_->leading() || !has_metadata_) return;
  DropDeleted();
  std::vector<QueueKey> keys;
  const auto& queues = core_->state().queues();
  for (auto it = queues.begin(); it != queues.end();) {
    if (it->first.queue >= kFirstLiteQueue) {  // SweepLite comes to them.
      it = queues.lower_bound({TopicId(it->first.topic.value() + 1), 0});
      continue;
    }
    if (it->second.first < it->second.end) keys.push_back(it->first);
    ++it;
  }
  for (const QueueKey& key : keys) ExpireStep(key);
  SweepLite();
  ProposeTrim();
}

// What the controller no longer knows is deleted: its snapshot is never older than what the shard was told of.
void Retention::DropDeleted() {
  std::vector<QueueKey> deleted;
  const auto& queues = core_->state().queues();
  for (auto it = queues.begin(); it != queues.end();) {
    const auto& [key, queue] = *it;
    if (key.queue >= kFirstLiteQueue) {  // SweepLite comes to them.
      it = queues.lower_bound({TopicId(key.topic.value() + 1), 0});
      continue;
    }
    if (!queue.deleted && metadata_->FindTopic(key.topic) == nullptr) deleted.push_back(key);
    ++it;
  }
  for (const QueueKey& key : deleted) {
    log::ConfigureQueue command;
    SetKey(command.mutable_queue(), key);
    command.set_deleted(true);
    core_->Propose(Command(std::move(command)), Bytes(), [](absl::StatusOr<Outcome>) {});
  }
  std::set<GroupId> gone;
  std::vector<std::pair<GroupId, TopicId>> unsubscribed;
  const auto& cursors = core_->state().cursors();
  for (auto it = cursors.begin(); it != cursors.end();) {
    const GroupId group = it->first.group;
    const TopicId topic = it->first.queue.topic;
    if (metadata_->FindGroup(group) == nullptr) {
      gone.insert(group);
      it = cursors.lower_bound({GroupId(group.value() + 1), {}});
      continue;
    }
    if (metadata_->FindSubscription(group, topic) == nullptr) unsubscribed.emplace_back(group, topic);
    it = cursors.lower_bound({group, {TopicId(topic.value() + 1), 0}});
  }
  for (const auto& [key, offset] : core_->state().offsets().all()) {
    if (metadata_->FindGroup(key.group) == nullptr) gone.insert(key.group);
  }
  for (const GroupId group : gone) {
    log::CloseGroup command;
    command.set_group_id(group.value());
    core_->Propose(Command(std::move(command)), Bytes(), [](absl::StatusOr<Outcome>) {});
  }
  for (const auto& [group, topic] : unsubscribed) {
    log::CloseSubscription command;
    command.set_group_id(group.value());
    command.set_topic_id(topic.value());
    core_->Propose(Command(std::move(command)), Bytes(), [](absl::StatusOr<Outcome>) {});
  }
}

QueueOffset Retention::KeepFrom(const QueueKey& key, const TopicMetadata& topic) const {
  const Queue* const queue = core_->state().FindQueue(key);
  QueueOffset keep = queue->end;
  if (!topic.retention.keep_unsettled) return keep;
  for (const SubscriptionMetadata& subscription : metadata_->tables().subscriptions) {
    if (subscription.topic != key.topic) continue;
    const Cursor* const cursor = core_->state().FindCursor({subscription.group, key});
    // A group that is owed messages and has not begun to read them here keeps all.
    keep = std::min(keep, cursor == nullptr ? queue->first : cursor->floor());
  }
  for (const auto& [cursor, offset] : core_->state().offsets().all()) {
    if (cursor.queue == key) keep = std::min(keep, std::max(offset, queue->first));
  }
  return keep;
}

// Looks at the first block that has live entries, drops what is over, and goes on if that was all of it.
void Retention::ExpireStep(const QueueKey& key) {
  const Queue* const found = core_->state().FindQueue(key);
  if (found == nullptr || found->first == found->end || is_moving_(key) || !expiring_.insert(key).second) return;
  core_->WithBlock(BlockOf(key, found->first), [this, key](absl::StatusOr<const IndexBlock*> block) {
    const auto stop = [this, key] { expiring_.erase(key); };
    const Queue* const queue = core_->state().FindQueue(key);
    if (queue == nullptr || !core_->leading() || is_moving_(key)) return stop();
    if (!block.ok()) {
      LOG(ERROR) << "cannot read an index block; its messages are not expired" << KV("queue", key)
                 << KV("error", block.status());
      return stop();
    }
    const QueueOffset block_end = std::min((queue->first / kBlockEntries + 1) * kBlockEntries, queue->end);
    QueueOffset first = queue->first;
    const TopicMetadata* const topic = metadata_->FindTopic(key.topic);
    if (queue->deleted || topic == nullptr) {
      first = block_end;
    } else {
      const QueueOffset limit = std::min(block_end, KeepFrom(key, *topic));
      const int64_t oldest_us = core_->NowMicros() - absl::ToInt64Microseconds(topic->retention.age);
      // A topic's bytes are shared out evenly among its queues.
      const int64_t most_bytes = topic->retention.bytes / std::max(topic->queues_per_shard, 1);
      int64_t bytes = queue->bytes;
      while (first < limit) {
        const IndexEntry& entry = (*block)->entries[static_cast<size_t>(first % kBlockEntries)];
        if (entry.time_us >= oldest_us && (most_bytes == 0 || bytes <= most_bytes)) break;
        bytes -= entry.bytes;
        ++first;
      }
    }
    if (first == queue->first) return stop();
    log::Expire command;
    SetKey(command.mutable_queue(), key);
    command.set_first(first);
    core_->Propose(Command(std::move(command)), Bytes(),
                   [this, key, whole = first == block_end, stop](absl::StatusOr<Outcome> outcome) {
                     stop();
                     if (!outcome.ok() || !outcome->status.ok()) return;
                     if (whole) {
                       ExpireStep(key);
                     }
                     if (!expiring_.contains(key)) ProposeTrim();
                   });
  });
}

void Retention::ProposeTrim() {
  const State::TrimPoint point = core_->state().trim_point();
  const uint64_t segment = core_->options().log.segment_bytes;
  if (trimming_ || !core_->leading() || point.log_start <= core_->state().log_start()) return;
  if (point.position / segment <= core_->log_first_position() / segment) return;  // Would free no segment.
  trimming_ = true;
  log::Trim command;
  command.set_log_start(point.log_start);
  core_->Propose(Command(std::move(command)), Bytes(), [this](absl::StatusOr<Outcome> outcome) {
    trimming_ = false;
    if (outcome.ok() && outcome->status.ok()) {
      // The segments go once a checkpoint that has this Trim is durable.
      core_->Checkpoint([](absl::Status) {});
    }
  });
}

}  // namespace barid::broker
