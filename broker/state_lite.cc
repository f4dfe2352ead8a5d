// What commands do to the lite topics of a State: a lite topic is a queue whose id the state gives when its name first
// appears.
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/lite_topic.h"
#include "broker/mutation.h"
#include "broker/state.h"

namespace barid::broker {

absl::StatusOr<Outcome> State::MakeLite(const RecordInfo& record, const log::ConfigureQueue& command) {
  const TopicId topic(command.queue().topic_id());
  Outcome outcome;
  const std::optional<QueueKey> found = lite_.Find(topic, command.lite_topic());
  if (found && BARID_MUTATION(kLiteSecondQueue)) lite_.Erase(*found);
  if (found && !BARID_MUTATION(kLiteSecondQueue)) {
    outcome.queue = *found;
    outcome.status = absl::AlreadyExistsError("the lite topic is here");
    return outcome;
  }
  // A queue of a lite topic that went may still be emptied: it is not here any more, and its id not free yet.
  do {
    outcome.queue = lite_.Add(topic, command.lite_topic(), record.time_us);
    if (FindQueue(outcome.queue) == nullptr) break;
    lite_.Erase(outcome.queue);
  } while (true);
  SetQueue(outcome.queue, Queue());
  return outcome;
}

absl::Status State::CheckLiteGoes(const QueueKey& key, const Queue& queue, const log::ConfigureQueue& command) const {
  if (!command.has_lite_end()) return absl::OkStatus();
  if (lite_.Get(key) != nullptr && queue.end == command.lite_end() && queue.delayed == 0) return absl::OkStatus();
  return absl::AbortedError("something was sent to the lite topic meanwhile");
}

}  // namespace barid::broker
