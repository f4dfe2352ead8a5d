#include "broker/life_story.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace barid::broker {
namespace {

template <typename Offsets>
bool Has(const Offsets& offsets, QueueOffset offset) {
  return std::find(offsets.begin(), offsets.end(), offset) != offsets.end();
}

}  // namespace

void LifeStory::Add(const storage::RecordHeader& header, const Command& command) {
  header_ = header;
  std::visit([this](const auto& c) { Do(c); }, command);
}

std::string LifeStory::SettledBy(GroupId group) const {
  const auto it = places_.find(group.value());
  return it == places_.end() || it->second.state != Place::State::kSettled ? "" : it->second.settled_by;
}

LifeEvent* LifeStory::Tell(std::string what, uint64_t group, Place* place) {
  if (place != nullptr) place->last_event = events_.size();
  LifeEvent& event = events_.emplace_back();
  event.time = absl::FromUnixMicros(header_.time_us);
  event.log_index = header_.index;
  event.what = std::move(what);
  event.group = GroupId(group);
  event.queue = queue_;
  event.offset = offset_;
  return &event;
}

LifeStory::Place* LifeStory::Live(const log::DeliveryRef& ref) {
  if (!IsHere(ref.queue()) || ref.offset() != offset_) return nullptr;
  const auto it = places_.find(ref.group_id());
  if (it == places_.end() || it->second.nonce != ref.nonce()) return nullptr;
  const bool is_live = it->second.state == Place::State::kInvisible || it->second.state == Place::State::kVisible;
  return is_live ? &it->second : nullptr;
}

void LifeStory::PassOver(uint64_t group, bool parked) {
  Place& place = places_[group];
  // Somebody passed here before: then this record came too late.
  if (place.state != Place::State::kNone) return;
  place.state = parked ? Place::State::kParked : Place::State::kSettled;
  place.settled_by = parked ? "" : "filtered_out";
  Tell(parked ? "parked" : "filtered_out", group, &place);
}

void LifeStory::Deliver(uint64_t group, const log::Deliver& command, int32_t attempt) {
  Place& place = places_[group];
  place.state = Place::State::kInvisible;
  place.nonce = header_.index;
  place.attempts = attempt;
  place.invisible_until = command.invisible_until();
  place.attempt_id_hash = command.attempt_id_hash();
  place.client = command.client_id();
  LifeEvent* const event = Tell("delivered", group, &place);
  event->client = command.client_id();
  event->attempt = attempt;
  event->until = absl::FromUnixMicros(command.invisible_until());
  if (command.auto_renew()) event->detail = "renewed while the client lives";
}

void LifeStory::Do(const log::Deliver& command) {
  if (!IsHere(command.queue())) return;
  const uint64_t group = command.group_id();
  Place& place = places_[group];
  if (Has(command.first_offsets(), offset_)) {
    // What seemed to pass over it before this had come too late, and passed over nothing.
    const bool was_stale = place.state == Place::State::kSettled && place.settled_by == "filtered_out";
    if (place.state != Place::State::kNone && !was_stale) return;
    if (was_stale) events_.erase(events_.begin() + static_cast<ptrdiff_t>(place.last_event));
    return Deliver(group, command, 1);
  }
  if (Has(command.unparked_offsets(), offset_)) {
    if (place.state == Place::State::kInvisible && place.attempts == 1 && place.last_event < events_.size()) {
      // So it was parked, not delivered: its message group was locked by then.
      LifeEvent& before = events_[place.last_event];
      before.what = "parked";
      before.client.clear();
      before.attempt = 0;
      before.until = absl::InfinitePast();
      before.detail.clear();
      place.state = Place::State::kParked;
    }
    if (place.state == Place::State::kParked) Deliver(group, command, 1);
    return;
  }
  if (Has(command.again_offsets(), offset_)) {
    if (place.state == Place::State::kVisible) Deliver(group, command, place.attempts + 1);
    return;
  }
  if (command.from() <= offset_ && offset_ < command.to()) PassOver(group, Has(command.parked_offsets(), offset_));
}

void LifeStory::Do(const log::Skip& command) {
  if (!IsHere(command.queue())) return;
  if (Has(command.unwanted_offsets(), offset_)) {
    Place& place = places_[command.group_id()];
    if (place.state != Place::State::kParked) return;
    place.state = Place::State::kSettled;
    place.settled_by = "filtered_out";
    Tell("filtered_out", command.group_id(), &place);
  } else if (command.from() <= offset_ && offset_ < command.to()) {
    PassOver(command.group_id(), Has(command.parked_offsets(), offset_));
  }
}

void LifeStory::Do(const log::Redeliver& command) {
  if (!IsHere(command.queue()) || !Has(command.offsets(), offset_)) return;
  Place& place = places_[command.group_id()];
  const bool is_its_own = place.client == command.client_id() && place.attempt_id_hash == command.attempt_id_hash();
  if (place.state != Place::State::kInvisible || !is_its_own) return;
  place.invisible_until = command.invisible_until();
  LifeEvent* const event = Tell("answered_again", command.group_id(), &place);
  event->client = place.client;
  event->attempt = place.attempts;
  event->until = absl::FromUnixMicros(place.invisible_until);
}

void LifeStory::Do(const log::Settle& command) {
  for (const log::Settle::Entry& entry : command.entries()) {
    Place* const place = Live(entry.delivery());
    if (place == nullptr) continue;
    const uint64_t group = entry.delivery().group_id();
    const int32_t attempt = place->attempts;
    LifeEvent* event = nullptr;
    switch (entry.action()) {
      case log::Settle::Entry::SHOW_AT:
        place->state = entry.visible_at() <= header_.time_us ? Place::State::kVisible : Place::State::kInvisible;
        place->invisible_until = entry.visible_at();
        event = Tell("returned", group, place);
        event->until = absl::FromUnixMicros(entry.visible_at());
        break;
      case log::Settle::Entry::SUSPEND:
        place->state = entry.visible_at() <= header_.time_us ? Place::State::kVisible : Place::State::kInvisible;
        place->invisible_until = entry.visible_at();
        place->nonce = header_.index;
        --place->attempts;
        event = Tell("suspended", group, place);
        event->until = absl::FromUnixMicros(entry.visible_at());
        break;
      case log::Settle::Entry::UNDELIVERED:
        place->state = Place::State::kVisible;
        place->nonce = header_.index;
        --place->attempts;
        event = Tell("undelivered", group, place);
        break;
      default:
        place->state = Place::State::kSettled;
        place->settled_by = "acknowledged";
        event = Tell("acknowledged", group, place);
        break;
    }
    event->client = place->client;
    event->attempt = attempt;
  }
}

void LifeStory::Do(const log::Hold& command) {
  for (const log::DeliveryRef& ref : command.deliveries()) {
    Place* const place = Live(ref);
    if (place == nullptr || place->state != Place::State::kInvisible) continue;
    place->invisible_until = command.cap();
    LifeEvent* const event = Tell("renewed", ref.group_id(), place);
    event->client = place->client;
    event->attempt = place->attempts;
    event->until = absl::FromUnixMicros(command.cap());
  }
}

void LifeStory::Do(const log::MakeVisible& command) {
  for (const log::DeliveryRef& ref : command.deliveries()) {
    Place* const place = Live(ref);
    // A later time than this record's may have been taken back since, by a ClientGone, which does not name messages.
    if (place == nullptr || place->state != Place::State::kInvisible) continue;
    place->state = Place::State::kVisible;
    LifeEvent* const event = Tell("lapsed", ref.group_id(), place);
    event->client = place->client;
    event->attempt = place->attempts;
  }
}

void LifeStory::Do(const log::Move& command) {
  Place* const place = Live(command.delivery());
  if (place == nullptr || IsDeadLetterTopic(queue_.topic)) return;
  const GroupId group(command.delivery().group_id());
  place->state = Place::State::kSettled;
  place->settled_by = "dead_lettered";
  LifeEvent* const event = Tell("dead_lettered", group.value(), place);
  event->client = place->client;
  event->attempt = command.attempts();
  event->detail = command.reason();
  departures_.push_back({{DeadLetterTopicId(group), 0}, header_.time_us});
}

void LifeStory::Do(const log::Redrive& command) {
  const GroupId group(command.group_id());
  if (QueueKey{DeadLetterTopicId(group), 0} != queue_) return;
  for (const log::Redrive::Entry& entry : command.entries()) {
    if (entry.offset() != offset_) continue;
    for (auto& [reader, place] : places_) {
      if (place.state == Place::State::kSettled) continue;
      place.state = Place::State::kSettled;
      place.settled_by = "redriven";
    }
    Tell("redriven", group.value(), nullptr);
    departures_.push_back({KeyOf(entry.to()), header_.time_us});
  }
}

void LifeStory::Do(const log::OpenCursor& command) {
  if (!IsHere(command.queue())) return;
  Place& place = places_[command.group_id()];
  if (place.state != Place::State::kNone || command.start() <= offset_) return;
  place.state = Place::State::kSettled;
  place.settled_by = "before_start";
  Tell("before_start", command.group_id(), &place)->detail =
      absl::StrCat("the group began to read the queue at offset ", command.start());
}

void LifeStory::Do(const log::SeekCursor& command) {
  if (!IsHere(command.queue())) return;
  Place& place = places_[command.group_id()];
  const bool is_owed = command.to() <= offset_;
  place.state = is_owed ? Place::State::kNone : Place::State::kSettled;
  place.settled_by = is_owed ? "" : "place_moved";
  Tell("place_moved", command.group_id(), &place)->detail =
      absl::StrCat("an operator moved the group to offset ", command.to());
}

void LifeStory::Do(const log::CloseSubscription& command) {
  if (TopicId(command.topic_id()) != queue_.topic || places_.erase(command.group_id()) == 0) return;
  Tell("unsubscribed", command.group_id(), nullptr)->detail = "the group does not read the topic any more";
}

void LifeStory::Do(const log::Expire& command) {
  if (!IsHere(command.queue()) || command.first() <= offset_) return;
  for (auto& [group, place] : places_) {
    if (place.state == Place::State::kSettled) continue;
    place.state = Place::State::kSettled;
    place.settled_by = "expired";
  }
  Tell("expired", 0, nullptr);
}

void LifeStory::Do(const log::ConfigureQueue& command) {
  if (IsHere(command.queue()) && command.deleted()) Tell("topic_deleted", 0, nullptr);
}

}  // namespace barid::broker
