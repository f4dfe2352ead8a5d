#ifndef BARID_BROKER_LOOKUP_KEYS_H_
#define BARID_BROKER_LOOKUP_KEYS_H_

#include <cstdint>

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

// Calls `visit` for each hash of a record; for some more than once. kDataLoss if the record does not decode.
absl::Status VisitHashes(const storage::Record& record, absl::FunctionRef<void(uint64_t)> visit);

// A message in the bulk of a record that has messages.
struct BulkMessage {
  QueueKey queue;
  uint32_t entry = 0;   // Its place in the record,
  uint32_t offset = 0;  // and in its payload.
  uint32_t bytes = 0;
  int64_t deliver_at = 0;  // Of a Schedule.
};
// Calls `visit` for each message of an Append, a Schedule or a Prepare; for no other command.
void VisitMessages(const Command& command, size_t bulk_offset, absl::FunctionRef<void(const BulkMessage&)> visit);

}  // namespace barid::broker

#endif  // BARID_BROKER_LOOKUP_KEYS_H_
