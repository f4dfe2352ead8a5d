#ifndef BARID_BROKER_COMMAND_H_
#define BARID_BROKER_COMMAND_H_

#include <cstdint>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "barid/log/v1/log.pb.h"
#include "base/bytes.h"
#include "base/ids.h"

namespace barid::broker {

namespace log = ::barid::log::v1;

// A change of a shard's state, as it stands in the log (api/barid/log/v1/log.proto). The alternative's place is its
// number there, so index() is the record's type; monostate is none.
using Command =
    std::variant<std::monostate, log::EpochStart, log::Append, log::OpenCursor, log::Deliver, log::Skip, log::Hold,
                 log::Settle, log::MakeVisible, log::ClientGone, log::Move, log::Expire, log::Trim, log::ConfigureQueue,
                 log::StateHash, log::CloseGroup, log::Schedule, log::FireTimer, log::CancelTimer, log::Prepare,
                 log::EndTransaction, log::CheckTransaction, log::Redeliver, log::CommitOffset, log::SeekCursor,
                 log::Redrive, log::Carry, log::CloseSubscription>;
inline constexpr uint16_t kCommandTypes = std::variant_size_v<Command>;

inline uint16_t CommandType(const Command& command) { return static_cast<uint16_t>(command.index()); }
absl::string_view CommandName(uint16_t type);

// The payload of the record: length, command, bulk. The bulk is shared, not copied.
Bytes EncodePayload(const Command& command, const Bytes& bulk);

// Reads the command of a payload. kDataLoss if it does not follow the format or the type is unknown.
absl::StatusOr<Command> DecodeCommand(uint16_t type, absl::string_view payload);

// Bytes in front of the bulk; the payload was decoded before.
size_t BulkOffset(absl::string_view payload);

inline QueueKey KeyOf(const log::Queue& queue) { return {TopicId(queue.topic_id()), queue.queue_id()}; }
inline void SetKey(log::Queue* out, const QueueKey& key) {
  out->set_topic_id(key.topic.value());
  out->set_queue_id(key.queue);
}

}  // namespace barid::broker

#endif  // BARID_BROKER_COMMAND_H_
