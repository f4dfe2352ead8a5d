#include "broker/redrive.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "broker/lookup_keys.h"

namespace barid::broker {
namespace {

constexpr int32_t kMostMessages = 256;
// Of what is read for one call; one letter is, however large.
constexpr int64_t kMostBytes = int64_t{16} << 20;

bool Matches(const RedriveCall& call, const filter::Filter* filter, const StoredMessageView& message) {
  if (!call.tags.empty() &&
      (!message.tag || std::find(call.tags.begin(), call.tags.end(), *message.tag) == call.tags.end())) {
    return false;
  }
  return filter == nullptr || filter->Evaluate(message).truth == filter::Truth::kTrue;
}

}  // namespace

void Redrive::EndAll(const absl::Status& why) {
  for (auto& [id, done] : std::exchange(waiting_, {})) {
    RedriveResult result;
    result.status = why;
    done(std::move(result));
  }
}

void Redrive::End(const JobPtr& job, const absl::Status& status) {
  const auto it = waiting_.find(job->id);
  if (it == waiting_.end()) return;
  Callback<RedriveResult> done = std::move(it->second);
  waiting_.erase(it);
  job->result.status = status;
  done(std::move(job->result));
}

void Redrive::CountFailure(Job* job, const absl::Status& why) {
  if (job->result.failed++ == 0) job->result.failure = std::string(why.message());
}

void Redrive::Run(RedriveCall call, Callback<RedriveResult> done) {
  auto job = std::make_shared<Job>();
  job->id = next_id_++;
  job->call = std::move(call);
  job->call.max_messages = std::clamp(job->call.max_messages, 1, kMostMessages);
  waiting_[job->id] = std::move(done);
  if (!core_->leading()) {
    return End(job, core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted());
  }
  if (!job->call.sql.empty()) {
    auto filter = filter::Filter::Compile(job->call.sql);
    if (!filter.ok()) return End(job, filter.status());
    job->filter = *std::move(filter);
  }
  if (job->call.topic != TopicId()) {
    const TopicMetadata* const topic = metadata_->FindTopic(job->call.topic);
    if (topic == nullptr) return End(job, absl::NotFoundError("the topic to send them to is not there"));
    ensure_queues_(*topic);
  }
  const QueueKey key{DeadLetterTopicId(job->call.group), 0};
  const Queue* const queue = core_->state().FindQueue(key);
  if (queue == nullptr) return End(job);
  job->result.end = queue->end;
  job->result.next = std::max(job->call.from, queue->first);
  if (job->result.next >= std::min(queue->end, job->call.to)) {
    job->result.next = std::max(job->result.next, std::min(queue->end, job->call.to));
    return End(job);
  }
  core_->WithBlock(BlockOf(key, job->result.next), core_->IfAlive([this, job](absl::StatusOr<const IndexBlock*> block) {
    if (!block.ok()) return End(job, block.status());
    OnBlock(job, **block);
  }));
}

void Redrive::OnBlock(const JobPtr& job, const IndexBlock& block) {
  const Queue* const queue = core_->state().FindQueue({DeadLetterTopicId(job->call.group), 0});
  if (queue == nullptr) return End(job);
  QueueOffset& next = job->result.next;
  const QueueOffset end = std::min({queue->end, job->call.to, (next / kBlockEntries + 1) * kBlockEntries});
  int64_t bytes = 0;
  for (; next < end; ++next) {
    const IndexEntry& entry = block.entries[static_cast<size_t>(next % kBlockEntries)];
    if (entry.is_redriven() || next < queue->first) continue;
    bytes += entry.bytes;
    if (!job->letters.empty() && bytes > kMostBytes) break;
    Letter& letter = job->letters.emplace_back();
    letter.offset = next;
    letter.entry = entry;
    const auto provenance = block.provenance.find(next);
    if (provenance != block.provenance.end()) letter.topic = provenance->second.topic;
  }
  job->reading_from = UINT64_MAX;
  for (const Letter& letter : job->letters) job->reading_from = std::min(job->reading_from, letter.entry.position);
  core_->BeginReading(job->reading_from);
  core_->context().lookup_executor->Post([job, log = core_->log(), home = core_->context().shard_executor,
                                          then = core_->IfAlive([this, job] { OnRead(job); })]() mutable {
    Read(job.get(), *log);
    home->Post(std::move(then));
  });
}

void Redrive::Read(Job* job, const storage::CommitLog& log) {
  int32_t wanted = 0;
  for (size_t i = 0; i < job->letters.size(); ++i) {
    Letter& letter = job->letters[i];
    if (wanted == job->call.max_messages) {
      // The next call begins with this one.
      job->result.next = letter.offset;
      job->letters.resize(i);
      return;
    }
    const auto record = log.Read(letter.entry.position, storage::RecordSize(letter.entry.offset + letter.entry.bytes));
    letter.read = record.status();
    if (!record.ok()) continue;
    const absl::string_view payload = record->payload.view();
    const absl::StatusOr<Command> command = DecodeCommand(record->header.type, payload);
    letter.read = command.status();
    if (!command.ok()) continue;
    letter.read = absl::DataLossError("its record has no message there");
    VisitMessages(*command, BulkOffset(payload), [&](const BulkMessage& message) {
      if (message.offset != letter.entry.offset || size_t{message.offset} + message.bytes > payload.size()) return;
      const auto view = DecodeStoredMessage(payload.substr(message.offset, message.bytes));
      letter.read = view.status();
      letter.queue = message.queue;
      letter.wanted = view.ok() && Matches(job->call, job->filter.get(), *view);
    });
    if (letter.wanted) ++wanted;
  }
}

absl::StatusOr<QueueKey> Redrive::TargetOf(const Job& job, const Letter& letter) {
  const TopicMetadata* topic = nullptr;
  if (job.call.topic != TopicId()) {
    topic = metadata_->FindTopic(job.call.topic);
  } else {
    // The one that it failed in; which is not always the one that it was sent to.
    const GroupMetadata* const group = metadata_->FindGroup(job.call.group);
    if (group != nullptr && !letter.topic.empty())
      topic = metadata_->FindTopic(ResourceName{group->name.space, letter.topic});
    const TopicMetadata* const sent_to = metadata_->FindTopic(letter.queue.topic);
    if (topic == nullptr || (sent_to != nullptr && sent_to->name.name == letter.topic)) topic = sent_to;
  }
  if (topic == nullptr) {
    return absl::NotFoundError(absl::StrCat("the topic ", letter.topic, " is gone; name another one"));
  }
  if (IsDeadLetterTopic(topic->id) || IsDiscardedTopic(topic->id)) {
    return absl::InvalidArgumentError(absl::StrCat("the topic ", topic->name.name, " takes no messages"));
  }
  ensure_queues_(*topic);
  if (topic->id == letter.queue.topic) return letter.queue;
  if (topic->type == MessageType::kFifo) {
    if (letter.entry.message_group == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("it has no message group, as the FIFO topic ", topic->name.name, " wants"));
    }
    const TopicMetadata::Place place = topic->PlaceOf(letter.entry.message_group);
    if (place.shard == shard_) return QueueKey{topic->id, place.queue};
    return absl::FailedPreconditionError(
        absl::StrCat("its message group's queue in the FIFO topic ", topic->name.name, " is in another shard"));
  }
  if (topic->type != MessageType::kNormal) {
    return absl::InvalidArgumentError(absl::StrCat("the topic ", topic->name.name, " is of type ",
                                                   MessageTypeName(topic->type),
                                                   "; dead letters of another topic go to one of type normal or fifo"));
  }
  const int32_t queues = topic->QueuesIn(shard_);
  return QueueKey{topic->id, static_cast<int32_t>(letter.offset % std::max(queues, 1))};
}

void Redrive::OnRead(const JobPtr& job) {
  core_->EndReading(job->reading_from);
  log::Redrive command;
  command.set_group_id(job->call.group.value());
  for (const Letter& letter : job->letters) {
    if (letter.read.ok() && !letter.wanted) {
      ++job->result.filtered_out;
      continue;
    }
    const absl::StatusOr<QueueKey> target = letter.read.ok() ? TargetOf(*job, letter) : letter.read;
    if (!target.ok()) {
      CountFailure(job.get(), target.status());
      continue;
    }
    log::Redrive::Entry* const entry = command.add_entries();
    entry->set_offset(letter.offset);
    SetKey(entry->mutable_to(), *target);
    entry->set_log_index(letter.entry.index);
    entry->set_payload_offset(letter.entry.offset);
  }
  if (job->call.dry_run) job->result.redriven = command.entries_size();
  if (job->call.dry_run || command.entries_size() == 0) return End(job);
  Propose(job, std::move(command));
}

void Redrive::Propose(const JobPtr& job, log::Redrive command) {
  log::Redrive copy = command;
  core_->Propose(
      Command(std::move(command)), Bytes(), [this, job, command = std::move(copy)](absl::StatusOr<Outcome> outcome) {
        if (!outcome.ok()) return End(job, outcome.status());
        log::Redrive again;
        again.set_group_id(command.group_id());
        for (int i = 0; i < command.entries_size(); ++i) {
          const log::Redrive::Entry& entry = command.entries(i);
          if (outcome->live[static_cast<size_t>(i)]) {
            ++job->result.redriven;
          } else if (const IndexEntry* const moved = FindMoved(*job, entry)) {
            *again.add_entries() = entry;
            again.mutable_entries()->rbegin()->set_log_index(moved->index);
            again.mutable_entries()->rbegin()->set_payload_offset(moved->offset);
          } else {
            CountFailure(job.get(), absl::AbortedError("it is not there any more, or its queue takes no messages"));
          }
        }
        if (again.entries().empty() || !core_->leading()) return End(job);
        Propose(job, std::move(again));
      });
}

const IndexEntry* Redrive::FindMoved(const Job& job, const log::Redrive::Entry& entry) {
  const QueueKey key{DeadLetterTopicId(job.call.group), 0};
  const Queue* const queue = core_->state().FindQueue(key);
  if (queue == nullptr || entry.offset() < queue->first || entry.offset() >= queue->end) return nullptr;
  const IndexBlock* const block = core_->state().index().Resident(BlockOf(key, entry.offset()));
  if (block == nullptr) return nullptr;
  const IndexEntry& there = block->entries[static_cast<size_t>(entry.offset() % kBlockEntries)];
  const bool is_moved = there.index != entry.log_index() || there.offset != entry.payload_offset();
  return !there.is_redriven() && is_moved ? &there : nullptr;
}

}  // namespace barid::broker
