#ifndef BARID_BASE_LITE_TOPIC_H_
#define BARID_BASE_LITE_TOPIC_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"

// Lite topics: names that producers make up under a parent topic of type LITE. Each is a queue of its own in one shard.
namespace barid {

inline constexpr size_t kMaxLiteTopicBytes = 64;

// The first queue id that a lite topic may have: no topic has so many queues of another kind.
inline constexpr int32_t kFirstLiteQueue = 1 << 20;

// kInvalidArgument, saying what was found and what is allowed: 1 to kMaxLiteTopicBytes bytes, none of them a control
// character, not only spaces.
absl::Status ValidateLiteTopic(absl::string_view name);

// Chooses the shard of a lite topic: the same on every machine and in every version.
uint64_t LiteTopicHash(TopicId parent, absl::string_view name);

}  // namespace barid

#endif  // BARID_BASE_LITE_TOPIC_H_
