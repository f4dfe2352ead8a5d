#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

constexpr int32_t kMostTransactions = 1000;

class TransactionList : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("discarded", &discarded_, Default(false),
               "Those that nobody ended, which were rolled back and are kept, in place of the open ones.");
    flags->Add("limit", &limit_, Default(int32_t{100}), Between(int32_t{1}, kMostTransactions),
               "So many of each shard.");
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::ListTransactionsRequest request;
    *request.mutable_topic() = client->Name(arguments[0]);
    request.set_discarded(discarded_);
    request.set_limit(limit_);
    ASSIGN_OR_RETURN(const admin::ListTransactionsResponse response,
                     client->Call(&admin::Admin::Stub::ListTransactions, request));
    WarnOfSilentBrokers(response.silent_brokers(), session->err());
    if (session->json()) {
      PrintJson(response, session->out());
    } else {
      PrintText(response, session->out());
    }
    return absl::OkStatus();
  }

 private:
  void PrintJson(const admin::ListTransactionsResponse& response, std::ostream& out) const {
    JsonWriter json;
    json.BeginArray();
    for (const auto& one : response.transactions()) {
      json.BeginObject().Field("shard", one.shard()).Field("id", one.message_id());
      json.Field(discarded_ ? "discarded" : "prepared", TimeText(FromProto(one.since()))).Field("checks", one.checks());
      if (discarded_) {
        json.Field("reason", one.reason());
      } else {
        json.Field("next_check", TimeText(FromProto(one.next_check())));
      }
      json.End();
    }
    out << json.End().text() << "\n";
  }

  void PrintText(const admin::ListTransactionsResponse& response, std::ostream& out) const {
    Table table(discarded_ ? std::vector<std::string>{"SHARD", "ID", "DISCARDED", "CHECKS", "REASON"}
                           : std::vector<std::string>{"SHARD", "ID", "PREPARED", "CHECKS", "NEXT CHECK"});
    for (const auto& one : response.transactions()) {
      table.AddRow({one.shard(), one.message_id(), TimeText(FromProto(one.since())), absl::StrCat(one.checks()),
                    discarded_ ? one.reason() : TimeText(FromProto(one.next_check()))});
    }
    table.Print(out);
  }

  bool discarded_ = false;
  int32_t limit_ = 100;
};

}  // namespace

void AddTransactionCommand(std::vector<CommandEntry>* commands) {
  commands->push_back({"transaction list", "TOPIC", "Lists the open transactions of a topic, or the discarded ones.",
                       Make<TransactionList>()});
}

}  // namespace barid::cli
