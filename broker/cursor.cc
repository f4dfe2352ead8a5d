#include "broker/cursor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "broker/mutation.h"

namespace barid::broker {

QueueOffset Cursor::floor() const {
  QueueOffset floor = next;
  if (!in_flight.empty()) floor = std::min(floor, in_flight.begin()->first);
  if (!parked.empty()) floor = std::min(floor, (*parked.begin()).offset);
  return floor;
}

int32_t Cursor::LocksOf(uint64_t message_group) const {
  if (BARID_MUTATION(kRunIgnoresLock)) return 0;
  if (BARID_MUTATION(kUnlockTooEarly)) {
    const std::optional<QueueOffset> first = FirstWaiting(message_group);
    if (first && in_flight.contains(*first)) return 0;
  }
  const auto it = locks.find(message_group);
  return it == locks.end() ? 0 : it->second;
}

std::optional<QueueOffset> Cursor::FirstWaiting(uint64_t message_group, QueueOffset from) const {
  const std::optional<QueueOffset> first = parked.FirstOf(message_group, from);
  const auto it = visible.lower_bound({message_group, from});
  if (it == visible.end() || it->first != message_group) return first;
  return std::min(first.value_or(it->second), it->second);
}

std::optional<QueueOffset> Cursor::Head(uint64_t message_group) const {
  const std::optional<QueueOffset> first = FirstWaiting(message_group);
  if (BARID_MUTATION(kRunFromTheSecond) && first) {
    if (const std::optional<QueueOffset> second = FirstWaiting(message_group, *first + 1)) return second;
  }
  return first;
}

void Cursor::Withdraw(uint64_t message_group) {
  if (IsLocked(message_group)) return;
  if (const std::optional<QueueOffset> head = Head(message_group)) WithdrawOne(*head);
}

void Cursor::Offer(uint64_t message_group) {
  if (IsLocked(message_group)) return;
  const std::optional<QueueOffset> head = Head(message_group);
  if (BARID_MUTATION(kUnlockForgotten) && head && parked.contains(*head)) return;
  if (head) OfferOne(*head);
}

void Cursor::Count(int64_t ready, int64_t in_flight, int64_t blocked_change) {
  waits += ready + blocked_change;
  blocked += blocked_change;
  invisible += in_flight;
  if (counts != nullptr) counts->Add(ready, in_flight, blocked_change);
}

void Cursor::CountWaiting(uint64_t message_group, int64_t change) {
  if (message_group != 0) {
    const auto it = waits_of.try_emplace(message_group, 0).first;
    it->second += change;
    if (it->second == 0) waits_of.erase(it);
  }
  const bool is_blocked = message_group != 0 && locks.contains(message_group);
  Count(is_blocked ? 0 : change, 0, is_blocked ? change : 0);
}

void Cursor::CountLocked(uint64_t message_group, bool locked) {
  if (BARID_MUTATION(kCountForgetsLocks)) return;
  const auto it = waits_of.find(message_group);
  if (it == waits_of.end()) return;
  const int64_t change = locked ? it->second : -it->second;
  Count(-change, 0, change);
}

void Cursor::Wait(QueueOffset offset, uint64_t message_group, bool is_parked) {
  CountWaiting(message_group, 1);
  if (message_group != 0) Withdraw(message_group);
  if (is_parked) {
    parked.Add(offset, message_group);
  } else if (message_group != 0) {
    visible.insert({message_group, offset});
  }
  message_group != 0 ? Offer(message_group) : OfferOne(offset);
}

void Cursor::StopWaiting(QueueOffset offset, uint64_t message_group, bool is_parked) {
  CountWaiting(message_group, -1);
  message_group != 0 ? Withdraw(message_group) : WithdrawOne(offset);
  if (is_parked) {
    parked.Remove(offset);
  } else if (message_group != 0) {
    visible.erase({message_group, offset});
  }
  if (message_group != 0) Offer(message_group);
}

void Cursor::Note(QueueOffset offset, const InFlight& delivery) {
  if (delivery.visible) return Wait(offset, delivery.message_group, /*is_parked=*/false);
  Count(0, 1, 0);
  if (ordered && delivery.attempt_id_hash != 0) by_attempt.insert({delivery.attempt_id_hash, offset});
  if (delivery.message_group == 0) return;
  Withdraw(delivery.message_group);
  if (++locks[delivery.message_group] == 1) CountLocked(delivery.message_group, true);
}

void Cursor::Forget(QueueOffset offset, const InFlight& delivery) {
  if (delivery.visible) return StopWaiting(offset, delivery.message_group, /*is_parked=*/false);
  Count(0, BARID_MUTATION(kCountForgetsSettled) && delivery.attempts > 1 ? 0 : -1, 0);
  by_attempt.erase({delivery.attempt_id_hash, offset});
  if (delivery.message_group == 0) return;
  const auto it = locks.find(delivery.message_group);
  CHECK(it != locks.end()) << "an invisible delivery of a message group that is not locked";
  if (--it->second > 0) return;
  locks.erase(it);
  CountLocked(delivery.message_group, false);
  Offer(delivery.message_group);
}

void Cursor::Park(QueueOffset offset, uint64_t message_group) { Wait(offset, message_group, /*is_parked=*/true); }

uint64_t Cursor::Unpark(QueueOffset offset) {
  const std::optional<uint64_t> message_group = parked.MessageGroupOf(offset);
  CHECK(message_group) << "it is not parked" << KV("offset", offset);
  StopWaiting(offset, *message_group, /*is_parked=*/true);
  return *message_group;
}

void Cursor::UnparkAll() {
  absl::flat_hash_map<uint64_t, int64_t> message_groups;
  for (const ParkedMessages::Message& message : parked) ++message_groups[message.message_group];
  parked.Clear();
  released.clear();
  for (const auto& [message_group, count] : message_groups) {
    CountWaiting(message_group, -count);
    if (message_group != 0) Offer(message_group);
  }
}

absl::Status Cursor::Verify() const {
  Cursor fresh;
  fresh.ordered = ordered;
  fresh.in_flight = in_flight;
  for (const auto& [offset, delivery] : in_flight) {
    if (offset >= next)
      return absl::DataLossError(absl::StrCat("offset ", offset, " is in flight, and next is ", next));
    if (parked.contains(offset))
      return absl::DataLossError(absl::StrCat("offset ", offset, " is in flight and parked"));
    fresh.Note(offset, delivery);
  }
  for (const auto& [offset, message_group] : parked) {
    if (offset >= next) return absl::DataLossError(absl::StrCat("offset ", offset, " is parked, and next is ", next));
    fresh.Park(offset, message_group);
  }
  if (fresh.again != again || fresh.released != released) {
    return absl::DataLossError(absl::StrCat(again.size(), " messages are offered again, and ", released.size(),
                                            " parked ones; ", fresh.again.size(), " and ", fresh.released.size(),
                                            " should be"));
  }
  if (fresh.visible != visible) {
    return absl::DataLossError(
        absl::StrCat(visible.size(), " messages are visible by message group, ", fresh.visible.size(), " should be"));
  }
  if (fresh.locks != locks) {
    return absl::DataLossError(
        absl::StrCat(locks.size(), " message groups are locked, ", fresh.locks.size(), " should be"));
  }
  if (fresh.by_attempt != by_attempt) {
    return absl::DataLossError(absl::StrCat(by_attempt.size(), " deliveries are found by attempt id, ",
                                            fresh.by_attempt.size(), " should be"));
  }
  if (fresh.invisible != invisible || fresh.waits != waits || fresh.blocked != blocked) {
    return absl::DataLossError(absl::StrCat(invisible, " deliveries are invisible, ", waits, " messages wait and ",
                                            blocked, " of those are blocked; there are ", fresh.invisible, ", ",
                                            fresh.waits, " and ", fresh.blocked));
  }
  return absl::OkStatus();
}

}  // namespace barid::broker
