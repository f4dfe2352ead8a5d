#include "broker/lookup.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status.h"
#include "base/stored_message.h"
#include "broker/life_story.h"

namespace barid::broker {
namespace {

constexpr int32_t kMostMessages = 1000;
constexpr int64_t kMostBytes = int64_t{16} << 20;
constexpr int kMostRestarts = 3;

int64_t ToMicros(absl::Time time) {
  if (time == absl::InfinitePast()) return std::numeric_limits<int64_t>::min();
  if (time == absl::InfiniteFuture()) return std::numeric_limits<int64_t>::max();
  return absl::ToUnixMicros(time);
}

bool KeepsProvenance(TopicId topic) { return IsDeadLetterTopic(topic) || IsDiscardedTopic(topic); }

// A small part of a large record is copied, so that it does not hold all of it in memory.
Buffer BodyOf(const storage::Record& record, const BulkMessage& message) {
  const Buffer body = record.payload.Slice(message.offset, message.bytes);
  return body.size() < record.payload.size() / 2 ? Buffer(std::string(body.view())) : body;
}

LifeEvent EventOf(const storage::RecordHeader& header, absl::string_view what, const QueueKey& queue) {
  LifeEvent event;
  event.time = absl::FromUnixMicros(header.time_us);
  event.log_index = header.index;
  event.what = std::string(what);
  event.queue = queue;
  return event;
}

}  // namespace

Lookup::Lookup(ShardCore* core, const Dispatcher* dispatcher)
    : core_(core),
      dispatcher_(dispatcher),
      index_(std::make_shared<LookupIndex>(core->context().env, JoinPath(core->dir(), "lookup"), core->log(),
                                           core->options().log, core->options().lookup,
                                           core->context().lookup_executor)) {}

void Lookup::Maintain() { index_->Maintain(core_->log_first_position(), core_->state().applied().end_position); }

void Lookup::EndAll(const absl::Status& why) {
  for (auto& [id, done] : std::exchange(waiting_, {})) {
    LookupResult result;
    result.status = why;
    done(std::move(result));
  }
}

void Lookup::End(const JobPtr& job, const absl::Status& status) {
  const auto it = waiting_.find(job->id);
  if (it == waiting_.end()) return;
  Callback<LookupResult> done = std::move(it->second);
  waiting_.erase(it);
  if (!status.ok()) job->result = LookupResult();
  job->result.status = status;
  done(std::move(job->result));
}

void Lookup::Search(LookupIndex::Query query, LookupIndex::Visit visit, absl::AnyInvocable<void(absl::Status)> then) {
  query.end = core_->state().applied().end_position;
  // What is carried meanwhile has its copy behind the end of the search.
  // What is to be trimmed already is not needed: else search after search would keep it.
  const uint64_t from = std::max(query.from, core_->trim_to());
  core_->BeginReading(from);
  auto on_found = [this, from, then = std::move(then)](absl::Status status) mutable {
    core_->EndReading(from);
    then(std::move(status));
  };
  index_->Find(
      std::move(query), std::move(visit),
      [home = core_->context().shard_executor,
       then = core_->IfAlive(std::move(on_found))](absl::Status status) mutable {
        home->Post([then = std::move(then), status = std::move(status)]() mutable { then(std::move(status)); });
      });
}

void Lookup::Find(LookupCall call, Callback<LookupResult> done) {
  const auto refuse = [&done](absl::Status why) {
    LookupResult result;
    result.status = std::move(why);
    done(std::move(result));
  };
  if (!core_->leading()) {
    return refuse(core_->halted().ok() ? NotLeaderError({}, "this broker does not lead the shard") : core_->halted());
  }
  if (call.kind > LookupCall::Kind::kExplain) {
    return refuse(absl::InvalidArgumentError(
        "the broker does not know this way to look for messages: is it older than the proxy?"));
  }
  auto job = std::make_shared<Job>();
  job->id = next_id_++;
  job->call = std::move(call);
  job->call.max_messages = std::clamp(job->call.max_messages, 1, kMostMessages);
  job->bytes_left = std::clamp<int64_t>(job->call.max_bytes, 1, kMostBytes);
  uint64_t resume = 0;
  const std::vector<std::string> resumed = absl::StrSplit(job->call.resume, ':');
  const bool walks = job->call.kind == LookupCall::Kind::kOffset || job->call.kind == LookupCall::Kind::kRange ||
                     (job->call.kind == LookupCall::Kind::kId && KeepsProvenance(job->call.topic));
  if (!job->call.resume.empty()) {
    // "<queue>:<offset>" or "<log position>".
    uint64_t queue = 0;
    const bool is_good = walks ? resumed.size() == 2 && absl::SimpleAtoi(resumed[0], &queue) &&
                                     queue <= std::numeric_limits<int32_t>::max() &&
                                     absl::SimpleAtoi(resumed[1], &resume) &&
                                     resume <= std::numeric_limits<int64_t>::max()
                               : resumed.size() == 1 && absl::SimpleAtoi(resumed[0], &resume);
    if (!is_good) return refuse(absl::InvalidArgumentError("the continuation is not one of this shard's"));
    if (walks) {
      job->offset = static_cast<QueueOffset>(resume);
      job->queues.push_back({job->call.topic, static_cast<int32_t>(queue)});
    }
    job->resume_position = resume;
  }
  waiting_[job->id] = std::move(done);
  if (walks) {
    StartWalk(job);
  } else {
    StartSearch(job);
  }
}

// --- Through queues ---

void Lookup::StartWalk(const JobPtr& job) {
  const int32_t resumed = job->queues.empty() ? -1 : job->queues[0].queue;
  job->queues.clear();
  const auto& queues = core_->state().queues();
  for (auto it = queues.lower_bound(QueueKey{job->call.topic, 0});
       it != queues.end() && it->first.topic == job->call.topic; ++it) {
    const int32_t queue = it->first.queue;
    if (!it->second.deleted && queue >= resumed && (job->call.queue == -1 || queue == job->call.queue))
      job->queues.push_back(it->first);
  }
  std::reverse(job->queues.begin(), job->queues.end());
  // The queue where it was to go on is gone.
  if (job->queues.empty() || job->queues.back().queue != resumed) job->offset.reset();
  if (job->call.kind == LookupCall::Kind::kOffset) job->offset = job->call.offset;
  Walk(job);
}

void Lookup::NextQueue(const JobPtr& job) {
  job->queues.pop_back();
  job->offset.reset();
  core_->context().shard_executor->Post(core_->IfAlive([this, job] { Walk(job); }));
}

void Lookup::Walk(const JobPtr& job) {
  if (job->queues.empty()) return End(job);
  const QueueKey key = job->queues.back();
  const Queue* const queue = core_->state().FindQueue(key);
  if (queue == nullptr || queue->first == queue->end) return NextQueue(job);
  if (!job->offset) {
    return FindTime(key, ToMicros(job->call.from), [this, job](absl::StatusOr<std::optional<QueueOffset>> offset) {
      if (!offset.ok()) return End(job, offset.status());
      if (!*offset) return NextQueue(job);
      job->offset = **offset;
      Walk(job);
    });
  }
  if (job->call.kind != LookupCall::Kind::kOffset) job->offset = std::max(*job->offset, queue->first);
  if (*job->offset < queue->first || *job->offset >= queue->end) return NextQueue(job);
  core_->WithBlock(BlockOf(key, *job->offset), core_->IfAlive([this, job](absl::StatusOr<const IndexBlock*> block) {
    if (!block.ok()) return End(job, block.status());
    OnBlock(job, **block);
  }));
}

void Lookup::OnBlock(const JobPtr& job, const IndexBlock& block) {
  const QueueKey key = job->queues.back();
  const Queue* const queue = core_->state().FindQueue(key);
  if (queue == nullptr) return NextQueue(job);
  const int64_t to_us = ToMicros(job->call.to);
  const bool only_one = job->call.kind == LookupCall::Kind::kOffset;
  QueueOffset offset = *job->offset;
  const QueueOffset block_end = std::min(queue->end, (offset / kBlockEntries + 1) * kBlockEntries);
  std::vector<IndexEntry> entries;
  std::vector<FoundMessage> found;
  bool is_full = false;
  bool is_over = only_one;
  for (; offset < block_end && !is_full; ++offset) {
    const IndexEntry& entry = block.entries[static_cast<size_t>(offset % kBlockEntries)];
    if (entry.time_us >= to_us && !only_one) {
      is_over = true;
      break;
    }
    const auto provenance = block.provenance.find(offset);
    const bool is_other = job->call.kind == LookupCall::Kind::kId &&
                          (provenance == block.provenance.end() || provenance->second.message_id != job->call.text);
    if (!entry.is_redriven() && !is_other) {
      const bool any = !found.empty() || !job->result.messages.empty();
      if (found.size() >= job->messages_left() || (any && entry.bytes > job->bytes_left)) {
        is_full = true;
        break;
      }
      job->bytes_left -= entry.bytes;
      FoundMessage& message = found.emplace_back();
      message.state = IsDiscardedTopic(key.topic) ? FoundMessage::State::kDiscarded : FoundMessage::State::kQueued;
      message.queue = key;
      message.offset = offset;
      message.entered = message.stored_at = absl::FromUnixMicros(entry.time_us);
      message.log_index = entry.index;
      message.log_position = entry.position;
      if (provenance != block.provenance.end()) {
        const Provenance& from = provenance->second;
        message.origin = MessageOrigin{TopicId(), from.topic, from.message_id, from.attempts, from.reason};
      }
      entries.push_back(entry);
    }
    if (only_one) break;
  }
  job->offset = offset;
  core_->ReadBodies(std::move(entries), core_->IfAlive([this, job, key, is_full, is_over,
                                                        found = std::move(found)](ShardCore::Bodies bodies) mutable {
    for (size_t i = 0; i < bodies.size(); ++i) {
      if (absl::IsOutOfRange(bodies[i].status())) continue;  // Trimmed meanwhile.
      // Damage: whoever asks for this one hears of it; in a list the others are shown, and this one without its bytes.
      if (!bodies[i].ok() && is_over && bodies.size() == 1) return End(job, bodies[i].status());
      if (bodies[i].ok()) found[i].stored = *std::move(bodies[i]);
      job->result.messages.push_back(std::move(found[i]));
    }
    if (is_full) {
      job->result.resume = absl::StrCat(key.queue, ":", *job->offset);
      return End(job);
    }
    if (is_over) return NextQueue(job);
    core_->context().shard_executor->Post(core_->IfAlive([this, job] { Walk(job); }));
  }));
}

// --- Through the log ---

void Lookup::StartSearch(const JobPtr& job) {
  job->carries = core_->state().carries();
  job->candidates.clear();
  job->result = LookupResult();
  LookupIndex::Query query;
  query.hashes.push_back(job->call.kind == LookupCall::Kind::kKey ? MessageKeyHash(job->call.topic, job->call.text)
                                                                  : MessageIdHash(job->call.text));
  job->search_from = std::exchange(job->resume_position, 0);
  query.from = job->search_from;
  Search(
      std::move(query), [job](const storage::Record& record) { return Collect(job.get(), record); },
      [this, job](absl::Status status) {
        if (!status.ok()) return End(job, status);
        if (job->resume_position != 0) job->result.resume = absl::StrCat(job->resume_position);
        SearchFates(job);
      });
}

bool Lookup::Collect(Job* job, const storage::Record& record) {
  const absl::string_view payload = record.payload.view();
  const absl::StatusOr<Command> command = DecodeCommand(record.header.type, payload);
  if (!command.ok()) return true;  // Another record that happens to have the hash.
  const bool by_key = job->call.kind == LookupCall::Kind::kKey;
  VisitMessages(*command, BulkOffset(payload), [&](const BulkMessage& message) {
    if (message.queue.topic != job->call.topic || size_t{message.offset} + message.bytes > payload.size()) return;
    const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(payload.substr(message.offset, message.bytes));
    if (!view.ok()) return;
    const bool is_it = by_key ? std::find(view->keys.begin(), view->keys.end(), job->call.text) != view->keys.end()
                              : view->message_id == job->call.text;
    if (!is_it) return;
    const bool was_carried = message.origin != nullptr;
    const LogIndex origin = was_carried ? message.origin->log_index() : record.header.index;
    // The last message with this id is explained, with all that was copied of it.
    if (job->call.kind == LookupCall::Kind::kExplain &&
        (job->candidates.empty() || job->candidates.back().origin != origin ||
         job->candidates.back().message.entry != message.entry)) {
      job->candidates.clear();
      job->story_from = was_carried ? 0 : record.position;
    }
    Candidate& candidate = job->candidates.emplace_back();
    candidate.header = record.header;
    candidate.position = record.position;
    candidate.message = message;
    candidate.message.origin = nullptr;  // It goes with the command.
    candidate.origin = origin;
    candidate.origin_type = record.header.type;
    if (was_carried) {
      candidate.origin_type = static_cast<uint16_t>(message.origin->command());
      candidate.header.time_us = message.origin->time();
    }
    candidate.stored = BodyOf(record, message);
    job->bytes_left -= message.bytes;
  });
  if (job->call.kind == LookupCall::Kind::kExplain) return true;
  // All of one record, so that the next search can begin behind it.
  if (static_cast<int32_t>(job->candidates.size()) < job->call.max_messages && job->bytes_left > 0) return true;
  job->resume_position = record.position + 1;
  return false;
}

void Lookup::SearchFates(const JobPtr& job) {
  LookupIndex::Query query;
  query.from = std::numeric_limits<uint64_t>::max();
  for (const Candidate& candidate : job->candidates) {
    const bool is_append = candidate.origin_type == CommandType(Command(log::Append()));
    if (is_append && job->call.kind != LookupCall::Kind::kExplain) continue;
    query.hashes.push_back(OriginHash(candidate.header.index));
    // What became of it may stand before the copy.
    if (candidate.origin != candidate.header.index) query.hashes.push_back(OriginHash(candidate.origin));
    query.from = std::min(query.from, candidate.origin != candidate.header.index ? 0 : candidate.position);
  }
  if (query.hashes.empty()) return Resolve(job, 0);
  Search(
      std::move(query), [job](const storage::Record& record) { return NoteFates(job.get(), record); },
      [this, job](absl::Status status) {
        if (!status.ok()) return End(job, status);
        Resolve(job, 0);
      });
}

bool Lookup::NoteFates(Job* job, const storage::Record& record) {
  const absl::StatusOr<Command> command = DecodeCommand(record.header.type, record.payload.view());
  if (!command.ok()) return true;
  // Each copy of the message has it, since only one of them is shown.
  const auto nothing = [](LifeEvent*) {};
  const auto note = [&](LogIndex index, uint32_t entry, std::optional<Candidate::Fate> fate, absl::string_view what,
                        absl::FunctionRef<void(LifeEvent*)> fill) {
    for (Candidate& candidate : job->candidates) {
      if (candidate.origin != index || candidate.message.entry != entry || candidate.fate != Candidate::Fate::kNone)
        continue;
      // One that is not due by the record's time does not fire.
      if (fate == Candidate::Fate::kFired && candidate.message.deliver_at > record.header.time_us) continue;
      if (fate) {
        candidate.fate = *fate;
        candidate.fate_time_us = record.header.time_us;
      }
      candidate.events.push_back(EventOf(record.header, what, candidate.message.queue));
      fill(&candidate.events.back());
    }
  };
  if (const auto* fire = std::get_if<log::FireTimer>(&*command)) {
    for (const log::TimerRef& ref : fire->timers())
      note(ref.log_index(), ref.entry(), Candidate::Fate::kFired, "fired", nothing);
  } else if (const auto* cancel = std::get_if<log::CancelTimer>(&*command)) {
    for (const log::TimerRef& ref : cancel->timers())
      note(ref.log_index(), ref.entry(), Candidate::Fate::kRecalled, "recalled", nothing);
  } else if (const auto* check = std::get_if<log::CheckTransaction>(&*command)) {
    for (const log::CheckTransaction::Entry& entry : check->entries()) {
      note(entry.transaction().log_index(), entry.transaction().entry(), std::nullopt, "checked",
           [&](LifeEvent* event) {
             event->attempt = static_cast<int32_t>(entry.checks()) + 1;
             event->until = absl::FromUnixMicros(entry.next_at());
           });
    }
  } else if (const auto* end = std::get_if<log::EndTransaction>(&*command)) {
    for (const log::EndTransaction::Entry& entry : end->entries()) {
      const bool commits = entry.resolution() == log::EndTransaction::Entry::COMMIT;
      const bool discards = entry.resolution() == log::EndTransaction::Entry::DISCARD;
      note(entry.transaction().log_index(), entry.transaction().entry(),
           commits    ? Candidate::Fate::kCommitted
           : discards ? Candidate::Fate::kDiscarded
                      : Candidate::Fate::kRolledBack,
           commits    ? "transaction_committed"
           : discards ? "transaction_discarded"
                      : "transaction_rolled_back",
           [&](LifeEvent* event) { event->detail = entry.reason(); });
    }
  } else if (const auto* redrive = std::get_if<log::Redrive>(&*command)) {
    for (const log::Redrive::Entry& entry : redrive->entries()) {
      for (Candidate& candidate : job->candidates) {
        if (candidate.header.index != entry.log_index() || candidate.message.offset != entry.payload_offset()) continue;
        candidate.dead_letters.push_back({{DeadLetterTopicId(GroupId(redrive->group_id())), 0}, entry.offset()});
      }
    }
  }
  return true;
}

void Lookup::Resolve(const JobPtr& job, size_t place) {
  if (place == job->candidates.size()) {
    const auto is_gone = [](const FoundMessage& found) { return found.state == FoundMessage::State::kGone; };
    if (job->carries != core_->state().carries() && job->restarts < kMostRestarts &&
        std::any_of(job->result.messages.begin(), job->result.messages.end(), is_gone)) {
      // It may have been carried elsewhere between the search and the look at the state.
      ++job->restarts;
      job->resume_position = job->search_from;
      job->bytes_left = std::clamp<int64_t>(job->call.max_bytes, 1, kMostBytes);
      return StartSearch(job);
    }
    DropCopies(job.get());
    return job->call.kind == LookupCall::Kind::kExplain ? Explain(job) : End(job);
  }
  const Candidate& candidate = job->candidates[place];
  const bool was_scheduled = candidate.origin_type == CommandType(Command(log::Schedule()));
  const bool was_prepared = candidate.origin_type == CommandType(Command(log::Prepare()));
  FoundMessage& found = job->result.messages.emplace_back();
  found.queue = candidate.message.queue;
  found.stored_at = absl::FromUnixMicros(candidate.header.time_us);
  found.log_index = candidate.header.index;
  found.log_position = candidate.position;
  found.stored = candidate.stored;
  if (candidate.message.deliver_at > 0) found.due = absl::FromUnixMicros(candidate.message.deliver_at);
  if (candidate.message.carried_at) {
    // The copy of a dead letter: nothing in the message's own topic points at it, whatever it once waited for there.
    if (IsDeadLetterTopic(candidate.message.carried_at->first.topic)) return OnResolved(job, place, std::nullopt);
    // It was in a queue already, and keeps its offset there.
    std::tie(found.queue, found.offset) = *candidate.message.carried_at;
    return ResolveCarried(job, place);
  }
  int64_t entered_us = candidate.header.time_us;
  const bool waits = was_prepared || (was_scheduled && candidate.message.deliver_at > candidate.header.time_us);
  if (waits) {
    entered_us = candidate.fate_time_us;
    const auto is_open = [&] {
      // The log was searched up to a record that is applied; what came since is not known yet, and would be found next
      // time.
      const Queue* const queue = core_->state().FindQueue(candidate.message.queue);
      return queue != nullptr && !queue->deleted;
    };
    switch (candidate.fate) {
      case Candidate::Fate::kNone:
        found.state = !is_open()     ? FoundMessage::State::kGone
                      : was_prepared ? FoundMessage::State::kPrepared
                                     : FoundMessage::State::kScheduled;
        return Resolve(job, place + 1);
      case Candidate::Fate::kRecalled:
        found.state = FoundMessage::State::kRecalled;
        return Resolve(job, place + 1);
      case Candidate::Fate::kRolledBack:
        found.state = FoundMessage::State::kRolledBack;
        return Resolve(job, place + 1);
      case Candidate::Fate::kDiscarded:
        found.queue = {DiscardedTopicId(candidate.message.queue.topic), 0};
        break;
      case Candidate::Fate::kFired:
      case Candidate::Fate::kCommitted:
        break;
    }
  }
  found.entered = absl::FromUnixMicros(entered_us);
  FindEntry(found.queue, entered_us, candidate.header.index, candidate.message.offset,
            [this, job, place](absl::StatusOr<std::optional<QueueOffset>> offset) {
              if (!offset.ok()) return End(job, offset.status());
              OnResolved(job, place, *offset);
            });
}

void Lookup::ResolveCarried(const JobPtr& job, size_t place) {
  const FoundMessage& found = job->result.messages.back();
  const Queue* const queue = core_->state().FindQueue(found.queue);
  const QueueOffset at = found.offset;
  if (queue == nullptr || at < queue->first || at >= queue->end) return OnResolved(job, place, std::nullopt);
  core_->WithBlock(
      BlockOf(found.queue, at), core_->IfAlive([this, job, place, at](absl::StatusOr<const IndexBlock*> block) {
        if (!block.ok()) return End(job, block.status());
        const Candidate& candidate = job->candidates[place];
        const IndexEntry& entry = (*block)->entries[static_cast<size_t>(at % kBlockEntries)];
        const bool is_it = entry.index == candidate.header.index && entry.offset == candidate.message.offset;
        if (is_it) job->result.messages.back().entered = absl::FromUnixMicros(entry.time_us);
        OnResolved(job, place, is_it ? std::optional<QueueOffset>(at) : std::nullopt);
      }));
}

void Lookup::DropCopies(Job* job) {
  CHECK_EQ(job->candidates.size(), job->result.messages.size());
  using Origin = std::pair<LogIndex, uint32_t>;
  const auto origin_of = [job](size_t i) {
    return Origin(job->candidates[i].origin, job->candidates[i].message.entry);
  };
  absl::flat_hash_map<Origin, size_t> kept;
  for (size_t i = 0; i < job->candidates.size(); ++i) {
    const auto [it, inserted] = kept.try_emplace(origin_of(i), i);
    if (!inserted && job->result.messages[i].state != FoundMessage::State::kGone) it->second = i;
  }
  std::vector<Candidate> candidates;
  std::vector<FoundMessage> messages;
  for (size_t i = 0; i < job->candidates.size(); ++i) {
    std::vector<Stay>& letters = job->candidates[kept[origin_of(i)]].dead_letters;
    if (kept[origin_of(i)] != i) {
      const std::vector<Stay>& more = job->candidates[i].dead_letters;
      letters.insert(letters.end(), more.begin(), more.end());
    }
  }
  for (size_t i = 0; i < job->candidates.size(); ++i) {
    if (kept[origin_of(i)] != i) continue;
    candidates.push_back(std::move(job->candidates[i]));
    messages.push_back(std::move(job->result.messages[i]));
  }
  job->candidates = std::move(candidates);
  job->result.messages = std::move(messages);
}

void Lookup::OnResolved(const JobPtr& job, size_t place, std::optional<QueueOffset> offset) {
  FoundMessage& found = job->result.messages.back();
  if (!offset) {
    found.state = FoundMessage::State::kGone;
  } else {
    found.state = IsDiscardedTopic(found.queue.topic) ? FoundMessage::State::kDiscarded : FoundMessage::State::kQueued;
    found.offset = *offset;
  }
  core_->context().shard_executor->Post(core_->IfAlive([this, job, place] { Resolve(job, place + 1); }));
}

// --- Explanations ---

void Lookup::Explain(const JobPtr& job) {
  if (!job->candidates.empty()) {
    const Candidate& candidate = job->candidates.back();
    const FoundMessage& found = job->result.messages.back();
    const bool was_scheduled = candidate.origin_type == CommandType(Command(log::Schedule()));
    const bool was_prepared = candidate.origin_type == CommandType(Command(log::Prepare()));
    LifeEvent& written = job->result.events.emplace_back(EventOf(candidate.header,
                                                                 was_prepared    ? "prepared"
                                                                 : was_scheduled ? "scheduled"
                                                                                 : "written",
                                                                 candidate.message.queue));
    written.detail = absl::StrCat("record ", candidate.header.index, " at log position ", candidate.position,
                                  ", epoch ", candidate.header.epoch, ", durable and committed");
    if (candidate.origin != candidate.header.index) {
      absl::StrAppend(&written.detail, ", carried forward from record ", candidate.origin);
    }
    if (was_scheduled) written.until = found.due;
    const bool has_place =
        found.state == FoundMessage::State::kQueued || found.state == FoundMessage::State::kDiscarded;
    if (has_place && candidate.events.empty()) written.offset = found.offset;
    for (const LifeEvent& event : candidate.events) job->result.events.push_back(event);
    if (has_place) {
      job->result.events.back().offset = found.offset;
      job->result.events.back().queue = found.queue;
      job->stays.push_back({found.queue, found.offset});
    }
    // Their places are empty now, so the state does not know them.
    for (const Stay& stay : candidate.dead_letters) {
      if (std::find(job->stays.begin(), job->stays.end(), stay) == job->stays.end()) job->stays.push_back(stay);
    }
  }
  TellStay(job);
}

void Lookup::TellStay(const JobPtr& job) {
  if (job->next_stay == job->stays.size()) return TellStandings(job);
  const size_t stay_place = job->next_stay++;
  const Stay stay = job->stays[stay_place];
  auto story = std::make_shared<LifeStory>(stay.queue, stay.offset);
  LookupIndex::Query query;
  query.hashes = {LifeHashOf(stay.queue, stay.offset), QueueHash(stay.queue), TopicHash(stay.queue.topic)};
  query.from = job->story_from;
  Search(
      std::move(query),
      [story](const storage::Record& record) {
        const absl::StatusOr<Command> command = DecodeCommand(record.header.type, record.payload.view());
        if (command.ok()) story->Add(record.header, *command);
        return true;
      },
      [this, job, story, stay_place](absl::Status status) {
        if (!status.ok()) return End(job, status);
        for (const GroupMetadata& group : metadata_->tables().groups) {
          if (std::string by = story->SettledBy(group.id); !by.empty()) {
            job->settled_by[{group.id.value(), stay_place}] = std::move(by);
          }
        }
        for (LifeEvent& event : story->TakeEvents()) job->result.events.push_back(std::move(event));
        // Where it went from there, one after the other.
        const Candidate& candidate = job->candidates.back();
        auto left = std::make_shared<size_t>(story->departures().size());
        if (*left == 0) return TellStay(job);
        for (const LifeStory::Departure& departure : story->departures()) {
          FindEntry(departure.to, departure.time_us, candidate.header.index, candidate.message.offset,
                    [this, job, left, to = departure.to](absl::StatusOr<std::optional<QueueOffset>> offset) {
                      if (offset.ok() && *offset) {
                        const Stay stay{to, **offset};
                        const bool is_known = std::find(job->stays.begin(), job->stays.end(), stay) != job->stays.end();
                        if (!is_known) job->stays.push_back(stay);
                      }
                      if (--*left == 0) TellStay(job);
                    });
        }
      });
}

void Lookup::TellStandings(const JobPtr& job) {
  std::stable_sort(job->result.events.begin(), job->result.events.end(),
                   [](const LifeEvent& a, const LifeEvent& b) { return a.log_index < b.log_index; });
  for (size_t i = 0; i < job->stays.size(); ++i) {
    const Stay& stay = job->stays[i];
    std::vector<GroupId> groups;
    for (const SubscriptionMetadata& subscription : metadata_->tables().subscriptions) {
      if (subscription.topic == stay.queue.topic) groups.push_back(subscription.group);
    }
    std::sort(groups.begin(), groups.end());
    for (const GroupId group : groups) job->standings.emplace_back(i, group);
  }
  TellStanding(job, 0);
}

void Lookup::TellStanding(const JobPtr& job, size_t place) {
  if (place == job->standings.size()) return NameBlockers(job, 0);
  const auto& [stay, group] = job->standings[place];
  GroupStanding& standing = job->result.standings.emplace_back(StandingOf(*job, stay, group));
  standing.waiting = dispatcher_->FiltersAt({group, job->stays[stay].queue});
  // Each is linear in what the group has in flight; others run in between.
  core_->context().shard_executor->Post(core_->IfAlive([this, job, place] { TellStanding(job, place + 1); }));
}

void Lookup::NameBlockers(const JobPtr& job, size_t place) {
  std::vector<GroupStanding>& standings = job->result.standings;
  while (place < standings.size() && !standings[place].blocked_by) ++place;
  if (place == standings.size()) return EndExplanation(job);
  const QueueKey queue = standings[place].queue;
  const QueueOffset offset = standings[place].blocked_by->offset;
  // One that cannot be read, or is gone by now, has no name.
  core_->WithBlock(
      BlockOf(queue, offset), core_->IfAlive([this, job, place, offset](absl::StatusOr<const IndexBlock*> block) {
        const auto entry = static_cast<size_t>(offset % kBlockEntries);
        // The block may be an older version, if the queue was cut meanwhile.
        if (!block.ok() || entry >= (*block)->entries.size()) return NameBlockers(job, place + 1);
        core_->ReadBodies({(*block)->entries[entry]}, core_->IfAlive([this, job, place](ShardCore::Bodies bodies) {
          GroupStanding& standing = job->result.standings[place];
          const absl::StatusOr<StoredMessageView> message =
              bodies[0].ok() ? DecodeStoredMessage(bodies[0]->view()) : bodies[0].status();
          if (message.ok()) standing.blocked_by->message_id = std::string(message->message_id);
          core_->context().shard_executor->Post(core_->IfAlive([this, job, place] { NameBlockers(job, place + 1); }));
        }));
      }));
}

void Lookup::EndExplanation(const JobPtr& job) {
  // What the log has, as its first record says.
  core_->context().lookup_executor->Post([job, log = core_->log(), home = core_->context().shard_executor,
                                          then = core_->IfAlive([this, job] { End(job); })]() mutable {
    if (const auto first = log->Read(log->first_position()); first.ok()) {
      job->result.log_from = absl::FromUnixMicros(first->header.time_us);
    }
    home->Post(std::move(then));
  });
}

uint64_t Lookup::MessageGroupOf(const Candidate& candidate, const QueueKey& queue) const {
  // A lite topic is one message group.
  if (const LiteTable::LiteTopic* const lite = core_->state().lite().Get(queue)) return MessageGroupHash(lite->name);
  const absl::StatusOr<StoredMessageView> message = DecodeStoredMessage(candidate.stored.view());
  return message.ok() && message->message_group ? MessageGroupHash(*message->message_group) : 0;
}

std::optional<GroupStanding::Blocker> Lookup::BlockerOf(const Cursor& cursor, uint64_t message_group,
                                                        QueueOffset offset) {
  if (!cursor.ordered || message_group == 0) return std::nullopt;
  const auto blocker_of = [](QueueOffset at, const InFlight& delivery) {
    GroupStanding::Blocker blocker;
    blocker.offset = at;
    blocker.client = *delivery.client;
    blocker.attempt = delivery.attempts;
    if (!delivery.visible) blocker.until = absl::FromUnixMicros(delivery.invisible_until);
    return blocker;
  };
  if (cursor.IsLocked(message_group)) {
    // Linear in what is in flight, once.
    for (const auto& [at, delivery] : cursor.in_flight) {
      if (delivery.message_group == message_group && !delivery.visible) return blocker_of(at, delivery);
    }
  }
  const std::optional<QueueOffset> first = cursor.FirstWaiting(message_group);
  if (!first || *first >= offset) return std::nullopt;
  if (const auto delivery = cursor.in_flight.find(*first); delivery != cursor.in_flight.end()) {
    return blocker_of(*first, delivery->second);
  }
  GroupStanding::Blocker blocker;
  blocker.offset = *first;
  return blocker;
}

GroupStanding Lookup::StandingOf(const Job& job, size_t place, GroupId group) const {
  const Stay& stay = job.stays[place];
  GroupStanding out;
  out.group = group;
  out.queue = stay.queue;
  out.offset = stay.offset;
  const Queue* const queue = core_->state().FindQueue(stay.queue);
  if (queue == nullptr || stay.offset < queue->first) {
    out.standing = "gone";
    return out;
  }
  const Cursor* const cursor = core_->state().FindCursor({group, stay.queue});
  if (cursor == nullptr) {
    out.standing = "not_begun";
    out.detail = "the group has not received from this queue yet";
    return out;
  }
  if (const auto it = cursor->in_flight.find(stay.offset); it != cursor->in_flight.end()) {
    const InFlight& delivery = it->second;
    out.attempt = delivery.attempts;
    out.client = *delivery.client;
    out.until = absl::FromUnixMicros(delivery.invisible_until);
    if (delivery.visible) {
      out.standing = "ready_again";
      out.until = absl::InfinitePast();
      out.blocked_by = BlockerOf(*cursor, delivery.message_group, stay.offset);
      if (cursor->ordered && cursor->IsLocked(delivery.message_group)) out.standing = "blocked";
      return out;
    }
    const auto last = std::find_if(job.result.events.rbegin(), job.result.events.rend(), [&](const LifeEvent& event) {
      return event.group == group && event.queue == stay.queue && event.offset == stay.offset;
    });
    const bool was_returned =
        last != job.result.events.rend() && (last->what == "returned" || last->what == "suspended");
    out.standing = was_returned ? "delayed" : "in_flight";
    if (delivery.held) out.detail = "held while the client lives";
    return out;
  }
  if (const std::optional<uint64_t> message_group = cursor->parked.MessageGroupOf(stay.offset)) {
    out.standing = "parked";
    out.blocked_by = BlockerOf(*cursor, *message_group, stay.offset);
    return out;
  }
  if (cursor->next <= stay.offset) {
    out.standing = "not_reached";
    out.blocked_by = BlockerOf(*cursor, MessageGroupOf(job.candidates.back(), stay.queue), stay.offset);
    out.detail = absl::StrCat(stay.offset - cursor->next, " messages of the queue come before it");
    const ShardOptions& options = core_->options();
    if (static_cast<int64_t>(cursor->in_flight.size()) >= options.max_in_flight) {
      absl::StrAppend(&out.detail, ", and the group has ", cursor->in_flight.size(),
                      " of them in flight: until it settles some it gets nothing new (setting broker.max_in_flight)");
    } else if (cursor->parked.bytes() >= options.max_parked_bytes) {
      absl::StrAppend(&out.detail, ", and ", cursor->parked.size(),
                      " are parked: nothing behind those is given (setting broker.max_parked_bytes)");
    }
    return out;
  }
  out.standing = "settled";
  const auto by = job.settled_by.find({group.value(), place});
  out.detail = by == job.settled_by.end() ? "before_start" : by->second;
  return out;
}

// --- In one queue ---

void Lookup::FindTime(const QueueKey& key, int64_t time_us, FoundOffset then) {
  const Queue* const queue = core_->state().FindQueue(key);
  if (queue == nullptr) return then(std::nullopt);
  if (queue->first == queue->end || time_us == std::numeric_limits<int64_t>::min()) return then(queue->first);
  SearchTime(key, time_us, queue->first / kBlockEntries, (queue->end - 1) / kBlockEntries, std::move(then));
}

void Lookup::SearchTime(const QueueKey& key, int64_t time_us, int64_t low, int64_t high, FoundOffset then) {
  const int64_t middle = low + (high - low) / 2;
  core_->WithBlock({key, middle}, core_->IfAlive([this, key, time_us, low, high, middle, then = std::move(then)](
                                                     absl::StatusOr<const IndexBlock*> block) mutable {
    const Queue* const queue = core_->state().FindQueue(key);
    if (queue == nullptr) return then(std::nullopt);
    if (!block.ok()) {
      // Retention took it meanwhile: what is sought lies behind.
      if ((middle + 1) * kBlockEntries > queue->first) return then(block.status());
      if (low >= high) return then(queue->first);
      return SearchTime(key, time_us, middle + 1, high, std::move(then));
    }
    if (low < high) {
      const bool before = (*block)->entries.back().time_us < time_us;
      return SearchTime(key, time_us, before ? middle + 1 : low, before ? high : middle, std::move(then));
    }
    QueueOffset offset = middle * kBlockEntries;
    for (const IndexEntry& entry : (*block)->entries) {
      if (entry.time_us >= time_us) break;
      ++offset;
    }
    then(std::clamp(offset, queue->first, queue->end));
  }));
}

void Lookup::FindEntry(const QueueKey& queue, int64_t time_us, LogIndex index, uint32_t payload_offset,
                       FoundOffset then) {
  FindTime(queue, time_us,
           [=, this, then = std::move(then)](absl::StatusOr<std::optional<QueueOffset>> offset) mutable {
             if (!offset.ok() || !*offset) return then(std::move(offset));
             MatchEntry(queue, **offset, time_us, index, payload_offset, std::move(then));
           });
}

void Lookup::MatchEntry(const QueueKey& key, QueueOffset offset, int64_t time_us, LogIndex index,
                        uint32_t payload_offset, FoundOffset then) {
  const Queue* const queue = core_->state().FindQueue(key);
  if (queue == nullptr || offset < queue->first || offset >= queue->end) return then(std::nullopt);
  core_->WithBlock(BlockOf(key, offset),
                   core_->IfAlive([=, this, then = std::move(then)](absl::StatusOr<const IndexBlock*> block) mutable {
                     if (!block.ok()) return then(block.status());
                     QueueOffset at = offset;
                     for (auto i = static_cast<size_t>(offset % kBlockEntries); i < (*block)->entries.size();
                          ++i, ++at) {
                       const IndexEntry& entry = (*block)->entries[i];
                       if (entry.time_us != time_us) return then(std::nullopt);
                       if (entry.index == index && entry.offset == payload_offset) return then(at);
                     }
                     core_->context().shard_executor->Post(core_->IfAlive([=, this, then = std::move(then)]() mutable {
                       MatchEntry(key, at, time_us, index, payload_offset, std::move(then));
                     }));
                   }));
}

}  // namespace barid::broker
