#ifndef BARID_PROXY_VALIDATION_H_
#define BARID_PROXY_VALIDATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/metadata.h"
#include "base/stored_message.h"
#include "filter/filter_cache.h"
#include "proxy/options.h"

// The bounds of what clients may ask. Pure functions; each answers OK or a refusal (proxy/refusal.h) whose sentence
// names what was found and what was expected.
namespace barid::proxy {

absl::Status CheckTopic(const ResourceName& name);
absl::Status CheckGroup(const ResourceName& name);

// Everything about one message that does not need its topic. `index` is its place in the call.
absl::Status CheckMessage(const MessageDraft& draft, int index, const ProxyLimits& limits);

// What its topic says: the type, the size of the body; and nothing is sent to a topic that only the server adds to.
absl::Status CheckMessageAgainstTopic(const MessageDraft& draft, int index, const TopicMetadata& topic,
                                      const ProxyOptions& options);

// The types of messages that a topic takes: its own first. Others only where types are not enforced, and never a
// TRANSACTION message, whose producer would not be asked about it.
std::vector<MessageType> TakenTypes(MessageType topic, bool enforce_types);

// A delivery time may be over, but not farther ahead than `max_delay`.
absl::Status CheckDeliveryTime(const MessageDraft& draft, int index, absl::Time now, absl::Duration max_delay);

// How long the producer of a TRANSACTION message may take before it is asked: more than 0, at most `max_recovery`.
absl::Status CheckRecovery(const MessageDraft& draft, int index, absl::Duration recovery, absl::Duration max_recovery);

// The tags of `a || b`; none for all messages (`*` or nothing).
absl::StatusOr<std::vector<std::string>> ParseTagExpression(absl::string_view expression, int max_tags);

// An SQL filter (docs/filters.md); the refusal says at which character it is wrong. Those that can be read stay in the
// cache.
absl::Status CheckSqlExpression(absl::string_view expression, filter::FilterCache* cache);

absl::Status CheckReceiveInvisible(absl::Duration invisible, const ProxyOptions& options);
absl::Status CheckChangedInvisible(absl::Duration invisible, const ProxyOptions& options);

// How long a receive may wait. `asked` < 0: the client did not say. `remaining` is the time until the call's deadline.
absl::Duration PollTime(absl::Duration asked, absl::Duration remaining, const ProxyOptions& options);

}  // namespace barid::proxy

#endif  // BARID_PROXY_VALIDATION_H_
