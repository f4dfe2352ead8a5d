#include "cli/stored_message_text.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/describe.h"
#include "cli/table.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

constexpr int32_t kPage = 1000;  // What a server gives at once.

bool HasOffset(const admin::StoredMessage& message) {
  return message.state() == admin::QUEUED || message.state() == admin::DISCARDED;
}

}  // namespace

std::string StateText(admin::MessageState state) { return absl::AsciiStrToLower(admin::MessageState_Name(state)); }

std::string PlaceText(const admin::StoredMessage& message) {
  return HasOffset(message) ? absl::StrCat(message.shard(), "/", message.queue(), "/", message.offset())
                            : absl::StrCat(message.shard(), "/", message.queue());
}

absl::StatusOr<FoundMessages> FindMessages(Client* client, admin::FindMessagesRequest request, int64_t max,
                                           std::ostream& err,
                                           const std::function<bool(const admin::StoredMessage&)>& keep) {
  FoundMessages found;
  while (true) {
    const int64_t left = max - static_cast<int64_t>(found.messages.size());
    request.set_max_messages(static_cast<int32_t>(std::min<int64_t>(left, kPage)));
    ASSIGN_OR_RETURN(admin::FindMessagesResponse response,
                     client->CallPatiently(&admin::Admin::Stub::FindMessages, request));
    if (!response.silent_brokers().empty()) {
      err << "baridctl: the messages of " << absl::StrJoin(response.silent_brokers(), ", ")
          << " are missing; see baridctl status.\n";
    }
    for (admin::StoredMessage& message : *response.mutable_messages()) {
      if (keep == nullptr || keep(message)) found.messages.push_back(std::move(message));
    }
    request.set_resume(response.resume());
    if (response.resume().empty()) return found;
    if (static_cast<int64_t>(found.messages.size()) >= max) {
      found.more = true;
      return found;
    }
  }
}

void PrintFound(const std::vector<admin::StoredMessage>& messages, std::ostream& out) {
  Table table({"SHARD/QUEUE/OFFSET", "ID", "STATE", "ENTERED", "TAG", "KEYS", "BYTES"});
  for (const admin::StoredMessage& message : messages) {
    table.AddRow({PlaceText(message), message.message_id(), StateText(message.state()),
                  TimeText(FromProto(message.has_entered() ? message.entered() : message.stored())), message.tag(),
                  absl::StrJoin(message.keys(), " "), absl::StrCat(message.body_bytes())});
  }
  table.Print(out);
}

void PrintStored(const admin::StoredMessage& message, std::ostream& out) {
  Table table({});
  table.AddRow({"id", message.message_id()});
  table.AddRow({"topic", NameText(message.topic())});
  table.AddRow({"state", StateText(message.state())});
  table.AddRow({HasOffset(message) ? "shard/queue/offset" : "shard/queue", PlaceText(message)});
  if (message.has_due()) table.AddRow({"due", TimeText(FromProto(message.due()))});
  if (message.has_entered()) table.AddRow({"entered", TimeText(FromProto(message.entered()))});
  table.AddRow({"stored", TimeText(FromProto(message.stored()))});
  table.AddRow({"record", absl::StrCat(message.log_index(), " at log position ", message.log_position())});
  if (message.has_origin()) {
    table.AddRow({"died in", message.origin().topic()});
    table.AddRow({"message id there", message.origin().message_id()});
    table.AddRow({"attempts", absl::StrCat(message.origin().attempts())});
    table.AddRow({"reason", message.origin().reason()});
  }
  table.AddRow({"born", TimeText(FromProto(message.born()))});
  table.AddRow({"tag", message.tag()});
  table.AddRow({"keys", absl::StrJoin(message.keys(), " ")});
  if (!message.message_group().empty()) table.AddRow({"group", message.message_group()});
  for (const admin::StoredMessage::Property& property : message.properties()) {
    table.AddRow({"property", absl::StrCat(property.name(), "=", property.value())});
  }
  table.AddRow({"body", absl::StrCat(message.body_bytes(), message.body_bytes() == 1 ? " byte" : " bytes")});
  table.Print(out);
  out << (IsPrintable(message.body()) ? absl::StrCat(message.body(), "\n") : HexDump(message.body())) << "\n";
}

void WriteStored(const admin::StoredMessage& message, bool with_body, JsonWriter* json) {
  json->BeginObject().Field("id", message.message_id()).Field("state", StateText(message.state()));
  json->Key("topic").BeginObject();
  WriteName(message.topic(), json);
  json->End();
  json->Field("shard", message.shard()).Field("queue", message.queue());
  if (HasOffset(message)) json->Field("offset", message.offset());
  if (message.has_due()) json->Field("due", TimeText(FromProto(message.due())));
  if (message.has_entered()) json->Field("entered", TimeText(FromProto(message.entered())));
  json->Field("stored", TimeText(FromProto(message.stored())));
  json->Field("log_index", message.log_index()).Field("log_position", message.log_position());
  if (message.has_origin()) {
    json->Key("origin").BeginObject();
    json->Field("topic", message.origin().topic()).Field("id", message.origin().message_id());
    json->Field("attempts", message.origin().attempts()).Field("reason", message.origin().reason()).End();
  }
  json->Field("born", TimeText(FromProto(message.born()))).Field("tag", message.tag());
  json->Key("keys").BeginArray();
  for (const std::string& key : message.keys()) json->Value(key);
  json->End().Field("message_group", message.message_group());
  json->Key("properties").BeginObject();
  for (const admin::StoredMessage::Property& property : message.properties())
    json->Field(property.name(), property.value());
  json->End().Field("body_bytes", message.body_bytes());
  if (with_body && IsUtf8(message.body())) {
    json->Field("body", message.body());
  } else if (with_body) {
    json->Field("body_base64", absl::Base64Escape(message.body()));
  }
  json->End();
}

}  // namespace barid::cli
