#include "proxy/fingerprint.h"

#include <algorithm>
#include <optional>

#include "base/hash.h"

namespace barid::proxy {
namespace {

constexpr uint64_t kContentSeed = 0x9e3779b97f4a7c15;

uint64_t NotZero(uint64_t hash) { return std::max<uint64_t>(hash, 1); }

// Something that is there and empty is not the same as nothing.
uint64_t HashOf(const std::optional<absl::string_view>& text) { return text ? NotZero(StableHash(*text)) : 0; }

}  // namespace

Fingerprint FingerprintOf(const MessageDraft& draft, TopicId topic, const Producer& producer) {
  uint64_t keys = draft.keys.size();
  for (const absl::string_view key : draft.keys) keys = StableHash({keys, StableHash(key)});
  // A sum: a map has no order.
  uint64_t properties = draft.properties.size();
  for (const auto& [name, value] : draft.properties) properties += StableHash({StableHash(name), StableHash(value)});

  Fingerprint fingerprint;
  fingerprint.id = NotZero(StableHash(draft.message_id, topic.value()));
  fingerprint.content = NotZero(StableHash(
      {topic.value(), StableHash(draft.message_id, kContentSeed), StableHash(producer.client_id),
       StableHash(producer.born_host), static_cast<uint64_t>(draft.type), draft.delivery_time.has_value(),
       static_cast<uint64_t>(draft.delivery_time ? absl::ToUnixMicros(*draft.delivery_time) : 0),
       draft.priority.has_value(), static_cast<uint64_t>(draft.priority.value_or(0)), HashOf(draft.lite_topic),
       HashOf(draft.tag), HashOf(draft.message_group), keys, properties, StableHash(draft.body)}));
  return fingerprint;
}

}  // namespace barid::proxy
