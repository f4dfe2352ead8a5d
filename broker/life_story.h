#ifndef BARID_BROKER_LIFE_STORY_H_
#define BARID_BROKER_LIFE_STORY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "base/broker_calls.h"
#include "broker/command.h"
#include "storage/record.h"

namespace barid::broker {

// What happened to one message at one place (a queue and an offset), told from the records that name the place: feed it
// every record that may (lookup_keys.h), in log order, from the one that made the entry on.
//
// It follows the rules of apply (state.h) for this one message, group by group: what was stale is left out. What it
// cannot see is what other messages did: of an ordered group it takes a message for delivered that was parked after
// all, until a later record shows it.
class LifeStory {
 public:
  LifeStory(const QueueKey& queue, QueueOffset offset) : queue_(queue), offset_(offset) {}

  void Add(const storage::RecordHeader& header, const Command& command);

  // In log order.
  std::vector<LifeEvent> TakeEvents() { return std::move(events_); }

  // How the group was done with it, in the words of its last event; empty if it is not.
  std::string SettledBy(GroupId group) const;

  // It left for another place, by a record of this time: a group's dead letters, or back from there.
  struct Departure {
    QueueKey to;
    int64_t time_us = 0;
  };
  const std::vector<Departure>& departures() const { return departures_; }

 private:
  struct Place {
    enum class State { kNone, kInvisible, kVisible, kParked, kSettled } state = State::kNone;
    LogIndex nonce = 0;
    int32_t attempts = 0;
    int64_t invisible_until = 0;
    uint64_t attempt_id_hash = 0;
    std::string client;
    std::string settled_by;
    size_t last_event = SIZE_MAX;  // What its last change of state is told by.
  };

  void Do(const log::Deliver& command);
  void Do(const log::Skip& command);
  void Do(const log::Redeliver& command);
  void Do(const log::Settle& command);
  void Do(const log::Hold& command);
  void Do(const log::MakeVisible& command);
  void Do(const log::Move& command);
  void Do(const log::Redrive& command);
  void Do(const log::OpenCursor& command);
  void Do(const log::SeekCursor& command);
  void Do(const log::CloseSubscription& command);
  void Do(const log::Expire& command);
  void Do(const log::ConfigureQueue& command);
  template <typename T>
  void Do(const T&) {}

  bool IsHere(const log::Queue& queue) const { return KeyOf(queue) == queue_; }
  // The live delivery that a reference names, if it is of this message.
  Place* Live(const log::DeliveryRef& ref);
  // A scan passed over it.
  void PassOver(uint64_t group, bool parked);
  void Deliver(uint64_t group, const log::Deliver& command, int32_t attempt);
  LifeEvent* Tell(std::string what, uint64_t group, Place* place);

  const QueueKey queue_;
  const QueueOffset offset_;
  storage::RecordHeader header_;  // Of the record that is being added.
  absl::btree_map<uint64_t, Place> places_;
  std::vector<LifeEvent> events_;
  std::vector<Departure> departures_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_LIFE_STORY_H_
