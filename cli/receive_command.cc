#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/receiver.h"
#include "cli/text.h"
#include "proxy/options.h"

namespace barid::cli {
namespace {

class Receive : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("group", &receiver_.group, Default(""), "The consumer group to receive for. Needed.");
    flags->Add("max", &max_, Default(1), Between(1, 1000000), "How many messages at most.");
    flags->Add("wait", &wait_, Default(absl::Seconds(5)), Between(absl::ZeroDuration(), absl::Hours(24)),
               "How long to wait for a first message.");
    flags->Add("no_ack", &no_ack_, Default(false),
               "Do not acknowledge: the messages are delivered again when they become visible.");
    flags->Add("tag", &receiver_.tags, Default("*"), "Only messages with one of these tags: \"a || b\".");
    flags->AddRepeated("lite_topic", &lite_topics_,
                       "For LITE topics: a lite topic to receive from. Several may be given.");
    flags->Add("sql", &receiver_.sql, Default(""),
               "Only messages that match this condition, in place of --tag: \"amount > 5\".");
    const proxy::ProxyOptions server;
    flags->Add("invisible", &receiver_.invisible, Default(absl::Seconds(30)),
               Between(server.min_invisible, server.max_invisible),
               "For how long no other member of the group sees the messages.");
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    if (receiver_.group.empty()) return UsageError("--group is missing, name the consumer group to receive for");
    if (!receiver_.sql.empty() && receiver_.tags != "*")
      return UsageError("--tag and --sql are two filters, give one of them");
    receiver_.topic = arguments[0];
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    if (!lite_topics_.empty())
      RETURN_IF_ERROR(client->SyncLite(receiver_.topic, receiver_.group, v2::COMPLETE_ADD, lite_topics_));
    const absl::Status received = ReceiveAll(client, session);
    if (lite_topics_.empty()) return received;
    const absl::Status left = client->SyncLite(receiver_.topic, receiver_.group, v2::COMPLETE_REMOVE, {});
    return received.ok() ? left : received;
  }

 private:
  absl::Status ReceiveAll(Client* client, Session* session) {
    Receiver receiver(client, receiver_);
    int received = 0;
    while (received < max_) {
      // Whoever has something already does not wait for more.
      absl::StatusOr<std::vector<v2::Message>> messages =
          receiver.Receive(max_ - received, received == 0 ? wait_ : absl::ZeroDuration());
      RETURN_IF_ERROR(messages.status());
      if (messages->empty()) break;
      for (const v2::Message& message : *messages) {
        if (session->json()) {
          PrintMessageJson(message, session->out());
        } else {
          PrintMessage(message, session->out());
        }
      }
      session->out().flush();  // Shown before it is settled, so that nothing is lost on the way to the eye.
      if (!no_ack_) RETURN_IF_ERROR(client->Ack(receiver_.topic, receiver_.group, *messages));
      received += static_cast<int>(messages->size());
    }
    if (received > 0) return absl::OkStatus();
    return NothingReceivedError(absl::StrCat("no message came within ", DurationText(wait_),
                                             ", wait longer with --wait or see baridctl group describe ",
                                             receiver_.group));
  }

  ReceiverOptions receiver_;
  std::vector<std::string> lite_topics_;
  int32_t max_ = 1;
  absl::Duration wait_;
  bool no_ack_ = false;
};

}  // namespace

void AddReceiveCommand(std::vector<CommandEntry>* commands) {
  commands->push_back(
      {"receive", "TOPIC", "Receives messages for a group, shows and acknowledges them.", Make<Receive>()});
}

}  // namespace barid::cli
