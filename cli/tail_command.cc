#include <memory>

#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/interrupt.h"
#include "cli/own_group.h"
#include "cli/receiver.h"

namespace barid::cli {
namespace {

class Tail : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("tag", &tags_, Default("*"), "Only messages with one of these tags: \"a || b\".");
    flags->Add("sql", &sql_, Default(""),
               "Only messages that match this condition, in place of --tag: \"amount > 5\".");
    flags->Add("max", &max_, Default(0), AtLeast(0), "Stop after so many messages; 0: at an interrupt only.");
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    if (!sql_.empty() && tags_ != "*") return UsageError("--tag and --sql are two filters, give one of them");
    std::unique_ptr<Receiver> receiver;
    OnInterrupt interrupt;  // Lives until the group is deleted, and looks at the receiver as long.
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    ReceiverOptions options;
    options.topic = arguments[0];
    options.tags = tags_;
    options.sql = sql_;
    ASSIGN_OR_RETURN(options.group, CreateOwnGroup(client, "tail", absl::ZeroDuration()));
    receiver = std::make_unique<Receiver>(client, options);
    interrupt.Do([&receiver] { receiver->Stop(); });
    const absl::Status followed = Follow(client, receiver.get(), options, session);
    const absl::Status deleted = DeleteOwnGroup(client, options.group);
    RETURN_IF_ERROR(followed);
    return deleted;
  }

 private:
  absl::Status Follow(Client* client, Receiver* receiver, const ReceiverOptions& options, Session* session) {
    int shown = 0;
    while (!receiver->stopped() && (max_ == 0 || shown < max_)) {
      absl::StatusOr<std::vector<v2::Message>> messages =
          receiver->Receive(max_ == 0 ? 32 : max_ - shown, absl::Seconds(20));
      RETURN_IF_ERROR(messages.status());
      for (const v2::Message& message : *messages) {
        if (session->json()) {
          PrintMessageJson(message, session->out());
        } else {
          PrintMessageLine(message, session->out());
        }
      }
      session->out().flush();
      RETURN_IF_ERROR(client->Ack(options.topic, options.group, *messages));
      shown += static_cast<int>(messages->size());
      if (!session->out().good()) return absl::OkStatus();  // Whoever read it has gone.
    }
    return absl::OkStatus();
  }

  std::string tags_;
  std::string sql_;
  int32_t max_ = 0;
};

}  // namespace

void AddTailCommand(std::vector<CommandEntry>* commands) {
  commands->push_back(
      {"tail", "TOPIC", "Follows new messages until an interrupt, without taking them from anyone.", Make<Tail>()});
}

}  // namespace barid::cli
