#ifndef BARID_CLI_DESCRIBE_H_
#define BARID_CLI_DESCRIBE_H_

#include <ostream>
#include <string>

#include "cli/client.h"
#include "cli/json.h"

// What several commands show of the same things.
namespace barid::cli {

// "space/name", or the name alone in the default namespace.
std::string NameText(const admin::Name& name);
// "normal"; also for numbers that this version does not know.
std::string TypeText(admin::TopicType type);

// The fields "namespace" and "name" of an open object.
void WriteName(const admin::Name& name, JsonWriter* json);
void WriteQueues(const google::protobuf::RepeatedPtrField<admin::QueueStats>& queues, JsonWriter* json);

void WriteCounts(const google::protobuf::RepeatedPtrField<admin::GroupCount>& counts, JsonWriter* json);
// A row for each, named by its group, or by its topic; nothing if there is none.
enum class CountedBy { kGroup, kTopic };
void PrintCounts(const google::protobuf::RepeatedPtrField<admin::GroupCount>& counts, CountedBy by, std::ostream& out);

// Tells on `err` whose figures are missing.
void WarnOfSilentBrokers(const google::protobuf::RepeatedPtrField<std::string>& brokers, std::ostream& err);

// A message with everything a person asks of it, several lines.
void PrintMessage(const v2::Message& message, std::ostream& out);
// The same on one line, with the beginning of the body.
void PrintMessageLine(const v2::Message& message, std::ostream& out);
// One JSON object on one line. The body is "body" if it is UTF-8, else "body_base64".
void PrintMessageJson(const v2::Message& message, std::ostream& out);

}  // namespace barid::cli

#endif  // BARID_CLI_DESCRIBE_H_
