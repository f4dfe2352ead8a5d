#include "broker/shard_core.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/wakes.h"
#include "broker/mutation.h"
#include "broker/shard_metrics.h"
#include "broker/single_replica_committer.h"

namespace barid::broker {

namespace {

// Few enough that who takes the answers begins with the first while the last are still applied.
constexpr size_t kAnsweredTogether = 8;

ShardContext WithDefaults(ShardContext context) {
  if (context.lookup_executor == nullptr) context.lookup_executor = context.read_executor;
  return context;
}

}  // namespace

ShardCore::ShardCore(absl::string_view dir, const ShardOptions& options, const ShardContext& context,
                     std::unique_ptr<storage::KeyValueStore> store)
    : dir_(dir),
      options_(options),
      context_(WithDefaults(context)),
      store_(std::move(store)),
      state_(store_.get(), options.max_clean_blocks, static_cast<size_t>(options.max_near_timers),
             options.log.segment_bytes),
      clock_(context.clock),
      tail_(options.tail_cache_bytes),
      checkpoint_time_(context.clock->SinceBoot()),
      self_(std::make_shared<ShardCore*>(this)) {}

ShardCore::~ShardCore() {
  *self_ = nullptr;
  LoseProposals(absl::UnavailableError("the shard is shut down"));
  for (auto& waiter : checkpoint_waiters_) waiter(absl::UnavailableError("the shard is shut down"));
}

absl::StatusOr<std::unique_ptr<ShardCore>> ShardCore::Open(absl::string_view dir, const ShardOptions& options,
                                                           const ShardContext& context) {
  RETURN_IF_ERROR(context.env->CreateDir(dir));
  ASSIGN_OR_RETURN(std::unique_ptr<storage::KeyValueStore> store,
                   storage::OpenLevelDbStore(context.env, JoinPath(dir, "state"), options.store));
  std::unique_ptr<ShardCore> core(new ShardCore(dir, options, context, std::move(store)));
  const absl::Status recovered = core->Recover();
  if (!recovered.ok()) return Annotate(recovered, absl::StrCat("recovering the shard in ", dir));
  return core;
}

absl::Status ShardCore::Recover() {
  RETURN_IF_ERROR(state_.Load(*store_));
  const RecordInfo& applied = state_.applied();
  const storage::LogAnchor anchor{applied.index, applied.position, applied.end_position, applied.chain};
  LogIndex replayed = 0;
  ASSIGN_OR_RETURN(log_, storage::CommitLog::Open(context_.env, JoinPath(dir_, "log"), options_.log, anchor,
                                                  [&](const storage::Record& record) {
                                                    ++replayed;
                                                    return Replay(record);
                                                  }));
  if (anchor.index == 0 && log_->first_position() > 0) {
    return absl::DataLossError("the log has been trimmed, and there is no checkpoint of what stood before its start");
  }
  checkpoint_position_ = anchor.end_position;
  hashed_index_ = state_.remembered_index();
  LOG(INFO) << "shard recovered" << KV("dir", dir_) << KV("checkpoint", anchor.index) << KV("replayed", replayed)
            << KV("last_index", log_->last_index());
  return absl::OkStatus();
}

absl::Status ShardCore::Replay(const storage::Record& record) {
  if (BARID_MUTATION(kReplaySkipsFirst) && record.header.index == state_.applied_index() + 1 &&
      record.header.index % 3 == 0 && record.header.type != 1) {
    // The bug stands for a record that recovery forgets: its command has no effect.
    RecordInfo skipped = state_.applied();
    skipped.index = record.header.index;
    return state_.Apply(skipped, Command(log::EpochStart())).status();
  }
  ASSIGN_OR_RETURN(const Command command, DecodeCommand(record.header.type, record.payload.view()));
  RecordInfo info;
  info.index = record.header.index;
  info.epoch = record.header.epoch;
  info.time_us = record.header.time_us;
  info.position = record.position;
  info.end_position = record.position + storage::RecordSize(record.header.length);
  info.chain = record.chain;
  info.bulk_offset = static_cast<uint32_t>(BulkOffset(record.payload.view()));
  return state_.Apply(info, command).status();
}

void ShardCore::Lead(Epoch epoch, const std::string& leader, Applied done) {
  CHECK(!leading_);
  if (!halted_.ok()) return done(halted_);
  if (epoch <= log_->last_epoch()) {
    return done(absl::FailedPreconditionError(
        absl::StrCat("epoch ", epoch, " is not above that of the log, ", log_->last_epoch())));
  }
  epoch_ = epoch;
  clock_.Start(log_->last_time_us());
  committer_ = std::make_unique<SingleReplicaCommitter>(
      log_, context_.shard_executor, context_.disk_executor, context_.lookup_executor,
      static_cast<Committer::Listener*>(this), context_.clock,
      context_.metrics == nullptr ? nullptr : context_.metrics->log_write_seconds);
  leading_ = true;
  log::EpochStart start;
  start.set_leader(leader);
  start.set_log_id(options_.log.log_id);
  start.set_send_window(absl::ToInt64Microseconds(options_.idempotence_window));
  start.set_send_window_ids(static_cast<uint64_t>(options_.idempotence_ids));
  Propose(Command(std::move(start)), Bytes(), std::move(done));
}

void ShardCore::Follow() {
  if (!leading_) return;
  leading_ = false;
  committer_ = nullptr;
  LoseProposals(absl::DeadlineExceededError("the shard lost its leader; the outcome is not known"));
}

void ShardCore::Propose(Command command, Bytes bulk, Applied done) {
  DCHECK(context_.shard_executor->IsCurrent());
  if (!leading_) return done(halted_.ok() ? NotLeaderError({}, "this broker does not lead the shard") : halted_);
  Proposal& proposal = proposals_.emplace_back();
  proposal.payload = EncodePayload(command, bulk);
  proposal.bulk_offset = static_cast<uint32_t>(proposal.payload.size() - bulk.size());
  proposal.bytes = static_cast<int64_t>(storage::RecordSize(proposal.payload.size()));
  proposal.draft.epoch = epoch_;
  proposal.draft.type = CommandType(command);
  proposal.draft.index = state_.applied_index() + proposals_.size();
  proposal.draft.time_us = clock_.NowMicros();
  proposal.draft.payload = proposal.payload;
  proposal.command = std::move(command);
  proposal.done = std::move(done);
  pending_bytes_ += proposal.bytes;
  ++unflushed_;
  if (!flush_posted_) {
    // What the tasks before the flush propose goes into the same batch.
    flush_posted_ = true;
    context_.shard_executor->Post(IfAlive([this] { Flush(); }));
  }
}

void ShardCore::Flush() {
  flush_posted_ = false;
  if (committer_ == nullptr || unflushed_ == 0) return;
  std::vector<storage::RecordDraft> batch;
  batch.reserve(unflushed_);
  for (size_t i = proposals_.size() - unflushed_; i < proposals_.size(); ++i) {
    storage::RecordDraft& draft = proposals_[i].draft;
    Bytes payload = std::exchange(draft.payload, Bytes());
    batch.push_back(draft);
    batch.back().payload = std::move(payload);
  }
  unflushed_ = 0;
  committer_->Append(std::move(batch));
}

void ShardCore::OnCommit(absl::Span<const storage::CommitLog::Placed> records) {
  if (ShardMetrics* const metrics = context_.metrics; metrics != nullptr && !records.empty()) {
    metrics->log_batch_records->Observe(static_cast<double>(records.size()));
    metrics->log_records->Add(records.size());
    metrics->log_bytes->Add(records.back().end_position - records.front().position);
  }
  std::optional<WakeScope> together;
  for (size_t i = 0; i < records.size(); ++i) {
    // An answer to an earlier one may have ended the term.
    if (proposals_.empty()) return;
    // Who wait for these records are woken for several at a time.
    if (i % kAnsweredTogether == 0) together.emplace();
    const storage::CommitLog::Placed& placed = records[i];
    Proposal proposal = std::move(proposals_.front());
    proposals_.pop_front();
    pending_bytes_ -= proposal.bytes;
    CHECK_EQ(proposal.draft.index, placed.index);
    RecordInfo info;
    info.index = placed.index;
    info.epoch = proposal.draft.epoch;
    info.time_us = proposal.draft.time_us;
    info.position = placed.position;
    info.end_position = placed.end_position;
    info.chain = placed.chain;
    info.bulk_offset = proposal.bulk_offset;
    absl::StatusOr<Outcome> outcome = state_.Apply(info, proposal.command);
    if (!outcome.ok()) {
      proposal.done(outcome.status());
      return Halt(outcome.status());
    }
    // Not what was carried: it is old, and would push out what is new.
    const bool has_bodies = std::holds_alternative<log::Append>(proposal.command) ||
                            std::holds_alternative<log::Schedule>(proposal.command);
    tail_.Add(placed.index, has_bodies ? std::move(proposal.payload) : Bytes());
    if (hooks_.on_applied) hooks_.on_applied(proposal.command, *outcome);
    proposal.done(*std::move(outcome));
  }
  together.reset();
  MaybeProposeStateHash();
  if (static_cast<int64_t>(state_.applied().end_position - checkpoint_position_) >= options_.checkpoint_log_bytes) {
    MaybeCheckpoint();
  }
  if (hooks_.on_progress) hooks_.on_progress();
}

void ShardCore::OnLost(const absl::Status& why) { Halt(why); }

void ShardCore::LoseProposals(const absl::Status& why) {
  std::deque<Proposal> lost = std::exchange(proposals_, {});
  unflushed_ = 0;
  pending_bytes_ = 0;
  for (Proposal& proposal : lost) proposal.done(why);
}

void ShardCore::Halt(const absl::Status& why) {
  if (!halted_.ok()) return;
  LOG(ERROR) << "shard halted; restart the broker to recover it" << KV("dir", dir_) << KV("error", why);
  halted_ = why;
  leading_ = false;
  LoseProposals(absl::DeadlineExceededError(absl::StrCat(
      "the shard halted; the outcome is not known, send again with the same message id: ", why.message())));
  for (auto& waiter : std::exchange(checkpoint_waiters_, {})) waiter(why);
  if (hooks_.on_halt) hooks_.on_halt(why);
}

void ShardCore::MaybeProposeStateHash() {
  if (!leading_ || state_.remembered_index() <= hashed_index_) return;
  hashed_index_ = state_.remembered_index();
  log::StateHash hash;
  hash.set_log_index(state_.remembered_index());
  hash.set_hash(state_.remembered_hash());
  Propose(Command(std::move(hash)), Bytes(), [](absl::StatusOr<Outcome>) {});
}

void ShardCore::WithBlock(const BlockKey& key, absl::AnyInvocable<void(absl::StatusOr<const IndexBlock*>)> then) {
  if (const IndexBlock* const block = state_.index().Resident(key)) return then(block);
  auto& waiting = loading_[key];
  waiting.push_back(std::move(then));
  if (waiting.size() > 1) return;
  ReadBlock(key);
}

void ShardCore::ReadBlock(const BlockKey& key) {
  const uint64_t generation = state_.index().generation();
  context_.read_executor->Post([this, key, generation, store = store_, home = context_.shard_executor, self = self_] {
    absl::StatusOr<IndexBlock> block = absl::UnknownError("");
    const absl::StatusOr<std::string> bytes = store->Get(StoreKey(key));
    if (bytes.ok()) {
      block = DecodeIndexBlock(*bytes);
    } else {
      block = bytes.status();
    }
    home->Post([this, key, generation, self, block = std::move(block)]() mutable {
      if (*self == nullptr) return;
      if (generation != state_.index().generation() && state_.index().Resident(key) == nullptr) return ReadBlock(key);
      auto waiting = std::move(loading_[key]);
      loading_.erase(key);
      if (block.ok()) state_.index().Install(key, *std::move(block));
      for (auto& then : waiting) {
        const IndexBlock* const resident = state_.index().Resident(key);
        then(resident != nullptr ? absl::StatusOr<const IndexBlock*>(resident) : block.status());
      }
    });
  });
}

void ShardCore::ReadBodies(std::vector<IndexEntry> entries, absl::AnyInvocable<void(Bodies)> then) {
  Bodies bodies;
  bodies.reserve(entries.size());
  bool all = true;
  for (const IndexEntry& entry : entries) {
    std::optional<Buffer> cached = tail_.Find(entry.index, entry.offset, entry.bytes);
    all &= cached.has_value();
    bodies.push_back(cached ? absl::StatusOr<Buffer>(*std::move(cached)) : absl::NotFoundError("not in memory"));
  }
  if (all) return then(std::move(bodies));
  uint64_t lowest = UINT64_MAX;
  for (const IndexEntry& entry : entries) lowest = std::min(lowest, entry.position);
  BeginReading(lowest);
  context_.read_executor->Post([this, lowest, log = log_, entries = std::move(entries), bodies = std::move(bodies),
                                self = self_, home = context_.shard_executor, then = std::move(then)]() mutable {
    absl::StatusOr<storage::Record> record = absl::UnknownError("");
    uint64_t position = UINT64_MAX;  // Of that record: messages of one batch share it.
    for (size_t i = 0; i < entries.size(); ++i) {
      const IndexEntry& entry = entries[i];
      if (bodies[i].ok()) continue;
      if (entry.position != position) {
        // Most records hold one message; the hint is then all of the record but a few bytes of its command.
        record = log->Read(entry.position, storage::RecordSize(entry.offset + entry.bytes));
        position = entry.position;
      }
      if (!record.ok()) {
        bodies[i] = record.status();
      } else if (record->header.index != entry.index || record->payload.size() < size_t{entry.offset} + entry.bytes) {
        bodies[i] = absl::DataLossError(absl::StrCat("the index points to record ", entry.index, " at ", entry.position,
                                                     ", record ", record->header.index, " stands there"));
      } else {
        // A small part of a large record is copied, so that it does not hold all of it in memory.
        Buffer body = record->payload.Slice(entry.offset, entry.bytes);
        bodies[i] =
            entry.bytes < record->payload.size() / 2 ? Buffer(std::string(body.data(), body.size())) : std::move(body);
      }
    }
    home->Post([this, lowest, self, then = std::move(then), bodies = std::move(bodies)]() mutable {
      if (*self == nullptr) return;
      EndReading(lowest);
      then(std::move(bodies));
    });
  });
}

void ShardCore::EndReading(uint64_t position) {
  reading_.erase(reading_.find(position));
  if (position < trim_to_) TrimLog();
}

// A message that is carried and whose old place is trimmed may have been asked for before.
void ShardCore::TrimLog() {
  if (committer_ == nullptr) return;
  committer_->TrimBelow(reading_.empty() ? trim_to_ : std::min(trim_to_, *reading_.begin()));
}

void ShardCore::MaybeCheckpoint() {
  if (checkpointing_ || !state_.dirty() || !halted_.ok()) return;
  const bool by_size =
      static_cast<int64_t>(state_.applied().end_position - checkpoint_position_) >= options_.checkpoint_log_bytes;
  const bool by_time = context_.clock->SinceBoot() - checkpoint_time_ >= options_.checkpoint_interval;
  if (by_size || by_time) Checkpoint([](absl::Status) {});
}

void ShardCore::Checkpoint(absl::AnyInvocable<void(absl::Status)> done) {
  if (!halted_.ok()) return done(halted_);
  if (!state_.dirty() && !checkpointing_) return done(absl::OkStatus());
  checkpoint_waiters_.push_back(std::move(done));
  if (checkpointing_) return;
  checkpointing_ = true;
  checkpoint_time_ = context_.clock->SinceBoot();
  auto waiters = std::exchange(checkpoint_waiters_, {});
  auto checkpoint = std::make_shared<State::Checkpoint>(state_.TakeCheckpoint());
  context_.checkpoint_executor->Post([this, checkpoint, store = store_, waiters = std::move(waiters), self = self_,
                                      home = context_.shard_executor]() mutable {
    const absl::Status written = store->Write(TakeOperations(checkpoint.get()));
    home->Post([this, checkpoint, written, waiters = std::move(waiters), self]() mutable {
      if (*self != nullptr) {
        checkpointing_ = false;
        state_.Written(*checkpoint, written.ok());
        if (written.ok()) {
          checkpoint_position_ = checkpoint->applied.end_position;
          trim_to_ = checkpoint->kept_from;
          TrimLog();
        } else {
          Halt(Annotate(written, "writing a checkpoint"));
        }
      }
      for (auto& waiter : waiters) waiter(written);
      if (*self == nullptr) return;
      // Those that came meanwhile want what changed since: the first starts another, the rest wait for it.
      for (auto& waiter : std::exchange(checkpoint_waiters_, {})) Checkpoint(std::move(waiter));
    });
  });
}

}  // namespace barid::broker
