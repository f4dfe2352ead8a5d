#include "cli/describe.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock.h"
#include "base/metadata.h"
#include "cli/table.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

constexpr size_t kLineBodyBytes = 200;

std::string QueuePlace(const v2::SystemProperties& system) {
  return absl::StrCat(system.queue_id(), "/", system.queue_offset());
}

// Sorted, so that output can be compared.
std::map<std::string, std::string> PropertiesOf(const v2::Message& message) {
  return {message.user_properties().begin(), message.user_properties().end()};
}

// Control characters would move a terminal's cursor.
std::string Shown(absl::string_view text) { return IsPrintable(text) ? std::string(text) : absl::CHexEscape(text); }

}  // namespace

std::string NameText(const admin::Name& name) { return ResourceName{name.namespace_(), name.name()}.ToString(); }

std::string TypeText(admin::TopicType type) { return std::string(MessageTypeName(static_cast<MessageType>(type))); }

void WriteName(const admin::Name& name, JsonWriter* json) {
  json->Field("namespace", name.namespace_()).Field("name", name.name());
}

void WriteQueues(const google::protobuf::RepeatedPtrField<admin::QueueStats>& queues, JsonWriter* json) {
  json->BeginArray();
  for (const admin::QueueStats& queue : queues) {
    json->BeginObject();
    json->Field("topic", queue.topic().name()).Field("shard", queue.shard()).Field("queue", queue.queue());
    json->Field("first", queue.first()).Field("end", queue.end()).Field("bytes", queue.bytes());
    json->Field("delayed", queue.delayed()).Field("repeated_sends", queue.repeated_sends());
    json->Field("reused_ids", queue.reused_ids());
    if (queue.lite_topics() > 0) json->Field("lite_topics", queue.lite_topics());
    json->Key("groups").BeginArray();
    for (const admin::QueueStats::GroupPlace& place : queue.groups()) {
      json->BeginObject();
      WriteName(place.group(), json);
      json->Field("floor", place.floor()).Field("next", place.next()).Field("in_flight", place.in_flight());
      json->Field("ready_again", place.ready_again()).Field("parked", place.parked()).Field("lag", place.lag()).End();
    }
    json->End().End();
  }
  json->End();
}

void WriteCounts(const google::protobuf::RepeatedPtrField<admin::GroupCount>& counts, JsonWriter* json) {
  json->BeginArray();
  for (const admin::GroupCount& count : counts) {
    json->BeginObject().Key("group").BeginObject();
    WriteName(count.group(), json);
    json->End().Key("topic").BeginObject();
    WriteName(count.topic(), json);
    json->End().Field("ready", count.ready()).Field("in_flight", count.in_flight()).Field("blocked", count.blocked());
    json->Field("delayed", count.delayed()).Field("dead_lettered", count.dead_lettered());
    if (count.has_oldest()) json->Field("oldest", TimeText(FromProto(count.oldest())));
    json->End();
  }
  json->End();
}

void PrintCounts(const google::protobuf::RepeatedPtrField<admin::GroupCount>& counts, CountedBy by, std::ostream& out) {
  Table table({by == CountedBy::kGroup ? "GROUP" : "TOPIC", "READY", "IN FLIGHT", "BLOCKED", "DELAYED", "DEAD-LETTERED",
               "OLDEST"});
  for (const admin::GroupCount& count : counts) {
    table.AddRow({NameText(by == CountedBy::kGroup ? count.group() : count.topic()), absl::StrCat(count.ready()),
                  absl::StrCat(count.in_flight()), absl::StrCat(count.blocked()), absl::StrCat(count.delayed()),
                  absl::StrCat(count.dead_lettered()), count.has_oldest() ? TimeText(FromProto(count.oldest())) : ""});
  }
  if (table.empty()) return;
  out << "\n";
  table.Print(out);
}

void WarnOfSilentBrokers(const google::protobuf::RepeatedPtrField<std::string>& brokers, std::ostream& err) {
  if (brokers.empty()) return;
  err << "baridctl: the figures of " << absl::StrJoin(brokers, ", ") << " are missing because "
      << (brokers.size() == 1 ? "it" : "they") << " did not answer; see baridctl status.\n";
}

void PrintMessage(const v2::Message& message, std::ostream& out) {
  const v2::SystemProperties& system = message.system_properties();
  Table table({});
  table.AddRow({"topic", Shown(message.topic().name())});
  table.AddRow({"queue/offset", QueuePlace(system)});
  table.AddRow({"id", Shown(system.message_id())});
  table.AddRow({"attempt", absl::StrCat(system.delivery_attempt())});
  table.AddRow({"tag", Shown(system.tag())});
  table.AddRow({"keys", Shown(absl::StrJoin(system.keys(), " "))});
  if (system.has_message_group()) table.AddRow({"group", Shown(system.message_group())});
  if (system.has_lite_topic()) table.AddRow({"lite topic", Shown(system.lite_topic())});
  if (system.has_priority()) table.AddRow({"priority", absl::StrCat(system.priority())});
  if (system.has_store_timestamp()) table.AddRow({"stored", TimeText(FromProto(system.store_timestamp()))});
  if (system.has_delivery_timestamp()) table.AddRow({"due", TimeText(FromProto(system.delivery_timestamp()))});
  if (system.has_dead_letter_queue()) {
    table.AddRow({"died in", absl::StrCat(Shown(system.dead_letter_queue().topic()), ", id ",
                                          Shown(system.dead_letter_queue().message_id()))});
  }
  for (const auto& [name, value] : PropertiesOf(message)) {
    table.AddRow({"property", absl::StrCat(Shown(name), "=", Shown(value))});
  }
  table.AddRow({"body", absl::StrCat(message.body().size(), message.body().size() == 1 ? " byte" : " bytes",
                                     system.body_encoding() == v2::GZIP ? ", gzip" : "")});
  table.Print(out);
  out << (IsPrintable(message.body()) ? absl::StrCat(message.body(), "\n") : HexDump(message.body())) << "\n";
}

void PrintMessageLine(const v2::Message& message, std::ostream& out) {
  const v2::SystemProperties& system = message.system_properties();
  out << TimeText(FromProto(system.store_timestamp())) << "  " << QueuePlace(system) << "  "
      << Shown(system.message_id());
  if (system.has_tag()) out << "  tag=" << Shown(system.tag());
  if (!system.keys().empty()) out << "  keys=" << Shown(absl::StrJoin(system.keys(), ","));
  if (system.has_message_group()) out << "  group=" << Shown(system.message_group());
  if (system.has_lite_topic()) out << "  lite_topic=" << Shown(system.lite_topic());
  if (system.has_priority()) out << "  priority=" << system.priority();
  for (const auto& [name, value] : PropertiesOf(message)) out << "  " << Shown(name) << "=" << Shown(value);
  // Text in UTF-8 is not cut inside a character.
  absl::string_view body = message.body();
  size_t shown = std::min(body.size(), kLineBodyBytes);
  while (shown > 0 && shown < body.size() && (body[shown] & 0xc0) == 0x80) --shown;
  body = body.substr(0, shown);
  out << "  " << (IsPrintable(body) ? absl::Utf8SafeCEscape(body) : absl::CHexEscape(body));
  if (shown < message.body().size()) out << "... (" << message.body().size() << " bytes)";
  out << "\n";
}

void PrintMessageJson(const v2::Message& message, std::ostream& out) {
  const v2::SystemProperties& system = message.system_properties();
  JsonWriter json;
  json.BeginObject().Field("topic", message.topic().name());
  json.Field("queue", system.queue_id()).Field("offset", system.queue_offset()).Field("id", system.message_id());
  json.Field("attempt", system.delivery_attempt());
  if (system.has_tag()) json.Field("tag", system.tag());
  json.Key("keys").BeginArray();
  for (const std::string& key : system.keys()) json.Value(key);
  json.End();
  if (system.has_message_group()) json.Field("message_group", system.message_group());
  if (system.has_lite_topic()) json.Field("lite_topic", system.lite_topic());
  if (system.has_priority()) json.Field("priority", system.priority());
  json.Key("properties").BeginObject();
  for (const auto& [name, value] : PropertiesOf(message)) json.Field(name, value);
  json.End();
  if (system.has_born_timestamp()) json.Field("born", TimeText(FromProto(system.born_timestamp())));
  if (system.has_store_timestamp()) json.Field("stored", TimeText(FromProto(system.store_timestamp())));
  if (system.has_delivery_timestamp()) json.Field("due", TimeText(FromProto(system.delivery_timestamp())));
  if (system.has_dead_letter_queue()) {
    json.Key("dead_letter_origin").BeginObject();
    json.Field("topic", system.dead_letter_queue().topic()).Field("id", system.dead_letter_queue().message_id()).End();
  }
  json.Field("receipt", system.receipt_handle());
  if (IsUtf8(message.body())) {
    json.Field("body", message.body());
  } else {
    json.Field("body_base64", absl::Base64Escape(message.body()));
  }
  out << json.End().text() << "\n";
}

}  // namespace barid::cli
