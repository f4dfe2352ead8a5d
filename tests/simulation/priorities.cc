// Receives of a PRIORITY topic while nothing else happens, so that it is known what each has to give.
#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "broker/shard.h"
#include "tests/simulation/shard_simulation.h"

namespace barid::broker {
namespace {

std::string Names(const std::vector<std::pair<int32_t, QueueOffset>>& messages) {
  return absl::StrJoin(messages, " ", [](std::string* out, const auto& message) {
    absl::StrAppend(out, message.first, ":", message.second);
  });
}

}  // namespace

ShardSimulation::Offers ShardSimulation::OffersOf(const Shard& shard, const Checker::Group& group, size_t most) const {
  const State& state = shard.state();
  Offers offers;
  struct Level {
    int64_t oldest_us = 0;
    int32_t priority = 0;
    std::vector<QueueOffset> offsets;
  };
  std::vector<Level> levels;
  for (int32_t priority = kPriorityLevels - 1; priority >= 0; --priority) {
    const QueueKey key{group.topic, priority};
    const Queue* const queue = state.FindQueue(key);
    if (queue == nullptr || queue->deleted || queue->first == queue->end) continue;
    const Cursor* const cursor = state.FindCursor({group.id, key});
    offers.known &= cursor != nullptr && cursor->parked.empty() &&
                    static_cast<int64_t>(cursor->in_flight.size() + most) <= options_.max_in_flight;
    if (!offers.known) return offers;
    Level level;
    level.priority = priority;
    level.offsets.assign(cursor->again.begin(), cursor->again.end());
    for (const QueueOffset offset : level.offsets)
      offers.known &= cursor->in_flight.at(offset).attempts < group.max_attempts;
    const QueueOffset next = std::max(cursor->next, queue->first);
    const QueueOffset end = std::min(queue->end, next + static_cast<QueueOffset>(most));
    for (QueueOffset offset = next; offset < end; ++offset) level.offsets.push_back(offset);
    if (level.offsets.empty()) continue;
    for (const QueueOffset offset : level.offsets) offers.known &= state.index().Peek(BlockOf(key, offset)) != nullptr;
    if (!offers.known) return offers;
    const QueueOffset oldest = *std::min_element(level.offsets.begin(), level.offsets.end());
    level.oldest_us =
        state.index().Peek(BlockOf(key, oldest))->entries[static_cast<size_t>(oldest % kBlockEntries)].time_us;
    levels.push_back(std::move(level));
  }
  const auto list = [&](std::vector<std::pair<int32_t, QueueOffset>>* messages) {
    for (const Level& level : levels) {
      for (const QueueOffset offset : level.offsets) {
        if (messages->size() < most) messages->emplace_back(level.priority, offset);
      }
    }
  };
  list(&offers.by_priority);
  // Of two that are as old the higher one.
  std::stable_sort(levels.begin(), levels.end(),
                   [](const Level& a, const Level& b) { return a.oldest_us < b.oldest_us; });
  list(&offers.by_age);
  return offers;
}

void ShardSimulation::ReceiveByPriority() {
  const auto found = std::find_if(streams_.begin(), streams_.end(), [](const Stream& s) { return s.is_priority; });
  if (found == streams_.end()) return;
  const Stream& stream = *found;
  const auto reads_all = [](const Checker::Group& group) { return !group.mourned && group.tags.empty(); };
  const auto member = std::find_if(stream.groups.begin(), stream.groups.end(), reads_all);
  if (member == stream.groups.end()) return;
  const Checker::Group group = *member;
  const int64_t every = options_.priority_oldest_every;
  // Receives of this group that were given something, as far back as all of them are known: since one that began with
  // the oldest, and since one that may have.
  std::optional<int64_t> since_oldest;
  int64_t since_perhaps = 0;
  for (int64_t calls = 3 + static_cast<int64_t>(random_.Below(6)) + 2 * every; calls > 0; --calls) {
    if (random_.OneIn(2)) SendTo(stream);
    world_.RunUntilIdle();
    if (IsDown() || checker_.PendingReceivesOf(group.id, group.topic) > 0) return;
    ReceiveCall call;
    call.shard = ShardId(1);
    call.group = group.id;
    call.topic = group.topic;
    call.max_messages = 1 + static_cast<int32_t>(random_.Below(3));
    call.invisible = absl::Seconds(1) + RandomDuration(absl::Seconds(20));
    call.client_id = RandomClient();
    const uint64_t checked = checker_.OnReceive(call, Now());
    const auto most = static_cast<size_t>(call.max_messages);
    auto offers = std::make_shared<Offers>();
    auto answer = std::make_shared<std::optional<ReceiveResult>>();
    OnShard([this, call, most, group, offers, answer, checked, id = next_receive_++,
             generation = generation_](Shard* shard) mutable {
      *offers = OffersOf(*shard, group, most);
      shard->Receive(id, std::move(call), [this, answer, checked, generation](ReceiveResult result) {
        if (generation != generation_) return;
        for (Checker::Receipt& receipt : checker_.OnReceiveAnswer(checked, result, Now(), disk_.powered())) {
          Trace("by priority: m", receipt.number, " attempt ", receipt.attempt, " queue ", receipt.queue.queue,
                " offset ", receipt.offset, " nonce ", receipt.nonce);
          receipts_.push_back(std::move(receipt));
        }
        *answer = std::move(result);
      });
    });
    world_.RunUntil([&] { return answer->has_value() || IsDown(); }, absl::Seconds(10));
    if (IsDown() || !answer->has_value() || !checker_.violation().empty()) return;
    std::vector<std::pair<int32_t, QueueOffset>> got;
    for (const Delivery& delivery : (*answer)->deliveries) got.emplace_back(delivery.queue.queue, delivery.offset);
    // Some come back at once.
    for (size_t i = 0; i < got.size() && i < receipts_.size(); ++i) {
      if (random_.OneIn(4)) Settle(receipts_[receipts_.size() - 1 - i], SettleKind::kExtend, absl::ZeroDuration());
    }
    if (!(*answer)->status.ok() || got.empty()) {
      // It may have taken a turn, and lost what it took.
      since_oldest.reset();
      since_perhaps = 0;
      continue;
    }
    if (since_oldest) ++*since_oldest;
    if (!offers->known) {
      since_perhaps = 0;
      continue;
    }
    ++counts_.by_priority;
    const bool is_highest = got == offers->by_priority;
    const bool is_oldest = every > 0 && got == offers->by_age;
    if (!is_highest && !is_oldest) {
      return checker_.Violate(absl::StrCat("group ", group.id.value(), " is given (priority:offset) ", Names(got),
                                           ", by priority it is ", Names(offers->by_priority), ", by age ",
                                           Names(offers->by_age)));
    }
    if (!is_highest) {
      ++counts_.oldest_first;
      if (since_oldest && *since_oldest < every) {
        return checker_.Violate(absl::StrCat("group ", group.id.value(), " begins with the oldest again after ",
                                             *since_oldest, " receives"));
      }
      since_oldest = 0;
    }
    since_perhaps = is_oldest ? 0 : since_perhaps + 1;
    if (every > 0 && since_perhaps >= every) {
      return checker_.Violate(
          absl::StrCat("in ", since_perhaps, " receives of group ", group.id.value(), " none begins with the oldest"));
    }
  }
}

}  // namespace barid::broker
