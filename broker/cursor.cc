#include "broker/cursor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "broker/mutation.h"

namespace barid::broker {

QueueOffset Cursor::floor() const {
  QueueOffset floor = next;
  if (!in_flight.empty()) floor = std::min(floor, in_flight.begin()->first);
  if (!parked.empty()) floor = std::min(floor, parked.begin()->first);
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
  const auto it = waiting.lower_bound({message_group, from});
  if (it == waiting.end() || it->first != message_group) return std::nullopt;
  return it->second;
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

void Cursor::Wait(QueueOffset offset, uint64_t message_group) {
  if (message_group == 0) {
    OfferOne(offset);
    return;
  }
  Withdraw(message_group);
  waiting.insert({message_group, offset});
  Offer(message_group);
}

void Cursor::StopWaiting(QueueOffset offset, uint64_t message_group) {
  if (message_group == 0) {
    WithdrawOne(offset);
    return;
  }
  Withdraw(message_group);
  waiting.erase({message_group, offset});
  Offer(message_group);
}

void Cursor::Note(QueueOffset offset, const InFlight& delivery) {
  if (delivery.visible) return Wait(offset, delivery.message_group);
  ++invisible;
  if (ordered && delivery.attempt_id_hash != 0) by_attempt.insert({delivery.attempt_id_hash, offset});
  if (delivery.message_group == 0) return;
  Withdraw(delivery.message_group);
  ++locks[delivery.message_group];
}

void Cursor::Forget(QueueOffset offset, const InFlight& delivery) {
  if (delivery.visible) return StopWaiting(offset, delivery.message_group);
  --invisible;
  by_attempt.erase({delivery.attempt_id_hash, offset});
  if (delivery.message_group == 0) return;
  const auto it = locks.find(delivery.message_group);
  CHECK(it != locks.end()) << "an invisible delivery of a message group that is not locked";
  if (--it->second > 0) return;
  locks.erase(it);
  Offer(delivery.message_group);
}

void Cursor::NoteParked(QueueOffset offset, uint64_t message_group) { Wait(offset, message_group); }
void Cursor::ForgetParked(QueueOffset offset, uint64_t message_group) { StopWaiting(offset, message_group); }

absl::Status Cursor::Verify() const {
  Cursor fresh;
  fresh.ordered = ordered;
  fresh.in_flight = in_flight;
  for (const auto& [offset, delivery] : in_flight) {
    if (offset >= next) return absl::DataLossError(absl::StrCat("offset ", offset, " is in flight, and next is ", next));
    if (parked.contains(offset)) return absl::DataLossError(absl::StrCat("offset ", offset, " is in flight and parked"));
    fresh.Note(offset, delivery);
  }
  for (const auto& [offset, message_group] : parked) {
    if (offset >= next) return absl::DataLossError(absl::StrCat("offset ", offset, " is parked, and next is ", next));
    fresh.NoteParked(offset, message_group);
  }
  if (fresh.again != again || fresh.released != released) {
    return absl::DataLossError(absl::StrCat(again.size(), " messages are offered again, and ", released.size(), " parked ones; ",
                                            fresh.again.size(), " and ", fresh.released.size(), " should be"));
  }
  if (fresh.waiting != waiting) {
    return absl::DataLossError(absl::StrCat(waiting.size(), " messages wait by message group, ", fresh.waiting.size(), " should"));
  }
  if (fresh.locks != locks) {
    return absl::DataLossError(absl::StrCat(locks.size(), " message groups are locked, ", fresh.locks.size(), " should be"));
  }
  if (fresh.by_attempt != by_attempt) {
    return absl::DataLossError(absl::StrCat(by_attempt.size(), " deliveries are found by attempt id, ", fresh.by_attempt.size(),
                                            " should be"));
  }
  if (fresh.invisible != invisible) {
    return absl::DataLossError(absl::StrCat(invisible, " deliveries are invisible, there are ", fresh.invisible));
  }
  return absl::OkStatus();
}

}  // namespace barid::broker
