#include "tests/simulation/shard_simulation.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/stored_message.h"
#include "tests/broker/recount.h"

namespace barid::broker {
namespace {

constexpr ShardId kShard{1};
constexpr char kDir[] = "/shard";
constexpr absl::Duration kShortAge = absl::Seconds(15);
constexpr absl::Duration kLongestHold = absl::Seconds(20);  // That any client asks for.
constexpr absl::Duration kCap = absl::Seconds(50);
// By then whatever is invisible is visible again.
constexpr absl::Duration kPatience = absl::Seconds(60);
// For which a message group is stuck.
constexpr absl::Duration kStuck = absl::Minutes(20);

// Of what the checker knows: lite topics have a checker of their own.
std::vector<QueueStats> StatsOf(const Shard& shard) {
  std::vector<QueueStats> all = shard.Stats(StatsCall());
  std::erase_if(all, [](const QueueStats& stats) {
    return stats.queue.topic == LiteWorld::kTopic || stats.queue.topic == DeadLetterTopicId(LiteWorld::kGroup);
  });
  return all;
}

}  // namespace

ShardSimulation::ShardSimulation(uint64_t seed, Watch watch)
    : watch_(watch),
      world_(seed),
      random_(*world_.random()),
      disk_(seed ^ 0x9e3779b9),
      lite_(&random_, {[this](absl::AnyInvocable<void(Shard*)> task) { OnShard(std::move(task)); },
                       [this](absl::AnyInvocable<void(Shard*)> task) { NowOnShard(std::move(task)); },
                       [this](std::string what) {
                         Trace("lite: ", what);
                         checker_.Violate(std::move(what));
                       },
                       [this] { return next_receive_++; }}) {
  character_.steps = 100 + static_cast<int>(random_.Below(300));
  character_.storms = random_.OneIn(3);
  // A new term may begin ahead, by as much as the wall clock was set ahead: where it is set, nobody counts seconds.
  character_.steps_wall_clock = !character_.storms && random_.OneIn(4);
  character_.keeps_unsettled = character_.storms || (!character_.steps_wall_clock && random_.OneIn(3));
  character_.clients_stay = random_.OneIn(2);
  character_.far_timers = !character_.steps_wall_clock && random_.OneIn(3);
  character_.dead_letters = !character_.storms || random_.OneIn(4);
  character_.resets = !character_.storms && random_.OneIn(3);
  if (character_.resets) character_.dead_letters = false;
  character_.ordered = !character_.storms && random_.OneIn(4);
  character_.priorities = !character_.storms && !character_.ordered && random_.OneIn(6);
  character_.lite = !character_.storms && !character_.ordered && random_.OneIn(2);
  character_.lite_ordered = character_.lite && random_.OneIn(2);
  character_.crash_one_in = 30 + random_.Below(300);
  character_.fault_one_in = 30 + random_.Below(300);
  character_.delete_one_in = 50 + random_.Below(500);

  options_.log.segment_bytes = uint64_t{16384} << random_.Below(4);
  options_.log.zero_ahead_bytes = 32768;
  options_.log.zero_slice_bytes = 8192;
  options_.log.log_id = 7 + seed;
  options_.store.compacts_in_calls = true;
  // With fewer blocks than a receive looks at, it would read them in turn for ever.
  options_.max_clean_blocks = character_.priorities ? 4 * kPriorityLevels : 1 + random_.Below(2);
  options_.checkpoint_log_bytes = int64_t{2048} << random_.Below(7);
  options_.checkpoint_interval = absl::Milliseconds(100) + RandomDuration(absl::Seconds(4));
  options_.max_near_timers = 1 + static_cast<int64_t>(random_.Below(random_.OneIn(3) ? 100 : 6));
  options_.tail_cache_bytes = static_cast<int64_t>(random_.Below(3)) * 20'000;
  options_.max_in_flight = random_.OneIn(3) ? 5 + static_cast<int64_t>(random_.Below(20)) : 100'000;
  options_.priority_oldest_every = random_.OneIn(3) ? 0 : 1 + static_cast<int64_t>(random_.Below(6));
  options_.max_parked_bytes = random_.OneIn(3) ? 160 + static_cast<int64_t>(random_.Below(400)) : 64 << 20;
  options_.disk_reserve_bytes = 1 << 20;
  options_.lite_topic_expiry =
      random_.OneIn(2) ? absl::Seconds(1) + RandomDuration(absl::Seconds(20)) : absl::Hours(24);
  options_.lookup.memory_bytes = int64_t{1024} << random_.Below(8);
  options_.audit_interval = absl::Seconds(2);
  options_.audit_entries_per_second = 1'000'000;
  options_.retention_interval = absl::Milliseconds(300) + RandomDuration(absl::Seconds(3));
  options_.carry_live_percent = random_.OneIn(3) ? 0 : 90;
  options_.carry_bytes_per_second = int64_t{1024} << random_.Below(16);
  // A client that goes never shortens the first deadline: hold_after + grace is more.
  options_.auto_renew_first = absl::Seconds(4);
  options_.auto_renew_hold_after = absl::Seconds(1);
  options_.auto_renew_cap = character_.clients_stay ? kCap : absl::Hours(2);
  options_.client_silence = absl::Seconds(10);
  options_.client_grace = absl::Seconds(4);
  checker_.ExpectRenewal(
      {options_.auto_renew_hold_after, options_.auto_renew_cap, options_.client_silence, options_.client_grace});

  // Where the wall clock is set, a new term may begin a window later.
  const bool short_window = !character_.steps_wall_clock && random_.OneIn(3);
  options_.idempotence_window = short_window ? absl::Seconds(1 + random_.Below(30)) : absl::Hours(24);
  options_.idempotence_ids = random_.OneIn(3) ? 1'000'000 : 1 + static_cast<int64_t>(random_.Below(40));

  options_.transaction_first_check = absl::Seconds(1);
  options_.transaction_check_interval = absl::Milliseconds(500) + RandomDuration(absl::Seconds(3));
  options_.max_transaction_checks = 1 + static_cast<int64_t>(random_.Below(4));
  options_.max_transaction_age =
      random_.OneIn(3) ? absl::Seconds(5) + RandomDuration(absl::Seconds(20)) : absl::Hours(10);
  options_.remembered_transactions = random_.OneIn(4) ? static_cast<int64_t>(random_.Below(4)) : 100'000;
  options_.max_open_transactions = random_.OneIn(4) ? 5 + static_cast<int64_t>(random_.Below(40)) : 100'000;
  checker_.ExpectChecks({options_.transaction_check_interval, static_cast<int32_t>(options_.max_transaction_checks),
                         options_.max_transaction_age, options_.remembered_transactions > 1000});

  if (character_.steps_wall_clock) checker_.ExpectInexactTime();
  if (options_.priority_oldest_every == 0) checker_.ExpectNobodyIsOldest();

  AddStream(0);
  AddStream(1);
}

ShardSimulation::~ShardSimulation() {
  ++generation_;
  process_ = nullptr;
}

void ShardSimulation::TraceLine(const std::string& line) {
  digest_ = StableHash({digest_, static_cast<uint64_t>(absl::ToInt64Nanoseconds(Now())), StableHash(line)});
  if (watch_ == Watch::kPrint)
    std::fprintf(stderr, "%10.3f %s\n", absl::ToDoubleSeconds(Now() - absl::Hours(1)), line.c_str());
}

void ShardSimulation::DigestWorld() {
  const State* const state = process_->shard == nullptr ? nullptr : &process_->shard->state();
  digest_ = StableHash({digest_, state == nullptr ? 0 : state->applied_index(), state == nullptr ? 0 : state->hash(),
                        static_cast<uint64_t>(disk_.calls()), static_cast<uint64_t>(disk_.changes()),
                        static_cast<uint64_t>(absl::ToInt64Nanoseconds(Now())), random_.Next()});
}

// --- Who is there ---

void ShardSimulation::AddStream(int number) {
  Stream& stream = streams_.emplace_back();
  stream.topic.id = TopicId(next_id_++);
  stream.is_priority = character_.priorities && number == 0;
  stream.queues = stream.is_priority ? kPriorityLevels : 1 + static_cast<int32_t>(random_.Below(2));
  // Message groups wait for each other, and what waits holds the log that storms want to see trimmed.
  stream.idempotent = !random_.OneIn(6);
  if (character_.ordered) {
    stream.message_groups = 1 + static_cast<int>(random_.Below(3));
  } else if (!stream.is_priority && random_.OneIn(character_.storms ? 8 : 2)) {
    stream.message_groups = 1 + static_cast<int>(random_.Below(8));
  }
  if (character_.keeps_unsettled) {
    stream.topic.retention = {kShortAge, 0, true};
  } else if (number == 1 && !character_.steps_wall_clock) {
    stream.topic.retention = {kShortAge, 0, false};
  }
  stream.reader = GroupId(next_id_++);
  stream.topic.is_priority = stream.is_priority;
  checker_.AddTopic(stream.topic);
  for (int i = 0; i < 2 + static_cast<int>(random_.Below(2)); ++i) AddGroup(&stream, NewGroup(stream, i));
}

Checker::Group ShardSimulation::NewGroup(const Stream& stream, int number) {
  Checker::Group group;
  group.id = GroupId(next_id_++);
  group.topic = stream.topic.id;
  if (number == 1) group.tags = {"x"};
  if (number == 2) group.tags = {"y", "z"};
  group.max_attempts = character_.dead_letters ? 2 + static_cast<int32_t>(random_.Below(4)) : 1000;
  group.policy.max_attempts = group.max_attempts;
  group.policy.delays = {absl::Milliseconds(200), absl::Seconds(1)};
  group.auto_renew = random_.OneIn(2);
  group.ordered =
      character_.ordered || (stream.message_groups > 0 ? !random_.OneIn(4) : random_.OneIn(character_.storms ? 16 : 4));
  return group;
}

void ShardSimulation::AddGroup(Stream* stream, Checker::Group group) {
  Checker::Group undertaker;
  undertaker.id = GroupId(next_id_++);
  undertaker.topic = DeadLetterTopicId(group.id);
  undertaker.mourned = group.id;
  undertaker.max_attempts = 1'000'000;
  undertaker.policy = RetryPolicy();
  undertaker.policy.max_attempts = undertaker.max_attempts;
  for (Checker::Group* one : {&group, &undertaker}) {
    checker_.AddGroup(*one);
    stream->groups.push_back(*one);
  }
}

void ShardSimulation::PublishMetadata() {
  Metadata::Tables tables;
  tables.revision = ++revision_;
  tables.cluster = "simulated";
  for (const GroupId id : unsubscribed_) {
    GroupMetadata& group = tables.groups.emplace_back();
    group.id = id;
    group.name = {"", absl::StrCat("group-", id.value())};
  }
  for (const Stream& stream : streams_) {
    if (stream.topic.id != hidden_) {
      TopicMetadata& topic = tables.topics.emplace_back();
      topic.id = stream.topic.id;
      topic.name = {"", absl::StrCat("topic-", stream.topic.id.value())};
      // A shard leaves it to the proxy what is sent; so the discarded are kept. What nobody reads takes dead letters.
      topic.type = stream.groups.empty() ? MessageType::kNormal : MessageType::kTransaction;
      if (stream.is_priority) topic.type = MessageType::kPriority;
      topic.queues_per_shard = stream.queues;
      topic.retention = stream.topic.retention;
    }
    GroupMetadata& reader = tables.groups.emplace_back();
    reader.id = stream.reader;
    reader.name = {"", absl::StrCat("group-", reader.id.value())};
    for (const Checker::Group& one : stream.groups) {
      GroupMetadata& group = tables.groups.emplace_back();
      group.id = one.id;
      group.name = {"", absl::StrCat("group-", one.id.value())};
      group.retry = one.policy;
      group.order = one.ordered ? DeliveryOrder::kFifo : DeliveryOrder::kNone;
      group.paused = paused_ == one.id;
      SubscriptionMetadata& subscription = tables.subscriptions.emplace_back();
      subscription.group = one.id;
      subscription.topic = one.topic;
      if (one.start) subscription.start = {StartFrom::Kind::kTime, *one.start};
    }
  }
  if (character_.lite) lite_.AddTo(&tables, character_.lite_ordered);
  NowOnShard(
      [metadata = std::make_shared<const Metadata>(std::move(tables))](Shard* shard) { shard->SetMetadata(metadata); });
}

// --- The process ---

bool ShardSimulation::IsDown() const { return process_->halted || !disk_.powered(); }

void ShardSimulation::OnShard(absl::AnyInvocable<void(Shard*)> task) {
  process_->shard_executor->Post([shard = process_->shard.get(), task = std::move(task)]() mutable { task(shard); });
}

void ShardSimulation::NowOnShard(absl::AnyInvocable<void(Shard*)> task) {
  world_.RunOn(process_->shard_executor.get(),
               [shard = process_->shard.get(), task = std::move(task)]() mutable { task(shard); });
}

void ShardSimulation::Start() {
  do {
    if (!disk_.powered()) disk_.Restart();
    // Now and then the power goes again during recovery.
    disk_.CutPowerAtCall(random_.OneIn(6) && !draining_ ? 1 + static_cast<int64_t>(random_.Below(60)) : 0);
  } while (!Restart());
}

bool ShardSimulation::Restart() {
  const uint64_t generation = ++generation_;
  process_ = std::make_unique<Process>();
  process_->shard_executor = world_.NewExecutor("shard");
  process_->disk_executor = world_.NewExecutor("disk");
  process_->read_executor = world_.NewExecutor("read");
  process_->checkpoint_executor = world_.NewExecutor("checkpoint");
  ShardContext context;
  context.env = &disk_;
  context.clock = world_.clock();
  context.shard_executor = process_->shard_executor.get();
  context.disk_executor = process_->disk_executor.get();
  context.read_executor = process_->read_executor.get();
  context.checkpoint_executor = process_->checkpoint_executor.get();
  absl::StatusOr<std::unique_ptr<Shard>> shard = Shard::Open(kShard, kDir, options_, context);
  if (!shard.ok()) {
    if (disk_.powered() && std::exchange(sync_fails_, false)) {
      Trace("a sync failed while recovering: ", shard.status().ToString());
      disk_.CutPower();
      return false;
    }
    if (disk_.powered()) {
      checker_.Violate(absl::StrCat("cannot recover: ", shard.status().ToString()));
      disk_.CutPowerAtCall(0);
      return true;
    }
    Trace("power cut while recovering");
    return false;
  }
  process_->shard = *std::move(shard);
  process_->faulty = sync_fails_;
  Trace("recovered up to record ", process_->shard->state().applied_index(), ", log start ",
        process_->shard->state().log_start());
  counts_.checkpoint_starts += process_->shard->state().applied_index() > 1 ? 1 : 0;
  process_->shard->SetOnHalt([this, generation](const absl::Status& why) {
    if (generation != generation_) return;
    Trace("halted: ", why.ToString());
    process_->halted = true;
    if (disk_.powered()) sync_fails_ = false;
    if (!process_->faulty && disk_.powered()) checker_.Violate(absl::StrCat("halted without cause: ", why.ToString()));
  });
  PublishMetadata();
  absl::Status led = absl::UnknownError("no answer");
  NowOnShard([&, this](Shard* shard) {
    shard->Lead(++epoch_, "broker", [&, generation, this](absl::Status status) {
      if (generation == generation_) led = std::move(status);
    });
  });
  world_.RunUntil([&] { return !absl::IsUnknown(led) || IsDown(); }, absl::Seconds(10));
  if (!led.ok() && disk_.powered() && !process_->halted)
    checker_.Violate(absl::StrCat("cannot lead: ", led.ToString()));
  if (IsDown()) {
    Crash();
    return false;
  }
  disk_.CutPowerAtCall(0);
  checker_.OnLead(Now());
  return true;
}

void ShardSimulation::Crash() {
  ++generation_;
  ++counts_.crashes;
  DigestWorld();
  counts_.records += static_cast<int64_t>(process_->shard->state().applied_index());
  if (process_->shard->state().log_start() > 1) ++counts_.trims;
  counts_.carried += process_->shard->carried();
  if (disk_.powered()) {
    if (random_.OneIn(4)) {
      Trace("killed");
      disk_.KillProcess();
    } else {
      Trace("power cut");
      disk_.CutPower();
    }
  }
  Checker::Held held;
  for (const auto& [key, cursor] : process_->shard->state().cursors()) {
    for (const auto& [offset, delivery] : cursor.in_flight) {
      if (delivery.held) held.insert({key, offset, delivery.nonce});
    }
  }
  checker_.OnCrash(held);
  lite_.OnCrash();
  for (SentCall& sent : sent_calls_) {
    if (std::exchange(sent.under_way, 0) > 0) sent.known_by = Now();
  }
  for (Executor* executor : {process_->shard_executor.get(), process_->disk_executor.get(),
                             process_->read_executor.get(), process_->checkpoint_executor.get()}) {
    world_.Stop(executor);
  }
  process_ = nullptr;
  waiting_.clear();
  if (character_.steps_wall_clock) checker_.ForgetDeadlines();
}

// --- Clients ---

// Mostly high ones, so that the low ones would wait.
int32_t ShardSimulation::RandomPriority() {
  const uint64_t drawn = random_.OneIn(2) ? kPriorityLevels - 1 - random_.Below(2) : random_.Below(kPriorityLevels);
  return static_cast<int32_t>(drawn);
}

void ShardSimulation::SendTo(const Stream& stream) {
  static const char* const kTags[] = {"x", "y", "z", ""};
  AppendCall call;
  call.shard = kShard;
  call.topic = stream.topic.id;
  if (stream.message_groups > 0) {
    const auto drawn = static_cast<int>(random_.Below(static_cast<uint64_t>(stream.message_groups)));
    call.queue = QueueOf(stream, absl::StrCat("g", drawn));
  } else if (stream.is_priority) {
    call.queue = RandomPriority();
  } else if (random_.OneIn(2)) {
    call.queue = static_cast<int32_t>(random_.Below(static_cast<uint64_t>(stream.queues)));
  }
  const uint64_t count = random_.OneIn(12) ? 1 + random_.Below(120) : 1 + random_.Below(4);
  const uint64_t body_bytes = random_.OneIn(20) ? 3000 : 40;
  const bool scheduled = stream.message_groups == 0 && random_.OneIn(3);
  // A topic has one type: one with priorities has no transactions. With types relaxed it may have scheduled messages.
  call.prepare = stream.message_groups == 0 && !stream.is_priority && !scheduled && (outlasts_ || random_.OneIn(3));
  std::vector<Checker::Number> numbers;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string tag = kTags[random_.Below(4)];
    // The checker numbers it; the id carries the number.
    const std::string id = absl::StrCat("m", checker_.next_number());
    const std::string body = random_.Bytes(random_.Below(body_bytes));
    MessageDraft draft;
    draft.message_id = id;
    if (!tag.empty()) draft.tag = tag;
    const std::string message_group = stream.message_groups > 0 ? RandomMessageGroup(stream, call.queue) : "";
    if (!message_group.empty()) draft.message_group = message_group;
    draft.body = body;
    draft.born_time = world_.clock()->Now();
    draft.born_host = "simulated";
    const Buffer stored = EncodeStoredMessage(draft);
    const std::optional<Checker::Due> due = scheduled ? RandomDue() : std::nullopt;
    numbers.push_back(checker_.OnSend(stream.topic.id, tag, message_group, std::string(stored.view()), due, Now()));
    call.messages.push_back({stored, TagHash(tag)});
    if (call.prepare) {
      if (random_.OneIn(2)) call.messages.back().check_after = RandomDuration(absl::Seconds(6));
      // Some are open for long enough that the log behind them could go.
      if (character_.storms && random_.OneIn(2)) call.messages.back().check_after = absl::Seconds(30);
      if (outlasts_) call.messages.back().check_after = longest_check_;
      checker_.OnPrepare(numbers.back(), call.messages.back().check_after.value_or(options_.transaction_first_check));
    }
    if (!message_group.empty()) call.messages.back().message_group = MessageGroupHash(message_group);
    if (due) {
      call.messages.back().deliver_at = due->at;
      last_due_ = std::max(last_due_, due->at);
      ++counts_.scheduled;
    }
    if (stream.idempotent) {
      call.messages.back().id_hash = MessageGroupHash(id);
      // A producer in a container has the ids of another one.
      if (i == 0 && random_.OneIn(4) && !sent_calls_.empty() && sent_calls_.back().call.topic == call.topic &&
          sent_calls_.back().numbers.size() > 1) {
        call.messages.back().id_hash = sent_calls_.back().call.messages.back().id_hash;
        ++counts_.reused_ids;
      }
      call.messages.back().content_hash = StableHash(stored.view());
    }
  }
  Trace("send m", numbers.front(), "-", numbers.back(), " to topic ", call.topic.value());
  if (!stream.idempotent) return Post(std::move(call), numbers, std::nullopt);
  Remember(call, numbers);
  Post(std::move(call), numbers, sent_calls_.back().number);
}

void ShardSimulation::Remember(const AppendCall& call, const std::vector<Checker::Number>& numbers) {
  SentCall& sent = sent_calls_.emplace_back();
  sent.number = next_sent_call_++;
  sent.call = call;
  sent.numbers = numbers;
  for (size_t i = 0; i < numbers.size(); ++i) sent.issues.push_back(issued_++);
  sent.at = sent.known_by = Now();
  if (sent_calls_.size() > 30) sent_calls_.pop_front();
}

void ShardSimulation::SendAgain() {
  if (sent_calls_.empty()) return;
  const auto window = static_cast<uint64_t>(options_.idempotence_ids);
  size_t place =
      sent_calls_.size() - 1 - random_.Below(std::min<size_t>(sent_calls_.size(), random_.OneIn(3) ? 30 : 4));
  size_t first = random_.Below(sent_calls_[place].numbers.size());
  size_t most = 5;
  if (random_.OneIn(2)) {
    // The oldest that is remembered.
    for (size_t i = 0; i < sent_calls_.size(); ++i) {
      const std::vector<uint64_t>& issues = sent_calls_[i].issues;
      const auto found = std::find(issues.begin(), issues.end(), issued_ - window);
      if (found == issues.end()) continue;
      place = i;
      first = static_cast<size_t>(found - issues.begin());
      most = 1;
    }
  }
  const SentCall& sent = sent_calls_[place];
  // The record's time is now: it is proposed at once. The leader's clock is steered by up to 1 %.
  if ((Now() - sent.at) * 1.02 + absl::Milliseconds(50) >= options_.idempotence_window) return;
  AppendCall call = sent.call;
  call.messages.clear();
  std::vector<Checker::Number> numbers;
  for (size_t i = first; i < sent.numbers.size() && numbers.size() < most; ++i) {
    // Each that was sent since, and each of this call before it, may have taken a place.
    if (checker_.IsVoid(sent.numbers[i]) || issued_ - sent.issues[i] > window) continue;
    if (issued_ - sent.issues[i] == window) ++counts_.last_in_window;
    ++issued_;
    checker_.OnRepeat(sent.numbers[i]);
    call.messages.push_back(sent.call.messages[i]);
    numbers.push_back(sent.numbers[i]);
  }
  if (numbers.empty()) return;
  counts_.sent_again += static_cast<int64_t>(numbers.size());
  Trace("send again m", numbers.front(), "-", numbers.back());
  Post(std::move(call), numbers, sent.number);
  world_.RunUntilIdle();
}

void ShardSimulation::SendAfterWindow() {
  std::vector<SentCall*> forgotten;
  for (SentCall& sent : sent_calls_) {
    const bool is_plain =
        !sent.is_replaced && !sent.call.prepare &&
        std::none_of(sent.call.messages.begin(), sent.call.messages.end(),
                     [](const AppendCall::Message& message) { return message.deliver_at.has_value(); });
    // A repeat does not prolong it, unless it was the first that came. The leader's clock is steered by up to 1 %.
    const absl::Duration since = (Now() - sent.known_by) * 0.98 - absl::Milliseconds(50);
    if (is_plain && sent.under_way == 0 && since > options_.idempotence_window && !checker_.IsVoid(sent.numbers[0]))
      forgotten.push_back(&sent);
  }
  if (forgotten.empty()) return;
  SentCall& old = *forgotten[random_.Below(forgotten.size())];
  old.is_replaced = true;
  const AppendCall::Message& twin = old.call.messages[random_.Below(old.call.messages.size())];
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(twin.stored.view());
  CHECK_OK(view.status());
  const std::string id = absl::StrCat("m", checker_.next_number());
  MessageDraft draft;
  draft.message_id = id;
  draft.tag = view->tag;
  draft.message_group = view->message_group;
  draft.body = "late";
  draft.born_time = world_.clock()->Now();
  draft.born_host = "simulated";
  const Buffer stored = EncodeStoredMessage(draft);
  AppendCall call = old.call;
  call.messages = {twin};
  call.messages[0].stored = stored;
  const std::vector<Checker::Number> numbers = {checker_.OnSend(call.topic, std::string(view->tag.value_or("")),
                                                                std::string(view->message_group.value_or("")),
                                                                std::string(stored.view()), std::nullopt, Now())};
  ++counts_.sent_after_window;
  Trace("send m", numbers[0], " with a forgotten id");
  Remember(call, numbers);
  Post(std::move(call), numbers, sent_calls_.back().number);
  if (random_.OneIn(2)) SendAgain();
}

void ShardSimulation::Post(AppendCall call, const std::vector<Checker::Number>& numbers, std::optional<uint64_t> sent) {
  const auto find = [this, sent]() -> SentCall* {
    if (!sent || *sent < sent_calls_.front().number) return nullptr;
    return &sent_calls_[*sent - sent_calls_.front().number];
  };
  if (SentCall* const under_way = find()) ++under_way->under_way;
  OnShard([this, call = std::move(call), numbers, find, generation = generation_](Shard* shard) mutable {
    const TopicId topic = call.topic;
    shard->Append(std::move(call), [this, numbers, topic, find, generation](AppendResult result) {
      if (generation != generation_) return;
      if (SentCall* const known = find()) {
        --known->under_way;
        known->known_by = Now();
      }
      Trace("sent m", numbers.front(), "-", numbers.back(), ": ", result.status.ToString(), " offset ",
            result.entries.empty() ? -1 : result.entries[0].offset, " queue ",
            result.entries.empty() ? -1 : result.entries[0].queue);
      checker_.OnSendAnswer(numbers, topic, result);
      for (size_t i = 0; i < result.entries.size(); ++i) {
        if (result.entries[i].timer) scheduled_.emplace_back(numbers[i], *result.entries[i].timer);
        if (result.entries[i].transaction) transactions_.push_back({numbers[i], *result.entries[i].transaction});
      }
    });
  });
}

int32_t ShardSimulation::QueueOf(const Stream& stream, const std::string& message_group) {
  return static_cast<int32_t>(MessageGroupHash(message_group) % static_cast<uint64_t>(stream.queues));
}

std::string ShardSimulation::RandomMessageGroup(const Stream& stream, int32_t queue) {
  for (;;) {
    std::string drawn = absl::StrCat("g", random_.Below(static_cast<uint64_t>(stream.message_groups)));
    if (QueueOf(stream, drawn) == queue) return drawn;
  }
}

// Sometimes none; mostly soon.
std::optional<Checker::Due> ShardSimulation::RandomDue() {
  if (random_.OneIn(4)) return std::nullopt;
  absl::Duration delay = RandomDuration(random_.OneIn(2) ? absl::Seconds(3) : absl::Seconds(40));
  if (random_.OneIn(5)) delay = RandomDuration(absl::Milliseconds(100));
  if (random_.OneIn(8)) delay = -delay;
  if (character_.far_timers && random_.OneIn(6)) delay += absl::Hours(1);
  return Checker::Due{world_.clock()->Now() + delay, delay};
}

void ShardSimulation::RecallSomething() {
  if (scheduled_.empty()) return;
  const size_t newest = std::min<size_t>(scheduled_.size(), 20);
  const size_t place = scheduled_.size() - 1 - random_.Below(random_.OneIn(4) ? scheduled_.size() : newest);
  const Checker::Number number = scheduled_[place].first;
  const TimerKey timer = scheduled_[place].second;
  if (!random_.OneIn(4)) scheduled_.erase(scheduled_.begin() + static_cast<ptrdiff_t>(place));
  const uint64_t checked = checker_.OnRecall(number);
  Trace("recall m", number);
  OnShard([this, number, timer, checked, generation = generation_](Shard* shard) {
    shard->Recall({kShard, timer}, [this, number, checked, generation](RecallResult result) {
      if (generation != generation_) return;
      Trace("recalled m", number, ": ", result.status.ToString());
      counts_.recalled += result.status.ok() ? 1 : 0;
      checker_.OnRecallAnswer(checked, result.status, Now());
    });
  });
}

void ShardSimulation::End(Checker::Number number, const TransactionKey& transaction, bool commit) {
  const uint64_t checked = checker_.OnEnd(number, commit, Now());
  Trace(commit ? "commit m" : "roll back m", number);
  OnShard([=, this, generation = generation_](Shard* shard) {
    shard->EndTransaction({kShard, transaction, commit}, [=, this](EndTransactionResult result) {
      if (generation != generation_) return;
      Trace(commit ? "committed m" : "rolled back m", number, ": ", result.status.ToString());
      if (result.status.ok()) ++(commit ? counts_.committed : counts_.rolled_back);
      checker_.OnEndAnswer(checked, result.status);
    });
  });
}

// Mostly a late one; those that have ended come again now and then, and are ended otherwise.
void ShardSimulation::EndSomething() {
  if (transactions_.empty()) return;
  const size_t newest = std::min<size_t>(transactions_.size(), 30);
  const size_t place = transactions_.size() - 1 - random_.Below(random_.OneIn(4) ? transactions_.size() : newest);
  const Transaction transaction = transactions_[place];
  if (!random_.OneIn(3)) transactions_.erase(transactions_.begin() + static_cast<ptrdiff_t>(place));
  const bool commit = !random_.OneIn(3);
  End(transaction.number, transaction.key, commit);
  if (random_.OneIn(6)) End(transaction.number, transaction.key, random_.OneIn(2) == commit);
}

void ShardSimulation::TakeChecks() {
  ChecksCall call;
  call.shard = kShard;
  call.proxy = absl::StrCat("proxy-", random_.Below(2));
  for (const Stream& stream : streams_) {
    if (!producers_answer_ || !random_.OneIn(4)) call.topics.push_back(stream.topic.id);
  }
  call.max_checks = producers_answer_ ? 1 + static_cast<int32_t>(random_.Below(20)) : 1000;
  if (random_.OneIn(4)) call.max_bytes = 200;
  OnShard([this, call = std::move(call), generation = generation_, asked_at = Now()](Shard* shard) mutable {
    shard->TakeChecks(std::move(call), [this, generation, asked_at](ChecksResult result) {
      if (generation != generation_) return;
      for (const TransactionCheck& check : result.checks) {
        ++counts_.checked;
        checker_.OnCheck(check, asked_at, Now());
        const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(check.stored.view());
        Checker::Number number = -1;
        if (!view.ok() || !absl::SimpleAtoi(view->message_id.substr(1), &number)) continue;
        Trace("check ", check.check, " of m", number);
        if (producers_answer_ && random_.OneIn(5)) End(number, check.transaction, random_.OneIn(2));
      }
    });
  });
}

void ShardSimulation::LookAtDiscarded() {
  for (const Stream& stream : streams_) {
    std::vector<TransactionInfo> discarded;
    bool answered = false;
    OnShard([&, generation = generation_](Shard* shard) {
      shard->ListTransactions({kShard, stream.topic.id, /*discarded=*/true, 1'000'000},
                              [&, generation](TransactionsResult result) {
                                if (generation != generation_ || !result.status.ok()) return;
                                discarded = std::move(result.transactions);
                                answered = true;
                              });
    });
    world_.RunUntil([&] { return answered || IsDown(); }, absl::Seconds(10));
    if (IsDown()) {
      Crash();
      return Start();
    }
    std::set<std::string> listed;
    for (const TransactionInfo& one : discarded) {
      if (!listed.insert(one.message_id).second) checker_.Violate(absl::StrCat(one.message_id, " was discarded twice"));
      if (!discarded_seen_.insert(one.message_id).second) continue;
      ++counts_.discarded;
      checker_.OnDiscarded(stream.topic.id, one.message_id, Now());
    }
  }
}

void ShardSimulation::WaitForDiscards() {
  producers_answer_ = false;
  const absl::Duration end =
      Now() + absl::Seconds(10) + longest_check_ +
      (options_.max_transaction_checks + 1) * (options_.transaction_check_interval + absl::Seconds(8));
  while (Now() < end && checker_.violation().empty() && !IsDown()) {
    if (character_.clients_stay) ReportClients();
    TakeChecks();
    world_.RunFor(absl::Milliseconds(500));
  }
  if (IsDown() || !checker_.violation().empty()) return;
  LookAtDiscarded();
  if (!process_->shard->state().transactions().open().empty()) {
    checker_.Violate(absl::StrCat(process_->shard->state().transactions().open().size(),
                                  " transactions that nobody ends are never discarded"));
  }
  checker_.CheckNoTransactionIsLost();
}

void ShardSimulation::Receive(const Stream& stream, const Checker::Group& group, absl::Duration wait) {
  ReceiveCall call;
  call.shard = kShard;
  call.group = group.id;
  call.topic = group.topic;
  call.tags = group.tags;
  if (random_.OneIn(3)) {
    // The same in other words.
    call.tags.clear();
    call.sql = group.tags.empty() ? "TAGS IS NULL OR TAGS <> ''"
                                  : absl::StrCat("TAGS IN ('", absl::StrJoin(group.tags, "', '"), "')");
  }
  call.max_messages = random_.OneIn(3) || draining_ ? 32 : 1 + static_cast<int32_t>(random_.Below(6));
  if (random_.OneIn(8) && !draining_) call.max_bytes = 200;
  call.invisible = draining_ ? absl::Seconds(10) : absl::Milliseconds(100) + RandomDuration(kLongestHold);
  call.auto_renew = group.auto_renew && !draining_;
  call.client_id = RandomClient();
  call.attempt_id = random_.OneIn(2) ? absl::StrCat("attempt-", next_receive_) : "";
  if (random_.OneIn(4) && !attempts_.empty()) {
    const Attempt& again = attempts_[attempts_.size() - 1 - random_.Below(std::min<size_t>(attempts_.size(), 10))];
    if (again.group == group.id) {
      call.client_id = again.client;
      call.attempt_id = again.id;
    }
  }
  if (!call.attempt_id.empty()) attempts_.push_back({group.id, call.client_id, call.attempt_id});
  call.wait = wait;
  const uint64_t checked = checker_.OnReceive(call, Now());
  const uint64_t id = next_receive_++;
  if (wait > absl::ZeroDuration()) waiting_.push_back(id);
  // The shard has heard of the pause before it hears of this.
  const uint64_t pause = paused_ == group.id ? pauses_ : 0;
  OnShard([this, call = std::move(call), id, checked, pause, generation = generation_](Shard* shard) mutable {
    const GroupId group = call.group;
    shard->Receive(id, std::move(call), [this, group, checked, pause, generation](ReceiveResult result) {
      if (generation != generation_) return;
      if (pause != 0 && pause == pauses_ && paused_) {
        if (!result.deliveries.empty())
          checker_.Violate(absl::StrCat("group ", group.value(), " is given messages while it is paused"));
        if (result.status.ok()) ++counts_.paused;
      }
      const std::vector<Checker::Receipt> got = checker_.OnReceiveAnswer(checked, result, Now(), disk_.powered());
      for (const Checker::Receipt& receipt : got) {
        Trace("group ", group.value(), " got m", receipt.number, " attempt ", receipt.attempt, " queue ",
              receipt.queue.queue, " offset ", receipt.offset, " nonce ", receipt.nonce);
        if (draining_) {
          ++came_;
          if (may_get_stuck_ && !stuck_ && checker_.IsOrdered(group) && !IsDeadLetterTopic(receipt.topic) &&
              !checker_.MessageGroupOf(receipt.number).empty()) {
            stuck_ = {group, checker_.MessageGroupOf(receipt.number)};
            Trace("message group ", stuck_->message_group, " of group ", group.value(), " is stuck");
          }
          const bool is_stuck = stuck_ && stuck_->group == group && !IsDeadLetterTopic(receipt.topic) &&
                                stuck_->message_group == checker_.MessageGroupOf(receipt.number);
          if (is_stuck) {
            kept_.push_back(receipt);
            Settle(receipt, SettleKind::kExtend, kStuck);
            continue;
          }
          Settle(receipt, SettleKind::kAck, absl::ZeroDuration());
          continue;
        }
        if (receipt.auto_renew && !random_.OneIn(4)) ReportSent(receipt);
        receipts_.push_back(receipt);
      }
      if (!result.status.ok()) Trace("receive of group ", group.value(), ": ", result.status.ToString());
    });
  });
}

void ShardSimulation::ReceiveSomewhere() {
  const Stream& stream = streams_[random_.Below(streams_.size())];
  const Checker::Group& group = stream.groups[random_.Below(stream.groups.size())];
  Receive(stream, group, random_.OneIn(3) ? RandomDuration(absl::Seconds(5)) : absl::ZeroDuration());
}

void ShardSimulation::Settle(const Checker::Receipt& receipt, SettleKind kind, absl::Duration delay) {
  const uint64_t checked = checker_.OnSettle(receipt, kind, delay, Now());
  SettleCall call;
  call.shard = kShard;
  call.entries.push_back({receipt.group, receipt.queue, receipt.offset, receipt.nonce, kind, delay, "no good"});
  Trace("settle m", receipt.number, " of group ", receipt.group.value(), " nonce ", receipt.nonce, " kind ",
        static_cast<int>(kind), " delay ", absl::FormatDuration(delay));
  OnShard(
      [this, call = std::move(call), number = receipt.number, checked, generation = generation_](Shard* shard) mutable {
        shard->Settle(std::move(call), [this, number, checked, generation](SettleResult result) {
          if (generation != generation_) return;
          const absl::Status status = result.status.ok() ? result.entries.at(0) : result.status;
          Trace("settled m", number, ": ", status.ToString());
          checker_.OnSettleAnswer(checked, status, Now());
        });
      });
}

QueueKey ShardSimulation::AnyQueue(const Stream& stream) {
  return {stream.topic.id, static_cast<int32_t>(random_.Below(static_cast<uint64_t>(stream.queues)))};
}

QueueOffset ShardSimulation::EndOf(const QueueKey& queue) const {
  const Queue* const found = process_->shard->state().FindQueue(queue);
  return found == nullptr ? 0 : found->end;
}

void ShardSimulation::StoreOrGetOffset() {
  // What is stored holds what has not been read by it, for ever.
  if (character_.storms) return;
  const Stream& stream = streams_[random_.Below(streams_.size())];
  const Checker::Place place{stream.reader, AnyQueue(stream)};
  if (random_.OneIn(2)) {
    return OnShard([this, place, generation = generation_](Shard* shard) {
      shard->GetOffset({kShard, place.first, place.second, 0}, [this, place, generation](OffsetResult result) {
        if (generation != generation_) return;
        Trace("group ", place.first.value(), " finds ", result.offset.value_or(-1),
              " stored: ", result.status.ToString());
        checker_.OnGetOffsetAnswer(place, result);
      });
    });
  }
  const auto offset = static_cast<QueueOffset>(random_.Below(static_cast<uint64_t>(EndOf(place.second)) + 2));
  const uint64_t checked = checker_.OnUpdateOffset(place, offset);
  Trace("group ", place.first.value(), " stores ", offset);
  OnShard([this, place, offset, checked, generation = generation_](Shard* shard) {
    shard->UpdateOffset({kShard, place.first, place.second, 0, offset},
                        [this, checked, generation](OffsetResult result) {
                          if (generation != generation_) return;
                          Trace("stored: ", result.status.ToString());
                          counts_.stored_offsets += result.status.ok() ? 1 : 0;
                          checker_.OnUpdateOffsetAnswer(checked, result.status);
                        });
  });
}

void ShardSimulation::ResetSomething() {
  if (!character_.resets) return;
  const Stream& stream = streams_[random_.Below(streams_.size())];
  const Checker::Group& group = stream.groups[random_.Below(stream.groups.size() / 2) * 2];
  const Checker::Place place{group.id, AnyQueue(stream)};
  ResetOffsetCall call;
  call.shard = kShard;
  call.group = group.id;
  call.topic = stream.topic.id;
  call.queues = {place.second.queue};
  const QueueOffset end = EndOf(place.second);
  // Mostly a little back.
  const auto back = static_cast<QueueOffset>(
      random_.Below(static_cast<uint64_t>(random_.OneIn(3) ? end : std::min<QueueOffset>(end, 30)) + 1));
  call.offset = end - back;
  call.dry_run = random_.OneIn(8);
  if (call.dry_run) {
    return OnShard([call](Shard* shard) { shard->ResetOffset(call, [](ResetOffsetResult) {}); });
  }
  const uint64_t checked = checker_.OnReset(place, call.offset);
  Trace("reset group ", group.id.value(), " topic ", call.topic.value(), " queue ", place.second.queue, " to ",
        call.offset);
  OnShard([this, call, checked, generation = generation_](Shard* shard) {
    shard->ResetOffset(call, [this, shard, checked, generation](ResetOffsetResult result) {
      if (generation != generation_) return;
      Trace("reset: ", result.status.ToString(), " to ", result.entries.empty() ? -1 : result.entries[0].to);
      // It is answered as soon as its record is applied.
      checker_.OnResetAnswer(checked, result, shard->state().applied_index(), Now());
    });
  });
}

void ShardSimulation::PullSomething() {
  const Stream& stream = streams_[random_.Below(streams_.size())];
  PullCall call;
  call.shard = kShard;
  call.queue = AnyQueue(stream);
  call.offset = static_cast<QueueOffset>(random_.Below(static_cast<uint64_t>(EndOf(call.queue)) + 1));
  call.max_messages = 1 + static_cast<int32_t>(random_.Below(40));
  if (random_.OneIn(3)) call.tags = {"y", "z"};
  if (random_.OneIn(4)) call.sql = "TAGS = 'x' OR TAGS = 'y'";
  if (random_.OneIn(4)) call.wait = RandomDuration(absl::Seconds(5));
  const uint64_t id = next_receive_++;
  OnShard([this, call, id, generation = generation_](Shard* shard) {
    shard->Pull(id, call, [this, call, generation](PullResult result) {
      if (generation != generation_) return;
      counts_.pulled += static_cast<int64_t>(result.deliveries.size());
      if (call.sql.empty()) checker_.OnPullAnswer(call, result);
    });
  });
}

void ShardSimulation::SettleSomething() {
  if (receipts_.empty()) return;
  // Mostly a late one; receipts that were used come again now and then.
  const size_t place = random_.OneIn(3) ? random_.Below(receipts_.size())
                                        : receipts_.size() - 1 - random_.Below(std::min<size_t>(receipts_.size(), 10));
  const Checker::Receipt receipt = receipts_[place];
  if (!random_.OneIn(4)) receipts_.erase(receipts_.begin() + static_cast<ptrdiff_t>(place));
  if (receipts_.size() > 300) receipts_.erase(receipts_.begin(), receipts_.begin() + 100);
  const bool is_dead_letter = IsDeadLetterTopic(receipt.topic);
  const uint64_t dice = random_.Below(20);
  if (dice < 11) {
    Settle(receipt, SettleKind::kAck, absl::ZeroDuration());
  } else if (dice < 14 && !is_dead_letter) {
    Settle(receipt, SettleKind::kReturn, random_.OneIn(2) ? absl::ZeroDuration() : RandomDuration(kLongestHold));
  } else if (dice < 17) {
    Settle(receipt, SettleKind::kExtend, random_.OneIn(3) ? absl::ZeroDuration() : RandomDuration(kLongestHold));
  } else if (dice < 18) {
    Settle(receipt, SettleKind::kUndelivered, absl::ZeroDuration());
  } else if (dice < 19) {
    Settle(receipt, SettleKind::kSuspend, random_.OneIn(3) ? absl::ZeroDuration() : RandomDuration(kLongestHold));
  } else if (!is_dead_letter && character_.dead_letters) {
    Settle(receipt, SettleKind::kDeadLetter, absl::ZeroDuration());
  }
}

// The deadline passes, and at the same moment a member asks for more time and another for messages.
void ShardSimulation::ExtendWhileReceiving() {
  if (receipts_.empty()) return;
  const Checker::Receipt receipt =
      receipts_[receipts_.size() - 1 - random_.Below(std::min<size_t>(receipts_.size(), 20))];
  if (random_.OneIn(2)) world_.clock()->Advance(RandomDuration(kLongestHold));
  const auto receive = [&] {
    for (const Stream& stream : streams_) {
      for (const Checker::Group& group : stream.groups) {
        if (group.id == receipt.group) Receive(stream, group, absl::ZeroDuration());
      }
    }
  };
  if (random_.OneIn(2)) {
    Settle(receipt, SettleKind::kExtend, absl::ZeroDuration());
    world_.RunUntilIdle();
    if (IsDown()) return;
  }
  if (random_.OneIn(4)) receive();
  Settle(receipt, SettleKind::kExtend, kLongestHold);
  receive();
}

void ShardSimulation::ReportSent(const Checker::Receipt& receipt) {
  SentReport report;
  report.shard = kShard;
  report.entries.push_back({receipt.group, receipt.queue, receipt.offset, receipt.nonce});
  OnShard([this, report, receipt, generation = generation_](Shard* shard) {
    shard->ReportSent(report);
    ++sent_reports_;
    if (generation == generation_) checker_.OnSent(receipt, Now());
  });
}

void ShardSimulation::ReportClients() {
  ClientReport report;
  report.proxy = absl::StrCat("proxy-", random_.Below(2));
  for (int i = 0; i < 4; ++i) {
    const std::string client = absl::StrCat("c", i);
    if (draining_ || !random_.OneIn(3)) {
      report.alive.push_back(client);
    } else if (random_.OneIn(4)) {
      report.gone.push_back(client);
    }
  }
  TellClients(report);
}

void ShardSimulation::TellClients(const ClientReport& report) {
  Trace(absl::StrJoin(report.alive, " "), " alive, ", absl::StrJoin(report.gone, " "), " gone");
  last_report_ = Now();
  OnShard([this, report, generation = generation_](Shard* shard) {
    shard->ReportClients(report);
    if (generation == generation_) checker_.OnClients(report, Now());
  });
}

// A client says goodbye, and is not heard from again: soon it holds nothing.
void ShardSimulation::SayGoodbye() {
  const std::string client = RandomClient();
  TellClients({"proxy-0", {}, {client}});
  const int64_t before = sent_reports_;
  // Who is gone is looked for every 5 s: a Hold may have been on its way.
  world_.RunFor(absl::Seconds(6));
  if (IsDown() || sent_reports_ > before) return;
  NowOnShard([&](Shard* shard) {
    if (!shard->state().holders().contains(client)) return;
    checker_.Violate(absl::StrCat(client, " said goodbye a while ago, and still holds something"));
  });
}

// A leader that began just now hears of nobody, for almost as long as it has to wait.
void ShardSimulation::StaySilent() {
  world_.RunFor(options_.client_silence * 0.97);
  for (const Stream& stream : streams_) {
    for (const Checker::Group& group : stream.groups) Receive(stream, group, absl::ZeroDuration());
  }
}

// However often proxies tell that clients live, nothing is written.
void ShardSimulation::TellOften() {
  constexpr int kOften = 1000;
  const LogIndex before = process_->shard->state().applied_index();
  const ClientReport report{"proxy-0", {"c0", "c1", "c2", "c3"}, {}};
  TellClients(report);
  NowOnShard([&](Shard* shard) {
    for (int i = 0; i < kOften; ++i) shard->ReportClients(report);
  });
  world_.RunFor(absl::Milliseconds(200));
  if (IsDown()) return;
  const LogIndex written = process_->shard->state().applied_index() - before;
  if (written >= kOften) checker_.Violate(absl::StrCat(kOften, " signs of life, and ", written, " records"));
}

// Whatever is old, or all that there is: more than the leader would by itself in a log as short as this.
void ShardSimulation::CarrySomething() {
  OnShard([this, quarters = 1 + random_.Below(4)](Shard* shard) {
    const LogIndex below = 1 + shard->state().applied_index() * quarters / 4;
    Trace("carry what is below ", below);
    shard->CarryBelow(below);
    ++counts_.carry_passes;
  });
}

void ShardSimulation::Storm() {
  Trace("storm");
  for (uint64_t i = 1000 + random_.Below(1500); i > 0; --i) {
    OnShard([](Shard* shard) {
      SettleCall call;
      call.shard = kShard;
      call.entries.push_back({GroupId(999'999), {TopicId(1), 0}, 1, 1, SettleKind::kAck, absl::ZeroDuration(), ""});
      shard->Settle(std::move(call), [](SettleResult) {});
    });
  }
}

// Everything else is settled and expires, and the log behind a transaction that is still open could go; then it ends.
void ShardSimulation::OutlastTheLog() {
  Trace("outlast the log");
  outlasts_ = true;
  longest_check_ = absl::Minutes(5);
  for (int sends = 0; sends < 6; ++sends) Send();
  outlasts_ = false;
  draining_ = true;
  ConsumeUntilNothingComes();
  draining_ = false;
  for (int storms = 0; storms < 4; ++storms) {
    Storm();
    world_.RunFor(kShortAge / 2);
  }
  for (int ends = 0; ends < 12; ++ends) EndSomething();
}

bool ShardSimulation::HasForgotten(GroupId group, TopicId topic) {
  PublishMetadata();
  const auto is_forgotten = [&] {
    const auto& cursors = process_->shard->state().cursors();
    const auto cursor = cursors.lower_bound({group, {topic, 0}});
    return cursor == cursors.end() || cursor->first.group != group || cursor->first.queue.topic != topic;
  };
  const bool in_time = world_.RunUntil([&] { return IsDown() || is_forgotten(); }, absl::Seconds(5));
  if (IsDown()) return false;
  if (!in_time) {
    checker_.Violate(absl::StrCat("group ", group.value(), " was unsubscribed, and still has a place"));
    return false;
  }
  std::erase_if(receipts_, [&](const Checker::Receipt& receipt) { return receipt.group == group; });
  // Its dead letters stay, and are no business of who comes anew.
  return process_->shard->state().FindQueue({DeadLetterTopicId(group), 0}) == nullptr;
}

void ShardSimulation::DeleteSomething() {
  Stream& stream = streams_[random_.Below(streams_.size())];
  LookAtStats();
  if (random_.OneIn(3)) {
    // The topic, with its groups; others take their places.
    Trace("delete topic ", stream.topic.id.value());
    for (const Checker::Group& group : stream.groups) checker_.DropGroup(group.id);
    checker_.VoidTopic(stream.topic.id);
    const auto number = static_cast<int>(&stream - streams_.data());
    Stream old = std::move(stream);
    streams_.erase(streams_.begin() + number);
    AddStream(number);
    std::swap(streams_.back(), streams_[static_cast<size_t>(number)]);
  } else {
    // The group with its dead letters, or only that it reads the topic.
    const size_t place = random_.Below(stream.groups.size() / 2) * 2;
    const bool stays = random_.OneIn(2);
    Trace(stays ? "unsubscribe group " : "delete group ", stream.groups[place].id.value());
    if (stays) unsubscribed_.push_back(stream.groups[place].id);
    checker_.VoidTopic(stream.groups[place + 1].topic);
    checker_.DropGroup(stream.groups[place].id);
    checker_.DropGroup(stream.groups[place + 1].id);
    stream.groups.erase(stream.groups.begin() + static_cast<ptrdiff_t>(place),
                        stream.groups.begin() + static_cast<ptrdiff_t>(place) + 2);
    Checker::Group group = NewGroup(stream, static_cast<int>(random_.Below(3)));
    if (stays && HasForgotten(unsubscribed_.back(), stream.topic.id) && random_.OneIn(2)) {
      // The same one reads on, anew.
      Trace("subscribe group ", unsubscribed_.back().value(), " again");
      group.id = unsubscribed_.back();
      unsubscribed_.pop_back();
      group.since_index = process_->shard->state().applied_index();
      ++counts_.subscribed_again;
    }
    group.since = Now();
    if (random_.OneIn(2) && !character_.steps_wall_clock) group.start = world_.clock()->Now();
    AddGroup(&stream, std::move(group));
  }
  PublishMetadata();
}

// The topic is missing from one snapshot. What was in it is gone; until the shard starts again it takes nothing.
void ShardSimulation::Flap() {
  LookAtStats();
  if (IsDown()) return;
  hidden_ = streams_[random_.Below(streams_.size())].topic.id;
  Trace("topic ", hidden_.value(), " flaps");
  PublishMetadata();
  checker_.VoidTopic(hidden_);
  hidden_ = TopicId();
  PublishMetadata();
}

void ShardSimulation::LookAtStats() {
  NowOnShard([this](Shard* shard) {
    checker_.OnStats(StatsOf(*shard), Now());
    LookAtCounts(*shard);
  });
}

void ShardSimulation::LookAtCounts(const Shard& shard) {
#ifndef BARID_WITH_MUTATIONS  // The audit has to find those bugs by itself.
  if (const std::string wrong = WrongCounts(shard.state()); !wrong.empty()) checker_.Violate(wrong);
#endif
  if (shard.audit().mismatches > 0) {
    checker_.Violate(absl::StrCat("an audit found: ", absl::StrJoin(shard.audit().last_mismatches, "; ")));
  }
}

void ShardSimulation::AuditCounts() {
  absl::Status audited = absl::UnknownError("no answer");
  OnShard([&, generation = generation_](Shard* shard) {
    shard->Checkpoint([&, shard, generation](absl::Status written) {
      if (generation != generation_) return;
      if (!written.ok()) {
        audited = written;
        return;
      }
      shard->RunAudit([&, generation](absl::Status status) {
        if (generation == generation_) audited = std::move(status);
      });
    });
  });
  world_.RunUntil([&] { return !absl::IsUnknown(audited) || IsDown(); }, absl::Seconds(10));
  if (IsDown()) return;
  if (absl::IsAborted(audited)) return AuditCounts();
  if (!audited.ok()) checker_.Violate(absl::StrCat("cannot audit the counts: ", audited.ToString()));
  NowOnShard([this](Shard* shard) {
    LookAtCounts(*shard);
    counts_.audited += shard->audit().counts;
  });
}

void ShardSimulation::LookAtTimers() {
  const int64_t time_us = process_->shard->state().applied().time_us;
  world_.RunFor(absl::Seconds(1));
  if (IsDown()) return;
  NowOnShard([&](Shard* shard) {
    const absl::Status visited = shard->state().timers().VisitAll([&](const TimerKey& key, const Timer& timer) {
      if (key.deliver_at_us > time_us) return;
      checker_.Violate(absl::StrCat("a timer of queue ", timer.queue.queue, " of topic ", timer.queue.topic.value(),
                                    " is ", absl::FormatDuration(absl::Microseconds(time_us - key.deliver_at_us)),
                                    " late, and one second"));
    });
    if (!visited.ok() && !IsDown()) checker_.Violate(absl::StrCat("cannot read timers: ", visited.ToString()));
  });
}

void ShardSimulation::LetTimePass() {
  const uint64_t dice = random_.Below(20);
  if (dice < 5) {
    // Time passes while tasks wait: the disk is slow.
    for (uint64_t rounds = random_.Below(20); rounds > 0; --rounds) {
      world_.clock()->Advance(RandomDuration(absl::Milliseconds(30)));
      for (uint64_t tasks = random_.Below(6); tasks > 0; --tasks) world_.RunOne();
    }
  } else if (dice < 9) {
    for (uint64_t tasks = random_.Below(20); tasks > 0; --tasks) world_.RunOne();
  } else if (dice < 13) {
    world_.RunFor(RandomDuration(absl::Milliseconds(60)));
  } else if (dice < 18) {
    world_.RunFor(RandomDuration(absl::Seconds(2)));
  } else if (dice < 19) {
    // The machine was suspended.
    world_.clock()->Advance(RandomDuration(random_.OneIn(10) ? absl::Hours(1) : absl::Seconds(30)));
  } else if (character_.steps_wall_clock) {
    world_.clock()->StepWallClock(RandomDuration(absl::Seconds(40)) - absl::Seconds(20));
  }
}

void ShardSimulation::Step() {
  const uint64_t dice = random_.Below(100);
  if (dice < 22) {
    Send();
    if (random_.OneIn(3)) SendAgain();
    if (random_.OneIn(3)) SendAfterWindow();
  } else if (dice < 50) {
    ReceiveSomewhere();
  } else if (dice < 53) {
    for (uint64_t count = 1 + random_.Below(3); count > 0; --count) RecallSomething();
  } else if (dice < 58) {
    for (uint64_t count = 1 + random_.Below(6); count > 0; --count) EndSomething();
  } else if (dice < 61) {
    TakeChecks();
  } else if (dice < 62) {
    LookAtDiscarded();
  } else if (dice < 81) {
    for (uint64_t count = 1 + random_.Below(6); count > 0; --count) SettleSomething();
  } else if (dice < 84) {
    ExtendWhileReceiving();
  } else if (dice < 86) {
    StoreOrGetOffset();
    PullSomething();
    if (random_.OneIn(2)) ResetSomething();
  } else if (dice < 92) {
    ReportClients();
  } else if (dice < 94) {
    LookAtStats();
  } else if (dice < 95) {
    LookAtTimers();
    if (random_.OneIn(3)) SayGoodbye();
    // A storm writes as many records by itself.
    if (random_.OneIn(3) && !character_.storms && !IsDown()) TellOften();
  } else if (dice < 97 && !waiting_.empty()) {
    OnShard([id = waiting_[random_.Below(waiting_.size())]](Shard* shard) { shard->CancelReceive(id); });
  } else if (dice < 98) {
    OnShard([](Shard* shard) { shard->Checkpoint([](absl::Status) {}); });
  } else if (character_.storms && random_.OneIn(8)) {
    OutlastTheLog();
  } else if (character_.storms) {
    Storm();
  }
  if (character_.lite && random_.OneIn(2)) lite_.Step();
  if (character_.priorities && random_.OneIn(8)) ReceiveByPriority();
  if (random_.OneIn(character_.delete_one_in)) DeleteSomething();
  if (random_.OneIn(15)) CarrySomething();
  if (random_.OneIn(15) && !IsDown()) PauseSomething();
  if (random_.OneIn(character_.delete_one_in * 3) && !IsDown()) Flap();
  if (random_.OneIn(character_.fault_one_in)) {
    process_->faulty = true;
    // A second one before the first is noticed would hit the recovery from it.
    if (random_.OneIn(2) && !sync_fails_) {
      Trace("the next sync fails");
      disk_.FailNextSync();
      sync_fails_ = true;
    } else {
      const auto calls = static_cast<int64_t>(1 + random_.Below(40));
      Trace("the power goes at change ", calls);
      disk_.CutPowerAtCall(calls);
    }
  }
  if (character_.clients_stay && Now() - last_report_ > absl::Seconds(3)) TellClients({"proxy-0", {"c0", "c1"}, {}});
  LetTimePass();
  if (random_.OneIn(character_.crash_one_in) || IsDown()) {
    Crash();
    Start();
    if (random_.OneIn(4)) StaySilent();
  }
}

// --- The end ---

bool ShardSimulation::ConsumeAll() {
  const int64_t before = came_;
  for (const Stream& stream : streams_) {
    for (const Checker::Group& group : stream.groups) Receive(stream, group, absl::ZeroDuration());
  }
  world_.RunFor(absl::Milliseconds(50));
  return came_ > before;
}

void ShardSimulation::ConsumeUntilNothingComes() {
  const absl::Duration begin = Now();
  const absl::Duration end = begin + kPatience;
  while (checker_.violation().empty() && !IsDown()) {
    if (character_.clients_stay) ReportClients();
    if (ConsumeAll()) continue;
    LookForTheGone(std::max(begin, last_report_));
    if (Now() > end && (character_.far_timers || world_.clock()->Now() > last_due_)) break;
    world_.RunFor(absl::Seconds(1));
  }
}

// Who has been silent for long holds nothing.
void ShardSimulation::LookForTheGone(absl::Duration silent_since) {
  // It is looked for every 5 s.
  const absl::Duration patience = options_.client_silence * 1.02 + absl::Seconds(6);
  if (character_.clients_stay || IsDown() || Now() - silent_since < patience) return;
  NowOnShard([this](Shard* shard) {
    for (const auto& [client, held] : shard->state().holders()) {
      checker_.Violate(absl::StrCat(client, " has been silent for long, and still holds ", held, " messages"));
    }
  });
}

void ShardSimulation::DrainLite() {
  lite_.BeginDrain();
  const absl::Duration end = Now() + kPatience;
  while (checker_.violation().empty() && !IsDown()) {
    const int64_t before = lite_.came();
    lite_.Drain();
    world_.RunFor(absl::Milliseconds(50));
    if (lite_.came() > before) continue;
    if (Now() > end) break;
    world_.RunFor(absl::Seconds(1));
  }
  if (checker_.violation().empty() && !IsDown()) lite_.CheckNothingIsOwed();
  counts_.lite_settled = lite_.settled();
}

void ShardSimulation::DrainOthers() {
  may_get_stuck_ = true;
  ConsumeUntilNothingComes();
  may_get_stuck_ = false;
  if (!checker_.violation().empty() || IsDown() || !stuck_) return;
  ++counts_.stuck;
  checker_.OthersPassed(*stuck_, Now());
  stuck_.reset();
  for (const Checker::Receipt& receipt : kept_) Settle(receipt, SettleKind::kExtend, absl::ZeroDuration());
  kept_.clear();
}

void ShardSimulation::Drain() {
  Trace("drain");
  if (!IsDown()) LookAtTimers();
  draining_ = true;
  Crash();
  Start();
  // Retention drops what was deleted, its timers too, long before the far ones are due.
  world_.RunFor(absl::Seconds(5));
  if (IsDown() || process_->shard == nullptr) return;  // Null: it could not recover, which is a violation.
  for (const auto& [key, queue] : process_->shard->state().queues()) {
    if (queue.deleted && queue.delayed > 0)
      checker_.Violate(absl::StrCat("deleted topic ", key.topic.value(), " keeps its timers"));
  }
  WaitForDiscards();
  if (IsDown()) return;
  // What is stuck may use up what may be parked or in flight: then it does stop others.
  if (options_.max_parked_bytes > 1000 && options_.max_in_flight > 1000 && random_.OneIn(2)) DrainOthers();
  if (character_.far_timers) {
    ConsumeUntilNothingComes();
    world_.clock()->Advance(std::max(last_due_ - world_.clock()->Now(), absl::ZeroDuration()));
  }
  ConsumeUntilNothingComes();
  if (character_.lite) DrainLite();
  // Receives that were impatient may have waited for a cursor.
  world_.RunFor(absl::Seconds(5));
  if (!checker_.violation().empty() || IsDown()) return;
  counts_.records += static_cast<int64_t>(process_->shard->state().applied_index());
  if (process_->shard->state().log_start() > 1) ++counts_.trims;
  AuditCounts();
  if (IsDown()) return;
  NowOnShard([this](Shard* shard) {
    checker_.Drained(StatsOf(*shard), Now());
    checker_.DrainedCounts(shard->state().counts());
  });
  counts_.carried += process_->shard->carried();
}

std::string ShardSimulation::Run() {
  const absl::Duration start = world_.clock()->SinceBoot();
  Start();
  for (int step = 0; step < character_.steps && checker_.violation().empty(); ++step) Step();
  if (checker_.violation().empty()) Drain();
  if (checker_.violation().empty() && process_->shard != nullptr && !IsDown()) LookMessagesUp();
  if (checker_.violation().empty() && process_->shard != nullptr && !IsDown()) SendDeadLettersBack();
  if (checker_.violation().empty() && process_->shard != nullptr && !IsDown()) AuditCounts();
  counts_.events = world_.tasks_run();
  counts_.time = world_.clock()->SinceBoot() - start;
  counts_.delivered = checker_.delivered();
  counts_.repeated = checker_.repeated();
  counts_.renewed = checker_.renewed();
  counts_.resets = checker_.resets();
  if (!checker_.violation().empty()) Trace("VIOLATION: ", checker_.violation());
  DigestWorld();
  return checker_.violation();
}

}  // namespace barid::broker
