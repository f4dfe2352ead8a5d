// What operators ask of the shard; but for pauses, once its clients have nothing left to do.
#include <algorithm>
#include <utility>

#include "base/stored_message.h"
#include "tests/simulation/shard_simulation.h"

namespace barid::broker {
namespace {

std::string IdOf(const FoundMessage& message) {
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(message.stored.view());
  return view.ok() ? std::string(view->message_id) : "?";
}

}  // namespace

template <typename Result, typename Call>
bool ShardSimulation::Ask(void (Shard::*method)(Call, Callback<Result>), const Call& call, Result* result) {
  auto answer = std::make_shared<std::optional<Result>>();
  OnShard([=](Shard* shard) { (shard->*method)(call, [answer](Result result) { *answer = std::move(result); }); });
  world_.RunUntil([&] { return answer->has_value() || IsDown(); }, absl::Seconds(10));
  if (IsDown()) return false;
  if (!answer->has_value()) {
    checker_.Violate("an operator's question is not answered");
    return false;
  }
  *result = **std::move(answer);
  if (result->status.ok()) return true;
  checker_.Violate(absl::StrCat("an operator's question is refused: ", result->status.ToString()));
  return false;
}

bool ShardSimulation::List(TopicId topic, std::vector<FoundMessage>* messages) {
  LookupCall call;
  call.topic = topic;
  call.kind = LookupCall::Kind::kRange;
  call.max_messages = 50;
  while (true) {
    LookupResult result;
    if (!Ask<LookupResult>(&Shard::Find, call, &result)) return false;
    for (FoundMessage& message : result.messages) messages->push_back(std::move(message));
    if (result.resume.empty()) return true;
    call.resume = result.resume;
  }
}

void ShardSimulation::PauseSomething() {
  const Stream& stream = streams_[random_.Below(streams_.size())];
  if (stream.groups.empty()) return;
  const Checker::Group& group = stream.groups[random_.Below(stream.groups.size())];
  Trace("pause group ", group.id.value());
  paused_ = group.id;
  ++pauses_;
  PublishMetadata();
  for (uint64_t rounds = 1 + random_.Below(4); rounds > 0 && !IsDown(); --rounds) {
    if (random_.OneIn(2)) SendTo(stream);
    if (random_.OneIn(2)) SettleSomething();
    Receive(stream, group, random_.OneIn(2) ? RandomDuration(absl::Seconds(5)) : absl::ZeroDuration());
    world_.RunFor(RandomDuration(absl::Seconds(2)));
  }
  paused_.reset();
  if (IsDown()) return;  // Who starts it tells it.
  Trace("resume group ", group.id.value());
  PublishMetadata();
}

void ShardSimulation::LookMessagesUp() {
  for (const Stream& stream : streams_) {
    std::vector<FoundMessage> there;
    if (!List(stream.topic.id, &there)) return;
    for (int looks = 0; looks < 4 && !there.empty(); ++looks) {
      const FoundMessage& message = there[random_.Below(there.size())];
      LookupCall call;
      call.topic = stream.topic.id;
      call.kind = LookupCall::Kind::kId;
      call.text = IdOf(message);
      LookupResult result;
      if (!Ask<LookupResult>(&Shard::Find, call, &result)) return;
      ++counts_.found;
      const bool is_found = std::any_of(result.messages.begin(), result.messages.end(), [&](const FoundMessage& one) {
        return one.state == FoundMessage::State::kQueued && one.queue == message.queue &&
               one.offset == message.offset && one.stored.view() == message.stored.view();
      });
      // It may have expired meanwhile.
      const Queue* const queue = process_->shard->state().FindQueue(message.queue);
      if (!is_found && queue != nullptr && queue->first <= message.offset) {
        return checker_.Violate(absl::StrCat(call.text, " stands at offset ", message.offset, " of queue ",
                                             message.queue.queue, " of topic ", message.queue.topic.value(),
                                             ", and is not found by its id"));
      }
      call.kind = LookupCall::Kind::kExplain;
      if (!Ask<LookupResult>(&Shard::Find, call, &result)) return;
      if (result.events.empty()) return checker_.Violate(absl::StrCat("nothing is known of ", call.text));
    }
  }
}

void ShardSimulation::SendDeadLettersBack() {
  Stream sink;
  sink.topic.id = TopicId(next_id_++);
  streams_.push_back(sink);
  PublishMetadata();
  std::vector<GroupId> groups;
  std::vector<std::string> before;
  std::vector<FoundMessage> letters;
  for (const Stream& stream : streams_) {
    for (const Checker::Group& group : stream.groups) {
      if (group.mourned) continue;
      groups.push_back(group.id);
      if (!List(DeadLetterTopicId(group.id), &letters)) return;
    }
  }
  for (const FoundMessage& letter : letters) before.push_back(IdOf(letter));
  if (!letters.empty()) {
    // One of them goes first, and its place is empty until those before it have gone.
    const FoundMessage& one = letters[random_.Below(letters.size())];
    RedriveCall call;
    call.group = DeadLetterGroup(one.queue.topic);
    call.topic = sink.topic.id;
    call.from = one.offset;
    call.max_messages = 1;
    RedriveResult result;
    if (!Ask<RedriveResult>(&Shard::SendBack, call, &result)) return;
    counts_.redriven += result.redriven;
    AuditCounts();
    if (IsDown()) return;
  }
  for (const GroupId group : groups) {
    RedriveCall call;
    call.group = group;
    call.topic = sink.topic.id;
    while (true) {
      call.max_messages = 1 + static_cast<int32_t>(random_.Below(20));
      if (random_.OneIn(12)) {
        // The process ends in the middle: what became of this step is not known.
        OnShard([call](Shard* shard) { shard->SendBack(call, [](RedriveResult) {}); });
        for (uint64_t tasks = random_.Below(12); tasks > 0; --tasks) world_.RunOne();
        Crash();
        Start();
        if (process_->shard == nullptr || IsDown()) return;
        call.from = 0;
      }
      RedriveResult result;
      if (!Ask<RedriveResult>(&Shard::SendBack, call, &result)) return;
      counts_.redriven += result.redriven;
      Trace("sent back ", result.redriven, " dead letters of group ", group.value(), ", ", result.failed,
            " not: ", result.failure);
      if (result.failed > 0) return checker_.Violate(absl::StrCat("a dead letter cannot go back: ", result.failure));
      call.from = result.next;
      if (result.next >= result.end) break;
    }
  }
  std::vector<FoundMessage> left;
  for (const GroupId group : groups) {
    if (!List(DeadLetterTopicId(group), &left)) return;
  }
  if (!left.empty())
    return checker_.Violate(absl::StrCat(left.size(), " dead letters were sent back, and are still there"));
  std::vector<FoundMessage> arrived;
  if (!List(sink.topic.id, &arrived)) return;
  std::vector<std::string> after;
  for (const FoundMessage& message : arrived) after.push_back(IdOf(message));
  std::sort(before.begin(), before.end());
  std::sort(after.begin(), after.end());
  if (before != after) {
    checker_.Violate(absl::StrCat(before.size(), " dead letters were sent back, ", after.size(), " arrived"));
  }
}

}  // namespace barid::broker
