// What the commands about positions do to a State: offsets that groups store, and cursors that are moved.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "broker/mutation.h"
#include "broker/state.h"

namespace barid::broker {
namespace {

Outcome Refused(absl::Status why) {
  Outcome outcome;
  outcome.status = std::move(why);
  return outcome;
}

}  // namespace

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::CommitOffset& command) {
  const CursorKey key{GroupId(command.group_id()), KeyOf(command.queue())};
  const Queue* const queue = FindQueue(key.queue);
  if (queue == nullptr || queue->deleted) return Refused(absl::NotFoundError("the queue is not here"));
  if (command.offset() < 0 || command.offset() > queue->end) {
    return Refused(OffsetRangeError(
        {0, queue->end}, absl::StrCat("the offset is ", command.offset(), ", expected at least 0 and at most ",
                                      queue->end, ", the end of the queue")));
  }
  if (BARID_MUTATION(kCommitOffsetForgotten)) return Outcome();
  if (BARID_MUTATION(kCommitOffsetOnlyForwards) && command.offset() < offsets_.Find(key).value_or(0)) return Outcome();
  offsets_.Set(key, command.offset());
  return Outcome();
}

absl::StatusOr<Outcome> State::Do(const RecordInfo& record, const log::SeekCursor& command) {
  const CursorKey key{GroupId(command.group_id()), KeyOf(command.queue())};
  const Queue* const queue = FindQueue(key.queue);
  if (queue == nullptr || queue->deleted) return Refused(absl::NotFoundError("the queue is not here"));
  QueueOffset to = std::clamp(command.to(), queue->first, queue->end);
  if (BARID_MUTATION(kSeekOneTooFar) && to < queue->end) ++to;
  Outcome outcome;
  outcome.queue = key.queue;
  outcome.first_offset = to;
  const auto it = cursors_.find(key);
  if (it == cursors_.end()) {
    OpenCursor(key, to, command.ordered());
    return outcome;
  }
  Cursor* const cursor = &it->second;
  if (BARID_MUTATION(kSeekOnlyForwards) && to < cursor->next) return outcome;
  outcome.dropped_in_flight = static_cast<int64_t>(cursor->in_flight.size());
  outcome.dropped_parked = cursor->parked.size();
  if (!BARID_MUTATION(kSeekKeepsDeliveries)) DropDeliveries(key, cursor);
  if (!BARID_MUTATION(kSeekKeepsParked)) DropParked(key, cursor);
  SetNext(key, cursor, to);
  return outcome;
}

}  // namespace barid::broker
