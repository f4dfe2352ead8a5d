#ifndef BARID_BROKER_CURSOR_H_
#define BARID_BROKER_CURSOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "broker/counts.h"
#include "broker/parked_messages.h"

namespace barid::broker {

// A message that was handed out and is not settled.
struct InFlight {
  int32_t attempts = 0;         // Deliveries so far. 0: handed out once, but the answer never left.
  LogIndex nonce = 0;           // Log index of its last Deliver; names the delivery.
  int64_t invisible_until = 0;  // Leader time, microseconds. While visible, the time since when.
  bool visible = false;         // May be delivered again.
  bool auto_renew = false;
  bool held = false;  // invisible_until is the cap; the client's life decides before it.
  uint64_t attempt_id_hash = 0;
  uint64_t message_group = 0;  // Hash of it; 0: none, or the cursor is not ordered.
  std::shared_ptr<const std::string> client;
};

// A group's place in one queue. Every offset below next is settled unless it is in in_flight or parked, and never in
// both.
//
// In an ordered cursor a message group (its hash) is locked while any of its deliveries is invisible; what the scan
// passes over meanwhile is parked. A message group that is not locked offers its first message below next that is not
// settled, and nothing behind it:
//
//   offset           3        4        5        6        7        8        next
//                    a        b        a        b        a        c
//                    visible  invisible parked  parked   parked   parked
//                    offered  (b is locked)                       offered
//
// A message group of which nothing is in flight or parked costs nothing (tests/bench/message_groups_bench.cc measures
// the others).
struct Cursor {
  QueueOffset next = 0;  // Nothing from here on was ever handed out or parked.
  bool ordered = false;
  absl::btree_map<QueueOffset, InFlight> in_flight;
  ParkedMessages parked;

  // --- Derived, by the methods below. ---
  // What is offered: of what is visible, and of what is parked. All of it that has no message group.
  absl::btree_set<QueueOffset> again;
  absl::btree_set<QueueOffset> released;
  int64_t invisible = 0;  // How many of in_flight are.
  int64_t waits = 0;      // How many messages are visible or parked,
  int64_t blocked = 0;    // and how many of those are of a message group that is locked.
  // By message group, what is visible; and how many deliveries are invisible, if any.
  absl::btree_set<std::pair<uint64_t, QueueOffset>> visible;
  absl::flat_hash_map<uint64_t, int32_t> locks;
  absl::flat_hash_map<uint64_t, int64_t> waits_of;  // How many are visible or parked, if any.
  // By attempt id, what is invisible.
  absl::btree_set<std::pair<uint64_t, QueueOffset>> by_attempt;

  // Where its figures are added up; nullptr: nowhere.
  GroupCounts* counts = nullptr;

  // Everything below is settled.
  QueueOffset floor() const;
  bool offers_any() const { return !again.empty() || !released.empty(); }
  // Invisible deliveries of a message group.
  int32_t LocksOf(uint64_t message_group) const;
  bool IsLocked(uint64_t message_group) const { return LocksOf(message_group) > 0; }
  // The first message of a message group that is visible or parked, from `from` on.
  std::optional<QueueOffset> FirstWaiting(uint64_t message_group, QueueOffset from = 0) const;
  // The one with which its next run has to begin.
  std::optional<QueueOffset> Head(uint64_t message_group) const;

  // Keep what is derived: a delivery came, or is about to go.
  void Note(QueueOffset offset, const InFlight& delivery);
  void Forget(QueueOffset offset, const InFlight& delivery);
  // Change `parked`, and what is derived. What is unparked is parked; Unpark says of which message group.
  void Park(QueueOffset offset, uint64_t message_group);
  uint64_t Unpark(QueueOffset offset);
  void UnparkAll();

  // Derives everything anew and compares. kDataLoss says what differs.
  absl::Status Verify() const;

 private:
  // What is visible or parked waits.
  void Wait(QueueOffset offset, uint64_t message_group, bool is_parked);
  void StopWaiting(QueueOffset offset, uint64_t message_group, bool is_parked);
  void OfferOne(QueueOffset offset) { (in_flight.contains(offset) ? again : released).insert(offset); }
  void WithdrawOne(QueueOffset offset) {
    if (again.erase(offset) == 0) released.erase(offset);
  }
  void Count(int64_t ready, int64_t in_flight, int64_t blocked_change);
  // A message that is visible or parked came or goes.
  void CountWaiting(uint64_t message_group, int64_t change);
  // A message group was locked or unlocked: what of it waits is blocked, or is not any more.
  void CountLocked(uint64_t message_group, bool locked);
  // While a message group changes, it offers nothing.
  void Withdraw(uint64_t message_group);
  void Offer(uint64_t message_group);
};

}  // namespace barid::broker

#endif  // BARID_BROKER_CURSOR_H_
