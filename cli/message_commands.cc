#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/json.h"
#include "cli/stored_message_text.h"
#include "cli/table.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

// A time of a range: absolute, or so long ago.
absl::Status ReadTime(absl::string_view flag, const std::string& text, google::protobuf::Timestamp* out) {
  absl::Time time;
  absl::Duration ago;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    ToProto(time, out);
  } else if (cli::ParseDuration(text, &ago)) {
    ToProto(absl::Now() - ago, out);
  } else {
    return UsageError(absl::StrCat("--", flag, " is \"", text,
                                   "\", expected a time as 2026-08-17T12:00:00Z, or how long ago, as 15m"));
  }
  return absl::OkStatus();
}

// From --from and --to.
struct RangeFlags {
  std::string from;
  std::string to;

  void Add(FlagSet* flags) {
    flags->Add("from", &from, Default(""),
               "Only those that entered their queue then or later: a time, or how long ago.");
    flags->Add("to", &to, Default(""), "And before this.");
  }
  absl::Status Read(admin::FindMessagesRequest::Range* range) const {
    if (!from.empty()) RETURN_IF_ERROR(ReadTime("from", from, range->mutable_from()));
    if (!to.empty()) RETURN_IF_ERROR(ReadTime("to", to, range->mutable_to()));
    return absl::OkStatus();
  }
};

void PrintList(const FoundMessages& found, Session* session) {
  if (session->json()) {
    JsonWriter json;
    json.BeginArray();
    for (const admin::StoredMessage& message : found.messages) WriteStored(message, /*with_body=*/false, &json);
    session->out() << json.End().text() << "\n";
  } else {
    PrintFound(found.messages, session->out());
  }
  if (found.more) session->err() << "baridctl: there are more, see them with --max.\n";
}

class MessageGet : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("queue", &queue_, Default(int32_t{0}), Between(int32_t{0}, int32_t{1 << 20}),
               "In place of an id: a queue,");
    flags->Add("offset", &offset_, Default(int64_t{0}), Between(int64_t{0}, INT64_MAX), "the place in it,");
    flags->Add("shard", &shard_, Default(""), "and of which shard; without it of each that has such a place.");
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    const bool by_place = flags.Given("offset");
    if (by_place == (arguments.size() == 2)) return UsageError("expected a message id, or --queue and --offset");
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::FindMessagesRequest request;
    *request.mutable_topic() = client->Name(arguments[0]);
    request.set_with_body(true);
    if (by_place) {
      request.mutable_place()->set_shard(shard_);
      request.mutable_place()->set_queue(queue_);
      request.mutable_place()->set_offset(offset_);
    } else {
      request.set_message_id(arguments[1]);
    }
    ASSIGN_OR_RETURN(const FoundMessages found, FindMessages(client, std::move(request), 1000, session->err()));
    if (found.messages.empty()) {
      return RefusedError(
          by_place ? absl::StrCat("topic ", arguments[0], " has nothing at offset ", offset_, " of queue ", queue_)
                   : absl::StrCat("there is no message ", arguments[1], " of topic ", arguments[0], " in the log"));
    }
    for (const admin::StoredMessage& message : found.messages) {
      if (session->json()) {
        JsonWriter json;
        WriteStored(message, /*with_body=*/true, &json);
        session->out() << json.text() << "\n";
      } else {
        PrintStored(message, session->out());
      }
    }
    return absl::OkStatus();
  }

 private:
  int32_t queue_ = 0;
  int64_t offset_ = 0;
  std::string shard_;
};

class MessageFind : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("key", &key_, Default(""), "The key that they have. Needed.");
    range_.Add(flags);
    flags->Add("max", &max_, Default(int64_t{100}), Between(int64_t{1}, int64_t{1000000}), "How many at most.");
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    if (key_.empty()) return UsageError("--key is missing, name the key to look for");
    admin::FindMessagesRequest::Range range;
    RETURN_IF_ERROR(range_.Read(&range));
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::FindMessagesRequest request;
    *request.mutable_topic() = client->Name(arguments[0]);
    request.set_key(key_);
    const auto keep = [&range](const admin::StoredMessage& message) {
      const absl::Time time = FromProto(message.has_entered() ? message.entered() : message.stored());
      return (!range.has_from() || time >= FromProto(range.from())) &&
             (!range.has_to() || time < FromProto(range.to()));
    };
    ASSIGN_OR_RETURN(const FoundMessages found, FindMessages(client, std::move(request), max_, session->err(), keep));
    PrintList(found, session);
    return absl::OkStatus();
  }

 private:
  std::string key_;
  RangeFlags range_;
  int64_t max_ = 100;
};

class MessageList : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    range_.Add(flags);
    flags->Add("queue", &queue_, Default(int32_t{0}), Between(int32_t{0}, int32_t{1 << 20}),
               "Only those of this queue.");
    flags->Add("max", &max_, Default(int64_t{100}), Between(int64_t{1}, int64_t{1000000}), "How many at most.");
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    admin::FindMessagesRequest request;
    RETURN_IF_ERROR(range_.Read(request.mutable_range()));
    if (flags.Given("queue")) request.mutable_range()->set_queue(queue_);
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    *request.mutable_topic() = client->Name(arguments[0]);
    ASSIGN_OR_RETURN(const FoundMessages found, FindMessages(client, std::move(request), max_, session->err()));
    PrintList(found, session);
    return absl::OkStatus();
  }

 private:
  RangeFlags range_;
  int32_t queue_ = 0;
  int64_t max_ = 100;
};

class MessageExplain : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("topic", &topic_, Default(""), "The topic that it was sent to. Needed.");
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    if (topic_.empty()) return UsageError("--topic is missing, name the topic that the message was sent to");
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::ExplainMessageRequest request;
    *request.mutable_topic() = client->Name(topic_);
    request.set_message_id(arguments[0]);
    ASSIGN_OR_RETURN(const admin::ExplainMessageResponse response,
                     client->CallPatiently(&admin::Admin::Stub::ExplainMessage, request));
    WarnOfSilentBrokers(response.silent_brokers(), session->err());
    if (session->json()) {
      JsonWriter json;
      json.BeginArray();
      for (const auto& life : response.lives()) WriteJson(life, &json);
      session->out() << json.End().text() << "\n";
    } else {
      for (const auto& life : response.lives()) PrintText(life, session->out());
    }
    return absl::OkStatus();
  }

 private:
  using Life = admin::ExplainMessageResponse::Life;

  static std::string Place(const admin::Name& topic, int32_t queue, int64_t offset) {
    return absl::StrCat(NameText(topic), "/", queue, "/", offset);
  }

  // Of a message that stands in no queue that a group reads.
  static std::string NobodyText(const admin::StoredMessage& message) {
    switch (message.state()) {
      case admin::SCHEDULED:
        return absl::StrCat("It is scheduled: no group gets it before ", TimeText(FromProto(message.due())), ".");
      case admin::PREPARED:
        return "Its transaction is open: no group gets it before that is committed.";
      case admin::RECALLED:
        return "It was recalled: no group gets it.";
      case admin::ROLLED_BACK:
        return "Its transaction was rolled back: no group gets it.";
      case admin::GONE:
        return "It is in no queue any more.";
      default:
        return absl::StrCat("No group is subscribed to ", NameText(message.topic()), ".");
    }
  }

  static void PrintReasons(const Life& life, std::ostream& out) {
    bool is_first = true;
    for (const Life::Standing& standing : life.standings()) {
      for (const std::string& reason : standing.reasons()) {
        out << (std::exchange(is_first, false) ? "\nWhy it is not given:\n" : "") << "  " << NameText(standing.group())
            << ": " << reason << ".\n";
      }
    }
  }

  static void PrintText(const Life& life, std::ostream& out) {
    const admin::StoredMessage& message = life.message();
    out << "Message " << message.message_id() << " in " << message.shard() << ": " << StateText(message.state())
        << ".\n\n";
    Table events({"TIME", "RECORD", "WHAT", "GROUP", "CLIENT", "ATTEMPT", "UNTIL", "PLACE", "DETAIL"});
    for (const Life::Event& event : life.events()) {
      events.AddRow({TimeText(FromProto(event.time())), absl::StrCat(event.log_index()), event.what(),
                     event.has_group() ? NameText(event.group()) : "", event.client(),
                     event.attempt() == 0 ? "" : absl::StrCat(event.attempt()),
                     event.has_until() ? TimeText(FromProto(event.until())) : "",
                     Place(event.topic(), event.queue(), event.offset()), event.detail()});
    }
    events.Print(out);
    if (life.standings().empty()) {
      out << "\n" << NobodyText(message) << "\n";
    } else {
      out << "\n";
      Table standings({"GROUP", "STANDS", "CLIENT", "ATTEMPT", "UNTIL", "PLACE", "DETAIL"});
      for (const Life::Standing& standing : life.standings()) {
        standings.AddRow({NameText(standing.group()), standing.standing(), standing.client(),
                          standing.attempt() == 0 ? "" : absl::StrCat(standing.attempt()),
                          standing.has_until() ? TimeText(FromProto(standing.until())) : "",
                          Place(standing.topic(), standing.queue(), standing.offset()), standing.detail()});
      }
      standings.Print(out);
      PrintReasons(life, out);
    }
    if (life.has_log_from()) out << "\nThe log reaches back to " << TimeText(FromProto(life.log_from())) << ".\n";
  }

  template <typename T>
  static void WriteWhereAndWho(const T& one, JsonWriter* json) {
    if (one.has_group()) {
      json->Key("group").BeginObject();
      WriteName(one.group(), json);
      json->End();
    }
    if (!one.client().empty()) json->Field("client", one.client());
    if (one.attempt() != 0) json->Field("attempt", one.attempt());
    if (one.has_until()) json->Field("until", TimeText(FromProto(one.until())));
    json->Key("topic").BeginObject();
    WriteName(one.topic(), json);
    json->End().Field("queue", one.queue()).Field("offset", one.offset()).Field("detail", one.detail());
  }

  static void WriteJson(const Life& life, JsonWriter* json) {
    json->BeginObject().Key("message");
    WriteStored(life.message(), /*with_body=*/false, json);
    json->Key("events").BeginArray();
    for (const Life::Event& event : life.events()) {
      json->BeginObject().Field("time", TimeText(FromProto(event.time()))).Field("log_index", event.log_index());
      json->Field("what", event.what());
      WriteWhereAndWho(event, json);
      json->End();
    }
    json->End().Key("standings").BeginArray();
    for (const Life::Standing& standing : life.standings()) {
      json->BeginObject().Field("standing", standing.standing());
      WriteWhereAndWho(standing, json);
      json->Key("reasons").BeginArray();
      for (const std::string& reason : standing.reasons()) json->Value(reason);
      json->End();
      if (standing.has_blocked_by()) {
        const Life::Standing::Blocker& blocker = standing.blocked_by();
        json->Key("blocked_by").BeginObject().Field("id", blocker.message_id()).Field("offset", blocker.offset());
        if (!blocker.client().empty()) json->Field("client", blocker.client());
        if (blocker.attempt() != 0) json->Field("attempt", blocker.attempt());
        if (blocker.has_until()) json->Field("until", TimeText(FromProto(blocker.until())));
        json->End();
      }
      json->End();
    }
    json->End();
    if (life.has_log_from()) json->Field("log_from", TimeText(FromProto(life.log_from())));
    json->End();
  }

  std::string topic_;
};

}  // namespace

void AddMessageCommands(std::vector<CommandEntry>* commands) {
  commands->push_back(
      {"message get", "TOPIC [ID]", "Shows a message by its id, or by queue and offset.", Make<MessageGet>()});
  commands->push_back({"message find", "TOPIC", "Lists messages by key.", Make<MessageFind>()});
  commands->push_back(
      {"message list", "TOPIC", "Lists messages by the time at which they entered their queues.", Make<MessageList>()});
  commands->push_back({"message explain", "ID", "Tells what became of a message, and why a group does not get it.",
                       Make<MessageExplain>()});
}

}  // namespace barid::cli
