#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/metadata.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/message_body.h"
#include "cli/table.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

class Send : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    body_.Add(flags);
    flags->Add("tag", &tag_, Default(""), "One word by which consumers filter.");
    flags->AddRepeated("key", &keys_, "A word by which the message can be looked up.");
    flags->AddRepeated("property", &properties_, "A property, NAME=VALUE.");
    flags->Add("group", &group_, Default(""),
               "The message group, for FIFO topics: messages of one group stay in order.");
    flags->Add("delay", &delay_, Default(absl::ZeroDuration()), AtLeast(absl::ZeroDuration()),
               "For DELAY topics: deliver it so much later.");
    flags->Add("at", &at_, Default(""), "For DELAY topics: deliver it at this time, such as 2026-08-17T12:00:00Z.");
    flags->Add("priority", &priority_, Default(0), Between(0, kPriorityLevels - 1),
               "For PRIORITY topics: messages of a higher priority are delivered first.");
    flags->Add("lite_topic", &lite_topic_, Default(""),
               "The lite topic, for LITE topics: it is made if it is not there.");
    flags->Add("id", &id_, Default(""),
               "The message's id, in place of a new one: a second send with it is a repeat of the first.");
    flags->Add("count", &count_, Default(1), Between(1, 1000000),
               "How many times to send it, each with an id of its own, unless --id is given.");
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    v2::SendMessageRequest request;
    v2::Message* const message = request.add_messages();
    RETURN_IF_ERROR(Fill(flags, message));
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    *message->mutable_topic() = client->Resource(arguments[0]);
    for (int32_t i = 0; i < count_; ++i) {
      message->mutable_system_properties()->set_message_id(flags.Given("id") ? id_ : client->NextMessageId());
      const absl::Time now = RealClock()->Now();
      ToProto(now, message->mutable_system_properties()->mutable_born_timestamp());
      if (flags.Given("delay"))
        ToProto(now + delay_, message->mutable_system_properties()->mutable_delivery_timestamp());
      ASSIGN_OR_RETURN(const v2::SendMessageResponse response,
                       client->Call(&v2::MessagingService::Stub::SendMessage, request));
      for (const v2::SendResultEntry& entry : response.entries()) RETURN_IF_ERROR(OutcomeOf(entry.status()));
      RETURN_IF_ERROR(OutcomeOf(response.status()));
      for (const v2::SendResultEntry& entry : response.entries()) Show(entry, session);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Fill(const FlagSet& flags, v2::Message* message) const {
    ASSIGN_OR_RETURN(*message->mutable_body(), body_.Read(flags));
    v2::SystemProperties* const system = message->mutable_system_properties();
    if (flags.Given("tag")) system->set_tag(tag_);
    for (const std::string& key : keys_) system->add_keys(key);
    if (flags.Given("group")) system->set_message_group(group_);
    RETURN_IF_ERROR(FillTypeAndTime(flags, system));
    system->set_body_encoding(v2::IDENTITY);
    return FillProperties(properties_, message);
  }

  absl::Status FillTypeAndTime(const FlagSet& flags, v2::SystemProperties* system) const {
    const int kinds = flags.Given("group") + flags.Given("priority") + flags.Given("delay") + flags.Given("at") +
                      flags.Given("lite_topic");
    if (kinds > 1) {
      return UsageError("--group, --priority, --delay, --at and --lite-topic exclude each other, give one of them");
    }
    system->set_message_type(flags.Given("group")        ? v2::FIFO
                             : flags.Given("priority")   ? v2::PRIORITY
                             : flags.Given("lite_topic") ? v2::LITE
                             : kinds == 1                ? v2::DELAY
                                                         : v2::NORMAL);
    if (flags.Given("lite_topic")) system->set_lite_topic(lite_topic_);
    if (flags.Given("priority")) system->set_priority(priority_);
    if (!flags.Given("at")) return absl::OkStatus();
    absl::Time at;
    if (std::string error; !absl::ParseTime(absl::RFC3339_full, at_, &at, &error)) {
      return UsageError(absl::StrCat("--at is \"", at_, "\", expected a time such as 2026-08-17T12:00:00Z"));
    }
    ToProto(at, system->mutable_delivery_timestamp());
    return absl::OkStatus();
  }

  // A scheduled message has no place yet, but a handle by which it can be recalled.
  static void Show(const v2::SendResultEntry& entry, Session* session) {
    const bool is_scheduled = !entry.recall_handle().empty();
    if (session->json()) {
      JsonWriter json;
      json.BeginObject().Field("id", entry.message_id());
      if (is_scheduled) {
        json.Field("recall_handle", entry.recall_handle());
      } else {
        json.Field("offset", entry.offset());
      }
      session->out() << json.End().text() << "\n";
    } else if (is_scheduled) {
      session->out() << "scheduled " << entry.message_id() << ", recall handle " << entry.recall_handle() << "\n";
    } else {
      session->out() << "sent " << entry.message_id() << " at offset " << entry.offset() << "\n";
    }
  }

  BodyFlags body_;
  std::string tag_;
  std::vector<std::string> keys_;
  std::vector<std::string> properties_;
  std::string group_;
  std::string lite_topic_;
  absl::Duration delay_;
  std::string at_;
  std::string id_;
  int32_t priority_ = 0;
  int32_t count_ = 1;
};

}  // namespace

void AddSendCommand(std::vector<CommandEntry>* commands) {
  commands->push_back({"send", "TOPIC", "Sends a message; done means that it is durable.", Make<Send>()});
}

}  // namespace barid::cli
