#ifndef BARID_BROKER_LOOKUP_KEYS_H_
#define BARID_BROKER_LOOKUP_KEYS_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "broker/command.h"
#include "storage/record.h"

// What a record can be found by later: hashes that go into the hash files of sealed segments (storage/hash_file.h), so
// they are the same in every version. A hash only says where to look; whoever looks compares the record itself.
namespace barid::broker {

// The record has a message with this id, or with this key in this topic.
uint64_t MessageIdHash(absl::string_view message_id);
uint64_t MessageKeyHash(TopicId topic, absl::string_view key);

// The record says what became of messages of the record at `index`: fired, recalled, ended, checked, redriven.
uint64_t OriginHash(LogIndex index);

// The record says something of messages of a queue at offsets [kLifeBlock * block, kLifeBlock * (block + 1)), to some
// group: so a record that settles thousands in passing costs few hashes, and who looks for one message reads few
// records.
inline constexpr QueueOffset kLifeBlock = 64;
uint64_t LifeHash(const QueueKey& queue, int64_t block);
inline uint64_t LifeHashOf(const QueueKey& queue, QueueOffset offset) { return LifeHash(queue, offset / kLifeBlock); }

// The record says something of a queue as a whole, or opens a cursor in it.
uint64_t QueueHash(const QueueKey& queue);
// The same of a topic.
uint64_t TopicHash(TopicId topic);

// Calls `visit` for each hash of a record; for some more than once. kDataLoss if the record does not decode.
absl::Status VisitHashes(const storage::Record& record, absl::FunctionRef<void(uint64_t)> visit);

// A message in the bulk of a record that has messages.
struct BulkMessage {
  QueueKey queue;       // That it was sent to.
  uint32_t entry = 0;   // Its place in the record,
  uint32_t offset = 0;  // and in its payload.
  uint32_t bytes = 0;
  int64_t deliver_at = 0;  // Of a Schedule.
  // Of a Carry: what the record was that had the message first, in which `entry` is the message's place, and where in a
  // queue it stood when it was carried, if it stood in one.
  const log::Carry::Origin* origin = nullptr;
  std::optional<std::pair<QueueKey, QueueOffset>> carried_at;
};
// Calls `visit` for each message of an Append, a Schedule, a Prepare or a Carry; for no other command. What it is given
// points into the command.
void VisitMessages(const Command& command, size_t bulk_offset, absl::FunctionRef<void(const BulkMessage&)> visit);

}  // namespace barid::broker

#endif  // BARID_BROKER_LOOKUP_KEYS_H_
