#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
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

constexpr int64_t kMostPerCall = 256;

std::string DeadLetterTopic(absl::string_view group) { return absl::StrCat("%DLQ%", group); }

class DeadLetterList : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("max", &max_, Default(int64_t{100}), Between(int64_t{1}, int64_t{1000000}), "How many at most.");
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::FindMessagesRequest request;
    *request.mutable_topic() = client->Name(DeadLetterTopic(arguments[0]));
    request.mutable_range();
    ASSIGN_OR_RETURN(const FoundMessages found, FindMessages(client, std::move(request), max_, session->err()));
    if (session->json()) {
      JsonWriter json;
      json.BeginArray();
      for (const admin::StoredMessage& message : found.messages) WriteStored(message, /*with_body=*/false, &json);
      session->out() << json.End().text() << "\n";
    } else {
      Table table({"SHARD/QUEUE/OFFSET", "ID", "TOPIC", "DIED", "ATTEMPTS", "REASON"});
      for (const admin::StoredMessage& message : found.messages) {
        table.AddRow({PlaceText(message), message.message_id(), message.origin().topic(),
                      TimeText(FromProto(message.entered())), absl::StrCat(message.origin().attempts()),
                      message.origin().reason()});
      }
      table.Print(session->out());
    }
    if (found.more) session->err() << "baridctl: there are more, see them with --max.\n";
    return absl::OkStatus();
  }

 private:
  int64_t max_ = 100;
};

class DeadLetterShow : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::FindMessagesRequest request;
    *request.mutable_topic() = client->Name(DeadLetterTopic(arguments[0]));
    request.set_with_body(true);
    int64_t offset = 0;
    // No message id that a client makes is so short.
    const bool by_offset = arguments[1].size() < 16 && absl::SimpleAtoi(arguments[1], &offset) && offset >= 0;
    if (by_offset) {
      request.mutable_place()->set_offset(offset);
    } else {
      request.set_message_id(arguments[1]);
    }
    ASSIGN_OR_RETURN(const FoundMessages found, FindMessages(client, std::move(request), 1000, session->err()));
    if (found.messages.empty()) {
      return RefusedError(absl::StrCat("group ", arguments[0], " has no dead letter ", arguments[1]));
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
};

// Sends dead letters back, page by page, not faster than the rate. Progress goes to standard error.
class DeadLetterRedrive : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("topic", &topic_, Default(""), "Send them to this topic, in place of the ones that they came from.");
    flags->Add("filter", &filter_, Default(""),
               "Only those with one of these tags, \"a || b\", or that match this SQL condition, \"amount > 5\".");
    flags->Add("rate", &rate_, Default(""), "At most so many per second: 100/s.");
    flags->Add("max", &max_, Default(int64_t{0}), Between(int64_t{0}, int64_t{1000000000}),
               "At most so many; 0: all that are there now.");
    flags->Add("dry_run", &dry_run_, Default(false), "Only count them.");
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    int64_t per_second = 0;
    if (!rate_.empty() && (!absl::SimpleAtoi(absl::StripSuffix(rate_, "/s"), &per_second) || per_second <= 0)) {
      return UsageError(absl::StrCat("--rate is \"", rate_, "\", expected a number per second, as 100/s"));
    }
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::RedriveDeadLettersRequest request;
    *request.mutable_group() = client->Name(arguments[0]);
    if (!topic_.empty()) *request.mutable_topic() = client->Name(topic_);
    // What is no more than tags is tags: a condition has an operator.
    (IsCondition(filter_) ? request.mutable_sql() : request.mutable_tags())->assign(filter_);
    request.set_dry_run(dry_run_);

    Totals totals;
    const auto begin = std::chrono::steady_clock::now();
    auto told = begin;
    while (true) {
      int64_t most = max_ == 0 ? kMostPerCall : std::min(kMostPerCall, max_ - totals.redriven);
      // Ten steps a second at least, so that a rate is not a row of bursts.
      if (per_second > 0) most = std::min(most, std::max<int64_t>(per_second / 10, 1));
      request.set_max_messages(static_cast<int32_t>(most));
      const auto response = client->CallPatiently(&admin::Admin::Stub::RedriveDeadLetters, request);
      if (!response.ok()) {
        if (totals.redriven > 0) session->err() << "baridctl: " << Sentence(totals) << " before this failed.\n";
        return response.status();
      }
      totals.Add(*response);
      if (!response->silent_brokers().empty()) {
        session->err() << "baridctl: those of " << absl::StrJoin(response->silent_brokers(), ", ")
                       << " are left out.\n";
      }
      request.set_resume(response->resume());
      const auto now = std::chrono::steady_clock::now();
      if (response->resume().empty() || (max_ != 0 && totals.redriven >= max_)) break;
      if (now - told >= std::chrono::seconds(1)) {
        told = now;
        session->err() << Sentence(totals) << " so far\n" << std::flush;
      }
      if (per_second > 0 && !dry_run_) {
        std::this_thread::sleep_until(begin + std::chrono::microseconds(totals.redriven * 1'000'000 / per_second));
      }
    }
    if (session->json()) {
      JsonWriter json;
      json.BeginObject().Field("redriven", totals.redriven).Field("filtered_out", totals.filtered_out);
      json.Field("failed", totals.failed).Field("failure", totals.failure).Field("dry_run", dry_run_).End();
      session->out() << json.text() << "\n";
    } else {
      session->out() << Sentence(totals) << "\n";
    }
    if (totals.failed == 0) return absl::OkStatus();
    return RefusedError(absl::StrCat(totals.failed, " stay where they are, the first because ", totals.failure));
  }

 private:
  struct Totals {
    int64_t redriven = 0;
    int64_t filtered_out = 0;
    int64_t failed = 0;
    std::string failure;

    void Add(const admin::RedriveDeadLettersResponse& response) {
      redriven += response.redriven();
      filtered_out += response.filtered_out();
      if (failed == 0) failure = response.failure();
      failed += response.failed();
    }
  };

  static bool IsCondition(absl::string_view filter) {
    if (filter.find_first_of("=<>'()") != absl::string_view::npos) return true;
    constexpr absl::string_view kWords[] = {" IS ", " IN ", " LIKE ", " BETWEEN ", " CONTAINS "};
    return std::any_of(std::begin(kWords), std::end(kWords), [&](absl::string_view word) { return Has(filter, word); });
  }
  // Whatever the case of its letters.
  static bool Has(absl::string_view filter, absl::string_view word) {
    return std::search(filter.begin(), filter.end(), word.begin(), word.end(),
                       [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 'a' + 'A' : a) == b; }) != filter.end();
  }

  std::string Sentence(const Totals& totals) const {
    return absl::StrCat(
        totals.redriven, dry_run_ ? " would be sent back" : " sent back",
        totals.filtered_out > 0 ? absl::StrCat(", ", totals.filtered_out, " left out by the filter") : "",
        totals.failed > 0 ? absl::StrCat(", ", totals.failed, " not possible") : "");
  }

  std::string topic_;
  std::string filter_;
  std::string rate_;
  int64_t max_ = 0;
  bool dry_run_ = false;
};

}  // namespace

void AddDeadLetterCommands(std::vector<CommandEntry>* commands) {
  commands->push_back({"dlq list", "GROUP", "Lists the dead letters of a group.", Make<DeadLetterList>()});
  commands->push_back(
      {"dlq show", "GROUP ID|OFFSET", "Shows a dead letter and where it came from.", Make<DeadLetterShow>()});
  commands->push_back({"dlq redrive", "GROUP", "Sends dead letters back to their topics.", Make<DeadLetterRedrive>()});
}

}  // namespace barid::cli
