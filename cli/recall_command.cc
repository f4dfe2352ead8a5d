#include "base/status.h"
#include "cli/command.h"
#include "cli/json.h"

namespace barid::cli {
namespace {

class Recall : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    v2::RecallMessageRequest request;
    *request.mutable_topic() = client->Resource(arguments[0]);
    request.set_recall_handle(arguments[1]);
    ASSIGN_OR_RETURN(const v2::RecallMessageResponse response,
                     client->Call(&v2::MessagingService::Stub::RecallMessage, request));
    RETURN_IF_ERROR(OutcomeOf(response.status()));
    if (session->json()) {
      session->out() << JsonWriter().BeginObject().Field("id", response.message_id()).End().text() << "\n";
    } else {
      session->out() << "recalled " << response.message_id() << "\n";
    }
    return absl::OkStatus();
  }
};

}  // namespace

void AddRecallCommand(std::vector<CommandEntry>* commands) {
  commands->push_back(
      {"recall", "TOPIC HANDLE", "Withdraws a scheduled message that was not delivered yet.", Make<Recall>()});
}

}  // namespace barid::cli
