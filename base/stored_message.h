#ifndef BARID_BASE_STORED_MESSAGE_H_
#define BARID_BASE_STORED_MESSAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/metadata.h"

// The bytes of a message as a broker keeps them: encoded once by the proxy that took the send, never decoded and
// encoded again. docs/storage-format.md draws them.
//
//   fixed header 48 bytes | message id, tag, message group, keys | user properties | system properties | body
//
// The last three are pieces of the public encoding (apache.rocketmq.v2.Message, wire format of Protocol Buffers): user
// properties is its repeated field 2, body its field 4, system properties the inside of its field 3. Delivery puts them
// behind the topic and appends to the system properties what only the broker knows: a splice.
namespace barid {

inline constexpr size_t kStoredMessageHeaderBytes = 48;

// What a producer sent, validated. Views live as long as the caller's request.
struct MessageDraft {
  MessageType type = MessageType::kNormal;
  absl::string_view message_id;
  std::optional<absl::string_view> tag;
  std::vector<absl::string_view> keys;
  std::optional<absl::string_view> message_group;
  std::optional<absl::string_view> trace_context;
  std::optional<absl::string_view> lite_topic;
  std::optional<int32_t> priority;
  std::vector<std::pair<absl::string_view, absl::string_view>> properties;
  int32_t body_encoding = 1;  // apache.rocketmq.v2.Encoding; kept as sent, IDENTITY if unset.
  absl::string_view body;
  absl::Time born_time;
  absl::string_view born_host;
  std::optional<absl::Time> delivery_time;
};

// Encodes it, with the SHA-1 of the body as its digest. One allocation.
Buffer EncodeStoredMessage(const MessageDraft& draft);

// Reads the pairs of StoredMessageView::user_properties one after the other, without copying.
class PropertyReader {
 public:
  explicit PropertyReader(absl::string_view user_properties) : rest_(user_properties) {}

  // False at the end, or where the bytes do not follow the format.
  bool Next(absl::string_view* key, absl::string_view* value);

 private:
  absl::string_view rest_;
};

// Reads the parts without copying; views live as long as the bytes.
struct StoredMessageView {
  MessageType type = MessageType::kUnspecified;
  absl::string_view message_id;
  std::optional<absl::string_view> tag;
  std::optional<absl::string_view> message_group;
  std::vector<absl::string_view> keys;
  absl::Time born_time;
  std::optional<absl::Time> delivery_time;
  int32_t priority = 0;
  uint32_t body_bytes = 0;

  absl::string_view user_properties;    // Wire format, field 2 repeated.
  absl::string_view system_properties;  // Wire format, inside of field 3.
  absl::string_view body;               // Wire format, field 4 with its tag.

  // The pairs of user_properties.
  std::vector<std::pair<absl::string_view, absl::string_view>> Properties() const;
  // The body itself.
  absl::string_view Body() const;
};
// kDataLoss if the bytes do not follow the format.
absl::StatusOr<StoredMessageView> DecodeStoredMessage(absl::string_view bytes);

// 0 for a message without a tag; what the index keeps, and filters look at first.
uint32_t TagHash(absl::string_view tag);
// The same on every machine and in every version, and never 0, which stands for a message without a message group:
// orders messages in an index, and chooses the queue of a FIFO topic.
uint64_t MessageGroupHash(absl::string_view message_group);

// What the broker knows of a delivery.
struct DeliveryFields {
  ResourceName topic;
  std::string receipt_handle;  // Empty: it is nobody's; then attempt and invisible time are left out, too.
  int32_t queue_id = 0;
  int64_t queue_offset = 0;
  int32_t attempt = 1;
  absl::Time store_time;
  absl::string_view store_host;
  absl::Duration invisible_duration;
  struct DeadLetterOrigin {
    std::string topic;
    std::string message_id;
  };
  std::optional<DeadLetterOrigin> dead_letter_origin;
};

// The public encoding of a delivered message (apache.rocketmq.v2.Message), sharing the stored bytes.
absl::StatusOr<Bytes> SpliceDelivery(const Buffer& stored, const DeliveryFields& fields);

}  // namespace barid

#endif  // BARID_BASE_STORED_MESSAGE_H_
