#include "base/stored_message.h"

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/crypto.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"

namespace barid {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint16_t kHasTag = 1;
constexpr uint16_t kHasGroup = 2;
constexpr uint16_t kHasDeliveryTime = 4;

// The wire format of Protocol Buffers, written by hand: base does not know the public protos, and this is the hot path.
// tests/base/stored_message_test.cc holds it against the generated code.
constexpr uint64_t Tag(int field, int wire_type) { return static_cast<uint64_t>(field) << 3 | wire_type; }

void PutString(std::string* out, int field, absl::string_view value) {
  PutVarint(out, Tag(field, 2));
  PutLengthPrefixed(out, value);
}
void PutNumber(std::string* out, int field, uint64_t value) {
  PutVarint(out, Tag(field, 0));
  PutVarint(out, value);
}
// Timestamp and Duration have the same two fields: seconds, nanos.
void PutSecondsNanos(std::string* out, int field, int64_t seconds, int64_t nanos) {
  std::string inner;
  if (seconds != 0) PutNumber(&inner, 1, static_cast<uint64_t>(seconds));
  if (nanos != 0) PutNumber(&inner, 2, static_cast<uint64_t>(nanos));
  PutString(out, field, inner);
}
void PutTime(std::string* out, int field, absl::Time time) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  PutSecondsNanos(out, field, seconds, absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds)));
}
void PutDuration(std::string* out, int field, absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  PutSecondsNanos(out, field, seconds, absl::ToInt64Nanoseconds(duration - absl::Seconds(seconds)));
}

// What PutString takes for a field below 16.
size_t SizeOfString(absl::string_view value) { return 1 + VarintSize(value.size()) + value.size(); }

// Field numbers of apache.rocketmq.v2.SystemProperties and Message.
void PutSystemProperties(std::string* out, const MessageDraft& draft) {
  if (draft.tag) PutString(out, 1, *draft.tag);
  for (absl::string_view key : draft.keys) PutString(out, 2, key);
  PutString(out, 3, draft.message_id);
  const std::string checksum = Sha1Hex(draft.body);
  PutVarint(out, Tag(4, 2));
  PutVarint(out, 2 + SizeOfString(checksum));
  PutNumber(out, 1, 3);  // DigestType SHA1.
  PutString(out, 2, checksum);
  PutNumber(out, 5, draft.body_encoding == 0 ? 1 : draft.body_encoding);
  PutNumber(out, 6, static_cast<uint64_t>(draft.type));
  PutTime(out, 7, draft.born_time);
  if (!draft.born_host.empty()) PutString(out, 8, draft.born_host);
  if (draft.delivery_time) PutTime(out, 11, *draft.delivery_time);
  if (draft.message_group) PutString(out, 17, *draft.message_group);
  if (draft.trace_context) PutString(out, 18, *draft.trace_context);
  if (draft.lite_topic) PutString(out, 21, *draft.lite_topic);
  if (draft.priority) PutNumber(out, 22, static_cast<uint64_t>(*draft.priority));
}

// At least what the message takes, so that it is put together in one allocation.
size_t RoomFor(const MessageDraft& draft) {
  constexpr size_t kNumbersAndDigest = 192;
  constexpr size_t kTagAndLength = 12;  // Of one text.
  size_t texts = draft.message_id.size() + draft.tag.value_or("").size() + draft.message_group.value_or("").size();
  for (absl::string_view key : draft.keys) texts += key.size() + kTagAndLength;
  size_t room = kStoredMessageHeaderBytes + kNumbersAndDigest + 2 * texts + draft.born_host.size() +
                draft.trace_context.value_or("").size() + draft.lite_topic.value_or("").size() + draft.body.size();
  for (const auto& [key, value] : draft.properties) room += key.size() + value.size() + 2 * kTagAndLength;
  return room;
}

absl::Status Malformed(absl::string_view what) { return absl::DataLossError(absl::StrCat("stored message: ", what)); }

}  // namespace

Buffer EncodeStoredMessage(const MessageDraft& draft) {
  std::string out;
  out.reserve(RoomFor(draft));
  out.resize(kStoredMessageHeaderBytes);

  PutLengthPrefixed(&out, draft.message_id);
  if (draft.tag) PutLengthPrefixed(&out, *draft.tag);
  if (draft.message_group) PutLengthPrefixed(&out, *draft.message_group);
  PutVarint(&out, draft.keys.size());
  for (absl::string_view key : draft.keys) PutLengthPrefixed(&out, key);
  const size_t names_end = out.size();

  for (const auto& [key, value] : draft.properties) {
    PutVarint(&out, Tag(2, 2));
    PutVarint(&out, SizeOfString(key) + SizeOfString(value));
    PutString(&out, 1, key);
    PutString(&out, 2, value);
  }
  const size_t properties_end = out.size();

  PutSystemProperties(&out, draft);
  const size_t system_end = out.size();

  PutVarint(&out, Tag(4, 2));
  PutVarint(&out, draft.body.size());
  // The body's last copy: log, cache and deliveries share what is made here, in one run of bytes. To share the
  // request's instead would keep all of it, with the other messages of its batch, for as long as one of them is cached.
  out.append(draft.body.data(), draft.body.size());

  uint16_t flags = 0;
  if (draft.tag) flags |= kHasTag;
  if (draft.message_group) flags |= kHasGroup;
  if (draft.delivery_time) flags |= kHasDeliveryTime;
  char* const header = out.data();
  StoreFixed<uint8_t>(header, kVersion);
  StoreFixed<uint8_t>(header + 1, static_cast<uint8_t>(draft.type));
  StoreFixed<uint16_t>(header + 2, flags);
  StoreFixed<uint32_t>(header + 4, names_end - kStoredMessageHeaderBytes);
  StoreFixed<uint32_t>(header + 8, properties_end - names_end);
  StoreFixed<uint32_t>(header + 12, system_end - properties_end);
  StoreFixed<uint32_t>(header + 16, out.size() - system_end);
  StoreFixed<uint32_t>(header + 20, draft.body.size());
  StoreFixed<int64_t>(header + 24, absl::ToUnixMicros(draft.born_time));
  StoreFixed<int64_t>(header + 32, draft.delivery_time ? absl::ToUnixMicros(*draft.delivery_time) : 0);
  StoreFixed<int32_t>(header + 40, draft.priority.value_or(0));
  return Buffer(std::move(out));
}

absl::StatusOr<StoredMessageView> DecodeStoredMessage(absl::string_view bytes) {
  if (bytes.size() < kStoredMessageHeaderBytes) return Malformed("shorter than its header");
  const char* p = bytes.data();
  if (static_cast<uint8_t>(p[0]) != kVersion) return Malformed(absl::StrCat("version ", static_cast<int>(p[0])));
  StoredMessageView view;
  view.type = static_cast<MessageType>(p[1]);
  const auto flags = LoadFixed<uint16_t>(p + 2);
  const uint64_t names_bytes = LoadFixed<uint32_t>(p + 4);
  const uint64_t properties_bytes = LoadFixed<uint32_t>(p + 8);
  const uint64_t system_bytes = LoadFixed<uint32_t>(p + 12);
  const uint64_t body_field_bytes = LoadFixed<uint32_t>(p + 16);
  view.body_bytes = LoadFixed<uint32_t>(p + 20);
  view.born_time = absl::FromUnixMicros(LoadFixed<int64_t>(p + 24));
  if (flags & kHasDeliveryTime) view.delivery_time = absl::FromUnixMicros(LoadFixed<int64_t>(p + 32));
  view.priority = LoadFixed<int32_t>(p + 40);
  bytes.remove_prefix(kStoredMessageHeaderBytes);
  if (bytes.size() != names_bytes + properties_bytes + system_bytes + body_field_bytes) {
    return Malformed("parts do not add up to the whole");
  }
  absl::string_view names = bytes.substr(0, names_bytes);
  view.user_properties = bytes.substr(names_bytes, properties_bytes);
  view.system_properties = bytes.substr(names_bytes + properties_bytes, system_bytes);
  view.body = bytes.substr(names_bytes + properties_bytes + system_bytes);

  // Delivery passes the field on as it is, so its head must be the body's.
  absl::string_view body = view.body;
  uint64_t tag = 0;
  uint64_t size = 0;
  if (!GetVarint(&body, &tag) || tag != Tag(4, 2) || !GetVarint(&body, &size) || size != view.body_bytes ||
      body.size() != size) {
    return Malformed("body");
  }

  const auto get = [&names](absl::string_view* out) { return GetLengthPrefixed(&names, out); };
  if (!get(&view.message_id)) return Malformed("message id");
  if (flags & kHasTag) {
    if (!get(&view.tag.emplace())) return Malformed("tag");
  }
  if (flags & kHasGroup) {
    if (!get(&view.message_group.emplace())) return Malformed("message group");
  }
  uint64_t keys = 0;
  if (!GetVarint(&names, &keys) || keys > names.size()) return Malformed("number of keys");
  view.keys.resize(keys);
  for (absl::string_view& key : view.keys) {
    if (!get(&key)) return Malformed("key");
  }
  if (!names.empty()) return Malformed("bytes behind the keys");
  return view;
}

bool PropertyReader::Next(absl::string_view* key, absl::string_view* value) {
  uint64_t tag = 0;
  absl::string_view entry;
  if (!GetVarint(&rest_, &tag) || tag != Tag(2, 2) || !GetLengthPrefixed(&rest_, &entry)) return false;
  *key = *value = absl::string_view();
  absl::string_view text;
  while (GetVarint(&entry, &tag) && GetLengthPrefixed(&entry, &text)) {
    (tag == Tag(1, 2) ? *key : *value) = text;
  }
  return true;
}

std::vector<std::pair<absl::string_view, absl::string_view>> StoredMessageView::Properties() const {
  std::vector<std::pair<absl::string_view, absl::string_view>> pairs;
  PropertyReader reader(user_properties);
  std::pair<absl::string_view, absl::string_view> pair;
  while (reader.Next(&pair.first, &pair.second)) pairs.push_back(pair);
  return pairs;
}

absl::string_view StoredMessageView::Body() const { return body.substr(body.size() - body_bytes); }

uint32_t TagHash(absl::string_view tag) {
  const auto hash = static_cast<uint32_t>(StableHash(tag));
  return hash == 0 ? 1 : hash;
}

uint64_t MessageGroupHash(absl::string_view message_group) {
  const uint64_t hash = StableHash(message_group);
  return hash == 0 ? 1 : hash;
}

absl::StatusOr<Bytes> SpliceDelivery(const Buffer& stored, const DeliveryFields& fields) {
  ASSIGN_OR_RETURN(const StoredMessageView view, DecodeStoredMessage(stored.view()));

  std::string appended;
  appended.reserve(256);
  PutTime(&appended, 9, fields.store_time);
  if (!fields.store_host.empty()) PutString(&appended, 10, fields.store_host);
  const bool is_delivery = !fields.receipt_handle.empty();
  if (is_delivery) PutString(&appended, 12, fields.receipt_handle);
  PutNumber(&appended, 13, static_cast<uint64_t>(fields.queue_id));
  PutNumber(&appended, 14, static_cast<uint64_t>(fields.queue_offset));
  if (is_delivery) PutDuration(&appended, 15, fields.invisible_duration);
  if (is_delivery) PutNumber(&appended, 16, static_cast<uint64_t>(fields.attempt));
  if (fields.dead_letter_origin) {
    std::string origin;
    PutString(&origin, 1, fields.dead_letter_origin->topic);
    PutString(&origin, 2, fields.dead_letter_origin->message_id);
    PutString(&appended, 20, origin);
  }

  std::string head;
  std::string topic;
  if (!fields.topic.space.empty()) PutString(&topic, 1, fields.topic.space);
  PutString(&topic, 2, fields.topic.name);
  PutString(&head, 1, topic);
  std::string system_head;
  PutVarint(&system_head, Tag(3, 2));
  PutVarint(&system_head, view.system_properties.size() + appended.size());

  const auto part = [&stored](absl::string_view bytes) {
    return stored.Slice(bytes.data() - stored.data(), bytes.size());
  };
  Bytes out;
  // Small parts are copied together, so that what goes to the transport is one small piece and one shared body. The
  // transport would copy them, too: below 2 KiB that is cheaper than a reference.
  head.append(view.user_properties.data(), view.user_properties.size());
  head += system_head;
  head.append(view.system_properties.data(), view.system_properties.size());
  head += appended;
  out.Append(Buffer(std::move(head)));
  out.Append(part(view.body));
  return out;
}

}  // namespace barid
