#ifndef BARID_CLI_STORED_MESSAGE_TEXT_H_
#define BARID_CLI_STORED_MESSAGE_TEXT_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/json.h"

// What was found by an operator, asked for and shown.
namespace barid::cli {

// "queued", "scheduled", ...
std::string StateText(admin::MessageState state);
// "shard-0/2/4711"; without an offset if it has none.
std::string PlaceText(const admin::StoredMessage& message);

// `more`: there may be more.
struct FoundMessages {
  std::vector<admin::StoredMessage> messages;
  bool more = false;
};
// Asks page by page until `max` messages are there that are to be kept, or there are no more. Warns on `err` of brokers
// that did not answer.
absl::StatusOr<FoundMessages> FindMessages(Client* client, admin::FindMessagesRequest request, int64_t max,
                                           std::ostream& err,
                                           const std::function<bool(const admin::StoredMessage&)>& keep = nullptr);

// One row each.
void PrintFound(const std::vector<admin::StoredMessage>& messages, std::ostream& out);
// Everything, several lines.
void PrintStored(const admin::StoredMessage& message, std::ostream& out);
void WriteStored(const admin::StoredMessage& message, bool with_body, JsonWriter* json);

}  // namespace barid::cli

#endif  // BARID_CLI_STORED_MESSAGE_TEXT_H_
